//! Links and HTTP plumbing between processes; knows none of our messages.
//!
//! ```text
//! process ──► link::open ══ framed JSON over an upgraded HTTP connection ══► link::Acceptor ──► PeerEvent ──► process
//! process ──► http::Client ── one request, one deadline ──► http::Server ──► axum Router of rest/
//! ```
//!
//! [`link`] carries everything that must stay ordered and must be noticed when it breaks; [`http`] everything that is asked once.
//! [`token`] signs what others present, [`Fence`] is the one place where a stale message is dropped. [`tls`] encrypts, and tells
//! members of the cluster from strangers; [`Tokens`] tell who may read and who may write.
//!
//! Invariants: every queue here is bounded; every remote call has a deadline; no secret appears in a `Debug` or a log; no
//! proxy of the environment is ever used; messages are opaque serde types.

mod bearer;
mod error;
mod fence;
pub mod http;
pub mod link;
mod secret;
pub mod tls;
pub mod token;

pub use self::bearer::{Bearer, InvalidBearer, Role, Tokens};
pub use self::error::{ErrorKind, io_cause};
pub use self::fence::{Fence, Stale, Stamp};
pub use self::secret::{ClusterSecret, Credentials, SECRET_HEADER, Security};
pub use self::tls::{Tls, TlsError, TlsFiles};
