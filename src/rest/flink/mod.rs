//! The JobManager's REST API: Flink's.
