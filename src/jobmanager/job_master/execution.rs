//! The execution graph: for each subtask of each vertex its current execution and the ones before.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::Illegal;
use crate::graph::accumulator::{self, Accumulators};
use crate::graph::job_graph::JobGraph;
use crate::graph::task::{ExecutionState, Failure, TaskMetrics};
use crate::ids::{ExecutionAttemptId, WorkerId};
use crate::time::Now;

/// Ended executions remembered per subtask.
const HISTORY_LEN_MAX: usize = 16;

/// Rates over less time would jump.
const RATED_OVER_MIN: Duration = Duration::from_millis(900);

/// How fast counters grow, per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Records read from inputs.
    pub records_in: u64,
    /// Records written to outputs.
    pub records_out: u64,
    /// Milliseconds spent working, up to 1000.
    pub busy_ms: u64,
    /// Milliseconds spent waiting for input, up to 1000.
    pub idle_ms: u64,
    /// Milliseconds spent waiting for room downstream, up to 1000.
    pub backpressured_ms: u64,
}

impl Rates {
    fn between(before: &TaskMetrics, after: &TaskMetrics, time: Duration) -> Self {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = |before: u64, after: u64| after.saturating_sub(before).saturating_mul(1000) / millis;
        Self {
            records_in: rate(before.records_in, after.records_in),
            records_out: rate(before.records_out, after.records_out),
            busy_ms: rate(before.busy_ms, after.busy_ms).min(1000),
            idle_ms: rate(before.idle_ms, after.idle_ms).min(1000),
            backpressured_ms: rate(before.backpressured_ms, after.backpressured_ms).min(1000),
        }
    }
}

/// One execution of a subtask. Flink's `Execution`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Execution {
    /// Counts executions of the subtask.
    pub attempt: u32,
    /// Where it stands.
    pub state: ExecutionState,
    /// When it first came into each state.
    pub since: BTreeMap<ExecutionState, Now>,
    /// Where it runs or ran, once deployed.
    pub worker: Option<WorkerId>,
    /// Its last counters.
    pub metrics: TaskMetrics,
    /// The key that it gets again and again, as a person reads it.
    pub hot_key: Option<String>,
    /// How fast they grow, once two reports lie far enough apart.
    pub rates: Option<Rates>,
    /// The counters that the next rates are reckoned from.
    sample: Option<(Now, TaskMetrics)>,
    /// What its accumulators had gathered when it last said so.
    pub accumulators: Accumulators,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
}

impl Execution {
    fn new(attempt: u32, now: Now) -> Self {
        Self {
            attempt,
            state: ExecutionState::Created,
            since: [(ExecutionState::Created, now)].into(),
            worker: None,
            metrics: TaskMetrics::default(),
            hot_key: None,
            rates: None,
            sample: None,
            accumulators: Accumulators::new(),
            failure: None,
        }
    }

    /// Takes over newer counters.
    pub(super) fn note(&mut self, metrics: TaskMetrics, now: Now) {
        self.metrics = metrics;
        match self.sample {
            Some((at, _)) if now.since(at) < RATED_OVER_MIN => {}
            Some((at, before)) => {
                self.rates = Some(Rates::between(&before, &metrics, now.since(at)));
                self.sample = Some((now, metrics));
            }
            None => self.sample = Some((now, metrics)),
        }
    }

    /// When it was deployed.
    pub fn started_at(&self) -> Option<Now> {
        self.since.get(&ExecutionState::Deploying).copied()
    }

    /// When it ended.
    pub fn ended_at(&self) -> Option<Now> {
        self.state.is_terminal().then(|| self.since.get(&self.state).copied()).flatten()
    }
}

/// One subtask: its current execution and those before, oldest first, at most 16.
#[derive(Clone, Debug)]
pub struct Subtask {
    /// The current one.
    pub current: Execution,
    /// The ones before.
    pub previous: Vec<Execution>,
}

impl Subtask {
    /// The execution of that number, while it is remembered.
    pub fn attempt(&self, attempt: u32) -> Option<&Execution> {
        self.previous.iter().chain([&self.current]).find(|execution| execution.attempt == attempt)
    }
}

/// Executions of all subtasks, by vertex index.
#[derive(Clone, Debug)]
pub struct ExecutionGraph {
    /// `vertices[v][subtask]`, as in the job graph.
    pub vertices: Vec<Vec<Subtask>>,
    live: usize,
    /// No execution of the job has had a higher number.
    highest_attempt: u32,
}

/// Position of a subtask: index of the vertex, index within it.
pub(super) type Position = (usize, usize);

impl ExecutionGraph {
    pub(super) fn new(graph: &JobGraph, first_attempt: u32, now: Now) -> Self {
        let subtask = || Subtask { current: Execution::new(first_attempt, now), previous: Vec::new() };
        let vertices: Vec<Vec<Subtask>> =
            graph.vertices.iter().map(|vertex| (0..vertex.parallelism).map(|_| subtask()).collect()).collect();
        let live = vertices.iter().map(Vec::len).sum();
        Self { vertices, live, highest_attempt: first_attempt }
    }

    /// How many current executions have not ended.
    pub fn live(&self) -> usize {
        self.live
    }

    /// Whether every current execution has ended by itself.
    pub fn all_finished(&self) -> bool {
        self.live == 0 && self.subtasks().all(|(_, subtask)| subtask.current.state == ExecutionState::Finished)
    }

    /// All subtasks with their position.
    pub fn subtasks(&self) -> impl Iterator<Item = ((usize, usize), &Subtask)> {
        self.vertices.iter().enumerate().flat_map(|(vertex, subtasks)| {
            subtasks.iter().enumerate().map(move |(index, subtask)| ((vertex, index), subtask))
        })
    }

    /// What the accumulators of a vertex's current executions have gathered together.
    pub fn accumulators_of(&self, vertex: usize) -> Accumulators {
        let mut all = Accumulators::new();
        for subtask in &self.vertices[vertex] {
            accumulator::merge(&mut all, &subtask.current.accumulators);
        }
        all
    }

    pub(super) fn get(&self, (vertex, index): Position) -> Option<&Subtask> {
        self.vertices.get(vertex)?.get(index)
    }

    /// Moves an execution to `state`. Reports may skip states, never go back; an ended execution stays as it is.
    pub(super) fn set_state(&mut self, at: Position, state: ExecutionState, now: Now) -> Result<bool, Illegal> {
        let Some(subtask) = self.vertices.get_mut(at.0).and_then(|subtasks| subtasks.get_mut(at.1)) else {
            return Err(Illegal::new(format!("the job has no subtask {} of vertex {}", at.1, at.0)));
        };
        let execution = &mut subtask.current;
        if execution.state.is_terminal() || rank(state) <= rank(execution.state) {
            return Ok(false); // A repeated or overtaken report: the later state stands.
        }
        execution.state = state;
        execution.since.insert(state, now);
        if state.is_terminal() {
            self.live -= 1;
        }
        Ok(true)
    }

    pub(super) fn current_mut(&mut self, (vertex, index): Position) -> Option<&mut Execution> {
        Some(&mut self.vertices.get_mut(vertex)?.get_mut(index)?.current)
    }

    /// Has as many subtasks as `graph` from now. Those that are new get a number that none had before them.
    pub(super) fn reshape(&mut self, graph: &JobGraph, now: Now) {
        let first = self.highest_attempt + 1;
        let subtask = || Subtask { current: Execution::new(first, now), previous: Vec::new() };
        for (subtasks, vertex) in self.vertices.iter_mut().zip(&graph.vertices) {
            subtasks.resize_with(vertex.parallelism as usize, subtask);
        }
        self.highest_attempt = first;
        self.live = self.subtasks().filter(|(_, subtask)| !subtask.current.state.is_terminal()).count();
    }

    /// Gives every subtask a new execution.
    pub(super) fn begin_again(&mut self, now: Now) {
        let all: Vec<usize> = (0..self.vertices.len()).collect();
        self.begin_again_of(&all, now);
    }

    /// Gives every subtask of these vertices a new execution.
    pub(super) fn begin_again_of(&mut self, vertices: &[usize], now: Now) {
        for subtask in
            self.vertices.iter_mut().enumerate().filter(|(at, _)| vertices.contains(at)).flat_map(|(_, it)| it)
        {
            let next = Execution::new(subtask.current.attempt + 1, now);
            self.highest_attempt = self.highest_attempt.max(next.attempt);
            subtask.previous.push(std::mem::replace(&mut subtask.current, next));
            if subtask.previous.len() > HISTORY_LEN_MAX {
                subtask.previous.remove(0);
            }
        }
        self.live = self.subtasks().filter(|(_, subtask)| !subtask.current.state.is_terminal()).count();
    }

    pub(super) fn id(&self, graph: &JobGraph, (vertex, index): Position) -> ExecutionAttemptId {
        ExecutionAttemptId {
            vertex: graph.vertices[vertex].id,
            subtask: u32::try_from(index).unwrap_or(u32::MAX),
            attempt: self.vertices[vertex][index].current.attempt,
        }
    }
}

/// Order in which states can follow one another.
fn rank(state: ExecutionState) -> u8 {
    match state {
        ExecutionState::Created => 0,
        ExecutionState::Scheduled => 1,
        ExecutionState::Deploying => 2,
        ExecutionState::Initializing => 3,
        ExecutionState::Running => 4,
        ExecutionState::Canceling => 5,
        ExecutionState::Finished | ExecutionState::Canceled | ExecutionState::Failed => 6,
    }
}
