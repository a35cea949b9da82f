//! The tree of queues at work: what each is promised, may have, and has.
//!
//! Children of a queue are served by need: first those below their promise, of these higher priority, then whoever uses the
//! smallest part of its promise, counted in the resource it uses most of (dominant-resource fairness).
//!
//! Invariant: a parent's use is the sum of its children's, in every partition.

use super::amount::{Amount, Kinds};
use super::keys::{PartitionKey, QueueKey};
use super::nodes::{Partition, UNLABELLED};
use super::users::User;
use crate::config::QueuesConfig;
use crate::config::queues::{Capacity, OrderingPolicy, Queue as Config, QueueState};

/// Applications that a queue takes unless it says otherwise.
pub(super) const APPLICATIONS_MAX: u32 = 10_000;

/// One queue. Only leaves have users.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) path: String,
    pub(super) parent: Option<QueueKey>,
    pub(super) children: Vec<QueueKey>,
    /// As configured; its children are in `children`.
    pub(super) config: Config,
    /// By partition.
    pub(super) shares: Vec<Share>,
    pub(super) users: Vec<User>,
    /// Weights of the users that want something, in all.
    pub(super) active_weight: f64,
    /// Live applications.
    pub(super) applications: usize,
    /// Of them with a master.
    pub(super) running: usize,
    pub(super) containers: usize,
    /// Asked for and not granted.
    pub(super) pending: Amount,
    pub(super) pending_containers: u64,
    /// Entries that want something, here and below.
    pub(super) wanting: usize,
    /// The search in which nobody was found here.
    pub(super) passed: u64,
}

/// A queue's part of a partition.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    pub(super) promised: Amount,
    pub(super) most: Amount,
    pub(super) used: Amount,
    /// Held free for it on reserved nodes; not in `used`.
    pub(super) reserved: Amount,
    /// Of `used`, by masters.
    pub(super) masters: Amount,
    /// What masters may use.
    pub(super) masters_most: Amount,
    /// `used` as part of `promised`.
    pub(super) ratio: f64,
    /// The epoch in which nothing more could be served here; 0 if that has changed since.
    pub(super) quiet: u64,
}

impl Queue {
    pub(super) fn is_leaf(&self) -> bool {
        self.config.queues.is_empty()
    }

    pub(super) fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or(&self.path)
    }

    /// YARN's word for its state.
    pub(super) fn state(&self) -> &'static str {
        match self.config.state {
            QueueState::Running => "RUNNING",
            QueueState::Stopped if self.applications > 0 => "DRAINING",
            QueueState::Stopped => "STOPPED",
        }
    }

    pub(super) fn is_fair(&self) -> bool {
        self.config.ordering_policy == OrderingPolicy::Fair
    }

    /// Among siblings: who is served before whom, in a partition.
    pub(super) fn need(&self, partition: PartitionKey) -> Need {
        let ratio = self.shares[partition.index()].ratio;
        Need { over: ratio >= 1.0, priority: -i64::from(self.config.priority), ratio }
    }
}

/// Smaller is served first.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) struct Need {
    over: bool,
    priority: i64,
    ratio: f64,
}

/// The tree; the root is the first.
#[derive(Debug)]
pub(super) struct Queues {
    queues: Vec<Queue>,
    /// The part that masters may use where a queue does not say.
    masters_part: f64,
}

pub(super) const ROOT: usize = 0;

impl Queues {
    pub(super) fn new(config: &QueuesConfig, masters_part: f64) -> Self {
        let mut tree = Self { queues: Vec::new(), masters_part };
        tree.grow("root".to_owned(), None, &config.root);
        tree
    }

    fn grow(&mut self, path: String, parent: Option<QueueKey>, config: &Config) -> QueueKey {
        let key = QueueKey::new(self.queues.len());
        self.queues.push(Queue {
            path: path.clone(),
            parent,
            children: Vec::new(),
            config: config.clone(),
            shares: Vec::new(),
            users: Vec::new(),
            active_weight: 0.0,
            applications: 0,
            running: 0,
            containers: 0,
            pending: Amount::ZERO,
            pending_containers: 0,
            wanting: 0,
            passed: 0,
        });
        for (name, child) in &config.queues {
            let child = self.grow(format!("{path}.{name}"), Some(key), child);
            self.queues[key.index()].children.push(child);
        }
        key
    }

    pub(super) fn root(&self) -> QueueKey {
        QueueKey::new(ROOT)
    }

    pub(super) fn get(&self, key: QueueKey) -> &Queue {
        &self.queues[key.index()]
    }

    pub(super) fn get_mut(&mut self, key: QueueKey) -> &mut Queue {
        &mut self.queues[key.index()]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (QueueKey, &Queue)> {
        self.queues.iter().enumerate().map(|(index, queue)| (QueueKey::new(index), queue))
    }

    /// A leaf by its path, or by a name that no other leaf has.
    pub(super) fn leaf(&self, name: &str) -> Option<QueueKey> {
        let leaves = || self.iter().filter(|(_, queue)| queue.is_leaf());
        if let Some((key, _)) = leaves().find(|(_, queue)| queue.path == name) {
            return Some(key);
        }
        let mut leaves = leaves();
        let (first, _) = leaves.find(|(_, queue)| queue.name() == name)?;
        leaves.all(|(_, queue)| queue.name() != name).then_some(first)
    }

    /// This queue, its parent, and so on to the root.
    pub(super) fn upwards(&self, from: QueueKey) -> impl Iterator<Item = (QueueKey, &Queue)> {
        std::iter::successors(Some(from), |key| self.get(*key).parent).map(|key| (key, self.get(key)))
    }

    /// Changes this queue and every one above it.
    pub(super) fn change_upwards(&mut self, from: QueueKey, mut change: impl FnMut(&mut Queue)) {
        let mut next = Some(from);
        while let Some(key) = next {
            let queue = self.get_mut(key);
            change(queue);
            next = queue.parent;
        }
    }

    /// Takes containers in, or gives them back.
    pub(super) fn use_more(&mut self, leaf: QueueKey, partition: PartitionKey, amount: &Amount, master: bool) {
        self.change_upwards(leaf, |queue| {
            let share = &mut queue.shares[partition.index()];
            share.used.add(amount);
            share.ratio = share.used.dominant_share(&share.promised);
            share.quiet = 0;
            queue.containers += 1;
            if master {
                share.masters.add(amount);
            }
        });
    }

    /// The opposite of [`Self::use_more`].
    pub(super) fn use_less(&mut self, leaf: QueueKey, partition: PartitionKey, amount: &Amount, master: bool) {
        self.change_upwards(leaf, |queue| {
            let share = &mut queue.shares[partition.index()];
            share.used.subtract(amount);
            share.ratio = share.used.dominant_share(&share.promised);
            share.quiet = 0;
            queue.containers -= 1;
            if master {
                share.masters.subtract(amount);
            }
        });
    }

    /// What the nodes of a partition offer together.
    pub(super) fn all(&self, partition: PartitionKey) -> &Amount {
        &self.queues[ROOT].shares[partition.index()].most
    }

    /// Whether a limit of a queue above may keep others below it waiting for what this leaf gives back.
    pub(super) fn shares_a_limit(&self, leaf: QueueKey, partition: PartitionKey) -> bool {
        let all = self.all(partition);
        let limits =
            |queue: &Queue| queue.config.max_parallel_apps.is_some() || queue.shares[partition.index()].most != *all;
        self.upwards(leaf).skip(1).any(|(_, queue)| limits(queue))
    }

    /// The first queue upwards that has no room for `amount` under its maximum.
    pub(super) fn at_maximum(&self, leaf: QueueKey, partition: PartitionKey, amount: &Amount) -> Option<QueueKey> {
        let all = self.all(partition);
        let full = |(_, queue): &(QueueKey, &Queue)| {
            let share = &queue.shares[partition.index()];
            // Who may have all meets the nodes' limits, not the queue's.
            share.most != *all && !share.most.fits(&share.used.plus(&share.reserved).plus(amount))
        };
        self.upwards(leaf).find(full).map(|(key, _)| key)
    }

    /// Reckons promises and maxima anew: the cluster has changed.
    pub(super) fn resize(&mut self, partitions: &[Partition], kinds: &Kinds) {
        for queue in &mut self.queues {
            queue.shares.resize(partitions.len(), Share::default());
            for user in &mut queue.users {
                user.used.resize(partitions.len(), Amount::ZERO);
            }
        }
        for (index, partition) in partitions.iter().enumerate() {
            let root = &mut self.queues[ROOT].shares[index];
            (root.promised, root.most) = (partition.total, partition.total);
            self.share_out(QueueKey::new(ROOT), index, partition, kinds);
        }
        for queue in &mut self.queues {
            let part = queue.config.maximum_am_resource_percent.unwrap_or(self.masters_part);
            for share in &mut queue.shares {
                share.ratio = share.used.dominant_share(&share.promised);
                share.masters_most = share.most.part(part);
            }
        }
    }

    fn share_out(&mut self, parent: QueueKey, index: usize, partition: &Partition, kinds: &Kinds) {
        let children = self.get(parent).children.clone();
        let above = self.get(parent).shares[index];
        let parts = self.parts(&children, above.promised, kinds);
        for (child, part) in children.into_iter().zip(parts) {
            let queue = self.get_mut(child);
            let (promised, most) = if index == UNLABELLED {
                (part.of(&above.promised), maximum(queue.config.maximum_capacity.as_ref(), &above.most, kinds))
            } else {
                labelled(&queue.config, &partition.label, &above, part)
            };
            let share = &mut queue.shares[index];
            (share.promised, share.most) = (promised.lesser(&most), most);
            self.share_out(child, index, partition, kinds);
        }
    }

    /// How siblings divide their parent.
    fn parts(&self, children: &[QueueKey], above: Amount, kinds: &Kinds) -> Vec<Part> {
        let configs = || children.iter().map(|child| &self.get(*child).config.capacity);
        let weights: f64 = configs().map(|capacity| capacity.as_ref().map_or(1.0, weight)).sum();
        let fixed = configs().flatten().fold(Amount::ZERO, |sum, capacity| match capacity {
            Capacity::Absolute(resource) => sum.plus(&kinds.known(resource)),
            Capacity::Percent(_) | Capacity::Weight(_) => sum,
        });
        // Amounts that the parent does not have are cut alike for all.
        let shrink = 1.0 / fixed.dominant_share(&above).max(1.0);
        let part = |capacity: &Option<Capacity>| match capacity {
            None => Part::Of(1.0 / weights),
            Some(Capacity::Percent(percent)) => Part::Of(percent / 100.0),
            Some(Capacity::Weight(weight)) => Part::Of(weight / weights.max(f64::MIN_POSITIVE)),
            Some(Capacity::Absolute(resource)) => Part::Fixed(kinds.known(resource).part(shrink)),
        };
        configs().map(part).collect()
    }
}

#[derive(Clone, Copy)]
enum Part {
    Of(f64),
    Fixed(Amount),
}

impl Part {
    fn of(self, whole: &Amount) -> Amount {
        match self {
            Self::Of(part) => whole.part(part),
            Self::Fixed(amount) => amount,
        }
    }
}

fn weight(capacity: &Capacity) -> f64 {
    match capacity {
        Capacity::Weight(weight) => *weight,
        Capacity::Percent(_) | Capacity::Absolute(_) => 0.0,
    }
}

/// Kinds that an absolute maximum does not name are not limited by it.
fn maximum(configured: Option<&Capacity>, above: &Amount, kinds: &Kinds) -> Amount {
    match configured {
        None | Some(Capacity::Weight(_)) => *above,
        Some(Capacity::Percent(percent)) => above.part(percent / 100.0),
        Some(Capacity::Absolute(resource)) => {
            let stated = kinds.known(resource);
            let mut limit = above.lesser(&stated);
            limit.fill_zeros(&stated, above);
            limit
        }
    }
}

/// A queue that names no labels has its usual part of those its parent may use.
fn labelled(config: &Config, label: &str, above: &Share, part: Part) -> (Amount, Amount) {
    match config.accessible_node_labels.get(label) {
        Some(share) => {
            let most = above.most.part(share.maximum_capacity.unwrap_or(100.0) / 100.0);
            (above.promised.part(share.capacity / 100.0), most)
        }
        None if config.accessible_node_labels.is_empty() => {
            let promised = match part {
                Part::Of(part) => above.promised.part(part),
                Part::Fixed(_) => Amount::ZERO,
            };
            (promised, above.most)
        }
        None => (Amount::ZERO, Amount::ZERO),
    }
}
