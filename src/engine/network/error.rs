//! What can go wrong between workers.

use super::wire::FRAME_BYTES_MAX;
use crate::engine::record::CodecError;
use crate::graph::task::Failure;
use crate::ids::WorkerId;
use crate::rpc::ErrorKind;

/// Why data cannot cross.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// No data port can be opened.
    #[error("cannot listen on {host}: {cause}; set the worker's host to an address of this machine")]
    Bind {
        /// Where.
        host: String,
        /// In the system's words.
        cause: String,
    },
    /// The connection to another worker broke or could not be made.
    #[error("{cause}: no connection to worker {peer} at {address}; its own log, or its node's, says why it ended")]
    PeerLost {
        /// The worker at the other end.
        peer: WorkerId,
        /// Where it was.
        address: String,
        /// In the system's words.
        cause: String,
    },
    /// The other worker does not want this one.
    #[error("worker {peer} at {address} refused the connection: {cause}")]
    Refused {
        /// The worker at the other end.
        peer: WorkerId,
        /// Where it is.
        address: String,
        /// Its reason.
        cause: String,
    },
    /// Records cannot be written or read.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A frame beyond what its length field may say.
    #[error("a batch of {bytes} bytes is beyond the limit of {FRAME_BYTES_MAX}; emit smaller records")]
    FrameTooLarge {
        /// How large it would be.
        bytes: usize,
    },
    /// The same channel was opened twice.
    #[error("channel {channel} was opened twice in one worker; the deployment is inconsistent")]
    Duplicate {
        /// Which.
        channel: String,
    },
    /// This worker stops.
    #[error("the network of this worker has been shut down")]
    Shutdown,
}

impl NetworkError {
    /// What a restart can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::PeerLost { .. } | Self::Shutdown => ErrorKind::Transient,
            Self::Bind { .. } | Self::Refused { .. } | Self::Duplicate { .. } => ErrorKind::Permanent,
            Self::Codec(_) | Self::FrameTooLarge { .. } => ErrorKind::User,
        }
    }

    /// The worker to blame, when there is one.
    pub fn peer(&self) -> Option<&WorkerId> {
        match self {
            Self::PeerLost { peer, .. } | Self::Refused { peer, .. } => Some(peer),
            Self::Bind { .. }
            | Self::Codec(_)
            | Self::FrameTooLarge { .. }
            | Self::Duplicate { .. }
            | Self::Shutdown => None,
        }
    }
}

impl From<NetworkError> for Failure {
    fn from(error: NetworkError) -> Self {
        Self::new(error.kind(), error.to_string())
    }
}
