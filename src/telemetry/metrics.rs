//! Every metric's name, kind and meaning: `flott_<area>_<noun>_<unit>[_total]`, in base units (seconds, bytes). One constant each, so
//! that exporters, dashboards, alert rules and tests agree.

/// What a metric's numbers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until its process or job starts anew.
    Counter,
    /// Goes up and down.
    Gauge,
}

impl Kind {
    /// Prometheus' word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// As it is exported.
    pub name: &'static str,
    /// What its numbers do.
    pub kind: Kind,
    /// What it means, in one sentence.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident $kind:ident $name:literal $help:literal)*) => {
        $(#[doc = $help] pub const $constant: Metric = Metric { name: $name, kind: Kind::$kind, help: $help };)*
        /// Every metric that any daemon exports.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    BUILD Gauge "flott_build_info" "One, with the version and the daemon's kind as labels."
    PROCESS_MEMORY Gauge "flott_process_memory_bytes" "Resident memory of the daemon."
    JM_JOBS Gauge "flott_jobmanager_jobs" "Jobs by state."
    JM_TASK_MANAGERS Gauge "flott_jobmanager_taskmanagers" "Registered TaskManagers."
    JM_SLOTS Gauge "flott_jobmanager_slots" "Slots that TaskManagers offer."
    JM_SLOTS_FREE Gauge "flott_jobmanager_slots_free" "Slots that no job has."
    JOB_UP Gauge "flott_job_up" "One while the job runs, zero while it starts, restarts or waits; ended jobs are left out."
    JOB_UPTIME Gauge "flott_job_age_seconds" "Time since the job was submitted."
    JOB_RESTARTS Counter "flott_job_restarts_total" "How often the job was started anew."
    JOB_FAILURES Gauge "flott_job_failures_remembered" "Failures in the job's history, at most 20."
    JOB_CHECKPOINTS Counter "flott_job_checkpoints_completed_total" "Completed checkpoints and savepoints."
    JOB_CHECKPOINTS_FAILED Counter "flott_job_checkpoints_failed_total" "Checkpoints that came to nothing."
    JOB_CHECKPOINT_DURATION Gauge "flott_job_checkpoint_last_duration_seconds" "From trigger to completion of the latest completed checkpoint."
    JOB_CHECKPOINT_SIZE Gauge "flott_job_checkpoint_last_size_bytes" "State in the latest completed checkpoint."
    JOB_CHECKPOINT_AGE Gauge "flott_job_checkpoint_last_age_seconds" "Time since the latest completed checkpoint was triggered: what a failure now would repeat."
    TASK_SUBTASKS Gauge "flott_task_subtasks" "Subtasks of the vertex by state."
    TASK_RECORDS_IN Counter "flott_task_records_in_total" "Records read."
    TASK_RECORDS_OUT Counter "flott_task_records_out_total" "Records written."
    TASK_BYTES_IN Counter "flott_task_bytes_in_total" "Bytes read from other tasks."
    TASK_BYTES_OUT Counter "flott_task_bytes_out_total" "Bytes written to other tasks."
    TASK_BAD_RECORDS Counter "flott_task_bad_records_total" "Malformed records that were repaired or dropped."
    TASK_BUSY Counter "flott_task_busy_seconds_total" "Time spent working."
    TASK_IDLE Counter "flott_task_idle_seconds_total" "Time spent waiting for input."
    TASK_BACKPRESSURED Counter "flott_task_backpressured_seconds_total" "Time spent waiting for room downstream."
    TASK_BUSY_MOST Gauge "flott_task_busy_ratio_max" "Share of the last second that the busiest subtask worked."
    TASK_BACKPRESSURED_MOST Gauge "flott_task_backpressured_ratio_max" "Share of the last second that the most held back subtask waited for room."
    TASK_HOT_KEY Gauge "flott_task_hot_key_ratio" "Share of the latest records that at least had the most frequent key, of the subtask where it is largest."
    TASK_WATERMARK Gauge "flott_task_watermark_timestamp_seconds" "How far event time has come in the slowest subtask; absent before the first watermark."
    TASK_HELD_BACK Gauge "flott_task_watermark_held_back_seconds" "Event time by which the furthest input of a vertex is ahead of the one that it waits for, which the label by names; infinite while that one has told no watermark, absent while all are equally far."
    TM_WORKERS Gauge "flott_taskmanager_workers" "Workers, one a job."
    TM_WORKER_MEMORY Gauge "flott_taskmanager_worker_memory_bytes" "Memory that a job's worker uses."
    TM_WORKER_LIMIT Gauge "flott_taskmanager_worker_memory_limit_bytes" "Memory that a job's worker may use."
    RM_APPLICATIONS Gauge "flott_resourcemanager_applications" "Applications by state."
    RM_NODES Gauge "flott_resourcemanager_nodes" "Nodes by state."
    RM_MEMORY Gauge "flott_resourcemanager_memory_bytes" "Memory for containers that nodes offer."
    RM_MEMORY_ALLOCATED Gauge "flott_resourcemanager_memory_allocated_bytes" "Memory granted to containers."
    RM_MEMORY_PENDING Gauge "flott_resourcemanager_memory_pending_bytes" "Memory asked for and not granted."
    RM_CORES Gauge "flott_resourcemanager_vcores" "Cores for containers that nodes offer."
    RM_CORES_ALLOCATED Gauge "flott_resourcemanager_vcores_allocated" "Cores granted to containers."
    RM_CORES_PENDING Gauge "flott_resourcemanager_vcores_pending" "Cores asked for and not granted."
    RM_CONTAINERS Gauge "flott_resourcemanager_containers" "Live containers."
    RM_CONTAINERS_PENDING Gauge "flott_resourcemanager_containers_pending" "Containers asked for and not granted."
    NM_MEMORY Gauge "flott_nodemanager_memory_bytes" "Memory that the node offers to containers."
    NM_MEMORY_ALLOCATED Gauge "flott_nodemanager_memory_allocated_bytes" "Memory granted to the node's containers."
    NM_MEMORY_USED Gauge "flott_nodemanager_memory_used_bytes" "Memory that the node's containers use."
    NM_CONTAINERS Gauge "flott_nodemanager_containers" "Containers by state on the node, until they are forgotten."
    NM_HEALTHY Gauge "flott_nodemanager_healthy" "One while the node is fit for containers."
    NM_CONNECTED Gauge "flott_nodemanager_connected" "One while the link to the ResourceManager is open."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_area_and_unit_and_counters_end_in_total() {
        for (index, metric) in ALL.iter().enumerate() {
            let name = metric.name;
            assert!(name.starts_with("flott_") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            assert!(metric.help.ends_with('.'), "{name}");
            assert!(
                !["_ms", "_millis", "_mb", "_percent"].iter().any(|unit| name.contains(unit)),
                "{name} is not in base units"
            );
            assert!(ALL[..index].iter().all(|other| other.name != name), "{name} is there twice");
        }
    }

    /// Names of metrics in a text.
    fn named(text: &str) -> Vec<String> {
        let word = |part: &str| part.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
        text.split("flott_").skip(1).map(|part| format!("flott_{}", word(part))).collect()
    }

    #[test]
    fn dashboards_and_alert_rules_name_only_metrics_that_are_exported() {
        let deploy = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
        for file in ["grafana/jobs.json", "grafana/cluster.json", "prometheus/alerts.yml"] {
            let names = named(&std::fs::read_to_string(deploy.join(file)).unwrap());
            assert!(names.len() >= 5, "{file} names hardly any metric");
            for name in names {
                assert!(ALL.iter().any(|metric| metric.name == name), "{file} names {name}, which nothing exports");
            }
        }
    }
}
