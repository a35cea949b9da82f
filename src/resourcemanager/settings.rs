//! What the core must know of the configuration.

use std::time::Duration;

use super::asks::Bounds;
use super::scheduler::Placement;
use crate::config::QueuesConfig;
use crate::resource::Resource;
use crate::rpc::ClusterSecret;

/// Limits and timeouts of the core. The defaults are DESIGN's, where a contract's would break a promise.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `host:port` that masters reach the ResourceManager at.
    pub address: String,
    /// flott's version; nodes of another minor version are refused.
    pub version: String,
    /// What nodes must show, where one is configured.
    pub secret: Option<ClusterSecret>,
    /// Memory is granted in multiples of this.
    pub minimum_allocation_mb: u64,
    /// No container may be larger.
    pub maximum_allocation: Resource,
    /// The cluster's limit of attempts that count, per application.
    pub max_attempts: u32,
    /// Which share of a queue, in percent, masters may use where the queue does not say. One master is let in always.
    pub master_share_percent: u64,
    /// A node silent for so long is lost.
    pub node_expiry: Duration,
    /// A registered master silent for so long has failed.
    pub master_expiry: Duration,
    /// A master that runs but has not registered for so long has failed.
    pub registration_expiry: Duration,
    /// A granted container not started for so long is taken back.
    pub allocation_expiry: Duration,
    /// An unregistered master still there after so long is stopped.
    pub exit_expiry: Duration,
    /// After a restart, how long nodes may take to come back before anything is granted.
    pub scheduling_wait: Duration,
    /// How many ended applications are remembered.
    pub completed_applications_max: usize,
    /// How nodes with room are ranked.
    pub placement: Placement,
    /// The tree of queues.
    pub queues: QueuesConfig,
}

impl Settings {
    /// The defaults for a ResourceManager at `address`.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            secret: None,
            minimum_allocation_mb: 64,
            maximum_allocation: Resource::new(1 << 20, 1024),
            max_attempts: 2,
            master_share_percent: 50,
            node_expiry: Duration::from_secs(15),
            master_expiry: Duration::from_secs(15),
            registration_expiry: Duration::from_secs(600),
            allocation_expiry: Duration::from_secs(600),
            exit_expiry: Duration::from_secs(10),
            scheduling_wait: Duration::from_secs(3),
            completed_applications_max: 1000,
            placement: Placement::default(),
            queues: QueuesConfig::default(),
        }
    }

    pub(crate) fn bounds(&self) -> Bounds {
        Bounds { minimum_mb: self.minimum_allocation_mb, maximum: self.maximum_allocation.clone() }
    }
}
