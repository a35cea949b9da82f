//! Workers that take part in a job over real links and a real data exchange, under the JobMaster's core.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Job;
use super::local::tests::job;
use crate::config::S3Config;
use crate::engine::runtime::tests::fixture::Behaviour;
use crate::graph::job_graph::{self, JobGraph};
use crate::graph::plan::Plan;
use crate::ids::{JobId, TaskManagerId, WorkerId};
use crate::jobmanager::job_master::{Effect, Event, JobMaster, Settings};
use crate::protocol::container::ExitCause;
use crate::protocol::job::JobStatus;
use crate::protocol::roles::{self, WorkerEnvironment};
use crate::protocol::worker::{self as protocol, Register, Registered, ToJobManager, ToWorker};
use crate::resource::MemorySize;
use crate::rpc::http::Server;
use crate::rpc::link::{LinkOptions, LinkSender, PeerEvent, PeerEvents, PeerId, Refusal, acceptor};
use crate::time::{Clock, SystemClock};
use crate::worker::{self, Membership};

type Peers = PeerEvents<Register, Registered, ToJobManager, ToWorker>;

/// A JobManager with one job; each worker is a thread of this process, on a TaskManager of its own.
struct Cluster {
    job: Job,
    master: JobMaster,
    clock: SystemClock,
    address: String,
    peers: Peers,
    links: BTreeMap<WorkerId, LinkSender<ToWorker>>,
    workers: BTreeMap<PeerId, WorkerId>,
    threads: Vec<JoinHandle<Result<i32, worker::Error>>>,
    queue: Vec<Event>,
    closed: bool,
    tasks: JoinSet<()>,
    cancel: CancellationToken,
}

impl Cluster {
    fn start(job: Job) -> Self {
        let (mut tasks, cancel) = (JoinSet::new(), CancellationToken::new());
        let (acceptor, peers) = acceptor(&mut tasks, LinkOptions::new("JobManager"), cancel.clone());
        let server = Server::bind("127.0.0.1", 0).unwrap();
        let address = server.local_addr().to_string();
        let served = server.serve(Router::new().route(protocol::PATH, acceptor.route()), cancel.clone());
        tasks.spawn(async move { served.await.unwrap() });
        let clock = SystemClock::new();
        let graph = JobGraph::new(&job.plan, job_graph::Settings { default_parallelism: 2, chaining: true }).unwrap();
        let master = JobMaster::new(JobId(7), Arc::new(job.plan.clone()), graph, Settings::default(), clock.now());
        Self {
            job,
            master,
            clock,
            address,
            peers,
            links: BTreeMap::new(),
            workers: BTreeMap::new(),
            threads: Vec::new(),
            queue: vec![Event::Start],
            closed: false,
            tasks,
            cancel,
        }
    }

    async fn run(mut self) -> (JobMaster, Vec<Result<i32, worker::Error>>) {
        while !self.closed {
            for event in std::mem::take(&mut self.queue) {
                let mut effects = Vec::new();
                self.master.apply(event, self.clock.now(), &mut effects).unwrap();
                effects.into_iter().for_each(|effect| self.perform(effect));
            }
            if self.queue.is_empty() && !self.closed {
                let event = tokio::time::timeout(Duration::from_secs(60), self.peers.recv()).await;
                self.take(event.expect("something happens within a minute").expect("the acceptor lives"));
            }
        }
        let ends =
            tokio::task::spawn_blocking(|| self.threads.into_iter().map(|thread| thread.join().unwrap()).collect());
        let ends = ends.await.unwrap();
        self.cancel.cancel();
        while self.tasks.join_next().await.is_some() {}
        (self.master, ends)
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::RequestSlots { count } => self.queue.extend(
                (0..count)
                    .map(|number| Event::SlotsOffered { task_manager: TaskManagerId(format!("tm{number}")), slots: 1 }),
            ),
            Effect::StartWorker { worker, slots } => self.start_worker(worker, slots),
            Effect::ToWorker { worker, message } => self.links[&worker].send(message).unwrap(),
            Effect::Closed => self.closed = true,
            Effect::ReleaseSlots { .. }
            | Effect::StopWorker { .. }
            | Effect::Persist(_)
            | Effect::WriteManifest { .. }
            | Effect::DiscardCheckpoint { .. }
            | Effect::DiscardOtherCheckpoints { .. }
            | Effect::CheckpointFailed { .. }
            | Effect::RescaleEnded(_)
            | Effect::Wake { .. }
            | Effect::StatusChanged { .. }
            | Effect::Ended(_) => {}
        }
    }

    fn start_worker(&mut self, worker: WorkerId, slots: u32) {
        let environment = environment(worker, &self.address, slots);
        let Job { plan, program } = self.job.clone();
        let membership =
            Membership { here: plan.clone(), stored: plan, program, environment, object_stores: S3Config::default() };
        self.threads.push(thread::spawn(|| worker::take_part(membership)));
    }

    fn take(&mut self, event: PeerEvent<Register, Registered, ToJobManager, ToWorker>) {
        let event = match event {
            PeerEvent::Hello { peer, hello, answer, .. } => {
                let Register { worker, pid, data_address, plan_hash, secret } = hello;
                assert_eq!(secret, "sesame");
                self.workers.insert(peer, worker.clone());
                self.links.insert(worker.clone(), answer.accept(Registered { attempt: 1 }));
                Event::WorkerRegistered { worker, pid, data_address, plan_hash }
            }
            PeerEvent::Message { peer, message } => Event::Worker { worker: self.workers[&peer].clone(), message },
            PeerEvent::Broken { peer, .. } => Event::WorkerExited {
                worker: self.workers[&peer].clone(),
                cause: ExitCause::Completed { code: 0 },
                diagnostics: String::new(),
            },
        };
        self.queue.push(event);
    }
}

fn environment(worker: WorkerId, job_manager: &str, slots: u32) -> WorkerEnvironment {
    WorkerEnvironment {
        worker,
        job_manager: job_manager.to_owned(),
        secret: "sesame".to_owned(),
        host: "127.0.0.1".to_owned(),
        slots,
        memory: MemorySize::from_mebibytes(64),
        configuration: BTreeMap::new(),
        temporary_dir: PathBuf::new(),
        tls: None,
    }
}

fn some_worker() -> WorkerId {
    WorkerId { task_manager: TaskManagerId("tm0".to_owned()), job: JobId(7), incarnation: 1 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn two_workers_exchange_data_publish_and_leave_by_order() {
    let (job, sink) = job(Behaviour::Pass, 40);
    let (master, ends) = Cluster::start(job).run().await;
    assert_eq!(master.status(), JobStatus::Finished);
    assert_eq!(sink.published().len(), 120);
    assert_eq!(ends.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_panic_in_one_worker_fails_the_job_with_its_cause() {
    let (job, sink) = job(Behaviour::Superstitious, 40);
    let (master, ends) = Cluster::start(job).run().await;
    let failure = master.outcome().unwrap().failure.clone().unwrap();
    assert!(failure.message.contains("eleven") || failure.message.contains("thirteen"), "{failure}");
    assert_eq!((failure.operator.as_deref(), sink.published().len()), (Some("a"), 0));
    assert_eq!(ends.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [0, 0]);
}

#[test]
fn a_worker_with_another_graph_does_not_take_part() {
    let (Job { plan, program }, _) = job(Behaviour::Pass, 1);
    let mut here: Plan = plan.clone();
    here.nodes[1].output_type = "String".to_owned();
    let environment = environment(some_worker(), "127.0.0.1:1", 1);
    let error =
        worker::take_part(Membership { here, stored: plan, program, environment, object_stores: S3Config::default() })
            .unwrap_err();
    assert_eq!(error.exit_code(), roles::WORKER_EXIT_GRAPH_DIFFERS);
    assert!(error.to_string().contains("operator 1 is \"a -> String"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_fenced_worker_leaves_without_error() {
    let (job, _) = job(Behaviour::Pass, 1);
    let mut cluster = Cluster::start(job);
    cluster.start_worker(some_worker(), 1);
    match cluster.peers.recv().await {
        Some(PeerEvent::Hello { answer, .. }) => answer.refuse(Refusal::new("fenced", "another worker has its place")),
        other => panic!("{other:?} instead of a hello"),
    }
    let worker = cluster.threads.remove(0);
    assert_eq!(tokio::task::spawn_blocking(|| worker.join().unwrap().unwrap()).await.unwrap(), 0);
}
