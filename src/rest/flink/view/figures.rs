//! Numbers as Flink writes them: -1 for unknown, 0 for a state never entered, all states named.

use serde_json::{Map, Value, json};

use crate::graph::task::{ExecutionState, TaskMetrics};
use crate::jobmanager::job_master::Execution;
use crate::time::Now;

/// Flink has this state, we never enter it.
pub(super) const RECONCILING: &str = "RECONCILING";

/// Epoch milliseconds, -1 if unknown.
pub(super) fn moment(at: Option<Now>) -> Value {
    at.map_or(json!(-1), |at| json!(at.as_millis()))
}

/// Milliseconds from `start` to `end`, or to now while there is no end; -1 before the start.
pub(super) fn duration(start: Option<Now>, end: Option<Now>, now: Now) -> Value {
    start.map_or(json!(-1), |start| json!(end.unwrap_or(now).as_millis().saturating_sub(start.as_millis())))
}

/// How many executions are in each state, by upper-case name.
pub(super) fn state_counts(states: impl Iterator<Item = ExecutionState>) -> Map<String, Value> {
    let mut counts: Map<String, Value> =
        ExecutionState::ALL.iter().map(|state| (state.as_str().to_owned(), json!(0))).collect();
    counts.insert(RECONCILING.to_owned(), json!(0));
    for state in states {
        if let Some(Value::Number(count)) = counts.get_mut(state.as_str()) {
            *count = (count.as_u64().unwrap_or(0) + 1).into();
        }
    }
    counts
}

/// The one state that stands for many. Flink's `ExecutionJobVertex.getAggregateJobVertexState`.
pub(super) fn aggregate(states: &[ExecutionState]) -> ExecutionState {
    let any = |wanted| states.contains(&wanted);
    let first = [
        ExecutionState::Failed,
        ExecutionState::Canceling,
        ExecutionState::Canceled,
        ExecutionState::Initializing,
        ExecutionState::Running,
    ];
    match first.into_iter().find(|state| any(*state)) {
        Some(state) => state,
        None if states.iter().all(|state| *state == ExecutionState::Finished) => ExecutionState::Finished,
        None if any(ExecutionState::Finished) => ExecutionState::Running,
        None => ExecutionState::Created,
    }
}

/// Names of the IO block's counters, with how to read them.
type Counter = (&'static str, fn(&TaskMetrics) -> u64);
pub(super) const COUNTERS: [Counter; 7] = [
    ("read-bytes", |metrics| metrics.bytes_in),
    ("write-bytes", |metrics| metrics.bytes_out),
    ("read-records", |metrics| metrics.records_in),
    ("write-records", |metrics| metrics.records_out),
    ("accumulated-backpressured-time", |metrics| metrics.backpressured_ms),
    ("accumulated-idle-time", |metrics| metrics.idle_ms),
    ("accumulated-busy-time", |metrics| metrics.busy_ms),
];

/// Sums over executions. Flink's `IOMetricsInfo`.
pub(super) fn io_block<'a>(executions: impl Iterator<Item = &'a Execution> + Clone) -> Value {
    let complete = executions.clone().all(|execution| execution.started_at().is_some());
    let mut block = Map::new();
    for (name, read) in COUNTERS {
        let sum: u64 = executions.clone().map(|execution| read(&execution.metrics)).sum();
        let is_time = name.starts_with("accumulated");
        // Flink's busy time is a floating-point number, the others are not.
        let value = if name == "accumulated-busy-time" {
            json!(f64::from(u32::try_from(sum).unwrap_or(u32::MAX)))
        } else {
            json!(sum)
        };
        block.insert(name.to_owned(), value);
        if !is_time {
            block.insert(format!("{name}-complete"), json!(complete));
        }
    }
    block.into()
}

/// Minimum, maximum, average, sum and quantiles. Flink's `StatsSummary` in `aggregated`.
pub(super) fn statistics(values: impl Iterator<Item = u64>) -> Value {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    let quantile = |percent: usize| {
        let last = values.len().saturating_sub(1);
        values.get((last * percent).div_ceil(100).min(last)).copied().unwrap_or(0)
    };
    let sum: u64 = values.iter().sum();
    let average = sum.checked_div(values.len() as u64).unwrap_or(0);
    json!({
        "min": values.first().copied().unwrap_or(0),
        "max": values.last().copied().unwrap_or(0),
        "avg": average,
        "sum": sum,
        "median": quantile(50),
        "p25": quantile(25),
        "p75": quantile(75),
        "p95": quantile(95),
    })
}

/// States whose duration is told, in the order they are entered.
pub(super) const LIVE_STATES: [ExecutionState; 5] = [
    ExecutionState::Created,
    ExecutionState::Scheduled,
    ExecutionState::Deploying,
    ExecutionState::Initializing,
    ExecutionState::Running,
];

/// How long an execution was in `state`; `None` if it never was.
pub(super) fn time_in(execution: &Execution, state: ExecutionState, now: Now) -> Option<u64> {
    let entered = execution.since.get(&state)?;
    let left = execution.since.values().filter(|at| *at > entered).min().copied().unwrap_or(now);
    // A state left in the very millisecond it was entered is the present one if nothing comes after.
    Some(left.as_millis().saturating_sub(entered.as_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_aggregate_state_is_flinks() {
        use ExecutionState::{Canceling, Created, Failed, Finished, Running, Scheduled};
        for (states, expected) in [
            (vec![Running, Failed, Canceling], Failed),
            (vec![Finished, Finished], Finished),
            (vec![Finished, Scheduled], Running),
            (vec![Scheduled, Created], Created),
            (vec![Running, Canceling], Canceling),
        ] {
            assert_eq!(aggregate(&states), expected, "{states:?}");
        }
    }

    #[test]
    fn statistics_of_none_are_zero() {
        assert_eq!(statistics(std::iter::empty())["p95"], 0);
        let some = statistics([1, 2, 3, 10].into_iter());
        assert_eq!(
            (&some["min"], &some["max"], &some["avg"], &some["sum"]),
            (&json!(1), &json!(10), &json!(4), &json!(16))
        );
    }
}
