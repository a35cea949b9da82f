//! The hash table: open addressing, linear probing, key and count together in 32 bytes, so a probe is one cache line.
//!
//! Words come in batches: all their slots are prefetched before the first is looked at, so that the misses overlap.

use crate::huge::Zeroed;
use crate::key::{INLINE_MAX, Key, hash_bytes};

/// An entry; free while its count is zero.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct Slot {
    key: Key,
    count: u64,
}

/// A word on its way into the table.
#[derive(Clone, Copy, Default)]
#[repr(C, align(32))]
pub struct Probe {
    /// An inline key.
    pub key: Key,
    /// Its hash.
    pub hash: u64,
}

/// Counts by word.
pub struct Table {
    slots: Zeroed<Slot>,
    /// Hash bits that do not choose the slot: 64 − log2(slots).
    shift: u32,
    used: usize,
    /// The long words' bytes, one after the other.
    arena: Vec<u8>,
}

/// At most one slot in two is used: growing costs little, long probes cost mispredictions.
const LOAD_MAX: f64 = 0.5;

impl Table {
    /// A table which grows when more than `words` come.
    pub fn with_capacity(words: usize) -> Self {
        let len = ((words as f64 / LOAD_MAX) as usize).next_power_of_two().max(1024);
        // SAFETY: numbers may be all-zero.
        let slots = unsafe { Zeroed::<Slot>::new(len) };
        Self { slots, shift: 64 - len.trailing_zeros(), used: 0, arena: Vec::new() }
    }

    /// Number of different words.
    pub fn distinct(&self) -> usize {
        self.used
    }

    /// Makes room for `more` different words, so that [`Self::add_inline`] need not look.
    #[inline]
    pub fn reserve(&mut self, more: usize) {
        if (self.used + more) as f64 > self.slots.len() as f64 * LOAD_MAX {
            self.grow(self.used + more);
        }
    }

    /// Asks for the cache line where the word with this hash would be.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        let index = (hash >> self.shift) as usize;
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the index has as many bits as the table; a prefetch has no effect but on caches.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(self.slots.as_ptr().add(index).cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        std::hint::black_box(index);
    }

    /// Adds `count` for an inline key; room must have been reserved.
    #[inline(always)]
    pub fn add_inline(&mut self, key: Key, hash: u64, count: u64) {
        let mask = self.slots.len() - 1;
        let mut index = (hash >> self.shift) as usize;
        loop {
            // SAFETY: `index` is below the table's length, a power of two: by the shift at first, then by the mask.
            let slot = unsafe { self.slots.get_unchecked_mut(index) };
            if slot.key == key {
                slot.count += count;
                return;
            }
            if slot.count == 0 {
                *slot = Slot { key, count };
                self.used += 1;
                return;
            }
            index = (index + 1) & mask;
        }
    }

    /// Adds `count` for a word that is longer than a key; makes its own room.
    #[cold]
    pub fn add_long(&mut self, word: &[u8], count: u64) {
        debug_assert!(word.len() > INLINE_MAX);
        self.reserve(1);
        let hash = hash_bytes(word);
        let mask = self.slots.len() - 1;
        let mut index = (hash >> self.shift) as usize;
        while self.slots[index].count != 0 {
            if let Some((other, place, len)) = self.slots[index].key.as_long()
                && other == hash
                && self.arena[place..place + len] == *word
            {
                self.slots[index].count += count;
                return;
            }
            index = (index + 1) & mask;
        }
        self.slots[index] = Slot { key: Key::long(hash, self.arena.len(), word.len()), count };
        self.arena.extend_from_slice(word);
        self.used += 1;
    }

    /// Adds everything that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        const BATCH: usize = 64;
        for slots in other.slots.chunks(BATCH) {
            self.reserve(BATCH);
            let mut hashes = [0; BATCH];
            for (slot, hash) in slots.iter().zip(&mut hashes) {
                *hash = slot.key.hash();
                self.prefetch(*hash);
            }
            for (slot, hash) in slots.iter().zip(hashes) {
                match slot.key.as_long() {
                    _ if slot.count == 0 => {}
                    Some((_, place, len)) => self.add_long(&other.arena[place..place + len], slot.count),
                    None => self.add_inline(slot.key, hash, slot.count),
                }
            }
        }
    }

    /// Each word's key and count, in no order.
    pub fn entries(&self) -> impl Iterator<Item = (Key, u64)> + '_ {
        self.slots.iter().filter(|slot| slot.count != 0).map(|slot| (slot.key, slot.count))
    }

    /// The bytes of a long word.
    pub fn long_word(&self, place: usize, len: usize) -> &[u8] {
        &self.arena[place..place + len]
    }

    #[cold]
    fn grow(&mut self, words: usize) {
        let mut larger = Self::with_capacity(words.max(self.slots.len()));
        larger.arena = std::mem::take(&mut self.arena);
        let mask = larger.slots.len() - 1;
        for slot in self.slots.iter().filter(|slot| slot.count != 0) {
            let hash = slot.key.as_long().map_or_else(|| slot.key.hash(), |(hash, ..)| hash);
            let mut index = (hash >> larger.shift) as usize;
            while larger.slots[index].count != 0 {
                index = (index + 1) & mask;
            }
            larger.slots[index] = *slot;
        }
        larger.used = self.used;
        *self = larger;
    }
}
