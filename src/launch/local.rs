//! The local role: the JobMaster's core and the runtime in this process, no sockets.
//!
//! ```text
//! Start, Cancel, Wake ─► JobMaster::apply ─► effects ─► TaskExecutor ─► TaskEvent ─► JobMaster::apply ─► …
//! ```
//!
//! The calling thread is the loop. The one TaskManager and its worker are imagined: the process has as many slots as the job
//! needs, and a worker that is stopped is a [`TaskExecutor`] that is wound up.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::configuration::object_stores;
use super::interrupt::Interrupts;
use super::{Error, Job, JobResult, VertexResult};
use crate::config::{Configuration, JobConfig};
use crate::engine::checkpoint::{JobStands, Storages, discard_checkpoint, write_manifest};
use crate::engine::network::Network;
use crate::engine::operators::AsyncPort;
use crate::engine::runtime::{Blueprint, Flushing, TaskEvent, TaskExecutor};
use crate::graph::delivery::DeliveryGuarantee;
use crate::graph::job_graph::{self, JobGraph};
use crate::graph::task::{Failure, TaskMetrics};
use crate::ids::{JobId, TaskManagerId, WorkerId};
use crate::jobmanager::job_master::{CheckpointSettings, Effect, Event, JobMaster, Outcome, RestartStrategy, Settings};
use crate::jobmanager::recovery::Recovery;
use crate::protocol::container::ExitCause;
use crate::protocol::job::JobStatus;
use crate::protocol::worker::ToWorker;
use crate::storage::places::{self, place_of};
use crate::time::{Clock, Deadline, Now, Stopwatch, SystemClock};
use crate::worker::{Next, perform, state_backend};

/// Reports that wait for the loop. When full, subtasks wait.
const EVENTS_LEN_MAX: usize = 1024;
/// How long subtasks may take to stop when the imagined worker is stopped. What blocks longer is left behind, for only the end of
/// the process ends it.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Runs the job to its end.
pub(super) fn run(job: Job, given: &Configuration) -> Result<JobResult, Error> {
    let temporary_dir = TemporaryDir::new();
    prepare(job, given, temporary_dir.0.clone())?.run()
}

fn prepare(job: Job, given: &Configuration, temporary_dir: PathBuf) -> Result<Local, Error> {
    let Job { mut plan, program } = job;
    let configuration = Configuration::new().with_submitted(&plan.configuration)?.with_submitted(&given.to_map())?;
    let config = JobConfig::from_configuration(&configuration)?;
    plan.execution_mode = config.execution_mode.unwrap_or(plan.execution_mode);
    plan.name = config.name.clone().unwrap_or(plan.name);
    plan.validate()?;
    let delivery = plan.delivery();
    if delivery.guarantee == DeliveryGuarantee::AtMostOnce {
        eprintln!("Delivery is {delivery}");
    }
    let plan = Arc::new(plan);
    let storages = Storages::new(&object_stores(given)?);
    let graph = JobGraph::new(&plan, graph_settings(&config))?;
    let blueprint = Blueprint {
        plan: Arc::clone(&plan),
        program,
        temporary_dir: temporary_dir.clone(),
        state_backend: state_backend(&config.state, config.state.process_size, &temporary_dir),
        flushing: Flushing::new(plan.resolved_mode(), config.buffer_timeout),
        storage: Arc::new(storages.clone()),
        auto_watermark_interval: config.auto_watermark_interval,
        async_port: AsyncPort::tokio(),
    };
    let job = JobId(fastrand::u128(..));
    let settings = Settings {
        checkpoints: checkpoint_settings(job, &config, &temporary_dir)?,
        restart_strategy: restart_strategy(&config.restart_strategy),
        cancel_timeout: config.cancellation_timeout,
        seed: fastrand::u64(..),
        ..Settings::default()
    };
    let clock = SystemClock::shared();
    let recovery = Recovery::configured(&config).map(|recovery| recovery.open(&storages, &plan)).transpose();
    let recovery = recovery.map_err(|failure| Error::Recovery { failure })?;
    let mut master = JobMaster::new(job, plan, graph, settings, clock.now());
    if let Some(manifest) = recovery {
        master.restore_from(Arc::new(manifest), clock.now());
    }
    Ok(Local::new(master, blueprint, storages, clock))
}

/// Without a configured directory they end with the process, and serve restarts alone.
fn checkpoint_settings(
    job: JobId,
    config: &JobConfig,
    temporary_dir: &std::path::Path,
) -> Result<CheckpointSettings, Error> {
    let directory = match &config.checkpointing.directory {
        Some(directory) => {
            let unusable = |error| Failure::user(format!("execution.checkpointing.dir: {error}"));
            let place = place_of(directory).map_err(|error| Error::Recovery { failure: unusable(error) })?;
            places::inside(&place, &job.to_string())
        }
        None => temporary_dir.join("checkpoints").to_string_lossy().into_owned(),
    };
    Ok(CheckpointSettings::new(config.checkpointing_interval, &config.checkpointing, directory))
}

/// Parallelism where nobody has set one: the machine's cores. (In a cluster it is 1, as Flink's.)
pub(crate) fn default_parallelism() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1))
}

fn graph_settings(config: &JobConfig) -> job_graph::Settings {
    let default_parallelism = config.parallelism.map_or_else(default_parallelism, |parallelism| parallelism.get());
    job_graph::Settings { default_parallelism, chaining: config.chaining }
}

fn restart_strategy(configured: &crate::config::RestartStrategy) -> RestartStrategy {
    use crate::config::RestartStrategy as Configured;
    match *configured {
        Configured::None => RestartStrategy::None,
        Configured::FixedDelay { attempts, delay } => RestartStrategy::FixedDelay { attempts, delay },
        Configured::FailureRate { max_failures, interval, delay } => {
            RestartStrategy::FailureRate { max_failures, interval, delay }
        }
        Configured::ExponentialDelay { initial, max, multiplier, reset_after, jitter, attempts } => {
            RestartStrategy::ExponentialDelay { initial, max, multiplier, reset_after, jitter, attempts }
        }
    }
}

/// A directory of this process, removed with what lies in it. Made by whoever first needs it.
struct TemporaryDir(PathBuf);

impl TemporaryDir {
    fn new() -> Self {
        let name = format!("flott-{}-{:08x}", std::process::id(), fastrand::u32(..));
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for TemporaryDir {
    fn drop(&mut self) {
        if self.0.exists()
            && let Err(error) = std::fs::remove_dir_all(&self.0)
        {
            tracing::warn!(%error, path = %self.0.display(), "a temporary directory is left behind");
        }
    }
}

struct Local {
    master: JobMaster,
    blueprint: Blueprint,
    storages: Storages,
    clock: Arc<dyn Clock>,
    started: Stopwatch,
    queue: VecDeque<Event>,
    reports: (Sender<TaskEvent>, Receiver<TaskEvent>),
    worker: Option<(WorkerId, TaskExecutor)>,
    slots: u32,
    wakes: BTreeSet<Now>,
    /// The last checkpoint has come to nothing.
    checkpoints_fail: bool,
    closed: bool,
}

impl Local {
    fn new(master: JobMaster, blueprint: Blueprint, storages: Storages, clock: Arc<dyn Clock>) -> Self {
        Self {
            master,
            blueprint,
            storages,
            clock,
            started: Stopwatch::start(),
            queue: [Event::Start].into(),
            reports: bounded(EVENTS_LEN_MAX),
            worker: None,
            slots: 0,
            wakes: BTreeSet::new(),
            checkpoints_fail: false,
            closed: false,
        }
    }

    fn run(mut self) -> Result<JobResult, Error> {
        let interrupts = Interrupts::watch()?;
        while !self.closed {
            match self.queue.pop_front() {
                Some(event) => self.apply(event),
                None => {
                    let event = self.next_event(&interrupts);
                    self.queue.extend(event);
                }
            }
        }
        self.result()
    }

    fn apply(&mut self, event: Event) {
        let mut effects = Vec::new();
        if let Err(illegal) = self.master.apply(event, self.clock.now(), &mut effects) {
            tracing::warn!(%illegal, "refused");
        }
        effects.into_iter().for_each(|effect| self.perform(effect));
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::RequestSlots { count } => {
                let slots = count.saturating_sub(self.slots);
                if slots > 0 {
                    self.slots = count;
                    self.queue.push_back(Event::SlotsOffered { task_manager: task_manager(), slots });
                }
            }
            Effect::ReleaseSlots { slots, .. } => self.slots = self.slots.saturating_sub(slots),
            Effect::StartWorker { worker, .. } => self.start_worker(worker),
            Effect::StopWorker { worker, .. } => self.stop_worker(&worker),
            Effect::ToWorker { worker, message } => self.order(&worker, message),
            // A job of this process ends with it: there is nobody to read a record.
            Effect::Persist(_) | Effect::RescaleEnded(_) | Effect::Ended(_) => {}
            // The loop waits for it: checkpoints of a local run are rare and small against what it does.
            Effect::WriteManifest { manifest, .. } => {
                let failure = write_manifest(&self.storages, &manifest).err();
                self.checkpoints_fail &= failure.is_some();
                self.queue.push_back(Event::ManifestWritten { manifest, failure });
            }
            Effect::DiscardCheckpoint { directory } => {
                let ended = self.master.outcome().is_some();
                let stands = if ended { JobStands::Ended } else { JobStands::GoesOn };
                if let Err(failure) = discard_checkpoint(&self.storages, &directory, stands) {
                    tracing::warn!(%failure, "a checkpoint is left behind");
                }
            }
            // Its workers are threads of this process: what was given up has been removed behind them.
            Effect::DiscardOtherCheckpoints { .. } => {}
            Effect::CheckpointFailed { checkpoint, failure } => {
                // Said once in a row: nothing becomes visible meanwhile.
                if !std::mem::replace(&mut self.checkpoints_fail, true) {
                    eprintln!("checkpoint {checkpoint} failed, the job runs on: {failure}");
                }
            }
            Effect::Wake { at } => {
                self.wakes.insert(at);
            }
            Effect::StatusChanged { from, to } => {
                tracing::info!(job = %self.master.job(), %from, %to, "job status changed");
            }
            Effect::Closed => self.closed = true,
        }
    }

    fn start_worker(&mut self, worker: WorkerId) {
        let network = Arc::new(Network::local());
        let reports = self.reports.0.clone();
        let executor = TaskExecutor::new(self.blueprint.clone(), network, Arc::clone(&self.clock), reports);
        self.worker = Some((worker.clone(), executor));
        self.queue.push_back(Event::WorkerRegistered {
            worker,
            pid: std::process::id(),
            data_address: String::new(),
            plan_hash: self.blueprint.plan.hash(),
        });
    }

    fn order(&mut self, worker: &WorkerId, order: ToWorker) {
        let Some((current, executor)) = &self.worker else {
            return;
        };
        if current != worker {
            return;
        }
        match perform(executor, order) {
            Next::Continue(answers) => {
                let event = |message| Event::Worker { worker: worker.clone(), message };
                self.queue.extend(answers.into_iter().map(event));
            }
            Next::Shutdown => self.stop_worker(worker),
        }
    }

    /// Winds the imagined worker up, emptying the reports meanwhile so that nobody waits for room in them.
    fn stop_worker(&mut self, worker: &WorkerId) {
        let Some((_, executor)) = self.worker.take_if(|(current, _)| current == worker) else {
            return;
        };
        let deadline = Deadline::after(STOP_GRACE);
        while let Err(left) = executor.cancel_all(Duration::from_millis(1)) {
            self.queue.extend(self.reports.1.try_iter().map(|event| of_worker(worker, event)));
            if deadline.passed() {
                eprintln!("{} subtasks still run: user code blocks their threads", left.len());
                break;
            }
        }
        self.queue.extend(self.reports.1.try_iter().map(|event| of_worker(worker, event)));
        let (cause, diagnostics) = (ExitCause::Completed { code: 0 }, String::new());
        self.queue.push_back(Event::WorkerExited { worker: worker.clone(), cause, diagnostics });
    }

    /// Waits for whatever happens next; nothing when it does not concern the job.
    fn next_event(&mut self, interrupts: &Interrupts) -> Option<Event> {
        let timeout = match self.wakes.first() {
            Some(at) => crossbeam_channel::after(at.since(self.clock.now())),
            None => crossbeam_channel::never(),
        };
        crossbeam_channel::select_biased! {
            recv(interrupts.receiver()) -> _ => Some(Event::Cancel),
            recv(timeout) -> _ => {
                self.wakes.pop_first();
                Some(Event::Wake)
            }
            recv(self.reports.1) -> report => {
                let (worker, _) = self.worker.as_ref()?;
                Some(of_worker(worker, report.ok()?))
            }
        }
    }

    fn result(self) -> Result<JobResult, Error> {
        let name = self.master.plan().name.clone();
        let outcome = self.master.outcome().cloned();
        let unknown = || Failure::permanent("the job ended without an outcome");
        match outcome {
            Some(Outcome { status: JobStatus::Finished, .. }) => {}
            Some(Outcome { status: JobStatus::Canceled, .. }) => return Err(Error::Canceled { name }),
            Some(Outcome { failure, .. }) => {
                return Err(Error::Failed { name, failure: failure.unwrap_or_else(unknown) });
            }
            None => return Err(Error::Failed { name, failure: unknown() }),
        }
        let (vertices, accumulators) = (vertex_results(&self.master), self.master.accumulators());
        let result =
            JobResult { job: self.master.job(), name, duration: self.started.elapsed(), vertices, accumulators };
        if result.bad_records() > 0 {
            eprintln!("{} malformed records were repaired or dropped", result.bad_records());
        }
        Ok(result)
    }
}

fn task_manager() -> TaskManagerId {
    TaskManagerId("local".to_owned())
}

fn of_worker(worker: &WorkerId, event: TaskEvent) -> Event {
    Event::Worker { worker: worker.clone(), message: event.into() }
}

fn vertex_results(master: &JobMaster) -> Vec<VertexResult> {
    let mut results: Vec<VertexResult> = master.graph().vertices.iter().map(VertexResult::of).collect();
    for ((vertex, _), subtask) in master.execution().subtasks() {
        results[vertex].add(&subtask.current.metrics);
    }
    results
}

impl VertexResult {
    fn of(vertex: &job_graph::Vertex) -> Self {
        Self { name: vertex.name.clone(), parallelism: vertex.parallelism, metrics: TaskMetrics::default() }
    }

    fn add(&mut self, more: &TaskMetrics) {
        let metrics = &mut self.metrics;
        metrics.records_in += more.records_in;
        metrics.bytes_in += more.bytes_in;
        metrics.records_out += more.records_out;
        metrics.bytes_out += more.bytes_out;
        metrics.bad_records += more.bad_records;
        metrics.hot_key_permille = metrics.hot_key_permille.max(more.hot_key_permille);
        metrics.busy_ms += more.busy_ms;
        metrics.idle_ms += more.idle_ms;
        metrics.backpressured_ms += more.backpressured_ms;
        // Event time is where the slowest is.
        metrics.input_watermark = metrics.input_watermark.into_iter().chain(more.input_watermark).min();
    }
}

#[cfg(test)]
#[path = "local_tests.rs"]
pub(super) mod tests;
