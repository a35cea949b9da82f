//! Order, and that nothing is lost or doubled, over random schedules.

use std::collections::BTreeMap;

use super::*;
use crate::engine::record::{Batch, Keyed, key_hash, subtask_of_hash};
use crate::time::EventTime;

const RECORDS: u64 = 20_000;

/// What consumers saw: for each, by producer, the records in order.
type Seen = Vec<BTreeMap<usize, Vec<u64>>>;

fn produce(network: &Network, subtask: u32, output: &OutputDeployment, seed: u64) {
    let (parker, mut random) = (Parker::default(), fastrand::Rng::with_seed(seed));
    let mut partition = network.result_partition(producer(subtask), output, &parker.waker()).unwrap();
    let mut sequence = 0;
    while sequence < RECORDS {
        while !partition.has_room() {
            parker.park();
        }
        assert_eq!(partition.error(), None);
        let mut batch = Keyed::with_capacity(0);
        let most = if random.bool() { 3000 } else { 3 };
        for _ in 0..random.u64(1..=most).min(RECORDS - sequence) {
            let key = sequence % 1009;
            batch.push(key_hash(&key), key, sequence);
            sequence += 1;
        }
        partition.emit(Box::new(batch)).unwrap();
        match random.u8(..16) {
            0 => partition.flush().unwrap(),
            1 => partition.watermark(EventTime(sequence as i64)).unwrap(),
            2 => partition.idle().unwrap(),
            _ => {}
        }
    }
    partition.end().unwrap();
    assert_eq!(partition.records_out(), RECORDS);
}

fn consume(network: &Network, subtask: u32, input: &InputDeployment) -> BTreeMap<usize, Vec<u64>> {
    let parker = Parker::default();
    let mut gate = network.input_gate(consumer(subtask), input, numbers(), &parker.waker()).unwrap();
    let mut seen: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    let mut watermarks: BTreeMap<usize, i64> = BTreeMap::new();
    while !gate.is_finished() {
        let (channel, element) = next(&mut gate, &parker).unwrap();
        match element {
            Element::Batch(batch) => {
                let values = seen.entry(channel).or_default();
                Keyed::<u64, u64>::of(batch).for_each(|hash, key, value| {
                    assert!(key.matches(&(value % 1009)) && hash == key_hash(&(value % 1009)));
                    assert!(
                        watermarks.get(&channel).is_none_or(|mark| *mark <= value as i64),
                        "a watermark passed records"
                    );
                    values.push(value);
                });
            }
            Element::Watermark(watermark) => {
                let before = watermarks.insert(channel, watermark.0);
                assert!(before.is_none_or(|before| before < watermark.0));
            }
            Element::Idle | Element::Barrier(_) | Element::EndOfInput => {}
        }
    }
    assert_eq!(gate.records_in(), seen.values().map(|values| values.len() as u64).sum::<u64>());
    seen
}

/// Runs producers in one network and consumers in another (or the same) and returns what was seen.
fn exchange(from: &Network, to: &Network, partitioner: Partitioner, producers: u32, consumers: u32, seed: u64) -> Seen {
    let (output, input) = (output(partitioner, 0..consumers), input(from, &worker("a"), producers));
    std::thread::scope(|scope| {
        let producing: Vec<_> = (0..producers)
            .map(|p| (p, &output))
            .map(|(p, output)| scope.spawn(move || produce(from, p, output, seed + u64::from(p))))
            .collect();
        let consuming: Vec<_> =
            (0..consumers).map(|c| (c, &input)).map(|(c, input)| scope.spawn(move || consume(to, c, input))).collect();
        producing.into_iter().for_each(|thread| thread.join().unwrap());
        consuming.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn check(seen: &Seen, partitioner: Partitioner, producers: u32) {
    for by_producer in seen {
        for values in by_producer.values() {
            assert!(values.is_sorted_by(|a, b| a < b), "{partitioner}: out of order or doubled");
        }
    }
    for producer in 0..producers as usize {
        let of = |by: &BTreeMap<usize, Vec<u64>>| by.get(&producer).cloned().unwrap_or_default();
        let mut all: Vec<u64> = seen.iter().flat_map(of).collect();
        all.sort_unstable();
        let copies = if partitioner == Partitioner::Broadcast { seen.len() } else { 1 };
        let expected: Vec<u64> = (0..RECORDS).flat_map(|value| std::iter::repeat_n(value, copies)).collect();
        assert!(all == expected, "{partitioner}: lost or doubled records of producer {producer}");
    }
}

fn check_all(from: &Network, to: &Network) {
    use Partitioner::{Broadcast, Global, Hash, Rebalance, Rescale, Shuffle};
    for (partitioner, seed) in [Hash, Rebalance, Rescale, Shuffle, Broadcast, Global].into_iter().zip(1..) {
        let seen = exchange(from, to, partitioner, 3, 4, 100 * seed);
        check(&seen, partitioner, 3);
        match partitioner {
            Hash => {
                for (by_producer, subtask) in seen.iter().zip(0..) {
                    let own = |value: &u64| subtask_of_hash(key_hash(&(value % 1009)), 128, 4) == subtask;
                    assert!(by_producer.values().flatten().all(own), "a key went to another subtask");
                }
            }
            Global => assert!(seen[1..].iter().all(BTreeMap::is_empty)),
            Partitioner::Forward
            | Partitioner::ForwardOnly
            | Partitioner::Custom
            | Rebalance
            | Rescale
            | Shuffle
            | Broadcast => {
                assert!(seen.iter().all(|by_producer| !by_producer.is_empty()), "{partitioner}: a subtask got nothing");
            }
        }
    }
    let seen = exchange(from, to, Partitioner::Forward, 1, 1, 9);
    check(&seen, Partitioner::Forward, 1);
}

#[test]
fn nothing_is_lost_doubled_or_reordered_in_one_process() {
    let network = Network::local();
    check_all(&network, &network);
    assert_eq!(network.registry.len(), 0, "all ends have met");
    assert_eq!(network.pool.used(), 0);
}

#[test]
fn nothing_is_lost_doubled_or_reordered_over_tcp() {
    let runtime = runtime();
    let (a, b) = (start(&runtime, "a"), start(&runtime, "b"));
    check_all(&a, &b);
    assert_eq!(a.registry.len(), 0, "all ends have met");
    runtime.block_on(async { tokio::join!(a.shutdown(), b.shutdown()) });
}

#[test]
fn a_worker_with_a_data_port_hands_over_locally() {
    let runtime = runtime();
    let a = start(&runtime, "a");
    check(&exchange(&a, &a, Partitioner::Hash, 2, 2, 5), Partitioner::Hash, 2);
    assert!(a.transport.as_ref().unwrap().has_no_upstream());
}

fn one(value: u64) -> Box<dyn Batch> {
    let mut batch = Keyed::with_capacity(1);
    batch.push(key_hash(&value), value, value);
    Box::new(batch)
}

#[test]
fn open_batches_leave_early_when_the_worker_holds_too_much() {
    let runtime = runtime();
    let network = Network::start(runtime.handle(), NetworkConfig { open_bytes_max: 100, ..config("a") }).unwrap();
    let mut partition =
        network.result_partition(producer(0), &output(Partitioner::Hash, 0..4), &Waker::new(|| {})).unwrap();
    for value in 0..200 {
        partition.emit(one(value)).unwrap();
        assert!(network.pool.used() <= 100);
    }
    assert!(partition.bytes_out() > 0);
}
