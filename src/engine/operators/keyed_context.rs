//! What keyed functions see besides the record: the current key, its states and its timers.

use std::cell::OnceCell;

use super::side_output::{OutputTag, SideOutputs};
use super::{Collector, OperatorContext, Output};
use crate::engine::record::{BATCH_RECORDS, Batch, Key, KeyRef, Keyed, Record, key_hash};
use crate::engine::state::{BroadcastRead, BroadcastStates, KeyAt, KeyContext, KeyedStates, TimerQueue};
use crate::graph::plan::ExecutionMode;
use crate::graph::task::Failure;
use crate::time::Now;

/// A timer that fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Timer {
    /// The clock of this machine has come to this time.
    ProcessingTime(Now),
}

/// What a keyed function sees besides the record, or when a timer fires.
pub struct KeyedContext<'a, K> {
    core: &'a mut KeyedCore<K>,
    at: KeyAt<'a, K>,
    /// The key, once it was asked for: in a batch it may be a slice of text.
    key: OnceCell<K>,
    now: Now,
}

impl<K: Key> KeyedContext<'_, K> {
    /// The current key: that of the record, or of the timer.
    pub fn current_key(&self) -> &K {
        match self.at.key {
            KeyRef::Value(key) => key,
            KeyRef::Text(_) => self.key.get_or_init(|| self.at.key.to_owned()),
        }
    }

    /// The timers of the current key.
    pub fn timer_service(&mut self) -> TimerService<'_, K> {
        TimerService { timers: &mut self.core.timers, at: self.at, now: self.now }
    }

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
}

impl<K: Key> KeyContext for KeyedContext<'_, K> {
    type Key = K;

    #[inline]
    fn keyed(&self) -> (&KeyedStates<K>, KeyAt<'_, K>) {
        (&self.core.states, self.at)
    }

    #[inline]
    fn keyed_mut(&mut self) -> (&mut KeyedStates<K>, KeyAt<'_, K>) {
        (&mut self.core.states, self.at)
    }
}

impl<K> BroadcastRead for KeyedContext<'_, K> {
    fn broadcast_states(&self) -> &BroadcastStates {
        &self.core.broadcast
    }
}

/// The timers of the current key. Flink's interface of that name.
///
/// A key has at most one timer a timestamp; registering it again changes nothing. A timer calls the function's `on_timer` once,
/// with its key current, when its time has come: at once for a time that has passed.
///
/// When a bounded input ends in streaming mode, timers that are still to come are dropped, as in Flink. In batch mode processing
/// time stands still, as in Flink: all timers fire at the end of the input, in the order of their times, and those registered
/// then are dropped.
pub struct TimerService<'a, K> {
    timers: &'a mut Timers<K>,
    at: KeyAt<'a, K>,
    now: Now,
}

impl<K: Key> TimerService<'_, K> {
    /// The processing time: the clock of this machine, read once a batch.
    pub fn current_processing_time(&self) -> Now {
        self.now
    }

    /// Registers a timer for when the clock of this machine comes to `time`.
    pub fn register_processing_time_timer(&mut self, time: Now) {
        if !self.timers.quiesced {
            self.timers.processing.register(time, self.at);
        }
    }

    /// Deletes the timer registered for `time`, if there is one.
    pub fn delete_processing_time_timer(&mut self, time: Now) {
        self.timers.processing.delete(time, self.at);
    }
}

/// The timers of an operator.
struct Timers<K> {
    processing: TimerQueue<Now, K>,
    /// Set while the end of the input fires them in batch mode.
    quiesced: bool,
}

/// What every operator around a keyed function holds.
pub(super) struct KeyedCore<K> {
    pub(super) states: KeyedStates<K>,
    timers: Timers<K>,
    pub(super) sides: SideOutputs,
    pub(super) broadcast: BroadcastStates,
    mode: ExecutionMode,
}

/// Timers fired in one go: as few as fit a batch, so that what they emit stays within bounds and the subtask gets to its mail.
const TIMERS_AT_ONCE: usize = BATCH_RECORDS;

impl<K: Key> KeyedCore<K> {
    /// For an operator that is not open.
    pub(super) fn new() -> Self {
        Self {
            states: KeyedStates::new(1, 1, 0),
            timers: Timers { processing: TimerQueue::new(), quiesced: false },
            sides: SideOutputs::default(),
            broadcast: BroadcastStates::default(),
            mode: ExecutionMode::Streaming,
        }
    }

    /// Before the function is opened.
    pub(super) fn open(&mut self, context: &OperatorContext) {
        let OperatorContext { max_parallelism, parallelism, attempt, .. } = context;
        self.states = KeyedStates::new(*max_parallelism, *parallelism, attempt.subtask);
        self.sides = SideOutputs::new(&context.side_outputs);
        self.mode = context.execution_mode;
    }

    /// Calls `element` with each row of a keyed batch, and hands on what it emits.
    pub(super) fn each_row<T: Record, O: Record>(
        &mut self,
        batch: Box<dyn Batch>,
        out: &mut dyn Output,
        mut element: impl FnMut(T, &mut KeyedContext<'_, K>, &mut Collector<'_, O>),
    ) -> Result<(), Failure> {
        let now = out.now();
        let mut collector = Collector::new(out);
        Keyed::<K, T>::of(batch).for_each(|hash, key, record| {
            if collector.has_failed() {
                return;
            }
            let mut ctx = KeyedContext { core: self, at: KeyAt { hash, key }, key: OnceCell::new(), now };
            element(record, &mut ctx, &mut collector);
            self.sides.hand_on_full(&mut collector);
        });
        self.sides.hand_on(&mut collector);
        collector.finish()
    }

    /// Calls `apply` with `key` current.
    pub(super) fn with_key(&mut self, key: &K, now: Now, apply: impl FnOnce(&mut KeyedContext<'_, K>)) {
        let at = KeyAt { hash: key_hash(key), key: KeyRef::Value(key) };
        apply(&mut KeyedContext { core: self, at, key: OnceCell::new(), now });
    }

    /// When timers are to fire next.
    pub(super) fn next_timer(&self) -> Option<Now> {
        // In batch mode processing time stands still until the end.
        if self.mode == ExecutionMode::Batch { None } else { self.timers.processing.first() }
    }

    /// Calls `on_timer` for timers that are due, a number of them at most: those left are due at once.
    pub(super) fn fire<O: Record>(
        &mut self,
        now: Now,
        out: &mut dyn Output,
        on_timer: impl FnMut(Timer, &mut KeyedContext<'_, K>, &mut Collector<'_, O>),
    ) -> Result<(), Failure> {
        self.fire_some(now, now, TIMERS_AT_ONCE, out, on_timer)
    }

    /// The end of the input: in batch mode all timers fire, in streaming mode they are dropped.
    pub(super) fn end<O: Record>(
        &mut self,
        out: &mut dyn Output,
        on_timer: impl FnMut(Timer, &mut KeyedContext<'_, K>, &mut Collector<'_, O>),
    ) -> Result<(), Failure> {
        self.timers.quiesced = true;
        if self.mode != ExecutionMode::Batch {
            return Ok(());
        }
        self.fire_some(Now(u64::MAX), out.now(), usize::MAX, out, on_timer)
    }

    fn fire_some<O: Record>(
        &mut self,
        until: Now,
        now: Now,
        count_max: usize,
        out: &mut dyn Output,
        mut on_timer: impl FnMut(Timer, &mut KeyedContext<'_, K>, &mut Collector<'_, O>),
    ) -> Result<(), Failure> {
        let mut collector = Collector::new(out);
        for _ in 0..count_max {
            let Some((time, hash, key)) = self.timers.processing.pop_due(until) else { break };
            let at = KeyAt { hash, key: KeyRef::Value(&key) };
            let mut ctx = KeyedContext { core: self, at, key: OnceCell::new(), now };
            on_timer(Timer::ProcessingTime(time), &mut ctx, &mut collector);
            self.sides.hand_on_full(&mut collector);
            if collector.has_failed() {
                break;
            }
        }
        self.sides.hand_on(&mut collector);
        collector.finish()
    }
}
