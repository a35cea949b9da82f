//! What the ResourceManager tells of itself, its nodes and applications.

use serde::{Deserialize, Serialize};

use super::{Entries, ResourceObject, one_or_many};
use crate::protocol::application_master::FinalStatus;
use crate::protocol::container::{ContainerState, ExitCause};
use crate::protocol::node::NodeState;
use crate::protocol::submission::ApplicationState;

/// `{"clusterInfo":{…}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterInfoEnvelope {
    /// The inside.
    pub cluster_info: ClusterInfo,
}

/// The ResourceManager itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterInfo {
    /// The cluster timestamp of every application id.
    pub id: u64,
    /// The same.
    pub started_on: u64,
    /// `STARTED`.
    pub state: String,
    /// `ACTIVE`.
    pub ha_state: String,
    /// Name of the store.
    pub rm_state_store_name: String,
    /// Version of flott.
    pub resource_manager_version: String,
    /// The same, with its name.
    pub resource_manager_build_version: String,
    /// When it was built; not recorded.
    pub resource_manager_version_built_on: String,
    /// The Hadoop release whose interface this is.
    pub hadoop_version: String,
    /// The same.
    pub hadoop_build_version: String,
    /// The same.
    pub hadoop_version_built_on: String,
    /// Always that ZooKeeper is not used.
    pub ha_zoo_keeper_connection_state: String,
    /// Extension: grows by one at each restart.
    pub epoch: u64,
}

/// `{"app":{…}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApplicationEnvelope {
    /// The inside.
    pub app: Application,
}

/// `{"apps":{"app":[…]}}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ApplicationsEnvelope {
    /// The inside.
    pub apps: Applications,
}

/// `{"app":[…]}`; the key is absent when there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Applications {
    /// The applications.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub app: Vec<Application>,
}

/// `{"state":"KILLED"}`. Holds the internal state's name when it comes from the ResourceManager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppState {
    /// A state's name.
    pub state: String,
    /// With a request to kill: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnostics: Option<String>,
}

/// An application. YARN's `AppInfo`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the keys are YARN's and are explained in its REST documentation")]
pub struct Application {
    pub id: String,
    pub user: String,
    pub name: String,
    pub queue: String,
    pub state: ApplicationState,
    pub final_status: FinalStatus,
    /// From 0 to 100.
    pub progress: f32,
    #[serde(rename = "trackingUI")]
    pub tracking_ui: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking_url: Option<String>,
    #[serde(default)]
    pub diagnostics: String,
    pub cluster_id: u64,
    pub application_type: String,
    #[serde(default)]
    pub application_tags: String,
    pub priority: u32,
    pub started_time: u64,
    #[serde(default)]
    pub launch_time: u64,
    pub finished_time: u64,
    pub elapsed_time: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub am_container_logs: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub am_host_http_address: Option<String>,
    #[serde(rename = "amRPCAddress", default, skip_serializing_if = "Option::is_none")]
    pub am_rpc_address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_node_id: Option<String>,
    /// -1 when not running, as the four below.
    #[serde(rename = "allocatedMB")]
    pub allocated_mb: i64,
    #[serde(rename = "allocatedVCores")]
    pub allocated_vcores: i64,
    #[serde(rename = "reservedMB")]
    pub reserved_mb: i64,
    #[serde(rename = "reservedVCores")]
    pub reserved_vcores: i64,
    pub running_containers: i64,
    pub memory_seconds: u64,
    pub vcore_seconds: u64,
    pub queue_usage_percentage: f32,
    pub cluster_usage_percentage: f32,
    #[serde(default)]
    pub resource_seconds_map: Entries<String>,
    #[serde(rename = "preemptedResourceMB", default)]
    pub preempted_resource_mb: u64,
    #[serde(rename = "preemptedResourceVCores", default)]
    pub preempted_resource_vcores: u64,
    #[serde(rename = "numNonAMContainerPreempted", default)]
    pub num_non_am_container_preempted: u64,
    #[serde(rename = "numAMContainerPreempted", default)]
    pub num_am_container_preempted: u64,
    #[serde(default)]
    pub preempted_memory_seconds: u64,
    #[serde(default)]
    pub preempted_vcore_seconds: u64,
    #[serde(default)]
    pub preempted_resource_seconds_map: Entries<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_requests: Vec<PendingRequest>,
    #[serde(default)]
    pub log_aggregation_status: String,
    #[serde(default)]
    pub unmanaged_application: bool,
    #[serde(default)]
    pub am_node_label_expression: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<serde_json::Value>,
    /// Extension: grows with each change; for `since`.
    #[serde(default)]
    pub version: u64,
    /// Extension: why it waits, in one line; absent when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_reason: Option<String>,
    /// Extension: how the container of its last master ended; absent while that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_cause: Option<ExitCause>,
    /// Extension: the attempt that runs or ran last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_attempt_id: Option<String>,
    /// Extension: what the master itself calls its tracking URL, not proxied; absent until it has registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_tracking_url: Option<String>,
}

/// A row of an application's ask table. `reason` is an extension.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the keys are YARN's and are explained in its REST documentation")]
pub struct PendingRequest {
    pub priority: u32,
    pub allocation_request_id: u64,
    pub resource_name: String,
    pub capability: ResourceObject,
    pub num_containers: u32,
    pub relax_locality: bool,
    /// Why it is not satisfied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `{"appAttempt":[…]}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApplicationAttempts {
    /// The attempts, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub app_attempt: Vec<ApplicationAttempt>,
}

/// One run of an application's master. The union of YARN's two records of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the keys are YARN's and are explained in its REST documentation")]
pub struct ApplicationAttempt {
    pub id: u32,
    pub app_attempt_id: String,
    pub app_attempt_state: String,
    pub start_time: u64,
    pub started_time: u64,
    pub finished_time: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub am_container_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_http_address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs_link: Option<String>,
    #[serde(default)]
    pub blacklisted_nodes: String,
    #[serde(default)]
    pub nodes_blacklisted_by_system: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpc_port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_tracking_url: Option<String>,
    #[serde(default)]
    pub diagnostics_info: String,
    /// Extension: how the master's container ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_cause: Option<ExitCause>,
}

/// `{"container":[…]}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Containers {
    /// The containers, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub container: Vec<Container>,
}

/// A container as the ResourceManager sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the keys are YARN's and are explained in its REST documentation")]
pub struct Container {
    pub container_id: String,
    #[serde(rename = "allocatedMB")]
    pub allocated_mb: u64,
    #[serde(rename = "allocatedVCores")]
    pub allocated_vcores: u32,
    pub assigned_node_id: String,
    pub priority: u32,
    pub started_time: u64,
    pub finished_time: u64,
    pub elapsed_time: u64,
    #[serde(default)]
    pub diagnostics_info: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_url: Option<String>,
    pub container_exit_status: i32,
    pub container_state: ContainerState,
    pub node_http_address: String,
    pub node_id: String,
    #[serde(default)]
    pub allocated_resources: Entries<String>,
    /// Extension: how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_cause: Option<ExitCause>,
}

/// `{"node":{…}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeEnvelope {
    /// The inside.
    pub node: Node,
}

/// `{"nodes":{"node":[…]}}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodesEnvelope {
    /// The inside.
    pub nodes: Nodes,
}

/// `{"node":[…]}`; the key is absent when there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Nodes {
    /// The nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub node: Vec<Node>,
}

/// A node. YARN's `NodeInfo`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the keys are YARN's and are explained in its REST documentation")]
pub struct Node {
    pub rack: String,
    pub state: NodeState,
    pub id: String,
    pub node_host_name: String,
    #[serde(rename = "nodeHTTPAddress")]
    pub node_http_address: String,
    pub last_health_update: u64,
    pub version: String,
    #[serde(default)]
    pub health_report: String,
    pub num_containers: u64,
    #[serde(rename = "usedMemoryMB")]
    pub used_memory_mb: u64,
    #[serde(rename = "availMemoryMB")]
    pub avail_memory_mb: u64,
    pub used_virtual_cores: u32,
    pub available_virtual_cores: u32,
    #[serde(default)]
    pub num_running_opport_containers: u64,
    #[serde(rename = "usedMemoryOpportGB", default)]
    pub used_memory_opport_gb: u64,
    #[serde(default)]
    pub used_virtual_cores_opport: u64,
    #[serde(default)]
    pub num_queued_containers: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_labels: Vec<String>,
    pub resource_utilization: Utilization,
    pub used_resource: ResourceObject,
    pub available_resource: ResourceObject,
    pub total_resource: ResourceObject,
    /// Extension: whether its link is up; a node without one is lost after the expiry.
    #[serde(default)]
    pub connected: bool,
}

/// What is really used on a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the keys are YARN's and are explained in its REST documentation")]
pub struct Utilization {
    #[serde(rename = "nodePhysicalMemoryMB")]
    pub node_physical_memory_mb: u64,
    #[serde(rename = "nodeVirtualMemoryMB")]
    pub node_virtual_memory_mb: u64,
    #[serde(rename = "nodeCPUUsage")]
    pub node_cpu_usage: f32,
    #[serde(rename = "aggregatedContainersPhysicalMemoryMB")]
    pub aggregated_containers_physical_memory_mb: u64,
    #[serde(rename = "aggregatedContainersVirtualMemoryMB")]
    pub aggregated_containers_virtual_memory_mb: u64,
    #[serde(rename = "containersCPUUsage")]
    pub containers_cpu_usage: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_lists_are_an_empty_object_and_every_form_of_them_is_read() {
        assert_eq!(serde_json::to_string(&ApplicationsEnvelope::default()).unwrap(), r#"{"apps":{}}"#);
        assert_eq!(serde_json::to_string(&NodesEnvelope::default()).unwrap(), r#"{"nodes":{}}"#);
        for json in [r#"{"apps":{}}"#, r#"{"apps":{"app":[]}}"#, r#"{"apps":{"app":null}}"#] {
            assert!(serde_json::from_str::<ApplicationsEnvelope>(json).unwrap().apps.app.is_empty(), "{json}");
        }
    }
}
