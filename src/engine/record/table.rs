//! State per key, found by the hash that travelled with the key.

use std::mem::size_of;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::{Key, KeyRef, key_hash};

/// A table of states by key. The hash that routed a key probes it; a key is copied only when it is new.
///
/// Entries hold no hash: it is computed again when the table grows and when entries leave it, which is cheaper than 8 bytes more
/// in every cache line a probe touches (measured with text keys, 8 M records: 59 against 65 ns a record at 10⁶ keys evenly, 32
/// against 36 at 0.7 × 10⁶ by Zipf, 7.8 against 8.8 at 10⁴). A dense array of entries behind a table of positions, with a pass over
/// each batch that fetches both ahead, gave 56, 31 and 14: not enough for its price at few keys.
#[derive(Clone)]
pub struct KeyedTable<K, S> {
    entries: HashTable<(K, S)>,
}

impl<K: Key, S> KeyedTable<K, S> {
    /// An empty table.
    pub fn new() -> Self {
        Self { entries: HashTable::new() }
    }

    /// The key and its state, which `new` makes for a key that is new. `hash` is [`key_hash`] of `key`.
    #[inline]
    pub fn get_or_insert_with(&mut self, hash: u64, key: KeyRef<'_, K>, new: impl FnOnce() -> S) -> (&K, &mut S) {
        let (key, state) = match self.entry(hash, key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert((key.to_owned(), new())).into_mut(),
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
        let (key, state) = match self.entry(hash, key) {
            Entry::Occupied(entry) => {
                let entry = entry.into_mut();
                add(&mut entry.1, value);
                entry
            }
            Entry::Vacant(entry) => entry.insert((key.to_owned(), start(value))).into_mut(),
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
        match self.entries.entry(hash, |entry| entry.0 == key, |entry| key_hash(&entry.0)) {
            Entry::Occupied(entry) => add(&mut entry.into_mut().1, value),
            Entry::Vacant(entry) => {
                entry.insert((key, start(value)));
            }
        }
    }

    #[inline]
    fn entry(&mut self, hash: u64, key: KeyRef<'_, K>) -> Entry<'_, (K, S)> {
        self.entries.entry(hash, |entry| key.matches(&entry.0), |entry| key_hash(&entry.0))
    }

    /// The state of a key that is there.
    pub fn get(&self, hash: u64, key: KeyRef<'_, K>) -> Option<&S> {
        self.entries.find(hash, |entry| key.matches(&entry.0)).map(|entry| &entry.1)
    }

    /// The state of a key that is there, to be changed.
    pub fn get_mut(&mut self, hash: u64, key: KeyRef<'_, K>) -> Option<&mut S> {
        self.entries.find_mut(hash, |entry| key.matches(&entry.0)).map(|entry| &mut entry.1)
    }

    /// Takes a key out.
    pub fn remove(&mut self, hash: u64, key: KeyRef<'_, K>) -> Option<(K, S)> {
        let entry = self.entries.find_entry(hash, |entry| key.matches(&entry.0)).ok()?;
        Some(entry.remove().0)
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many new keys it takes before it grows.
    pub fn room(&self) -> usize {
        self.entries.capacity() - self.entries.len()
    }

    /// Memory of the table, without what keys and states own beside it.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.entries.allocation_size()
    }

    /// All keys and states, in no order that means anything.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&K, &S)> {
        self.entries.iter().map(|(key, state)| (key, state))
    }

    /// Takes everything out; the memory stays for what comes.
    pub fn drain(&mut self) -> impl ExactSizeIterator<Item = (K, S)> + '_ {
        self.entries.drain()
    }

    /// Takes everything out, and gives the memory up behind it.
    pub fn take(&mut self) -> impl ExactSizeIterator<Item = (K, S)> + use<K, S> {
        std::mem::take(&mut self.entries).into_iter()
    }
}

impl<K: Key, S> Default for KeyedTable<K, S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, S> std::fmt::Debug for KeyedTable<K, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyedTable({} keys)", self.entries.len())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::engine::record::Str;

    #[test]
    fn texts_and_values_are_the_same_key() {
        let mut table = KeyedTable::<Str, u32>::new();
        let key = Str::from("whale");
        let hash = key_hash(&key);
        *table.get_or_insert_with(hash, KeyRef::Text("whale"), || 1).1 += 1;
        assert_eq!(
            table.fold(hash, KeyRef::Value(&key), 5, |value| value, |state, value| *state += value),
            (&key, &mut 7)
        );
        table.fold_owned(hash, key.clone(), 1, |value| value, |state, value| *state += value);
        assert_eq!((table.len(), table.get(hash, KeyRef::Text("whale"))), (1, Some(&8)));
        assert_eq!(table.remove(hash, KeyRef::Text("whale")), Some((key, 8)));
        assert!(table.is_empty());
    }

    #[test]
    fn draining_keeps_the_memory_and_taking_gives_it_up() {
        let mut table = KeyedTable::<u64, u64>::new();
        for key in 0..1000u64 {
            table.fold_owned(key_hash(&key), key, 1, |value| value, |state, value| *state += value);
        }
        let bytes = table.bytes();
        assert_eq!(table.drain().len(), 1000);
        assert_eq!((table.len(), table.bytes()), (0, bytes));
        assert!(table.room() >= 1000);
        assert_eq!(table.take().count(), 0);
        assert!(table.bytes() < 100);
    }

    proptest! {
        #[test]
        fn it_is_a_map(rows in proptest::collection::vec((0u16..300, any::<u32>()), 0..2000)) {
            let (mut table, mut map) = (KeyedTable::<String, u64>::new(), BTreeMap::<String, u64>::new());
            for (key, value) in rows {
                let (key, value) = (key.to_string(), u64::from(value));
                *map.entry(key.clone()).or_default() += value;
                table.fold(key_hash(&key), KeyRef::Text(&key), value, |value| value, |state, value| *state += value);
            }
            prop_assert_eq!(table.drain().collect::<BTreeMap<_, _>>(), map);
        }
    }
}
