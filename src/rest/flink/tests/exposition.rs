//! What Prometheus is told, and how much of it.

use std::collections::BTreeSet;

use super::core_of;
use crate::rest::flink::exposition::expose;
use crate::telemetry::metrics;
use crate::time::Now;

/// Each series: a name with its labels.
fn series(subtasks: u32, by_subtask: bool) -> Vec<String> {
    let out = expose(&core_of(subtasks), Now(5_000), by_subtask);
    let lines = out.text().lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[test]
fn a_job_of_a_hundred_subtasks_has_no_more_series_than_one_of_one() {
    // Of the two one runs and one does not, of the hundred none has a slot: what differs is one state of subtasks.
    assert!(series(100, false).len() <= series(2, false).len());
    assert!(series(100, false).len() <= 60, "{} series", series(100, false).len());
    // On demand each subtask tells its eight counters.
    assert!(series(100, true).len() > 2 * 100 * 8);
}

#[test]
fn no_series_is_told_twice_and_every_name_is_a_known_metric() {
    for by_subtask in [false, true] {
        let all = series(3, by_subtask);
        let distinct: BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        for line in &all {
            let name = line.split('{').next().unwrap();
            assert!(metrics::ALL.iter().any(|metric| metric.name == name), "{name}");
        }
    }
    assert!(series(3, false).iter().any(|line| line.starts_with("flott_task_records_in_total{job=\"count\",job_id=")));
}
