//! Applications that are one command: no master registers, and the exit of the container is the end.

use super::*;
use crate::protocol::submission::Submission;

fn command(submission: &mut Submission) {
    submission.is_command = true;
    submission.max_attempts = Some(1);
}

#[test]
fn a_command_runs_when_its_node_has_it_and_ends_as_it_exits() {
    let mut rm = Rm::new();
    let n1 = rm.node("n1", 1024);
    let application = rm.submit(command);
    let container = rm.launch(application.attempt(1));
    assert_eq!(rm.state(application), ApplicationState::Running);
    rm.exit(container, ExitCause::Completed { code: 0 });
    let report = rm.core.application(application, rm.now).unwrap();
    assert_eq!((report.state, report.final_status), (ApplicationState::Finished, FinalStatus::Succeeded));
    assert_eq!(rm.internal_state(application), "FINISHED");
    assert!(rm.core.containers.is_empty() && rm.core.nodes[&n1].allocated.is_zero());
    assert_eq!(rm.core.next_wake(), None, "nobody waits for it to register or to say that it lives");
}

#[test]
fn a_command_that_fails_has_failed_with_its_code() {
    let mut rm = Rm::new();
    rm.node("n1", 1024);
    let application = rm.submit(command);
    let container = rm.launch(application.attempt(1));
    rm.exit(container, ExitCause::Completed { code: 3 });
    let report = rm.core.application(application, rm.now).unwrap();
    assert_eq!(report.state, ApplicationState::Failed);
    assert!(report.diagnostics.starts_with("last words (the command's container"), "{}", report.diagnostics);
    assert!(report.diagnostics.contains("exited with code 3"), "{}", report.diagnostics);
    assert_eq!(report.attempt.unwrap().exit, Some(ExitCause::Completed { code: 3 }));
}

#[test]
fn a_command_goes_to_another_node_when_its_own_is_lost() {
    let mut rm = Rm::new();
    let n1 = rm.node("n1", 1024);
    let application = rm.submit(command);
    rm.launch(application.attempt(1));
    rm.node("n2", 1024);
    rm.apply(Event::NodeSilent { node: n1 });
    rm.advance(Duration::from_secs(15));
    let second = rm.launch(application.attempt(2));
    assert_eq!(rm.core.containers[&second].node, NodeId::new("n2", 8042));
    rm.exit(second, ExitCause::Completed { code: 0 });
    assert_eq!(rm.state(application), ApplicationState::Finished);
}

#[test]
fn a_command_outlives_the_resource_manager_and_is_not_asked_for_a_sign_of_life() {
    let mut rm = Rm::new();
    let n1 = rm.node("n1", 1024);
    let application = rm.submit(command);
    let container = rm.launch(application.attempt(1));
    let status = ContainerStatus {
        container,
        state: ContainerState::Running,
        resource: mb(256),
        priority: 0,
        exit: None,
        stopping: false,
    };
    let mut rm = Rm::on(rm.store.clone(), settings(), rm.now);
    rm.request(|request| node_hello(request, &n1, 1024, vec![status])).unwrap();
    assert_eq!(rm.state(application), ApplicationState::Running);
    rm.advance(Duration::from_secs(3600));
    assert_eq!(rm.state(application), ApplicationState::Running);
    rm.exit(container, ExitCause::Completed { code: 0 });
    assert_eq!(rm.state(application), ApplicationState::Finished);
}

#[test]
fn nobody_registers_for_a_command() {
    let mut rm = Rm::new();
    rm.node("n1", 1024);
    let application = rm.submit(command);
    rm.launch(application.attempt(1));
    let refused = rm.master_hello(application.attempt(1), Registering::Link).unwrap_err();
    assert!(refused.to_string().contains("is a command"), "{refused}");
}
