//! One record in, any number out.

use std::marker::PhantomData;

use super::{Operator, Output};
use crate::engine::record::{BATCH_BYTES, BATCH_RECORDS, Batch, Record, Rows};
use crate::graph::task::Failure;

/// Takes what a function emits. Flink's `Collector`.
///
/// Hands on full batches while the function still runs, so one record may become any number without being held in memory.
pub struct Collector<'a, T: Record> {
    rows: Vec<T>,
    out: &'a mut dyn Output,
    failure: Option<Failure>,
}

impl<'a, T: Record> Collector<'a, T> {
    /// Records in a full batch of `T`.
    pub(super) const FULL: usize = match BATCH_BYTES.checked_div(size_of::<T>()) {
        None => BATCH_RECORDS,
        Some(0) => 1,
        Some(records) => {
            if records < BATCH_RECORDS {
                records
            } else {
                BATCH_RECORDS
            }
        }
    };

    pub(crate) fn new(out: &'a mut dyn Output) -> Self {
        Self { rows: Vec::new(), out, failure: None }
    }

    /// Emits a record.
    #[inline]
    pub fn collect(&mut self, record: T) {
        if self.rows.len() == self.rows.capacity() {
            self.make_room();
        }
        self.rows.push(record);
    }

    /// Whether a batch was refused: nothing that is emitted from now on goes anywhere.
    #[inline]
    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Hands a batch to a side output.
    pub(super) fn emit_side(&mut self, tag: &str, batch: Box<dyn Batch>) {
        if self.failure.is_none() {
            self.failure = self.out.emit_side(tag, batch).err();
        }
    }

    /// Called when the batch is full, and before the first record.
    #[cold]
    fn make_room(&mut self) {
        self.hand_on();
        self.rows.reserve_exact(Self::FULL);
    }

    fn hand_on(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        if !rows.is_empty() && self.failure.is_none() {
            self.failure = self.out.emit(Box::new(Rows(rows))).err();
        }
    }

    /// Hands on what is left, and says how it all went.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.hand_on();
        self.failure.map_or(Ok(()), Err)
    }
}

impl<T: Record> Extend<T> for Collector<'_, T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, records: I) {
        for record in records {
            self.collect(record);
        }
    }
}

/// Turns each record into any number of others.
pub(crate) struct FlatMap<T, U, F> {
    function: F,
    types: PhantomData<fn(T) -> U>,
}

impl<T, U, F> FlatMap<T, U, F> {
    /// A flat map by `function`.
    pub(crate) fn new(function: F) -> Self {
        Self { function, types: PhantomData }
    }
}

impl<T: Record, U: Record, F: FnMut(T, &mut Collector<'_, U>) + Send> Operator for FlatMap<T, U, F> {
    fn process(&mut self, _input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure> {
        let mut collector = Collector::new(out);
        for record in Rows::<T>::of(batch).0 {
            (self.function)(record, &mut collector);
            if collector.failure.is_some() {
                break;
            }
        }
        collector.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Collected, run};
    use super::*;

    #[test]
    fn emits_none_one_or_many_in_order() {
        let mut out = Collected::default();
        let mut repeat = FlatMap::new(|n: u64, out: &mut Collector<'_, u64>| out.extend((0..n).map(|_| n)));
        run(&mut repeat, vec![vec![0u64, 1, 3]], &mut out);
        assert_eq!(out.rows::<u64>(), [1, 3, 3, 3]);
    }

    #[test]
    fn one_record_may_become_many_batches() {
        let mut out = Collected::default();
        let mut count = FlatMap::new(|n: u64, out: &mut Collector<'_, u64>| out.extend(0..n));
        run(&mut count, vec![vec![5000u64]], &mut out);
        assert!(out.batches.len() >= 5);
        assert!(out.batches.iter().all(|batch| !batch.is_empty() && batch.len() <= BATCH_RECORDS));
        assert_eq!(out.rows::<u64>(), (0..5000).collect::<Vec<_>>());
    }

    #[test]
    fn large_records_make_short_batches() {
        let mut out = Collected::default();
        let mut pad = FlatMap::new(|n: u64, out: &mut Collector<'_, [[u64; 32]; 4]>| out.collect([[n; 32]; 4]));
        run(&mut pad, vec![vec![0u64; 100]], &mut out);
        assert!(out.batches.iter().all(|batch| batch.bytes() <= BATCH_BYTES));
    }

    #[test]
    fn a_failure_downstream_ends_the_batch() {
        let mut out = Collected { fail_after: Some(1), ..Collected::default() };
        let mut calls = 0;
        let mut count = FlatMap::new(|_: u64, out: &mut Collector<'_, u64>| {
            calls += 1;
            out.extend(0..1024);
        });
        let failure = count.process(0, Box::new(Rows(vec![1u64; 10])), &mut out).unwrap_err();
        assert_eq!(failure.message, "full");
        assert!(calls < 10);
    }
}
