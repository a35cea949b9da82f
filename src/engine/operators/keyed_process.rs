//! Functions that see each record with its context: keyed ones.

use std::marker::PhantomData;

use super::keyed_context::{KeyedContext, KeyedCore, Timer};
use super::{
    Collector, FunctionInitializationContext, FunctionSnapshotContext, KeyedRuntimeContext, Operator, OperatorContext,
    Output, Restore, Snapshot,
};
use crate::engine::record::{Batch, Key, Record};
use crate::graph::task::Failure;
use crate::time::{EventTime, Now};

/// What is done with each record of a keyed stream, with state and timers by key. Flink's class of that name.
///
/// Each subtask works with a clone of the function that was given to `process`. States are fields, which `open` fills: see
/// [`ValueState`](crate::engine::state::ValueState) for a whole function. A closure of the arguments of
/// [`KeyedProcessFunction::process_element`] is one, without states; name their types.
///
/// ```
/// use std::time::Duration;
///
/// use flott::prelude::*;
///
/// /// Emits the keys that have been silent for a minute.
/// #[derive(Clone, Default)]
/// struct Silent {
///     alarm: ValueState<Now>,
/// }
///
/// impl KeyedProcessFunction<u64, u64, u64> for Silent {
///     fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u64>) -> Result<(), Failure> {
///         self.alarm = ctx.value_state("alarm");
///         Ok(())
///     }
///
///     fn process_element(&mut self, _sensor: u64, ctx: &mut KeyedContext<'_, u64>, _out: &mut Collector<'_, u64>) {
///         if let Some(before) = self.alarm.take(ctx) {
///             ctx.timer_service().delete_processing_time_timer(before);
///         }
///         let alarm = ctx.current_processing_time() + Duration::from_secs(60);
///         ctx.timer_service().register_processing_time_timer(alarm);
///         self.alarm.update(ctx, alarm);
///     }
///
///     fn on_timer(&mut self, _timer: Timer, ctx: &mut KeyedContext<'_, u64>, out: &mut Collector<'_, u64>) {
///         self.alarm.clear(ctx);
///         out.collect(*ctx.current_key());
///     }
/// }
///
/// let env = StreamExecutionEnvironment::new();
/// let sensors = env.from_collection([7, 8, 7u64]);
/// let mut silent = sensors.key_by(|sensor| *sensor).process(Silent::default()).execute_and_collect("silent")?;
/// silent.sort();
/// assert_eq!(silent, [7, 8]); // In batch mode the end of the input is the end of time.
/// # Ok::<(), flott::Error>(())
/// ```
pub trait KeyedProcessFunction<K: Key, I: Record, O: Record>: Send + 'static {
    /// Called once, before all others: the place to obtain states.
    ///
    /// # Errors
    /// Fails the subtask.
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, K>) -> Result<(), Failure> {
        let _ = ctx;
        Ok(())
    }

    /// Takes a record, emits any number. Its key is current.
    fn process_element(&mut self, record: I, ctx: &mut KeyedContext<'_, K>, out: &mut Collector<'_, O>);

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

    /// Called once, when all input has been processed. A subtask that fails or is cancelled drops its function without; what has
    /// to be released in any case belongs into a `Drop`.
    ///
    /// # Errors
    /// Fails the subtask.
    fn close(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

impl<K, I, O, F> KeyedProcessFunction<K, I, O> for F
where
    K: Key,
    I: Record,
    O: Record,
    F: FnMut(I, &mut KeyedContext<'_, K>, &mut Collector<'_, O>) + Send + 'static,
{
    fn process_element(&mut self, record: I, ctx: &mut KeyedContext<'_, K>, out: &mut Collector<'_, O>) {
        self(record, ctx, out);
    }
}

/// Runs a [`KeyedProcessFunction`].
pub(crate) struct KeyedProcess<K, I, O, F> {
    function: F,
    core: KeyedCore<K>,
    types: PhantomData<fn(I) -> O>,
}

impl<K: Key, I, O, F> KeyedProcess<K, I, O, F> {
    /// Runs `function`.
    pub(crate) fn new(function: F) -> Self {
        Self { function, core: KeyedCore::new(), types: PhantomData }
    }
}

impl<K: Key, I: Record, O: Record, F: KeyedProcessFunction<K, I, O>> Operator for KeyedProcess<K, I, O, F> {
    fn open(&mut self, context: &OperatorContext) -> Result<(), Failure> {
        self.core.open(context);
        let mut ctx = KeyedRuntimeContext::new(context, &mut self.core.states, None);
        self.function.open(&mut ctx)?;
        ctx.close()
    }

    fn process(&mut self, _input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure> {
        let Self { function, core, .. } = self;
        core.each_row(batch, out, |record: I, ctx, out| function.process_element(record, ctx, out))
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
