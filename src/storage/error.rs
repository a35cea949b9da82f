//! Why something was not stored or found.

use std::io;
use std::path::{Path, PathBuf};

use super::BlobId;
use crate::rpc::{ErrorKind, io_cause};

/// Why something was not stored or found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system.
    #[error("cannot {verb} {}: {}", path.display(), io_cause(source))]
    Io {
        /// Read, write, …
        verb: &'static str,
        /// Which file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// An address of a kind of storage that there is none of.
    #[error("`{uri}` is no place that can be reached: only paths, file:// and s3:// addresses are")]
    UnsupportedUri {
        /// As it was written.
        uri: String,
    },
    /// An object store.
    #[error("cannot {verb} {place}: {cause}")]
    Object {
        /// Read, write, …
        verb: &'static str,
        /// Which object or directory.
        place: String,
        /// The cause, and what to do about it.
        cause: String,
        /// Whether it may pass.
        kind: ErrorKind,
    },
    /// What came is not what was announced.
    #[error("the content announced as {expected} is {found}")]
    WrongContent {
        /// The announced hash.
        expected: BlobId,
        /// The content's.
        found: BlobId,
    },
    /// Content above the limit.
    #[error("{what} is above the limit of {limit_bytes} bytes")]
    TooLarge {
        /// What it is.
        what: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// No more is kept.
    #[error("there is no room for {what}: what is kept may take {limit_bytes} bytes, and takes {kept_bytes}")]
    Full {
        /// What came.
        what: String,
        /// The limit.
        limit_bytes: u64,
        /// Of it.
        kept_bytes: u64,
    },
    /// What sends the content has failed.
    #[error("the content did not come whole: {cause}")]
    Interrupted {
        /// In an operator's words.
        cause: String,
    },
    /// A record is not as the writer believed: somebody else writes here.
    #[error("record {key} has {found}, not {expected} as expected")]
    Conflict {
        /// Which.
        key: String,
        /// What the writer believed.
        expected: String,
        /// What is so.
        found: String,
    },
    /// Another process has the store open.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// Its directory.
        path: PathBuf,
    },
    /// The store is damaged and cannot be rebuilt.
    #[error("the store in {} is damaged: {cause}", path.display())]
    Damaged {
        /// Its directory.
        path: PathBuf,
        /// How.
        cause: String,
    },
    /// An earlier write has failed; what is stored is not known until the store is opened anew.
    #[error("nothing is written any more because an earlier write failed: {cause}")]
    Poisoned {
        /// Why that one failed.
        cause: String,
    },
}

impl Error {
    pub(super) fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { verb, path, source }
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Interrupted { .. } => ErrorKind::Transient,
            Self::Object { kind, .. } => *kind,
            Self::Conflict { .. } => ErrorKind::Fenced,
            Self::Io { .. }
            | Self::UnsupportedUri { .. }
            | Self::WrongContent { .. }
            | Self::TooLarge { .. }
            | Self::Full { .. }
            | Self::InUse { .. }
            | Self::Damaged { .. }
            | Self::Poisoned { .. } => ErrorKind::Permanent,
        }
    }
}
