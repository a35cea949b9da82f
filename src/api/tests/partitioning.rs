//! Which subtask a record goes to, for every partitioner and between unequal parallelisms.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::{DataStream, StreamExecutionEnvironment};
use super::pipelines::{in_all_ways, main_of};
use crate::engine::operators::Collector;
use crate::graph::plan::ExecutionMode;

const PARALLELISMS: [u32; 4] = [1, 2, 3, 7];
const RECORDS: u64 = 9000;

/// Says which clone of a function it is part of: each subtask has its own.
#[derive(Clone)]
struct Subtask {
    given: Arc<AtomicU32>,
    own: Option<u32>,
}

impl Subtask {
    fn new() -> Self {
        Self { given: Arc::default(), own: None }
    }

    fn number(&mut self) -> u32 {
        *self.own.get_or_insert_with(|| self.given.fetch_add(1, Ordering::Relaxed))
    }
}

/// Producer, consumer, record.
type Sent = (u32, u32, u64);

/// What is sent from so many subtasks to so many, repartitioned by `partition`.
fn sent(
    producers: u32,
    consumers: u32,
    partition: impl Fn(&DataStream<(u32, u64)>) -> DataStream<(u32, u64)> + Sync,
) -> Vec<Sent> {
    main_of(|env| {
        env.set_execution_mode(ExecutionMode::Streaming);
        let (mut from, mut to) = (Subtask::new(), Subtask::new());
        let numbers = env.from_sequence(1, RECORDS).set_parallelism(producers);
        let numbers = numbers.map(move |n| (from.number(), n)).set_parallelism(producers);
        let received = partition(&numbers).map(move |(producer, n)| (producer, to.number(), n));
        received.set_parallelism(consumers).execute_and_collect("test").unwrap()
    })
}

/// How many records each consumer got, by producer.
fn counts(sent: &[Sent]) -> BTreeMap<u32, BTreeMap<u32, u64>> {
    let mut counts: BTreeMap<u32, BTreeMap<u32, u64>> = BTreeMap::new();
    for (producer, consumer, _) in sent {
        *counts.entry(*producer).or_default().entry(*consumer).or_default() += 1;
    }
    counts
}

fn records(sent: &[Sent]) -> Vec<u64> {
    let mut records: Vec<u64> = sent.iter().map(|sent| sent.2).collect();
    records.sort_unstable();
    records
}

fn in_all_sizes(check: impl Fn(u32, u32)) {
    for producers in PARALLELISMS {
        for consumers in PARALLELISMS {
            check(producers, consumers);
        }
    }
}

/// Each producer's records are spread over exactly `reached` consumers, evenly but for one.
fn assert_even(sent: &[Sent], reached: impl Fn(u64) -> bool, what: &str) {
    assert_eq!(records(sent), (1..=RECORDS).collect::<Vec<_>>(), "{what}");
    for (producer, to) in counts(sent) {
        let (least, most) = (to.values().min().unwrap(), to.values().max().unwrap());
        assert!(most - least <= 1, "{what}: producer {producer} sent {to:?}");
        assert!(*least == 1 || reached(to.len() as u64), "{what}: producer {producer} sent {to:?}");
    }
}

#[test]
fn rebalance_spreads_each_subtask_s_records_evenly() {
    in_all_sizes(|producers, consumers| {
        let sent = sent(producers, consumers, DataStream::rebalance);
        assert_even(&sent, |reached| reached == u64::from(consumers), &format!("{producers} to {consumers}"));
    });
}

#[test]
fn rebalance_spreads_even_a_few_records() {
    let mut subtask = Subtask::new();
    let mut received: Vec<(u32, u64)> = main_of(|env| {
        let few = env.from_collection(1..=14u64).rebalance();
        let received = few.map(move |n| (subtask.number(), n)).set_parallelism(7);
        received.execute_and_collect("test").unwrap()
    });
    received.sort_unstable_by_key(|(_, n)| *n);
    let first: Vec<u32> = received.iter().take(7).map(|(subtask, _)| *subtask).collect();
    let second: Vec<u32> = received.iter().skip(7).map(|(subtask, _)| *subtask).collect();
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 7);
    assert_eq!(first, second, "in turn");
}

#[test]
fn rescale_stays_with_the_nearest() {
    in_all_sizes(|producers, consumers| {
        let sent = sent(producers, consumers, DataStream::rescale);
        let between = [consumers / producers, consumers.div_ceil(producers)].map(u64::from);
        let reached = |reached| (between[0]..=between[1]).contains(&reached);
        assert_even(&sent, reached, &format!("{producers} to {consumers}"));
    });
}

#[test]
fn broadcast_multiplies_and_global_gathers() {
    in_all_sizes(|producers, consumers| {
        let copies = sent(producers, consumers, DataStream::broadcast);
        let mut by_consumer: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for (_, consumer, record) in copies {
            by_consumer.entry(consumer).or_default().push(record);
        }
        assert_eq!(by_consumer.len(), consumers as usize);
        for records in by_consumer.values_mut() {
            records.sort_unstable();
            assert_eq!(*records, (1..=RECORDS).collect::<Vec<_>>());
        }
        let gathered = sent(producers, consumers, DataStream::global);
        assert_eq!(records(&gathered), (1..=RECORDS).collect::<Vec<_>>());
        assert_eq!(gathered.iter().map(|sent| sent.1).collect::<BTreeSet<_>>().len(), 1);
    });
}

#[test]
fn shuffle_loses_nothing_and_reaches_all() {
    in_all_sizes(|producers, consumers| {
        let sent = sent(producers, consumers, DataStream::shuffle);
        assert_eq!(records(&sent), (1..=RECORDS).collect::<Vec<_>>());
        let mut by_consumer: BTreeMap<u32, u64> = BTreeMap::new();
        for (_, consumer, _) in &sent {
            *by_consumer.entry(*consumer).or_default() += 1;
        }
        let fair = RECORDS / u64::from(consumers);
        // Six standard deviations of the smallest share are a sixth of it.
        assert!(by_consumer.values().all(|count| count.abs_diff(fair) <= fair / 4), "{by_consumer:?}");
    });
}

#[test]
fn a_partitioner_of_one_s_own_is_obeyed() {
    in_all_sizes(|producers, consumers| {
        let sent = sent(producers, consumers, |numbers| {
            numbers.partition_custom(|key: &u64, subtasks| (*key as u32 + 1) % subtasks, |(_, n)| n % 5)
        });
        assert_eq!(records(&sent), (1..=RECORDS).collect::<Vec<_>>());
        let mut residues: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
        for (_, consumer, record) in &sent {
            residues.entry(*consumer).or_default().insert((record % 5 + 1) % u64::from(consumers));
        }
        assert_eq!(residues.len() as u32, consumers.min(5));
        assert!(residues.values().all(|residues| residues.len() == 1), "{residues:?}");
    });
}

#[test]
fn a_partitioner_that_chooses_nobody_fails_the_job_and_says_so() {
    for consumers in [1, 3] {
        let error = main_of(|env| {
            let numbers = env.from_collection(0..10u64).partition_custom(|key: &u64, _| *key as u32, |n| *n);
            numbers.map(|n| n).set_parallelism(consumers).discard();
            env.execute("test").unwrap_err().to_string()
        });
        let expected = format!("the partitioner chose subtask {consumers} of {consumers}; it must choose from 0 to");
        assert!(error.contains(&expected) && error.contains("\"Partition Custom\""), "{error}");
    }
}

#[test]
fn the_last_partitioning_counts() {
    let custom =
        |env: &StreamExecutionEnvironment| env.from_collection(0..100u64).partition_custom(|_: &u64, _| 0, |n| *n);
    let mut rebalanced = main_of(|env| {
        let mut subtask = Subtask::new();
        let numbers = custom(env).rebalance().map(move |n| (subtask.number(), n)).set_parallelism(4);
        numbers.execute_and_collect("test").unwrap()
    });
    rebalanced.sort_unstable();
    assert!((0..4).all(|subtask| rebalanced.iter().filter(|row| row.0 == subtask).count() == 25));
    let mut counted = main_of(|env| {
        env.set_execution_mode(ExecutionMode::Batch);
        custom(env).broadcast().key_by(|n| n % 2).count().set_parallelism(3).execute_and_collect("test").unwrap()
    });
    counted.sort_unstable();
    assert_eq!(counted, [(0, 50), (1, 50)]);
}

#[test]
fn forward_keeps_records_in_their_subtasks() {
    for parallelism in PARALLELISMS {
        let sent = sent(parallelism, parallelism, |numbers| numbers.clone().disable_chaining().forward());
        assert_even(&sent, |reached| reached == 1, &format!("{parallelism}"));
        for to in counts(&sent).values() {
            assert_eq!(to.len(), 1, "{to:?}");
        }
    }
}

#[test]
fn forward_between_unequal_parallelism_is_refused() {
    let error = main_of(|env| {
        let numbers = env.from_sequence(1, 9).set_parallelism(2).name("numbers");
        numbers.forward().map(|n| n).name("double").set_parallelism(3).discard();
        env.execute("test").unwrap_err().to_string()
    });
    assert_eq!(
        error,
        "forward needs equal parallelism, but operator \"numbers\" has 2 and operator \"double\" has 3; \
         give both the same, or use rebalance, rescale, shuffle, global or broadcast"
    );
}

#[test]
fn a_keyed_stream_is_mapped_filtered_and_flat_mapped_where_its_keys_are() {
    for (mode, rows) in in_all_ways(|env| {
        let keyed = env.from_sequence(1, 1000).key_by(|n| n % 7);
        let mapped = keyed.map(|n| n * 2).union(&keyed.filter(|n| n % 2 == 0));
        mapped.union(&keyed.flat_map(|n, out: &mut Collector<'_, u64>| out.extend((0..n % 3).map(|_| n + 10_000))))
    }) {
        let expected = (1..=1000).map(|n| n * 2).chain((2..=1000).step_by(2));
        let mut expected: Vec<u64> =
            expected.chain((1..=1000).flat_map(|n| (0..n % 3).map(move |_| n + 10_000))).collect();
        expected.sort_unstable();
        assert_eq!(rows, expected, "{mode}");
    }
    // One clone of the function sees all records of a key.
    let firsts = in_all_ways(|env| {
        let mut seen = std::collections::HashSet::new();
        env.from_sequence(0, 999)
            .rebalance()
            .map(|n| n)
            .key_by(|n| n % 10)
            .filter(move |n| seen.insert(n % 10))
            .map(|n| n % 10)
    });
    for (mode, rows) in firsts {
        assert_eq!(rows, (0..10).collect::<Vec<_>>(), "{mode}");
    }
}
