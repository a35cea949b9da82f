//! One record in, any number out.

use std::marker::PhantomData;

use super::{Operator, Output};
use crate::engine::record::{Batch, OpenRows, Record, Rows, Times};
use crate::graph::task::Failure;
use crate::time::EventTime;

/// Takes what a function emits. Flink's `Collector`.
///
/// Hands on full batches while the function still runs, so one record may become any number without being held in memory.
pub struct Collector<'a, T: Record> {
    open: OpenRows<T>,
    /// Timestamps of the first rows; the others' is `time`. None at all while there is none.
    times: Vec<EventTime>,
    /// Of what is emitted from now on; the beginning of time: none.
    time: EventTime,
    out: &'a mut dyn Output,
    failure: Option<Failure>,
}

impl<'a, T: Record> Collector<'a, T> {
    pub(crate) fn new(out: &'a mut dyn Output) -> Self {
        Self::expecting(OpenRows::<T>::FULL, out)
    }

    /// One that will take about so many records.
    pub(super) fn expecting(records: usize, out: &'a mut dyn Output) -> Self {
        Self { open: OpenRows::new(records), times: Vec::new(), time: EventTime::MIN, out, failure: None }
    }

    /// What is emitted from now on has this timestamp: that of the record, or of the timer, that it comes from. So emitting
    /// itself costs the same with timestamps and without.
    #[inline]
    pub(super) fn at(&mut self, time: Option<EventTime>) {
        let time = time.unwrap_or(EventTime::MIN);
        if time != self.time {
            self.times.resize(self.open.len(), self.time);
            self.time = time;
        }
    }

    /// Emits a record.
    #[inline]
    pub fn collect(&mut self, record: T) {
        if self.open.at_limit() {
            self.make_room();
        }
        self.open.push(record);
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

    /// Called when the batch may be full, and before the first record.
    #[cold]
    fn make_room(&mut self) {
        let full = self.open.make_room();
        self.hand_on(full);
    }

    fn hand_on(&mut self, batch: Option<Vec<T>>) {
        let Some(rows) = batch else { return };
        let mut times = std::mem::take(&mut self.times);
        if self.time != EventTime::MIN || !times.is_empty() {
            times.resize(rows.len(), self.time);
        }
        if self.failure.is_none() {
            self.failure = self.out.emit(Box::new(Rows(rows, Times::of(times)))).err();
        }
    }

    /// Hands on what is left, and says how it all went.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let last = self.open.take();
        self.hand_on(last);
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
        let Rows(records, times) = Rows::<T>::of(batch);
        for (i, record) in records.into_iter().enumerate() {
            if !times.is_none() {
                collector.at(times.get(i));
            }
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
    use crate::engine::record::{BATCH_BYTES, BATCH_RECORDS};

    #[test]
    fn emits_none_one_or_many_in_order() {
        let mut out = Collected::default();
        let mut repeat = FlatMap::new(|n: u64, out: &mut Collector<'_, u64>| out.extend((0..n).map(|_| n)));
        run(&mut repeat, vec![vec![0u64, 1, 3]], &mut out);
        assert_eq!(out.rows::<u64>(), [1, 3, 3, 3]);
    }

    #[test]
    fn what_a_record_becomes_has_its_timestamp() {
        let mut out = Collected::default();
        let mut repeat = FlatMap::new(|n: u64, out: &mut Collector<'_, u64>| out.extend((0..n).map(|_| n)));
        let times = [EventTime(7), EventTime::MIN, EventTime(5)];
        repeat.process(0, Box::new(Rows::timed(vec![1500u64, 1, 2], times.to_vec())), &mut out).unwrap();
        repeat.process(0, Box::new(Rows::new(vec![2u64])), &mut out).unwrap();
        let emitted = out.batches.drain(..).flat_map(|batch| {
            let Rows(rows, times) = Rows::<u64>::of(batch);
            rows.into_iter().enumerate().map(|(i, row)| (row, times.get(i))).collect::<Vec<_>>()
        });
        let mut expected = vec![(1500, Some(EventTime(7))); 1500];
        expected.extend([(1, None), (2, Some(EventTime(5))), (2, Some(EventTime(5))), (2, None), (2, None)]);
        assert_eq!(emitted.collect::<Vec<_>>(), expected);
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
        let failure = count.process(0, Box::new(Rows::new(vec![1u64; 10])), &mut out).unwrap_err();
        assert_eq!(failure.message, "full");
        assert!(calls < 10);
    }
}
