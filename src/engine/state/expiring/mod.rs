//! States that are forgotten when nobody touches them for a while.
//!
//! ```text
//! handle that expires ─► ExpiringTable ─► part of the key group ─► what is held, with the times of its touches ─► what is alive of it
//!                              ▲
//! after each batch: sweep ─────┘ looks at some slots, and takes out what is not alive
//! ```
//! The times lie beside what they are of, so that one probe finds both; states that do not expire are other tables, without any.
//! In a snapshot an entry is `(key, value, times)` where it is `(key, value)` otherwise, and either kind reads both.

mod config;
mod list;
mod map;
#[cfg(test)]
mod tests;
mod value;

use std::any::type_name;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Serialize, Serializer};

pub use config::{StateTtlConfig, StateVisibility, UpdateType};
pub(super) use list::TimedList;
pub(super) use map::TimedMap;
pub(super) use value::TimedValue;

use super::disk::{Codec, Disk, StateBackend};
use super::keyed::KeyAt;
use super::section::Section;
use super::snapshot::Snapshot;
use crate::engine::record::{Key, KeyedTable, Record, Swept};
use crate::graph::task::Failure;
use crate::time::Now;

/// What a state holds for a key, with the times when it was touched.
pub(crate) trait Timed: Clone + Send + Sync + 'static {
    /// What a state of the kind holds that does not expire.
    type Plain: Record;

    /// The times of its touches in a snapshot, in the order of what they are of.
    type Times: Record;

    /// What the parts of an entry in a snapshot are.
    const PARTS: &'static [&'static str];

    /// What was all touched now.
    fn touched_now(plain: Self::Plain, now: Now) -> Self;

    /// What was touched at these times; fewer or more of them than there are parts is a damaged snapshot.
    fn touched_at(plain: Self::Plain, times: Self::Times) -> Result<Self, String>;

    /// What it owns, beside as much as it has bytes when it is encoded.
    fn memory(&self) -> usize {
        0
    }

    /// Whether a part of it is not alive any more.
    fn has_expired(&self, life: Life) -> bool;

    /// Takes out what is not alive; whether nothing is left.
    fn expire(&mut self, life: Life) -> bool;

    /// What is alive as it is encoded, `(plain, times)`, behind `bytes`; as they were, where nothing is.
    ///
    /// # Errors
    /// What serde cannot write.
    fn encode(&self, life: Life, bytes: Vec<u8>) -> Result<(bool, Vec<u8>), postcard::Error>;
}

/// When state is over, at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    now: Now,
    ttl: Duration,
}

impl Life {
    /// Of what is never over.
    pub(super) fn endless() -> Self {
        Self { now: Now(0), ttl: Duration::MAX }
    }

    /// The same at another time.
    pub(super) fn at(self, now: Now) -> Self {
        Self { now, ..self }
    }

    /// Whether what was touched then is over. As in Flink, it is in the very moment that the time has passed.
    #[inline]
    pub(super) fn is_over(self, touched: Now) -> bool {
        touched + self.ttl <= self.now
    }
}

/// The time of a touch. Readers that only borrow the state write it too, and another thread may be writing it to a file: that it
/// then writes a later touch than there was at the barrier is as well.
#[derive(Debug)]
pub(super) struct Touched(AtomicU64);

impl Touched {
    fn at(time: Now) -> Self {
        Self(AtomicU64::new(time.0))
    }

    #[inline]
    fn get(&self) -> Now {
        Now(self.0.load(Ordering::Relaxed))
    }

    #[inline]
    fn set(&self, time: Now) {
        self.0.store(time.0, Ordering::Relaxed);
    }
}

impl Clone for Touched {
    fn clone(&self) -> Self {
        Self::at(self.get())
    }
}

impl Serialize for Touched {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        self.get().serialize(serializer)
    }
}

/// The entries of one state that expires: a part a key group.
pub(super) struct ExpiringTable<K, S> {
    pub(super) config: StateTtlConfig,
    pub(super) parts: Vec<KeyedTable<K, S>>,
    /// Where the rest of them lies, if they need not all be in memory.
    pub(super) disk: Option<Disk<K, S>>,
    /// The part that the sweep is in, and where.
    sweeping: usize,
    swept: Swept,
}

impl<K: Key, S: Timed> ExpiringTable<K, S> {
    pub(super) fn new(config: StateTtlConfig, groups: u32, backend: &StateBackend) -> Self {
        let (parts, disk) = match backend {
            StateBackend::Hashmap => ((0..groups).map(|_| KeyedTable::new()).collect(), None),
            StateBackend::Disk(backend) => {
                let disk = Disk::new(backend, Codec::expiring(Life { now: Now(0), ttl: config.ttl }));
                let reading_changes = config.update_type == UpdateType::OnReadAndWrite;
                let disk = if reading_changes { disk.reading_changes() } else { disk };
                ((0..groups).map(|_| KeyedTable::resident()).collect(), Some(disk))
            }
        };
        Self { config, parts, disk, sweeping: 0, swept: Swept::default() }
    }

    /// The life of its entries, as it stands now.
    #[inline]
    pub(super) fn life(&self, now: Now) -> Life {
        Life { now, ttl: self.config.ttl }
    }

    /// The life by which entries are shown.
    #[inline]
    fn shown(&self, now: Now) -> Life {
        match self.config.visibility {
            StateVisibility::NeverReturnExpired => self.life(now),
            StateVisibility::ReturnExpiredIfNotCleanedUp => Life { now: Now(0), ttl: self.config.ttl },
        }
    }

    /// Whether reading is touching.
    #[inline]
    fn reading_touches(&self) -> bool {
        self.config.update_type == UpdateType::OnReadAndWrite
    }

    #[inline]
    fn get(&self, part: usize, at: KeyAt<'_, K>) -> Option<&S> {
        self.parts[part].get(at.hash, at.key)
    }

    #[inline]
    fn get_mut(&mut self, part: usize, at: KeyAt<'_, K>) -> Option<&mut S> {
        self.parts[part].get_mut(at.hash, at.key)
    }

    #[inline]
    fn get_or_insert_with(&mut self, part: usize, at: KeyAt<'_, K>, new: impl FnOnce() -> S) -> &mut S {
        self.parts[part].get_or_insert_with(at.hash, at.key, new).1
    }

    pub(super) fn remove(&mut self, part: usize, at: KeyAt<'_, K>) -> Option<S> {
        self.parts[part].remove(at.hash, at.key).map(|entry| entry.1)
    }

    /// All keys that have something to show.
    pub(super) fn keys(&self, now: Now) -> Vec<K> {
        let life = self.shown(now);
        let alive = |(key, state): (&K, &S)| {
            // Most have all or nothing that has expired; the copy is for those between.
            (!state.has_expired(life) || !state.clone().expire(life)).then(|| key.clone())
        };
        self.parts.iter().flat_map(KeyedTable::iter).filter_map(alive).collect()
    }

    /// Looks at entries, as many as `records` records pay for, and takes out what is not alive.
    pub(super) fn clean_up(&mut self, records: usize, now: Now) {
        let life = self.life(now);
        let mut slots = self.config.cleanup.saturating_mul(records);
        // Once around is enough, however small the table is.
        for _ in 0..=self.parts.len() {
            let part = &mut self.parts[self.sweeping];
            slots = part.sweep(&mut self.swept, slots, |state| state.has_expired(life), |state| state.expire(life));
            if slots == 0 {
                return;
            }
            self.sweeping = (self.sweeping + 1) % self.parts.len();
        }
    }

    /// Number of keys in memory, with those that have nothing to show.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.parts.iter().map(KeyedTable::len).sum()
    }

    /// # Errors
    /// A disk that cannot be written.
    pub(super) fn freeze(
        &mut self,
        name: &str,
        max_parallelism: u32,
        now: Now,
        into: &mut Snapshot,
    ) -> Result<(), Failure> {
        let life = self.life(now);
        if let Some(disk) = &mut self.disk {
            disk.set_now(now);
            into.expiring_on_disk::<K, S>(name, max_parallelism, disk.save(&mut self.parts)?);
            return Ok(());
        }
        let parts = self.parts.iter_mut().filter(|part| !part.is_empty());
        let tables = parts.map(KeyedTable::freeze).collect();
        into.expiring(name, max_parallelism, tables, life);
        Ok(())
    }

    /// Puts a section's entries in that are alive. Those of a state that did not expire begin to live now.
    pub(super) fn load(
        &mut self,
        part: usize,
        max_parallelism: u32,
        section: &Section<'_>,
        now: Now,
    ) -> Result<(), Failure> {
        let life = self.life(now);
        let part = &mut self.parts[part];
        if section.times().is_none() {
            return section.each_keyed(
                max_parallelism,
                |(key, _): &(K, S::Plain)| key,
                |hash, (key, plain)| part.put(hash, key, S::touched_now(plain, now)),
            );
        }
        let mut damage = None;
        section.each_keyed(
            max_parallelism,
            |(key, _, _): &(K, S::Plain, S::Times)| key,
            |hash, (key, plain, times)| match S::touched_at(plain, times) {
                Ok(mut state) => {
                    if !state.expire(life) {
                        part.put(hash, key, state);
                    }
                }
                Err(what) => damage = Some(what),
            },
        )?;
        let damaged = |what| {
            let (name, wanted) = (section.state, type_name::<S::Plain>());
            Failure::permanent(format!("state \"{name}\" of the checkpoint cannot be read as {wanted}: {what}"))
        };
        damage.map_or(Ok(()), |what| Err(damaged(what)))
    }
}
