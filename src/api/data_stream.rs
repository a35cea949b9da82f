//! Streams of records.

use std::fmt::{self, Write as _};
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use super::DataStreamSink;
use super::KeyedStream;
use super::StreamExecutionEnvironment;
use super::graph_builder::{Node, SharedGraph, Upstream};
use crate::engine::connectors::{CollectSink, DiscardSink, FileSink, PrintSink, SerializationSchema, SocketSink};
use crate::engine::operators::{
    Collector, Filter, FlatMap, Map, Operator, PartitionCustom, ProgramCode, Sink, key_selector, router,
};
use crate::engine::record::{Key, Record, RowsType};
use crate::graph::plan::{Chaining, NodeIndex, NodeKind, Partitioner};
use crate::launch::{self, Error};

/// A stream of records of type `T`. Flink's class of that name.
///
/// It stands for what an operator of the graph emits and holds no records, so it can be cloned, stored, returned, and used
/// several times: each use receives every record. The functions given to it run in the job's subtasks, one clone each; what
/// they capture is part of the program in each of its processes.
pub struct DataStream<T> {
    graph: SharedGraph,
    /// One; several for a union.
    upstreams: Vec<Upstream>,
    record: PhantomData<fn() -> T>,
}

impl<T> Clone for DataStream<T> {
    fn clone(&self) -> Self {
        Self { graph: self.graph.clone(), upstreams: self.upstreams.clone(), record: PhantomData }
    }
}

/// Transformations.
impl<T: Record> DataStream<T> {
    pub(super) fn of_node(graph: SharedGraph, node: NodeIndex) -> Self {
        Self::of_upstreams(graph, vec![Upstream::new(node, Partitioner::Forward)])
    }

    pub(super) fn of_upstreams(graph: SharedGraph, upstreams: Vec<Upstream>) -> Self {
        Self { graph, upstreams, record: PhantomData }
    }

    /// Turns each record into another.
    pub fn map<U: Record, F>(&self, function: F) -> DataStream<U>
    where
        F: FnMut(T) -> U + Clone + Send + Sync + 'static,
    {
        self.operator("Map", move || Box::new(Map::<T, F>::new(function.clone())))
    }

    /// Keeps the records that `predicate` holds for.
    pub fn filter<F>(&self, predicate: F) -> Self
    where
        F: FnMut(&T) -> bool + Clone + Send + Sync + 'static,
    {
        self.operator("Filter", move || Box::new(Filter::<T, F>::new(predicate.clone())))
    }

    /// Turns each record into any number of others, by `out.collect(record)`.
    pub fn flat_map<U: Record, F>(&self, function: F) -> DataStream<U>
    where
        F: FnMut(T, &mut Collector<'_, U>) + Clone + Send + Sync + 'static,
    {
        self.operator("Flat Map", move || Box::new(FlatMap::<T, U, F>::new(function.clone())))
    }

    /// Brings records of equal keys together: all that happens to one key happens in one subtask. It takes the place of a
    /// partitioning asked for before.
    pub fn key_by<K: Key, F>(&self, key: F) -> KeyedStream<K, T>
    where
        F: Fn(&T) -> K + Send + Sync + 'static,
    {
        KeyedStream::new(self.partitioned(Partitioner::Forward), key_selector(key))
    }

    /// The records of both streams. Flink's union of several is a union of unions here.
    pub fn union(&self, other: &Self) -> Self {
        let mut union = self.clone();
        union.upstreams.extend(other.upstreams.iter().cloned());
        union
    }

    /// Distributes records over the next operator's subtasks, in turn, one by one: each gets as many as the others, give or
    /// take one from each subtask that emits.
    pub fn rebalance(&self) -> Self {
        self.partitioned(Partitioner::Rebalance)
    }

    /// Distributes records in turn over some of the next operator's subtasks: of 2 subtasks that feed 6 each feeds 3; of 6 that
    /// feed 2, three feed the first and three the second.
    pub fn rescale(&self) -> Self {
        self.partitioned(Partitioner::Rescale)
    }

    /// Distributes records at random, evenly in the long run.
    pub fn shuffle(&self) -> Self {
        self.partitioned(Partitioner::Shuffle)
    }

    /// Gives every record to each of the next operator's subtasks.
    pub fn broadcast(&self) -> Self {
        self.partitioned(Partitioner::Broadcast)
    }

    /// Gives every record to the first of the next operator's subtasks.
    pub fn global(&self) -> Self {
        self.partitioned(Partitioner::Global)
    }

    /// Leaves every record in its subtask, and demands equal parallelism of both operators: `execute` refuses another. Where
    /// nothing is said, records stay where parallelism is equal, and are rebalanced where it is not.
    pub fn forward(&self) -> Self {
        self.partitioned(Partitioner::ForwardOnly)
    }

    /// Distributes records as `partitioner` says, which is asked with each record's key and the number of the next operator's
    /// subtasks, and answers with the index of one, from 0. Another answer fails the job.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::new();
    /// let orders = env.from_collection([("ada".to_owned(), 20u64), ("bob".to_owned(), 7), ("ada".to_owned(), 1)]);
    /// // One subtask for the customer who orders most, the others share the rest.
    /// let apart = orders.partition_custom(
    ///     |name: &String, subtasks| if name == "ada" || subtasks == 1 { 0 } else { 1 + name.len() as u32 % (subtasks - 1) },
    ///     |(name, _)| name.clone(),
    /// );
    /// apart.map(|(name, amount)| format!("{name}: {amount}")).set_parallelism(4).print();
    /// # env.execute("orders")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn partition_custom<K: Key, P, F>(&self, partitioner: P, key: F) -> Self
    where
        P: Fn(&K, u32) -> u32 + Send + Sync + 'static,
        F: Fn(&T) -> K + Send + Sync + 'static,
    {
        let router = router(partitioner, key);
        let code = move || Box::new(PartitionCustom::new(Arc::clone(&router))) as Box<dyn Operator>;
        let mut node = Node::new("Partition Custom", NodeKind::Operator, ProgramCode::Operator(Arc::new(code)));
        node.output = Some(Arc::new(RowsType::<T>::new()));
        let stream = self.partitioned(Partitioner::Forward);
        node.follows = stream.sole_feeder();
        let index = stream.add(node);
        Self::of_node(self.graph.clone(), index).partitioned(Partitioner::Custom)
    }

    fn partitioned(&self, partitioner: Partitioner) -> Self {
        let mut stream = self.clone();
        for upstream in &mut stream.upstreams {
            upstream.partitioner = partitioner;
        }
        stream
    }

    /// Adds an operator that `make` makes, behind this stream.
    pub(super) fn operator<U: Record>(
        &self,
        name: &str,
        make: impl Fn() -> Box<dyn Operator> + Send + Sync + 'static,
    ) -> DataStream<U> {
        let mut node = Node::new(name, NodeKind::Operator, ProgramCode::Operator(Arc::new(make)));
        node.output = Some(Arc::new(RowsType::<U>::new()));
        let index = self.add(node);
        DataStream::of_node(self.graph.clone(), index)
    }

    /// The environment that the stream was made in.
    pub(crate) fn environment(&self) -> StreamExecutionEnvironment {
        StreamExecutionEnvironment::of_graph(self.graph.clone())
    }

    pub(super) fn graph(&self) -> &SharedGraph {
        &self.graph
    }

    /// Adds an operator behind this stream.
    pub(super) fn add(&self, node: Node) -> NodeIndex {
        self.graph.lock().add(node, &self.upstreams)
    }

    pub(super) fn upstreams(&self) -> &[Upstream] {
        &self.upstreams
    }

    /// The operator that emits this stream, where it is one and its records stay in their subtasks.
    pub(super) fn sole_feeder(&self) -> Option<NodeIndex> {
        match self.upstreams.as_slice() {
            [Upstream { node, partitioner: Partitioner::Forward | Partitioner::ForwardOnly, side_output: _ }] => {
                Some(*node)
            }
            _ => None,
        }
    }

    /// The operator that this stream is: the only one that emits it, by its main output, to its own subtasks.
    pub(super) fn sole_operator(&self) -> Option<NodeIndex> {
        self.sole_feeder().filter(|_| self.upstreams.iter().all(|upstream| upstream.side_output.is_none()))
    }
}

/// Where records go.
impl<T: Record> DataStream<T> {
    /// Prints each record on a line of the task's standard output, as [`PrintSink`] describes: `(word,3)` for a tuple.
    pub fn print(&self) -> DataStreamSink {
        self.sink(PrintSink::<T>::stdout(), "Print to Std. Out")
    }

    /// As [`DataStream::print`], on standard error.
    pub fn print_to_err(&self) -> DataStreamSink {
        self.sink(PrintSink::<T>::stderr(), "Print to Std. Err")
    }

    /// As [`DataStream::print`], each line behind `identifier` and the number of the subtask: `words:2> (word,3)`.
    pub fn print_with(&self, identifier: impl Into<String>) -> DataStreamSink {
        self.sink(PrintSink::<T>::stdout().with_identifier(identifier), "Print to Std. Out")
    }

    /// Writes each record as a line of text into part files in the directory `dir`, which become visible when the job has
    /// finished, all or none; see [`FileSink`]. `format` appends a record's text to the line:
    /// `|(word, count), line| write!(line, "{word} {count}")`, with `use std::fmt::Write`.
    pub fn write_text<F>(&self, dir: impl AsRef<Path>, format: F) -> DataStreamSink
    where
        F: Fn(&T, &mut String) -> fmt::Result + Send + Sync + 'static,
    {
        self.sink(FileSink::text(dir, format), "Text Files")
    }

    /// As [`DataStream::write_text`], with the record's own text.
    pub fn write_as_text(&self, dir: impl AsRef<Path>) -> DataStreamSink
    where
        T: std::fmt::Display,
    {
        self.write_text(dir, |record, line| write!(line, "{record}"))
    }

    /// Writes each record as a JSON value on a line of part files in the directory `dir`, which become visible when the job has
    /// finished, all or none; see [`FileSink::json_lines`].
    pub fn write_json_lines(&self, dir: impl AsRef<Path>) -> DataStreamSink {
        self.sink(FileSink::json_lines(dir), "JSON Files")
    }

    /// Sends each record as a line to the server at `host:port`, from one subtask; see [`SocketSink`]. `schema` says what lines look
    /// like: [`TextLines`](crate::connectors::TextLines), [`JsonLines`](crate::connectors::JsonLines), or one of your own.
    pub fn write_to_socket(
        &self,
        host: impl Into<String>,
        port: u16,
        schema: impl SerializationSchema<T>,
    ) -> DataStreamSink {
        self.sink(SocketSink::new(host, port, schema), "Socket").set_parallelism(1)
    }

    /// Executes the job and returns this stream's records, in no order across subtasks. For tests and small results, and only
    /// where the program runs the job in its own process. Flink's method of that name.
    ///
    /// # Errors
    /// As [`StreamExecutionEnvironment::execute`](super::StreamExecutionEnvironment::execute); and on a cluster, whose
    /// processes do not share memory with the program.
    pub fn execute_and_collect(&self, name: &str) -> Result<Vec<T>, Error> {
        let sink = CollectSink::new();
        let collected = sink.collected();
        self.sink(sink, "Collect");
        if !launch::is_local()? {
            self.graph.lock().mistake(
                "records are collected only where the program runs the job in its own process, and this job runs on a \
                 cluster; write them to files instead",
            );
        }
        let job = self.graph.lock().build(name)?;
        launch::execute(job)?;
        Ok(collected.take())
    }

    /// Drops every record.
    pub fn discard(&self) -> DataStreamSink {
        self.sink(DiscardSink::<T>::new(), "Discard")
    }

    /// Gives the records to any sink.
    pub fn sink_to<S: Sink<In = T>>(&self, sink: S) -> DataStreamSink {
        self.sink(sink, "Writer")
    }

    fn sink<S: Sink<In = T>>(&self, sink: S, name: &str) -> DataStreamSink {
        let delivery = sink.delivery_guarantee();
        let mut node = Node::new(format!("Sink: {name}"), NodeKind::Sink, ProgramCode::Sink(Arc::new(sink)));
        node.delivery = delivery;
        let index = self.add(node);
        DataStreamSink::new(self.graph.clone(), index)
    }
}

/// Settings of the operator that emits this stream.
///
/// They apply to what was made last: call them directly behind the transformation. On a union, a repartitioned stream or a side
/// output there is no such operator, and `execute` says so.
impl<T: Record> DataStream<T> {
    /// Names it, for people.
    pub fn name(self, name: impl Into<String>) -> Self {
        self.set("name", |node| node.name = name.into())
    }

    /// Gives it an identity that survives changes to the program around it; unique in the job.
    pub fn uid(self, uid: impl Into<String>) -> Self {
        self.set("uid", |node| node.uid = Some(uid.into()))
    }

    /// Sets its number of subtasks.
    pub fn set_parallelism(self, parallelism: u32) -> Self {
        self.set("set_parallelism", |node| node.parallelism = Some(parallelism))
    }

    /// Sets its number of key groups.
    pub fn set_max_parallelism(self, max_parallelism: u32) -> Self {
        self.set("set_max_parallelism", |node| node.max_parallelism = Some(max_parallelism))
    }

    /// Gives it a thread of its own.
    pub fn disable_chaining(self) -> Self {
        self.set("disable_chaining", |node| node.chaining = Chaining::Never)
    }

    /// Lets it share a thread only with those behind it.
    pub fn start_new_chain(self) -> Self {
        self.set("start_new_chain", |node| node.chaining = Chaining::Head)
    }

    /// Puts it, and those behind it that say nothing else, into slots apart from other groups'.
    pub fn slot_sharing_group(self, group: impl Into<String>) -> Self {
        self.set("slot_sharing_group", |node| node.slot_sharing_group = Some(group.into()))
    }

    fn set(self, setting: &str, change: impl FnOnce(&mut Node)) -> Self {
        let feeder =
            self.sole_feeder().filter(|_| self.upstreams.iter().all(|upstream| upstream.side_output.is_none()));
        let mut graph = self.graph.lock();
        match feeder {
            Some(index) => change(graph.node_mut(index)),
            None => graph.mistake(format!(
                "{setting} was called on a union, a repartitioned stream or a side output, which is no operator; \
                 call it directly behind the transformation it is meant for"
            )),
        }
        drop(graph);
        self
    }
}
