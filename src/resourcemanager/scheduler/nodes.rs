//! Filter and rank: the nodes' free room as a plan uses it up.

use std::collections::{BTreeMap, BTreeSet};

use super::{NodeView, Placement, Reason};
use crate::ids::NodeId;
use crate::resource::Resource;
use crate::resourcemanager::asks::{AskKey, Level};

/// Free room per node, indexed by how much there is.
pub(super) struct Room<'a> {
    nodes: &'a [NodeView<'a>],
    free: Vec<Resource>,
    by_id: BTreeMap<&'a NodeId, usize>,
    by_host: BTreeMap<&'a str, Vec<usize>>,
    /// (free memory, free cores, index) of the usable nodes.
    ranked: BTreeSet<(u64, u32, usize)>,
    placement: Placement,
    /// Sizes that were found to fit nowhere; room only shrinks within a plan.
    hopeless: BTreeMap<AskKey, Reason>,
}

impl<'a> Room<'a> {
    pub(super) fn new(nodes: &'a [NodeView<'a>], placement: Placement) -> Self {
        let mut room = Self {
            nodes,
            free: nodes.iter().map(|node| node.free.clone()).collect(),
            by_id: BTreeMap::new(),
            by_host: BTreeMap::new(),
            ranked: BTreeSet::new(),
            placement,
            hopeless: BTreeMap::new(),
        };
        for (index, node) in nodes.iter().enumerate() {
            room.by_id.insert(node.id, index);
            room.by_host.entry(&node.id.host).or_default().push(index);
            if node.usable {
                room.ranked.insert((node.free.memory_mb, node.free.vcores, index));
            }
        }
        room
    }

    pub(super) fn rack_of(&self, node: &NodeId) -> Option<&'a str> {
        self.by_id.get(node).map(|index| self.nodes[*index].rack)
    }

    /// Takes `capability` from the best node at `level`, if one has it.
    pub(super) fn take(
        &mut self,
        capability: &Resource,
        level: &Level,
        blacklist: &BTreeSet<String>,
    ) -> Option<NodeId> {
        let index = match level {
            Level::Host(name) => self.best_of_host(name, capability, blacklist)?,
            Level::Rack(_) | Level::Any => {
                if blacklist.is_empty() && self.hopeless.contains_key(&size(capability)) {
                    return None;
                }
                self.best(capability, level, blacklist)?
            }
        };
        let free = &mut self.free[index];
        self.ranked.remove(&(free.memory_mb, free.vcores, index));
        free.subtract(capability);
        self.ranked.insert((free.memory_mb, free.vcores, index));
        Some(self.nodes[index].id.clone())
    }

    fn best(&self, capability: &Resource, level: &Level, blacklist: &BTreeSet<String>) -> Option<usize> {
        let enough = self.ranked.range((capability.memory_mb, 0, 0)..);
        let fits = |index: &usize| {
            let in_rack = match level {
                Level::Rack(rack) => self.nodes[*index].rack == rack,
                Level::Host(_) | Level::Any => true,
            };
            in_rack && self.free[*index].fits(capability) && !self.blacklisted(*index, blacklist)
        };
        match self.placement {
            Placement::Pack => enough.map(|(_, _, index)| *index).find(fits),
            Placement::Spread => {
                let found = enough.rev().find(|(_, _, index)| fits(index))?;
                // Of equally free nodes the first by id, so that the choice is easy to foresee.
                let equal = self.ranked.range((found.0, found.1, 0)..=*found);
                equal.map(|(_, _, index)| *index).find(fits)
            }
        }
    }

    /// By host name or `host:port`.
    fn best_of_host(&self, name: &str, capability: &Resource, blacklist: &BTreeSet<String>) -> Option<usize> {
        let named: Option<NodeId> = name.parse().ok();
        let exact = named.as_ref().and_then(|id| self.by_id.get(id)).into_iter();
        let candidates = exact.chain(self.by_host.get(name).into_iter().flatten()).copied();
        candidates
            .filter(|index| self.nodes[*index].usable)
            .filter(|index| self.free[*index].fits(capability) && !self.blacklisted(*index, blacklist))
            .max_by_key(|index| (self.free[*index].memory_mb, std::cmp::Reverse(*index)))
    }

    fn blacklisted(&self, index: usize, blacklist: &BTreeSet<String>) -> bool {
        let node = &self.nodes[index];
        !blacklist.is_empty()
            && (blacklist.contains(&node.id.host)
                || blacklist.contains(node.rack)
                || blacklist.contains(&node.id.to_string()))
    }

    /// Why `capability` was found nowhere.
    pub(super) fn why_not(&mut self, capability: &Resource, blacklist: &BTreeSet<String>) -> Reason {
        let cached = blacklist.is_empty().then(|| self.hopeless.get(&size(capability))).flatten();
        if let Some(reason) = cached {
            return reason.clone();
        }
        let reason = self.explain(capability, blacklist);
        if blacklist.is_empty() {
            self.hopeless.insert(size(capability), reason.clone());
        }
        reason
    }

    fn explain(&self, capability: &Resource, blacklist: &BTreeSet<String>) -> Reason {
        if self.nodes.is_empty() {
            return Reason::NoNode;
        }
        let usable: Vec<usize> = (0..self.nodes.len()).filter(|index| self.nodes[*index].usable).collect();
        if usable.is_empty() {
            return Reason::NoUsableNode { nodes: self.nodes.len() };
        }
        let allowed: Vec<usize> = usable.iter().copied().filter(|index| !self.blacklisted(*index, blacklist)).collect();
        if allowed.is_empty() {
            return Reason::AllBlacklisted { nodes: usable.len() };
        }
        let blacklisted = usable.len() - allowed.len();
        // The most of each kind, which need not be on one node.
        let largest = |of: &dyn Fn(usize) -> Resource| {
            allowed.iter().map(|index| of(*index)).fold(Resource::default(), |most, one| Resource {
                memory_mb: most.memory_mb.max(one.memory_mb),
                vcores: most.vcores.max(one.vcores),
                named: BTreeMap::new(),
            })
        };
        if !allowed.iter().any(|index| self.nodes[*index].total.fits(capability)) {
            let largest = largest(&|index| self.nodes[index].total.clone());
            return Reason::TooLarge { asked: capability.clone(), nodes: allowed.len(), largest };
        }
        let largest = largest(&|index| self.free[index].clone());
        Reason::NoRoom { asked: capability.clone(), nodes: allowed.len(), blacklisted, largest }
    }
}

fn size(capability: &Resource) -> AskKey {
    AskKey::new(0, 0, capability)
}
