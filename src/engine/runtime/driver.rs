//! The thread that steps a subtask.

use std::sync::Arc;

use super::build::{Blueprint, Connections};
use super::counters::Counters;
use super::event::TaskEvent;
use super::executor::Events;
use super::mailbox::Mailbox;
use super::snapshots::Snapshots;
use super::subtask::{Outcome, Report, Step};
use crate::graph::task::{ExecutionState, Failure, TaskDeployment};
use crate::ids::ExecutionAttemptId;
use crate::time::{Clock, Stopwatch};

/// Slices of input a step: some milliseconds at most, since mail is looked at between slices anyway, and the flush ceiling
/// between steps.
const STEP_SLICES: u32 = 16;

/// All a subtask's thread needs.
pub(super) struct Driver {
    pub(super) task: TaskDeployment,
    pub(super) blueprint: Arc<Blueprint>,
    pub(super) connections: Result<Connections, Failure>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) counters: Arc<Counters>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) events: Events,
    pub(super) snapshots: Snapshots,
}

impl Driver {
    /// Runs the subtask to its end, on this thread. The terminal state is the caller's to report, with [`terminal`].
    pub(super) fn run(self) -> Outcome {
        let Self { task, blueprint, connections, mailbox, counters, clock, events, snapshots } = self;
        let attempt = task.attempt;
        mailbox.belongs_to_this_thread();
        events.send(state(attempt, ExecutionState::Initializing));
        let built =
            connections.and_then(|connections| blueprint.subtask(&task, connections, Arc::clone(&mailbox), counters));
        let mut subtask = match built {
            Ok(subtask) => subtask,
            Err(failure) => return Outcome::Failed(failure),
        };
        let mut reports = Vec::new();
        loop {
            let watch = Stopwatch::start();
            let step = subtask.step(clock.now(), STEP_SLICES, &mut reports);
            for report in reports.drain(..) {
                events.send(event_of(attempt, report));
            }
            if let Some(taken) = subtask.take_checkpoint() {
                let (cut, unwritten) = taken.cut(attempt, watch.elapsed());
                events.send(cut);
                snapshots.write(unwritten);
            }
            match step {
                Step::Progress => {}
                Step::Wait { until } => mailbox.park(until.map(|until| until.since(clock.now()))),
                Step::Ended(outcome) => return outcome,
            }
        }
    }
}

/// The event of a state without news.
pub(super) fn state(attempt: ExecutionAttemptId, state: ExecutionState) -> TaskEvent {
    TaskEvent::State { attempt, state, failure: None, committables: Vec::new(), metrics: Default::default() }
}

pub(super) fn event_of(attempt: ExecutionAttemptId, report: Report) -> TaskEvent {
    match report {
        Report::Running => state(attempt, ExecutionState::Running),
        Report::SplitRequested(operator, lane) => TaskEvent::SplitRequested { attempt, operator, lane },
        Report::SplitFinished(operator, split) => TaskEvent::SplitFinished { attempt, operator, split },
        Report::Accumulators(accumulators) => TaskEvent::Accumulators { attempt, accumulators },
    }
}

/// The event of an end.
pub(super) fn terminal(attempt: ExecutionAttemptId, outcome: Outcome, counters: &Counters) -> TaskEvent {
    let metrics = counters.read();
    let (state, failure, committables) = match outcome {
        Outcome::Finished(committables) => (ExecutionState::Finished, None, committables),
        Outcome::Canceled => (ExecutionState::Canceled, None, Vec::new()),
        Outcome::Failed(failure) => (ExecutionState::Failed, Some(failure), Vec::new()),
    };
    TaskEvent::State { attempt, state, failure, committables, metrics }
}
