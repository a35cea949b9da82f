//! JobManager ↔ TaskManager on a link: slots offered, workers started and ended.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::container::ExitCause;
use super::job::Program;
use crate::graph::plan::Plan;
use crate::ids::{ContainerId, JobId, TaskManagerId, WorkerId};
use crate::resource::MemorySize;

/// Path of the link on the JobManager.
pub const PATH: &str = "/link/task-manager";

/// Code of the refusal of a TaskManager that shows another secret.
pub const WRONG_SECRET: &str = "secret";

/// Opens the link and offers the TaskManager's slots. Flink's `registerTaskManager` + `offerSlots`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Register {
    /// The TaskManager.
    pub task_manager: TaskManagerId,
    /// The container it runs in; absent standalone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerId>,
    /// Host that its workers' data ports are reached at.
    pub host: String,
    /// `host:port` where it answers HTTP (logs, stdout).
    pub http_address: String,
    /// Number of slots.
    pub slots: u32,
    /// Memory of the whole TaskManager with its workers.
    pub memory: MemorySize,
    /// Cores of the machine.
    pub cores: u32,
    /// Process id.
    pub pid: u32,
    /// The application's (in a container) or cluster's (standalone) secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Workers that are alive, after a reconnect to a restarted JobManager.
    #[serde(default)]
    pub workers: Vec<WorkerId>,
}

/// Answer to [`Register`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Registered {
    /// The JobManager's attempt; an older one's messages are stale.
    pub attempt: u32,
}

/// What the JobManager tells a TaskManager.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ToTaskManager {
    /// Start the program as a worker of a job.
    StartWorker(Box<StartWorker>),
    /// Stop a worker: TERM, and KILL after the grace.
    StopWorker {
        /// Which.
        worker: WorkerId,
        /// Milliseconds between TERM and KILL.
        grace_ms: u64,
    },
    /// The job has ended: forget its files and logs' open handles.
    JobEnded {
        /// Which.
        job: JobId,
    },
    /// Stop all workers and exit.
    Shutdown {
        /// The reason, in words.
        why: String,
    },
}

/// All that a worker process needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StartWorker {
    /// The worker's name; its messages to the JobManager carry it.
    pub worker: WorkerId,
    /// The executable, its arguments, environment and files.
    pub program: Program,
    /// The job's stored plan; written to the worker's directory, where the program's graph is checked against it.
    pub plan: Plan,
    /// `host:port` of the JobManager's links.
    pub job_manager: String,
    /// Slots of the job in this TaskManager: how many subtasks of each vertex may be deployed.
    pub slots: u32,
    /// What the worker may use: its slots' share.
    pub memory: MemorySize,
    /// Job-level configuration, resolved.
    pub configuration: BTreeMap<String, String>,
    /// Secret for the worker's link and data connections.
    pub secret: String,
}

/// What a TaskManager tells the JobManager.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ToJobManager {
    /// The process runs; the worker itself registers on a link of its own.
    WorkerStarted {
        /// Which.
        worker: WorkerId,
        /// Its process id.
        pid: u32,
    },
    /// The process ended, or could not be started.
    WorkerExited {
        /// Which.
        worker: WorkerId,
        /// Why.
        cause: ExitCause,
        /// Tail of its stderr, at most a few KiB.
        diagnostics: String,
    },
    /// The TaskManager leaves in order.
    Leaving {
        /// The reason, in words.
        why: String,
    },
}
