//! A producer stops when its consumer does, and goes on with it.

use super::*;
use crate::engine::record::{Batch, BatchType, CodecError, Keyed, Record, Rows, RowsType, key_hash};
use crate::time::EventTime;

fn full() -> Box<dyn Batch> {
    let mut batch = Keyed::with_capacity(1024);
    for value in 0u64..1024 {
        batch.push(key_hash(&value), value, value);
    }
    Box::new(batch)
}

/// Emits while there is room; how many batches that were.
fn fill(partition: &mut ResultPartition) -> u64 {
    let mut batches = 0;
    while partition.has_room() {
        partition.emit(full()).unwrap();
        batches += 1;
        assert!(batches < 1000, "nothing stops this producer");
    }
    batches
}

fn check(from: &Network, to: &Network) {
    let (feeding, eating) = (Parker::default(), Parker::default());
    let mut partition =
        from.result_partition(producer(0), &output(Partitioner::Forward, [0]), &feeding.waker()).unwrap();
    let mut gate = to.input_gate(consumer(0), &input(from, &worker("a"), 1), numbers(), &eating.waker()).unwrap();
    let mut emitted = fill(&mut partition);
    assert!(partition.bytes_out() >= WINDOW_BYTES);
    assert!(partition.bytes_out() <= WINDOW_BYTES + 64 * 1024, "the overdraft is what one slice emits");
    let mut taken = 0;
    // The consumer eats all there is; the producer must be woken each time, and each time gets about a window further.
    for _ in 0..50 {
        while taken < emitted {
            assert!(matches!(next(&mut gate, &eating).unwrap().1, Element::Batch(batch) if batch.len() == 1024));
            taken += 1;
        }
        feeding.park();
        assert!(partition.has_room());
        emitted += fill(&mut partition);
    }
    partition.end().unwrap();
    while !gate.is_finished() {
        next(&mut gate, &eating).unwrap();
    }
    assert_eq!(gate.records_in(), emitted * 1024);
}

#[test]
fn a_stalled_consumer_stops_its_producer_in_one_process() {
    let network = Network::local();
    check(&network, &network);
}

#[test]
fn a_stalled_consumer_stops_its_producer_over_tcp() {
    let runtime = runtime();
    let (a, b) = (start(&runtime, "a"), start(&runtime, "b"));
    check(&a, &b);
}

#[test]
fn a_producer_without_consumer_stops_and_loses_nothing() {
    let runtime = runtime();
    let (a, b) = (start(&runtime, "a"), start(&runtime, "b"));
    let mut partition =
        a.result_partition(producer(0), &output(Partitioner::Forward, [0]), &Waker::new(|| {})).unwrap();
    let emitted = fill(&mut partition);
    partition.watermark(EventTime(5)).unwrap();
    partition.idle().unwrap();
    partition.end().unwrap();
    drop(partition);
    a.release(producer(0));
    let parker = Parker::default();
    let mut gate = b.input_gate(consumer(0), &input(&a, &worker("a"), 1), numbers(), &parker.waker()).unwrap();
    let mut elements = Vec::new();
    while !gate.is_finished() {
        elements.push(match next(&mut gate, &parker).unwrap().1 {
            Element::Batch(_) => "batch",
            Element::Watermark(_) => "watermark",
            Element::Idle => "idle",
            Element::Barrier(_) => "barrier",
            Element::EndOfInput => "end",
        });
    }
    assert_eq!(elements.len() as u64, emitted + 3);
    assert_eq!(elements[elements.len() - 3..], ["watermark", "idle", "end"]);
}

#[test]
fn a_producer_that_waits_for_its_consumer_to_come_is_woken() {
    let runtime = runtime();
    let (a, b) = (start(&runtime, "a"), start(&runtime, "b"));
    let (feeding, eating) = (Parker::default(), Parker::default());
    let mut partition = a.result_partition(producer(0), &output(Partitioner::Forward, [0]), &feeding.waker()).unwrap();
    // In memory these are several times what they are in a frame, so all of them together are room once they are encoded.
    while partition.has_room() {
        partition.emit(Box::new(Rows::new(vec![String::new(); 1024]))).unwrap();
    }
    let batch_type = Arc::new(RowsType::<String>::new());
    let _gate = b.input_gate(consumer(0), &input(&a, &worker("a"), 1), batch_type, &eating.waker()).unwrap();
    while !partition.has_room() {
        feeding.park();
    }
}

#[test]
fn a_stalled_channel_does_not_stall_its_neighbours_on_the_same_connection() {
    let runtime = runtime();
    let (a, b) = (start(&runtime, "a"), start(&runtime, "b"));
    let (feeding, eating) = (Parker::default(), Parker::default());
    let input = input(&a, &worker("a"), 1);
    let stalled = b.input_gate(consumer(0), &input, numbers(), &Waker::new(|| {})).unwrap();
    let mut eager = b.input_gate(consumer(1), &input, numbers(), &eating.waker()).unwrap();
    let mut partition =
        a.result_partition(producer(0), &output(Partitioner::Rebalance, 0..2), &feeding.waker()).unwrap();
    // Overdrawn on purpose: every second batch goes to the stalled one.
    for _ in 0..100 {
        partition.emit(full()).unwrap();
    }
    for _ in 0..50 {
        assert!(matches!(next(&mut eager, &eating).unwrap().1, Element::Batch(_)));
    }
    assert!(!partition.has_room());
    drop(stalled);
}

#[test]
fn records_larger_than_the_window_pass_alone() {
    let runtime = runtime();
    let (a, b) = (start(&runtime, "a"), start(&runtime, "b"));
    let (feeding, eating) = (Parker::default(), Parker::default());
    let mut partition = a.result_partition(producer(0), &output(Partitioner::Forward, [0]), &feeding.waker()).unwrap();
    let batch_type = Arc::new(RowsType::<String>::new());
    let mut gate = b.input_gate(consumer(0), &input(&a, &worker("a"), 1), batch_type, &eating.waker()).unwrap();
    let lengths = [3_000_000, 1, 2_000_000, 100_000, 5_000_000, 10];
    for length in lengths {
        partition.emit(Box::new(Rows::new(vec!["x".repeat(length)]))).unwrap();
        partition.flush().unwrap();
    }
    partition.end().unwrap();
    for length in lengths {
        let Element::Batch(batch) = next(&mut gate, &eating).unwrap().1 else { panic!("a batch was sent") };
        assert_eq!(Rows::<String>::of(batch).0[0].len(), length);
    }
}

#[test]
fn a_record_that_cannot_be_written_is_the_users_error() {
    #[derive(Clone)]
    struct Refuses;
    impl serde::Serialize for Refuses {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("not today"))
        }
    }
    impl<'de> serde::Deserialize<'de> for Refuses {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Ok(Self)
        }
    }
    fn is_record<T: Record>(_: &T) {}
    is_record(&Refuses);

    let runtime = runtime();
    let (a, b) = (start(&runtime, "a"), start(&runtime, "b"));
    let bound = Parker::default();
    let mut partition = a.result_partition(producer(0), &output(Partitioner::Forward, [0]), &bound.waker()).unwrap();
    let batch_type: Arc<dyn BatchType> = Arc::new(RowsType::<Refuses>::new());
    let _gate = b.input_gate(consumer(0), &input(&a, &worker("a"), 1), batch_type, &Waker::new(|| {})).unwrap();
    // Before the consumer has come it is found when the channel is bound, afterwards by `emit` itself.
    let error =
        partition.emit(Box::new(Rows::new(vec![Refuses]))).and_then(|()| partition.flush()).err().unwrap_or_else(
            || {
                bound.park();
                partition.error().unwrap()
            },
        );
    assert!(matches!(&error, NetworkError::Codec(CodecError { action: "write", .. })), "{error}");
    assert_eq!(error.kind(), crate::rpc::ErrorKind::User);
}
