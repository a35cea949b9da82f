//! A JobManager in its container: the JobManager's and JobMaster's cores, the job's storage, its links.

mod ending;
mod launching;
mod links;
mod moments;
mod records;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

pub(super) use self::launching::Launch;
use self::moments::of_checkpoints;
use super::Bug;
use super::actors::Done;
use super::disks::{JobWrite, WrittenBy};
use super::master_link::MasterLink;
use super::messages::{Answer, Request};
use super::network::{HttpId, LinkId};
use super::storage_faults::Volume;
use super::world::{Input, Pid, World};
use crate::engine::checkpoint::{Continuation, Manifest};
use crate::graph::job_graph::{self, JobGraph};
use crate::graph::task::Split;
use crate::ids::{ApplicationAttemptId, JobId, TaskManagerId, WorkerId};
use crate::jobmanager::containers::Shape;
use crate::jobmanager::core::{Core, Settings};
use crate::jobmanager::event::{Effect, Event, LeftCheckpoints, Prepared};
use crate::jobmanager::job_master::{Bounds, CheckpointSettings, Trigger};
use crate::jobmanager::shutdown::{self, Ending};
use crate::protocol::container::LaunchContext;
use crate::protocol::job::JobSubmission;
use crate::protocol::roles::{self, JobManagerEnvironment};
use crate::protocol::task_manager::ToTaskManager;
use crate::resource::Resource;
use crate::time::Now;

/// How long a TaskManager may be without connection.
pub(super) const LOST_AFTER: Duration = Duration::from_secs(5);
/// Of what it does about checkpoints, splits and output.
const DIES_AT_ONE_EFFECT_IN: u32 = 400;
const DIES_WRITING_A_MANIFEST_ONE_IN: u32 = 25;
const FREEZES_WRITING_A_MANIFEST_ONE_IN: u32 = 60;
/// The ResourceManager hears nothing of it for 20 s, another leads soon, and its NodeManager kills it 2 s later: one that goes on in
/// between writes the manifest next.
const REPLACED_AND_NOT_YET_KILLED_MS: std::ops::Range<u64> = 20_300..22_000;
const SECRET: &str = "the application's secret";

/// A JobManager's process.
pub(super) struct JobManager {
    name: String,
    host: String,
    address: String,
    attempt: ApplicationAttemptId,
    submission: JobSubmission,
    core: Core,
    master: MasterLink,
    pending: VecDeque<Effect>,
    writing: Option<(JobId, JobWrite)>,
    task_managers: BTreeMap<TaskManagerId, LinkId>,
    workers: BTreeMap<WorkerId, LinkId>,
    peers: BTreeMap<LinkId, Peer>,
    launches: BTreeMap<HttpId, Launch>,
    preparing: bool,
    prepared: Option<Prepared>,
    open: BTreeSet<JobId>,
    ending: Ending,
    /// Whether jobs are cancelled by the end of this process.
    stopping: bool,
    wakes: BTreeSet<Now>,
    last_split: Option<Split>,
    /// Whether the decision to publish was made or found here.
    decided: bool,
}

#[derive(Clone)]
enum Peer {
    TaskManager(TaskManagerId),
    Worker(WorkerId),
}

impl JobManager {
    /// From what its container was launched with.
    pub(super) fn new(name: &str, host: &str, pid: Pid, context: &LaunchContext) -> Result<Self, String> {
        let json = context.environment.get(roles::JOB_MANAGER).ok_or("no environment")?;
        let environment: JobManagerEnvironment = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let attempt = context.environment.get(roles::APPLICATION_ATTEMPT_ID).ok_or("no attempt")?;
        let attempt: ApplicationAttemptId = attempt.parse().map_err(|_| "no attempt id".to_owned())?;
        let token = context.tokens.get("AMRM").cloned().ok_or("no token")?;
        let submission = environment.job.ok_or("no job")?;
        let slots = submission.configuration.get("slots").and_then(|slots| slots.parse().ok()).unwrap_or(1);
        let address = format!("{host}:{}", 40_000 + pid.0);
        let shape = Shape { slots, capability: Resource::new(512, slots) };
        let settings = Settings {
            attempt: attempt.attempt,
            job_manager: address.clone(),
            secret: SECRET.to_owned(),
            lost_after: LOST_AFTER,
            containers: Some(shape.clone()),
            idle_after: Duration::from_secs(2),
            slot_timeout: Duration::from_secs(300),
            previous_worker_timeout: Duration::from_secs(3),
            ended_jobs_max: 50,
            seed: u64::from(pid.0),
        };
        Ok(Self {
            name: name.to_owned(),
            host: host.to_owned(),
            core: Core::new(settings),
            master: MasterLink::new(attempt, token, shape, &address),
            address,
            attempt,
            submission,
            pending: VecDeque::new(),
            writing: None,
            task_managers: BTreeMap::new(),
            workers: BTreeMap::new(),
            peers: BTreeMap::new(),
            launches: BTreeMap::new(),
            preparing: false,
            prepared: None,
            open: BTreeSet::new(),
            ending: Ending::No,
            stopping: false,
            wakes: BTreeSet::new(),
            last_split: None,
            decided: false,
        })
    }

    pub(super) fn start(&mut self, me: Pid, world: &mut World) {
        world.ledger.begins(self.attempt);
        world.net.listen(self.address.clone(), me);
        self.master.open(me, &self.host, world);
        let submission = self.submission.clone();
        self.open.insert(submission.job);
        self.apply(Event::Submitted(Box::new(submission)), me, world);
    }

    pub(super) fn torn(self, world: &mut World) {
        if let Some((job, write)) = self.writing
            && world.rng.bool()
        {
            // Refused or not, nobody is there to be told.
            let _ = world.disks.job(self.attempt.application, job).create(self.attempt.attempt, write);
        }
    }

    pub(super) fn handle(&mut self, input: Input, me: Pid, world: &mut World) {
        match input {
            Input::Link(link, event) if self.master.is(link) => {
                for news in self.master.news(event, me, world) {
                    self.master_news(news, me, world);
                }
            }
            Input::Link(link, event) => self.link(link, event, me, world),
            Input::Request(id, Request::CancelJob(job)) => {
                self.apply(Event::Cancel { job }, me, world);
                world.answer(id, Answer::Taken);
            }
            Input::Request(id, Request::RescaleJob(job, parallelism)) => {
                self.rescale(job, parallelism, me, world);
                world.answer(id, Answer::Taken);
            }
            Input::Request(id, Request::DrainJob(job, savepoint)) => {
                world.note(&self.name, format!("is to drain job {}", job.0));
                let savepoint =
                    Trigger { id: savepoint, savepoint: Some("savepoints".to_owned()), then: Continuation::Drain };
                self.apply(Event::Trigger { job, trigger: savepoint }, me, world);
                world.answer(id, Answer::Taken);
            }
            Input::Request(id, _) => world.answer(id, Answer::Refused("not found".to_owned())),
            Input::Answered(id, answer) => {
                self.launch_answered(id, answer, me, world);
            }
            Input::Wake => {
                let now = world.wall();
                self.wakes.retain(|at| *at > now);
                self.apply(Event::Wake, me, world);
                self.finish_if_drained(me, world);
            }
            Input::Durable => self.durable(me, world),
            Input::Terminate => self.begin_end("the JobManager is stopped", me, world),
            Input::Done(Done::Prepare(job)) => self.prepare(job, me, world),
            Input::Done(Done::LaunchAgain(launch)) => self.launch(*launch, me, world),
            Input::Done(Done::WriteManifest(manifest, counts)) => self.manifest_written(manifest, counts, me, world),
            Input::Done(_) => {}
        }
        self.leave_if_over(me, world);
    }

    fn apply(&mut self, event: Event, me: Pid, world: &mut World) {
        let mut effects = Vec::new();
        if let Err(refused) = self.core.apply(event, world.wall(), &mut effects) {
            world.stats.illegal += 1;
            world.note(&self.name, format!("refused: {refused}"));
        }
        self.pending.extend(effects);
        self.perform(me, world);
    }

    /// Gives every vertex of the job this parallelism, if that goes now.
    fn rescale(&mut self, job: JobId, parallelism: u32, me: Pid, world: &mut World) {
        let Some(master) = self.core.job(job).and_then(|job| job.master()) else { return };
        let all = Bounds { lower: 1, upper: parallelism };
        let requirements = master.graph().vertices.iter().map(|vertex| (vertex.id, all)).collect();
        world.note(&self.name, format!("is to give job {} the parallelism {parallelism}", job.0));
        self.apply(Event::Rescale { job, requirements }, me, world);
    }

    fn perform(&mut self, me: Pid, world: &mut World) {
        while self.writing.is_none() && !world.is_exiting() {
            let Some(effect) = self.pending.pop_front() else { break };
            let what = of_checkpoints(&effect);
            let dies = what.is_some() && world.faults.strikes(&mut world.rng, DIES_AT_ONE_EFFECT_IN);
            if dies && world.rng.bool() {
                return world.die(me, &format!("before it has done: {}", what.unwrap_or_default()));
            }
            self.effect(effect, me, world);
            if dies {
                return world.die(me, &format!("after it has done: {}", what.unwrap_or_default()));
            }
        }
    }

    fn effect(&mut self, effect: Effect, me: Pid, world: &mut World) {
        match effect {
            Effect::Prepare(submission) => {
                self.preparing = true;
                world.later(30..400, me, Done::Prepare(submission.job));
            }
            Effect::AbortPreparation { .. } => self.preparing = false,
            // A later attempt decides now.
            Effect::Persist { .. } if self.ending.is_fenced() => {}
            Effect::Persist { job, record } => self.persist(job, record, me, world),
            Effect::WriteManifest { manifest, counts } => {
                let pause = world.storage_pause(1..80);
                world.later(pause, me, Done::WriteManifest(manifest, counts));
                if world.faults.strikes(&mut world.rng, FREEZES_WRITING_A_MANIFEST_ONE_IN) {
                    let range = if world.rng.bool() { REPLACED_AND_NOT_YET_KILLED_MS } else { 5_000..30_000 };
                    let for_ms = world.rng.u64(range);
                    world.freeze(me, &self.name, for_ms);
                }
            }
            // It may be the later attempt's beginning, or what somebody goes on from by hand.
            Effect::DiscardCheckpoint { .. } | Effect::DiscardOtherCheckpoints { .. } if self.stopping => {}
            Effect::DiscardOtherCheckpoints { job, directory, retained } => {
                let scenario = world.scenario.clone();
                let Some(spec) = scenario.job_of_program(&self.submission.program.name) else { return };
                let files = world.disks.job(self.attempt.application, job);
                if files.outcome().is_none() {
                    let what = format!("{} removes the checkpoints of job {}, which has not ended", self.name, job.0);
                    world.ledger.violated(what);
                }
                spec.storage.discard_others(&directory, &retained);
                self.finish_if_drained(me, world);
            }
            Effect::DiscardCheckpoint { job, directory } => {
                let scenario = world.scenario.clone();
                let Some(spec) = scenario.job_of_program(&self.submission.program.name) else { return };
                let files = world.disks.job(self.attempt.application, job);
                if files.counts_on(&directory, spec.retained) && !spec.storage.is_damaged(&directory) {
                    let what = format!("{} removes {directory}, from which job {} may go on", self.name, job.0);
                    world.ledger.violated(what);
                }
                spec.storage.discard(&directory);
                self.finish_if_drained(me, world);
            }
            Effect::CheckpointFailed { checkpoint, failure, .. } => {
                world.note(&self.name, format!("checkpoint {checkpoint} failed: {failure}"));
            }
            Effect::ToTaskManager { task_manager, message } => {
                let what = match &message {
                    ToTaskManager::StartWorker(start) => format!("start worker {}", start.worker.incarnation),
                    ToTaskManager::StopWorker { worker, .. } => format!("stop worker {}", worker.incarnation),
                    ToTaskManager::JobEnded { .. } => "the job has ended".to_owned(),
                    ToTaskManager::Shutdown { .. } => "shut down".to_owned(),
                };
                world.note(&self.name, format!("tells {task_manager}: {what}"));
                if let Some(link) = self.task_managers.get(&task_manager) {
                    world.send(me, *link, message);
                }
            }
            Effect::DropTaskManager { task_manager, why } => {
                world.note(&self.name, format!("gives TaskManager {task_manager} up: {why}"));
                if let Some(link) = self.task_managers.remove(&task_manager) {
                    self.peers.remove(&link);
                    world.send_away(me, link, "fenced");
                }
            }
            Effect::ToWorker { worker, message } => self.tell_worker(worker, message, me, world),
            Effect::AskContainers { count } => {
                world.note(&self.name, format!("asks for {count} containers"));
                self.master.ask(count, me, world);
            }
            Effect::ReleaseContainer(container) => {
                world.note(&self.name, format!("releases {container}"));
                self.master.release(container, me, world);
            }
            Effect::Launch(allocation) => self.launch(Launch { allocation: *allocation, since: world.now }, me, world),
            Effect::TookOver(takeover) => world.note(&self.name, self.core.said_of(&takeover)),
            Effect::Wake { at } => {
                if self.wakes.insert(at) {
                    world.wake_at(me, at);
                }
            }
            Effect::StatusChanged { job, from, to } => {
                world.note(&self.name, format!("job {} {from} -> {to}", job.0));
            }
            Effect::RescaleEnded { job, record } => {
                world.note(
                    &self.name,
                    format!("parallelism of job {}: {:?} {:?}", job.0, record.status, record.failure),
                );
            }
            Effect::Ended { outcome, .. } => {
                let why = outcome.failure.as_ref().map(|failure| format!(": {failure}")).unwrap_or_default();
                world.note(&self.name, format!("job ended {}{why}", outcome.status));
                self.drain(shutdown::final_status(&outcome), me, world);
            }
            Effect::Forgotten { .. } => {}
            Effect::Closed { job } => {
                self.open.remove(&job);
                self.finish_if_drained(me, world);
            }
        }
    }

    /// The program has been fetched and asked, or what is stored is taken up.
    fn prepare(&mut self, job: JobId, me: Pid, world: &mut World) {
        if !std::mem::replace(&mut self.preparing, false) {
            return;
        }
        let files = world.disks.job(self.attempt.application, job);
        let decision = files.decision().cloned();
        self.decided = decision.is_some();
        if let Some(outcome) = files.outcome().cloned() {
            world.note(&self.name, format!("finds the job ended {}", outcome.status));
            let left = LeftCheckpoints { directory: "checkpoints".to_owned(), retained: Vec::new() };
            return self.apply(Event::FoundEnded { job, outcome, left: Some(left) }, me, world);
        }
        let scenario = world.scenario.clone();
        let Some(spec) = scenario.job_of_program(&self.submission.program.name) else { return };
        let plan = files_plan(world, self.attempt, job).unwrap_or_else(|| spec.plan.clone());
        let settings = job_graph::Settings { default_parallelism: spec.parallelism, chaining: true };
        let requirements = world.disks.job(self.attempt.application, job).requirements(self.attempt.attempt).cloned();
        if world.is_full(Volume::Jobs) {
            world.note(&self.name, "cannot write: no space left on device");
            return world.exit(me, 1);
        }
        let files = world.disks.job(self.attempt.application, job);
        let is_whole = |manifest: &Manifest| spec.storage.has_all_of(manifest);
        let mut restore = match files.begin_checkpoints(self.attempt.attempt, spec.retained, is_whole) {
            Ok(restore) => restore,
            Err(WrittenBy(other)) => {
                world.note(&self.name, format!("fenced: attempt {other} has begun already"));
                return world.exit(me, 1);
            }
        };
        let kept: Vec<String> = restore.iter().map(|manifest| manifest.directory.clone()).collect();
        spec.storage.discard_others("checkpoints", &kept);
        if world.planted == Some(Bug::GoesOnFromAnEarlierCheckpoint) {
            restore = world.disks.job(self.attempt.application, job).earlier_checkpoint().into_iter().collect();
        }
        if world.planted == Some(Bug::DrainedJobGoesOn) {
            restore.iter_mut().for_each(|manifest| Arc::make_mut(manifest).drained = false);
        }
        let prepared = Prepared {
            graph: JobGraph::new(&plan, settings).expect("scenarios have valid graphs"),
            plan: plan.clone(),
            configuration: self.submission.configuration.clone(),
            restart_strategy: spec.restart_strategy.clone(),
            cancel_timeout: Duration::from_secs(5),
            decision,
            checkpoints: CheckpointSettings {
                interval: spec.checkpoint_interval,
                timeout: Duration::from_secs(3),
                retained: spec.retained,
                directory: "checkpoints".to_owned(),
                ..CheckpointSettings::default()
            },
            restore,
            requirements,
            recovery: None,
        };
        self.prepared = Some(prepared);
        self.writing = Some((job, JobWrite::Plan(Box::new(plan))));
        world.flush(me);
    }
}

fn files_plan(world: &mut World, attempt: ApplicationAttemptId, job: JobId) -> Option<crate::graph::plan::Plan> {
    world.disks.job(attempt.application, job).plan.clone()
}
