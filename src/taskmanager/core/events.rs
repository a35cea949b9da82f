//! What a TaskManager hears, and what it has done about it.

use std::time::Duration;

use crate::ids::{JobId, WorkerId};
use crate::process::{Ended, Identity, Signal};
use crate::protocol::task_manager::{StartWorker, ToJobManager};
use crate::storage::Leader;
use crate::time::Now;

/// What a TaskManager hears.
#[derive(Debug)]
pub enum Event {
    /// The JobManager has taken this TaskManager.
    LinkOpened,
    /// The JobManager cannot be reached.
    LinkBroken,
    /// An attempt of the JobManager says that it leads.
    LeaderFound(Leader),
    /// The JobManager wants a worker.
    StartWorker(Box<StartWorker>),
    /// The JobManager wants a worker ended.
    StopWorker {
        /// Which.
        worker: WorkerId,
        /// Between asking and killing; zero kills at once.
        grace: Duration,
    },
    /// A job has ended.
    JobEnded {
        /// Which.
        job: JobId,
    },
    /// End everything and exit: the JobManager or the system wants it.
    Leave {
        /// The reason in words.
        why: String,
    },
    /// The program and the directory of a worker are there, or cannot be had.
    Prepared {
        /// Whose.
        worker: WorkerId,
        /// The cause in words if it failed.
        outcome: Result<(), String>,
    },
    /// A worker's process runs.
    Spawned {
        /// Whose.
        worker: WorkerId,
        /// Its leader.
        process: Identity,
    },
    /// A worker's process could not be started.
    SpawnFailed {
        /// Whose.
        worker: WorkerId,
        /// The cause in words.
        why: String,
    },
    /// A worker's process has ended, and nothing is left of its tree.
    Exited {
        /// Whose.
        worker: WorkerId,
        /// How.
        ended: Ended,
        /// The last lines of its error output.
        diagnostics: String,
    },
    /// A worker's process tree has been measured.
    Measured {
        /// Whose.
        worker: WorkerId,
        /// Its resident memory.
        rss_bytes: u64,
    },
    /// A moment asked for with [`Effect::WakeAt`] has come, or may have.
    Wake,
}

/// What is to be done, in order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Get the program, unless it is there, check that it can run here, and make the worker's directory.
    Prepare(Box<StartWorker>),
    /// Nobody waits for a preparation any more.
    AbandonPreparation(WorkerId),
    /// Start a prepared worker.
    Spawn(WorkerId),
    /// Signal a worker's process tree.
    Signal {
        /// Whose.
        worker: WorkerId,
        /// Its leader.
        process: Identity,
        /// What to send.
        signal: Signal,
    },
    /// Tell the JobManager.
    Report(ToJobManager),
    /// Leave the JobManager, and register with this one.
    Follow(Leader),
    /// Remove a worker's directory.
    RemoveWorker(WorkerId),
    /// Close what is held open for a job.
    ReleaseJob(JobId),
    /// Say [`Event::Wake`] at this moment.
    WakeAt(Now),
    /// Nothing runs any more: exit.
    Exit,
}
