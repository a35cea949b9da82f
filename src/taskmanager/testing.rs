//! A real TaskManager with a JobManager that only listens and says what a test wants. Programs are shell scripts.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Error, Handle, Settings, Timing, start};
use crate::graph::plan::{PLAN_VERSION, Plan};
use crate::ids::{ApplicationId, ContainerId, JobId, TaskManagerId, WorkerId};
use crate::protocol::container::{ExitCause, LocalResource};
use crate::protocol::job::Program;
use crate::protocol::task_manager::{
    PATH, Register, Registered, StartWorker, ToJobManager, ToTaskManager, WRONG_SECRET,
};
use crate::resource::MemorySize;
use crate::rpc::http::Server;
use crate::rpc::link::{LinkOptions, LinkSender, PeerEvent, PeerEvents, Refusal, acceptor};
use crate::storage::BlobId;
use crate::time::{Deadline, SystemClock};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

type Events = PeerEvents<Register, Registered, ToJobManager, ToTaskManager>;

/// How a worker ended, with its last words.
pub(crate) type WorkerExit = (ExitCause, String);

pub(crate) struct Supervised {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) registrations: Vec<Register>,
    pub(crate) pids: BTreeMap<WorkerId, u32>,
    pub(crate) exits: BTreeMap<WorkerId, WorkerExit>,
    pub(crate) leaving: Option<String>,
    handle: Handle,
    events: Events,
    sender: Option<LinkSender<ToTaskManager>>,
    running: JoinSet<Result<(), Error>>,
    cancel: CancellationToken,
    job_manager: JoinSet<()>,
}

pub(crate) fn job(number: u128) -> JobId {
    JobId(number)
}

pub(crate) fn worker(number: u128) -> WorkerId {
    WorkerId { task_manager: TaskManagerId("tm-1".to_owned()), job: job(number), incarnation: 1 }
}

impl Supervised {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut job_manager = JoinSet::new();
        let forever = CancellationToken::new();
        let (links, events) = acceptor(&mut job_manager, LinkOptions::new("JobManager"), forever.clone());
        let server = Server::bind("127.0.0.1", 0).unwrap();
        let application = ApplicationId { cluster_timestamp: 1, sequence: 1 };
        let mut settings = Settings {
            id: TaskManagerId("tm-1".to_owned()),
            container: Some(ContainerId::new(application.attempt(1), 0, 2)),
            job_manager: server.local_addr().to_string(),
            leaders: None,
            registration_timeout: Duration::ZERO,
            secret: Some("sesame".to_owned()),
            host: "127.0.0.1".to_owned(),
            http_port: 4243,
            slots: 4,
            memory: MemorySize::from_mebibytes(1024),
            work_dir: dir.path().join("work"),
            log_dir: dir.path().join("logs"),
            programs_dir: Some(dir.path().join("programs")),
            tls: crate::rpc::Tls::OFF,
            heartbeat: Duration::from_secs(1),
            frozen_after: Duration::from_secs(5),
            s3: crate::config::S3Config::default(),
            timing: Timing { memory_interval: Duration::from_millis(20), ..Timing::default() },
        };
        change(&mut settings);
        let router = Router::new().route(PATH, links.route());
        job_manager.spawn(async move { server.serve(router, forever).await.unwrap() });
        let (service, handle) = start(settings, SystemClock::shared()).unwrap();
        let cancel = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(service.run(cancel.clone()));
        let mut supervised = Self {
            dir,
            registrations: Vec::new(),
            pids: BTreeMap::new(),
            exits: BTreeMap::new(),
            leaving: None,
            handle,
            events,
            sender: None,
            running,
            cancel,
            job_manager,
        };
        supervised.until(|it| it.sender.is_some()).await;
        supervised
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// A shell script as a program.
    pub(crate) fn script(&self, name: &str, script: &str) -> LocalResource {
        let path = self.dir.path().join(name);
        fs::write(&path, format!("#!/bin/bash\n{script}\n")).unwrap();
        self.resource(path)
    }

    pub(crate) fn resource(&self, path: PathBuf) -> LocalResource {
        LocalResource {
            url: format!("file://{}", path.display()),
            size: fs::metadata(&path).unwrap().len(),
            sha256: Some(BlobId::of_file(&path).unwrap().as_str().to_owned()),
            kind: Default::default(),
            visibility: Default::default(),
            executable: true,
        }
    }

    pub(crate) fn program(&self, script: &str) -> Program {
        Program {
            name: "wordcount".to_owned(),
            executable: self.script(&BlobId::of(script.as_bytes()).to_string(), script),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            files: BTreeMap::new(),
        }
    }

    /// Wants a worker of job `number` that runs `script`.
    pub(crate) fn start(&self, number: u128, script: &str) {
        self.start_program(number, self.program(script));
    }

    pub(crate) fn start_program(&self, number: u128, program: Program) {
        let plan = Plan {
            version: PLAN_VERSION,
            name: "the plan".to_owned(),
            execution_mode: Default::default(),
            parallelism: None,
            configuration: BTreeMap::new(),
            nodes: Vec::new(),
            edges: Vec::new(),
            once: BTreeMap::new(),
            accumulators: Default::default(),
        };
        self.say(ToTaskManager::StartWorker(Box::new(StartWorker {
            worker: worker(number),
            program,
            plan,
            job_manager: "127.0.0.1:1".to_owned(),
            slots: 1,
            memory: MemorySize::from_mebibytes(64),
            configuration: BTreeMap::new(),
            secret: "sesame".to_owned(),
        })));
    }

    pub(crate) fn say(&self, message: ToTaskManager) {
        self.sender.as_ref().unwrap().send(message).unwrap();
    }

    /// The JobManager dies: no link can be opened any more.
    pub(crate) async fn kill_job_manager(&mut self) {
        self.job_manager.shutdown().await;
    }

    pub(crate) fn cancel(&self) {
        self.cancel.cancel();
    }

    /// As `kill -9` of the TaskManager would: its end of the workers' pipes closes.
    pub(crate) async fn crash(&mut self) {
        self.running.shutdown().await;
    }

    /// Waits for the TaskManager's own end.
    pub(crate) async fn ended(&mut self) -> Result<(), Error> {
        tokio::time::timeout(PATIENCE, self.running.join_next()).await.unwrap().unwrap().unwrap()
    }

    pub(crate) async fn exit(&mut self, number: u128) -> WorkerExit {
        self.until(|it| it.exits.contains_key(&worker(number))).await;
        self.exits[&worker(number)].clone()
    }

    pub(crate) async fn started(&mut self, number: u128) -> u32 {
        self.until(|it| it.pids.contains_key(&worker(number)) || it.exits.contains_key(&worker(number))).await;
        *self.pids.get(&worker(number)).unwrap_or_else(|| panic!("{:?}", self.exits))
    }

    pub(crate) async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let deadline = Deadline::after(PATIENCE);
        while !done(self) {
            let event = tokio::time::timeout(deadline.remaining(), self.events.recv()).await;
            self.heard(event.unwrap_or_else(|_| panic!("in vain: {:?} {:?}", self.pids, self.exits)).unwrap());
        }
    }

    /// Waits for something that is not told by link.
    pub(crate) async fn poll(&mut self, done: impl Fn(&Self) -> bool) {
        let deadline = Deadline::after(PATIENCE);
        while !done(self) {
            assert!(!deadline.passed(), "in vain: {}{}", self.log("workers.out"), self.log("workers.err"));
            tokio::task::yield_now().await;
        }
    }

    fn heard(&mut self, event: PeerEvent<Register, Registered, ToJobManager, ToTaskManager>) {
        match event {
            PeerEvent::Hello { hello, answer, .. } => {
                if hello.secret.as_deref() != Some("sesame") {
                    return answer.refuse(Refusal::new(WRONG_SECRET, "this is not the application's secret"));
                }
                self.registrations.push(hello);
                self.sender = Some(answer.accept(Registered { attempt: 1 }));
            }
            PeerEvent::Message { message: ToJobManager::WorkerStarted { worker, pid }, .. } => {
                self.pids.insert(worker, pid);
            }
            PeerEvent::Message { message: ToJobManager::WorkerExited { worker, cause, diagnostics }, .. } => {
                self.exits.insert(worker, (cause, diagnostics));
            }
            PeerEvent::Message { message: ToJobManager::Leaving { why }, .. } => self.leaving = Some(why),
            PeerEvent::Broken { .. } => {}
        }
    }

    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.handle.logs().join(name)).unwrap_or_default()
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }
}
