//! The keyed state of one subtask.

use std::any::{Any, type_name};
use std::cell::OnceCell;

use super::disk::{Disk, StateBackend};
use super::expiring::{ExpiringTable, StateTtlConfig, Timed};
use super::handle::Slot;
use super::snapshot::{Restore, Snapshot};
use super::tables::{AnyTable, PartOf, StateTable};
use crate::engine::record::{Key, KeyColumn, KeyRef, KeyedTable, Record, key_groups_of};
use crate::graph::task::Failure;
use crate::time::Now;

/// The keyed state of one subtask: a table a state, each in parts by key group.
pub struct KeyedStates<K> {
    max_parallelism: u32,
    /// The first key group of the subtask.
    first: u32,
    /// The key groups of the subtask.
    groups: u32,
    tables: Vec<NamedTable<K>>,
    /// Whether any of them expires.
    expire: bool,
    /// The processing time.
    now: Now,
    backend: StateBackend,
    /// What went wrong where nobody could be told; it fails the subtask.
    failed: OnceCell<Failure>,
    key: std::marker::PhantomData<fn() -> K>,
}

struct NamedTable<K> {
    name: String,
    type_name: &'static str,
    table: Box<dyn AnyTable<K>>,
}

impl<K: Key> KeyedStates<K> {
    /// No states yet, for the key groups that subtask `subtask` of `parallelism` owns.
    pub(crate) fn new(max_parallelism: u32, parallelism: u32, subtask: u32) -> Self {
        Self::living_in(StateBackend::Hashmap, max_parallelism, parallelism, subtask)
    }

    /// As [`KeyedStates::new`], with states that live there.
    pub(crate) fn living_in(backend: StateBackend, max_parallelism: u32, parallelism: u32, subtask: u32) -> Self {
        let groups = key_groups_of(max_parallelism, parallelism, subtask);
        let (first, groups) = (groups.start, groups.end - groups.start);
        let (tables, expire, now) = (Vec::new(), false, Now(0));
        Self {
            max_parallelism,
            first,
            groups,
            tables,
            expire,
            now,
            backend,
            failed: OnceCell::new(),
            key: std::marker::PhantomData,
        }
    }

    /// The state of this name, which is made if it is new. `memory` says what one owns, beside as much as it has bytes when it is
    /// encoded.
    ///
    /// # Errors
    /// When it was obtained as another kind or type before, in words.
    pub(super) fn register<S: Record>(&mut self, name: &str, memory: fn(&S) -> usize) -> Result<Slot<S>, String> {
        if let Some(at) = self.tables.iter().position(|table| table.name == name) {
            return match any(&*self.tables[at].table).is::<StateTable<K, S>>() {
                true => Ok(Slot::new(at, false)),
                false => Err(self.held_otherwise::<S>(at, "without a time to live")),
            };
        }
        let table = StateTable::<K, S>::new(self.groups, &self.backend, memory);
        self.add::<S>(name, Box::new(table));
        Ok(Slot::new(self.tables.len() - 1, false))
    }

    /// As [`KeyedStates::register`], a state that expires if `ttl` says so: it then holds an `E` instead of an `S`.
    ///
    /// # Errors
    /// As there, and a time to live that is none, or another one than before.
    pub(super) fn register_expiring<S: Record, E: Timed>(
        &mut self,
        name: &str,
        ttl: Option<StateTtlConfig>,
        memory: fn(&S) -> usize,
    ) -> Result<Slot<S>, String> {
        let Some(ttl) = ttl else { return self.register(name, memory) };
        ttl.check(name)?;
        if let Some(at) = self.tables.iter().position(|table| table.name == name) {
            let known = any(&*self.tables[at].table).downcast_ref::<ExpiringTable<K, E>>();
            return match known.is_some_and(|known| known.config == ttl) {
                true => Ok(Slot::new(at, true)),
                false => Err(self.held_otherwise::<S>(at, "with this time to live")),
            };
        }
        self.add::<S>(name, Box::new(ExpiringTable::<K, E>::new(ttl, self.groups, &self.backend)));
        self.expire = true;
        Ok(Slot::new(self.tables.len() - 1, true))
    }

    fn add<S>(&mut self, name: &str, table: Box<dyn AnyTable<K>>) {
        self.tables.push(NamedTable { name: name.to_owned(), type_name: type_name::<S>(), table });
    }

    fn held_otherwise<S>(&self, at: usize, how: &str) -> String {
        let (NamedTable { name, type_name: known, .. }, wanted) = (&self.tables[at], type_name::<S>());
        if *known == wanted {
            return format!("state \"{name}\" was asked for before, and not {how}; rename one of both");
        }
        format!("state \"{name}\" holds {known}, and was asked for as {wanted}; rename one of both")
    }

    /// Sets the processing time, by which states expire.
    #[inline]
    pub(crate) fn set_now(&mut self, now: Now) {
        self.now = now;
    }

    /// The processing time.
    #[inline]
    pub(super) fn now(&self) -> Now {
        self.now
    }

    /// So many records have been processed: takes out some of what has expired.
    #[inline]
    pub(crate) fn clean_up(&mut self, records: usize) {
        if self.expire {
            self.tables.iter_mut().for_each(|table| table.table.clean_up(records, self.now));
        }
    }

    /// Nothing needs to be in memory now: gives memory up, if there is too little.
    ///
    /// # Errors
    /// A disk that cannot be written or read.
    #[inline]
    pub(crate) fn settle(&mut self) -> Result<(), Failure> {
        if self.is_on_disk() {
            self.failed.take().map_or(Ok(()), Err)?;
            return self.tables.iter_mut().try_for_each(|table| table.table.settle(self.now));
        }
        Ok(())
    }

    /// This is to fail the subtask, of which nobody can be told here.
    pub(crate) fn note(&self, failure: Failure) {
        // The first is the cause.
        let _ = self.failed.set(failure);
    }

    #[inline]
    fn is_on_disk(&self) -> bool {
        matches!(self.backend, StateBackend::Disk(_))
    }

    /// Before a batch: has the states of its keys in memory.
    ///
    /// # Errors
    /// A disk that cannot be read.
    #[inline]
    pub(crate) fn admit(&mut self, hashes: &[u64], keys: &KeyColumn<K>) -> Result<(), Failure> {
        if !self.is_on_disk() {
            return Ok(());
        }
        let part = self.parts();
        self.tables.iter_mut().try_for_each(|table| table.table.admit(part, hashes, keys))
    }

    /// Before a function works with a key: has its states in memory.
    ///
    /// # Errors
    /// A disk that cannot be read.
    #[inline]
    pub(crate) fn admit_key(&mut self, at: KeyAt<'_, K>) -> Result<(), Failure> {
        if !self.is_on_disk() {
            return Ok(());
        }
        let part = self.parts();
        self.tables.iter_mut().try_for_each(|table| table.table.admit_key(part, at))
    }

    #[inline]
    fn parts(&self) -> PartOf {
        PartOf { max_parallelism: self.max_parallelism, first: self.first }
    }

    /// The table of a state that expires, and which part of it keys of this hash are in.
    #[inline]
    pub(super) fn expiring<E: Timed>(&self, slot: Slot<E>, hash: u64) -> (&ExpiringTable<K, E>, usize) {
        let table = self.tables.get(slot.index()).and_then(|table| any(&*table.table).downcast_ref());
        (table.expect(FOREIGN), self.part_of(hash))
    }

    /// As [`KeyedStates::expiring`], to be written to.
    #[inline]
    pub(super) fn expiring_mut<E: Timed>(&mut self, slot: Slot<E>, hash: u64) -> (&mut ExpiringTable<K, E>, usize) {
        let part = self.part_of(hash);
        let table = self.tables.get_mut(slot.index());
        let table = table.and_then(|table| (&mut *table.table as &mut dyn Any).downcast_mut());
        (table.expect(FOREIGN), part)
    }

    /// All keys that have something to show in a state that expires.
    pub(super) fn expiring_keys<E: Timed>(&self, slot: Slot<E>) -> Vec<K> {
        let table = self.tables.get(slot.index()).and_then(|table| any(&*table.table).downcast_ref());
        let table: &ExpiringTable<K, E> = table.expect(FOREIGN);
        self.with_those_on_disk(table.keys(self.now), table.disk.as_ref(), &table.parts)
    }

    fn with_those_on_disk<S: Clone + 'static>(
        &self,
        mut keys: Vec<K>,
        disk: Option<&Disk<K, S>>,
        parts: &[KeyedTable<K, S>],
    ) -> Vec<K> {
        if let Some(disk) = disk {
            match disk.keys_not_in(parts, |hash| self.part_of(hash)) {
                Ok(others) => keys.extend(others),
                // Whoever asks cannot be told; the subtask fails when it settles.
                Err(failure) => self.note(failure),
            }
        }
        keys
    }

    #[inline]
    pub(super) fn part<S: Record>(&self, slot: Slot<S>, hash: u64) -> &KeyedTable<K, S> {
        let part = self.part_of(hash);
        &self.table(slot).parts[part]
    }

    #[inline]
    pub(super) fn part_mut<S: Record>(&mut self, slot: Slot<S>, hash: u64) -> &mut KeyedTable<K, S> {
        let part = self.part_of(hash);
        &mut self.table_mut(slot).parts[part]
    }

    /// What all states hold now.
    ///
    /// # Errors
    /// A disk that cannot be written.
    pub(crate) fn freeze(&mut self, into: &mut Snapshot) -> Result<(), Failure> {
        let (max_parallelism, now) = (self.max_parallelism, self.now);
        self.tables
            .iter_mut()
            .try_for_each(|NamedTable { name, table, .. }| table.freeze(name, max_parallelism, now, into))
    }

    /// Fills the states that were registered with what a checkpoint holds for them.
    ///
    /// # Errors
    /// A state of another type, or a file that cannot be read.
    pub(crate) fn restore(&mut self, from: &mut dyn Restore) -> Result<(), Failure> {
        let groups = self.first..self.first + self.groups;
        let max_parallelism = self.max_parallelism;
        self.now = from.now();
        let now = self.now;
        for NamedTable { name, table, .. } in &mut self.tables {
            table.adopt(name, from)?;
            from.visit(name, &mut |section| match section.group {
                Some(group) if groups.contains(&group) => {
                    table.load((group - groups.start) as usize, max_parallelism, &section, now)?;
                    table.settle(now)
                }
                Some(_) => Ok(()),
                None => Err(Failure::permanent(format!("state \"{name}\" of the checkpoint is not keyed"))),
            })?;
        }
        Ok(())
    }

    /// The names of the states.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(|table| table.name.as_str())
    }

    /// Number of key groups over all subtasks.
    pub(crate) fn max_parallelism(&self) -> u32 {
        self.max_parallelism
    }

    /// All keys that have an entry in a state.
    pub(super) fn keys<S: Record>(&self, slot: Slot<S>) -> Vec<K> {
        let StateTable { parts, disk } = self.table(slot);
        let here = parts.iter().flat_map(|part| part.iter().map(|(key, _)| key.clone()));
        self.with_those_on_disk(here.collect(), disk.as_ref(), parts)
    }

    #[inline]
    fn part_of(&self, hash: u64) -> usize {
        self.parts().of(hash)
    }

    #[inline]
    fn table<S: Record>(&self, slot: Slot<S>) -> &StateTable<K, S> {
        self.tables.get(slot.index()).and_then(|table| any(&*table.table).downcast_ref()).expect(FOREIGN)
    }

    #[inline]
    fn table_mut<S: Record>(&mut self, slot: Slot<S>) -> &mut StateTable<K, S> {
        let table = self.tables.get_mut(slot.index());
        table.and_then(|table| (&mut *table.table as &mut dyn Any).downcast_mut()).expect(FOREIGN)
    }
}

fn any<K: 'static>(table: &dyn AnyTable<K>) -> &dyn Any {
    table
}

/// What a handle is that finds no state.
pub(super) const FOREIGN: &str = "a state's handle is used by the function that obtained it in `open`, and not before";

/// A context in which a key is current: what the handles of keyed state reach their values through.
///
/// Implemented by the contexts that flott gives to keyed functions.
pub trait KeyContext {
    /// The type of the keys.
    type Key: Key;

    /// The store, and the current key.
    fn keyed(&self) -> (&KeyedStates<Self::Key>, KeyAt<'_, Self::Key>);

    /// The store, and the current key.
    fn keyed_mut(&mut self) -> (&mut KeyedStates<Self::Key>, KeyAt<'_, Self::Key>);
}

/// The handle of a keyed state, of any kind.
pub trait KeyedState {
    /// All keys of the store that have an entry in this state, in no order that means anything.
    fn keys<K: Key>(&self, states: &KeyedStates<K>) -> Vec<K>;
}

/// A key with its hash.
#[derive(Debug)]
pub struct KeyAt<'a, K> {
    pub(crate) hash: u64,
    pub(crate) key: KeyRef<'a, K>,
}

impl<K> Clone for KeyAt<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for KeyAt<'_, K> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::record::key_group_owners;

    #[test]
    fn a_subtask_has_a_part_for_each_of_its_key_groups() {
        for (max_parallelism, parallelism) in
            [(128u32, 1u32), (128, 3), (128, 7), (128, 128), (5, 3), (1, 1), (32768, 100)]
        {
            let owners = key_group_owners(max_parallelism, parallelism as usize);
            for subtask in 0..parallelism {
                let states = KeyedStates::<u64>::new(max_parallelism, parallelism, subtask);
                let owned: Vec<u32> = (0..max_parallelism).filter(|group| owners[*group as usize] == subtask).collect();
                assert_eq!((states.first, states.groups as usize), (owned[0], owned.len()));
            }
        }
    }

    #[test]
    fn a_state_has_one_type() {
        let mut states = KeyedStates::<u64>::new(128, 1, 0);
        let slot = states.register::<u32>("count", |_| 0).unwrap();
        assert_eq!(states.register::<u32>("count", |_| 0).unwrap().index(), slot.index());
        let refused = states.register::<String>("count", |_| 0).err().unwrap();
        assert_eq!(
            refused,
            "state \"count\" holds u32, and was asked for as alloc::string::String; rename one of both"
        );
    }
}
