//! What a process tells of itself: logs, panics, names of metrics, what it uses.
//!
//! Logs are one line an event: UTC time, level, module, message and fields. `FLOTT_LOG` filters them (`debug`,
//! `flott::rpc=trace,info`).

mod lines;
mod logging;
mod memory;
pub mod metrics;
mod usage;

pub use self::lines::log_as;
pub use self::logging::{Error, LogTarget, init_logging, utc};
pub use self::memory::process_rss;
pub use self::usage::{ProcessUsage, Thread, threads};
