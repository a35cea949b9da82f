//! Joins of two keyed streams: in windows, and within an interval.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::graph_builder::Node;
use super::{DataStream, KeyedStream, WindowAssigner, WindowedStream};
use crate::engine::operators::{
    Accumulation, Collector, DefaultTrigger, GatheredSides, Interval, IntervalJoin, JoinContext, JoinSide, Late,
    Operator, OutputTag, ProcessJoinFunction, ProcessWindowFunction, Processed, ProgramCode, Reduce, Trigger,
    WindowContext, WindowOperator, Windowing, millis,
};
use crate::engine::record::{Key, Record, RowsType};
use crate::graph::plan::NodeKind;

/// Two keyed streams, to be joined in windows. Flink's `JoinedStreams` and `CoGroupedStreams`.
pub struct JoinedStreams<K, A, B> {
    first: KeyedStream<K, A>,
    second: KeyedStream<K, B>,
}

/// Two keyed streams divided into windows: each window holds the records of both.
///
/// ```
/// use std::time::Duration;
///
/// use flott::prelude::*;
///
/// let env = StreamExecutionEnvironment::new();
/// let orders = env
///     .from_collection([(7u64, Str::from("tea"), 1_000i64), (8, "milk".into(), 2_000)])
///     .assign_timestamps_and_watermarks(
///         WatermarkStrategy::for_monotonous_timestamps().with_timestamp_assigner(|order: &(u64, Str, i64)| EventTime(order.2)),
///     );
/// let payments = env
///     .from_collection([(7u64, 300u64, 4_000i64), (8, 150, 62_000)])
///     .assign_timestamps_and_watermarks(
///         WatermarkStrategy::for_monotonous_timestamps().with_timestamp_assigner(|paid: &(u64, u64, i64)| EventTime(paid.2)),
///     );
/// let paid = orders
///     .key_by(|order| order.0)
///     .join(&payments.key_by(|payment| payment.0))
///     .window(TumblingEventTimeWindows::of(Duration::from_secs(60)))
///     .apply(|order, payment| (order.1.clone(), payment.1));
/// assert_eq!(paid.execute_and_collect("paid within the minute")?, [("tea".into(), 300)]);
/// # Ok::<(), flott::Error>(())
/// ```
pub struct JoinedWindows<K, A, B, W = DefaultTrigger> {
    first: KeyedStream<K, A>,
    second: KeyedStream<K, B>,
    name: String,
    windowing: Windowing<JoinSide<A, B>, W>,
}

impl<K: Key, A: Record> KeyedStream<K, A> {
    /// Joins records of equal keys in windows: name the windows next, then what becomes of each pair.
    pub fn join<B: Record>(&self, other: &KeyedStream<K, B>) -> JoinedStreams<K, A, B> {
        JoinedStreams { first: self.clone(), second: other.clone() }
    }

    /// As [`KeyedStream::join`]: a window is given to [`JoinedWindows::co_group`] although one of the streams has nothing in it.
    pub fn co_group<B: Record>(&self, other: &KeyedStream<K, B>) -> JoinedStreams<K, A, B> {
        self.join(other)
    }

    /// Joins records of equal keys that are near one another in event time: say how near next.
    pub fn interval_join<B: Record>(&self, other: &KeyedStream<K, B>) -> IntervalJoinedStreams<K, A, B> {
        let interval = Interval { lower_ms: 0, upper_ms: 0, late_left: Late::Dropped, late_right: Late::Dropped };
        IntervalJoinedStreams { left: self.clone(), right: other.clone(), interval }
    }
}

impl<K: Key, A: Record, B: Record> JoinedStreams<K, A, B> {
    /// Divides the records of both streams into windows.
    pub fn window(self, windows: impl WindowAssigner<JoinSide<A, B>>) -> JoinedWindows<K, A, B> {
        let Self { first, second } = self;
        let (name, windowing) = WindowedStream::<K, _>::windowing(first.stream(), windows);
        JoinedWindows { first, second, name, windowing }
    }
}

impl<K: Key, A: Record, B: Record, W: Trigger<JoinSide<A, B>>> JoinedWindows<K, A, B, W> {
    /// As [`WindowedStream::trigger`].
    #[must_use]
    pub fn trigger<U: Trigger<JoinSide<A, B>>>(self, trigger: U) -> JoinedWindows<K, A, B, U> {
        let Self { first, second, name, windowing } = self;
        let Windowing { assigner, allowed_lateness_ms, accumulation, late, .. } = windowing;
        let windowing = Windowing { assigner, trigger, allowed_lateness_ms, accumulation, late };
        JoinedWindows { first, second, name, windowing }
    }

    /// As [`WindowedStream::allowed_lateness`].
    #[must_use]
    pub fn allowed_lateness(mut self, lateness: Duration) -> Self {
        self.windowing.allowed_lateness_ms = millis(lateness);
        self
    }

    /// As [`WindowedStream::accumulation`].
    #[must_use]
    pub fn accumulation(mut self, accumulation: Accumulation) -> Self {
        self.windowing.accumulation = accumulation;
        self
    }

    /// As [`WindowedStream::side_output_late_data`], of both streams.
    #[must_use]
    pub fn side_output_late_data(mut self, tag: &OutputTag<JoinSide<A, B>>) -> Self {
        self.windowing.late = Late::To(tag.clone());
        self
    }

    /// Makes a record of each pair of a key and window.
    pub fn apply<O: Record, F>(&self, join: F) -> DataStream<O>
    where
        F: FnMut(&A, &B) -> O + Clone + Send + Sync + 'static,
    {
        let mut join = join;
        self.co_group(
            move |(first, second): (Vec<A>, Vec<B>), _: &mut WindowContext<'_, K>, out: &mut Collector<'_, O>| {
                for left in &first {
                    second.iter().for_each(|right| out.collect(join(left, right)));
                }
            },
        )
    }

    /// Gives the records of both streams of each key and window to a function, together. One of both may be empty.
    pub fn co_group<O: Record, F>(&self, function: F) -> DataStream<O>
    where
        F: ProcessWindowFunction<K, (Vec<A>, Vec<B>), O> + Clone + Sync,
    {
        let windowing = self.windowing.clone();
        let result = Processed { function, input: |both: (Vec<A>, Vec<B>)| both, types: PhantomData };
        let receiver = move || {
            let (windowing, result) = (windowing.clone(), result.clone());
            Box::new(WindowOperator::<K, _, GatheredSides, W, _>::new(windowing, GatheredSides, result))
                as Box<dyn Operator>
        };
        let name = format!("Join({})", self.name);
        let mut node = Node::new(name, NodeKind::Operator, ProgramCode::Operator(Arc::new(receiver)));
        node.output = Some(Arc::new(RowsType::<O>::new()));
        // Both senders feed one input, so the windows see one stream.
        let first = self.first.sender(JoinSide::<A, B>::First, Reduce(|_, last| last), None);
        let second = self.second.sender(JoinSide::<A, B>::Second, Reduce(|_, last| last), None);
        let graph = self.first.stream().graph();
        let index = graph.lock().add_with_inputs(node, &[&[first, second]]);
        DataStream::of_node(graph.clone(), index)
    }
}

/// Two keyed streams whose records are joined when they are near one another in event time. Flink's class of that name.
///
/// ```
/// use flott::prelude::*;
/// use flott::testing::{self, TestStream};
/// use flott::JoinContext;
///
/// let env = StreamExecutionEnvironment::new();
/// let at = |times: &[i64]| TestStream::new().add_elements(times.iter().map(|time| (*time, EventTime(*time))).collect::<Vec<_>>());
/// let clicks = env.from_source(at(&[10, 50]), "clicks").key_by(|_| 0u8);
/// let views = env.from_source(at(&[5, 8, 12, 49]), "views").key_by(|_| 0u8);
/// let pairs = clicks.interval_join(&views).between(-5, 0).lower_bound_exclusive().process(
///     |click: &i64, view: &i64, _: &JoinContext, out: &mut Collector<'_, (i64, i64)>| out.collect((*click, *view)),
/// );
/// let mut pairs = testing::execute_and_collect(&pairs, "clicks and the views before")?;
/// pairs.sort();
/// assert_eq!(pairs, [(10, 8), (50, 49)]);
/// # Ok::<(), flott::Error>(())
/// ```
pub struct IntervalJoinedStreams<K, A, B> {
    left: KeyedStream<K, A>,
    right: KeyedStream<K, B>,
    interval: Interval<A, B>,
}

impl<K: Key, A: Record, B: Record> IntervalJoinedStreams<K, A, B> {
    /// Joins a left record with those right ones whose timestamp is from `lower_ms` to `upper_ms` (both included) behind its own;
    /// negative is before.
    #[must_use]
    pub fn between(mut self, lower_ms: i64, upper_ms: i64) -> Self {
        (self.interval.lower_ms, self.interval.upper_ms) = (lower_ms, upper_ms);
        self
    }

    /// Excludes the lower bound. Call it once, behind [`IntervalJoinedStreams::between`].
    #[must_use]
    pub fn lower_bound_exclusive(mut self) -> Self {
        self.interval.lower_ms = self.interval.lower_ms.saturating_add(1);
        self
    }

    /// Excludes the upper bound. Call it once, behind [`IntervalJoinedStreams::between`].
    #[must_use]
    pub fn upper_bound_exclusive(mut self) -> Self {
        self.interval.upper_ms = self.interval.upper_ms.saturating_sub(1);
        self
    }

    /// Sends left records that come behind the watermark to a side output of the join, instead of dropping them.
    #[must_use]
    pub fn side_output_left_late_data(mut self, tag: &OutputTag<A>) -> Self {
        self.interval.late_left = Late::To(tag.clone());
        self
    }

    /// Sends right records that come behind the watermark to a side output of the join, instead of dropping them.
    #[must_use]
    pub fn side_output_right_late_data(mut self, tag: &OutputTag<B>) -> Self {
        self.interval.late_right = Late::To(tag.clone());
        self
    }

    /// Gives each pair to a function: [`ProcessJoinFunction`]. What it emits has the later timestamp of the pair's.
    pub fn process<O: Record, F>(&self, function: F) -> DataStream<O>
    where
        F: ProcessJoinFunction<A, B, O> + Clone + Sync,
    {
        let Interval { lower_ms, upper_ms, .. } = self.interval;
        if lower_ms > upper_ms {
            self.left.stream().graph().lock().mistake(format!(
                "an interval join from {lower_ms} to {upper_ms} ms finds nothing; the lower bound must not be above the upper one"
            ));
        }
        let interval = self.interval.clone();
        let make = move || {
            let operator = IntervalJoin::<K, A, B, O, F>::new(interval.clone(), function.clone());
            Box::new(operator) as Box<dyn Operator>
        };
        let (left, right) = (self.left.record_sender(), self.right.record_sender());
        self.left.stream().with_second_input(&[left], &[right], "Interval Join", make)
    }

    /// Makes a record of each pair.
    pub fn apply<O: Record, F>(&self, join: F) -> DataStream<O>
    where
        F: FnMut(&A, &B) -> O + Clone + Send + Sync + 'static,
    {
        let mut join = join;
        self.process(move |left: &A, right: &B, _: &JoinContext, out: &mut Collector<'_, O>| {
            out.collect(join(left, right))
        })
    }
}
