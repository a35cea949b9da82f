use super::*;
use crate::protocol::node::NodeState;
use crate::testing::fuzz::{corpus, fuzz};

fn restarted(before: &Rm) -> Rm {
    Rm::on(before.store.clone(), settings(), before.now)
}

fn status(container: ContainerId, memory_mb: u64, state: ContainerState) -> ContainerStatus {
    let exit = (state == ContainerState::Complete)
        .then(|| Exit { cause: ExitCause::Completed { code: 1 }, diagnostics: String::new() });
    ContainerStatus { container, state, resource: mb(memory_mb), priority: 1, exit, stopping: false }
}

/// One of two nodes is back, and the master.
fn after_restart(before: &Rm, attempt: ApplicationAttemptId, node: &NodeId, has: &[(ContainerId, u64)]) -> Rm {
    let mut rm = restarted(before);
    let has = has.iter().map(|(container, memory_mb)| status(*container, *memory_mb, ContainerState::Running));
    rm.request(|request| node_hello(request, node, 2048, has.collect())).unwrap();
    rm.register(attempt);
    rm
}

#[test]
fn work_is_preserved_over_a_restart() {
    let mut before = Rm::new();
    let n1 = before.node("n1", 2048);
    let n2 = before.node("n2", 64);
    let (attempt, master) = before.running(|_| {});
    let worker = before.worker(attempt, 512);
    let queued = before.submit(|submission| submission.resource = mb(4096));

    let mut rm = restarted(&before);
    let application = attempt.application;
    assert_eq!(rm.core.cluster().epoch, 1);
    assert_eq!(rm.core.cluster().token_key, before.core.cluster().token_key);
    assert_eq!(rm.state(application), ApplicationState::Accepted);
    assert!(rm.waiting_reason(application).contains("has not come back yet"));
    assert!(rm.waiting_reason(queued).contains("waits for its nodes to come back"), "{}", rm.waiting_reason(queued));

    let has = vec![status(master, 256, ContainerState::Running), status(worker, 512, ContainerState::Running)];
    rm.request(|request| node_hello(request, &n1, 2048, has)).unwrap();
    assert_eq!(rm.core.nodes[&n1].allocated.memory_mb, 768, "usage is what it was");
    assert!(rm.sent_to_node(&n1).is_empty(), "nothing is stopped");

    let Ok(Answer::MasterRegistered(registered)) = rm.master_hello(attempt, Registering::Link) else { panic!() };
    assert_eq!(registered.epoch, 1);
    assert_eq!(rm.state(application), ApplicationState::Running);
    rm.ask(attempt, 0, vec![wanted(64, 1)]);
    assert!(rm.responses(attempt).iter().all(|response| response.allocated.is_empty()), "not yet");
    rm.request(|request| node_hello(request, &n2, 64, Vec::new())).unwrap();
    assert_eq!(rm.responses(attempt).pop().unwrap().allocated.len(), 1, "every node is back");

    let mut rm = after_restart(&before, attempt, &n1, &[(master, 256), (worker, 512)]);
    rm.ask(attempt, 0, vec![wanted(64, 1)]);
    rm.responses(attempt);
    rm.advance(Duration::from_secs(3));
    let response = rm.responses(attempt).pop().unwrap();
    assert_eq!(response.allocated[0].container.epoch(), 1);
    assert_eq!(response.allocated[0].container.to_string(), format!("container_e01_{IDENTITY}_0001_01_000001"));
}

#[test]
fn what_ended_meanwhile_is_told_once() {
    let mut before = Rm::new();
    let n1 = before.node("n1", 2048);
    let (attempt, master) = before.running(|_| {});
    let worker = before.worker(attempt, 512);
    let mut rm = restarted(&before);
    let has = || vec![status(master, 256, ContainerState::Running), status(worker, 512, ContainerState::Complete)];
    rm.request(|request| node_hello(request, &n1, 2048, has())).unwrap();
    rm.request(|request| node_hello(request, &n1, 2048, has())).unwrap();
    rm.register(attempt);
    rm.ask(attempt, 0, Vec::new());
    let told: Vec<_> = rm.responses(attempt).into_iter().flat_map(|r| r.completed).map(|s| s.container).collect();
    assert_eq!(told, [worker]);
}

#[test]
fn a_master_that_died_meanwhile_is_replaced() {
    let mut before = Rm::new();
    let n1 = before.node("n1", 2048);
    let (attempt, master) = before.running(|_| {});
    for (has, counts) in [(vec![status(master, 256, ContainerState::Complete)], true), (Vec::new(), false)] {
        let mut rm = restarted(&before);
        rm.request(|request| node_hello(request, &n1, 2048, has)).unwrap();
        assert_eq!(rm.core.applications[&attempt.application].failures.len(), usize::from(counts));
        rm.advance(Duration::from_secs(3));
        assert!(rm.sent_to_node(&n1).iter().any(|sent| sent.starts_with("start ")), "counts: {counts}");
    }
}

#[test]
fn a_master_that_never_comes_back_is_replaced_without_counting() {
    let mut before = Rm::new();
    before.node("n1", 2048);
    let (attempt, _) = before.running(|submission| submission.max_attempts = Some(1));
    let mut rm = restarted(&before);
    rm.node("n2", 1024);
    rm.advance(Duration::from_secs(15));
    assert_eq!(rm.state(attempt.application), ApplicationState::Accepted);
    let end = rm.core.attempts[&attempt].end.clone().unwrap();
    assert!(end.diagnostics.contains("did not come back within 15 s after the ResourceManager restarted"));
}

#[test]
fn no_number_is_given_out_twice_and_ended_applications_are_remembered() {
    let mut before = Rm::new();
    before.node("n1", 2048);
    let (attempt, master) = before.running(|_| {});
    before.finish(attempt);
    before.exit(master, ExitCause::Completed { code: 0 });
    before.request(|request| Event::NewApplication { request }).unwrap();
    let mut rm = restarted(&before);
    let report = rm.core.application(attempt.application, rm.now).unwrap();
    assert_eq!((report.state, report.final_status), (ApplicationState::Finished, FinalStatus::Succeeded));
    assert_eq!(report.diagnostics, "done");
    let Ok(Answer::NewApplication { application, .. }) = rm.request(|request| Event::NewApplication { request }) else {
        panic!()
    };
    assert_eq!(application.sequence, 3);
    rm.advance(rm.core.settings.node_expiry);
    assert_eq!(rm.core.next_wake(), None, "nothing to wait for");
}

#[test]
fn containers_of_ended_applications_are_stopped_when_their_node_comes_back() {
    let mut before = Rm::new();
    let n1 = before.node("n1", 2048);
    let (attempt, master) = before.running(|_| {});
    let worker = before.worker(attempt, 64);
    let application = attempt.application;
    before.request(|request| Event::Kill { request, application, diagnostics: String::new() }).unwrap();
    let mut rm = restarted(&before);
    let has = vec![status(master, 256, ContainerState::Running), status(worker, 64, ContainerState::Running)];
    let Event::NodeHello { mut register, .. } = node_hello(0, &n1, 2048, has) else { unreachable!() };
    register.applications = vec![application];
    rm.request(|request| Event::NodeHello { request, register, resumed: false }).unwrap();
    let sent = rm.sent_to_node(&n1);
    assert_eq!(sent[0], format!("finished {application}"));
    assert!(sent[1].starts_with(&format!("stop {master} {worker}")), "{sent:?}");
    assert!(rm.core.nodes[&n1].allocated.is_zero());
}

#[test]
fn an_end_stored_for_the_attempt_only_is_carried_to_its_application() {
    let mut before = Rm::new();
    before.node("n1", 2048);
    let (attempt, _) = before.running(|_| {});
    let key = Key::Application(attempt.application).to_string();
    let unfinished = before.store[&key].clone();
    before.finish(attempt);
    before.store.insert(key, unfinished);
    let rm = restarted(&before);
    assert_eq!(rm.internal_state(attempt.application), "FINISHED");
    assert_eq!(rm.core.application(attempt.application, rm.now).unwrap().final_status, FinalStatus::Succeeded);
}

#[test]
fn a_surviving_master_by_http_counts_on() {
    let mut before = Rm::new();
    let n1 = before.node("n1", 2048);
    let (attempt, master) = before.running(|_| {});
    let mut rm = restarted(&before);
    let has = vec![status(master, 256, ContainerState::Running)];
    rm.request(|request| node_hello(request, &n1, 2048, has)).unwrap();
    rm.master_hello(attempt, Registering::Pull).unwrap();
    let asks = vec![wanted(64, 1)];
    let allocate = Box::new(AllocateRequest { response_id: 9, asks, ..AllocateRequest::default() });
    rm.request(|request| Event::Allocate { request: Some(request), attempt, allocate }).unwrap();
    assert_eq!(rm.responses(attempt).pop().unwrap().response_id, 10);
}

#[test]
fn a_node_that_never_comes_back_over_a_restart_is_lost_for_masters_and_members() {
    let mut before = Rm::new();
    let n1 = before.node("n1", 2048);
    let n2 = before.node("n2", 2048);
    let (attempt, master) = before.running(|_| {});
    let on_n2 = ContainerId::new(attempt, 0, 99);
    let member = Key::Node(n2.clone()).to_string();
    assert!(before.store.contains_key(&member));

    let mut rm = after_restart(&before, attempt, &n1, &[(master, 256)]);
    rm.ask(attempt, 0, Vec::new());
    rm.responses(attempt);
    rm.advance(Duration::from_secs(15));
    let told = rm.responses(attempt).into_iter().flat_map(|response| response.updated_nodes);
    assert_eq!(told.map(|report| (report.node, report.state)).collect::<Vec<_>>(), [(n2.clone(), NodeState::Lost)]);
    assert!(!rm.store.contains_key(&member), "it is waited for no more");

    // Its master has replaced what ran there.
    rm.request(|request| node_hello(request, &n2, 2048, vec![status(on_n2, 64, ContainerState::Running)])).unwrap();
    assert!(rm.sent_to_node(&n2)[0].starts_with(&format!("stop {on_n2}")));
}

/// It was released before the ResourceManager went down; what it held may be another's by now.
#[test]
fn a_container_that_its_node_was_told_to_stop_is_not_taken_in_over_a_restart() {
    let mut before = Rm::new();
    let n1 = before.node("n1", 2048);
    let (attempt, master) = before.running(|_| {});
    let worker = before.worker(attempt, 512);
    let mut rm = Rm::on(before.store.clone(), settings(), before.now);
    let stopping = ContainerStatus { stopping: true, ..status(worker, 512, ContainerState::Running) };
    let has = vec![status(master, 256, ContainerState::Running), stopping];
    rm.request(|request| node_hello(request, &n1, 2048, has)).unwrap();
    assert_eq!(rm.core.node_summaries()[0].allocated, mb(256));
    assert_eq!(rm.sent_to_node(&n1), [] as [String; 0], "it is told nothing twice");
    rm.report(
        &n1,
        worker,
        ContainerState::Complete,
        Some(Exit { cause: ExitCause::Released, diagnostics: String::new() }),
    );
    assert_eq!(rm.core.node_summaries()[0].allocated, mb(256));
}

/// Nobody writes such a store, but a release before this one, or a hand: what is recovered may be wrong, and never brings the process down.
#[test]
fn fuzz_stores_of_a_resource_manager() {
    let mut before = Rm::new();
    let n1 = before.node("n1", 4096);
    let (running, master) = before.running(|_| {});
    before.worker(running, 512);
    before.submit(|submission| submission.resource = mb(8192));
    let (ended, _) = before.running(|_| {});
    before
        .request(|request| Event::Kill { request, application: ended.application, diagnostics: String::new() })
        .unwrap();
    let lines: Vec<Vec<u8>> = before.store.values().map(|record| serde_json::to_vec(record).unwrap()).collect();
    assert!(lines.len() > 5);
    let corpus: Vec<Vec<u8>> = [lines.join(&b'\n')].into_iter().chain(corpus("resource-manager-store")).collect();
    fuzz("resource-manager-store", &corpus, |bytes| {
        let lines = bytes.split(|byte| *byte == b'\n');
        let records: Vec<Record> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
        let store = records.into_iter().zip(0..).map(|(record, number)| (format!("{number}"), record)).collect();
        let mut rm = Rm::on(store, settings(), before.now);
        let has = vec![status(master, 256, ContainerState::Running)];
        let _ = rm.request(|request| node_hello(request, &n1, 4096, has));
        let _ = rm.master_hello(running, Registering::Link);
        rm.advance(Duration::from_secs(30));
        let _ = (rm.core.applications(rm.now), rm.core.node_summaries(), rm.core.summary());
    });
}
