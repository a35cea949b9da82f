//! Windows against naive models, under random order.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;

use proptest::prelude::*;

use super::super::aggregate::{Aggregate, Reduce, Sum};
use super::super::testing::{Collected, context};
use super::super::{Operator, OutputTag};
use super::*;
use crate::engine::record::{Batch, Keyed, Times, key_hash};
use crate::graph::plan::ExecutionMode;
use crate::time::{EventTime, Now};

pub(super) type Emitted = Pane<u8, u64>;
/// Key, value, time.
type Row = (u8, u64, i64);

pub(super) const LATE: OutputTag<u64> = OutputTag::new("late");

pub(super) fn batch(rows: &[Row]) -> Box<dyn Batch> {
    let hashes = rows.iter().map(|row| key_hash(&row.0)).collect();
    let (keys, values) = rows.iter().map(|row| (row.0, row.1)).unzip::<u8, u64, Vec<_>, Vec<_>>();
    let times = rows.iter().map(|row| EventTime(row.2)).collect();
    Box::new(Keyed::from_columns(hashes, keys, values).with_times(Times::of(times)))
}

fn panes<A>(input: fn(A) -> u64) -> Processed<Panes, fn(A) -> u64, u64, Emitted> {
    Processed { function: Panes, input, types: PhantomData }
}

pub(super) fn general<W: Trigger<u64>>(
    assigner: Assigner<u64>,
    trigger: W,
    lateness_ms: i64,
    accumulation: Accumulation,
) -> Box<dyn Operator> {
    let windowing =
        Windowing { assigner, trigger, allowed_lateness_ms: lateness_ms, accumulation, late: Late::To(LATE) };
    let folded = Folded { value: |value: u64| value, aggregate: Sum, types: PhantomData };
    opened(Box::new(WindowOperator::<u8, u64, _, W, _>::new(windowing, folded, panes(|sum: u64| sum))))
}

fn opened(mut operator: Box<dyn Operator>) -> Box<dyn Operator> {
    let mut context = context(ExecutionMode::Streaming);
    context.side_outputs.insert(LATE.name().to_owned(), std::any::type_name::<u64>());
    operator.open(&context).unwrap();
    operator
}

pub(super) fn default_trigger() -> DefaultTrigger {
    DefaultTrigger::EventTime(EventTimeTrigger::default())
}

pub(super) fn aligned(size: i64, slide: i64, offset: i64) -> Aligned {
    let millis = |ms: i64| Duration::from_millis(ms as u64);
    Aligned::new(millis(size), millis(slide), millis(offset))
}

pub(super) fn simple(windows: Aligned) -> Box<dyn Operator> {
    let result = panes(<Reduce<fn(u64, u64) -> u64> as Aggregate<u64>>::value);
    let reduce = Reduce((|a, b| a + b) as fn(u64, u64) -> u64);
    opened(if windows.slide_ms >= windows.size_ms {
        Box::new(TumblingWindow::<u8, u64, _, _>::new(windows, TimeDomain::Event, reduce, result))
    } else {
        Box::new(SlidingWindow::<u8, u64, _, _>::new(windows, TimeDomain::Event, reduce, result))
    })
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Rows(Vec<Row>),
    Watermark(i64),
}

/// Records around a watermark that advances: some before it, most behind.
pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rows = proptest::collection::vec((0u8..4, 1u64..100, -25i64..40), 1..30);
    let step = prop_oneof![3 => rows.prop_map(Step::Rows), 1 => (0i64..25).prop_map(Step::Watermark)];
    proptest::collection::vec(step, 1..30).prop_map(|steps| {
        let mut watermark = 0;
        let absolute = |step| match step {
            Step::Rows(rows) => Step::Rows(rows.into_iter().map(|(k, v, t)| (k, v, watermark + t)).collect()),
            Step::Watermark(ahead) => {
                watermark += ahead;
                Step::Watermark(watermark)
            }
        };
        let mut steps: Vec<Step> = steps.into_iter().map(absolute).collect();
        steps.push(Step::Watermark(i64::MAX));
        steps
    })
}

/// Runs the steps; what each emits, sorted within a step, and all that was late.
pub(super) fn run(operator: &mut dyn Operator, steps: &[Step]) -> (Vec<Vec<Emitted>>, Vec<u64>) {
    let (mut out, mut late) = (Collected::default(), Vec::new());
    let emitted = steps.iter().map(|step| {
        match step {
            Step::Rows(rows) => operator.process(0, batch(rows), &mut out).unwrap(),
            Step::Watermark(watermark) => operator.on_watermark(EventTime(*watermark), &mut out).unwrap(),
        }
        late.extend(out.side_rows::<u64>(LATE.name()));
        let mut emitted = out.rows::<Emitted>();
        let new = emitted.iter().filter(|pane| pane.info.kind != RowKind::UpdateBefore).map(|pane| pane.window.end);
        assert!(matches!(step, Step::Rows(_)) || new.is_sorted(), "windows in order");
        emitted.sort();
        emitted
    });
    let emitted = emitted.collect();
    operator.finish(&mut out).unwrap();
    assert!(out.batches.is_empty(), "the watermark has ended everything");
    (emitted, late)
}

fn info(timing: Timing, index: u32, kind: RowKind) -> PaneInfo {
    PaneInfo { timing, index, kind }
}

/// One window of the model.
#[derive(Default)]
struct ModelWindow {
    sum: Option<u64>,
    last: Option<u64>,
    index: u32,
    in_time: bool,
    passed: bool,
}

/// Windows of fixed length with the default trigger: each record looks at all windows around it.
struct Model {
    windows: Aligned,
    lateness: i64,
    accumulation: Accumulation,
    open: BTreeMap<(TimeWindow, u8), ModelWindow>,
    watermark: i64,
}

impl Model {
    fn emit(&mut self, at: (TimeWindow, u8), out: &mut Vec<Emitted>) {
        let state = self.open.get_mut(&at).unwrap();
        let Some(value) = state.sum else { return };
        let timing = if state.in_time && !state.passed { Timing::OnTime } else { Timing::Late };
        state.passed = true;
        let mut pane = |kind, value| {
            out.push(Pane { key: at.1, window: at.0, info: info(timing, state.index, kind), value });
        };
        match (self.accumulation, state.last) {
            (Accumulation::Retracting, Some(last)) => {
                pane(RowKind::UpdateBefore, last);
                pane(RowKind::UpdateAfter, value);
            }
            _ => pane(RowKind::Insert, value),
        }
        state.last = Some(value);
        state.index += 1;
        if self.accumulation == Accumulation::Discarding {
            state.sum = None;
        }
    }

    fn run(&mut self, steps: &[Step]) -> (Vec<Vec<Emitted>>, Vec<u64>) {
        let mut late = Vec::new();
        let step = |step: &Step| {
            let mut out = Vec::new();
            match step {
                Step::Rows(rows) => {
                    for (key, value, time) in rows {
                        let windows: Vec<_> = self.windows.of(*time).collect();
                        let watermark = self.watermark;
                        let kept: Vec<_> = windows
                            .iter()
                            .filter(|window| window.max_timestamp().0.saturating_add(self.lateness) > watermark)
                            .collect();
                        if kept.is_empty() && !windows.is_empty() {
                            late.push(*value);
                        }
                        for window in kept {
                            let ends = window.max_timestamp().0;
                            let new = ModelWindow { in_time: watermark < ends, ..ModelWindow::default() };
                            let state = self.open.entry((*window, *key)).or_insert(new);
                            state.sum = Some(state.sum.unwrap_or(0) + value);
                            if watermark >= ends {
                                self.emit((*window, *key), &mut out);
                            }
                        }
                    }
                }
                Step::Watermark(watermark) => {
                    let before = std::mem::replace(&mut self.watermark, *watermark);
                    let due: Vec<_> = self.open.keys().copied().collect();
                    for at in due {
                        let ends = at.0.max_timestamp().0;
                        if before < ends && ends <= *watermark {
                            self.emit(at, &mut out);
                        }
                        if ends.saturating_add(self.lateness) <= *watermark {
                            self.open.remove(&at);
                        }
                    }
                }
            }
            out.sort();
            out
        };
        (steps.iter().map(step).collect(), late)
    }
}

fn model(windows: Aligned, lateness: i64, accumulation: Accumulation) -> Model {
    Model { windows, lateness, accumulation, open: BTreeMap::new(), watermark: i64::MIN }
}

/// Sessions of each key, online: start, end and sum.
fn sessions(steps: &[Step], gap: i64) -> Vec<Vec<(u8, TimeWindow, u64)>> {
    let mut open: BTreeMap<u8, Vec<(TimeWindow, u64)>> = BTreeMap::new();
    let mut now = i64::MIN;
    let step = |step: &Step| {
        let mut out = Vec::new();
        match step {
            Step::Rows(rows) => {
                for (key, value, time) in rows {
                    let sessions = open.entry(*key).or_default();
                    let mut new = (TimeWindow::new(*time, time + gap), *value);
                    let mut met = sessions.clone();
                    met.retain(|(window, _)| window.start.0 <= time + gap && window.end.0 >= *time);
                    for (window, sum) in &met {
                        new = (
                            TimeWindow { start: new.0.start.min(window.start), end: new.0.end.max(window.end) },
                            new.1 + sum,
                        );
                    }
                    if new.0.end.0 - 1 > now {
                        sessions.retain(|session| !met.contains(session));
                        sessions.push(new);
                    }
                }
            }
            Step::Watermark(watermark) => {
                now = *watermark;
                for (key, sessions) in &mut open {
                    for (window, sum) in sessions.extract_if(.., |session| session.0.end.0 - 1 <= now) {
                        out.push((*key, window, sum));
                    }
                }
            }
        }
        out.sort();
        out
    };
    steps.iter().map(step).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn windows_of_one_length_are_the_models(
        steps in steps(), size in 1i64..30, slide in 1i64..30, offset in 0i64..10,
    ) {
        let windows = aligned(size, slide, offset);
        let expected = model(windows, 0, Accumulation::Accumulating).run(&steps);
        prop_assert_eq!(&run(&mut *simple(windows), &steps).0, &expected.0);
        let assigner = Assigner::Aligned(windows, TimeDomain::Event);
        let mut operator = general(assigner, default_trigger(), 0, Accumulation::Accumulating);
        prop_assert_eq!(run(&mut *operator, &steps), expected);
    }

    #[test]
    fn late_records_and_what_they_change_are_the_models(
        steps in steps(), size in 1i64..30, slide in 10i64..30, lateness in 0i64..40, accumulation in 0usize..3,
    ) {
        let accumulation =
            [Accumulation::Discarding, Accumulation::Accumulating, Accumulation::Retracting][accumulation];
        let windows = aligned(size, slide, 0);
        let assigner = Assigner::Aligned(windows, TimeDomain::Event);
        let mut operator = general(assigner, default_trigger(), lateness, accumulation);
        prop_assert_eq!(run(&mut *operator, &steps), model(windows, lateness, accumulation).run(&steps));
    }

    #[test]
    fn sessions_are_the_models(steps in steps(), gap in 1i64..20) {
        let assigner = Assigner::Sessions(Gap::Static(gap), TimeDomain::Event);
        let mut operator = general(assigner, default_trigger(), 0, Accumulation::Accumulating);
        let (emitted, _) = run(&mut *operator, &steps);
        let emitted: Vec<Vec<_>> = emitted
            .into_iter()
            .map(|step| step.into_iter().map(|pane| (pane.key, pane.window, pane.value)).collect())
            .collect();
        prop_assert_eq!(emitted, sessions(&steps, gap));
    }
}

fn watermark(operator: &mut dyn Operator, time: i64) -> Vec<Emitted> {
    let mut out = Collected::default();
    operator.on_watermark(EventTime(time), &mut out).unwrap();
    out.rows()
}

fn rows(operator: &mut dyn Operator, rows: &[Row], now: u64) -> Vec<Emitted> {
    let mut out = Collected { now: Now(now), ..Collected::default() };
    operator.process(0, batch(rows), &mut out).unwrap();
    out.rows()
}

fn clock(operator: &mut dyn Operator, now: u64) -> Vec<Emitted> {
    let mut out = Collected { now: Now(now), ..Collected::default() };
    operator.on_processing_time(Now(now), &mut out).unwrap();
    out.rows()
}

fn pane(window: TimeWindow, timing: Timing, index: u32, kind: RowKind, value: u64) -> Emitted {
    Pane { key: 1, window, info: info(timing, index, kind), value }
}

#[test]
fn early_and_late_firings_surround_the_one_on_time() {
    let trigger =
        AfterWatermark::past_end_of_window().with_early_firings(Early::AfterProcessingTime(100)).with_late_firings(2);
    let window = TimeWindow::new(0, 10);
    let assigner = || Assigner::Aligned(aligned(10, 10, 0), TimeDomain::Event);
    let mut operator = general(assigner(), trigger, 50, Accumulation::Accumulating);
    assert_eq!(rows(&mut *operator, &[(1, 5, 3)], 1000), []);
    assert_eq!(rows(&mut *operator, &[(1, 6, 4)], 1050), []);
    assert_eq!(operator.next_timer(), Some(Now(1100)), "counted from the first of the pane");
    assert_eq!(clock(&mut *operator, 1100), [pane(window, Timing::Early, 0, RowKind::Insert, 11)]);
    assert_eq!(operator.next_timer(), None);
    assert_eq!(watermark(&mut *operator, 9), [pane(window, Timing::OnTime, 1, RowKind::Insert, 11)]);
    assert_eq!(rows(&mut *operator, &[(1, 1, 9)], 2000), []);
    let late = pane(window, Timing::Late, 2, RowKind::Insert, 13);
    assert_eq!(rows(&mut *operator, &[(1, 1, 0)], 2000), [late]);
    assert_eq!(watermark(&mut *operator, 59), []);
    assert_eq!(rows(&mut *operator, &[(1, 1, 0)], 2000), [], "nothing is kept of it");
    let mut operator = general(assigner(), trigger, 50, Accumulation::Discarding);
    rows(&mut *operator, &[(1, 5, 3)], 1000);
    assert_eq!(clock(&mut *operator, 1100), [pane(window, Timing::Early, 0, RowKind::Insert, 5)]);
    assert_eq!(watermark(&mut *operator, 9), [], "nothing has come since");
}

#[test]
fn a_session_that_has_grown_or_merged_is_another_window() {
    let assigner = Assigner::Sessions(Gap::Static(10), TimeDomain::Event);
    let mut operator = general(assigner, CountTrigger::of(1), 0, Accumulation::Retracting);
    let early = |start, end, index, kind, value| pane(TimeWindow::new(start, end), Timing::Early, index, kind, value);
    assert_eq!(rows(&mut *operator, &[(1, 5, 0)], 0), [early(0, 10, 0, RowKind::Insert, 5)]);
    assert_eq!(rows(&mut *operator, &[(1, 7, 20)], 0), [early(20, 30, 0, RowKind::Insert, 7)]);
    let merged = [
        early(0, 10, 0, RowKind::UpdateBefore, 5),
        early(20, 30, 0, RowKind::UpdateBefore, 7),
        early(0, 30, 0, RowKind::UpdateAfter, 13),
    ];
    assert_eq!(rows(&mut *operator, &[(1, 1, 10)], 0), merged, "touching is enough");
    let again = [early(0, 30, 1, RowKind::UpdateBefore, 13), early(0, 30, 1, RowKind::UpdateAfter, 15)];
    assert_eq!(rows(&mut *operator, &[(1, 2, 5)], 0), again);
}

#[test]
fn many_merged_sessions_leave_one_pane_and_few_timers() {
    let assigner = Assigner::Sessions(Gap::Static(10), TimeDomain::Event);
    let mut operator = general(assigner, default_trigger(), 0, Accumulation::Accumulating);
    for time in 0..1000 {
        assert_eq!(rows(&mut *operator, &[(1, 1, time)], 0), []);
        assert_eq!(watermark(&mut *operator, time), []);
    }
    let session = pane(TimeWindow::new(0, 1009), Timing::OnTime, 0, RowKind::Insert, 1000);
    assert_eq!(watermark(&mut *operator, 1008), [session]);
}

#[test]
fn windows_without_timestamps_say_what_to_do() {
    let assigner = Assigner::Aligned(aligned(10, 10, 0), TimeDomain::Event);
    for mut operator in [
        simple(aligned(10, 10, 0)),
        simple(aligned(10, 5, 0)),
        general(assigner, default_trigger(), 0, Accumulation::Accumulating),
    ] {
        let mut out = Collected::default();
        let failure = operator.process(0, super::super::testing::keyed(&[(1u8, 1u64)]), &mut out).unwrap_err();
        assert!(failure.message.contains("assign_timestamps_and_watermarks"), "{failure}");
    }
}

#[test]
fn sessions_of_processing_time_end_when_the_gap_has_passed() {
    let assigner = Assigner::Sessions(Gap::Static(100), TimeDomain::Processing);
    let trigger = DefaultTrigger::ProcessingTime(ProcessingTimeTrigger::default());
    let mut operator = general(assigner, trigger, 0, Accumulation::Accumulating);
    rows(&mut *operator, &[(1, 1, 0)], 1000);
    rows(&mut *operator, &[(1, 2, 0)], 1090);
    assert_eq!(operator.next_timer(), Some(Now(1100)));
    assert_eq!(clock(&mut *operator, 1100), [], "it has been prolonged");
    assert_eq!(operator.next_timer(), Some(Now(1190)));
    let values = clock(&mut *operator, 1190).into_iter().map(|pane| (pane.window, pane.value)).collect::<Vec<_>>();
    assert_eq!(values, [(TimeWindow::new(1000, 1190), 3)]);
    assert_eq!(operator.next_timer(), None);
}
