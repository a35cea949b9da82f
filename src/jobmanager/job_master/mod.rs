//! One job from its plan to its end: which slots it needs, which worker runs what, who reads which split, what a failure means,
//! when its output is published. Pure: [`JobMaster::apply`] takes an [`Event`] and the time, and appends [`Effect`]s.
//! Flink's `JobMaster` with its scheduler.
//!
//! ```text
//!             slots           workers registered        all FINISHED            confirmed
//! New ─► WaitingForSlots ─► StartingWorkers ─► Running ─► Publishing ───────────────────► Closing ─► Closed
//!            ▲                    │              │ failure, cancel                           ▲
//!            │                    └──────────► Unwinding ── cancelled, or given up ──────────┤
//!            └───── Backoff ◄───── restart ───────┘                                          │
//!                      └── cancel ───────────────────────────────────────────────────────────┘
//! ```
//!
//! The same core runs in a JobManager, in a program's own process (the local role) and in the simulator: whoever holds it
//! performs the effects *in order*, `Persist` being a barrier, and turns what comes of them into events.
//!
//! Invariants: every slot offered is given back exactly once or lost with its TaskManager; nothing is published unless all
//! tasks of one and the same run of the job have finished and the decision is durable; after that the job only rolls forward.
//! It knows neither containers nor links nor files, and nothing of other jobs.

mod cause;
mod checkpointing;
mod checkpoints;
mod committing;
mod deployment;
mod draining;
mod event;
mod execution;
mod failover;
mod lifecycle;
mod losses;
mod output;
mod regions;
mod reports;
mod rescaling;
mod splits;
mod unwinding;
mod workers;

#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod tests_damage;
#[cfg(test)]
mod tests_draining;
#[cfg(test)]
mod tests_random;
#[cfg(test)]
mod tests_regions;
#[cfg(test)]
mod tests_rescale;
#[cfg(test)]
mod tests_waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub use self::checkpoints::{
    CheckpointRecord, CheckpointSettings, CheckpointStatus, History, SubtaskRecord, Trigger, TriggerState,
};
pub use self::event::{Decision, Effect, Event, FailureRecord, Illegal, Outcome, Record};
pub use self::execution::{Execution, ExecutionGraph, Rates, Subtask};
pub use self::rescaling::{Bounds, Requirements, RescaleRecord};
pub use self::splits::{SourceSplits, Splits};
pub use self::workers::{Place, WorkerState, Workers};

use self::checkpoints::Coordinator;
use self::deployment::Assignment;
use self::execution::Position;
use self::failover::Failover;
use self::output::Publication;
use self::regions::Restarting;
use self::rescaling::Rescaling;
use self::unwinding::{Goal, Unwinding};
pub use crate::config::RestartStrategy;
pub use crate::engine::checkpoint::Continuation;
use crate::engine::checkpoint::Manifest;
use crate::graph::accumulator::{self, Accumulators};
use crate::graph::job_graph::JobGraph;
use crate::graph::plan::{NodeIndex, NodeKind, Plan};
use crate::graph::task::Committable;
use crate::ids::{CheckpointId, ExecutionAttemptId, JobId, OperatorId, TriggerId, VertexId, WorkerId};
use crate::protocol::job::JobStatus;
use crate::protocol::worker::ToJobManager;
use crate::time::Now;

/// What a job is run with, beside its plan.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which run of the JobManager this is, from 1. A later one numbers workers and executions so that those of an earlier one
    /// are stale.
    pub attempt: u32,
    /// What happens after a failure.
    pub restart_strategy: RestartStrategy,
    /// How long tasks may take to stop before their worker is killed.
    pub cancel_timeout: Duration,
    /// How long a worker may take to join.
    pub worker_timeout: Duration,
    /// How long all slots may take to be there. Whoever gives them says then that they are not, and what is missing.
    pub slot_timeout: Duration,
    /// For jitter.
    pub seed: u64,
    /// When checkpoints are made, and where they lie.
    pub checkpoints: CheckpointSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            attempt: 1,
            restart_strategy: RestartStrategy::None,
            cancel_timeout: Duration::from_secs(30),
            worker_timeout: Duration::from_secs(60),
            slot_timeout: Duration::from_secs(300),
            seed: 0,
            checkpoints: CheckpointSettings::default(),
        }
    }
}

/// Room for workers and executions of one run of the JobManager.
const NUMBERS_PER_ATTEMPT: u32 = 10_000;
/// Failures remembered.
const FAILURES_LEN_MAX: usize = 20;

/// One job.
#[derive(Debug)]
pub struct JobMaster {
    job: JobId,
    plan: Arc<Plan>,
    plan_hash: String,
    graph: JobGraph,
    vertex_of: BTreeMap<VertexId, usize>,
    settings: Settings,
    phase: Phase,
    status: JobStatus,
    since: BTreeMap<JobStatus, Now>,
    execution: ExecutionGraph,
    workers: Workers,
    splits: Splits,
    failover: Failover,
    checkpoints: Coordinator,
    /// What subtasks of this run have prepared and no complete checkpoint covers, with the first one that will.
    prepared: Vec<(CheckpointId, Committable)>,
    /// The output of the latest checkpoint, while it is being published.
    committing: Option<Publication>,
    /// How often output was begun to be published.
    publications: u64,
    /// The sources stand still behind the latest checkpoint: what follows once its output is published.
    stopping: Option<Goal>,
    rescaling: Rescaling,
    /// A part of the running job that starts anew.
    restarting: Option<Restarting>,
    /// What will never be published and no worker was there to remove.
    discards: BTreeMap<NodeIndex, Vec<Committable>>,
    failures: Vec<FailureRecord>,
    outcome: Option<Outcome>,
    version: u64,
    stale: u64,
}

/// Where the job stands; see the picture above.
#[derive(Debug)]
enum Phase {
    New { decided: Option<Decision> },
    WaitingForSlots { since: Now },
    StartingWorkers { assignment: Assignment },
    Running { since: Now },
    Publishing { publication: Publication, worker_failures: u32 },
    Unwinding(Unwinding),
    Backoff { until: Now },
    Closing { deadline: Now },
    Closed,
}

impl JobMaster {
    /// A job that has been planned and now waits for [`Event::Start`]. `submitted`: when it came.
    pub fn new(job: JobId, plan: Arc<Plan>, graph: JobGraph, settings: Settings, submitted: Now) -> Self {
        let first = (settings.attempt.max(1) - 1) * NUMBERS_PER_ATTEMPT;
        let is_source = |index: &NodeIndex| matches!(plan.nodes[index.0 as usize].kind, NodeKind::Source { .. });
        let sources: Vec<NodeIndex> =
            graph.vertices.iter().flat_map(|vertex| vertex.operators.iter().copied().filter(is_source)).collect();
        Self {
            job,
            plan_hash: plan.hash(),
            vertex_of: graph.vertices.iter().enumerate().map(|(index, vertex)| (vertex.id, index)).collect(),
            phase: Phase::New { decided: None },
            status: JobStatus::Initializing,
            since: [(JobStatus::Initializing, submitted)].into(),
            execution: ExecutionGraph::new(&graph, first, submitted),
            workers: Workers::new(job, first + 1),
            splits: Splits::new(sources),
            failover: Failover::new(settings.restart_strategy.clone(), settings.seed),
            checkpoints: Coordinator::new(settings.checkpoints.clone(), settings.attempt),
            prepared: Vec::new(),
            committing: None,
            publications: 0,
            stopping: None,
            rescaling: Rescaling::default(),
            restarting: None,
            discards: BTreeMap::new(),
            failures: Vec::new(),
            outcome: None,
            version: 1,
            stale: 0,
            plan,
            graph,
            settings,
        }
    }

    /// Makes a new job one whose tasks finished under an earlier JobManager: its output only remains to be published.
    pub fn resume_publication(&mut self, decision: Decision) {
        if let Phase::New { decided } = &mut self.phase {
            *decided = Some(decision);
        }
    }

    /// Makes a new job keep checkpoints of an earlier run of its JobManager as its own, oldest first.
    pub fn take_over(&mut self, older: &[Arc<Manifest>]) {
        self.checkpoints.take_over(older);
    }

    /// Makes a new job go on from a checkpoint: of an earlier run of its JobManager, or one that a user names.
    pub fn restore_from(&mut self, manifest: Arc<Manifest>, now: Now) {
        self.restore_splits(&manifest);
        self.checkpoints.restore(manifest, now);
    }

    fn restore_splits(&mut self, manifest: &Manifest) {
        self.splits.reset();
        let all: BTreeSet<NodeIndex> = self.splits.sources().map(|(source, _)| source).collect();
        self.restore_splits_of(Some(manifest), &all);
    }

    /// Of these operators, if they are sources.
    fn restore_splits_of(&mut self, manifest: Option<&Manifest>, operators: &BTreeSet<NodeIndex>) {
        let node_of = |id: OperatorId| {
            let at = self.plan.nodes.iter().position(|node| node.operator_id == id)?;
            u32::try_from(at).ok().map(NodeIndex)
        };
        let sources = manifest.into_iter().flat_map(|manifest| &manifest.sources);
        let sources: Vec<_> = sources.filter_map(|(id, state)| Some((node_of(*id)?, state))).collect();
        self.splits.restore(operators, &sources);
    }

    /// Takes note of `event`. What is stale (an older execution or worker) is dropped here and nowhere else.
    ///
    /// # Errors
    /// [`Illegal`] if the event makes no sense now; nothing changed then, and the message says why.
    pub fn apply(&mut self, event: Event, now: Now, out: &mut Vec<Effect>) -> Result<(), Illegal> {
        if self.is_stale(&event) {
            self.stale += 1;
            return Ok(());
        }
        self.version += 1;
        match event {
            Event::Start => self.start(now, out),
            Event::SlotsOffered { task_manager, slots } => self.slots_offered(task_manager, slots, now, out),
            Event::SlotsLost { task_manager, why } => self.slots_lost(&task_manager, &why, now, out),
            Event::SlotsRefused(failure) => self.slots_refused(failure, now, out),
            Event::SlotsLate(failure) => self.slots_late(failure, now, out),
            Event::WorkerStarted { .. } => {} // Its link says the same and more.
            Event::WorkerRegistered { worker, pid, data_address, plan_hash } => {
                return self.worker_registered(worker, pid, data_address, &plan_hash, now, out);
            }
            Event::WorkerExited { worker, cause, diagnostics } => {
                self.worker_exited(&worker, &cause, &diagnostics, now, out);
            }
            Event::WorkerLost { worker, why } => self.worker_lost(&worker, &why, now, out),
            Event::Worker { worker, message } => return self.report(&worker, message, now, out),
            Event::Cancel => return self.cancel(now, out),
            Event::Stop => return self.stop(out),
            Event::Trigger(trigger) => return self.triggered(trigger, now, out),
            Event::Rescale(requirements) => return self.rescale(&requirements, now, out),
            Event::ManifestWritten { manifest, failure } => self.manifest_written(&manifest, failure, now, out),
            Event::Wake => self.wake(now, out),
        }
        Ok(())
    }

    fn is_stale(&self, event: &Event) -> bool {
        match event {
            Event::WorkerStarted { worker, .. }
            | Event::WorkerExited { worker, .. }
            | Event::WorkerLost { worker, .. } => !self.workers.is_current(worker),
            Event::WorkerRegistered { worker, .. } => !self.admits(worker),
            Event::Worker { worker, message } => !self.is_ready(worker) || self.is_of_older_attempt(message),
            Event::Start
            | Event::SlotsOffered { .. }
            | Event::SlotsLost { .. }
            | Event::SlotsRefused(_)
            | Event::SlotsLate(_)
            | Event::Cancel
            | Event::Stop
            | Event::Trigger(_)
            | Event::Rescale(_)
            | Event::ManifestWritten { .. }
            | Event::Wake => false,
        }
    }

    /// Whether a worker that opens its link now is one the job waits for; others are to be told to exit.
    pub fn admits(&self, worker: &WorkerId) -> bool {
        matches!(self.workers.state(worker), Some(WorkerState::Starting { .. }))
    }

    fn is_ready(&self, worker: &WorkerId) -> bool {
        matches!(self.workers.state(worker), Some(WorkerState::Ready { .. }))
    }

    fn is_of_older_attempt(&self, message: &ToJobManager) -> bool {
        let older = |attempt: &ExecutionAttemptId| {
            let current = self.position(attempt).and_then(|at| self.execution.get(at));
            // A subtask that the job has no more is older, too.
            current.map_or(self.vertex_of.contains_key(&attempt.vertex), |subtask| {
                attempt.attempt < subtask.current.attempt
            })
        };
        match message {
            ToJobManager::TaskState { attempt, .. }
            | ToJobManager::SplitsDiscovered { attempt, .. }
            | ToJobManager::Cut { attempt, .. }
            | ToJobManager::StateWritten { attempt, .. }
            | ToJobManager::SplitRequested { attempt, .. }
            | ToJobManager::SplitFinished { attempt, .. }
            | ToJobManager::Accumulators { attempt, .. } => older(attempt),
            ToJobManager::Committed { .. } | ToJobManager::Metrics { .. } => false, // Looked at one by one.
        }
    }

    fn position(&self, attempt: &ExecutionAttemptId) -> Option<Position> {
        let vertex = *self.vertex_of.get(&attempt.vertex)?;
        let at = (vertex, attempt.subtask as usize);
        self.execution.get(at).map(|_| at)
    }
}

/// What views read.
impl JobMaster {
    /// The job.
    pub fn job(&self) -> JobId {
        self.job
    }

    /// Its plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Its chained graph.
    pub fn graph(&self) -> &JobGraph {
        &self.graph
    }

    /// Where it stands.
    pub fn status(&self) -> JobStatus {
        self.status
    }

    /// When it came into each status the last time.
    pub fn since(&self) -> &BTreeMap<JobStatus, Now> {
        &self.since
    }

    /// Its subtasks.
    pub fn execution(&self) -> &ExecutionGraph {
        &self.execution
    }

    /// What its accumulators have gathered, by those executions that are its present ones.
    pub fn accumulators(&self) -> Accumulators {
        let mut all = self.plan.accumulators.clone();
        for vertex in 0..self.execution.vertices.len() {
            accumulator::merge(&mut all, &self.execution.accumulators_of(vertex));
        }
        all
    }

    /// Where it runs.
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// The parts of its input.
    pub fn splits(&self) -> &Splits {
        &self.splits
    }

    /// Its checkpoints.
    pub fn checkpoint_history(&self) -> &History {
        &self.checkpoints.history
    }

    /// Whether subtasks, or this process, may be writing to checkpoints that nobody needs, which are removed behind them.
    pub fn leaves_files(&self) -> bool {
        self.checkpoints.leaves_files()
    }

    /// How they are made.
    pub fn checkpoint_settings(&self) -> &CheckpointSettings {
        &self.checkpoints.settings
    }

    /// What became of a user's request for one.
    pub fn trigger_state(&self, id: TriggerId) -> Option<&TriggerState> {
        self.checkpoints.trigger_state(id)
    }

    /// Its failures, oldest first, at most 20.
    pub fn failures(&self) -> &[FailureRecord] {
        &self.failures
    }

    /// How often it was started anew.
    pub fn restarts(&self) -> u32 {
        self.failover.restarts()
    }

    /// How it ended, once it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Whether it has waited for slots as long as it may.
    pub fn waits_too_long(&self, now: Now) -> bool {
        matches!(self.phase, Phase::WaitingForSlots { since } if since + self.settings.slot_timeout <= now)
    }

    /// Slots it wants to hold in all.
    pub fn slots_needed(&self) -> u32 {
        self.graph.slots_needed()
    }

    /// Grows with each change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Messages dropped because their sender had been replaced.
    pub fn stale_messages(&self) -> u64 {
        self.stale
    }
}
