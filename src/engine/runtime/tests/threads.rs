//! Whole graphs on threads, over a local network.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::super::{Mail, TaskEvent, TaskExecutor};
use super::fixture::{Behaviour, Graph};
use super::sinks::Numbers;
use super::sources::{split, tens};
use crate::engine::network::Network;
use crate::engine::operators::ProgramCode;
use crate::graph::plan::{NodeIndex, NodeKind, Partitioner};
use crate::graph::task::{Committable, ExecutionState, Failure};
use crate::ids::ExecutionAttemptId;
use crate::time::SystemClock;

const PATIENCE: Duration = Duration::from_secs(30);

struct Run {
    executor: TaskExecutor,
    events: Receiver<TaskEvent>,
    sink: Arc<Numbers>,
}

const SOURCE: NodeIndex = NodeIndex(0);
const SINK: NodeIndex = NodeIndex(2);

/// `tens ─► a ═► numbers`, deployed at parallelism 2.
fn run(behaviour: Behaviour) -> Run {
    let mut graph = Graph::new();
    let sink = Arc::new(Numbers::default());
    let source = graph.node("tens", NodeKind::Source { bounded: true }, tens(3));
    let a = graph.probe("a", behaviour);
    let numbers = graph.node("numbers", NodeKind::Sink, ProgramCode::Sink(Arc::clone(&sink) as _));
    graph.edge(source, a, Partitioner::Forward);
    graph.edge(a, numbers, Partitioner::Rebalance);
    let (sender, events) = crossbeam_channel::bounded(1024);
    let network = Arc::new(Network::local());
    let executor = TaskExecutor::new(graph.blueprint(), network, SystemClock::shared(), sender);
    executor.deploy(graph.deployments(2)).unwrap();
    Run { executor, events, sink }
}

impl Run {
    fn event(&self) -> TaskEvent {
        self.events.recv_timeout(PATIENCE).expect("an event in time")
    }

    /// The first event that `wanted` takes.
    fn until<R>(&self, wanted: impl Fn(&TaskEvent) -> Option<R>) -> R {
        loop {
            if let Some(found) = wanted(&self.event()) {
                return found;
            }
        }
    }

    fn asked(&self) -> ExecutionAttemptId {
        self.until(|event| match event {
            TaskEvent::SplitRequested { attempt, operator: SOURCE, .. } => Some(*attempt),
            _ => None,
        })
    }

    fn failed(&self) -> Failure {
        self.until(|event| match event {
            TaskEvent::State { failure, .. } => failure.clone(),
            _ => None,
        })
    }
}

#[test]
fn a_job_runs_to_its_end_and_its_output_is_published() {
    let run = run(Behaviour::Pass);
    let (mut splits, mut finished, mut prepared) = (None, 0, Vec::new());
    let mut waiting = Vec::new();
    while finished < 4 {
        match run.event() {
            TaskEvent::SplitsDiscovered { splits: found, complete: true, .. } => splits = Some(found),
            TaskEvent::SplitRequested { attempt, .. } => waiting.push(attempt),
            TaskEvent::State { state: ExecutionState::Finished, committables, .. } => {
                finished += 1;
                prepared.extend(committables);
            }
            TaskEvent::State { failure, .. } => assert_eq!(failure, None),
            TaskEvent::SplitFinished { .. } => {}
            event => panic!("{event:?}"),
        }
        if let Some(splits) = &mut splits {
            for attempt in waiting.drain(..) {
                run.executor.mail(attempt, splits.pop().map_or(Mail::NoMoreSplits, Mail::AssignSplit));
            }
        }
    }
    run.executor.commit(SINK, prepared, 5);
    assert_eq!(run.event(), TaskEvent::Committed { operator: SINK, publication: 5, failure: None });
    assert_eq!(run.sink.published(), [0, 1, 2, 10, 11, 12, 20, 21, 22]);
    assert_eq!(run.executor.metrics(), []);
}

#[test]
fn a_panic_ends_one_subtask_and_the_others_can_be_cancelled() {
    let run = run(Behaviour::Superstitious);
    let attempt = run.asked();
    run.executor.mail(attempt, Mail::AssignSplit(split("unlucky", 0)));
    let failure = run.failed();
    assert_eq!(failure.operator.as_deref(), Some("a"));
    run.executor.cancel_all(PATIENCE).unwrap();
    assert_eq!(run.executor.overdue(Duration::ZERO), []);
}

#[test]
fn a_sink_s_panic_while_publishing_is_the_answer() {
    let run = run(Behaviour::Pass);
    run.executor.commit(SINK, Vec::new(), 6);
    let failure = run.until(|event| match event {
        TaskEvent::Committed { failure, .. } => Some(failure.clone()),
        _ => None,
    });
    assert!(failure.unwrap().message.contains("nothing to publish"));
    run.executor.commit(SOURCE, vec![Committable { operator: SOURCE, payload: serde_json::Value::Null }], 7);
    let failure = run.until(|event| match event {
        TaskEvent::Committed { failure, .. } => Some(failure.clone()),
        _ => None,
    });
    assert!(failure.unwrap().message.contains("no sink"));
    run.executor.cancel_all(PATIENCE).unwrap();
}

#[test]
fn waiting_subtasks_are_cancelled_at_once() {
    let run = run(Behaviour::Pass);
    run.asked();
    run.executor.cancel_all(PATIENCE).unwrap();
    let mut canceled = 0;
    while canceled < 4 {
        if let TaskEvent::State { state: ExecutionState::Canceled, .. } = run.event() {
            canceled += 1;
        }
    }
}
