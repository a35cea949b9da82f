//! Records made by a function, as fast as possible or at a rate.

use std::marker::PhantomData;
use std::time::Duration;

use super::collection::KnownSplits;
use super::ranges::Range;
use crate::engine::operators::{
    Boundedness, OperatorContext, Output, Polled, Source, SourceReader, SplitEnumerator, Waker,
};
use crate::engine::record::{OpenRows, Record, Rows};
use crate::graph::task::{Failure, Split};
use crate::time::Now;

/// Makes each record from its index, in parallel. Flink's `DataGeneratorSource`.
///
/// The indexes are 0 to count − 1, each exactly once, in order within a subtask's part only. The same index should always make the
/// same record, so that a job that starts again reads the same input; seed a random generator with the index, say.
///
/// With a rate, each record has a moment at which it is due, evenly spaced. A record is never emitted before it is due; when the job
/// was held up, those that have become due meanwhile follow at once, and still count as due when they were. So a latency measured
/// from that moment ([`DataGeneratorSource::stamped`]) includes all waiting.
///
/// ```
/// use flott::connectors::DataGeneratorSource;
/// use flott::prelude::*;
///
/// let env = StreamExecutionEnvironment::new();
/// let readings = DataGeneratorSource::new(1000, |index| (format!("sensor {}", index % 10), index as f64 / 10.0));
/// let counts = env.from_source(readings, "readings").key_by(|(sensor, _)| sensor.clone()).emit(Emission::Final).count();
/// assert_eq!(counts.execute_and_collect("readings")?.len(), 10);
/// # Ok::<(), flott::Error>(())
/// ```
pub struct DataGeneratorSource<T, F> {
    function: F,
    /// Absent: without end.
    count: Option<u64>,
    /// All subtasks together.
    rate_per_second: Option<f64>,
    record: PhantomData<fn() -> T>,
}

/// Makes a record from its index, and the microsecond since the Unix epoch at which it is due. For
/// [`DataGeneratorSource::stamped`].
pub trait GeneratorFunction<T>: Clone + Send + Sync + 'static {
    /// Whether `due_us` is looked at.
    const STAMPS: bool;

    /// The record.
    fn generate(&self, index: u64, due_us: u64) -> T;
}

impl<T, F: Fn(u64) -> T + Clone + Send + Sync + 'static> GeneratorFunction<T> for F {
    const STAMPS: bool = false;

    #[inline]
    fn generate(&self, index: u64, _due_us: u64) -> T {
        self(index)
    }
}

/// A function that is also told when its record is due; made by [`DataGeneratorSource::stamped`].
#[derive(Clone, Debug)]
pub struct Stamped<F>(F);

impl<T, F: Fn(u64, u64) -> T + Clone + Send + Sync + 'static> GeneratorFunction<T> for Stamped<F> {
    const STAMPS: bool = true;

    #[inline]
    fn generate(&self, index: u64, due_us: u64) -> T {
        (self.0)(index, due_us)
    }
}

impl<T: Record, F: Fn(u64) -> T + Clone + Send + Sync + 'static> DataGeneratorSource<T, F> {
    /// `count` records, `function(index)` each.
    pub fn new(count: u64, function: F) -> Self {
        Self { function, count: Some(count), rate_per_second: None, record: PhantomData }
    }

    /// Records without end. Each subtask makes its own: subtask i of n those of index i, i + n, i + 2n, …
    pub fn unbounded(function: F) -> Self {
        Self { function, count: None, rate_per_second: None, record: PhantomData }
    }
}

impl<T: Record, F: Fn(u64, u64) -> T + Clone + Send + Sync + 'static> DataGeneratorSource<T, Stamped<F>> {
    /// Records of a rate, `function(index, due_us)` each: the microsecond since the Unix epoch at which it is due. `count` absent:
    /// without end.
    pub fn stamped(count: Option<u64>, rate_per_second: f64, function: F) -> Self {
        Self { function: Stamped(function), count, rate_per_second: Some(rate_per_second), record: PhantomData }
    }
}

impl<T, F> DataGeneratorSource<T, F> {
    /// Emits so many records a second, all subtasks together; by default as many as the job takes. Flink's
    /// `RateLimiterStrategy.perSecond`.
    #[must_use]
    pub fn rate_per_second(mut self, rate: f64) -> Self {
        self.rate_per_second = Some(rate);
        self
    }

    fn checked_rate(&self) -> Result<Option<f64>, Failure> {
        match self.rate_per_second {
            Some(rate) if !(rate > 0.0 && rate.is_finite()) => {
                Err(Failure::user(format!("{rate} records a second is no rate; give a number above 0")))
            }
            rate => Ok(rate),
        }
    }
}

impl<T: Record, F: GeneratorFunction<T>> Source for DataGeneratorSource<T, F> {
    type Out = T;

    fn boundedness(&self) -> Boundedness {
        if self.count.is_some() { Boundedness::Bounded } else { Boundedness::Unbounded }
    }

    fn enumerator(&self, context: &OperatorContext) -> Result<Box<dyn SplitEnumerator>, Failure> {
        self.checked_rate()?;
        let splits = match self.count {
            Some(0) => Vec::new(),
            Some(count) => Range { first: 0, last: count - 1 }.parts().map(Range::split).collect(),
            // One each: they have no end.
            None => (0..context.parallelism)
                .map(|i| Split {
                    id: format!("{i} of {}", context.parallelism),
                    payload: serde_json::json!([i, context.parallelism]),
                    lane: None,
                })
                .collect(),
        };
        Ok(Box::new(KnownSplits(splits)))
    }

    fn reader(&self, context: &OperatorContext, _waker: Waker) -> Result<Box<dyn SourceReader>, Failure> {
        let subtasks = context.parallelism.max(1);
        let pace = self.checked_rate()?.map(|rate| Pace::new(rate / f64::from(subtasks)));
        Ok(Box::new(Generator {
            function: self.function.clone(),
            bounded: self.count.is_some(),
            step: 1,
            pace,
            left: None,
            record: PhantomData,
        }))
    }
}

/// When the records of one subtask are due.
#[derive(Debug)]
struct Pace {
    interval_us: f64,
    /// When the first record was due: at the first poll.
    start: Option<Now>,
    emitted: u64,
}

impl Pace {
    fn new(rate_per_second: f64) -> Self {
        Self { interval_us: 1e6 / rate_per_second, start: None, emitted: 0 }
    }

    /// How many records are due and not emitted, at `now`.
    fn due(&mut self, now: Now) -> u64 {
        let start = *self.start.get_or_insert(now);
        let elapsed_us = now.as_millis().saturating_sub(start.as_millis()) as f64 * 1e3;
        // Saturates; the first is due at once.
        ((elapsed_us / self.interval_us) as u64).saturating_add(1).saturating_sub(self.emitted)
    }

    /// The microsecond at which the record after `ahead` more is due.
    #[inline]
    fn due_us(&self, ahead: u64) -> u64 {
        let start = self.start.unwrap_or_default().as_millis() * 1000;
        start + ((self.emitted + ahead) as f64 * self.interval_us) as u64
    }

    /// The first moment, in whole milliseconds, at which the next record is due.
    fn next(&self) -> Now {
        Now(0) + Duration::from_millis(self.due_us(0).div_ceil(1000))
    }
}

struct Generator<T, F> {
    function: F,
    bounded: bool,
    /// From one index to the next.
    step: u64,
    pace: Option<Pace>,
    /// Indexes to come in the present part.
    left: Option<Range>,
    record: PhantomData<fn() -> T>,
}

impl<T: Record, F: GeneratorFunction<T>> Generator<T, F> {
    /// The next records of the present part, at most `count`: fewer where they are large.
    fn batch(&mut self, range: Range, count: u64) -> Vec<T> {
        let Self { function, step, pace, left, .. } = self;
        let (first, step) = (range.first, *step);
        let len = count.min(((range.last - first) / step).saturating_add(1));
        let pace = pace.as_ref();
        let due_us = |ahead| match pace {
            Some(pace) if F::STAMPS => pace.due_us(ahead),
            Some(_) | None => 0,
        };
        let rows = OpenRows::batch_of((0..len).map(|i| function.generate(first + i * step, due_us(i))));
        let next = first.checked_add(rows.len() as u64 * step).filter(|next| *next <= range.last);
        *left = next.map(|first| Range { first, last: range.last });
        rows
    }
}

impl<T: Record, F: GeneratorFunction<T>> SourceReader for Generator<T, F> {
    fn assign(&mut self, split: Split) -> Result<(), Failure> {
        if self.bounded {
            self.left = Range::of(split)?;
            return Ok(());
        }
        let (first, step) = serde_json::from_value(split.payload)
            .map_err(|error| Failure::permanent(format!("{error}: part {} of a generator", split.id)))?;
        self.step = step;
        self.left = Some(Range { first, last: u64::MAX });
        Ok(())
    }

    fn position(&self) -> Result<serde_json::Value, Failure> {
        let first = self.left.map_or(u64::MAX, |left| left.first);
        Ok(if self.bounded { Range::payload(self.left) } else { serde_json::json!([first, self.step]) })
    }

    fn poll(&mut self, out: &mut dyn Output) -> Result<Polled, Failure> {
        let Some(range) = self.left else { return Ok(Polled::SplitFinished) };
        let mut count = OpenRows::<T>::FULL as u64;
        if let Some(pace) = &mut self.pace {
            count = count.min(pace.due(out.now()));
            if count == 0 {
                return Ok(Polled::Waiting { until: Some(pace.next()) });
            }
        }
        let rows = self.batch(range, count);
        if let Some(pace) = &mut self.pace {
            pace.emitted += rows.len() as u64;
        }
        out.emit(Box::new(Rows::new(rows)))?;
        Ok(Polled::More)
    }

    fn stop(&mut self, _out: &mut dyn Output) -> Result<(), Failure> {
        self.left = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::files::testing::read_all;
    use super::*;
    use crate::engine::operators::testing::{Collected, context};
    use crate::engine::record::BATCH_BYTES;
    use crate::graph::plan::ExecutionMode;

    /// The readers of each of `parallelism` subtasks, with all their parts handed out in turn.
    fn readers<T: Record, F: GeneratorFunction<T>>(
        source: &DataGeneratorSource<T, F>,
        parallelism: u32,
    ) -> Vec<(Box<dyn SourceReader>, Vec<Split>)> {
        let mut context = context(ExecutionMode::Streaming);
        context.parallelism = parallelism;
        let splits = source.enumerator(&context).unwrap().discover().unwrap().splits;
        let reader = |subtask: u32| {
            let own = splits.iter().zip((0..parallelism).cycle()).filter(|(_, owner)| *owner == subtask);
            let own = own.map(|(split, _)| split.clone()).collect();
            (source.reader(&context, Waker::new(|| {})).unwrap(), own)
        };
        (0..parallelism).map(reader).collect()
    }

    /// What a reader emits until it waits or its part ends.
    fn poll<T: Record>(reader: &mut dyn SourceReader, now: u64) -> (Vec<T>, Polled) {
        let mut out = Collected { now: Now(now), ..Collected::default() };
        loop {
            match reader.poll(&mut out).unwrap() {
                Polled::More => {}
                polled => return (out.rows(), polled),
            }
        }
    }

    #[test]
    fn each_index_is_generated_once_and_in_order() {
        for count in [0, 1, 17, 1024, 200_000] {
            let expected: Vec<u64> = (0..count).map(|index| index * 3).collect();
            assert_eq!(read_all(&DataGeneratorSource::new(count, |index| index * 3)), expected);
        }
    }

    #[test]
    fn large_records_make_short_batches() {
        let source = DataGeneratorSource::new(100, |index| [[index; 32]; 16]);
        let (mut reader, splits) = readers(&source, 1).remove(0);
        let mut out = Collected::default();
        reader.assign(splits[0].clone()).unwrap();
        while reader.poll(&mut out).unwrap() == Polled::More {}
        assert!(out.batches.iter().all(|batch| batch.bytes() <= BATCH_BYTES));
    }

    #[test]
    fn endless_parts_share_out_the_indexes() {
        let source = DataGeneratorSource::unbounded(|index| index).rate_per_second(3000.0);
        let mut seen = BTreeSet::new();
        for (mut reader, splits) in readers(&source, 3) {
            assert_eq!(splits.len(), 1);
            reader.assign(splits[0].clone()).unwrap();
            poll::<u64>(reader.as_mut(), 0);
            let (rows, _) = poll::<u64>(reader.as_mut(), 99);
            assert_eq!(rows.len(), 99);
            seen.extend(rows);
        }
        assert_eq!(seen, (3..300).collect());
        assert_eq!(source.boundedness(), Boundedness::Unbounded);
    }

    #[test]
    fn records_come_when_they_are_due_and_those_held_up_at_once_with_their_own_stamp() {
        let source = DataGeneratorSource::stamped(Some(1000), 4000.0, |index, due_us| (index, due_us));
        let (mut reader, splits) = readers(&source, 2).remove(0);
        reader.assign(splits[0].clone()).unwrap();
        let (rows, polled) = poll::<(u64, u64)>(reader.as_mut(), 10);
        assert_eq!(rows, [(0, 10_000)]);
        // 2000 a second for this subtask: the next is due at 10.5 ms.
        assert_eq!(polled, Polled::Waiting { until: Some(Now(11)) });
        let (rows, polled) = poll::<(u64, u64)>(reader.as_mut(), 12);
        assert_eq!(rows, [(1, 10_500), (2, 11_000), (3, 11_500), (4, 12_000)]);
        assert_eq!(polled, Polled::Waiting { until: Some(Now(13)) });
        let (rows, polled) = poll::<(u64, u64)>(reader.as_mut(), 10_000);
        assert_eq!((rows.len() + 5, polled), (63, Polled::SplitFinished));
        assert_eq!(rows[0], (5, 12_500));
    }

    #[test]
    fn a_rate_that_is_none_is_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let source = DataGeneratorSource::new(1, |index| index).rate_per_second(rate);
            let failure = source.enumerator(&context(ExecutionMode::Batch)).err().unwrap();
            assert!(failure.message.contains("is no rate"), "{failure}");
        }
    }
}
