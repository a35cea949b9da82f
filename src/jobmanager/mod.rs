//! Takes programs, plans them, and runs their jobs: Flink's Dispatcher and its JobMasters.

pub mod job_master;
