//! Given a running job, when its parallelism is to change: what happens first, what stands still, and what is left if it fails.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::tests::{JOB, SINK, plan, report, tm, worker};
use super::*;
use crate::engine::checkpoint::Continuation;
use crate::graph::checkpoint::{CheckpointTimings, Cut};
use crate::graph::job_graph;
use crate::graph::plan::ExecutionMode;
use crate::graph::task::{ExecutionState, Failure};
use crate::ids::TaskManagerId;
use crate::protocol::container::ExitCause;
use crate::protocol::job::RescaleStatus;
use crate::protocol::worker::ToWorker;

/// A streaming job and the time. Tasks do at once what they are told.
pub(super) struct Job {
    pub(super) master: JobMaster,
    pub(super) now: Now,
    /// What was told besides, in short.
    pub(super) told: Vec<String>,
    /// Where each task runs.
    tasks: BTreeMap<ExecutionAttemptId, WorkerId>,
    pub(super) deployed: usize,
    /// Workers join when they are started.
    obedient: bool,
    pub(super) manifests: Vec<Arc<Manifest>>,
    pub(super) commits: Vec<(WorkerId, NodeIndex, u64)>,
}

impl Job {
    /// Of parallelism 2.
    pub(super) fn new() -> Self {
        Self::of((*plan(2)).clone())
    }

    fn of(mut streaming: Plan) -> Self {
        streaming.execution_mode = ExecutionMode::Streaming;
        let graph = JobGraph::new(&streaming, job_graph::Settings { default_parallelism: 1, chaining: true }).unwrap();
        let delay = Duration::ZERO;
        let restart_strategy = RestartStrategy::FixedDelay { attempts: 3, delay };
        let settings = Settings { restart_strategy, ..Settings::default() };
        let master = JobMaster::new(JOB, Arc::new(streaming), graph, settings, Now(0));
        let (told, tasks, manifests) = (Vec::new(), BTreeMap::new(), Vec::new());
        Self { master, now: Now(0), told, tasks, deployed: 0, obedient: true, manifests, commits: Vec::new() }
    }

    /// Parallelism 2 on two TaskManagers of one slot, deployed.
    pub(super) fn running() -> Self {
        Self::running_of((*plan(2)).clone())
    }

    /// The same of another plan.
    pub(super) fn running_of(plan: Plan) -> Self {
        let subtasks = 2 * plan.nodes.len();
        let mut job = Self::of(plan);
        job.on(Event::Start);
        job.offer("a", 1);
        job.offer("b", 1);
        assert_eq!((job.master.status(), job.deployed), (JobStatus::Running, subtasks));
        job.told.clear();
        job
    }

    pub(super) fn on(&mut self, event: Event) {
        self.try_on(event).unwrap();
    }

    pub(super) fn try_on(&mut self, event: Event) -> Result<(), Illegal> {
        let mut out = Vec::new();
        self.master.apply(event, self.now, &mut out)?;
        out.into_iter().for_each(|effect| self.perform(effect));
        Ok(())
    }

    pub(super) fn offer(&mut self, name: &str, slots: u32) {
        self.on(Event::SlotsOffered { task_manager: tm(name), slots });
    }

    fn rescale(&mut self, parallelism: u32) -> Result<(), Illegal> {
        let all = Bounds { lower: 1, upper: parallelism };
        let wanted = self.master.graph.vertices.iter().map(|vertex| (vertex.id, all)).collect();
        self.try_on(Event::Rescale(wanted))
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::RequestSlots { count } => self.told.push(format!("wants {count}")),
            Effect::ReleaseSlots { task_manager: TaskManagerId(name), slots } => {
                self.told.push(format!("gives {slots} of {name}"));
            }
            Effect::StartWorker { worker, slots } => {
                self.told.push(format!("starts {} with {slots}", worker.task_manager));
                if !self.obedient {
                    return;
                }
                let (data_address, plan_hash) = (worker.to_string(), self.master.plan_hash.clone());
                self.on(Event::WorkerRegistered { worker, pid: 1, data_address, plan_hash });
            }
            Effect::StopWorker { worker, .. } => self.told.push(format!("stops {}", worker.task_manager)),
            Effect::Persist(Record::Requirements(requirements)) => {
                let upper: Vec<u32> = requirements.values().map(|bounds| bounds.upper).collect();
                self.told.push(format!("notes {upper:?}"));
            }
            Effect::WriteManifest { manifest, .. } => self.manifests.push(manifest),
            Effect::DiscardOtherCheckpoints { retained, .. } => self.told.push(format!("keeps {retained:?}")),
            Effect::ToWorker { worker, message } => self.obey(&worker, message),
            Effect::Persist(_)
            | Effect::DiscardCheckpoint { .. }
            | Effect::CheckpointFailed { .. }
            | Effect::RescaleEnded(_)
            | Effect::Wake { .. }
            | Effect::StatusChanged { .. }
            | Effect::Ended(_)
            | Effect::Closed => {}
        }
    }

    fn obey(&mut self, worker: &WorkerId, message: ToWorker) {
        match message {
            ToWorker::Deploy { tasks } => {
                self.deployed += tasks.len();
                for task in tasks {
                    self.tasks.insert(task.attempt, worker.clone());
                    self.on(report(worker, task.attempt, ExecutionState::Running, None, Vec::new()));
                }
            }
            ToWorker::Cancel { attempts } => {
                for attempt in attempts {
                    self.on(report(worker, attempt, ExecutionState::Canceled, None, Vec::new()));
                }
            }
            ToWorker::TriggerCheckpoint { barrier, .. } => {
                let what = match barrier.then {
                    Continuation::GoOn => "checkpoint, going on,",
                    Continuation::Suspend => "checkpoint",
                    Continuation::Drain => "drain",
                };
                self.told.push(format!("{what} {} from {}", barrier.checkpoint, worker.task_manager));
            }
            ToWorker::AssignSplit { split, .. } => self.told.push(format!("split {}", split.id)),
            ToWorker::StopSources { .. } => self.told.push(format!("end sources on {}", worker.task_manager)),
            ToWorker::Commit { operator, committables, publication } => {
                let payloads: Vec<String> = committables.iter().map(|one| one.payload.to_string()).collect();
                self.told.push(format!("publish {} on {}", payloads.join(" "), worker.task_manager));
                self.commits.push((worker.clone(), operator, publication));
            }
            ToWorker::ResumeSources { .. } => self.told.push(format!("resume on {}", worker.task_manager)),
            ToWorker::Shutdown | ToWorker::Discard { .. } => {}
            other @ ToWorker::NoMoreSplits { .. } => panic!("{other:?}"),
        }
    }

    pub(super) fn current(&self) -> Vec<(ExecutionAttemptId, WorkerId)> {
        let id = |(at, _)| self.master.execution.id(&self.master.graph, at);
        self.master.execution.subtasks().map(id).map(|attempt| (attempt, self.tasks[&attempt].clone())).collect()
    }

    /// Every task reports its part of a checkpoint, and the manifest is written.
    pub(super) fn complete(&mut self, checkpoint: u64) {
        self.report_all(checkpoint, &[]);
        let manifest = self.manifests.pop().unwrap();
        self.on(Event::ManifestWritten { manifest, failure: None });
    }

    /// A user wants a checkpoint.
    pub(super) fn trigger(&mut self, id: u128) {
        let trigger = Trigger { id: TriggerId(id), savepoint: None, then: Continuation::GoOn };
        self.on(Event::Trigger(trigger));
    }

    pub(super) fn worker_of(&self, attempt: ExecutionAttemptId) -> WorkerId {
        self.tasks[&attempt].clone()
    }

    /// Subtask 0 of a vertex reports something.
    pub(super) fn says(&mut self, vertex: usize, message: impl Fn(ExecutionAttemptId) -> ToJobManager) {
        let attempt = self.master.execution.id(&self.master.graph, (vertex, 0));
        let worker = self.tasks[&attempt].clone();
        self.on(Event::Worker { worker, message: message(attempt) });
    }

    /// As [`Job::report_all`], but the last task's state is not written yet.
    pub(super) fn report_all_but_one(&mut self, checkpoint: u64, prepared: &[Committable]) {
        self.report_parts(checkpoint, prepared, self.current().len() - 1);
    }

    /// Every task reports its part of a checkpoint; the manifest is to be written.
    pub(super) fn report_all(&mut self, checkpoint: u64, prepared: &[Committable]) {
        self.report_parts(checkpoint, prepared, usize::MAX);
    }

    fn report_parts(&mut self, checkpoint: u64, prepared: &[Committable], written: usize) {
        let checkpoint = CheckpointId(checkpoint);
        for (index, (attempt, worker)) in self.current().into_iter().enumerate() {
            let committables = if index == 0 { prepared } else { &[] };
            let cut = Cut { checkpoint, held: Vec::new(), committables: committables.to_vec() };
            self.on(Event::Worker { worker: worker.clone(), message: ToJobManager::Cut { attempt, cut } });
            if index < written {
                self.state_written(attempt, worker, checkpoint, None);
            }
        }
    }

    pub(super) fn state_written(
        &mut self,
        attempt: ExecutionAttemptId,
        worker: WorkerId,
        of: CheckpointId,
        failure: Option<Failure>,
    ) {
        let timings = CheckpointTimings::default();
        let message = ToJobManager::StateWritten { attempt, checkpoint: of, file: None, failure, timings };
        self.on(Event::Worker { worker, message });
    }

    fn parallelism(&self) -> Vec<u32> {
        self.master.graph.vertices.iter().map(|vertex| vertex.parallelism).collect()
    }

    fn last(&self) -> &RescaleRecord {
        self.master.rescales().next_back().unwrap()
    }

    pub(super) fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }
}

#[test]
fn fewer_subtasks_go_on_from_a_checkpoint_and_what_is_too_much_is_given_back() {
    let mut job = Job::running();
    job.now = Now(1000);
    job.rescale(1).unwrap();
    assert_eq!(job.told(), ["notes [1, 1]", "checkpoint 1 from a", "checkpoint 1 from b"]);
    assert_eq!((job.last().status, job.parallelism()), (RescaleStatus::Checkpointing, vec![2, 2]));
    job.now = Now(1200);
    job.complete(1);
    assert_eq!(job.told(), ["wants 1", "stops b", "gives 1 of b"]);
    assert_eq!((job.master.status(), job.parallelism(), job.deployed), (JobStatus::Running, vec![1, 1], 6));
    let record = job.last();
    assert_eq!(
        (record.status, record.stopped, record.ended),
        (RescaleStatus::Completed, Some(Now(1000)), Some(Now(1200)))
    );
    assert_eq!(job.master.failures(), []);
    assert_eq!(job.master.restarts(), 0, "nothing has failed");
    assert_eq!(job.master.checkpoint_history().restored_count(), 1);
}

#[test]
fn more_subtasks_have_their_slots_and_workers_before_anything_stops() {
    let mut job = Job::running();
    job.rescale(3).unwrap();
    assert_eq!(job.told(), ["notes [3, 3]", "wants 3"]);
    assert_eq!((job.master.status(), job.last().status), (JobStatus::Running, RescaleStatus::WaitingForSlots));
    job.offer("c", 1);
    assert_eq!(job.told(), ["starts c with 1", "checkpoint 1 from a", "checkpoint 1 from b"]);
    job.complete(1);
    assert_eq!((job.parallelism(), job.deployed, job.last().status), (vec![3, 3], 10, RescaleStatus::Completed));
    // A subtask that comes again is another execution.
    let before: Vec<_> = job.current().into_iter().map(|(attempt, _)| attempt).collect();
    job.rescale(2).unwrap();
    job.complete(2);
    job.rescale(3).unwrap();
    job.offer("c", 1);
    job.complete(3);
    assert!(job.current().iter().all(|(attempt, _)| !before.contains(attempt)));
}

#[test]
fn a_worker_for_more_slots_than_it_was_started_with_is_a_new_one() {
    let mut job = Job::running();
    job.rescale(3).unwrap();
    job.offer("b", 1);
    job.told.clear();
    job.complete(1);
    assert_eq!(job.told(), ["wants 3", "stops b", "starts b with 2"]);
    assert_eq!(job.parallelism(), [3, 3]);
}

#[test]
fn a_checkpoint_that_fails_leaves_the_job_as_it_was() {
    let mut job = Job::running();
    job.rescale(3).unwrap();
    job.offer("c", 1);
    job.told.clear();
    let (attempt, at) = job.current()[0].clone();
    job.state_written(attempt, at, CheckpointId(1), Some(Failure::transient("disk full")));
    assert_eq!(job.told(), ["resume on a", "resume on b", "notes [2, 2]", "wants 2", "stops c", "gives 1 of c"]);
    assert_eq!((job.master.status(), job.parallelism(), job.deployed), (JobStatus::Running, vec![2, 2], 4));
    let failure = job.last().failure.clone().unwrap();
    assert!(
        failure.starts_with("its checkpoint failed: subtask 1/2 of \"source\" was not written: disk full"),
        "{failure}"
    );
    assert_eq!(job.master.requirements().values().map(|bounds| bounds.upper).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn a_restart_that_comes_between_has_the_new_parallelism() {
    let mut job = Job::running();
    job.rescale(1).unwrap();
    job.told.clear();
    let (_, lost) = job.current()[1].clone();
    let cause = ExitCause::Signal { signal: 9 };
    job.on(Event::WorkerExited { worker: lost, cause, diagnostics: String::new() });
    assert_eq!((job.master.status(), job.parallelism()), (JobStatus::Running, vec![1, 1]));
    assert_eq!((job.last().status, job.master.restarts()), (RescaleStatus::Completed, 1));
}

#[test]
fn what_dies_before_it_is_needed_is_replaced() {
    let mut job = Job::running();
    job.rescale(4).unwrap();
    job.offer("c", 1);
    job.on(Event::SlotsLost { task_manager: tm("c"), why: "killed".to_owned() });
    assert_eq!(job.last().status, RescaleStatus::WaitingForSlots, "another one may come");
    job.offer("d", 2);
    let exit = ExitCause::Completed { code: 1 };
    assert_eq!(job.last().status, RescaleStatus::Checkpointing);
    job.told.clear();
    job.on(Event::WorkerExited { worker: worker("d", 1), cause: exit.clone(), diagnostics: String::new() });
    assert_eq!(job.told(), [""; 0], "it is not missed before the tasks are");
    job.complete(1);
    assert_eq!(job.told(), ["wants 4", "starts d with 2"]);
    assert_eq!((job.parallelism(), job.master.restarts()), (vec![4, 4], 0));
}

#[test]
fn what_cannot_be_is_refused_and_nothing_changes() {
    let mut job = Job::running();
    let [source, sink] = [0, 1].map(|at| job.master.graph.vertices[at].id);
    let mut refused = |id, lower, upper| {
        let wanted = [(id, Bounds { lower, upper })].into();
        job.try_on(Event::Rescale(wanted)).unwrap_err().to_string()
    };
    assert_eq!(refused(VertexId(99), 1, 1), format!("the job has no vertex {}", VertexId(99)));
    assert!(refused(source, 3, 2).starts_with("vertex \"source\" cannot have 3 to 2 subtasks"));
    assert!(refused(sink, 1, 129).contains("max parallelism 128"));
    assert_eq!(job.told(), [""; 0]);
    job.rescale(1).unwrap();
    assert!(job.rescale(2).unwrap_err().to_string().contains("try again when that is done"));
    job.on(Event::Cancel);
    let failure = job.last().failure.clone();
    assert_eq!((job.last().status, failure.as_deref()), (RescaleStatus::Failed, Some("the job has ended")));
    assert!(job.rescale(2).unwrap_err().to_string().contains("CANCELED"));
}

#[test]
fn a_worker_that_ends_before_it_has_joined_ends_the_change_and_not_the_job() {
    let mut job = Job::running();
    job.rescale(3).unwrap();
    job.obedient = false;
    job.offer("c", 1);
    job.told.clear();
    let cause = ExitCause::Completed { code: 1 };
    job.on(Event::WorkerExited { worker: worker("c", 1), cause, diagnostics: "no such file".to_owned() });
    assert_eq!(job.told(), ["notes [2, 2]", "wants 2", "gives 1 of c"]);
    let failure = job.last().failure.clone().unwrap();
    assert_eq!(failure, "worker on c exited with code 1: no such file");
    assert_eq!((job.master.status(), job.deployed), (JobStatus::Running, 4));
}

#[test]
fn output_that_a_worker_without_tasks_was_publishing_when_it_ended_is_published_by_another() {
    let exited = Event::WorkerExited {
        worker: worker("c", 1),
        cause: ExitCause::Signal { signal: 9 },
        diagnostics: String::new(),
    };
    let lost = Event::SlotsLost { task_manager: tm("c"), why: "killed".to_owned() };
    for end in [exited, lost] {
        let mut job = Job::running();
        job.rescale(3).unwrap();
        job.offer("c", 1);
        job.report_all(1, &[Committable { operator: SINK, payload: serde_json::json!("part-0") }]);
        let manifest = job.manifests.pop().unwrap();
        job.on(Event::ManifestWritten { manifest, failure: None });
        for asked in ["a", "b", "c"] {
            let (at, operator, publication) = job.commits.pop().unwrap();
            assert_eq!(at, worker(asked, 1));
            if asked != "c" {
                let failure = Some(Failure::transient("the store does not answer"));
                job.on(Event::Worker {
                    worker: at,
                    message: ToJobManager::Committed { operator, publication, failure },
                });
                job.now = job.now + Duration::from_secs(1);
                job.on(Event::Wake);
            }
        }
        job.on(end);
        let (at, operator, publication) = job.commits.pop().expect("it is handed on");
        job.on(Event::Worker { worker: at, message: ToJobManager::Committed { operator, publication, failure: None } });
        job.offer("d", 1);
        assert_eq!((job.last().status, job.parallelism()), (RescaleStatus::Completed, vec![3, 3]));
    }
}
