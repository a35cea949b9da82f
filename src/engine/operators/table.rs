//! The state of the aggregates: what was folded, by key.

use super::aggregate::Aggregate;
use crate::engine::record::{Key, KeyRef, KeyedTable, Record, key_hash};

/// Keys with what was folded of their values.
pub(crate) struct Table<K, A> {
    entries: KeyedTable<K, A>,
}

impl<K: Key, A: Send> Table<K, A> {
    /// An empty table.
    pub(crate) fn new() -> Self {
        Self { entries: KeyedTable::new() }
    }

    /// Number of keys.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Memory that the entries take, not counting what keys and values own beside them.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.bytes()
    }

    /// How many new keys it takes before it grows.
    pub(crate) fn room(&self) -> usize {
        self.entries.room()
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
        let (start, add) = (|value| aggregate.start(value), |folded: &mut A, value| aggregate.add(folded, value));
        let (key, folded) = self.entries.fold(hash, key, value, start, add);
        (key, folded)
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
        let (start, add) = (|value| aggregate.start(value), |folded: &mut A, value| aggregate.add(folded, value));
        self.entries.fold_owned(hash, key, value, start, add);
    }

    /// Takes everything out; the memory stays for what comes.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (u64, K, A)> + '_ {
        self.entries.drain().map(|(key, folded)| (key_hash(&key), key, folded))
    }

    /// Takes everything out, and gives the memory up behind it.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = (u64, K, A)> + use<K, A> {
        self.entries.take().map(|(key, folded)| (key_hash(&key), key, folded))
    }
}
