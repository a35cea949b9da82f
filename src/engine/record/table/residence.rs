//! A table as the part of a state that is in memory, where more of it lies on disk.
//!
//! Entries carry marks then, which the ways to change a table keep up: used, changed, stored. Whoever holds the disk admits what is to
//! be worked with, passes over the segments to save what has changed or to make room, and says what lies there. A table without marks
//! pays a comparison that is always the same.

use std::collections::BTreeMap;

use super::segment::{CHANGED, Place, STORED, Segment, USED};
use super::{KeyedTable, Part};
use crate::engine::record::{Key, KeyRef, hash_order, key_hash};

/// Keys that lie on disk and were taken out since, by the order of their hashes.
#[derive(Clone, Debug)]
pub(super) struct Removed<K> {
    keys: BTreeMap<u64, Vec<K>>,
}

impl<K: Key> Removed<K> {
    pub(super) fn add(&mut self, hash: u64, key: K) {
        self.keys.entry(hash_order(hash)).or_insert_with(|| Vec::with_capacity(1)).push(key);
    }

    /// Whether a key was among them, of which it is no more.
    pub(super) fn take(&mut self, hash: u64, key: &K) -> bool {
        let order = hash_order(hash);
        let Some(keys) = self.keys.get_mut(&order) else { return false };
        let Some(at) = keys.iter().position(|other| other == key) else { return false };
        keys.swap_remove(at);
        if keys.is_empty() {
            self.keys.remove(&order);
        }
        true
    }

    fn has(&self, hash: u64, key: KeyRef<'_, K>) -> bool {
        self.keys.get(&hash_order(hash)).is_some_and(|keys| keys.iter().any(|other| key.matches(other)))
    }

    /// About what they take: keys of one hash are few.
    pub(super) fn bytes(&self) -> usize {
        self.keys.len() * (size_of::<(u64, Vec<K>)>() * 3 / 2 + size_of::<K>())
    }
}

/// What a walk over the segments is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passing {
    /// To save what has changed. It all stays.
    Save,
    /// To make room: what nobody has used since the last time goes.
    Evict,
}

/// What was found in a segment.
pub(crate) struct Passed<'t, K, S> {
    /// The order behind the segment's last; none: it was the last segment.
    pub(crate) next: Option<u64>,
    /// What is to be written, in order: keys of the same order in the order of their postcard bytes.
    pub(crate) changed: Vec<(u64, Saved<'t, K, S>)>,
}

/// An entry that is to be written.
pub(crate) enum Saved<'t, K, S> {
    /// One that stays.
    Here(&'t (K, S)),
    /// One that goes.
    Gone((K, S)),
    /// One that was taken out.
    Removed(K),
}

impl<K, S> Saved<'_, K, S> {
    /// The key, and its state unless it was taken out.
    pub(crate) fn parts(&self) -> (&K, Option<&S>) {
        match self {
            Self::Here(entry) => (&entry.0, Some(&entry.1)),
            Self::Gone(entry) => (&entry.0, Some(&entry.1)),
            Self::Removed(key) => (key, None),
        }
    }
}

impl<K: Key, S: Clone> KeyedTable<K, S> {
    /// An empty table of which entries will also lie on disk.
    pub(crate) fn resident() -> Self {
        let removed = Some(Box::new(Removed { keys: BTreeMap::new() }));
        Self { segments: vec![Part::new(0, Segment::marked())], removed, ..Self::new() }
    }

    /// Whether it is known here what state a key has, or that it has none; it counts as used then, and as changed if `changes`.
    #[inline]
    pub(crate) fn knows(&mut self, hash: u64, key: KeyRef<'_, K>, changes: bool) -> bool {
        let part = self.part_of(hash);
        let segment = &mut self.segments[part].segment;
        match segment.find(hash, key) {
            Place::Found(slot) => {
                segment.mark(slot, if changes { USED | CHANGED } else { USED });
                true
            }
            Place::Free(_) => self.removed.as_ref().is_some_and(|removed| removed.has(hash, key)),
        }
    }

    /// As [`KeyedTable::knows`], without a trace.
    pub(crate) fn has_known(&self, hash: u64, key: KeyRef<'_, K>) -> bool {
        self.get(hash, key).is_some() || self.removed.as_ref().is_some_and(|removed| removed.has(hash, key))
    }

    /// An entry, chosen by `chance`, if there is one there.
    pub(crate) fn some(&self, chance: usize) -> Option<&(K, S)> {
        let segment = &self.segments[chance % self.segments.len()].segment;
        let slots = segment.slots().max(1);
        (0..slots).find_map(|slot| segment.slot((chance + slot) % slots))
    }

    /// Takes in a key that is not here as it lies on disk.
    pub(crate) fn admit(&mut self, hash: u64, key: K, state: S, changes: bool) {
        self.put(hash, key.clone(), state);
        let part = self.part_of(hash);
        let segment = &mut self.segments[part].segment;
        if let Place::Found(slot) = segment.find(hash, KeyRef::Value(&key)) {
            segment.set_marks(slot, if changes { USED | STORED | CHANGED } else { USED | STORED });
        }
    }

    /// About how many entries have changed since they were saved.
    pub(crate) fn changed(&self) -> usize {
        let removed = self.removed.as_ref().map_or(0, |removed| removed.keys.len());
        removed + self.segments.iter().map(|part| part.segment.changed()).sum::<usize>()
    }

    /// Whether there is nothing to be kept here, nor to be said of what lies on disk.
    pub(crate) fn has_nothing(&self) -> bool {
        self.len == 0 && self.removed.as_ref().is_none_or(|removed| removed.keys.is_empty())
    }

    /// Looks at the segment that orders from `from` on are in.
    pub(crate) fn pass(&mut self, from: u64, passing: Passing) -> Passed<'_, K, S> {
        let at = (from >> 1 >> (63 - self.depth)) as usize;
        let part = self.directory.get(at).map_or(0, |part| *part as usize);
        let Part { depth, segment, .. } = &mut self.segments[part];
        let rest = u64::MAX >> *depth;
        let (first, last) = (from & !rest, from | rest);
        let before = segment.bytes();
        let gone = match passing {
            Passing::Save => Vec::new(),
            Passing::Evict => segment.evict(|marks| {
                let stays = *marks & USED != 0;
                *marks &= !USED;
                !stays
            }),
        };
        self.bytes = self.bytes + segment.bytes() - before;
        self.len -= gone.len();
        let mut changed: Vec<_> = gone
            .into_iter()
            .filter(|(marks, _)| marks & CHANGED != 0)
            .map(|(_, entry)| (hash_order(key_hash(&entry.0)), Saved::Gone(entry)))
            .collect();
        if let Some(removed) = &mut self.removed {
            let here: Vec<u64> = removed.keys.range(first..=last).map(|(order, _)| *order).collect();
            for order in here {
                let keys = removed.keys.remove(&order).unwrap_or_default();
                changed.extend(keys.into_iter().map(|key| (order, Saved::Removed(key))));
            }
        }
        if passing == Passing::Save {
            let saved = segment.take_changed().map(|entry| (hash_order(key_hash(&entry.0)), Saved::Here(entry)));
            changed.extend(saved);
        }
        changed.sort_unstable_by(|(order, one), (other, another)| {
            order.cmp(other).then_with(|| bytes_of(one.parts().0).cmp(&bytes_of(another.parts().0)))
        });
        Passed { next: last.checked_add(1), changed }
    }
}

fn bytes_of<K: Key>(key: &K) -> Vec<u8> {
    // A key that cannot be written fails where it is.
    postcard::to_stdvec(key).unwrap_or_default()
}
