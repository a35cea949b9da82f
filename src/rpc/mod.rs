//! Links between processes and HTTP plumbing; knows none of our messages.

mod error;
mod fence;
mod secret;
pub mod token;

pub use self::error::{ErrorKind, io_cause};
pub use self::fence::{Fence, Stale, Stamp};
pub use self::secret::{ClusterSecret, SECRET_HEADER};
