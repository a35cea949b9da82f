//! A whole job on the calling thread, in virtual time.
//!
//! ```text
//! step each subtask ─► all wait? ─► the clock jumps to the first moment that one of them waits for ─► step …
//! ```

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::DataStream;
use crate::StreamExecutionEnvironment;
use crate::engine::checkpoint::LocalStorage;
use crate::engine::connectors::CollectSink;
use crate::engine::network::Network;
use crate::engine::operators::{AsyncPort, NextDiscovery, ProgramCode, SplitEnumerator};
use crate::engine::record::Record;
use crate::engine::runtime::{Blueprint, Connect, Flushing, Mail, Step, Stepped, TaskEvent};
use crate::engine::state::StateBackend;
use crate::graph::job_graph::{JobGraph, Settings};
use crate::graph::plan::NodeIndex;
use crate::graph::task::{Committable, ExecutionState, Failure, Split, TaskDeployment};
use crate::ids::{ExecutionAttemptId, JobId, TaskManagerId, WorkerId};
use crate::launch::{Error, Job};
use crate::time::Now;

/// Slices of input that a subtask takes in a turn.
const SLICES: u32 = 16;

/// Executes the job of `stream` in virtual time, and returns the stream's records in the order they were emitted: as
/// [`execute`] does.
///
/// # Errors
/// As [`execute`].
pub fn execute_and_collect<T: Record>(stream: &DataStream<T>, name: &str) -> Result<Vec<T>, Error> {
    let sink = CollectSink::new();
    let collected = sink.collected();
    stream.sink_to(sink);
    execute(&stream.environment(), name)?;
    Ok(collected.take())
}

/// Executes a job on this thread, in virtual time: its clock begins at 0 and jumps to the next moment that something waits for as
/// soon as nothing else is left to do. So a job that waits for hours ends at once, and ends the same way each time.
///
/// Operators for which the program sets no parallelism have one subtask. Nothing is restarted.
///
/// # Errors
/// An invalid graph; the first failure of a subtask; a job that waits for something other than the clock.
pub fn execute(env: &StreamExecutionEnvironment, name: &str) -> Result<(), Error> {
    let Job { plan, program } = env.job(name)?;
    plan.validate()?;
    let graph = JobGraph::new(&plan, Settings { default_parallelism: 1, chaining: true })?;
    let blueprint = Blueprint {
        flushing: Flushing::new(plan.resolved_mode(), Some(Duration::from_millis(5))),
        plan: Arc::new(plan),
        program,
        temporary_dir: std::env::temp_dir().join(format!("flott-virtual-{:08x}", fastrand::u32(..))),
        state_backend: StateBackend::default(),
        storage: Arc::new(LocalStorage),
        auto_watermark_interval: Duration::from_millis(200),
        async_port: AsyncPort::at_once(),
    };
    let failed = |failure| Error::Failed { name: name.to_owned(), failure };
    let mut job = Running::new(blueprint, &graph).map_err(failed)?;
    let result = job.run().and_then(|()| job.commit());
    job.clean();
    result.map_err(failed)
}

/// A job that runs.
struct Running {
    blueprint: Blueprint,
    tasks: Vec<Task>,
    sources: Vec<SplitSource>,
    committables: Vec<Committable>,
    now: Now,
}

struct Task {
    attempt: ExecutionAttemptId,
    stepped: Stepped,
    ended: bool,
    /// When it wants to be stepped again.
    until: Option<Now>,
}

/// The splits of a source that nobody has asked for yet.
struct SplitSource {
    operator: NodeIndex,
    enumerator: Box<dyn SplitEnumerator>,
    waiting: VecDeque<Split>,
    next: NextDiscovery,
}

impl Running {
    fn new(blueprint: Blueprint, graph: &JobGraph) -> Result<Self, Failure> {
        let network: Arc<dyn Connect> = Arc::new(Network::local());
        let mut sources = Vec::new();
        let mut tasks = Vec::new();
        for deployment in deployments(graph) {
            let (attempt, head) = (deployment.attempt, deployment.operators[0]);
            let stepped = Stepped::connect(&blueprint, deployment, Arc::clone(&network));
            if let Some(ProgramCode::Source(source)) = blueprint.program.get(head).map(|operator| &operator.code)
                && attempt.subtask == 0
            {
                let enumerator = source.enumerator(&stepped.context_of(&blueprint, head)?)?;
                let next = NextDiscovery::After(Duration::ZERO);
                sources.push(SplitSource { operator: head, enumerator, waiting: VecDeque::new(), next });
            }
            tasks.push(Task { attempt, stepped, ended: false, until: None });
        }
        Ok(Self { blueprint, tasks, sources, committables: Vec::new(), now: Now(0) })
    }

    fn run(&mut self) -> Result<(), Failure> {
        while self.tasks.iter().any(|task| !task.ended) {
            if self.step_all()? {
                continue;
            }
            let until = self.tasks.iter().filter(|task| !task.ended).filter_map(|task| task.until).min();
            self.now = until.filter(|until| *until > self.now).ok_or_else(|| {
                Failure::permanent(
                    "the job waits for something other than the clock, which virtual time cannot bring about",
                )
            })?;
        }
        Ok(())
    }

    /// Steps each subtask once; whether any did something.
    fn step_all(&mut self) -> Result<bool, Failure> {
        let (mut progress, mut events) = (false, Vec::new());
        for task in self.tasks.iter_mut().filter(|task| !task.ended) {
            match task.stepped.step(&self.blueprint, self.now, SLICES, &mut events) {
                Step::Progress => progress = true,
                Step::Wait { until } => {
                    task.until = until;
                    // Something may have come between.
                    progress |= task.stepped.take_wake();
                }
                Step::Ended(_) => (task.ended, progress) = (true, true),
            }
        }
        for event in events {
            progress = true;
            self.take(event)?;
        }
        Ok(progress)
    }

    fn take(&mut self, event: TaskEvent) -> Result<(), Failure> {
        match event {
            TaskEvent::State { state: ExecutionState::Failed, failure, .. } => {
                Err(failure.unwrap_or_else(|| Failure::permanent("a subtask has failed and does not say why")))
            }
            TaskEvent::State { committables, .. } => {
                self.committables.extend(committables);
                Ok(())
            }
            TaskEvent::SplitRequested { attempt, operator, lane } => self.assign(attempt, operator, lane),
            _ => Ok(()),
        }
    }

    fn assign(&mut self, attempt: ExecutionAttemptId, operator: NodeIndex, lane: Option<u32>) -> Result<(), Failure> {
        let Some(source) = self.sources.iter_mut().find(|source| source.operator == operator) else { return Ok(()) };
        while source.waiting.is_empty() && source.next != NextDiscovery::Complete {
            let found = source.enumerator.discover()?;
            source.waiting.extend(found.splits);
            source.next = found.next;
            if source.waiting.is_empty() && source.next != NextDiscovery::Complete {
                return Err(Failure::permanent(
                    "a source looks for its input again and again, which virtual time does not do",
                ));
            }
        }
        let fits = |split: &Split| lane.is_none() || split.lane.map(|lane| lane.index) == lane;
        let split = source.waiting.iter().position(fits).and_then(|at| source.waiting.remove(at));
        let mail = split.map_or(Mail::NoMoreSplits, Mail::AssignSplit);
        if let Some(task) = self.tasks.iter().find(|task| task.attempt == attempt) {
            task.stepped.mail(mail);
        }
        Ok(())
    }

    /// Publishes what sinks have prepared.
    fn commit(&mut self) -> Result<(), Failure> {
        for (code, index) in self.blueprint.program.operators.iter().zip(0..) {
            if let ProgramCode::Sink(sink) = &code.code {
                let of_sink = self.committables.iter().filter(|committable| committable.operator == NodeIndex(index));
                let payloads: Vec<_> = of_sink.map(|committable| committable.payload.clone()).collect();
                if !payloads.is_empty() {
                    sink.commit(payloads)?;
                }
            }
        }
        Ok(())
    }

    fn clean(&mut self) {
        self.tasks.clear();
        let dir: &PathBuf = &self.blueprint.temporary_dir;
        if dir.exists() {
            // What cannot be removed lies among temporary files.
            std::fs::remove_dir_all(dir).unwrap_or_default();
        }
    }
}

/// Every subtask, as a JobManager would deploy it to one worker.
fn deployments(graph: &JobGraph) -> Vec<TaskDeployment> {
    let job = JobId(1);
    let attempt =
        |vertex: usize, subtask| ExecutionAttemptId { vertex: graph.vertices[vertex].id, subtask, attempt: 0 };
    let worker = WorkerId { task_manager: TaskManagerId("virtual".to_owned()), job, incarnation: 1 };
    graph.subtasks().map(|at| graph.deployment(job, at, attempt, |_, _| (worker.clone(), String::new()))).collect()
}
