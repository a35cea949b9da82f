//! What can go wrong on a node.

use std::io;
use std::path::PathBuf;

use crate::ids::{ContainerId, NodeId};
use crate::rpc::link::Refusal;
use crate::rpc::{ErrorKind, io_cause};

/// Why a request was refused. Its sender is told; nothing changed here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The NodeManager has no key to check tokens with.
    #[error("node {node} is not registered with its ResourceManager yet; try again")]
    NotRegistered {
        /// This node.
        node: NodeId,
    },
    /// The NodeManager is stopping.
    #[error("node {node} takes no containers: {why}")]
    Draining {
        /// This node.
        node: NodeId,
        /// The reason, in words.
        why: String,
    },
    /// The token is no container token of this cluster's ResourceManager.
    #[error("the container's token was refused: {why}")]
    BadToken {
        /// What is wrong with it.
        why: String,
    },
    /// The token's time is over.
    #[error("the token of {container} expired {late_ms} ms ago; ask for a new container")]
    Expired {
        /// The container.
        container: ContainerId,
        /// By how much.
        late_ms: u64,
    },
    /// The container was started before.
    #[error("{container} was started before; a token starts one process")]
    StartedBefore {
        /// The container.
        container: ContainerId,
    },
    /// The launch context cannot be carried out.
    #[error("{container} cannot be launched: {why}")]
    BadContext {
        /// The container.
        container: ContainerId,
        /// What is wrong with it.
        why: String,
    },
    /// There is no such container.
    #[error("container with id: {container} not found")]
    NoSuchContainer {
        /// As asked for.
        container: String,
    },
    /// More requests wait than this node takes.
    #[error("the NodeManager is busy or stopping; try again")]
    Busy,
}

impl Refused {
    /// What the sender can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotRegistered { .. } | Self::Busy => ErrorKind::Transient,
            Self::Expired { .. } | Self::StartedBefore { .. } => ErrorKind::Fenced,
            Self::BadContext { .. } => ErrorKind::User,
            Self::Draining { .. } | Self::BadToken { .. } | Self::NoSuchContainer { .. } => ErrorKind::Permanent,
        }
    }
}

/// Something was said that makes no sense in the state it met. It changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event} of {container}, which is {state}")]
pub struct Illegal {
    pub(super) container: ContainerId,
    pub(super) state: &'static str,
    pub(super) event: &'static str,
}

/// Why a NodeManager could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory cannot be used.
    #[error("cannot use {}: {}; choose another with nodemanager.dir", path.display(), io_cause(source))]
    Directory {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The ResourceManager does not want this node.
    #[error("the ResourceManager at {address} refused this node: {refusal}")]
    Refused {
        /// Where it is.
        address: String,
        /// Its reason.
        refusal: Refusal,
    },
    /// Durable state could not be written; this node must not go on.
    #[error("cannot write the node's state: {0}")]
    State(String),
    /// Configuration that cannot work.
    #[error("{0}")]
    Configuration(String),
}

impl Error {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Directory { .. } | Self::State(_) | Self::Configuration(_) => ErrorKind::Permanent,
            Self::Refused { .. } => ErrorKind::Fenced,
        }
    }
}
