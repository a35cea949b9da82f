//! What becomes of a key's panes: they are opened, merged, emitted and given up.

use serde::{Deserialize, Serialize};

use super::super::{Collector, OutputTag};
use super::function::{WindowAggregate, WindowCore, WindowResult};
use super::schedule::{Entry, Schedule};
use super::trigger::{Trigger, TriggerContext, TriggerResult};
use super::{Accumulation, Assigner, PaneInfo, RowKind, TimeDomain, TimeWindow, Timing};
use crate::engine::record::{Key, KeyRef, Record};
use crate::time::{EventTime, Now};

/// What becomes of records that are in no open window.
#[derive(Clone)]
pub(crate) enum Late<T> {
    Dropped,
    To(OutputTag<T>),
}

/// What is said of the windows.
#[derive(Clone)]
pub(crate) struct Windowing<T, W> {
    pub(crate) assigner: Assigner<T>,
    pub(crate) trigger: W,
    pub(crate) allowed_lateness_ms: i64,
    pub(crate) accumulation: Accumulation,
    pub(crate) late: Late<T>,
}

/// What is held for a key and window.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct OpenPane<A, W> {
    pub(super) id: u64,
    window: TimeWindow,
    accumulator: Option<A>,
    trigger: W,
    index: u32,
    /// Whether it has been opened before the watermark passed its end: else it has no emission on time.
    in_time: bool,
    /// Whether it has emitted since the watermark passed its end.
    passed: bool,
    /// What a further emission takes back.
    #[expect(clippy::box_collection, reason = "one word instead of three in the many panes that take nothing back")]
    emitted: Option<Box<Vec<(TimeWindow, A)>>>,
    /// Its entries in the schedules, which are made anew behind a restart.
    #[serde(skip)]
    pub(super) event_due: Option<EventTime>,
    #[serde(skip)]
    pub(super) processing_due: Option<Now>,
}

/// The panes of a key, in no order.
pub(super) type KeyPanes<A, W> = Vec<OpenPane<A, W>>;

/// All but the panes.
pub(super) struct Rules<K, T, A, W, R> {
    pub(super) windowing: Windowing<T, W>,
    aggregate: A,
    pub(super) result: R,
    pub(super) core: WindowCore<K>,
    pub(super) events: Schedule<EventTime, K>,
    pub(super) clock: Schedule<Now, K>,
    next_id: u64,
    assigned: Vec<TimeWindow>,
    pub(super) now: Now,
}

/// The key at hand.
pub(super) struct At<'a, K> {
    pub(super) hash: u64,
    pub(super) key: KeyRef<'a, K>,
}

/// Moments that a trigger has been called for, and is not called for again although it may tell them again.
#[derive(Clone, Copy, Default)]
struct Behind {
    event: Option<EventTime>,
    clock: Option<Now>,
}

/// The end of a window of processing time.
fn window_end(window: TimeWindow) -> Now {
    Now(u64::try_from(window.end.0).unwrap_or(0))
}

/// What becomes of a pane.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    GivenUp,
}

impl<K, T, A, W, R> Rules<K, T, A, W, R>
where
    K: Key,
    T: Record,
    A: WindowAggregate<T>,
    W: Trigger<T>,
    R: WindowResult<K, A::Accumulator>,
{
    /// Takes a pane of a checkpoint in.
    pub(super) fn adopt(&mut self, at: &At<'_, K>, pane: &mut OpenPane<A::Accumulator, W>) {
        self.next_id += 1;
        pane.id = self.next_id;
        self.schedule(at, pane, Behind::default());
    }

    pub(super) fn new(windowing: Windowing<T, W>, aggregate: A, result: R) -> Self {
        Self {
            windowing,
            aggregate,
            result,
            core: WindowCore::new(),
            events: Schedule::new(),
            clock: Schedule::new(),
            next_id: 0,
            assigned: Vec::new(),
            now: Now(0),
        }
    }

    /// When a window of event time is given up: the first watermark for which nothing is kept of it.
    fn cleanup(&self, window: TimeWindow) -> EventTime {
        EventTime(window.max_timestamp().0.saturating_add(self.windowing.allowed_lateness_ms))
    }

    fn is_late(&self, window: TimeWindow) -> bool {
        self.windowing.assigner.domain() == TimeDomain::Event
            && window != TimeWindow::GLOBAL
            && self.cleanup(window) <= self.core.watermark
    }

    fn ctx(&self, window: TimeWindow) -> TriggerContext {
        TriggerContext { window, watermark: self.core.watermark, now: self.now }
    }

    /// Adds a record to its windows.
    pub(super) fn add(
        &mut self,
        at: &At<'_, K>,
        panes: &mut KeyPanes<A::Accumulator, W>,
        record: T,
        timestamp: Option<EventTime>,
        out: &mut Collector<'_, R::Out>,
    ) {
        let now = EventTime(i64::try_from(self.now.as_millis()).unwrap_or(i64::MAX));
        let time = match self.windowing.assigner.domain() {
            TimeDomain::Event => timestamp.unwrap_or(EventTime::MIN),
            TimeDomain::Processing => now,
        };
        let mut windows = std::mem::take(&mut self.assigned);
        self.windowing.assigner.assign(&record, time, &mut windows);
        let merges = self.windowing.assigner.merges();
        if merges {
            let met = panes.iter().map(|pane| pane.window).filter(|window| window.meets(windows[0]));
            windows[0] = met.fold(windows[0], TimeWindow::cover);
        }
        let in_gap = windows.is_empty();
        windows.retain(|window| !self.is_late(*window));
        match windows.as_slice() {
            [] if in_gap => {}
            [] => {
                if let Late::To(tag) = &self.windowing.late {
                    self.core.sides.at(timestamp);
                    self.core.sides.push(tag, record);
                }
            }
            [window] => self.add_to(at, panes, *window, record, timestamp, out),
            [first, others @ ..] => {
                for window in others.iter().rev() {
                    self.add_to(at, panes, *window, record.clone(), timestamp, out);
                }
                self.add_to(at, panes, *first, record, timestamp, out);
            }
        }
        self.assigned = windows;
    }

    fn add_to(
        &mut self,
        at: &At<'_, K>,
        panes: &mut KeyPanes<A::Accumulator, W>,
        window: TimeWindow,
        record: T,
        timestamp: Option<EventTime>,
        out: &mut Collector<'_, R::Out>,
    ) {
        let position = match self.windowing.assigner.merges() {
            true => self.session(panes, window),
            false => panes.iter().position(|pane| pane.window == window),
        };
        let position = position.unwrap_or_else(|| {
            panes.push(self.open(window));
            panes.len() - 1
        });
        let pane = &mut panes[position];
        let ctx = self.ctx(window);
        let decided = pane.trigger.on_element(&record, timestamp, &ctx);
        match &mut pane.accumulator {
            Some(folded) => self.aggregate.add(folded, record),
            none => *none = Some(self.aggregate.start(record)),
        }
        self.decide(at, pane, decided, Fate::Stays, out);
        self.schedule(at, pane, Behind::default());
    }

    fn open(&mut self, window: TimeWindow) -> OpenPane<A::Accumulator, W> {
        self.next_id += 1;
        OpenPane {
            id: self.next_id,
            window,
            accumulator: None,
            trigger: self.windowing.trigger.clone(),
            index: 0,
            in_time: self.core.watermark < window.max_timestamp(),
            passed: false,
            emitted: None,
            event_due: None,
            processing_due: None,
        }
    }

    /// The pane of a session that covers all those it meets: they become one. None: it meets none.
    fn session(&mut self, panes: &mut KeyPanes<A::Accumulator, W>, window: TimeWindow) -> Option<usize> {
        let first = panes.iter().position(|pane| pane.window.meets(window))?;
        if panes[first].window == window {
            return Some(first);
        }
        let mut met: Vec<_> = panes.extract_if(first.., |pane| pane.window.meets(window)).collect();
        met.sort_by_key(|pane| pane.window);
        let mut met = met.into_iter();
        let mut pane = met.next()?;
        for other in met {
            match (&mut pane.accumulator, other.accumulator) {
                (Some(folded), Some(more)) => self.aggregate.merge(folded, more),
                (none @ None, more) => *none = more,
                (Some(_), None) => {}
            }
            match (&mut pane.emitted, other.emitted) {
                (Some(emitted), Some(mut more)) => emitted.append(&mut more),
                (none @ None, more) => *none = more,
                (Some(_), None) => {}
            }
            pane.trigger.merge(other.trigger);
        }
        // Its trigger learns from the record that follows where the watermark stands.
        let fresh = self.open(window);
        pane.trigger.merge(fresh.trigger);
        let (index, in_time, passed) = (fresh.index, fresh.in_time, fresh.passed);
        panes.push(OpenPane { window, index, in_time, passed, ..pane });
        Some(panes.len() - 1)
    }

    /// Acts on what a trigger decided. `fate`: whether the pane will be given up behind it, so that it need not be copied.
    fn decide(
        &mut self,
        at: &At<'_, K>,
        pane: &mut OpenPane<A::Accumulator, W>,
        decided: TriggerResult,
        fate: Fate,
        out: &mut Collector<'_, R::Out>,
    ) {
        match decided {
            TriggerResult::Continue => {}
            TriggerResult::Purge => pane.accumulator = None,
            TriggerResult::Fire | TriggerResult::FireAndPurge => {
                let purge = decided == TriggerResult::FireAndPurge
                    || self.windowing.accumulation == Accumulation::Discarding
                    || fate == Fate::GivenUp;
                let value = if purge { pane.accumulator.take() } else { pane.accumulator.clone() };
                if let Some(value) = value {
                    self.emit(at, pane, value, out);
                }
            }
        }
    }

    fn emit(
        &mut self,
        at: &At<'_, K>,
        pane: &mut OpenPane<A::Accumulator, W>,
        value: A::Accumulator,
        out: &mut Collector<'_, R::Out>,
    ) {
        let timing = if self.core.watermark < pane.window.max_timestamp() {
            Timing::Early
        } else if pane.in_time && !pane.passed {
            Timing::OnTime
        } else {
            Timing::Late
        };
        pane.passed = timing != Timing::Early;
        let mut info = PaneInfo { timing, index: pane.index, kind: RowKind::Insert };
        pane.index += 1;
        if self.windowing.accumulation == Accumulation::Retracting {
            let kept = Box::new(vec![(pane.window, value.clone())]);
            if let Some(before) = pane.emitted.replace(kept) {
                info.kind = RowKind::UpdateBefore;
                for (window, value) in *before {
                    self.hand_on(at, window, info, value, out);
                }
                info.kind = RowKind::UpdateAfter;
            }
        }
        self.hand_on(at, pane.window, info, value, out);
    }

    fn hand_on(
        &mut self,
        at: &At<'_, K>,
        window: TimeWindow,
        pane: PaneInfo,
        value: A::Accumulator,
        out: &mut Collector<'_, R::Out>,
    ) {
        let Self { result, core, .. } = self;
        out.at(Some(window.max_timestamp()));
        core.sides.at(Some(window.max_timestamp()));
        let ctx = core.context(at.hash, (at.key.to_owned(), window), pane, self.now);
        result.emit(value, ctx, out);
    }

    /// Notes when a pane is to be looked at again.
    fn schedule(&mut self, at: &At<'_, K>, pane: &mut OpenPane<A::Accumulator, W>, behind: Behind) {
        let ctx = self.ctx(pane.window);
        let (hash, id) = (at.hash, pane.id);
        let entry = || Entry { hash, key: at.key.to_owned(), pane: id };
        let event = self.event_due(pane, &ctx, behind);
        if let Some(due) = event.filter(|due| pane.event_due.is_none_or(|before| *due < before)) {
            pane.event_due = Some(due);
            self.events.add(due, entry());
        }
        let processing = self.processing_due(pane, &ctx, behind);
        if let Some(due) = processing.filter(|due| pane.processing_due.is_none_or(|before| *due < before)) {
            pane.processing_due = Some(due);
            self.clock.add(due, entry());
        }
    }

    fn event_due(&self, pane: &OpenPane<A::Accumulator, W>, ctx: &TriggerContext, behind: Behind) -> Option<EventTime> {
        let end = self.windowing.assigner.domain() == TimeDomain::Event;
        let cleanup = end.then(|| self.cleanup(pane.window));
        let trigger = pane.trigger.next_event_time(ctx).filter(|due| Some(*due) > behind.event);
        [trigger, cleanup].into_iter().flatten().min()
    }

    fn processing_due(&self, pane: &OpenPane<A::Accumulator, W>, ctx: &TriggerContext, behind: Behind) -> Option<Now> {
        let end = self.windowing.assigner.domain() == TimeDomain::Processing;
        let cleanup = end.then(|| window_end(pane.window));
        let trigger = pane.trigger.next_processing_time(ctx).filter(|due| Some(*due) > behind.clock);
        [trigger, cleanup].into_iter().flatten().min()
    }

    /// The watermark has come to `time`, when a pane wanted to be looked at.
    pub(super) fn on_event_time(
        &mut self,
        at: &At<'_, K>,
        pane: &mut OpenPane<A::Accumulator, W>,
        time: EventTime,
        out: &mut Collector<'_, R::Out>,
    ) -> Fate {
        pane.event_due = None;
        let ctx = self.ctx(pane.window);
        if self.event_due(pane, &ctx, Behind::default()).is_some_and(|due| due > time) {
            // It has moved back since.
            self.schedule(at, pane, Behind::default());
            return Fate::Stays;
        }
        let gone = self.windowing.assigner.domain() == TimeDomain::Event && self.cleanup(pane.window) <= time;
        let fate = if gone { Fate::GivenUp } else { Fate::Stays };
        if pane.trigger.next_event_time(&ctx).is_some_and(|due| due <= time) {
            let decided = pane.trigger.on_event_time(&ctx);
            self.decide(at, pane, decided, fate, out);
        }
        self.settle(at, pane, fate, Behind { event: Some(time), clock: None })
    }

    /// The clock has come to `time`, when a pane wanted to be looked at.
    pub(super) fn on_processing_time(
        &mut self,
        at: &At<'_, K>,
        pane: &mut OpenPane<A::Accumulator, W>,
        time: Now,
        out: &mut Collector<'_, R::Out>,
    ) -> Fate {
        pane.processing_due = None;
        let ctx = self.ctx(pane.window);
        if self.processing_due(pane, &ctx, Behind::default()).is_some_and(|due| due > time) {
            self.schedule(at, pane, Behind::default());
            return Fate::Stays;
        }
        let gone = self.windowing.assigner.domain() == TimeDomain::Processing && window_end(pane.window) <= time;
        let fate = if gone { Fate::GivenUp } else { Fate::Stays };
        if pane.trigger.next_processing_time(&ctx).is_some_and(|due| due <= time) {
            let decided = pane.trigger.on_processing_time(&ctx);
            self.decide(at, pane, decided, fate, out);
        }
        self.settle(at, pane, fate, Behind { event: None, clock: Some(time) })
    }

    fn settle(&mut self, at: &At<'_, K>, pane: &mut OpenPane<A::Accumulator, W>, fate: Fate, behind: Behind) -> Fate {
        if fate == Fate::Stays {
            self.schedule(at, pane, behind);
        } else if R::CLEARS {
            let info = PaneInfo { index: pane.index, ..PaneInfo::ONLY };
            let key = (at.key.to_owned(), pane.window);
            self.result.clear(self.core.context(at.hash, key, info, self.now));
        }
        fate
    }
}
