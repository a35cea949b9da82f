//! Associative aggregates: what is done with the values of one key.

use std::ops::AddAssign;

use crate::engine::record::{Key, Record};

/// Folds the values of one key. Associative and commutative, so that parts can be folded first and then together.
pub(crate) trait Aggregate<V>: Clone + Send + Sync + 'static {
    /// What has been folded so far.
    type Accumulator: Record;

    /// Begins with a first value.
    fn start(&self, value: V) -> Self::Accumulator;

    /// Folds a further value in.
    fn add(&self, accumulator: &mut Self::Accumulator, value: V);

    /// The value of all that was folded.
    fn value(accumulator: Self::Accumulator) -> V;

    /// The value of all that was folded so far.
    fn value_ref(accumulator: &Self::Accumulator) -> &V;
}

/// Adds values up.
#[derive(Clone, Copy)]
pub(crate) struct Sum;

impl<V: Record + AddAssign> Aggregate<V> for Sum {
    type Accumulator = V;

    #[inline]
    fn start(&self, value: V) -> V {
        value
    }

    #[inline]
    fn add(&self, accumulator: &mut V, value: V) {
        *accumulator += value;
    }

    #[inline]
    fn value(accumulator: V) -> V {
        accumulator
    }

    #[inline]
    fn value_ref(accumulator: &V) -> &V {
        accumulator
    }
}

/// Keeps the value that comes first in the order that `better` says: smaller or larger.
#[derive(Clone, Copy)]
pub(crate) struct Best<V> {
    better: fn(&V, &V) -> bool,
}

impl<V: PartialOrd> Best<V> {
    /// The smallest.
    pub(crate) const MIN: Self = Self { better: |a, b| a < b };
    /// The largest.
    pub(crate) const MAX: Self = Self { better: |a, b| a > b };
}

impl<V: Record> Aggregate<V> for Best<V> {
    type Accumulator = V;

    fn start(&self, value: V) -> V {
        value
    }

    #[inline]
    fn add(&self, accumulator: &mut V, value: V) {
        if (self.better)(&value, accumulator) {
            *accumulator = value;
        }
    }

    fn value(accumulator: V) -> V {
        accumulator
    }

    fn value_ref(accumulator: &V) -> &V {
        accumulator
    }
}

/// Folds by a function of two values.
#[derive(Clone)]
pub(crate) struct Reduce<F>(pub(crate) F);

impl<V: Record, F: Fn(V, V) -> V + Clone + Send + Sync + 'static> Aggregate<V> for Reduce<F> {
    /// Never `None` between calls: the function takes the value out and puts another in.
    type Accumulator = Option<V>;

    fn start(&self, value: V) -> Option<V> {
        Some(value)
    }

    #[inline]
    fn add(&self, accumulator: &mut Option<V>, value: V) {
        *accumulator = match accumulator.take() {
            Some(before) => Some((self.0)(before, value)),
            None => Some(value),
        };
    }

    fn value(accumulator: Option<V>) -> V {
        accumulator.expect("only a panic of the function leaves no value, and it ends the subtask")
    }

    fn value_ref(accumulator: &Option<V>) -> &V {
        accumulator.as_ref().expect("only a panic of the function leaves no value, and it ends the subtask")
    }
}

/// Keeps the record whose value comes first in the order that `better` says; of equal ones the first.
#[derive(Clone)]
pub(crate) struct BestBy<F, C> {
    value: F,
    better: fn(&C, &C) -> bool,
}

impl<F, C: PartialOrd> BestBy<F, C> {
    /// The record with the smallest value.
    pub(crate) fn min(value: F) -> Self {
        Self { value, better: |a, b| a < b }
    }

    /// The record with the largest value.
    pub(crate) fn max(value: F) -> Self {
        Self { value, better: |a, b| a > b }
    }
}

impl<V, C, F> Aggregate<V> for BestBy<F, C>
where
    V: Record,
    C: Clone + 'static,
    F: Fn(&V) -> C + Clone + Send + Sync + 'static,
{
    type Accumulator = V;

    fn start(&self, record: V) -> V {
        record
    }

    #[inline]
    fn add(&self, best: &mut V, record: V) {
        if (self.better)(&(self.value)(&record), &(self.value)(best)) {
            *best = record;
        }
    }

    fn value(best: V) -> V {
        best
    }

    fn value_ref(best: &V) -> &V {
        best
    }
}

/// What is emitted for a key and its value.
pub(crate) trait Shape<K, V>: Clone + Send + Sync + 'static {
    /// The record.
    type Out: Record;

    /// For a table that is given up.
    fn owned(&self, key: K, value: V) -> Self::Out;

    /// For a table that goes on.
    fn cloned(&self, key: &K, value: &V) -> Self::Out;
}

/// The key and the value.
#[derive(Clone, Copy)]
pub(crate) struct KeyAndValue;

impl<K: Key, V: Record> Shape<K, V> for KeyAndValue {
    type Out = (K, V);

    fn owned(&self, key: K, value: V) -> (K, V) {
        (key, value)
    }

    fn cloned(&self, key: &K, value: &V) -> (K, V) {
        (key.clone(), value.clone())
    }
}

/// The value alone: it is a record that holds its key.
#[derive(Clone, Copy)]
pub(crate) struct ValueOnly;

impl<K: Key, V: Record> Shape<K, V> for ValueOnly {
    type Out = V;

    fn owned(&self, _key: K, value: V) -> V {
        value
    }

    fn cloned(&self, _key: &K, value: &V) -> V {
        value.clone()
    }
}
