//! Given state, when event, then exactly these effects. The store here is a map that the harness flushes when told.

mod applications;
mod commands;
mod conservation;
mod diagnosis;
mod exclusion;
mod nodes;
mod preemption;
mod queues;
mod restart;

use std::collections::BTreeMap;
use std::time::Duration;

use super::Core;
use crate::ids::{ApplicationAttemptId, ApplicationId, ContainerId, NodeId};
use crate::protocol::application_master::{
    ANY, AllocateRequest, AllocateResponse, FinalStatus, Finish, Register as RegisterMaster, ResourceRequest,
    ToApplicationMaster,
};
use crate::protocol::container::{ContainerState, ContainerStatus, Exit, ExitCause, LaunchContext};
use crate::protocol::node::{Platform, Register as RegisterNode, ToNode, ToResourceManager};
use crate::protocol::submission::{ApplicationState, Submission};
use crate::resource::Resource;
use crate::resourcemanager::error::Refused;
use crate::resourcemanager::event::{Answer, Effect, Event, Registering};
use crate::resourcemanager::record::{Cluster, Key, Record};
use crate::resourcemanager::settings::Settings;
use crate::time::Now;

pub(super) const IDENTITY: u64 = 1_760_000_000_000;

/// A core with a store, and everything it said.
pub(super) struct Rm {
    pub(super) core: Core,
    pub(super) now: Now,
    pub(super) store: BTreeMap<String, Record>,
    /// Effects in order, Persist ones performed already (unless `slow_store`).
    pub(super) said: Vec<Effect>,
    pub(super) slow_store: bool,
    held: Vec<(u64, Key, Option<Box<Record>>)>,
    requests: u64,
}

pub(super) fn settings() -> Settings {
    Settings { master_share_percent: 100, ..Settings::new("rm:8088") }
}

impl Rm {
    pub(super) fn new() -> Self {
        Self::with(settings())
    }

    pub(super) fn with(settings: Settings) -> Self {
        Self::on(BTreeMap::new(), settings, Now(IDENTITY))
    }

    /// A ResourceManager started on what another one stored.
    pub(super) fn on(store: BTreeMap<String, Record>, settings: Settings, now: Now) -> Self {
        let genesis = Cluster {
            identity: IDENTITY,
            epoch: 0,
            last_sequence: 0,
            token_key: "0b".repeat(32),
            master_key: "0c".repeat(32),
        };
        let core = Core::new(settings, genesis).unwrap();
        let mut rm = Self { core, now, store, said: Vec::new(), slow_store: false, held: Vec::new(), requests: 0 };
        let records = rm.store.values().cloned().collect();
        rm.apply(Event::Recover(records));
        rm
    }

    pub(super) fn try_apply(&mut self, event: Event) -> Result<(), crate::resourcemanager::Illegal> {
        let mut out = Vec::new();
        let result = self.core.apply(event, self.now, &mut out);
        for effect in out {
            match effect {
                Effect::Persist { ticket, key, record } => self.held.push((ticket, key, record)),
                other => self.said.push(other),
            }
        }
        if !self.slow_store {
            self.flush();
        }
        result
    }

    pub(super) fn apply(&mut self, event: Event) {
        self.try_apply(event).unwrap();
    }

    /// Makes what is held durable, one by one.
    pub(super) fn flush(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let (ticket, key, record) = self.held.remove(0);
        match record {
            Some(record) => self.store.insert(key.to_string(), *record),
            None => self.store.remove(&key.to_string()),
        };
        self.try_apply(Event::Persisted(ticket)).unwrap();
        self.flush();
    }

    pub(super) fn request(&mut self, event: impl FnOnce(u64) -> Event) -> Result<Answer, Refused> {
        self.requests += 1;
        let request = self.requests;
        self.apply(event(request));
        let answer = self.said.iter().find_map(|effect| match effect {
            Effect::Answer { request: of, answer } if *of == request => Some((**answer).clone()),
            _ => None,
        });
        answer.unwrap_or_else(|| panic!("request {request} was not answered"))
    }

    pub(super) fn advance(&mut self, step: Duration) {
        self.now = self.now + step;
        self.apply(Event::Wake);
    }

    pub(super) fn node(&mut self, host: &str, memory_mb: u64) -> NodeId {
        let id = NodeId::new(host, 8042);
        self.request(|request| node_hello(request, &id, memory_mb, Vec::new())).unwrap();
        id
    }

    pub(super) fn submit(&mut self, change: impl FnOnce(&mut Submission)) -> ApplicationId {
        let Ok(Answer::NewApplication { application, .. }) = self.request(|request| Event::NewApplication { request })
        else {
            panic!("an id")
        };
        let mut submission = submission(application);
        change(&mut submission);
        let submission = Box::new(submission);
        self.request(|request| Event::Submit { request, submission }).unwrap();
        application
    }

    /// Submits, launches and registers: the master's container on the node that was told to start it.
    pub(super) fn running(&mut self, change: impl FnOnce(&mut Submission)) -> (ApplicationAttemptId, ContainerId) {
        let application = self.submit(change);
        let attempt = application.attempt(1);
        let container = self.launch(attempt);
        self.register(attempt);
        (attempt, container)
    }

    /// The node of the attempt's master reports it running.
    pub(super) fn launch(&mut self, attempt: ApplicationAttemptId) -> ContainerId {
        let master = self.core.attempts[&attempt].master.clone().expect("the master has a container");
        self.report(&master.node, master.container, ContainerState::Running, None);
        master.container
    }

    pub(super) fn register(&mut self, attempt: ApplicationAttemptId) {
        self.master_hello(attempt, Registering::Link).unwrap();
    }

    pub(super) fn master_hello(&mut self, attempt: ApplicationAttemptId, by: Registering) -> Result<Answer, Refused> {
        let token = self.core.master_token(attempt);
        let register = Box::new(RegisterMaster {
            attempt,
            token,
            host: "n1".to_owned(),
            rpc_port: 0,
            tracking_url: "http://n1:4711".to_owned(),
        });
        self.request(|request| Event::MasterHello { request, register, by })
    }

    pub(super) fn report(&mut self, node: &NodeId, container: ContainerId, state: ContainerState, exit: Option<Exit>) {
        let resource = self.core.containers.get(&container).map(|c| c.resource.clone()).unwrap_or(mb(64));
        let status = ContainerStatus { container, state, resource, priority: 0, exit, stopping: false };
        let message = ToResourceManager::ContainersChanged { containers: vec![status] };
        self.apply(Event::NodeSays { node: node.clone(), message });
    }

    pub(super) fn exit(&mut self, container: ContainerId, cause: ExitCause) {
        let node = self.core.containers[&container].node.clone();
        let exit = Some(Exit { cause, diagnostics: "last words".to_owned() });
        self.report(&node, container, ContainerState::Complete, exit);
    }

    pub(super) fn ask(&mut self, attempt: ApplicationAttemptId, response_id: u64, asks: Vec<ResourceRequest>) {
        let allocate = Box::new(AllocateRequest { response_id, asks, ..AllocateRequest::default() });
        self.apply(Event::Allocate { request: None, attempt, allocate });
    }

    pub(super) fn finish(&mut self, attempt: ApplicationAttemptId) {
        let finish = Finish {
            final_status: FinalStatus::Succeeded,
            diagnostics: "done".to_owned(),
            tracking_url: String::new(),
        };
        self.apply(Event::Finish { request: None, attempt, finish });
    }

    /// What was sent to `node` since the last call of any of these, in words.
    pub(super) fn sent_to_node(&mut self, node: &NodeId) -> Vec<String> {
        let mut sent = Vec::new();
        self.said.retain(|effect| match effect {
            Effect::ToNode { node: to, message } if to == node => {
                sent.push(words(message));
                false
            }
            _ => true,
        });
        sent
    }

    /// What was sent to the master of `attempt` since the last call.
    pub(super) fn sent_to_master(&mut self, attempt: ApplicationAttemptId) -> Vec<ToApplicationMaster> {
        let mut sent = Vec::new();
        self.said.retain(|effect| match effect {
            Effect::ToMaster { attempt: to, message } if *to == attempt => {
                sent.push((**message).clone());
                false
            }
            _ => true,
        });
        sent
    }

    pub(super) fn responses(&mut self, attempt: ApplicationAttemptId) -> Vec<AllocateResponse> {
        let sent = self.sent_to_master(attempt).into_iter();
        sent.filter_map(|message| match message {
            ToApplicationMaster::Allocated(response) => Some(response),
            ToApplicationMaster::Unregistered | ToApplicationMaster::Shutdown { .. } => None,
        })
        .collect()
    }

    /// Asks for one container and returns it.
    pub(super) fn worker(&mut self, attempt: ApplicationAttemptId, memory_mb: u64) -> ContainerId {
        let last = self.core.attempts[&attempt].mailbox.last_id();
        self.ask(attempt, last, vec![wanted(memory_mb, 1)]);
        let responses = self.responses(attempt);
        let last = responses.last().expect("a response");
        last.allocated[0].container
    }

    pub(super) fn state(&self, application: ApplicationId) -> ApplicationState {
        self.core.application(application, self.now).unwrap().state
    }

    pub(super) fn internal_state(&self, application: ApplicationId) -> String {
        self.core.application(application, self.now).unwrap().internal_state
    }

    pub(super) fn waiting_reason(&self, application: ApplicationId) -> String {
        self.core.application(application, self.now).unwrap().waiting_reason.unwrap_or_default()
    }
}

fn words(message: &ToNode) -> String {
    let ids = |containers: &[ContainerId]| containers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    match message {
        ToNode::StartContainer(start) => {
            let claim: crate::protocol::tokens::ContainerTokenIdentifier =
                serde_json::from_slice(&start.token.identifier).unwrap();
            format!("start {}", claim.container)
        }
        ToNode::StopContainers { containers, cause } => format!("stop {}: {cause}", ids(containers)),
        ToNode::ApplicationsFinished { applications } => format!("finished {}", applications[0]),
        ToNode::CompletionsAcknowledged { containers } => format!("forget {}", ids(containers)),
        ToNode::Shutdown { why } => format!("shut down: {why}"),
    }
}

pub(super) fn mb(memory_mb: u64) -> Resource {
    Resource::new(memory_mb, 1)
}

pub(super) fn wanted(memory_mb: u64, count: u32) -> ResourceRequest {
    ResourceRequest {
        priority: 1,
        allocation_request_id: 0,
        resource_name: ANY.to_owned(),
        capability: mb(memory_mb),
        count,
        relax_locality: true,
        node_label: None,
    }
}

pub(super) fn submission(application: ApplicationId) -> Submission {
    Submission {
        application,
        name: "word count".to_owned(),
        queue: "default".to_owned(),
        user: "alice".to_owned(),
        application_type: "FLOTT".to_owned(),
        tags: Vec::new(),
        priority: 0,
        master: LaunchContext { commands: vec!["true".to_owned()], ..LaunchContext::default() },
        resource: mb(256),
        max_attempts: None,
        attempt_failures_validity_ms: None,
        keep_containers_across_attempts: false,
        lifetime_ms: None,
        is_command: false,
    }
}

pub(super) fn node_hello(request: u64, id: &NodeId, memory_mb: u64, containers: Vec<ContainerStatus>) -> Event {
    let register = Box::new(RegisterNode {
        node: id.clone(),
        http_address: id.to_string(),
        capability: Resource::new(memory_mb, 8),
        rack: None,
        label: None,
        incarnation: 1,
        containers,
        applications: Vec::new(),
        platform: Platform::default(),
        secret: None,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    });
    Event::NodeHello { request, register, resumed: false }
}
