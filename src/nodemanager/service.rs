//! The loop of a NodeManager: performs effects, in order, and turns what comes of them into events.

mod effects;
mod link;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use self::effects::{Done, Step};
use self::link::{ResourceManagerLink, Seen};
use super::admission::Registration;
use super::container::Found;
use super::core::{Core, Event, Policy, RequestId};
use super::directories::{self, Directories};
use super::error::{Error, Refused};
use super::handle::{Handle, NodeView, REQUESTS_LEN_MAX, Request};
use super::launch::Launcher;
use super::localise::Localiser;
use super::recovery;
use super::resources::ResourceKey;
use super::supervise::Watched;
use crate::config::NodeManagerConfig;
use crate::ids::{ContainerId, NodeId};
use crate::process::Platform;
use crate::protocol::roles::SecurityEnvironment;
use crate::resource::Resource;
use crate::rpc::Credentials;
use crate::storage::ContainerLogs;
use crate::storage::meta::{MetaWriter, Outcome};
use crate::time::{Clock, Now};

/// Between sweeps of old logs and of the cache. YARN's interval for the latter.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// What is fixed for users and turned by tests.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Between asking a container to end and killing it. YARN's 250 ms.
    pub kill_grace: Duration,
    /// Between looks at what containers use.
    pub memory_interval: Duration,
    /// Between looks at the disk.
    pub disk_interval: Duration,
    /// Between reports of what is used, if it changed.
    pub utilization_interval: Duration,
    /// How long logs of finished applications are kept. YARN's `log.retain-seconds`.
    pub log_retain: Duration,
    /// How long an orderly stop may take.
    pub drain_max: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            kill_grace: Duration::from_millis(250),
            memory_interval: Duration::from_millis(250),
            disk_interval: Duration::from_secs(10),
            utilization_interval: Duration::from_secs(3),
            log_retain: Duration::from_secs(10_800),
            drain_max: Duration::from_secs(8),
        }
    }
}

/// A NodeManager that has recovered its state and is ready to [`Service::run`].
pub struct Service {
    config: NodeManagerConfig,
    timing: Timing,
    clock: Arc<dyn Clock>,
    node: NodeId,
    core: Core,
    launcher: Launcher,
    localiser: Localiser,
    /// Where what containers wrote is collected, if it is.
    collected: Option<ContainerLogs>,
    platform: Platform,
    incarnation: u64,
    started_at: Now,
    requests: mpsc::Receiver<Request>,
    /// What is to be done, in order.
    steps: VecDeque<Step>,
    writer: MetaWriter<()>,
    /// Completions of the writer. One batch is under way at a time, so there is always room.
    written: mpsc::Receiver<Outcome>,
    /// Whether a batch is under way: nothing behind it may leave.
    writing: bool,
    answers: BTreeMap<RequestId, oneshot::Sender<Result<Vec<ContainerId>, Refused>>>,
    requests_total: u64,
    children: JoinSet<Done>,
    downloads: BTreeMap<ResourceKey, AbortHandle>,
    wakes: BTreeSet<Now>,
    health: Health,
    measuring: bool,
    reported_mb: Option<(u64, u64)>,
    /// Set once the link is closed or refused and this NodeManager has to end.
    ending: Option<Ending>,
    /// When the orderly end is given up.
    give_up_at: Option<Now>,
    drained: bool,
}

struct Health {
    report: String,
    checked_at: Now,
    /// What the ResourceManager was told; absent after a fresh registration.
    told: Option<String>,
}

/// Why the NodeManager ends.
#[derive(Debug)]
enum Ending {
    Asked,
    Refused(Error),
}

/// Makes a NodeManager out of what it was told and what an earlier one left in its directory. `port` is the one it is reached at
/// (the configured one may be 0); `flott` is the binary that containers run. Blocking: reads the disk.
///
/// # Errors
/// [`Error`] if its directory cannot be used.
pub fn start(
    config: NodeManagerConfig,
    port: u16,
    flott: PathBuf,
    timing: Timing,
    clock: Arc<dyn Clock>,
) -> Result<(Service, Handle), Error> {
    let directories = Directories::new(config.dir.clone());
    let unusable = |source| Error::Directory { path: config.dir.clone(), source };
    directories::create(directories.root()).map_err(unusable)?;
    directories::create_private(&directories.root().join("private")).map_err(unusable)?;
    let recovered = recovery::recover(&directories)?;
    let node = NodeId::new(config.host.clone(), port);
    let (completed, written) = mpsc::channel(1);
    let complete = move |(), outcome| {
        // Nobody listens any more only when the service has ended.
        let _ = completed.blocking_send(outcome);
    };
    let writer = MetaWriter::start(recovered.store, complete).map_err(|error| Error::State(error.to_string()))?;
    let (sender, requests) = mpsc::channel(REQUESTS_LEN_MAX);
    let scheme = config.security.tls.scheme();
    let handle = Handle { requests: sender, directories: directories.clone(), node: node.clone(), scheme };
    let now = clock.now();
    let credentials = Credentials { secret: config.secret.clone(), token: None, tls: config.security.tls.clone() };
    let mut service = Service {
        core: Core::new(node.clone(), Policy { kill_grace: timing.kill_grace }),
        launcher: Launcher {
            node: node.clone(),
            directories: directories.clone(),
            flott,
            security: SecurityEnvironment::of(&config.security),
            env_whitelist: config.env_whitelist.clone(),
        },
        localiser: Localiser::new(directories.clone(), &config.resource_manager, &credentials),
        collected: config.container_logs_dir.clone().map(ContainerLogs::new),
        platform: Platform::local(),
        incarnation: recovered.incarnation,
        started_at: now,
        requests,
        steps: VecDeque::new(),
        writer,
        written,
        writing: false,
        answers: BTreeMap::new(),
        requests_total: 0,
        children: JoinSet::new(),
        downloads: BTreeMap::new(),
        wakes: BTreeSet::new(),
        health: Health { report: String::new(), checked_at: now, told: None },
        measuring: false,
        reported_mb: None,
        ending: None,
        give_up_at: None,
        drained: false,
        config,
        timing,
        clock,
        node,
    };
    service.take_over(recovered.containers, directories.applications(), now);
    Ok((service, handle))
}

impl Service {
    /// Runs until `cancel`, which stops the containers first, or until the ResourceManager does not want this node.
    ///
    /// # Errors
    /// [`Error::Refused`] by the ResourceManager; [`Error::State`] if a record could not be written.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<(), Error> {
        let mut links = JoinSet::new();
        let stop_link = CancellationToken::new();
        let mut link = ResourceManagerLink::open(&mut links, &self, stop_link.clone());
        let adopted: Vec<_> = self.core.processes();
        for (container, process) in adopted {
            self.supervise(container, Watched::Adopted(process));
        }
        let mut memory = interval(self.timing.memory_interval);
        let mut disk = interval(self.timing.disk_interval);
        let mut unused = interval(SWEEP_INTERVAL);
        let mut utilization = interval(self.timing.utilization_interval);
        let outcome = loop {
            if let Err(error) = self.perform(&link) {
                break Err(error);
            }
            link.show(&self);
            self.tell_health(&link);
            if self.drained && self.steps.is_empty() && !self.writing {
                break Ok(());
            }
            let wake = self.next_wake();
            tokio::select! {
                biased;
                () = cancel.cancelled(), if self.ending.is_none() => self.end(Ending::Asked, "the node is being stopped"),
                () = until(wake, &self.clock) => self.wake(),
                Some(outcome) = self.written.recv() => if let Err(error) = outcome {
                    break Err(Error::State(error.to_string()));
                } else {
                    self.writing = false;
                },
                Some(done) = self.children.join_next() => self.done(done),
                seen = link.next() => self.link_said(seen, &link),
                _ = memory.tick(), if !self.measuring => self.measure(),
                _ = unused.tick() => self.sweep(),
                _ = disk.tick() => self.check_disk(),
                _ = utilization.tick(), if link.is_open() => self.report_utilization(&link),
                Some(request) = self.requests.recv() => self.request(request),
            }
        };
        self.leave(outcome, link, links, stop_link).await
    }

    /// Hands what was found to the core. Effects follow when the service runs.
    fn take_over(
        &mut self,
        containers: Vec<(super::container::ContainerRecord, Found)>,
        applications: Vec<(crate::ids::ApplicationId, String)>,
        now: Now,
    ) {
        if !containers.is_empty() {
            let alive = containers.iter().filter(|(_, found)| matches!(found, Found::Alive(_))).count();
            tracing::info!(node = %self.node, records = containers.len(), alive, "containers of an earlier NodeManager taken over");
        }
        let mut effects = Vec::new();
        self.core.recover(containers, applications, now, &mut effects);
        self.steps.extend(effects.into_iter().map(Step::Effect));
    }

    fn apply(&mut self, event: Event) {
        let mut effects = Vec::new();
        if let Err(illegal) = self.core.apply(event, self.clock.now(), &mut effects) {
            tracing::warn!(node = %self.node, %illegal, "ignored");
        }
        self.steps.extend(effects.into_iter().map(Step::Effect));
    }

    fn end(&mut self, ending: Ending, why: &str) {
        tracing::info!(node = %self.node, why, "the NodeManager stops");
        self.ending = Some(ending);
        let give_up_at = self.clock.now() + self.timing.drain_max;
        self.give_up_at = Some(give_up_at);
        self.wakes.insert(give_up_at);
        self.apply(Event::Drain { why: why.to_owned() });
    }

    fn next_wake(&self) -> Option<Now> {
        self.wakes.first().copied()
    }

    fn wake(&mut self) {
        let now = self.clock.now();
        self.wakes.retain(|at| *at > now);
        self.apply(Event::Wake);
        if self.give_up_at.is_some_and(|at| now >= at) {
            tracing::error!(node = %self.node, left = self.core.processes().len(), "containers do not end; left alone");
            self.drained = true;
        }
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Start(start, answer) => {
                let request = Some(self.expect_answer(answer));
                self.apply(Event::Start { request, start });
            }
            Request::Stop(stop, answer) => {
                let request = self.expect_answer(answer);
                self.apply(Event::StopByMaster { request, tokens: stop.tokens });
            }
            Request::View(answer) => self.steps.push_back(Step::View(answer)),
        }
    }

    fn expect_answer(&mut self, answer: oneshot::Sender<Result<Vec<ContainerId>, Refused>>) -> RequestId {
        self.requests_total += 1;
        let request = RequestId(self.requests_total);
        self.answers.insert(request, answer);
        request
    }

    fn view(&self, connected: bool) -> NodeView {
        let (applications, containers) = self.core.views();
        NodeView {
            node: self.node.clone(),
            capability: self.capability(),
            started_at: self.started_at,
            incarnation: self.incarnation,
            health_report: self.health.report.clone(),
            health_checked_at: self.health.checked_at,
            connected,
            applications,
            containers,
        }
    }

    fn capability(&self) -> Resource {
        let named = self.config.resources.clone();
        Resource { named, ..Resource::new(self.config.memory.mebibytes(), self.config.vcores) }
    }

    fn link_said(&mut self, seen: Seen, link: &ResourceManagerLink) {
        match seen {
            Seen::Registered { registration, resumed } => self.registered(registration, resumed, link),
            Seen::Event(event) => self.apply(event),
            Seen::Unwanted(error, why) => {
                if self.ending.is_none() {
                    self.end(Ending::Refused(error), &why);
                }
            }
            Seen::Nothing => {}
        }
    }

    fn registered(&mut self, registration: Registration, resumed: bool, link: &ResourceManagerLink) {
        self.apply(Event::Registered(registration));
        if !resumed {
            // What changed while the registration was on its way, or was dropped with the former session.
            link.report(self.core.statuses());
            self.health.told = None;
            self.reported_mb = None;
            self.check_disk();
        }
    }
}

/// Ticks now and then; a late tick is not made up for.
fn interval(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}

async fn until(at: Option<Now>, clock: &Arc<dyn Clock>) {
    match at {
        Some(at) => tokio::time::sleep(at.since(clock.now())).await,
        None => std::future::pending().await,
    }
}
