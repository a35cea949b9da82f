//! The invariants as a check of every table against every other: for tests and the simulator, never while serving.

use std::collections::BTreeMap;

use super::amount::Amount;
use super::keys::{AllocationKey, QueueKey};
use super::nodes::Node;
use super::queues::Queue;
use super::{Scheduler, Standing};

impl Scheduler {
    /// What does not add up.
    pub(crate) fn audit(&self) -> Result<(), String> {
        let mut by_node = vec![Amount::ZERO; self.nodes.iter().count()];
        let mut by_queue: BTreeMap<(QueueKey, usize), Amount> = BTreeMap::new();
        for (index, allocation) in self.allocations.iter() {
            by_node[allocation.node.index()].add(&allocation.amount);
            let app = self.app(allocation.app);
            for (queue, _) in self.queues.upwards(app.leaf) {
                let place = (queue, allocation.partition.index());
                by_queue.entry(place).or_insert(Amount::ZERO).add(&allocation.amount);
            }
            if !app.allocations.contains(&(allocation.sequence, AllocationKey::new(index))) {
                return Err(format!("{} does not know a container of its own", app.id));
            }
        }
        for (node, used) in self.nodes.iter().zip(by_node) {
            if node.used != used {
                return Err(format!("{} counts {:?} as used, its containers have {used:?}", node.id, node.used));
            }
        }
        for (key, queue) in self.queues.iter() {
            let used = |partition| by_queue.get(&(key, partition)).copied().unwrap_or(Amount::ZERO);
            audit_queue(queue, used)?;
        }
        let pending: u64 = self.entries.iter().map(|(_, entry)| u64::from(entry.wanted)).sum();
        if self.pending().1 != pending {
            return Err(format!("{} containers count as pending, {pending} are", self.pending().1));
        }
        Ok(())
    }

    /// A node that has given more than it offers: possible only where a node has shrunk.
    pub(crate) fn overdrawn(&self) -> Option<String> {
        let over = |node: &&Node| node.standing == Standing::Usable && !node.total.fits(&node.used);
        let node = self.nodes.iter().find(over)?;
        Some(format!("{} offers {:?} and has given {:?}", node.id, node.total, node.used))
    }

    /// Queues right below the root, with the part of their promise that they use.
    pub(crate) fn shares(&self) -> Vec<(String, f64)> {
        let below = self.queues.get(self.queues.root()).children.iter().map(|key| self.queues.get(*key));
        below.map(|queue| (queue.path.clone(), queue.shares.first().map_or(0.0, |share| share.ratio))).collect()
    }
}

fn audit_queue(queue: &Queue, used: impl Fn(usize) -> Amount) -> Result<(), String> {
    for (partition, share) in queue.shares.iter().enumerate() {
        let used = used(partition);
        if share.used != used {
            return Err(format!("{} counts {:?} as used, its containers have {used:?}", queue.path, share.used));
        }
    }
    if !queue.is_leaf() {
        return Ok(());
    }
    let users = queue.users.iter().fold(Amount::ZERO, |sum, user| user.used.iter().fold(sum, Amount::plus));
    let shares = queue.shares.iter().fold(Amount::ZERO, |sum, share| sum.plus(&share.used));
    let wanting: usize = queue.users.iter().map(|user| user.wanting).sum();
    if users != shares || wanting != queue.wanting {
        return Err(format!("{} and its users do not agree on what is used or wanted", queue.path));
    }
    Ok(())
}
