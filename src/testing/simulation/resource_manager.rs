//! The ResourceManager's process: its core, its store, its links.

use std::collections::{BTreeMap, VecDeque};

use super::Bug;
use super::messages::{Answer as HttpAnswer, Hello, LinkEvent, Message, Report, Request, Welcome};
use super::network::{Caller, HttpId, LinkId};
use super::storage_faults::Volume;
use super::world::{Input, Pid, World};
use crate::ids::{ApplicationAttemptId, ApplicationId, NodeId};
use crate::protocol::application_master as am;
use crate::resourcemanager::core::Core;
use crate::resourcemanager::event::{Answer, Effect, Event, Registering, RequestId};
use crate::resourcemanager::record::{Cluster, Key, Record};
use crate::resourcemanager::{RefusalCode, Refused, Settings};
use crate::time::Now;

/// Where it is reached.
pub(super) const ADDRESS: &str = "rm:8088";
const NAME: &str = "rm";

/// The ResourceManager's process.
pub(super) struct ResourceManager {
    core: Core,
    pending: VecDeque<Step>,
    /// What is being written, and the last ticket of it.
    writing: Vec<Write>,
    peers: BTreeMap<LinkId, Peer>,
    nodes: BTreeMap<NodeId, LinkId>,
    masters: BTreeMap<ApplicationAttemptId, LinkId>,
    requests: BTreeMap<RequestId, Asker>,
    last_request: RequestId,
    wake_at: Option<Now>,
}

/// What is done in order: effects, and answers that show state as of some effect.
enum Step {
    Perform(Effect),
    Answer(HttpId, HttpAnswer),
}

struct Write {
    ticket: u64,
    key: Key,
    record: Option<Box<Record>>,
}

#[derive(Clone, Debug)]
enum Peer {
    Node(NodeId),
    Master(ApplicationAttemptId),
}

enum Asker {
    Http(HttpId),
    Link(Caller, Peer),
}

/// How the simulated cluster's ResourceManager is configured.
pub(super) fn settings() -> Settings {
    Settings {
        registration_expiry: std::time::Duration::from_secs(60),
        allocation_expiry: std::time::Duration::from_secs(60),
        max_attempts: 4,
        ..Settings::new(ADDRESS)
    }
}

impl ResourceManager {
    pub(super) fn new() -> Self {
        let genesis = Cluster {
            identity: 1,
            epoch: 1,
            last_sequence: 0,
            token_key: "5a".repeat(32),
            master_key: "a5".repeat(32),
        };
        Self {
            core: Core::new(settings(), genesis).expect("the key is 64 hex digits"),
            pending: VecDeque::new(),
            writing: Vec::new(),
            peers: BTreeMap::new(),
            nodes: BTreeMap::new(),
            masters: BTreeMap::new(),
            requests: BTreeMap::new(),
            last_request: 0,
            wake_at: None,
        }
    }

    /// What it has decided, for invariants.
    pub(super) fn core(&self) -> &Core {
        &self.core
    }

    pub(super) fn start(&mut self, me: Pid, world: &mut World) {
        world.net.listen(ADDRESS, me);
        let records = world.disks.resource_manager.values().cloned().collect();
        self.apply(Event::Recover(records), me, world);
    }

    /// Each write is atomic; of several under way, the first ones may be durable.
    pub(super) fn torn(self, world: &mut World) {
        let durable = world.rng.usize(0..=self.writing.len());
        for write in self.writing.into_iter().take(durable) {
            write.perform(world);
        }
    }

    pub(super) fn handle(&mut self, input: Input, me: Pid, world: &mut World) {
        match input {
            Input::Link(link, event) => self.link(link, event, me, world),
            Input::Request(id, request) => self.request(id, request, me, world),
            Input::Wake => {
                if self.wake_at.is_some_and(|at| at <= world.wall()) {
                    self.wake_at = None;
                    self.apply(Event::Wake, me, world);
                }
            }
            Input::Durable if world.is_full(Volume::ResourceManager) => {
                world.note(NAME, "cannot write: no space left on device");
                world.exit(me, 1);
                world.restart_resource_manager();
            }
            Input::Durable => {
                let writing = std::mem::take(&mut self.writing);
                let Some(ticket) = writing.last().map(|write| write.ticket) else { return };
                writing.into_iter().for_each(|write| write.perform(world));
                self.apply(Event::Persisted(ticket), me, world);
            }
            Input::Answered(..) | Input::Terminate | Input::Done(_) => {}
        }
    }

    fn apply(&mut self, event: Event, me: Pid, world: &mut World) {
        let mut effects = Vec::new();
        if let Err(illegal) = self.core.apply(event, world.wall(), &mut effects) {
            world.stats.illegal += 1;
            world.note(NAME, format!("refused: {illegal}"));
        }
        for transition in self.core.take_transitions() {
            world.note(NAME, format!("{} {} {} -> {}", transition.noun, transition.id, transition.from, transition.to));
        }
        self.pending.extend(effects.into_iter().map(Step::Perform));
        self.perform(me, world);
        world.ledger.look_at_resource_manager(&self.core, world.wall());
        if let Some(at) = self.core.next_wake()
            && self.wake_at.is_none_or(|known| at < known)
        {
            self.wake_at = Some(at);
            world.wake_at(me, at);
        }
    }

    fn perform(&mut self, me: Pid, world: &mut World) {
        let ignores_barrier = world.planted == Some(Bug::ResourceManagerIgnoresPersist);
        while self.writing.is_empty() || ignores_barrier {
            let Some(step) = self.pending.pop_front() else { break };
            match step {
                Step::Answer(id, answer) => world.answer(id, answer),
                Step::Perform(Effect::Persist { ticket, key, record }) => {
                    let idle = self.writing.is_empty();
                    self.writing.push(Write { ticket, key, record });
                    while let Some(Step::Perform(Effect::Persist { .. })) = self.pending.front() {
                        if let Some(Step::Perform(Effect::Persist { ticket, key, record })) = self.pending.pop_front() {
                            self.writing.push(Write { ticket, key, record });
                        }
                    }
                    if idle {
                        world.flush(me);
                        world.may_die_writing();
                    }
                }
                Step::Perform(effect) => self.effect(effect, me, world),
            }
        }
    }

    fn effect(&mut self, effect: Effect, me: Pid, world: &mut World) {
        match effect {
            Effect::Persist { .. } => {} // Taken before.
            Effect::ToNode { node, message } => {
                if let Some(link) = self.nodes.get(&node) {
                    world.send(me, *link, *message);
                }
            }
            Effect::ToMaster { attempt, message } => {
                if let am::ToApplicationMaster::Allocated(response) = message.as_ref() {
                    world.ledger.delivered(attempt, &response.allocated);
                }
                if let Some(link) = self.masters.get(&attempt) {
                    world.send(me, *link, *message);
                }
            }
            Effect::Answer { request, answer } => self.answered(request, *answer, me, world),
            Effect::ApplicationChanged { .. } => {} // Simulated clients ask again by themselves.
        }
    }

    fn answered(&mut self, request: RequestId, answer: Result<Answer, Refused>, me: Pid, world: &mut World) {
        match (self.requests.remove(&request), answer) {
            (Some(Asker::Http(id)), answer) => world.answer(id, http_answer(answer)),
            (Some(Asker::Link(caller, peer)), Ok(answer)) => {
                let welcome = match answer {
                    Answer::NodeRegistered(registered) => Welcome::Node(registered),
                    Answer::MasterRegistered(registered) => {
                        if let Peer::Master(attempt) = &peer {
                            world.ledger.inherited(*attempt, &registered.containers_from_previous_attempts);
                        }
                        Welcome::Master(registered)
                    }
                    _ => return,
                };
                match &peer {
                    Peer::Node(node) => drop(self.nodes.insert(node.clone(), caller.link)),
                    Peer::Master(attempt) => drop(self.masters.insert(*attempt, caller.link)),
                }
                self.peers.insert(caller.link, peer);
                world.accept(me, caller, welcome);
            }
            (Some(Asker::Link(caller, peer)), Err(refused)) => {
                world.note(NAME, format!("refuses {peer:?}: {refused}"));
                world.refuse(caller, refused.code.as_str());
            }
            (None, _) => {}
        }
    }

    fn ask(&mut self, asker: Asker) -> RequestId {
        self.last_request += 1;
        self.requests.insert(self.last_request, asker);
        self.last_request
    }

    fn link(&mut self, link: LinkId, event: LinkEvent, me: Pid, world: &mut World) {
        match event {
            LinkEvent::Hello { hello, resumed, caller } => {
                let event = match *hello {
                    Hello::Node(register) => {
                        let request = self.ask(Asker::Link(caller, Peer::Node(register.node.clone())));
                        // Messages to it go to this link from now on, behind the welcome.
                        self.nodes.insert(register.node.clone(), link);
                        Event::NodeHello { request, register: Box::new(register), resumed }
                    }
                    Hello::Master(register) => {
                        let request = self.ask(Asker::Link(caller, Peer::Master(register.attempt)));
                        self.masters.insert(register.attempt, link);
                        let by = if resumed { Registering::ResumedLink } else { Registering::Link };
                        Event::MasterHello { request, register: Box::new(register), by }
                    }
                    Hello::TaskManager(_) | Hello::Worker(_) => return,
                };
                self.apply(event, me, world);
            }
            LinkEvent::Message(message) => match (self.peers.get(&link).cloned(), *message) {
                (Some(Peer::Node(node)), Message::NodeToResourceManager(message)) => {
                    self.apply(Event::NodeSays { node, message }, me, world);
                }
                (Some(Peer::Master(attempt)), Message::MasterToResourceManager(message)) => {
                    let event = match message {
                        am::ToResourceManager::Allocate(allocate) => {
                            Event::Allocate { request: None, attempt, allocate: Box::new(allocate) }
                        }
                        am::ToResourceManager::Finish(finish) => Event::Finish { request: None, attempt, finish },
                    };
                    self.apply(event, me, world);
                }
                _ => world.stats.illegal += 1,
            },
            LinkEvent::Broken { why: _, resumable } => self.broken(link, resumable, me, world),
            LinkEvent::Opened { .. } | LinkEvent::Refused(_) => {}
        }
    }

    fn broken(&mut self, link: LinkId, resumable: bool, me: Pid, world: &mut World) {
        let Some(peer) = self.peers.get(&link).cloned() else { return };
        let event = match peer {
            // A node that has opened another link since is not silent.
            Peer::Node(node) if self.nodes.get(&node) == Some(&link) => Event::NodeSilent { node },
            Peer::Master(attempt) if self.masters.get(&attempt) == Some(&link) => Event::MasterSilent { attempt },
            Peer::Node(_) | Peer::Master(_) => return,
        };
        if !resumable {
            self.peers.remove(&link);
        }
        self.apply(event, me, world);
    }

    fn request(&mut self, id: HttpId, request: Request, me: Pid, world: &mut World) {
        match request {
            Request::NewApplication => {
                let request = self.ask(Asker::Http(id));
                self.apply(Event::NewApplication { request }, me, world);
            }
            Request::Submit(submission) => {
                let request = self.ask(Asker::Http(id));
                self.apply(Event::Submit { request, submission }, me, world);
            }
            Request::Kill(application) => {
                let request = self.ask(Asker::Http(id));
                let diagnostics = "killed by its user".to_owned();
                self.apply(Event::Kill { request, application, diagnostics }, me, world);
            }
            Request::Report(application) => {
                // A read leaves behind what it shows.
                let answer = self.report(application, world.wall());
                self.pending.push_back(Step::Answer(id, answer));
                self.perform(me, world);
            }
            Request::CancelJob(_) | Request::RescaleJob(..) | Request::DrainJob(..) | Request::StartContainer(_) => {
                world.answer(id, HttpAnswer::Refused("not found".to_owned()));
            }
        }
    }

    fn report(&self, application: ApplicationId, now: Now) -> HttpAnswer {
        let Some(report) = self.core.application(application, now) else { return HttpAnswer::NotFound };
        HttpAnswer::Report(Box::new(Report {
            state: report.state,
            final_status: report.final_status,
            diagnostics: report.diagnostics,
            tracking_url: self.core.tracking_url(application).map(|(url, _)| url).unwrap_or_default(),
        }))
    }
}

impl Write {
    fn perform(self, world: &mut World) {
        match self.record {
            Some(record) => drop(world.disks.resource_manager.insert(self.key, *record)),
            None => drop(world.disks.resource_manager.remove(&self.key)),
        }
    }
}

fn http_answer(answer: Result<Answer, Refused>) -> HttpAnswer {
    match answer {
        Ok(Answer::NewApplication { application, .. }) => HttpAnswer::NewApplication(application),
        Ok(_) => HttpAnswer::Taken,
        Err(refused) if refused.code == RefusalCode::NotFound => HttpAnswer::NotFound,
        Err(refused) => HttpAnswer::Refused(refused.message),
    }
}
