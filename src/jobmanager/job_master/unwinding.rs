//! The way back: a failure or a cancellation stops every task, and then the job restarts or ends.
//!
//! Tasks that notice the death of another worker often report before the one who knows its cause. So the first cause may be
//! replaced by a better one while the job unwinds, and a vague one is held for a moment.

use std::collections::BTreeMap;
use std::time::Duration;

use super::cause::{Cause, Weight};
use super::event::{Effect, FailureRecord};
use super::failover::Decision;
use super::regions::Restarting;
use super::workers::WorkerState;
use super::{FAILURES_LEN_MAX, JobMaster, Phase};
use crate::graph::task::{ExecutionState, Failure};
use crate::ids::{ExecutionAttemptId, WorkerId};
use crate::protocol::job::JobStatus;
use crate::protocol::worker::ToWorker;
use crate::rpc::ErrorKind;
use crate::time::Now;

/// How long a vague cause waits for a better one.
const SETTLE: Duration = Duration::from_millis(250);

/// Every task is being stopped.
#[derive(Debug)]
pub(super) struct Unwinding {
    goal: Goal,
    ran_for: Duration,
    settle_at: Now,
    deadline: Now,
}

/// What comes after.
#[derive(Clone, Debug)]
pub(super) enum Goal {
    Cancel,
    /// The job has been stopped by a savepoint, which is complete.
    Stop,
    /// The job starts again with another parallelism. Its sources have stood still since then.
    Rescale {
        stopped: Now,
    },
    Restart {
        at: Now,
        cause: Cause,
    },
    GiveUp {
        why: Option<String>,
        cause: Cause,
    },
}

impl Unwinding {
    /// Makes this a cancellation; `false` if the job is failing for good, which stands.
    pub(super) fn cancel(&mut self) -> bool {
        match self.goal {
            Goal::Restart { .. } | Goal::Rescale { .. } => {
                self.goal = Goal::Cancel;
                self.settle_at = Now(0);
                true
            }
            Goal::Cancel => true,
            Goal::GiveUp { .. } | Goal::Stop => false,
        }
    }

    /// Whether the job starts again after this.
    pub(super) fn restarts(&self) -> bool {
        match self.goal {
            Goal::Restart { .. } | Goal::Rescale { .. } => true,
            Goal::Cancel | Goal::Stop | Goal::GiveUp { .. } => false,
        }
    }

    fn amend(&mut self, better: Cause, now: Now) {
        match &mut self.goal {
            Goal::Restart { cause, .. } | Goal::GiveUp { cause, .. } => {
                if cause.amend(better) {
                    self.settle_at = now;
                }
            }
            Goal::Cancel | Goal::Stop | Goal::Rescale { .. } => {}
        }
    }
}

impl JobMaster {
    /// Something went wrong; decides what that means.
    pub(super) fn fail(&mut self, mut cause: Cause, now: Now, out: &mut Vec<Effect>) {
        if self.go_back(&mut cause.failure, out) {
            return self.restart_from_earlier(cause, now, out);
        }
        if matches!(self.phase, Phase::Running { .. }) {
            if self.is_of_restarting_regions(&cause, now, out) {
                return;
            }
            if self.restarting.is_some() {
                return self.fail_whole(cause, now, out);
            }
        }
        let ran_for = match &mut self.phase {
            Phase::Unwinding(unwinding) => return unwinding.amend(cause, now),
            Phase::Running { since } => now.since(*since),
            Phase::WaitingForSlots { .. } | Phase::StartingWorkers { .. } => Duration::ZERO,
            Phase::New { .. }
            | Phase::Publishing { .. }
            | Phase::Backoff { .. }
            | Phase::Closing { .. }
            | Phase::Closed => return,
        };
        let goal = match self.failover.on_failure(now) {
            // What follows only publishes.
            Decision::Restart { .. } | Decision::GiveUp { .. } if self.drained().is_some() => {
                Goal::Restart { at: now, cause }
            }
            Decision::Restart { at } => Goal::Restart { at, cause },
            Decision::GiveUp { why } => Goal::GiveUp { why, cause },
        };
        if let Goal::Restart { at, cause } = &goal
            && matches!(self.phase, Phase::Running { .. })
            && self.restart_regions((*at, cause), ran_for, now, out)
        {
            return;
        }
        self.set_status(
            if matches!(goal, Goal::Restart { .. }) { JobStatus::Restarting } else { JobStatus::Failing },
            now,
            out,
        );
        self.begin_unwinding(goal, ran_for, now, out);
    }

    /// The job is to go on from an earlier checkpoint than it tried to, whatever its restart strategy: the checkpoint is at fault.
    fn restart_from_earlier(&mut self, cause: Cause, now: Now, out: &mut Vec<Effect>) {
        match &mut self.phase {
            Phase::Unwinding(unwinding) => match unwinding.goal {
                Goal::Restart { .. } | Goal::GiveUp { .. } => {
                    unwinding.goal = Goal::Restart { at: now, cause };
                    self.set_status(JobStatus::Restarting, now, out);
                }
                Goal::Cancel | Goal::Stop | Goal::Rescale { .. } => {}
            },
            Phase::Running { since } => {
                let ran_for = now.since(*since);
                self.set_status(JobStatus::Restarting, now, out);
                self.begin_unwinding(Goal::Restart { at: now, cause }, ran_for, now, out);
            }
            Phase::New { .. }
            | Phase::WaitingForSlots { .. }
            | Phase::StartingWorkers { .. }
            | Phase::Publishing { .. }
            | Phase::Backoff { .. }
            | Phase::Closing { .. }
            | Phase::Closed => {}
        }
    }

    /// What was to concern some regions concerns the whole job, whose restart is decided already.
    pub(super) fn fail_whole(&mut self, cause: Cause, now: Now, out: &mut Vec<Effect>) {
        let Some(Restarting { at, cause: mut first, .. }) = self.restarting.take() else { return };
        first.amend(cause);
        self.begin_unwinding(Goal::Restart { at, cause: first }, Duration::ZERO, now, out);
    }

    pub(super) fn begin_unwinding(&mut self, goal: Goal, ran_for: Duration, now: Now, out: &mut Vec<Effect>) {
        self.restarting = None;
        let settle_at = match &goal {
            Goal::Restart { cause, .. } | Goal::GiveUp { cause, .. } => self.settles_at(cause, now),
            Goal::Cancel | Goal::Stop | Goal::Rescale { .. } => now,
        };
        if let Goal::Rescale { stopped } = goal {
            self.set_status(JobStatus::Restarting, now, out);
            self.begin_redeploying(stopped); // Requests for checkpoints wait until it runs again.
        } else {
            self.abandon_checkpoint("the job does not run any more", now, out);
        }
        let deadline = now + self.settings.cancel_timeout;
        self.phase = Phase::Unwinding(Unwinding { goal, ran_for, settle_at, deadline });
        self.cancel_tasks_of(None, now, out);
        if settle_at > now {
            out.push(Effect::Wake { at: settle_at });
        }
        if self.execution.live() > 0 {
            out.push(Effect::Wake { at: deadline });
        }
        self.conclude_if_unwound(now, out);
    }

    /// How long a cause waits for a better one.
    pub(super) fn settles_at(&self, cause: &Cause, now: Now) -> Now {
        let vague = match cause.weight {
            Weight::LinkLost => true,
            Weight::Symptom => self.workers.places().nth(1).is_some(), // A lone worker has nobody else to blame.
            Weight::Root => false,
        };
        if vague { now + SETTLE } else { now }
    }

    /// Tells workers to stop what runs, of these vertices or of all; what was never deployed is cancelled by that.
    pub(super) fn cancel_tasks_of(&mut self, vertices: Option<&[usize]>, now: Now, out: &mut Vec<Effect>) {
        let mut running: BTreeMap<WorkerId, Vec<ExecutionAttemptId>> = BTreeMap::new();
        let live: Vec<_> = self
            .execution
            .subtasks()
            .filter(|(at, _)| vertices.is_none_or(|vertices| vertices.contains(&at.0)))
            .filter(|(_, subtask)| !subtask.current.state.is_terminal())
            .map(|(at, subtask)| (at, subtask.current.worker.clone()))
            .collect();
        for (at, worker) in live {
            let worker = worker.filter(|worker| matches!(self.workers.state(worker), Some(WorkerState::Ready { .. })));
            let state = if worker.is_some() { ExecutionState::Canceling } else { ExecutionState::Canceled };
            let marked = self.execution.set_state(at, state, now);
            debug_assert!(marked.is_ok(), "the position comes from the graph itself");
            if let Some(worker) = worker {
                running.entry(worker).or_default().push(self.execution.id(&self.graph, at));
            }
        }
        for (worker, attempts) in running {
            out.push(Effect::ToWorker { worker, message: ToWorker::Cancel { attempts } });
        }
    }

    pub(super) fn wake_unwinding(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Phase::Unwinding(unwinding) = &self.phase else { return };
        if unwinding.deadline <= now {
            self.kill_stuck_workers(now, out);
        }
        self.conclude_if_unwound(now, out);
    }

    fn kill_stuck_workers(&mut self, now: Now, out: &mut Vec<Effect>) {
        let ready: Vec<WorkerId> = self.workers.ready().map(|(worker, _)| worker).collect();
        let seconds = self.settings.cancel_timeout.as_secs();
        for worker in ready {
            let failure = Failure::permanent(format!("did not stop within {seconds} s; its worker was killed"));
            if self.fail_tasks_of(&worker, &failure, now) > 0 {
                self.workers.set_leaving(&worker);
                out.push(Effect::StopWorker { worker, grace_ms: 0 });
            }
        }
    }

    /// Once all tasks have ended (and the cause has settled): restart or end.
    pub(super) fn conclude_if_unwound(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Phase::Unwinding(Unwinding { goal, ran_for, settle_at, .. }) = &self.phase else { return };
        if self.execution.live() > 0 || now < *settle_at || self.is_publishing_checkpoint() {
            return;
        }
        let (goal, ran_for) = (goal.clone(), *ran_for);
        self.discard_output(out);
        if let Goal::Restart { cause, .. } | Goal::GiveUp { cause, .. } = &goal
            && self.drained().is_some()
        {
            self.record(cause, now);
            self.execution.begin_again(now);
            self.publish_drained(now, out);
            return;
        }
        match goal {
            Goal::Cancel => self.end(JobStatus::Canceled, None, now, out),
            Goal::Stop => self.end(JobStatus::Finished, None, now, out),
            Goal::Rescale { .. } => self.restart(now, now, out),
            Goal::GiveUp { why, cause } => {
                let why = why.or_else(|| not_restarted(&cause.failure));
                self.end_failed(cause, why, now, out);
            }
            Goal::Restart { at, cause } => match self.failover.is_deterministic(&cause.failure, ran_for) {
                Some(why) => {
                    self.set_status(JobStatus::Failing, now, out);
                    self.end_failed(cause, Some(why), now, out);
                }
                None => {
                    self.record(&cause, now);
                    self.restart(at, now, out);
                }
            },
        }
    }

    fn restart(&mut self, at: Now, now: Now, out: &mut Vec<Effect>) {
        self.adopt_rescaled(now, out);
        self.execution.begin_again(now);
        self.splits.reset();
        if let Some(manifest) = self.checkpoints.latest().cloned() {
            self.checkpoints.history.restored(&manifest, now);
            self.restore_splits(&manifest);
        }
        if at > now {
            self.phase = Phase::Backoff { until: at };
            out.push(Effect::Wake { at });
        } else {
            self.wait_for_slots(now, out);
        }
    }

    fn end_failed(&mut self, cause: Cause, why: Option<String>, now: Now, out: &mut Vec<Effect>) {
        self.record(&cause, now);
        let mut failure = cause.failure;
        if let Some(why) = why {
            failure.message = format!("{} ({why})", failure.message);
        }
        self.end(JobStatus::Failed, Some(failure), now, out);
    }

    /// Adds to the failure history.
    pub(super) fn record(&mut self, cause: &Cause, now: Now) {
        let task = cause.attempt.and_then(|attempt| {
            let vertex = &self.graph.vertices[self.position(&attempt)?.0];
            Some(format!("{} ({}/{})", vertex.name, attempt.subtask + 1, vertex.parallelism))
        });
        self.failures.push(FailureRecord {
            at: now,
            failure: cause.failure.clone(),
            task,
            attempt: cause.attempt,
            task_manager: cause.task_manager.clone(),
            restarted: Vec::new(),
        });
        if self.failures.len() > FAILURES_LEN_MAX {
            self.failures.remove(0);
        }
    }

    /// The failure noted last has only these vertices started anew.
    pub(super) fn note_restarted(&mut self, vertices: &[usize]) {
        let names = vertices.iter().map(|vertex| self.graph.vertices[*vertex].name.clone()).collect();
        if let Some(record) = self.failures.last_mut() {
            record.restarted = names;
        }
    }
}

/// Why a failure that might go away by itself still ends the job.
fn not_restarted(failure: &Failure) -> Option<String> {
    match failure.kind {
        ErrorKind::Transient => Some(
            "not restarted: restart-strategy.type is none; set it to fixed-delay or exponential-delay to try again"
                .to_owned(),
        ),
        ErrorKind::Permanent | ErrorKind::Fenced | ErrorKind::User => None,
    }
}
