//! A worker's process: real subtasks with real operators, stepped one at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Bug;
use super::actors::Done;
use super::channels::Channels;
use super::messages::{Hello, LinkEvent, Message};
use super::network::LinkId;
use super::scenario::JobSpec;
use super::world::{Happening, Input, Pid, World};
use crate::engine::operators::{AsyncPort, NextDiscovery, ProgramCode, SplitEnumerator};
use crate::engine::runtime::{Blueprint, Connect, Flushing, Mail, Step, Stepped, TaskEvent};
use crate::engine::state::{DiskBackend, StateBackend, StateMemory};
use crate::graph::plan::NodeIndex;
use crate::graph::task::{Committable, Failure, TaskDeployment};
use crate::ids::{ExecutionAttemptId, WorkerId};
use crate::protocol::task_manager::StartWorker;
use crate::protocol::worker::{Register, ToJobManager, ToWorker};

/// How long the JobManager may be out of reach.
const PATIENCE_MS: u64 = 8_000;

/// Of its parts in checkpoints.
const DIES_REPORTING_ONE_IN: u32 = 250;
const DIES_COMMITTING_ONE_IN: u32 = 30;

/// A worker's process.
pub(super) struct Worker {
    name: String,
    host: String,
    id: WorkerId,
    job_manager: String,
    secret: String,
    blueprint: Blueprint,
    channels: Arc<Channels>,
    link: Option<LinkId>,
    registered: bool,
    tasks: BTreeMap<ExecutionAttemptId, Stepped>,
    /// Subtasks that wait: nobody steps them until they are woken.
    waiting: BTreeSet<ExecutionAttemptId>,
    enumerators: BTreeMap<ExecutionAttemptId, Box<dyn SplitEnumerator>>,
}

impl Worker {
    pub(super) fn new(name: &str, host: &str, start: &StartWorker, world: &mut World) -> Result<Self, String> {
        let scenario = Arc::clone(&world.scenario);
        let spec = scenario.job_of_program(&start.program.name).ok_or("no such program")?;
        start.plan.check_same(&spec.plan).map_err(|error| error.to_string())?;
        let blueprint = Blueprint {
            flushing: Flushing::new(start.plan.resolved_mode(), Some(Duration::from_millis(5))),
            plan: Arc::new(start.plan.clone()),
            program: spec.program.clone(),
            auto_watermark_interval: Duration::from_millis(200),
            temporary_dir: PathBuf::new(),
            state_backend: state_backend(spec).map_err(|error| error.to_string())?,
            storage: Arc::new(spec.storage.clone()),
            async_port: AsyncPort::at_once(),
        };
        let channels = world.ledger.channels_of(start.worker.job, &start.worker);
        Ok(Self {
            name: name.to_owned(),
            host: host.to_owned(),
            id: start.worker.clone(),
            job_manager: start.job_manager.clone(),
            secret: start.secret.clone(),
            blueprint,
            channels,
            link: None,
            registered: false,
            tasks: BTreeMap::new(),
            waiting: BTreeSet::new(),
            enumerators: BTreeMap::new(),
        })
    }

    /// Subtasks that it runs, for invariants.
    pub(super) fn attempts(&self) -> impl Iterator<Item = ExecutionAttemptId> {
        self.tasks.keys().copied()
    }

    pub(super) fn id(&self) -> &WorkerId {
        &self.id
    }

    pub(super) fn start(&mut self, me: Pid, world: &mut World) {
        let hello = Hello::Worker(Register {
            worker: self.id.clone(),
            pid: me.0,
            data_address: format!("{}:{}", self.host, 20_000 + me.0),
            plan_hash: self.blueprint.plan.hash(),
            secret: self.secret.clone(),
        });
        let address = self.job_manager.clone();
        self.link = Some(world.open_link(me, &self.host, &address, hello, Some(PATIENCE_MS)));
        world.later(1000..1001, me, Done::Metrics);
    }

    /// Its connections break; others notice.
    pub(super) fn torn(self, world: &mut World) {
        let Self { tasks, channels, .. } = self;
        drop(tasks);
        channels.worker_gone();
        let _ = world;
    }

    /// Waiting subtasks that have been woken.
    pub(super) fn take_woken(&mut self) -> Vec<ExecutionAttemptId> {
        let tasks = &self.tasks;
        let woken = |attempt: &&ExecutionAttemptId| tasks.get(attempt).is_some_and(Stepped::take_wake);
        let woken: Vec<_> = self.waiting.iter().filter(woken).copied().collect();
        for attempt in &woken {
            self.waiting.remove(attempt);
        }
        woken
    }

    pub(super) fn handle(&mut self, input: Input, me: Pid, world: &mut World) {
        match input {
            Input::Link(_, event) => self.link(event, me, world),
            Input::Terminate => self.leave(143, me, world),
            Input::Done(done) => match done {
                Done::Step(attempt) => self.step(attempt, me, world),
                // One that has been woken before is stepped for that.
                Done::Alarm(attempt) if self.waiting.remove(&attempt) => self.step(attempt, me, world),
                Done::Discover(attempt, node) => self.discover(attempt, node, me, world),
                Done::Commit(operator, committables, publication) => {
                    self.commit(operator, committables, publication, me, world);
                }
                Done::Discard(operator, committables) => self.discard(operator, committables, world),
                Done::Metrics => {
                    world.later(1000..1001, me, Done::Metrics);
                }
                _ => {}
            },
            Input::Wake | Input::Durable | Input::Request(..) | Input::Answered(..) => {}
        }
    }

    fn link(&mut self, event: LinkEvent, me: Pid, world: &mut World) {
        match event {
            LinkEvent::Opened { resumed: false, .. } if self.registered => self.leave(0, me, world),
            LinkEvent::Opened { .. } => self.registered = true,
            LinkEvent::Message(message) => {
                if let Message::ToWorker(order) = *message {
                    self.obey(order, me, world);
                }
            }
            LinkEvent::Refused("unreachable") => self.leave(1, me, world),
            LinkEvent::Refused(_) => self.leave(0, me, world),
            LinkEvent::Broken { .. } | LinkEvent::Hello { .. } => {}
        }
    }

    /// Cancels what runs, which drops it, and exits.
    fn leave(&mut self, code: i32, me: Pid, world: &mut World) {
        self.tasks.clear();
        if let Some(link) = self.link {
            world.say_goodbye(me, link);
        }
        world.exit(me, code);
    }

    fn obey(&mut self, order: ToWorker, me: Pid, world: &mut World) {
        match order {
            ToWorker::Deploy { tasks } => self.deploy(tasks, me, world),
            ToWorker::Cancel { attempts } => attempts.into_iter().for_each(|attempt| self.mail(attempt, Mail::Cancel)),
            ToWorker::AssignSplit { attempt, split } => self.mail(attempt, Mail::AssignSplit(split)),
            ToWorker::NoMoreSplits { attempt } => self.mail(attempt, Mail::NoMoreSplits),
            ToWorker::StopSources { attempts } => {
                attempts.into_iter().for_each(|attempt| self.mail(attempt, Mail::StopSource));
            }
            ToWorker::TriggerCheckpoint { barrier, attempts } => {
                let barrier = Arc::new(barrier);
                attempts.into_iter().for_each(|attempt| self.mail(attempt, Mail::Checkpoint(Arc::clone(&barrier))));
            }
            ToWorker::ResumeSources { attempts } => {
                attempts.into_iter().for_each(|attempt| self.mail(attempt, Mail::Resume));
            }
            ToWorker::Commit { operator, committables, publication } => {
                let pause = world.storage_pause(1..80);
                world.later(pause, me, Done::Commit(operator, committables, publication));
            }
            ToWorker::Discard { operator, committables } => {
                world.later(1..80, me, Done::Discard(operator, committables));
            }
            ToWorker::Shutdown => self.leave(0, me, world),
        }
    }

    fn mail(&mut self, attempt: ExecutionAttemptId, mail: Mail) {
        if let Some(task) = self.tasks.get(&attempt) {
            task.mail(mail);
        }
    }

    fn deploy(&mut self, tasks: Vec<TaskDeployment>, me: Pid, world: &mut World) {
        let connect: Arc<dyn Connect> = self.channels.clone();
        for task in tasks {
            let (attempt, head) = (task.attempt, task.operators.first().copied());
            world.note(&self.name, format!("runs {} ({attempt})", task.name));
            let stepped = Stepped::connect(&self.blueprint, task, Arc::clone(&connect));
            self.tasks.insert(attempt, stepped);
            world.later(0..20, me, Done::Step(attempt));
            if let (0, Some(head)) = (attempt.subtask, head) {
                world.later(1..30, me, Done::Discover(attempt, head));
            }
        }
    }

    fn step(&mut self, attempt: ExecutionAttemptId, me: Pid, world: &mut World) {
        let Some(task) = self.tasks.get_mut(&attempt) else { return };
        let mut events = Vec::new();
        let budget = world.rng.u32(1..3);
        let step = task.step(&self.blueprint, world.wall(), budget, &mut events);
        for mut event in events {
            self.forget_scratch(&mut event, world);
            if let TaskEvent::State { state, failure, .. } = &event
                && state.is_terminal()
            {
                let why = failure.as_ref().map(|failure| format!(": {failure}")).unwrap_or_default();
                world.note(&self.name, format!("{attempt} {state}{why}"));
            }
            if self.dies_reporting(&event, me, world) {
                return;
            }
            self.report(event.into(), me, world);
        }
        match step {
            Step::Progress => world.later(5..150, me, Done::Step(attempt)),
            Step::Wait { until } => {
                self.waiting.insert(attempt);
                if let Some(until) = until {
                    let at = world.moment_of(me, until);
                    world.schedule(at, Happening::Process(me, Input::Done(Done::Alarm(attempt))));
                }
            }
            Step::Ended(_) => {
                self.tasks.remove(&attempt);
                self.waiting.remove(&attempt);
                self.enumerators.remove(&attempt);
            }
        }
    }

    /// Failures do not say where on this machine the seed was run.
    fn forget_scratch(&self, event: &mut TaskEvent, world: &World) {
        let failure = match event {
            TaskEvent::State { failure: Some(failure), .. } => failure,
            TaskEvent::StateWritten { result: Err(failure), .. } => failure,
            _ => return,
        };
        if let Some(spec) = world.scenario.jobs.iter().find(|spec| spec.job == self.id.job) {
            let told = std::mem::replace(failure, Failure::transient(String::new()));
            *failure = spec.storage.without_scratch(told);
        }
    }

    /// Whether it is killed between what a checkpoint has it do and saying so: of a file a half may be left.
    fn dies_reporting(&self, event: &TaskEvent, me: Pid, world: &mut World) -> bool {
        let written = match event {
            TaskEvent::StateWritten { result, .. } => result.as_ref().ok().and_then(Option::as_ref),
            TaskEvent::Cut { .. } => None,
            _ => return false,
        };
        let scenario = Arc::clone(&world.scenario);
        let spec = scenario.jobs.iter().find(|spec| spec.job == self.id.job);
        if world.planted == Some(Bug::StateAcknowledgedEarly)
            && let (Some(file), Some(spec)) = (written, spec)
            && world.faults.strikes(&mut world.rng, 20)
        {
            // It is not durable, and nobody waited for that.
            spec.storage.tear(&file.path);
            return false;
        }
        if !world.faults.strikes(&mut world.rng, DIES_REPORTING_ONE_IN) {
            return false;
        }
        if let (Some(file), Some(spec)) = (written, spec)
            && world.rng.bool()
        {
            spec.storage.tear(&file.path);
        }
        world.die(me, "before it has reported its part of a checkpoint");
        true
    }

    fn report(&self, message: ToJobManager, me: Pid, world: &mut World) {
        if let Some(link) = self.link {
            world.send(me, link, message);
        }
    }

    fn discover(&mut self, attempt: ExecutionAttemptId, node: NodeIndex, me: Pid, world: &mut World) {
        let Some(task) = self.tasks.get(&attempt) else { return };
        let Some(ProgramCode::Source(source)) = self.blueprint.program.get(node).map(|operator| &operator.code) else {
            return;
        };
        let found = match self.enumerators.get_mut(&attempt) {
            Some(enumerator) => enumerator.discover(),
            None => task.context_of(&self.blueprint, node).and_then(|context| source.enumerator(&context)).and_then(
                |mut enumerator| {
                    let found = enumerator.discover();
                    self.enumerators.insert(attempt, enumerator);
                    found
                },
            ),
        };
        match found {
            Ok(found) => {
                let complete = found.next == NextDiscovery::Complete;
                let message =
                    ToJobManager::SplitsDiscovered { attempt, operator: node, splits: found.splits, complete };
                self.report(message, me, world);
                if let NextDiscovery::After(pause) = found.next {
                    let again = Input::Done(Done::Discover(attempt, node));
                    world.schedule(world.now + pause, Happening::Process(me, again));
                }
            }
            Err(failure) => task.mail(Mail::Fail(failure)),
        }
    }

    fn commit(
        &mut self,
        operator: NodeIndex,
        committables: Vec<Committable>,
        publication: u64,
        me: Pid,
        world: &mut World,
    ) {
        world.check_commit(self.id.job, &committables);
        if world.faults.strikes(&mut world.rng, DIES_COMMITTING_ONE_IN) {
            let some = world.rng.usize(0..=committables.len());
            let _ = self.sink(operator, |sink| sink.commit(payloads(committables[..some].to_vec())));
            return world.die(me, &format!("with {some} of {} files published", committables.len()));
        }
        let failure = if world.faults.strikes(&mut world.rng, 8) {
            Some(Failure::transient("the store does not answer"))
        } else {
            let done = if world.planted == Some(Bug::CommitNotDone) { Vec::new() } else { committables };
            self.sink(operator, |sink| sink.commit(payloads(done))).err()
        };
        let how = failure.as_ref().map(|failure| format!(": {failure}")).unwrap_or_default();
        world.note(&self.name, format!("publishes the output of operator {operator}{how}"));
        self.report(ToJobManager::Committed { operator, publication, failure }, me, world);
    }

    fn discard(&mut self, operator: NodeIndex, committables: Vec<Committable>, world: &mut World) {
        world.note(&self.name, format!("removes {} files of operator {operator}", committables.len()));
        // Nobody waits for it, as in the runtime.
        let publishes = world.planted == Some(Bug::DiscardedOutputIsPublished);
        let _ = self.sink(operator, |sink| match payloads(committables) {
            payloads if publishes => sink.commit(payloads),
            payloads => sink.discard(payloads),
        });
    }

    fn sink(
        &self,
        operator: NodeIndex,
        work: impl FnOnce(&dyn crate::engine::operators::ErasedSink) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match self.blueprint.program.get(operator).map(|operator| &operator.code) {
            Some(ProgramCode::Sink(sink)) => work(sink.as_ref()),
            _ => Err(Failure::permanent(format!("operator {operator} is no sink"))),
        }
    }
}

fn state_backend(spec: &JobSpec) -> io::Result<StateBackend> {
    let Some(bytes) = spec.state_memory else { return Ok(StateBackend::Hashmap) };
    Ok(StateBackend::Disk(DiskBackend::new(spec.storage.scratch()?, StateMemory::new(bytes))))
}

fn payloads(committables: Vec<Committable>) -> Vec<serde_json::Value> {
    committables.into_iter().map(|committable| committable.payload).collect()
}
