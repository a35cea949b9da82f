//! The operators of a subtask: a tree, in which a batch goes depth first to the result partitions or to its end.

use std::cell::Cell;
use std::sync::Arc;

use super::ports::Partition;
use super::valve::Progress;
use crate::engine::checkpoint::RestoredStates;
use crate::engine::operators::{Operator, OperatorContext, Output, Snapshot};
use crate::engine::record::{Barrier, Batch};
use crate::graph::plan::NodeIndex;
use crate::graph::task::{Committable, Failure};
use crate::ids::OperatorId;
use crate::time::{EventTime, Now};

/// Where an operator's batches go next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// To an operator of the chain, by position in it.
    Operator(usize),
    /// Out of the subtask, by position among its partitions.
    Partition(usize),
}

/// Where all of an operator's outputs lead.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Routes {
    pub(super) main: Vec<Target>,
    pub(super) side: Vec<(String, Vec<Target>)>,
}

/// One operator in its place.
pub(super) struct ChainOperator {
    pub(super) node: NodeIndex,
    pub(super) id: OperatorId,
    pub(super) code: Box<dyn Operator>,
    pub(super) context: OperatorContext,
    pub(super) routes: Routes,
    /// Event time that waits until what came before it is done: told by an operator before this one in the chain.
    pub(super) waiting: Option<Progress>,
}

impl ChainOperator {
    fn blame(&self, failure: Failure) -> Failure {
        failure.in_operator(&self.context.name)
    }
}

/// What holds during one step. Read and written per batch, never per record.
#[derive(Debug, Default)]
pub(super) struct StepContext {
    pub(super) now: Cell<Now>,
    /// The operator whose code runs: [`SOURCE`] or a position in the chain. After a panic it names the culprit.
    pub(super) current: Cell<usize>,
    /// What a source at the head has emitted.
    pub(super) records_read: Cell<u64>,
    pub(super) records_out: Cell<u64>,
    /// Which part of the input the source at the head reads.
    pub(super) part: Cell<usize>,
    /// Whether an operator has time waiting.
    time_waits: Cell<bool>,
}

/// [`StepContext::current`] of a source at the head.
pub(super) const SOURCE: usize = usize::MAX;

/// All operators of a subtask behind its input, each after the one that feeds it, and its partitions.
pub(super) struct Chain {
    pub(super) operators: Vec<ChainOperator>,
    pub(super) partitions: Vec<Box<dyn Partition>>,
    /// Where a source at the head emits to; unused without one.
    pub(super) source_routes: Routes,
    pub(super) context: StepContext,
    pub(super) finishing: Finishing,
}

/// How far the chain has come in finishing.
#[derive(Debug, Default)]
pub(super) struct Finishing {
    /// Operators that have finished.
    finished: usize,
    /// Whether time has been told to have ended, where a source is at the head.
    time_ended: bool,
    /// Whether the first operator that has not finished was told the end of its input.
    input_ended: bool,
    committables: Vec<Committable>,
}

impl Chain {
    /// Opens the operators, last first, so that nothing flows into one that is closed.
    pub(super) fn open(&mut self) -> Result<(), Failure> {
        for (position, operator) in self.operators.iter_mut().enumerate().rev() {
            self.context.current.set(position);
            operator.code.open(&operator.context).map_err(|failure| operator.blame(failure))?;
        }
        Ok(())
    }

    /// Whether every way out has room for the next slice of input.
    pub(super) fn has_room(&self) -> Result<bool, Failure> {
        for partition in &self.partitions {
            if !partition.has_room()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether every operator takes further input.
    pub(super) fn accepts_input(&self) -> bool {
        !self.context.time_waits.get() && self.operators.iter().all(|operator| operator.code.accepts_input())
    }

    /// Whether nothing that was taken is still under way.
    pub(super) fn is_drained(&self) -> bool {
        self.operators.iter().all(|operator| operator.code.is_drained())
    }

    /// Gives the head operator a batch.
    pub(super) fn process(&mut self, input: u32, batch: Box<dyn Batch>) -> Result<(), Failure> {
        self.call(0, |operator, out| operator.process(input, batch, out))
    }

    /// Event time has come in by the head operator's inputs: each operator is told, then what is behind it.
    pub(super) fn progress(&mut self, progress: Progress) -> Result<(), Failure> {
        self.call(0, |operator, out| told(operator, progress, out))
    }

    /// Tells operators the time that waited for them, where it need not any more.
    pub(super) fn tell_waiting(&mut self) -> Result<(), Failure> {
        if !self.context.time_waits.get() {
            return Ok(());
        }
        for position in 0..self.operators.len() {
            if self.operators[position].code.is_drained()
                && let Some(progress) = self.operators[position].waiting.take()
            {
                self.call(position, |operator, out| told(operator, progress, out))?;
            }
        }
        self.context.time_waits.set(self.operators.iter().any(|operator| operator.waiting.is_some()));
        Ok(())
    }

    /// The source at the head reads so many parts side by side.
    pub(super) fn set_parts(&mut self, parts: usize) {
        self.operators.iter_mut().for_each(|operator| operator.code.set_parts(parts));
    }

    /// How far event time has come in a part of the input, if anybody here follows it.
    pub(super) fn part_time(&self, part: usize) -> Option<EventTime> {
        self.operators.iter().find_map(|operator| operator.code.part_time(part))
    }

    /// Nothing more will come of a part of the input.
    pub(super) fn end_part(&mut self, part: usize) -> Result<(), Failure> {
        for position in 0..self.operators.len() {
            self.call(position, |operator, out| operator.end_part(part, out))?;
        }
        Ok(())
    }

    /// When the first timer of any operator is due.
    pub(super) fn next_timer(&self) -> Option<Now> {
        self.operators[self.finishing.finished..].iter().filter_map(|operator| operator.code.next_timer()).min()
    }

    /// Fires the timers that are due.
    pub(super) fn fire_timers(&mut self, now: Now) -> Result<(), Failure> {
        for position in self.finishing.finished..self.operators.len() {
            if self.operators[position].code.next_timer().is_some_and(|due| due <= now) {
                self.call(position, |operator, out| operator.on_processing_time(now, out))?;
            }
        }
        Ok(())
    }

    /// A checkpoint's barrier has come: operators emit what they hold back, and it goes on to what is behind the chain. What sinks
    /// prepared.
    pub(super) fn barrier(&mut self, barrier: &Arc<Barrier>) -> Result<Vec<Committable>, Failure> {
        let mut committables = Vec::new();
        for position in 0..self.operators.len() {
            let prepared = self.call(position, |operator, out| operator.before_barrier(out))?;
            let operator = self.operators[position].node;
            committables.extend(prepared.into_iter().map(|payload| Committable { operator, payload }));
        }
        self.send_barrier(barrier)?;
        Ok(committables)
    }

    /// Hands a barrier on to what is behind the chain.
    pub(super) fn send_barrier(&mut self, barrier: &Arc<Barrier>) -> Result<(), Failure> {
        self.partitions.iter_mut().try_for_each(|partition| partition.barrier(barrier))
    }

    /// What the operators hold now.
    pub(super) fn snapshot(&mut self) -> Result<Vec<(OperatorId, Snapshot)>, Failure> {
        let mut snapshots = Vec::new();
        for (position, operator) in self.operators.iter_mut().enumerate() {
            self.context.current.set(position);
            let mut snapshot = Snapshot::default();
            operator.code.snapshot(&mut snapshot).map_err(|failure| operator.blame(failure))?;
            snapshots.push((operator.id, snapshot));
        }
        Ok(snapshots)
    }

    /// Fills the operators, which are open, from a checkpoint if there is one.
    pub(super) fn restore(&mut self, states: &mut RestoredStates<'_>, is_restored: bool) -> Result<(), Failure> {
        for (position, operator) in self.operators.iter_mut().enumerate() {
            self.context.current.set(position);
            let mut restored = states.operator(operator.id, is_restored, self.context.now.get());
            operator.code.restore(&mut restored).map_err(|failure| operator.blame(failure))?;
            for state in restored.unclaimed() {
                let operator = &operator.context.name;
                tracing::warn!(
                    operator,
                    state,
                    "the checkpoint has a state that the program has no more; it is dropped"
                );
            }
        }
        Ok(())
    }

    /// A pause: flushes what people watch, and the partitions.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        for (position, operator) in self.operators.iter_mut().enumerate() {
            self.context.current.set(position);
            operator.code.idle().map_err(|failure| operator.blame(failure))?;
        }
        self.partitions.iter_mut().try_for_each(|partition| partition.flush())
    }

    /// One of the head operator's inputs has ended.
    pub(super) fn end_input(&mut self, input: u32) -> Result<(), Failure> {
        self.call(0, |operator, out| operator.end_input(input, out))
    }

    /// Everything has ended: the operators finish, and what is behind the chain is told. As [`Chain::finish_operators`].
    pub(super) fn finish(&mut self, source_at_head: bool) -> Result<Option<Vec<Committable>>, Failure> {
        let committables = self.finish_operators(source_at_head)?;
        if committables.is_some() {
            self.partitions.iter_mut().try_for_each(|partition| partition.finish())?;
        }
        Ok(committables)
    }

    /// The operators emit all that they hold, once; the head operator's inputs were ended one by one, unless the head is a source.
    /// What sinks prepared, or nothing yet: an operator waits for what is under way, and this is to be called again.
    pub(super) fn finish_operators(&mut self, source_at_head: bool) -> Result<Option<Vec<Committable>>, Failure> {
        if source_at_head && !self.finishing.time_ended {
            if !self.is_drained() {
                return Ok(None);
            }
            self.source_output().emit_watermark(EventTime::MAX)?;
            self.finishing.time_ended = true;
        }
        while self.finishing.finished < self.operators.len() {
            let position = self.finishing.finished;
            if !self.finishing.input_ended {
                if position > 0 || source_at_head {
                    self.call(position, |operator, out| operator.end_input(0, out))?;
                }
                self.finishing.input_ended = true;
            }
            if !self.operators[position].code.is_drained() {
                return Ok(None);
            }
            let prepared = self.call(position, |operator, out| operator.finish(out))?;
            let operator = self.operators[position].node;
            let committables = prepared.into_iter().map(|payload| Committable { operator, payload });
            self.finishing.committables.extend(committables);
            (self.finishing.finished, self.finishing.input_ended) = (position + 1, false);
        }
        Ok(Some(std::mem::take(&mut self.finishing.committables)))
    }

    /// Bytes that have left the chain.
    pub(super) fn bytes_out(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.bytes_out()).sum()
    }

    /// Malformed records since the last call.
    pub(super) fn take_bad_records(&mut self) -> u64 {
        self.operators.iter_mut().map(|operator| operator.code.take_bad_records()).sum()
    }

    /// What a source at the head emits into.
    pub(super) fn source_output(&mut self) -> ChainOutput<'_> {
        let Self { operators, partitions, source_routes, context, .. } = self;
        context.current.set(SOURCE);
        ChainOutput { routes: source_routes, behind: operators, first_behind: 0, emitter: SOURCE, partitions, context }
    }

    /// Name of the operator whose code ran last, within the chain.
    pub(super) fn current_name(&self) -> Option<&str> {
        self.operators.get(self.context.current.get()).map(|operator| operator.context.name.as_str())
    }

    fn call<R>(
        &mut self,
        position: usize,
        code: impl FnOnce(&mut dyn Operator, &mut ChainOutput<'_>) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let Self { operators, partitions, context, .. } = self;
        call(&mut operators[position..], position, partitions, context, code)
    }
}

/// Calls the first of `operators`, which stands at `position`, with an output into those behind it.
fn call<R>(
    operators: &mut [ChainOperator],
    position: usize,
    partitions: &mut [Box<dyn Partition>],
    context: &StepContext,
    code: impl FnOnce(&mut dyn Operator, &mut ChainOutput<'_>) -> Result<R, Failure>,
) -> Result<R, Failure> {
    let (operator, behind) = operators.split_first_mut().expect("a route leads to an operator of the chain");
    let mut output = ChainOutput {
        routes: &operator.routes,
        behind,
        first_behind: position + 1,
        emitter: position,
        partitions,
        context,
    };
    context.current.set(position);
    let result = code(operator.code.as_mut(), &mut output);
    result.map_err(|failure| failure.in_operator(&operator.context.name))
}

/// What an operator emits into: those behind it, and the partitions.
pub(super) struct ChainOutput<'a> {
    routes: &'a Routes,
    behind: &'a mut [ChainOperator],
    /// Position of the first of `behind`.
    first_behind: usize,
    emitter: usize,
    partitions: &'a mut [Box<dyn Partition>],
    context: &'a StepContext,
}

impl ChainOutput<'_> {
    fn deliver(&mut self, targets: &[Target], batch: Box<dyn Batch>) -> Result<(), Failure> {
        let Some((last, others)) = targets.split_last() else {
            return Ok(());
        };
        for target in others {
            self.hand(*target, batch.clone_batch())?;
        }
        self.hand(*last, batch)
    }

    /// Tells everything that this leads to what becomes of event time.
    fn tell_all(&mut self, progress: Progress) -> Result<(), Failure> {
        let routes = self.routes;
        let sides = routes.side.iter().flat_map(|(_, targets)| targets);
        routes.main.iter().chain(sides).try_for_each(|target| self.tell(*target, progress))
    }

    fn tell(&mut self, target: Target, progress: Progress) -> Result<(), Failure> {
        match (target, progress) {
            (Target::Partition(partition), Progress::Watermark(watermark)) => {
                self.partitions[partition].watermark(watermark)
            }
            (Target::Partition(partition), Progress::Idle) => self.partitions[partition].idle(),
            (Target::Operator(position), _) => {
                let behind = &mut self.behind[position - self.first_behind..];
                if !behind[0].code.is_drained() {
                    behind[0].waiting = Some(progress);
                    self.context.time_waits.set(true);
                    return Ok(());
                }
                behind[0].waiting = None;
                call(behind, position, self.partitions, self.context, |code, out| told(code, progress, out))?;
                self.context.current.set(self.emitter);
                Ok(())
            }
        }
    }

    fn hand(&mut self, target: Target, batch: Box<dyn Batch>) -> Result<(), Failure> {
        match target {
            Target::Partition(partition) => {
                let Self { context, partitions, .. } = self;
                context.records_out.set(context.records_out.get() + batch.len() as u64);
                partitions[partition].emit(batch)
            }
            Target::Operator(position) => {
                let behind = &mut self.behind[position - self.first_behind..];
                call(behind, position, self.partitions, self.context, |code, out| code.process(0, batch, out))?;
                self.context.current.set(self.emitter);
                Ok(())
            }
        }
    }
}

impl Output for ChainOutput<'_> {
    fn emit(&mut self, batch: Box<dyn Batch>) -> Result<(), Failure> {
        debug_assert!(!batch.is_empty(), "an empty batch is never emitted");
        if self.emitter == SOURCE {
            self.context.records_read.set(self.context.records_read.get() + batch.len() as u64);
        }
        let routes = self.routes;
        self.deliver(&routes.main, batch)
    }

    fn emit_side(&mut self, tag: &str, batch: Box<dyn Batch>) -> Result<(), Failure> {
        debug_assert!(!batch.is_empty(), "an empty batch is never emitted");
        let routes = self.routes;
        match routes.side.iter().find(|(name, _)| name == tag) {
            Some((_, targets)) => self.deliver(targets, batch),
            None => Ok(()),
        }
    }

    fn emit_watermark(&mut self, watermark: EventTime) -> Result<(), Failure> {
        self.tell_all(Progress::Watermark(watermark))
    }

    fn mark_idle(&mut self) -> Result<(), Failure> {
        self.tell_all(Progress::Idle)
    }

    fn part(&self) -> usize {
        self.context.part.get()
    }

    fn now(&self) -> Now {
        self.context.now.get()
    }
}

/// An operator is told of event time, and those behind it, unless it tells them itself. The end of time ends everybody's.
fn told(operator: &mut dyn Operator, progress: Progress, out: &mut ChainOutput<'_>) -> Result<(), Failure> {
    if let Progress::Watermark(watermark) = progress {
        operator.on_watermark(watermark, out)?;
    }
    match operator.generates_watermarks() && progress != Progress::Watermark(EventTime::MAX) {
        true => Ok(()),
        false => out.tell_all(progress),
    }
}
