//! The example of the Dataflow Model paper (Akidau et al., VLDB 2015, section 3): one key, ten values that add up to 51, and what each
//! kind of windows, trigger and accumulation makes of them.
//!
//! Times are minutes and seconds behind 12:00 in event time; values come in the order of the paper. The watermark passes the ends of the
//! first two windows before their last values have come: 9 is late.

use std::time::Duration;

use super::{TestStream, execute_and_collect};
use crate::prelude::*;
use crate::windows::{RowKind, Timing};

const MINUTE: Duration = Duration::from_secs(60);

fn at(minute: i64, second: i64) -> EventTime {
    EventTime((minute * 60 + second) * 1000)
}

fn window(from_minute: i64, to_minute: i64) -> TimeWindow {
    TimeWindow { start: at(from_minute, 0), end: at(to_minute, 0) }
}

/// The values in the order they come, a minute apart; the watermark behind them as the heuristic one of the paper.
fn script() -> TestStream<i64> {
    TestStream::new()
        .add_elements([(5, at(0, 30)), (7, at(2, 20))])
        .advance_processing_time(MINUTE)
        .add_elements([(3, at(3, 30)), (4, at(3, 50))])
        .advance_processing_time(MINUTE)
        .advance_watermark_to(at(2, 0))
        .add_elements([(3, at(4, 30)), (8, at(3, 10)), (8, at(6, 40))])
        .advance_processing_time(MINUTE)
        .advance_watermark_to(at(6, 0))
        .add_elements([(3, at(7, 10)), (9, at(1, 30)), (1, at(7, 40))])
        .advance_processing_time(MINUTE)
        .advance_watermark_to_infinity()
}

/// Window, timing, kind and value of each emission, in order.
type Seen = Vec<(TimeWindow, Timing, RowKind, i64)>;

fn seen(windowed: impl FnOnce(crate::KeyedStream<u8, i64>) -> crate::DataStream<Pane<u8, i64>>) -> Seen {
    let env = StreamExecutionEnvironment::new();
    let panes = windowed(env.from_source(script(), "script").key_by(|_| 0u8));
    let panes = execute_and_collect(&panes, "dataflow model").unwrap();
    panes.into_iter().map(|pane| (pane.window, pane.info.timing, pane.info.kind, pane.value)).collect()
}

fn values(seen: &Seen) -> Vec<i64> {
    seen.iter().map(|pane| pane.3).collect()
}

fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[test]
fn classic_batch_is_the_global_window() {
    let all = seen(|keyed| keyed.window(GlobalWindows).reduce_with(add, Panes));
    assert_eq!(all, [(TimeWindow::GLOBAL, Timing::OnTime, RowKind::Insert, 51)]);
}

#[test]
fn global_windows_by_time_accumulating_and_discarding() {
    let periodic = || AfterWatermark::past_end_of_window().with_early_firings(Early::after_processing_time(MINUTE / 2));
    let accumulating = seen(|keyed| keyed.window(GlobalWindows).trigger(periodic()).reduce_with(add, Panes));
    assert_eq!(values(&accumulating), [12, 19, 38, 51, 51]);
    let discarding = seen(|keyed| {
        let windows = keyed.window(GlobalWindows).trigger(periodic());
        windows.accumulation(Accumulation::Discarding).reduce_with(add, Panes)
    });
    assert_eq!(values(&discarding), [12, 7, 19, 13]);
    assert!(discarding.iter().all(|pane| pane.1 == Timing::Early));
}

#[test]
fn global_windows_by_count_discarding() {
    let pairs = seen(|keyed| {
        let windows = keyed.window(GlobalWindows).trigger(PurgingTrigger::of(CountTrigger::of(2)));
        windows.reduce_with(add, Panes)
    });
    assert_eq!(values(&pairs), [12, 7, 11, 11, 10]);
}

#[test]
fn fixed_windows_in_batch_wait_for_the_end() {
    let env = StreamExecutionEnvironment::new();
    let strategy = WatermarkStrategy::no_watermarks().with_timestamp_assigner(|value: &(i64, i64)| EventTime(value.1));
    let minutes = [(5, 0), (7, 2), (3, 3), (4, 3), (3, 4), (8, 3), (8, 6), (3, 7), (9, 1), (1, 7)];
    let stream = env.from_collection(minutes.map(|(value, minute)| (value, minute * 60_000)));
    let windows = stream.assign_timestamps_and_watermarks(strategy).key_by(|_| 0u8);
    let sums = windows.window(TumblingEventTimeWindows::of(2 * MINUTE)).sum(|value| value.0);
    let sums = execute_and_collect(&sums, "batch").unwrap();
    assert_eq!(sums, [(0, 14), (0, 22), (0, 3), (0, 12)]);
}

#[test]
fn fixed_windows_in_streaming_take_late_values_into_account() {
    let fixed = seen(|keyed| {
        let windows = keyed.window(TumblingEventTimeWindows::of(2 * MINUTE)).allowed_lateness(60 * MINUTE);
        windows.reduce_with(add, Panes)
    });
    let expected = [
        (window(0, 2), Timing::OnTime, RowKind::Insert, 5),
        (window(2, 4), Timing::OnTime, RowKind::Insert, 22),
        (window(4, 6), Timing::OnTime, RowKind::Insert, 3),
        (window(0, 2), Timing::Late, RowKind::Insert, 14),
        (window(6, 8), Timing::OnTime, RowKind::Insert, 12),
    ];
    assert_eq!(fixed, expected);
}

#[test]
fn fixed_windows_with_early_results_are_known_sooner() {
    let fixed = seen(|keyed| {
        let trigger = AfterWatermark::past_end_of_window()
            .with_early_firings(Early::after_processing_time(MINUTE))
            .with_late_firings(1);
        let windows = keyed.window(TumblingEventTimeWindows::of(2 * MINUTE)).trigger(trigger);
        windows.allowed_lateness(60 * MINUTE).accumulation(Accumulation::Discarding).reduce_with(add, Panes)
    });
    let second: Vec<_> = fixed.iter().filter(|pane| pane.0 == window(2, 4)).map(|pane| (pane.1, pane.3)).collect();
    assert_eq!(second, [(Timing::Early, 7), (Timing::Early, 7), (Timing::Early, 8)]);
    assert_eq!(fixed.iter().map(|pane| pane.3).sum::<i64>(), 51, "discarding loses nothing and counts nothing twice");
}

#[test]
fn sessions_retract_what_has_merged() {
    let sessions = seen(|keyed| {
        let trigger = AfterWatermark::past_end_of_window()
            .with_early_firings(Early::after_processing_time(MINUTE / 2))
            .with_late_firings(1);
        let windows = keyed.window(EventTimeSessionWindows::with_gap(MINUTE)).trigger(trigger);
        windows.allowed_lateness(60 * MINUTE).accumulation(Accumulation::Retracting).reduce_with(add, Panes)
    });
    // What holds in the end is what was emitted and not taken back.
    let mut table = std::collections::BTreeMap::new();
    for (window, _, kind, value) in &sessions {
        match kind {
            RowKind::UpdateBefore => assert_eq!(table.remove(window), Some(*value), "only what holds is taken back"),
            RowKind::Insert | RowKind::UpdateAfter => assert_eq!(table.insert(*window, *value), None),
        }
    }
    // 9 at 1:30 touches 5's session and 7's, which had met 8, 3, 4 and 3 before: all six are one.
    let last = (TimeWindow { start: at(6, 40), end: at(8, 40) }, 12);
    let first = (TimeWindow { start: at(0, 30), end: at(5, 30) }, 39);
    assert_eq!(table.into_iter().collect::<Vec<_>>(), [first, last]);
}
