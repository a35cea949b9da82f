//! Another parallelism for a job that runs.
//!
//! ```text
//!            slots and workers          checkpoint complete,          every task
//!            for more are there         its output published          runs again
//! Idle ─► Slots ────────────► Checkpoint ────────────► Redeploying ────────────► Idle
//!           │  the job runs on as it is  │ the sources hold still
//!           └────── refused, failed ─────┴─► Idle: the job goes on as before
//! ```
//! What takes time is done first, while the job runs: containers, TaskManagers and workers. Then a checkpoint at whose barrier the sources
//! stop, so that nothing is read twice, and the same job is deployed from it. A failure in between changes nothing of the aim: the
//! restart that follows has the new parallelism.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::checkpoints::Pending;
use super::deployment::Assignment;
use super::event::{Effect, Illegal, Record};
use super::unwinding::Goal;
use super::workers::WorkerState;
use super::{JobMaster, Phase, Trigger};
use crate::engine::checkpoint::Continuation;
use crate::graph::job_graph::JobGraph;
use crate::graph::plan::ExecutionMode;
use crate::graph::task::{ExecutionState, Failure};
use crate::ids::{TaskManagerId, TriggerId, VertexId, WorkerId};
use crate::protocol::job::RescaleStatus;
use crate::time::Now;

/// Changes of parallelism remembered.
const HISTORY_LEN_MAX: usize = 20;

/// How many subtasks a vertex may have. Flink's `JobVertexResourceRequirements.Parallelism`.
///
/// The job runs with `upper` as soon as there are slots for it, and stays at what it has until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// At least, from 1.
    pub lower: u32,
    /// At most.
    pub upper: u32,
}

/// By vertex.
pub type Requirements = BTreeMap<VertexId, Bounds>;

/// One change of parallelism.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RescaleRecord {
    /// Counts the job's.
    pub number: u64,
    /// When it was asked for.
    pub requested: Now,
    /// The parallelism before, of the vertices that it changes.
    pub before: BTreeMap<VertexId, u32>,
    /// The parallelism that is wanted of them.
    pub after: BTreeMap<VertexId, u32>,
    /// How it stands.
    pub status: RescaleStatus,
    /// When the sources stopped.
    pub stopped: Option<Now>,
    /// When it ended, well or not. Well: every task ran.
    pub ended: Option<Now>,
    /// Why it came to nothing.
    pub failure: Option<String>,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    Slots(JobGraph),
    Checkpoint(JobGraph, TriggerId),
    Redeploying,
}

/// What is wanted, how far that is, and what there was.
#[derive(Debug, Default)]
pub(super) struct Rescaling {
    bounds: Requirements,
    stage: Stage,
    /// Oldest first; the last is the one under way, if one is.
    history: VecDeque<RescaleRecord>,
    requests: u64,
}

impl Rescaling {
    fn current(&mut self) -> Option<&mut RescaleRecord> {
        match self.stage {
            Stage::Idle => None,
            Stage::Slots(_) | Stage::Checkpoint(..) | Stage::Redeploying => self.history.back_mut(),
        }
    }

    /// Whether this request for a checkpoint is the change's own.
    pub(super) fn asked_for(&self, trigger: Option<&Trigger>) -> bool {
        matches!((&self.stage, trigger), (Stage::Checkpoint(_, id), Some(trigger)) if *id == trigger.id)
    }

    /// Takes the graph that the job is to have from its next start on.
    fn take_graph(&mut self) -> Option<JobGraph> {
        match std::mem::take(&mut self.stage) {
            Stage::Slots(graph) | Stage::Checkpoint(graph, _) => {
                self.stage = Stage::Redeploying;
                Some(graph)
            }
            stage @ (Stage::Redeploying | Stage::Idle) => {
                self.stage = stage;
                None
            }
        }
    }

    fn end(&mut self, status: RescaleStatus, failure: Option<&str>, now: Now, out: &mut Vec<Effect>) {
        if let Some(record) = self.current() {
            (record.status, record.failure, record.ended) = (status, failure.map(str::to_owned), Some(now));
            out.push(Effect::RescaleEnded(record.clone()));
        }
        self.stage = Stage::Idle;
    }

    /// The job has ended.
    pub(super) fn job_ended(&mut self, now: Now, out: &mut Vec<Effect>) {
        self.end(RescaleStatus::Failed, Some("the job has ended"), now, out);
    }
}

impl JobMaster {
    /// The bounds of every vertex's parallelism.
    pub fn requirements(&self) -> Requirements {
        let of_vertex = |vertex: &crate::graph::job_graph::Vertex| {
            let unset = Bounds { lower: 1, upper: vertex.parallelism };
            (vertex.id, self.rescaling.bounds.get(&vertex.id).copied().unwrap_or(unset))
        };
        self.graph.vertices.iter().map(of_vertex).collect()
    }

    /// Whether its tasks are being replaced by another number of them.
    pub fn is_redeploying(&self) -> bool {
        matches!(self.rescaling.stage, Stage::Redeploying)
    }

    /// Whether another parallelism is under way.
    pub(super) fn is_rescaling(&self) -> bool {
        !matches!(self.rescaling.stage, Stage::Idle)
    }

    /// Changes of parallelism, oldest first, at most 20.
    pub fn rescales(&self) -> impl DoubleEndedIterator<Item = &RescaleRecord> {
        self.rescaling.history.iter()
    }

    /// Makes a new job have the parallelism that it was given under an earlier JobManager.
    pub fn require(&mut self, requirements: Requirements, now: Now) {
        let upper = requirements.iter().map(|(vertex, bounds)| (*vertex, bounds.upper)).collect();
        // They were checked when they were set, and the plan is the same.
        if let Ok(graph) = self.graph.rescaled(&self.plan, &upper) {
            self.graph = graph;
            self.execution.reshape(&self.graph, now);
            self.rescaling.bounds = requirements;
        }
    }

    /// A user wants another parallelism of some vertices.
    pub(super) fn rescale(&mut self, wanted: &Requirements, now: Now, out: &mut Vec<Effect>) -> Result<(), Illegal> {
        self.check_rescalable()?;
        self.check_bounds(wanted)?;
        let mut bounds = self.rescaling.bounds.clone();
        bounds.extend(wanted);
        let upper = bounds.iter().map(|(vertex, bounds)| (*vertex, bounds.upper)).collect();
        let graph = self.graph.rescaled(&self.plan, &upper).map_err(|error| Illegal::new(error.to_string()))?;
        self.rescaling.end(RescaleStatus::Failed, Some("another parallelism is wanted meanwhile"), now, out);
        self.rescaling.bounds.clone_from(&bounds);
        out.push(Effect::Persist(Record::Requirements(bounds)));
        if graph == self.graph {
            self.release_surplus(out);
            return Ok(());
        }
        self.note_request(&graph, now);
        self.rescaling.stage = Stage::Slots(graph);
        match &self.phase {
            Phase::Running { .. } => self.rescale_if_ready(now, out),
            Phase::WaitingForSlots { .. } | Phase::StartingWorkers { .. } => {
                self.adopt_rescaled(now, out);
                self.wait_for_slots(now, out);
            }
            // The start that follows has it.
            Phase::Backoff { .. } | Phase::Unwinding(_) => {}
            Phase::New { .. } | Phase::Publishing { .. } | Phase::Closing { .. } | Phase::Closed => {
                debug_assert!(false, "refused above");
            }
        }
        Ok(())
    }

    fn check_rescalable(&self) -> Result<(), Illegal> {
        let may = match &self.phase {
            Phase::Running { .. } if self.restarting.is_some() => {
                return Err(Illegal::new("a part of the job restarts this moment; try again when it runs"));
            }
            Phase::Running { .. }
            | Phase::WaitingForSlots { .. }
            | Phase::StartingWorkers { .. }
            | Phase::Backoff { .. } => true,
            Phase::Unwinding(unwinding) => unwinding.restarts(),
            Phase::New { .. } | Phase::Publishing { .. } | Phase::Closing { .. } | Phase::Closed => false,
        };
        if !may {
            let status = self.status();
            return Err(Illegal::new(format!("the parallelism of a job that is {status} cannot be changed")));
        }
        if self.plan.resolved_mode() == ExecutionMode::Batch {
            let why = "a batch job keeps its parallelism: it has no checkpoints to go on from; cancel it and run it with \
                       another -p, or with --execution-mode streaming";
            return Err(Illegal::new(why));
        }
        match self.rescaling.stage {
            Stage::Idle | Stage::Slots(_) => Ok(()),
            Stage::Checkpoint(..) | Stage::Redeploying => {
                Err(Illegal::new("the parallelism is being changed this moment; try again when that is done"))
            }
        }
    }

    fn check_bounds(&self, wanted: &Requirements) -> Result<(), Illegal> {
        for (id, bounds) in wanted {
            let Some(vertex) = self.graph.vertices.iter().find(|vertex| vertex.id == *id) else {
                return Err(Illegal::new(format!("the job has no vertex {id}")));
            };
            if bounds.lower == 0 || bounds.lower > bounds.upper {
                return Err(Illegal::new(format!(
                    "vertex \"{}\" cannot have {} to {} subtasks: the lower bound is at least 1 and at most the upper one",
                    vertex.name, bounds.lower, bounds.upper
                )));
            }
        }
        Ok(())
    }

    fn note_request(&mut self, graph: &JobGraph, now: Now) {
        let changed =
            || self.graph.vertices.iter().zip(&graph.vertices).filter(|(a, b)| a.parallelism != b.parallelism);
        let record = RescaleRecord {
            number: self.rescaling.requests + 1,
            requested: now,
            before: changed().map(|(before, _)| (before.id, before.parallelism)).collect(),
            after: changed().map(|(_, after)| (after.id, after.parallelism)).collect(),
            status: RescaleStatus::WaitingForSlots,
            stopped: None,
            ended: None,
            failure: None,
        };
        self.rescaling.requests += 1;
        if self.rescaling.history.len() == HISTORY_LEN_MAX {
            self.rescaling.history.pop_front();
        }
        self.rescaling.history.push_back(record);
    }

    /// Begins the checkpoint once the running job holds all slots it is going to need, with workers in them.
    pub(super) fn rescale_if_ready(&mut self, now: Now, out: &mut Vec<Effect>) {
        let (Phase::Running { .. }, Stage::Slots(graph)) = (&self.phase, &self.rescaling.stage) else { return };
        let slots = self.workers.slots();
        let Some(assignment) = Assignment::new(graph, &slots) else {
            return out.push(Effect::RequestSlots { count: graph.slots_needed() });
        };
        let needed: Vec<TaskManagerId> = assignment.task_managers().into_iter().cloned().collect();
        let is = |id: &TaskManagerId, wanted: fn(&WorkerState) -> bool| {
            self.workers.places().any(|(other, place)| other == id && wanted(&place.worker))
        };
        let absent: Vec<_> = needed.iter().filter(|id| is(id, |worker| *worker == WorkerState::Absent)).collect();
        if !absent.is_empty() {
            for task_manager in absent {
                self.start_worker(task_manager, now, out);
            }
            return out.push(Effect::Wake { at: now + self.settings.worker_timeout });
        }
        if needed.iter().any(|id| !is(id, |worker| matches!(worker, WorkerState::Ready { .. }))) {
            return;
        }
        let id = TriggerId(u128::from(self.rescaling.requests));
        self.rescaling.set_stage(RescaleStatus::Checkpointing, |graph| Stage::Checkpoint(graph, id));
        self.checkpoints.request(Trigger { id, savepoint: None, then: Continuation::Suspend });
        self.checkpoint_if_due(now, out);
    }

    /// The checkpoint is complete and published: the tasks stop, and start with the new parallelism.
    pub(super) fn begin_redeploying(&mut self, stopped: Now) {
        if let Some(record) = self.rescaling.current() {
            record.status = RescaleStatus::Redeploying;
            record.stopped.get_or_insert(stopped);
        }
    }

    /// The job, which has no tasks now, has the parallelism that was asked for.
    pub(super) fn adopt_rescaled(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(graph) = self.rescaling.take_graph() else { return };
        self.begin_redeploying(now);
        self.graph = graph;
        self.execution.reshape(&self.graph, now);
        self.release_surplus(out);
    }

    /// Gives back the slots that the job's parallelism has no use for, the last ones first.
    fn release_surplus(&mut self, out: &mut Vec<Effect>) {
        let needed = self.slots_needed();
        out.push(Effect::RequestSlots { count: needed });
        let mut left = needed;
        let held: Vec<(TaskManagerId, u32)> =
            self.workers.places().map(|(id, place)| (id.clone(), place.slots)).collect();
        for (task_manager, slots) in held {
            let kept = slots.min(left);
            left -= kept;
            if kept == 0 {
                out.extend(
                    self.workers.worker_id(&task_manager).map(|worker| Effect::StopWorker { worker, grace_ms: 0 }),
                );
                self.release(vec![task_manager], out);
            } else if kept < slots {
                self.workers.drop_slots(&task_manager, slots - kept);
                out.push(Effect::ReleaseSlots { task_manager, slots: slots - kept });
            }
        }
    }

    /// Notes that the job runs with its new parallelism once every task does.
    pub(super) fn rescaled_if_running(&mut self, now: Now, out: &mut Vec<Effect>) {
        let up = |state: ExecutionState| state == ExecutionState::Running || state == ExecutionState::Finished;
        if matches!(self.rescaling.stage, Stage::Redeploying)
            && matches!(self.phase, Phase::Running { .. })
            && self.execution.subtasks().all(|(_, subtask)| up(subtask.current.state))
        {
            self.rescaling.end(RescaleStatus::Completed, None, now, out);
        }
    }

    /// Such a worker has ended. Before the checkpoint that ends the change: it would end again. Behind it another one is started.
    pub(super) fn worker_for_rescale_gone(&mut self, why: &str, now: Now, out: &mut Vec<Effect>) {
        if matches!(self.rescaling.stage, Stage::Slots(_)) {
            self.rescale_failed(why, now, out);
        }
    }

    /// It will not be: the job goes on as it is.
    pub(super) fn rescale_failed(&mut self, why: &str, now: Now, out: &mut Vec<Effect>) {
        self.rescaling.end(RescaleStatus::Failed, Some(why), now, out);
        let present = |vertex: &crate::graph::job_graph::Vertex| {
            let Bounds { lower, .. } = self.rescaling.bounds.get(&vertex.id).copied()?;
            Some((vertex.id, Bounds { lower: lower.min(vertex.parallelism), upper: vertex.parallelism }))
        };
        self.rescaling.bounds = self.graph.vertices.iter().filter_map(present).collect();
        out.push(Effect::Persist(Record::Requirements(self.rescaling.bounds.clone())));
        self.release_surplus(out);
    }

    /// The checkpoint that a change of parallelism waits for has failed.
    pub(super) fn rescale_checkpoint_failed(&mut self, failure: &Failure, now: Now, out: &mut Vec<Effect>) {
        self.rescale_failed(&format!("its checkpoint failed: {}", failure.message), now, out);
    }

    /// Whether a change of parallelism waits for this worker, which has nothing to do for the job as it is.
    pub(super) fn is_for_rescale(&self, worker: &WorkerId) -> bool {
        let (phase, stage) = (&self.phase, &self.rescaling.stage);
        matches!((phase, stage), (Phase::Running { .. }, Stage::Slots(_) | Stage::Checkpoint(..)))
            && self.execution.subtasks().all(|(_, subtask)| subtask.current.worker.as_ref() != Some(worker))
    }

    /// Workers for more parallelism that did not come in time.
    pub(super) fn fail_late_rescale(&mut self, now: Now, out: &mut Vec<Effect>) {
        if !matches!(self.rescaling.stage, Stage::Slots(_)) {
            return;
        }
        let late: Vec<WorkerId> = self.late_workers(now);
        if let Some(first) = late.first() {
            let seconds = self.settings.worker_timeout.as_secs();
            let why = format!("the worker on {} did not join the job within {seconds} s", first.task_manager);
            for worker in late {
                self.workers.set(&worker.task_manager, WorkerState::Absent);
                out.push(Effect::StopWorker { worker, grace_ms: 0 });
            }
            self.rescale_failed(&why, now, out);
        }
    }

    /// What ends a run of the job whose latest checkpoint stopped its sources.
    pub(super) fn goal_of_suspension(&self) -> Option<Goal> {
        let suspends = |pending: &&Pending| pending.barrier.then == Continuation::Suspend;
        let pending = self.checkpoints.pending.as_ref().filter(suspends)?;
        let rescales = self.rescaling.asked_for(pending.trigger.as_ref());
        Some(if rescales { Goal::Rescale { stopped: pending.barrier.triggered } } else { Goal::Stop })
    }
}

impl Rescaling {
    fn set_stage(&mut self, status: RescaleStatus, next: impl FnOnce(JobGraph) -> Stage) {
        if let Some(record) = self.current() {
            record.status = status;
        }
        self.stage = match std::mem::take(&mut self.stage) {
            Stage::Slots(graph) | Stage::Checkpoint(graph, _) => next(graph),
            stage @ (Stage::Idle | Stage::Redeploying) => stage,
        };
    }
}
