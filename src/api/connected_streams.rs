//! Two streams of different types that one operator works on.

use std::sync::Arc;

use super::graph_builder::{Node, Upstream};
use super::{DataStream, KeyedStream};
use crate::engine::operators::{
    CoFlatMap, CoProcess, CoProcessFunction, Collector, KeyedCoProcess, KeyedCoProcessFunction, Operator, ProgramCode,
};
use crate::engine::record::{Key, Record, RowsType};
use crate::graph::plan::NodeKind;

/// Two streams whose records, of types `A` and `B`, one operator works on. Flink's class of that name.
///
/// Records of one stream come in order; between the streams there is none.
///
/// ```
/// use flott::prelude::*;
///
/// let env = StreamExecutionEnvironment::new();
/// let (numbers, words) = (env.from_sequence(1, 2), env.from_collection(["three".to_owned()]));
/// let mut texts = numbers.connect(&words).map(|n| n.to_string(), |word| word).execute_and_collect("texts")?;
/// texts.sort();
/// assert_eq!(texts, ["1", "2", "three"]);
/// # Ok::<(), flott::Error>(())
/// ```
pub struct ConnectedStreams<A, B> {
    first: DataStream<A>,
    second: DataStream<B>,
}

impl<T: Record> DataStream<T> {
    /// Lets one operator work on the records of both streams. Flink's method of that name.
    pub fn connect<B: Record>(&self, other: &DataStream<B>) -> ConnectedStreams<T, B> {
        ConnectedStreams { first: self.clone(), second: other.clone() }
    }
}

impl<A: Record, B: Record> ConnectedStreams<A, B> {
    /// Turns each record into another, by a function for each stream.
    pub fn map<O: Record, F, G>(&self, mut first: F, mut second: G) -> DataStream<O>
    where
        F: FnMut(A) -> O + Clone + Send + Sync + 'static,
        G: FnMut(B) -> O + Clone + Send + Sync + 'static,
    {
        let first = move |record, out: &mut Collector<'_, O>| out.collect(first(record));
        let second = move |record, out: &mut Collector<'_, O>| out.collect(second(record));
        self.run("Co-Map", CoFlatMap(first, second))
    }

    /// Turns each record into any number of others, by a function for each stream.
    pub fn flat_map<O: Record, F, G>(&self, first: F, second: G) -> DataStream<O>
    where
        F: FnMut(A, &mut Collector<'_, O>) + Clone + Send + Sync + 'static,
        G: FnMut(B, &mut Collector<'_, O>) + Clone + Send + Sync + 'static,
    {
        self.run("Co-Flat Map", CoFlatMap(first, second))
    }

    /// Gives each record of both streams to a function with its context: [`CoProcessFunction`].
    pub fn process<O: Record, F>(&self, function: F) -> DataStream<O>
    where
        F: CoProcessFunction<A, B, O> + Clone + Sync,
    {
        self.run("Co-Process", function)
    }

    /// Brings records of equal keys together, by a key of each stream's records.
    pub fn key_by<K: Key, F, G>(&self, first: F, second: G) -> KeyedConnectedStreams<K, A, B>
    where
        F: Fn(&A) -> K + Send + Sync + 'static,
        G: Fn(&B) -> K + Send + Sync + 'static,
    {
        self.first.key_by(first).connect(&self.second.key_by(second))
    }

    fn run<O: Record, F: CoProcessFunction<A, B, O> + Clone + Sync>(&self, name: &str, function: F) -> DataStream<O> {
        let make = move || Box::new(CoProcess::<A, B, O, F>::new(function.clone())) as Box<dyn Operator>;
        self.first.with_second_input(self.first.upstreams(), self.second.upstreams(), name, make)
    }
}

/// Two connected streams whose records are brought together by key: Flink's `ConnectedStreams` of two keyed streams.
pub struct KeyedConnectedStreams<K, A, B> {
    first: KeyedStream<K, A>,
    second: KeyedStream<K, B>,
}

impl<K: Key, T: Record> KeyedStream<K, T> {
    /// Lets one operator work on the records of both streams, those of equal keys in one subtask.
    pub fn connect<B: Record>(&self, other: &KeyedStream<K, B>) -> KeyedConnectedStreams<K, T, B> {
        KeyedConnectedStreams { first: self.clone(), second: other.clone() }
    }
}

impl<K: Key, A: Record, B: Record> KeyedConnectedStreams<K, A, B> {
    /// Gives each record of both streams to a function with state and timers by key: [`KeyedCoProcessFunction`].
    pub fn process<O: Record, F>(&self, function: F) -> DataStream<O>
    where
        F: KeyedCoProcessFunction<K, A, B, O> + Clone + Sync,
    {
        let make = move || Box::new(KeyedCoProcess::<K, A, B, O, F>::new(function.clone())) as Box<dyn Operator>;
        let (first, second) = (self.first.record_sender(), self.second.record_sender());
        self.first.stream().with_second_input(&[first], &[second], "Co-Keyed-Process", make)
    }
}

impl<T: Record> DataStream<T> {
    /// Adds an operator with two inputs.
    pub(super) fn with_second_input<O: Record>(
        &self,
        first: &[Upstream],
        second: &[Upstream],
        name: &str,
        make: impl Fn() -> Box<dyn Operator> + Send + Sync + 'static,
    ) -> DataStream<O> {
        let mut node = Node::new(name, NodeKind::Operator, ProgramCode::Operator(Arc::new(make)));
        node.output = Some(Arc::new(RowsType::<O>::new()));
        let graph = self.graph();
        let index = graph.lock().add_with_inputs(node, &[first, second]);
        DataStream::of_node(graph.clone(), index)
    }
}
