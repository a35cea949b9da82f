//! Windows over keyed streams.

use std::any::TypeId;
use std::marker::PhantomData;
use std::ops::AddAssign;
use std::time::Duration;

use super::aggregates::aggregates;
use super::{DataStream, KeyedStream, WindowAssigner};
use crate::engine::operators::{
    Accumulation, Aggregate, AggregateFunction, Aligned, Assigner, Best, BestBy, Custom, DefaultTrigger,
    EventTimeTrigger, Folded, Gathered, KeyAndResult, KeyAndValue, Late, Operator, OutputTag, Part,
    ProcessWindowFunction, Processed, ProcessingTimeTrigger, Reduce, Shape, Shaped, SlidingWindow, Sum, TimeDomain,
    Trigger, TumblingWindow, ValueOnly, WindowAggregate, WindowOperator, WindowResult, Windowing, millis, result_of,
};
use crate::engine::record::{Key, Record};

/// A keyed stream divided into windows. Flink's class of that name.
///
/// Each aggregate emits once a key and window, when the watermark has passed the window's end (or the clock, for windows of
/// processing time); a trigger, an allowed lateness and a way to accumulate change that. Windows of event time want timestamps and
/// watermarks: [`DataStream::assign_timestamps_and_watermarks`]. Windows still open when the input ends are emitted then.
///
/// What is emitted has the window's last moment as timestamp, so windows may follow windows.
pub struct WindowedStream<K, T, W = DefaultTrigger> {
    stream: KeyedStream<K, T>,
    name: String,
    windowing: Windowing<T, W>,
}

aggregates!([K: Key, T: Record, W: Trigger<T>] WindowedStream<K, T, W>, "by key and window");

impl<K: Key, T: Record> WindowedStream<K, T> {
    pub(super) fn new(stream: KeyedStream<K, T>, windows: impl WindowAssigner<T>) -> Self {
        let (name, windowing) = Self::windowing(stream.stream(), windows);
        Self { stream, name, windowing }
    }

    /// These windows with the trigger of their time; `near` is a stream of their graph.
    pub(super) fn windowing<N: Record>(
        near: &DataStream<N>,
        windows: impl WindowAssigner<T>,
    ) -> (String, Windowing<T, DefaultTrigger>) {
        let name = windows.name();
        let assigner = windows.assigner().unwrap_or_else(|mistake| {
            near.graph().lock().mistake(mistake);
            Assigner::Global
        });
        let trigger = match assigner.domain() {
            TimeDomain::Event => DefaultTrigger::EventTime(EventTimeTrigger::default()),
            TimeDomain::Processing => DefaultTrigger::ProcessingTime(ProcessingTimeTrigger::default()),
        };
        let (accumulation, late) = (Accumulation::default(), Late::Dropped);
        (name, Windowing { assigner, trigger, allowed_lateness_ms: 0, accumulation, late })
    }
}

/// What is said of the windows.
impl<K: Key, T: Record, W: Trigger<T>> WindowedStream<K, T, W> {
    /// Emits when `trigger` says so.
    #[must_use]
    pub fn trigger<U: Trigger<T>>(self, trigger: U) -> WindowedStream<K, T, U> {
        let Windowing { assigner, allowed_lateness_ms, accumulation, late, .. } = self.windowing;
        let windowing = Windowing { assigner, trigger, allowed_lateness_ms, accumulation, late };
        WindowedStream { stream: self.stream, name: self.name, windowing }
    }

    /// Keeps windows of event time for so long behind their ends: records that come until then are still added, and by default each
    /// makes the window emit again. Default: none.
    #[must_use]
    pub fn allowed_lateness(mut self, lateness: Duration) -> Self {
        self.windowing.allowed_lateness_ms = millis(lateness);
        self
    }

    /// Sends records that are in no window any more to a side output of the aggregate that follows, instead of dropping them.
    #[must_use]
    pub fn side_output_late_data(mut self, tag: &OutputTag<T>) -> Self {
        self.windowing.late = Late::To(tag.clone());
        self
    }

    /// Says what a window holds after it has emitted. With [`Accumulation::Retracting`] results are to be told apart from those
    /// they take back: use [`WindowedStream::reduce_with`], [`WindowedStream::aggregate_with`] or [`WindowedStream::process`].
    #[must_use]
    pub fn accumulation(mut self, accumulation: Accumulation) -> Self {
        self.windowing.accumulation = accumulation;
        self
    }
}

/// Window functions.
impl<K: Key, T: Record, W: Trigger<T>> WindowedStream<K, T, W> {
    /// Gives the records of each window, in the order they came, to a function: [`ProcessWindowFunction`]. They are held until then;
    /// where they can be folded, [`WindowedStream::aggregate_with`] holds less.
    pub fn process<O: Record, F>(&self, function: F) -> DataStream<O>
    where
        F: ProcessWindowFunction<K, Vec<T>, O> + Clone + Sync,
    {
        self.general(Gathered, processed(function, |records: Vec<T>| records))
    }

    /// Folds records into one by an associative and commutative function, and gives it to another that knows key, window and pane.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use flott::prelude::*;
    ///
    /// let env = StreamExecutionEnvironment::new();
    /// let strategy = WatermarkStrategy::for_monotonous_timestamps().with_timestamp_assigner(|n: &u64| EventTime(*n as i64));
    /// let numbers = env.from_sequence(1, 4).assign_timestamps_and_watermarks(strategy);
    /// let windows = numbers.key_by(|_| 0u8).window(TumblingEventTimeWindows::of(Duration::from_millis(4)));
    /// let mut sums = windows.reduce_with(|a, b| a + b, Panes).execute_and_collect("sums")?;
    /// sums.sort();
    /// assert_eq!((sums[0].window, sums[0].value), (TimeWindow::new(0, 4), 6));
    /// # Ok::<(), flott::Error>(())
    /// ```
    pub fn reduce_with<O: Record, R, F>(&self, function: R, window_function: F) -> DataStream<O>
    where
        R: Fn(T, T) -> T + Clone + Send + Sync + 'static,
        F: ProcessWindowFunction<K, T, O> + Clone + Sync,
    {
        let result = processed(window_function, <Reduce<R> as Aggregate<T>>::value);
        self.windows(|record| record, Reduce(function), result)
    }

    /// Folds records by a function with an accumulator of its own, and gives the result to another that knows key, window and pane.
    pub fn aggregate_with<O: Record, A, F>(&self, function: A, window_function: F) -> DataStream<O>
    where
        A: AggregateFunction<T>,
        F: ProcessWindowFunction<K, A::Output, O> + Clone + Sync,
    {
        let finish = function.clone();
        let result = processed(window_function, move |part| result_of::<T, A>(&finish, &part));
        self.windows(Part::One, Custom(function), result)
    }

    /// The sums without their keys.
    pub(super) fn sum_alone<V: Record + AddAssign, F>(&self, value: F) -> DataStream<V>
    where
        F: Fn(&T) -> V + Clone + Send + Sync + 'static,
    {
        self.fold(move |record| value(&record), Sum, ValueOnly)
    }

    fn fold<V: Record, G: Aggregate<V>, S: Shape<K, V>>(
        &self,
        value: impl FnMut(T) -> V + Clone + Send + Sync + 'static,
        aggregate: G,
        shape: S,
    ) -> DataStream<S::Out> {
        if self.windowing.accumulation == Accumulation::Retracting {
            self.stream.stream().graph().lock().mistake(
                "windows that retract were given an aggregate that cannot say which results are taken back; use reduce_with, \
                 aggregate_with or process",
            );
        }
        self.windows(value, aggregate, Shaped::<V, G, S>(shape, PhantomData))
    }

    /// The operator that does it, the cheapest there is.
    fn windows<V: Record, G: Aggregate<V>, R: WindowResult<K, G::Accumulator>>(
        &self,
        value: impl FnMut(T) -> V + Clone + Send + Sync + 'static,
        aggregate: G,
        result: R,
    ) -> DataStream<R::Out> {
        match self.simple() {
            Some((windows, domain)) => self.simply(windows, domain, value, aggregate, result),
            None => self.general(Folded { value, aggregate, types: PhantomData }, result),
        }
    }

    /// Windows of one length that emit once.
    fn simple(&self) -> Option<(Aligned, TimeDomain)> {
        let Windowing { assigner, allowed_lateness_ms, accumulation, late, .. } = &self.windowing;
        let default = TypeId::of::<W>() == TypeId::of::<DefaultTrigger>();
        let emits_once = *allowed_lateness_ms == 0 && *accumulation != Accumulation::Retracting;
        match (assigner, late) {
            (Assigner::Aligned(windows, domain), Late::Dropped) if default && emits_once => Some((*windows, *domain)),
            _ => None,
        }
    }

    fn simply<V: Record, G: Aggregate<V>, R: WindowResult<K, G::Accumulator>>(
        &self,
        windows: Aligned,
        domain: TimeDomain,
        value: impl FnMut(T) -> V + Clone + Send + Sync + 'static,
        aggregate: G,
        result: R,
    ) -> DataStream<R::Out> {
        let receiver = {
            let aggregate = aggregate.clone();
            move || {
                let (aggregate, result) = (aggregate.clone(), result.clone());
                if windows.slide_ms >= windows.size_ms {
                    Box::new(TumblingWindow::<K, V, G, R>::new(windows, domain, aggregate, result)) as Box<dyn Operator>
                } else {
                    Box::new(SlidingWindow::<K, V, G, R>::new(windows, domain, aggregate, result))
                }
            }
        };
        // What the sender holds back would be counted in a later window than it came in, so nothing is folded there.
        self.stream.exchange(value, aggregate, None, &self.node_name(), receiver)
    }

    fn general<A: WindowAggregate<T>, R: WindowResult<K, A::Accumulator>>(
        &self,
        aggregate: A,
        result: R,
    ) -> DataStream<R::Out> {
        let windowing = self.windowing.clone();
        let receiver = move || {
            let (windowing, aggregate, result) = (windowing.clone(), aggregate.clone(), result.clone());
            Box::new(WindowOperator::<K, T, A, W, R>::new(windowing, aggregate, result)) as Box<dyn Operator>
        };
        self.stream.receive(self.stream.record_sender(), &self.node_name(), receiver)
    }

    fn node_name(&self) -> String {
        format!("Window({})", self.name)
    }
}

fn processed<F, C, A, I, O>(function: F, input: C) -> Processed<F, C, I, O>
where
    C: Fn(A) -> I,
{
    Processed { function, input, types: PhantomData }
}
