//! What the Web UI draws, once a second: little enough for a thousand jobs or a graph of three hundred vertices. What does not
//! change (the plan, the configuration) it asks for once elsewhere.

use serde_json::{Map, Value, json};

use super::cluster::overview;
use super::figures::{aggregate, moment};
use super::plan::job_type;
use crate::graph::task::ExecutionState;
use crate::jobmanager::core::Core;
use crate::jobmanager::diagnosis::{diagnose, held_back};
use crate::jobmanager::job::Job;
use crate::jobmanager::job_master::{CheckpointRecord, Execution, JobMaster, Rates};
use crate::protocol::diagnosis::Diagnosis;
use crate::time::Now;

/// How many subtasks are in each state that any is in.
fn tasks<'a>(states: impl Iterator<Item = &'a ExecutionState>) -> Value {
    let mut counts = Map::new();
    for state in states {
        let count = counts.entry(state.as_str()).or_insert_with(|| json!(0));
        *count = json!(count.as_u64().unwrap_or(0) + 1);
    }
    counts.into()
}

/// `/live/cluster`.
pub(in super::super) fn cluster(core: &Core) -> Value {
    json!({ "overview": overview(core), "jobs": core.jobs().map(|job| brief(core, job)).collect::<Vec<_>>() })
}

fn brief(core: &Core, job: &Job) -> Value {
    let states = job.master().into_iter().flat_map(|master| master.execution().subtasks());
    let states: Vec<ExecutionState> = states.map(|(_, subtask)| subtask.current.state).collect();
    let mut brief = json!({
        "jid": job.id(),
        "name": job.name(),
        "state": job.status(),
        "start": job.submitted.as_millis(),
        "end": moment(job.outcome().map(|outcome| outcome.at)),
        "tasks": tasks(states.iter()),
    });
    if let Some(why) = core.why_waiting(job.id()).or_else(|| job.failure().map(ToString::to_string)) {
        brief["why"] = json!(why);
    }
    brief
}

/// `/live/jobs/:id`.
pub(in super::super) fn job(core: &Core, job: &Job, now: Now) -> Value {
    let mut body = json!({
        "jid": job.id(),
        "name": job.name(),
        "state": job.status(),
        "type": job_type(job),
        "start": job.submitted.as_millis(),
        "end": moment(job.outcome().map(|outcome| outcome.at)),
        "waiting": core.why_waiting(job.id()),
        "failure": job.failure().map(ToString::to_string),
        "verdicts": diagnose(core, job, now),
        "vertices": [],
    });
    if let Some(master) = job.master() {
        body["since"] = master.since().iter().map(|(status, at)| json!([status, at.as_millis()])).collect();
        body["restarts"] = json!(master.restarts());
        body["failures"] = json!(master.failures().len());
        body["vertices"] = (0..master.graph().vertices.len()).map(|index| vertex(master, index)).collect();
        body["checkpoints"] = checkpoints(master);
    }
    body
}

/// Mean and largest.
fn spread(values: &[u64]) -> Value {
    let mean = values.iter().sum::<u64>().checked_div(values.len() as u64).unwrap_or(0);
    json!([mean, values.iter().max().copied().unwrap_or(0)])
}

fn vertex(master: &JobMaster, index: usize) -> Value {
    let vertex = &master.graph().vertices[index];
    let executions: Vec<&Execution> =
        master.execution().vertices[index].iter().map(|subtask| &subtask.current).collect();
    let states: Vec<ExecutionState> = executions.iter().map(|execution| execution.state).collect();
    let rates: Vec<Rates> = executions.iter().filter(|it| !it.state.is_terminal()).filter_map(|it| it.rates).collect();
    let sum = |read: fn(&Execution) -> u64| executions.iter().map(|it| read(it)).sum::<u64>();
    let share = |read: fn(&Rates) -> u64| spread(&rates.iter().map(read).collect::<Vec<_>>());
    let start = executions.iter().filter_map(|it| it.started_at()).min();
    let end = executions.iter().map(|it| it.ended_at()).collect::<Option<Vec<_>>>();
    json!({
        "id": vertex.id,
        "name": vertex.name,
        "parallelism": vertex.parallelism,
        "status": aggregate(&states),
        "tasks": tasks(states.iter()),
        "start": moment(start),
        "end": moment(end.and_then(|ends| ends.into_iter().max())),
        "records": [sum(|it| it.metrics.records_in), sum(|it| it.metrics.records_out)],
        "bytes": [sum(|it| it.metrics.bytes_in), sum(|it| it.metrics.bytes_out)],
        "rate": [rates.iter().map(|it| it.records_in).sum::<u64>(), rates.iter().map(|it| it.records_out).sum::<u64>()],
        "rated": !rates.is_empty(),
        "busy": share(|it| it.busy_ms),
        "backpressured": share(|it| it.backpressured_ms),
        "idle": share(|it| it.idle_ms),
        "input": spread(&executions.iter().map(|it| it.metrics.records_in).collect::<Vec<_>>()),
        "hot": executions.iter().map(|it| it.metrics.hot_key_permille).max().unwrap_or(0),
        "hot-key": executions.iter().max_by_key(|it| it.metrics.hot_key_permille).and_then(|it| it.hot_key.clone()),
        "bad": sum(|it| it.metrics.bad_records),
        // Of the slowest subtask; none before the first, and for sources.
        "watermark": executions.iter().filter_map(|it| it.metrics.input_watermark).min(),
        // The input that it waits for, if others are further.
        "held-back": held_back(master, index).map(|held| {
            let by = &master.graph().vertices[held.by];
            json!({ "subtask": held.subtask, "by": by.id, "name": by.name, "by-subtask": held.by_subtask, "behind": held.behind_ms })
        }),
    })
}

fn checkpoints(master: &JobMaster) -> Value {
    let history = master.checkpoint_history();
    let latest = |record: Option<&CheckpointRecord>| {
        record.map(|it| {
            let duration = it.ended.map(|ended| ended.as_millis().saturating_sub(it.triggered.as_millis()));
            json!({ "id": it.checkpoint, "at": it.triggered, "duration": duration, "bytes": it.state_bytes })
        })
    };
    json!({
        "interval": master.checkpoint_settings().interval.map(|interval| u64::try_from(interval.as_millis()).unwrap_or(u64::MAX)),
        "completed": history.completed_count(),
        "failed": history.failed_count(),
        "running": history.in_progress_count(),
        "latest": latest(history.latest_completed()),
        "latest-failed": latest(history.latest_failed()),
    })
}

/// `/jobs/:id/diagnosis`.
pub(in super::super) fn diagnosis(core: &Core, job: &Job, now: Now) -> Value {
    let verdicts = diagnose(core, job, now);
    json!(Diagnosis { jid: job.id(), name: job.name().to_owned(), state: job.status(), verdicts })
}
