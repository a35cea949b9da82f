//! The JobManager as an application master: registers, asks for containers, starts TaskManagers in them, finishes.

use std::collections::BTreeMap;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::containers::Shape;
use super::event::Event;
use crate::ids::{ApplicationAttemptId, ContainerId};
use crate::protocol::application_master::{
    ANY, AllocateRequest, AllocateResponse, Finish, PATH, Register, Registered, ResourceRequest, ToApplicationMaster,
    ToResourceManager,
};
use crate::protocol::container::{Allocation, LaunchContext};
use crate::protocol::job::Program;
use crate::protocol::node::{CONTAINERS_PATH, StartContainer, Started};
use crate::protocol::roles::{self, TaskManagerEnvironment};
use crate::resource::MemorySize;
use crate::rpc::http::Client;
use crate::rpc::link::{self, LinkEvent, LinkOptions, LinkReceiver, LinkSender, LinkTarget};
use crate::rpc::token::Token;
use crate::rpc::{ErrorKind, Tls};
use crate::storage::Leaders;

/// Priority of TaskManagers; the master itself is asked for with 0.
const TASK_MANAGER_PRIORITY: u32 = 1;

/// What this process was started as.
#[derive(Clone, Debug)]
pub(super) struct Application {
    /// Which attempt of which application.
    pub attempt: ApplicationAttemptId,
    /// Proof of it.
    pub token: Token,
    /// `host:port` of the ResourceManager.
    pub resource_manager: String,
}

/// What the ResourceManager's link brings.
#[derive(Debug)]
pub(super) enum News {
    /// For the core.
    Core(Box<Event>),
    /// This attempt is the current one.
    Leads,
    /// The finish is durable.
    Unregistered,
    /// Somebody wants the job ended in an orderly way.
    Stop(String),
    /// This attempt is over.
    Shutdown(String),
}

pub(super) type Events = LinkReceiver<Register, Registered, ToApplicationMaster>;

/// The link to the ResourceManager.
pub(super) struct ResourceManager {
    sender: LinkSender<ToResourceManager>,
    shape: Shape,
    last_response: u64,
    opened_before: bool,
    /// How the application ends, once that has been said; said again to a ResourceManager that does not know this link.
    goodbye: Option<Finish>,
}

impl ResourceManager {
    /// Registers at `job_manager` (`host:port`).
    pub(super) fn open(
        tasks: &mut JoinSet<()>,
        application: &Application,
        job_manager: &str,
        shape: Shape,
        (tls, options): (&Tls, LinkOptions),
        cancel: CancellationToken,
    ) -> (Self, Events) {
        let (host, port) = job_manager.rsplit_once(':').unwrap_or((job_manager, "0"));
        let hello = Register {
            attempt: application.attempt,
            token: application.token.clone(),
            host: host.to_owned(),
            rpc_port: port.parse().unwrap_or(0),
            tracking_url: format!("{}://{job_manager}", tls.scheme()),
        };
        let target = LinkTarget::new(application.resource_manager.as_str(), PATH).with_tls(tls);
        let (sender, receiver) = link::open(tasks, target, &hello, options, cancel);
        (Self { sender, shape, last_response: 0, opened_before: false, goodbye: None }, receiver)
    }

    pub(super) fn news(&mut self, event: LinkEvent<Registered, ToApplicationMaster>) -> Vec<News> {
        match event {
            LinkEvent::Opened { welcome, resumed } => self.opened(welcome, resumed),
            LinkEvent::Message(ToApplicationMaster::Allocated(response)) => self.allocated(response),
            LinkEvent::Message(ToApplicationMaster::Unregistered) => vec![News::Unregistered],
            LinkEvent::Message(ToApplicationMaster::Shutdown { why }) => vec![News::Shutdown(why)],
            LinkEvent::Broken { cause } => {
                warn!(%cause, "the link to the ResourceManager is broken; trying again");
                Vec::new()
            }
            LinkEvent::Refused(refusal) => vec![News::Shutdown(refusal.message)],
        }
    }

    fn opened(&mut self, welcome: Registered, resumed: bool) -> Vec<News> {
        debug!(epoch = welcome.epoch, resumed, queue = %welcome.queue, "registered at the ResourceManager");
        if resumed {
            return Vec::new();
        }
        self.last_response = 0;
        let mut news = Vec::new();
        if !welcome.containers_from_previous_attempts.is_empty() {
            let kept = Event::ContainersKept(welcome.containers_from_previous_attempts);
            news.push(News::Core(Box::new(kept)));
        }
        if !std::mem::replace(&mut self.opened_before, true) {
            news.push(News::Leads); // After it is known whom to wait for.
            return news;
        }
        // Said although there is nothing to say: a restarted ResourceManager sends no news before its master has spoken.
        self.allocate(AllocateRequest::default());
        if let Some(goodbye) = self.goodbye.clone() {
            self.send(ToResourceManager::Finish(goodbye));
        }
        news.push(News::Core(Box::new(Event::ResourceManagerForgot)));
        news
    }

    fn allocated(&mut self, response: AllocateResponse) -> Vec<News> {
        if response.response_id <= self.last_response {
            return Vec::new(); // Repeated: our acknowledgement crossed it.
        }
        self.last_response = response.response_id;
        self.allocate(AllocateRequest::default());
        let stop = response.stop_requested.clone().map(News::Stop);
        let mut news = vec![News::Core(Box::new(Event::Allocated(Box::new(response))))];
        news.extend(stop);
        news
    }

    fn allocate(&self, request: AllocateRequest) {
        self.send(ToResourceManager::Allocate(AllocateRequest { response_id: self.last_response, ..request }));
    }

    fn send(&self, message: ToResourceManager) {
        if let Err(error) = self.sender.send(message) {
            warn!(%error, "message to the ResourceManager not sent");
        }
    }

    pub(super) fn ask(&self, count: u32) {
        let ask = ResourceRequest {
            priority: TASK_MANAGER_PRIORITY,
            allocation_request_id: 0,
            resource_name: ANY.to_owned(),
            capability: self.shape.capability.clone(),
            count,
            relax_locality: true,
            node_label: None,
        };
        self.allocate(AllocateRequest { asks: vec![ask], ..AllocateRequest::default() });
    }

    pub(super) fn release(&self, container: ContainerId) {
        self.allocate(AllocateRequest { releases: vec![container], ..AllocateRequest::default() });
    }

    pub(super) fn finish(&mut self, finish: Finish) {
        self.goodbye = Some(finish.clone());
        self.send(ToResourceManager::Finish(finish));
    }
}

/// What every TaskManager of an application is started with.
#[derive(Clone, Debug)]
pub(super) struct TaskManagers {
    pub(super) job_manager: String,
    /// Where they find the next attempt of this JobManager.
    pub(super) leaders: Leaders,
    pub(super) secret: String,
    pub(super) slots: u32,
    pub(super) configuration: BTreeMap<String, String>,
    /// Placed beside each by its node, so that workers start without a download.
    pub(super) program: Option<Program>,
    /// How nodes are talked to.
    pub(super) tls: Tls,
}

impl TaskManagers {
    /// Starts one in a granted container; a failure becomes an event.
    pub(super) async fn launch(self, allocation: Allocation) -> Option<Event> {
        let container = allocation.container;
        let node = allocation.node_http_address.clone();
        let context = self.context(&allocation);
        let request = StartContainer { token: allocation.token, context };
        // A node that has just come back grants containers before it starts any.
        match Client::new(&node).with_tls(&self.tls).post_when_ready::<_, Started>(CONTAINERS_PATH, &request).await {
            Ok(Started { container }) => {
                debug!(%container, node = %allocation.node, "TaskManager container started");
                None
            }
            Err(error) => {
                let refused = error.kind() == ErrorKind::Permanent;
                Some(Event::LaunchFailed { container, why: error.to_string(), refused })
            }
        }
    }

    fn context(&self, allocation: &Allocation) -> LaunchContext {
        let environment = TaskManagerEnvironment {
            container: allocation.container,
            job_manager: self.job_manager.clone(),
            leaders: Some(self.leaders.dir().to_owned()),
            secret: self.secret.clone(),
            slots: self.slots,
            memory: MemorySize::from_mebibytes(allocation.resource.memory_mb),
            configuration: self.configuration.clone(),
        };
        let json = serde_json::to_string(&environment).expect("ids, strings and numbers are JSON");
        let command =
            format!("{{{{{}}}}} taskmanager 1><LOG_DIR>/taskmanager.out 2><LOG_DIR>/taskmanager.err", roles::FLOTT_BIN);
        LaunchContext {
            resources: self.program.as_ref().map(Program::localised).unwrap_or_default(),
            environment: [(roles::TASK_MANAGER.to_owned(), json)].into(),
            commands: vec![command],
            tokens: BTreeMap::new(),
        }
    }
}
