//! Jobs in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::config::Origin;
use crate::engine::operators::ProgramCode;
use crate::engine::runtime::tests::fixture::{Behaviour, Graph};
use crate::engine::runtime::tests::sinks::Numbers;
use crate::engine::runtime::tests::sources::tens;
use crate::graph::plan::{NodeKind, Partitioner};
use crate::launch::execute;
use crate::rpc::ErrorKind;

/// `tens ─► a ═► numbers`.
pub(crate) fn job(behaviour: Behaviour, splits: u64) -> (Job, Arc<Numbers>) {
    let mut graph = Graph::new();
    let sink = Arc::new(Numbers::default());
    let source = graph.node("tens", NodeKind::Source { bounded: true }, tens(splits));
    let a = graph.probe("a", behaviour);
    let numbers = graph.node("numbers", NodeKind::Sink, ProgramCode::Sink(Arc::clone(&sink) as _));
    graph.edge(source, a, Partitioner::Forward);
    graph.edge(a, numbers, Partitioner::Rebalance);
    graph.plan.parallelism = Some(2);
    (Job { plan: graph.plan, program: graph.program }, sink)
}

fn run_with(job: Job, settings: &[(&str, &str)]) -> Result<JobResult, Error> {
    let mut given = Configuration::new();
    settings.iter().for_each(|(key, value)| given.set(key, value, Origin::CommandLine).unwrap());
    run(job, &given)
}

#[test]
fn a_finished_job_has_published_and_counted() {
    let (job, sink) = job(Behaviour::Pass, 4);
    let result = run_with(job, &[]).unwrap();
    assert_eq!(sink.published(), (0..4).flat_map(|ten| [ten * 10, ten * 10 + 1, ten * 10 + 2]).collect::<Vec<_>>());
    let counted: Vec<_> =
        result.vertices.iter().map(|vertex| (vertex.name.as_str(), vertex.metrics.records_in)).collect();
    assert_eq!(counted, [("tens -> a", 12), ("numbers", 12)]);
    assert!(result.bad_records() > 0);
    assert!(result.to_string().starts_with("Job \"test\" ("), "{result}");
}

#[test]
fn an_empty_input_finishes_too() {
    let (job, sink) = job(Behaviour::Pass, 0);
    run_with(job, &[("parallelism.default", "3")]).unwrap();
    assert_eq!(sink.published(), Vec::<u64>::new());
}

#[test]
fn a_failed_job_says_why_and_publishes_nothing() {
    let (job, sink) = job(Behaviour::Superstitious, 2);
    let error = run_with(job, &[]).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("eleven") && text.contains("(in operator \"a\")"), "{text}");
    assert!(text.ends_with("job \"test\" has failed"), "{text}");
    assert_eq!((error.kind(), sink.published()), (ErrorKind::User, Vec::new()));
}

#[test]
fn a_restarted_job_publishes_once() {
    let (mut job, sink) = job(Behaviour::Pass, 2);
    let (failed, make) = (Arc::new(AtomicBool::new(false)), job.program.operators[1].code.clone());
    let ProgramCode::Operator(make) = make else { panic!("an operator") };
    let flaky = move || {
        assert!(failed.swap(true, Ordering::Relaxed), "the first time fails");
        make()
    };
    job.program.operators[1].code = ProgramCode::Operator(Arc::new(flaky));
    let strategy = [("restart-strategy.type", "fixed-delay"), ("restart-strategy.fixed-delay.delay", "1 ms")];
    run_with(job, &strategy).unwrap();
    assert_eq!(sink.published(), [0, 1, 2, 10, 11, 12]);
}

#[test]
fn a_cancelled_job_publishes_nothing() {
    let (job, sink) = job(Behaviour::Pass, 2);
    let mut local = prepare(job, &Configuration::new(), PathBuf::new()).unwrap();
    local.queue.push_back(Event::Cancel);
    assert!(matches!(local.run(), Err(Error::Canceled { .. })));
    assert_eq!(sink.published(), Vec::<u64>::new());
}

#[test]
fn settings_are_checked_before_anything_runs() {
    let (mut job, _) = job(Behaviour::Pass, 1);
    job.plan.configuration.insert("paralelism.default".to_owned(), "2".to_owned());
    let error = run_with(job, &[]).unwrap_err();
    assert!(error.to_string().contains("did you mean `parallelism.default`"), "{error}");
}

#[test]
fn execute_works_within_an_async_runtime_and_only_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        execute(job(Behaviour::Pass, 1).0).unwrap();
        let error = execute(job(Behaviour::Pass, 1).0).unwrap_err();
        assert_eq!(error.to_string(), "this program calls execute a second time; a program is one job");
    });
}
