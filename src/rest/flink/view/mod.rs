//! JSON of what the core knows, in Flink's keys. Pure.

mod accumulators;
mod application;
mod checkpoints;
mod cluster;
mod exceptions;
mod figures;
mod job;
mod live;
mod metrics;
mod plan;
mod process;
mod rescaling;
mod throwable;
mod vertex;

pub(super) use self::accumulators::{accumulators, execution_accumulators, subtask_accumulators, vertex_accumulators};
pub(super) use self::application::{application, application_exceptions, application_overview};
pub(super) use self::checkpoints::{checkpoint, checkpoint_subtasks, checkpoints, checkpoints_config, drain_progress};
pub(super) use self::cluster::{overview, task_manager, task_manager_details};
pub(super) use self::exceptions::exceptions;
pub(super) use self::job::{execution_result, job, job_config, job_overview};
pub(super) use self::live::{cluster as live_cluster, diagnosis, job as live_job};
pub(super) use self::metrics::{Metric, backpressure, of_job, of_job_manager, of_vertex, watermarks};
pub(super) use self::plan::plan;
pub(super) use self::process::{TaskManagerUsage, status, thread_dump};
pub(super) use self::rescaling::rescales;
pub(super) use self::throwable::throwable;
pub(super) use self::vertex::{execution, vertex, vertex_task_managers, vertex_times};
