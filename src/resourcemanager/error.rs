//! What the ResourceManager refuses, and what breaks it.

use std::fmt;

use crate::rpc::ErrorKind;

/// An event that its state machine has no arrow for. Nothing has changed; the service counts and logs it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{noun} {id} cannot take {input} in state {state}")]
pub struct Illegal {
    noun: &'static str,
    id: String,
    state: String,
    input: String,
}

impl Illegal {
    pub(crate) fn new(
        noun: &'static str,
        id: impl fmt::Display,
        state: impl fmt::Display,
        input: impl fmt::Display,
    ) -> Self {
        Self { noun, id: id.to_string(), state: state.to_string(), input: input.to_string() }
    }
}

/// Why a request was not granted. The text is for whoever asked: the cause first, then what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// For programs.
    pub code: RefusalCode,
    /// For people.
    pub message: String,
}

impl Refused {
    pub(crate) fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// What the asker can do.
    pub fn kind(&self) -> ErrorKind {
        match self.code {
            RefusalCode::NotFound | RefusalCode::BadRequest | RefusalCode::InvalidResourceRequest => ErrorKind::User,
            RefusalCode::Forbidden | RefusalCode::VersionMismatch => ErrorKind::Permanent,
            RefusalCode::AttemptNotFound => ErrorKind::Fenced,
            RefusalCode::NotRegistered => ErrorKind::Transient,
        }
    }
}

/// Kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalCode {
    /// Nothing has that id.
    NotFound,
    /// The request makes no sense.
    BadRequest,
    /// More than any container may have. YARN's `InvalidResourceRequestException`.
    InvalidResourceRequest,
    /// The proof (token, secret) is missing or wrong.
    Forbidden,
    /// The peer is of another version.
    VersionMismatch,
    /// Not the current attempt: its master must exit. YARN's `ApplicationAttemptNotFoundException`.
    AttemptNotFound,
    /// The master must register first. YARN's `ApplicationMasterNotRegisteredException`.
    NotRegistered,
}

impl RefusalCode {
    /// The code's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::BadRequest => "bad-request",
            Self::InvalidResourceRequest => "invalid-resource-request",
            Self::Forbidden => "forbidden",
            Self::VersionMismatch => "version-mismatch",
            Self::AttemptNotFound => "application-attempt-not-found",
            Self::NotRegistered => "application-master-not-registered",
        }
    }
}

/// Why a ResourceManager could not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store.
    #[error(transparent)]
    Storage(#[from] crate::storage::Error),
    /// A write failed; what is durable is not known, so nothing more may be said.
    #[error("the ResourceManager stops because its store failed: {0}; free the disk or repair it, then start it again")]
    Store(std::sync::Arc<crate::storage::Error>),
    /// A record is not one of ours.
    #[error("record {key} of the store cannot be read: {cause}; it was written by another version, or is damaged")]
    Record {
        /// Its key.
        key: String,
        /// The cause.
        cause: String,
    },
    /// The queues file.
    #[error("the queues file {} cannot be used: {cause}", path.display())]
    Queues {
        /// Which.
        path: std::path::PathBuf,
        /// The cause, or each in a line.
        cause: String,
    },
    /// The system gives no randomness.
    #[error("cannot make the cluster's key: {}", crate::rpc::io_cause(.0))]
    Randomness(std::io::Error),
}

impl Error {
    /// What the caller can do: start again, for a person has to look first.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Storage(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Record { .. } | Self::Queues { .. } | Self::Randomness(_) => ErrorKind::Permanent,
        }
    }
}

/// Why a request to a running ResourceManager failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It was refused.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The ResourceManager is stopping, or has too much to do.
    #[error("the ResourceManager is stopping or overloaded; try again")]
    Unavailable,
}

impl RequestError {
    /// What the asker can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused(refused) => refused.kind(),
            Self::Unavailable => ErrorKind::Transient,
        }
    }
}
