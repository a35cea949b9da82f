//! A node: its NodeManager's core, its containers' processes, its directory.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::Bug;
use super::actors::{Actor, Done};
use super::job_manager::JobManager;
use super::messages::{Answer, Hello, LinkEvent, Message, Request, Welcome};
use super::network::{HttpId, LinkId};
use super::resource_manager;
use super::storage_faults::Volume;
use super::task_manager::TaskManager;
use super::world::{Input, Pid, Process, World};
use crate::ids::{ContainerId, NodeId};
use crate::nodemanager::{ContainerRecord, Core, Effect, Event, Found, Launch, Policy, Registration, RequestId};
use crate::process::Ended;
use crate::protocol::container::{ContainerState, Exit, ExitCause, LaunchContext};
use crate::protocol::node::{Platform, Register, ToNode, ToResourceManager};
use crate::protocol::roles;
use crate::resource::Resource;
use crate::rpc::token::SigningKey;

/// A NodeManager's process.
pub(super) struct NodeManager {
    host: String,
    node: NodeId,
    capability: Resource,
    incarnation: u64,
    core: Core,
    link: Option<LinkId>,
    pending: VecDeque<Effect>,
    writing: Vec<ContainerRecord>,
    flushing: bool,
    requests: BTreeMap<RequestId, HttpId>,
    last_request: u64,
    launching: BTreeMap<ContainerId, Launch>,
}

impl NodeManager {
    pub(super) fn new(host: &str, capability: Resource) -> Self {
        let node = NodeId::new(host, 8042);
        Self {
            host: host.to_owned(),
            core: Core::new(node.clone(), Policy { kill_grace: Duration::from_secs(2) }),
            node,
            capability,
            incarnation: 0,
            link: None,
            pending: VecDeque::new(),
            writing: Vec::new(),
            flushing: false,
            requests: BTreeMap::new(),
            last_request: 0,
            launching: BTreeMap::new(),
        }
    }

    fn address(&self) -> String {
        format!("{}:8042", self.host)
    }

    pub(super) fn start(&mut self, me: Pid, world: &mut World) {
        let address = self.address();
        world.net.listen(address, me);
        let disk = world.disks.node(&self.host);
        disk.incarnation += 1;
        self.incarnation = disk.incarnation;
        let applications = disk.applications.iter().map(|(id, user)| (*id, user.clone())).collect();
        let records: Vec<ContainerRecord> = disk.records.values().cloned().collect();
        let exits = disk.exits.clone();
        let forgets = world.planted == Some(Bug::NodeForgetsContainers);
        let found = records.into_iter().filter(|_| !forgets).map(|record| {
            let container = record.lease.container;
            let found = match world.leaders.get(&container) {
                Some(leader) => Found::Alive(World::identity(*leader)),
                None => Found::Ended(exit_of(exits.get(&container).copied())),
            };
            (record, found)
        });
        let found = found.collect();
        let mut effects = Vec::new();
        self.core.recover(found, applications, world.wall(), &mut effects);
        self.pending.extend(effects);
        let hello = Hello::Node(self.hello());
        let link = world.open_link(me, &self.host.clone(), resource_manager::ADDRESS, hello, None);
        self.link = Some(link);
        self.perform(me, world);
    }

    fn hello(&self) -> Register {
        Register {
            node: self.node.clone(),
            http_address: self.address(),
            rack: None,
            label: None,
            capability: self.capability.clone(),
            incarnation: self.incarnation,
            containers: self.core.statuses(),
            applications: self.core.application_ids(),
            platform: Platform::default(),
            secret: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    pub(super) fn torn(self, world: &mut World) {
        let durable = world.rng.usize(0..=self.writing.len());
        let disk = world.disks.node(&self.host);
        for record in self.writing.into_iter().take(durable) {
            disk.records.insert(record.lease.container, record);
        }
    }

    pub(super) fn handle(&mut self, input: Input, me: Pid, world: &mut World) {
        match input {
            Input::Link(_, event) => self.link(event, me, world),
            Input::Request(id, Request::StartContainer(start)) => {
                self.last_request += 1;
                let request = RequestId(self.last_request);
                self.requests.insert(request, id);
                self.apply(Event::Start { request: Some(request), start: *start }, me, world);
            }
            Input::Request(id, _) => world.answer(id, Answer::Refused("not found".to_owned())),
            Input::Wake => self.apply(Event::Wake, me, world),
            Input::Durable if world.is_full(Volume::Nodes) => {
                world.note(&self.host, "cannot write: no space left on device");
                world.exit(me, 1);
                world.restart_node_manager(&self.host);
            }
            Input::Durable => {
                self.flushing = false;
                let disk = world.disks.node(&self.host);
                for record in std::mem::take(&mut self.writing) {
                    disk.records.insert(record.lease.container, record);
                }
                self.perform(me, world);
            }
            Input::Done(Done::Localised(resource, outcome)) => {
                self.apply(Event::Localised { resource, outcome }, me, world);
            }
            Input::Done(Done::Launch(container)) => self.launch(container, me, world),
            Input::Done(Done::ContainerExited(container, ended)) => {
                let event = Event::Exited { container, ended: Some(ended), diagnostics: String::new() };
                self.apply(event, me, world);
            }
            Input::Done(_) | Input::Answered(..) | Input::Terminate => {}
        }
    }

    fn link(&mut self, event: LinkEvent, me: Pid, world: &mut World) {
        match event {
            LinkEvent::Opened { welcome, resumed } => {
                let Welcome::Node(registered) = *welcome else { return };
                let Ok(key) = SigningKey::from_hex(&registered.container_token_key) else { return };
                let registration =
                    Registration { resource_manager: registered.resource_manager, epoch: registered.epoch, key };
                if !resumed {
                    // What was reported between the hello and this answer is lost with the old session.
                    let containers = self.core.statuses();
                    if let Some(link) = self.link.filter(|_| !containers.is_empty()) {
                        world.send(me, link, ToResourceManager::ContainersChanged { containers });
                    }
                }
                self.apply(Event::Registered(registration), me, world);
            }
            LinkEvent::Message(message) => {
                let Message::ToNode(message) = *message else { return };
                let event = match message {
                    ToNode::StartContainer(start) => Event::Start { request: None, start },
                    ToNode::StopContainers { containers, cause } => Event::Stop { containers, cause },
                    ToNode::ApplicationsFinished { applications } => Event::ApplicationsFinished(applications),
                    ToNode::CompletionsAcknowledged { containers } => Event::CompletionsAcknowledged(containers),
                    ToNode::Shutdown { why } => Event::Drain { why },
                };
                self.apply(event, me, world);
            }
            LinkEvent::Refused(code) => world.note(&self.host, format!("refused by the ResourceManager: {code}")),
            LinkEvent::Broken { .. } | LinkEvent::Hello { .. } => {}
        }
    }

    fn apply(&mut self, event: Event, me: Pid, world: &mut World) {
        let mut effects = Vec::new();
        if let Err(illegal) = self.core.apply(event, world.wall(), &mut effects) {
            world.stats.illegal += 1;
            world.note(&self.host, format!("refused: {illegal}"));
        }
        self.pending.extend(effects);
        self.perform(me, world);
        self.check(world);
    }

    /// Every container's process is in its node's books.
    fn check(&self, world: &mut World) {
        let known = |id: &ContainerId| {
            let status = self.core.statuses().into_iter().find(|status| status.container == *id);
            status.is_some_and(|status| status.state != ContainerState::Complete)
        };
        let here = world
            .leaders
            .iter()
            .filter(|(_, pid)| world.processes.get(pid).is_some_and(|process| process.host == self.host));
        if let Some(lost) = here.map(|(id, _)| *id).find(|id| !known(id)) {
            world.ledger.violated(format!("{lost} runs on {} and its NodeManager does not know it", self.host));
        }
    }

    fn perform(&mut self, me: Pid, world: &mut World) {
        while !self.flushing {
            let Some(effect) = self.pending.pop_front() else { break };
            if let Effect::Persist(record) = effect {
                self.writing.push(record);
                while let Some(Effect::Persist(_)) = self.pending.front() {
                    if let Some(Effect::Persist(record)) = self.pending.pop_front() {
                        self.writing.push(record);
                    }
                }
                self.flushing = true;
                world.flush(me);
            } else {
                self.effect(effect, me, world);
            }
        }
        if let Some(link) = self.link {
            world.net.set_hello(link, Hello::Node(self.hello()));
        }
    }

    fn effect(&mut self, effect: Effect, me: Pid, world: &mut World) {
        match effect {
            Effect::Persist(_) => {} // Taken before.
            Effect::Forget(container) => {
                let disk = world.disks.node(&self.host);
                disk.records.remove(&container);
                disk.exits.remove(&container);
            }
            Effect::Answer { request, outcome } => {
                if let Some(id) = self.requests.remove(&request) {
                    world.answer(id, Answer::Container(outcome.map(drop)));
                }
            }
            Effect::Localise { key, .. } => {
                let outcome = if world.faults.strikes(&mut world.rng, 100) {
                    world.note("fault", format!("{}: a download fails", self.host));
                    Err("connection reset".to_owned())
                } else {
                    Ok(())
                };
                world.later(1..60, me, Done::Localised(key, outcome));
            }
            Effect::AbandonLocalisation(_) => {}
            Effect::Launch(launch) => {
                let container = launch.lease.container;
                let disk = world.disks.node(&self.host);
                disk.applications.insert(container.attempt.application, launch.lease.user.clone());
                disk.containers.insert(container);
                self.launching.insert(container, launch);
                world.later(5..80, me, Done::Launch(container));
            }
            Effect::Signal { container, process: _, signal } => world.signal_container(container, signal),
            Effect::Report(containers) => {
                for status in &containers {
                    let exit = status.exit.as_ref().map(|exit| format!(" ({})", exit.cause)).unwrap_or_default();
                    world.note(&self.host, format!("{} is {:?}{exit}", status.container, status.state));
                }
                if let Some(link) = self.link {
                    world.send(me, link, ToResourceManager::ContainersChanged { containers });
                }
            }
            Effect::DeleteContainer { container, .. } => {
                world.disks.node(&self.host).containers.remove(&container);
            }
            Effect::DeleteApplication { application, .. } => {
                world.note(&self.host, format!("deletes the directories of {application}"));
                let disk = world.disks.node(&self.host);
                disk.applications.remove(&application);
                // They lie within it.
                disk.containers.retain(|container| container.attempt.application != application);
            }
            Effect::WakeAt(at) => world.wake_at(me, at),
            Effect::Drained => world.exit(me, 0),
        }
    }

    fn launch(&mut self, container: ContainerId, me: Pid, world: &mut World) {
        let Some(launch) = self.launching.remove(&container) else { return };
        let event = match self.process(container, &launch.context, world) {
            _ if world.faults.strikes(&mut world.rng, 60) => {
                world.note("fault", format!("{}: a process cannot be started", self.host));
                Event::LaunchFailed { container, why: "cannot allocate memory".to_owned() }
            }
            Ok(process) => {
                let pid = world.spawn(process);
                Event::Launched { container, process: World::identity(pid) }
            }
            Err(why) => Event::LaunchFailed { container, why },
        };
        self.apply(event, me, world);
    }

    /// What `bash -c` would start.
    fn process(&self, id: ContainerId, context: &LaunchContext, world: &World) -> Result<Process, String> {
        let host = self.host.clone();
        let application = id.attempt.application.sequence;
        let number = id.number & 0xff_ffff;
        let (name, actor) = if context.environment.contains_key(roles::JOB_MANAGER) {
            let name = format!("jm {application}/{}", id.attempt.attempt);
            let actor = JobManager::new(&name, &host, world.next_pid(), context)?;
            (name, Actor::JobManager(Box::new(actor)))
        } else {
            let name = format!("tm {application}/{number}");
            let actor = TaskManager::new(&name, &host, context)?;
            (name, Actor::TaskManager(Box::new(actor)))
        };
        Ok(Process { name, host, container: Some(id), parent: None, actor })
    }
}

fn exit_of(ended: Option<Ended>) -> Exit {
    let cause = match ended {
        Some(Ended::Code(code)) => ExitCause::Completed { code },
        Some(Ended::Signal(signal)) => ExitCause::Signal { signal },
        None => ExitCause::Aborted { why: "nothing is left of it".to_owned() },
    };
    Exit { cause, diagnostics: String::new() }
}
