use std::collections::BTreeMap;

use super::*;
use crate::graph::plan::{PLAN_VERSION, Plan};
use crate::ids::TaskManagerId;
use crate::protocol::container::LocalResource;
use crate::protocol::job::Program;
use crate::resource::MemorySize;
use crate::storage::Leader;

const GRACE: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(5);
/// One that no later attempt of the JobManager takes over.
const CONTAINER: Home = Home::Container { attempt: 1, registration_timeout: Duration::ZERO };

fn worker(job: u128, incarnation: u32) -> WorkerId {
    WorkerId { task_manager: TaskManagerId("tm".to_owned()), job: JobId(job), incarnation }
}

fn process(pid: u32) -> Identity {
    Identity { pid, started_ticks: 1, boot: 2 }
}

fn start_of(worker: WorkerId, slots: u32) -> Box<StartWorker> {
    let executable = LocalResource {
        url: "http://jm/blobs/0".to_owned(),
        size: 1,
        sha256: None,
        kind: Default::default(),
        visibility: Default::default(),
        executable: true,
    };
    let program = Program {
        name: "job".to_owned(),
        executable,
        arguments: Vec::new(),
        environment: BTreeMap::new(),
        files: BTreeMap::new(),
    };
    let plan = Plan {
        version: PLAN_VERSION,
        name: "job".to_owned(),
        execution_mode: Default::default(),
        parallelism: None,
        configuration: BTreeMap::new(),
        nodes: Vec::new(),
        edges: Vec::new(),
        once: BTreeMap::new(),
        accumulators: Default::default(),
    };
    Box::new(StartWorker {
        worker,
        program,
        plan,
        job_manager: "jm:1".to_owned(),
        slots,
        memory: MemorySize::from_mebibytes(100),
        configuration: BTreeMap::new(),
        secret: String::new(),
    })
}

struct TaskManager {
    core: Core,
    now: Now,
}

impl TaskManager {
    fn at(home: Home) -> Self {
        let policy = Policy { slots: 2, home, link_grace: PATIENCE, kill_grace: GRACE };
        let mut out = Vec::new();
        let mut core = Core::new(policy, Now(0), &mut out);
        assert_eq!(kinds(&out), ["wake 5000"]);
        core.apply(Event::LinkOpened, Now(0), &mut out).unwrap();
        Self { core, now: Now(1_000) }
    }

    fn apply(&mut self, event: Event) -> Vec<String> {
        let mut out = Vec::new();
        self.core.apply(event, self.now, &mut out).unwrap();
        kinds(&out)
    }

    fn running(&mut self, id: &WorkerId, pid: u32) {
        assert_eq!(self.apply(Event::StartWorker(start_of(id.clone(), 1))), ["prepare"]);
        assert_eq!(self.apply(Event::Prepared { worker: id.clone(), outcome: Ok(()) }), ["spawn"]);
        let effects = self.apply(Event::Spawned { worker: id.clone(), process: process(pid) });
        assert_eq!(effects, [format!("started {pid}")]);
    }

    fn exited(&mut self, id: &WorkerId, ended: Ended) -> Vec<String> {
        self.apply(Event::Exited { worker: id.clone(), ended, diagnostics: "boom".to_owned() })
    }
}

fn kinds(effects: &[Effect]) -> Vec<String> {
    let kind = |effect: &Effect| match effect {
        Effect::Prepare(_) => "prepare".to_owned(),
        Effect::AbandonPreparation(_) => "abandon".to_owned(),
        Effect::Spawn(_) => "spawn".to_owned(),
        Effect::Signal { process, signal, .. } => format!("{signal:?} {}", process.pid),
        Effect::Report(ToJobManager::WorkerStarted { pid, .. }) => format!("started {pid}"),
        Effect::Report(ToJobManager::WorkerExited { cause, .. }) => format!("exited: {cause}"),
        Effect::Report(ToJobManager::Leaving { why }) => format!("leaving: {why}"),
        Effect::RemoveWorker(_) => "remove".to_owned(),
        Effect::ReleaseJob(_) => "release".to_owned(),
        Effect::WakeAt(at) => format!("wake {}", at.0),
        Effect::Follow(leader) => format!("follow {} at {}", leader.attempt, leader.address),
        Effect::Exit => "exit".to_owned(),
    };
    effects.iter().map(kind).collect()
}

#[test]
fn a_worker_that_ends_is_reported_with_its_cause() {
    let mut tm = TaskManager::at(CONTAINER);
    for (incarnation, ended, cause) in [
        (1, Ended::Code(0), "exited with code 0"),
        (2, Ended::Code(101), "exited with code 101"),
        (3, Ended::Signal(6), "killed by signal 6"),
    ] {
        let id = worker(1, incarnation);
        tm.running(&id, 10);
        assert_eq!(tm.core.worker_ids(), std::slice::from_ref(&id));
        assert_eq!(tm.exited(&id, ended), [format!("exited: {cause}"), "remove".to_owned()]);
        assert!(tm.core.worker_ids().is_empty());
    }
}

#[test]
fn slots_are_never_given_twice() {
    let mut tm = TaskManager::at(CONTAINER);
    tm.running(&worker(1, 1), 10);
    let effects = tm.apply(Event::StartWorker(start_of(worker(2, 1), 2)));
    assert_eq!(effects, ["exited: launch failed: 2 slots wanted, 1 of 2 are free"]);
    let effects = tm.apply(Event::StartWorker(start_of(worker(1, 1), 1)));
    assert!(effects[0].ends_with("was started before"), "{effects:?}");
    tm.exited(&worker(1, 1), Ended::Code(0));
    assert_eq!(tm.apply(Event::StartWorker(start_of(worker(2, 1), 2))), ["prepare"]);
}

#[test]
fn what_cannot_be_prepared_or_spawned_is_a_failed_launch() {
    let mut tm = TaskManager::at(CONTAINER);
    let id = worker(1, 1);
    tm.apply(Event::StartWorker(start_of(id.clone(), 1)));
    let why = "job needs GLIBC_2.39, n2 has 2.36; build for musl".to_owned();
    let effects = tm.apply(Event::Prepared { worker: id.clone(), outcome: Err(why.clone()) });
    assert_eq!(effects, [format!("exited: launch failed: {why}"), "remove".to_owned()]);
    tm.apply(Event::StartWorker(start_of(id.clone(), 1)));
    tm.apply(Event::Prepared { worker: id.clone(), outcome: Ok(()) });
    let effects = tm.apply(Event::SpawnFailed { worker: id, why: "out of processes".to_owned() });
    assert_eq!(effects, ["exited: launch failed: out of processes", "remove"]);
}

#[test]
fn stopping_asks_then_kills_and_meets_a_worker_in_every_state() {
    let mut tm = TaskManager::at(CONTAINER);
    let stop = |id: &WorkerId| Event::StopWorker { worker: id.clone(), grace: GRACE };
    let stopped = "exited: stopped by the application's master";
    let id = worker(1, 1);
    assert!(tm.apply(stop(&id)).is_empty(), "an unknown one has ended already");

    tm.apply(Event::StartWorker(start_of(id.clone(), 1)));
    assert_eq!(tm.apply(stop(&id)), ["abandon", stopped, "remove"]);

    tm.apply(Event::StartWorker(start_of(id.clone(), 1)));
    tm.apply(Event::Prepared { worker: id.clone(), outcome: Ok(()) });
    assert!(tm.apply(stop(&id)).is_empty());
    let effects = tm.apply(Event::Spawned { worker: id.clone(), process: process(10) });
    assert_eq!(effects, ["Kill 10", "wake 2000"]);
    assert_eq!(tm.exited(&id, Ended::Signal(9)), [stopped, "remove"]);

    tm.running(&id, 11);
    assert_eq!(tm.apply(stop(&id)), ["Terminate 11", "wake 1500"]);
    assert!(tm.apply(stop(&id)).is_empty());
    tm.now = Now(1_499);
    assert!(tm.apply(Event::Wake).is_empty());
    tm.now = Now(1_500);
    assert_eq!(tm.apply(Event::Wake), ["Kill 11", "wake 2500"]);
    assert_eq!(tm.exited(&id, Ended::Signal(9)), [stopped, "remove"]);
}

#[test]
fn a_worker_that_died_by_itself_as_it_was_told_to_end_keeps_its_own_cause() {
    for (ended, cause) in [
        (Ended::Signal(9), "exited: killed by signal 9"),
        (Ended::Signal(6), "exited: killed by signal 6"),
        (Ended::Code(101), "exited: exited with code 101"),
        (Ended::Code(143), "exited: stopped by the application's master"),
    ] {
        let mut tm = TaskManager::at(CONTAINER);
        let id = worker(1, 1);
        tm.running(&id, 11);
        tm.apply(Event::StopWorker { worker: id.clone(), grace: GRACE });
        assert_eq!(tm.exited(&id, ended), [cause, "remove"]);
    }
}

#[test]
fn a_worker_that_takes_too_much_memory_is_killed_at_once() {
    let mut tm = TaskManager::at(CONTAINER);
    let id = worker(1, 1);
    tm.running(&id, 10);
    let measured = |mebibytes: u64| Event::Measured { worker: worker(1, 1), rss_bytes: mebibytes << 20 };
    assert!(tm.apply(measured(101)).is_empty());
    assert_eq!(tm.core.views()[0].rss_bytes, 101 << 20);
    assert_eq!(tm.apply(measured(110)), ["Kill 10", "wake 2000"]);
    let effects = tm.exited(&id, Ended::Signal(9));
    assert_eq!(effects[0], "exited: out of memory: used 110 MB of 100 MB (seen by process tree)");
}

#[test]
fn the_end_of_a_job_stops_what_is_left_of_it_and_of_no_other() {
    let mut tm = TaskManager::at(CONTAINER);
    tm.running(&worker(1, 1), 10);
    tm.running(&worker(2, 1), 20);
    assert_eq!(tm.apply(Event::JobEnded { job: JobId(1) }), ["Terminate 10", "wake 1500", "release"]);
    assert_eq!(tm.apply(Event::JobEnded { job: JobId(3) }), ["release"]);
}

#[test]
fn without_its_job_manager_for_too_long_it_leaves_its_container() {
    let mut tm = TaskManager::at(CONTAINER);
    tm.running(&worker(1, 1), 10);
    assert_eq!(tm.apply(Event::LinkBroken), ["wake 6000"]);
    assert!(tm.apply(Event::LinkBroken).is_empty(), "patience is not renewed by another failure");
    tm.apply(Event::LinkOpened);
    tm.now = Now(6_000);
    assert!(tm.apply(Event::Wake).is_empty(), "it came back in time");
    tm.apply(Event::LinkBroken);
    tm.now = Now(11_000);
    assert_eq!(tm.apply(Event::Wake), ["leaving: its JobManager is gone", "Terminate 10", "wake 11500"]);
    let effects = tm.exited(&worker(1, 1), Ended::Signal(15));
    assert_eq!(effects, ["exited: aborted: its JobManager is gone", "remove", "exit"]);
}

fn leader(attempt: u32) -> Event {
    Event::LeaderFound(Leader { attempt, address: format!("jm{attempt}:1") })
}

#[test]
fn it_follows_a_later_attempt_of_its_job_manager_and_kills_what_the_one_before_has_started() {
    let mut tm = TaskManager::at(CONTAINER);
    tm.running(&worker(1, 1), 10);
    tm.running(&worker(2, 1), 20);
    tm.apply(Event::StopWorker { worker: worker(2, 1), grace: GRACE });
    tm.apply(Event::StartWorker(start_of(worker(3, 1), 1)));
    assert_eq!(tm.core.left_behind_by(), None);
    tm.apply(Event::LinkBroken);
    assert_eq!(tm.core.left_behind_by(), Some(1));
    assert!(tm.apply(leader(1)).is_empty(), "it is the one that has gone");
    let given_up = "exited: aborted: attempt 3 of its JobManager has taken over";
    let effects = tm.apply(leader(3));
    assert_eq!(effects, [given_up, "Kill 10", "wake 2000", "Kill 20", "wake 2000", "wake 6000", "follow 3 at jm3:1"]);
    assert!(tm.apply(leader(2)).is_empty(), "a replaced one is not heard");
    tm.apply(Event::LinkOpened);
    assert!(tm.apply(Event::StartWorker(start_of(worker(1, 2), 2))).is_empty(), "it waits for the slots");
    assert_eq!(tm.exited(&worker(2, 1), Ended::Signal(9)).len(), 2);
    assert_eq!(tm.exited(&worker(1, 1), Ended::Signal(9)), [given_up, "remove", "prepare"]);
}

#[test]
fn it_waits_for_the_next_job_manager_without_workers_and_leaves_if_none_comes() {
    let registration_timeout = Duration::from_secs(60);
    let mut tm = TaskManager::at(Home::Container { attempt: 1, registration_timeout });
    tm.running(&worker(1, 1), 10);
    tm.apply(Event::LinkBroken);
    tm.now = Now(6_000);
    assert_eq!(tm.apply(Event::Wake), ["Terminate 10", "wake 6500", "wake 61000"]);
    assert_eq!(tm.exited(&worker(1, 1), Ended::Signal(15)), ["exited: aborted: its JobManager is gone", "remove"]);
    assert_eq!(tm.core.left_behind_by(), Some(1));
    tm.now = Now(50_000);
    assert_eq!(tm.apply(leader(2)), ["wake 55000", "follow 2 at jm2:1"]);
    tm.now = Now(61_000);
    assert_eq!(tm.apply(Event::Wake), ["wake 110000"], "the wait begins anew");
    tm.now = Now(110_000);
    let effects = tm.apply(Event::Wake);
    assert_eq!(effects, ["leaving: its JobManager is gone, and no other has come", "exit"]);
    assert_eq!(tm.core.left_behind_by(), None);
    assert!(tm.apply(leader(3)).is_empty(), "it has gone");
}

#[test]
fn standalone_it_stops_its_workers_and_goes_on_trying() {
    let mut tm = TaskManager::at(Home::Standalone);
    tm.running(&worker(1, 1), 10);
    tm.apply(Event::LinkBroken);
    tm.now = Now(6_000);
    assert_eq!(tm.apply(Event::Wake), ["Terminate 10", "wake 6500"]);
    assert_eq!(tm.exited(&worker(1, 1), Ended::Code(0)), ["exited: aborted: its JobManager is gone", "remove"]);
    tm.apply(Event::LinkOpened);
    tm.running(&worker(2, 1), 20);
}

#[test]
fn leaving_waits_for_the_last_worker_and_takes_no_new_one() {
    let mut tm = TaskManager::at(CONTAINER);
    let leave = || Event::Leave { why: "told to".to_owned() };
    assert_eq!(TaskManager::at(CONTAINER).apply(leave()), ["leaving: told to", "exit"]);
    tm.apply(Event::StartWorker(start_of(worker(1, 1), 1)));
    tm.running(&worker(2, 1), 20);
    let effects = tm.apply(leave());
    let expected = ["leaving: told to", "abandon", "exited: aborted: told to", "remove", "Terminate 20", "wake 1500"];
    assert_eq!(effects, expected);
    assert!(tm.apply(leave()).is_empty());
    let effects = tm.apply(Event::StartWorker(start_of(worker(3, 1), 1)));
    assert_eq!(effects, ["exited: launch failed: the TaskManager is leaving: told to"]);
    assert_eq!(tm.exited(&worker(2, 1), Ended::Code(0)).last().unwrap(), "exit");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut tm = TaskManager::at(CONTAINER);
    tm.running(&worker(1, 1), 10);
    let mut out = Vec::new();
    let again = Event::Spawned { worker: worker(1, 1), process: process(11) };
    let illegal = tm.core.apply(again, tm.now, &mut out).unwrap_err();
    assert!(illegal.to_string().ends_with("which is running"), "{illegal}");
    let stranger = Event::Exited { worker: worker(9, 1), ended: Ended::Code(0), diagnostics: String::new() };
    assert!(tm.core.apply(stranger, tm.now, &mut out).is_err());
    assert!(out.is_empty());
}

#[test]
fn a_worker_ordered_behind_the_end_of_another_waits_for_it() {
    let mut tm = TaskManager::at(CONTAINER);
    let (old, new) = (worker(1, 1), worker(1, 2));
    tm.running(&old, 10);
    tm.running(&worker(2, 1), 11);
    assert_eq!(tm.apply(Event::StopWorker { worker: old.clone(), grace: Duration::ZERO }), ["Kill 10", "wake 2000"]);
    assert!(tm.apply(Event::StartWorker(start_of(new.clone(), 1))).is_empty(), "it waits");
    assert_eq!(tm.core.worker_ids(), [old.clone(), worker(2, 1), new.clone()]);
    let third = tm.apply(Event::StartWorker(start_of(worker(3, 1), 1)));
    assert_eq!(third, ["exited: launch failed: 1 slots wanted, 0 of 2 are free"], "the room is promised");
    let effects = tm.exited(&old, Ended::Signal(9));
    assert_eq!(effects, ["exited: stopped by the application's master", "remove", "prepare"]);

    tm.apply(Event::StopWorker { worker: worker(2, 1), grace: GRACE });
    tm.apply(Event::StartWorker(start_of(worker(2, 2), 1)));
    let effects = tm.apply(Event::StopWorker { worker: worker(2, 2), grace: GRACE });
    assert_eq!(effects, ["exited: stopped by the application's master"], "it need not begin any more");
}
