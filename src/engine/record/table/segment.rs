//! A part of a table: open addressing in at most [`BYTES_MAX`].
//!
//! ```text
//! tags  │ 0 │ 9f │ 81 │ 0 │ …   one byte a slot: 0, or 0x80 and seven bits of the hash; behind the last, the first ones again
//! slots │   │ key, state │ …    in the order of the tags; a key lies at or behind its home, with no free slot between
//! ```

use super::super::prefetch::prefetch;
use super::super::{Key, KeyRef, key_hash};

/// Bound of a segment's memory, and so of what one growth moves; beyond it a segment is split. One with few but huge states, or
/// with keys that cannot be told apart, may be larger.
const BYTES_MAX: usize = 256 << 10;
/// Slots of the smallest segment that holds anything.
const SLOTS_MIN: usize = 4;
/// A segment of huge states still has this many slots.
const SLOTS_OF_HUGE: usize = 64;
/// Tags looked at together.
const GROUP: usize = 8;

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Where a key is, or would be.
pub(super) enum Place {
    Found(usize),
    Free(usize),
}

/// Keys and states of one range of hashes.
#[derive(Clone, Debug)]
pub(super) struct Segment<K, S> {
    tags: Vec<u8>,
    slots: Vec<Option<(K, S)>>,
    len: usize,
    /// Hash bits that do not choose the home: 64 − log2(slots).
    shift: u32,
}

impl<K: Key, S> Segment<K, S> {
    /// One without a slot: it owns no memory, and is full.
    pub(super) fn new() -> Self {
        Self { tags: Vec::new(), slots: Vec::new(), len: 0, shift: u64::BITS - 1 }
    }

    fn with_slots(count: usize) -> Self {
        let mut slots = Vec::new();
        slots.resize_with(count, || None);
        Self { tags: vec![0; count + GROUP], slots, len: 0, shift: u64::BITS - count.trailing_zeros() }
    }

    /// Memory, without what keys and states own beside it.
    pub(super) fn bytes(&self) -> usize {
        self.slots.len() * (size_of::<Option<(K, S)>>() + 1)
    }

    /// Whether it takes no further key at its size. Three slots in four are used at most: more makes long probes.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.len * 4 >= self.slots.len() * 3
    }

    /// Whether it is as large as a segment gets.
    pub(super) fn is_largest(&self) -> bool {
        self.slots.len() >= SLOTS_OF_HUGE && self.bytes() * 2 > BYTES_MAX
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        (hash >> self.shift) as usize
    }

    /// Asks for the cache lines where a key of this hash would be.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        let home = self.home(hash);
        prefetch(&self.tags, home);
        prefetch(&self.slots, home);
    }

    /// Looks for a key.
    #[inline]
    pub(super) fn find(&self, hash: u64, key: KeyRef<'_, K>) -> Place {
        self.find_by(hash, |other| key.matches(other))
    }

    /// Looks for a key that `is` the one.
    #[inline]
    pub(super) fn find_by(&self, hash: u64, is: impl Fn(&K) -> bool) -> Place {
        let last = self.slots.len().wrapping_sub(1);
        let wanted = u64::from(tag_of(hash)) * LOW_BITS;
        let mut at = self.home(hash);
        loop {
            let group = self.group(at);
            let different = group ^ wanted;
            // A zero byte is an equal tag. A borrow may mark the byte behind one too; comparing the keys tells.
            let mut equal = different.wrapping_sub(LOW_BITS) & !different & HIGH_BITS;
            while equal != 0 {
                let slot = (at + first_byte(equal)) & last;
                if self.slots[slot].as_ref().is_some_and(|entry| is(&entry.0)) {
                    return Place::Found(slot);
                }
                equal &= equal - 1;
            }
            let free = !group & HIGH_BITS;
            if free != 0 {
                return Place::Free((at + first_byte(free)) & last);
            }
            at = (at + GROUP) & last;
        }
    }

    /// The tags of eight slots from `at` on; without slots, as if all were free.
    #[inline]
    fn group(&self, at: usize) -> u64 {
        self.tags.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |tags| u64::from_le_bytes(*tags))
    }

    /// The entry in a slot that [`Place::Found`] named.
    #[inline]
    pub(super) fn entry_mut(&mut self, slot: usize) -> &mut (K, S) {
        self.slots[slot].as_mut().expect("a tagged slot holds an entry")
    }

    /// How many slots there are.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The entry in a slot, if there is one.
    pub(super) fn slot(&self, slot: usize) -> Option<&(K, S)> {
        self.slots.get(slot).and_then(Option::as_ref)
    }

    /// As [`Segment::entry_mut`].
    pub(super) fn entry(&self, slot: usize) -> &(K, S) {
        self.slots[slot].as_ref().expect("a tagged slot holds an entry")
    }

    /// Puts a new key into the slot that [`Place::Free`] named; the segment must not be full.
    #[inline]
    pub(super) fn insert(&mut self, slot: usize, hash: u64, key: K, state: S) -> &mut (K, S) {
        self.set_tag(slot, tag_of(hash));
        self.len += 1;
        self.slots[slot].insert((key, state))
    }

    /// Adds a key that is known to be new.
    pub(super) fn insert_new(&mut self, hash: u64, key: K, state: S) {
        match self.find_by(hash, |_| false) {
            Place::Free(slot) | Place::Found(slot) => self.insert(slot, hash, key, state),
        };
    }

    /// Takes an entry out; those behind it move up where they may.
    pub(super) fn remove(&mut self, slot: usize) -> (K, S) {
        let last = self.slots.len() - 1;
        let removed = self.slots[slot].take().expect("a tagged slot holds an entry");
        let mut free = slot;
        let mut at = (slot + 1) & last;
        while let Some(entry) = &self.slots[at] {
            let home = self.home(key_hash(&entry.0));
            if at.wrapping_sub(home) & last >= at.wrapping_sub(free) & last {
                self.slots.swap(free, at);
                self.set_tag(free, self.tags[at]);
                free = at;
            }
            at = (at + 1) & last;
        }
        self.set_tag(free, 0);
        self.len -= 1;
        removed
    }

    #[inline]
    fn set_tag(&mut self, slot: usize, tag: u8) {
        let slots = self.slots.len();
        // Groups read over the end find the first slots again; where there are fewer than a group's, all of them twice.
        for at in (slot..slots + GROUP).step_by(slots) {
            self.tags[at] = tag;
        }
    }

    /// Twice as many slots.
    pub(super) fn double(&mut self) {
        let larger = Self::with_slots((self.slots.len() * 2).max(SLOTS_MIN));
        for (key, state) in std::mem::replace(self, larger).into_entries() {
            self.insert_new(key_hash(&key), key, state);
        }
    }

    /// Two of the same size, each with the keys whose hash is on its side. One that gets none owns no memory.
    pub(super) fn split(self, is_upper: impl Fn(u64) -> bool) -> (Self, Self) {
        let slots = self.slots.len();
        let (mut lower, mut upper) = (Self::new(), Self::new());
        for (key, state) in self.into_entries() {
            let hash = key_hash(&key);
            let half = if is_upper(hash) { &mut upper } else { &mut lower };
            if half.slots.is_empty() {
                *half = Self::with_slots(slots);
            }
            half.insert_new(hash, key, state);
        }
        (lower, upper)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(K, S)> {
        self.slots.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut S)> {
        self.slots.iter_mut().flatten().map(|entry| (&entry.0, &mut entry.1))
    }

    pub(super) fn into_entries(self) -> impl Iterator<Item = (K, S)> {
        self.slots.into_iter().flatten()
    }

    /// Takes everything out; the memory stays.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (K, S)> + '_ {
        self.tags.fill(0);
        self.len = 0;
        self.slots.iter_mut().filter_map(Option::take)
    }
}

/// Never 0: that is a free slot.
#[inline]
fn tag_of(hash: u64) -> u8 {
    hash as u8 | 0x80
}

/// The first byte that is marked by its high bit.
#[inline]
fn first_byte(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}
