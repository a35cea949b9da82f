//! Functions that see each record with its context: plain ones.

use std::marker::PhantomData;

use super::side_output::{OutputTag, SideOutputs};
use super::{
    Collector, FunctionInitializationContext, FunctionSnapshotContext, Operator, OperatorContext, Output, Restore,
    RuntimeContext, Snapshot,
};
use crate::engine::record::{Batch, Record, Rows};
use crate::engine::state::{BroadcastRead, BroadcastStates};
use crate::graph::task::Failure;
use crate::time::{EventTime, Now};

/// What is done with each record of a stream that is not keyed. Flink's class of that name.
///
/// Each subtask works with a clone of the function that was given to `process`. A closure of the arguments of
/// [`ProcessFunction::process_element`] is one; name their types: `|n: u64, ctx: &mut ProcessContext<'_>, out: &mut
/// Collector<'_, u64>| …`. See [`OutputTag`] for an example.
pub trait ProcessFunction<I: Record, O: Record>: Send + 'static {
    /// Called once, before all others.
    ///
    /// # Errors
    /// Fails the subtask.
    fn open(&mut self, ctx: &mut RuntimeContext<'_>) -> Result<(), Failure> {
        let _ = ctx;
        Ok(())
    }

    /// Takes a record, emits any number.
    fn process_element(&mut self, record: I, ctx: &mut ProcessContext<'_>, out: &mut Collector<'_, O>);

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

impl<I, O, F> ProcessFunction<I, O> for F
where
    I: Record,
    O: Record,
    F: FnMut(I, &mut ProcessContext<'_>, &mut Collector<'_, O>) + Send + 'static,
{
    fn process_element(&mut self, record: I, ctx: &mut ProcessContext<'_>, out: &mut Collector<'_, O>) {
        self(record, ctx, out);
    }
}

/// What a function that is not keyed sees besides the record.
pub struct ProcessContext<'a> {
    pub(super) sides: &'a mut SideOutputs,
    pub(super) broadcast: &'a BroadcastStates,
    pub(super) now: Now,
    pub(super) event: EventClock,
}

impl ProcessContext<'_> {
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

    /// How far event time has come: no record is expected whose timestamp is earlier or the same. [`EventTime::MIN`] before the
    /// first watermark.
    pub fn current_watermark(&self) -> EventTime {
        self.event.watermark
    }
}

/// Event time, as a function sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventClock {
    /// Of the record, or of the timer.
    pub(super) timestamp: Option<EventTime>,
    pub(super) watermark: EventTime,
}

impl EventClock {
    /// Without a record.
    pub(super) fn at(watermark: EventTime) -> Self {
        Self { timestamp: None, watermark }
    }
}

impl BroadcastRead for ProcessContext<'_> {
    fn broadcast_states(&self) -> &BroadcastStates {
        self.broadcast
    }
}

/// Calls `element` with each row of a batch, and hands on what it emits.
pub(super) fn each_row<T: Record, O: Record>(
    batch: Box<dyn Batch>,
    mut ctx: ProcessContext<'_>,
    out: &mut dyn Output,
    mut element: impl FnMut(T, &mut ProcessContext<'_>, &mut Collector<'_, O>),
) -> Result<(), Failure> {
    let mut collector = Collector::new(out);
    let Rows(records, times) = Rows::<T>::of(batch);
    for (i, record) in records.into_iter().enumerate() {
        if !times.is_none() {
            ctx.event.timestamp = times.get(i);
            collector.at(ctx.event.timestamp);
        }
        ctx.sides.at(ctx.event.timestamp);
        element(record, &mut ctx, &mut collector);
        ctx.sides.hand_on_full(&mut collector);
        if collector.has_failed() {
            break;
        }
    }
    ctx.sides.hand_on(&mut collector);
    collector.finish()
}

/// Runs a [`ProcessFunction`].
pub(crate) struct Process<I, O, F> {
    function: F,
    sides: SideOutputs,
    watermark: EventTime,
    /// Empty: one input writes none.
    broadcast: BroadcastStates,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O, F> Process<I, O, F> {
    /// Runs `function`.
    pub(crate) fn new(function: F) -> Self {
        let (sides, broadcast) = (SideOutputs::default(), BroadcastStates::default());
        Self { function, sides, watermark: EventTime::MIN, broadcast, types: PhantomData }
    }
}

impl<I: Record, O: Record, F: ProcessFunction<I, O>> Operator for Process<I, O, F> {
    fn open(&mut self, context: &OperatorContext) -> Result<(), Failure> {
        self.sides = SideOutputs::new(&context.side_outputs);
        let mut ctx = RuntimeContext::new(context, None);
        self.function.open(&mut ctx)?;
        ctx.close()
    }

    fn process(&mut self, _input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure> {
        let Self { function, sides, watermark, broadcast, .. } = self;
        let ctx = ProcessContext { sides, broadcast, now: out.now(), event: EventClock::at(*watermark) };
        each_row(batch, ctx, out, |record: I, ctx, out| function.process_element(record, ctx, out))
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
