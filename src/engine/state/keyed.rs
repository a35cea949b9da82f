//! The keyed state of one subtask.

use std::any::{Any, type_name};

use super::expiring::{ExpiringTable, StateTtlConfig, Timed};
use super::handle::Slot;
use super::section::{Section, Times};
use super::snapshot::{Restore, Snapshot};
use crate::engine::record::{Key, KeyRef, KeyedTable, Record, key_group, key_groups_of};
use crate::graph::task::Failure;
use crate::time::Now;

/// The keyed state of one subtask: a table a state, each in parts by key group.
pub struct KeyedStates<K> {
    max_parallelism: u32,
    /// The first key group of the subtask.
    first: u32,
    /// The key groups of the subtask.
    groups: u32,
    tables: Vec<NamedTable>,
    /// Whether any of them expires.
    expire: bool,
    /// The processing time.
    now: Now,
    key: std::marker::PhantomData<fn() -> K>,
}

struct NamedTable {
    name: String,
    type_name: &'static str,
    table: Box<dyn AnyTable>,
}

/// A [`StateTable`] or [`ExpiringTable`] of any types.
trait AnyTable: Any + Send {
    fn freeze(&mut self, name: &str, max_parallelism: u32, now: Now, into: &mut Snapshot);

    /// Puts a section's entries in; `part` is the table's of the section's key group.
    fn load(&mut self, part: usize, max_parallelism: u32, section: &Section<'_>, now: Now) -> Result<(), Failure>;

    /// Takes out some of what is not alive, as `records` records pay for.
    fn clean_up(&mut self, records: usize, now: Now) {
        let _ = (records, now);
    }
}

impl<K: Key, S: Record> AnyTable for StateTable<K, S> {
    fn freeze(&mut self, name: &str, max_parallelism: u32, _now: Now, into: &mut Snapshot) {
        let parts = self.parts.iter_mut().filter(|part| !part.is_empty());
        into.keyed(name, max_parallelism, parts.map(KeyedTable::freeze).collect());
    }

    fn load(&mut self, part: usize, max_parallelism: u32, section: &Section<'_>, _now: Now) -> Result<(), Failure> {
        let part = &mut self.parts[part];
        let mut put = |hash, key, state| part.put(hash, key, state);
        // A state that expired lives on as one that does not.
        match section.times() {
            None => section.each_keyed(max_parallelism, |(key, _)| key, |hash, (key, state)| put(hash, key, state)),
            Some(Times::One) => section.each_keyed(
                max_parallelism,
                |(key, _, _): &(K, S, Now)| key,
                |hash, (key, state, _)| put(hash, key, state),
            ),
            Some(Times::Each) => section.each_keyed(
                max_parallelism,
                |(key, _, _): &(K, S, Vec<Now>)| key,
                |hash, (key, state, _)| put(hash, key, state),
            ),
        }
    }
}

impl<K: Key, S: Timed> AnyTable for ExpiringTable<K, S> {
    fn freeze(&mut self, name: &str, max_parallelism: u32, now: Now, into: &mut Snapshot) {
        ExpiringTable::freeze(self, name, max_parallelism, now, into);
    }

    fn load(&mut self, part: usize, max_parallelism: u32, section: &Section<'_>, now: Now) -> Result<(), Failure> {
        ExpiringTable::load(self, part, max_parallelism, section, now)
    }

    fn clean_up(&mut self, records: usize, now: Now) {
        ExpiringTable::clean_up(self, records, now);
    }
}

/// The entries of one state: a part a key group.
pub(super) struct StateTable<K, S> {
    parts: Vec<KeyedTable<K, S>>,
}

impl<K: Key> KeyedStates<K> {
    /// No states yet, for the key groups that subtask `subtask` of `parallelism` owns.
    pub(crate) fn new(max_parallelism: u32, parallelism: u32, subtask: u32) -> Self {
        let groups = key_groups_of(max_parallelism, parallelism, subtask);
        let (first, groups) = (groups.start, groups.end - groups.start);
        let (tables, expire, now) = (Vec::new(), false, Now(0));
        Self { max_parallelism, first, groups, tables, expire, now, key: std::marker::PhantomData }
    }

    /// The state of this name, which is made if it is new.
    ///
    /// # Errors
    /// When it was obtained as another kind or type before, in words.
    pub(super) fn register<S: Record>(&mut self, name: &str) -> Result<Slot<S>, String> {
        if let Some(at) = self.tables.iter().position(|table| table.name == name) {
            return match any(&*self.tables[at].table).is::<StateTable<K, S>>() {
                true => Ok(Slot::new(at, false)),
                false => Err(self.held_otherwise::<S>(at, "without a time to live")),
            };
        }
        let parts = (0..self.groups).map(|_| KeyedTable::new()).collect();
        self.add::<S>(name, Box::new(StateTable::<K, S> { parts }));
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
    ) -> Result<Slot<S>, String> {
        let Some(ttl) = ttl else { return self.register(name) };
        ttl.check(name)?;
        if let Some(at) = self.tables.iter().position(|table| table.name == name) {
            let known = any(&*self.tables[at].table).downcast_ref::<ExpiringTable<K, E>>();
            return match known.is_some_and(|known| known.config == ttl) {
                true => Ok(Slot::new(at, true)),
                false => Err(self.held_otherwise::<S>(at, "with this time to live")),
            };
        }
        self.add::<S>(name, Box::new(ExpiringTable::<K, E>::new(ttl, self.groups)));
        self.expire = true;
        Ok(Slot::new(self.tables.len() - 1, true))
    }

    fn add<S>(&mut self, name: &str, table: Box<dyn AnyTable>) {
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
        ExpiringTable::<K, E>::keys(table.expect(FOREIGN), self.now)
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
    pub(crate) fn freeze(&mut self, into: &mut Snapshot) {
        for NamedTable { name, table, .. } in &mut self.tables {
            table.freeze(name, self.max_parallelism, self.now, into);
        }
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
            from.visit(name, &mut |section| match section.group {
                Some(group) if groups.contains(&group) => {
                    table.load((group - groups.start) as usize, max_parallelism, &section, now)
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
        self.table(slot).parts.iter().flat_map(|part| part.iter().map(|(key, _)| key.clone())).collect()
    }

    #[inline]
    fn part_of(&self, hash: u64) -> usize {
        (key_group(hash, self.max_parallelism) - self.first) as usize
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

fn any(table: &dyn AnyTable) -> &dyn Any {
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
        let slot = states.register::<u32>("count").unwrap();
        assert_eq!(states.register::<u32>("count").unwrap().index(), slot.index());
        let refused = states.register::<String>("count").err().unwrap();
        assert_eq!(
            refused,
            "state \"count\" holds u32, and was asked for as alloc::string::String; rename one of both"
        );
    }
}
