//! A hash table of keys that are hashed already.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::aggregate::Aggregate;
use crate::engine::record::{Key, KeyRef, Record};

/// Keys with what was folded of their values. The hash that routed a key probes the table: nothing is hashed twice.
pub(crate) struct Table<K, A> {
    slots: HashTable<Slot<K, A>>,
}

struct Slot<K, A> {
    hash: u64,
    key: K,
    accumulator: A,
}

impl<K: Key, A: Send> Table<K, A> {
    /// An empty table.
    pub(crate) fn new() -> Self {
        Self { slots: HashTable::new() }
    }

    /// Number of keys.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Memory that the slots take, not counting what keys and values own beside them.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.allocation_size()
    }

    /// How many new keys it takes before it grows.
    pub(crate) fn room(&self) -> usize {
        self.slots.capacity() - self.slots.len()
    }

    /// Folds `value` into its key's accumulator. The key is copied only when it is new.
    #[inline]
    pub(crate) fn fold<V: Record, G: Aggregate<V, Accumulator = A>>(
        &mut self,
        aggregate: &G,
        hash: u64,
        key: KeyRef<'_, K>,
        value: V,
    ) -> (&K, &A) {
        match self.slots.entry(hash, |slot| slot.hash == hash && key.matches(&slot.key), |slot| slot.hash) {
            Entry::Occupied(entry) => {
                let slot = entry.into_mut();
                aggregate.add(&mut slot.accumulator, value);
                (&slot.key, &slot.accumulator)
            }
            Entry::Vacant(entry) => {
                let slot = Slot { hash, key: key.to_owned(), accumulator: aggregate.start(value) };
                let slot = entry.insert(slot).into_mut();
                (&slot.key, &slot.accumulator)
            }
        }
    }

    /// As [`Table::fold`], with a key that may be kept.
    #[inline]
    pub(crate) fn fold_owned<V: Record, G: Aggregate<V, Accumulator = A>>(
        &mut self,
        aggregate: &G,
        hash: u64,
        key: K,
        value: V,
    ) {
        match self.slots.entry(hash, |slot| slot.hash == hash && slot.key == key, |slot| slot.hash) {
            Entry::Occupied(entry) => aggregate.add(&mut entry.into_mut().accumulator, value),
            Entry::Vacant(entry) => {
                entry.insert(Slot { hash, key, accumulator: aggregate.start(value) });
            }
        }
    }

    /// Takes everything out; the memory stays for what comes.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (u64, K, A)> + '_ {
        self.slots.drain().map(|slot| (slot.hash, slot.key, slot.accumulator))
    }

    /// Takes everything out, and gives the memory up behind it.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = (u64, K, A)> + use<K, A> {
        std::mem::take(&mut self.slots).into_iter().map(|slot| (slot.hash, slot.key, slot.accumulator))
    }
}
