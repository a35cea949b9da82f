//! Why a request to another process failed.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::rpc::{ErrorKind, io_cause};

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody there.
    #[error("cannot connect to {authority}: {cause}")]
    Connect {
        /// `host:port`.
        authority: String,
        /// In an operator's words.
        cause: String,
    },
    /// No answer in time.
    #[error("{request} was not answered within {limit:?}")]
    Deadline {
        /// Method and address.
        request: String,
        /// The time it had.
        limit: Duration,
    },
    /// The connection broke, or what came is no HTTP.
    #[error("{request} failed: {cause}")]
    Broken {
        /// Method and address.
        request: String,
        /// In an operator's words.
        cause: String,
    },
    /// The answer is a refusal.
    #[error("{message} ({request}: {status})")]
    Status {
        /// Method and address.
        request: String,
        /// HTTP's number.
        status: u16,
        /// What the server says.
        message: String,
    },
    /// The answer is not what was asked for.
    #[error("the answer to {request} was not understood: {cause}")]
    Decode {
        /// Method and address.
        request: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The local file.
    #[error("cannot {verb} {}: {}", path.display(), io_cause(source))]
    File {
        /// Read or write.
        verb: &'static str,
        /// Which.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl Error {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Connect { .. } | Self::Deadline { .. } | Self::Broken { .. } => ErrorKind::Transient,
            Self::Status { status: 408 | 429 | 500.., .. } => ErrorKind::Transient,
            Self::Status { .. } | Self::Decode { .. } | Self::File { .. } => ErrorKind::Permanent,
        }
    }

    /// Whether the other side has certainly not begun to do what was asked.
    pub fn is_not_taken(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Status { status: 503, .. })
    }

    /// HTTP's number if the server answered with a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::Connect { .. }
            | Self::Deadline { .. }
            | Self::Broken { .. }
            | Self::Decode { .. }
            | Self::File { .. } => None,
        }
    }
}
