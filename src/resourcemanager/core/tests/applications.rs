use super::*;

const EXIT_1: ExitCause = ExitCause::Completed { code: 1 };

#[test]
fn an_application_goes_from_submission_to_its_end() {
    let mut rm = Rm::new();
    let n1 = rm.node("n1", 1024);
    let application = rm.submit(|_| {});
    assert_eq!(rm.state(application), ApplicationState::Accepted);
    assert!(rm.waiting_reason(application).contains("being started on n1:8042"));
    let master = format!("container_{IDENTITY}_0001_01_000001");
    assert_eq!(rm.sent_to_node(&n1), [format!("start {master}")]);

    let attempt = application.attempt(1);
    let master_id = rm.launch(attempt);
    rm.register(attempt);
    assert_eq!(rm.state(application), ApplicationState::Running);

    let worker = rm.worker(attempt, 100);
    let report = rm.core.application(application, rm.now).unwrap();
    assert_eq!((report.running_containers, report.allocated.memory_mb), (2, 256 + 128));

    rm.finish(attempt);
    assert_eq!(rm.internal_state(application), "FINISHING");
    assert_eq!(rm.state(application), ApplicationState::Finished);
    assert!(matches!(rm.sent_to_master(attempt)[..], [ToApplicationMaster::Unregistered]));
    rm.exit(master_id, ExitCause::Completed { code: 0 });
    assert_eq!(rm.internal_state(application), "FINISHED");
    let after_end = ExitCause::KilledAfterApplicationEnd;
    assert_eq!(
        rm.sent_to_node(&n1),
        [format!("stop {worker}: {after_end}"), format!("finished {application}"), format!("forget {master} {worker}")]
    );
    assert!(rm.core.containers.is_empty());
    assert!(rm.core.nodes[&n1].allocated.is_zero());
    assert_eq!(rm.core.next_wake(), None, "nothing is waited for any more");
}

#[test]
fn nothing_is_acknowledged_or_launched_before_it_is_stored() {
    let mut rm = Rm::new();
    let n1 = rm.node("n1", 1024);
    let application = ApplicationId { cluster_timestamp: IDENTITY, sequence: 1 };
    rm.apply(Event::NewApplication { request: 77 });
    rm.slow_store = true;
    let mut out = Vec::new();
    let submission = Box::new(submission(application));
    rm.core.apply(Event::Submit { request: 78, submission }, rm.now, &mut out).unwrap();
    assert!(matches!(out[0], Effect::Persist { key: Key::Application(_), .. }), "{out:?}");
    assert!(matches!(out[1], Effect::Answer { request: 78, .. }), "the answer stands behind the barrier");
    assert_eq!(rm.internal_state(application), "NEW_SAVING");
    let Effect::Persist { ticket, .. } = out[0] else { panic!("a persist") };
    let mut out = Vec::new();
    rm.core.apply(Event::Persisted(ticket), rm.now, &mut out).unwrap();
    assert!(matches!(out[0], Effect::Persist { key: Key::Attempt(_), .. }), "{out:?}");
    assert!(!out.iter().any(|effect| matches!(effect, Effect::ToNode { node, .. } if *node == n1)));
}

#[test]
fn an_application_waits_with_a_reason_until_there_is_room() {
    let mut rm = Rm::new();
    let application = rm.submit(|submission| submission.resource = mb(512));
    assert!(rm.waiting_reason(application).ends_with("no node registered"), "{}", rm.waiting_reason(application));
    rm.node("n1", 256);
    let reason = rm.waiting_reason(application);
    assert!(reason.ends_with("no node is large enough for 512 MB: 1 node, the largest has 256 MB"), "{reason}");
    let n2 = rm.node("n2", 512);
    assert_eq!(rm.sent_to_node(&n2).len(), 1, "the node's arrival starts the master at once");
}

#[test]
fn a_failed_master_is_tried_again_up_to_the_limit() {
    let mut rm = Rm::new();
    rm.node("n1", 1024);
    let (attempt, master) = rm.running(|_| {});
    rm.worker(attempt, 64);
    rm.exit(master, EXIT_1);
    let application = attempt.application;
    assert_eq!(rm.state(application), ApplicationState::Accepted);
    assert_eq!(rm.core.containers.len(), 1, "the worker is gone, the second master is there");
    assert!(matches!(rm.sent_to_master(attempt).last(), Some(ToApplicationMaster::Shutdown { .. })));

    let waits = rm.waiting_reason(application);
    assert!(waits.contains("is being started on n1:8042; attempt 1 failed: last words (the master's"), "{waits}");

    let second = rm.launch(application.attempt(2));
    rm.exit(second, EXIT_1);
    assert_eq!(rm.state(application), ApplicationState::Failed);
    let diagnostics = rm.core.application(application, rm.now).unwrap().diagnostics;
    assert!(diagnostics.starts_with("last words (the master's container ("), "{diagnostics}");
    let end = "exited with code 1); the application's master failed 2 times, the limit is 2";
    assert!(diagnostics.ends_with(end), "{diagnostics}");
}

#[test]
fn failures_of_the_cluster_do_not_count_and_old_ones_lapse() {
    let mut rm = Rm::new();
    rm.node("n1", 1024);
    let (attempt, master) = rm.running(|submission| {
        submission.max_attempts = Some(1);
        submission.attempt_failures_validity_ms = Some(1000);
    });
    let application = attempt.application;
    rm.exit(master, ExitCause::DiskFailed);
    assert_eq!(rm.state(application), ApplicationState::Accepted);
    let second = rm.launch(application.attempt(2));
    rm.exit(second, EXIT_1);
    assert_eq!(rm.state(application), ApplicationState::Failed, "one within the interval is over the limit of 1");

    let (attempt, master) = rm.running(|submission| submission.attempt_failures_validity_ms = Some(1000));
    rm.exit(master, EXIT_1);
    rm.advance(Duration::from_secs(2));
    let second = rm.launch(attempt.application.attempt(2));
    rm.exit(second, EXIT_1);
    assert_eq!(rm.state(attempt.application), ApplicationState::Accepted, "the first failure has lapsed");
}

#[test]
fn containers_are_kept_for_the_next_attempt_when_asked() {
    let mut rm = Rm::new();
    let n1 = rm.node("n1", 2048);
    let (attempt, master) = rm.running(|submission| submission.keep_containers_across_attempts = true);
    let worker = rm.worker(attempt, 64);
    rm.report(&n1, worker, ContainerState::Running, None);
    let granted = rm.worker(attempt, 64);
    rm.exit(master, EXIT_1);
    assert!(!rm.core.containers.contains_key(&granted), "as in YARN only what runs is kept");
    let second = attempt.application.attempt(2);
    rm.launch(second);
    let Ok(Answer::MasterRegistered(registered)) = rm.master_hello(second, Registering::Link) else { panic!() };
    let kept = &registered.containers_from_previous_attempts;
    assert_eq!((kept.len(), kept[0].container, kept[0].resource.memory_mb), (1, worker, 64));
    rm.exit(worker, EXIT_1);
    assert_eq!(rm.responses(second).last().unwrap().completed[0].container, worker);
}

#[test]
fn a_kill_stops_everything_and_is_answered_by_state() {
    let mut rm = Rm::new();
    let n1 = rm.node("n1", 1024);
    let (attempt, master) = rm.running(|_| {});
    let application = attempt.application;
    rm.sent_to_node(&n1);
    let kill = |request| Event::Kill { request, application, diagnostics: "by alice".to_owned() };
    let Ok(Answer::Killing { state, ended }) = rm.request(kill) else { panic!() };
    assert_eq!((state.as_str(), ended), ("KILLING", false));
    assert_eq!(rm.state(application), ApplicationState::Killed);
    assert!(rm.sent_to_node(&n1).contains(&format!("stop {master}: killed by user")));
    assert!(
        matches!(rm.sent_to_master(attempt).last(), Some(ToApplicationMaster::Shutdown { why }) if why == "by alice")
    );
    let Ok(Answer::Killing { state, ended }) = rm.request(kill) else { panic!() };
    assert_eq!((state.as_str(), ended), ("KILLED", true));
    rm.report(&n1, master, ContainerState::Complete, None);
    assert_eq!(rm.sent_to_node(&n1), [format!("forget {master}")], "its late exit is only acknowledged");
}

#[test]
fn a_kill_while_the_submission_is_being_stored_wins() {
    let mut rm = Rm::new();
    rm.node("n1", 1024);
    rm.apply(Event::NewApplication { request: 1000 });
    let application = ApplicationId { cluster_timestamp: IDENTITY, sequence: 1 };
    rm.slow_store = true;
    rm.apply(Event::Submit { request: 1001, submission: Box::new(submission(application)) });
    rm.apply(Event::Kill { request: 1002, application, diagnostics: "changed my mind".to_owned() });
    rm.flush();
    assert_eq!(rm.state(application), ApplicationState::Killed);
    assert!(rm.core.containers.is_empty());
}

#[test]
fn submissions_that_make_no_sense_are_refused_by_name() {
    let mut rm = Rm::new();
    let Ok(Answer::NewApplication { application, .. }) = rm.request(|request| Event::NewApplication { request }) else {
        panic!()
    };
    let mut check = |change: &dyn Fn(&mut Submission), part: &str| {
        let mut submission = submission(application);
        change(&mut submission);
        let submission = Box::new(submission);
        let refused = rm.request(|request| Event::Submit { request, submission }).unwrap_err();
        assert!(refused.message.contains(part), "{refused}");
    };
    check(&|s| s.application.sequence = 9, "was not given out");
    check(&|s| s.application.cluster_timestamp = 5, "was not given out");
    check(&|s| s.master.commands.clear(), "has no commands");
    check(&|s| s.resource = mb(1 << 30), "Invalid resource request");
    check(&|s| s.name = "x".repeat(70_000), "at most 61440 can be stored");
    let unknown = rm.submit(|submission| submission.queue = "root.gold".to_owned());
    let report = rm.core.application(unknown, rm.now).unwrap();
    assert_eq!(report.state, ApplicationState::Failed);
    assert_eq!(report.diagnostics, "there is no queue root.gold; submit to one of: root.default");
}

#[test]
fn a_repeated_submission_of_the_same_user_is_taken_once() {
    let mut rm = Rm::new();
    rm.node("n1", 1024);
    let application = rm.submit(|_| {});
    let again = Box::new(submission(application));
    rm.request(|request| Event::Submit { request, submission: again }).unwrap();
    assert_eq!(rm.core.containers.len(), 1);
    let other = Box::new(Submission { user: "bob".to_owned(), ..submission(application) });
    assert!(rm.request(|request| Event::Submit { request, submission: other }).is_err());
}

#[test]
fn only_the_current_master_with_its_token_may_register() {
    let mut rm = Rm::new();
    rm.node("n1", 1024);
    let (attempt, master) = rm.running(|_| {});
    rm.exit(master, EXIT_1);
    let refused = rm.master_hello(attempt, Registering::Link).unwrap_err();
    assert_eq!(refused.code, crate::resourcemanager::RefusalCode::AttemptNotFound);
    let second = attempt.application.attempt(2);
    rm.launch(second);
    let token = rm.core.master_token(attempt);
    let register = RegisterMaster {
        attempt: second,
        token: token.clone(),
        host: String::new(),
        rpc_port: 0,
        tracking_url: String::new(),
    };
    let hello = |register: RegisterMaster| {
        move |request| Event::MasterHello { request, register: Box::new(register), by: Registering::Link }
    };
    assert!(rm.request(hello(register.clone())).unwrap_err().message.contains("not that of"));
    let mut forged = register;
    forged.token = rm.core.master_token(second);
    forged.token.password[0] ^= 1;
    assert!(rm.request(hello(forged)).unwrap_err().message.contains("not signed"));
}

#[test]
fn a_master_that_does_not_exit_is_stopped() {
    let mut rm = Rm::new();
    let n1 = rm.node("n1", 1024);
    let (attempt, master) = rm.running(|_| {});
    rm.finish(attempt);
    rm.sent_to_node(&n1);
    rm.advance(Duration::from_secs(10));
    assert_eq!(rm.internal_state(attempt.application), "FINISHED");
    assert!(rm.sent_to_node(&n1)[0].starts_with(&format!("stop {master}")));
}

#[test]
fn a_silent_master_fails_after_the_expiry_unless_it_comes_back() {
    let mut rm = Rm::new();
    rm.node("n1", 1024);
    let (attempt, _) = rm.running(|_| {});
    rm.apply(Event::MasterSilent { attempt });
    rm.advance(Duration::from_secs(14));
    rm.master_hello(attempt, Registering::ResumedLink).unwrap();
    rm.advance(Duration::from_secs(14));
    assert_eq!(rm.state(attempt.application), ApplicationState::Running);
    rm.apply(Event::MasterSilent { attempt });
    rm.advance(Duration::from_secs(15));
    assert_eq!(rm.state(attempt.application), ApplicationState::Accepted);
    assert_eq!(rm.core.attempts[&attempt].end.as_ref().unwrap().diagnostics, "the master was silent for 15 s");
}

#[test]
fn only_so_many_ended_applications_are_remembered() {
    let mut rm = Rm::with(Settings { completed_applications_max: 1, ..settings() });
    let kill = |rm: &mut Rm, application| {
        rm.request(|request| Event::Kill { request, application, diagnostics: String::new() }).unwrap();
    };
    let first = rm.submit(|_| {});
    let second = rm.submit(|_| {});
    kill(&mut rm, first);
    kill(&mut rm, second);
    assert!(rm.core.application(first, rm.now).is_none());
    assert_eq!(rm.state(second), ApplicationState::Killed);
    assert!(!rm.store.keys().any(|key| key.contains(&first.to_string())), "{:?}", rm.store.keys());
}
