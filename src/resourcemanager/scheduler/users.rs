//! A user of a leaf queue: what they have, what they want in which order, and how much they may have.
//!
//! The limit is that of YARN's CapacityScheduler: the queue (what it is promised, or what it uses if that is more) divided among
//! the users who want something, by their weights; no less than the minimum percentage; no more than the factor times the
//! promise. Whoever is at the limit in any resource waits; so it is exceeded by one container at most.

use std::collections::BTreeSet;

use super::amount::Amount;
use super::keys::{ClassKey, EntryKey, PartitionKey};
use super::queues::Queue;

/// A user of a leaf.
#[derive(Debug)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) weight: f64,
    /// By partition.
    pub(super) used: Vec<Amount>,
    /// Of it, by masters.
    pub(super) masters: Amount,
    pub(super) applications: usize,
    /// Entries that want something.
    pub(super) wanting: usize,
    /// What can be tried, in lines of alike entries.
    pub(super) lines: Vec<Line>,
}

/// Entries that are alike to the scheduler: if the first cannot be served for what it is, none can.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) kind: LineKind,
    /// In the order they are served.
    pub(super) turns: BTreeSet<Turn>,
}

/// What makes entries alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LineKind {
    pub(super) partition: PartitionKey,
    /// None: each looks for its own nodes.
    pub(super) class: Option<ClassKey>,
    /// Masters have their own limit.
    pub(super) master: bool,
    /// Masters that do the work themselves have only some of it.
    pub(super) command: bool,
}

/// When an entry is served: by its application's order, then masters first, then by the ask's priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    /// Priority (first in first out), or share of the cluster (fair); smaller first.
    pub(super) rank: u64,
    /// Order of submission.
    pub(super) sequence: u64,
    pub(super) worker: bool,
    pub(super) priority: u32,
    pub(super) entry: EntryKey,
}

impl User {
    pub(super) fn new(name: &str, weight: f64, partitions: usize) -> Self {
        Self {
            name: name.to_owned(),
            weight,
            used: vec![Amount::ZERO; partitions],
            masters: Amount::ZERO,
            applications: 0,
            wanting: 0,
            lines: Vec::new(),
        }
    }

    pub(super) fn insert(&mut self, kind: LineKind, turn: Turn) {
        match self.lines.iter_mut().find(|line| line.kind == kind) {
            Some(line) => drop(line.turns.insert(turn)),
            None => self.lines.push(Line { kind, turns: BTreeSet::from([turn]) }),
        }
    }

    pub(super) fn remove(&mut self, kind: LineKind, turn: &Turn) {
        let Some(at) = self.lines.iter().position(|line| line.kind == kind) else { return };
        self.lines[at].turns.remove(turn);
        if self.lines[at].turns.is_empty() {
            self.lines.swap_remove(at);
        }
    }
}

/// What a user of `queue` may have of a partition, if they get `ask`.
pub(super) fn limit(queue: &Queue, user: &User, partition: PartitionKey, ask: &Amount) -> Amount {
    let share = &queue.shares[partition.index()];
    let whole = share.promised.greater(&share.used.plus(ask));
    let least = queue.config.minimum_user_limit_percent.unwrap_or(100.0) / 100.0;
    let everybody = queue.active_weight.max(user.weight);
    let part = (user.weight / everybody).max((least * user.weight).min(1.0));
    let limit = whole.part(part);
    let factor = queue.config.user_limit_factor.unwrap_or(1.0);
    if factor < 0.0 || share.promised.is_zero() {
        return limit;
    }
    limit.lesser(&share.promised.part(factor * user.weight))
}

/// Whether a user is at their limit. Who may have `all` there is meets the nodes' limits, not their own.
pub(super) fn is_at_limit(queue: &Queue, user: &User, partition: PartitionKey, ask: &Amount, all: &Amount) -> bool {
    let used = &user.used[partition.index()];
    if used.is_zero() {
        return false;
    }
    let limit = limit(queue, user, partition, ask);
    !limit.fits(all) && used.dominant_share(&limit) >= 1.0
}
