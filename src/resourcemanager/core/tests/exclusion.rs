//! Nodes that are to leave: nothing new, a grace for what runs, then the end; and none that is excluded comes in.

use super::*;
use crate::protocol::node::NodeState;
use crate::resourcemanager::event::Exclusion;

const HOUR: Duration = Duration::from_secs(3600);

impl Rm {
    fn exclude(&mut self, change: Exclusion) -> Result<Vec<(String, NodeState)>, Refused> {
        match self.request(|request| Event::Exclude { request, change })? {
            Answer::NodesExcluded { nodes } => Ok(nodes.into_iter().map(|(id, state)| (id.host, state)).collect()),
            other => panic!("{other:?}"),
        }
    }

    fn leave(&mut self, node: &str, grace: Duration) -> NodeState {
        self.exclude(Exclusion::Add { nodes: vec![node.to_owned()], grace }).unwrap()[0].1
    }
}

#[test]
fn a_node_that_is_to_leave_takes_nothing_new_and_goes_when_it_is_empty() {
    let mut rm = Rm::new();
    let n1 = rm.node("n1", 1024);
    let (attempt, master) = rm.running(|_| {});
    assert_eq!(rm.leave("n1", HOUR), NodeState::Decommissioning);
    let told = rm.responses(attempt);
    assert_eq!(told.last().unwrap().updated_nodes[0].state, NodeState::Decommissioning, "its masters hear of it");
    rm.node("n2", 1024);
    let worker = rm.worker(attempt, 64);
    assert_eq!(rm.core.containers[&worker].node.host, "n2");
    rm.sent_to_node(&n1);
    rm.finish(attempt);
    rm.exit(master, ExitCause::Completed { code: 0 });
    let sent = rm.sent_to_node(&n1);
    assert!(sent.last().unwrap().starts_with("shut down: the node was decommissioned"), "{sent:?}");
    assert_eq!(rm.core.nodes[&n1].state, NodeState::Decommissioned);
    let refused = rm.request(|request| node_hello(request, &n1, 1024, Vec::new())).unwrap_err();
    assert!(refused.to_string().contains("flott node recommission n1:8042"), "{refused}");
}

#[test]
fn what_does_not_end_in_its_grace_is_ended_and_is_no_failure() {
    let mut rm = Rm::new();
    let n1 = rm.node("n1", 1024);
    let (attempt, master) = rm.running(|submission| submission.max_attempts = Some(1));
    rm.leave("n1:8042", Duration::from_secs(60));
    rm.node("n2", 1024);
    rm.advance(Duration::from_secs(59));
    assert_eq!(rm.core.nodes[&n1].state, NodeState::Decommissioning);
    rm.sent_to_node(&n1);
    rm.advance(Duration::from_secs(1));
    let sent = rm.sent_to_node(&n1);
    assert_eq!(sent[0], format!("stop {master}: aborted: its node was decommissioned"));
    let second = rm.launch(attempt.application.attempt(2));
    assert_eq!(rm.core.containers[&second].node.host, "n2", "the attempt's end does not count");
}

#[test]
fn an_empty_node_goes_at_once_and_may_be_had_back() {
    let mut rm = Rm::new();
    let n1 = rm.node("n1", 1024);
    assert_eq!(rm.leave("n1", HOUR), NodeState::Decommissioned);
    let back = rm.exclude(Exclusion::Remove { nodes: vec!["n1".to_owned()] }).unwrap();
    assert_eq!(back, [("n1".to_owned(), NodeState::Shutdown)]);
    rm.request(|request| node_hello(request, &n1, 1024, Vec::new())).unwrap();
    assert_eq!(rm.core.nodes[&n1].state, NodeState::Running);
    let (_, _) = rm.running(|_| {});
    assert_eq!(rm.leave("n1", HOUR), NodeState::Decommissioning);
    rm.exclude(Exclusion::Remove { nodes: vec!["n1".to_owned()] }).unwrap();
    assert_eq!(rm.core.nodes[&n1].state, NodeState::Running);
    rm.advance(HOUR * 2);
    assert_eq!(rm.core.nodes[&n1].state, NodeState::Running, "its time is not counted any more");
}

#[test]
fn names_that_nobody_has_are_refused_and_a_list_may_name_whom_it_likes() {
    let mut rm = Rm::new();
    rm.node("n1", 1024);
    let add = Exclusion::Add { nodes: vec!["n7".to_owned()], grace: HOUR };
    assert!(rm.exclude(add).unwrap_err().to_string().contains("there is no node n7"));
    let remove = Exclusion::Remove { nodes: vec!["n1".to_owned()] };
    assert!(rm.exclude(remove).unwrap_err().to_string().contains("n1 is not excluded; nobody is"));
    let list = |nodes: &[&str]| Exclusion::Replace {
        nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
        grace: Duration::ZERO,
    };
    let told = rm.exclude(list(&["n1", "n7"])).unwrap();
    assert_eq!(told, [("n1".to_owned(), NodeState::Decommissioned)]);
    let stranger = NodeId::new("n7", 8042);
    assert!(rm.request(|request| node_hello(request, &stranger, 1024, Vec::new())).is_err());
    assert_eq!(rm.exclude(list(&["n7"])).unwrap(), [("n1".to_owned(), NodeState::Shutdown)]);
}

#[test]
fn the_list_outlives_the_resource_manager_and_the_grace_goes_on() {
    let mut rm = Rm::new();
    let n1 = rm.node("n1", 1024);
    let (_, master) = rm.running(|_| {});
    rm.leave("n1", HOUR);
    let status = ContainerStatus {
        container: master,
        state: ContainerState::Running,
        resource: mb(256),
        priority: 0,
        exit: None,
        stopping: false,
    };
    let mut rm = Rm::on(rm.store.clone(), settings(), rm.now + HOUR / 2);
    rm.request(|request| node_hello(request, &n1, 1024, vec![status])).unwrap();
    assert_eq!(rm.core.nodes[&n1].state, NodeState::Decommissioning);
    rm.register(master.attempt);
    rm.advance(HOUR / 2);
    assert_eq!(rm.core.nodes[&n1].state, NodeState::Decommissioned);
}
