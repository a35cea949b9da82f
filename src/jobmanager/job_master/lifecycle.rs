//! The way forward: slots, workers, deployment, publication, end.

use std::time::Duration;

use super::cause::Cause;
use super::deployment::{Addresses, Assignment, deployments};
use super::event::{Decision, Effect, Illegal, Outcome, Record};
use super::output::{Progress, Publication};
use super::unwinding::Goal;
use super::workers::WorkerState;
use super::{JobMaster, Phase};
use crate::graph::task::{Committable, ExecutionState, Failure};
use crate::ids::{CheckpointId, TaskManagerId, WorkerId};
use crate::protocol::job::JobStatus;
use crate::protocol::worker::ToWorker;
use crate::time::Now;

/// How long workers may take to exit once the job has ended.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(3);
/// Workers that may fail while a decided output is published.
const PUBLISHING_WORKER_FAILURES_MAX: u32 = 10;

impl JobMaster {
    pub(super) fn start(&mut self, now: Now, out: &mut Vec<Effect>) {
        match std::mem::replace(&mut self.phase, Phase::WaitingForSlots { since: now }) {
            Phase::New { decided: None } => {
                self.set_status(JobStatus::Created, now, out);
                if !self.publish_drained(now, out) {
                    self.wait_for_slots(now, out);
                }
            }
            Phase::New { decided: Some(decision) } => {
                self.set_status(JobStatus::Running, now, out);
                self.mark_all(ExecutionState::Finished, now);
                self.begin_publishing(decision, now, out);
            }
            phase => self.phase = phase, // Started already.
        }
    }

    /// Wants all slots the graph needs, and goes on as soon as they are there.
    pub(super) fn wait_for_slots(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.mark_all(ExecutionState::Scheduled, now);
        let since = if let Phase::WaitingForSlots { since } = self.phase { since } else { now };
        self.phase = Phase::WaitingForSlots { since };
        if self.workers.total_slots() < self.slots_needed() {
            out.push(Effect::RequestSlots { count: self.slots_needed() });
        }
        self.start_workers_if_assigned(now, out);
        if matches!(self.phase, Phase::WaitingForSlots { .. }) {
            out.push(Effect::Wake { at: since + self.settings.slot_timeout });
        }
    }

    pub(super) fn mark_all(&mut self, state: ExecutionState, now: Now) {
        for vertex in 0..self.execution.vertices.len() {
            self.mark_vertex(vertex, state, now);
        }
    }

    pub(super) fn mark_vertex(&mut self, vertex: usize, state: ExecutionState, now: Now) {
        for subtask in 0..self.execution.vertices[vertex].len() {
            let marked = self.execution.set_state((vertex, subtask), state, now);
            debug_assert!(marked.is_ok(), "the position comes from the graph itself");
        }
    }

    pub(super) fn slots_offered(&mut self, task_manager: TaskManagerId, slots: u32, now: Now, out: &mut Vec<Effect>) {
        match &self.phase {
            Phase::Closing { .. } | Phase::Closed => out.push(Effect::ReleaseSlots { task_manager, slots }),
            Phase::WaitingForSlots { .. } => {
                self.workers.add_slots(task_manager, slots);
                self.start_workers_if_assigned(now, out);
            }
            Phase::Publishing { .. } => {
                self.workers.add_slots(task_manager, slots);
                self.place_commits(now, out);
            }
            Phase::Running { .. } => {
                self.workers.add_slots(task_manager, slots);
                self.rescale_if_ready(now, out);
            }
            Phase::New { .. } | Phase::StartingWorkers { .. } | Phase::Unwinding(_) | Phase::Backoff { .. } => {
                self.workers.add_slots(task_manager, slots);
            }
        }
    }

    fn start_workers_if_assigned(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(assignment) = Assignment::new(&self.graph, &self.workers.slots()) else {
            return;
        };
        let idle: Vec<TaskManagerId> = self
            .workers
            .places()
            .filter(|(id, place)| assignment.task_managers().contains(id) && place.needs_worker())
            .map(|(id, _)| id.clone())
            .collect();
        for task_manager in &idle {
            self.start_worker(task_manager, now, out);
        }
        if self.workers.starting().next().is_some() {
            out.push(Effect::Wake { at: now + self.settings.worker_timeout });
        }
        self.phase = Phase::StartingWorkers { assignment };
        self.deploy_if_ready(now, out);
    }

    pub(super) fn start_worker(&mut self, task_manager: &TaskManagerId, now: Now, out: &mut Vec<Effect>) {
        if let Some(worker) = self.workers.worker_id(task_manager) {
            self.workers.set_leaving(&worker);
        }
        self.stop_if_leaving(task_manager, out);
        if let Some((worker, slots)) = self.workers.begin_start(task_manager, now) {
            out.push(Effect::StartWorker { worker, slots });
        }
    }

    /// Makes sure that a worker whose link broke is dead: it was left alone so far for its TaskManager to say how it died.
    fn stop_if_leaving(&self, task_manager: &TaskManagerId, out: &mut Vec<Effect>) {
        if let Some(worker) = self.workers.worker_id(task_manager)
            && let Some(WorkerState::Leaving { .. }) = self.workers.state(&worker)
        {
            out.push(Effect::StopWorker { worker, grace_ms: 0 });
        }
    }

    pub(super) fn worker_registered(
        &mut self,
        worker: WorkerId,
        pid: u32,
        data_address: String,
        plan_hash: &str,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), Illegal> {
        if plan_hash != self.plan_hash {
            let task_manager = worker.task_manager.clone();
            let failure = Failure::permanent(format!(
                "the worker on {task_manager} built another graph ({plan_hash}) than was planned ({})",
                self.plan_hash
            ));
            self.workers.set_leaving(&worker);
            out.push(Effect::StopWorker { worker, grace_ms: 0 });
            self.fail(Cause::task(failure, None, Some(task_manager)), now, out);
            return Ok(());
        }
        let state = WorkerState::Ready { incarnation: worker.incarnation, pid, data_address };
        self.workers.set(&worker.task_manager, state);
        self.flush_discards(out);
        match &self.phase {
            Phase::StartingWorkers { .. } => self.deploy_if_ready(now, out),
            Phase::Publishing { .. } => self.place_commits(now, out),
            Phase::Running { .. } => {
                self.go_on_with_regions(now, out);
                self.rescale_if_ready(now, out);
            }
            Phase::New { .. }
            | Phase::WaitingForSlots { .. }
            | Phase::Unwinding(_)
            | Phase::Backoff { .. }
            | Phase::Closing { .. }
            | Phase::Closed => {}
        }
        Ok(())
    }

    fn deploy_if_ready(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Phase::StartingWorkers { assignment } = &self.phase else {
            return;
        };
        let addresses: Addresses = self
            .workers
            .ready()
            .map(|(worker, address)| (worker.task_manager.clone(), (worker, address.to_owned())))
            .collect();
        if assignment.task_managers().iter().any(|id| !addresses.contains_key(*id)) {
            return;
        }
        let tasks = deployments(self.job, &self.graph, &self.execution, assignment, &addresses, |_| true);
        self.deploy(tasks, now, out);
        self.phase = Phase::Running { since: now };
        self.set_status(JobStatus::Running, now, out);
        self.begin_checkpoints(now, out);
    }

    /// All tasks have finished: publish what their sinks prepared, if anything.
    pub(super) fn finish(&mut self, now: Now, out: &mut Vec<Effect>) {
        let mut committables = self.uncommitted();
        for (_, committable) in std::mem::take(&mut self.prepared) {
            committables.entry(committable.operator).or_default().push(committable);
        }
        self.abandon_checkpoint("the job has finished", now, out);
        self.checkpoints.leave_pending();
        if committables.is_empty() {
            return self.end(JobStatus::Finished, None, now, out);
        }
        let decision = Decision { committables };
        out.push(Effect::Persist(Record::Decision(decision.clone())));
        self.begin_publishing(decision, now, out);
    }

    pub(super) fn begin_publishing(&mut self, decision: Decision, now: Now, out: &mut Vec<Effect>) {
        self.phase = Phase::Publishing { publication: self.publication(decision), worker_failures: 0 };
        self.place_commits(now, out);
    }

    /// The next one of the job.
    pub(super) fn publication(&mut self, decision: Decision) -> Publication {
        self.publications += 1;
        Publication::new(self.publications, decision)
    }

    /// Gives commits to live workers; where there is none, gets one.
    pub(super) fn place_commits(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Phase::Publishing { publication, .. } = &mut self.phase else {
            return;
        };
        let ready: Vec<WorkerId> = self.workers.ready().map(|(worker, _)| worker).collect();
        let orders = publication.place(&ready, now).into_iter();
        out.extend(orders.map(|(worker, message)| Effect::ToWorker { worker, message }));
        if !publication.wants_worker(now) || self.workers.starting().next().is_some() {
            return;
        }
        let anywhere = self.workers.places().next().map(|(id, _)| id.clone());
        match anywhere {
            Some(task_manager) => {
                self.start_worker(&task_manager, now, out);
                out.push(Effect::Wake { at: now + self.settings.worker_timeout });
            }
            None => out.push(Effect::RequestSlots { count: 1 }),
        }
    }

    /// Takes note of how a commit went.
    pub(super) fn commit_progress(&mut self, progress: Progress, now: Now, out: &mut Vec<Effect>) {
        match progress {
            Progress::Stale => self.stale += 1,
            Progress::Pending => self.place_commits(now, out),
            Progress::RetryAt(at) => out.push(Effect::Wake { at }),
            Progress::Done => self.end(JobStatus::Finished, None, now, out),
            Progress::Failed(failure) => self.give_up_publication(failure, now, out),
        }
    }

    fn give_up_publication(&mut self, failure: Failure, now: Now, out: &mut Vec<Effect>) {
        self.record(&Cause::task(failure.clone(), None, None), now);
        self.set_status(JobStatus::Failing, now, out);
        self.end(JobStatus::Failed, Some(failure), now, out);
    }

    /// A worker is gone while the output is being published; `exited` if its process was seen to end.
    pub(super) fn publishing_worker_gone(&mut self, worker: &WorkerId, why: &str, now: Now, out: &mut Vec<Effect>) {
        let Phase::Publishing { publication, worker_failures } = &mut self.phase else {
            return;
        };
        *worker_failures += 1;
        let too_many = *worker_failures > PUBLISHING_WORKER_FAILURES_MAX;
        match publication.worker_gone(worker, why) {
            Progress::Pending if too_many => {
                let message = format!("the output is complete but could not be published: {why}");
                self.give_up_publication(Failure::permanent(message), now, out);
            }
            progress => self.commit_progress(progress, now, out),
        }
    }

    /// The job has reached `status` for good: say so durably, and let go of everything.
    pub(super) fn end(&mut self, status: JobStatus, failure: Option<Failure>, now: Now, out: &mut Vec<Effect>) {
        let outcome = Outcome { status, failure, at: now };
        self.outcome = Some(outcome.clone());
        self.rescaling.job_ended(now, out);
        self.checkpoints.stopped(&Failure::transient("the job has ended"));
        out.push(Effect::RequestSlots { count: 0 });
        out.push(Effect::Persist(Record::Outcome(outcome.clone())));
        self.discard_checkpoints(status == JobStatus::Finished, out);
        self.set_status(status, now, out);
        out.push(Effect::Ended(outcome));
        self.close(now, out);
    }

    fn close(&mut self, now: Now, out: &mut Vec<Effect>) {
        let deadline = now + CLOSING_TIMEOUT;
        self.phase = Phase::Closing { deadline };
        for task_manager in self.task_managers_where(|state| matches!(state, WorkerState::Leaving { .. })) {
            self.stop_if_leaving(&task_manager, out);
        }
        let ready: Vec<WorkerId> = self.workers.ready().map(|(worker, _)| worker).collect();
        for worker in ready {
            self.workers.set_leaving(&worker);
            out.push(Effect::ToWorker { worker, message: ToWorker::Shutdown });
        }
        let starting: Vec<WorkerId> = self.workers.starting().map(|(worker, _)| worker).collect();
        for worker in starting {
            self.workers.set_leaving(&worker);
            out.push(Effect::StopWorker { worker, grace_ms: 0 });
        }
        let idle = self.task_managers_where(|state| *state == WorkerState::Absent);
        self.release(idle, out);
        if !self.workers.is_empty() {
            out.push(Effect::Wake { at: deadline });
        }
        self.closed_if_empty(out);
    }

    fn task_managers_where(&self, wanted: impl Fn(&WorkerState) -> bool) -> Vec<TaskManagerId> {
        let places = self.workers.places().filter(|(_, place)| wanted(&place.worker));
        places.map(|(id, _)| id.clone()).collect()
    }

    /// Gives back all slots of these TaskManagers.
    pub(super) fn release(&mut self, task_managers: Vec<TaskManagerId>, out: &mut Vec<Effect>) {
        for task_manager in task_managers {
            if let Some(place) = self.workers.remove(&task_manager) {
                out.push(Effect::ReleaseSlots { task_manager, slots: place.slots });
            }
        }
    }

    pub(super) fn closed_if_empty(&mut self, out: &mut Vec<Effect>) {
        if self.workers.is_empty() {
            self.phase = Phase::Closed;
            self.discard_what_is_left(out);
            out.push(Effect::Closed);
        }
    }

    pub(super) fn set_status(&mut self, to: JobStatus, now: Now, out: &mut Vec<Effect>) {
        let from = std::mem::replace(&mut self.status, to);
        if from != to {
            self.since.insert(to, now);
            out.push(Effect::StatusChanged { from, to });
        }
    }

    pub(super) fn wake(&mut self, now: Now, out: &mut Vec<Effect>) {
        match &self.phase {
            Phase::StartingWorkers { .. } => self.fail_late_worker(now, out),
            Phase::Unwinding(_) => self.wake_unwinding(now, out),
            Phase::Backoff { until } if *until <= now => self.wait_for_slots(now, out),
            Phase::Publishing { .. } => {
                self.drop_late_workers(now, out);
                self.place_commits(now, out);
            }
            Phase::Closing { deadline } if *deadline <= now => {
                let all = self.task_managers_where(|_| true);
                for worker in all.iter().filter_map(|id| self.workers.worker_id(id)) {
                    out.push(Effect::StopWorker { worker, grace_ms: 0 });
                }
                self.release(all, out);
                self.closed_if_empty(out);
            }
            Phase::Running { .. } => {
                self.fail_late_rescale(now, out);
                self.wake_regions(now, out);
                self.wake_checkpoints(now, out);
            }
            Phase::New { .. }
            | Phase::WaitingForSlots { .. }
            | Phase::Backoff { .. }
            | Phase::Closing { .. }
            | Phase::Closed => {}
        }
    }

    pub(super) fn late_workers(&self, now: Now) -> Vec<WorkerId> {
        let late = |since: Now| since + self.settings.worker_timeout <= now;
        self.workers.starting().filter(|(_, since)| late(*since)).map(|(worker, _)| worker).collect()
    }

    pub(super) fn fail_late_worker(&mut self, now: Now, out: &mut Vec<Effect>) {
        for worker in self.late_workers(now) {
            self.workers.set_leaving(&worker);
            let seconds = self.settings.worker_timeout.as_secs();
            let task_manager = worker.task_manager.clone();
            let message = format!("the worker on {task_manager} did not join the job within {seconds} s");
            out.push(Effect::StopWorker { worker, grace_ms: 0 });
            self.fail(Cause::process(Failure::transient(message), task_manager), now, out);
        }
    }

    fn drop_late_workers(&mut self, now: Now, out: &mut Vec<Effect>) {
        for worker in self.late_workers(now) {
            self.workers.set(&worker.task_manager, WorkerState::Absent);
            out.push(Effect::StopWorker { worker: worker.clone(), grace_ms: 0 });
            self.publishing_worker_gone(&worker, "its worker did not join in time", now, out);
        }
    }

    /// Hands what will never be published to some live worker, to be removed.
    pub(super) fn flush_discards(&mut self, out: &mut Vec<Effect>) {
        let Some(worker) = self.workers.ready().next().map(|(worker, _)| worker) else {
            return;
        };
        for (operator, committables) in std::mem::take(&mut self.discards) {
            let message = ToWorker::Discard { operator, committables };
            out.push(Effect::ToWorker { worker: worker.clone(), message });
        }
    }

    pub(super) fn discard_output(&mut self, out: &mut Vec<Effect>) {
        let prepared = std::mem::take(&mut self.prepared);
        self.discard(prepared, out);
    }

    /// What was prepared will never be published.
    pub(super) fn discard(&mut self, prepared: Vec<(CheckpointId, Committable)>, out: &mut Vec<Effect>) {
        for (_, committable) in prepared {
            self.discards.entry(committable.operator).or_default().push(committable);
        }
        self.flush_discards(out);
    }

    pub(super) fn cancel(&mut self, now: Now, out: &mut Vec<Effect>) -> Result<(), Illegal> {
        if self.drained().is_some() && self.outcome.is_none() {
            return Err(Illegal::new(
                "the job has been drained and is publishing its output; it can no longer be cancelled",
            ));
        }
        match &mut self.phase {
            Phase::Publishing { .. } => {
                Err(Illegal::new("the job has finished and is publishing its output; it can no longer be cancelled"))
            }
            Phase::Closing { .. } | Phase::Closed => {
                Err(Illegal::new(format!("the job has ended already: {}", self.status)))
            }
            Phase::Unwinding(unwinding) => {
                if unwinding.cancel() {
                    self.set_status(JobStatus::Cancelling, now, out);
                    self.conclude_if_unwound(now, out);
                }
                Ok(())
            }
            Phase::New { .. }
            | Phase::WaitingForSlots { .. }
            | Phase::StartingWorkers { .. }
            | Phase::Running { .. }
            | Phase::Backoff { .. } => {
                self.set_status(JobStatus::Cancelling, now, out);
                self.begin_unwinding(Goal::Cancel, Duration::ZERO, now, out);
                Ok(())
            }
        }
    }
}
