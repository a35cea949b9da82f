//! Why a worker cannot take part, or no longer.

use std::io;

use crate::engine::network::NetworkError;
use crate::graph::plan::InvalidPlan;
use crate::protocol::roles;
use crate::rpc::link::Refusal;
use crate::rpc::{ErrorKind, io_cause};

/// Why a worker ends otherwise than by order. Printed on stderr, where its TaskManager reads it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program's graph is not the plan's.
    #[error(transparent)]
    Graph(#[from] InvalidPlan),
    /// The job's configuration cannot be understood.
    #[error(transparent)]
    Configuration(#[from] crate::config::Error),
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] crate::rpc::TlsError),
    /// No data port.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The system refuses something.
    #[error("{}: cannot start {what}", io_cause(.cause))]
    System {
        /// What.
        what: &'static str,
        /// Why.
        cause: io::Error,
    },
    /// The JobManager is out of reach, or does not speak this link.
    #[error("{}: no link to the JobManager at {address}", .refusal.message)]
    JobManagerLost {
        /// Where it was.
        address: String,
        /// What the link says.
        refusal: Refusal,
    },
}

impl Error {
    /// What a restart can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Graph(_) => ErrorKind::User,
            Self::Configuration(_) | Self::Tls(_) => ErrorKind::Permanent,
            Self::Network(error) => error.kind(),
            Self::System { .. } | Self::JobManagerLost { .. } => ErrorKind::Transient,
        }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Graph(_) => roles::WORKER_EXIT_GRAPH_DIFFERS,
            Self::Configuration(_) | Self::Tls(_) => roles::WORKER_EXIT_MISCONFIGURED,
            Self::System { .. } | Self::Network(_) | Self::JobManagerLost { .. } => roles::WORKER_EXIT_UNAVAILABLE,
        }
    }
}
