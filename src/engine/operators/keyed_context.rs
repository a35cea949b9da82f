//! What keyed functions see besides the record: the current key, its states and its timers.

use std::cell::OnceCell;

use super::process::EventClock;
use super::side_output::{OutputTag, SideOutputs};
use super::{Collector, OperatorContext, Output};
use crate::engine::record::{BATCH_RECORDS, Batch, Key, KeyRef, Keyed, Record, key_group, key_hash};
use crate::engine::state::{
    BroadcastRead, BroadcastStates, KeyAt, KeyContext, KeyedStates, Restore, Snapshot, TimerQueue,
};
use crate::graph::plan::ExecutionMode;
use crate::graph::task::Failure;
use crate::time::{EventTime, Now};

/// A timer that fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Timer {
    /// The clock of this machine has come to this time.
    ProcessingTime(Now),
    /// The watermark has come to this time, or beyond.
    EventTime(EventTime),
}

/// What a keyed function sees besides the record, or when a timer fires.
pub struct KeyedContext<'a, K> {
    core: &'a mut KeyedCore<K>,
    at: KeyAt<'a, K>,
    /// The key, once it was asked for: in a batch it may be a slice of text.
    key: OnceCell<K>,
    now: Now,
    event: EventClock,
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
        TimerService { timers: &mut self.core.timers, at: self.at, now: self.now, watermark: self.event.watermark }
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

    /// The timestamp of the record, or of the timer, if it has one. What is emitted for it has the same.
    pub fn timestamp(&self) -> Option<EventTime> {
        self.event.timestamp
    }

    /// How far event time has come: no record is expected whose timestamp is earlier or the same. [`EventTime::MIN`] before the
    /// first watermark.
    pub fn current_watermark(&self) -> EventTime {
        self.event.watermark
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
/// with its key current, when its time has come: for a time that has passed at once, or in event time with the next watermark.
///
/// The end of a bounded input is the end of event time, so all event-time timers have fired then. Processing-time timers that are
/// still to come are dropped in streaming mode, as in Flink. In batch mode processing time stands still, as in Flink: they all fire
/// at the end of the input, in the order of their times, and those registered then are dropped.
pub struct TimerService<'a, K> {
    timers: &'a mut Timers<K>,
    at: KeyAt<'a, K>,
    now: Now,
    watermark: EventTime,
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

    /// How far event time has come: [`KeyedContext::current_watermark`].
    pub fn current_watermark(&self) -> EventTime {
        self.watermark
    }

    /// Registers a timer for when the watermark comes to `time`.
    pub fn register_event_time_timer(&mut self, time: EventTime) {
        self.timers.event.register(time, self.at);
    }

    /// Deletes the event-time timer registered for `time`, if there is one.
    pub fn delete_event_time_timer(&mut self, time: EventTime) {
        self.timers.event.delete(time, self.at);
    }

    /// Deletes the timer registered for `time`, if there is one.
    pub fn delete_processing_time_timer(&mut self, time: Now) {
        self.timers.processing.delete(time, self.at);
    }
}

/// The timers of an operator.
struct Timers<K> {
    processing: TimerQueue<Now, K>,
    event: TimerQueue<EventTime, K>,
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
    watermark: EventTime,
}

/// Name of the timers in snapshots.
const TIME_AND_KEY: &[&str] = &["time", "key"];
const PROCESSING_TIMERS: &str = "_timers/processing";
const EVENT_TIMERS: &str = "_timers/event";
/// Timers fired in one go: as few as fit a batch, so that what they emit stays within bounds and the subtask gets to its mail.
const TIMERS_AT_ONCE: usize = BATCH_RECORDS;

impl<K: Key> KeyedCore<K> {
    /// For an operator that is not open.
    pub(super) fn new() -> Self {
        Self {
            states: KeyedStates::new(1, 1, 0),
            timers: Timers { processing: TimerQueue::new(), event: TimerQueue::new(), quiesced: false },
            sides: SideOutputs::default(),
            broadcast: BroadcastStates::default(),
            mode: ExecutionMode::Streaming,
            watermark: EventTime::MIN,
        }
    }

    /// Before the function is opened.
    pub(super) fn open(&mut self, context: &OperatorContext) {
        let OperatorContext { max_parallelism, parallelism, attempt, state_backend, .. } = context;
        let backend = state_backend.clone();
        self.states = KeyedStates::living_in(backend, *max_parallelism, *parallelism, attempt.subtask);
        self.sides = SideOutputs::new(&context.side_outputs);
        self.mode = context.execution_mode;
    }

    /// How far event time has come.
    pub(super) fn watermark(&self) -> EventTime {
        self.watermark
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
        self.states.set_now(now);
        let mut batch = Keyed::<K, T>::of(batch);
        let records = batch.len();
        self.states.admit(batch.hashes(), batch.keys())?;
        let (times, mut row, mut event) = (batch.take_times(), 0, EventClock::at(self.watermark));
        self.sides.at(None);
        batch.for_each(|hash, key, record| {
            if collector.has_failed() {
                return;
            }
            if !times.is_none() {
                event.timestamp = times.get(row);
                row += 1;
                collector.at(event.timestamp);
                self.sides.at(event.timestamp);
            }
            let mut ctx = KeyedContext { core: self, at: KeyAt { hash, key }, key: OnceCell::new(), now, event };
            element(record, &mut ctx, &mut collector);
            self.sides.hand_on_full(&mut collector);
        });
        self.states.clean_up(records);
        let settled = self.states.settle();
        self.sides.hand_on(&mut collector);
        collector.finish().and(settled)
    }

    /// Calls `apply` with `key` current.
    pub(super) fn with_key(&mut self, key: &K, now: Now, apply: impl FnOnce(&mut KeyedContext<'_, K>)) {
        let at = KeyAt { hash: key_hash(key), key: KeyRef::Value(key) };
        let event = EventClock::at(self.watermark);
        self.states.set_now(now);
        if let Err(failure) = self.states.admit_key(at) {
            return self.states.note(failure);
        }
        apply(&mut KeyedContext { core: self, at, key: OnceCell::new(), now, event });
        if let Err(failure) = self.states.settle() {
            self.states.note(failure);
        }
    }

    /// What states and timers hold now.
    ///
    /// # Errors
    /// A disk that cannot be written.
    pub(super) fn snapshot(&mut self, into: &mut Snapshot) -> Result<(), Failure> {
        self.states.freeze(into)?;
        self.broadcast.freeze(into);
        let max_parallelism = self.states.max_parallelism();
        let timers = self.timers.processing.iter();
        let timers = timers.map(|(time, hash, key)| (key_group(hash, max_parallelism), (time, key.clone())));
        into.grouped(PROCESSING_TIMERS, TIME_AND_KEY, timers.collect());
        let timers = self.timers.event.iter();
        let timers = timers.map(|(time, hash, key)| (key_group(hash, max_parallelism), (time, key.clone())));
        into.grouped(EVENT_TIMERS, TIME_AND_KEY, timers.collect());
        Ok(())
    }

    /// Behind `open`: fills states and timers.
    pub(super) fn restore(&mut self, from: &mut dyn Restore) -> Result<(), Failure> {
        self.states.restore(from)?;
        self.broadcast.restore(from)?;
        let max_parallelism = self.states.max_parallelism();
        let timers = &mut self.timers.processing;
        from.visit(PROCESSING_TIMERS, &mut |section| {
            section.each_keyed(
                max_parallelism,
                |(_, key): &(Now, K)| key,
                |hash, (time, key)| {
                    timers.register(time, KeyAt { hash, key: KeyRef::Value(&key) });
                },
            )
        })?;
        let timers = &mut self.timers.event;
        from.visit(EVENT_TIMERS, &mut |section| {
            section.each_keyed(
                max_parallelism,
                |(_, key): &(EventTime, K)| key,
                |hash, (time, key)| {
                    timers.register(time, KeyAt { hash, key: KeyRef::Value(&key) });
                },
            )
        })
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
        self.fire_some(|timers| processing_due(timers, now), now, TIMERS_AT_ONCE, out, on_timer)
    }

    /// Event time has come so far: calls `on_timer` for all timers that are due.
    pub(super) fn advance<O: Record>(
        &mut self,
        watermark: EventTime,
        out: &mut dyn Output,
        on_timer: impl FnMut(Timer, &mut KeyedContext<'_, K>, &mut Collector<'_, O>),
    ) -> Result<(), Failure> {
        self.watermark = watermark;
        let due = |timers: &mut Timers<K>| {
            let (time, hash, key) = timers.event.pop_due(watermark)?;
            Some((Timer::EventTime(time), hash, key))
        };
        self.fire_some(due, out.now(), usize::MAX, out, on_timer)
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
        self.fire_some(|timers| processing_due(timers, Now(u64::MAX)), out.now(), usize::MAX, out, on_timer)
    }

    fn fire_some<O: Record>(
        &mut self,
        due: impl Fn(&mut Timers<K>) -> Option<(Timer, u64, K)>,
        now: Now,
        count_max: usize,
        out: &mut dyn Output,
        mut on_timer: impl FnMut(Timer, &mut KeyedContext<'_, K>, &mut Collector<'_, O>),
    ) -> Result<(), Failure> {
        self.states.set_now(now);
        let mut collector = Collector::new(out);
        let mut settled = Ok(());
        for count in 1..=count_max {
            let Some((timer, hash, key)) = due(&mut self.timers) else { break };
            let timestamp = match timer {
                Timer::EventTime(time) => Some(time),
                // As in Flink: what comes of the clock has no place in event time.
                Timer::ProcessingTime(_) => None,
            };
            collector.at(timestamp);
            self.sides.at(timestamp);
            let at = KeyAt { hash, key: KeyRef::Value(&key) };
            let event = EventClock { timestamp, watermark: self.watermark };
            settled = self.states.admit_key(at);
            if settled.is_err() {
                break;
            }
            let mut ctx = KeyedContext { core: self, at, key: OnceCell::new(), now, event };
            on_timer(timer, &mut ctx, &mut collector);
            self.sides.hand_on_full(&mut collector);
            if count % TIMERS_AT_ONCE == 0 {
                settled = self.states.settle();
            }
            if collector.has_failed() || settled.is_err() {
                break;
            }
        }
        let settled = settled.and_then(|()| self.states.settle());
        self.sides.hand_on(&mut collector);
        collector.finish().and(settled)
    }
}

fn processing_due<K: Key>(timers: &mut Timers<K>, until: Now) -> Option<(Timer, u64, K)> {
    let (time, hash, key) = timers.processing.pop_due(until)?;
    Some((Timer::ProcessingTime(time), hash, key))
}
