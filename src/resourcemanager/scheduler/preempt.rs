//! Preemption: who is below what it was promised, and waits, takes from who is above.
//!
//! ```text
//! starving entries ─► for each, candidates: newest first, masters last ─► gathered by node until one of it fits ─► marked
//!    (waited a whole round, within          (of leaves above their promise,
//!     their promise or before others           or behind it in its own leaf)
//!     in their own leaf)
//! ```
//! A round marks containers; the grace period later the core ends those still marked. A mark is lifted when whom it was for is
//! served, or wants nothing more. Differences from YARN: room is gathered on one node, so that what is freed can be used; and what
//! is beyond all promises is never taken for somebody who is beyond its own.
//!
//! Invariants: no queue is brought below its promise; a round takes at most its part of the partition; between two leaves only
//! what lies below their nearest common queue counts, so a queue's children settle among themselves what is theirs.

use std::collections::BTreeMap;

use super::amount::Amount;
use super::applications::App;
use super::keys::{AllocationKey, AppKey, EntryKey, NodeKey, PartitionKey, QueueKey};
use super::{Reason, Scheduler, Standing, users};
use crate::config::queues::Preemption;
use crate::ids::ApplicationId;
use crate::time::Now;

/// So many starving entries are looked at in one round; the others come next.
const STARVING_MAX: usize = 32;

/// A container that is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    entry: EntryKey,
    taker: ApplicationId,
    /// How many of the entry's containers find room once this one has gone.
    serves: u32,
}

/// Containers that are to be taken, and for whom.
#[derive(Debug, Default)]
pub(super) struct Marks {
    by_allocation: BTreeMap<AllocationKey, Mark>,
    next_round: Option<Now>,
}

impl Marks {
    pub(super) fn forget(&mut self, allocation: AllocationKey) {
        self.by_allocation.remove(&allocation);
    }
}

/// What a round has decided.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Round {
    /// To be taken after the grace period: the container, and the queue it is for.
    pub(crate) marked: Vec<(ApplicationId, AllocationKey, String)>,
    /// Not to be taken after all.
    pub(crate) lifted: Vec<(ApplicationId, AllocationKey)>,
}

struct Candidate {
    allocation: AllocationKey,
    app: AppKey,
    leaf: QueueKey,
    node: NodeKey,
    amount: Amount,
    taken: bool,
    order: (bool, std::cmp::Reverse<u64>),
}

/// What queues and users will have once everything marked has gone to whom it is for.
struct Books {
    queues: Vec<Amount>,
    users: BTreeMap<(QueueKey, usize), Amount>,
}

impl Scheduler {
    /// When the next round is due, if there is to be one.
    pub(crate) fn next_round(&mut self, now: Now) -> Option<Now> {
        let wanted = self.queues.get(self.queues.root()).wanting > 0 || !self.marks.by_allocation.is_empty();
        if self.config.scheduler.preemption == Preemption::None || !wanted {
            self.marks.next_round = None;
            return None;
        }
        let interval = self.config.scheduler.preemption_interval;
        Some(*self.marks.next_round.get_or_insert(now + interval))
    }

    /// Decides what is to be taken from whom.
    pub(crate) fn preempt(&mut self, now: Now) -> Round {
        self.marks.next_round = None;
        if self.resized {
            self.resize();
        }
        let mut round = Round { marked: Vec::new(), lifted: self.lift() };
        for index in 0..self.nodes.partitions().len() {
            self.preempt_in(PartitionKey::new(index), now, &mut round);
        }
        round
    }

    /// Lifts marks that nobody needs any more.
    fn lift(&mut self) -> Vec<(ApplicationId, AllocationKey)> {
        let needed = |mark: &Mark| {
            let entry = self.entries.get(mark.entry.index());
            entry.is_some_and(|entry| entry.wanted > 0 && self.app(entry.app).id == mark.taker)
        };
        let marks = self.marks.by_allocation.iter();
        let lifted: Vec<_> = marks.filter(|(_, mark)| !needed(mark)).map(|(allocation, _)| *allocation).collect();
        let mut whose = Vec::with_capacity(lifted.len());
        for allocation in lifted {
            self.marks.forget(allocation);
            if let Some(of) = self.allocations.get(allocation.index()) {
                whose.push((self.app(of.app).id, allocation));
            }
        }
        whose
    }

    fn preempt_in(&mut self, partition: PartitionKey, now: Now, round: &mut Round) {
        let starving = self.starving(partition, now);
        if starving.is_empty() {
            return;
        }
        let mut books = self.books(partition);
        let mut budget = self.budget(partition);
        let mut candidates = self.candidates(partition);
        candidates.sort_unstable_by_key(|candidate| (candidate.order, candidate.allocation));
        for entry in starving {
            let taken = self.take_for(entry, &mut candidates, &mut books, &mut budget);
            if taken.is_empty() {
                continue;
            }
            let app = self.app(self.entry(entry).app);
            let (taker, queue) = (app.id, self.queues.get(app.leaf).path.clone());
            for (allocation, of, serves) in taken {
                self.marks.by_allocation.insert(allocation, Mark { entry, taker, serves });
                round.marked.push((of, allocation, queue.clone()));
            }
        }
    }

    /// Entries that have waited for a whole round, the neediest queue's first.
    fn starving(&self, partition: PartitionKey, now: Now) -> Vec<EntryKey> {
        let patience = self.config.scheduler.preemption_interval;
        let waits = |(_, entry): &(usize, &super::Entry)| {
            entry.wanted > 0
                && entry.partition == partition
                && entry.unknown.is_none()
                && entry.anywhere
                && entry.since + patience <= now
                && self.is_kept_by_others(entry)
        };
        let mut starving: Vec<_> = self
            .entries
            .iter()
            .filter(waits)
            .map(|(index, entry)| {
                let app = self.app(entry.app);
                let ratio = self.queues.get(app.leaf).shares[partition.index()].ratio;
                (ratio, std::cmp::Reverse(app.priority), !entry.master, EntryKey::new(index))
            })
            .collect();
        starving.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)).then(a.3.cmp(&b.3)));
        starving.into_iter().take(STARVING_MAX).map(|(_, _, _, entry)| entry).collect()
    }

    /// Whether it is others that an entry waits for, and no limit of its own. Its queue's maximum is its queue's business: who
    /// comes first there may take from who comes later.
    fn is_kept_by_others(&self, entry: &super::Entry) -> bool {
        match self.by_limits(entry) {
            None => true,
            Some(Reason::QueueMaximum { .. }) => self.config.scheduler.preemption == Preemption::WithinQueues,
            Some(_) => false,
        }
    }

    /// What one round may take, less what is marked already.
    fn budget(&self, partition: PartitionKey) -> Amount {
        let part = self.config.scheduler.preemption_round_percent / 100.0;
        let marked = self.marks.by_allocation.keys().filter_map(|key| self.allocations.get(key.index()));
        let marked = marked.filter(|allocation| allocation.partition == partition);
        let marked = marked.fold(Amount::ZERO, |sum, allocation| sum.plus(&allocation.amount));
        self.queues.all(partition).part(part).minus(&marked)
    }

    fn books(&self, partition: PartitionKey) -> Books {
        let queues = self.queues.iter().map(|(_, queue)| queue.shares[partition.index()].used).collect();
        let mut books = Books { queues, users: BTreeMap::new() };
        for (key, queue) in self.queues.iter() {
            for (user, of) in queue.users.iter().enumerate() {
                books.users.insert((key, user), of.used[partition.index()]);
            }
        }
        for (key, mark) in &self.marks.by_allocation {
            if let Some(marked) = self.allocations.get(key.index()).filter(|marked| marked.partition == partition) {
                self.strike(&mut books, self.app(marked.app), &marked.amount);
                if let Some(entry) = self.entries.get(mark.entry.index()) {
                    self.expect(&mut books, self.app(entry.app), &entry.amount.times(u64::from(mark.serves)));
                }
            }
        }
        books
    }

    fn expect(&self, books: &mut Books, app: &App, amount: &Amount) {
        for (queue, _) in self.queues.upwards(app.leaf) {
            books.queues[queue.index()].add(amount);
        }
        books.users.entry((app.leaf, app.user)).or_insert(Amount::ZERO).add(amount);
    }

    fn strike(&self, books: &mut Books, app: &App, amount: &Amount) {
        for (queue, _) in self.queues.upwards(app.leaf) {
            books.queues[queue.index()].subtract(amount);
        }
        if let Some(used) = books.users.get_mut(&(app.leaf, app.user)) {
            used.subtract(amount);
        }
    }

    /// Whether the queue, or one above it, keeps what it has.
    pub(super) fn is_spared(&self, queue: QueueKey) -> bool {
        self.queues.upwards(queue).any(|(_, queue)| queue.config.disable_preemption)
    }

    fn candidates(&self, partition: PartitionKey) -> Vec<Candidate> {
        let allocations = self.allocations.iter().map(|(index, allocation)| (AllocationKey::new(index), allocation));
        allocations
            .filter(|(key, of)| of.partition == partition && !self.marks.by_allocation.contains_key(key))
            .filter_map(|(allocation, of)| {
                let leaf = self.app(of.app).leaf;
                (!self.is_spared(leaf)).then_some(Candidate {
                    allocation,
                    app: of.app,
                    leaf,
                    node: of.node,
                    amount: of.amount,
                    taken: false,
                    order: (of.master, std::cmp::Reverse(of.sequence)),
                })
            })
            .collect()
    }

    /// Takes for one entry, until it is served or nobody can be taken from: the container, whose it is, and how many of the
    /// entry's it makes room for.
    fn take_for(
        &self,
        key: EntryKey,
        candidates: &mut [Candidate],
        books: &mut Books,
        budget: &mut Amount,
    ) -> Vec<(AllocationKey, ApplicationId, u32)> {
        let entry = self.entry(key);
        let taker = self.app(entry.app);
        let coming: u32 =
            self.marks.by_allocation.values().filter(|mark| mark.entry == key).map(|mark| mark.serves).sum();
        let mut missing = entry.wanted.saturating_sub(coming);
        let mut gathered: BTreeMap<NodeKey, (Amount, Vec<usize>)> = BTreeMap::new();
        let mut taken = Vec::new();
        for index in 0..candidates.len() {
            if missing == 0 || !self.is_entitled(entry, books) {
                break;
            }
            let candidate = &candidates[index];
            if candidate.taken || !budget.fits(&candidate.amount) || !self.may_take(entry, candidate, books) {
                continue;
            }
            let (room, victims) =
                gathered.entry(candidate.node).or_insert_with(|| (self.open(candidate.node), Vec::new()));
            room.add(&candidate.amount);
            victims.push(index);
            if !room.fits(&entry.amount) {
                continue;
            }
            // What was possible for each need not be for all; half of what is needed helps nobody.
            if let Some(kept) = self.first_kept(entry, candidates, victims, books, budget) {
                room.subtract(&candidates[victims.remove(kept)].amount);
                continue;
            }
            let mut serves = 0;
            while room.fits(&entry.amount) && serves < missing {
                room.subtract(&entry.amount);
                serves += 1;
            }
            for index in std::mem::take(victims) {
                let victim = &mut candidates[index];
                victim.taken = true;
                let of = self.app(victim.app);
                self.strike(books, of, &victim.amount);
                budget.subtract(&victim.amount);
                taken.push((victim.allocation, of.id, 0));
            }
            if let Some((_, _, makes_room)) = taken.last_mut() {
                *makes_room += serves;
            }
            self.expect(books, taker, &entry.amount.times(u64::from(serves)));
            missing -= serves;
        }
        taken
    }

    /// The first of some candidates that may not be taken once those before it are.
    fn first_kept(
        &self,
        entry: &super::Entry,
        candidates: &[Candidate],
        victims: &[usize],
        books: &mut Books,
        budget: &Amount,
    ) -> Option<usize> {
        let (mut left, mut struck, mut kept) = (*budget, Vec::new(), None);
        for (place, index) in victims.iter().enumerate() {
            let victim = &candidates[*index];
            if !left.fits(&victim.amount) || !self.may_take(entry, victim, books) {
                kept = Some(place);
                break;
            }
            left.subtract(&victim.amount);
            self.strike(books, self.app(victim.app), &victim.amount);
            struck.push(victim);
        }
        for victim in struck {
            self.expect(books, self.app(victim.app), &victim.amount);
        }
        kept
    }

    /// What a node has free for whoever comes.
    fn open(&self, node: NodeKey) -> Amount {
        let node = self.nodes.node(node);
        let usable = node.standing == Standing::Usable && node.reserved.is_none();
        if usable { node.free() } else { Amount::ZERO }
    }

    /// Whether an entry may have one more at the cost of others: within its queue's promise, or before others of its own queue.
    fn is_entitled(&self, entry: &super::Entry, books: &Books) -> bool {
        self.config.scheduler.preemption == Preemption::WithinQueues || self.is_below_promise(entry, books)
    }

    fn is_below_promise(&self, entry: &super::Entry, books: &Books) -> bool {
        let leaf = self.app(entry.app).leaf;
        let share = &self.queues.get(leaf).shares[entry.partition.index()];
        books.queues[leaf.index()].plus(&entry.amount).dominant_share(&share.promised) <= 1.0
    }

    fn may_take(&self, entry: &super::Entry, victim: &Candidate, books: &Books) -> bool {
        let taker = self.app(entry.app);
        if victim.leaf == taker.leaf {
            return self.config.scheduler.preemption == Preemption::WithinQueues
                && victim.app != entry.app
                && self.is_behind(entry, taker, victim, books);
        }
        let dead_zone = 1.0 + self.config.scheduler.preemption_dead_zone_percent / 100.0;
        self.is_below_promise(entry, books)
            && self.upwards_below_common(victim.leaf, taker.leaf).all(|queue| {
                let share = &self.queues.get(queue).shares[entry.partition.index()];
                let used = &books.queues[queue.index()];
                let has_now = share.used.dominant_share(&share.promised);
                has_now > dead_zone && used.minus(&victim.amount).dominant_share(&share.promised) >= 1.0
            })
    }

    /// In the same leaf: those of lower priority, and those of users above their limit for users below theirs.
    fn is_behind(&self, entry: &super::Entry, taker: &App, victim: &Candidate, books: &Books) -> bool {
        let other = self.app(victim.app);
        if other.user == taker.user || self.queues.get(taker.leaf).users.len() == 1 {
            return other.priority < taker.priority;
        }
        let leaf = self.queues.get(taker.leaf);
        let used = |user: usize| books.users.get(&(taker.leaf, user)).copied().unwrap_or(Amount::ZERO);
        let share = &leaf.shares[entry.partition.index()];
        let whole = share.promised.greater(&share.used);
        // Everybody who has or wants something counts, and not only who wants: else who has all would have it by right.
        let counts = |(index, user): &(usize, &users::User)| user.wanting > 0 || !used(*index).is_zero();
        let weights: f64 = leaf.users.iter().enumerate().filter(counts).map(|(_, user)| user.weight).sum();
        let limit = |user: usize| whole.part(leaf.users[user].weight / weights.max(leaf.users[user].weight));
        let below = limit(taker.user).fits(&used(taker.user).plus(&entry.amount));
        let above = used(other.user).minus(&victim.amount).dominant_share(&limit(other.user)) >= 1.0;
        other.priority < taker.priority || (below && above)
    }

    /// A leaf and the queues above it, as far as another leaf is not below them too.
    fn upwards_below_common(&self, from: QueueKey, other: QueueKey) -> impl Iterator<Item = QueueKey> {
        let shared = move |queue: &QueueKey| self.queues.upwards(other).any(|(above, _)| above == *queue);
        self.queues.upwards(from).map(|(queue, _)| queue).take_while(move |queue| !shared(queue))
    }
}
