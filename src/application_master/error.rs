//! Why a master cannot go on.

use crate::ids::InvalidId;
use crate::rpc::{ErrorKind, http};

/// Why a master cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This process is no master: a ResourceManager did not start it.
    #[error(
        "{variable} is not set: a ResourceManager sets it where it starts a master; submit this program as an application"
    )]
    NotAMaster {
        /// The variable.
        variable: &'static str,
    },
    /// What the ResourceManager left for the master cannot be read.
    #[error("cannot read {what}: {cause}")]
    Unreadable {
        /// What.
        what: String,
        /// The cause, in words.
        cause: String,
    },
    /// The attempt's id is none.
    #[error(transparent)]
    InvalidId(#[from] InvalidId),
    /// The ResourceManager has ended this attempt: the application was killed, or another attempt runs. The master must exit, and
    /// must not unregister.
    #[error("the ResourceManager has ended this attempt: {why}")]
    Shutdown {
        /// Its reason.
        why: String,
    },
    /// More than the link can queue is unsaid.
    #[error("cannot send to the ResourceManager: {cause}")]
    Unsent {
        /// The cause, in words.
        cause: String,
    },
    /// A node did not take a request.
    #[error(transparent)]
    Node(#[from] http::Error),
}

impl Error {
    /// What the master can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotAMaster { .. } | Self::Unreadable { .. } | Self::InvalidId(_) => ErrorKind::Permanent,
            Self::Shutdown { .. } => ErrorKind::Fenced,
            Self::Unsent { .. } => ErrorKind::Transient,
            Self::Node(error) => error.kind(),
        }
    }
}
