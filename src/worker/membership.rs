//! The worker's life: check, connect, register, obey, leave.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;

use super::error::Error;
use super::orders::{Next, perform};
use super::orphan;
use super::reports::Reporter;
use super::state::state_backend;
use crate::config::{Configuration, JobConfig, S3Config};
use crate::engine::checkpoint::Storages;
use crate::engine::network::{Network, NetworkConfig, OPEN_BYTES};
use crate::engine::operators::{AsyncPort, ProgramGraph};
use crate::engine::runtime::{Blueprint, Flushing, TaskExecutor};
use crate::graph::plan::Plan;
use crate::protocol::roles::WorkerEnvironment;
use crate::protocol::worker::{self as protocol, Register, Registered, ToJobManager, ToWorker};
use crate::rpc::Tls;
use crate::rpc::link::{self, LinkEvent, LinkOptions, LinkReceiver, LinkSender, LinkTarget, Refusal};
use crate::telemetry::{LogTarget, init_logging};
use crate::time::SystemClock;

/// Reports that wait to be sent. When full, subtasks wait.
const EVENTS_LEN_MAX: usize = 1024;
/// How long the JobManager may be out of reach. Longer than a frozen link takes to be noticed, short enough that nothing is left
/// of a job ten seconds after its JobManager died.
const JOB_MANAGER_PATIENCE: Duration = Duration::from_secs(8);
/// How long subtasks and publications may take to end when the job has.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// The same when the TaskManager stops this worker: it kills soon after.
const TERMINATION_GRACE: Duration = Duration::from_secs(2);

/// All a program brings along.
pub(crate) struct Membership {
    /// The graph it has built here.
    pub(crate) here: Plan,
    /// The graph that was planned, which the JobManager deploys.
    pub(crate) stored: Plan,
    /// The code.
    pub(crate) program: ProgramGraph,
    /// What its TaskManager told it.
    pub(crate) environment: WorkerEnvironment,
    /// How the places of its checkpoints are reached, if they are in an object store.
    pub(crate) object_stores: S3Config,
}

/// Takes part in the job until its end; the process's exit code. Blocks; uses threads and a runtime of its own.
pub(crate) fn run(membership: Membership) -> i32 {
    if let Err(error) = init_logging(&LogTarget::Stderr, LevelFilter::INFO) {
        eprintln!("{error}");
    }
    let watching = orphan::end_with_task_manager().map_err(system("the watch on the TaskManager"));
    match watching.and_then(|()| take_part(membership)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            error.exit_code()
        }
    }
}

/// The same without the ties to a process of its own.
pub(crate) fn take_part(membership: Membership) -> Result<i32, Error> {
    Worker::start(membership).and_then(Worker::serve)
}

fn system(what: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |cause| Error::System { what, cause }
}

struct Worker {
    runtime: Runtime,
    executor: Arc<TaskExecutor>,
    tasks: JoinSet<()>,
    cancel: CancellationToken,
    sender: LinkSender<ToJobManager>,
    receiver: LinkReceiver<Register, Registered, ToWorker>,
    job_manager: String,
}

impl Worker {
    /// Everything up to the open link.
    fn start(membership: Membership) -> Result<Self, Error> {
        let Membership { here, stored, program, environment, object_stores } = membership;
        stored.check_same(&here)?;
        let configuration = Configuration::new().with_submitted(&environment.configuration)?;
        let config = JobConfig::from_configuration(&configuration)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("flott-network")
            .enable_all()
            .build()
            .map_err(system("the network's threads"))?;
        let tls = environment.tls.clone().map(Tls::load).transpose()?.unwrap_or_default();
        let network = start_network(&runtime, &environment, &tls)?;
        let data_address = network.data_address().unwrap_or_default().to_owned();
        let (events_in, events) = crossbeam_channel::bounded(EVENTS_LEN_MAX);
        let plan_hash = stored.hash();
        let blueprint = Blueprint {
            flushing: Flushing::new(stored.resolved_mode(), config.buffer_timeout),
            plan: Arc::new(stored),
            program,
            auto_watermark_interval: config.auto_watermark_interval,
            state_backend: state_backend(&config.state, environment.memory, &environment.temporary_dir),
            temporary_dir: environment.temporary_dir,
            storage: Arc::new(Storages::new(&object_stores)),
            async_port: AsyncPort::tokio(),
        };
        let executor = TaskExecutor::new(blueprint, Arc::new(network), SystemClock::shared(), events_in);
        let executor = Arc::new(executor);
        let WorkerEnvironment { worker, job_manager, secret, .. } = environment;
        let register = Register { worker, pid: std::process::id(), data_address, plan_hash, secret };
        let (mut tasks, cancel) = (JoinSet::new(), CancellationToken::new());
        let options = LinkOptions { give_up_after: Some(JOB_MANAGER_PATIENCE), ..LinkOptions::new("worker") };
        let target = LinkTarget::new(job_manager.as_str(), protocol::PATH).with_tls(&tls);
        let (sender, receiver) = {
            let _within = runtime.enter();
            link::open(&mut tasks, target, &register, options, cancel.clone())
        };
        let reporter = Reporter {
            events,
            link: sender.clone(),
            executor: Arc::clone(&executor),
            cancel_patience: config.cancellation_timeout.min(SHUTDOWN_GRACE),
        };
        reporter.start().map_err(system("the reporting thread"))?;
        Ok(Self { runtime, executor, tasks, cancel, sender, receiver, job_manager })
    }

    /// Obeys until the end; the exit code.
    fn serve(mut self) -> Result<i32, Error> {
        let handle = self.runtime.handle().clone();
        let ended = handle.block_on(self.obey());
        let grace = if let Ok(End::Terminated) = ended { TERMINATION_GRACE } else { SHUTDOWN_GRACE };
        if let Err(left) = self.executor.cancel_all(grace) {
            eprintln!("{} subtasks still run: user code blocks their threads; the worker ends", left.len());
        }
        // The link says goodbye, so that the JobManager does not take the end for a break.
        self.cancel.cancel();
        handle.block_on(async { while self.tasks.join_next().await.is_some() {} });
        self.runtime.shutdown_background();
        match ended? {
            End::Ordered => Ok(0),
            End::Terminated => Ok(143),
        }
    }

    async fn obey(&mut self) -> Result<End, Error> {
        let mut terminate = signal(SignalKind::terminate()).map_err(system("the watch on signals"))?;
        let mut registered = false;
        loop {
            let event = tokio::select! {
                biased;
                _ = terminate.recv() => return Ok(End::Terminated),
                event = self.receiver.next() => event,
            };
            match event {
                Some(LinkEvent::Opened { resumed: false, .. }) if registered => {
                    eprintln!("the JobManager has forgotten this worker; it ends");
                    return Ok(End::Ordered);
                }
                Some(LinkEvent::Opened { welcome, .. }) => {
                    registered = true;
                    tracing::info!(job_manager = %self.job_manager, attempt = welcome.attempt, "registered");
                }
                Some(LinkEvent::Message(order)) => match perform(&self.executor, order) {
                    // The link tells how it ended, should it have.
                    Next::Continue(answers) => answers.into_iter().for_each(|answer| drop(self.sender.send(answer))),
                    Next::Shutdown => return Ok(End::Ordered),
                },
                Some(LinkEvent::Broken { cause }) => tracing::warn!(%cause, "the link to the JobManager is broken"),
                Some(LinkEvent::Refused(refusal)) => return self.refused(refusal),
                None => return Ok(End::Ordered),
            }
        }
    }

    /// Fenced or told to go is an order; anything else is a loss.
    fn refused(&self, refusal: Refusal) -> Result<End, Error> {
        match refusal.code.as_str() {
            Refusal::UNREACHABLE | Refusal::HTTP | Refusal::MALFORMED | Refusal::PROTOCOL_VERSION => {
                Err(Error::JobManagerLost { address: self.job_manager.clone(), refusal })
            }
            _ => {
                eprintln!("{refusal}; the worker ends");
                Ok(End::Ordered)
            }
        }
    }
}

/// Why a worker ends without error.
enum End {
    /// By its JobManager.
    Ordered,
    /// By its TaskManager, or whoever else sends signals.
    Terminated,
}

fn start_network(runtime: &Runtime, environment: &WorkerEnvironment, tls: &Tls) -> Result<Network, Error> {
    let config = NetworkConfig {
        bind_host: environment.host.clone(),
        worker: environment.worker.clone(),
        secret: environment.secret.clone(),
        // Half of a small worker's memory at most.
        open_bytes_max: OPEN_BYTES.min(environment.memory.bytes() / 2),
        tls: tls.clone(),
    };
    Ok(Network::start(runtime.handle(), config)?)
}
