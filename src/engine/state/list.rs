//! A list a key.

use super::expiring::{StateTtlConfig, TimedList};
use super::handle::{Slot, handle, keyed_state};
use super::keyed::{KeyContext, KeyedStates};
use crate::engine::record::{Key, Record};

/// The handle of a state that holds a list a key. Flink's interface of that name. Obtained and used as a
/// [`ValueState`](super::ValueState) is.
///
/// A list without elements is no list: it takes no memory.
pub struct ListState<V> {
    slot: Slot<Vec<V>>,
}

handle!(ListState<V>);
keyed_state!(ListState<V: Record>, TimedList<V>);

impl<V: Record> ListState<V> {
    pub(crate) fn register<K: Key>(
        states: &mut KeyedStates<K>,
        name: &str,
        ttl: Option<StateTtlConfig>,
    ) -> Result<Self, String> {
        Ok(Self { slot: states.register_expiring::<Vec<V>, TimedList<V>>(name, ttl, |_| 0)? })
    }

    #[cfg(test)]
    pub(super) fn slot(&self) -> Slot<Vec<V>> {
        self.slot
    }

    /// The elements of the current key, in the order they were added.
    pub fn get<'c, C: KeyContext>(&self, ctx: &'c C) -> &'c [V] {
        let (states, at) = ctx.keyed();
        if let Some(slot) = self.slot.expiring::<TimedList<V>>() {
            let (table, part) = states.expiring(slot, at.hash);
            return table.elements(part, at, states.now());
        }
        states.part(self.slot, at.hash).get(at.hash, at.key).map_or(&[], Vec::as_slice)
    }

    /// Adds an element behind the others.
    pub fn add<C: KeyContext>(&self, ctx: &mut C, element: V) {
        let (states, at) = ctx.keyed_mut();
        if let Some(slot) = self.slot.expiring::<TimedList<V>>() {
            let now = states.now();
            let (table, part) = states.expiring_mut(slot, at.hash);
            return table.add_elements(part, at, now, [element]);
        }
        states.part_mut(self.slot, at.hash).get_or_insert_with(at.hash, at.key, Vec::new).1.push(element);
    }

    /// Adds elements behind the others, in their order.
    pub fn add_all<C: KeyContext>(&self, ctx: &mut C, elements: impl IntoIterator<Item = V>) {
        let mut elements = elements.into_iter().peekable();
        if elements.peek().is_some() {
            let (states, at) = ctx.keyed_mut();
            if let Some(slot) = self.slot.expiring::<TimedList<V>>() {
                let now = states.now();
                let (table, part) = states.expiring_mut(slot, at.hash);
                return table.add_elements(part, at, now, elements);
            }
            states.part_mut(self.slot, at.hash).get_or_insert_with(at.hash, at.key, Vec::new).1.extend(elements);
        }
    }

    /// Puts a list in the place of the current key's.
    pub fn update<C: KeyContext>(&self, ctx: &mut C, elements: Vec<V>) {
        if elements.is_empty() {
            return self.clear(ctx);
        }
        let (states, at) = ctx.keyed_mut();
        if let Some(slot) = self.slot.expiring::<TimedList<V>>() {
            let now = states.now();
            let (table, part) = states.expiring_mut(slot, at.hash);
            return table.replace_elements(part, at, now, elements);
        }
        let part = states.part_mut(self.slot, at.hash);
        part.fold(at.hash, at.key, elements, |elements| elements, |held, elements| *held = elements);
    }

    /// Takes the current key's elements away, and the memory they took.
    pub fn clear<C: KeyContext>(&self, ctx: &mut C) {
        self.take(ctx);
    }

    /// As [`ListState::clear`], returning what there was.
    pub fn take<C: KeyContext>(&self, ctx: &mut C) -> Vec<V> {
        let (states, at) = ctx.keyed_mut();
        if let Some(slot) = self.slot.expiring::<TimedList<V>>() {
            let now = states.now();
            let (table, part) = states.expiring_mut(slot, at.hash);
            return table.take_elements(part, at, now);
        }
        let entry = states.part_mut(self.slot, at.hash).remove(at.hash, at.key);
        entry.map(|entry| entry.1).unwrap_or_default()
    }
}
