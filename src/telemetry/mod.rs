//! What a process tells of itself: logs, panics, names of metrics, its memory.
//!
//! Logs are one line an event: UTC time, level, module, message and fields. `FLOTT_LOG` filters them (`debug`,
//! `flott::rpc=trace,info`).

mod logging;
mod memory;
pub mod metrics;

pub use self::logging::{Error, LogTarget, init_logging};
pub use self::memory::process_rss;
