//! From the ResourceManager's reports to YARN's objects.

use std::collections::BTreeMap;

use serde_json::json;

use super::timeouts::shown as timeout;
use crate::protocol::application_master::FinalStatus;
use crate::protocol::submission::ApplicationState;
use crate::protocol::yarn_rest::{
    Application, ApplicationAttempt, Container, Entries, Node, PendingRequest, ResourceObject, Utilization,
};
use crate::resource::Resource;
use crate::resourcemanager::report::{ApplicationReport, AttemptReport, ContainerReport, NodeSummary};
use crate::time::Now;

/// `rm`: address of the ResourceManager for links; `total`: the cluster's resources.
pub(super) fn application(report: &ApplicationReport, rm: &str, total: &Resource, now: Now) -> Application {
    let runs = !report.state.is_terminal();
    let when_running = |amount: u64| if runs { i64::try_from(amount).unwrap_or(i64::MAX) } else { -1 };
    let attempt = report.attempt.as_ref();
    let registered = attempt.is_some_and(|attempt| attempt.rpc_address.is_some());
    let (tracking_ui, tracking_url) = if !runs {
        ("History", Some(format!("{rm}/cluster/app/{}", report.id)))
    } else if registered {
        ("ApplicationMaster", Some(format!("{rm}/proxy/{}/", report.id)))
    } else {
        ("UNASSIGNED", None)
    };
    let master = attempt.and_then(|attempt| attempt.master.as_ref());
    let finished_time = report.finished_at.map_or(0, Now::as_millis);
    let until = report.finished_at.unwrap_or(now);
    let used_percent = percentage(&report.allocated, total);
    Application {
        id: report.id.to_string(),
        user: report.user.clone(),
        name: report.name.clone(),
        queue: report.queue.clone(),
        state: report.state,
        final_status: report.final_status,
        progress: report.progress * 100.0,
        tracking_ui: tracking_ui.to_owned(),
        tracking_url,
        diagnostics: report.diagnostics.clone(),
        cluster_id: report.id.cluster_timestamp,
        application_type: report.application_type.clone(),
        application_tags: report.tags.join(","),
        priority: report.priority,
        started_time: report.submitted_at.as_millis(),
        launch_time: report.launched_at.map_or(0, Now::as_millis),
        finished_time,
        elapsed_time: until.as_millis().saturating_sub(report.submitted_at.as_millis()),
        am_container_logs: master.map(|(container, _, http)| logs_url(&node_url(rm, http), container, &report.user)),
        am_host_http_address: master.map(|(_, _, http)| http.clone()),
        am_rpc_address: attempt
            .and_then(|attempt| attempt.rpc_address.as_ref())
            .map(|(host, port)| format!("{host}:{port}")),
        master_node_id: master.map(|(_, node, _)| node.to_string()),
        allocated_mb: when_running(report.allocated.memory_mb),
        allocated_vcores: when_running(u64::from(report.allocated.vcores)),
        reserved_mb: when_running(0),
        reserved_vcores: when_running(0),
        running_containers: when_running(report.running_containers as u64),
        memory_seconds: report.memory_seconds,
        vcore_seconds: report.vcore_seconds,
        queue_usage_percentage: used_percent,
        cluster_usage_percentage: used_percent,
        resource_seconds_map: Entries(BTreeMap::from([
            ("memory-mb".to_owned(), report.memory_seconds.to_string()),
            ("vcores".to_owned(), report.vcore_seconds.to_string()),
        ])),
        preempted_resource_mb: report.preempted.resource.memory_mb,
        preempted_resource_vcores: u64::from(report.preempted.resource.vcores),
        num_non_am_container_preempted: report.preempted.workers,
        num_am_container_preempted: report.preempted.masters,
        preempted_memory_seconds: 0,
        preempted_vcore_seconds: 0,
        preempted_resource_seconds_map: Entries::default(),
        resource_requests: report.pending.iter().map(pending).collect(),
        log_aggregation_status: "DISABLED".to_owned(),
        unmanaged_application: false,
        am_node_label_expression: String::new(),
        timeouts: Some(json!({ "timeout": [timeout(report.ends_by.filter(|_| runs), now)] })),
        version: report.version,
        waiting_reason: report.waiting_reason.clone(),
        exit_cause: attempt.and_then(|attempt| attempt.exit.clone()),
        current_attempt_id: attempt.map(|attempt| attempt.id.to_string()),
        original_tracking_url: attempt.map(|attempt| attempt.tracking_url.clone()).filter(|url| !url.is_empty()),
    }
}

fn pending(pending: &crate::protocol::application_master::Pending) -> PendingRequest {
    PendingRequest {
        priority: pending.priority,
        allocation_request_id: pending.allocation_request_id,
        resource_name: crate::protocol::application_master::ANY.to_owned(),
        capability: ResourceObject::from(&pending.capability),
        num_containers: pending.count,
        relax_locality: true,
        reason: Some(pending.reason.clone()),
    }
}

/// Of memory, in percent.
#[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
pub(super) fn percentage(used: &Resource, total: &Resource) -> f32 {
    if total.memory_mb == 0 { 0.0 } else { used.memory_mb as f32 * 100.0 / total.memory_mb as f32 }
}

/// Of a node, which speaks as the ResourceManager does.
fn node_url(rm: &str, http_address: &str) -> String {
    let scheme = rm.split_once("://").map_or("http", |(scheme, _)| scheme);
    format!("{scheme}://{http_address}")
}

fn logs_url(node: &str, container: impl std::fmt::Display, user: &str) -> String {
    format!("{node}/node/containerlogs/{container}/{user}")
}

pub(super) fn attempt(report: &AttemptReport, user: &str, rm: &str) -> ApplicationAttempt {
    let master = report.master.as_ref();
    let container = master.map(|(container, _, _)| container.to_string());
    let registered = report.rpc_address.as_ref();
    ApplicationAttempt {
        id: report.id.attempt,
        app_attempt_id: report.id.to_string(),
        app_attempt_state: report.state.clone(),
        start_time: report.started_at.as_millis(),
        started_time: report.started_at.as_millis(),
        finished_time: report.finished_at.map_or(0, Now::as_millis),
        container_id: container.clone(),
        am_container_id: container,
        node_http_address: master.map(|(_, _, http)| http.clone()),
        node_id: master.map(|(_, node, _)| node.to_string()),
        logs_link: master.map(|(container, _, http)| logs_url(&node_url(rm, http), container, user)),
        blacklisted_nodes: report.blacklist.join(","),
        nodes_blacklisted_by_system: report.avoided.join(","),
        host: registered.map(|(host, _)| host.clone()),
        rpc_port: registered.map(|(_, port)| *port),
        tracking_url: registered.map(|_| format!("{rm}/proxy/{}/", report.id.application)),
        original_tracking_url: Some(report.tracking_url.clone()).filter(|url| !url.is_empty()),
        diagnostics_info: report.diagnostics.clone(),
        exit_cause: report.exit.clone(),
    }
}

/// YARN's exit status of a container that has not ended.
const EXIT_STATUS_NONE: i32 = -1000;

pub(super) fn container(report: &ContainerReport, rm: &str, now: Now) -> Container {
    let node = node_url(rm, &report.http_address);
    let until = report.finished_at.unwrap_or(now);
    let cause = report.exit.as_ref().map(|exit| exit.cause.clone());
    let diagnostics = report.exit.as_ref().map(|exit| {
        if exit.diagnostics.is_empty() {
            exit.cause.to_string()
        } else {
            format!("{}: {}", exit.cause, exit.diagnostics)
        }
    });
    Container {
        container_id: report.id.to_string(),
        allocated_mb: report.resource.memory_mb,
        allocated_vcores: report.resource.vcores,
        assigned_node_id: report.node.to_string(),
        priority: report.priority,
        started_time: report.started_at.as_millis(),
        finished_time: report.finished_at.map_or(0, Now::as_millis),
        elapsed_time: until.as_millis().saturating_sub(report.started_at.as_millis()),
        diagnostics_info: diagnostics.unwrap_or_default(),
        log_url: Some(logs_url(&node, report.id, &report.user)),
        container_exit_status: cause.as_ref().map_or(EXIT_STATUS_NONE, |cause| cause.exit_status()),
        container_state: report.state,
        node_http_address: node,
        node_id: report.node.to_string(),
        allocated_resources: Entries(BTreeMap::from([
            ("memory-mb".to_owned(), report.resource.memory_mb.to_string()),
            ("vcores".to_owned(), report.resource.vcores.to_string()),
        ])),
        exit_cause: cause,
    }
}

pub(super) fn node(summary: &NodeSummary) -> Node {
    Node {
        rack: summary.rack.clone(),
        state: summary.state,
        id: summary.id.to_string(),
        node_host_name: summary.id.host.clone(),
        node_http_address: summary.http_address.clone(),
        last_health_update: summary.last_health_update.as_millis(),
        version: summary.version.clone(),
        health_report: summary.health_report.clone(),
        num_containers: summary.containers as u64,
        used_memory_mb: summary.allocated.memory_mb,
        avail_memory_mb: summary.free.memory_mb,
        used_virtual_cores: summary.allocated.vcores,
        available_virtual_cores: summary.free.vcores,
        num_running_opport_containers: 0,
        used_memory_opport_gb: 0,
        used_virtual_cores_opport: 0,
        num_queued_containers: 0,
        node_labels: Vec::new(),
        resource_utilization: Utilization {
            node_physical_memory_mb: summary.used_memory_mb,
            aggregated_containers_physical_memory_mb: summary.containers_memory_mb,
            ..Utilization::default()
        },
        used_resource: ResourceObject::from(&summary.allocated),
        available_resource: ResourceObject::from(&summary.free),
        total_resource: ResourceObject::from(&summary.capability),
        connected: summary.connected,
    }
}

/// How YARN's state filters spell a state.
pub(super) fn states() -> [ApplicationState; 8] {
    use ApplicationState::{Accepted, Failed, Finished, Killed, New, NewSaving, Running, Submitted};
    [New, NewSaving, Submitted, Accepted, Running, Finished, Failed, Killed]
}

/// YARN's name of a final status.
pub(super) fn final_status_name(status: FinalStatus) -> &'static str {
    match status {
        FinalStatus::Undefined => "UNDEFINED",
        FinalStatus::Succeeded => "SUCCEEDED",
        FinalStatus::Failed => "FAILED",
        FinalStatus::Killed => "KILLED",
    }
}
