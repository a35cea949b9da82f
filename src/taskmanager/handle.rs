//! How others ask a TaskManager.

use std::path::PathBuf;

use axum::Router;
use tokio::sync::{mpsc, oneshot};

use super::output::Stream;
use crate::ids::{TaskManagerId, WorkerId};

/// Requests that wait. When full, more are refused.
pub(super) const REQUESTS_LEN_MAX: usize = 256;

/// A request to the service. Its answer may find nobody waiting any more; that is fine.
pub(super) enum Request {
    Workers(oneshot::Sender<Vec<WorkerView>>),
}

/// Asks a running TaskManager. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) id: TaskManagerId,
    pub(super) logs: PathBuf,
    pub(super) requests: mpsc::Sender<Request>,
}

impl Handle {
    /// Its name.
    pub fn id(&self) -> &TaskManagerId {
        &self.id
    }

    /// The directory of its logs.
    pub fn logs(&self) -> &std::path::Path {
        &self.logs
    }

    /// The file with what all its workers wrote.
    pub fn merged_log(&self, stream: Stream) -> PathBuf {
        self.logs.join(format!("{}.{}", super::directories::MERGED, stream.extension()))
    }

    /// Its workers; `None` if the service is overrun or has ended.
    pub async fn workers(&self) -> Option<Vec<WorkerView>> {
        let (answer, answered) = oneshot::channel();
        self.requests.try_send(Request::Workers(answer)).ok()?;
        answered.await.ok()
    }

    /// Endpoints of links: a TaskManager opens its link and accepts none.
    pub fn links(&self) -> Router {
        Router::new()
    }
}

/// A worker at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerView {
    /// Its name.
    pub worker: WorkerId,
    /// Where it stands, in words.
    pub state: &'static str,
    /// Its process.
    pub pid: Option<u32>,
    /// Its slots.
    pub slots: u32,
    /// Memory used, in bytes, when last measured.
    pub rss_bytes: u64,
    /// What it may use, in MiB.
    pub limit_mb: u64,
}
