//! What can go wrong with a TaskManager.

use std::io;
use std::path::PathBuf;

use crate::ids::WorkerId;
use crate::rpc::link::Refusal;
use crate::rpc::{ErrorKind, io_cause};

/// Something was said that makes no sense in the state it met. It changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event} of worker {worker}, which is {state}")]
pub struct Illegal {
    worker: WorkerId,
    state: &'static str,
    event: &'static str,
}

impl Illegal {
    pub(super) fn new(worker: &WorkerId, state: &'static str, event: &'static str) -> Self {
        Self { worker: worker.clone(), state, event }
    }
}

/// Why a TaskManager could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A directory cannot be used.
    #[error("cannot use {}: {}", path.display(), io_cause(source))]
    Directory {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The JobManager does not want this TaskManager.
    #[error("the JobManager at {address} refused this TaskManager: {refusal}")]
    Refused {
        /// Where it is.
        address: String,
        /// Its reason.
        refusal: Refusal,
    },
}

impl Error {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Directory { .. } => ErrorKind::Permanent,
            Self::Refused { .. } => ErrorKind::Fenced,
        }
    }
}

/// Why a worker could not be made ready; reported as its failed launch.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unprepared {
    #[error("cannot fetch {name}: {cause}")]
    Fetch { name: String, cause: String },
    #[error(transparent)]
    NotRunnable(#[from] crate::process::NotRunnable),
    #[error("cannot write {}: {}", path.display(), io_cause(source))]
    Write { path: PathBuf, source: io::Error },
    #[error("`{0}` is not a usable name for a file in the worker's directory")]
    BadName(String),
}
