//! What a [`JobMaster`](super::JobMaster) is told and what it wants done.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::checkpoints::Trigger;
use super::rescaling::{Requirements, RescaleRecord};
use crate::engine::checkpoint::Manifest;
use crate::graph::plan::NodeIndex;
use crate::graph::task::{Committable, Failure};
use crate::ids::{CheckpointId, ExecutionAttemptId, TaskManagerId, WorkerId};
use crate::protocol::container::ExitCause;
use crate::protocol::job::JobStatus;
use crate::protocol::worker::{ToJobManager, ToWorker};
use crate::time::Now;

/// Something that happened to a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The job may begin. Comes once, first.
    Start,
    /// The slot pool gives the job `slots` more slots of a TaskManager.
    SlotsOffered {
        /// Whose.
        task_manager: TaskManagerId,
        /// How many more.
        slots: u32,
    },
    /// A TaskManager is gone, with all its slots and workers.
    SlotsLost {
        /// Which.
        task_manager: TaskManagerId,
        /// `killed by signal 9`, `no sign of life for 5 s`.
        why: String,
    },
    /// The slots asked for will never come.
    SlotsRefused(Failure),
    /// The slots asked for have not come within [`Settings::slot_timeout`](super::Settings::slot_timeout); the failure says what is missing.
    SlotsLate(Failure),
    /// A TaskManager started a worker's process.
    WorkerStarted {
        /// Which.
        worker: WorkerId,
        /// Its process id.
        pid: u32,
    },
    /// A worker opened its link.
    WorkerRegistered {
        /// Which.
        worker: WorkerId,
        /// Its process id.
        pid: u32,
        /// Where it serves its tasks' results.
        data_address: String,
        /// Hash of the graph it built.
        plan_hash: String,
    },
    /// A TaskManager saw a worker's process end.
    WorkerExited {
        /// Which.
        worker: WorkerId,
        /// Why.
        cause: ExitCause,
        /// Tail of its stderr.
        diagnostics: String,
    },
    /// A worker's link broke. Its TaskManager may tell more a moment later.
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
        message: ToJobManager,
    },
    /// A user wants the job cancelled.
    Cancel,
    /// A user wants the sources to end, so that the job drains and finishes.
    Stop,
    /// A user wants a checkpoint or savepoint.
    Trigger(Trigger),
    /// A user wants another parallelism of these vertices.
    Rescale(Requirements),
    /// A checkpoint's manifest is written, or could not be.
    ManifestWritten {
        /// Which.
        manifest: Arc<Manifest>,
        /// Why not.
        failure: Option<Failure>,
    },
    /// A moment named by [`Effect::Wake`] has come.
    Wake,
}

/// Something a job wants done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// The job wants to hold this many slots in all.
    RequestSlots {
        /// In all, those held included.
        count: u32,
    },
    /// The job gives back slots of a TaskManager.
    ReleaseSlots {
        /// Whose.
        task_manager: TaskManagerId,
        /// How many.
        slots: u32,
    },
    /// Start the program as a worker.
    StartWorker {
        /// Its name.
        worker: WorkerId,
        /// How many slots it gets.
        slots: u32,
    },
    /// Stop a worker's process: TERM, and KILL after the grace.
    StopWorker {
        /// Which.
        worker: WorkerId,
        /// Milliseconds between TERM and KILL.
        grace_ms: u64,
    },
    /// Tell a worker.
    ToWorker {
        /// Which.
        worker: WorkerId,
        /// What.
        message: ToWorker,
    },
    /// Make a record durable. A barrier: nothing behind it happens before.
    Persist(Record),
    /// Write a checkpoint's manifest, and answer with [`Event::ManifestWritten`]. It completes the checkpoint.
    WriteManifest {
        /// Which.
        manifest: Arc<Manifest>,
        /// Whether the job may go on from it: a savepoint that does not stop the job is its user's alone.
        counts: bool,
    },
    /// Remove a checkpoint's directory.
    DiscardCheckpoint {
        /// Which.
        directory: String,
    },
    /// The job has ended, and nobody writes checkpoints any more: remove those that are there.
    DiscardOtherCheckpoints {
        /// Where they lie.
        directory: String,
        /// Those that stay.
        retained: Vec<String>,
    },
    /// For logs: a checkpoint came to nothing.
    CheckpointFailed {
        /// Which.
        checkpoint: CheckpointId,
        /// Why.
        failure: Failure,
    },
    /// Come back with [`Event::Wake`] then.
    Wake {
        /// When.
        at: Now,
    },
    /// For logs and views.
    StatusChanged {
        /// Before.
        from: JobStatus,
        /// Now.
        to: JobStatus,
    },
    /// For logs and views: a change of parallelism has ended, well or not.
    RescaleEnded(RescaleRecord),
    /// The job has reached its end; workers still wind up.
    Ended(Outcome),
    /// All slots are given back: nothing more will come of this job.
    Closed,
}

/// What of a job must survive its JobManager.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// The job's output is complete and will be published: from here it only rolls forward.
    Decision(Decision),
    /// How the job ended.
    Outcome(Outcome),
    /// The parallelism that a user has given some vertices. Replaces the one before.
    Requirements(Requirements),
}

/// The decision to publish the output of a bounded job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// What is published, by sink.
    pub committables: BTreeMap<NodeIndex, Vec<Committable>>,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Finished, canceled or failed.
    pub status: JobStatus,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// When.
    pub at: Now,
}

/// One entry of a job's failure history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureRecord {
    /// When it was noticed.
    pub at: Now,
    /// What.
    pub failure: Failure,
    /// The task, as `name (1/4)`, where one is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Its execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<ExecutionAttemptId>,
    /// Where it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_manager: Option<TaskManagerId>,
    /// The vertices that were started anew, where the others went on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restarted: Vec<String>,
}

/// An event that the job's state does not allow; nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Illegal(pub String);

impl Illegal {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}
