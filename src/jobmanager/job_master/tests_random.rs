//! Whatever workers and TaskManagers do, in whatever order: the job ends, every slot comes back, and every split is read once in
//! the run that finishes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::tests::{JOB, SINK, SOURCE, plan, report};
use super::*;
use crate::graph::job_graph;
use crate::graph::task::{ExecutionState, Failure, Split};
use crate::ids::TaskManagerId;
use crate::protocol::container::ExitCause;
use crate::protocol::worker::ToWorker;

const SPLITS: usize = 5;

/// A world of obedient workers, with faults injected by `choices`.
struct World {
    master: JobMaster,
    now: Now,
    offered: BTreeMap<TaskManagerId, u32>,
    next_task_manager: u32,
    wanted: u32,
    /// Things that may happen next, in any order.
    pending: Vec<Event>,
    wakes: BTreeSet<Now>,
    /// Splits read per attempt number of the run.
    read: BTreeMap<u32, Vec<String>>,
    closed: bool,
    committed: bool,
    decided: bool,
}

impl World {
    fn new(parallelism: u32) -> Self {
        let plan = plan(parallelism);
        let graph = JobGraph::new(&plan, job_graph::Settings { default_parallelism: 1, chaining: true }).unwrap();
        let restart_strategy = RestartStrategy::FixedDelay { attempts: 3, delay: Duration::from_secs(1) };
        let settings = Settings { restart_strategy, ..Settings::default() };
        Self {
            master: JobMaster::new(JOB, plan, graph, settings, Now(0)),
            now: Now(0),
            offered: BTreeMap::new(),
            next_task_manager: 0,
            wanted: 0,
            pending: Vec::new(),
            wakes: BTreeSet::new(),
            read: BTreeMap::new(),
            closed: false,
            committed: false,
            decided: false,
        }
    }

    fn apply(&mut self, event: Event) {
        let mut out = Vec::new();
        let _ = self.master.apply(event, self.now, &mut out); // An illegal event changes nothing.
        for effect in out {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        assert!(!self.closed || matches!(effect, Effect::ReleaseSlots { .. }), "{effect:?} after the end");
        match effect {
            Effect::RequestSlots { count } => self.wanted = count,
            Effect::ReleaseSlots { task_manager, slots } => {
                assert_eq!(self.offered.remove(&task_manager), Some(slots), "given back what was offered, once");
            }
            Effect::StartWorker { worker, .. } => {
                let plan_hash = self.master.plan.hash();
                let data_address = worker.to_string();
                self.pending.push(Event::WorkerRegistered { worker, pid: 1, data_address, plan_hash });
            }
            Effect::StopWorker { worker, .. } => self.exit(worker, ExitCause::Signal { signal: 15 }),
            Effect::ToWorker { worker, message } => self.obey(worker, message),
            Effect::Persist(Record::Decision(_)) => {
                assert!(!self.decided, "decided once");
                self.decided = true;
            }
            Effect::Persist(Record::Outcome(outcome)) => {
                assert_eq!(self.decided && !self.committed, outcome.status == JobStatus::Failed && self.decided);
            }
            Effect::Wake { at } => drop(self.wakes.insert(at)),
            Effect::WriteManifest { manifest, .. } => {
                self.pending.push(Event::ManifestWritten { manifest, failure: None });
            }
            Effect::Persist(Record::Requirements(_))
            | Effect::DiscardCheckpoint { .. }
            | Effect::DiscardOtherCheckpoints { .. }
            | Effect::CheckpointFailed { .. }
            | Effect::RescaleEnded(_)
            | Effect::StatusChanged { .. }
            | Effect::Ended(_) => {}
            Effect::Closed => self.closed = true,
        }
    }

    fn exit(&mut self, worker: WorkerId, cause: ExitCause) {
        self.pending.push(Event::WorkerExited { worker, cause, diagnostics: String::new() });
    }

    fn says(&mut self, worker: &WorkerId, message: ToJobManager) {
        self.pending.push(Event::Worker { worker: worker.clone(), message });
    }

    fn obey(&mut self, worker: WorkerId, message: ToWorker) {
        match message {
            ToWorker::Deploy { tasks } => {
                for task in tasks {
                    let attempt = task.attempt;
                    if task.inputs.is_empty() {
                        if attempt.subtask == 0 {
                            self.discover(&worker, attempt);
                        }
                        self.says(&worker, ToJobManager::SplitRequested { attempt, operator: SOURCE, lane: None });
                    } else {
                        let file = Committable { operator: SINK, payload: serde_json::Value::Null };
                        self.pending.push(report(&worker, attempt, ExecutionState::Finished, None, vec![file]));
                    }
                }
            }
            ToWorker::Cancel { attempts } => {
                for attempt in attempts {
                    self.pending.push(report(&worker, attempt, ExecutionState::Canceled, None, Vec::new()));
                }
            }
            ToWorker::AssignSplit { attempt, split } => {
                self.read.entry(attempt.attempt).or_default().push(split.id.clone());
                self.says(&worker, ToJobManager::SplitFinished { attempt, operator: SOURCE, split: split.id });
                self.says(&worker, ToJobManager::SplitRequested { attempt, operator: SOURCE, lane: None });
            }
            ToWorker::NoMoreSplits { attempt } => {
                self.pending.push(report(&worker, attempt, ExecutionState::Finished, None, Vec::new()));
            }
            ToWorker::Commit { operator, publication, .. } => {
                assert!(self.decided, "nothing is published before the decision");
                self.committed = true;
                self.says(&worker, ToJobManager::Committed { operator, publication, failure: None });
            }
            ToWorker::Shutdown => self.exit(worker, ExitCause::Completed { code: 0 }),
            ToWorker::StopSources { .. }
            | ToWorker::TriggerCheckpoint { .. }
            | ToWorker::ResumeSources { .. }
            | ToWorker::Discard { .. } => {}
        }
    }

    fn discover(&mut self, worker: &WorkerId, attempt: ExecutionAttemptId) {
        let splits =
            (0..SPLITS).map(|n| Split { id: format!("s{n}"), payload: serde_json::Value::Null, lane: None }).collect();
        self.says(worker, ToJobManager::SplitsDiscovered { attempt, operator: SOURCE, splits, complete: true });
    }

    fn offer(&mut self) -> bool {
        let held: u32 = self.offered.values().sum();
        if held >= self.wanted {
            return false;
        }
        self.next_task_manager += 1;
        let task_manager = TaskManagerId(format!("tm-{}", self.next_task_manager));
        self.offered.insert(task_manager.clone(), 1);
        self.apply(Event::SlotsOffered { task_manager, slots: 1 });
        true
    }

    /// One thing goes wrong.
    fn fault(&mut self, choice: usize) {
        let places: Vec<TaskManagerId> = self.master.workers().places().map(|(id, _)| id.clone()).collect();
        let Some(task_manager) = places.get(choice % places.len().max(1)).cloned() else {
            return;
        };
        let worker = self.master.workers.worker_id(&task_manager);
        match (choice / 8 % 5, worker) {
            (0, _) => {
                self.offered.remove(&task_manager);
                self.apply(Event::SlotsLost { task_manager, why: "gone".into() });
            }
            (1, Some(worker)) => self.apply(Event::WorkerExited {
                worker,
                cause: ExitCause::Signal { signal: 9 },
                diagnostics: String::new(),
            }),
            (2, Some(worker)) => self.apply(Event::WorkerLost { worker, why: "reset".into() }),
            (3, Some(worker)) => {
                let attempt = self.master.execution.id(&self.master.graph, (choice % 2, 0));
                let failure = Failure::transient(format!("flaky {choice}"));
                self.apply(report(&worker, attempt, ExecutionState::Failed, Some(failure), Vec::new()));
            }
            (4, _) if choice.is_multiple_of(3) => self.apply(Event::Cancel),
            _ => {}
        }
    }

    fn step(&mut self, choice: usize, faults_left: &mut u32) -> bool {
        if choice.is_multiple_of(7) && *faults_left > 0 {
            *faults_left -= 1;
            self.fault(choice / 7);
            return true;
        }
        if choice.is_multiple_of(3) && self.offer() {
            return true;
        }
        if !self.pending.is_empty() {
            let event = self.pending.remove(choice / 3 % self.pending.len());
            self.apply(event);
            return true;
        }
        if self.offer() {
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
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_job_ends_with_all_slots_back_and_each_split_read_once(
        parallelism in 1u32..4,
        choices in proptest::collection::vec(any::<u16>(), 64),
        faults in 0u32..8,
    ) {
        let mut world = World::new(parallelism);
        let mut faults_left = faults;
        world.apply(Event::Start);
        let mut choices = choices.into_iter().cycle().zip(0usize..3000);
        while !world.closed {
            let Some((choice, turn)) = choices.next() else { panic!("never ends: {:?}", world.master) };
            prop_assert!(world.step(usize::from(choice) + turn, &mut faults_left), "stuck: {:?}", world.master);
        }
        prop_assert!(world.offered.is_empty(), "slots kept: {:?}", world.offered);
        let status = world.master.status();
        prop_assert!(status.is_globally_terminal());
        for splits in world.read.values() {
            let distinct: BTreeSet<_> = splits.iter().collect();
            prop_assert_eq!(distinct.len(), splits.len(), "handed out twice in one run");
        }
        if status == JobStatus::Finished {
            let last = world.read.values().next_back().map_or(0, Vec::len);
            prop_assert_eq!(last, SPLITS);
            prop_assert!(world.committed);
        }
        if faults == 0 {
            prop_assert_eq!(status, JobStatus::Finished);
        }
    }
}
