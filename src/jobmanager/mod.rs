//! Takes programs, plans them, and runs their jobs: Flink's Dispatcher and its JobMasters.

pub mod containers;
pub mod core;
pub mod error;
pub mod event;
pub mod job;
pub mod job_master;
pub mod slots;
