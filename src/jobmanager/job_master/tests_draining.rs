//! Given a running job, when it is to be drained with a savepoint: what follows what, and what a failure in between means.

use super::tests::{JOB, SINK, worker};
use super::tests_rescale::Job;
use super::*;
use crate::engine::checkpoint::Continuation;
use crate::graph::task::Failure;
use crate::protocol::container::ExitCause;

fn prepared() -> Committable {
    Committable { operator: SINK, payload: serde_json::json!("counts") }
}

/// A job whose savepoint, which ends its input, waits for its manifest.
fn drained() -> Job {
    let mut job = Job::running();
    let trigger = Trigger { id: TriggerId(9), savepoint: Some("/savepoints".to_owned()), then: Continuation::Drain };
    job.on(Event::Trigger(trigger));
    assert_eq!(job.told(), ["drain 1 from a", "drain 1 from b"]);
    job.report_all(1, &[prepared()]);
    job
}

fn written(job: &mut Job) {
    let manifest = job.manifests.pop().unwrap();
    assert!(manifest.drained && manifest.savepoint);
    job.on(Event::ManifestWritten { manifest, failure: None });
}

fn published(job: &mut Job) {
    let (worker, operator, publication) = job.commits.pop().unwrap();
    job.on(Event::Worker { worker, message: ToJobManager::Committed { operator, publication, failure: None } });
}

fn killed(name: &str) -> Event {
    Event::WorkerExited { worker: worker(name, 1), cause: ExitCause::Signal { signal: 9 }, diagnostics: String::new() }
}

#[test]
fn the_savepoint_is_complete_before_its_output_is_published_and_that_before_the_tasks_end() {
    let mut job = drained();
    assert_eq!(job.told(), [""; 0], "nothing before the manifest is there");
    written(&mut job);
    assert_eq!(job.told(), ["publish \"counts\" on a"]);
    assert!(matches!(job.master.trigger_state(TriggerId(9)), Some(TriggerState::Completed { .. })));
    assert!(job.try_on(Event::Cancel).is_err(), "it only rolls forward");
    published(&mut job);
    assert_eq!(job.told(), ["end sources on a", "end sources on b"]);
    for (attempt, worker) in job.current() {
        job.on(super::tests::report(&worker, attempt, crate::graph::task::ExecutionState::Finished, None, Vec::new()));
    }
    assert_eq!((job.master.status(), job.commits.len()), (JobStatus::Finished, 0));
}

#[test]
fn a_failure_before_the_manifest_is_there_changes_nothing_and_one_behind_it_only_publishes() {
    let mut job = drained();
    job.on(killed("a"));
    assert_eq!(job.master.status(), JobStatus::Restarting, "whether the manifest comes is not known yet");
    let manifest = job.manifests.pop().unwrap();
    let failure = Some(Failure::transient("disk full"));
    job.on(Event::ManifestWritten { manifest, failure });
    assert_eq!((job.master.status(), job.deployed), (JobStatus::Running, 8), "it goes on as before");

    for before in [true, false] {
        let mut job = drained();
        if before {
            job.on(killed("a"));
            written(&mut job);
        } else {
            written(&mut job);
            job.commits.clear();
            job.on(killed("a"));
        }
        assert_eq!((job.master.status(), job.deployed), (JobStatus::Running, 4), "nothing runs again");
        published(&mut job);
        assert_eq!(job.master.status(), JobStatus::Finished);
    }
}

#[test]
fn where_the_savepoint_alone_fails_the_job_goes_on_whatever_its_restart_strategy() {
    let mut job = Job::running();
    job.master.failover = Failover::new(RestartStrategy::None, 0);
    let trigger = Trigger { id: TriggerId(9), savepoint: Some("/savepoints".to_owned()), then: Continuation::Drain };
    job.on(Event::Trigger(trigger));
    let (attempt, worker) = job.current().remove(0);
    job.state_written(attempt, worker, CheckpointId(1), Some(Failure::transient("disk full")));
    assert_eq!((job.master.status(), job.deployed), (JobStatus::Running, 8));
    let why = &job.master.failures()[0].failure.message;
    assert!(why.starts_with("it was to be drained, and goes on") && why.ends_with("disk full"), "{why}");
    assert!(matches!(job.master.trigger_state(TriggerId(9)), Some(TriggerState::Failed(_))));
}

#[test]
fn a_later_job_manager_that_finds_the_savepoint_publishes_and_ends() {
    let mut job = drained();
    let manifest = job.manifests.pop().unwrap();
    let mut next = Job::new();
    next.master.restore_from(manifest, Now(0));
    next.on(Event::Start);
    assert_eq!(next.told(), ["wants 1"]);
    next.offer("c", 1);
    assert_eq!(next.told(), ["starts c with 1", "publish \"counts\" on c"]);
    published(&mut next);
    assert_eq!((next.master.status(), next.deployed, next.master.job()), (JobStatus::Finished, 0, JOB));
}
