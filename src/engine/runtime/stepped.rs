//! A subtask without a thread, for whoever steps it: the simulator.

use std::sync::Arc;
use std::time::Duration;

use super::build::{Blueprint, Connections};
use super::counters::Counters;
use super::driver;
use super::event::TaskEvent;
use super::mailbox::{Mail, Mailbox};
use super::ports::Connect;
use super::subtask::{Step, Subtask};
use crate::engine::operators::OperatorContext;
use crate::graph::plan::NodeIndex;
use crate::graph::task::{ExecutionState, Failure, TaskDeployment};
use crate::time::Now;

/// One subtask of a deployment, connected, and driven by hand as a `Driver` would on its thread.
pub(crate) struct Stepped {
    task: TaskDeployment,
    connections: Option<Result<Connections, Failure>>,
    subtask: Option<Subtask>,
    mailbox: Arc<Mailbox>,
    counters: Arc<Counters>,
    connect: Arc<dyn Connect>,
}

impl Stepped {
    /// Connects it. As in the executor, all subtasks of a deployment are connected before the first of them is stepped.
    pub(crate) fn connect(blueprint: &Blueprint, task: TaskDeployment, connect: Arc<dyn Connect>) -> Self {
        let mailbox = Arc::new(Mailbox::default());
        let connections = Some(blueprint.connect(&task, connect.as_ref(), &mailbox));
        Self { task, connections, subtask: None, mailbox, counters: Arc::default(), connect }
    }

    /// What an enumerator beside it is given.
    pub(crate) fn context_of(&self, blueprint: &Blueprint, node: NodeIndex) -> Result<OperatorContext, Failure> {
        blueprint.operator_context(&self.task, node)
    }

    /// Gives it mail.
    pub(crate) fn mail(&self, mail: Mail) {
        self.mailbox.deliver(mail);
    }

    /// Whether something has happened since the last call that a waiting subtask is to be stepped for.
    pub(crate) fn take_wake(&self) -> bool {
        self.mailbox.take_wake()
    }

    /// Makes one step; the first one makes the subtask. What it reports is appended, its end included.
    pub(crate) fn step(&mut self, blueprint: &Blueprint, now: Now, budget: u32, out: &mut Vec<TaskEvent>) -> Step {
        let attempt = self.task.attempt;
        if let Some(connections) = self.connections.take() {
            out.push(driver::state(attempt, ExecutionState::Initializing));
            let (mailbox, counters) = (Arc::clone(&self.mailbox), Arc::clone(&self.counters));
            match connections.and_then(|connected| blueprint.subtask(&self.task, connected, mailbox, counters)) {
                Ok(subtask) => self.subtask = Some(subtask),
                Err(failure) => return self.ended(super::Outcome::Failed(failure), out),
            }
            return Step::Progress;
        }
        let Some(subtask) = &mut self.subtask else {
            return Step::Wait { until: None };
        };
        let mut reports = Vec::new();
        let step = subtask.step(now, budget, &mut reports);
        out.extend(reports.into_iter().map(|report| driver::event_of(attempt, report)));
        if let Some(taken) = subtask.take_checkpoint() {
            let (cut, unwritten) = taken.cut(attempt, Duration::ZERO);
            out.push(cut);
            out.push(unwritten.write(blueprint.storage.as_ref()));
        }
        match step {
            Step::Ended(outcome) => self.ended(outcome, out),
            Step::Progress | Step::Wait { .. } => step,
        }
    }

    fn ended(&mut self, outcome: super::Outcome, out: &mut Vec<TaskEvent>) -> Step {
        let attempt = self.task.attempt;
        self.subtask = None;
        self.connect.release(attempt);
        out.push(driver::terminal(attempt, outcome.clone(), &self.counters));
        Step::Ended(outcome)
    }
}
