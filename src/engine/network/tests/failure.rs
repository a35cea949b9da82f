//! Broken connections and strangers are errors that name the worker.

use super::*;
use crate::engine::record::{Batch, Keyed};

fn some() -> Box<dyn Batch> {
    let mut batch = Keyed::with_capacity(1);
    batch.push(1, 1u64, 1u64);
    Box::new(batch)
}

struct Pair {
    runtime: Runtime,
    a: Network,
    b: Network,
    feeding: Parker,
    eating: Parker,
    partition: ResultPartition,
    gate: InputGate,
}

/// A producer in "a", a consumer in "b", connected: one batch has crossed.
fn connected() -> Pair {
    let runtime = runtime();
    let (a, b) = (start(&runtime, "a"), start(&runtime, "b"));
    let (feeding, eating) = (Parker::default(), Parker::default());
    let mut partition = a.result_partition(producer(0), &output(Partitioner::Forward, [0]), &feeding.waker()).unwrap();
    let mut gate = b.input_gate(consumer(0), &input(&a, &worker("a"), 1), numbers(), &eating.waker()).unwrap();
    partition.emit(some()).unwrap();
    partition.flush().unwrap();
    assert!(matches!(next(&mut gate, &eating).unwrap().1, Element::Batch(_)));
    Pair { runtime, a, b, feeding, eating, partition, gate }
}

#[test]
fn a_dead_producing_worker_is_an_error_that_names_it() {
    let Pair { runtime, a, b: _b, eating, mut gate, partition: _partition, .. } = connected();
    runtime.block_on(a.shutdown());
    let Err(error) = next(&mut gate, &eating) else { panic!("the producer is gone") };
    assert_eq!(error.peer(), Some(&worker("a")));
    assert_eq!(error.kind(), crate::rpc::ErrorKind::Transient);
    assert!(error.to_string().contains("worker a/"), "{error}");
}

#[test]
fn a_dead_consuming_worker_is_an_error_that_names_it() {
    let Pair { runtime, a: _a, b, feeding, mut partition, gate: _gate, .. } = connected();
    runtime.block_on(b.shutdown());
    while partition.error().is_none() {
        feeding.park();
    }
    let error = partition.error().unwrap();
    assert_eq!(error.peer(), Some(&worker("b")));
    assert_eq!(partition.emit(some()), Err(error));
}

#[test]
fn a_channel_that_has_ended_survives_its_producers_worker() {
    let Pair { runtime, a, mut partition, mut gate, eating, b: _b, .. } = connected();
    partition.emit(some()).unwrap();
    partition.end().unwrap();
    // The first of them says that the rest is here too, or on its way behind it.
    assert!(matches!(next(&mut gate, &eating).unwrap().1, Element::Batch(_)));
    assert!(matches!(next(&mut gate, &eating).unwrap().1, Element::EndOfInput));
    runtime.block_on(a.shutdown());
    assert!(gate.is_finished());
    assert!(matches!(gate.poll(), Ok(None)));
}

#[test]
fn nobody_at_the_address_is_an_error_that_names_it() {
    let runtime = runtime();
    let (gone, b) = (start(&runtime, "a"), start(&runtime, "b"));
    runtime.block_on(gone.shutdown());
    let parker = Parker::default();
    let gate = b.input_gate(consumer(0), &input(&gone, &worker("a"), 1), numbers(), &parker.waker());
    // Found out before or after the gate was made.
    let Err(error) = gate.and_then(|mut gate| next(&mut gate, &parker)) else { panic!("nobody is there") };
    assert!(error.to_string().starts_with("connection refused: no connection to worker a/"), "{error}");
}

#[test]
fn a_worker_without_the_secret_is_refused() {
    let runtime = runtime();
    let a = start(&runtime, "a");
    let stranger = NetworkConfig { secret: "open barley".to_owned(), ..config("b") };
    let b = Network::start(runtime.handle(), stranger).unwrap();
    let parker = Parker::default();
    let gate = b.input_gate(consumer(0), &input(&a, &worker("a"), 1), numbers(), &parker.waker());
    // Found out before or after the gate was made.
    let Err(error) = gate.and_then(|mut gate| next(&mut gate, &parker)) else { panic!("the secret is wrong") };
    assert!(matches!(error, NetworkError::Refused { .. }), "{error}");
}

#[test]
fn encrypted_channels_carry_the_same_and_keep_strangers_out() {
    let cluster = Authority::new();
    let member = NetworkConfig { tls: cluster.tls(Some(MEMBER_NAME)), ..config("a") };
    let stranger = NetworkConfig { tls: cluster.tls(None), ..config("c") };
    let runtime = runtime();
    let a = Network::start(runtime.handle(), member.clone()).unwrap();
    let b = Network::start(runtime.handle(), NetworkConfig { worker: worker("b"), ..member }).unwrap();
    let parker = Parker::default();
    let mut partition = a.result_partition(producer(0), &output(Partitioner::Forward, [0]), &parker.waker()).unwrap();
    let mut gate = b.input_gate(consumer(0), &input(&a, &worker("a"), 1), numbers(), &parker.waker()).unwrap();
    partition.emit(some()).unwrap();
    partition.end().unwrap();
    assert!(matches!(next(&mut gate, &parker).unwrap().1, Element::Batch(_)));
    assert!(matches!(next(&mut gate, &parker).unwrap().1, Element::EndOfInput));

    let c = Network::start(runtime.handle(), stranger).unwrap();
    let gate = c.input_gate(consumer(1), &input(&a, &worker("a"), 1), numbers(), &parker.waker());
    let Err(error) = gate.and_then(|mut gate| next(&mut gate, &parker)) else { panic!("it is no member") };
    assert!(matches!(error, NetworkError::PeerLost { .. }), "{error}");
}

#[test]
fn a_subtask_that_fails_is_silent_to_its_peers() {
    let Pair { partition, mut gate, a, runtime: _runtime, b: _b, .. } = connected();
    drop(partition);
    a.release(producer(0));
    assert!(matches!(gate.poll(), Ok(None)));
}

#[test]
fn a_new_attempt_meets_its_new_peers_over_the_same_connection() {
    let Pair { partition, gate, a, b, runtime: _runtime, .. } = connected();
    drop((partition, gate));
    let again = |id: ExecutionAttemptId| ExecutionAttemptId { attempt: 1, ..id };
    let (feeding, eating) = (Parker::default(), Parker::default());
    let mut input = input(&a, &worker("a"), 1);
    input.producers[0].attempt = again(producer(0));
    let mut gate = b.input_gate(again(consumer(0)), &input, numbers(), &eating.waker()).unwrap();
    let mut output = output(Partitioner::Forward, []);
    output.consumers = vec![again(consumer(0))];
    let mut partition = a.result_partition(again(producer(0)), &output, &feeding.waker()).unwrap();
    partition.emit(some()).unwrap();
    partition.end().unwrap();
    assert!(matches!(next(&mut gate, &eating).unwrap().1, Element::Batch(_)));
    assert!(matches!(next(&mut gate, &eating).unwrap().1, Element::EndOfInput));
    assert_eq!(a.registry.len(), 0);
}

#[test]
fn the_same_channel_twice_is_refused() {
    let network = Network::local();
    let output = output(Partitioner::Forward, [0]);
    let _first = network.result_partition(producer(0), &output, &Waker::new(|| {})).unwrap();
    let second = network.result_partition(producer(0), &output, &Waker::new(|| {}));
    assert!(matches!(second, Err(NetworkError::Duplicate { .. })));
}

#[test]
fn ends_whose_peers_never_come_are_forgotten() {
    let network = Network::local();
    let partition =
        network.result_partition(producer(0), &output(Partitioner::Forward, [0]), &Waker::new(|| {})).unwrap();
    drop(partition);
    network.release(producer(0));
    assert_eq!(network.registry.len(), 0);
    let gate =
        network.input_gate(consumer(0), &input(&network, &worker("a"), 2), numbers(), &Waker::new(|| {})).unwrap();
    drop(gate);
    network.release(consumer(0));
    assert_eq!(network.registry.len(), 0);
}
