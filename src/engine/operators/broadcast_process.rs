//! Functions over a stream and another that is broadcast: rules, settings, models.

use std::marker::PhantomData;

use super::keyed_context::{KeyedContext, KeyedCore, Timer};
use super::process::{EventClock, ProcessContext, each_row};
use super::side_output::{OutputTag, SideOutputs};
use super::{
    Collector, FunctionInitializationContext, FunctionSnapshotContext, KeyedRuntimeContext, Operator, OperatorContext,
    Output, Restore, RuntimeContext, Snapshot,
};
use crate::engine::record::{Batch, Key, Record, Rows};
use crate::engine::state::{BroadcastRead, BroadcastStates, BroadcastWrite, KeyedState};
use crate::graph::task::Failure;
use crate::time::{EventTime, Now};

/// What is done with the records of a stream that is not keyed, and of another whose records come to every subtask. Flink's class
/// of that name.
///
/// Broadcast state is a field, which `open` fills; records of the broadcast input write it, those of the other read it.
pub trait BroadcastProcessFunction<A: Record, B: Record, O: Record>: Send + 'static {
    /// Called once, before all others: the place to obtain broadcast state.
    ///
    /// # Errors
    /// Fails the subtask.
    fn open(&mut self, ctx: &mut RuntimeContext<'_>) -> Result<(), Failure> {
        let _ = ctx;
        Ok(())
    }

    /// Takes a record of the stream, emits any number.
    fn process_element(&mut self, record: A, ctx: &mut ProcessContext<'_>, out: &mut Collector<'_, O>);

    /// Takes a record that came to every subtask, emits any number from each. What it writes must depend on the record and the
    /// broadcast state alone, so that the state stays the same everywhere.
    fn process_broadcast_element(&mut self, record: B, ctx: &mut BroadcastContext<'_>, out: &mut Collector<'_, O>);

    /// Takes up lists that belong to no key: see [`FunctionSnapshotContext`]. Called once, behind `open`, whether or not the job goes on
    /// from a checkpoint.
    ///
    /// # Errors
    /// Fails the subtask.
    fn initialize_state(&mut self, ctx: &mut FunctionInitializationContext<'_>) -> Result<(), Failure> {
        let _ = ctx;
        Ok(())
    }

    /// Puts lists down that belong to no key: a checkpoint is taken. States by key are in it anyway.
    ///
    /// # Errors
    /// Fails the subtask.
    fn snapshot_state(&mut self, ctx: &mut FunctionSnapshotContext<'_>) -> Result<(), Failure> {
        let _ = ctx;
        Ok(())
    }

    /// Called once, when all of both inputs has been processed. A subtask that fails or is cancelled drops its function without.
    ///
    /// # Errors
    /// Fails the subtask.
    fn close(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// What is done with the records of a keyed stream, and of another whose records come to every subtask. Flink's class of that
/// name.
///
/// ```
/// use flott::prelude::*;
///
/// /// Lets those orders through that exceed the limit of their kind, and counts them by customer.
/// #[derive(Clone, Default)]
/// struct Limits {
///     limits: BroadcastState<Str, u64>,
///     count: ValueState<u64>,
/// }
///
/// type Order = (u64, Str, u64);
///
/// impl KeyedBroadcastProcessFunction<u64, Order, (Str, u64), (Order, u64)> for Limits {
///     fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u64>) -> Result<(), Failure> {
///         self.limits = ctx.broadcast_state("limits");
///         self.count = ctx.value_state("count");
///         Ok(())
///     }
///
///     fn process_element(
///         &mut self,
///         order: Order,
///         ctx: &mut KeyedContext<'_, u64>,
///         out: &mut Collector<'_, (Order, u64)>,
///     ) {
///         if self.limits.get(ctx, &order.1).is_some_and(|limit| order.2 > *limit) {
///             let count = self.count.get_or_default(ctx);
///             *count += 1;
///             out.collect((order, *count));
///         }
///     }
///
///     fn process_broadcast_element(
///         &mut self,
///         (kind, limit): (Str, u64),
///         ctx: &mut KeyedBroadcastContext<'_, u64>,
///         _out: &mut Collector<'_, (Order, u64)>,
///     ) {
///         self.limits.put(ctx, kind, limit);
///     }
/// }
///
/// let env = StreamExecutionEnvironment::new();
/// let orders = env.from_collection([(7, Str::from("tea"), 900u64), (7, Str::from("milk"), 20)]);
/// let limits = env.from_collection([(Str::from("tea"), 500u64)]);
/// orders.key_by(|order| order.0).connect_broadcast(&limits).process(Limits::default()).print();
/// env.execute("limits")?;
/// # Ok::<(), flott::Error>(())
/// ```
pub trait KeyedBroadcastProcessFunction<K: Key, A: Record, B: Record, O: Record>: Send + 'static {
    /// Called once, before all others: the place to obtain states.
    ///
    /// # Errors
    /// Fails the subtask.
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, K>) -> Result<(), Failure> {
        let _ = ctx;
        Ok(())
    }

    /// Takes a record of the keyed stream, emits any number. Its key is current.
    fn process_element(&mut self, record: A, ctx: &mut KeyedContext<'_, K>, out: &mut Collector<'_, O>);

    /// Takes a record that came to every subtask, emits any number from each. No key is current. What it writes to broadcast
    /// state must depend on the record and the broadcast state alone, so that the state stays the same everywhere.
    fn process_broadcast_element(
        &mut self,
        record: B,
        ctx: &mut KeyedBroadcastContext<'_, K>,
        out: &mut Collector<'_, O>,
    );

    /// A timer fires. Its key is current.
    fn on_timer(&mut self, timer: Timer, ctx: &mut KeyedContext<'_, K>, out: &mut Collector<'_, O>) {
        let _ = (timer, ctx, out);
    }

    /// Takes up lists that belong to no key: see [`FunctionSnapshotContext`]. Called once, behind `open`, whether or not the job goes on
    /// from a checkpoint.
    ///
    /// # Errors
    /// Fails the subtask.
    fn initialize_state(&mut self, ctx: &mut FunctionInitializationContext<'_>) -> Result<(), Failure> {
        let _ = ctx;
        Ok(())
    }

    /// Puts lists down that belong to no key: a checkpoint is taken. States by key are in it anyway.
    ///
    /// # Errors
    /// Fails the subtask.
    fn snapshot_state(&mut self, ctx: &mut FunctionSnapshotContext<'_>) -> Result<(), Failure> {
        let _ = ctx;
        Ok(())
    }

    /// Called once, when all of both inputs has been processed. A subtask that fails or is cancelled drops its function without.
    ///
    /// # Errors
    /// Fails the subtask.
    fn close(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// What a function sees besides a record of its broadcast input: it may write broadcast state.
pub struct BroadcastContext<'a> {
    sides: &'a mut SideOutputs,
    broadcast: &'a mut BroadcastStates,
    now: Now,
    event: EventClock,
}

impl BroadcastContext<'_> {
    /// Emits a record to a side output. One that nothing reads takes it for nothing.
    ///
    /// # Panics
    /// When the side output is read by a tag of another type.
    pub fn side_output<T: Record>(&mut self, tag: &OutputTag<T>, record: T) {
        self.sides.push(tag, record);
    }

    /// The processing time: the clock of this machine, read once a batch.
    pub fn current_processing_time(&self) -> Now {
        self.now
    }

    /// The record's timestamp, if it has one. What is emitted for it has the same.
    pub fn timestamp(&self) -> Option<EventTime> {
        self.event.timestamp
    }

    /// How far event time has come on both inputs.
    pub fn current_watermark(&self) -> EventTime {
        self.event.watermark
    }
}

impl BroadcastRead for BroadcastContext<'_> {
    fn broadcast_states(&self) -> &BroadcastStates {
        self.broadcast
    }
}

impl BroadcastWrite for BroadcastContext<'_> {
    fn broadcast_states_mut(&mut self) -> &mut BroadcastStates {
        self.broadcast
    }
}

/// What a keyed function sees besides a record of its broadcast input: it may write broadcast state, and change the state of all
/// keys.
pub struct KeyedBroadcastContext<'a, K> {
    core: &'a mut KeyedCore<K>,
    now: Now,
    timestamp: Option<EventTime>,
}

impl<K: Key> KeyedBroadcastContext<'_, K> {
    /// Emits a record to a side output. One that nothing reads takes it for nothing.
    ///
    /// # Panics
    /// When the side output is read by a tag of another type.
    pub fn side_output<T: Record>(&mut self, tag: &OutputTag<T>, record: T) {
        self.core.sides.push(tag, record);
    }

    /// The processing time: the clock of this machine, read once a batch.
    pub fn current_processing_time(&self) -> Now {
        self.now
    }

    /// The record's timestamp, if it has one. What is emitted for it has the same.
    pub fn timestamp(&self) -> Option<EventTime> {
        self.timestamp
    }

    /// How far event time has come on both inputs.
    pub fn current_watermark(&self) -> EventTime {
        self.core.watermark()
    }

    /// Calls `apply` with each key of this subtask that has an entry in `state` current, in no order that means anything: it may
    /// read and change all states of that key, and its timers.
    ///
    /// It costs a walk through the whole state: for rare records, such as a rule that is withdrawn.
    pub fn apply_to_keyed_state<S: KeyedState>(&mut self, state: &S, mut apply: impl FnMut(&mut KeyedContext<'_, K>)) {
        // The keys are copied first, since what is applied may remove any of them.
        for key in state.keys(&self.core.states) {
            self.core.with_key(&key, self.now, &mut apply);
        }
    }
}

impl<K> BroadcastRead for KeyedBroadcastContext<'_, K> {
    fn broadcast_states(&self) -> &BroadcastStates {
        &self.core.broadcast
    }
}

impl<K> BroadcastWrite for KeyedBroadcastContext<'_, K> {
    fn broadcast_states_mut(&mut self) -> &mut BroadcastStates {
        &mut self.core.broadcast
    }
}

/// The input of the stream that is not broadcast.
const RECORDS: u32 = 0;

/// Runs a [`BroadcastProcessFunction`].
pub(crate) struct BroadcastProcess<A, B, O, F> {
    function: F,
    sides: SideOutputs,
    watermark: EventTime,
    broadcast: BroadcastStates,
    types: PhantomData<fn(A, B) -> O>,
}

impl<A, B, O, F> BroadcastProcess<A, B, O, F> {
    /// Runs `function`.
    pub(crate) fn new(function: F) -> Self {
        let (sides, broadcast) = (SideOutputs::default(), BroadcastStates::default());
        Self { function, sides, watermark: EventTime::MIN, broadcast, types: PhantomData }
    }
}

impl<A, B, O, F> Operator for BroadcastProcess<A, B, O, F>
where
    A: Record,
    B: Record,
    O: Record,
    F: BroadcastProcessFunction<A, B, O>,
{
    fn open(&mut self, context: &OperatorContext) -> Result<(), Failure> {
        self.sides = SideOutputs::new(&context.side_outputs);
        let mut ctx = RuntimeContext::new(context, Some(&mut self.broadcast));
        self.function.open(&mut ctx)?;
        ctx.close()
    }

    fn process(&mut self, input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure> {
        let (Self { function, sides, watermark, broadcast, .. }, now) = (self, out.now());
        let event = EventClock::at(*watermark);
        if input == RECORDS {
            let ctx = ProcessContext { sides, broadcast, now, event };
            return each_row(batch, ctx, out, |record: A, ctx, out| function.process_element(record, ctx, out));
        }
        let mut collector = Collector::new(out);
        let mut ctx = BroadcastContext { sides, broadcast, now, event };
        let Rows(records, times) = Rows::<B>::of(batch);
        for (i, record) in records.into_iter().enumerate() {
            ctx.event.timestamp = times.get(i);
            collector.at(ctx.event.timestamp);
            ctx.sides.at(ctx.event.timestamp);
            function.process_broadcast_element(record, &mut ctx, &mut collector);
            ctx.sides.hand_on_full(&mut collector);
            if collector.has_failed() {
                break;
            }
        }
        ctx.sides.hand_on(&mut collector);
        collector.finish()
    }

    fn on_watermark(&mut self, watermark: EventTime, _out: &mut dyn Output) -> Result<(), Failure> {
        self.watermark = watermark;
        Ok(())
    }

    fn snapshot(&mut self, into: &mut Snapshot) -> Result<(), Failure> {
        self.broadcast.freeze(into);
        self.function.snapshot_state(&mut FunctionSnapshotContext::new(into))
    }

    fn restore(&mut self, from: &mut dyn Restore) -> Result<(), Failure> {
        self.broadcast.restore(from)?;
        self.function.initialize_state(&mut FunctionInitializationContext::new(from))
    }

    fn finish(&mut self, _out: &mut dyn Output) -> Result<Vec<serde_json::Value>, Failure> {
        self.function.close()?;
        Ok(Vec::new())
    }
}

/// Runs a [`KeyedBroadcastProcessFunction`].
pub(crate) struct KeyedBroadcastProcess<K, A, B, O, F> {
    function: F,
    core: KeyedCore<K>,
    types: PhantomData<fn(A, B) -> O>,
}

impl<K: Key, A, B, O, F> KeyedBroadcastProcess<K, A, B, O, F> {
    /// Runs `function`.
    pub(crate) fn new(function: F) -> Self {
        Self { function, core: KeyedCore::new(), types: PhantomData }
    }
}

impl<K, A, B, O, F> Operator for KeyedBroadcastProcess<K, A, B, O, F>
where
    K: Key,
    A: Record,
    B: Record,
    O: Record,
    F: KeyedBroadcastProcessFunction<K, A, B, O>,
{
    fn open(&mut self, context: &OperatorContext) -> Result<(), Failure> {
        self.core.open(context);
        let KeyedCore { states, broadcast, .. } = &mut self.core;
        let mut ctx = KeyedRuntimeContext::new(context, states, Some(broadcast));
        self.function.open(&mut ctx)?;
        ctx.close()
    }

    fn process(&mut self, input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure> {
        let (Self { function, core, .. }, now) = (self, out.now());
        if input == RECORDS {
            return core.each_row(batch, out, |record: A, ctx, out| function.process_element(record, ctx, out));
        }
        let mut collector = Collector::new(out);
        let Rows(records, times) = Rows::<B>::of(batch);
        for (i, record) in records.into_iter().enumerate() {
            let timestamp = times.get(i);
            collector.at(timestamp);
            core.sides.at(timestamp);
            let mut ctx = KeyedBroadcastContext { core, now, timestamp };
            function.process_broadcast_element(record, &mut ctx, &mut collector);
            core.sides.hand_on_full(&mut collector);
            if collector.has_failed() {
                break;
            }
        }
        core.sides.hand_on(&mut collector);
        collector.finish().and(core.states.settle())
    }

    fn next_timer(&self) -> Option<Now> {
        self.core.next_timer()
    }

    fn on_processing_time(&mut self, now: Now, out: &mut dyn Output) -> Result<(), Failure> {
        let Self { function, core, .. } = self;
        core.fire(now, out, |timer, ctx, out| function.on_timer(timer, ctx, out))
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut dyn Output) -> Result<(), Failure> {
        let Self { function, core, .. } = self;
        core.advance(watermark, out, |timer, ctx, out| function.on_timer(timer, ctx, out))
    }

    fn snapshot(&mut self, into: &mut Snapshot) -> Result<(), Failure> {
        self.core.snapshot(into)?;
        self.function.snapshot_state(&mut FunctionSnapshotContext::new(into))
    }

    fn restore(&mut self, from: &mut dyn Restore) -> Result<(), Failure> {
        self.core.restore(from)?;
        self.function.initialize_state(&mut FunctionInitializationContext::new(from))
    }

    fn finish(&mut self, out: &mut dyn Output) -> Result<Vec<serde_json::Value>, Failure> {
        let Self { function, core, .. } = self;
        core.end(out, |timer, ctx, out| function.on_timer(timer, ctx, out))?;
        function.close()?;
        Ok(Vec::new())
    }
}
