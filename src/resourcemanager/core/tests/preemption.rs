//! Notice, grace, end: what an application hears of containers that are taken from it.

use super::*;
use crate::config::QueuesConfig;
use crate::protocol::application_master::Preempting;

fn two_queues() -> Rm {
    let queues = "{root: {queues: {a: {capacity: 50%, user-limit-factor: -1}, b: {capacity: 50%}}}, \
                  scheduler: {preemption: between-queues, preemption-round-percent: 100}}";
    Rm::with(Settings { queues: QueuesConfig::parse(queues).unwrap(), ..settings() })
}

/// An application in `a` that has the whole node, and one in `b` whose master waits.
fn contended() -> (Rm, ApplicationAttemptId, ApplicationId, ContainerId) {
    let mut rm = two_queues();
    rm.node("n1", 1024);
    let (greedy, _) = rm.running(|submission| submission.queue = "root.a".to_owned());
    rm.worker(greedy, 256);
    let newest = rm.worker(greedy, 512);
    let starving = rm.submit(|submission| submission.queue = "root.b".to_owned());
    rm.responses(greedy);
    (rm, greedy, starving, newest)
}

fn notices(rm: &mut Rm, attempt: ApplicationAttemptId) -> Vec<Vec<Preempting>> {
    rm.responses(attempt).into_iter().filter_map(|response| response.preempting).collect()
}

#[test]
fn a_container_is_taken_after_its_notice_and_its_grace() {
    let (mut rm, greedy, starving, newest) = contended();
    rm.advance(Duration::from_secs(3));
    let expected = Preempting { container: newest, queue: "root.b".to_owned(), in_ms: 15_000 };
    assert_eq!(notices(&mut rm, greedy), [vec![expected]]);
    rm.advance(Duration::from_secs(14));
    assert!(rm.core.containers.contains_key(&newest));
    rm.advance(Duration::from_secs(1));
    let ended: Vec<_> = rm.responses(greedy).into_iter().flat_map(|response| response.completed).collect();
    assert_eq!(ended[0].exit.as_ref().unwrap().cause, ExitCause::Preempted { queue: "root.b".to_owned() });
    assert!(rm.core.attempts[&starving.attempt(1)].master.is_some(), "its room goes to whom it was taken for");
    let report = rm.core.application(greedy.application, rm.now).unwrap();
    assert_eq!((report.preempted.workers, report.preempted.masters, report.preempted.resource), (1, 0, mb(512)));
}

#[test]
fn a_notice_is_lifted_when_whom_it_is_for_has_gone() {
    let (mut rm, greedy, starving, newest) = contended();
    rm.advance(Duration::from_secs(3));
    assert_eq!(notices(&mut rm, greedy).len(), 1);
    rm.request(|request| Event::Kill { request, application: starving, diagnostics: String::new() }).unwrap();
    rm.advance(Duration::from_secs(3));
    assert_eq!(notices(&mut rm, greedy), [Vec::<Preempting>::new()]);
    rm.advance(Duration::from_secs(60));
    assert!(rm.core.containers.contains_key(&newest));
}

#[test]
fn a_master_that_is_preempted_is_started_again_and_uses_up_no_attempt() {
    let mut rm = two_queues();
    rm.node("n1", 1024);
    let of = |queue: &'static str| {
        move |submission: &mut Submission| {
            submission.queue = queue.to_owned();
            submission.max_attempts = Some(1);
        }
    };
    let masters: Vec<_> = (0..4).map(|_| rm.running(of("root.a"))).collect();
    rm.submit(of("root.b"));
    for _ in 0..18 {
        rm.advance(Duration::from_secs(1));
    }
    let (newest, _) = masters[3];
    let report = rm.core.application(newest.application, rm.now).unwrap();
    assert_eq!((report.state, report.preempted.masters), (ApplicationState::Accepted, 1));
    assert_eq!(report.attempt.unwrap().id.attempt, 2);
}
