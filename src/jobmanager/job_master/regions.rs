//! A failure that concerns only a part of the job: a region, whose vertices exchange no data with the others. It alone starts anew,
//! in the slots and workers it has.
//!
//! ```text
//!            its tasks have ended,       time is up,
//!            a manifest being written    its workers
//!            is there or not             are there
//! Cancelling ─────────────────────► Waiting ─────────► deployed, and the job is as before
//!     └── another region fails, a TaskManager is lost ──┴─► the whole job unwinds
//! ```
//! Why that is sound: since no data flows between regions, any cut of one together with any cut of another is a consistent cut of the
//! job. So the region goes back to the latest complete checkpoint while the others go on, and the next checkpoint holds the others as
//! they have become. What the region's sinks have prepared since is discarded, its splits are handed out again from where that
//! checkpoint left them; what other sinks have prepared belongs to the next checkpoint. The checkpoint under way comes to nothing,
//! for the region cannot pass its barrier; one whose manifest is being written is waited for, since it may be the one to go on from.
//!
//! The whole job restarts where that would not do: where the region's TaskManagers are not all there, while its parallelism changes,
//! and while it is being stopped.

use std::collections::BTreeSet;
use std::time::Duration;

use super::cause::Cause;
use super::deployment::{Addresses, Assignment, deployments};
use super::event::Effect;
use super::unwinding::Goal;
use super::workers::WorkerState;
use super::{JobMaster, Phase};
use crate::engine::checkpoint::Continuation;
use crate::graph::plan::NodeIndex;
use crate::graph::task::{ExecutionState, Failure};
use crate::ids::TaskManagerId;
use crate::protocol::job::JobStatus;
use crate::time::Now;

/// Some regions of a running job are being restarted.
#[derive(Debug)]
pub(super) struct Restarting {
    regions: BTreeSet<usize>,
    pub(super) cause: Cause,
    ran_for: Duration,
    settle_at: Now,
    /// Not before.
    pub(super) at: Now,
    /// Where its tasks run.
    assignment: Assignment,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Its tasks are told to stop, until then.
    Cancelling { deadline: Now },
    /// For the delay of the restart strategy, and for workers.
    Waiting,
}

impl JobMaster {
    /// Regions in which a task has ended as it should not.
    fn failed_regions(&self) -> BTreeSet<usize> {
        let regions = self.graph.regions();
        let failed = self.execution.subtasks().filter(|(_, subtask)| match subtask.current.state {
            ExecutionState::Failed | ExecutionState::Canceled => true,
            ExecutionState::Created
            | ExecutionState::Scheduled
            | ExecutionState::Deploying
            | ExecutionState::Initializing
            | ExecutionState::Running
            | ExecutionState::Canceling
            | ExecutionState::Finished => false,
        });
        failed.map(|((vertex, _), _)| regions.of(vertex)).collect()
    }

    /// Restarts only the regions that have failed, where that will do. Otherwise nothing changes, and it says `false`.
    pub(super) fn restart_regions(
        &mut self,
        (at, cause): (Now, &Cause),
        ran_for: Duration,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> bool {
        let regions = self.failed_regions();
        let is_part = !regions.is_empty() && regions.len() < self.graph.regions().count();
        if !is_part || !self.may_restart_regions() {
            return false;
        }
        let Some(assignment) = Assignment::of(&self.execution) else { return false };
        self.set_status(JobStatus::Restarting, now, out);
        self.abort_checkpoint("a part of the job restarts", now, out);
        let settle_at = self.settles_at(cause, now);
        let deadline = now + self.settings.cancel_timeout;
        self.cancel_tasks_of(Some(&self.graph.regions().vertices(&regions)), now, out);
        let stage = Stage::Cancelling { deadline };
        let cause = cause.clone();
        self.restarting = Some(Restarting { regions, cause, ran_for, settle_at, at, assignment, stage });
        out.extend([settle_at, deadline].into_iter().filter(|at| *at > now).map(|at| Effect::Wake { at }));
        self.go_on_with_regions(now, out);
        true
    }

    fn may_restart_regions(&self) -> bool {
        let stops = |then| match then {
            Continuation::GoOn => false,
            Continuation::Suspend | Continuation::Drain => true,
        };
        let pending = self.checkpoints.pending.as_ref();
        !self.is_rescaling()
            && !self.splits.is_draining()
            && self.drained().is_none()
            && self.stopping.is_none()
            && !pending.is_some_and(|pending| stops(pending.barrier.then))
    }

    /// A further failure, where some regions are being restarted: whether it is theirs, and so changes nothing.
    pub(super) fn is_of_restarting_regions(&mut self, cause: &Cause, now: Now, out: &mut Vec<Effect>) -> bool {
        let failed = self.failed_regions();
        let Some(restarting) = &mut self.restarting else { return false };
        // What has no place, as a publication that fails, is the whole job's.
        let theirs = matches!(restarting.stage, Stage::Cancelling { .. })
            && cause.has_place()
            && failed.is_subset(&restarting.regions);
        if theirs && restarting.cause.amend(cause.clone()) {
            restarting.settle_at = now;
        }
        if theirs {
            self.go_on_with_regions(now, out);
        }
        theirs
    }

    /// Whether the subtask of a vertex ends because its region restarts.
    pub(super) fn is_restarting(&self, vertex: usize) -> bool {
        self.restarting.as_ref().is_some_and(|restarting| restarting.regions.contains(&self.graph.regions().of(vertex)))
    }

    /// Takes the restart of regions as far as it goes now.
    pub(super) fn go_on_with_regions(&mut self, now: Now, out: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::Running { .. }) {
            return;
        }
        self.cancelled_regions(now, out);
        self.deploy_regions(now, out);
    }

    /// Once its tasks have ended, the region is as the latest checkpoint has it.
    fn cancelled_regions(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(Restarting { regions, stage: Stage::Cancelling { .. }, settle_at, cause, ran_for, .. }) =
            &self.restarting
        else {
            return;
        };
        let vertices = self.graph.regions().vertices(regions);
        let ended = |vertex: &usize| self.execution.vertices[*vertex].iter().all(|it| it.current.state.is_terminal());
        if now < *settle_at || self.is_publishing_checkpoint() || !vertices.iter().all(ended) {
            return;
        }
        let (cause, ran_for) = (cause.clone(), *ran_for);
        if let Some(why) = self.failover.is_deterministic(cause.failure(), ran_for) {
            self.set_status(JobStatus::Failing, now, out);
            return self.begin_unwinding(Goal::GiveUp { why: Some(why), cause }, ran_for, now, out);
        }
        self.record(&cause, now);
        self.note_restarted(&vertices);
        self.execution.begin_again_of(&vertices, now);
        self.reset_regions(&vertices, now, out);
        for vertex in vertices {
            self.mark_vertex(vertex, ExecutionState::Scheduled, now);
        }
        if let Some(restarting) = &mut self.restarting {
            restarting.stage = Stage::Waiting;
            out.extend(Some(restarting.at).filter(|at| *at > now).map(|at| Effect::Wake { at }));
        }
    }

    /// Splits back to what the checkpoint has of them; prepared output that it does not cover is removed.
    fn reset_regions(&mut self, vertices: &[usize], now: Now, out: &mut Vec<Effect>) {
        let nodes: BTreeSet<NodeIndex> =
            vertices.iter().flat_map(|vertex| &self.graph.vertices[*vertex].operators).copied().collect();
        let (lost, kept) = std::mem::take(&mut self.prepared)
            .into_iter()
            .partition(|(_, committable)| nodes.contains(&committable.operator));
        self.prepared = kept;
        self.discard(lost, out);
        let manifest = self.checkpoints.latest().cloned();
        self.restore_splits_of(manifest.as_deref(), &nodes);
        if let Some(manifest) = manifest {
            self.checkpoints.history.restored(&manifest, now);
        }
    }

    fn deploy_regions(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(Restarting { regions, stage: Stage::Waiting, at, assignment, .. }) = &self.restarting else { return };
        if now < *at {
            return;
        }
        let (vertices, assignment) = (self.graph.regions().vertices(regions), assignment.clone());
        let needed: BTreeSet<TaskManagerId> = assignment.task_managers_of(&vertices).cloned().collect();
        let here = |id: &TaskManagerId| self.workers.places().any(|(place, _)| place == id);
        if !needed.iter().all(here) {
            let message = "a TaskManager that a part of the job was to restart on is gone".to_owned();
            return self.fail(Cause::own(Failure::transient(message)), now, out);
        }
        let gone = |state: &WorkerState| matches!(state, WorkerState::Absent | WorkerState::Leaving { .. });
        let places = self.workers.places().filter(|(id, place)| needed.contains(*id) && gone(&place.worker));
        let absent: Vec<TaskManagerId> = places.map(|(id, _)| id.clone()).collect();
        for task_manager in &absent {
            self.start_worker(task_manager, now, out);
        }
        if !absent.is_empty() {
            return out.push(Effect::Wake { at: now + self.settings.worker_timeout });
        }
        let ready = self.workers.ready();
        let addresses: Addresses =
            ready.map(|(worker, address)| (worker.task_manager.clone(), (worker, address.to_owned()))).collect();
        if !needed.iter().all(|id| addresses.contains_key(id)) {
            return;
        }
        let tasks = deployments(self.job, &self.graph, &self.execution, &assignment, &addresses, |vertex| {
            vertices.contains(&vertex)
        });
        self.restarting = None;
        self.deploy(tasks, now, out);
        self.phase = Phase::Running { since: now };
        self.set_status(JobStatus::Running, now, out);
    }

    /// A moment has come while regions restart.
    pub(super) fn wake_regions(&mut self, now: Now, out: &mut Vec<Effect>) {
        match &self.restarting {
            Some(Restarting { stage: Stage::Cancelling { deadline }, cause, .. }) if *deadline <= now => {
                // What does not stop is killed with its worker, in which others run, too.
                let cause = cause.clone();
                self.fail_whole(cause, now, out);
            }
            Some(Restarting { stage: Stage::Waiting, .. }) if !self.late_workers(now).is_empty() => {
                self.fail_late_worker(now, out);
            }
            Some(_) => self.go_on_with_regions(now, out),
            None => {}
        }
    }
}
