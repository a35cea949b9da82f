//! The loop of a TaskManager: performs effects, in order, and turns what comes of them into events.

mod leader_retrieval;
mod link;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use self::leader_retrieval::LeaderRetrieval;
use self::link::{JobManagerLink, Seen};
pub use self::settings::{Settings, Timing};
use super::core::{Core, Effect, Event, Policy};
use super::directories::Directories;
use super::error::Error;
use super::handle::{Handle, REQUESTS_LEN_MAX, Request};
use super::output::Outputs;
use super::prepare::Preparer;
use super::supervise::{spawn, supervise};
use super::work_dir::WorkDir;
use crate::ids::{JobId, WorkerId};
use crate::process::{Child, Fetcher, Identity, Platform, Signal, Table, signal_group, signal_tree};
use crate::protocol::task_manager::StartWorker;
use crate::rpc::{ClusterSecret, Credentials, io_cause};
use crate::storage::{Leader, Leaders};
use crate::time::{Clock, Now};

/// A TaskManager that is ready to [`Service::run`].
pub struct Service {
    settings: Settings,
    clock: Arc<dyn Clock>,
    core: Core,
    effects: Vec<Effect>,
    directories: Directories,
    preparer: Preparer,
    outputs: Outputs,
    requests: mpsc::Receiver<Request>,
    children: JoinSet<Done>,
    /// What is being made ready, or is ready to be started.
    starting: BTreeMap<WorkerId, Starting>,
    wakes: BTreeSet<Now>,
    measuring: bool,
    /// Absent where no later attempt of the JobManager says where it is.
    retrieval: Option<LeaderRetrieval>,
    refused: Option<Error>,
    exit: bool,
    /// Standalone; in a container it is the node's. Removed last.
    _work_dir: Option<WorkDir>,
}

struct Starting {
    start: Arc<StartWorker>,
    preparation: Option<AbortHandle>,
}

/// What came of work beside the loop.
enum Done {
    Event(Event),
    Spawned(WorkerId, Result<Box<Child>, String>),
    Measured(Vec<(WorkerId, u64)>),
    Looked(Option<Leader>),
    Nothing,
}

/// Makes a TaskManager. Blocking: reads the disk.
///
/// # Errors
/// [`Error::Directory`] if its directories cannot be used.
pub fn start(settings: Settings, clock: Arc<dyn Clock>) -> Result<(Service, Handle), Error> {
    let directories = Directories {
        work: settings.work_dir.clone(),
        logs: settings.log_dir.clone(),
        programs: settings.programs_dir.clone(),
    };
    let unusable = |path: &std::path::Path| {
        let path = path.to_owned();
        move |source| Error::Directory { path, source }
    };
    let standalone = settings.container.is_none();
    let work_dir = standalone.then(|| WorkDir::hold(&directories.work)).transpose();
    let work_dir = work_dir.map_err(unusable(&directories.work))?;
    fs::create_dir_all(directories.workers()).map_err(unusable(&directories.work))?;
    let outputs = Outputs::open(directories.clone()).map_err(unusable(&directories.logs))?;
    let preparer = Preparer {
        directories: directories.clone(),
        fetcher: fetcher(&settings),
        platform: Platform::local(),
        host: settings.host.clone(),
    };
    let policy = Policy {
        slots: settings.slots,
        home: settings.home(),
        link_grace: settings.timing.link_grace,
        kill_grace: settings.timing.kill_grace,
    };
    let retrieval = settings.leaders.clone().map(|dir| LeaderRetrieval::new(Leaders::new(dir)));
    let mut effects = Vec::new();
    let core = Core::new(policy, clock.now(), &mut effects);
    let (sender, requests) = mpsc::channel(REQUESTS_LEN_MAX);
    let handle = Handle { id: settings.id.clone(), logs: directories.logs.clone(), requests: sender };
    let service = Service {
        settings,
        clock,
        core,
        effects,
        directories,
        preparer,
        outputs,
        requests,
        children: JoinSet::new(),
        starting: BTreeMap::new(),
        wakes: BTreeSet::new(),
        measuring: false,
        retrieval,
        refused: None,
        exit: false,
        _work_dir: work_dir,
    };
    Ok((service, handle))
}

/// Trusts the JobManager with what programs are fetched with.
fn fetcher(settings: &Settings) -> Fetcher {
    let secret = settings.secret.as_deref().and_then(ClusterSecret::new);
    let credentials = Credentials { secret, token: None, tls: settings.tls.clone() };
    Fetcher::new(&settings.job_manager, &credentials)
}

impl Service {
    /// Runs until `cancel`, or until the JobManager wants it to leave or is gone for good. Its workers have ended then.
    ///
    /// # Errors
    /// [`Error::Refused`] by the JobManager.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<(), Error> {
        let mut links = JoinSet::new();
        let stop_link = CancellationToken::new();
        let mut link = JobManagerLink::open(&mut links, &self, stop_link.child_token());
        let mut memory = tokio::time::interval(self.settings.timing.memory_interval);
        memory.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut asked = false;
        loop {
            for effect in std::mem::take(&mut self.effects) {
                match effect {
                    Effect::Follow(leader) => link = self.follow(leader, &mut links, &stop_link),
                    effect => self.effect(effect, &link),
                }
            }
            if !self.effects.is_empty() {
                continue;
            }
            link.show(&self);
            if self.exit {
                break;
            }
            let wake = self.wakes.first().copied();
            let (left_behind_by, now) = (self.core.left_behind_by(), self.clock.now());
            let look = self.retrieval.as_mut().and_then(|retrieval| retrieval.due(left_behind_by.is_some(), now));
            tokio::select! {
                biased;
                () = cancel.cancelled(), if !asked => {
                    asked = true;
                    self.apply(Event::Leave { why: "the TaskManager is being stopped".to_owned() });
                }
                () = until(wake, &self.clock) => self.wake(),
                () = until(look, &self.clock) => self.look_for_leader(),
                Some(done) = self.children.join_next() => self.done(done),
                seen = link.next() => self.link_said(seen),
                _ = memory.tick(), if !self.measuring => self.measure(),
                Some(request) = self.requests.recv() => self.request(request),
            }
        }
        stop_link.cancel();
        while links.join_next().await.is_some() {}
        drop(link);
        // What is left deletes directories; the node does that too.
        let _ =
            tokio::time::timeout(Duration::from_secs(1), async { while self.children.join_next().await.is_some() {} })
                .await;
        self.refused.map_or(Ok(()), Err)
    }

    fn apply(&mut self, event: Event) {
        if let Err(illegal) = self.core.apply(event, self.clock.now(), &mut self.effects) {
            tracing::warn!(task_manager = %self.settings.id, %illegal, "ignored");
        }
    }

    fn look_for_leader(&mut self) {
        if let (Some(retrieval), Some(known)) = (&mut self.retrieval, self.core.left_behind_by()) {
            let look = retrieval.look(known);
            self.children.spawn_blocking(move || Done::Looked(look()));
        }
    }

    /// Goes over to a later attempt of the JobManager; nothing of the one before is heard from now on, as its link is dropped.
    fn follow(&mut self, leader: Leader, links: &mut JoinSet<()>, stop: &CancellationToken) -> JobManagerLink {
        tracing::info!(attempt = leader.attempt, address = leader.address, "following the next JobManager");
        self.settings.job_manager = leader.address;
        self.preparer.fetcher = fetcher(&self.settings);
        JobManagerLink::open(links, self, stop.child_token())
    }

    fn wake(&mut self) {
        let now = self.clock.now();
        self.wakes.retain(|at| *at > now);
        self.apply(Event::Wake);
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Workers(answer) => {
                // Who asked may have gone.
                let _ = answer.send(self.core.views());
            }
        }
    }

    fn link_said(&mut self, seen: Seen) {
        match seen {
            Seen::Event(event) => self.apply(event),
            Seen::Refused(error) => {
                let why = error.to_string();
                self.refused.get_or_insert(error);
                self.apply(Event::Leave { why });
            }
            Seen::Nothing => {}
        }
    }

    fn effect(&mut self, effect: Effect, link: &JobManagerLink) {
        match effect {
            Effect::Prepare(start) => self.prepare(start),
            Effect::AbandonPreparation(worker) => {
                if let Some(Starting { preparation: Some(preparation), .. }) = self.starting.remove(&worker) {
                    preparation.abort();
                }
            }
            Effect::Spawn(worker) => self.spawn(worker),
            Effect::Signal { worker, process, signal } => self.signal(worker, process, signal),
            Effect::Report(message) => link.report(message),
            Effect::Follow(_) => {} // The loop's, which holds the link.
            Effect::RemoveWorker(worker) => self.remove(&worker),
            Effect::ReleaseJob(job) => self.release(job),
            Effect::WakeAt(at) => {
                self.wakes.insert(at);
            }
            Effect::Exit => self.exit = true,
        }
    }

    fn prepare(&mut self, start: Box<StartWorker>) {
        let start: Arc<StartWorker> = Arc::from(start);
        let (preparer, of) = (self.preparer.clone(), Arc::clone(&start));
        let preparation = self.children.spawn(async move {
            let outcome = preparer.prepare(&of).await.map_err(|cause| cause.to_string());
            Done::Event(Event::Prepared { worker: of.worker.clone(), outcome })
        });
        let worker = start.worker.clone();
        self.starting.insert(worker, Starting { start, preparation: Some(preparation) });
    }

    fn spawn(&mut self, worker: WorkerId) {
        let Some(Starting { start, .. }) = self.starting.remove(&worker) else {
            return self.apply(Event::SpawnFailed { worker, why: "nothing was prepared".to_owned() });
        };
        let (directories, host) = (self.directories.clone(), self.settings.host.clone());
        let (tls, s3) = (self.settings.tls.clone(), self.settings.s3.clone());
        self.children.spawn_blocking(move || {
            Done::Spawned(worker, spawn(&start, &directories, &host, tls.files(), &s3).map(Box::new))
        });
    }

    fn signal(&mut self, worker: WorkerId, process: Identity, signal: Signal) {
        self.children.spawn_blocking(move || {
            let sent = match signal {
                Signal::Kill => signal_tree(process, signal).map(drop),
                Signal::Terminate | Signal::Quit => signal_group(process, signal),
            };
            if let Err(error) = sent {
                tracing::error!(%worker, ?signal, cause = io_cause(&error), "cannot signal the worker's processes");
            }
            Done::Nothing
        });
    }

    fn remove(&mut self, worker: &WorkerId) {
        self.starting.remove(worker);
        let path = self.directories.worker(worker);
        self.children.spawn_blocking(move || {
            if let Err(error) = fs::remove_dir_all(&path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), cause = io_cause(&error), "cannot remove a worker's directory");
            }
            Done::Nothing
        });
    }

    fn release(&mut self, job: JobId) {
        tracing::info!(%job, "job ended");
        let running: Vec<JobId> = self.core.worker_ids().iter().map(|worker| worker.job).collect();
        let outputs = self.outputs.clone();
        self.children.spawn_blocking(move || {
            outputs.prune(&running);
            Done::Nothing
        });
    }

    fn measure(&mut self) {
        let processes = self.core.processes();
        if processes.is_empty() {
            return;
        }
        self.measuring = true;
        self.children.spawn_blocking(move || match Table::read() {
            Ok(table) => {
                let usage = |(worker, process): (WorkerId, Identity)| (worker, table.usage(process.pid).rss_bytes);
                Done::Measured(processes.into_iter().map(usage).collect())
            }
            Err(error) => {
                tracing::error!(cause = io_cause(&error), "cannot measure the workers");
                Done::Measured(Vec::new())
            }
        });
    }

    fn done(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(Done::Event(event)) => {
                if let Event::Exited { worker, ended, .. } = &event {
                    tracing::info!(%worker, %ended, "worker ended");
                }
                self.apply(event);
            }
            Ok(Done::Spawned(worker, Ok(child))) => {
                let process = child.identity();
                tracing::info!(%worker, pid = process.pid, "worker started");
                let (outputs, of) = (self.outputs.clone(), worker.clone());
                self.children.spawn(async move { Done::Event(supervise(of, *child, outputs).await) });
                self.apply(Event::Spawned { worker, process });
            }
            Ok(Done::Spawned(worker, Err(why))) => self.apply(Event::SpawnFailed { worker, why }),
            Ok(Done::Measured(measured)) => {
                self.measuring = false;
                for (worker, rss_bytes) in measured {
                    self.apply(Event::Measured { worker, rss_bytes });
                }
            }
            Ok(Done::Looked(leader)) => {
                let now = self.clock.now();
                if let Some(retrieval) = &mut self.retrieval {
                    retrieval.looked(now);
                }
                leader.into_iter().for_each(|leader| self.apply(Event::LeaderFound(leader)));
            }
            Ok(Done::Nothing) => {}
            Err(error) if error.is_cancelled() => {}
            Err(error) => tracing::error!(task_manager = %self.settings.id, %error, "work of the TaskManager panicked"),
        }
    }
}

async fn until(at: Option<Now>, clock: &Arc<dyn Clock>) {
    match at {
        Some(at) => tokio::time::sleep(at.since(clock.now())).await,
        None => std::future::pending().await,
    }
}
