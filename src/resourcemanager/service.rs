//! The ResourceManager's loop: the only interpreter of the core's effects.
//!
//! ```text
//! store ─ durable ─┐
//! timer ───────────┤                      ┌─ Persist ─► writer thread
//! node links ──────┼─► event ─► Core ─────┤
//! master links ────┤                      └─ the rest ─► outbound queue ─► links, answers
//! requests ────────┘                                     (stops at each Persist that is not durable yet)
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::configure;
use super::core::Core;
use super::error::{Error, Refused};
use super::event::{Answer, Effect, Event, Registering, RequestId};
use super::handle::{Handle, Reply, Request};
use super::outbound::{Outbound, Watch};
use super::peers::Peers;
use super::retention::{self, Retention};
use super::store;
use super::uploads::{self, Uploads};
use crate::config::ResourceManagerConfig;
use crate::ids::{ApplicationAttemptId, ApplicationId, NodeId};
use crate::protocol::application_master::{self as am, ToApplicationMaster};
use crate::protocol::node::{self, ToNode};
use crate::rpc::link::{Answer as LinkAnswer, LinkOptions, PeerEvent, PeerEvents, PeerId, Refusal, acceptor};
use crate::storage::BlobStore;
use crate::storage::meta::{MetaWriter, Operation, Outcome};
use crate::time::Clock;

/// Requests that wait. When full, who asks waits for a place.
const REQUESTS_LEN_MAX: usize = 1024;
/// Completions of the writer that wait; then the writer waits.
const DURABLE_LEN_MAX: usize = 4096;
/// Effects that wait for the store. Above, no new requests are taken.
const OUTBOUND_LEN_MAX: usize = 16_384;
/// How long links may take to close.
const DRAIN: std::time::Duration = std::time::Duration::from_secs(2);

type NodeEvents = PeerEvents<node::Register, node::Registered, node::ToResourceManager, ToNode>;
type MasterEvents = PeerEvents<am::Register, am::Registered, am::ToResourceManager, ToApplicationMaster>;
type NodeEvent = PeerEvent<node::Register, node::Registered, node::ToResourceManager, ToNode>;
type MasterEvent = PeerEvent<am::Register, am::Registered, am::ToResourceManager, ToApplicationMaster>;

/// A ResourceManager, recovered and ready to run.
pub struct Started {
    /// To be run.
    pub service: Service,
    /// To be handed to `rest::cluster`.
    pub handle: Handle,
    /// The links of nodes and masters, to be merged into the HTTP server's router.
    pub links: Router,
}

/// Opens the state directory and recovers what it holds. `address` is `host:port` that others reach the HTTP server at; links
/// begin to be served when [`Service::run`] is called. Must be called within a runtime.
///
/// # Errors
/// If the state cannot be read, is damaged, or is in use by another process.
pub fn start(config: &ResourceManagerConfig, address: &str, clock: Arc<dyn Clock>) -> Result<Started, Error> {
    let (meta, records) = store::open(&config.state_dir)?;
    let blobs = config.uploads_enabled.then(|| BlobStore::open(&config.state_dir.join("blobs"))).transpose()?;
    let blobs = blobs.map(|blobs| blobs.at_most(config.uploads_max.bytes()));
    let settings = configure::settings(config, address)?;
    let core = Core::new(settings, store::genesis(clock.now())?).expect("a key that was just made is a key");

    let (durable_sender, durable) = mpsc::channel(DURABLE_LEN_MAX);
    let complete = move |ticket: u64, outcome: Outcome| {
        // The loop has ended if nobody receives; then nothing waits for this.
        let _ = durable_sender.blocking_send((ticket, outcome));
    };
    let writer = MetaWriter::start(meta, complete)?;

    let (requests_sender, requests) = mpsc::channel(REQUESTS_LEN_MAX);
    let protection = (config.secret.clone(), config.security.clone());
    let uploads = blobs.clone().map(|blobs| Uploads { blobs, retention: config.uploads_retention });
    let retention = Retention::new(config);
    let handle = Handle::new(requests_sender, blobs, retention.clone(), protection, address, Arc::clone(&clock));
    let cancel = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let options = LinkOptions {
        heartbeat: config.heartbeat,
        frozen_after: config.frozen_after,
        session_kept: config.node_expiry.max(config.am_expiry) * 2,
        ..LinkOptions::new("ResourceManager")
    };
    let (node_links, nodes) = acceptor(&mut tasks, options.clone(), cancel.clone());
    let (master_links, masters) = acceptor(&mut tasks, options, cancel.clone());
    let links = Router::new().route(node::PATH, node_links.route()).route(am::PATH, master_links.route());

    let mut service = Service {
        core,
        clock,
        writer,
        durable,
        requests,
        nodes,
        masters,
        links: Links { nodes: Peers::new(), masters: Peers::new(), hellos: BTreeMap::new() },
        answers: BTreeMap::new(),
        pulls: BTreeMap::new(),
        outbound: Outbound::default(),
        last_request: 0,
        illegal: 0,
        uploads,
        retention,
        tasks,
        stop_links: cancel,
    };
    info!(records = records.len(), state_dir = %config.state_dir.display(), "state opened");
    service.apply(Event::Recover(records))?;
    info!(epoch = service.core.cluster().epoch, "recovered");
    Ok(Started { service, handle, links })
}

/// The loop. Ends by cancellation, or when the store fails.
pub struct Service {
    core: Core,
    clock: Arc<dyn Clock>,
    writer: MetaWriter<u64>,
    durable: mpsc::Receiver<(u64, Outcome)>,
    requests: mpsc::Receiver<Request>,
    nodes: NodeEvents,
    masters: MasterEvents,
    links: Links,
    answers: BTreeMap<RequestId, oneshot::Sender<Result<Answer, Refused>>>,
    /// Masters that speak HTTP and wait for news; one request each.
    pulls: BTreeMap<ApplicationAttemptId, Pull>,
    outbound: Outbound,
    last_request: RequestId,
    illegal: u64,
    /// Absent where uploads are switched off.
    uploads: Option<Uploads>,
    retention: Retention,
    tasks: JoinSet<()>,
    stop_links: CancellationToken,
}

struct Links {
    nodes: Peers<NodeId, ToNode>,
    masters: Peers<ApplicationAttemptId, ToApplicationMaster>,
    /// Hellos whose answer is on its way through the outbound queue.
    hellos: BTreeMap<RequestId, Hello>,
}

enum Hello {
    Node(PeerId, LinkAnswer<node::Registered, ToNode>),
    Master(PeerId, LinkAnswer<am::Registered, ToApplicationMaster>),
}

struct Pull {
    request: RequestId,
    after_response: u64,
    answer: oneshot::Sender<Result<ToApplicationMaster, Refused>>,
}

impl Service {
    /// Runs until `cancel`. Nodes and masters are not told: they come back to whoever is started next.
    ///
    /// # Errors
    /// [`Error::Store`] when the store failed: what is durable is not known then.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<(), Error> {
        let outcome = self.serve(&cancel).await;
        self.stop_links.cancel();
        if timeout(DRAIN, async { while self.tasks.join_next().await.is_some() {} }).await.is_err() {
            warn!(tasks = self.tasks.len(), "links did not close in time");
            self.tasks.shutdown().await;
        }
        drop(self.durable);
        let writer = self.writer;
        let closed = tokio::task::spawn_blocking(move || writer.close()).await;
        match (outcome, closed) {
            (Ok(()), Ok(closed)) => Ok(closed?),
            (Err(error), _) => Err(error),
            (Ok(()), Err(_)) => Ok(()), // The runtime is shutting down; the store is closed when it is dropped.
        }
    }

    async fn serve(&mut self, cancel: &CancellationToken) -> Result<(), Error> {
        let mut sweep = tokio::time::interval(uploads::SWEEP_INTERVAL);
        let mut forget = tokio::time::interval(retention::SWEEP_INTERVAL);
        loop {
            let now = self.clock.now();
            let wake_after = self.core.next_wake().map(|at| at.since(now));
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(()),
                Some((ticket, outcome)) = self.durable.recv() => {
                    outcome.map_err(Error::Store)?;
                    self.apply(Event::Persisted(ticket))?;
                    self.outbound.durable(ticket);
                }
                () = sleep(wake_after.unwrap_or_default()), if wake_after.is_some() => self.apply(Event::Wake)?,
                _ = sweep.tick() => self.sweep_uploads(),
                _ = forget.tick() => self.sweep_history(),
                Some(event) = self.nodes.recv() => self.node_event(event)?,
                Some(event) = self.masters.recv() => self.master_event(event)?,
                Some(request) = self.requests.recv(), if self.outbound.len() < OUTBOUND_LEN_MAX => {
                    self.request(request)?;
                }
            }
            self.perform();
        }
    }

    fn sweep_uploads(&mut self) {
        if let Some(uploads) = self.uploads.clone() {
            let (used, now) = (self.core.blobs_in_use(), self.clock.now());
            self.tasks.spawn_blocking(move || uploads.sweep(&used, now));
        }
    }

    fn sweep_history(&mut self) {
        while self.tasks.try_join_next().is_some() {} // Former sweeps.
        let (retention, now) = (self.retention.clone(), self.clock.now());
        self.tasks.spawn_blocking(move || retention.sweep(now));
    }

    /// Feeds the core; sends what is to be stored on its way and queues the rest.
    fn apply(&mut self, event: Event) -> Result<(), Error> {
        let mut effects = Vec::new();
        let outcome = self.core.apply(event, self.clock.now(), &mut effects);
        for change in self.core.take_transitions() {
            info!(noun = change.noun, id = change.id, from = change.from, to = change.to, "state changed");
        }
        if let Err(illegal) = outcome {
            self.illegal += 1;
            debug!(%illegal, count = self.illegal, "an event was refused");
        }
        for effect in effects {
            match effect {
                Effect::Persist { ticket, key, record } => {
                    let operation = match record {
                        Some(record) => {
                            let json = serde_json::to_vec(&*record).expect("records are plain data with text keys");
                            Operation::put(key.to_string(), json)
                        }
                        None => Operation::delete(key.to_string()),
                    };
                    // What is behind this in the queue waits; what is stored after it may share its flush.
                    self.writer.submit(ticket, vec![operation])?;
                    self.outbound.barrier(ticket);
                }
                other => self.outbound.push(other),
            }
        }
        Ok(())
    }

    fn next_request(&mut self) -> RequestId {
        self.last_request += 1;
        self.last_request
    }

    fn request(&mut self, request: Request) -> Result<(), Error> {
        match request {
            Request::Core { event, answer } => {
                let request = self.next_request();
                self.answers.insert(request, answer);
                self.apply(event(request))
            }
            Request::Read(read) => {
                let reply = read(&self.core, self.clock.now());
                self.outbound.reply(reply);
                Ok(())
            }
            Request::Watch { application, since, answer } => {
                self.watch(application, since, answer);
                Ok(())
            }
            Request::Pull { attempt, event, after_response, answer } => {
                let request = self.next_request();
                self.pulls.insert(attempt, Pull { request, after_response, answer });
                self.apply(event(request))
            }
        }
    }

    /// Answers at once if there is something newer (or nothing to wait for); else remembers who waits.
    fn watch(
        &mut self,
        id: ApplicationId,
        since: u64,
        answer: oneshot::Sender<Option<super::report::ApplicationReport>>,
    ) {
        let version = self.core.application_version(id);
        if version.is_none_or(|version| version > since) {
            let report = self.core.application(id, self.clock.now());
            self.outbound.reply(Box::new(move || drop(answer.send(report))));
        } else {
            self.outbound.watch(id, Watch { since, answer });
        }
    }

    fn node_event(&mut self, event: NodeEvent) -> Result<(), Error> {
        match event {
            PeerEvent::Hello { peer, hello, resumed, answer } => {
                let request = self.next_request();
                self.links.nodes.enter(&hello.node, peer);
                self.links.hellos.insert(request, Hello::Node(peer, answer));
                self.apply(Event::NodeHello { request, register: Box::new(hello), resumed })
            }
            PeerEvent::Message { peer, message } => {
                let Some(node) = self.links.nodes.who(peer).cloned() else { return Ok(()) };
                self.apply(Event::NodeSays { node, message })
            }
            PeerEvent::Broken { peer, cause, resumable } => {
                let Some(node) = self.links.nodes.who(peer).cloned() else { return Ok(()) };
                info!(%node, cause, resumable, "node silent");
                if !resumable {
                    self.links.nodes.leave(peer);
                }
                self.apply(Event::NodeSilent { node })
            }
        }
    }

    fn master_event(&mut self, event: MasterEvent) -> Result<(), Error> {
        match event {
            PeerEvent::Hello { peer, hello, resumed, answer } => {
                let request = self.next_request();
                let by = if resumed { Registering::ResumedLink } else { Registering::Link };
                self.links.masters.enter(&hello.attempt, peer);
                self.links.hellos.insert(request, Hello::Master(peer, answer));
                self.apply(Event::MasterHello { request, register: Box::new(hello), by })
            }
            PeerEvent::Message { peer, message } => {
                let Some(attempt) = self.links.masters.who(peer).copied() else { return Ok(()) };
                self.apply(match message {
                    am::ToResourceManager::Allocate(allocate) => {
                        Event::Allocate { request: None, attempt, allocate: Box::new(allocate) }
                    }
                    am::ToResourceManager::Finish(finish) => Event::Finish { request: None, attempt, finish },
                })
            }
            PeerEvent::Broken { peer, cause, resumable } => {
                let Some(attempt) = self.links.masters.who(peer).copied() else { return Ok(()) };
                info!(%attempt, cause, resumable, "master silent");
                if !resumable {
                    self.links.masters.leave(peer);
                }
                self.apply(Event::MasterSilent { attempt })
            }
        }
    }

    /// Performs what no store holds back.
    fn perform(&mut self) {
        while let Some(next) = self.outbound.next() {
            match next {
                super::outbound::Ready::Reply(reply) => reply(),
                super::outbound::Ready::Effect(effect) => self.perform_one(effect),
            }
        }
    }

    fn perform_one(&mut self, effect: Effect) {
        match effect {
            Effect::Persist { .. } => {} // Went to the writer when it was decided.
            Effect::ToNode { node, message } => match self.links.nodes.sender(&node).map(|link| link.send(*message)) {
                Some(Ok(())) => {}
                // A node without a link registers again, and is then told what it must do.
                None => debug!(%node, "a message for a node without a link was dropped"),
                Some(Err(error)) => warn!(%node, %error, "a message for a node was dropped"),
            },
            Effect::ToMaster { attempt, message } => self.tell_master(attempt, *message),
            Effect::Answer { request, answer } => self.answer(request, *answer),
            Effect::ApplicationChanged { application, version } => {
                for watch in self.outbound.watchers(application, version) {
                    let report = self.core.application(application, self.clock.now());
                    let reply: Reply = Box::new(move || drop(watch.answer.send(report)));
                    // What it shows may be newer than what is durable.
                    self.outbound.reply(reply);
                }
            }
        }
    }

    fn tell_master(&mut self, attempt: ApplicationAttemptId, message: ToApplicationMaster) {
        if let Some(pull) = self.pulls.remove(&attempt) {
            let wanted = match &message {
                ToApplicationMaster::Allocated(response) => response.response_id > pull.after_response,
                ToApplicationMaster::Unregistered | ToApplicationMaster::Shutdown { .. } => true,
            };
            if wanted {
                // If nobody waits any more the master asks again and is told again.
                let _ = pull.answer.send(Ok(message));
            } else {
                self.pulls.insert(attempt, pull);
            }
            return;
        }
        if let Some(Err(error)) = self.links.masters.sender(&attempt).map(|link| link.send(message)) {
            warn!(%attempt, %error, "a message for a master was dropped; it is repeated when its link opens again");
        }
    }

    fn answer(&mut self, request: RequestId, answer: Result<Answer, Refused>) {
        if let Some(waiting) = self.answers.remove(&request) {
            // Who asked may have gone.
            let _ = waiting.send(answer);
            return;
        }
        let refusal = |refused: Refused| Refusal::new(refused.code.as_str(), refused.message);
        match (self.links.hellos.remove(&request), answer) {
            (Some(Hello::Node(peer, link)), Ok(Answer::NodeRegistered(welcome))) => {
                self.links.nodes.accept(peer, link, welcome);
            }
            (Some(Hello::Master(peer, link)), Ok(Answer::MasterRegistered(welcome))) => {
                self.links.masters.accept(peer, link, welcome);
            }
            (Some(Hello::Node(peer, link)), Err(refused)) => {
                warn!(%refused, "a node was refused");
                self.links.nodes.leave(peer);
                link.refuse(refusal(refused));
            }
            (Some(Hello::Master(peer, link)), Err(refused)) => {
                warn!(%refused, "a master was refused");
                self.links.masters.leave(peer);
                link.refuse(refusal(refused));
            }
            (None, Err(refused)) => {
                let of = self.pulls.iter().find(|(_, pull)| pull.request == request).map(|(attempt, _)| *attempt);
                if let Some(pull) = of.and_then(|attempt| self.pulls.remove(&attempt)) {
                    let _ = pull.answer.send(Err(refused));
                }
            }
            // A request by HTTP was taken; its news follow.
            (None, Ok(_)) => {}
            (Some(_), Ok(_)) => debug_assert!(false, "a hello is answered by a welcome"),
        }
    }
}
