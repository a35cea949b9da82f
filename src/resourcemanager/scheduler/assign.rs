//! Granting and taking back: pick who is served, find a node, charge everybody.

use super::amount::Amount;
use super::applications::{Allocation, App, Entry, EntryStanding, Stage};
use super::keys::{AllocationKey, AppKey, EntryKey, NodeKey, PartitionKey, PlaceKey, QueueKey};
use super::nodes::{Node, UNLABELLED};
use super::queues::Queue;
use super::users::{self, Line, Turn, User};
use super::{AskKey, Grant, Scheduler};
use crate::ids::NodeId;
use crate::resource::Resource;
use crate::time::Now;

/// Of a line whose entries are not alike, so many are looked at before the next line's turn comes.
const LOOKED_AT_MAX: usize = 64;

/// Whom to pick.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) partition: PartitionKey,
    /// Only entries of this class, and though it is closed.
    pub(super) closed_class: Option<super::keys::ClassKey>,
}

impl Scheduler {
    /// Grants what can be granted now, at most `most` containers. Should there be more, [`Self::next_deadline`] says so.
    pub(crate) fn schedule(&mut self, now: Now, most: usize) -> Vec<Grant> {
        if self.resized {
            self.resize();
        }
        self.relax(now);
        let mut grants = Vec::new();
        if self.stirred {
            self.sweep_classes();
            self.serve_reserved(now, &mut grants);
            while self.round(now, most, &mut grants) {}
            self.stirred = grants.len() >= most;
        }
        self.reserve(now);
        grants
    }

    /// Lets entries look farther that have waited for their hosts or racks long enough.
    fn relax(&mut self, now: Now) {
        while let Some((at, entry)) = self.relaxing.first().copied() {
            if at > now {
                return;
            }
            self.relaxing.pop_first();
            if self.entries.get(entry.index()).is_some_and(|entry| entry.standing != EntryStanding::Idle) {
                self.settle(entry, now);
            }
        }
    }

    /// Serves whoever can be. A grant to one may lift the limit of another, so rounds go on until one grants nothing.
    fn round(&mut self, now: Now, most: usize, grants: &mut Vec<Grant>) -> bool {
        let before = grants.len();
        for partition in 0..self.nodes.partitions().len() {
            let wish = Wish { partition: PartitionKey::new(partition), closed_class: None };
            while grants.len() < most && self.worth_trying > 0 {
                let Some(entry) = self.pick(self.queues.root(), wish) else { break };
                match self.find(entry, now) {
                    Some((node, by)) => grants.push(self.grant(entry, node, by, now)),
                    None => self.nowhere(entry, now),
                }
            }
        }
        grants.len() > before && grants.len() < most
    }

    /// Who is served next below `queue`.
    pub(super) fn pick(&mut self, queue: QueueKey, wish: Wish) -> Option<EntryKey> {
        if self.is_passed(self.queues.get(queue), wish) {
            return None;
        }
        let found = self.pick_below(queue, wish);
        if found.is_none() {
            let (pass, epoch) = (self.pass, self.epoch);
            let queue = self.queues.get_mut(queue);
            match wish.closed_class {
                Some(_) => queue.passed = pass,
                None => queue.shares[wish.partition.index()].quiet = epoch,
            }
        }
        found
    }

    fn is_passed(&self, queue: &Queue, wish: Wish) -> bool {
        match wish.closed_class {
            Some(_) => queue.passed == self.pass,
            None => queue.shares[wish.partition.index()].quiet == self.epoch,
        }
    }

    fn pick_below(&mut self, queue: QueueKey, wish: Wish) -> Option<EntryKey> {
        if self.queues.get(queue).is_leaf() {
            return self.pick_in_leaf(self.queues.get(queue), wish);
        }
        loop {
            let candidates = self.queues.get(queue).children.iter().map(|key| (*key, self.queues.get(*key)));
            let candidates = candidates.filter(|(_, child)| child.wanting > 0 && !self.is_passed(child, wish));
            let needs = candidates.map(|(key, child)| (child.need(wish.partition), key));
            let (_, neediest) = needs.reduce(|best, next| if next.0 < best.0 { next } else { best })?;
            if let Some(entry) = self.pick(neediest, wish) {
                return Some(entry);
            }
        }
    }

    fn pick_in_leaf(&self, leaf: &Queue, wish: Wish) -> Option<EntryKey> {
        let mut best: Option<Turn> = None;
        for user in leaf.users.iter().filter(|user| user.wanting > 0) {
            for line in user.lines.iter().filter(|line| self.is_open(line, wish)) {
                let earlier = |turn: &&Turn| best.is_none_or(|best| **turn < best);
                let first = match line.kind.class {
                    Some(_) => line.turns.first().filter(earlier).filter(|turn| self.may(leaf, user, turn.entry)),
                    None => {
                        let tried = line.turns.iter().take(LOOKED_AT_MAX).take_while(earlier);
                        tried.into_iter().find(|turn| self.may(leaf, user, turn.entry))
                    }
                };
                best = first.copied().or(best);
            }
        }
        best.map(|turn| turn.entry)
    }

    fn is_open(&self, line: &Line, wish: Wish) -> bool {
        let class = line.kind.class;
        line.kind.partition == wish.partition
            && match wish.closed_class {
                Some(wanted) => class == Some(wanted),
                None => class.and_then(|class| self.classes.get(class.index())).is_none_or(|c| c.closed.is_none()),
            }
    }

    /// Whether the limits of queue and user leave room for one more.
    fn may(&self, leaf: &Queue, user: &User, entry: EntryKey) -> bool {
        let entry = self.entry(entry);
        let (partition, amount) = (entry.partition, &entry.amount);
        let app = self.app(entry.app);
        !users::is_at_limit(leaf, user, partition, amount, self.queues.all(partition))
            && self.queues.at_maximum(app.leaf, partition, amount).is_none()
            && (!entry.master || self.may_run(leaf, app, partition, amount))
    }

    /// Whether a queue takes one more master. One is let in always.
    fn may_run(&self, leaf: &Queue, app: &App, partition: PartitionKey, amount: &Amount) -> bool {
        let share = &leaf.shares[partition.index()];
        let limited = !app.is_command && leaf.running > 0 && share.masters_most != *self.queues.all(partition);
        let full = limited && !share.masters_most.fits(&share.masters.plus(amount));
        !full && self.at_parallel_maximum(app.leaf).is_none()
    }

    /// The first queue upwards that may not run more applications.
    pub(super) fn at_parallel_maximum(&self, leaf: QueueKey) -> Option<QueueKey> {
        let full = |(_, queue): &(QueueKey, &Queue)| {
            queue.config.max_parallel_apps.is_some_and(|most| queue.running >= most as usize)
        };
        self.queues.upwards(leaf).find(full).map(|(key, _)| key)
    }

    /// A node for one container of an entry, and the row of a host or rack that it answers.
    fn find(&self, key: EntryKey, now: Now) -> Option<(NodeKey, Option<PlaceKey>)> {
        let entry = self.entry(key);
        let app = self.app(entry.app);
        let accept = |node: &Node| app.blacklist.is_empty() || !is_named(&app.blacklist, node);
        for row in entry.local.iter().filter(|row| !row.rack) {
            if let Some(node) = self.nodes.of_host(row.place, entry.partition, &entry.amount, &accept) {
                return Some((node, Some(row.place)));
            }
        }
        let stage = entry.stage(now, &self.delays);
        if matches!(stage, Stage::Hosts { .. }) {
            return None;
        }
        for row in entry.local.iter().filter(|row| row.rack && row.relax) {
            if let Some(node) = self.nodes.find(entry.partition, Some(row.place), &entry.amount, &accept) {
                return Some((node, Some(row.place)));
            }
        }
        if stage != Stage::Anywhere {
            return None;
        }
        if entry.master && !app.avoid.is_empty() {
            let other = |node: &Node| accept(node) && !is_named(&app.avoid, node);
            if let Some(node) = self.nodes.find(entry.partition, None, &entry.amount, &other) {
                return Some((node, None));
            }
        }
        let here = self.nodes.find(entry.partition, None, &entry.amount, &accept);
        here.or_else(|| self.lent(entry, &accept)).map(|node| (node, None))
    }

    /// Nodes of a label that is not exclusive take others while nobody asks for the label.
    fn lent(&self, entry: &Entry, accept: &dyn Fn(&Node) -> bool) -> Option<NodeKey> {
        if entry.partition != Self::unlabelled() {
            return None;
        }
        let partitions = self.nodes.partitions().iter().enumerate().skip(UNLABELLED + 1);
        let mut lenders = partitions.filter(|(_, partition)| !partition.exclusive && partition.usable > 0);
        lenders.find_map(|(index, _)| {
            let partition = PartitionKey::new(index);
            let asked_for = self.classes.iter().any(|(_, class)| class.partition == partition && class.entries > 0);
            if asked_for { None } else { self.nodes.find(partition, None, &entry.amount, accept) }
        })
    }

    /// No node has room for an entry: it is not tried again before one has.
    fn nowhere(&mut self, key: EntryKey, now: Now) {
        let entry = self.entry(key);
        let EntryStanding::InLine(kind, turn) = entry.standing else { return };
        if let Some(class) = kind.class {
            if let Some(found) = self.classes.get_mut(class.index())
                && found.closed.is_none()
            {
                found.closed = Some(now);
                self.worth_trying -= found.entries;
                self.closed.push(class);
            }
            return;
        }
        let (app, places): (_, Vec<_>) = (entry.app, entry.local.iter().map(|row| row.place).collect());
        let anywhere = entry.stage(now, &self.delays) == Stage::Anywhere;
        let (leaf, user) = (self.app(app).leaf, self.app(app).user);
        self.queues.get_mut(leaf).users[user].remove(kind, &turn);
        self.worth_trying -= 1;
        self.entry_mut(key).standing = EntryStanding::Waiting;
        for place in places {
            self.nodes.place_mut(place).waiting.insert(key);
        }
        if anywhere {
            self.picky.insert(key);
        }
    }

    /// Charges everybody for one container.
    pub(super) fn grant(&mut self, key: EntryKey, node: NodeKey, by: Option<PlaceKey>, now: Now) -> Grant {
        let rack = self.nodes.node(node).rack;
        let entry = self.entry_mut(key);
        let (app, master, ask, amount) = (entry.app, entry.master, entry.key.clone(), entry.amount);
        entry.satisfied(by, rack);
        entry.since = now;
        let moved = !entry.local.is_empty() || by.is_some() || entry.wanted == 0;
        let allocation = self.charge(app, node, amount, master, by);
        self.last_grant = now;
        if moved {
            self.settle(key, now);
        } else {
            self.recount(key);
        }
        if self.queues.get(self.app(app).leaf).is_fair() {
            self.rank_again(app);
        }
        self.drop_if_void(key);
        let application = self.app(app).id;
        Grant { app, application, key: ask, master, node: self.nodes.node(node).id.clone(), allocation }
    }

    fn charge(
        &mut self,
        key: AppKey,
        node: NodeKey,
        amount: Amount,
        master: bool,
        by: Option<PlaceKey>,
    ) -> AllocationKey {
        self.granted += 1;
        let (sequence, partition) = (self.granted, self.nodes.node(node).partition);
        let allocation = Allocation { app: key, node, partition, amount, master, sequence, by };
        let allocation = AllocationKey::new(self.allocations.insert(allocation));
        self.nodes.take(node, &amount);
        let app = self.app_mut(key);
        app.allocations.insert((sequence, allocation));
        app.used.add(&amount);
        self.charge_queue(key, partition, &amount, master);
        allocation
    }

    /// Charges queue and user.
    pub(super) fn charge_queue(&mut self, key: AppKey, partition: PartitionKey, amount: &Amount, master: bool) {
        let App { leaf, user, is_command, .. } = *self.app(key);
        self.queues.use_more(leaf, partition, amount, master && !is_command);
        let user = &mut self.queues.get_mut(leaf).users[user];
        user.used[partition.index()].add(amount);
        if master && !is_command {
            user.masters.add(amount);
        }
        if master {
            self.app_mut(key).has_master = true;
            self.queues.change_upwards(leaf, |queue| queue.running += 1);
        }
    }

    /// The opposite of [`Self::charge_queue`].
    pub(super) fn discharge_queue(&mut self, key: AppKey, partition: PartitionKey, amount: &Amount, master: bool) {
        let App { leaf, user, is_command, .. } = *self.app(key);
        self.queues.use_less(leaf, partition, amount, master && !is_command);
        if self.queues.shares_a_limit(leaf, partition) {
            self.epoch += 1;
        }
        let user = &mut self.queues.get_mut(leaf).users[user];
        user.used[partition.index()].subtract(amount);
        if master && !is_command {
            user.masters.subtract(amount);
        }
        if master {
            self.app_mut(key).has_master = false;
            self.queues.change_upwards(leaf, |queue| queue.running -= 1);
        }
    }

    /// Takes in a container that a node has and nobody here granted: of before a restart.
    pub(crate) fn adopt(
        &mut self,
        app: AppKey,
        node: &NodeId,
        resource: &Resource,
        master: bool,
    ) -> Option<AllocationKey> {
        let node = self.nodes.key(node)?;
        if self.nodes.partitions().len() > self.queues.get(self.queues.root()).shares.len() {
            self.resize();
        }
        let amount = self.kinds.known(resource);
        Some(self.charge(app, node, amount, master, None))
    }

    /// A container has ended: its room is free.
    pub(crate) fn release(&mut self, key: AllocationKey) {
        let Some(gone) = self.allocations.remove(key.index()) else { return };
        self.marks.forget(key);
        let Allocation { app, node, partition, amount, master, sequence, .. } = gone;
        self.nodes.give_back(node, &amount);
        self.discharge_queue(app, partition, &amount, master);
        let of = self.app_mut(app);
        of.allocations.remove(&(sequence, key));
        of.used.subtract(&amount);
        if self.queues.get(self.app(app).leaf).is_fair() {
            self.rank_again(app);
        }
        self.stirred = true;
        self.grew(node);
    }

    /// As [`Self::release`], for a container that its master never heard of: the ask stands again.
    pub(crate) fn take_back(&mut self, key: AllocationKey, ask: &AskKey, now: Now) {
        let Some(allocation) = self.allocations.get(key.index()) else { return };
        let (app, by, master) = (allocation.app, allocation.by, allocation.master);
        let rack = self.nodes.node(allocation.node).rack;
        self.release(key);
        let entry = self.entry_of(app, master, ask, None, now);
        self.leave(entry);
        self.entry_mut(entry).restore(by, rack);
        self.settle(entry, now);
    }

    /// A node has more room than before: whoever waited for that is tried again.
    pub(super) fn grew(&mut self, key: NodeKey) {
        let node = self.nodes.node(key);
        let (free, partition) = (node.free(), node.partition);
        let lends = !self.nodes.partition(partition).exclusive;
        let (classes, worth_trying, epoch) = (&mut self.classes, &mut self.worth_trying, &mut self.epoch);
        self.closed.retain(|class| {
            let Some(class) = classes.get_mut(class.index()) else { return false };
            let here = class.partition == partition || (lends && class.partition == Self::unlabelled());
            let opens = here && free.fits(&class.amount);
            if opens {
                class.closed = None;
                *worth_trying += class.entries;
                *epoch += 1;
            }
            !opens
        });
        let node = self.nodes.node(key);
        for place in [node.names[0], node.names[1], node.rack] {
            self.wake(place, &free);
        }
        if !self.picky.is_empty() {
            let waiting: Vec<EntryKey> = self.picky.iter().copied().collect();
            self.wake_all(&waiting, &free);
        }
    }

    fn wake(&mut self, place: PlaceKey, free: &Amount) {
        if !self.nodes.place_at(place).waiting.is_empty() {
            let waiting: Vec<EntryKey> = self.nodes.place_at(place).waiting.iter().copied().collect();
            self.wake_all(&waiting, free);
        }
    }

    fn wake_all(&mut self, waiting: &[EntryKey], free: &Amount) {
        for key in waiting {
            let Some(entry) = self.entries.get(key.index()) else { continue };
            if entry.standing == EntryStanding::Waiting && free.fits(&entry.amount) {
                let since = entry.since;
                // As of when it began: relaxing is noticed by its own deadline.
                self.settle(*key, since);
            }
        }
    }
}

/// Whether a list of hosts and racks names a node.
pub(super) fn is_named(list: &std::collections::BTreeSet<PlaceKey>, node: &Node) -> bool {
    list.contains(&node.rack) || node.names.iter().any(|name| list.contains(name))
}
