//! State per key, found by the hash that travelled with the key.
//!
//! ```text
//! hash  │ 63 … 48: home in a segment │ 47 … 0: the segment, by as many of them as there are segments; 47 … 32 are the key group │
//!                                                              └──────────────── the lowest seven mark the slot ─────────────┘
//! directory ─► segments of at most 256 KiB, which grow, are frozen and given up one by one
//! ```
//!
//! Because a segment is chosen by the bits that choose the key group, it holds one group, or a few whole ones and parts of two.

mod counted;
mod frozen;
mod part;
mod residence;
mod segment;
mod serialized;

use counted::Counted;
pub use frozen::{FrozenPiece, FrozenTable};
use part::Part;
use residence::Removed;
pub(crate) use residence::{Passed, Passing};
use segment::{Place, STORED, Segment};

use super::{Key, KeyRef, key_hash};

/// More bits than this do not choose a segment: keys that agree in so many are not told apart by more.
const DEPTH_MAX: u32 = 24;

/// A table of states by key. The hash that routed a key probes it; a key is copied only when it is new.
///
/// Entries hold no hash: it is computed again when a segment grows, which is cheaper than 8 bytes more in every cache line a probe
/// touches. With many keys nearly every probe waits for memory, so whoever has a batch of hashes asks for all of them first, by
/// [`KeyedTable::prefetch`]. There is no growth of the whole: one insert moves at most a segment.
#[derive(Clone)]
pub struct KeyedTable<K, S> {
    /// By the first `depth` bits of [`place_bits`], which segment.
    directory: Vec<u32>,
    depth: u32,
    segments: Vec<Part<K, S>>,
    len: usize,
    bytes: usize,
    /// Where entries also lie on disk: those that lie there, and are no more.
    removed: Option<Box<Removed<K>>>,
}

/// The bits that choose a segment, first ones first.
#[inline]
fn place_bits(hash: u64) -> u64 {
    hash << 16
}

impl<K: Key, S: Clone> KeyedTable<K, S> {
    /// An empty table. It owns next to no memory.
    pub fn new() -> Self {
        let segments = vec![Part::new(0, Segment::new())];
        Self { directory: Vec::new(), depth: 0, segments, len: 0, bytes: 0, removed: None }
    }

    /// Which segment keys of this hash are in.
    #[inline]
    fn part_of(&self, hash: u64) -> usize {
        // In two steps, because by 64 there is no shifting. A table of one segment has no directory.
        let entry = self.directory.get((place_bits(hash) >> 1 >> (63 - self.depth)) as usize);
        entry.map_or(0, |part| *part as usize)
    }

    /// Asks for the memory of keys with these hashes, which should be looked at soon: some hundred at a time, so that all are still
    /// in the cache then. Costs little where the table is small.
    #[inline]
    pub fn prefetch(&self, hashes: &[u64]) {
        if self.bytes < FITS_THE_CACHE {
            return;
        }
        for hash in hashes {
            self.segments[self.part_of(*hash)].prefetch(*hash);
        }
    }

    /// The key and its state, which `new` makes for a key that is new. `hash` is [`key_hash`](super::key_hash) of `key`.
    #[inline]
    pub fn get_or_insert_with(&mut self, hash: u64, key: KeyRef<'_, K>, new: impl FnOnce() -> S) -> (&K, &mut S) {
        let (part, place) = self.find_to_write(hash, |other| key.matches(other));
        let (key, state) = match place {
            Place::Found(slot) => self.segments[part].segment.entry_mut(slot),
            Place::Free(slot) => self.insert(part, slot, hash, key.to_owned(), new()),
        };
        (key, state)
    }

    /// Folds `value` into the key's state: `start` makes a new one of it, `add` adds it to the one there is. Returns both.
    #[inline]
    pub fn fold<V>(
        &mut self,
        hash: u64,
        key: KeyRef<'_, K>,
        value: V,
        start: impl FnOnce(V) -> S,
        add: impl FnOnce(&mut S, V),
    ) -> (&K, &mut S) {
        let (part, place) = self.find_to_write(hash, |other| key.matches(other));
        let (key, state) = match place {
            Place::Found(slot) => {
                let entry = self.segments[part].segment.entry_mut(slot);
                add(&mut entry.1, value);
                entry
            }
            Place::Free(slot) => self.insert(part, slot, hash, key.to_owned(), start(value)),
        };
        (key, state)
    }

    /// As [`KeyedTable::fold`], with a key that may be kept.
    #[inline]
    pub fn fold_owned<V>(
        &mut self,
        hash: u64,
        key: K,
        value: V,
        start: impl FnOnce(V) -> S,
        add: impl FnOnce(&mut S, V),
    ) {
        let (part, place) = self.find_to_write(hash, |other| *other == key);
        match place {
            Place::Found(slot) => add(&mut self.segments[part].segment.entry_mut(slot).1, value),
            Place::Free(slot) => {
                self.insert(part, slot, hash, key, start(value));
            }
        }
    }

    /// Gives a key this state.
    pub fn put(&mut self, hash: u64, key: K, state: S) {
        self.fold_owned(hash, key, state, |state| state, |held, state| *held = state);
    }

    /// Looks for a key that `is` the one: its segment, and where in it, or where it would be. The segment may be written to behind it.
    #[inline]
    fn find_to_write(&mut self, hash: u64, is: impl Fn(&K) -> bool) -> (usize, Place) {
        let part = self.part_of(hash);
        if self.segments[part].is_frozen() {
            return self.find_frozen(part, hash, is);
        }
        (part, self.segments[part].segment.find_by(hash, is))
    }

    #[cold]
    fn find_frozen(&mut self, part: usize, hash: u64, is: impl Fn(&K) -> bool) -> (usize, Place) {
        if !self.segments[part].is_read() {
            self.thaw(part);
        } else if self.segments[part].segment.is_full() {
            self.grow(part);
        }
        let part = self.part_of(hash);
        (part, self.segments[part].bring(hash, is))
    }

    /// Has all entries of a segment together again.
    #[cold]
    fn thaw(&mut self, part: usize) {
        let before = self.segments[part].bytes();
        let left = self.segments[part].thaw();
        self.bytes = self.bytes + self.segments[part].bytes() - before;
        for (key, state) in left {
            let hash = key_hash(&key);
            let (part, slot) = self.room_for(self.part_of(hash), hash);
            self.segments[part].segment.insert(slot, hash, key, state);
        }
    }

    /// Adds a key whose place [`KeyedTable::find_to_write`] told, unless its segment has to grow first.
    #[inline]
    fn insert(&mut self, part: usize, slot: usize, hash: u64, key: K, state: S) -> &mut (K, S) {
        self.len += 1;
        let (mut part, mut slot) = (part, slot);
        if self.segments[part].segment.is_full() {
            (part, slot) = self.room_for(part, hash);
        }
        let was_stored = self.removed.as_mut().is_some_and(|removed| removed.take(hash, &key));
        let segment = &mut self.segments[part].segment;
        if was_stored {
            segment.insert(slot, hash, key, state);
            segment.mark(slot, STORED);
            return segment.entry_mut(slot);
        }
        segment.insert(slot, hash, key, state)
    }

    /// The segment and the place in it for a key that is new, for which there is room then.
    #[cold]
    fn room_for(&mut self, mut part: usize, hash: u64) -> (usize, usize) {
        while self.segments[part].segment.is_full() {
            self.grow(part);
            part = self.part_of(hash);
        }
        match self.segments[part].segment.find_by(hash, |_| false) {
            Place::Free(slot) | Place::Found(slot) => (part, slot),
        }
    }

    #[cold]
    fn grow(&mut self, part: usize) {
        let is_frozen = self.segments[part].is_frozen();
        let Part { depth, segment, .. } = &mut self.segments[part];
        if !segment.is_largest() || *depth >= DEPTH_MAX {
            self.bytes -= segment.bytes();
            segment.double();
            self.bytes += segment.bytes();
        } else if is_frozen {
            self.thaw(part);
        } else {
            self.split(part);
        }
    }

    /// Divides a segment by the next bit; the half with that bit set becomes a new segment. All keys of a subtask, or of a key group,
    /// agree in the first bits: then one half is empty and costs nothing, and who needs room divides the other again.
    fn split(&mut self, part: usize) {
        let split = &mut self.segments[part];
        if split.depth == self.depth {
            self.directory = match self.directory.as_slice() {
                [] => vec![0, 0],
                entries => entries.iter().flat_map(|part| [*part, *part]).collect(),
            };
            self.depth += 1;
        }
        split.depth += 1;
        let shift = 64 - split.depth;
        let whole = std::mem::replace(&mut split.segment, Segment::new());
        self.bytes -= whole.bytes();
        let (lower, upper) = whole.split(|hash| place_bits(hash) >> shift & 1 == 1);
        self.bytes += lower.bytes() + upper.bytes();
        split.segment = lower;
        let (depth, bit) = (split.depth, self.depth - split.depth);
        let new = self.segments.len();
        self.segments.push(Part::new(depth, upper));
        let new = u32::try_from(new).expect("a directory of 2^24 entries names fewer segments");
        for (place, entry) in self.directory.iter_mut().enumerate() {
            if *entry as usize == part && place >> bit & 1 == 1 {
                *entry = new;
            }
        }
    }

    /// The state of a key that is there.
    pub fn get(&self, hash: u64, key: KeyRef<'_, K>) -> Option<&S> {
        let entry = self.segments[self.part_of(hash)].find(hash, |other| key.matches(other));
        entry.map(|(_, state)| state)
    }

    /// The state of a key that is there, to change.
    pub fn get_mut(&mut self, hash: u64, key: KeyRef<'_, K>) -> Option<&mut S> {
        match self.find_to_write(hash, |other| key.matches(other)) {
            (part, Place::Found(slot)) => Some(&mut self.segments[part].segment.entry_mut(slot).1),
            (_, Place::Free(_)) => None,
        }
    }

    /// Takes a key out.
    pub fn remove(&mut self, hash: u64, key: KeyRef<'_, K>) -> Option<(K, S)> {
        let mut part = self.part_of(hash);
        if self.segments[part].is_frozen() && !self.segments[part].is_read() {
            self.thaw(part);
            part = self.part_of(hash);
        }
        let part = &mut self.segments[part];
        let entry = match part.segment.find(hash, key) {
            Place::Found(slot) => {
                let was_stored = part.segment.marks(slot) & STORED != 0;
                let entry = part.segment.remove(slot);
                if let Some(removed) = self.removed.as_mut().filter(|_| was_stored) {
                    removed.add(hash, entry.0.clone());
                }
                part.remove_frozen(hash, |other| *other == entry.0);
                entry
            }
            Place::Free(_) => part.remove_frozen(hash, |other| key.matches(other))?.clone(),
        };
        self.len -= 1;
        Some(entry)
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Memory of the table, without what keys and states own beside it.
    pub fn bytes(&self) -> usize {
        let removed = self.removed.as_ref().map_or(0, |removed| removed.bytes());
        size_of::<Self>() + self.bytes + self.directory.len() * size_of::<u32>() + removed
    }

    /// All keys and states, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &S)> {
        self.segments.iter().flat_map(Part::iter).map(|(key, state)| (key, state))
    }

    /// All keys and states, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut S)> {
        self.thaw_all();
        self.segments.iter_mut().flat_map(|part| part.segment.iter_mut())
    }

    /// Looks at up to `slots` places for entries from where `swept` stands on. Where an entry `is_due`, `shrink` makes less of it,
    /// and it is taken out if nothing is left. Returns how many of `slots` are left over at the end of the table, where `swept` goes
    /// back to its beginning.
    ///
    /// What moves meanwhile may be looked at twice, or not until the next time round; so what is frozen.
    pub fn sweep(
        &mut self,
        swept: &mut Swept,
        mut slots: usize,
        is_due: impl Fn(&S) -> bool,
        mut shrink: impl FnMut(&mut S) -> bool,
    ) -> usize {
        while slots > 0 {
            let Some(part) = self.segments.get_mut(swept.segment) else {
                *swept = Swept::default();
                return slots;
            };
            if part.is_frozen() && !part.is_read() {
                self.thaw(swept.segment);
                continue;
            }
            if part.is_frozen() || swept.slot >= part.segment.slots() {
                // What is read elsewhere is looked at the next time round.
                slots -= usize::from(part.is_frozen());
                *swept = Swept { segment: swept.segment + 1, slot: 0 };
                continue;
            }
            slots -= 1;
            let segment = &mut part.segment;
            if !segment.slot(swept.slot).is_some_and(|entry| is_due(&entry.1)) {
                swept.slot += 1;
                continue;
            }
            if shrink(&mut segment.entry_mut(swept.slot).1) {
                // Another entry may have moved here: the slot is looked at again.
                let was_stored = segment.marks(swept.slot) & STORED != 0;
                let (key, _) = segment.remove(swept.slot);
                self.len -= 1;
                if let Some(removed) = self.removed.as_mut().filter(|_| was_stored) {
                    removed.add(key_hash(&key), key);
                }
            } else {
                swept.slot += 1;
            }
        }
        0
    }

    /// Takes everything out; the memory stays for what comes.
    pub fn drain(&mut self) -> impl ExactSizeIterator<Item = (K, S)> + '_ {
        self.thaw_all();
        let left = std::mem::take(&mut self.len);
        Counted::new(self.segments.iter_mut().flat_map(|part| part.segment.drain()), left)
    }

    /// Takes everything out, and gives the memory up behind it.
    pub fn take(&mut self) -> impl ExactSizeIterator<Item = (K, S)> + use<K, S> {
        self.thaw_all();
        let table = std::mem::take(self);
        Counted::new(table.segments.into_iter().flat_map(|part| part.segment.into_entries()), table.len)
    }
}

/// Where a walk over a table's places for entries has got to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Swept {
    segment: usize,
    slot: usize,
}

/// Tables below this size are in the second-level cache anyway.
const FITS_THE_CACHE: usize = 512 << 10;

impl<K: Key, S: Clone> Default for KeyedTable<K, S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, S> std::fmt::Debug for KeyedTable<K, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyedTable({} keys)", self.len)
    }
}

#[cfg(test)]
mod tests;
