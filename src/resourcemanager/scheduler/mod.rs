//! Who gets which container on which node: a capacity scheduler in the manner of YARN's, pure and incremental.
//!
//! ```text
//! core ─ nodes, applications, asks, releases ─► tables ─► schedule ─► grants ─► core (tokens, effects)
//!
//! schedule:  pick ── root ─► child most in need ─► … ─► leaf ─► user within limit ─► first entry in order
//!              │                                                     (priority or fair share, then the ask's priority)
//!              ▼
//!            find ── its hosts ─► its racks ─► anywhere: trees of free room, O(log nodes)
//!              │
//!              ├─ a node: granted; queue, user, application and node are charged at once
//!              └─ none: its class is closed until some node has room for it again
//! ```
//!
//! YARN walks its queues for every node that reports, and copies of the cluster are made by schedulers that plan on snapshots.
//! Here a change costs what it touches: a grant is one walk down the queues and one search in a tree, and a full cluster costs
//! nothing until room appears. Two ideas carry that:
//! * Entries of the same amount, wanted anywhere, are one *class*. When one of them finds no node none will, so the whole class
//!   is passed over until a node with enough room shows up. Entries that insist on hosts or racks wait at those places.
//! * Every table is reached by index; what is ordered (turns, racks) is kept ordered by small changes.
//!
//! Limits, in the order they are checked: the queue's maximum and those above it, the user's limit, for masters the AM share
//! and the number of parallel applications. What an entry waits for is found out only when somebody asks ([`explain`]).
//!
//! Invariants: no I/O, no clock, no randomness; no node above what it offers and no queue above its maximum by a grant; what is
//! used adds up over nodes, queues, users and applications; whatever is wanted and not served is in a line, or waits where
//! the change that it needs will be noticed. It does not know containers' ids, links or tokens.

mod admission;
mod amount;
mod applications;
mod asking;
mod assign;
mod audit;
mod explain;
mod keys;
mod nodes;
mod preempt;
mod queues;
mod reason;
mod reload;
mod report;
mod reserve;
mod room;
#[cfg(test)]
mod tests;
mod users;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use self::admission::Access;
pub(crate) use self::admission::Candidate;
use self::amount::{Amount, Kinds};
use self::applications::{Allocation, App, Class, ClassIndex, Delays, Entry};
pub use self::explain::NodeReason;
pub(crate) use self::keys::{AllocationKey, AppKey};
use self::keys::{ClassKey, EntryKey, PartitionKey, Table};
use self::nodes::Nodes;
use self::preempt::Marks;
#[cfg(test)]
pub(crate) use self::preempt::Round;
use self::queues::Queues;
pub(crate) use self::reason::Reason;
use super::asks::AskKey;
use crate::config::QueuesConfig;
use crate::ids::{ApplicationId, NodeId};
use crate::resource::Resource;
use crate::time::Now;

/// How nodes with enough room are ranked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// Most free memory first.
    #[default]
    Spread,
    /// One node after another, in the order they came.
    Pack,
}

/// Whether a node counts, and whether it can take containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Lost, left or unfit.
    Gone,
    /// Part of the cluster, but takes nothing now.
    Silent,
    /// Takes containers.
    Usable,
}

/// One container that was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) app: AppKey,
    pub(crate) application: ApplicationId,
    pub(crate) key: AskKey,
    /// Whether it is the application's master.
    pub(crate) master: bool,
    pub(crate) node: NodeId,
    pub(crate) allocation: AllocationKey,
}

/// Something unsatisfied, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) key: AskKey,
    pub(crate) master: bool,
    pub(crate) count: u32,
    pub(crate) reason: Reason,
}

/// The state of the cluster as far as it decides who gets what.
#[derive(Debug)]
pub(crate) struct Scheduler {
    config: QueuesConfig,
    masters_part: f64,
    kinds: Kinds,
    nodes: Nodes,
    queues: Queues,
    apps: Table<App>,
    entries: Table<Entry>,
    allocations: Table<Allocation>,
    classes: Table<Class>,
    class_index: ClassIndex,
    /// Classes that no node has room for.
    closed: Vec<ClassKey>,
    /// Classes that hold a node.
    reserving: Vec<ClassKey>,
    /// When entries may look farther than their hosts or racks.
    relaxing: BTreeSet<(Now, EntryKey)>,
    /// Entries that wait for any node that is not blacklisted.
    picky: BTreeSet<EntryKey>,
    delays: Delays,
    reservation_delay: Duration,
    /// Of every active node.
    total: Amount,
    /// Counts grants.
    granted: u64,
    last_grant: Now,
    /// Counts searches for whom to reserve for, for what is passed over in one.
    pass: u64,
    /// Grows when something may be served that could not before, wherever it is: a queue that is quiet since this epoch has
    /// nothing to serve.
    epoch: u64,
    /// Entries in lines that are worth a try: their class is open, or they look for nodes of their own.
    worth_trying: usize,
    /// Nodes came, went or changed: promises are to be reckoned anew.
    resized: bool,
    /// Something may be granted that could not before.
    stirred: bool,
    /// Containers that are to be taken from their applications.
    marks: Marks,
}

impl Scheduler {
    /// A scheduler without nodes. `masters_percent`: of a queue, where that does not say.
    pub(crate) fn new(config: &QueuesConfig, masters_percent: u64, placement: Placement) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a percentage")]
        let masters_part = masters_percent as f64 / 100.0;
        let mut scheduler = Self {
            config: config.clone(),
            masters_part,
            kinds: Kinds::default(),
            nodes: Nodes::new(placement),
            queues: Queues::new(config, masters_part),
            apps: Table::default(),
            entries: Table::default(),
            allocations: Table::default(),
            classes: Table::default(),
            class_index: BTreeMap::new(),
            closed: Vec::new(),
            reserving: Vec::new(),
            relaxing: BTreeSet::new(),
            picky: BTreeSet::new(),
            delays: Delays::default(),
            reservation_delay: Duration::ZERO,
            total: Amount::ZERO,
            granted: 0,
            last_grant: Now::default(),
            pass: 0,
            epoch: 1,
            worth_trying: 0,
            resized: true,
            stirred: false,
            marks: Marks::default(),
        };
        scheduler.configure();
        scheduler.resize();
        scheduler
    }

    /// Takes over what the configuration says beside the tree.
    fn configure(&mut self) {
        let options = &self.config.scheduler;
        self.delays = Delays { node: options.node_locality_delay, rack: options.rack_locality_additional_delay };
        self.reservation_delay = options.reservation_delay;
        for (label, how) in &self.config.labels {
            let partition = self.nodes.partition_of(label);
            self.nodes.set_exclusive(partition, how.exclusive);
        }
        self.resized = true;
    }

    /// Takes a node in, or takes note of how it is now.
    pub(crate) fn set_node(&mut self, id: &NodeId, rack: &str, label: &str, capability: &Resource, standing: Standing) {
        self.kinds.learn(capability);
        let total = self.kinds.known(capability);
        let before = self.nodes.key(id).map(|key| self.nodes.node(key)).map(|n| (n.total, n.standing, n.partition));
        let key = self.nodes.set(id, rack, label, total, standing);
        let node = self.nodes.node(key);
        if before == Some((node.total, node.standing, node.partition)) {
            return;
        }
        self.resized = true;
        self.stirred = true;
        if standing == Standing::Usable {
            self.grew(key);
        }
    }

    fn resize(&mut self) {
        self.resized = false;
        self.epoch += 1;
        self.total = self.nodes.partitions().iter().fold(Amount::ZERO, |sum, partition| sum.plus(&partition.total));
        self.queues.resize(self.nodes.partitions(), &self.kinds);
        let fair: Vec<AppKey> = self
            .apps
            .iter()
            .filter(|(_, app)| self.queues.get(app.leaf).is_fair())
            .map(|(i, _)| AppKey::new(i))
            .collect();
        for app in fair {
            self.rank_again(app);
        }
    }

    /// When [`Self::schedule`] may have something to do though nothing happens before; none: never, as things stand.
    pub(crate) fn next_deadline(&self, now: Now) -> Option<Now> {
        let relaxing = self.relaxing.first().map(|(at, _)| *at);
        let closed = self.closed.iter().filter_map(|class| self.classes.get(class.index()));
        let reserving = closed.filter(|class| class.reserved.is_none()).filter_map(|class| class.closed);
        let reserving = reserving.map(|since| since + self.reservation_delay).filter(|at| *at > now).min();
        let more = self.stirred.then_some(now);
        [relaxing, reserving, more].into_iter().flatten().min()
    }

    /// What every active node offers together.
    pub(crate) fn total(&self) -> Resource {
        self.kinds.resource(&self.total)
    }

    /// What could be granted now, in all.
    pub(crate) fn free(&self) -> Resource {
        let free = self.nodes.partitions().iter().fold(Amount::ZERO, |sum, partition| sum.plus(&partition.free));
        self.kinds.resource(&free)
    }

    /// The most of each kind that any node offers; none without nodes.
    pub(crate) fn largest(&self) -> Option<Resource> {
        let partitions = self.nodes.partitions().iter().enumerate().filter(|(_, partition)| partition.active > 0);
        let largest = partitions.map(|(index, _)| self.nodes.largest(PartitionKey::new(index)));
        largest.reduce(|a, b| a.greater(&b)).map(|largest| self.kinds.resource(&largest))
    }

    /// What is asked for and not granted: in all, and how many containers.
    pub(crate) fn pending(&self) -> (Resource, u64) {
        let root = self.queues.get(self.queues.root());
        (self.kinds.resource(&root.pending), root.pending_containers)
    }

    /// How many nodes can take containers.
    pub(crate) fn usable_nodes(&self) -> usize {
        self.nodes.partitions().iter().map(|partition| partition.usable).sum()
    }

    /// What masters have, and may have, in all.
    pub(crate) fn masters(&self) -> (Resource, Resource) {
        let (mut used, mut most) = (Amount::ZERO, Amount::ZERO);
        for share in &self.queues.get(self.queues.root()).shares {
            used.add(&share.masters);
            most.add(&share.masters_most);
        }
        (self.kinds.resource(&used), self.kinds.resource(&most))
    }

    /// The queue that an application is in, by path.
    pub(crate) fn queue_of(&self, app: AppKey) -> &str {
        self.apps.get(app.index()).map_or("", |app| &self.queues.get(app.leaf).path)
    }

    fn app(&self, key: AppKey) -> &App {
        self.apps.get(key.index()).expect("a key lives as long as its application")
    }

    fn app_mut(&mut self, key: AppKey) -> &mut App {
        self.apps.get_mut(key.index()).expect("a key lives as long as its application")
    }

    fn entry(&self, key: EntryKey) -> &Entry {
        self.entries.get(key.index()).expect("lines hold living entries")
    }

    fn entry_mut(&mut self, key: EntryKey) -> &mut Entry {
        self.entries.get_mut(key.index()).expect("lines hold living entries")
    }
}
