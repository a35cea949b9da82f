//! Given a state, when an event comes, then exactly these effects.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::graph::job_graph;
use crate::graph::plan::{
    Chaining, ExecutionMode, OperatorCode, PLAN_VERSION, Partitioner, PlanEdge, PlanNode, operator_id,
};
use crate::graph::task::{ExecutionState, Failure, Split, TaskMetrics};
use crate::ids::TaskManagerId;
use crate::protocol::container::ExitCause;
use crate::protocol::worker::ToWorker;

pub(super) const JOB: JobId = JobId(7);
pub(super) const SOURCE: NodeIndex = NodeIndex(0);
pub(super) const SINK: NodeIndex = NodeIndex(1);

/// `source ─hash─► sink`, both with `parallelism`.
pub(crate) fn plan(parallelism: u32) -> Arc<Plan> {
    let node = |name: &str, kind| PlanNode {
        operator_id: operator_id(Some(name), 0, name),
        uid: Some(name.to_owned()),
        name: name.to_owned(),
        kind,
        code: OperatorCode::Program,
        parallelism: Some(parallelism),
        max_parallelism: None,
        chaining: Chaining::Always,
        slot_sharing_group: "default".to_owned(),
        output_type: String::new(),
        delivery: crate::graph::delivery::DeliveryGuarantee::default(),
        description: String::new(),
    };
    Arc::new(Plan {
        version: PLAN_VERSION,
        name: "count".to_owned(),
        execution_mode: ExecutionMode::Automatic,
        parallelism: None,
        configuration: BTreeMap::new(),
        nodes: vec![node("source", NodeKind::Source { bounded: true }), node("sink", NodeKind::Sink)],
        edges: vec![PlanEdge {
            source: SOURCE,
            target: SINK,
            input: 0,
            partitioner: Partitioner::Hash,
            side_output: None,
        }],
        once: BTreeMap::new(),
        accumulators: Default::default(),
    })
}

pub(super) fn tm(name: &str) -> TaskManagerId {
    TaskManagerId(name.to_owned())
}

pub(super) fn worker(name: &str, incarnation: u32) -> WorkerId {
    WorkerId { task_manager: tm(name), job: JOB, incarnation }
}

/// A job and the time.
pub(super) struct Job {
    pub(super) master: JobMaster,
    now: Now,
}

impl Job {
    pub(super) fn new(parallelism: u32, restart_strategy: RestartStrategy) -> Self {
        let plan = plan(parallelism);
        let graph = JobGraph::new(&plan, job_graph::Settings { default_parallelism: 1, chaining: true }).unwrap();
        let settings = Settings { restart_strategy, ..Settings::default() };
        Self { master: JobMaster::new(JOB, plan, graph, settings, Now(0)), now: Now(0) }
    }

    pub(super) fn on(&mut self, event: Event) -> Vec<Effect> {
        self.try_on(event).unwrap()
    }

    fn try_on(&mut self, event: Event) -> Result<Vec<Effect>, Illegal> {
        let mut out = Vec::new();
        self.master.apply(event, self.now, &mut out)?;
        Ok(out)
    }

    pub(super) fn at(&mut self, milliseconds: u64) -> &mut Self {
        self.now = Now(milliseconds);
        self
    }

    pub(super) fn offer(&mut self, name: &str, slots: u32) -> Vec<Effect> {
        self.on(Event::SlotsOffered { task_manager: tm(name), slots })
    }

    fn register(&mut self, worker: WorkerId) -> Vec<Effect> {
        let data_address = format!("{}:9000", worker.task_manager);
        let plan_hash = self.master.plan.hash();
        self.on(Event::WorkerRegistered { worker, pid: 1, data_address, plan_hash })
    }

    /// Parallelism 2 on two TaskManagers, deployed.
    fn running(restart_strategy: RestartStrategy) -> Self {
        let mut job = Self::new(2, restart_strategy);
        job.on(Event::Start);
        job.offer("a", 1);
        job.offer("b", 1);
        job.register(worker("a", 1));
        job.register(worker("b", 1));
        assert_eq!(job.master.status(), JobStatus::Running);
        job
    }

    fn attempt(&self, vertex: usize, subtask: usize) -> ExecutionAttemptId {
        self.master.execution.id(&self.master.graph, (vertex, subtask))
    }

    fn task(&mut self, worker: &WorkerId, attempt: ExecutionAttemptId, state: ExecutionState) -> Vec<Effect> {
        self.on(report(worker, attempt, state, None, Vec::new()))
    }

    fn fail_task(&mut self, worker: &WorkerId, attempt: ExecutionAttemptId, failure: Failure) -> Vec<Effect> {
        self.on(report(worker, attempt, ExecutionState::Failed, Some(failure), Vec::new()))
    }

    /// Finishes every task; each sink prepared one file. Returns the last effects.
    fn finish_all(&mut self) -> Vec<Effect> {
        let mut out = Vec::new();
        for (vertex, subtask, name) in [(0, 0, "a"), (0, 1, "b"), (1, 0, "a"), (1, 1, "b")] {
            let file = Committable { operator: SINK, payload: serde_json::json!(subtask) };
            let committables = if vertex == 1 { vec![file] } else { Vec::new() };
            let attempt = self.attempt(vertex, subtask);
            out = self.on(report(&worker(name, 1), attempt, ExecutionState::Finished, None, committables));
        }
        out
    }
}

pub(crate) fn report(
    worker: &WorkerId,
    attempt: ExecutionAttemptId,
    state: ExecutionState,
    failure: Option<Failure>,
    committables: Vec<Committable>,
) -> Event {
    let message = ToJobManager::TaskState { attempt, state, failure, committables, metrics: TaskMetrics::default() };
    Event::Worker { worker: worker.clone(), message }
}

fn status(from: JobStatus, to: JobStatus) -> Effect {
    Effect::StatusChanged { from, to }
}

fn tell(worker: WorkerId, message: ToWorker) -> Effect {
    Effect::ToWorker { worker, message }
}

pub(super) fn exited(worker: WorkerId, cause: ExitCause) -> Event {
    Event::WorkerExited { worker, cause, diagnostics: String::new() }
}

const FIXED: RestartStrategy = RestartStrategy::FixedDelay { attempts: 3, delay: Duration::from_secs(1) };

#[test]
fn a_job_asks_for_its_slots_starts_a_worker_a_task_manager_and_deploys_once_all_have_joined() {
    let mut job = Job::new(2, RestartStrategy::None);
    let created = status(JobStatus::Initializing, JobStatus::Created);
    let late = Effect::Wake { at: Now(300_000) };
    assert_eq!(job.on(Event::Start), [created, Effect::RequestSlots { count: 2 }, late]);
    assert_eq!(job.offer("a", 1), []);
    assert_eq!(
        job.offer("b", 1),
        [
            Effect::StartWorker { worker: worker("a", 1), slots: 1 },
            Effect::StartWorker { worker: worker("b", 1), slots: 1 },
            Effect::Wake { at: Now(60_000) },
        ]
    );
    assert_eq!(job.register(worker("b", 1)), []);
    let deployed = job.register(worker("a", 1));
    let [Effect::ToWorker { worker: first, message: ToWorker::Deploy { tasks } }, Effect::ToWorker { .. }, running] =
        deployed.as_slice()
    else {
        panic!("{deployed:?}")
    };
    assert_eq!(*first, worker("a", 1));
    assert_eq!(*running, status(JobStatus::Created, JobStatus::Running));
    let names: Vec<_> = tasks.iter().map(|task| (task.name.as_str(), task.attempt.subtask)).collect();
    assert_eq!(names, [("source", 0), ("sink", 0)]);
    assert_eq!(tasks[0].outputs[0].consumers.len(), 2);
    let producers: Vec<_> = tasks[1].inputs[0].producers.iter().map(|p| p.data_address.as_str()).collect();
    assert_eq!(producers, ["a:9000", "b:9000"]);
}

#[test]
fn one_worker_holds_all_slots_of_its_task_manager() {
    let mut job = Job::new(2, RestartStrategy::None);
    job.on(Event::Start);
    assert_eq!(job.offer("a", 2)[0], Effect::StartWorker { worker: worker("a", 1), slots: 2 });
    assert_eq!(job.register(worker("a", 1)).len(), 2, "one deployment and the status");
}

#[test]
fn a_job_without_output_finishes_and_gives_each_slot_back_when_its_worker_has_exited() {
    let mut job = Job::running(RestartStrategy::None);
    for (vertex, subtask, name) in [(0, 0, "a"), (0, 1, "b"), (1, 0, "a")] {
        let attempt = job.attempt(vertex, subtask);
        assert_eq!(job.task(&worker(name, 1), attempt, ExecutionState::Finished), []);
    }
    let last = job.attempt(1, 1);
    let outcome = Outcome { status: JobStatus::Finished, failure: None, at: Now(0) };
    assert_eq!(
        job.task(&worker("b", 1), last, ExecutionState::Finished),
        [
            Effect::RequestSlots { count: 0 },
            Effect::Persist(Record::Outcome(outcome.clone())),
            status(JobStatus::Running, JobStatus::Finished),
            Effect::Ended(outcome),
            tell(worker("a", 1), ToWorker::Shutdown),
            tell(worker("b", 1), ToWorker::Shutdown),
            Effect::Wake { at: Now(3000) },
        ]
    );
    let release = |name| Effect::ReleaseSlots { task_manager: tm(name), slots: 1 };
    assert_eq!(job.on(Event::WorkerLost { worker: worker("a", 1), why: "closed".into() }), []);
    assert_eq!(job.on(exited(worker("a", 1), ExitCause::Completed { code: 0 })), [release("a")]);
    let stop = Effect::StopWorker { worker: worker("b", 1), grace_ms: 0 };
    assert_eq!(job.at(3000).on(Event::Wake), [stop, release("b"), Effect::Closed]);
    assert_eq!(job.offer("c", 1), [Effect::ReleaseSlots { task_manager: tm("c"), slots: 1 }]);
}

#[test]
fn output_is_decided_durably_before_it_is_committed_and_the_job_finishes_after() {
    let mut job = Job::running(RestartStrategy::None);
    let out = job.finish_all();
    let files: Vec<_> =
        [0, 1].map(|n| Committable { operator: SINK, payload: serde_json::json!(n) }).into_iter().collect();
    let decision = Decision { committables: [(SINK, files.clone())].into() };
    let commit = ToWorker::Commit { operator: SINK, committables: files, publication: 1 };
    assert_eq!(out, [Effect::Persist(Record::Decision(decision.clone())), tell(worker("a", 1), commit.clone())]);
    assert!(job.try_on(Event::Cancel).unwrap_err().to_string().contains("publishing its output"));
    // The worker dies over it: another one publishes again, whatever the first has done.
    assert_eq!(job.on(exited(worker("a", 1), ExitCause::Signal { signal: 9 })), [tell(worker("b", 1), commit.clone())]);
    let committed = ToJobManager::Committed { operator: SINK, publication: 1, failure: None };
    let out = job.on(Event::Worker { worker: worker("b", 1), message: committed });
    assert_eq!(out[2], status(JobStatus::Running, JobStatus::Finished));

    // A JobManager that starts with the decision publishes without running anything.
    let mut job = Job::new(2, RestartStrategy::None);
    job.master.resume_publication(decision);
    assert_eq!(job.on(Event::Start)[1], Effect::RequestSlots { count: 1 });
    job.offer("a", 1);
    assert_eq!(job.register(worker("a", 1)), [tell(worker("a", 1), commit)]);
}

#[test]
fn a_worker_killed_without_a_strategy_fails_the_job_with_the_cause_first() {
    let mut job = Job::running(RestartStrategy::None);
    let (source, sink) = (job.attempt(0, 1), job.attempt(1, 1));
    let lost = Event::WorkerLost { worker: worker("a", 1), why: "connection reset".into() };
    assert_eq!(
        job.on(lost),
        [
            status(JobStatus::Running, JobStatus::Failing),
            tell(worker("b", 1), ToWorker::Cancel { attempts: vec![source, sink] }),
            Effect::Wake { at: Now(250) },
            Effect::Wake { at: Now(30_000) },
        ]
    );
    job.task(&worker("b", 1), source, ExecutionState::Canceled);
    // The neighbour saw its peer vanish; what the TaskManager knows is better.
    assert_eq!(job.fail_task(&worker("b", 1), sink, Failure::transient("peer reset")), []);
    let out = job.at(20).on(exited(worker("a", 1), ExitCause::Signal { signal: 9 }));
    let Some(Effect::Ended(Outcome { failure: Some(failure), .. })) =
        out.iter().find(|effect| matches!(effect, Effect::Ended(_)))
    else {
        panic!("{out:?}")
    };
    assert!(failure.message.starts_with("worker on a was killed by signal 9 (not restarted: "), "{failure}");
}

#[test]
fn a_restart_runs_everything_again_on_the_slots_alive_and_ignores_what_was_before() {
    let mut job = Job::running(FIXED);
    let old = job.attempt(0, 0);
    let out = job.fail_task(&worker("a", 1), old, Failure::user("bad record"));
    assert_eq!(out[0], status(JobStatus::Running, JobStatus::Restarting));
    for (vertex, subtask, name) in [(0, 1, "b"), (1, 0, "a")] {
        let attempt = job.attempt(vertex, subtask);
        assert_eq!(job.task(&worker(name, 1), attempt, ExecutionState::Canceled), []);
    }
    let last = job.attempt(1, 1);
    assert_eq!(job.task(&worker("b", 1), last, ExecutionState::Canceled), [Effect::Wake { at: Now(1000) }]);
    assert_eq!(job.at(999).on(Event::Wake), []);
    let out = job.at(1000).on(Event::Wake);
    assert_eq!(out.len(), 3, "two deployments to the workers alive, and the status: {out:?}");
    assert_eq!(job.attempt(0, 0).attempt, 1);
    assert_eq!(job.task(&worker("a", 1), old, ExecutionState::Finished), [], "stale");
    assert_eq!(job.master.stale_messages(), 1);
    assert_eq!(job.master.failures().len(), 1);
    assert_eq!(job.master.failures()[0].task.as_deref(), Some("source (1/2)"));
}

#[test]
fn a_lost_task_manager_is_replaced() {
    let mut job = Job::running(FIXED);
    let (source, sink) = (job.attempt(0, 1), job.attempt(1, 1));
    job.on(Event::SlotsLost { task_manager: tm("a"), why: "no sign of life for 5 s".into() });
    job.task(&worker("b", 1), source, ExecutionState::Canceled);
    job.task(&worker("b", 1), sink, ExecutionState::Canceled);
    let late = Effect::Wake { at: Now(301_000) };
    assert_eq!(job.at(1000).on(Event::Wake), [Effect::RequestSlots { count: 2 }, late]);
    let out = job.offer("c", 1);
    assert_eq!(out[0], Effect::StartWorker { worker: worker("c", 1), slots: 1 });
    job.register(worker("c", 1));
    assert_eq!(job.master.status(), JobStatus::Running);
    assert_eq!(job.master.failures()[0].failure.message, "TaskManager a lost: no sign of life for 5 s");
}

#[test]
fn the_same_failure_thrice_ends_a_job_that_would_restart_for_ever() {
    let mut job = Job::running(RestartStrategy::FixedDelay { attempts: 100, delay: Duration::ZERO });
    for _ in 0..3 {
        let failing = job.attempt(0, 0);
        job.fail_task(&worker("a", 1), failing, Failure::user("cannot parse").in_operator("source"));
        for (vertex, subtask, name) in [(0, 1, "b"), (1, 0, "a"), (1, 1, "b")] {
            let attempt = job.attempt(vertex, subtask);
            job.task(&worker(name, 1), attempt, ExecutionState::Canceled);
        }
    }
    let outcome = job.master.outcome().unwrap();
    assert_eq!(outcome.status, JobStatus::Failed);
    let message = outcome.failure.as_ref().unwrap().to_string();
    let wanted =
        "cannot parse (failed 3 times in a row in the same way; a restart will not help) (in operator \"source\")";
    assert_eq!(message, wanted);
}

#[test]
fn tasks_that_do_not_stop_in_time_lose_their_worker() {
    let mut job = Job::running(RestartStrategy::None);
    job.on(Event::Cancel);
    assert_eq!(job.master.status(), JobStatus::Cancelling);
    for vertex in [0, 1] {
        let attempt = job.attempt(vertex, 0);
        job.task(&worker("a", 1), attempt, ExecutionState::Canceled);
    }
    let out = job.at(30_000).on(Event::Wake);
    assert_eq!(out[0], Effect::StopWorker { worker: worker("b", 1), grace_ms: 0 });
    assert!(out.contains(&status(JobStatus::Cancelling, JobStatus::Canceled)), "{out:?}");
}

#[test]
fn prepared_output_of_a_failed_run_is_discarded() {
    let mut job = Job::running(RestartStrategy::None);
    let file = Committable { operator: SINK, payload: serde_json::json!("part") };
    let sink = job.attempt(1, 0);
    job.on(report(&worker("a", 1), sink, ExecutionState::Finished, None, vec![file.clone()]));
    job.on(Event::Cancel);
    let mut out = Vec::new();
    for (vertex, subtask, name) in [(0, 0, "a"), (0, 1, "b"), (1, 1, "b")] {
        let attempt = job.attempt(vertex, subtask);
        out = job.task(&worker(name, 1), attempt, ExecutionState::Canceled);
    }
    assert_eq!(out[0], tell(worker("a", 1), ToWorker::Discard { operator: SINK, committables: vec![file] }));
}

#[test]
fn stopping_ends_the_sources_and_hands_out_nothing_more() {
    let mut job = Job::new(1, RestartStrategy::None);
    assert!(job.try_on(Event::Stop).is_err());
    job.on(Event::Start);
    job.offer("a", 1);
    job.register(worker("a", 1));
    let source = job.attempt(0, 0);
    let ask = ToJobManager::SplitRequested { attempt: source, operator: SOURCE, lane: None };
    assert_eq!(job.on(Event::Worker { worker: worker("a", 1), message: ask }), []);
    assert_eq!(
        job.on(Event::Stop),
        [
            tell(worker("a", 1), ToWorker::NoMoreSplits { attempt: source }),
            tell(worker("a", 1), ToWorker::StopSources { attempts: vec![source] }),
        ]
    );
}

#[test]
fn splits_go_to_who_asks_and_reports_about_others_tasks_are_refused() {
    let mut job = Job::running(RestartStrategy::None);
    let (first, second) = (job.attempt(0, 0), job.attempt(0, 1));
    let split = Split { id: "f".into(), payload: serde_json::Value::Null, lane: None };
    let found = ToJobManager::SplitsDiscovered {
        attempt: first,
        operator: SOURCE,
        splits: vec![split.clone()],
        complete: true,
    };
    job.on(Event::Worker { worker: worker("a", 1), message: found });
    let ask = |attempt| ToJobManager::SplitRequested { attempt, operator: SOURCE, lane: None };
    let assigned = job.on(Event::Worker { worker: worker("b", 1), message: ask(second) });
    assert_eq!(assigned, [tell(worker("b", 1), ToWorker::AssignSplit { attempt: second, split })]);
    assert!(job.try_on(Event::Worker { worker: worker("a", 1), message: ask(second) }).is_err());
    let empty = job.on(Event::Worker { worker: worker("a", 1), message: ask(first) });
    assert_eq!(empty, [tell(worker("a", 1), ToWorker::NoMoreSplits { attempt: first })]);
}

#[test]
fn a_worker_that_never_joins_or_built_another_graph_fails_the_job() {
    let mut job = Job::new(1, RestartStrategy::None);
    job.on(Event::Start);
    job.offer("a", 1);
    job.at(60_000).on(Event::Wake);
    let failure = job.master.outcome().unwrap().failure.clone().unwrap();
    assert!(failure.message.starts_with("the worker on a did not join the job within 60 s"), "{failure}");

    let mut job = Job::new(1, RestartStrategy::None);
    job.on(Event::Start);
    job.offer("a", 1);
    let (worker, data_address, plan_hash) = (worker("a", 1), String::new(), "0".to_owned());
    job.on(Event::WorkerRegistered { worker, pid: 1, data_address, plan_hash });
    assert!(job.master.outcome().unwrap().failure.as_ref().unwrap().message.contains("built another graph"));
}

#[test]
fn a_worker_that_is_only_unreachable_is_stopped_before_the_next_one_starts() {
    let mut job = Job::running(FIXED);
    let (source, sink) = (job.attempt(0, 1), job.attempt(1, 1));
    job.on(Event::WorkerLost { worker: worker("a", 1), why: "connection reset".into() });
    job.task(&worker("b", 1), source, ExecutionState::Canceled);
    job.task(&worker("b", 1), sink, ExecutionState::Canceled);
    assert_eq!(job.at(250).on(Event::Wake), [Effect::Wake { at: Now(1000) }]);
    assert_eq!(
        job.at(1000).on(Event::Wake)[..2],
        [
            Effect::StopWorker { worker: worker("a", 1), grace_ms: 0 },
            Effect::StartWorker { worker: worker("a", 2), slots: 1 },
        ]
    );
    assert_eq!(job.on(exited(worker("a", 1), ExitCause::KilledByApplicationMaster)), [], "stale");
}
