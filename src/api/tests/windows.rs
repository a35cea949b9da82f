//! Windows and joins, as jobs: the same at every parallelism, in streaming and in batch mode.

use std::time::Duration;

use super::super::{
    DataStream, EventTimeSessionWindows, SlidingEventTimeWindows, StreamExecutionEnvironment, TumblingEventTimeWindows,
};
use crate::engine::operators::{Collector, JoinContext, Pane, Panes, TimeWindow, WatermarkStrategy, WindowContext};
use crate::graph::plan::ExecutionMode;
use crate::time::EventTime;

/// Key, value, time: up to 50 ms out of order.
type Row = (u8, u64, i64);

const MILLIS: Duration = Duration::from_millis(1);

fn records() -> Vec<Row> {
    let mut random = fastrand::Rng::with_seed(5);
    (0..5000).map(|n| (random.u8(..20), random.u64(..100), n / 2 + random.i64(0..50))).collect()
}

fn stream(env: &StreamExecutionEnvironment, records: Vec<Row>) -> DataStream<Row> {
    let strategy = WatermarkStrategy::for_bounded_out_of_orderness(50 * MILLIS)
        .with_timestamp_assigner(|row: &Row| EventTime(row.2));
    env.from_collection(records).assign_timestamps_and_watermarks(strategy)
}

fn check<O: Ord + crate::engine::record::Record + std::fmt::Debug>(
    job: impl Fn(&StreamExecutionEnvironment) -> DataStream<O> + Sync,
    mut expected: Vec<O>,
) {
    expected.sort();
    for (mode, parallelism) in [
        (ExecutionMode::Streaming, 1),
        (ExecutionMode::Streaming, 3),
        (ExecutionMode::Batch, 1),
        (ExecutionMode::Batch, 2),
    ] {
        let (job, name) = (&job, format!("{mode} {parallelism}"));
        // A program is one job, and so is a thread.
        let mut emitted = std::thread::scope(|scope| {
            let run = || {
                let env = StreamExecutionEnvironment::new();
                env.set_runtime_mode(mode).set_parallelism(parallelism);
                job(&env).execute_and_collect(&name).unwrap()
            };
            scope.spawn(run).join().unwrap()
        });
        emitted.sort();
        assert!(emitted == expected, "{name}: {} of {} panes", emitted.len(), expected.len());
    }
}

/// Key, window and sum of every window of one length that has a record.
fn model(size: i64, slide: i64) -> Vec<(u8, TimeWindow, u64)> {
    let mut sums = std::collections::BTreeMap::new();
    for (key, value, time) in records() {
        let last = time - time.rem_euclid(slide);
        for start in (time - size + 1..=last).filter(|start| start.rem_euclid(slide) == 0) {
            *sums.entry((key, TimeWindow::new(start, start + size))).or_insert(0) += value;
        }
    }
    sums.into_iter().map(|((key, window), sum)| (key, window, sum)).collect()
}

fn sums(panes: &DataStream<Pane<u8, Row>>) -> DataStream<(u8, TimeWindow, u64)> {
    panes.map(|pane| (pane.key, pane.window, pane.value.1))
}

fn add(a: Row, b: Row) -> Row {
    (a.0, a.1 + b.1, a.2)
}

#[test]
fn windows_of_one_length_are_the_same_everywhere() {
    let tumbling = |env: &StreamExecutionEnvironment| {
        let keyed = stream(env, records()).key_by(|row| row.0);
        sums(&keyed.window(TumblingEventTimeWindows::of(100 * MILLIS)).reduce_with(add, Panes))
    };
    check(tumbling, model(100, 100));
    let sliding = |env: &StreamExecutionEnvironment| {
        let keyed = stream(env, records()).key_by(|row| row.0);
        sums(&keyed.window(SlidingEventTimeWindows::of(100 * MILLIS, 30 * MILLIS)).reduce_with(add, Panes))
    };
    check(sliding, model(100, 30));
}

#[test]
fn windows_follow_windows() {
    let job = |env: &StreamExecutionEnvironment| {
        let counts =
            stream(env, records()).key_by(|row| row.0).window(TumblingEventTimeWindows::of(100 * MILLIS)).count();
        counts.window_all(TumblingEventTimeWindows::of(500 * MILLIS)).sum(|(_, count)| *count)
    };
    let mut expected = vec![0; 6];
    records().iter().for_each(|row| expected[(row.2 / 500) as usize] += 1);
    expected.retain(|count| *count > 0);
    check(job, expected);
}

#[test]
fn sessions_are_the_same_everywhere() {
    let rows: Vec<Row> = records().into_iter().filter(|row| row.2 % 100 < 40).collect();
    let mut expected: Vec<(u8, TimeWindow, u64)> = Vec::new();
    let mut sorted = rows.clone();
    sorted.sort_by_key(|row| (row.0, row.2));
    for (key, value, time) in sorted {
        match expected.last_mut() {
            Some((last, window, sum)) if *last == key && window.end.0 >= time => {
                *window = TimeWindow::new(window.start.0, time + 30);
                *sum += value;
            }
            _ => expected.push((key, TimeWindow::new(time, time + 30), value)),
        }
    }
    let job = |env: &StreamExecutionEnvironment| {
        let keyed = stream(env, rows.clone()).key_by(|row| row.0);
        sums(&keyed.window(EventTimeSessionWindows::with_gap(30 * MILLIS)).reduce_with(add, Panes))
    };
    check(job, expected);
}

#[test]
fn window_joins_find_the_pairs_of_each_window() {
    let left: Vec<Row> = records().into_iter().take(600).collect();
    let right: Vec<Row> =
        records().into_iter().skip(600).take(600).map(|(key, value, time)| (key, value, time - 300)).collect();
    let mut expected = Vec::new();
    for a in &left {
        for b in right.iter().filter(|b| a.0 == b.0 && a.2.div_euclid(20) == b.2.div_euclid(20)) {
            expected.push((a.0, a.1, b.1));
        }
    }
    let both = |env: &StreamExecutionEnvironment| {
        let (first, second) = (stream(env, left.clone()), stream(env, right.clone()));
        first.key_by(|row| row.0).join(&second.key_by(|row| row.0)).window(TumblingEventTimeWindows::of(20 * MILLIS))
    };
    check(|env| both(env).apply(|a, b| (a.0, a.1, b.1)), expected);
    let lonely = |env: &StreamExecutionEnvironment| {
        both(env).co_group(
            |(a, b): (Vec<Row>, Vec<Row>),
             ctx: &mut WindowContext<'_, u8>,
             out: &mut Collector<'_, (u8, i64, usize)>| {
                if b.is_empty() {
                    out.collect((*ctx.current_key(), ctx.window().start.0, a.len()));
                }
            },
        )
    };
    let mut counts = std::collections::BTreeMap::new();
    for a in &left {
        if !right.iter().any(|b| a.0 == b.0 && a.2.div_euclid(20) == b.2.div_euclid(20)) {
            *counts.entry((a.0, a.2.div_euclid(20) * 20)).or_insert(0usize) += 1;
        }
    }
    check(lonely, counts.into_iter().map(|((key, start), count)| (key, start, count)).collect());
}

#[test]
fn interval_joins_find_what_is_near() {
    let left: Vec<Row> = records().into_iter().take(500).collect();
    let right: Vec<Row> =
        records().into_iter().skip(500).take(500).map(|(key, value, time)| (key, value, time - 250)).collect();
    for (lower, upper) in [(-20i64, 5i64), (3, 10), (-9, -4)] {
        let mut expected = Vec::new();
        for a in &left {
            for b in right.iter().filter(|b| a.0 == b.0 && (lower..=upper).contains(&(b.2 - a.2))) {
                expected.push((*a, *b, a.2.max(b.2)));
            }
        }
        let job = |env: &StreamExecutionEnvironment| {
            let (first, second) = (stream(env, left.clone()), stream(env, right.clone()));
            let pairs = first.key_by(|row| row.0).interval_join(&second.key_by(|row| row.0)).between(lower, upper);
            pairs.process(|a: &Row, b: &Row, ctx: &JoinContext, out: &mut Collector<'_, (Row, Row, i64)>| {
                out.collect((*a, *b, ctx.timestamp().0));
            })
        };
        check(job, expected);
    }
}
