use super::*;
use crate::protocol::node::NodeState;
use crate::resourcemanager::RefusalCode;
use crate::rpc::ClusterSecret;

#[test]
fn a_broken_link_is_no_lost_node_and_a_lost_node_loses_each_container_once() {
    let mut rm = Rm::new();
    let n1 = rm.node("n1", 1024);
    let (attempt, _) = rm.running(|_| {});
    let n2 = rm.node("n2", 8192);
    let worker = rm.worker(attempt, 512);
    assert_eq!(rm.core.containers[&worker].node, n2);
    rm.report(&n2, worker, ContainerState::Running, None);
    rm.responses(attempt);

    rm.apply(Event::NodeSilent { node: n2.clone() });
    rm.advance(Duration::from_secs(14));
    assert!(rm.responses(attempt).is_empty());
    assert_eq!(rm.core.nodes[&n2].state, NodeState::Running);
    assert!(!rm.core.nodes[&n2].is_usable(), "but nothing new is placed on it");

    rm.advance(Duration::from_secs(1));
    let responses = rm.responses(attempt);
    assert_eq!(responses.len(), 1);
    let completed = &responses[0].completed;
    assert_eq!(completed.len(), 1);
    assert_eq!((completed[0].container, completed[0].exit.as_ref().unwrap().cause.exit_status()), (worker, -100));
    assert_eq!(responses[0].updated_nodes[0].state, NodeState::Lost);

    rm.sent_to_node(&n2);
    rm.request(|request| node_hello(request, &n2, 8192, vec![running(worker)])).unwrap();
    let sent = rm.sent_to_node(&n2);
    assert!(sent[0].starts_with(&format!("stop {worker}")), "what it kept is stopped: {sent:?}");
    assert!(rm.responses(attempt).iter().all(|response| response.completed.is_empty()));
    assert!(rm.core.nodes[&n2].allocated.is_zero());
    assert_eq!(rm.core.nodes[&n1].containers.len(), 1);
}

#[test]
fn a_node_where_a_forgotten_master_starts_something_hears_of_the_end_again() {
    let mut rm = Rm::new();
    let n1 = rm.node("n1", 1024);
    let (attempt, master) = rm.running(|_| {});
    let worker = rm.worker(attempt, 100);
    rm.finish(attempt);
    rm.exit(master, ExitCause::Completed { code: 0 });
    rm.sent_to_node(&n1);
    // A master that was frozen comes back and uses a token which is still good; the node has deleted everything, and begins anew.
    rm.report(&n1, worker, ContainerState::New, None);
    let stop = format!("stop {worker}: {}", ExitCause::KilledAfterApplicationEnd);
    assert_eq!(rm.sent_to_node(&n1), [stop, format!("finished {}", attempt.application)]);
}

fn running(container: ContainerId) -> ContainerStatus {
    ContainerStatus {
        container,
        state: ContainerState::Running,
        resource: mb(512),
        priority: 1,
        exit: None,
        stopping: false,
    }
}

#[test]
fn a_resumed_link_changes_nothing() {
    let mut rm = Rm::new();
    let n1 = rm.node("n1", 1024);
    let (attempt, master) = rm.running(|_| {});
    rm.apply(Event::NodeSilent { node: n1.clone() });
    rm.advance(Duration::from_secs(5));
    let resumed = |request| match node_hello(request, &n1, 1024, Vec::new()) {
        Event::NodeHello { request, register, .. } => Event::NodeHello { request, register, resumed: true },
        _ => unreachable!(),
    };
    rm.request(resumed).unwrap();
    rm.advance(Duration::from_secs(60));
    assert!(rm.core.containers.contains_key(&master));
    assert_eq!(rm.state(attempt.application), ApplicationState::Running);
}

#[test]
fn a_node_that_comes_back_without_a_container_lost_it_but_an_order_on_its_way_is_repeated() {
    let mut rm = Rm::new();
    let n1 = rm.node("n1", 1024);
    let application = rm.submit(|_| {});
    assert_eq!(rm.sent_to_node(&n1).len(), 1);
    rm.request(|request| node_hello(request, &n1, 1024, Vec::new())).unwrap();
    let sent = rm.sent_to_node(&n1);
    assert!(sent[0].starts_with("start "), "{sent:?}");

    rm.launch(application.attempt(1));
    rm.request(|request| node_hello(request, &n1, 1024, Vec::new())).unwrap();
    let end = rm.core.attempts[&application.attempt(1)].end.clone().unwrap();
    assert!(end.diagnostics.contains("its node came back without it"), "{}", end.diagnostics);
    assert_eq!(rm.state(application), ApplicationState::Accepted, "and it does not count");
}

#[test]
fn nodes_prove_the_secret_and_speak_the_same_version() {
    let secret = ClusterSecret::new("open sesame");
    let mut rm = Rm::with(Settings { secret, ..settings() });
    let hello = |secret: Option<&str>, version: Option<&str>| {
        let event = node_hello(0, &NodeId::new("n1", 8042), 1024, Vec::new());
        let Event::NodeHello { mut register, .. } = event else { unreachable!() };
        register.secret = secret.map(str::to_owned);
        register.version = version.map_or(register.version.clone(), str::to_owned);
        move |request| Event::NodeHello { request, register, resumed: false }
    };
    assert_eq!(rm.request(hello(None, None)).unwrap_err().code, RefusalCode::Forbidden);
    assert_eq!(rm.request(hello(Some("guess"), None)).unwrap_err().code, RefusalCode::Forbidden);
    let refused = rm.request(hello(Some("open sesame"), Some("9.9.9"))).unwrap_err();
    assert!(refused.message.contains("runs flott 9.9.9, this ResourceManager"), "{refused}");
    assert!(rm.request(hello(Some("open sesame"), None)).is_ok());
}

#[test]
fn asks_are_redelivered_until_acknowledged_and_completions_then_forgotten() {
    let mut rm = Rm::new();
    let n1 = rm.node("n1", 1024);
    let (attempt, _) = rm.running(|_| {});
    let worker = rm.worker(attempt, 64);
    rm.exit(worker, ExitCause::Completed { code: 3 });
    let first = rm.responses(attempt);
    assert_eq!((first.len(), first[0].response_id), (1, 2));
    rm.sent_to_node(&n1);
    let exit = Exit { cause: ExitCause::Completed { code: 3 }, diagnostics: String::new() };
    rm.report(&n1, worker, ContainerState::Complete, Some(exit));
    assert!(rm.sent_to_node(&n1).is_empty(), "told twice, the node keeps it all the same");

    rm.apply(Event::MasterSilent { attempt });
    rm.register(attempt);
    let again: Vec<_> = rm.responses(attempt);
    assert_eq!(again.iter().map(|r| r.response_id).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(again[1], first[0]);
    assert!(rm.sent_to_node(&n1).is_empty(), "the node keeps it until the master knows");
    rm.ask(attempt, 2, Vec::new());
    assert_eq!(rm.sent_to_node(&n1), [format!("forget {worker}")]);
    rm.apply(Event::MasterSilent { attempt });
    rm.register(attempt);
    assert!(rm.responses(attempt).is_empty());
}

#[test]
fn a_master_by_http_gets_the_oldest_response_again_until_it_acknowledges() {
    let mut rm = Rm::new();
    rm.node("n1", 1024);
    let application = rm.submit(|_| {});
    let attempt = application.attempt(1);
    rm.launch(attempt);
    rm.master_hello(attempt, Registering::Pull).unwrap();
    assert!(rm.master_hello(attempt, Registering::Pull).unwrap_err().message.contains("already registered"));
    let mut pull = |response_id, asks: Vec<ResourceRequest>| {
        let allocate = Box::new(AllocateRequest { response_id, asks, ..AllocateRequest::default() });
        let taken = rm.request(|request| Event::Allocate { request: Some(request), attempt, allocate });
        (taken, rm.responses(attempt))
    };
    let (taken, responses) = pull(0, vec![wanted(64, 1)]);
    assert!(matches!(taken, Ok(Answer::AllocateTaken { response_id: 0 })));
    assert_eq!(responses[0].allocated.len(), 1);
    assert_eq!(pull(0, Vec::new()).1, responses, "the answer was lost");
    assert!(pull(1, Vec::new()).1.is_empty());
    assert_eq!(pull(7, Vec::new()).0.unwrap_err().message, "invalid response id 7: the last one sent is 1");
    let huge = pull(1, vec![wanted(1 << 30, 1)]).0.unwrap_err();
    assert_eq!(huge.code, RefusalCode::InvalidResourceRequest);
    rm.advance(Duration::from_secs(15));
    assert_eq!(rm.state(application), ApplicationState::Accepted, "silence is a missing request here");
}

#[test]
fn released_containers_complete_once_and_free_their_room() {
    let mut rm = Rm::new();
    let n1 = rm.node("n1", 512);
    let (attempt, _) = rm.running(|_| {});
    let worker = rm.worker(attempt, 256);
    rm.ask(attempt, 1, vec![wanted(256, 1)]);
    let reason = rm.responses(attempt).last().unwrap().pending[0].reason.clone();
    assert_eq!(reason, "no node has 256 MB free: 1 node, largest free 0 MB");
    rm.sent_to_node(&n1);
    let allocate = Box::new(AllocateRequest { response_id: 2, releases: vec![worker], ..AllocateRequest::default() });
    rm.apply(Event::Allocate { request: None, attempt, allocate });
    let response = rm.responses(attempt).pop().unwrap();
    assert_eq!(response.completed[0].exit.as_ref().unwrap().cause, ExitCause::Released);
    assert_eq!(response.allocated.len(), 1, "its room went to the ask that waited");
    assert_eq!(rm.sent_to_node(&n1), [format!("stop {worker}: released by the application's master")]);
}

#[test]
fn an_ask_over_the_maximum_is_named_on_a_link() {
    let mut rm = Rm::with(Settings { maximum_allocation: mb(1024), ..settings() });
    rm.node("n1", 4096);
    let (attempt, _) = rm.running(|_| {});
    rm.ask(attempt, 0, vec![wanted(2048, 1)]);
    let response = rm.responses(attempt).pop().unwrap();
    assert!(response.pending[0].reason.starts_with("Invalid resource request"), "{response:?}");
    rm.ask(attempt, 1, vec![wanted(2048, 0), wanted(1024, 1)]);
    let response = rm.responses(attempt).pop().unwrap();
    assert_eq!((response.allocated.len(), response.pending.len()), (1, 0));
}

#[test]
fn a_container_not_started_in_time_is_taken_back() {
    let mut rm = Rm::new();
    rm.node("n1", 1024);
    let (attempt, _) = rm.running(|_| {});
    let worker = rm.worker(attempt, 64);
    rm.advance(Duration::from_secs(600));
    let response = rm.responses(attempt).pop().unwrap();
    assert_eq!(response.completed[0].container, worker);
    assert_eq!(response.completed[0].exit.as_ref().unwrap().cause.exit_status(), -100);
}

#[test]
fn an_unhealthy_node_gives_its_containers_up_and_may_recover() {
    let mut rm = Rm::new();
    let n1 = rm.node("n1", 512);
    let (attempt, master) = rm.running(|_| {});
    let health = |healthy| Event::NodeSays {
        node: n1.clone(),
        message: ToResourceManager::Health { healthy, report: "disk full".to_owned() },
    };
    rm.sent_to_node(&n1);
    rm.apply(health(false));
    assert!(rm.sent_to_node(&n1)[0].starts_with(&format!("stop {master}: aborted: its node became unhealthy")));
    let application = attempt.application;
    assert!(
        rm.waiting_reason(application).contains("no node can take containers"),
        "{}",
        rm.waiting_reason(application)
    );
    rm.apply(health(true));
    assert!(rm.sent_to_node(&n1)[0].starts_with("start "));
}
