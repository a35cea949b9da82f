//! Applications and what they want.

use std::collections::{BTreeMap, BTreeSet};

use super::amount::{Amount, UnknownKind};
use super::keys::{AllocationKey, AppKey, ClassKey, EntryKey, NodeKey, PartitionKey, PlaceKey, QueueKey};
use super::users::{LineKind, Turn};
use crate::ids::ApplicationId;
use crate::resourcemanager::asks::AskKey;
use crate::time::Now;

/// An application that has been let into a queue and has not ended.
#[derive(Debug)]
pub(super) struct App {
    pub(super) id: ApplicationId,
    pub(super) leaf: QueueKey,
    /// Place among the leaf's users.
    pub(super) user: usize,
    /// Larger numbers first.
    pub(super) priority: u32,
    /// Everywhere.
    pub(super) used: Amount,
    /// Hosts and racks that its master does not want.
    pub(super) blacklist: BTreeSet<PlaceKey>,
    /// Nodes that failed its masters: taken for the next one only if no other has room.
    pub(super) avoid: BTreeSet<PlaceKey>,
    /// By whether it is the master's own, and key.
    pub(super) entries: BTreeMap<(bool, AskKey), EntryKey>,
    /// In the order they were granted.
    pub(super) allocations: BTreeSet<(u64, AllocationKey)>,
    /// Has a master's container.
    pub(super) has_master: bool,
    /// Its master does the work itself: it has no part in what masters may use.
    pub(super) is_command: bool,
}

/// Containers of one kind that an application wants.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) app: AppKey,
    pub(super) master: bool,
    pub(super) key: AskKey,
    /// One container.
    pub(super) amount: Amount,
    /// Set if no node offers what it names; then it is not tried.
    pub(super) unknown: Option<UnknownKind>,
    pub(super) partition: PartitionKey,
    pub(super) label: Option<String>,
    /// The `*` row: how many are wanted in all, and whether any node will do.
    pub(super) wanted: u32,
    pub(super) anywhere: bool,
    /// The rows of hosts and racks.
    pub(super) local: Vec<LocalRow>,
    /// When it began to want, or got one last.
    pub(super) since: Now,
    pub(super) standing: EntryStanding,
    /// What of `wanted` its queue counts as pending.
    pub(super) counted: u32,
    /// A node held free for it.
    pub(super) reserved: Option<NodeKey>,
}

/// The row of a host or a rack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LocalRow {
    pub(super) place: PlaceKey,
    pub(super) rack: bool,
    pub(super) count: u32,
    pub(super) relax: bool,
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryStanding {
    /// It wants nothing, or nothing that there can be.
    Idle,
    /// In its user's lines.
    InLine(LineKind, Turn),
    /// Its nodes have no room: told when that changes.
    Waiting,
}

/// Every entry that wants the same amount anywhere in the same partition.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) partition: PartitionKey,
    pub(super) amount: Amount,
    /// Entries in lines.
    pub(super) entries: usize,
    /// Since when no node has room for one.
    pub(super) closed: Option<Now>,
    /// A node that is held free for one of its entries.
    pub(super) reserved: Option<(NodeKey, EntryKey)>,
}

/// A granted container.
#[derive(Clone, Debug)]
pub(super) struct Allocation {
    pub(super) app: AppKey,
    pub(super) node: NodeKey,
    pub(super) partition: PartitionKey,
    pub(super) amount: Amount,
    pub(super) master: bool,
    /// Counts grants.
    pub(super) sequence: u64,
    /// The row of a host or rack that placed it.
    pub(super) by: Option<PlaceKey>,
}

/// The class's key for lookups.
pub(super) type ClassIndex = BTreeMap<(PartitionKey, Amount), ClassKey>;

impl Entry {
    /// Counts one container as given, by the row that placed it: its host's, its rack's and the `*` row each want one less.
    pub(super) fn satisfied(&mut self, by: Option<PlaceKey>, rack: PlaceKey) {
        if let Some(by) = by {
            for row in self.local.iter_mut().filter(|row| row.place == by || row.place == rack) {
                row.count = row.count.saturating_sub(1);
            }
            self.local.retain(|row| row.count > 0);
        }
        self.wanted = self.wanted.saturating_sub(1);
    }

    /// Takes [`Entry::satisfied`] back.
    pub(super) fn restore(&mut self, by: Option<PlaceKey>, rack: PlaceKey) {
        if let Some(by) = by {
            for place in if by == rack { vec![rack] } else { vec![by, rack] } {
                match self.local.iter_mut().find(|row| row.place == place) {
                    Some(row) => row.count += 1,
                    None => self.local.push(LocalRow { place, rack: place == rack, count: 1, relax: true }),
                }
            }
        } else {
            self.anywhere |= self.wanted == 0;
        }
        self.wanted += 1;
    }

    /// Whether nothing is left of it.
    pub(super) fn is_void(&self) -> bool {
        self.wanted == 0 && self.local.is_empty()
    }

    /// The racks that asked hosts stand for come after the hosts, any node after the racks.
    pub(super) fn stage(&self, now: Now, delays: &Delays) -> Stage {
        let (hosts, racks) =
            (self.local.iter().any(|row| !row.rack && row.count > 0), self.local.iter().any(|row| row.rack));
        let racks_from = if hosts { self.since + delays.node } else { self.since };
        let anywhere_from = if hosts || racks { racks_from + delays.rack } else { self.since };
        if self.anywhere && now >= anywhere_from {
            Stage::Anywhere
        } else if now >= racks_from {
            Stage::Racks { until: self.anywhere.then_some(anywhere_from) }
        } else {
            Stage::Hosts { until: racks_from }
        }
    }
}

/// How far from what it asked for an entry may be served now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Only on its hosts, until then.
    Hosts { until: Now },
    /// On its racks as well, where their rows allow it; until then, if ever.
    Racks { until: Option<Now> },
    /// On any node.
    Anywhere,
}

/// How long entries insist on locality.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delays {
    pub(super) node: std::time::Duration,
    pub(super) rack: std::time::Duration,
}
