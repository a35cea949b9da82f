//! Runs a [`Core`]: turns links, requests, timers and finished work into events, and performs the effects in order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::archive::Archive;
use super::checkpoint_store::CheckpointStore;
use super::core::{self, Core};
use super::error::{Error, Refused};
use super::event::Event;
use super::handle::{About, Handle, REQUESTS_LEN_MAX, Request};
use super::links::{LinkInput, Links};
use super::preparation::{Preparation, blocking};
use super::resource_manager::{Application, Events as ResourceManagerEvents, News, ResourceManager, TaskManagers};
use super::shutdown::Ending;
use super::store::Store;
use super::succession::Succession;
use crate::engine::checkpoint::Storages;
use crate::ids::JobId;
use crate::protocol::application_master::{Registered, ToApplicationMaster};
use crate::protocol::job::JobSubmission;
use crate::rpc::ClusterSecret;
use crate::rpc::link::{LinkEvent, LinkOptions};
use crate::storage::{Leader, Leaders};
use crate::time::{Clock, Now};

mod effects;
mod ending;

/// Beside an application's jobs: where its attempts say where they are.
const LEADERS_DIR: &str = "leaders";

/// What a JobManager runs with. Made by [`super::Setup`].
#[derive(Debug)]
pub(super) struct Config {
    pub(super) core: core::Settings,
    /// Present in a container.
    pub(super) application: Option<Application>,
    /// The one job of per-job mode; the JobManager ends with it.
    pub(super) job: Option<JobSubmission>,
    /// Records of jobs go below it.
    pub(super) storage_dir: PathBuf,
    pub(super) storages: Storages,
    /// Where ended jobs are kept for later, if anybody looks there.
    pub(super) archive: Option<Archive>,
    pub(super) preparation: PreparationConfig,
    /// What TaskManagers must show.
    pub(super) task_manager_secret: Option<ClusterSecret>,
    /// Given to TaskManagers.
    pub(super) submitted_configuration: BTreeMap<String, String>,
    pub(super) heartbeat: Duration,
    pub(super) frozen_after: Duration,
    pub(super) about: About,
    pub(super) clock: Arc<dyn Clock>,
}

/// How jobs are prepared.
#[derive(Debug)]
pub(super) struct PreparationConfig {
    pub(super) programs: super::programs::Programs,
    pub(super) planner: super::planning::Planner,
}

/// A JobManager that is ready to run.
pub struct Service {
    core: Core,
    clock: Arc<dyn Clock>,
    job: Option<JobSubmission>,
    per_job: bool,
    /// A session's later attempt goes on with what an earlier one has left. A standalone JobManager does not: nothing tells it from
    /// another one that works in the same directory.
    resumes: bool,
    /// Of its HTTP server.
    url: String,
    preparation: Preparation,
    store: Store,
    checkpoints: CheckpointStore,
    archive: Option<Archive>,
    /// Archives that are being written: the JobManager stays for them.
    archiving: JoinSet<()>,
    task_managers: TaskManagers,
    links: Links,
    resource_manager: Option<(ResourceManager, ResourceManagerEvents)>,
    requests: mpsc::Receiver<Request>,
    /// Preparations and launches; an error ends the JobManager.
    children: JoinSet<Result<Option<Event>, Error>>,
    preparations: BTreeMap<JobId, AbortHandle>,
    wakes: BTreeSet<Now>,
    watchers: Vec<(JobId, u64, oneshot::Sender<()>)>,
    /// Jobs of which something still runs.
    open: BTreeSet<JobId>,
    ending: Ending,
    /// Whether jobs are cancelled by the end of this process: what they have stored may be gone on from.
    stopping: bool,
    /// Whether the ResourceManager has it on its disk that the application has ended: there will be no other attempt.
    unregistered: bool,
}

/// Something to react to.
enum Input {
    Cancelled,
    Link(LinkInput),
    ResourceManager(LinkEvent<Registered, ToApplicationMaster>),
    Child(Result<Option<Event>, Error>),
    Archived,
    Timer,
    Request(Request),
}

impl Service {
    /// Must be called within a tokio runtime: links are accepted from now on and wait.
    pub(super) fn new(config: Config) -> (Self, Handle) {
        let (sender, requests) = mpsc::channel(REQUESTS_LEN_MAX);
        let options = LinkOptions {
            heartbeat: config.heartbeat,
            frozen_after: config.frozen_after,
            ..LinkOptions::new("JobManager")
        };
        let secret = config.core.secret.clone();
        let succession = Succession::new(config.storage_dir.clone(), config.core.attempt);
        let checkpoints = CheckpointStore::new(succession.clone(), config.storages);
        let leaders = Leaders::new(config.storage_dir.join(LEADERS_DIR));
        let store = Store::new(config.storage_dir, succession);
        let configuration = config.about.configuration.clone();
        let PreparationConfig { programs, planner } = config.preparation;
        let task_managers = TaskManagers {
            job_manager: config.core.job_manager.clone(),
            leaders,
            secret: secret.clone(),
            slots: config.core.containers.as_ref().map_or(1, |shape| shape.slots),
            configuration: config.submitted_configuration,
            program: config.job.as_ref().map(|job| job.program.clone()),
            tls: config.about.credentials.tls.clone(),
        };
        let lost_after = config.core.lost_after;
        let mut links = Links::new(&options, lost_after, config.task_manager_secret, secret, config.core.attempt);
        let resource_manager =
            config.application.as_ref().zip(config.core.containers.clone()).map(|(application, shape)| {
                let (tasks, cancel) = links.tasks();
                let manner = (&config.about.credentials.tls, options.clone());
                ResourceManager::open(tasks, application, &config.core.job_manager, shape, manner, cancel)
            });
        let url = config.about.url();
        let preparation =
            Preparation { store: store.clone(), checkpoints: checkpoints.clone(), programs, planner, configuration };
        let handle = Handle { requests: sender, about: Arc::new(config.about), preparation: preparation.clone() };
        let service = Self {
            core: Core::new(config.core),
            clock: config.clock,
            per_job: config.job.is_some(),
            resumes: config.application.is_some(),
            url,
            job: config.job,
            preparation,
            store,
            checkpoints,
            archive: config.archive,
            archiving: JoinSet::new(),
            task_managers,
            links,
            resource_manager,
            requests,
            children: JoinSet::new(),
            preparations: BTreeMap::new(),
            wakes: BTreeSet::new(),
            watchers: Vec::new(),
            open: BTreeSet::new(),
            ending: Ending::No,
            stopping: false,
            unregistered: false,
        };
        (service, handle)
    }

    /// The routes that TaskManagers and workers open their links at; mount them in the HTTP server.
    pub fn links(&self) -> Router {
        self.links.router()
    }

    /// Runs until the job has ended (per-job mode), somebody shuts it down, or `cancel`. Then all jobs have been cancelled and
    /// their workers told to exit.
    ///
    /// # Errors
    /// [`Error::Storage`] if records cannot be written, [`Error::Fenced`] if the ResourceManager has ended this attempt.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<(), Error> {
        match self.job.take() {
            Some(submission) => {
                self.submit(submission).await?.map_err(|refused| Error::Setup(refused.to_string()))?;
            }
            None if self.resumes => self.resume().await?,
            None => {}
        }
        let outcome = loop {
            if let Some(outcome) = self.ending.outcome(self.clock.now()) {
                break outcome;
            }
            let input = self.next(&cancel).await;
            if let Err(error) = self.handle(input).await {
                break Err(error);
            }
        };
        self.wind_up().await;
        outcome
    }

    /// Goes on with the jobs of an earlier attempt, before anybody can ask for them.
    async fn resume(&mut self) -> Result<(), Error> {
        let store = self.store.clone();
        for mut submission in blocking(move || store.unfinished()).await? {
            submission.program.serve_from(&self.url);
            let job = submission.job;
            if let Err(refused) = self.submit(submission).await? {
                warn!(%job, %refused, "a job of the JobManager before this one is not resumed");
            }
        }
        Ok(())
    }

    async fn next(&mut self, cancel: &CancellationToken) -> Input {
        let now = self.clock.now();
        let wake = self.wakes.first().copied().into_iter().chain(self.ending.deadline()).min();
        let timer = async {
            match wake {
                Some(at) => tokio::time::sleep(at.since(now)).await,
                None => std::future::pending().await,
            }
        };
        let resource_manager = async {
            match &mut self.resource_manager {
                Some((_, events)) => match events.next().await {
                    Some(event) => event,
                    None => std::future::pending().await, // Its last event has been seen.
                },
                None => std::future::pending().await,
            }
        };
        let heeded = self.ending.heeds_stop();
        tokio::select! {
            biased;
            () = cancel.cancelled(), if heeded => Input::Cancelled,
            event = resource_manager => Input::ResourceManager(event),
            input = self.links.next() => Input::Link(input),
            Some(done) = self.children.join_next() => Input::Child(match done {
                Ok(done) => done,
                Err(error) if error.is_cancelled() => Ok(None), // A preparation that was aborted.
                Err(error) => Err(Error::Setup(format!("a task of the JobManager panicked: {error}"))),
            }),
            Some(_) = self.archiving.join_next() => Input::Archived,
            () = timer => Input::Timer,
            Some(request) = self.requests.recv() => Input::Request(request),
        }
    }

    async fn handle(&mut self, input: Input) -> Result<(), Error> {
        match input {
            // A container that is stopped says nothing about its application: the next attempt goes on with the job.
            Input::Cancelled if self.resource_manager.is_some() => {
                self.ending.fenced("its container is being stopped".to_owned(), self.clock.now());
                self.cancel_all().await?;
                self.finish_if_drained();
                Ok(())
            }
            Input::Cancelled => self.begin_end("the JobManager is stopped").await,
            Input::Link(input) => match self.links.admit(input, &self.core) {
                Some(event) => self.event(event).await,
                None => Ok(()),
            },
            Input::ResourceManager(event) => self.resource_manager_news(event).await,
            Input::Child(done) => match done? {
                Some(event) => self.event(event).await,
                None => Ok(()),
            },
            Input::Archived => Ok(()),
            Input::Timer => {
                let now = self.clock.now();
                self.wakes.retain(|at| *at > now);
                self.event(Event::Wake).await?;
                self.finish_if_drained();
                Ok(())
            }
            Input::Request(request) => self.request(request).await,
        }
    }

    /// An event of a peer. One that makes no sense is the peer's mistake; the JobManager lives on.
    async fn event(&mut self, event: Event) -> Result<(), Error> {
        if let Err(refused) = self.apply(event).await? {
            warn!(%refused, "event refused");
        }
        Ok(())
    }

    async fn apply(&mut self, event: Event) -> Result<Result<(), Refused>, Error> {
        let mut effects = Vec::new();
        let refused = self.core.apply(event, self.clock.now(), &mut effects);
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            self.perform(effect).await?;
        }
        self.answer_watchers();
        Ok(refused)
    }

    async fn submit(&mut self, submission: JobSubmission) -> Result<Result<(), Refused>, Error> {
        let job = submission.job;
        info!(%job, program = %submission.program.name, "job submitted");
        let taken = self.apply(Event::Submitted(Box::new(submission))).await?;
        if taken.is_ok() {
            self.open.insert(job);
        }
        Ok(taken)
    }

    async fn request(&mut self, request: Request) -> Result<(), Error> {
        // Who asked may have gone; then nobody is told.
        match request {
            // What becomes of its jobs here is not what becomes of them: the ResourceManager knows where to ask.
            Request::View(_) | Request::Watch { .. } if self.ending.is_fenced() => {}
            Request::Submit(_, reply) if self.ending.begun() => drop(reply.send(Err(Refused::ShuttingDown))),
            Request::Submit(submission, reply) => drop(reply.send(self.submit(*submission).await?)),
            Request::Cancel(job, reply) => drop(reply.send(self.apply(Event::Cancel { job }).await?)),
            Request::Trigger(job, trigger, reply) => {
                drop(reply.send(self.apply(Event::Trigger { job, trigger }).await?))
            }
            Request::Rescale(job, requirements, reply) => {
                drop(reply.send(self.apply(Event::Rescale { job, requirements }).await?))
            }
            Request::Stop(job, reply) => drop(reply.send(self.apply(Event::Stop { job }).await?)),
            Request::View(look) => look(&self.core, self.clock.now()),
            Request::Watch { job, since, reply } => {
                self.watchers.push((job, since, reply));
                self.answer_watchers();
            }
            Request::Shutdown { why, reply } => {
                let _ = reply.send(());
                self.begin_end(&why).await?;
            }
        }
        Ok(())
    }

    fn answer_watchers(&mut self) {
        if self.ending.is_fenced() {
            return self.watchers.clear();
        }
        let core = &self.core;
        let news = |job: JobId, since: u64| core.job(job).is_none_or(|job| job.version() > since);
        for (job, since, reply) in std::mem::take(&mut self.watchers) {
            if news(job, since) {
                let _ = reply.send(()); // Who watched may have gone.
            } else if !reply.is_closed() {
                self.watchers.push((job, since, reply));
            }
        }
    }

    async fn resource_manager_news(&mut self, event: LinkEvent<Registered, ToApplicationMaster>) -> Result<(), Error> {
        let Some((resource_manager, _)) = &mut self.resource_manager else {
            return Ok(());
        };
        for news in resource_manager.news(event) {
            match news {
                News::Core(event) => self.event(*event).await?,
                News::Leads => self.lead().await,
                News::Unregistered => {
                    self.ending.unregistered();
                    self.unregistered = true;
                }
                News::Stop(why) => self.begin_end(&why).await?,
                News::Shutdown(why) => {
                    info!(%why, "the ResourceManager ends this attempt");
                    self.ending.fenced(why, self.clock.now());
                    self.cancel_all().await?;
                    self.finish_if_drained();
                }
            }
        }
        Ok(())
    }

    /// Lets the TaskManagers of an attempt before know where this one is.
    async fn lead(&self) {
        let (attempt, address) = (self.core.settings().attempt, self.core.settings().job_manager.clone());
        if attempt == 1 {
            return; // There is none before.
        }
        let (leaders, leader) = (self.task_managers.leaders.clone(), Leader { attempt, address });
        if let Err(error) = blocking(move || leaders.publish(&leader).map_err(Error::Storage)).await {
            warn!(%error, "TaskManagers of the attempt before do not find this one, and are replaced");
        }
    }
}
