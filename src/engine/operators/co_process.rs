//! Functions over two connected streams.

use std::marker::PhantomData;

use super::keyed_context::{KeyedContext, KeyedCore, Timer};
use super::process::{EventClock, ProcessContext, each_row};
use super::side_output::SideOutputs;
use super::{
    Collector, FunctionInitializationContext, FunctionSnapshotContext, KeyedRuntimeContext, Operator, OperatorContext,
    Output, Restore, RuntimeContext, Snapshot,
};
use crate::engine::record::{Batch, Key, Record};
use crate::engine::state::BroadcastStates;
use crate::graph::task::Failure;
use crate::time::{EventTime, Now};

/// What is done with the records of two connected streams that are not keyed. Flink's class of that name.
///
/// Each subtask works with a clone of the function that was given to `process`; what it keeps in its fields, both inputs share.
/// Records of one input come in order; between the inputs there is none.
pub trait CoProcessFunction<A: Record, B: Record, O: Record>: Send + 'static {
    /// Called once, before all others.
    ///
    /// # Errors
    /// Fails the subtask.
    fn open(&mut self, ctx: &mut RuntimeContext<'_>) -> Result<(), Failure> {
        let _ = ctx;
        Ok(())
    }

    /// Takes a record of the first input, emits any number.
    fn process_element1(&mut self, record: A, ctx: &mut ProcessContext<'_>, out: &mut Collector<'_, O>);

    /// Takes a record of the second input, emits any number.
    fn process_element2(&mut self, record: B, ctx: &mut ProcessContext<'_>, out: &mut Collector<'_, O>);

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

/// What is done with the records of two connected streams that have one kind of key: state and timers are those of the key,
/// whichever input its records come in on. Flink's class of that name.
///
/// ```
/// use flott::prelude::*;
///
/// /// Joins each order with its payment, whichever comes first.
/// #[derive(Clone, Default)]
/// struct Paid {
///     order: ValueState<Str>,
///     payment: ValueState<u64>,
/// }
///
/// impl KeyedCoProcessFunction<u64, (u64, Str), (u64, u64), (Str, u64)> for Paid {
///     fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u64>) -> Result<(), Failure> {
///         self.order = ctx.value_state("order");
///         self.payment = ctx.value_state("payment");
///         Ok(())
///     }
///
///     fn process_element1(
///         &mut self,
///         (_, goods): (u64, Str),
///         ctx: &mut KeyedContext<'_, u64>,
///         out: &mut Collector<'_, (Str, u64)>,
///     ) {
///         match self.payment.take(ctx) {
///             Some(amount) => out.collect((goods, amount)),
///             None => self.order.update(ctx, goods),
///         }
///     }
///
///     fn process_element2(
///         &mut self,
///         (_, amount): (u64, u64),
///         ctx: &mut KeyedContext<'_, u64>,
///         out: &mut Collector<'_, (Str, u64)>,
///     ) {
///         match self.order.take(ctx) {
///             Some(goods) => out.collect((goods, amount)),
///             None => self.payment.update(ctx, amount),
///         }
///     }
/// }
///
/// let env = StreamExecutionEnvironment::new();
/// let orders = env.from_collection([(1, Str::from("tea")), (2, Str::from("milk"))]);
/// let payments = env.from_collection([(2, 150u64), (1, 300)]);
/// let paid = orders.connect(&payments).key_by(|order| order.0, |payment| payment.0).process(Paid::default());
/// let mut paid = paid.execute_and_collect("payments")?;
/// paid.sort();
/// assert_eq!(paid, [("milk".into(), 150), ("tea".into(), 300)]);
/// # Ok::<(), flott::Error>(())
/// ```
pub trait KeyedCoProcessFunction<K: Key, A: Record, B: Record, O: Record>: Send + 'static {
    /// Called once, before all others: the place to obtain states.
    ///
    /// # Errors
    /// Fails the subtask.
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, K>) -> Result<(), Failure> {
        let _ = ctx;
        Ok(())
    }

    /// Takes a record of the first input, emits any number. Its key is current.
    fn process_element1(&mut self, record: A, ctx: &mut KeyedContext<'_, K>, out: &mut Collector<'_, O>);

    /// Takes a record of the second input, emits any number. Its key is current.
    fn process_element2(&mut self, record: B, ctx: &mut KeyedContext<'_, K>, out: &mut Collector<'_, O>);

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

/// Two closures, one an input, that know no context: what `map` and `flat_map` of connected streams run.
#[derive(Clone)]
pub(crate) struct CoFlatMap<F, G>(pub(crate) F, pub(crate) G);

impl<A, B, O, F, G> CoProcessFunction<A, B, O> for CoFlatMap<F, G>
where
    A: Record,
    B: Record,
    O: Record,
    F: FnMut(A, &mut Collector<'_, O>) + Send + 'static,
    G: FnMut(B, &mut Collector<'_, O>) + Send + 'static,
{
    fn process_element1(&mut self, record: A, _ctx: &mut ProcessContext<'_>, out: &mut Collector<'_, O>) {
        (self.0)(record, out);
    }

    fn process_element2(&mut self, record: B, _ctx: &mut ProcessContext<'_>, out: &mut Collector<'_, O>) {
        (self.1)(record, out);
    }
}

/// Runs a [`CoProcessFunction`].
pub(crate) struct CoProcess<A, B, O, F> {
    function: F,
    sides: SideOutputs,
    watermark: EventTime,
    /// Empty: neither input writes any.
    broadcast: BroadcastStates,
    types: PhantomData<fn(A, B) -> O>,
}

impl<A, B, O, F> CoProcess<A, B, O, F> {
    /// Runs `function`.
    pub(crate) fn new(function: F) -> Self {
        let (sides, broadcast) = (SideOutputs::default(), BroadcastStates::default());
        Self { function, sides, watermark: EventTime::MIN, broadcast, types: PhantomData }
    }
}

impl<A: Record, B: Record, O: Record, F: CoProcessFunction<A, B, O>> Operator for CoProcess<A, B, O, F> {
    fn open(&mut self, context: &OperatorContext) -> Result<(), Failure> {
        self.sides = SideOutputs::new(&context.side_outputs);
        let mut ctx = RuntimeContext::new(context, None);
        self.function.open(&mut ctx)?;
        ctx.close()
    }

    fn process(&mut self, input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure> {
        let Self { function, sides, watermark, broadcast, .. } = self;
        let ctx = ProcessContext { sides, broadcast, now: out.now(), event: EventClock::at(*watermark) };
        match input {
            0 => each_row(batch, ctx, out, |record: A, ctx, out| function.process_element1(record, ctx, out)),
            _ => each_row(batch, ctx, out, |record: B, ctx, out| function.process_element2(record, ctx, out)),
        }
    }

    fn on_watermark(&mut self, watermark: EventTime, _out: &mut dyn Output) -> Result<(), Failure> {
        self.watermark = watermark;
        Ok(())
    }

    fn snapshot(&mut self, into: &mut Snapshot) -> Result<(), Failure> {
        self.function.snapshot_state(&mut FunctionSnapshotContext::new(into))
    }

    fn restore(&mut self, from: &mut dyn Restore) -> Result<(), Failure> {
        self.function.initialize_state(&mut FunctionInitializationContext::new(from))
    }

    fn finish(&mut self, _out: &mut dyn Output) -> Result<Vec<serde_json::Value>, Failure> {
        self.function.close()?;
        Ok(Vec::new())
    }
}

/// Runs a [`KeyedCoProcessFunction`].
pub(crate) struct KeyedCoProcess<K, A, B, O, F> {
    function: F,
    core: KeyedCore<K>,
    types: PhantomData<fn(A, B) -> O>,
}

impl<K: Key, A, B, O, F> KeyedCoProcess<K, A, B, O, F> {
    /// Runs `function`.
    pub(crate) fn new(function: F) -> Self {
        Self { function, core: KeyedCore::new(), types: PhantomData }
    }
}

impl<K, A, B, O, F> Operator for KeyedCoProcess<K, A, B, O, F>
where
    K: Key,
    A: Record,
    B: Record,
    O: Record,
    F: KeyedCoProcessFunction<K, A, B, O>,
{
    fn open(&mut self, context: &OperatorContext) -> Result<(), Failure> {
        self.core.open(context);
        let mut ctx = KeyedRuntimeContext::new(context, &mut self.core.states, None);
        self.function.open(&mut ctx)?;
        ctx.close()
    }

    fn process(&mut self, input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure> {
        let Self { function, core, .. } = self;
        match input {
            0 => core.each_row(batch, out, |record: A, ctx, out| function.process_element1(record, ctx, out)),
            _ => core.each_row(batch, out, |record: B, ctx, out| function.process_element2(record, ctx, out)),
        }
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
