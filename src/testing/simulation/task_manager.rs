//! A TaskManager in its container: its core, and its workers' processes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::actors::{Actor, Done};
use super::messages::{Hello, LinkEvent, Message};
use super::network::LinkId;
use super::worker::Worker;
use super::world::{Input, Pid, Process, World};
use crate::ids::{TaskManagerId, WorkerId};
use crate::protocol::container::LaunchContext;
use crate::protocol::roles::{self, TaskManagerEnvironment};
use crate::protocol::task_manager::{Register, StartWorker, ToTaskManager};
use crate::storage::Leader;
use crate::taskmanager::{Core, Effect, Event, Home, Policy};

/// How long it goes on without a JobManager.
const LINK_GRACE: Duration = Duration::from_secs(8);
/// How long it waits for the next one.
const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(60);

/// A TaskManager's process.
pub(super) struct TaskManager {
    name: String,
    host: String,
    environment: TaskManagerEnvironment,
    core: Option<Core>,
    link: Option<LinkId>,
    /// Whether it is about to look for the next JobManager.
    looking: bool,
    starts: BTreeMap<WorkerId, StartWorker>,
    workers: BTreeMap<Pid, WorkerId>,
}

impl TaskManager {
    /// From what its container was launched with.
    pub(super) fn new(name: &str, host: &str, context: &LaunchContext) -> Result<Self, String> {
        let json = context.environment.get(roles::TASK_MANAGER).ok_or("no environment")?;
        let environment = serde_json::from_str(json).map_err(|error: serde_json::Error| error.to_string())?;
        Ok(Self {
            name: name.to_owned(),
            host: host.to_owned(),
            environment,
            core: None,
            link: None,
            looking: false,
            starts: BTreeMap::new(),
            workers: BTreeMap::new(),
        })
    }

    pub(super) fn start(&mut self, me: Pid, world: &mut World) {
        let policy = Policy {
            slots: self.environment.slots,
            home: Home::Container {
                attempt: self.environment.container.attempt.attempt,
                registration_timeout: REGISTRATION_TIMEOUT,
            },
            link_grace: LINK_GRACE,
            kill_grace: Duration::from_secs(1),
        };
        let mut effects = Vec::new();
        self.core = Some(Core::new(policy, world.wall(), &mut effects));
        let hello = Hello::TaskManager(self.hello(me));
        let address = self.environment.job_manager.clone();
        self.link = Some(world.open_link(me, &self.host, &address, hello, None));
        for effect in effects {
            self.effect(effect, me, world);
        }
        self.look_if_left_behind(me, world);
    }

    fn hello(&self, me: Pid) -> Register {
        Register {
            task_manager: TaskManagerId(self.environment.container.to_string()),
            container: Some(self.environment.container),
            host: self.host.clone(),
            http_address: format!("{}:{}", self.host, 50_000 + me.0),
            slots: self.environment.slots,
            memory: self.environment.memory,
            cores: 4,
            pid: me.0,
            secret: Some(self.environment.secret.clone()),
            workers: self.core.as_ref().map(Core::worker_ids).unwrap_or_default(),
        }
    }

    pub(super) fn handle(&mut self, input: Input, me: Pid, world: &mut World) {
        match input {
            Input::Link(link, event) if self.link == Some(link) => self.link(event, me, world),
            Input::Link(..) => {} // Of a JobManager that it has left.
            Input::Done(Done::LookForLeader) => self.look(me, world),
            Input::Wake => self.apply(Event::Wake, me, world),
            Input::Terminate => self.apply(Event::Leave { why: "it was told to".to_owned() }, me, world),
            Input::Done(Done::Prepared(worker)) if self.starts.contains_key(&worker) => {
                self.apply(Event::Prepared { worker, outcome: Ok(()) }, me, world);
            }
            Input::Done(Done::Spawn(worker)) => self.spawn(worker, me, world),
            Input::Done(Done::ChildExited(pid, ended)) => {
                if let Some(worker) = self.workers.remove(&pid) {
                    let event = Event::Exited { worker, ended, diagnostics: String::new() };
                    self.apply(event, me, world);
                }
            }
            Input::Done(_) | Input::Request(..) | Input::Answered(..) | Input::Durable => {}
        }
    }

    fn link(&mut self, event: LinkEvent, me: Pid, world: &mut World) {
        let event = match event {
            LinkEvent::Opened { .. } => Event::LinkOpened,
            LinkEvent::Broken { .. } => Event::LinkBroken,
            LinkEvent::Refused(code) => Event::Leave { why: format!("its JobManager has sent it away: {code}") },
            LinkEvent::Message(message) => match *message {
                Message::ToTaskManager(ToTaskManager::StartWorker(start)) => Event::StartWorker(start),
                Message::ToTaskManager(ToTaskManager::StopWorker { worker, grace_ms }) => {
                    Event::StopWorker { worker, grace: Duration::from_millis(grace_ms) }
                }
                Message::ToTaskManager(ToTaskManager::JobEnded { job }) => Event::JobEnded { job },
                Message::ToTaskManager(ToTaskManager::Shutdown { why }) => Event::Leave { why },
                _ => return,
            },
            LinkEvent::Hello { .. } => return,
        };
        self.apply(event, me, world);
    }

    fn apply(&mut self, event: Event, me: Pid, world: &mut World) {
        let Some(core) = &mut self.core else { return };
        let mut effects = Vec::new();
        if let Err(illegal) = core.apply(event, world.wall(), &mut effects) {
            world.stats.illegal += 1;
            world.note(&self.name, format!("refused: {illegal}"));
        }
        for effect in effects {
            self.effect(effect, me, world);
        }
        if let Some(link) = self.link {
            world.net.set_hello(link, Hello::TaskManager(self.hello(me)));
        }
        self.look_if_left_behind(me, world);
    }

    fn look_if_left_behind(&mut self, me: Pid, world: &mut World) {
        let left_behind = self.core.as_ref().and_then(Core::left_behind_by).is_some();
        if left_behind && !self.looking {
            self.looking = true;
            world.later(1..600, me, Done::LookForLeader);
        }
    }

    fn look(&mut self, me: Pid, world: &mut World) {
        self.looking = false;
        let known = self.core.as_ref().and_then(Core::left_behind_by);
        let application = self.environment.container.attempt.application;
        match known.and_then(|known| world.disks.leader(application, known)) {
            Some(leader) => self.apply(Event::LeaderFound(leader), me, world),
            None => self.look_if_left_behind(me, world),
        }
    }

    /// Nothing of the JobManager before is heard from now on.
    fn follow(&mut self, leader: Leader, me: Pid, world: &mut World) {
        world.note(&self.name, format!("follows attempt {} at {}", leader.attempt, leader.address));
        if let Some(left) = self.link.take() {
            world.say_goodbye(me, left);
        }
        let hello = Hello::TaskManager(self.hello(me));
        self.link = Some(world.open_link(me, &self.host, &leader.address, hello, None));
    }

    fn effect(&mut self, effect: Effect, me: Pid, world: &mut World) {
        match effect {
            Effect::Prepare(start) => {
                let worker = start.worker.clone();
                self.starts.insert(worker.clone(), *start);
                world.later(5..100, me, Done::Prepared(worker));
            }
            Effect::AbandonPreparation(worker) => drop(self.starts.remove(&worker)),
            Effect::Spawn(worker) => world.later(5..60, me, Done::Spawn(worker)),
            Effect::Signal { process, signal, .. } => world.signal(Pid(process.pid), signal),
            Effect::Report(message) => {
                if let Some(link) = self.link {
                    world.send(me, link, message);
                }
            }
            Effect::Follow(leader) => self.follow(leader, me, world),
            Effect::RemoveWorker(worker) => drop(self.starts.remove(&worker)),
            Effect::ReleaseJob(_) => {}
            Effect::WakeAt(at) => world.wake_at(me, at),
            Effect::Exit => {
                if let Some(link) = self.link {
                    world.say_goodbye(me, link);
                }
                world.exit(me, 0);
            }
        }
    }

    fn spawn(&mut self, worker: WorkerId, me: Pid, world: &mut World) {
        let Some(start) = self.starts.get(&worker) else { return };
        let name = format!("w {}/{}", self.name.trim_start_matches("tm "), worker.incarnation);
        let actor = match Worker::new(&name, &self.host, start, world) {
            Ok(actor) => actor,
            Err(why) => return self.apply(Event::SpawnFailed { worker, why }, me, world),
        };
        let process = Process {
            name,
            host: self.host.clone(),
            container: Some(self.environment.container),
            parent: Some(me),
            actor: Actor::Worker(Box::new(actor)),
        };
        let pid = world.spawn(process);
        self.workers.insert(pid, worker.clone());
        self.apply(Event::Spawned { worker, process: World::identity(pid) }, me, world);
    }
}
