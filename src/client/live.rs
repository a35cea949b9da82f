//! How a job runs at this moment, as the Web UI draws it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::job_manager::JobManager;
use crate::ids::{JobId, VertexId};
use crate::protocol::diagnosis::Verdict;
use crate::protocol::job::JobStatus;
use crate::rpc::http::Error;
use crate::time::{EventTime, Now};

/// A job at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LiveJob {
    /// Its id.
    pub jid: JobId,
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: JobStatus,
    /// When it was submitted.
    pub start: Now,
    /// How often it was restarted.
    #[serde(default)]
    pub restarts: u32,
    /// What it waits for.
    pub waiting: Option<String>,
    /// What is the matter with it, worst first.
    pub verdicts: Vec<Verdict>,
    /// In topological order; none while the program is being planned.
    pub vertices: Vec<LiveVertex>,
}

/// A vertex at one moment. Shares are milliseconds of a second, as mean and of the subtask where they are largest.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LiveVertex {
    /// Its id.
    pub id: VertexId,
    /// Its name.
    pub name: String,
    /// How many subtasks it has.
    pub parallelism: u32,
    /// How they stand together.
    pub status: String,
    /// How many are in each state.
    pub tasks: BTreeMap<String, u64>,
    /// Records read and written.
    pub records: [u64; 2],
    /// Whether the rate and the shares were measured.
    pub rated: bool,
    /// Records read and written a second.
    pub rate: [u64; 2],
    /// Time spent working.
    pub busy: [u64; 2],
    /// Time spent waiting for room downstream.
    pub backpressured: [u64; 2],
    /// How far event time has come in the slowest subtask; `None` before the first watermark, and for sources.
    pub watermark: Option<EventTime>,
}

/// Something at one moment.
#[derive(Clone, Debug, Deserialize)]
pub struct Live<T> {
    /// The moment, by the JobManager's clock.
    pub now: Now,
    /// What it saw.
    pub view: T,
}

impl JobManager {
    /// How a job runs now.
    ///
    /// # Errors
    /// Those of [`Client`](crate::rpc::http::Client), as everywhere here.
    pub async fn live_job(&self, job: JobId) -> Result<Live<LiveJob>, Error> {
        self.http().get(&self.path(&format!("/live/jobs/{job}"))).await
    }
}
