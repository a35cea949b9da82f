//! State that a broadcast stream writes, the same in every subtask.

use std::any::{Any, type_name};

use super::handle::{Slot, handle};
use super::keyed::FOREIGN;
use super::section::Section;
use super::snapshot::{Restore, Snapshot};
use crate::engine::record::{Key, KeyRef, KeyedTable, Record, key_hash};
use crate::graph::task::Failure;

/// The broadcast states of one subtask: a map each.
#[derive(Default)]
pub struct BroadcastStates {
    maps: Vec<NamedMap>,
}

struct NamedMap {
    name: String,
    type_name: &'static str,
    map: Box<dyn AnyMap>,
}

/// A table of any types.
trait AnyMap: Any + Send {
    fn freeze(&mut self, name: &str, into: &mut Snapshot);
    fn load(&mut self, section: &Section<'_>) -> Result<(), Failure>;
}

impl<UK: Key, UV: Record> AnyMap for KeyedTable<UK, UV> {
    fn freeze(&mut self, name: &str, into: &mut Snapshot) {
        into.unkeyed_map(name, self.iter().map(|(key, value)| (key.clone(), value.clone())).collect());
    }

    fn load(&mut self, section: &Section<'_>) -> Result<(), Failure> {
        section.each(|(key, value): (UK, UV)| self.put(key_hash(&key), key, value))
    }
}

fn any(map: &dyn AnyMap) -> &dyn Any {
    map
}

/// Keyed states of the same function may have the same names.
fn stored_name(name: &str) -> String {
    format!("_broadcast/{name}")
}

impl BroadcastStates {
    fn map<UK: Key, UV: Record>(&self, slot: Slot<KeyedTable<UK, UV>>) -> &KeyedTable<UK, UV> {
        self.maps.get(slot.index()).and_then(|map| any(&*map.map).downcast_ref()).expect(FOREIGN)
    }

    fn map_mut<UK: Key, UV: Record>(&mut self, slot: Slot<KeyedTable<UK, UV>>) -> &mut KeyedTable<UK, UV> {
        let map = self.maps.get_mut(slot.index());
        map.and_then(|map| (&mut *map.map as &mut dyn Any).downcast_mut()).expect(FOREIGN)
    }

    /// What all maps hold now.
    pub(crate) fn freeze(&mut self, into: &mut Snapshot) {
        for NamedMap { name, map, .. } in &mut self.maps {
            map.freeze(&stored_name(name), into);
        }
    }

    /// Fills the maps that were registered with what a checkpoint holds for them. Each subtask held the same, so that it comes several
    /// times when there were several is no harm.
    ///
    /// # Errors
    /// A map of another type, or a file that cannot be read.
    pub(crate) fn restore(&mut self, from: &mut dyn Restore) -> Result<(), Failure> {
        for NamedMap { name, map, .. } in &mut self.maps {
            from.visit(&stored_name(name), &mut |section| map.load(&section))?;
        }
        Ok(())
    }
}

/// A context that broadcast state can be read through: those of both inputs.
///
/// Implemented by the contexts that flott gives to functions.
pub trait BroadcastRead {
    /// The store.
    fn broadcast_states(&self) -> &BroadcastStates;
}

/// A context that broadcast state can be written through: that of the broadcast input, whose records come to every subtask.
///
/// Implemented by the contexts that flott gives to functions.
pub trait BroadcastWrite: BroadcastRead {
    /// The store.
    fn broadcast_states_mut(&mut self) -> &mut BroadcastStates;
}

/// The handle of a map that the broadcast input writes and both inputs read. Flink's interface of that name.
///
/// Every subtask holds the whole map. It is the same everywhere as long as the function writes the same for the same record; that
/// the other input cannot write it is checked when the program is compiled. Entries come in no order that means anything.
pub struct BroadcastState<UK, UV> {
    slot: Slot<KeyedTable<UK, UV>>,
}

handle!(BroadcastState<UK, UV>);

impl<UK: Key, UV: Record> BroadcastState<UK, UV> {
    pub(crate) fn register(states: &mut BroadcastStates, name: &str) -> Result<Self, String> {
        if let Some(at) = states.maps.iter().position(|map| map.name == name) {
            let (known, wanted) = (states.maps[at].type_name, type_name::<(UK, UV)>());
            return match any(&*states.maps[at].map).is::<KeyedTable<UK, UV>>() {
                true => Ok(Self { slot: Slot::new(at, false) }),
                false => Err(format!(
                    "broadcast state \"{name}\" holds {known}, and was asked for as {wanted}; rename one of both"
                )),
            };
        }
        let map = Box::new(KeyedTable::<UK, UV>::new());
        states.maps.push(NamedMap { name: name.to_owned(), type_name: type_name::<(UK, UV)>(), map });
        Ok(Self { slot: Slot::new(states.maps.len() - 1, false) })
    }

    /// The value at `key`.
    ///
    /// # Panics
    /// As every method of a handle, when the function did not obtain it in `open`.
    pub fn get<'c, C: BroadcastRead>(&self, ctx: &'c C, key: &UK) -> Option<&'c UV> {
        ctx.broadcast_states().map(self.slot).get(key_hash(key), KeyRef::Value(key))
    }

    /// Whether there is one.
    pub fn contains<C: BroadcastRead>(&self, ctx: &C, key: &UK) -> bool {
        self.get(ctx, key).is_some()
    }

    /// All entries.
    pub fn iter<'c, C: BroadcastRead>(
        &self,
        ctx: &'c C,
    ) -> impl Iterator<Item = (&'c UK, &'c UV)> + use<'c, C, UK, UV> {
        ctx.broadcast_states().map(self.slot).iter()
    }

    /// Puts a value at `key`, in place of the one there.
    pub fn put<C: BroadcastWrite>(&self, ctx: &mut C, key: UK, value: UV) {
        let map = ctx.broadcast_states_mut().map_mut(self.slot);
        map.fold_owned(key_hash(&key), key, value, |value| value, |held, value| *held = value);
    }

    /// Takes the entry at `key` away, and returns its value if there was one.
    pub fn remove<C: BroadcastWrite>(&self, ctx: &mut C, key: &UK) -> Option<UV> {
        let map = ctx.broadcast_states_mut().map_mut(self.slot);
        map.remove(key_hash(key), KeyRef::Value(key)).map(|entry| entry.1)
    }

    /// Takes all entries away.
    pub fn clear<C: BroadcastWrite>(&self, ctx: &mut C) {
        *ctx.broadcast_states_mut().map_mut(self.slot) = KeyedTable::new();
    }
}
