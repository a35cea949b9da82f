//! Many jobs on containers that come, go away, come back and die: every job ends, no slot is held by nobody, and what is asked of
//! the ResourceManager ends at nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::graph::job_graph::{self, JobGraph};
use crate::graph::plan::NodeIndex;
use crate::graph::task::{Committable, ExecutionState};
use crate::ids::{ApplicationId, ContainerId, NodeId};
use crate::jobmanager::fakes;
use crate::jobmanager::job_master::tests::{plan, report};
use crate::jobmanager::job_master::{CheckpointSettings, RestartStrategy};
use crate::protocol::application_master::AllocateResponse;
use crate::protocol::container::{
    Allocation, ContainerState, ContainerStatus, Exit, ExitCause, LocalResource, LocalResourceType, Visibility,
};
use crate::protocol::job::Program;
use crate::protocol::task_manager;
use crate::protocol::worker::{self, ToWorker};
use crate::resource::Resource;
use crate::rpc::token::Token;

const JOBS: u128 = 3;

struct World {
    core: Core,
    now: Now,
    pending: Vec<Event>,
    wakes: BTreeSet<Now>,
    /// What the ResourceManager owes.
    owed: u32,
    granted: u64,
    responses: u64,
    alive: BTreeMap<ContainerId, TaskManagerId>,
    closed: BTreeSet<JobId>,
}

fn container(number: u64) -> ContainerId {
    ContainerId::new(ApplicationId { cluster_timestamp: 1, sequence: 1 }.attempt(1), 0, number)
}

fn allocation(container: ContainerId) -> Allocation {
    Allocation {
        container,
        node: NodeId::new("n", 1),
        node_http_address: "n:1".to_owned(),
        resource: Resource::new(256, 2),
        priority: 1,
        allocation_request_id: 0,
        token: Token { kind: String::new(), service: String::new(), identifier: Vec::new(), password: Vec::new() },
    }
}

fn submission(job: JobId) -> JobSubmission {
    let executable = LocalResource {
        url: String::new(),
        size: 0,
        sha256: None,
        kind: LocalResourceType::File,
        visibility: Visibility::Public,
        executable: true,
    };
    let (arguments, environment, files) = Default::default();
    let program = Program { name: "p".to_owned(), executable, arguments, environment, files };
    JobSubmission { job, program, configuration: BTreeMap::new() }
}

impl World {
    fn new() -> Self {
        let settings = Settings {
            attempt: 2,
            job_manager: "jm:1".to_owned(),
            secret: String::new(),
            lost_after: Duration::from_secs(5),
            idle_after: Duration::from_secs(30),
            slot_timeout: Duration::from_secs(300),
            previous_worker_timeout: Duration::from_secs(3),
            ended_jobs_max: 50,
            containers: Some(Shape { slots: 2, capability: Resource::new(256, 2) }),
            seed: 1,
        };
        Self {
            core: Core::new(settings),
            now: Now(0),
            pending: Vec::new(),
            wakes: BTreeSet::new(),
            owed: 0,
            granted: 0,
            responses: 0,
            alive: BTreeMap::new(),
            closed: BTreeSet::new(),
        }
    }

    fn apply(&mut self, event: Event) {
        let mut out = Vec::new();
        let _ = self.core.apply(event, self.now, &mut out); // A refused event changes nothing.
        for effect in out {
            self.perform(effect);
        }
        for (id, offer) in self.core.pool.offers() {
            assert!(offer.granted.values().sum::<u32>() <= offer.slots, "{id} gives more than it has");
            assert!(self.core.task_managers.contains_key(id));
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Prepare(submission) => {
                let plan = plan(u32::try_from(submission.job.0 % 3).unwrap() + 1);
                let graph =
                    JobGraph::new(&plan, job_graph::Settings { default_parallelism: 1, chaining: true }).unwrap();
                let delay = Duration::from_secs(1);
                let prepared = Prepared {
                    plan: (*plan).clone(),
                    graph,
                    configuration: BTreeMap::new(),
                    restart_strategy: RestartStrategy::FixedDelay { attempts: 2, delay },
                    cancel_timeout: Duration::from_secs(5),
                    decision: None,
                    checkpoints: CheckpointSettings::default(),
                    restore: Vec::new(),
                    requirements: None,
                    recovery: None,
                };
                self.pending.push(Event::Planned { job: submission.job, prepared: Box::new(prepared) });
            }
            Effect::AskContainers { count } => self.owed = count,
            Effect::Launch(allocation) => {
                let container = allocation.container;
                let hello = fakes::register(&container.to_string(), Some(container), None);
                self.alive.insert(container, hello.task_manager.clone());
                self.pending.push(Event::TaskManagerRegistered(Box::new(hello)));
            }
            Effect::ReleaseContainer(container) => drop(self.alive.remove(&container)),
            Effect::ToTaskManager { task_manager, message } => self.obey(task_manager, message),
            Effect::ToWorker { worker, message } => self.work(worker, message),
            Effect::Wake { at } => drop(self.wakes.insert(at)),
            Effect::Closed { job } => assert!(self.closed.insert(job), "closed once"),
            Effect::AbortPreparation { .. }
            | Effect::Forgotten { .. }
            | Effect::Persist { .. }
            | Effect::DropTaskManager { .. }
            | Effect::StatusChanged { .. }
            | Effect::DiscardCheckpoint { .. }
            | Effect::DiscardOtherCheckpoints { .. }
            | Effect::CheckpointFailed { .. }
            | Effect::RescaleEnded { .. }
            | Effect::TookOver(_)
            | Effect::WriteManifest { .. }
            | Effect::Ended { .. } => {}
        }
    }

    fn obey(&mut self, task_manager: TaskManagerId, message: ToTaskManager) {
        match message {
            ToTaskManager::StartWorker(start) => {
                assert!(self.core.task_managers.contains_key(&task_manager), "started where nobody is");
                let register = worker::Register {
                    worker: start.worker,
                    pid: 1,
                    data_address: "h:1".to_owned(),
                    plan_hash: start.plan.hash(),
                    secret: String::new(),
                };
                self.pending.push(Event::WorkerRegistered(register));
            }
            ToTaskManager::StopWorker { worker, .. } => self.exit(worker),
            ToTaskManager::JobEnded { .. } | ToTaskManager::Shutdown { .. } => {}
        }
    }

    fn exit(&mut self, worker: WorkerId) {
        let task_manager = worker.task_manager.clone();
        let cause = ExitCause::Completed { code: 0 };
        let message = task_manager::ToJobManager::WorkerExited { worker, cause, diagnostics: String::new() };
        self.pending.push(Event::TaskManager { task_manager, message });
    }

    fn work(&mut self, worker: WorkerId, message: ToWorker) {
        let mut says = |event: job_master::Event| {
            if let job_master::Event::Worker { worker, message } = event {
                self.pending.push(Event::Worker { worker, message });
            }
        };
        match message {
            ToWorker::Deploy { tasks } => {
                for task in tasks {
                    let file = Committable { operator: NodeIndex(1), payload: serde_json::Value::Null };
                    let files = if task.outputs.is_empty() { vec![file] } else { Vec::new() };
                    says(report(&worker, task.attempt, ExecutionState::Finished, None, files));
                }
            }
            ToWorker::Cancel { attempts } => {
                for attempt in attempts {
                    says(report(&worker, attempt, ExecutionState::Canceled, None, Vec::new()));
                }
            }
            ToWorker::Commit { operator, publication, .. } => {
                let message = worker::ToJobManager::Committed { operator, publication, failure: None };
                self.pending.push(Event::Worker { worker, message });
            }
            ToWorker::Shutdown => self.exit(worker),
            ToWorker::AssignSplit { .. }
            | ToWorker::NoMoreSplits { .. }
            | ToWorker::StopSources { .. }
            | ToWorker::TriggerCheckpoint { .. }
            | ToWorker::ResumeSources { .. }
            | ToWorker::Discard { .. } => {}
        }
    }

    fn respond(&mut self, allocated: Vec<Allocation>, completed: Vec<ContainerStatus>) {
        self.responses += 1;
        let response =
            AllocateResponse { response_id: self.responses, allocated, completed, ..AllocateResponse::default() };
        self.apply(Event::Allocated(Box::new(response)));
    }

    fn grant(&mut self) -> bool {
        if self.owed == 0 {
            return false;
        }
        self.owed -= 1;
        self.granted += 1;
        self.respond(vec![allocation(container(self.granted))], Vec::new());
        true
    }

    /// The attempt before has left containers behind, in some of which a TaskManager is looking for this one.
    fn keep(&mut self, left: &[bool]) {
        let containers = || left.iter().zip(1_000..).map(|(comes, number)| (container(number), *comes));
        self.apply(Event::ContainersKept(containers().map(|(container, _)| allocation(container)).collect()));
        for (container, _) in containers().filter(|(_, comes)| *comes) {
            let hello = fakes::register(&container.to_string(), Some(container), None);
            self.alive.insert(container, hello.task_manager.clone());
            self.pending.push(Event::TaskManagerRegistered(Box::new(hello)));
        }
    }

    fn fault(&mut self, choice: usize) {
        let Some((container, id)) = self.alive.iter().nth(choice % self.alive.len().max(1)) else { return };
        let (container, task_manager) = (*container, id.clone());
        match choice / 8 % 6 {
            0 => {
                self.alive.remove(&container);
                let exit = Exit { cause: ExitCause::Signal { signal: 9 }, diagnostics: String::new() };
                let status = ContainerStatus {
                    container,
                    state: ContainerState::Complete,
                    resource: Resource::new(256, 2),
                    priority: 1,
                    exit: Some(exit),
                    stopping: false,
                };
                self.respond(Vec::new(), vec![status]);
            }
            1 => self.apply(Event::TaskManagerAway { task_manager, why: "its link broke".to_owned() }),
            2 => self.apply(Event::TaskManagerBack { task_manager }),
            3 => self.apply(Event::TaskManagerLost { task_manager, why: "it left".to_owned() }),
            4 => self.apply(Event::Cancel { job: JobId(choice as u128 % JOBS) }),
            _ => self.apply(Event::LaunchFailed { container, why: "refused".to_owned(), refused: true }),
        }
    }

    fn step(&mut self, choice: usize, faults_left: &mut u32) -> bool {
        if choice.is_multiple_of(7) && *faults_left > 0 {
            *faults_left -= 1;
            self.fault(choice / 7);
            return true;
        }
        if choice.is_multiple_of(3) && self.grant() {
            return true;
        }
        if !self.pending.is_empty() {
            let event = self.pending.remove(choice / 3 % self.pending.len());
            // What comes over a link that is gone does not come.
            let gone = |id: &TaskManagerId| !self.alive.values().any(|alive| alive == id);
            let lost = match &event {
                Event::TaskManagerRegistered(hello) => gone(&hello.task_manager),
                Event::TaskManager { task_manager, .. } => gone(task_manager),
                Event::WorkerRegistered(hello) => gone(&hello.worker.task_manager),
                Event::Worker { worker, .. } => gone(&worker.task_manager),
                _ => false,
            };
            if !lost {
                self.apply(event);
            }
            return true;
        }
        if self.grant() {
            return true;
        }
        match self.wakes.pop_first() {
            Some(at) => {
                self.now = self.now.max(at);
                self.apply(Event::Wake);
                true
            }
            None => false,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_job_ends_and_nothing_is_held_or_asked_for_after(
        choices in proptest::collection::vec(any::<u16>(), 64),
        faults in 0u32..12,
        left in proptest::collection::vec(any::<bool>(), 0..4),
    ) {
        let mut world = World::new();
        world.keep(&left);
        let mut faults_left = faults;
        for job in 0..JOBS {
            world.apply(Event::Submitted(Box::new(submission(JobId(job)))));
        }
        let mut choices = choices.into_iter().cycle().zip(0usize..6000);
        while world.closed.len() < JOBS as usize || !world.core.task_managers.is_empty() || !world.pending.is_empty() {
            let Some((choice, turn)) = choices.next() else { panic!("never ends: {:?}", world.core) };
            let moved = world.step(usize::from(choice) + turn, &mut faults_left);
            prop_assert!(moved, "stuck: {:?}", world.core);
        }
        prop_assert_eq!(world.owed, 0);
        prop_assert_eq!(world.core.pool.totals(), (0, 0), "idle TaskManagers are given back");
        world.now = world.now + Duration::from_secs(3);
        world.apply(Event::Wake);
        let takeover = world.core.takeover();
        let decided = takeover.map_or(0, |takeover| takeover.taken_over as usize + takeover.given_up.len());
        prop_assert!(takeover.is_none_or(|takeover| takeover.over_at.is_some()) && decided == left.len());
        for job in world.core.jobs() {
            prop_assert!(job.status().is_globally_terminal());
            if faults == 0 {
                prop_assert_eq!(job.status(), JobStatus::Finished);
            }
        }
    }
}

#[test]
fn a_task_manager_whose_link_begins_anew_keeps_its_container_and_the_link() {
    let mut world = World::new();
    world.keep(&[true]);
    let hello = world.pending.pop().unwrap();
    world.apply(hello.clone());
    let mut out = Vec::new();
    world.core.apply(hello, world.now, &mut out).unwrap();
    let given_up = |effect: &Effect| matches!(effect, Effect::ReleaseContainer(_) | Effect::DropTaskManager { .. });
    assert!(!out.iter().any(given_up), "{out:?}");
    assert_eq!(world.core.pool.offers().map(|(_, offer)| offer.slots).sum::<u32>(), 2);
}
