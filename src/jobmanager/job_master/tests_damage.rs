//! Given a job that restarts, when a file of its latest checkpoint is damaged: where it goes back to.

use super::tests::{exited, report, worker};
use super::tests_rescale::Job;
use super::*;
use crate::graph::task::{ExecutionState, Failure, StateFile};
use crate::protocol::container::ExitCause;

/// A running job whose checkpoints, numbered so, each have a file.
fn with_checkpoints(numbers: &[u64]) -> Job {
    let mut job = Job::running();
    job.master.failover = Failover::new(RestartStrategy::None, 0);
    job.master.checkpoints.settings.retained = numbers.len();
    for number in numbers {
        job.trigger(u128::from(*number));
        job.report_all(*number, &[]);
        let mut manifest = (*job.manifests.pop().unwrap()).clone();
        let (path, operators) = (format!("chk-{number}/state"), Vec::new());
        manifest.operators[0].files[0] = Some(StateFile { path, bytes: 1, operators, union: false, runs: Vec::new() });
        job.on(Event::ManifestWritten { manifest: Arc::new(manifest), failure: None });
    }
    job
}

fn fail(job: &mut Job, failure: Failure) {
    let at = job.master.execution.id(&job.master.graph, (1, 0));
    let worker = job.worker_of(at);
    job.on(report(&worker, at, ExecutionState::Failed, Some(failure), Vec::new()));
}

fn damaged(number: u64) -> Failure {
    Failure::permanent("a checksum is wrong").of_damaged_file(&format!("chk-{number}/state"))
}

#[test]
fn the_one_before_is_used_whatever_the_restart_strategy_and_named() {
    let mut job = with_checkpoints(&[1, 2, 3]);
    fail(&mut job, damaged(3));
    assert_eq!((job.master.status(), job.deployed), (JobStatus::Running, 8));
    assert_eq!(job.master.checkpoints.latest().unwrap().checkpoint, CheckpointId(2));
    let said = &job.master.failures()[0].failure.message;
    assert!(said.contains("goes back from checkpoint 3 to 2"), "{said}");
    fail(&mut job, damaged(2));
    assert_eq!(job.master.checkpoints.latest().unwrap().checkpoint, CheckpointId(1));
    fail(&mut job, damaged(1));
    assert_eq!(job.master.status(), JobStatus::Failed, "there is none before");
}

/// Whoever still wrote to one that was given up long ago has gone.
#[test]
fn of_a_job_that_has_failed_nothing_is_left_but_what_is_retained_once_its_workers_have_gone() {
    for (retain, kept) in [(false, "keeps []"), (true, "keeps [\"/chk-1\", \"/chk-2\"]")] {
        let mut job = with_checkpoints(&[1, 2]);
        job.master.checkpoints.settings.retain_on_cancellation = retain;
        fail(&mut job, Failure::permanent("bad"));
        assert_eq!(job.master.status(), JobStatus::Failed);
        for name in ["a", "b"] {
            assert!(!job.told.iter().any(|told| told.starts_with("keeps")), "{:?}", job.told);
            job.on(exited(worker(name, 1), ExitCause::Completed { code: 0 }));
        }
        assert_eq!(job.told.iter().filter(|told| *told == kept).count(), 1, "{:?}", job.told);
    }
}

#[test]
fn a_file_of_no_checkpoint_or_of_an_older_one_changes_nothing() {
    let mut job = with_checkpoints(&[1, 2]);
    fail(&mut job, damaged(1));
    assert_eq!(job.master.status(), JobStatus::Failed);
}
