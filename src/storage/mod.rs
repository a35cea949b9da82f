//! What must outlive a process: files published atomically, blobs by hash, and small versioned records.
//!
//! ```text
//! anyone ──► files: write_atomic, create_new ──► a directory, possibly shared by several machines
//! uploads, caches ──► BlobStore ──► <dir>/<sha256>
//! an ended container's logs ──► ContainerLogs ──► <dir>/<application>/<container>/<file>
//! a checkpoint's place ──► places, objects ──► an object store (feature `s3`)
//! a JobManager's address ──► Leaders ──► <dir>/<attempt>.json
//! an ended job's archive ──► History ──► <dir>/<application>/<job>.json
//! a service's Persist effects ──► MetaWriter (a thread) ──► MetaStore ──► completion, an event for the service
//! ```
//!
//! Invariants: nobody ever sees part of a file; what is said to be written is on the disk; a failed write poisons its writer
//! until it is opened anew; a blob is what its name says. It does not know what is stored.

mod blobs;
mod container_logs;
mod error;
pub mod files;
mod history;
mod leaders;
pub mod meta;
#[cfg(feature = "s3")]
pub mod objects;
pub mod places;

pub use self::blobs::{BlobId, BlobStore, BlobWriter, InvalidBlobId};
pub use self::container_logs::ContainerLogs;
pub use self::error::Error;
pub use self::history::{ARCHIVE_BYTES_MAX, Archived, History};
pub use self::leaders::{Leader, Leaders};
pub use crate::config::S3Config;
