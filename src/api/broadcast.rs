//! Streams connected to another that is broadcast.

use super::graph_builder::Upstream;
use super::{DataStream, KeyedStream};
use crate::engine::operators::{
    BroadcastProcess, BroadcastProcessFunction, KeyedBroadcastProcess, KeyedBroadcastProcessFunction, Operator,
};
use crate::engine::record::{Key, Record};

/// A stream, and another whose records come to every subtask. Flink's class of that name.
///
/// There is no order between the two: a record may be processed before or after any that is broadcast.
pub struct BroadcastConnectedStream<A, B> {
    stream: DataStream<A>,
    broadcast: DataStream<B>,
}

/// A keyed stream, and another whose records come to every subtask: Flink's `BroadcastConnectedStream` of a keyed stream.
pub struct KeyedBroadcastConnectedStream<K, A, B> {
    stream: KeyedStream<K, A>,
    broadcast: DataStream<B>,
}

impl<T: Record> DataStream<T> {
    /// Lets one operator work on the records of this stream and on those of `other`, each of which comes to every subtask.
    ///
    /// Flink's `stream.connect(other.broadcast(descriptor))`. There is no descriptor: broadcast state is obtained in `open`, as
    /// all state is.
    pub fn connect_broadcast<B: Record>(&self, other: &DataStream<B>) -> BroadcastConnectedStream<T, B> {
        BroadcastConnectedStream { stream: self.clone(), broadcast: other.broadcast() }
    }
}

impl<K: Key, T: Record> KeyedStream<K, T> {
    /// As [`DataStream::connect_broadcast`], with state and timers by key.
    pub fn connect_broadcast<B: Record>(&self, other: &DataStream<B>) -> KeyedBroadcastConnectedStream<K, T, B> {
        KeyedBroadcastConnectedStream { stream: self.clone(), broadcast: other.broadcast() }
    }
}

impl<A: Record, B: Record> BroadcastConnectedStream<A, B> {
    /// Gives each record of both streams to a function: [`BroadcastProcessFunction`].
    pub fn process<O: Record, F>(&self, function: F) -> DataStream<O>
    where
        F: BroadcastProcessFunction<A, B, O> + Clone + Sync,
    {
        let make = move || Box::new(BroadcastProcess::<A, B, O, F>::new(function.clone())) as Box<dyn Operator>;
        let (records, broadcast) = (self.stream.upstreams(), self.broadcast.upstreams());
        self.stream.with_second_input(records, broadcast, "Co-Process-Broadcast", make)
    }
}

impl<K: Key, A: Record, B: Record> KeyedBroadcastConnectedStream<K, A, B> {
    /// Gives each record of both streams to a function: [`KeyedBroadcastProcessFunction`].
    pub fn process<O: Record, F>(&self, function: F) -> DataStream<O>
    where
        F: KeyedBroadcastProcessFunction<K, A, B, O> + Clone + Sync,
    {
        let make = move || Box::new(KeyedBroadcastProcess::<K, A, B, O, F>::new(function.clone())) as Box<dyn Operator>;
        let records: [Upstream; 1] = [self.stream.record_sender()];
        self.stream.stream().with_second_input(&records, self.broadcast.upstreams(), "Co-Process-Broadcast-Keyed", make)
    }
}
