//! Names of metrics: `<area>_<noun>_<unit>[_total]`. One constant each, so that REST, Prometheus and tests agree.

/// Resident memory of the process, in bytes.
pub const PROCESS_MEMORY_BYTES: &str = "process_memory_bytes";
/// Nodes registered and not lost.
pub const RESOURCEMANAGER_NODES_ACTIVE: &str = "resourcemanager_nodes_active";
/// Containers granted and not completed.
pub const RESOURCEMANAGER_CONTAINERS_ALLOCATED: &str = "resourcemanager_containers_allocated";
/// Containers asked for and not granted.
pub const RESOURCEMANAGER_CONTAINERS_PENDING: &str = "resourcemanager_containers_pending";
/// Containers running on the node.
pub const NODEMANAGER_CONTAINERS_RUNNING: &str = "nodemanager_containers_running";
/// Containers that ended other than by exit code 0, since start.
pub const NODEMANAGER_CONTAINERS_FAILED_TOTAL: &str = "nodemanager_containers_failed_total";
/// Jobs that are not in a final state.
pub const JOBMANAGER_JOBS_RUNNING: &str = "jobmanager_jobs_running";
/// Restarts of a job.
pub const JOBMANAGER_JOB_RESTARTS_TOTAL: &str = "jobmanager_job_restarts_total";
/// Slots without a task.
pub const TASKMANAGER_SLOTS_FREE: &str = "taskmanager_slots_free";
/// Records a task has received.
pub const TASK_RECORDS_IN_TOTAL: &str = "task_records_in_total";
/// Records a task has sent.
pub const TASK_RECORDS_OUT_TOTAL: &str = "task_records_out_total";
/// Bytes a task has received from other processes.
pub const TASK_BYTES_IN_TOTAL: &str = "task_bytes_in_total";
/// Bytes a task has sent to other processes.
pub const TASK_BYTES_OUT_TOTAL: &str = "task_bytes_out_total";
