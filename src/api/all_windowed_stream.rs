//! Windows over streams that are not keyed.

use std::ops::AddAssign;
use std::time::Duration;

use super::{DataStream, WindowAssigner, WindowedStream};
use crate::engine::operators::{
    Accumulation, AggregateFunction, Collector, DefaultTrigger, OutputTag, ProcessWindowFunction, Trigger,
    WindowContext,
};
use crate::engine::record::Record;

/// A stream divided into windows without a key, by one subtask. Flink's class of that name.
///
/// It is a [`WindowedStream`] whose only key is `()`, and what is said there holds here.
///
/// ```
/// use std::time::Duration;
///
/// use flott::prelude::*;
///
/// let env = StreamExecutionEnvironment::new();
/// let strategy = WatermarkStrategy::for_monotonous_timestamps().with_timestamp_assigner(|n: &u64| EventTime(*n as i64));
/// let numbers = env.from_sequence(1, 9).assign_timestamps_and_watermarks(strategy);
/// let windows = numbers.window_all(TumblingEventTimeWindows::of(Duration::from_millis(5)));
/// let mut sums = windows.sum(|n| *n).execute_and_collect("sums")?;
/// sums.sort();
/// assert_eq!(sums, [10, 35]);
/// # Ok::<(), flott::Error>(())
/// ```
pub struct AllWindowedStream<T, W = DefaultTrigger> {
    windows: WindowedStream<(), T, W>,
}

impl<T: Record> DataStream<T> {
    /// Divides all records into windows, which one subtask works on: what can be done by key should be, and this with its results.
    pub fn window_all(&self, windows: impl WindowAssigner<T>) -> AllWindowedStream<T> {
        AllWindowedStream { windows: self.key_by(|_| ()).window(windows) }
    }
}

/// Emits what comes in.
#[derive(Clone, Copy)]
struct ResultAlone;

impl<I: Record> ProcessWindowFunction<(), I, I> for ResultAlone {
    fn process(&mut self, input: I, _ctx: &mut WindowContext<'_, ()>, out: &mut Collector<'_, I>) {
        out.collect(input);
    }
}

impl<T: Record, W: Trigger<T>> AllWindowedStream<T, W> {
    /// As [`WindowedStream::trigger`].
    #[must_use]
    pub fn trigger<U: Trigger<T>>(self, trigger: U) -> AllWindowedStream<T, U> {
        AllWindowedStream { windows: self.windows.trigger(trigger) }
    }

    /// As [`WindowedStream::allowed_lateness`].
    #[must_use]
    pub fn allowed_lateness(self, lateness: Duration) -> Self {
        Self { windows: self.windows.allowed_lateness(lateness) }
    }

    /// As [`WindowedStream::side_output_late_data`].
    #[must_use]
    pub fn side_output_late_data(self, tag: &OutputTag<T>) -> Self {
        Self { windows: self.windows.side_output_late_data(tag) }
    }

    /// As [`WindowedStream::accumulation`].
    #[must_use]
    pub fn accumulation(self, accumulation: Accumulation) -> Self {
        Self { windows: self.windows.accumulation(accumulation) }
    }

    /// The sum of a value of each record, by window.
    pub fn sum<V: Record + AddAssign, F>(&self, value: F) -> DataStream<V>
    where
        F: Fn(&T) -> V + Clone + Send + Sync + 'static,
    {
        self.windows.sum_alone(value).set_parallelism(1)
    }

    /// The number of records, by window.
    pub fn count(&self) -> DataStream<u64> {
        self.sum(|_| 1)
    }

    /// Folds records into one by an associative and commutative function, by window.
    pub fn reduce<F>(&self, function: F) -> DataStream<T>
    where
        F: Fn(T, T) -> T + Clone + Send + Sync + 'static,
    {
        self.windows.reduce(function).set_parallelism(1)
    }

    /// Folds records by a function with an accumulator and a result of its own, by window.
    pub fn aggregate<F: AggregateFunction<T>>(&self, function: F) -> DataStream<F::Output> {
        self.aggregate_with(function, ResultAlone)
    }

    /// As [`WindowedStream::process`].
    pub fn process<O: Record, F>(&self, function: F) -> DataStream<O>
    where
        F: ProcessWindowFunction<(), Vec<T>, O> + Clone + Sync,
    {
        self.windows.process(function).set_parallelism(1)
    }

    /// As [`WindowedStream::reduce_with`].
    pub fn reduce_with<O: Record, R, F>(&self, function: R, window_function: F) -> DataStream<O>
    where
        R: Fn(T, T) -> T + Clone + Send + Sync + 'static,
        F: ProcessWindowFunction<(), T, O> + Clone + Sync,
    {
        self.windows.reduce_with(function, window_function).set_parallelism(1)
    }

    /// As [`WindowedStream::aggregate_with`].
    pub fn aggregate_with<O: Record, A, F>(&self, function: A, window_function: F) -> DataStream<O>
    where
        A: AggregateFunction<T>,
        F: ProcessWindowFunction<(), A::Output, O> + Clone + Sync,
    {
        self.windows.aggregate_with(function, window_function).set_parallelism(1)
    }
}
