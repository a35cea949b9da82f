//! Links and HTTP plumbing between processes; knows none of our messages.
//!
//! ```text
//! process ──► link::open ══ framed JSON over an upgraded HTTP connection ══► link::Acceptor ──► PeerEvent ──► process
//! process ──► http::Client ── one request, one deadline ──► http::Server ──► axum Router of rest/
//! ```
//!
//! [`link`] carries everything that must stay ordered and must be noticed when it breaks; [`http`] everything that is asked once.
//! [`token`] signs what others present, [`Fence`] is the one place where a stale message is dropped.
//!
//! Invariants: every queue here is bounded; every remote call has a deadline; no secret appears in a `Debug` or a log; no
//! proxy of the environment is ever used; messages are opaque serde types.

mod error;
mod fence;
pub mod http;
pub mod link;
mod secret;
pub mod token;

pub use self::error::{ErrorKind, io_cause};
pub use self::fence::{Fence, Stale, Stamp};
pub use self::secret::{ClusterSecret, SECRET_HEADER};
