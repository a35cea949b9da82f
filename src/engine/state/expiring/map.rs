//! A map a key, whose entries expire.

use serde::de::{MapAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::value::TimedValue;
use super::{ExpiringTable, Life, Timed};
use crate::engine::record::{Key, KeyRef, KeyedTable, Record, key_hash};
use crate::engine::state::keyed::KeyAt;
use crate::engine::state::section::EACH_TOUCHED;
use crate::time::Now;

/// Entries, each with its time.
#[derive(Clone, Debug)]
pub(in super::super) struct TimedMap<UK, UV>(KeyedTable<UK, TimedValue<UV>>);

impl<UK: Key, UV: Record> TimedMap<UK, UV> {
    fn alive(&self, life: Life) -> impl Iterator<Item = (&UK, &TimedValue<UV>)> {
        self.0.iter().filter(move |(_, held)| !held.has_expired(life))
    }
}

impl<UK: Key, UV: Record> Timed for TimedMap<UK, UV> {
    type Plain = Pairs<UK, UV>;
    type Times = Vec<Now>;

    const PARTS: &'static [&'static str] = &["key", "value", EACH_TOUCHED];

    fn touched_now(Pairs(entries): Pairs<UK, UV>, now: Now) -> Self {
        let mut table = KeyedTable::new();
        for (key, value) in entries {
            table.put(key_hash(&key), key, TimedValue::new(value, now));
        }
        Self(table)
    }

    fn touched_at(Pairs(entries): Pairs<UK, UV>, times: Vec<Now>) -> Result<Self, String> {
        if entries.len() != times.len() {
            return Err(format!("{} entries come with {} times", entries.len(), times.len()));
        }
        let mut table = KeyedTable::new();
        for ((key, value), time) in entries.into_iter().zip(times) {
            table.put(key_hash(&key), key, TimedValue::new(value, time));
        }
        Ok(Self(table))
    }

    fn memory(&self) -> usize {
        self.0.bytes()
    }

    fn has_expired(&self, life: Life) -> bool {
        self.0.is_empty() || self.0.iter().any(|(_, held)| held.has_expired(life))
    }

    fn expire(&mut self, life: Life) -> bool {
        let over: Vec<UK> =
            self.0.iter().filter(|(_, held)| held.has_expired(life)).map(|(key, _)| key.clone()).collect();
        for key in over {
            self.0.remove(key_hash(&key), KeyRef::Value(&key));
        }
        self.0.is_empty()
    }

    fn encode(&self, life: Life, bytes: Vec<u8>) -> Result<(bool, Vec<u8>), postcard::Error> {
        // Chosen once: a reader may touch an entry while another thread writes this.
        let alive: Vec<_> = self.alive(life).collect();
        if alive.is_empty() {
            return Ok((false, bytes));
        }
        Ok((true, postcard::to_extend(&(Values(&alive), Times(&alive)), bytes)?))
    }
}

/// The values of entries, as a map.
struct Values<'a, UK, UV>(&'a [(&'a UK, &'a TimedValue<UV>)]);

impl<UK: Serialize, UV: Serialize> Serialize for Values<'_, UK, UV> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, held) in self.0 {
            map.serialize_entry(key, &held.value)?;
        }
        map.end()
    }
}

/// The times of entries, in the same order.
struct Times<'a, UK, UV>(&'a [(&'a UK, &'a TimedValue<UV>)]);

impl<UK, UV> Serialize for Times<'_, UK, UV> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        let mut times = serializer.serialize_seq(Some(self.0.len()))?;
        for (_, held) in self.0 {
            times.serialize_element(&held.touched)?;
        }
        times.end()
    }
}

/// A map as it lies in a snapshot, whose order its times share.
#[derive(Clone, Debug)]
pub(in super::super) struct Pairs<UK, UV>(Vec<(UK, UV)>);

impl<UK: Key, UV: Record> Serialize for Pairs<UK, UV> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<'de, UK: Key, UV: Record> Deserialize<'de> for Pairs<UK, UV> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<UK, UV>(std::marker::PhantomData<(UK, UV)>);

        impl<'de, UK: Key, UV: Record> Visitor<'de> for Entries<UK, UV> {
            type Value = Pairs<UK, UV>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = entries.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Entries(std::marker::PhantomData))
    }
}

impl<K: Key, UK: Key, UV: Record> ExpiringTable<K, TimedMap<UK, UV>> {
    /// The value at `user_key` in the key's map, if it is one to show.
    pub(in super::super) fn map_value(&self, part: usize, at: KeyAt<'_, K>, now: Now, user_key: &UK) -> Option<&UV> {
        let held = self.get(part, at)?.0.get(key_hash(user_key), KeyRef::Value(user_key));
        let held = held.filter(|held| !held.has_expired(self.shown(now)))?;
        if self.reading_touches() {
            held.touched.set(now);
        }
        Some(&held.value)
    }

    /// The entries of the key's map that are to be shown.
    pub(in super::super) fn map_entries(
        &self,
        part: usize,
        at: KeyAt<'_, K>,
        now: Now,
    ) -> impl Iterator<Item = (&UK, &UV)> {
        let (life, touches) = (self.shown(now), self.reading_touches());
        let alive = self.get(part, at).into_iter().flat_map(move |map| map.alive(life));
        alive.map(move |(user_key, held)| {
            if touches {
                held.touched.set(now);
            }
            (user_key, &held.value)
        })
    }

    /// The number of those; counting them is no touch.
    pub(in super::super) fn map_len(&self, part: usize, at: KeyAt<'_, K>, now: Now) -> usize {
        let life = self.shown(now);
        self.get(part, at).map_or(0, |map| map.alive(life).count())
    }

    /// The value at `user_key`, to be written to, which `make` puts there if there is none to show.
    pub(in super::super) fn map_value_or_insert_with(
        &mut self,
        part: usize,
        at: KeyAt<'_, K>,
        now: Now,
        user_key: &UK,
        make: impl FnOnce() -> UV,
    ) -> &mut UV {
        let life = self.shown(now);
        let map = &mut self.get_or_insert_with(part, at, || TimedMap(KeyedTable::new())).0;
        let (hash, key) = (key_hash(user_key), KeyRef::Value(user_key));
        let held = match map.get(hash, key).is_none_or(|held| held.has_expired(life)) {
            true => {
                map.put(hash, user_key.clone(), TimedValue::new(make(), now));
                map.get_mut(hash, key).expect("it was put there")
            }
            false => map.get_mut(hash, key).expect("it is there"),
        };
        held.touched.set(now);
        &mut held.value
    }

    /// Puts a value at `user_key`.
    pub(in super::super) fn put_map_value(&mut self, part: usize, at: KeyAt<'_, K>, now: Now, entry: (UK, UV)) {
        let map = &mut self.get_or_insert_with(part, at, || TimedMap(KeyedTable::new())).0;
        map.put(key_hash(&entry.0), entry.0, TimedValue::new(entry.1, now));
    }

    /// Takes the entry at `user_key` out, and returns its value if it was one to show.
    pub(in super::super) fn take_map_value(
        &mut self,
        part: usize,
        at: KeyAt<'_, K>,
        now: Now,
        user_key: &UK,
    ) -> Option<UV> {
        let life = self.shown(now);
        let map = &mut self.get_mut(part, at)?.0;
        let removed = map.remove(key_hash(user_key), KeyRef::Value(user_key));
        if map.is_empty() {
            self.remove(part, at);
        }
        removed.map(|entry| entry.1).filter(|held| !held.has_expired(life)).map(|held| held.value)
    }
}
