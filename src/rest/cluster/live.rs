//! What the Web UI listens to: `/live/cluster`, as one answer or as events ([`crate::rest::live`]). An extension to YARN's API;
//! figures that change all the time (used seconds, times of heartbeats) are left to the pages that show them.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use super::error::Error;
use super::overview::cluster_metrics;
use super::{Context, json as in_json};
use crate::resource::Resource;
use crate::resourcemanager::report::{ApplicationReport, ContainerReport, NodeSummary};
use crate::rest::live;
use crate::time::Now;

/// Containers drawn; in a larger cluster the rest is only counted.
const CONTAINERS_MAX: usize = 4000;
/// Applications listed, the newest.
const APPLICATIONS_MAX: usize = 2000;

pub(super) async fn cluster(State(context): State<Context>, headers: HeaderMap) -> Result<Response, Error> {
    live::answer(&headers, move || look(context.clone())).await
}

async fn look(context: Context) -> Result<(Now, Value), Error> {
    let handle = &context.handle;
    let summary = handle.summary().await?;
    let (nodes, containers) = (handle.nodes().await?, handle.live_containers(CONTAINERS_MAX).await?);
    let mut applications = handle.applications().await?;
    applications.sort_by_key(|report| std::cmp::Reverse(report.id));
    applications.truncate(APPLICATIONS_MAX);
    let view = json!({
        "verdicts": handle.diagnosis().await?.verdicts,
        "metrics": cluster_metrics(&summary)["clusterMetrics"],
        "nodes": nodes.iter().map(node).collect::<Vec<_>>(),
        "containers": containers.iter().map(container).collect::<Vec<_>>(),
        "applications": applications.iter().map(application).collect::<Vec<_>>(),
    });
    Ok((handle.now(), view))
}

/// What is the matter with the cluster: an extension.
pub(super) async fn diagnosis(State(context): State<Context>) -> Result<Response, Error> {
    Ok(in_json(&context.handle.diagnosis().await?))
}

/// Memory in MiB, and cores.
fn pair(resource: &Resource) -> Value {
    json!([resource.memory_mb, resource.vcores])
}

fn node(node: &NodeSummary) -> Value {
    let Resource { memory_mb, vcores, .. } = node.capability;
    let reserved = [
        memory_mb.saturating_sub(node.allocated.memory_mb + node.free.memory_mb),
        u64::from(vcores.saturating_sub(node.allocated.vcores + node.free.vcores)),
    ];
    json!({
        "id": node.id.to_string(),
        "http": node.http_address,
        "rack": node.rack,
        "state": node.state,
        "connected": node.connected,
        "health": node.health_report,
        "total": pair(&node.capability),
        "allocated": pair(&node.allocated),
        "reserved": reserved,
        "used": node.used_memory_mb,
        "containersUsed": node.containers_memory_mb,
        "containers": node.containers,
        "version": node.version,
    })
}

fn container(container: &ContainerReport) -> Value {
    json!({
        "id": container.id.to_string(),
        "node": container.node.to_string(),
        "application": container.id.attempt.application.to_string(),
        "resource": pair(&container.resource),
        "priority": container.priority,
        "state": container.state,
    })
}

fn application(report: &ApplicationReport) -> Value {
    json!({
        "id": report.id.to_string(),
        "name": report.name,
        "user": report.user,
        "queue": report.queue,
        "type": report.application_type,
        "tags": report.tags,
        "priority": report.priority,
        "state": report.state,
        "finalStatus": report.final_status,
        "started": report.submitted_at.as_millis(),
        "finished": report.finished_at.map_or(0, Now::as_millis),
        "allocated": pair(&report.allocated),
        "containers": report.running_containers,
        "waiting": report.waiting_reason,
        "diagnostics": report.diagnostics,
        "tracked": report.attempt.as_ref().is_some_and(|attempt| !attempt.tracking_url.is_empty()),
    })
}
