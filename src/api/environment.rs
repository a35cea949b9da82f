//! Where a program begins.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::DataStream;
use super::graph_builder::{Node, SharedGraph};
use crate::engine::connectors::{CollectionSource, FileSource, SequenceSource, SocketTextSource, TextFileSource};
use crate::engine::operators::{Accumulator, AccumulatorHandle, Boundedness, ProgramCode, Source, nothing};
use crate::engine::record::{Record, RowsType, Str};
use crate::graph::explain::Explanation;
use crate::graph::job_graph::{JobGraph, Settings};
use crate::graph::plan::{ExecutionMode, NodeKind};
use crate::launch::{self, Error, JobResult};

/// Where a program begins: makes sources, holds the job's settings, and executes. Flink's class of that name.
///
/// Its settings are the program's; what is given at submission (`flott run -p 4 -D key=value`) fills in what the program
/// leaves open.
#[derive(Clone, Default)]
pub struct StreamExecutionEnvironment {
    graph: SharedGraph,
}

impl StreamExecutionEnvironment {
    pub(super) fn of_graph(graph: SharedGraph) -> Self {
        Self { graph }
    }

    /// An environment without sources.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same as [`StreamExecutionEnvironment::new`], by Flink's name. What the process was started for decides where
    /// `execute` runs the job.
    pub fn get_execution_environment() -> Self {
        Self::new()
    }

    /// Sets the number of subtasks of operators that set none themselves.
    pub fn set_parallelism(&self, parallelism: u32) -> &Self {
        self.graph.lock().parallelism = Some(parallelism);
        self
    }

    /// Sets the number of key groups of operators that set none themselves: the largest parallelism that the job's state can
    /// be rescaled to. Default: 128, more for a parallelism beyond 85.
    pub fn set_max_parallelism(&self, max_parallelism: u32) -> &Self {
        self.graph.lock().max_parallelism = Some(max_parallelism);
        self
    }

    /// Takes a checkpoint so often, in streaming mode, from which the job goes on after a failure: state, positions in the input and
    /// output of sinks as if nothing had happened. `execution.checkpointing.interval`, which outranks it; the other keys of
    /// `execution.checkpointing` say the rest. Flink's `enableCheckpointing`.
    pub fn enable_checkpointing(&self, interval: Duration) -> &Self {
        let interval = format!("{} ms", interval.as_millis().max(1));
        self.graph.lock().configuration.insert("execution.checkpointing.interval".to_owned(), interval);
        self
    }

    /// Sets batch or streaming. Default: [`ExecutionMode::Automatic`], batch when every source is bounded.
    pub fn set_runtime_mode(&self, mode: ExecutionMode) -> &Self {
        self.graph.lock().execution_mode = mode;
        self
    }

    /// The same as [`StreamExecutionEnvironment::set_runtime_mode`].
    pub fn set_execution_mode(&self, mode: ExecutionMode) -> &Self {
        self.set_runtime_mode(mode)
    }

    /// Sets a job-level configuration key, such as `execution.buffer-timeout.interval`. Submission outranks it.
    pub fn configure(&self, key: impl Into<String>, value: impl Into<String>) -> &Self {
        self.graph.lock().configuration.insert(key.into(), value.into());
        self
    }

    /// Gives each operator a thread of its own.
    pub fn disable_operator_chaining(&self) -> &Self {
        self.configure("pipeline.operator-chaining.enabled", "false")
    }

    /// The lines of text files, without line ends, as [`TextFileSource::new`] reads them: `path` is a file, a directory or
    /// a glob pattern. Bounded.
    pub fn read_text_file(&self, path: impl AsRef<Path>) -> DataStream<Str> {
        self.from_source(TextFileSource::new(path), "Text Files")
    }

    /// The JSON values in text files, one a line; `path` is a file, a directory or a glob pattern. Bounded.
    ///
    /// The first line that is no `T` fails the job; see [`FileSource::on_error`] for other ways.
    ///
    /// ```
    /// use flott::prelude::*;
    ///
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Bid { auction: u64, price: u64 }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("bids.json");
    /// std::fs::write(&path, "{\"auction\": 1, \"price\": 20}\n{\"auction\": 1, \"price\": 30}\n")?;
    /// let env = StreamExecutionEnvironment::new();
    /// let bids = env.read_json_lines::<Bid>(&path);
    /// let highest = bids.key_by(|bid| bid.auction).emit(Emission::Final).max(|bid| bid.price);
    /// assert_eq!(highest.execute_and_collect("highest bids")?, [(1, 30)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_json_lines<T: Record>(&self, path: impl AsRef<Path>) -> DataStream<T> {
        self.from_source(FileSource::json_lines(path), "JSON Files")
    }

    /// The lines that a server at `host:port` sends, until it closes the connection. One subtask; cannot replay.
    pub fn socket_text_stream(&self, host: impl Into<String>, port: u16) -> DataStream<Str> {
        self.from_source(SocketTextSource::new(host, port), "Socket Text Stream").set_parallelism(1)
    }

    /// The records of a collection, in order, from one subtask. For small inputs and tests: each process of the job builds
    /// the collection when the program runs there.
    pub fn from_collection<T: Record + Sync>(&self, records: impl IntoIterator<Item = T>) -> DataStream<T> {
        self.from_source(CollectionSource::new(records), "Collection Source").set_parallelism(1)
    }

    /// The numbers from `first` to `last`, both included. The order holds within a subtask only.
    pub fn from_sequence(&self, first: u64, last: u64) -> DataStream<u64> {
        self.from_source(SequenceSource::new(first, last), "Sequence Source")
    }

    /// The records of any source.
    pub fn from_source<S: Source>(&self, source: S, name: impl Into<String>) -> DataStream<S::Out> {
        let bounded = source.boundedness() == Boundedness::Bounded;
        let (guarantee, delivery) = (source.guarantee(), source.delivery_guarantee());
        let code = ProgramCode::Source(Arc::new(source));
        let mut node = Node::new(format!("Source: {}", name.into()), NodeKind::Source { bounded }, code);
        node.output = Some(Arc::new(RowsType::<S::Out>::new()));
        (node.description, node.delivery) = (guarantee, delivery);
        let index = self.graph.lock().add(node, &[]);
        DataStream::of_node(self.graph.clone(), index)
    }

    /// A value that is evaluated once for the whole job, when it is planned, and is the same in each of its processes.
    /// For what may differ between runs of `main`: the time, a random seed, the contents of a file.
    ///
    /// # Errors
    /// When the value has no JSON form.
    pub fn once<T: Serialize + DeserializeOwned>(&self, name: &str, evaluate: impl FnOnce() -> T) -> Result<T, Error> {
        // The lock is not held while the program's own code runs.
        let mut once = self.graph.lock().take_once()?;
        let value = once.value(name, evaluate);
        self.graph.lock().put_once(once);
        value
    }

    /// An accumulator of the job, by its name: something that functions count beside their records. The handle is used in the
    /// closures and functions of the program; each subtask adds to its own, and the job has one result, which
    /// [`JobResult::accumulator`], `flott run` and the REST API tell.
    ///
    /// An execution that is started anew counts anew: what the one before it had counted does not count.
    ///
    /// ```
    /// use flott::prelude::*;
    ///
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::new();
    /// let empty = env.accumulator::<LongCounter>("empty-lines");
    /// let lines = env.from_collection(["to be", "", "or not", ""].map(str::to_owned));
    /// lines.filter(move |line| {
    ///     if line.is_empty() {
    ///         empty.add(1);
    ///     }
    ///     !line.is_empty()
    /// }).discard();
    /// let result = env.execute("empty lines")?;
    /// assert_eq!(result.accumulator("empty-lines").unwrap().as_i64(), Some(2));
    /// # Ok(())
    /// # }
    /// ```
    pub fn accumulator<A: Accumulator>(&self, name: &str) -> AccumulatorHandle<A> {
        self.graph.lock().declare(name, nothing::<A>());
        AccumulatorHandle::new(name)
    }

    /// Runs the job and waits for its end; `name` is for people.
    ///
    /// A program is one job. In its own process a second call is refused; on a cluster the program ends here, wherever it runs: what
    /// stands behind `execute` does not run there, a second call included. So nothing that must happen should stand behind it.
    ///
    /// # Errors
    /// [`Error`] with the cause first: an invalid graph, or why the job failed.
    pub fn execute(&self, name: &str) -> Result<JobResult, Error> {
        let job = self.graph.lock().build(name)?;
        launch::execute(job)
    }

    /// What `execute` would run: the plan, and the code behind it.
    pub(crate) fn job(&self, name: &str) -> Result<launch::Job, Error> {
        self.graph.lock().build(name)
    }

    /// What `execute` would run, for people and tools: operators, how they are chained, and how records go between them. Nothing is
    /// started. `flott run --explain PROGRAM` shows the same of a program.
    ///
    /// ```
    /// # use flott::prelude::*;
    /// # fn main() -> Result<(), flott::Error> {
    /// let env = StreamExecutionEnvironment::new();
    /// env.from_sequence(1, 100).key_by(|n| n % 3).count().print();
    /// println!("{}", env.explain()?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`StreamExecutionEnvironment::execute`] for an invalid graph.
    pub fn explain(&self) -> Result<Explanation, Error> {
        let plan = self.graph.lock().build("explain")?.plan;
        plan.validate()?;
        let chaining = plan.configuration.get("pipeline.operator-chaining.enabled").is_none_or(|set| set == "true");
        let graph = JobGraph::new(&plan, Settings { default_parallelism: launch::default_parallelism(), chaining })?;
        Ok(Explanation::new(plan, graph))
    }
}

#[cfg(test)]
impl StreamExecutionEnvironment {
    pub(super) fn graph(&self) -> &SharedGraph {
        &self.graph
    }
}
