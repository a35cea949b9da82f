//! `/metrics` of a JobManager: itself, its jobs, and their vertices. The number of series grows with vertices, not with subtasks;
//! `?subtasks=true` tells each subtask apart.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

use super::answer::{Query, Result};
use crate::graph::task::ExecutionState;
use crate::jobmanager::Handle;
use crate::jobmanager::core::Core;
use crate::jobmanager::diagnosis;
use crate::jobmanager::job::Job;
use crate::jobmanager::job_master::{Execution, JobMaster, Rates};
use crate::protocol::job::JobStatus;
use crate::rest::exposition::{Exposition, float, seconds};
use crate::telemetry::metrics::{self, Metric};
use crate::time::Now;

pub(super) fn routes() -> Router<Handle> {
    Router::new().route("/metrics", get(metrics))
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    subtasks: bool,
}

async fn metrics(State(handle): State<Handle>, Query(wanted): Query<Wanted>) -> Result<Response> {
    let exposition = handle.view(move |core, now| expose(core, now, wanted.subtasks)).await?;
    Ok(exposition.into_response())
}

/// All that a JobManager tells.
pub(super) fn expose(core: &Core, now: Now, by_subtask: bool) -> Exposition {
    let mut out = Exposition::of("jobmanager");
    cluster(core, &mut out);
    // Of jobs that have ended nothing changes any more.
    let live: Vec<&Job> = core.jobs().filter(|job| job.outcome().is_none()).collect();
    jobs(&live, now, &mut out);
    let tasks: Vec<Task<'_>> = live.iter().flat_map(|job| tasks(job, by_subtask)).collect();
    subtask_states(&live, &mut out);
    for (metric, read) in SUMS {
        let mut family = out.family(metric);
        for task in &tasks {
            family.sample(&task.labels(), task.executions.iter().map(|execution| read(execution)).sum());
        }
    }
    for (metric, read) in LARGEST {
        let mut family = out.family(metric);
        for task in &tasks {
            if let Some(largest) = task.executions.iter().filter_map(|execution| read(execution)).reduce(f64::max) {
                family.sample(&task.labels(), largest);
            }
        }
    }
    let mut family = out.family(&metrics::TASK_WATERMARK);
    for task in &tasks {
        if let Some(slowest) = task.executions.iter().filter_map(|execution| execution.metrics.input_watermark).min() {
            family.sample(&task.labels(), slowest.0 as f64 / 1000.0);
        }
    }
    held_back(&live, &mut out);
    out
}

fn held_back(live: &[&Job], out: &mut Exposition) {
    let mut family = out.family(&metrics::TASK_HELD_BACK);
    for job in live {
        let Some(master) = job.master() else { continue };
        for (index, task) in tasks(job, false).iter().enumerate() {
            let Some(held) = diagnosis::held_back(master, index) else { continue };
            let mut labels = task.labels();
            labels.push(("by", &master.graph().vertices[held.by].name));
            family.sample(&labels, held.behind_ms.map_or(f64::INFINITY, seconds));
        }
    }
}

fn cluster(core: &Core, out: &mut Exposition) {
    let (slots, free) = core.pool().totals();
    out.one(&metrics::JM_TASK_MANAGERS, &[], float(core.task_managers().len() as u64));
    out.one(&metrics::JM_SLOTS, &[], f64::from(slots));
    out.one(&metrics::JM_SLOTS_FREE, &[], f64::from(free));
    let mut jobs = out.family(&metrics::JM_JOBS);
    for status in JobStatus::ALL {
        let count = core.jobs().filter(|job| job.status() == status).count();
        jobs.sample(&[("state", status.as_str())], float(count as u64));
    }
}

type OfJob = (&'static Metric, fn(&Job, Now) -> Option<f64>);

const OF_JOBS: [OfJob; 9] = [
    (&metrics::JOB_UP, |job, _| Some(f64::from(u8::from(job.status() == JobStatus::Running)))),
    (&metrics::JOB_UPTIME, |job, now| Some(seconds(now.as_millis().saturating_sub(job.submitted.as_millis())))),
    (&metrics::JOB_RESTARTS, |job, _| Some(f64::from(job.master()?.restarts()))),
    (&metrics::JOB_FAILURES, |job, _| Some(float(job.master()?.failures().len() as u64))),
    (&metrics::JOB_CHECKPOINTS, |job, _| Some(float(job.master()?.checkpoint_history().completed_count()))),
    (&metrics::JOB_CHECKPOINTS_FAILED, |job, _| Some(float(job.master()?.checkpoint_history().failed_count()))),
    (&metrics::JOB_CHECKPOINT_DURATION, |job, _| {
        let latest = job.master()?.checkpoint_history().latest_completed()?;
        Some(seconds(latest.ended?.as_millis().saturating_sub(latest.triggered.as_millis())))
    }),
    (&metrics::JOB_CHECKPOINT_SIZE, |job, _| {
        Some(float(job.master()?.checkpoint_history().latest_completed()?.state_bytes))
    }),
    (&metrics::JOB_CHECKPOINT_AGE, |job, now| {
        let latest = job.master()?.checkpoint_history().latest_completed()?;
        Some(seconds(now.as_millis().saturating_sub(latest.triggered.as_millis())))
    }),
];

fn jobs(live: &[&Job], now: Now, out: &mut Exposition) {
    for (metric, read) in OF_JOBS {
        let mut family = out.family(metric);
        for job in live {
            if let Some(value) = read(job, now) {
                family.sample(&[("job", job.name()), ("job_id", &job.id().to_string())], value);
            }
        }
    }
}

/// A vertex, or one subtask of it.
struct Task<'a> {
    job: &'a str,
    job_id: String,
    vertex: &'a str,
    vertex_id: String,
    subtask: Option<String>,
    executions: Vec<&'a Execution>,
}

impl Task<'_> {
    fn labels(&self) -> Vec<(&str, &str)> {
        let mut labels =
            vec![("job", self.job), ("job_id", &*self.job_id), ("task", self.vertex), ("task_id", &*self.vertex_id)];
        labels.extend(self.subtask.as_deref().map(|subtask| ("subtask", subtask)));
        labels
    }
}

fn tasks(job: &Job, by_subtask: bool) -> Vec<Task<'_>> {
    let Some(master) = job.master() else { return Vec::new() };
    let task = |index: usize, subtask: Option<usize>| {
        let vertex = &master.graph().vertices[index];
        let all = executions(master, index);
        Task {
            job: job.name(),
            job_id: job.id().to_string(),
            vertex: &vertex.name,
            vertex_id: vertex.id.to_string(),
            subtask: subtask.map(|subtask| subtask.to_string()),
            executions: subtask.map_or(all.clone(), |subtask| vec![all[subtask]]),
        }
    };
    let vertices = 0..master.graph().vertices.len();
    if !by_subtask {
        return vertices.map(|index| task(index, None)).collect();
    }
    let subtasks = |index: usize| 0..master.execution().vertices[index].len();
    vertices
        .flat_map(|index| subtasks(index).map(move |subtask| (index, subtask)))
        .map(|(index, subtask)| task(index, Some(subtask)))
        .collect()
}

fn executions(master: &JobMaster, index: usize) -> Vec<&Execution> {
    master.execution().vertices[index].iter().map(|subtask| &subtask.current).collect()
}

fn subtask_states(live: &[&Job], out: &mut Exposition) {
    let mut family = out.family(&metrics::TASK_SUBTASKS);
    for task in live.iter().flat_map(|job| tasks(job, false)) {
        for state in ExecutionState::ALL {
            let count = task.executions.iter().filter(|execution| execution.state == state).count();
            if count > 0 {
                let mut labels = task.labels();
                labels.push(("state", state.as_str()));
                family.sample(&labels, float(count as u64));
            }
        }
    }
}

type Sum = (&'static Metric, fn(&Execution) -> f64);
const SUMS: [Sum; 8] = [
    (&metrics::TASK_RECORDS_IN, |it| float(it.metrics.records_in)),
    (&metrics::TASK_RECORDS_OUT, |it| float(it.metrics.records_out)),
    (&metrics::TASK_BYTES_IN, |it| float(it.metrics.bytes_in)),
    (&metrics::TASK_BYTES_OUT, |it| float(it.metrics.bytes_out)),
    (&metrics::TASK_BAD_RECORDS, |it| float(it.metrics.bad_records)),
    (&metrics::TASK_BUSY, |it| seconds(it.metrics.busy_ms)),
    (&metrics::TASK_IDLE, |it| seconds(it.metrics.idle_ms)),
    (&metrics::TASK_BACKPRESSURED, |it| seconds(it.metrics.backpressured_ms)),
];

type Largest = (&'static Metric, fn(&Execution) -> Option<f64>);
const LARGEST: [Largest; 3] = [
    (&metrics::TASK_BUSY_MOST, |it| rates(it).map(|rates| seconds(rates.busy_ms))),
    (&metrics::TASK_BACKPRESSURED_MOST, |it| rates(it).map(|rates| seconds(rates.backpressured_ms))),
    (&metrics::TASK_HOT_KEY, |it| Some(seconds(it.metrics.hot_key_permille)).filter(|share| *share > 0.0)),
];

fn rates(execution: &Execution) -> Option<Rates> {
    execution.rates.filter(|_| !execution.state.is_terminal())
}
