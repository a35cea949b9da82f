//! A list a key, whose elements expire.

use super::{ExpiringTable, Life, Timed, Touched};
use crate::engine::record::{Key, Record};
use crate::engine::state::keyed::KeyAt;
use crate::engine::state::section::EACH_TOUCHED;
use crate::time::Now;

/// Elements, and when each was touched: never earlier than the one before it, so those that have expired come first.
#[derive(Clone, Debug)]
pub(in super::super) struct TimedList<V> {
    elements: Vec<V>,
    touched: Vec<Touched>,
}

impl<V> TimedList<V> {
    fn empty() -> Self {
        Self { elements: Vec::new(), touched: Vec::new() }
    }

    /// How many have expired.
    fn expired(&self, life: Life) -> usize {
        self.touched.partition_point(|touched| life.is_over(touched.get()))
    }

    fn extend(&mut self, elements: impl IntoIterator<Item = V>, now: Now) {
        self.elements.extend(elements);
        // On another machine's clock it may be earlier than it was.
        let last = self.touched.last().map_or(now, |last| last.get().max(now));
        self.touched.resize_with(self.elements.len(), || Touched::at(last));
    }
}

impl<V: Record> Timed for TimedList<V> {
    type Plain = Vec<V>;
    type Times = Vec<Now>;

    const PARTS: &'static [&'static str] = &["key", "value", EACH_TOUCHED];

    fn touched_now(elements: Vec<V>, now: Now) -> Self {
        let touched = elements.iter().map(|_| Touched::at(now)).collect();
        Self { elements, touched }
    }

    fn touched_at(elements: Vec<V>, times: Vec<Now>) -> Result<Self, String> {
        if elements.len() != times.len() {
            return Err(format!("{} elements come with {} times", elements.len(), times.len()));
        }
        Ok(Self { elements, touched: times.into_iter().map(Touched::at).collect() })
    }

    #[inline]
    fn has_expired(&self, life: Life) -> bool {
        self.touched.first().is_none_or(|first| life.is_over(first.get()))
    }

    fn expire(&mut self, life: Life) -> bool {
        let expired = self.expired(life);
        self.elements.drain(..expired);
        self.touched.drain(..expired);
        self.elements.is_empty()
    }

    fn encode(&self, life: Life, bytes: Vec<u8>) -> Result<(bool, Vec<u8>), postcard::Error> {
        let expired = self.expired(life);
        let (elements, touched) = (&self.elements[expired..], &self.touched[expired..]);
        if elements.is_empty() {
            return Ok((false, bytes));
        }
        Ok((true, postcard::to_extend(&(elements, touched), bytes)?))
    }
}

impl<K: Key, V: Record> ExpiringTable<K, TimedList<V>> {
    /// The elements of the key that are to be shown.
    pub(in super::super) fn elements(&self, part: usize, at: KeyAt<'_, K>, now: Now) -> &[V] {
        let Some(held) = self.get(part, at) else { return &[] };
        let expired = held.expired(self.shown(now));
        if self.reading_touches() {
            held.touched[expired..].iter().for_each(|touched| touched.set(now.max(touched.get())));
        }
        &held.elements[expired..]
    }

    /// Adds elements behind the others, at least one.
    pub(in super::super) fn add_elements(
        &mut self,
        part: usize,
        at: KeyAt<'_, K>,
        now: Now,
        elements: impl IntoIterator<Item = V>,
    ) {
        let life = self.shown(now);
        let held = self.get_or_insert_with(part, at, TimedList::empty);
        held.expire(life);
        held.extend(elements, now);
    }

    /// Puts elements, at least one, in the place of the key's.
    pub(in super::super) fn replace_elements(&mut self, part: usize, at: KeyAt<'_, K>, now: Now, elements: Vec<V>) {
        *self.get_or_insert_with(part, at, TimedList::empty) = TimedList::touched_now(elements, now);
    }

    /// Takes the key's elements out, and returns those that were to be shown.
    pub(in super::super) fn take_elements(&mut self, part: usize, at: KeyAt<'_, K>, now: Now) -> Vec<V> {
        let life = self.shown(now);
        let Some(mut held) = self.remove(part, at) else { return Vec::new() };
        held.expire(life);
        held.elements
    }
}
