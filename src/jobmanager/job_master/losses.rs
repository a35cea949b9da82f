//! What becomes of a job whose worker exits or falls silent, or whose slots are taken away.

use std::time::Duration;

use super::cause::Cause;
use super::event::Effect;
use super::unwinding::Goal;
use super::workers::WorkerState;
use super::{JobMaster, Phase};
use crate::graph::task::{ExecutionState, Failure};
use crate::ids::{TaskManagerId, WorkerId};
use crate::protocol::container::{ExitCause, last_words};
use crate::protocol::job::JobStatus;
use crate::time::Now;

impl JobMaster {
    /// Marks the running tasks of a worker as failed; says how many.
    pub(super) fn fail_tasks_of(&mut self, worker: &WorkerId, failure: &Failure, now: Now) -> usize {
        let lost: Vec<_> = self
            .execution
            .subtasks()
            .filter(|(_, subtask)| {
                subtask.current.worker.as_ref() == Some(worker) && !subtask.current.state.is_terminal()
            })
            .map(|(at, _)| at)
            .collect();
        for at in &lost {
            let marked = self.execution.set_state(*at, ExecutionState::Failed, now);
            debug_assert!(marked.is_ok(), "the position comes from the graph itself");
            if let Some(execution) = self.execution.current_mut(*at) {
                execution.failure = Some(failure.clone());
            }
        }
        lost.len()
    }

    pub(super) fn worker_exited(
        &mut self,
        worker: &WorkerId,
        cause: &ExitCause,
        diagnostics: &str,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let task_manager = worker.task_manager.clone();
        self.workers.set(&task_manager, WorkerState::Absent);
        let verb = match cause {
            ExitCause::Completed { .. } => "",
            ExitCause::Signal { .. } => "was ",
            _ => "ended: ",
        };
        let mut message = format!("worker on {task_manager} {verb}{cause}");
        if let Some(words) = last_words(diagnostics) {
            message = format!("{message}: {words}");
        }
        let failure = Failure::transient(message);
        self.worker_gone(worker, Cause::process(failure, task_manager), now, out);
    }

    pub(super) fn worker_lost(&mut self, worker: &WorkerId, why: &str, now: Now, out: &mut Vec<Effect>) {
        let task_manager = worker.task_manager.clone();
        let known = self.workers.set_leaving(worker);
        if !known {
            return; // It was told to go.
        }
        let failure = Failure::transient(format!("lost the link to the worker on {task_manager}: {why}"));
        self.worker_gone(worker, Cause::link_lost(failure, task_manager), now, out);
    }

    fn worker_gone(&mut self, worker: &WorkerId, cause: Cause, now: Now, out: &mut Vec<Effect>) {
        let why = cause.failure.message.clone();
        if self.is_for_rescale(worker) {
            self.worker_for_rescale_gone(&why, now, out);
        } else {
            self.worker_with_tasks_gone(worker, cause, now, out);
        }
        self.hand_checkpoint_commits_on(worker, &why, now, out);
    }

    fn worker_with_tasks_gone(&mut self, worker: &WorkerId, cause: Cause, now: Now, out: &mut Vec<Effect>) {
        self.fail_tasks_of(worker, &cause.failure, now);
        match &self.phase {
            Phase::StartingWorkers { .. } | Phase::Running { .. } => self.fail(cause, now, out),
            Phase::Unwinding(_) => {
                self.fail(cause, now, out);
                self.conclude_if_unwound(now, out);
            }
            Phase::Publishing { .. } => self.publishing_worker_gone(worker, &cause.failure.message, now, out),
            Phase::Closing { .. } => {
                if !self.workers.is_current(worker) {
                    self.release(vec![worker.task_manager.clone()], out);
                    self.closed_if_empty(out);
                }
            }
            Phase::New { .. } | Phase::WaitingForSlots { .. } | Phase::Backoff { .. } | Phase::Closed => {}
        }
    }

    pub(super) fn slots_lost(&mut self, task_manager: &TaskManagerId, why: &str, now: Now, out: &mut Vec<Effect>) {
        let worker = self.workers.worker_id(task_manager);
        if self.workers.remove(task_manager).is_none() {
            return;
        }
        let failure = Failure::transient(format!("TaskManager {task_manager} lost: {why}"));
        match &self.phase {
            Phase::WaitingForSlots { .. } | Phase::StartingWorkers { .. } => self.wait_for_slots(now, out),
            Phase::Publishing { .. } => match worker {
                Some(worker) => self.publishing_worker_gone(&worker, &failure.message, now, out),
                None => self.place_commits(now, out),
            },
            Phase::Running { .. } if worker.as_ref().is_none_or(|worker| self.is_for_rescale(worker)) => {
                self.rescale_if_ready(now, out);
                self.go_on_with_regions(now, out);
                if let Some(worker) = &worker {
                    self.hand_checkpoint_commits_on(worker, &failure.message, now, out);
                }
            }
            Phase::Running { .. } | Phase::Unwinding(_) => {
                if let Some(worker) = &worker {
                    self.worker_gone(worker, Cause::process(failure, task_manager.clone()), now, out);
                }
            }
            Phase::Closing { .. } => self.closed_if_empty(out),
            Phase::New { .. } | Phase::Backoff { .. } | Phase::Closed => {}
        }
    }

    /// The slots are not there in time: a failure, after which the job may wait once more.
    pub(super) fn slots_late(&mut self, failure: Failure, now: Now, out: &mut Vec<Effect>) {
        if self.waits_too_long(now) {
            self.fail(Cause::own(failure), now, out);
        }
    }

    pub(super) fn slots_refused(&mut self, failure: Failure, now: Now, out: &mut Vec<Effect>) {
        match &self.phase {
            Phase::WaitingForSlots { .. } => {
                self.set_status(JobStatus::Failing, now, out);
                let goal = Goal::GiveUp { why: None, cause: Cause::task(failure, None, None) };
                self.begin_unwinding(goal, Duration::ZERO, now, out);
            }
            Phase::Publishing { .. } => {
                let message = format!("the output is complete but could not be published: {}", failure.message);
                let progress = super::output::Progress::Failed(Failure { message, ..failure });
                self.commit_progress(progress, now, out);
            }
            Phase::New { .. }
            | Phase::StartingWorkers { .. }
            | Phase::Running { .. }
            | Phase::Unwinding(_)
            | Phase::Backoff { .. }
            | Phase::Closing { .. }
            | Phase::Closed => {}
        }
    }
}
