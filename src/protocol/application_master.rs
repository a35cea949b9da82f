//! ResourceManager ↔ application master: YARN's `ApplicationMasterProtocol` on a link.
//!
//! The hello *registers*, [`ToResourceManager::Allocate`] carries absolute asks, [`ToResourceManager::Finish`] unregisters.
//! Unlike YARN's polling, the ResourceManager sends an [`AllocateResponse`] as soon as there is something in it, so an
//! application master needs no tick. Foreign masters use the same bodies as plain HTTP requests with `wait_ms`.

use serde::{Deserialize, Serialize};

use super::container::{Allocation, ContainerStatus};
use crate::ids::{ApplicationAttemptId, ContainerId, NodeId};
use crate::resource::Resource;
use crate::rpc::token::Token;

/// Path of the link on the ResourceManager.
pub const PATH: &str = "/link/application-master";

/// Opens the link and registers the master. YARN's `RegisterApplicationMasterRequest`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Register {
    /// The attempt this process is.
    pub attempt: ApplicationAttemptId,
    /// The AM-RM token from the container's environment.
    pub token: Token,
    /// Host the master can be reached at.
    pub host: String,
    /// Port of its links; 0 if it has none.
    pub rpc_port: u16,
    /// Its web interface, proxied under `/proxy/{application}/`.
    pub tracking_url: String,
}

/// YARN's `RegisterApplicationMasterResponse`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Registered {
    /// The largest container that can be asked for.
    pub maximum_capability: Resource,
    /// Asks are rounded up to multiples of this.
    pub minimum_capability: Resource,
    /// The queue the application runs in.
    pub queue: String,
    /// Live containers of earlier attempts, kept for this one.
    #[serde(default)]
    pub containers_from_previous_attempts: Vec<Allocation>,
    /// How long the master may be silent before its attempt is failed, in milliseconds.
    pub expiry_ms: u64,
    /// The ResourceManager's epoch: a master that sees it change sends its whole ask table again. On a link response ids
    /// begin anew then; a master that speaks HTTP counts on.
    pub epoch: u64,
}

/// What a master tells the ResourceManager.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ToResourceManager {
    /// Asks, releases and progress.
    Allocate(AllocateRequest),
    /// The application is done.
    Finish(Finish),
}

/// YARN's `AllocateRequest`. Also acknowledges the response with id `response_id`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AllocateRequest {
    /// Id of the last response received; 0 before the first.
    pub response_id: u64,
    /// From 0 to 1.
    #[serde(default)]
    pub progress: f32,
    /// Rows of the ask table that changed. Each *replaces* the row with its key; a count of 0 removes it.
    #[serde(default)]
    pub asks: Vec<ResourceRequest>,
    /// Containers given back.
    #[serde(default)]
    pub releases: Vec<ContainerId>,
    /// Hosts not to place on from now.
    #[serde(default)]
    pub blacklist_additions: Vec<String>,
    /// Hosts allowed again.
    #[serde(default)]
    pub blacklist_removals: Vec<String>,
    /// A new tracking URL, when it changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking_url: Option<String>,
}

/// One row of the ask table; its key is (priority, allocation request id, resource name, capability). YARN's
/// `ResourceRequest`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceRequest {
    /// Smaller numbers first.
    pub priority: u32,
    /// Groups asks, so a master can tell which one an allocation answers.
    #[serde(default)]
    pub allocation_request_id: u64,
    /// A host, a `/rack`, or `*`.
    pub resource_name: String,
    /// One container's resources.
    pub capability: Resource,
    /// How many containers are wanted in all.
    pub count: u32,
    /// On the `/rack` and `*` rows, `false` means: do not fall back to here.
    #[serde(default = "yes")]
    pub relax_locality: bool,
    /// Only nodes with this label; only on `*` rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_label: Option<String>,
}

/// The resource name that means any node.
pub const ANY: &str = "*";

fn yes() -> bool {
    true
}

/// YARN's `FinishApplicationMasterRequest`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finish {
    /// How it went.
    pub final_status: FinalStatus,
    /// The cause, when it went badly; else a summary.
    #[serde(default)]
    pub diagnostics: String,
    /// Where the finished application can be looked at; may be empty.
    #[serde(default)]
    pub tracking_url: String,
}

/// YARN's `FinalApplicationStatus`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum FinalStatus {
    /// Not ended.
    #[default]
    Undefined,
    /// Ended as it should.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Ended by request.
    Killed,
}

/// What the ResourceManager tells a master.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ToApplicationMaster {
    /// News. Sent when there is any; repeated until acknowledged.
    Allocated(AllocateResponse),
    /// The finish is durable; the master may exit.
    Unregistered,
    /// End at once: the application was killed, or this attempt is not the current one.
    Shutdown {
        /// The reason, in words.
        why: String,
    },
}

/// YARN's `AllocateResponse`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AllocateResponse {
    /// One more than that of the response before.
    pub response_id: u64,
    /// New containers.
    #[serde(default)]
    pub allocated: Vec<Allocation>,
    /// Containers that ended.
    #[serde(default)]
    pub completed: Vec<ContainerStatus>,
    /// What the application could still get now.
    #[serde(default)]
    pub headroom: Resource,
    /// Nodes that came, went, or changed health.
    #[serde(default)]
    pub updated_nodes: Vec<NodeReport>,
    /// Nodes that can run containers.
    #[serde(default)]
    pub cluster_nodes: u32,
    /// For each unsatisfied row of the ask table, why it waits.
    #[serde(default)]
    pub pending: Vec<Pending>,
    /// Every container that is to be taken for another queue, when those are others than before. One that is not among them any
    /// more, and has not ended, stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preempting: Option<Vec<Preempting>>,
    /// A request of the client that its master's job be ended in an orderly way, with the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_requested: Option<String>,
}

/// Why a row of the ask table is not satisfied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Priority of the row.
    pub priority: u32,
    /// Request id of the row.
    pub allocation_request_id: u64,
    /// One container's resources.
    pub capability: Resource,
    /// How many are missing.
    pub count: u32,
    /// One line: `no node has 4096 MB free: 2 nodes, largest free 1024 MB`.
    pub reason: String,
}

/// A container on notice. YARN's `PreemptionContainer`, whose contract is strict: this very container is taken, unless whoever it is
/// for is served before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preempting {
    /// The container.
    pub container: ContainerId,
    /// The queue it is taken for.
    pub queue: String,
    /// How long from now it is left, in milliseconds.
    pub in_ms: u64,
}

/// A node as a master sees it. YARN's `NodeReport`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// The node.
    pub node: NodeId,
    /// Its state.
    pub state: super::node::NodeState,
}
