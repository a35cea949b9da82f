//! `/metrics` of a NodeManager.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::Failure;
use crate::nodemanager::{Handle, NodeView};
use crate::rest::exposition::{Exposition, float, mebibytes};
use crate::telemetry::metrics;

pub(super) async fn metrics(State(node): State<Handle>) -> Result<Response, Failure> {
    let view = node.view().await?;
    Ok(expose(&view).into_response())
}

fn expose(view: &NodeView) -> Exposition {
    let mut out = Exposition::of("nodemanager");
    let live: Vec<_> = view.containers.iter().filter(|container| container.exit.is_none()).collect();
    out.one(&metrics::NM_MEMORY, &[], mebibytes(view.capability.memory_mb));
    out.one(&metrics::NM_MEMORY_ALLOCATED, &[], live.iter().map(|it| mebibytes(it.resource.memory_mb)).sum());
    out.one(&metrics::NM_MEMORY_USED, &[], live.iter().map(|it| float(it.rss_bytes)).sum());
    let mut states = BTreeMap::<&str, u64>::new();
    for container in &view.containers {
        *states.entry(container.state).or_default() += 1;
    }
    let mut containers = out.family(&metrics::NM_CONTAINERS);
    for (state, count) in states {
        containers.sample(&[("state", state)], float(count));
    }
    out.one(&metrics::NM_HEALTHY, &[], f64::from(u8::from(view.health_report.is_empty())));
    out.one(&metrics::NM_CONNECTED, &[], f64::from(u8::from(view.connected)));
    out
}
