//! Streams whose records are brought together by key.

use std::ops::AddAssign;
use std::sync::Arc;

use super::aggregates::aggregates;
use super::graph_builder::{Node, Upstream};
use super::{DataStream, WindowAssigner, WindowedStream};
use crate::engine::operators::{
    Aggregate, AggregateFunction, Best, BestBy, ByKey, Collector, Custom, Emission, Filter, FlatMap, KeyAndResult,
    KeyAndValue, KeySelector, KeyedAggregate, KeyedSender, Map, Operator, Part, ProgramCode, Reduce, Shape, Sum,
    ValueOnly,
};
use crate::engine::record::{Key, KeyedType, Record, RowsType};
use crate::graph::plan::{NodeKind, Partitioner};

/// A stream of records of type `T`, keyed by `K`. Flink's class of that name.
///
/// Its aggregates keep one value a key. In streaming mode they emit the new value with each record, unless
/// [`KeyedStream::emit`] says otherwise; in batch mode once a key, at the end. Values are folded before they cross the
/// exchange where nothing is emitted before the end anyway, so a function given to `reduce` must be associative and
/// commutative.
pub struct KeyedStream<K, T> {
    stream: DataStream<T>,
    keys: KeySelector<T, K>,
    emission: Emission,
    local_aggregation: bool,
}

aggregates!([K: Key, T: Record] KeyedStream<K, T>, "by key");

impl<K, T> Clone for KeyedStream<K, T> {
    fn clone(&self) -> Self {
        Self {
            stream: self.stream.clone(),
            keys: Arc::clone(&self.keys),
            emission: self.emission,
            local_aggregation: self.local_aggregation,
        }
    }
}

impl<K: Key, T: Record> KeyedStream<K, T> {
    pub(super) fn new(stream: DataStream<T>, keys: KeySelector<T, K>) -> Self {
        Self { stream, keys, emission: Emission::Updates, local_aggregation: true }
    }

    /// Says when the aggregates that follow emit, in streaming mode.
    #[must_use]
    pub fn emit(mut self, emission: Emission) -> Self {
        self.emission = emission;
        self
    }

    /// Says whether values may be folded before they cross the exchange, where nothing is emitted before the end anyway
    /// (default: they may). Results are the same; without, every record crosses. Flink SQL's local-global aggregation.
    #[must_use]
    pub fn local_aggregation(mut self, fold: bool) -> Self {
        self.local_aggregation = fold;
        self
    }

    /// Turns each record into another, in the subtask of its key.
    pub fn map<U: Record, F>(&self, function: F) -> DataStream<U>
    where
        F: FnMut(T) -> U + Clone + Send + Sync + 'static,
    {
        self.by_key("Map", move || Map::<T, F>::new(function.clone()))
    }

    /// Keeps the records that `predicate` holds for, in the subtask of their key.
    pub fn filter<F>(&self, predicate: F) -> DataStream<T>
    where
        F: FnMut(&T) -> bool + Clone + Send + Sync + 'static,
    {
        self.by_key("Filter", move || Filter::<T, F>::new(predicate.clone()))
    }

    /// Turns each record into any number of others, by `out.collect(record)`, in the subtask of its key.
    ///
    /// ```
    /// use flott::prelude::*;
    ///
    /// let env = StreamExecutionEnvironment::new();
    /// // All visits of one person are seen by one clone of the function.
    /// let mut last = std::collections::HashMap::new();
    /// let visits = env.from_collection([("ada", 1u64), ("bob", 5), ("ada", 4)].map(|(name, at)| (name.to_owned(), at)));
    /// let pauses = visits.key_by(|(name, _)| name.clone()).flat_map(move |(name, at), out: &mut Collector<'_, u64>| {
    ///     out.extend(last.insert(name, at).map(|before| at - before));
    /// });
    /// assert_eq!(pauses.execute_and_collect("pauses")?, [3]);
    /// # Ok::<(), flott::Error>(())
    /// ```
    pub fn flat_map<U: Record, F>(&self, function: F) -> DataStream<U>
    where
        F: FnMut(T, &mut Collector<'_, U>) + Clone + Send + Sync + 'static,
    {
        self.by_key("Flat Map", move || FlatMap::<T, U, F>::new(function.clone()))
    }

    fn by_key<U: Record, O: Operator + 'static>(
        &self,
        name: &str,
        make: impl Fn() -> O + Send + Sync + 'static,
    ) -> DataStream<U> {
        let receiver = move || Box::new(ByKey::<K, T, O>::new(make())) as Box<dyn Operator>;
        self.receive(self.record_sender(), name, receiver)
    }

    /// Divides the records of each key into windows.
    pub fn window(&self, windows: impl WindowAssigner<T>) -> WindowedStream<K, T> {
        WindowedStream::new(self.clone(), windows)
    }

    fn fold<V: Record, G: Aggregate<V>, S: Shape<K, V>>(
        &self,
        value: impl FnMut(T) -> V + Clone + Send + Sync + 'static,
        aggregate: G,
        shape: S,
    ) -> DataStream<S::Out> {
        let emission = self.emission;
        let receiver = {
            let aggregate = aggregate.clone();
            move || {
                let (aggregate, shape) = (aggregate.clone(), shape.clone());
                Box::new(KeyedAggregate::<K, V, G, S>::new(aggregate, shape, emission)) as Box<dyn Operator>
            }
        };
        self.exchange(value, aggregate, self.local_aggregation.then_some(emission), "Keyed Aggregation", receiver)
    }

    /// Adds both halves of a keyed exchange: the sender, on the thread of what feeds it, and the receiver. `folded_before`:
    /// when the receiver emits, if values may be folded by the sender.
    pub(super) fn exchange<V: Record, G: Aggregate<V>, O: Record>(
        &self,
        value: impl FnMut(T) -> V + Clone + Send + Sync + 'static,
        aggregate: G,
        folded_before: Option<Emission>,
        name: &str,
        receiver: impl Fn() -> Box<dyn Operator> + Send + Sync + 'static,
    ) -> DataStream<O> {
        self.receive(self.sender(value, aggregate, folded_before), name, receiver)
    }

    /// Adds the receiving half of a keyed exchange.
    pub(super) fn receive<O: Record>(
        &self,
        sender: Upstream,
        name: &str,
        receiver: impl Fn() -> Box<dyn Operator> + Send + Sync + 'static,
    ) -> DataStream<O> {
        let mut node = Node::new(name, NodeKind::Operator, ProgramCode::Operator(Arc::new(receiver)));
        node.output = Some(Arc::new(RowsType::<O>::new()));
        let graph = self.stream.graph();
        let receiver = graph.lock().add(node, &[sender]);
        DataStream::of_node(graph.clone(), receiver)
    }

    /// Adds the sending half of a keyed exchange alone.
    pub(super) fn sender<V: Record, G: Aggregate<V>>(
        &self,
        value: impl FnMut(T) -> V + Clone + Send + Sync + 'static,
        aggregate: G,
        folded_before: Option<Emission>,
    ) -> Upstream {
        let keys = Arc::clone(&self.keys);
        let sender = move || {
            let (keys, value, aggregate) = (Arc::clone(&keys), value.clone(), aggregate.clone());
            Box::new(KeyedSender::<T, K, V, G, _>::new(keys, value, aggregate, folded_before)) as Box<dyn Operator>
        };
        let mut node = Node::new("Key By", NodeKind::Operator, ProgramCode::Operator(Arc::new(sender)));
        node.description = match folded_before {
            Some(Emission::Final) => "folds values by key before the exchange".to_owned(),
            Some(Emission::Updates) => "folds values by key before the exchange in batch mode".to_owned(),
            None => String::new(),
        };
        node.output = Some(Arc::new(KeyedType::<K, V>::new()));
        node.follows = self.stream.sole_feeder();
        Upstream::new(self.stream.add(node), Partitioner::Hash)
    }

    /// Adds the sending half of a keyed exchange of the records as they are.
    pub(super) fn record_sender(&self) -> Upstream {
        // Nothing is folded before a receiver that sees each record.
        self.sender(|record| record, Reduce(|_, last| last), None)
    }

    pub(super) fn stream(&self) -> &DataStream<T> {
        &self.stream
    }
}
