//! A map a key.

use super::expiring::{StateTtlConfig, TimedMap};
use super::handle::{Slot, handle, keyed_state};
use super::keyed::{KeyContext, KeyedStates};
use crate::engine::record::{Key, KeyRef, KeyedTable, Record, key_hash};

/// The handle of a state that holds a map a key. Flink's interface of that name. Obtained and used as a
/// [`ValueState`](super::ValueState) is.
///
/// A map without entries is no map: it takes no memory. Entries come in no order that means anything.
pub struct MapState<UK, UV> {
    slot: Slot<KeyedTable<UK, UV>>,
}

handle!(MapState<UK, UV>);
keyed_state!(MapState<UK: Key, UV: Record>, TimedMap<UK, UV>);

impl<UK: Key, UV: Record> MapState<UK, UV> {
    pub(crate) fn register<K: Key>(
        states: &mut KeyedStates<K>,
        name: &str,
        ttl: Option<StateTtlConfig>,
    ) -> Result<Self, String> {
        Ok(Self {
            slot: states.register_expiring::<KeyedTable<UK, UV>, TimedMap<UK, UV>>(name, ttl, KeyedTable::bytes)?,
        })
    }

    fn expiring(&self) -> Option<Slot<TimedMap<UK, UV>>> {
        self.slot.expiring()
    }

    fn map<'c, C: KeyContext>(&self, ctx: &'c C) -> Option<&'c KeyedTable<UK, UV>> {
        let (states, at) = ctx.keyed();
        states.part(self.slot, at.hash).get(at.hash, at.key)
    }

    fn map_mut<'c, C: KeyContext>(&self, ctx: &'c mut C) -> &'c mut KeyedTable<UK, UV> {
        let (states, at) = ctx.keyed_mut();
        states.part_mut(self.slot, at.hash).get_or_insert_with(at.hash, at.key, KeyedTable::new).1
    }

    /// The value at `user_key` in the map of the current key.
    pub fn get<'c, C: KeyContext>(&self, ctx: &'c C, user_key: &UK) -> Option<&'c UV> {
        if let Some(slot) = self.expiring() {
            let (states, at) = ctx.keyed();
            let (table, part) = states.expiring(slot, at.hash);
            return table.map_value(part, at, states.now(), user_key);
        }
        self.map(ctx)?.get(key_hash(user_key), KeyRef::Value(user_key))
    }

    /// Whether there is one.
    pub fn contains<C: KeyContext>(&self, ctx: &C, user_key: &UK) -> bool {
        self.get(ctx, user_key).is_some()
    }

    /// Puts a value at `user_key`, in place of the one there.
    pub fn put<C: KeyContext>(&self, ctx: &mut C, user_key: UK, value: UV) {
        if let Some(slot) = self.expiring() {
            let (states, at) = ctx.keyed_mut();
            let now = states.now();
            let (table, part) = states.expiring_mut(slot, at.hash);
            return table.put_map_value(part, at, now, (user_key, value));
        }
        let hash = key_hash(&user_key);
        self.map_mut(ctx).fold_owned(hash, user_key, value, |value| value, |held, value| *held = value);
    }

    /// Puts all of these.
    pub fn put_all<C: KeyContext>(&self, ctx: &mut C, entries: impl IntoIterator<Item = (UK, UV)>) {
        for (user_key, value) in entries {
            self.put(ctx, user_key, value);
        }
    }

    /// The value at `user_key`, to be changed in place; `make` puts one there if there is none.
    pub fn get_or_insert_with<'c, C: KeyContext>(
        &self,
        ctx: &'c mut C,
        user_key: &UK,
        make: impl FnOnce() -> UV,
    ) -> &'c mut UV {
        if let Some(slot) = self.expiring() {
            let (states, at) = ctx.keyed_mut();
            let now = states.now();
            let (table, part) = states.expiring_mut(slot, at.hash);
            return table.map_value_or_insert_with(part, at, now, user_key, make);
        }
        self.map_mut(ctx).get_or_insert_with(key_hash(user_key), KeyRef::Value(user_key), make).1
    }

    /// Takes the entry at `user_key` away, and returns its value if there was one.
    pub fn remove<C: KeyContext>(&self, ctx: &mut C, user_key: &UK) -> Option<UV> {
        let (states, at) = ctx.keyed_mut();
        if let Some(slot) = self.expiring() {
            let now = states.now();
            let (table, part) = states.expiring_mut(slot, at.hash);
            return table.take_map_value(part, at, now, user_key);
        }
        let part = states.part_mut(self.slot, at.hash);
        let map = part.get_mut(at.hash, at.key)?;
        let removed = map.remove(key_hash(user_key), KeyRef::Value(user_key));
        if map.is_empty() {
            part.remove(at.hash, at.key);
        }
        removed.map(|entry| entry.1)
    }

    /// All entries of the current key's map.
    pub fn iter<'c, C: KeyContext>(&self, ctx: &'c C) -> impl Iterator<Item = (&'c UK, &'c UV)> + use<'c, C, UK, UV> {
        let expiring = self.expiring().map(|slot| {
            let (states, at) = ctx.keyed();
            let (table, part) = states.expiring(slot, at.hash);
            table.map_entries(part, at, states.now())
        });
        let plain = if expiring.is_none() { self.map(ctx) } else { None };
        plain.into_iter().flat_map(KeyedTable::iter).chain(expiring.into_iter().flatten())
    }

    /// The number of entries of the current key's map.
    pub fn len<C: KeyContext>(&self, ctx: &C) -> usize {
        if let Some(slot) = self.expiring() {
            let (states, at) = ctx.keyed();
            let (table, part) = states.expiring(slot, at.hash);
            return table.map_len(part, at, states.now());
        }
        self.map(ctx).map_or(0, KeyedTable::len)
    }

    /// Whether the current key has no entries.
    pub fn is_empty<C: KeyContext>(&self, ctx: &C) -> bool {
        if self.expiring().is_some() { self.len(ctx) == 0 } else { self.map(ctx).is_none() }
    }

    /// Takes the current key's entries away, and the memory they took.
    pub fn clear<C: KeyContext>(&self, ctx: &mut C) {
        let (states, at) = ctx.keyed_mut();
        if let Some(slot) = self.expiring() {
            let (table, part) = states.expiring_mut(slot, at.hash);
            table.remove(part, at);
            return;
        }
        states.part_mut(self.slot, at.hash).remove(at.hash, at.key);
    }
}
