//! One value a key, which expires.

use super::{ExpiringTable, Life, Timed, Touched};
use crate::engine::record::{Key, Record};
use crate::engine::state::keyed::KeyAt;
use crate::engine::state::section::TOUCHED;
use crate::time::Now;

/// A value, and when it was touched.
#[derive(Clone, Debug)]
pub(in super::super) struct TimedValue<V> {
    pub(super) value: V,
    pub(super) touched: Touched,
}

impl<V> TimedValue<V> {
    pub(super) fn new(value: V, now: Now) -> Self {
        Self { value, touched: Touched::at(now) }
    }
}

impl<V: Record> Timed for TimedValue<V> {
    type Plain = V;
    type Times = Now;

    const PARTS: &'static [&'static str] = &["key", "value", TOUCHED];

    fn touched_now(value: V, now: Now) -> Self {
        Self::new(value, now)
    }

    fn touched_at(value: V, time: Now) -> Result<Self, String> {
        Ok(Self::new(value, time))
    }

    #[inline]
    fn has_expired(&self, life: Life) -> bool {
        life.is_over(self.touched.get())
    }

    fn expire(&mut self, life: Life) -> bool {
        self.has_expired(life)
    }

    fn encode(&self, life: Life, bytes: Vec<u8>) -> Result<(bool, Vec<u8>), postcard::Error> {
        if self.has_expired(life) {
            return Ok((false, bytes));
        }
        Ok((true, postcard::to_extend(&(&self.value, &self.touched), bytes)?))
    }
}

impl<K: Key, V: Record> ExpiringTable<K, TimedValue<V>> {
    /// The key's value, if it has one to show.
    #[inline]
    pub(in super::super) fn value(&self, part: usize, at: KeyAt<'_, K>, now: Now) -> Option<&V> {
        let held = self.get(part, at).filter(|held| !held.has_expired(self.shown(now)))?;
        if self.reading_touches() {
            held.touched.set(now);
        }
        Some(&held.value)
    }

    /// The key's value, to be written to, which `make` gives it if it has none to show.
    #[inline]
    pub(in super::super) fn value_or_insert_with(
        &mut self,
        part: usize,
        at: KeyAt<'_, K>,
        now: Now,
        make: impl FnOnce() -> V,
    ) -> &mut V {
        let life = self.shown(now);
        if self.get(part, at).is_some_and(|held| held.has_expired(life)) {
            self.remove(part, at);
        }
        let held = self.get_or_insert_with(part, at, || TimedValue::new(make(), now));
        held.touched.set(now);
        &mut held.value
    }

    /// Gives the key this value.
    #[inline]
    pub(in super::super) fn put_value(&mut self, part: usize, at: KeyAt<'_, K>, now: Now, value: V) {
        let table = &mut self.parts[part];
        let start = |value| TimedValue::new(value, now);
        table.fold(at.hash, at.key, value, start, |held, value| *held = TimedValue::new(value, now));
    }

    /// Takes the key's value out, and returns it if it was one to show.
    pub(in super::super) fn take_value(&mut self, part: usize, at: KeyAt<'_, K>, now: Now) -> Option<V> {
        let life = self.shown(now);
        self.remove(part, at).filter(|held| !held.has_expired(life)).map(|held| held.value)
    }
}
