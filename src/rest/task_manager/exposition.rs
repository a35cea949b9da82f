//! `/metrics` of a TaskManager: its workers' memory. What tasks do, the JobManager tells.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::rest::exposition::{Exposition, float, mebibytes};
use crate::taskmanager::{Handle, WorkerView};
use crate::telemetry::metrics;

pub(super) async fn metrics(State(handle): State<Handle>) -> Response {
    match handle.workers().await {
        Some(workers) => expose(&workers).into_response(),
        None => super::failure(StatusCode::SERVICE_UNAVAILABLE, "the TaskManager is busy or stopping; try again"),
    }
}

fn expose(workers: &[WorkerView]) -> Exposition {
    let mut out = Exposition::of("taskmanager");
    out.one(&metrics::TM_WORKERS, &[], float(workers.len() as u64));
    for (metric, read) in [
        (&metrics::TM_WORKER_MEMORY, (|it| float(it.rss_bytes)) as fn(&WorkerView) -> f64),
        (&metrics::TM_WORKER_LIMIT, |it| mebibytes(it.limit_mb)),
    ] {
        let mut family = out.family(metric);
        for worker in workers {
            family.sample(&[("job_id", &worker.worker.job.to_string())], read(worker));
        }
    }
    out
}
