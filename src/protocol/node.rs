//! ResourceManager ↔ NodeManager on a link, and what anybody asks of a node over HTTP.
//!
//! YARN's `ResourceTracker` (register, heartbeat) and `ContainerManagementProtocol` (start, stop).

use serde::{Deserialize, Serialize};

use super::container::{ContainerStatus, LaunchContext};
use crate::ids::{ApplicationId, ContainerId, NodeId};
use crate::resource::Resource;
use crate::rpc::token::Token;

/// Path of the link on the ResourceManager.
pub const PATH: &str = "/link/node";
/// Path under which a node takes [`StartContainer`] (POST) and lists its containers (GET).
pub const CONTAINERS_PATH: &str = "/ws/v1/node/containers";

/// Opens the link and registers the node. YARN's `RegisterNodeManagerRequest`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Register {
    /// The node.
    pub node: NodeId,
    /// `host:port` where it answers HTTP.
    pub http_address: String,
    /// What it offers in all.
    pub capability: Resource,
    /// Its rack, as `/name`; absent: that of all nodes that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<String>,
    /// Its label: it belongs to the part of the cluster that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Counts starts of this NodeManager on its directory, from 1.
    pub incarnation: u64,
    /// Containers it has, running or ended and not yet acknowledged.
    #[serde(default)]
    pub containers: Vec<ContainerStatus>,
    /// Applications it still keeps directories of.
    #[serde(default)]
    pub applications: Vec<ApplicationId>,
    /// What its programs must be built for.
    pub platform: Platform,
    /// The cluster secret, where one is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// flott's version.
    pub version: String,
}

/// What a node can run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `x86_64`, `aarch64`.
    pub architecture: String,
    /// `2.36`; absent where the C library is not glibc.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glibc: Option<String>,
}

/// YARN's `RegisterNodeManagerResponse`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Registered {
    /// The ResourceManager's identity: its store's timestamp.
    pub resource_manager: u64,
    /// Its epoch: grows by one at each restart.
    pub epoch: u64,
    /// Key that container tokens are signed with, in hex.
    pub container_token_key: String,
    /// Silence after which the node is lost, in milliseconds.
    pub expiry_ms: u64,
}

/// What a node tells the ResourceManager.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ToResourceManager {
    /// Containers whose state changed.
    ContainersChanged {
        /// Their states now.
        containers: Vec<ContainerStatus>,
    },
    /// Whether the node can take containers.
    Health {
        /// Whether it can.
        healthy: bool,
        /// Why not.
        report: String,
    },
    /// What is really used.
    Utilization {
        /// Memory used on the whole machine, in MiB.
        node_memory_mb: u64,
        /// Memory used by containers, in MiB.
        containers_memory_mb: u64,
    },
    /// The node leaves in order; its containers have ended.
    Unregister,
}

/// What the ResourceManager tells a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ToNode {
    /// Start an application's master.
    StartContainer(StartContainer),
    /// Stop containers.
    StopContainers {
        /// Which.
        containers: Vec<ContainerId>,
        /// Why: becomes their exit cause.
        cause: super::container::ExitCause,
    },
    /// Applications that ended: stop what is left of them, delete their directories.
    ApplicationsFinished {
        /// Which.
        applications: Vec<ApplicationId>,
    },
    /// Ended containers whose status is durable here and known to their master; the node may forget them.
    CompletionsAcknowledged {
        /// Which.
        containers: Vec<ContainerId>,
    },
    /// Stop for good: excluded, or of a version that is not served.
    Shutdown {
        /// The reason, in words.
        why: String,
    },
}

/// A request to start a container, by link (from the ResourceManager) or POST (from an application's master).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StartContainer {
    /// The right to start it.
    pub token: Token,
    /// What to launch.
    pub context: LaunchContext,
}

/// Answer to a POSTed [`StartContainer`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Started {
    /// The container, accepted and being localised.
    pub container: ContainerId,
}

/// A request to stop containers (POST to `…/containers/stop`); the token of any of the master's containers proves the right.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StopContainers {
    /// The tokens of the containers to stop.
    pub tokens: Vec<Token>,
}

/// Where a node stands. YARN's `NodeState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum NodeState {
    /// Registered, not yet counted.
    New,
    /// Takes containers.
    Running,
    /// Registered but unfit.
    Unhealthy,
    /// Takes no new containers and leaves when empty.
    Decommissioning,
    /// Excluded.
    Decommissioned,
    /// Silent for too long.
    Lost,
    /// Came back without its containers.
    Rebooted,
    /// Left in order.
    Shutdown,
}

impl std::fmt::Display for NodeState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::New => "NEW",
            Self::Running => "RUNNING",
            Self::Unhealthy => "UNHEALTHY",
            Self::Decommissioning => "DECOMMISSIONING",
            Self::Decommissioned => "DECOMMISSIONED",
            Self::Lost => "LOST",
            Self::Rebooted => "REBOOTED",
            Self::Shutdown => "SHUTDOWN",
        })
    }
}
