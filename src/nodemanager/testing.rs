//! A real NodeManager on a directory of its own with a ResourceManager that only listens and says what a test wants.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Error, Handle, Timing, start};
use crate::config::{Configuration, NodeManagerConfig};
use crate::ids::{ApplicationId, ContainerId};
use crate::protocol::container::{ContainerState, ContainerStatus, Exit, LaunchContext};
use crate::protocol::node::{PATH, Register, Registered, StartContainer, ToNode, ToResourceManager};
use crate::protocol::tokens::{CONTAINER_TOKEN, ContainerTokenIdentifier};
use crate::resource::Resource;
use crate::rpc::http::Server;
use crate::rpc::link::{LinkOptions, LinkSender, PeerEvent, PeerEvents, acceptor};
use crate::rpc::token::{SigningKey, Token};
use crate::time::{Deadline, Now, SystemClock};

const PORT: u16 = 4242;
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

thread_local! {
    /// One a test: containers are found by their ids, and tests run side by side on one machine.
    static RM: u64 = 1_000_000_000_000 + fastrand::u64(..1_000_000_000_000);
}

fn resource_manager() -> u64 {
    RM.with(|id| *id)
}

type Events = PeerEvents<Register, Registered, ToResourceManager, ToNode>;

pub(crate) struct Cluster {
    pub(crate) handle: Option<Handle>,
    pub(crate) registrations: Vec<Register>,
    pub(crate) statuses: BTreeMap<ContainerId, ContainerStatus>,
    pub(crate) unregistered: bool,
    key: SigningKey,
    config: NodeManagerConfig,
    events: Events,
    sender: Option<LinkSender<ToNode>>,
    node: JoinSet<Result<(), Error>>,
    cancel: CancellationToken,
    resource_manager: JoinSet<()>,
    /// Removed last: what still runs writes into it.
    pub(crate) dir: tempfile::TempDir,
}

pub(crate) fn application() -> ApplicationId {
    ApplicationId { cluster_timestamp: resource_manager(), sequence: 1 }
}

pub(crate) fn container(count: u64) -> ContainerId {
    ContainerId::new(application().attempt(1), 0, count)
}

pub(crate) fn shell(script: &str) -> LaunchContext {
    let commands = vec![format!("{{ {script}; }}"), "1><LOG_DIR>/stdout".to_owned(), "2><LOG_DIR>/stderr".to_owned()];
    LaunchContext { commands, ..LaunchContext::default() }
}

/// A ResourceManager that takes links on `port`.
fn listen(port: u16) -> (JoinSet<()>, Events, String) {
    let mut tasks = JoinSet::new();
    let forever = CancellationToken::new();
    let (links, events) = acceptor(&mut tasks, LinkOptions::new("ResourceManager"), forever.clone());
    let server = Server::bind("127.0.0.1", port).unwrap();
    let address = server.local_addr().to_string();
    let router = Router::new().route(PATH, links.route());
    tasks.spawn(async move { server.serve(router, forever).await.unwrap() });
    (tasks, events, address)
}

impl Cluster {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (resource_manager, events, address) = listen(0);
        let mut config = NodeManagerConfig::from_configuration(&Configuration::new()).unwrap();
        config.resource_manager = address;
        config.dir = dir.path().join("nm");
        config.container_logs_dir = Some(dir.path().join("collected"));
        let mut cluster = Self {
            dir,
            handle: None,
            registrations: Vec::new(),
            statuses: BTreeMap::new(),
            unregistered: false,
            key: SigningKey::generate().unwrap(),
            config,
            events,
            sender: None,
            node: JoinSet::new(),
            cancel: CancellationToken::new(),
            resource_manager,
        };
        cluster.start_node().await;
        cluster
    }

    pub(crate) async fn start_node(&mut self) {
        let timing = Timing { memory_interval: Duration::from_millis(20), ..Timing::default() };
        let clock = SystemClock::shared();
        let flott = PathBuf::from("/usr/bin/flott");
        let (service, handle) = start(self.config.clone(), PORT, flott, timing, clock).unwrap();
        self.cancel = CancellationToken::new();
        self.node.spawn(service.run(self.cancel.clone()));
        self.handle = Some(handle);
        let before = self.registrations.len();
        self.until(|cluster| cluster.registrations.len() > before).await;
        while !self.handle().view().await.unwrap().connected {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn kill_resource_manager(&mut self) {
        self.resource_manager.shutdown().await;
        self.sender = None;
    }

    /// A new one on the same address, which knows nothing of what was.
    pub(crate) async fn start_resource_manager(&mut self) {
        let port = self.config.resource_manager.rsplit_once(':').unwrap().1.parse().unwrap();
        self.statuses.clear();
        (self.resource_manager, self.events, _) = listen(port);
        let before = self.registrations.len();
        self.until(|cluster| cluster.registrations.len() > before).await;
    }

    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone().unwrap()
    }

    /// As `kill -9` would: nothing is said, nothing is stopped.
    pub(crate) async fn crash_node(&mut self) {
        self.handle = None;
        self.node.shutdown().await;
    }

    pub(crate) async fn stop_node(&mut self) -> Result<(), Error> {
        self.cancel.cancel();
        let outcome = self.node.join_next().await.unwrap().unwrap();
        self.until(|cluster| cluster.unregistered).await;
        outcome
    }

    /// Waits for a NodeManager that ends by itself.
    pub(crate) async fn ended(&mut self) -> Result<(), Error> {
        tokio::time::timeout(PATIENCE, self.node.join_next()).await.unwrap().unwrap().unwrap()
    }

    pub(crate) fn token(&self, count: u64, memory_mb: u64) -> Token {
        let identifier = ContainerTokenIdentifier {
            container: container(count),
            node: crate::ids::NodeId::new("127.0.0.1", PORT),
            user: "alice".to_owned(),
            resource: Resource::new(memory_mb, 1),
            priority: 0,
            expires_at: Now(u64::MAX),
            resource_manager: resource_manager(),
        };
        self.key.sign(CONTAINER_TOKEN, "n1", &serde_json::to_vec(&identifier).unwrap())
    }

    pub(crate) fn request(&self, count: u64, context: LaunchContext) -> StartContainer {
        StartContainer { token: self.token(count, 512), context }
    }

    /// As the ResourceManager starts a master: by link.
    pub(crate) fn start(&self, count: u64, context: LaunchContext) {
        self.say(ToNode::StartContainer(self.request(count, context)));
    }

    pub(crate) fn say(&self, message: ToNode) {
        self.sender.as_ref().unwrap().send(message).unwrap();
    }

    pub(crate) async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let deadline = Deadline::after(PATIENCE);
        while !done(self) {
            let event = tokio::time::timeout(deadline.remaining(), self.events.recv()).await;
            self.heard(event.unwrap_or_else(|_| panic!("in vain: {:?}", self.statuses)).unwrap());
        }
    }

    /// Waits for something that is not told by link.
    pub(crate) async fn poll(&mut self, done: impl Fn(&Self) -> bool) {
        let deadline = Deadline::after(PATIENCE);
        while !done(self) {
            assert!(!deadline.passed(), "in vain: {:?}", self.statuses);
            tokio::task::yield_now().await;
        }
    }

    fn heard(&mut self, event: PeerEvent<Register, Registered, ToResourceManager, ToNode>) {
        match event {
            PeerEvent::Hello { hello, answer, .. } => {
                self.registrations.push(hello);
                let registered = Registered {
                    resource_manager: resource_manager(),
                    epoch: 0,
                    container_token_key: self.key.to_hex(),
                    expiry_ms: 15_000,
                };
                self.sender = Some(answer.accept(registered));
            }
            PeerEvent::Message { message: ToResourceManager::ContainersChanged { containers }, .. } => {
                self.statuses.extend(containers.into_iter().map(|status| (status.container, status)));
            }
            PeerEvent::Message { message: ToResourceManager::Unregister, .. } => self.unregistered = true,
            PeerEvent::Message { .. } | PeerEvent::Broken { .. } => {}
        }
    }

    pub(crate) async fn running(&mut self, count: u64) {
        let state = |cluster: &Self| cluster.statuses.get(&container(count)).map(|status| status.state);
        self.until(|cluster| state(cluster) == Some(ContainerState::Running)).await;
    }

    pub(crate) async fn exit(&mut self, count: u64) -> Exit {
        self.until(|cluster| cluster.exit_of(count).is_some()).await;
        self.exit_of(count).unwrap()
    }

    fn exit_of(&self, count: u64) -> Option<Exit> {
        self.statuses.get(&container(count))?.exit.clone()
    }

    pub(crate) fn log(&self, count: u64, name: &str) -> String {
        let directory = super::Directories::new(self.config.dir.clone()).logs_of(container(count));
        std::fs::read_to_string(directory.join(name)).unwrap_or_default()
    }

    pub(crate) fn directories(&self) -> super::Directories {
        super::Directories::new(self.config.dir.clone())
    }
}
