//! What states held at one moment, on its way out, and on its way back in.
//!
//! ```text
//! Operator::snapshot ─► Snapshot: frozen states ─(another thread)─► Sections ─► a file
//! a file ─► Restore: sections of the key groups that the subtask owns ─► Operator::restore
//! ```
//! An entry is its postcard bytes: `(key, state)` for keyed state; beside them stands the [`schema`](super::schema) of their type. A section holds entries of one key group, or of none; a key
//! group may have several sections. What writes and reads the files is not known here.

use std::any::type_name;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::disk::FrozenRuns;
use super::expiring::{Life, Timed};
use super::schema::Schema;
use super::section::Section;
use crate::engine::lsm::Run;
use crate::engine::record::{FrozenTable, Key, Record, key_group};
use crate::graph::task::Failure;
use crate::time::Now;

/// The parts of an entry of keyed state.
pub(super) const KEY_AND_VALUE: &[&str] = &["key", "value"];

/// What the states of one operator held when the barrier came.
#[derive(Default)]
pub struct Snapshot {
    states: Vec<FrozenState>,
}

/// What one state held.
pub struct FrozenState {
    /// Its name, unique within the operator.
    pub name: String,
    /// What an entry is.
    pub schema: Arc<Schema>,
    /// What the parts of an entry are, where it has parts.
    pub parts: &'static [&'static str],
    /// Its entries.
    pub entries: Box<dyn Frozen>,
}

/// Entries that do not change any more.
pub trait Frozen: Send {
    /// The runs that hold all of them, the oldest first, if there are such.
    fn runs(&self) -> &[Run] {
        &[]
    }

    /// Writes all of them, and gives up each part as soon as it is written: what is held here, the state copies when it changes.
    ///
    /// # Errors
    /// What the sections refuse, and entries that serde cannot write.
    fn write(self: Box<Self>, out: &mut dyn Sections) -> Result<(), Failure>;
}

/// Takes the entries of one state.
pub trait Sections {
    /// Takes `entries` entries of a key group, or of no key group.
    ///
    /// # Errors
    /// A file that cannot be written.
    fn section(&mut self, group: Option<u32>, entries: u64, bytes: &[u8]) -> Result<(), Failure>;
}

/// Takes a section.
pub type TakeSection<'a> = &'a mut dyn FnMut(Section<'_>) -> Result<(), Failure>;

/// Takes a section, and which of its entries are wanted.
pub type TakePart<'a> = &'a mut dyn FnMut(Section<'_>, Range<u64>) -> Result<(), Failure>;

/// How the entries of a list that subtasks put down are handed out. Flink's `OperatorStateHandle.Mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redistribution {
    /// Each to one subtask: to whom it was at the same parallelism, else evenly.
    Split,
    /// Each to all.
    Union,
}

/// Where states lie of which each subtask is given all that there is.
const UNION: &str = "_union/";

/// The name in a snapshot of a list that every subtask is given the whole of.
pub(crate) fn union_state_name(name: &str) -> String {
    format!("{UNION}{name}")
}

/// Whether every subtask is given the whole of this state.
pub(crate) fn is_union_state(stored_name: &str) -> bool {
    stored_name.starts_with(UNION)
}

/// What a checkpoint holds for one subtask of one operator. Each state is asked for once.
pub trait Restore {
    /// The processing time, by which state may have expired meanwhile.
    fn now(&self) -> Now;

    /// Whether there is a checkpoint at all.
    fn is_restored(&self) -> bool;

    /// Gives every section of a list of the operator's with those of its entries, counted from 0, that are this subtask's.
    ///
    /// # Errors
    /// As [`Restore::visit`].
    fn visit_list(&mut self, state: &str, share: Redistribution, part: TakePart<'_>) -> Result<(), Failure>;

    /// Takes out the runs of a state that concern the subtask, if its entries are as `wanted` says; [`Restore::visit`] gives the
    /// others then. The oldest first; nobody else has their entries.
    ///
    /// # Errors
    /// As [`Restore::visit`].
    fn take_runs(&mut self, state: &str, wanted: &dyn Fn(&Schema, &[String]) -> bool) -> Result<Vec<Run>, Failure> {
        let _ = (state, wanted);
        Ok(Vec::new())
    }

    /// Gives every section of a state that concerns the subtask: those of its key groups, and those of none.
    ///
    /// # Errors
    /// What `section` returns, and files that cannot be read.
    fn visit(&mut self, state: &str, section: TakeSection<'_>) -> Result<(), Failure>;
}

impl Snapshot {
    /// Adds a keyed state.
    pub fn keyed<K: Key, S: Record>(&mut self, name: &str, max_parallelism: u32, tables: Vec<FrozenTable<K, S>>) {
        self.add::<(K, S)>(name, KEY_AND_VALUE, Box::new(FrozenTables { max_parallelism, tables }));
    }

    /// Adds a keyed state that expires: of its entries, those that are alive.
    pub(super) fn expiring<K: Key, S: Timed>(
        &mut self,
        name: &str,
        max_parallelism: u32,
        tables: Vec<FrozenTable<K, S>>,
        life: Life,
    ) {
        let entries = Box::new(FrozenExpiring { max_parallelism, tables, life });
        self.add::<(K, S::Plain, S::Times)>(name, S::PARTS, entries);
    }

    /// Adds a keyed state that lies on disk.
    pub(crate) fn on_disk<K: Key, S: Record>(&mut self, name: &str, max_parallelism: u32, runs: FrozenRuns) {
        self.add::<(K, S)>(name, KEY_AND_VALUE, Box::new(runs.in_groups(max_parallelism)));
    }

    /// Adds a keyed state that expires and lies on disk.
    pub(super) fn expiring_on_disk<K: Key, S: Timed>(&mut self, name: &str, max_parallelism: u32, runs: FrozenRuns) {
        self.add::<(K, S::Plain, S::Times)>(name, S::PARTS, Box::new(runs.in_groups(max_parallelism)));
    }

    /// Adds entries of key groups, which are tuples of these parts.
    pub(crate) fn grouped<T: Record>(&mut self, name: &str, parts: &'static [&'static str], entries: Vec<(u32, T)>) {
        self.add::<T>(name, parts, Box::new(Grouped(entries)));
    }

    /// Adds a state of the subtask that belongs to no key.
    pub fn unkeyed<T: Record>(&mut self, name: &str, entries: Vec<T>) {
        self.add::<T>(name, &[], Box::new(Unkeyed(entries)));
    }

    /// Adds a map of the subtask that belongs to no key.
    pub(crate) fn unkeyed_map<K: Record, V: Record>(&mut self, name: &str, entries: Vec<(K, V)>) {
        self.add::<(K, V)>(name, KEY_AND_VALUE, Box::new(Unkeyed(entries)));
    }

    fn add<T: Record>(&mut self, name: &str, parts: &'static [&'static str], entries: Box<dyn Frozen>) {
        self.states.push(FrozenState { name: name.to_owned(), schema: Schema::shared::<T>(), parts, entries });
    }

    /// The states that hold something, and those that do not.
    pub fn into_states(self) -> Vec<FrozenState> {
        self.states
    }
}

struct FrozenTables<K, S> {
    max_parallelism: u32,
    tables: Vec<FrozenTable<K, S>>,
}

impl<K: Key, S: Record> Frozen for FrozenTables<K, S> {
    fn write(self: Box<Self>, out: &mut dyn Sections) -> Result<(), Failure> {
        let mut groups = Groups::default();
        for piece in self.tables.into_iter().flat_map(FrozenTable::into_pieces) {
            for (hash, entry) in piece.iter() {
                groups.add(key_group(hash, self.max_parallelism), entry)?;
            }
            groups.flush(out)?;
        }
        Ok(())
    }
}

struct FrozenExpiring<K, S> {
    max_parallelism: u32,
    tables: Vec<FrozenTable<K, S>>,
    life: Life,
}

impl<K: Key, S: Timed> Frozen for FrozenExpiring<K, S> {
    fn write(self: Box<Self>, out: &mut dyn Sections) -> Result<(), Failure> {
        let mut groups = Groups::default();
        for piece in self.tables.into_iter().flat_map(FrozenTable::into_pieces) {
            for (hash, (key, state)) in piece.iter() {
                let encode = |bytes: Vec<u8>| {
                    let len = bytes.len();
                    let (alive, mut bytes) = state.encode(self.life, postcard::to_extend(key, bytes)?)?;
                    bytes.truncate(if alive { bytes.len() } else { len });
                    Ok((alive, bytes))
                };
                let encode = |bytes| encode(bytes).map_err(|error| unwritable::<S::Plain>(&error));
                groups.add_with(key_group(hash, self.max_parallelism), encode)?;
            }
            groups.flush(out)?;
        }
        Ok(())
    }
}

struct Grouped<T>(Vec<(u32, T)>);

impl<T: Record> Frozen for Grouped<T> {
    fn write(self: Box<Self>, out: &mut dyn Sections) -> Result<(), Failure> {
        let mut groups = Groups::default();
        for (group, entry) in &self.0 {
            groups.add(*group, entry)?;
        }
        groups.flush(out)
    }
}

struct Unkeyed<T>(Vec<T>);

impl<T: Record> Frozen for Unkeyed<T> {
    fn write(self: Box<Self>, out: &mut dyn Sections) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        for entry in &self.0 {
            bytes = encoded(entry, bytes)?;
        }
        out.section(None, self.0.len() as u64, &bytes)
    }
}

/// Entries by key group, encoded; the memory is used again.
#[derive(Default)]
struct Groups(BTreeMap<u32, (u64, Vec<u8>)>);

impl Groups {
    fn add<T: Record>(&mut self, group: u32, entry: &T) -> Result<(), Failure> {
        self.add_with(group, |bytes| Ok((true, encoded(entry, bytes)?)))
    }

    /// Adds an entry where `encode` says that it has put one behind the bytes.
    fn add_with(
        &mut self,
        group: u32,
        encode: impl FnOnce(Vec<u8>) -> Result<(bool, Vec<u8>), Failure>,
    ) -> Result<(), Failure> {
        let (entries, bytes) = self.0.entry(group).or_default();
        let (added, longer) = encode(std::mem::take(bytes))?;
        *bytes = longer;
        *entries += u64::from(added);
        Ok(())
    }

    fn flush(&mut self, out: &mut dyn Sections) -> Result<(), Failure> {
        for (group, (entries, bytes)) in &mut self.0 {
            if *entries > 0 {
                out.section(Some(*group), *entries, bytes)?;
            }
            *entries = 0;
            bytes.clear();
        }
        Ok(())
    }
}

fn encoded<T: Record>(entry: &T, bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
    postcard::to_extend(entry, bytes).map_err(|error| unwritable::<T>(&error))
}

fn unwritable<T>(error: &postcard::Error) -> Failure {
    Failure::permanent(format!("{error}: a state of type {} cannot be written", type_name::<T>()))
}
