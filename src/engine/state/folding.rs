//! States that fold what is added to them.

use std::fmt;
use std::sync::Arc;

use super::expiring::{StateTtlConfig, TimedValue};
use super::handle::{Slot, keyed_state};
use super::keyed::{FOREIGN, KeyContext, KeyedStates};
use crate::engine::record::{Key, Record};

/// Folds two values into one.
type ReduceFunction<V> = Arc<dyn Fn(V, V) -> V + Send + Sync>;

/// The handle of a state that folds all values added for a key into one by a function. Flink's interface of that name. Obtained
/// and used as a [`ValueState`](super::ValueState) is.
#[derive(Clone)]
pub struct ReducingState<V> {
    /// Never `None` between calls: the function takes the value out and puts another in.
    slot: Slot<Option<V>>,
    function: Option<ReduceFunction<V>>,
}

keyed_state!(ReducingState<V: Record>, TimedValue<Option<V>>);

impl<V> Default for ReducingState<V> {
    /// A handle that `open` will replace.
    fn default() -> Self {
        Self { slot: Slot::default(), function: None }
    }
}

impl<V> fmt::Debug for ReducingState<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReducingState")
    }
}

impl<V: Record> ReducingState<V> {
    pub(crate) fn register<K: Key>(
        states: &mut KeyedStates<K>,
        name: &str,
        ttl: Option<StateTtlConfig>,
        function: impl Fn(V, V) -> V + Send + Sync + 'static,
    ) -> Result<Self, String> {
        Ok(Self {
            slot: states.register_expiring::<Option<V>, TimedValue<Option<V>>>(name, ttl, |_| 0)?,
            function: Some(Arc::new(function)),
        })
    }

    /// What was added for the current key since it was cleared, folded.
    pub fn get<'c, C: KeyContext>(&self, ctx: &'c C) -> Option<&'c V> {
        let (states, at) = ctx.keyed();
        if let Some(slot) = self.slot.expiring::<TimedValue<Option<V>>>() {
            let (table, part) = states.expiring(slot, at.hash);
            return table.value(part, at, states.now())?.as_ref();
        }
        states.part(self.slot, at.hash).get(at.hash, at.key)?.as_ref()
    }

    /// Folds a value into the current key's.
    pub fn add<C: KeyContext>(&self, ctx: &mut C, value: V) {
        let function = self.function.as_ref().expect(FOREIGN);
        let (states, at) = ctx.keyed_mut();
        let fold = |held: &mut Option<V>, value| {
            *held = match held.take() {
                Some(before) => Some(function(before, value)),
                None => Some(value),
            };
        };
        if let Some(slot) = self.slot.expiring::<TimedValue<Option<V>>>() {
            let now = states.now();
            let (table, part) = states.expiring_mut(slot, at.hash);
            return fold(table.value_or_insert_with(part, at, now, || None), value);
        }
        states.part_mut(self.slot, at.hash).fold(at.hash, at.key, value, Some, fold);
    }

    /// Takes the current key's value away, and the memory it took.
    pub fn clear<C: KeyContext>(&self, ctx: &mut C) {
        let (states, at) = ctx.keyed_mut();
        if let Some(slot) = self.slot.expiring::<TimedValue<Option<V>>>() {
            let (table, part) = states.expiring_mut(slot, at.hash);
            table.remove(part, at);
            return;
        }
        states.part_mut(self.slot, at.hash).remove(at.hash, at.key);
    }
}
