//! What becomes of a window's records: an accumulator, and a result made of it.

use std::marker::PhantomData;

use super::super::aggregate::{Aggregate, Shape};
use super::super::aggregate_function::Part;
use super::super::runtime_context::KeyedRuntimeContext;
use super::super::side_output::SideOutputs;
use super::super::{AggregateFunction, Collector, OperatorContext, OutputTag, Restore, Snapshot};
use super::{Pane, PaneInfo, TimeWindow};
use crate::engine::record::{Key, KeyRef, Record, key_hash};
use crate::engine::state::{KeyAt, KeyContext, KeyedStates};
use crate::graph::task::Failure;
use crate::time::{EventTime, Now};

/// What is done with the result of a window, or with its records: with the key, the window and what is known of the emission. Flink's
/// class of that name.
///
/// `I` is what comes in: `Vec<T>` of [`process`], the result of a `reduce_with` or `aggregate_with`. A closure of the arguments of
/// [`ProcessWindowFunction::process`] is one; name their types.
///
/// [`process`]: crate::WindowedStream::process
///
/// ```
/// use std::time::Duration;
///
/// use flott::prelude::*;
///
/// let env = StreamExecutionEnvironment::new();
/// let words = env.from_collection([("to".to_owned(), 1_000i64), ("be".to_owned(), 2_000), ("to".to_owned(), 61_000)]);
/// let strategy = WatermarkStrategy::for_monotonous_timestamps().with_timestamp_assigner(|word: &(String, i64)| EventTime(word.1));
/// let windows = words
///     .assign_timestamps_and_watermarks(strategy)
///     .key_by(|word| word.0.clone())
///     .window(TumblingEventTimeWindows::of(Duration::from_secs(60)));
/// let texts = windows.process(
///     |words: Vec<(String, i64)>, ctx: &mut WindowContext<'_, String>, out: &mut Collector<'_, String>| {
///         out.collect(format!("{} {} from {}", words.len(), ctx.current_key(), ctx.window().start));
///     },
/// );
/// let mut texts = texts.execute_and_collect("texts")?;
/// texts.sort();
/// assert_eq!(texts, ["1 be from 0", "1 to from 0", "1 to from 60000"]);
/// # Ok::<(), flott::Error>(())
/// ```
pub trait ProcessWindowFunction<K: Key, I, O: Record>: Send + 'static {
    /// Called once, before all others: the place to obtain states.
    ///
    /// # Errors
    /// Fails the subtask.
    fn open(&mut self, ctx: &mut WindowRuntimeContext<'_, K>) -> Result<(), Failure> {
        let _ = ctx;
        Ok(())
    }

    /// The window emits: takes its result, emits any number.
    fn process(&mut self, input: I, ctx: &mut WindowContext<'_, K>, out: &mut Collector<'_, O>);

    /// The window is given up: the place to clear what was kept for it in [`WindowContext::window_state`].
    fn clear(&mut self, ctx: &mut WindowContext<'_, K>) {
        let _ = ctx;
    }
}

impl<K, I, O, F> ProcessWindowFunction<K, I, O> for F
where
    K: Key,
    O: Record,
    F: FnMut(I, &mut WindowContext<'_, K>, &mut Collector<'_, O>) + Send + 'static,
{
    fn process(&mut self, input: I, ctx: &mut WindowContext<'_, K>, out: &mut Collector<'_, O>) {
        self(input, ctx, out);
    }
}

/// Makes a [`Pane`] of each result: key, window, timing and index beside the value.
#[derive(Clone, Copy, Debug)]
pub struct Panes;

impl<K: Key, V: Record> ProcessWindowFunction<K, V, Pane<K, V>> for Panes {
    fn process(&mut self, value: V, ctx: &mut WindowContext<'_, K>, out: &mut Collector<'_, Pane<K, V>>) {
        let (key, window, info) = (ctx.current_key().clone(), ctx.window(), ctx.pane());
        out.collect(Pane { key, window, info, value });
    }
}

/// What a window function is opened with: states are obtained here.
pub struct WindowRuntimeContext<'a, K> {
    key: KeyedRuntimeContext<'a, K>,
    window: KeyedRuntimeContext<'a, (K, TimeWindow)>,
}

impl<'a, K: Key> WindowRuntimeContext<'a, K> {
    /// For states by key: used with the [`WindowContext`] itself. Flink's `globalState`.
    pub fn by_key(&mut self) -> &mut KeyedRuntimeContext<'a, K> {
        &mut self.key
    }

    /// For states by key and window: used with [`WindowContext::window_state`]. Flink's `windowState`.
    pub fn by_window(&mut self) -> &mut KeyedRuntimeContext<'a, (K, TimeWindow)> {
        &mut self.window
    }
}

/// What a window function sees besides its input.
pub struct WindowContext<'a, K> {
    core: &'a mut WindowCore<K>,
    hash: u64,
    key: (K, TimeWindow),
    pane: PaneInfo,
    now: Now,
}

impl<K: Key> WindowContext<'_, K> {
    /// The key.
    pub fn current_key(&self) -> &K {
        &self.key.0
    }

    /// The window.
    pub fn window(&self) -> TimeWindow {
        self.key.1
    }

    /// Which of the window's emissions this is.
    pub fn pane(&self) -> PaneInfo {
        self.pane
    }

    /// How far event time has come.
    pub fn current_watermark(&self) -> EventTime {
        self.core.watermark
    }

    /// The processing time.
    pub fn current_processing_time(&self) -> Now {
        self.now
    }

    /// Emits a record to a side output. One that nothing reads takes it for nothing.
    ///
    /// # Panics
    /// When the side output is read by a tag of another type.
    pub fn side_output<T: Record>(&mut self, tag: &OutputTag<T>, record: T) {
        self.core.sides.push(tag, record);
    }

    /// What states by key and window are used with. Sessions, which merge, are not to keep any.
    pub fn window_state(&mut self) -> WindowState<'_, K> {
        WindowState { states: &mut self.core.window_states, hash: window_hash(self.hash, self.key.1), key: &self.key }
    }
}

/// The hash of a key in a window: another one, in the same key group.
fn window_hash(hash: u64, window: TimeWindow) -> u64 {
    const GROUP_BITS: u64 = 0xffff << 32;
    hash ^ (key_hash(&window.start.0) & !GROUP_BITS)
}

impl<K: Key> KeyContext for WindowContext<'_, K> {
    type Key = K;

    fn keyed(&self) -> (&KeyedStates<K>, KeyAt<'_, K>) {
        (&self.core.key_states, KeyAt { hash: self.hash, key: KeyRef::Value(&self.key.0) })
    }

    fn keyed_mut(&mut self) -> (&mut KeyedStates<K>, KeyAt<'_, K>) {
        (&mut self.core.key_states, KeyAt { hash: self.hash, key: KeyRef::Value(&self.key.0) })
    }
}

/// The states of a key and window.
pub struct WindowState<'a, K> {
    states: &'a mut KeyedStates<(K, TimeWindow)>,
    hash: u64,
    key: &'a (K, TimeWindow),
}

impl<K: Key> KeyContext for WindowState<'_, K> {
    type Key = (K, TimeWindow);

    fn keyed(&self) -> (&KeyedStates<(K, TimeWindow)>, KeyAt<'_, (K, TimeWindow)>) {
        (self.states, KeyAt { hash: self.hash, key: KeyRef::Value(self.key) })
    }

    fn keyed_mut(&mut self) -> (&mut KeyedStates<(K, TimeWindow)>, KeyAt<'_, (K, TimeWindow)>) {
        (self.states, KeyAt { hash: self.hash, key: KeyRef::Value(self.key) })
    }
}

/// What every operator of windows holds besides the windows.
pub(crate) struct WindowCore<K> {
    key_states: KeyedStates<K>,
    window_states: KeyedStates<(K, TimeWindow)>,
    pub(super) sides: SideOutputs,
    pub(super) watermark: EventTime,
}

impl<K: Key> WindowCore<K> {
    /// For an operator that is not open.
    pub(super) fn new() -> Self {
        let (key_states, window_states) = (KeyedStates::new(1, 1, 0), KeyedStates::new(1, 1, 0));
        Self { key_states, window_states, sides: SideOutputs::default(), watermark: EventTime::MIN }
    }

    pub(super) fn open<A, R: WindowResult<K, A>>(
        &mut self,
        context: &OperatorContext,
        result: &mut R,
    ) -> Result<(), Failure> {
        let OperatorContext { max_parallelism, parallelism, attempt, .. } = context;
        self.key_states = KeyedStates::new(*max_parallelism, *parallelism, attempt.subtask);
        self.window_states = KeyedStates::new(*max_parallelism, *parallelism, attempt.subtask);
        self.sides = SideOutputs::new(&context.side_outputs);
        let mut ctx = WindowRuntimeContext {
            key: KeyedRuntimeContext::new(context, &mut self.key_states, None),
            window: KeyedRuntimeContext::new(context, &mut self.window_states, None),
        };
        result.open(&mut ctx)?;
        ctx.key.close()?;
        ctx.window.close()?;
        match self.key_states.names().find(|name| self.window_states.names().any(|other| other == *name)) {
            Some(name) => Err(Failure::permanent(format!(
                "state \"{name}\" is obtained by key and by window; rename one of both"
            ))),
            None => Ok(()),
        }
    }

    /// The context in which a window is emitted or given up. Each pays for looking at some state that may have expired.
    pub(super) fn context(
        &mut self,
        hash: u64,
        key: (K, TimeWindow),
        pane: PaneInfo,
        now: Now,
    ) -> WindowContext<'_, K> {
        self.key_states.set_now(now);
        self.window_states.set_now(now);
        self.key_states.clean_up(1);
        self.window_states.clean_up(1);
        WindowContext { core: self, hash, key, pane, now }
    }

    /// Event time has come so far; behind a restart it first comes again to where it was.
    pub(super) fn advance(&mut self, watermark: EventTime) -> EventTime {
        self.watermark = self.watermark.max(watermark);
        self.watermark
    }

    /// Number of key groups.
    pub(super) fn max_parallelism(&self) -> u32 {
        self.key_states.max_parallelism()
    }

    /// What the user's function and event time hold now.
    ///
    /// # Errors
    /// As [`KeyedStates::freeze`].
    pub(super) fn snapshot(&mut self, into: &mut Snapshot) -> Result<(), Failure> {
        self.key_states.freeze(into)?;
        self.window_states.freeze(into)?;
        into.unkeyed(WATERMARK, vec![self.watermark]);
        Ok(())
    }

    /// Behind `open`.
    pub(super) fn restore(&mut self, from: &mut dyn Restore) -> Result<(), Failure> {
        self.key_states.restore(from)?;
        self.window_states.restore(from)?;
        restore_watermark(from, &mut self.watermark)
    }
}

/// Name of the watermark in snapshots.
pub(in super::super) const WATERMARK: &str = "_watermark";

/// So that what has been emitted, or was late, is so again: Flink begins anew here.
pub(in super::super) fn restore_watermark(from: &mut dyn Restore, watermark: &mut EventTime) -> Result<(), Failure> {
    from.visit(WATERMARK, &mut |section| section.each(|stood: EventTime| *watermark = stood.max(*watermark)))
}

/// Folds the records of a window.
pub(crate) trait WindowAggregate<T>: Clone + Send + Sync + 'static {
    /// What has been folded so far.
    type Accumulator: Record;

    /// Begins with a first record.
    fn start(&mut self, record: T) -> Self::Accumulator;

    /// Folds a further record in.
    fn add(&mut self, accumulator: &mut Self::Accumulator, record: T);

    /// Folds the records of another accumulator in, which came behind.
    fn merge(&mut self, accumulator: &mut Self::Accumulator, other: Self::Accumulator);
}

/// An associative aggregate of a value of each record.
pub(crate) struct Folded<F, V, G> {
    pub(crate) value: F,
    pub(crate) aggregate: G,
    pub(crate) types: PhantomData<fn() -> V>,
}

impl<F: Clone, V, G: Clone> Clone for Folded<F, V, G> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), aggregate: self.aggregate.clone(), types: PhantomData }
    }
}

impl<T, F, V, G> WindowAggregate<T> for Folded<F, V, G>
where
    F: FnMut(T) -> V + Clone + Send + Sync + 'static,
    V: Record,
    G: Aggregate<V>,
{
    type Accumulator = G::Accumulator;

    #[inline]
    fn start(&mut self, record: T) -> G::Accumulator {
        self.aggregate.start((self.value)(record))
    }

    #[inline]
    fn add(&mut self, accumulator: &mut G::Accumulator, record: T) {
        self.aggregate.add(accumulator, (self.value)(record));
    }

    fn merge(&mut self, accumulator: &mut G::Accumulator, other: G::Accumulator) {
        self.aggregate.add(accumulator, G::value(other));
    }
}

/// Keeps the records themselves.
#[derive(Clone, Copy)]
pub(crate) struct Gathered;

impl<T: Record> WindowAggregate<T> for Gathered {
    type Accumulator = Vec<T>;

    fn start(&mut self, record: T) -> Vec<T> {
        vec![record]
    }

    fn add(&mut self, records: &mut Vec<T>, record: T) {
        records.push(record);
    }

    fn merge(&mut self, records: &mut Vec<T>, mut other: Vec<T>) {
        records.append(&mut other);
    }
}

/// Makes records of an accumulator.
pub(crate) trait WindowResult<K: Key, A>: Clone + Send + Sync + 'static {
    /// What it emits.
    type Out: Record;

    /// Before everything else.
    fn open(&mut self, ctx: &mut WindowRuntimeContext<'_, K>) -> Result<(), Failure> {
        let _ = ctx;
        Ok(())
    }

    /// The window emits.
    fn emit(&mut self, accumulator: A, ctx: WindowContext<'_, K>, out: &mut Collector<'_, Self::Out>);

    /// The window is given up.
    fn clear(&mut self, ctx: WindowContext<'_, K>) {
        drop(ctx);
    }

    /// Whether [`WindowResult::clear`] does anything.
    const CLEARS: bool = false;
}

/// The value, with or without its key.
pub(crate) struct Shaped<V, G, S>(pub(crate) S, pub(crate) PhantomData<fn() -> (V, G)>);

impl<V, G, S: Clone> Clone for Shaped<V, G, S> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

impl<K, V, G, S> WindowResult<K, G::Accumulator> for Shaped<V, G, S>
where
    K: Key,
    V: Record,
    G: Aggregate<V>,
    S: Shape<K, V>,
{
    type Out = S::Out;

    #[inline]
    fn emit(&mut self, accumulator: G::Accumulator, ctx: WindowContext<'_, K>, out: &mut Collector<'_, S::Out>) {
        out.collect(self.0.owned(ctx.key.0, G::value(accumulator)));
    }
}

/// What a user's function makes of the input that is made of the accumulator.
pub(crate) struct Processed<F, C, I, O> {
    pub(crate) function: F,
    pub(crate) input: C,
    pub(crate) types: PhantomData<fn(I) -> O>,
}

impl<F: Clone, C: Clone, I, O> Clone for Processed<F, C, I, O> {
    fn clone(&self) -> Self {
        Self { function: self.function.clone(), input: self.input.clone(), types: PhantomData }
    }
}

impl<K, A, I, O, F, C> WindowResult<K, A> for Processed<F, C, I, O>
where
    K: Key,
    I: 'static,
    O: Record,
    F: ProcessWindowFunction<K, I, O> + Clone + Sync,
    C: Fn(A) -> I + Clone + Send + Sync + 'static,
{
    type Out = O;

    const CLEARS: bool = true;

    fn open(&mut self, ctx: &mut WindowRuntimeContext<'_, K>) -> Result<(), Failure> {
        self.function.open(ctx)
    }

    fn emit(&mut self, accumulator: A, mut ctx: WindowContext<'_, K>, out: &mut Collector<'_, O>) {
        self.function.process((self.input)(accumulator), &mut ctx, out);
    }

    fn clear(&mut self, mut ctx: WindowContext<'_, K>) {
        self.function.clear(&mut ctx);
    }
}

/// The result of a user's aggregate function.
pub(crate) fn result_of<T: Record, F: AggregateFunction<T>>(function: &F, part: &Part<T, F::Accumulator>) -> F::Output {
    match part {
        Part::Folded(accumulator) => function.get_result(accumulator),
        Part::One(_) => unreachable!("a record alone is never an accumulator"),
    }
}
