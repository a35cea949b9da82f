//! State beyond memory: what is worked with is in tables, the rest lies on disk.
//!
//! ```text
//! a batch's keys ─► admit: those that are not here are looked for in the runs, in order ─► tables ◄─ handles, as if there were no disk
//!                                                                                          │
//! behind the batch ─► settle: over the memory of the pool? ─► what was not used lately ────┤ changed: into a new run; all: gone
//!                             runs to be merged? ─► a bounded step of it                   │
//! a barrier ─► save: all that has changed ─► a new run ◄───────────────────────────────────┘
//! ```
//! A handle borrows its value from the context, so what it reads must be in memory when it is asked: and it is, because whoever calls a
//! function knows the keys it will ask for, and admits them first. That is what makes reading many keys one pass over the disk
//! instead of many, and keeps functions, handles and the kinds of state as they are. What a function has not been given the key of
//! it cannot reach, in memory or not.
//!
//! The tables are a cache that is written back: an entry that is used often is never written between checkpoints. Nothing is
//! logged: a subtask that fails goes on from a checkpoint, and that holds every run there was at its barrier, linked, not copied. So a
//! checkpoint costs what has changed since the last one, and what merging has written anew.
//!
//! Invariants: a key's state is in its table, or the table knows that it was taken out, or what the newest run says of it holds;
//! between batches a subtask's states take no more than the pool allows, but for what is admitted for one batch and what keys and
//! states own beside their tables, which is estimated.

mod codec;
mod frozen;
mod memory;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use codec::Codec;
pub(crate) use frozen::{FrozenRuns, write_runs};
use memory::Share;
pub use memory::StateMemory;

use crate::engine::lsm::{Entry, Merge, Probe, Run, RunWriter, Tree};
use crate::engine::record::{Key, KeyColumn, KeyRef, KeyedTable, Passed, Passing, hash_order, key_hash};
use crate::graph::task::Failure;
use crate::time::Now;

/// Bytes of merging behind each batch, while there is something to merge.
const MERGED_AT_ONCE: u64 = 256 << 10;
/// Keys whose memory is asked for together.
const FETCHED_AT_ONCE: usize = 64;
/// A share of what a state has in memory that goes beyond what has to: more makes fewer runs, and longer pauses.
const EVICTED_AT_ONCE: usize = 16;
/// What a state may keep, however full the pool is.
const BYTES_MIN: usize = 256 << 10;
/// Memory of an allocation beside what was asked for.
const ALLOCATION_BYTES: usize = 32;

/// Where a subtask's state beyond memory lies, and what of it may be in memory. Cheap to clone.
#[derive(Clone)]
pub struct DiskBackend {
    dir: PathBuf,
    made: Arc<AtomicU64>,
    memory: Arc<StateMemory>,
}

impl fmt::Debug for DiskBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskBackend({})", self.dir.display())
    }
}

impl DiskBackend {
    /// States lie below `dir`, which is made when it is needed, and share `memory`.
    pub fn new(dir: PathBuf, memory: Arc<StateMemory>) -> Self {
        Self { dir, made: Arc::default(), memory }
    }

    fn new_dir(&self) -> PathBuf {
        self.dir.join(self.made.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

/// Where keyed state lives. Flink's `state.backend.type`.
#[derive(Clone, Debug, Default)]
pub enum StateBackend {
    /// In memory.
    #[default]
    Hashmap,
    /// In memory as far as that reaches, and on disk.
    Disk(DiskBackend),
}

/// The part of one state that lies on disk, and the way between it and the tables.
pub(crate) struct Disk<K, S> {
    codec: Codec<S>,
    tree: Tree,
    share: Share,
    /// The table and the order where the next pass begins.
    hand: (usize, u64),
    /// Whether an entry changes when it is read.
    reading_changes: bool,
    /// About what keys and states own beside their tables, an entry.
    owned_bytes: f64,
    /// Chooses the entries that tell about the others.
    looked_at: u64,
    probes: Vec<Probe>,
    misses: Vec<(u64, usize)>,
    key: Vec<u8>,
    value: Vec<u8>,
    types: std::marker::PhantomData<fn(K)>,
}

impl<K: Key, S: Clone + 'static> Disk<K, S> {
    pub(crate) fn new(backend: &DiskBackend, codec: Codec<S>) -> Self {
        Self {
            codec,
            tree: Tree::new(backend.new_dir()),
            share: Share::of(&backend.memory),
            hand: (0, 0),
            reading_changes: false,
            owned_bytes: 0.0,
            looked_at: 0,
            probes: Vec::new(),
            misses: Vec::new(),
            key: Vec::new(),
            value: Vec::new(),
            types: std::marker::PhantomData,
        }
    }

    /// Reading an entry changes it, too.
    pub(crate) fn reading_changes(mut self) -> Self {
        self.reading_changes = true;
        self
    }

    /// The time by which entries expire.
    pub(crate) fn set_now(&mut self, now: Now) {
        self.codec.set_now(now);
    }

    /// Has the states of these keys in the tables, if they have any. `part` says which table a hash belongs to.
    ///
    /// # Errors
    /// A file that cannot be read, or is damaged.
    pub(crate) fn admit(
        &mut self,
        tables: &mut [KeyedTable<K, S>],
        part: impl Fn(u64) -> usize,
        hashes: &[u64],
        keys: &KeyColumn<K>,
    ) -> Result<(), Failure> {
        if self.tree.runs().is_empty() {
            return Ok(());
        }
        let mut misses = std::mem::take(&mut self.misses);
        misses.clear();
        for (hashes, start) in hashes.chunks(FETCHED_AT_ONCE).zip((0..).step_by(FETCHED_AT_ONCE)) {
            if let [table] = &*tables {
                table.prefetch(hashes);
            }
            for (hash, row) in hashes.iter().zip(start..) {
                if !tables[part(*hash)].knows(*hash, keys.get(row), self.reading_changes) {
                    misses.push((hash_order(*hash), row));
                }
            }
        }
        misses.sort_unstable();
        let mut last = None;
        for (order, row) in &misses {
            let (hash, key) = (hashes[*row], keys.get(*row));
            let table = &mut tables[part(hash)];
            // The row before may have been of the same key.
            if last != Some(*order) || !table.knows(hash, key, false) {
                self.look_up(table, hash, key)?;
            }
            last = Some(*order);
        }
        self.misses = misses;
        Ok(())
    }

    /// Has the state of one key in its table, if it has any.
    ///
    /// # Errors
    /// As [`Disk::admit`].
    pub(crate) fn admit_key(
        &mut self,
        table: &mut KeyedTable<K, S>,
        hash: u64,
        key: KeyRef<'_, K>,
    ) -> Result<(), Failure> {
        if self.tree.runs().is_empty() || table.knows(hash, key, self.reading_changes) {
            return Ok(());
        }
        self.look_up(table, hash, key)
    }

    fn look_up(&mut self, table: &mut KeyedTable<K, S>, hash: u64, key: KeyRef<'_, K>) -> Result<(), Failure> {
        self.key = codec::key_bytes(key, std::mem::take(&mut self.key))?;
        let Some(value) = self.tree.find(hash_order(hash), &self.key, &mut self.probes)? else { return Ok(()) };
        let bytes = self.key.len() + value.len();
        let state = self.codec.read(value)?;
        self.weigh(self.codec.memory(&state, bytes));
        table.admit(hash, key.to_owned(), state, self.reading_changes);
        Ok(())
    }

    /// Takes what an entry owns into the estimate of what entries own beside their tables.
    fn weigh(&mut self, owned: usize) {
        if std::mem::needs_drop::<(K, S)>() {
            let owned = (owned + ALLOCATION_BYTES) as f64;
            let weight = if self.owned_bytes == 0.0 { 1.0 } else { 1.0 / 32.0 };
            self.owned_bytes += (owned - self.owned_bytes) * weight;
        }
    }

    /// Behind a batch: makes room if there is too little, and merges a step.
    ///
    /// # Errors
    /// A disk that cannot be written or read.
    pub(crate) fn settle(&mut self, tables: &mut [KeyedTable<K, S>]) -> Result<(), Failure> {
        self.weigh_one(tables)?;
        self.charge(tables);
        self.make_room(tables)?;
        let codec = &self.codec;
        if self.tree.work(MERGED_AT_ONCE, &|value| codec.keeps(value))? {
            self.probes.clear();
        }
        Ok(())
    }

    /// Where nothing has been read back yet, one entry tells about the others.
    fn weigh_one(&mut self, tables: &[KeyedTable<K, S>]) -> Result<(), Failure> {
        if std::mem::needs_drop::<(K, S)>() {
            self.looked_at = self.looked_at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let chance = (self.looked_at >> 33) as usize;
            if let Some((key, state)) = tables[chance % tables.len()].some(chance) {
                self.encode(key, Some(state))?;
                self.weigh(self.codec.memory(state, self.key.len() + self.value.len()));
            }
        }
        Ok(())
    }

    fn charge(&mut self, tables: &[KeyedTable<K, S>]) -> usize {
        let held: usize = tables.iter().map(KeyedTable::bytes).sum();
        let entries: usize = tables.iter().map(KeyedTable::len).sum();
        let held = held + (entries as f64 * self.owned_bytes) as usize + self.tree.memory();
        self.share.charge(held);
        held
    }

    fn make_room(&mut self, tables: &mut [KeyedTable<K, S>]) -> Result<(), Failure> {
        let held = self.charge(tables);
        let excess = self.share.excess();
        if excess == 0 || held <= BYTES_MIN {
            return Ok(());
        }
        let target = held.saturating_sub(excess + held / EVICTED_AT_ONCE).max(BYTES_MIN);
        let expected = ((held - target) / size_of::<(K, S)>().max(1)) as u64;
        let mut writer = None;
        // Once around takes what was not used lately, and a second time everything; the first begins in the middle.
        let mut turns = 3;
        while turns > 0 && self.charge(tables) > target {
            let wrapped = self.pass(tables, Passing::Evict, expected, &mut writer)?;
            if wrapped {
                // Entries of one run are in order.
                self.finish(writer.take())?;
                turns -= 1;
            }
        }
        self.finish(writer)?;
        self.charge(tables);
        Ok(())
    }

    /// Looks at the segment where the hand is, and moves it on. True when it has come around.
    fn pass(
        &mut self,
        tables: &mut [KeyedTable<K, S>],
        passing: Passing,
        expected: u64,
        writer: &mut Option<RunWriter>,
    ) -> Result<bool, Failure> {
        let (part, from) = self.hand;
        let next = if tables[part].has_nothing() {
            None
        } else {
            let Passed { next, changed } = tables[part].pass(from, passing);
            for (order, saved) in &changed {
                let (key, state) = saved.parts();
                let value = self.encode(key, state)?;
                if writer.is_none() {
                    *writer = Some(self.tree.writer(expected)?);
                }
                if let Some(writer) = writer {
                    writer.push(Entry { order: *order, key: &self.key, value: value.then_some(&*self.value) })?;
                }
            }
            next
        };
        self.hand = match next {
            Some(next) => (part, next),
            None => ((part + 1) % tables.len(), 0),
        };
        Ok(self.hand == (0, 0))
    }

    fn finish(&mut self, writer: Option<RunWriter>) -> Result<(), Failure> {
        if let Some(writer) = writer {
            self.tree.add(writer.finish()?);
        }
        Ok(())
    }

    /// Encodes an entry into `key` and `value`. False: it was deleted, or nothing of it is alive.
    fn encode(&mut self, key: &K, state: Option<&S>) -> Result<bool, Failure> {
        self.key = codec::key_bytes(KeyRef::Value(key), std::mem::take(&mut self.key))?;
        self.value.clear();
        let Some(state) = state else { return Ok(false) };
        let (alive, value) = self.codec.write(state, std::mem::take(&mut self.value))?;
        self.value = value;
        Ok(alive)
    }

    /// At a barrier: writes all that has changed. What the state holds now, which goes on changing.
    ///
    /// # Errors
    /// A disk that cannot be written.
    pub(crate) fn save(&mut self, tables: &mut [KeyedTable<K, S>]) -> Result<FrozenRuns, Failure> {
        let changed: usize = tables.iter().map(KeyedTable::changed).sum();
        let (hand, mut writer) = (std::mem::take(&mut self.hand), None);
        if changed > 0 {
            while !self.pass(tables, Passing::Save, changed as u64, &mut writer)? {}
        }
        self.hand = hand;
        self.finish(writer)?;
        let keeps = self.codec.keeper();
        Ok(FrozenRuns::new(self.tree.runs().to_vec(), keeps))
    }

    /// Saves all, and gives each entry to `take` as long as it says to go on.
    ///
    /// # Errors
    /// A disk that cannot be written or read.
    pub(crate) fn each_saved(
        &mut self,
        tables: &mut [KeyedTable<K, S>],
        mut take: impl FnMut(K, S) -> bool,
    ) -> Result<(), Failure> {
        self.save(tables)?;
        let (mut merge, mut goes_on) = (Merge::new(self.tree.runs().iter())?, true);
        while goes_on {
            let more = merge.next(|entry| {
                if let Some(value) = entry.value.filter(|value| self.codec.keeps(value)) {
                    goes_on = take(codec::read_key(entry.key)?, self.codec.read(value)?);
                }
                Ok(())
            })?;
            goes_on &= more;
        }
        Ok(())
    }

    /// Takes in runs of a checkpoint, the oldest first. Their files are its own from now on.
    ///
    /// # Errors
    /// A file that cannot be linked, copied or read.
    pub(crate) fn adopt(&mut self, runs: Vec<Run>) -> Result<(), Failure> {
        for run in runs {
            let path = self.tree.new_path()?;
            let (first, last) = run.range();
            self.tree.add(run.at(&path)?.within(first, last));
        }
        Ok(())
    }

    /// The keys that have a state on disk, and none is known here.
    ///
    /// # Errors
    /// A file that cannot be read, or is damaged.
    pub(crate) fn keys_not_in(
        &self,
        tables: &[KeyedTable<K, S>],
        part: impl Fn(u64) -> usize,
    ) -> Result<Vec<K>, Failure> {
        let (mut merge, mut keys) = (Merge::new(self.tree.runs().iter())?, Vec::new());
        let mut take = |entry: Entry<'_>| {
            if entry.value.is_some_and(|value| self.codec.keeps(value)) {
                let key: K = codec::read_key(entry.key)?;
                let hash = key_hash(&key);
                if !tables[part(hash)].has_known(hash, KeyRef::Value(&key)) {
                    keys.push(key);
                }
            }
            Ok(())
        };
        while merge.next(&mut take)? {}
        Ok(keys)
    }
}

#[cfg(test)]
mod tests;
