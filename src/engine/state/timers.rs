//! Timers of keys: at most one a key and timestamp.
//!
//! ```text
//! timestamps in order ─► bucket of a timestamp ─► its keys, first registered first fired
//! ```

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashTable;

use super::keyed::KeyAt;
use crate::engine::record::Key;

/// The timers of one subtask in one time domain, whose timestamps are `T`.
///
/// A bucket a timestamp, instead of a heap with a timer each: a bucket finds its keys by the hash they come with, and timestamps
/// are milliseconds, so millions of timers share thousands of buckets. Each timer carries its hash, by which a snapshot sorts
/// them into key groups.
pub(crate) struct TimerQueue<T, K> {
    buckets: BTreeMap<T, Bucket<K>>,
}

/// The keys that have a timer at one timestamp.
struct Bucket<K> {
    /// Keys with their hashes.
    timers: VecDeque<(u64, K)>,
    /// How many were taken from the front.
    taken: u32,
    /// Where each key is, counted from the first that ever was: in buckets too large to be searched through. Positions of those
    /// taken from the front may still be in it.
    index: Option<Box<HashTable<u32>>>,
}

/// A bucket of more keys has an index.
const SEARCHED_MAX: usize = 8;

impl<T: Ord + Copy, K: Key> TimerQueue<T, K> {
    /// A queue without timers.
    pub(crate) fn new() -> Self {
        Self { buckets: BTreeMap::new() }
    }

    /// Registers a timer of a key; one that the key has at this time already stays the only one.
    pub(crate) fn register(&mut self, time: T, at: KeyAt<'_, K>) {
        let bucket = self.buckets.entry(time).or_insert_with(Bucket::new);
        if bucket.position(at).is_none() {
            bucket.push(at);
        }
    }

    /// Deletes the timer of a key, if there is one.
    pub(crate) fn delete(&mut self, time: T, at: KeyAt<'_, K>) {
        let Some(bucket) = self.buckets.get_mut(&time) else { return };
        bucket.remove(at);
        if bucket.timers.is_empty() {
            self.buckets.remove(&time);
        }
    }

    /// All timers, with their hashes, in the order they fire.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (T, u64, &K)> {
        self.buckets.iter().flat_map(|(time, bucket)| bucket.timers.iter().map(move |(hash, key)| (*time, *hash, key)))
    }

    /// When the first timer is due.
    pub(crate) fn first(&self) -> Option<T> {
        self.buckets.keys().next().copied()
    }

    /// Takes the first timer that is due at `now`: time, hash and key.
    pub(crate) fn pop_due(&mut self, now: T) -> Option<(T, u64, K)> {
        let mut first = self.buckets.first_entry().filter(|bucket| *bucket.key() <= now)?;
        let time = *first.key();
        let bucket = first.get_mut();
        let (hash, key) = bucket.timers.pop_front().expect("a bucket without timers is removed");
        bucket.taken += 1;
        if bucket.timers.is_empty() {
            first.remove();
        }
        Some((time, hash, key))
    }
}

impl<K: Key> Bucket<K> {
    fn new() -> Self {
        // Many buckets of sparse timers hold one.
        Self { timers: VecDeque::with_capacity(1), taken: 0, index: None }
    }

    /// Where a key's timer is, counted from the first that ever was.
    fn position(&self, at: KeyAt<'_, K>) -> Option<u32> {
        let is = |timer: &(u64, K)| timer.0 == at.hash && at.key.matches(&timer.1);
        match &self.index {
            Some(index) => index.find(at.hash, |position| self.timer(*position).is_some_and(is)).copied(),
            None => self.timers.iter().position(is).map(|position| self.taken + position as u32),
        }
    }

    /// The timer at a position, unless it was taken.
    fn timer(&self, position: u32) -> Option<&(u64, K)> {
        self.timers.get(position.checked_sub(self.taken)? as usize)
    }

    fn push(&mut self, at: KeyAt<'_, K>) {
        let position = self.taken + self.timers.len() as u32;
        self.timers.push_back((at.hash, at.key.to_owned()));
        if let Some(mut index) = self.index.take() {
            index.insert_unique(at.hash, position, |position| self.hash_at(*position));
            self.index = Some(index);
        } else if self.timers.len() > SEARCHED_MAX {
            let mut index = HashTable::with_capacity(2 * self.timers.len());
            for (timer, position) in self.timers.iter().zip(self.taken..) {
                index.insert_unique(timer.0, position, |position| self.hash_at(*position));
            }
            self.index = Some(Box::new(index));
        }
    }

    /// The hash of the key at a position; of one that was taken, any: it is not looked for.
    fn hash_at(&self, position: u32) -> u64 {
        self.timer(position).map_or(0, |timer| timer.0)
    }

    /// Removes a key's timer; the last one takes its place.
    fn remove(&mut self, at: KeyAt<'_, K>) {
        let Some(position) = self.position(at) else { return };
        let last = self.taken + self.timers.len() as u32 - 1;
        if let Some(index) = &mut self.index {
            if let Ok(entry) = index.find_entry(at.hash, |known| *known == position) {
                entry.remove();
            }
            let moved = self.timers.back().map_or(0, |timer| timer.0);
            if let Some(entry) = index.find_mut(moved, |known| *known == last) {
                *entry = position;
            }
        }
        self.timers.swap_remove_back((position - self.taken) as usize);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::engine::record::{KeyRef, Str, key_hash};

    fn len<T, K>(timers: &TimerQueue<T, K>) -> usize {
        timers.buckets.values().map(|bucket| bucket.timers.len()).sum()
    }

    fn at(key: &Str) -> KeyAt<'_, Str> {
        KeyAt { hash: key_hash(key), key: KeyRef::Text(key) }
    }

    #[test]
    fn a_key_has_one_timer_at_a_time() {
        let mut timers = TimerQueue::<u64, Str>::new();
        let (a, b) = (Str::from("a"), Str::from("b"));
        for time in [5, 3, 5, 3] {
            timers.register(time, at(&a));
        }
        timers.register(5, at(&b));
        assert_eq!((len(&timers), timers.first()), (3, Some(3)));
        assert_eq!(timers.pop_due(2), None);
        assert_eq!(timers.pop_due(9).map(|timer| (timer.0, timer.2)), Some((3, a.clone())));
        timers.delete(5, at(&a));
        timers.delete(5, at(&a));
        timers.delete(4, at(&b));
        assert_eq!(timers.pop_due(9).map(|timer| (timer.0, timer.2)), Some((5, b)));
        assert_eq!((timers.pop_due(9), timers.first(), len(&timers)), (None, None, 0));
    }

    #[test]
    fn timers_of_one_time_fire_in_the_order_they_were_registered() {
        let mut timers = TimerQueue::<u64, Str>::new();
        let keys: Vec<Str> = (0..100).map(|key| Str::from(format!("key {key}"))).collect();
        keys.iter().for_each(|key| timers.register(1, at(key)));
        let fired: Vec<Str> = std::iter::from_fn(|| timers.pop_due(1).map(|timer| timer.2)).collect();
        assert_eq!(fired, keys);
    }

    #[test]
    fn a_timer_that_fires_may_be_registered_again_for_the_same_time() {
        let mut timers = TimerQueue::<u64, Str>::new();
        let keys: Vec<Str> = (0..20).map(|key| Str::from(format!("{key}"))).collect();
        keys.iter().for_each(|key| timers.register(1, at(key)));
        let first = timers.pop_due(1).unwrap().2;
        timers.register(1, at(&first));
        timers.register(1, at(&first));
        assert_eq!(len(&timers), 20);
        let fired: Vec<Str> = std::iter::from_fn(|| timers.pop_due(1).map(|timer| timer.2)).collect();
        assert_eq!(fired.last(), Some(&first));
    }

    #[test]
    fn timers_registered_and_deleted_again_and_again_leave_nothing() {
        let mut timers = TimerQueue::<u64, Str>::new();
        let (stays, goes) = (Str::from("stays"), Str::from("goes"));
        timers.register(7, at(&stays));
        for _ in 0..10_000 {
            timers.register(7, at(&goes));
            timers.delete(7, at(&goes));
        }
        assert!(timers.buckets[&7].timers.capacity() < 10);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Register(u8, u8),
        Delete(u8, u8),
        /// Fires some of what is due.
        Fire(u8, u8),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        // Few times and more keys, so that buckets grow an index.
        let (time, key) = (0u8..6, 0u8..60);
        let step = prop_oneof![
            6 => (time.clone(), key.clone()).prop_map(|(time, key)| Step::Register(time, key)),
            2 => (time.clone(), key).prop_map(|(time, key)| Step::Delete(time, key)),
            1 => (time, 0u8..30).prop_map(|(time, count)| Step::Fire(time, count)),
        ];
        proptest::collection::vec(step, 0..400)
    }

    proptest! {
        #[test]
        fn it_is_a_sorted_set_of_times_and_keys(steps in steps()) {
            let (mut timers, mut model) = (TimerQueue::<u8, u8>::new(), BTreeSet::<(u8, u8)>::new());
            for step in steps {
                match step {
                    Step::Register(time, key) => {
                        timers.register(time, KeyAt { hash: key_hash(&key), key: KeyRef::Value(&key) });
                        model.insert((time, key));
                    }
                    Step::Delete(time, key) => {
                        timers.delete(time, KeyAt { hash: key_hash(&key), key: KeyRef::Value(&key) });
                        model.remove(&(time, key));
                    }
                    Step::Fire(now, count) => {
                        for _ in 0..count {
                            let due = model.first().map(|timer| timer.0).filter(|time| *time <= now);
                            let fired = timers.pop_due(now);
                            prop_assert_eq!(fired.map(|timer| timer.0), due);
                            let Some((time, hash, key)) = fired else { break };
                            prop_assert_eq!(hash, key_hash(&key));
                            prop_assert!(model.remove(&(time, key)), "a timer that was not registered has fired");
                        }
                    }
                }
                prop_assert_eq!(len(&timers), model.len());
                prop_assert_eq!(timers.first(), model.first().map(|timer| timer.0));
            }
        }
    }
}
