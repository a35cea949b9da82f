//! Given a job of two parts between which no data flows, when one fails: what starts anew, and what goes on.

use super::tests::{SINK, plan, report, worker};
use super::tests_rescale::Job;
use super::*;
use crate::graph::plan::operator_id;
use crate::graph::task::{ExecutionState, Failure, Split};
use crate::protocol::container::ExitCause;

const OTHER_SINK: NodeIndex = NodeIndex(3);

/// Twice `source ─hash─► sink`.
fn two_pipelines() -> Plan {
    let mut plan = (*plan(2)).clone();
    let copies: Vec<_> = plan.nodes.clone();
    for mut node in copies {
        node.name = format!("other {}", node.name);
        node.operator_id = operator_id(Some(&node.name), 0, &node.name);
        node.uid = Some(node.name.clone());
        plan.nodes.push(node);
    }
    let mut edge = plan.edges[0].clone();
    (edge.source, edge.target) = (NodeIndex(2), OTHER_SINK);
    plan.edges.push(edge);
    plan
}

fn running() -> Job {
    let job = Job::running_of(two_pipelines());
    assert_eq!((job.master.graph.regions().count(), job.deployed), (2, 8));
    job
}

/// The attempts of each vertex's subtasks.
fn attempts(job: &Job) -> Vec<u32> {
    job.master.execution.subtasks().map(|(_, subtask)| subtask.current.attempt).collect()
}

fn fail(job: &mut Job, vertex: usize) {
    let at = job.master.execution.id(&job.master.graph, (vertex, 0));
    let worker = job.worker_of(at);
    let failure = Some(Failure::user(format!("vertex {vertex} breaks")));
    job.on(report(&worker, at, ExecutionState::Failed, failure, Vec::new()));
}

#[test]
fn only_the_region_that_fails_starts_anew_and_the_history_says_so() {
    let mut job = running();
    fail(&mut job, 1);
    assert_eq!((job.master.status(), job.deployed, job.master.restarts()), (JobStatus::Running, 12, 1));
    assert_eq!(attempts(&job), [1, 1, 1, 1, 0, 0, 0, 0]);
    assert_eq!(job.told(), [""; 0], "slots and workers stay");
    assert_eq!(job.master.failures()[0].restarted, ["source", "sink"]);
    fail(&mut job, 2);
    assert_eq!((attempts(&job), job.deployed), (vec![1, 1, 1, 1, 1, 1, 1, 1], 16));
}

#[test]
fn the_checkpoint_under_way_comes_to_nothing_and_output_of_the_others_belongs_to_the_next() {
    let mut job = running();
    let of_sink = |operator, name: &str| Committable { operator, payload: serde_json::json!(name) };
    job.trigger(1);
    job.report_all_but_one(1, &[of_sink(SINK, "lost"), of_sink(OTHER_SINK, "kept")]);
    fail(&mut job, 1);
    assert!(matches!(job.master.trigger_state(TriggerId(1)), Some(TriggerState::Failed(_))));
    job.told();
    job.trigger(2);
    job.report_all(2, &[of_sink(SINK, "new")]);
    let manifest = job.manifests.pop().unwrap();
    let mut output: Vec<_> = manifest.committables.values().flatten().filter_map(|payload| payload.as_str()).collect();
    output.sort_unstable();
    assert_eq!(output, ["kept", "new"]);
}

#[test]
fn splits_of_the_region_are_handed_out_again_and_those_of_the_others_are_not() {
    let mut job = running();
    let split = |id: &str| Split { id: id.to_owned(), payload: serde_json::Value::Null, lane: None };
    for (vertex, source) in [(0, NodeIndex(0)), (2, NodeIndex(2))] {
        job.says(vertex, |attempt| ToJobManager::SplitsDiscovered {
            attempt,
            operator: source,
            splits: vec![split("s")],
            complete: false,
        });
        job.says(vertex, |attempt| ToJobManager::SplitRequested { attempt, operator: source, lane: None });
    }
    assert_eq!(job.told(), ["split s", "split s"]);
    fail(&mut job, 1);
    for (vertex, source) in [(0, NodeIndex(0)), (2, NodeIndex(2))] {
        job.says(vertex, |attempt| ToJobManager::SplitsDiscovered {
            attempt,
            operator: source,
            splits: vec![split("s")],
            complete: false,
        });
        job.says(vertex, |attempt| ToJobManager::SplitRequested { attempt, operator: source, lane: None });
    }
    assert_eq!(job.told(), ["split s"]);
}

#[test]
fn what_concerns_both_restarts_the_whole_job() {
    let mut job = running();
    let exited = Event::WorkerExited {
        worker: worker("a", 1),
        cause: ExitCause::Signal { signal: 9 },
        diagnostics: String::new(),
    };
    job.on(exited);
    assert_eq!((attempts(&job), job.deployed), (vec![1; 8], 16), "both had tasks there");
    assert_eq!(job.master.failures()[0].restarted, [""; 0]);

    let mut job = running();
    let delay = Duration::from_secs(1);
    job.master.failover = Failover::new(RestartStrategy::FixedDelay { attempts: 9, delay }, 0);
    fail(&mut job, 1);
    assert_eq!((job.master.status(), job.deployed), (JobStatus::Restarting, 8));
    fail(&mut job, 2);
    assert_eq!((job.deployed, job.master.restarts()), (8, 1));
    job.now = Now(1000);
    job.on(Event::Wake);
    assert_eq!((job.master.status(), job.deployed), (JobStatus::Running, 16));
}

#[test]
fn a_task_manager_that_goes_while_a_region_waits_has_the_whole_job_restart_on_others() {
    let mut job = running();
    let delay = Duration::from_secs(1);
    job.master.failover = Failover::new(RestartStrategy::FixedDelay { attempts: 9, delay }, 0);
    fail(&mut job, 1);
    job.on(Event::SlotsLost { task_manager: super::tests::tm("a"), why: "gone".to_owned() });
    job.now = Now(1000);
    job.on(Event::Wake);
    assert_eq!((job.master.status(), job.deployed), (JobStatus::Restarting, 8));
    job.offer("c", 1);
    assert_eq!((job.master.status(), job.deployed), (JobStatus::Running, 16));
}
