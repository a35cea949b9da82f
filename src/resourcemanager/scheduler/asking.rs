//! Applications come, ask and go: what is wanted enters lines, and leaves them.

use std::collections::{BTreeMap, BTreeSet};

use super::amount::Amount;
use super::applications::{App, Class, Entry, EntryStanding, LocalRow, Stage};
use super::keys::{AllocationKey, AppKey, ClassKey, EntryKey, PartitionKey, QueueKey};
use super::nodes::UNLABELLED;
use super::users::{LineKind, Turn, User};
use super::{AskKey, Scheduler};
use crate::ids::ApplicationId;
use crate::protocol::application_master::{ANY, ResourceRequest};
use crate::resource::Resource;
use crate::time::Now;

impl Scheduler {
    /// Takes an application into a leaf, by its path.
    pub(crate) fn add_app(&mut self, id: ApplicationId, queue: &str, user: &str, priority: u32) -> Option<AppKey> {
        let leaf = self.queues.leaf(queue)?;
        let user = self.user_of(leaf, user);
        let key = AppKey::new(self.apps.insert(App {
            id,
            leaf,
            user,
            priority,
            used: Amount::ZERO,
            blacklist: BTreeSet::new(),
            avoid: BTreeSet::new(),
            entries: BTreeMap::new(),
            allocations: BTreeSet::new(),
            has_master: false,
            is_command: false,
        }));
        self.count_app(key, 1);
        Some(key)
    }

    /// What the application's master gets is for its work. Said before it wants one.
    pub(crate) fn set_command(&mut self, key: AppKey) {
        self.app_mut(key).is_command = true;
    }

    /// The user's place in a leaf.
    pub(super) fn user_of(&mut self, leaf: QueueKey, name: &str) -> usize {
        let partitions = self.nodes.partitions().len();
        let queue = self.queues.get_mut(leaf);
        if let Some(known) = queue.users.iter().position(|user| user.name == name) {
            return known;
        }
        let weight = queue.config.user_weights.get(name).copied().unwrap_or(1.0);
        // A user who has nothing left makes room for the new one: lists stay as long as there are users at a time.
        let fresh = User::new(name, weight, partitions);
        match queue.users.iter().position(|user| user.applications == 0) {
            Some(vacant) => {
                queue.users[vacant] = fresh;
                vacant
            }
            None => {
                queue.users.push(fresh);
                queue.users.len() - 1
            }
        }
    }

    pub(super) fn count_app(&mut self, key: AppKey, by: isize) {
        let (leaf, user, has_master) = {
            let app = self.app(key);
            (app.leaf, app.user, app.has_master)
        };
        self.queues.change_upwards(leaf, |queue| {
            queue.applications = queue.applications.saturating_add_signed(by);
            if has_master {
                queue.running = queue.running.saturating_add_signed(by);
            }
        });
        let user = &mut self.queues.get_mut(leaf).users[user];
        user.applications = user.applications.saturating_add_signed(by);
    }

    /// Forgets an application. Its containers must have been released.
    pub(crate) fn remove_app(&mut self, key: AppKey) {
        self.withdraw(key);
        debug_assert!(self.app(key).allocations.is_empty(), "an application leaves after its containers");
        let left: Vec<AllocationKey> = self.app(key).allocations.iter().map(|(_, allocation)| *allocation).collect();
        for allocation in left {
            self.release(allocation);
        }
        self.count_app(key, -1);
        self.apps.remove(key.index());
        self.stirred = true;
    }

    /// Drops everything that an application wants: its attempt is over.
    pub(crate) fn withdraw(&mut self, key: AppKey) {
        let entries = std::mem::take(&mut self.app_mut(key).entries);
        for entry in entries.into_values() {
            self.drop_entry(entry);
        }
        let app = self.app_mut(key);
        app.blacklist.clear();
        app.avoid.clear();
    }

    /// Asks for the application's master.
    pub(crate) fn want_master(&mut self, key: AppKey, resource: &Resource, avoid: &BTreeSet<String>, now: Now) {
        let avoid = avoid.iter().map(|name| self.nodes.place(name)).collect();
        self.app_mut(key).avoid = avoid;
        let label = self.default_label(key);
        let entry = self.entry_of(key, true, &AskKey::new(0, 0, resource), label, now);
        let wants = self.entry_mut(entry);
        (wants.wanted, wants.anywhere) = (1, true);
        self.settle(entry, now);
    }

    /// Takes one row of the ask table, which replaces the row of its key. `granted` is its capability, rounded up.
    pub(crate) fn ask(&mut self, key: AppKey, row: &ResourceRequest, granted: &Resource, now: Now) {
        let ask = AskKey::new(row.priority, row.allocation_request_id, granted);
        let label = row.node_label.clone().filter(|label| !label.is_empty()).or_else(|| self.default_label(key));
        let known = self.app(key).entries.get(&(false, ask.clone())).copied();
        if row.count == 0 && known.is_none() {
            return;
        }
        let entry = self.entry_of(key, false, &ask, label.clone(), now);
        if row.resource_name == ANY {
            let partition = self.nodes.partition_of(label.as_deref().unwrap_or_default());
            self.leave(entry);
            let wants = self.entry_mut(entry);
            (wants.wanted, wants.anywhere) = (row.count, row.relax_locality && row.count > 0);
            (wants.partition, wants.label) = (partition, label);
        } else {
            let (place, rack) = (self.nodes.place(&row.resource_name), row.resource_name.starts_with('/'));
            let wants = self.entry_mut(entry);
            wants.local.retain(|local| local.place != place);
            if row.count > 0 {
                wants.local.push(LocalRow { place, rack, count: row.count, relax: row.relax_locality });
            }
        }
        self.settle(entry, now);
        self.drop_if_void(entry);
    }

    fn default_label(&self, key: AppKey) -> Option<String> {
        let leaf = self.app(key).leaf;
        self.queues.upwards(leaf).find_map(|(_, queue)| queue.config.default_node_label_expression.clone())
    }

    /// Hosts, `host:port`s and racks that an application wants nothing on.
    pub(crate) fn set_blacklist(&mut self, key: AppKey, names: &BTreeSet<String>, now: Now) {
        let places: BTreeSet<_> = names.iter().map(|name| self.nodes.place(name)).collect();
        if self.app(key).blacklist == places {
            return;
        }
        self.app_mut(key).blacklist = places;
        for entry in self.app(key).entries.values().copied().collect::<Vec<_>>() {
            self.settle(entry, now);
        }
    }

    /// The entry of a key; a new one wants nothing yet.
    pub(super) fn entry_of(
        &mut self,
        app: AppKey,
        master: bool,
        key: &AskKey,
        label: Option<String>,
        now: Now,
    ) -> EntryKey {
        if let Some(known) = self.app(app).entries.get(&(master, key.clone())) {
            return *known;
        }
        let (amount, unknown) = match self.kinds.exactly(&key.capability()) {
            Ok(amount) => (amount, None),
            Err(unknown) => (self.kinds.known(&key.capability()), Some(unknown)),
        };
        let partition = self.nodes.partition_of(label.as_deref().unwrap_or_default());
        self.resized |= self.queues.get(self.queues.root()).shares.len() < self.nodes.partitions().len();
        let entry = EntryKey::new(self.entries.insert(Entry {
            app,
            master,
            key: key.clone(),
            amount,
            unknown,
            partition,
            label,
            wanted: 0,
            anywhere: false,
            local: Vec::new(),
            since: now,
            standing: EntryStanding::Idle,
            counted: 0,
            reserved: None,
        }));
        self.app_mut(app).entries.insert((master, key.clone()), entry);
        entry
    }

    pub(super) fn drop_if_void(&mut self, key: EntryKey) {
        let entry = self.entry(key);
        if entry.is_void() {
            let (app, place) = (entry.app, (entry.master, entry.key.clone()));
            self.app_mut(app).entries.remove(&place);
            self.drop_entry(key);
        }
    }

    fn drop_entry(&mut self, key: EntryKey) {
        self.leave(key);
        self.entry_mut(key).wanted = 0;
        self.recount(key);
        self.unreserve_of(key);
        self.entries.remove(key.index());
    }

    /// Brings the queue's count of what is pending up to date.
    pub(super) fn recount(&mut self, key: EntryKey) {
        let entry = self.entry_mut(key);
        let (wanted, counted, amount) = (entry.wanted, entry.counted, entry.amount);
        if wanted == counted {
            return;
        }
        entry.counted = wanted;
        let leaf = self.app(self.entry(key).app).leaf;
        self.queues.change_upwards(leaf, |queue| {
            if wanted > counted {
                queue.pending.add(&amount.times(u64::from(wanted - counted)));
                queue.pending_containers += u64::from(wanted - counted);
            } else {
                queue.pending.subtract(&amount.times(u64::from(counted - wanted)));
                queue.pending_containers -= u64::from(counted - wanted);
            }
        });
    }

    /// Puts an entry where it belongs now.
    pub(super) fn settle(&mut self, key: EntryKey, now: Now) {
        self.recount(key);
        self.leave(key);
        let entry = self.entry(key);
        if entry.wanted == 0 || entry.unknown.is_some() {
            return;
        }
        let (partition, master, amount, app) = (entry.partition, entry.master, entry.amount, entry.app);
        let stage = entry.stage(now, &self.delays);
        let until = match stage {
            Stage::Hosts { until } => Some(until),
            Stage::Racks { until } => until,
            Stage::Anywhere => None,
        };
        if let Some(until) = until {
            self.relaxing.insert((until, key));
        }
        let any = stage == Stage::Anywhere && self.app(app).blacklist.is_empty();
        let command = master && self.app(app).is_command;
        let class = any.then(|| self.class_of(partition, amount));
        self.enter(key, LineKind { partition, class, master, command });
    }

    fn enter(&mut self, key: EntryKey, kind: LineKind) {
        let mut worth_trying = true;
        if let Some(class) = kind.class.and_then(|class| self.classes.get_mut(class.index())) {
            class.entries += 1;
            worth_trying = class.closed.is_none();
        }
        self.worth_trying += usize::from(worth_trying);
        let turn = self.turn(key);
        let (leaf, user) = {
            let app = self.app(self.entry(key).app);
            (app.leaf, app.user)
        };
        self.queues.get_mut(leaf).users[user].insert(kind, turn);
        self.count_wanting(leaf, user, true);
        self.entry_mut(key).standing = EntryStanding::InLine(kind, turn);
        self.stirred = true;
    }

    /// Takes an entry out of whatever line it is in.
    pub(super) fn leave(&mut self, key: EntryKey) {
        let entry = self.entry_mut(key);
        let standing = std::mem::replace(&mut entry.standing, EntryStanding::Idle);
        if standing == EntryStanding::Idle {
            return;
        }
        let app = entry.app;
        let (leaf, user) = (self.app(app).leaf, self.app(app).user);
        self.count_wanting(leaf, user, false);
        if let EntryStanding::InLine(kind, turn) = standing {
            self.queues.get_mut(leaf).users[user].remove(kind, &turn);
            match kind.class {
                Some(class) => self.leave_class(class),
                None => self.worth_trying -= 1,
            }
        }
        if standing == EntryStanding::Waiting {
            self.picky.remove(&key);
            let places: Vec<_> = self.entry(key).local.iter().map(|row| row.place).collect();
            for place in places {
                self.nodes.place_mut(place).waiting.remove(&key);
            }
        }
    }

    pub(super) fn count_wanting(&mut self, leaf: QueueKey, user: usize, more: bool) {
        self.queues.change_upwards(leaf, |queue| {
            if more {
                queue.wanting += 1;
            } else {
                queue.wanting -= 1;
            }
            for share in &mut queue.shares {
                share.quiet = 0;
            }
        });
        let queue = self.queues.get_mut(leaf);
        let user = &mut queue.users[user];
        match more {
            true => {
                user.wanting += 1;
                if user.wanting == 1 {
                    queue.active_weight += user.weight;
                }
            }
            false => {
                user.wanting -= 1;
                if user.wanting == 0 {
                    queue.active_weight -= user.weight;
                }
            }
        }
    }

    fn class_of(&mut self, partition: PartitionKey, amount: Amount) -> ClassKey {
        if let Some(known) = self.class_index.get(&(partition, amount)) {
            return *known;
        }
        let class = Class { partition, amount, entries: 0, closed: None, reserved: None };
        let key = ClassKey::new(self.classes.insert(class));
        self.class_index.insert((partition, amount), key);
        key
    }

    fn leave_class(&mut self, key: ClassKey) {
        let Some(class) = self.classes.get_mut(key.index()) else { return };
        class.entries -= 1;
        self.worth_trying -= usize::from(class.closed.is_none());
        if class.entries > 0 {
            return;
        }
        let partition = class.partition;
        // One that is closed is kept for now: an entry that was only asked for again comes back at once.
        self.stirred = true;
        if class.closed.is_none() && class.reserved.is_none() {
            self.class_index.remove(&(partition, class.amount));
            self.classes.remove(key.index());
        }
        if partition != Self::unlabelled() && !self.nodes.partition(partition).exclusive {
            self.reopen_unlabelled();
        }
    }

    /// Nodes of a label may be lent again: whoever found no room elsewhere is tried there.
    fn reopen_unlabelled(&mut self) {
        for key in std::mem::take(&mut self.closed) {
            match self.classes.get_mut(key.index()) {
                Some(class) if class.partition == Self::unlabelled() => {
                    class.closed = None;
                    self.worth_trying += class.entries;
                }
                Some(_) => self.closed.push(key),
                None => {}
            }
        }
        self.epoch += 1;
    }

    fn turn(&self, key: EntryKey) -> Turn {
        let entry = self.entry(key);
        let app = self.app(entry.app);
        let rank = if self.queues.get(app.leaf).is_fair() {
            // Shares are not negative: their bits are in their order.
            app.used.dominant_share(&self.total).to_bits()
        } else {
            u64::from(u32::MAX - app.priority)
        };
        let sequence = u64::from(app.id.sequence);
        Turn { rank, sequence, worker: !entry.master, priority: entry.key.priority, entry: key }
    }

    /// Gives an application's entries their places anew: its share or its priority has changed.
    pub(super) fn rank_again(&mut self, key: AppKey) {
        for entry in self.app(key).entries.values().copied().collect::<Vec<_>>() {
            let EntryStanding::InLine(kind, turn) = self.entry(entry).standing else { continue };
            let new = self.turn(entry);
            if new != turn {
                let app = self.app(key);
                let (leaf, user) = (app.leaf, app.user);
                let user = &mut self.queues.get_mut(leaf).users[user];
                user.remove(kind, &turn);
                user.insert(kind, new);
                self.entry_mut(entry).standing = EntryStanding::InLine(kind, new);
            }
        }
    }

    /// Another priority among the applications of its queue.
    pub(crate) fn set_priority(&mut self, key: AppKey, priority: u32) {
        self.app_mut(key).priority = priority;
        self.rank_again(key);
        self.stirred = true;
    }

    /// The partition that asks without a label go to.
    pub(super) fn unlabelled() -> PartitionKey {
        PartitionKey::new(UNLABELLED)
    }
}
