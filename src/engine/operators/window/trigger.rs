//! When windows emit.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::TimeWindow;
use crate::engine::record::Record;
use crate::time::{EventTime, Now};

/// What a trigger decides. Flink's enum of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TriggerResult {
    /// Nothing happens.
    Continue,
    /// The window emits what it holds, and keeps it.
    Fire,
    /// The window drops what it holds.
    Purge,
    /// The window emits what it holds, and drops it.
    FireAndPurge,
}

/// What a trigger sees.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TriggerContext {
    /// The window.
    pub window: TimeWindow,
    /// How far event time has come.
    pub watermark: EventTime,
    /// The processing time.
    pub now: Now,
}

/// Decides when a window emits. Flink's class of that name.
///
/// A trigger is a value: each key and window has a clone of the one given to `trigger`, and its fields are what it knows of that
/// window, so it must be a record itself (derive `Clone`, `Serialize` and `Deserialize`). Timers are not registered but told: after
/// whatever happens to the window the trigger is asked for the next time it wants to be called, in each domain.
///
/// ```
/// use flott::prelude::*;
/// use flott::windows::{Trigger, TriggerContext, TriggerResult};
///
/// /// Emits when a record says that it is the last.
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct Last;
///
/// impl Trigger<(Str, u64, bool)> for Last {
///     fn on_element(&mut self, record: &(Str, u64, bool), _: Option<EventTime>, _: &TriggerContext) -> TriggerResult {
///         if record.2 { TriggerResult::FireAndPurge } else { TriggerResult::Continue }
///     }
///     fn merge(&mut self, _other: Self) {}
/// }
///
/// let env = StreamExecutionEnvironment::new();
/// let parts = env.from_collection([(Str::from("a"), 1, false), ("a".into(), 2, true), ("a".into(), 4, false)]);
/// let windows = parts.key_by(|part| part.0.clone()).window(GlobalWindows).trigger(Last);
/// assert_eq!(windows.sum(|part| part.1).execute_and_collect("totals")?, [("a".into(), 3)]);
/// # Ok::<(), flott::Error>(())
/// ```
pub trait Trigger<T>: Record + Sync {
    /// A record was added to the window.
    fn on_element(&mut self, record: &T, timestamp: Option<EventTime>, ctx: &TriggerContext) -> TriggerResult;

    /// When [`Trigger::on_event_time`] wants to be called, by the watermark.
    fn next_event_time(&self, ctx: &TriggerContext) -> Option<EventTime> {
        let _ = ctx;
        None
    }

    /// The watermark has come to the time that [`Trigger::next_event_time`] told. The trigger must tell another one then.
    fn on_event_time(&mut self, ctx: &TriggerContext) -> TriggerResult {
        let _ = ctx;
        TriggerResult::Continue
    }

    /// When [`Trigger::on_processing_time`] wants to be called, by the clock.
    fn next_processing_time(&self, ctx: &TriggerContext) -> Option<Now> {
        let _ = ctx;
        None
    }

    /// The clock has come to the time that [`Trigger::next_processing_time`] told. The trigger must tell another one then.
    fn on_processing_time(&mut self, ctx: &TriggerContext) -> TriggerResult {
        let _ = ctx;
        TriggerResult::Continue
    }

    /// The window has been merged with that of `other`: both are sessions of one key that have met.
    fn merge(&mut self, other: Self);
}

/// Emits when the watermark has passed the end of the window, and with each later record. The default of event-time windows.
/// Flink's class of that name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventTimeTrigger {
    passed: bool,
}

impl<T> Trigger<T> for EventTimeTrigger {
    fn on_element(&mut self, _record: &T, _timestamp: Option<EventTime>, ctx: &TriggerContext) -> TriggerResult {
        self.passed = ctx.watermark >= ctx.window.max_timestamp();
        if self.passed { TriggerResult::Fire } else { TriggerResult::Continue }
    }

    fn next_event_time(&self, ctx: &TriggerContext) -> Option<EventTime> {
        (!self.passed).then(|| ctx.window.max_timestamp())
    }

    fn on_event_time(&mut self, _ctx: &TriggerContext) -> TriggerResult {
        self.passed = true;
        TriggerResult::Fire
    }

    fn merge(&mut self, _other: Self) {
        self.passed = false;
    }
}

/// Emits when the clock of the machine has passed the end of the window. The default of processing-time windows. Flink's class of
/// that name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessingTimeTrigger {
    passed: bool,
}

impl<T> Trigger<T> for ProcessingTimeTrigger {
    fn on_element(&mut self, _record: &T, _timestamp: Option<EventTime>, _ctx: &TriggerContext) -> TriggerResult {
        self.passed = false;
        TriggerResult::Continue
    }

    fn next_processing_time(&self, ctx: &TriggerContext) -> Option<Now> {
        (!self.passed).then(|| Now(u64::try_from(ctx.window.end.0).unwrap_or(0)))
    }

    fn on_processing_time(&mut self, _ctx: &TriggerContext) -> TriggerResult {
        self.passed = true;
        TriggerResult::Fire
    }

    fn merge(&mut self, _other: Self) {
        self.passed = false;
    }
}

/// Emits with each so many records. Flink's class of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountTrigger {
    every: u64,
    count: u64,
}

impl CountTrigger {
    /// With each `every` records of a window; 0 is 1.
    pub fn of(every: u64) -> Self {
        Self { every: every.max(1), count: 0 }
    }
}

impl<T> Trigger<T> for CountTrigger {
    fn on_element(&mut self, _record: &T, _timestamp: Option<EventTime>, _ctx: &TriggerContext) -> TriggerResult {
        self.count += 1;
        if self.count < self.every {
            return TriggerResult::Continue;
        }
        self.count = 0;
        TriggerResult::Fire
    }

    fn merge(&mut self, other: Self) {
        self.count += other.count;
    }
}

/// Drops what the window holds whenever the trigger within emits. Flink's class of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgingTrigger<W>(W);

impl<W> PurgingTrigger<W> {
    /// Around `trigger`.
    pub fn of(trigger: W) -> Self {
        Self(trigger)
    }
}

fn purging(result: TriggerResult) -> TriggerResult {
    if result == TriggerResult::Fire { TriggerResult::FireAndPurge } else { result }
}

impl<T, W: Trigger<T>> Trigger<T> for PurgingTrigger<W> {
    fn on_element(&mut self, record: &T, timestamp: Option<EventTime>, ctx: &TriggerContext) -> TriggerResult {
        purging(self.0.on_element(record, timestamp, ctx))
    }

    fn next_event_time(&self, ctx: &TriggerContext) -> Option<EventTime> {
        self.0.next_event_time(ctx)
    }

    fn on_event_time(&mut self, ctx: &TriggerContext) -> TriggerResult {
        purging(self.0.on_event_time(ctx))
    }

    fn next_processing_time(&self, ctx: &TriggerContext) -> Option<Now> {
        self.0.next_processing_time(ctx)
    }

    fn on_processing_time(&mut self, ctx: &TriggerContext) -> TriggerResult {
        purging(self.0.on_processing_time(ctx))
    }

    fn merge(&mut self, other: Self) {
        self.0.merge(other.0);
    }
}

/// Emits again and again before the end of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Early {
    /// So many milliseconds of the machine's clock behind the first record that is not emitted yet.
    AfterProcessingTime(u64),
    /// With each so many records.
    Every(u64),
}

impl Early {
    /// So long behind the first record that is not emitted yet, by the machine's clock.
    pub fn after_processing_time(delay: Duration) -> Self {
        Self::AfterProcessingTime(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX))
    }
}

/// Emits when the watermark has passed the end of the window, and, where that is asked for, before (early) and behind it (late).
/// The Dataflow Model's `AtWatermark`, Beam's `AfterWatermark.pastEndOfWindow`.
///
/// Late firings come with late records, so they want an allowed lateness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AfterWatermark {
    early: Option<Early>,
    late_every: Option<u64>,
    passed: bool,
    /// Records since the last firing.
    count: u64,
    /// When the first of them came.
    since: Option<Now>,
}

impl AfterWatermark {
    /// Once, at the end of the window.
    pub fn past_end_of_window() -> Self {
        Self::default()
    }

    /// Also before the end.
    #[must_use]
    pub fn with_early_firings(mut self, early: Early) -> Self {
        self.early = Some(early);
        self
    }

    /// Also with each `every` late records; 0 is 1.
    #[must_use]
    pub fn with_late_firings(mut self, every: u64) -> Self {
        self.late_every = Some(every.max(1));
        self
    }

    fn fire(&mut self) -> TriggerResult {
        (self.count, self.since) = (0, None);
        TriggerResult::Fire
    }
}

impl<T> Trigger<T> for AfterWatermark {
    fn on_element(&mut self, _record: &T, _timestamp: Option<EventTime>, ctx: &TriggerContext) -> TriggerResult {
        self.passed = ctx.watermark >= ctx.window.max_timestamp();
        self.count += 1;
        self.since.get_or_insert(ctx.now);
        let every = match (self.passed, self.early) {
            (true, _) => self.late_every,
            (false, Some(Early::Every(every))) => Some(every),
            (false, Some(Early::AfterProcessingTime(_)) | None) => None,
        };
        if every.is_some_and(|every| self.count >= every) { self.fire() } else { TriggerResult::Continue }
    }

    fn next_event_time(&self, ctx: &TriggerContext) -> Option<EventTime> {
        (!self.passed).then(|| ctx.window.max_timestamp())
    }

    fn on_event_time(&mut self, _ctx: &TriggerContext) -> TriggerResult {
        self.passed = true;
        self.fire()
    }

    fn next_processing_time(&self, _ctx: &TriggerContext) -> Option<Now> {
        match (self.early, self.since) {
            (Some(Early::AfterProcessingTime(delay)), Some(since)) if !self.passed => {
                Some(since + Duration::from_millis(delay))
            }
            _ => None,
        }
    }

    fn on_processing_time(&mut self, _ctx: &TriggerContext) -> TriggerResult {
        self.fire()
    }

    fn merge(&mut self, other: Self) {
        self.passed = false;
        self.count += other.count;
        self.since = [self.since, other.since].into_iter().flatten().min();
    }
}

/// Emits each `interval` of event time, at its multiples, and at the end of the window. Flink's `ContinuousEventTimeTrigger`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContinuousEventTimeTrigger {
    interval_ms: i64,
    next: Option<EventTime>,
    passed: bool,
}

impl ContinuousEventTimeTrigger {
    /// Each `interval`, of at least a millisecond.
    pub fn of(interval: Duration) -> Self {
        Self { interval_ms: super::millis(interval).max(1), next: None, passed: false }
    }
}

impl<T> Trigger<T> for ContinuousEventTimeTrigger {
    fn on_element(&mut self, _record: &T, timestamp: Option<EventTime>, ctx: &TriggerContext) -> TriggerResult {
        self.passed = ctx.watermark >= ctx.window.max_timestamp();
        if self.passed {
            return TriggerResult::Fire;
        }
        let time = timestamp.unwrap_or(ctx.watermark).max(ctx.watermark).0;
        let next = EventTime((time - time.rem_euclid(self.interval_ms)).saturating_add(self.interval_ms));
        self.next = Some(self.next.map_or(next, |before| before.min(next)));
        TriggerResult::Continue
    }

    fn next_event_time(&self, ctx: &TriggerContext) -> Option<EventTime> {
        let end = (!self.passed).then(|| ctx.window.max_timestamp());
        [self.next, end].into_iter().flatten().min().filter(|_| !self.passed)
    }

    fn on_event_time(&mut self, ctx: &TriggerContext) -> TriggerResult {
        self.passed = ctx.watermark >= ctx.window.max_timestamp();
        let behind = ctx.watermark.0.saturating_sub(ctx.watermark.0.rem_euclid(self.interval_ms));
        self.next = Some(EventTime(behind.saturating_add(self.interval_ms)));
        TriggerResult::Fire
    }

    fn merge(&mut self, other: Self) {
        self.passed = false;
        self.next = [self.next, other.next].into_iter().flatten().min();
    }
}

/// What a window has without a trigger of the program's own: that of its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DefaultTrigger {
    /// That of event-time windows, and of the global one.
    EventTime(EventTimeTrigger),
    /// That of processing-time windows.
    ProcessingTime(ProcessingTimeTrigger),
}

impl<T> Trigger<T> for DefaultTrigger {
    fn on_element(&mut self, record: &T, timestamp: Option<EventTime>, ctx: &TriggerContext) -> TriggerResult {
        match self {
            Self::EventTime(trigger) => trigger.on_element(record, timestamp, ctx),
            Self::ProcessingTime(trigger) => trigger.on_element(record, timestamp, ctx),
        }
    }

    fn next_event_time(&self, ctx: &TriggerContext) -> Option<EventTime> {
        match self {
            Self::EventTime(trigger) => Trigger::<T>::next_event_time(trigger, ctx),
            Self::ProcessingTime(_) => None,
        }
    }

    fn on_event_time(&mut self, ctx: &TriggerContext) -> TriggerResult {
        match self {
            Self::EventTime(trigger) => Trigger::<T>::on_event_time(trigger, ctx),
            Self::ProcessingTime(_) => TriggerResult::Continue,
        }
    }

    fn next_processing_time(&self, ctx: &TriggerContext) -> Option<Now> {
        match self {
            Self::EventTime(_) => None,
            Self::ProcessingTime(trigger) => Trigger::<T>::next_processing_time(trigger, ctx),
        }
    }

    fn on_processing_time(&mut self, ctx: &TriggerContext) -> TriggerResult {
        match self {
            Self::EventTime(_) => TriggerResult::Continue,
            Self::ProcessingTime(trigger) => Trigger::<T>::on_processing_time(trigger, ctx),
        }
    }

    fn merge(&mut self, _other: Self) {
        *self = match self {
            Self::EventTime(_) => Self::EventTime(EventTimeTrigger::default()),
            Self::ProcessingTime(_) => Self::ProcessingTime(ProcessingTimeTrigger::default()),
        };
    }
}
