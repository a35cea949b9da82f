use super::*;

const TWO: &str =
    "root: {queues: {default: {capacity: 50%}, other: {capacity: 50%, maximum-application-lifetime: 60 s}}}";

fn apply(rm: &mut Rm, text: &str, dry_run: bool) -> Result<Vec<String>, String> {
    match rm.request(|request| Event::ApplyQueues { request, text: text.to_owned(), dry_run }) {
        Ok(Answer::QueuesApplied { differences }) => Ok(differences),
        Ok(other) => panic!("{other:?}"),
        Err(refused) => Err(refused.message),
    }
}

fn queue_of(rm: &Rm, application: ApplicationId) -> String {
    rm.core.application(application, rm.now).unwrap().queue
}

#[test]
fn queues_are_replaced_while_applications_run_and_survive_a_restart() {
    let mut rm = Rm::new();
    rm.node("n1", 1024);
    let (attempt, _) = rm.running(|_| ());
    assert_eq!(apply(&mut rm, TWO, true).unwrap().len(), 2, "one changes, one comes");
    assert_eq!(rm.core.queues().len(), 2, "a dry run changes nothing");
    apply(&mut rm, TWO, false).unwrap();
    assert_eq!(rm.core.queues().len(), 3);
    let refused = apply(&mut rm, "root: {queues: {other: {}}}", true).unwrap_err();
    assert!(refused.starts_with("root.default has 1 live applications"), "{refused}");
    let moved = rm.request(|request| Event::MoveApplication {
        request,
        application: attempt.application,
        queue: "other".to_owned(),
    });
    assert!(matches!(moved, Ok(Answer::Moved { queue }) if queue == "root.other"));
    let restarted = Rm::on(rm.store.clone(), settings(), rm.now);
    assert_eq!(restarted.core.queues().len(), 3, "what was applied counts, not the settings");
    assert_eq!(queue_of(&restarted, attempt.application), "other");
}

#[test]
fn an_application_of_a_queue_with_a_lifetime_is_killed_when_it_is_over() {
    let mut rm = Rm::with(Settings { queues: crate::config::QueuesConfig::parse(TWO).unwrap(), ..settings() });
    rm.node("n1", 1024);
    let (attempt, _) = rm.running(|submission| submission.queue = "other".to_owned());
    rm.advance(Duration::from_secs(59));
    assert_eq!(rm.state(attempt.application), ApplicationState::Running);
    rm.advance(Duration::from_secs(1));
    assert_eq!(rm.state(attempt.application), ApplicationState::Killed);
    let report = rm.core.application(attempt.application, rm.now).unwrap();
    assert_eq!(report.diagnostics, "killed because its lifetime is over");
}

#[test]
fn a_higher_priority_is_served_first_from_the_moment_it_is_given() {
    let mut rm = Rm::new();
    let first = rm.submit(|_| ());
    let second = rm.submit(|_| ());
    let answer = rm.request(|request| Event::SetPriority { request, application: second, priority: 7 });
    assert!(matches!(answer, Ok(Answer::Prioritised { priority: 7 })));
    rm.node("n1", 256);
    assert!(rm.waiting_reason(second).contains("being started on n1"), "{}", rm.waiting_reason(second));
    assert!(rm.waiting_reason(first).contains("no node has 256 MB free"), "{}", rm.waiting_reason(first));
}

#[test]
fn a_submission_to_a_queue_that_takes_none_fails_with_the_reason() {
    let stopped = "root: {queues: {default: {}, closed: {state: STOPPED}}}";
    let mut rm = Rm::with(Settings { queues: crate::config::QueuesConfig::parse(stopped).unwrap(), ..settings() });
    let application = rm.submit(|submission| submission.queue = "closed".to_owned());
    assert_eq!(rm.state(application), ApplicationState::Failed);
    let report = rm.core.application(application, rm.now).unwrap();
    assert_eq!(report.diagnostics, "queue root.closed is STOPPED and takes no applications");
}

#[test]
fn an_application_ends_when_its_lifetime_does_and_its_queue_has_the_last_word() {
    let queues = "root: {queues: {default: {maximum-application-lifetime: 60 s}}}";
    let config = crate::config::QueuesConfig::parse(queues).unwrap();
    let mut rm = Rm::with(Settings { queues: config, ..settings() });
    rm.node("n1", 4096);
    let short = rm.submit(|submission| submission.lifetime_ms = Some(10_000));
    let long = rm.submit(|submission| submission.lifetime_ms = Some(10_000));
    let until = Some(rm.now + Duration::from_secs(3600));
    let set = rm.request(|request| Event::SetLifetime { request, application: long, until }).unwrap();
    let Answer::LifetimeSet { until } = set else { panic!("{set:?}") };
    assert_eq!(until, Some(rm.now + Duration::from_secs(60)));
    rm.advance(Duration::from_secs(10));
    assert_eq!((rm.state(short), rm.state(long)), (ApplicationState::Killed, ApplicationState::Accepted));
    let mut rm = Rm::on(rm.store.clone(), Settings { queues: rm.core.settings.queues.clone(), ..settings() }, rm.now);
    rm.advance(Duration::from_secs(50));
    assert_eq!(rm.state(long), ApplicationState::Killed, "kept over a restart");
    let past = Some(rm.now - Duration::from_secs(1));
    assert!(rm.request(|request| Event::SetLifetime { request, application: long, until: past }).is_err());
}
