//! YARN's JSON of a node, its applications and containers.

use serde_json::{Map, Value, json};

use crate::nodemanager::{ApplicationView, ContainerView, Handle, NodeView};
use crate::protocol::container::ExitCause;
use crate::rest::log_files::files;

/// YARN's exit code of a container that has not ended.
const NOT_ENDED: i32 = -1000;

/// A list as YARN writes it: an empty one is an empty object.
pub(super) fn list(outer: &str, inner: &str, items: Vec<Value>) -> Value {
    let mut content = Map::new();
    if !items.is_empty() {
        content.insert(inner.to_owned(), Value::Array(items));
    }
    json!({ outer: content })
}

pub(super) fn info_json(view: &NodeView) -> Value {
    let live = view.containers.iter().filter(|it| it.exit.is_none());
    let (memory_mb, vcores) =
        live.fold((0, 0), |(memory, vcores), it| (memory + it.resource.memory_mb, vcores + it.resource.vcores));
    let version = env!("CARGO_PKG_VERSION");
    json!({ "nodeInfo": {
        "id": view.node.to_string(),
        "nodeHostName": view.node.host,
        "healthReport": view.health_report,
        "nodeHealthy": view.health_report.is_empty(),
        "lastNodeUpdateTime": view.health_checked_at,
        "totalPmemAllocatedContainersMB": memory_mb,
        "totalVmemAllocatedContainersMB": memory_mb,
        "totalVCoresAllocatedContainers": vcores,
        "pmemCheckEnabled": true,
        "vmemCheckEnabled": false,
        "resourceTypes": "memory-mb (unit=Mi), vcores",
        "nodeManagerVersion": version,
        "nodeManagerBuildVersion": version,
        "nodeManagerVersionBuiltOn": "",
        "hadoopVersion": version,
        "hadoopBuildVersion": version,
        "hadoopVersionBuiltOn": "",
        "nmStartupTime": view.started_at,
        // Ours.
        "totalMemoryMB": view.capability.memory_mb,
        "totalVCores": view.capability.vcores,
        "incarnation": view.incarnation,
        "resourceManagerConnected": view.connected,
    }})
}

pub(super) fn application_json(application: &ApplicationView, view: &NodeView) -> Value {
    let of = |it: &&ContainerView| it.container.attempt.application == application.application;
    let containers: Vec<_> = view.containers.iter().filter(of).map(|it| it.container).collect();
    json!({
        "id": application.application,
        "state": application.state,
        "user": application.user,
        "containerids": containers,
    })
}

pub(super) fn container_json(container: &ContainerView, node: &Handle) -> Value {
    let id = container.container;
    let cause = container.exit.as_ref().map(|exit| &exit.cause);
    let diagnostics = container.exit.as_ref().map(|exit| match exit.diagnostics.as_str() {
        "" => exit.cause.to_string(),
        more => format!("{}\n{more}", exit.cause),
    });
    let mut json = json!({
        "id": id,
        "state": container.state,
        "exitCode": cause.map_or(NOT_ENDED, ExitCause::exit_status),
        "diagnostics": diagnostics.unwrap_or_default(),
        "user": container.user,
        "totalMemoryNeededMB": container.resource.memory_mb,
        "totalVCoresNeeded": container.resource.vcores,
        "executionType": "GUARANTEED",
        "containerLogsLink": format!("{}://{}/ws/v1/node/containers/{id}/logs", node.scheme(), node.node()),
        "nodeId": node.node(),
        "containerLogFiles": files(&node.logs_of(id)).into_iter().map(|(name, ..)| name).collect::<Vec<_>>(),
        // Ours.
        "startedTime": container.accepted_at,
        "memoryUsedMB": container.rss_bytes >> 20,
        "memoryPeakMB": container.peak_mb,
    });
    if let Some(fields) = json.as_object_mut() {
        fields.extend(container.process.map(|process| ("pid".to_owned(), json!(process.pid))));
        fields.extend(cause.map(|cause| ("exitCause".to_owned(), json!(cause))));
    }
    json
}
