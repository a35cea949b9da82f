//! Slots that do not come.

use std::time::Duration;

use super::tests::{Job, tm};
use super::*;
use crate::graph::task::Failure;

#[test]
fn slots_that_do_not_come_in_time_are_a_failure_and_may_be_waited_for_again() {
    let late = || Event::SlotsLate(Failure::transient("needs 2 slots and holds 1"));
    let mut job = Job::new(2, RestartStrategy::FixedDelay { attempts: 1, delay: Duration::from_secs(1) });
    job.on(Event::Start);
    job.offer("a", 1);
    assert_eq!(job.at(299_999).on(late()), [], "not yet");
    assert!(!job.master.waits_too_long(Now(299_999)) && job.master.waits_too_long(Now(300_000)));
    job.at(300_000).on(late());
    assert_eq!(job.master.status(), JobStatus::Restarting);
    job.at(301_000).on(Event::Wake);
    assert!(!job.master.waits_too_long(Now(301_000)), "it waits anew");
    let out = job.at(601_000).on(late());
    assert!(out.contains(&Effect::ReleaseSlots { task_manager: tm("a"), slots: 1 }), "{out:?}");
    assert_eq!(job.master.status(), JobStatus::Failed);
    let failure = job.master.outcome().unwrap().failure.clone().unwrap();
    assert!(failure.message.starts_with("needs 2 slots and holds 1"), "{failure}");
}

#[test]
fn a_job_that_waits_for_slots_can_be_cancelled() {
    let mut job = Job::new(2, RestartStrategy::None);
    job.on(Event::Start);
    job.offer("a", 1);
    let out = job.on(Event::Cancel);
    assert!(out.contains(&Effect::ReleaseSlots { task_manager: tm("a"), slots: 1 }), "{out:?}");
    assert_eq!(job.master.status(), JobStatus::Canceled);
    assert_eq!(job.at(300_000).on(Event::SlotsLate(Failure::transient("too late"))), []);
}
