//! One record in, one out; one record in, none or one out.

use super::{Collector, Operator, Output};
use crate::engine::record::{Batch, Record, Rows};
use crate::graph::task::Failure;

/// Turns each record into another.
pub(crate) struct Map<T, F> {
    function: F,
    input: std::marker::PhantomData<fn(T)>,
}

impl<T, F> Map<T, F> {
    /// A map by `function`.
    pub(crate) fn new(function: F) -> Self {
        Self { function, input: std::marker::PhantomData }
    }
}

impl<T: Record, U: Record, F: FnMut(T) -> U + Send> Operator for Map<T, F> {
    fn process(&mut self, _input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure> {
        let Rows(rows, times) = Rows::<T>::of(batch);
        // What becomes of a small record may be large: a file of its name.
        if std::mem::needs_drop::<U>() {
            let mut collector = Collector::expecting(rows.len(), out);
            for (i, row) in rows.into_iter().enumerate() {
                if !times.is_none() {
                    collector.at(times.get(i));
                }
                collector.collect((self.function)(row));
                if collector.has_failed() {
                    break;
                }
            }
            return collector.finish();
        }
        // std collects in place where the record types allow it: no allocation then, not even one a batch.
        let rows = rows.into_iter().map(&mut self.function).collect();
        out.emit(Box::new(Rows::<U>(rows, times)))
    }
}

/// Keeps the records that a predicate holds for.
pub(crate) struct Filter<T, F> {
    predicate: F,
    input: std::marker::PhantomData<fn(T)>,
}

impl<T, F> Filter<T, F> {
    /// A filter by `predicate`.
    pub(crate) fn new(predicate: F) -> Self {
        Self { predicate, input: std::marker::PhantomData }
    }
}

impl<T: Record, F: FnMut(&T) -> bool + Send> Operator for Filter<T, F> {
    fn process(&mut self, _input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure> {
        let mut rows = Rows::<T>::of(batch);
        if rows.1.is_none() {
            rows.0.retain(&mut self.predicate);
        } else {
            let mut kept = Vec::with_capacity(rows.0.len());
            rows.0.retain(|row| {
                kept.push((self.predicate)(row));
                kept.last() == Some(&true)
            });
            rows.1.retain(&kept);
        }
        if rows.0.is_empty() { Ok(()) } else { out.emit(Box::new(rows)) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Collected, run};
    use super::*;
    use crate::time::EventTime;

    #[test]
    fn map_keeps_order_and_changes_the_type() {
        let mut out = Collected::default();
        run(&mut Map::new(|n: u64| format!("<{n}>")), vec![vec![1u64, 2], vec![3]], &mut out);
        assert_eq!(out.rows::<String>(), ["<1>", "<2>", "<3>"]);
    }

    #[test]
    fn timestamps_go_along() {
        let mut out = Collected::default();
        let times: Vec<EventTime> = (10..14).map(EventTime).collect();
        let batch = || Box::new(Rows::timed(vec![1u64, 2, 3, 4], times.clone()));
        Map::new(|n: u64| n.to_string()).process(0, batch(), &mut out).unwrap();
        assert_eq!(Rows::<String>::of(out.batches.remove(0)).1.as_slice(), times);
        Filter::new(|n: &u64| n.is_multiple_of(2)).process(0, batch(), &mut out).unwrap();
        let even = Rows::<u64>::of(out.batches.remove(0));
        assert_eq!(even, Rows::timed(vec![2, 4], vec![times[1], times[3]]));
    }

    #[test]
    fn large_results_of_small_records_make_short_batches_with_their_timestamps() {
        let mut out = Collected::default();
        let times: Vec<_> = (0..50).map(EventTime).collect();
        let batch = Box::new(Rows::timed((0..50u64).collect(), times.clone()));
        Map::new(|n: u64| vec![n as u8; 1 << 20]).process(0, batch, &mut out).unwrap();
        assert!(out.batches.iter().all(|batch| batch.bytes() <= 3 << 20));
        let rows = out.batches.drain(..).flat_map(|batch| {
            let Rows(rows, times) = Rows::<Vec<u8>>::of(batch);
            rows.into_iter().enumerate().map(|(i, row)| (row[0], times.get(i))).collect::<Vec<_>>()
        });
        assert_eq!(rows.collect::<Vec<_>>(), (0..50).zip(times.into_iter().map(Some)).collect::<Vec<_>>());
    }

    #[test]
    fn filter_emits_no_empty_batch() {
        let mut out = Collected::default();
        run(&mut Filter::new(|n: &u64| n % 2 == 1), vec![vec![2u64, 4], vec![5, 6, 7]], &mut out);
        assert_eq!(out.batches.len(), 1);
        assert_eq!(out.rows::<u64>(), [5, 7]);
    }
}
