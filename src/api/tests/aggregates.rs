//! Aggregates of keyed streams and windows against folds over vectors.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::super::{DataStream, KeyedStream, StreamExecutionEnvironment, TumblingProcessingTimeWindows};
use super::pipelines::{in_all_ways, main_of};
use crate::engine::operators::{AggregateFunction, Emission};
use crate::graph::plan::ExecutionMode;

/// Key, value, position: many equal values.
type Row = (u64, u64, u64);

fn rows() -> Vec<Row> {
    let mut random = fastrand::Rng::with_seed(11);
    (0..3000).map(|position| (random.u64(..7), random.u64(..40), position)).collect()
}

/// The first of the rows with the largest value by `rank`, by key.
fn first_best(rows: impl IntoIterator<Item = Row>, rank: impl Fn(u64) -> i64) -> BTreeMap<u64, Row> {
    let mut best: BTreeMap<u64, Row> = BTreeMap::new();
    for row in rows {
        let best = best.entry(row.0).or_insert(row);
        if rank(row.1) > rank(best.1) {
            *best = row;
        }
    }
    best
}

/// How many different values, and their mean: an accumulator unlike records and results.
#[derive(Clone)]
struct Spread;

impl AggregateFunction<Row> for Spread {
    type Accumulator = BTreeMap<u64, u64>;
    type Output = (u64, String);

    fn create_accumulator(&self) -> Self::Accumulator {
        BTreeMap::new()
    }

    fn add(&self, seen: &mut Self::Accumulator, row: Row) {
        *seen.entry(row.1).or_default() += 1;
    }

    fn merge(&self, seen: &mut Self::Accumulator, other: Self::Accumulator) {
        for (value, times) in other {
            *seen.entry(value).or_default() += times;
        }
    }

    fn get_result(&self, seen: &Self::Accumulator) -> (u64, String) {
        let (sum, count) =
            seen.iter().fold((0, 0), |(sum, count), (value, times)| (sum + value * times, count + times));
        (seen.len() as u64, format!("{:.3}", sum as f64 / count as f64))
    }
}

fn spread_of(rows: impl IntoIterator<Item = Row>) -> BTreeMap<u64, (u64, String)> {
    let mut seen: BTreeMap<u64, BTreeMap<u64, u64>> = BTreeMap::new();
    for row in rows {
        Spread.add(seen.entry(row.0).or_default(), row);
    }
    seen.into_iter().map(|(key, seen)| (key, Spread.get_result(&seen))).collect()
}

#[test]
fn the_first_of_equal_extremes_wins() {
    let (smallest, largest) = (first_best(rows(), |value| -(value as i64)), first_best(rows(), |value| value as i64));
    for mode in [ExecutionMode::Batch, ExecutionMode::Streaming] {
        let best = |by_min: bool| {
            let mut best = main_of(|env| {
                env.set_execution_mode(mode).set_parallelism(1);
                let keyed = env.from_collection(rows()).key_by(|row| row.0).emit(Emission::Final);
                let best = if by_min { keyed.min_by(|row| row.1) } else { keyed.max_by(|row| row.1) };
                best.execute_and_collect("test").unwrap()
            });
            best.sort_unstable();
            best
        };
        assert_eq!(best(true), smallest.values().copied().collect::<Vec<_>>(), "{mode}");
        assert_eq!(best(false), largest.values().copied().collect::<Vec<_>>(), "{mode}");
    }
}

#[test]
fn rolling_extremes_are_emitted_with_each_record() {
    let emitted = main_of(|env| {
        env.set_execution_mode(ExecutionMode::Streaming).set_parallelism(1);
        let rows: Vec<Row> = vec![(1, 5, 0), (1, 3, 1), (1, 3, 2), (1, 9, 3), (1, 1, 4)];
        env.from_collection(rows).key_by(|row| row.0).min_by(|row| row.1).execute_and_collect("test").unwrap()
    });
    assert_eq!(emitted, [(1, 5, 0), (1, 3, 1), (1, 3, 1), (1, 3, 1), (1, 1, 4)]);
}

#[test]
fn extremes_hold_the_whole_record_at_every_parallelism() {
    let largest = first_best(rows(), |value| value as i64);
    let results = in_all_ways(|env| {
        env.from_collection(rows()).rebalance().key_by(|row| row.0).emit(Emission::Final).max_by(|row| row.1)
    });
    for (mode, best) in results {
        assert_eq!(best.len(), largest.len(), "{mode}");
        for row in best {
            assert_eq!(row.1, largest[&row.0].1, "{mode}");
            assert_eq!(rows()[row.2 as usize], row, "{mode}");
        }
    }
}

#[test]
fn a_function_with_an_accumulator_of_its_own_agrees_with_its_model() {
    let expected: Vec<_> = spread_of(rows()).into_iter().collect();
    let spread = |env: &StreamExecutionEnvironment, fold: bool| {
        let keyed = env.from_collection(rows()).map(|row| row).key_by(|row| row.0);
        keyed.emit(Emission::Final).local_aggregation(fold).aggregate(Spread)
    };
    for fold in [true, false] {
        for (mode, results) in in_all_ways(|env| spread(env, fold)) {
            assert_eq!(results, expected, "{mode}, folded before the exchange: {fold}");
        }
    }
}

#[test]
fn a_function_of_one_s_own_rolls() {
    let emitted = main_of(|env| {
        env.set_execution_mode(ExecutionMode::Streaming).set_parallelism(1);
        env.from_collection(rows()).key_by(|row| row.0).aggregate(Spread).execute_and_collect("test").unwrap()
    });
    let mut expected = Vec::new();
    let rows = rows();
    for end in (0..rows.len()).step_by(97) {
        let key = rows[end].0;
        expected.push((end, (key, spread_of(rows[..=end].iter().copied())[&key].clone())));
    }
    assert_eq!(emitted.len(), rows.len());
    for (end, expected) in expected {
        assert_eq!(emitted[end], expected);
    }
}

#[test]
fn windows_have_the_same_aggregates() {
    // A window so long that everything is in it, and emitted at the end.
    let windows = TumblingProcessingTimeWindows::of(Duration::from_secs(1 << 40));
    let windowed = |env: &StreamExecutionEnvironment| {
        env.from_collection(rows()).rebalance().map(|row| row).key_by(|row| row.0).window(windows)
    };
    let expected: Vec<_> = spread_of(rows()).into_iter().collect();
    for (mode, results) in in_all_ways(|env| windowed(env).aggregate(Spread)) {
        assert_eq!(results, expected, "{mode}");
    }
    let smallest = first_best(rows(), |value| -(value as i64));
    for (mode, results) in in_all_ways(|env| windowed(env).min_by(|row| row.1).map(|row| (row.0, row.1))) {
        let expected: Vec<_> = smallest.values().map(|row| (row.0, row.1)).collect();
        assert_eq!(results, expected, "{mode}");
    }
    let sums = |rows: Vec<Row>| {
        rows.into_iter().fold(BTreeMap::new(), |mut sums: BTreeMap<u64, u64>, row| {
            *sums.entry(row.0).or_default() += row.1;
            sums
        })
    };
    for (mode, results) in in_all_ways(|env| windowed(env).reduce(|a, b| (a.0, a.1 + b.1, 0))) {
        assert_eq!(results.into_iter().map(|row| (row.0, row.1)).collect::<BTreeMap<_, _>>(), sums(rows()), "{mode}");
    }
}

/// A program from its keyed rows to one value a key.
type Aggregation = dyn Fn(KeyedStream<u8, (u8, i32)>) -> DataStream<(u8, i32)> + Sync;

/// The first record with the best value, by key.
fn first_by(rows: &[(u8, i32)], is_better: impl Fn(i32, i32) -> bool) -> BTreeMap<u8, i32> {
    let mut best = BTreeMap::new();
    for (key, value) in rows {
        let known = best.entry(*key).or_insert(*value);
        if is_better(*value, *known) {
            *known = *value;
        }
    }
    best
}

fn folded(rows: &[(u8, i32)], fold: impl Fn(i32, i32) -> i32) -> BTreeMap<u8, i32> {
    let mut folded: BTreeMap<u8, i32> = BTreeMap::new();
    for (key, value) in rows {
        folded.entry(*key).and_modify(|known| *known = fold(*known, *value)).or_insert(*value);
    }
    folded
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_aggregate_agrees_with_a_fold_over_a_vector(
        rows in prop::collection::vec((0u8..5, -50i32..50), 0..200),
        parallelism in 1u32..4,
        batch in any::<bool>(),
        fold_before in any::<bool>(),
    ) {
        let run = |aggregate: &Aggregation| {
            let emitted = main_of(|env| {
                let mode = if batch { ExecutionMode::Batch } else { ExecutionMode::Streaming };
                env.set_execution_mode(mode).set_parallelism(parallelism);
                let spread = env.from_collection(rows.clone()).rebalance().map(|row| row);
                let keyed = spread.key_by(|row| row.0).emit(Emission::Final).local_aggregation(fold_before);
                aggregate(keyed).execute_and_collect("test").unwrap()
            });
            let by_key: BTreeMap<u8, i32> = emitted.iter().copied().collect();
            assert_eq!(by_key.len(), emitted.len(), "one value a key");
            by_key
        };
        prop_assert_eq!(run(&|keyed| keyed.sum(|row| row.1)), folded(&rows, |a, b| a + b));
        prop_assert_eq!(run(&|keyed| keyed.min(|row| row.1)), folded(&rows, i32::min));
        prop_assert_eq!(run(&|keyed| keyed.max(|row| row.1)), folded(&rows, i32::max));
        prop_assert_eq!(run(&|keyed| keyed.min_by(|row| row.1)), first_by(&rows, |value, best| value < best));
        prop_assert_eq!(run(&|keyed| keyed.max_by(|row| row.1)), first_by(&rows, |value, best| value > best));
        prop_assert_eq!(run(&|keyed| keyed.reduce(|a, b| (a.0, a.1 ^ b.1))), folded(&rows, |a, b| a ^ b));
        let counts = folded(&rows.iter().map(|row| (row.0, 1)).collect::<Vec<_>>(), |a, b| a + b);
        prop_assert_eq!(run(&|keyed| keyed.count().map(|(key, count)| (key, count as i32))), counts);
    }
}
