//! A subtask as something that is stepped: no thread, no clock, no I/O of its own, so a simulator can drive it too.

use std::sync::Arc;
use std::time::Duration;

use super::counters::{Counters, Spent};
use super::mailbox::Mailbox;
use super::panics;
use super::running::Running;
use super::snapshot::Taken;
use crate::engine::operators::SubtaskAccumulators;
use crate::graph::accumulator::Accumulators;
use crate::graph::plan::{ExecutionMode, NodeIndex};
use crate::graph::task::{Committable, Failure, TaskMetrics};
use crate::time::Now;

/// How a subtask stands after a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It did something and may have more to do now.
    Progress,
    /// It did nothing: step again when woken, or at that moment.
    Wait {
        /// The moment, if there is one.
        until: Option<Now>,
    },
    /// It has ended; everything it held is released.
    Ended(Outcome),
}

/// How a subtask has ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All input is processed; this is what its sinks prepared.
    Finished(Vec<Committable>),
    /// As told.
    Canceled,
    /// By a failure.
    Failed(Failure),
}

/// What a step has to report besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The operators are open: the subtask is running.
    Running,
    /// The source can read another split, of that lane if one is named.
    SplitRequested(NodeIndex, Option<u32>),
    /// The source has read a split, by id, to its end.
    SplitFinished(NodeIndex, String),
    /// What its accumulators have gathered by now.
    Accumulators(Accumulators),
}

/// When output that is not full is handed on.
#[derive(Clone, Copy, Debug)]
pub struct Flushing {
    /// The ceiling: at the latest so long after the last time. Without one, only what is full leaves before the end.
    pub interval: Option<Duration>,
    /// Also as soon as the input pauses.
    pub when_idle: bool,
}

impl Flushing {
    /// With this ceiling; streaming jobs flush whenever they pause, batch jobs save themselves the small batches.
    pub fn new(mode: ExecutionMode, interval: Option<Duration>) -> Self {
        Self { interval, when_idle: interval.is_some() && mode != ExecutionMode::Batch }
    }
}

/// One parallel instance of a chain, in one execution.
///
/// ```text
/// mail ─┐
/// gates or source ─► slice ─► operators, depth first ─► partitions
/// timers ┘
/// ```
/// A step takes the next slice of input only when every partition has room, so it never blocks on what is downstream and
/// always gets to its mail.
pub struct Subtask {
    running: Option<Running>,
    mailbox: Arc<Mailbox>,
    counters: Arc<Counters>,
    metrics: TaskMetrics,
    accumulators: SubtaskAccumulators,
    /// When the last step was made, and what the time since then counts as.
    last_step: Option<(Now, Spent)>,
}

impl Subtask {
    pub(super) fn of(running: Running, mailbox: Arc<Mailbox>, counters: Arc<Counters>) -> Self {
        let (metrics, accumulators) = (TaskMetrics::default(), SubtaskAccumulators::default());
        Self { running: Some(running), mailbox, counters, metrics, accumulators, last_step: None }
    }

    /// Processes at most `budget` slices of input. `now` never goes back between steps.
    pub fn step(&mut self, now: Now, budget: u32, reports: &mut Vec<Report>) -> Step {
        if let Some((last, spent)) = self.last_step {
            spent.add(last, now, &mut self.metrics);
        }
        let Some(running) = &mut self.running else {
            return Step::Wait { until: None };
        };
        let (mailbox, metrics) = (&self.mailbox, &mut self.metrics);
        let result =
            self.accumulators.within(|| panics::catch(|| running.step(now, budget, mailbox, metrics, reports)));
        let (mut step, spent) = match result {
            Ok(Ok(done)) => done,
            Ok(Err(failure)) => (Step::Ended(Outcome::Failed(failure)), Spent::Busy),
            Err(told) => (Step::Ended(Outcome::Failed(running.blame_panic(told))), Spent::Busy),
        };
        self.last_step = Some((now, spent));
        if let Some(news) = running.hot_keys.take_news() {
            self.counters.note_hot_key(news);
        }
        if !self.accumulators.is_empty()
            && let Err(failure) = self.report_accumulators(&step, reports)
        {
            step = Step::Ended(Outcome::Failed(failure));
        }
        if let Step::Ended(_) = step {
            self.release();
        }
        self.counters.publish(&self.metrics, now, spent);
        step
    }

    /// What a barrier has separated in the last step, if one has passed.
    pub(super) fn take_checkpoint(&mut self) -> Option<Taken> {
        self.running.as_mut().and_then(|running| running.taken.take())
    }

    /// Counters as of the last step.
    pub fn metrics(&self) -> TaskMetrics {
        self.metrics
    }

    /// When asked to, and at the end.
    fn report_accumulators(&mut self, step: &Step, reports: &mut Vec<Report>) -> Result<(), Failure> {
        self.counters.note_accumulators();
        let ended = matches!(step, Step::Ended(_));
        if !self.mailbox.take_accumulators_wanted() && !ended {
            return Ok(());
        }
        let news = panics::catch(|| self.accumulators.news()).unwrap_or_else(|told| Err(Failure::user(told)));
        match news {
            Ok(news) => reports.extend(news.map(Report::Accumulators)),
            // What has failed has failed for its own reason.
            Err(_) if matches!(step, Step::Ended(Outcome::Failed(_) | Outcome::Canceled)) => {}
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// Drops the operators: with what they have not published, and whatever their destructors do.
    fn release(&mut self) {
        if let Some(running) = self.running.take()
            && let Err(told) = panics::catch(|| drop(running))
        {
            tracing::warn!(cause = told, "an operator panicked when it was dropped");
        }
    }
}
