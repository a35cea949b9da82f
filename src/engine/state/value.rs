//! One value a key.

use super::expiring::{StateTtlConfig, TimedValue};
use super::handle::{Slot, handle, keyed_state};
use super::keyed::{KeyContext, KeyedStates};
use crate::engine::record::{Key, Record};

/// The handle of a state that holds one value a key. Flink's interface of that name.
///
/// ```
/// use flott::prelude::*;
///
/// /// Numbers the records of each key.
/// #[derive(Clone, Default)]
/// struct Number {
///     last: ValueState<u64>,
/// }
///
/// impl KeyedProcessFunction<Str, Str, (Str, u64)> for Number {
///     fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, Str>) -> Result<(), Failure> {
///         self.last = ctx.value_state("last");
///         Ok(())
///     }
///
///     fn process_element(&mut self, word: Str, ctx: &mut KeyedContext<'_, Str>, out: &mut Collector<'_, (Str, u64)>) {
///         let last = self.last.get_or_default(ctx);
///         *last += 1;
///         out.collect((word, *last));
///     }
/// }
///
/// let env = StreamExecutionEnvironment::new();
/// let words = env.from_collection(["to", "be", "or", "not", "to", "be"].map(Str::from));
/// let mut numbered = words.key_by(|word| word.clone()).process(Number::default()).execute_and_collect("number")?;
/// numbered.sort();
/// assert_eq!(numbered[..2], [("be".into(), 1), ("be".into(), 2)]);
/// # Ok::<(), flott::Error>(())
/// ```
pub struct ValueState<V> {
    slot: Slot<V>,
}

handle!(ValueState<V>);
keyed_state!(ValueState<V: Record>, TimedValue<V>);

impl<V: Record> ValueState<V> {
    pub(crate) fn register<K: Key>(
        states: &mut KeyedStates<K>,
        name: &str,
        ttl: Option<StateTtlConfig>,
    ) -> Result<Self, String> {
        Ok(Self { slot: states.register_expiring::<V, TimedValue<V>>(name, ttl, |_| 0)? })
    }

    #[cfg(test)]
    pub(super) fn slot(&self) -> Slot<V> {
        self.slot
    }

    /// The value of the current key, if it has one.
    ///
    /// # Panics
    /// As every method of a handle, when the function did not obtain it in `open`.
    #[inline]
    pub fn value<'c, C: KeyContext>(&self, ctx: &'c C) -> Option<&'c V> {
        let (states, at) = ctx.keyed();
        if let Some(slot) = self.slot.expiring::<TimedValue<V>>() {
            let (table, part) = states.expiring(slot, at.hash);
            return table.value(part, at, states.now());
        }
        states.part(self.slot, at.hash).get(at.hash, at.key)
    }

    /// Gives the current key this value.
    #[inline]
    pub fn update<C: KeyContext>(&self, ctx: &mut C, value: V) {
        let (states, at) = ctx.keyed_mut();
        if let Some(slot) = self.slot.expiring::<TimedValue<V>>() {
            let now = states.now();
            let (table, part) = states.expiring_mut(slot, at.hash);
            return table.put_value(part, at, now, value);
        }
        let part = states.part_mut(self.slot, at.hash);
        part.fold(at.hash, at.key, value, |value| value, |held, value| *held = value);
    }

    /// The value of the current key, to be changed in place; `make` gives it one if it has none.
    #[inline]
    pub fn get_or_insert_with<'c, C: KeyContext>(&self, ctx: &'c mut C, make: impl FnOnce() -> V) -> &'c mut V {
        let (states, at) = ctx.keyed_mut();
        if let Some(slot) = self.slot.expiring::<TimedValue<V>>() {
            let now = states.now();
            let (table, part) = states.expiring_mut(slot, at.hash);
            return table.value_or_insert_with(part, at, now, make);
        }
        states.part_mut(self.slot, at.hash).get_or_insert_with(at.hash, at.key, make).1
    }

    /// The value of the current key, to be changed in place; its type's default if it has none.
    #[inline]
    pub fn get_or_default<'c, C: KeyContext>(&self, ctx: &'c mut C) -> &'c mut V
    where
        V: Default,
    {
        self.get_or_insert_with(ctx, V::default)
    }

    /// Takes the current key's value away, and the memory it took.
    pub fn clear<C: KeyContext>(&self, ctx: &mut C) {
        self.take(ctx);
    }

    /// As [`ValueState::clear`], returning what there was.
    pub fn take<C: KeyContext>(&self, ctx: &mut C) -> Option<V> {
        let (states, at) = ctx.keyed_mut();
        if let Some(slot) = self.slot.expiring::<TimedValue<V>>() {
            let now = states.now();
            let (table, part) = states.expiring_mut(slot, at.hash);
            return table.take_value(part, at, now);
        }
        states.part_mut(self.slot, at.hash).remove(at.hash, at.key).map(|entry| entry.1)
    }
}
