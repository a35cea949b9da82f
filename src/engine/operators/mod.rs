//! What runs inside a subtask: the traits of operators, sources and sinks, and the operators themselves.
//!
//! ```text
//! SplitEnumerator ─splits─► SourceReader ─► Operator ─► … ─► Sink's writer ─committables─► Sink::commit
//! (beside subtask 0)        (each subtask)                    (each subtask)              (once, when decided)
//! ```
//!
//! Everything here runs on the subtask's thread and may block it for as long as user code does; nothing here knows threads,
//! networks or processes. Failures are values ([`Failure`]); a panic in user code is caught by the runtime.

mod accumulators;
mod aggregate;
mod aggregate_function;
mod aggregating_state;
mod async_port;
mod async_wait;
mod bad_records;
mod broadcast_process;
mod by_key;
mod co_process;
mod flat_map;
mod function_state;
mod interval_join;
mod keyed_aggregate;
mod keyed_context;
mod keyed_process;
mod keyed_sender;
mod map;
mod partition_custom;
mod process;
mod program;
mod runtime_context;
mod side_output;
mod sink;
mod source;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests_connected;
#[cfg(test)]
mod tests_event_time;
#[cfg(test)]
mod tests_process;
mod timestamps_and_watermarks;
mod try_map;
mod watermark_strategy;
mod window;

pub use accumulators::{
    Accumulator, AccumulatorHandle, AverageAccumulator, DoubleCounter, DoubleMaximum, DoubleMinimum, Histogram,
    IntCounter, IntMaximum, IntMinimum, ListAccumulator, LongCounter, LongMaximum, LongMinimum,
};
pub(crate) use accumulators::{SubtaskAccumulators, nothing};
pub(crate) use aggregate::{Aggregate, Best, BestBy, KeyAndValue, Reduce, Shape, Sum, ValueOnly};
pub use aggregate_function::AggregateFunction;
pub(crate) use aggregate_function::{Custom, KeyAndResult, Part};
pub use aggregating_state::AggregatingState;
pub(crate) use async_port::AsyncPort;
#[cfg(test)]
pub(crate) use async_port::Detached;
pub(crate) use async_wait::{AsyncWait, OnTimeout, ResultOrder, Wait};
pub(crate) use bad_records::DEAD_LETTERS;
pub use bad_records::{BadRecords, DeadLetter, OnError, Origin};
pub use broadcast_process::{
    BroadcastContext, BroadcastProcessFunction, KeyedBroadcastContext, KeyedBroadcastProcessFunction,
};
pub(crate) use broadcast_process::{BroadcastProcess, KeyedBroadcastProcess};
pub(crate) use by_key::ByKey;
pub(crate) use co_process::{CoFlatMap, CoProcess, KeyedCoProcess};
pub use co_process::{CoProcessFunction, KeyedCoProcessFunction};
pub use flat_map::Collector;
pub(crate) use flat_map::FlatMap;
pub use function_state::{FunctionInitializationContext, FunctionSnapshotContext};
pub(crate) use interval_join::{Interval, IntervalJoin};
pub use interval_join::{JoinContext, ProcessJoinFunction};
pub(crate) use keyed_aggregate::KeyedAggregate;
pub use keyed_context::{KeyedContext, Timer, TimerService};
pub(crate) use keyed_process::KeyedProcess;
pub use keyed_process::KeyedProcessFunction;
pub(crate) use keyed_sender::{KeySelector, KeyedSender, key_selector};
pub(crate) use map::{Filter, Map};
pub(crate) use partition_custom::{PartitionCustom, router};
pub(crate) use process::Process;
pub use process::{ProcessContext, ProcessFunction};
pub use program::{OperatorContext, ProgramCode, ProgramGraph, ProgramOperator};
pub use runtime_context::{ExpiringStates, KeyedRuntimeContext, RuntimeContext};
pub use side_output::OutputTag;
pub use sink::{ErasedSink, Sink, SinkWriter};
pub use source::{Boundedness, Discovery, ErasedSource, NextDiscovery, Polled, Source, SourceReader, SplitEnumerator};
pub(crate) use timestamps_and_watermarks::TimestampsAndWatermarks;
pub(crate) use try_map::{TryFlatMap, TryMap};
pub use watermark_strategy::{
    RecordTimestamps, TimestampAssigner, WatermarkGenerator, WatermarkOutput, WatermarkStrategy,
};

pub use window::{
    Accumulation, AfterWatermark, ContinuousEventTimeTrigger, CountTrigger, DefaultTrigger, Early, EventTimeTrigger,
    JoinSide, Pane, PaneInfo, Panes, ProcessWindowFunction, ProcessingTimeTrigger, PurgingTrigger, RowKind, TimeWindow,
    Timing, Trigger, TriggerContext, TriggerResult, WindowContext, WindowRuntimeContext, WindowState,
};
pub(crate) use window::{
    Aligned, Assigner, Folded, Gap, Gathered, GatheredSides, Late, Processed, Shaped, SlidingWindow, TimeDomain,
    TumblingWindow, WindowAggregate, WindowOperator, WindowResult, Windowing, millis, result_of,
};

pub use super::record::Waker;
pub use super::state::{Restore, Snapshot};

use super::record::Batch;
use crate::graph::plan::ExecutionMode;
use crate::graph::task::Failure;
use crate::time::{EventTime, Now};

/// When a keyed aggregate emits, in streaming mode.
///
/// In batch mode every aggregate is emitted once a key, at the end of the input, whatever is said here; what streaming emits
/// last for a key is what batch emits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Emission {
    /// The new value of a key with each of its records: Flink's rolling aggregates.
    #[default]
    Updates,
    /// Once a key, when the input ends or the job is stopped with drain. A job that is cancelled emits nothing.
    Final,
}

impl std::str::FromStr for Emission {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "updates" => Ok(Self::Updates),
            "final" => Ok(Self::Final),
            _ => Err(format!("`{text}` is not a moment to emit; choose updates or final")),
        }
    }
}

impl Emission {
    /// Whether nothing is emitted before the end, in this (resolved) mode.
    pub(crate) fn is_final_in(self, mode: ExecutionMode) -> bool {
        self == Self::Final || mode == ExecutionMode::Batch
    }
}

/// One operator of a chain.
///
/// Called by one thread, never concurrently. For each subtask: `open`, then any of the middle ones, then `end_input` once
/// per input and, after the last, `finish`. A subtask that is cancelled or fails is dropped without `finish`.
pub trait Operator: Send {
    /// Before `open`: where its futures run, and what wakes the subtask when one has come to something.
    #[doc(hidden)]
    #[expect(private_interfaces, reason = "only operators of this crate wait for futures")]
    fn connect(&mut self, port: &AsyncPort, waker: &Waker) {
        let _ = (port, waker);
    }

    /// Before everything else.
    ///
    /// # Errors
    /// Fails the subtask.
    fn open(&mut self, context: &OperatorContext) -> Result<(), Failure> {
        let _ = context;
        Ok(())
    }

    /// Takes a non-empty batch that came in on `input` (from 0).
    ///
    /// # Errors
    /// Fails the subtask.
    fn process(&mut self, input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure>;

    /// Event time has reached `watermark` on all inputs. The runtime hands the watermark on behind whatever this emits.
    ///
    /// # Errors
    /// Fails the subtask.
    fn on_watermark(&mut self, watermark: EventTime, out: &mut dyn Output) -> Result<(), Failure> {
        let _ = (watermark, out);
        Ok(())
    }

    /// Whether event time behind this is its own to tell, by [`Output::emit_watermark`]: what comes in is not handed on then, but
    /// for the end of time.
    fn generates_watermarks(&self) -> bool {
        false
    }

    /// The source at the head of the chain reads so many parts of the input side by side, each of which has its own event time, from 0.
    /// Without, it reads one. Which part a batch is of, [`Output::part`] says.
    fn set_parts(&mut self, parts: usize) {
        let _ = parts;
    }

    /// How far event time has come in a part, where this operator generates watermarks from what comes in: of several parts the one that
    /// is furthest behind is read next.
    fn part_time(&self, part: usize) -> Option<EventTime> {
        let _ = part;
        None
    }

    /// Nothing more will come of a part.
    ///
    /// # Errors
    /// Fails the subtask.
    fn end_part(&mut self, part: usize, out: &mut dyn Output) -> Result<(), Failure> {
        let _ = (part, out);
        Ok(())
    }

    /// Whether the subtask may take further input. Until it may, timers fire and mail is read as ever.
    fn accepts_input(&self) -> bool {
        true
    }

    /// Whether nothing that was taken is still under way outside. A watermark, and [`Operator::finish`], wait until it is so.
    fn is_drained(&self) -> bool {
        true
    }

    /// When [`Operator::on_processing_time`] wants to be called next.
    fn next_timer(&self) -> Option<Now> {
        None
    }

    /// The moment [`Operator::next_timer`] named has come.
    ///
    /// # Errors
    /// Fails the subtask.
    fn on_processing_time(&mut self, now: Now, out: &mut dyn Output) -> Result<(), Failure> {
        let _ = (now, out);
        Ok(())
    }

    /// The input pauses, or the flush ceiling has passed: a good moment to flush what people watch.
    ///
    /// # Errors
    /// Fails the subtask.
    fn idle(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Nothing more will come on `input`.
    ///
    /// # Errors
    /// Fails the subtask.
    fn end_input(&mut self, input: u32, out: &mut dyn Output) -> Result<(), Failure> {
        let _ = (input, out);
        Ok(())
    }

    /// Nothing more will come at all: emit what is held back. What a sink returns is prepared output, published when the job
    /// decides so.
    ///
    /// # Errors
    /// Fails the subtask.
    fn finish(&mut self, out: &mut dyn Output) -> Result<Vec<serde_json::Value>, Failure> {
        let _ = out;
        Ok(Vec::new())
    }

    /// A checkpoint's barrier has come on all inputs: emits what is held back without being state. The runtime hands the barrier on
    /// behind it. What a sink returns is prepared output that belongs to the checkpoint, published when that is complete.
    ///
    /// # Errors
    /// Fails the subtask.
    fn before_barrier(&mut self, out: &mut dyn Output) -> Result<Vec<serde_json::Value>, Failure> {
        let _ = out;
        Ok(Vec::new())
    }

    /// Adds what the operator's state holds now. Called behind [`Operator::before_barrier`]; takes no longer than it must, since
    /// another thread writes it.
    ///
    /// # Errors
    /// Fails the subtask.
    fn snapshot(&mut self, into: &mut Snapshot) -> Result<(), Failure> {
        let _ = into;
        Ok(())
    }

    /// Fills the operator's state from a checkpoint. Called once, behind `open`; where the job goes on from none, there is nothing to
    /// be taken.
    ///
    /// # Errors
    /// Fails the subtask.
    fn restore(&mut self, from: &mut dyn Restore) -> Result<(), Failure> {
        let _ = from;
        Ok(())
    }

    /// Records that were malformed and repaired or dropped since the last call.
    fn take_bad_records(&mut self) -> u64 {
        0
    }
}

/// Where an operator or source emits to: the next operators of the chain, or the subtask's result partitions.
///
/// Emitting never blocks; it may overdraw the room downstream, and is charged for it.
pub trait Output {
    /// Hands a non-empty batch on.
    ///
    /// # Errors
    /// That of an operator further down the chain, to be returned at once.
    fn emit(&mut self, batch: Box<dyn Batch>) -> Result<(), Failure>;

    /// Hands a non-empty batch to a side output.
    ///
    /// # Errors
    /// As [`Output::emit`].
    fn emit_side(&mut self, tag: &str, batch: Box<dyn Batch>) -> Result<(), Failure>;

    /// Tells everything behind, side outputs included, that no record comes any more whose timestamp is `watermark` or earlier;
    /// it never goes back. For sources that know of event time, and operators that generate watermarks.
    ///
    /// # Errors
    /// As [`Output::emit`].
    fn emit_watermark(&mut self, watermark: EventTime) -> Result<(), Failure> {
        let _ = watermark;
        Ok(())
    }

    /// Tells everything behind not to wait for this one's event time until it emits something.
    ///
    /// # Errors
    /// As [`Output::emit`].
    fn mark_idle(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Which of the parts that the source at the head of the chain reads side by side is being read.
    fn part(&self) -> usize {
        0
    }

    /// The processing time of this step.
    fn now(&self) -> Now;
}
