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

/// Somebody has asked for the entry since the last look.
pub(super) const USED: u8 = 1;
/// What lies on disk of the entry, if anything does, is not this.
pub(super) const CHANGED: u8 = 2;
/// Something lies on disk of the entry.
pub(super) const STORED: u8 = 4;

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
    /// Of each slot what is known of its entry: where entries also lie on disk.
    marks: Option<Vec<u8>>,
    len: usize,
    /// Hash bits that do not choose the home: 64 − log2(slots).
    shift: u32,
}

impl<K: Key, S> Segment<K, S> {
    /// One without a slot: it owns no memory, and is full.
    pub(super) fn new() -> Self {
        Self { tags: Vec::new(), slots: Vec::new(), marks: None, len: 0, shift: u64::BITS - 1 }
    }

    /// As [`Segment::new`], which keeps marks of its entries.
    pub(super) fn marked() -> Self {
        Self { marks: Some(Vec::new()), ..Self::new() }
    }

    fn with_slots(count: usize, is_marked: bool) -> Self {
        let mut slots = Vec::new();
        slots.resize_with(count, || None);
        let marks = is_marked.then(|| vec![0; count]);
        Self { tags: vec![0; count + GROUP], slots, marks, len: 0, shift: u64::BITS - count.trailing_zeros() }
    }

    /// Memory, without what keys and states own beside it.
    pub(super) fn bytes(&self) -> usize {
        self.slots.len() * (size_of::<Option<(K, S)>>() + 1 + usize::from(self.marks.is_some()))
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

    /// The entry in a slot that [`Place::Found`] named, to be changed.
    #[inline]
    pub(super) fn entry_mut(&mut self, slot: usize) -> &mut (K, S) {
        self.mark(slot, CHANGED);
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
        self.set_marks(slot, USED | CHANGED);
        self.slots[slot].insert((key, state))
    }

    /// Adds a key that is known to be new, with its marks.
    fn insert_new(&mut self, hash: u64, marks: u8, (key, state): (K, S)) {
        match self.find_by(hash, |_| false) {
            Place::Free(slot) | Place::Found(slot) => {
                self.insert(slot, hash, key, state);
                self.set_marks(slot, marks);
            }
        };
    }

    /// What is known of the entry in a slot.
    pub(super) fn marks(&self, slot: usize) -> u8 {
        self.marks.as_ref().map_or(0, |marks| marks[slot])
    }

    #[inline]
    pub(super) fn set_marks(&mut self, slot: usize, to: u8) {
        if let Some(marks) = &mut self.marks {
            marks[slot] = to;
        }
    }

    #[inline]
    pub(super) fn mark(&mut self, slot: usize, with: u8) {
        if let Some(marks) = &mut self.marks {
            marks[slot] |= with;
        }
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
                self.set_marks(free, self.marks(at));
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
        self.rebuild((self.slots.len() * 2).max(SLOTS_MIN));
    }

    /// As few slots as its entries need.
    pub(super) fn shrink(&mut self) {
        match self.len {
            0 => *self = if self.marks.is_some() { Self::marked() } else { Self::new() },
            len => self.rebuild((len * 4 / 3 + 1).next_power_of_two().max(SLOTS_MIN)),
        }
    }

    fn rebuild(&mut self, slots: usize) {
        let other = Self::with_slots(slots, self.marks.is_some());
        for (marks, entry) in std::mem::replace(self, other).into_marked() {
            self.insert_new(key_hash(&entry.0), marks, entry);
        }
    }

    /// Two of the same size, each with the keys whose hash is on its side. One that gets none owns no memory.
    pub(super) fn split(self, is_upper: impl Fn(u64) -> bool) -> (Self, Self) {
        let (slots, is_marked) = (self.slots.len(), self.marks.is_some());
        let new = if is_marked { Self::marked } else { Self::new };
        let (mut lower, mut upper) = (new(), new());
        for (marks, entry) in self.into_marked() {
            let hash = key_hash(&entry.0);
            let half = if is_upper(hash) { &mut upper } else { &mut lower };
            if half.slots.is_empty() {
                *half = Self::with_slots(slots, is_marked);
            }
            half.insert_new(hash, marks, entry);
        }
        (lower, upper)
    }

    /// Takes out the entries of all other slots.
    pub(super) fn retain_slots(&mut self, stays: impl Fn(usize) -> bool) {
        let other = Self::with_slots(self.slots.len(), self.marks.is_some());
        let Self { slots, marks, .. } = std::mem::replace(self, other);
        let marks = marks.into_iter().flatten().chain(std::iter::repeat(0));
        for (slot, (entry, marks)) in slots.into_iter().zip(marks).enumerate() {
            if let Some(entry) = entry.filter(|_| stays(slot)) {
                self.insert_new(key_hash(&entry.0), marks, entry);
            }
        }
    }

    /// Takes out the entries that `goes` says of by their marks, which it may change, and the memory that is not needed then.
    pub(super) fn evict(&mut self, mut goes: impl FnMut(&mut u8) -> bool) -> Vec<(u8, (K, S))> {
        let mut gone = Vec::new();
        if let Some(marks) = &mut self.marks {
            for (slot, marks) in self.slots.iter_mut().zip(marks) {
                if slot.is_some() && goes(marks) {
                    gone.extend(slot.take().map(|entry| (*marks, entry)));
                }
            }
        }
        self.len -= gone.len();
        if !gone.is_empty() {
            self.shrink();
        }
        gone
    }

    /// About how many entries have changed.
    pub(super) fn changed(&self) -> usize {
        self.marks.iter().flatten().filter(|marks| **marks & CHANGED != 0).count()
    }

    /// The entries that have changed; from now on they have not, and are stored.
    pub(super) fn take_changed(&mut self) -> impl Iterator<Item = &(K, S)> {
        let (slots, marks) = (self.slots.iter(), self.marks.iter_mut().flatten());
        slots.zip(marks).filter_map(|(slot, marks)| {
            let changed = *marks & CHANGED != 0;
            let entry = slot.as_ref().filter(|_| changed)?;
            *marks = *marks & !CHANGED | STORED;
            Some(entry)
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(K, S)> {
        self.slots.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut S)> {
        self.marks.iter_mut().flatten().for_each(|marks| *marks |= CHANGED);
        self.slots.iter_mut().flatten().map(|entry| (&entry.0, &mut entry.1))
    }

    pub(super) fn into_entries(self) -> impl Iterator<Item = (K, S)> {
        self.slots.into_iter().flatten()
    }

    fn into_marked(self) -> impl Iterator<Item = (u8, (K, S))> {
        let marks = self.marks.into_iter().flatten().chain(std::iter::repeat(0));
        marks.zip(self.slots).filter_map(|(marks, entry)| Some((marks, entry?)))
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
