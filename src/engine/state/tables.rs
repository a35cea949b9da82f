//! The tables of keyed states, whatever their types are and wherever they live.

use std::any::Any;

use super::disk::{Codec, Disk, StateBackend};
use super::expiring::{ExpiringTable, Timed};
use super::keyed::KeyAt;
use super::schema::Schema;
use super::section::{Section, Times};
use super::snapshot::{KEY_AND_VALUE, Restore, Snapshot};
use crate::engine::lsm::Run;
use crate::engine::record::{Key, KeyColumn, KeyedTable, Record, key_group};
use crate::graph::task::Failure;
use crate::time::Now;

/// A [`StateTable`] or [`ExpiringTable`] of any types.
pub(super) trait AnyTable<K>: Any + Send {
    fn freeze(&mut self, name: &str, max_parallelism: u32, now: Now, into: &mut Snapshot) -> Result<(), Failure>;

    /// Has the states of these keys in memory. `part` says which of the table's parts a hash belongs to.
    fn admit(&mut self, part: PartOf, hashes: &[u64], keys: &KeyColumn<K>) -> Result<(), Failure>;

    /// As [`AnyTable::admit`], of one key.
    fn admit_key(&mut self, part: PartOf, at: KeyAt<'_, K>) -> Result<(), Failure>;

    /// Behind a batch, or a part of a restore: gives up memory, if there is too little.
    fn settle(&mut self, now: Now) -> Result<(), Failure>;

    /// Takes in what lies in runs, and need not be read for it.
    fn adopt(&mut self, name: &str, from: &mut dyn Restore) -> Result<(), Failure>;

    /// Puts a section's entries in; `part` is the table's of the section's key group.
    fn load(&mut self, part: usize, max_parallelism: u32, section: &Section<'_>, now: Now) -> Result<(), Failure>;

    /// Takes out some of what is not alive, as `records` records pay for.
    fn clean_up(&mut self, records: usize, now: Now) {
        let _ = (records, now);
    }
}

impl<K: Key, S: Record> AnyTable<K> for StateTable<K, S> {
    fn freeze(&mut self, name: &str, max_parallelism: u32, _now: Now, into: &mut Snapshot) -> Result<(), Failure> {
        if let Some(disk) = &mut self.disk {
            into.on_disk::<K, S>(name, max_parallelism, disk.save(&mut self.parts)?);
            return Ok(());
        }
        let parts = self.parts.iter_mut().filter(|part| !part.is_empty());
        into.keyed(name, max_parallelism, parts.map(KeyedTable::freeze).collect());
        Ok(())
    }

    fn admit(&mut self, part: PartOf, hashes: &[u64], keys: &KeyColumn<K>) -> Result<(), Failure> {
        let Some(disk) = &mut self.disk else { return Ok(()) };
        disk.admit(&mut self.parts, |hash| part.of(hash), hashes, keys)
    }

    fn admit_key(&mut self, part: PartOf, at: KeyAt<'_, K>) -> Result<(), Failure> {
        let Some(disk) = &mut self.disk else { return Ok(()) };
        disk.admit_key(&mut self.parts[part.of(at.hash)], at.hash, at.key)
    }

    fn settle(&mut self, _now: Now) -> Result<(), Failure> {
        self.disk.as_mut().map_or(Ok(()), |disk| disk.settle(&mut self.parts))
    }

    fn adopt(&mut self, name: &str, from: &mut dyn Restore) -> Result<(), Failure> {
        let Some(disk) = &mut self.disk else { return Ok(()) };
        disk.adopt(take_runs::<K, S>(name, from)?)
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

impl<K: Key, S: Timed> AnyTable<K> for ExpiringTable<K, S> {
    fn freeze(&mut self, name: &str, max_parallelism: u32, now: Now, into: &mut Snapshot) -> Result<(), Failure> {
        ExpiringTable::freeze(self, name, max_parallelism, now, into)
    }

    fn admit(&mut self, part: PartOf, hashes: &[u64], keys: &KeyColumn<K>) -> Result<(), Failure> {
        let Some(disk) = &mut self.disk else { return Ok(()) };
        disk.admit(&mut self.parts, |hash| part.of(hash), hashes, keys)
    }

    fn admit_key(&mut self, part: PartOf, at: KeyAt<'_, K>) -> Result<(), Failure> {
        let Some(disk) = &mut self.disk else { return Ok(()) };
        disk.admit_key(&mut self.parts[part.of(at.hash)], at.hash, at.key)
    }

    fn settle(&mut self, now: Now) -> Result<(), Failure> {
        let Some(disk) = &mut self.disk else { return Ok(()) };
        disk.set_now(now);
        disk.settle(&mut self.parts)
    }

    fn adopt(&mut self, name: &str, from: &mut dyn Restore) -> Result<(), Failure> {
        let Some(disk) = &mut self.disk else { return Ok(()) };
        disk.adopt(from.take_runs(name, &|schema, parts| {
            schema.says_the_same(&Schema::shared::<(K, S::Plain, S::Times)>()) && parts == S::PARTS
        })?)
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
    pub(super) parts: Vec<KeyedTable<K, S>>,
    /// Where the rest of them lies, if they need not all be in memory.
    pub(super) disk: Option<Disk<K, S>>,
}

impl<K: Key, S: Record> StateTable<K, S> {
    /// Without entries, for so many key groups. `memory` says what a state owns, beside as much as it has bytes when it is encoded.
    pub(super) fn new(groups: u32, backend: &StateBackend, memory: fn(&S) -> usize) -> Self {
        let (parts, disk) = match backend {
            StateBackend::Hashmap => ((0..groups).map(|_| KeyedTable::new()).collect(), None),
            StateBackend::Disk(backend) => {
                let parts = (0..groups).map(|_| KeyedTable::resident()).collect();
                (parts, Some(Disk::new(backend, Codec::lasting(memory))))
            }
        };
        Self { parts, disk }
    }
}

/// Which part of a state's table a hash belongs to.
#[derive(Clone, Copy)]
pub(super) struct PartOf {
    pub(super) max_parallelism: u32,
    /// The first key group of the subtask.
    pub(super) first: u32,
}

impl PartOf {
    #[inline]
    pub(super) fn of(self, hash: u64) -> usize {
        (key_group(hash, self.max_parallelism) - self.first) as usize
    }
}

/// The runs of a keyed state that are of these very types.
///
/// # Errors
/// As [`Restore::visit`].
pub(crate) fn take_runs<K: Key, S: Record>(state: &str, from: &mut dyn Restore) -> Result<Vec<Run>, Failure> {
    let own = Schema::shared::<(K, S)>();
    from.take_runs(state, &|schema, parts| schema.says_the_same(&own) && parts == KEY_AND_VALUE)
}
