//! A JobManager as an application master: what it says on its link to the ResourceManager.

use super::Bug;
use super::messages::{Hello, LinkEvent, Message, Welcome};
use super::network::LinkId;
use super::resource_manager;
use super::world::{Pid, World};
use crate::ids::{ApplicationAttemptId, ContainerId};
use crate::jobmanager::containers::Shape;
use crate::jobmanager::event::Event;
use crate::protocol::application_master::{
    ANY, AllocateRequest, AllocateResponse, Finish, Register, ResourceRequest, ToApplicationMaster, ToResourceManager,
};
use crate::protocol::container::{Allocation, LaunchContext, LocalResource, Visibility};
use crate::protocol::job::JobSubmission;
use crate::protocol::roles::{self, TaskManagerEnvironment};
use crate::resource::MemorySize;
use crate::rpc::token::Token;

/// The link, as `jobmanager::resource_manager` keeps it.
pub(super) struct MasterLink {
    hello: Register,
    shape: Shape,
    link: Option<LinkId>,
    last_response: u64,
    opened_before: bool,
    goodbye: Option<Finish>,
}

/// What the link brings.
pub(super) enum News {
    Core(Box<Event>),
    Leads,
    Unregistered,
    Stop(String),
    Shutdown(String),
}

impl MasterLink {
    pub(super) fn new(attempt: ApplicationAttemptId, token: Token, shape: Shape, address: &str) -> Self {
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "0"));
        let hello = Register {
            attempt,
            token,
            host: host.to_owned(),
            rpc_port: port.parse().unwrap_or(0),
            tracking_url: format!("http://{address}"),
        };
        Self { hello, shape, link: None, last_response: 0, opened_before: false, goodbye: None }
    }

    pub(super) fn open(&mut self, me: Pid, host: &str, world: &mut World) {
        let hello = Hello::Master(self.hello.clone());
        self.link = Some(world.open_link(me, host, resource_manager::ADDRESS, hello, None));
    }

    pub(super) fn is(&self, link: LinkId) -> bool {
        self.link == Some(link)
    }

    pub(super) fn close(&self, me: Pid, world: &mut World) {
        if let Some(link) = self.link {
            world.say_goodbye(me, link);
        }
    }

    pub(super) fn news(&mut self, event: LinkEvent, me: Pid, world: &mut World) -> Vec<News> {
        match event {
            LinkEvent::Opened { welcome, resumed } => {
                let Welcome::Master(welcome) = *welcome else { return Vec::new() };
                if resumed {
                    return Vec::new();
                }
                self.last_response = 0;
                let kept = welcome.containers_from_previous_attempts;
                let kept = (!kept.is_empty()).then(|| News::Core(Box::new(Event::ContainersKept(kept))));
                if !std::mem::replace(&mut self.opened_before, true) {
                    return kept.into_iter().chain([News::Leads]).collect();
                }
                self.allocate(AllocateRequest::default(), me, world);
                if let Some(goodbye) = self.goodbye.clone() {
                    self.send(ToResourceManager::Finish(goodbye), me, world);
                }
                kept.into_iter().chain([News::Core(Box::new(Event::ResourceManagerForgot))]).collect()
            }
            LinkEvent::Message(message) => match *message {
                Message::ToMaster(ToApplicationMaster::Allocated(response)) => self.allocated(response, me, world),
                Message::ToMaster(ToApplicationMaster::Unregistered) => vec![News::Unregistered],
                Message::ToMaster(ToApplicationMaster::Shutdown { why }) => vec![News::Shutdown(why)],
                _ => Vec::new(),
            },
            LinkEvent::Refused(code) => vec![News::Shutdown(code.to_owned())],
            LinkEvent::Broken { .. } | LinkEvent::Hello { .. } => Vec::new(),
        }
    }

    fn allocated(&mut self, mut response: AllocateResponse, me: Pid, world: &mut World) -> Vec<News> {
        if response.response_id <= self.last_response {
            return Vec::new(); // Repeated: our acknowledgement crossed it.
        }
        self.last_response = response.response_id;
        if world.planted == Some(Bug::LostNodeIsNotTold) {
            response.updated_nodes.clear();
        }
        self.allocate(AllocateRequest::default(), me, world);
        let stop = response.stop_requested.clone().map(News::Stop);
        let mut news = vec![News::Core(Box::new(Event::Allocated(Box::new(response))))];
        news.extend(stop);
        news
    }

    fn allocate(&self, request: AllocateRequest, me: Pid, world: &mut World) {
        let request = AllocateRequest { response_id: self.last_response, ..request };
        self.send(ToResourceManager::Allocate(request), me, world);
    }

    fn send(&self, message: ToResourceManager, me: Pid, world: &mut World) {
        if let Some(link) = self.link {
            world.send(me, link, message);
        }
    }

    pub(super) fn ask(&self, count: u32, me: Pid, world: &mut World) {
        let ask = ResourceRequest {
            priority: 1,
            allocation_request_id: 0,
            resource_name: ANY.to_owned(),
            capability: self.shape.capability.clone(),
            count,
            relax_locality: true,
            node_label: None,
        };
        self.allocate(AllocateRequest { asks: vec![ask], ..AllocateRequest::default() }, me, world);
    }

    pub(super) fn release(&self, container: ContainerId, me: Pid, world: &mut World) {
        self.allocate(AllocateRequest { releases: vec![container], ..AllocateRequest::default() }, me, world);
    }

    pub(super) fn finish(&mut self, finish: Finish, me: Pid, world: &mut World) {
        self.goodbye = Some(finish.clone());
        self.send(ToResourceManager::Finish(finish), me, world);
    }
}

/// What a TaskManager is launched with in a granted container.
pub(super) fn task_manager_context(
    allocation: &Allocation,
    job_manager: &str,
    secret: &str,
    submission: &JobSubmission,
) -> LaunchContext {
    let environment = TaskManagerEnvironment {
        container: allocation.container,
        job_manager: job_manager.to_owned(),
        leaders: Some("leaders".into()),
        secret: secret.to_owned(),
        slots: allocation.resource.vcores,
        memory: MemorySize::from_mebibytes(allocation.resource.memory_mb),
        configuration: submission.configuration.clone(),
    };
    let json = serde_json::to_string(&environment).expect("ids, strings and numbers are JSON");
    let executable = LocalResource { visibility: Visibility::Public, ..submission.program.executable.clone() };
    let place = executable.sha256.clone().map(|hash| format!("{}/{hash}", roles::PROGRAMS_DIR));
    LaunchContext {
        resources: place.map(|place| (place, executable)).into_iter().collect(),
        environment: [(roles::TASK_MANAGER.to_owned(), json)].into(),
        commands: vec!["flott taskmanager".to_owned()],
        tokens: std::collections::BTreeMap::new(),
    }
}
