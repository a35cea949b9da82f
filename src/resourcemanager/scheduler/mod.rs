//! Who gets which container on which node: pure, from an immutable snapshot to a plan.
//!
//! ```text
//! core ─ Snapshot ─► reconcile ─► admit ─► filter ─► rank ─► Plan{proposals, waiting} ─► core's applier (checks again)
//!         what is wanted ┘   AM share ┘   fits, not blacklisted ┘   most free first ┘
//! ```
//!
//! * *Reconcile*: the groups of asks that want something, in order: applications as the snapshot has them (queue order), in
//!   each the master first, then by priority and request id.
//! * *Admit*: a master's container only within its queue's AM share; one master is let in always.
//! * *Filter*: nodes that run, are not blacklisted and have room. Rows go from narrow to wide: host, rack, `*`; wider ones
//!   only where their `relax_locality` allows. There is no delay: a relaxed ask takes a farther node at once.
//! * *Rank*: [`Placement::Spread`] takes the node with the most free memory (then cores, then the first by id),
//!   [`Placement::Pack`] the one with the least that fits.
//! * *Plan*: every proposal uses up room for those after it; what remains unsatisfied gets its [`Reason`].
//!
//! An ask that does not fit is passed over for smaller ones behind it; nothing is reserved for it yet.
//!
//! Invariants: no I/O, no clock, no randomness; the snapshot is not changed; proposals never exceed a node's free room or a
//! row's count. It runs when something changed, never on a tick. It does not know containers, links or tokens.

mod nodes;
mod reason;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use self::nodes::Room;
pub(crate) use self::reason::Reason;
use super::asks::{AskKey, Group, Level};
use crate::ids::{ApplicationAttemptId, NodeId};
use crate::resource::Resource;

/// Everything a decision is made from.
#[derive(Debug, Default)]
pub(crate) struct Snapshot<'a> {
    /// By id.
    pub(crate) nodes: Vec<NodeView<'a>>,
    /// By path.
    pub(crate) queues: BTreeMap<&'a str, QueueView>,
    /// In the order they are served.
    pub(crate) applications: Vec<ApplicationView<'a>>,
}

/// A node.
#[derive(Clone, Debug)]
pub(crate) struct NodeView<'a> {
    pub(crate) id: &'a NodeId,
    pub(crate) rack: &'a str,
    pub(crate) total: &'a Resource,
    pub(crate) free: Resource,
    /// Whether it runs and is connected.
    pub(crate) usable: bool,
}

/// A leaf queue's limits.
#[derive(Clone, Debug, Default)]
pub(crate) struct QueueView {
    /// What masters may use in all.
    pub(crate) master_limit: Resource,
    /// What they use.
    pub(crate) master_used: Resource,
    /// How many there are.
    pub(crate) masters: usize,
}

/// An application that wants containers.
#[derive(Debug)]
pub(crate) struct ApplicationView<'a> {
    pub(crate) attempt: ApplicationAttemptId,
    pub(crate) queue: &'a str,
    /// Hosts, `host:port`s and racks.
    pub(crate) blacklist: &'a BTreeSet<String>,
    /// Its master's container, while that is wanted.
    pub(crate) master: Option<AskKey>,
    /// Its master's asks.
    pub(crate) groups: Vec<(&'a AskKey, &'a Group)>,
}

/// How nodes with enough room are ranked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// Most free memory first.
    #[default]
    Spread,
    /// Least free memory first.
    Pack,
}

/// What should happen.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Containers to grant, in order.
    pub(crate) proposals: Vec<Proposal>,
    /// What is not satisfied, with the reason.
    pub(crate) waiting: Vec<Waiting>,
}

/// One container to grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proposal {
    pub(crate) attempt: ApplicationAttemptId,
    pub(crate) key: AskKey,
    /// Whether it is the attempt's master.
    pub(crate) master: bool,
    pub(crate) level: Level,
    pub(crate) node: NodeId,
}

/// A group of asks that stays unsatisfied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) attempt: ApplicationAttemptId,
    pub(crate) key: AskKey,
    pub(crate) master: bool,
    pub(crate) count: u32,
    pub(crate) reason: Reason,
}

/// Decides.
pub(crate) fn plan(snapshot: &Snapshot<'_>, placement: Placement) -> Plan {
    let mut planner =
        Planner { room: Room::new(&snapshot.nodes, placement), queues: snapshot.queues.clone(), plan: Plan::default() };
    for application in &snapshot.applications {
        if let Some(key) = &application.master {
            planner.place_master(application, key);
        }
        for (key, group) in &application.groups {
            planner.place_group(application, key, group);
        }
    }
    planner.plan
}

struct Planner<'a> {
    room: Room<'a>,
    queues: BTreeMap<&'a str, QueueView>,
    plan: Plan,
}

impl<'a> Planner<'a> {
    fn place_master(&mut self, application: &ApplicationView<'a>, key: &AskKey) {
        let capability = key.capability();
        let queue = self.queues.entry(application.queue).or_default();
        let mut used = queue.master_used.clone();
        used.add(&capability);
        if queue.masters > 0 && !queue.master_limit.fits(&used) {
            let reason = Reason::MasterShare {
                queue: application.queue.to_owned(),
                used: queue.master_used.clone(),
                limit: queue.master_limit.clone(),
                asked: capability,
            };
            return self.wait(application, key, true, 1, reason);
        }
        match self.room.take(&capability, &Level::Any, application.blacklist) {
            Some(node) => {
                queue.master_used = used;
                queue.masters += 1;
                self.grant(application, key, true, Level::Any, node);
            }
            None => {
                let reason = self.room.why_not(&capability, application.blacklist);
                self.wait(application, key, true, 1, reason);
            }
        }
    }

    fn place_group(&mut self, application: &ApplicationView<'a>, key: &AskKey, group: &Group) {
        let mut wanted = group.wanted();
        if wanted == 0 {
            return;
        }
        if let Some(label) = &group.label {
            return self.wait(application, key, false, wanted, Reason::NoLabel { label: label.clone() });
        }
        let capability = key.capability();
        let mut rack_left: BTreeMap<&str, u32> = BTreeMap::new();
        let racks = || group.local.iter().filter(|(name, _)| name.starts_with('/'));
        for (rack, row) in racks() {
            rack_left.insert(rack, row.count);
        }
        for (host, row) in group.local.iter().filter(|(name, _)| !name.starts_with('/')) {
            let level = Level::Host(host.clone());
            for _ in 0..row.count.min(wanted) {
                let Some(node) = self.room.take(&capability, &level, application.blacklist) else { break };
                if let Some(left) = self.room.rack_of(&node).and_then(|rack| rack_left.get_mut(rack)) {
                    *left = left.saturating_sub(1);
                }
                self.grant(application, key, false, level.clone(), node);
                wanted -= 1;
            }
        }
        for (rack, row) in racks().filter(|(_, row)| row.relax_locality) {
            let level = Level::Rack(rack.clone());
            for _ in 0..rack_left.get(rack.as_str()).copied().unwrap_or(row.count).min(wanted) {
                let Some(node) = self.room.take(&capability, &level, application.blacklist) else { break };
                self.grant(application, key, false, level.clone(), node);
                wanted -= 1;
            }
        }
        let anywhere = group.any.is_some_and(|row| row.relax_locality);
        while anywhere && wanted > 0 {
            let Some(node) = self.room.take(&capability, &Level::Any, application.blacklist) else { break };
            self.grant(application, key, false, Level::Any, node);
            wanted -= 1;
        }
        if wanted > 0 {
            let reason = if anywhere {
                self.room.why_not(&capability, application.blacklist)
            } else {
                Reason::Locality { names: group.local.keys().cloned().collect() }
            };
            self.wait(application, key, false, wanted, reason);
        }
    }

    fn grant(&mut self, application: &ApplicationView<'a>, key: &AskKey, master: bool, level: Level, node: NodeId) {
        self.plan.proposals.push(Proposal { attempt: application.attempt, key: key.clone(), master, level, node });
    }

    fn wait(&mut self, application: &ApplicationView<'a>, key: &AskKey, master: bool, count: u32, reason: Reason) {
        self.plan.waiting.push(Waiting { attempt: application.attempt, key: key.clone(), master, count, reason });
    }
}
