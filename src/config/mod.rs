//! Configuration: one table of keys, layers of values with their origin, one typed struct per process and job.
//!
//! ```text
//! defaults < conf/flott.yaml < FLOTT_PROPERTIES < -D key=value ──► Configuration ──► ResourceManagerConfig, JobConfig, …
//! ```
//!
//! Keys have Flink's names where the meaning is Flink's; old names are aliases. [`options`] is the one place where a key, its
//! kind, default and meaning stand. Loaded once at the edge, passed down by value; no globals.
//!
//! Invariants: an unknown key is an error with a suggestion; every value in a [`Configuration`] has been checked against its
//! key's kind; secrets are never shown.

mod client;
mod cluster;
mod configuration;
mod error;
mod job;
mod kind;
pub mod options;
mod processes;
pub mod queues;
mod s3;
mod secrets;
pub mod security;
mod state;
#[cfg(test)]
mod testing;
mod yaml;

pub use self::client::ClientConfig;
pub use self::cluster::{NodeManagerConfig, ResourceManagerConfig};
pub use self::configuration::{Configuration, Origin, Setting};
pub use self::error::Error;
pub use self::job::{CheckpointingConfig, JobConfig, RestartStrategy};
pub(crate) use self::kind::PROCESS_MEMORY_MIN;
pub use self::kind::{Kind, Ports, Value, parse_duration};
pub use self::processes::{JobManagerConfig, TaskManagerConfig};
pub use self::queues::{InvalidQueues, QueuesConfig};
pub use self::s3::{S3Config, S3Keys};
pub use self::secrets::{MASK, is_secret};
pub use self::state::{StateBackendType, StateConfig};
pub use crate::rpc::Security;
