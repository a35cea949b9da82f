//! The cluster as a whole: info, metrics, scheduler.

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::error::Error;
use super::{Context, json as answer};
use crate::protocol::node::NodeState;
use crate::protocol::submission::ApplicationState;
use crate::protocol::yarn_rest::{ClusterInfo, ClusterInfoEnvelope, ResourceObject};
use crate::resource::Resource;
use crate::resourcemanager::report::ClusterSummary;

/// The Hadoop release whose REST interface this is.
const HADOOP_VERSION: &str = "3.4.0";
const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) async fn info(State(context): State<Context>) -> Result<Response, Error> {
    let summary = context.handle.summary().await?;
    let cluster_info = ClusterInfo {
        id: summary.identity,
        started_on: summary.identity,
        state: "STARTED".to_owned(),
        ha_state: "ACTIVE".to_owned(),
        rm_state_store_name: "log".to_owned(),
        resource_manager_version: VERSION.to_owned(),
        resource_manager_build_version: format!("flott {VERSION}"),
        resource_manager_version_built_on: String::new(),
        hadoop_version: HADOOP_VERSION.to_owned(),
        hadoop_build_version: HADOOP_VERSION.to_owned(),
        hadoop_version_built_on: String::new(),
        ha_zoo_keeper_connection_state:
            "Could not find leader elector. Verify both HA and automatic failover are enabled.".to_owned(),
        epoch: summary.epoch,
    };
    Ok(answer(&ClusterInfoEnvelope { cluster_info }))
}

pub(super) async fn metrics(State(context): State<Context>) -> Result<Response, Error> {
    let summary = context.handle.summary().await?;
    Ok(answer(&cluster_metrics(&summary)))
}

pub(super) fn cluster_metrics(summary: &ClusterSummary) -> Value {
    use ApplicationState::{Accepted, Failed, Finished, Killed, New, NewSaving, Running, Submitted};
    let apps = |states: &[ApplicationState]| -> usize {
        states.iter().filter_map(|state| summary.applications.get(state)).sum()
    };
    let nodes = |state: NodeState| summary.nodes.iter().find(|(of, _)| *of == state).map_or(0, |(_, count)| *count);
    let free_mb = summary.total.memory_mb.saturating_sub(summary.allocated.memory_mb);
    let free_vcores = summary.total.vcores.saturating_sub(summary.allocated.vcores);
    let active = nodes(NodeState::Running) + nodes(NodeState::Decommissioning);
    json!({ "clusterMetrics": {
        "appsSubmitted": summary.applications.values().sum::<usize>(),
        "appsCompleted": apps(&[Finished]),
        "appsPending": apps(&[New, NewSaving, Submitted, Accepted]),
        "appsRunning": apps(&[Running]),
        "appsFailed": apps(&[Failed]),
        "appsKilled": apps(&[Killed]),
        "reservedMB": 0,
        "availableMB": free_mb,
        "allocatedMB": summary.allocated.memory_mb,
        "pendingMB": summary.pending.memory_mb,
        "reservedVirtualCores": 0,
        "availableVirtualCores": free_vcores,
        "allocatedVirtualCores": summary.allocated.vcores,
        "pendingVirtualCores": summary.pending.vcores,
        "containersAllocated": summary.containers,
        "containersReserved": 0,
        "containersPending": summary.containers_pending,
        "totalMB": summary.total.memory_mb,
        "totalVirtualCores": summary.total.vcores,
        "totalNodes": active + nodes(NodeState::Unhealthy),
        "lostNodes": nodes(NodeState::Lost),
        "unhealthyNodes": nodes(NodeState::Unhealthy),
        "decommissioningNodes": nodes(NodeState::Decommissioning),
        "decommissionedNodes": nodes(NodeState::Decommissioned),
        "rebootedNodes": nodes(NodeState::Rebooted),
        "activeNodes": active,
        "shutdownNodes": nodes(NodeState::Shutdown),
        "totalUsedResourcesAcrossPartition": ResourceObject::from(&summary.allocated),
        "totalClusterResourcesAcrossPartition": ResourceObject::from(&summary.total),
        "totalReservedResourcesAcrossPartition": ResourceObject::from(&Resource::default()),
        "totalAllocatedContainersAcrossPartition": summary.containers,
        "crossPartitionMetricsAvailable": true,
    }})
}
