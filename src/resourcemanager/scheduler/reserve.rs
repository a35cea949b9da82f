//! Reservations: a large container gets a node held free, so that smaller ones do not overtake it for ever.
//!
//! A class that fits nowhere for as long as the configured delay, while others are served, gets the node where most is free
//! already; nothing else is placed there until its first entry, in the order of the queues, fits. One node a class at a time.

use super::assign::Wish;
use super::keys::{ClassKey, EntryKey, NodeKey};
use super::nodes::Node;
use super::{Grant, Scheduler, Standing};
use crate::time::Now;

impl Scheduler {
    /// Forgets classes that nobody is in any more.
    pub(super) fn sweep_classes(&mut self) {
        let abandoned: Vec<ClassKey> = self.closed.iter().copied().filter(|key| self.is_abandoned(*key)).collect();
        for key in abandoned {
            self.closed.retain(|class| *class != key);
            if let Some(class) = self.classes.remove(key.index()) {
                self.class_index.remove(&(class.partition, class.amount));
            }
        }
    }

    fn is_abandoned(&self, key: ClassKey) -> bool {
        self.classes.get(key.index()).is_none_or(|class| class.entries == 0 && class.reserved.is_none())
    }

    /// Grants on reserved nodes that have room by now, and gives up reservations that nobody needs.
    pub(super) fn serve_reserved(&mut self, now: Now, grants: &mut Vec<Grant>) {
        for key in self.reserving.clone() {
            let Some(class) = self.classes.get(key.index()) else { continue };
            let Some((node, entry)) = class.reserved else { continue };
            let place = self.nodes.node(node);
            let wanted = self.entries.get(entry.index()).is_some_and(|entry| entry.wanted > 0);
            let fits = place.free().fits(&class.amount);
            if place.standing == Standing::Usable && wanted && !fits {
                continue;
            }
            self.unreserve(key);
            if takes_containers(self.nodes.node(node)) && wanted && fits {
                grants.push(self.grant(entry, node, None, now));
            }
        }
    }

    /// Reserves nodes for classes that have waited long enough.
    pub(super) fn reserve(&mut self, now: Now) {
        for key in self.closed.clone() {
            let Some(class) = self.classes.get(key.index()) else { continue };
            let overtaken = |since: Now| self.last_grant > since && since + self.reservation_delay <= now;
            if class.reserved.is_some() || class.entries == 0 || !class.closed.is_some_and(overtaken) {
                continue;
            }
            let wish = Wish { partition: class.partition, closed_class: Some(key) };
            let Some(node) = self.node_to_reserve(key) else { continue };
            self.pass += 1;
            if let Some(entry) = self.pick(self.queues.root(), wish) {
                self.hold(key, node, entry);
            }
        }
    }

    /// Where most of what a class needs is free already.
    fn node_to_reserve(&self, key: ClassKey) -> Option<NodeKey> {
        let class = self.classes.get(key.index())?;
        let could = |node: &&Node| {
            node.partition == class.partition
                && takes_containers(node)
                && node.reserved.is_none()
                && node.total.fits(&class.amount)
        };
        let missing = |node: &Node| class.amount.minus(&node.free()).dominant_share(&class.amount);
        let best = self.nodes.iter().filter(could).min_by(|a, b| missing(a).total_cmp(&missing(b)))?;
        self.nodes.key(&best.id)
    }

    fn hold(&mut self, key: ClassKey, node: NodeKey, entry: EntryKey) {
        let Some(class) = self.classes.get_mut(key.index()) else { return };
        class.reserved = Some((node, entry));
        let (amount, partition) = (class.amount, class.partition);
        self.reserving.push(key);
        self.nodes.reserve(node, Some(entry));
        self.entry_mut(entry).reserved = Some(node);
        let leaf = self.app(self.entry(entry).app).leaf;
        self.queues.change_upwards(leaf, |queue| queue.shares[partition.index()].reserved.add(&amount));
    }

    fn unreserve(&mut self, key: ClassKey) {
        let Some(class) = self.classes.get_mut(key.index()) else { return };
        let Some((node, entry)) = class.reserved.take() else { return };
        let (amount, partition) = (class.amount, class.partition);
        self.reserving.retain(|class| *class != key);
        self.epoch += 1;
        self.nodes.reserve(node, None);
        if let Some(holder) = self.entries.get_mut(entry.index()) {
            holder.reserved = None;
            let app = holder.app;
            let leaf = self.app(app).leaf;
            self.queues.change_upwards(leaf, |queue| queue.shares[partition.index()].reserved.subtract(&amount));
        }
        self.grew(node);
    }

    /// Gives up what is reserved for an entry that goes.
    pub(super) fn unreserve_of(&mut self, entry: EntryKey) {
        if self.entry(entry).reserved.is_none() {
            return;
        }
        let of = |key: &&ClassKey| {
            self.classes.get(key.index()).and_then(|class| class.reserved).is_some_and(|(_, holder)| holder == entry)
        };
        if let Some(key) = self.reserving.iter().find(of).copied() {
            self.unreserve(key);
        }
    }
}

fn takes_containers(node: &Node) -> bool {
    node.standing == Standing::Usable
}
