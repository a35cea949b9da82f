//! How a stream's records get their timestamps and its event time moves: what a user says of it.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::time::EventTime;

/// Says where event time is, from the records that pass. One for each subtask that the strategy works in. Flink's interface of
/// that name.
///
/// ```
/// use flott::prelude::*;
///
/// /// Time moves when a record says so.
/// #[derive(Clone)]
/// struct Punctuated;
///
/// impl WatermarkGenerator<(i64, bool)> for Punctuated {
///     fn on_event(&mut self, record: &(i64, bool), _timestamp: EventTime, out: &mut WatermarkOutput) {
///         if record.1 {
///             out.emit_watermark(EventTime(record.0));
///         }
///     }
/// }
///
/// let strategy = WatermarkStrategy::for_generator(|| Punctuated)
///     .with_timestamp_assigner(|record: &(i64, bool)| EventTime(record.0));
/// let env = StreamExecutionEnvironment::new();
/// env.set_runtime_mode(ExecutionMode::Streaming);
/// let records = env.from_collection([(4, false), (5, true), (3, false)]);
/// let late = records.assign_timestamps_and_watermarks(strategy).process(
///     |record: (i64, bool), ctx: &mut ProcessContext<'_>, out: &mut Collector<'_, i64>| {
///         if ctx.timestamp() <= Some(ctx.current_watermark()) {
///             out.collect(record.0);
///         }
///     },
/// );
/// assert_eq!(late.execute_and_collect("late")?, [3]);
/// # Ok::<(), flott::Error>(())
/// ```
pub trait WatermarkGenerator<T>: Send + 'static {
    /// A record passes. A watermark that is emitted here goes directly behind it; that parts batches, so mind how often.
    fn on_event(&mut self, record: &T, timestamp: EventTime, out: &mut WatermarkOutput);

    /// Now and then: at least every `pipeline.auto-watermark-interval`, and when a number of batches has passed.
    fn on_periodic_emit(&mut self, out: &mut WatermarkOutput) {
        let _ = out;
    }
}

/// Takes what a [`WatermarkGenerator`] says.
#[derive(Debug, Default)]
pub struct WatermarkOutput {
    pub(super) watermark: Option<EventTime>,
    pub(super) idle: bool,
}

impl WatermarkOutput {
    /// No record is expected any more whose timestamp is `watermark` or earlier. One that is not behind the last is ignored.
    pub fn emit_watermark(&mut self, watermark: EventTime) {
        self.watermark = self.watermark.max(Some(watermark));
        self.idle = false;
    }

    /// No record is expected for a while: others need not wait. Ends with the next record or watermark.
    pub fn mark_idle(&mut self) {
        self.idle = true;
    }
}

/// How records get their timestamps and event time moves. Flink's interface of that name.
///
/// In batch mode event time stands still until the input has ended, as in Flink: no record is late.
///
/// ```
/// use std::time::Duration;
///
/// use flott::prelude::*;
///
/// let env = StreamExecutionEnvironment::new();
/// let clicks = env.from_collection([(Str::from("ada"), 1_000i64), ("bob".into(), 2_500), ("ada".into(), 7_000)]);
/// let strategy = WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_secs(1))
///     .with_timestamp_assigner(|click: &(Str, i64)| EventTime(click.1));
/// let mut counts = clicks
///     .assign_timestamps_and_watermarks(strategy)
///     .key_by(|click| click.0.clone())
///     .window(TumblingEventTimeWindows::of(Duration::from_secs(5)))
///     .count()
///     .execute_and_collect("clicks")?;
/// counts.sort();
/// assert_eq!(counts, [("ada".into(), 1), ("ada".into(), 1), ("bob".into(), 1)]);
/// # Ok::<(), flott::Error>(())
/// ```
pub struct WatermarkStrategy<T, A = RecordTimestamps> {
    pub(super) generator: Generator<T>,
    pub(super) assigner: A,
    pub(super) idleness: Option<Duration>,
}

/// Makes generators of one kind.
pub(super) enum Generator<T> {
    /// Time is so much behind the latest record, and a millisecond.
    Bounded(Duration),
    None(PhantomData<fn(T)>),
    Custom(Arc<dyn Fn() -> Box<dyn WatermarkGenerator<T>> + Send + Sync>),
}

impl<T> Clone for Generator<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Bounded(delay) => Self::Bounded(*delay),
            Self::None(_) => Self::None(PhantomData),
            Self::Custom(make) => Self::Custom(Arc::clone(make)),
        }
    }
}

impl<T, A: Clone> Clone for WatermarkStrategy<T, A> {
    fn clone(&self) -> Self {
        let Self { generator, assigner, idleness } = self;
        Self { generator: generator.clone(), assigner: assigner.clone(), idleness: *idleness }
    }
}

/// Finds the timestamp of a record.
pub trait TimestampAssigner<T>: Clone + Send + Sync + 'static {
    /// The timestamp; `before` is what the record has already, from its source say.
    fn timestamp(&self, record: &T, before: Option<EventTime>) -> Option<EventTime>;
}

/// The timestamps that records have already, from their source. Flink's `RecordTimestampAssigner`.
#[derive(Clone, Copy, Debug)]
pub struct RecordTimestamps;

impl<T> TimestampAssigner<T> for RecordTimestamps {
    fn timestamp(&self, _record: &T, before: Option<EventTime>) -> Option<EventTime> {
        before
    }
}

impl<T, F: Fn(&T) -> EventTime + Clone + Send + Sync + 'static> TimestampAssigner<T> for F {
    #[inline]
    fn timestamp(&self, record: &T, _before: Option<EventTime>) -> Option<EventTime> {
        Some(self(record))
    }
}

impl<T> WatermarkStrategy<T> {
    /// For timestamps that never go back within a subtask.
    pub fn for_monotonous_timestamps() -> Self {
        Self::for_bounded_out_of_orderness(Duration::ZERO)
    }

    /// For records that come at most `delay` (of event time) behind a later one.
    pub fn for_bounded_out_of_orderness(delay: Duration) -> Self {
        Self { generator: Generator::Bounded(delay), assigner: RecordTimestamps, idleness: None }
    }

    /// For anything else: `generator` makes a [`WatermarkGenerator`] for each subtask.
    pub fn for_generator<G: WatermarkGenerator<T>>(generator: impl Fn() -> G + Send + Sync + 'static) -> Self {
        let make = Arc::new(move || Box::new(generator()) as Box<dyn WatermarkGenerator<T>>);
        Self { generator: Generator::Custom(make), assigner: RecordTimestamps, idleness: None }
    }

    /// Timestamps alone: event time stands still until the input has ended.
    pub fn no_watermarks() -> Self {
        Self { generator: Generator::None(PhantomData), assigner: RecordTimestamps, idleness: None }
    }
}

impl<T, A> WatermarkStrategy<T, A> {
    /// Gives each record the timestamp that `assigner` finds in it. Without, records keep what they have from their source.
    #[must_use]
    pub fn with_timestamp_assigner<F>(self, assigner: F) -> WatermarkStrategy<T, F>
    where
        F: Fn(&T) -> EventTime + Clone + Send + Sync + 'static,
    {
        let Self { generator, idleness, .. } = self;
        WatermarkStrategy { generator, assigner, idleness }
    }

    /// Lets others not wait for a subtask in which no record has come for `timeout` (of the machine's clock); time that the
    /// subtask could not take records, because those behind it were busy, does not count.
    #[must_use]
    pub fn with_idleness(mut self, timeout: Duration) -> Self {
        self.idleness = Some(timeout);
        self
    }
}
