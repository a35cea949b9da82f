//! A node as the ResourceManager sees it.
//!
//! ```text
//! NEW ─register─► RUNNING ◄─health─► UNHEALTHY
//!                    │ silent too long ──► LOST ─register─► RUNNING
//!                    ├ unregister ──► SHUTDOWN ─register─► RUNNING
//!                    └ excluded ──► DECOMMISSIONING ─ empty, or out of time ─► DECOMMISSIONED
//! ```
//! A broken link does not change the state: the node is *silent* and takes no new containers until it comes back or is lost.
//! REBOOTED has no arrows: a node that comes back without its containers says so.

use std::collections::BTreeSet;

use super::error::Illegal;
use crate::ids::{ContainerId, NodeId};
use crate::protocol::node::{NodeState, Register};
use crate::resource::Resource;
use crate::time::Now;

/// A node that has registered at some time.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) http_address: String,
    pub(crate) rack: String,
    /// Empty if it has none.
    pub(crate) label: String,
    pub(crate) capability: Resource,
    /// Sum of its containers.
    pub(crate) allocated: Resource,
    pub(crate) containers: BTreeSet<ContainerId>,
    pub(crate) state: NodeState,
    pub(crate) connected: bool,
    pub(crate) health_report: String,
    pub(crate) last_health_update: Now,
    /// Really used on the machine and by containers, in MiB, as last reported.
    pub(crate) utilization: (u64, u64),
    pub(crate) version: String,
}

/// What can happen to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// It registered (again).
    Registered,
    /// It said whether it is fit.
    Health { healthy: bool },
    /// It was silent too long.
    Expired,
    /// It left in order.
    Unregistered,
    /// It is to take nothing new, and to go once it is empty.
    Excluded,
    /// It is empty, or has had its time.
    Drained,
    /// It may stay, or come back.
    Recommissioned,
}

/// What a node's change means for its containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consequence {
    /// Nothing.
    None,
    /// It can take containers.
    Usable,
    /// Its containers are gone, or must go.
    ContainersLost,
}

impl Node {
    pub(crate) fn new(register: &Register) -> Self {
        Self {
            id: register.node.clone(),
            http_address: register.http_address.clone(),
            rack: String::new(),
            label: String::new(),
            capability: register.capability.clone(),
            allocated: Resource::default(),
            containers: BTreeSet::new(),
            state: NodeState::New,
            connected: false,
            health_report: String::new(),
            last_health_update: Now::default(),
            utilization: (0, 0),
            version: register.version.clone(),
        }
    }

    /// # Errors
    /// [`Illegal`] if that cannot happen now; nothing changes then.
    pub(crate) fn apply(&mut self, input: &Input) -> Result<Consequence, Illegal> {
        use NodeState::{Decommissioned, Decommissioning, Lost, New, Rebooted, Running, Shutdown, Unhealthy};
        let (next, consequence) = match (self.state, input) {
            (New | Lost | Shutdown | Rebooted | Running, Input::Registered) => (Running, Consequence::Usable),
            // It says so again if it is still unfit.
            (Unhealthy, Input::Registered) => (Running, Consequence::Usable),
            (Decommissioning, Input::Registered) => (Decommissioning, Consequence::None),
            (Running, Input::Health { healthy: false }) => (Unhealthy, Consequence::ContainersLost),
            (Unhealthy, Input::Health { healthy: true }) => (Running, Consequence::Usable),
            (Running | Decommissioning, Input::Health { healthy: true })
            | (Unhealthy | Decommissioning, Input::Health { healthy: false }) => (self.state, Consequence::None),
            (Running | Unhealthy | Decommissioning, Input::Expired) => (Lost, Consequence::ContainersLost),
            (Running | Unhealthy | Decommissioning, Input::Unregistered) => (Shutdown, Consequence::ContainersLost),
            (Running | Unhealthy | Decommissioning, Input::Excluded) => (Decommissioning, Consequence::None),
            (New | Lost | Shutdown | Rebooted | Decommissioned, Input::Excluded) => (Decommissioned, Consequence::None),
            (Decommissioning, Input::Drained) => (Decommissioned, Consequence::ContainersLost),
            (Decommissioning, Input::Recommissioned) => (Running, Consequence::Usable),
            // It has been told to stop; it is started again by hand.
            (Decommissioned, Input::Recommissioned) => (Shutdown, Consequence::None),
            (_, Input::Recommissioned) => (self.state, Consequence::None),
            (
                Decommissioned,
                Input::Registered | Input::Health { .. } | Input::Expired | Input::Unregistered | Input::Drained,
            )
            | (New | Lost | Rebooted | Shutdown | Running | Unhealthy, Input::Drained)
            | (New | Lost | Rebooted | Shutdown, Input::Health { .. } | Input::Expired | Input::Unregistered) => {
                return Err(Illegal::new("node", &self.id, self.state, format!("{input:?}")));
            }
        };
        self.state = next;
        Ok(consequence)
    }

    /// What is neither granted nor, after a shrink, overdrawn.
    pub(crate) fn free(&self) -> Resource {
        let mut free = self.capability.clone();
        free.memory_mb = free.memory_mb.saturating_sub(self.allocated.memory_mb);
        free.vcores = free.vcores.saturating_sub(self.allocated.vcores);
        for (name, amount) in &self.allocated.named {
            if let Some(mine) = free.named.get_mut(name) {
                *mine = mine.saturating_sub(*amount);
            }
        }
        free
    }

    /// Whether new containers may be placed on it.
    pub(crate) fn is_usable(&self) -> bool {
        self.connected && self.state == NodeState::Running
    }

    /// Whether it counts as part of the cluster.
    pub(crate) fn is_active(&self) -> bool {
        matches!(self.state, NodeState::Running | NodeState::Unhealthy | NodeState::Decommissioning)
    }
}
