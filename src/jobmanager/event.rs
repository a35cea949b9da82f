//! What a JobManager is told and what it wants done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::containers::Takeover;
use super::job_master::{
    CheckpointSettings, Decision, Outcome, Record, Requirements, RescaleRecord, RestartStrategy, Trigger,
};
use super::recovery::Recovery;
use crate::engine::checkpoint::Manifest;
use crate::graph::job_graph::JobGraph;
use crate::graph::plan::Plan;
use crate::graph::task::Failure;
use crate::ids::{CheckpointId, ContainerId, JobId, TaskManagerId, WorkerId};
use crate::protocol::application_master::AllocateResponse;
use crate::protocol::container::Allocation;
use crate::protocol::job::{JobStatus, JobSubmission};
use crate::protocol::task_manager::{self, ToTaskManager};
use crate::protocol::worker::{self, ToWorker};
use crate::time::Now;

/// Where the checkpoints of a job lie that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftCheckpoints {
    /// The directory.
    pub directory: String,
    /// Those in it that stay.
    pub retained: Vec<String>,
}

/// Something that happened to a JobManager.
#[derive(Clone, Debug)]
pub enum Event {
    /// A job came in.
    Submitted(Box<JobSubmission>),
    /// A job's program has told its plan, or the stored one was found.
    Planned {
        /// Which.
        job: JobId,
        /// What came of it.
        prepared: Box<Prepared>,
    },
    /// A job's program could not be fetched or planned.
    PlanFailed {
        /// Which.
        job: JobId,
        /// Why.
        failure: Failure,
    },
    /// Storage knows how a job ended under an earlier JobManager.
    FoundEnded {
        /// Which.
        job: JobId,
        /// How.
        outcome: Outcome,
        /// What it may have left, if it was planned.
        left: Option<LeftCheckpoints>,
    },
    /// A user wants a job cancelled.
    Cancel {
        /// Which.
        job: JobId,
    },
    /// A user wants a job drained.
    Stop {
        /// Which.
        job: JobId,
    },
    /// A TaskManager opened its link for the first time, or anew.
    TaskManagerRegistered(Box<task_manager::Register>),
    /// A TaskManager's connection broke; it may come back.
    TaskManagerAway {
        /// Which.
        task_manager: TaskManagerId,
        /// How.
        why: String,
    },
    /// It came back, and nothing was lost.
    TaskManagerBack {
        /// Which.
        task_manager: TaskManagerId,
    },
    /// It will not come back.
    TaskManagerLost {
        /// Which.
        task_manager: TaskManagerId,
        /// Why.
        why: String,
    },
    /// A user wants a checkpoint or savepoint of a job.
    Trigger {
        /// Of which job.
        job: JobId,
        /// What.
        trigger: Trigger,
    },
    /// A user wants another parallelism of some of a job's vertices.
    Rescale {
        /// Of which job.
        job: JobId,
        /// What.
        requirements: Requirements,
    },
    /// A checkpoint's manifest is written, or could not be.
    ManifestWritten {
        /// Which.
        manifest: Arc<Manifest>,
        /// Why not.
        failure: Option<Failure>,
    },
    /// A TaskManager reports.
    TaskManager {
        /// Which.
        task_manager: TaskManagerId,
        /// What.
        message: task_manager::ToJobManager,
    },
    /// A worker opened its link.
    WorkerRegistered(worker::Register),
    /// A worker's link broke.
    WorkerLost {
        /// Which.
        worker: WorkerId,
        /// How.
        why: String,
    },
    /// A worker reports.
    Worker {
        /// Which.
        worker: WorkerId,
        /// What.
        message: worker::ToJobManager,
    },
    /// The ResourceManager knows nothing of earlier asks.
    ResourceManagerForgot,
    /// The ResourceManager has kept these containers of an attempt before for this one.
    ContainersKept(Vec<Allocation>),
    /// The ResourceManager has news.
    Allocated(Box<AllocateResponse>),
    /// A granted container could not be started at its node.
    LaunchFailed {
        /// Whether the node has refused it for a reason that does not pass.
        refused: bool,
        /// Which.
        container: ContainerId,
        /// Why.
        why: String,
    },
    /// A moment named by [`Effect::Wake`] has come.
    Wake,
}

/// A job's plan and what goes with it.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The stored plan.
    pub plan: Plan,
    /// Chained, with parallelism.
    pub graph: JobGraph,
    /// Job-level configuration, resolved: the program's under the submission's.
    pub configuration: BTreeMap<String, String>,
    /// From the configuration.
    pub restart_strategy: RestartStrategy,
    /// From the configuration.
    pub cancel_timeout: Duration,
    /// Found in storage: an earlier JobManager has decided to publish.
    pub decision: Option<Decision>,
    /// From the configuration.
    pub checkpoints: CheckpointSettings,
    /// The checkpoints that are taken over from an earlier JobManager, or what the configuration names. The job goes on from the last.
    pub restore: Vec<Arc<Manifest>>,
    /// The parallelism that a user has given it under an earlier JobManager.
    pub requirements: Option<Requirements>,
    /// What the configuration names, until it is found.
    pub recovery: Option<Recovery>,
}

/// Something a JobManager wants done, in this order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Store the job, fetch its program and ask it for its plan (or find the stored one).
    Prepare(Box<JobSubmission>),
    /// Stop that.
    AbortPreparation {
        /// Of which job.
        job: JobId,
    },
    /// Make a record durable: a barrier.
    Persist {
        /// Of which job.
        job: JobId,
        /// What.
        record: Record,
    },
    /// Write a checkpoint's manifest, and answer with [`Event::ManifestWritten`].
    WriteManifest {
        /// Which.
        manifest: Arc<Manifest>,
        /// Whether the job may go on from it.
        counts: bool,
    },
    /// Remove a checkpoint's directory.
    DiscardCheckpoint {
        /// Of which job.
        job: JobId,
        /// Which.
        directory: String,
    },
    /// The job has ended, and nobody writes checkpoints any more: remove those that are there.
    DiscardOtherCheckpoints {
        /// Of which job.
        job: JobId,
        /// Where they lie.
        directory: String,
        /// Those that stay.
        retained: Vec<String>,
    },
    /// For logs: a checkpoint came to nothing.
    CheckpointFailed {
        /// Of which job.
        job: JobId,
        /// Which.
        checkpoint: CheckpointId,
        /// Why.
        failure: Failure,
    },
    /// Tell a TaskManager.
    ToTaskManager {
        /// Which.
        task_manager: TaskManagerId,
        /// What.
        message: ToTaskManager,
    },
    /// A TaskManager is given up: close its link.
    DropTaskManager {
        /// Which.
        task_manager: TaskManagerId,
        /// Why.
        why: String,
    },
    /// Tell a worker.
    ToWorker {
        /// Which.
        worker: WorkerId,
        /// What.
        message: ToWorker,
    },
    /// Want so many containers beside those granted.
    AskContainers {
        /// How many.
        count: u32,
    },
    /// Give a container back.
    ReleaseContainer(ContainerId),
    /// Start a TaskManager in a granted container.
    Launch(Box<Allocation>),
    /// For logs: of the TaskManagers that the attempt before has left behind, every one has come or is given up.
    TookOver(Takeover),
    /// Come back with [`Event::Wake`] then.
    Wake {
        /// When.
        at: Now,
    },
    /// For logs.
    StatusChanged {
        /// Whose.
        job: JobId,
        /// Before.
        from: JobStatus,
        /// Now.
        to: JobStatus,
    },
    /// For logs: a change of a job's parallelism has ended.
    RescaleEnded {
        /// Which job's.
        job: JobId,
        /// How.
        record: RescaleRecord,
    },
    /// A job has reached its end.
    Ended {
        /// Which.
        job: JobId,
        /// How.
        outcome: Outcome,
    },
    /// A job ended so long ago that it is no longer remembered.
    Forgotten {
        /// Which.
        job: JobId,
    },
    /// Nothing of the job runs any more.
    Closed {
        /// Which.
        job: JobId,
    },
}
