//! A segment of a table; and while somebody reads what it held at one moment, what has become of it since.
//!
//! ```text
//!            before a freeze   segment: all entries
//! while it is read elsewhere   segment: entries written since   frozen: those of then, and which of them were taken out since
//!             read no longer   segment: all entries again; what was written since is put to the rest in place
//! ```
//! So a write during a snapshot costs a copy of one entry, not of a segment, and memory grows with what changes, not with what is held.

use std::sync::Arc;

use super::super::{Key, key_hash};
use super::segment::{Place, Segment};

/// A segment, and how many bits all its keys agree in.
#[derive(Clone)]
pub(super) struct Part<K, S> {
    pub(super) depth: u32,
    /// While it is frozen, only what was written since.
    pub(super) segment: Segment<K, S>,
    frozen: Option<Box<Frozen<K, S>>>,
}

/// What a segment held, shared with whoever froze it.
#[derive(Clone)]
struct Frozen<K, S> {
    segment: Arc<Segment<K, S>>,
    /// A bit a slot, once there is one: what lies there was taken out since. (What was written since is found before it.)
    removed: Vec<u64>,
}

impl<K, S> Frozen<K, S> {
    fn is_removed(&self, slot: usize) -> bool {
        has(&self.removed, slot)
    }
}

fn has(bits: &[u64], slot: usize) -> bool {
    bits.get(slot / 64).is_some_and(|bits| bits >> (slot % 64) & 1 == 1)
}

impl<K: Key, S: Clone> Frozen<K, S> {
    fn remove(&mut self, slot: usize) {
        if self.removed.is_empty() {
            self.removed = vec![0; self.segment.slots().div_ceil(64)];
        }
        self.removed[slot / 64] |= 1 << (slot % 64);
    }

    /// Where a key lies, unless it was taken out since. It may have been written since.
    fn find(&self, hash: u64, is: impl Fn(&K) -> bool) -> Option<usize> {
        match self.segment.find_by(hash, is) {
            Place::Found(slot) if !self.is_removed(slot) => Some(slot),
            Place::Found(_) | Place::Free(_) => None,
        }
    }
}

impl<K: Key, S: Clone> Part<K, S> {
    pub(super) fn new(depth: u32, segment: Segment<K, S>) -> Self {
        Self { depth, segment, frozen: None }
    }

    #[inline]
    pub(super) fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// Whether somebody still reads what it held.
    pub(super) fn is_read(&mut self) -> bool {
        self.frozen.as_mut().is_some_and(|frozen| Arc::get_mut(&mut frozen.segment).is_none())
    }

    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        if let Some(frozen) = &self.frozen {
            frozen.segment.prefetch(hash);
        }
        self.segment.prefetch(hash);
    }

    /// Memory, as [`Segment::bytes`].
    pub(super) fn bytes(&self) -> usize {
        self.segment.bytes() + self.frozen.as_ref().map_or(0, |frozen| frozen.segment.bytes())
    }

    /// The entry of a key.
    #[inline]
    pub(super) fn find(&self, hash: u64, is: impl Fn(&K) -> bool) -> Option<&(K, S)> {
        match self.segment.find_by(hash, &is) {
            Place::Found(slot) => Some(self.segment.entry(slot)),
            Place::Free(_) => {
                let frozen = self.frozen.as_ref()?;
                frozen.find(hash, is).map(|slot| frozen.segment.entry(slot))
            }
        }
    }

    /// All entries.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(K, S)> {
        let frozen = self.frozen.iter().flat_map(|frozen| {
            let slots = (0..frozen.segment.slots()).filter(|slot| !frozen.is_removed(*slot));
            slots.filter_map(|slot| frozen.segment.slot(slot)).filter(|(key, _)| !self.is_since(key))
        });
        self.segment.iter().chain(frozen)
    }

    /// Whether a key was written since.
    fn is_since(&self, key: &K) -> bool {
        !self.segment.is_empty() && matches!(self.segment.find_by(key_hash(key), |other| other == key), Place::Found(_))
    }

    /// Whether there are no entries, of one that has not changed since it was frozen.
    pub(super) fn is_empty(&self) -> bool {
        self.segment.is_empty() && self.frozen.as_ref().is_none_or(|frozen| frozen.segment.is_empty())
    }

    /// Has a key that lies in what is frozen among what was written since, where there must be room; where it is there, or would be.
    pub(super) fn bring(&mut self, hash: u64, is: impl Fn(&K) -> bool) -> Place {
        let place = self.segment.find_by(hash, &is);
        let (Place::Free(free), Some(frozen)) = (&place, &mut self.frozen) else { return place };
        let Some(slot) = frozen.find(hash, is) else { return place };
        let (key, state) = frozen.segment.entry(slot).clone();
        self.segment.insert(*free, hash, key, state);
        Place::Found(*free)
    }

    /// Has a key that lies in what is frozen, and was not or is no longer among what was written since, be there no more. Its entry.
    pub(super) fn remove_frozen(&mut self, hash: u64, is: impl Fn(&K) -> bool) -> Option<&(K, S)> {
        let frozen = self.frozen.as_mut()?;
        let slot = frozen.find(hash, is)?;
        frozen.remove(slot);
        Some(frozen.segment.entry(slot))
    }

    /// Whether it has been written to since it was frozen.
    pub(super) fn has_changed(&self) -> bool {
        self.frozen.as_ref().is_some_and(|frozen| !frozen.removed.is_empty() || !self.segment.is_empty())
    }

    /// What it holds now, to be read while it changes. It must not have changed since it was frozen last: who has, is thawed first.
    pub(super) fn freeze(&mut self) -> Arc<Segment<K, S>> {
        debug_assert!(!self.has_changed(), "what was written since the last freeze is not lost");
        let Self { segment, frozen, .. } = self;
        let frozen = frozen.get_or_insert_with(|| {
            let segment = Arc::new(std::mem::replace(segment, Segment::new()));
            Box::new(Frozen { segment, removed: Vec::new() })
        });
        Arc::clone(&frozen.segment)
    }

    /// Has all entries in one segment again, which is copied if somebody still reads it. Returns those that there is no room for.
    #[cold]
    #[must_use]
    pub(super) fn thaw(&mut self) -> Vec<(K, S)> {
        let Some(frozen) = self.frozen.take() else { return Vec::new() };
        let Frozen { segment, mut removed } = *frozen;
        let since = std::mem::replace(&mut self.segment, Arc::unwrap_or_clone(segment));
        let mut new = Vec::new();
        for (key, state) in since.into_entries() {
            match self.segment.find_by(key_hash(&key), |other| *other == key) {
                Place::Found(slot) => {
                    *self.segment.entry_mut(slot) = (key, state);
                    if let Some(bits) = removed.get_mut(slot / 64) {
                        *bits &= !(1 << (slot % 64));
                    }
                }
                Place::Free(_) => new.push((key, state)),
            }
        }
        if removed.iter().any(|bits| *bits != 0) {
            self.segment.retain_slots(|slot| !has(&removed, slot));
        }
        self.fill(new)
    }

    /// Adds new keys as long as there is room; the others.
    fn fill(&mut self, new: Vec<(K, S)>) -> Vec<(K, S)> {
        let mut left = Vec::new();
        for (key, state) in new {
            let hash = key_hash(&key);
            match self.segment.find_by(hash, |_| false) {
                Place::Free(slot) if !self.segment.is_full() => {
                    self.segment.insert(slot, hash, key, state);
                }
                Place::Free(_) | Place::Found(_) => left.push((key, state)),
            }
        }
        left
    }
}
