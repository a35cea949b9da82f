//! Why a JobManager does not do what it is asked, or cannot go on.

use std::path::PathBuf;

use crate::ids::JobId;
use crate::rpc::ErrorKind;

/// A request that cannot be met; nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No such job, or it ended long ago.
    #[error("Job {0} not found")]
    NoSuchJob(JobId),
    /// Its state does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// The request itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The JobManager is ending.
    #[error("the JobManager is shutting down")]
    ShuttingDown,
}

impl Refused {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchJob(_) | Self::Conflict(_) | Self::Invalid(_) => ErrorKind::User,
            Self::ShuttingDown => ErrorKind::Transient,
        }
    }
}

/// Why a JobManager cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Storage failed. The JobManager ends, for it must not promise what is not stored.
    #[error("{0}; the JobManager ends, for it must not promise what is not stored")]
    Storage(#[source] crate::storage::Error),
    /// A stored record cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Damaged {
        /// Where.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
    /// Whether a job's checkpoints are whole cannot be said now.
    #[error("the job's checkpoints cannot be looked at: {0}")]
    Checkpoints(String),
    /// The ResourceManager has ended this application or attempt.
    #[error("{0}")]
    Fenced(String),
    /// What it was started with makes no sense.
    #[error("{0}")]
    Setup(String),
}

impl Error {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Storage(error) => error.kind(),
            Self::Checkpoints(_) => ErrorKind::Transient,
            Self::Damaged { .. } | Self::Setup(_) => ErrorKind::Permanent,
            Self::Fenced(_) => ErrorKind::Fenced,
        }
    }
}
