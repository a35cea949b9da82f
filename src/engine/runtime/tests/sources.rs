//! Sources at the head of a chain.

use std::sync::Arc;

use super::super::{Mail, Outcome, Report, Step};
use super::fixture::{Behaviour, Graph, Stepped};
use crate::engine::operators::{
    Boundedness, Discovery, NextDiscovery, Operator, OperatorContext, Output, Polled, ProgramCode, Source,
    SourceReader, SplitEnumerator, TimestampsAndWatermarks, Waker, WatermarkStrategy,
};
use crate::engine::record::{Barrier, Continuation, Rows};
use crate::graph::plan::{NodeIndex, NodeKind, Partitioner};
use crate::graph::task::{Failure, Lane, Split};
use crate::ids::CheckpointId;
use crate::time::{EventTime, Now};

/// Splits `s0`, `s1`, … of three batches each: `[10 i], [10 i + 1], [10 i + 2]`. With a split called `wait` it waits, with
/// `emit-and-wait` it waits, then does both at once, with `panic` it panics, with `unlucky` it begins with 13.
pub(crate) struct Tens {
    pub(crate) splits: u64,
}

impl Source for Tens {
    type Out = u64;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn enumerator(&self, _context: &OperatorContext) -> Result<Box<dyn SplitEnumerator>, Failure> {
        Ok(Box::new(TensEnumerator { left: self.splits }))
    }

    fn reader(&self, _context: &OperatorContext, _waker: Waker) -> Result<Box<dyn SourceReader>, Failure> {
        Ok(Box::new(TensReader::default()))
    }
}

struct TensEnumerator {
    left: u64,
}

impl SplitEnumerator for TensEnumerator {
    fn discover(&mut self) -> Result<Discovery, Failure> {
        let splits = (0..self.left).map(|i| split(&format!("s{i}"), i)).collect();
        Ok(Discovery { splits, next: NextDiscovery::Complete })
    }
}

pub(crate) fn split(id: &str, payload: u64) -> Split {
    Split { id: id.to_owned(), payload: serde_json::json!(payload), lane: None }
}

#[derive(Default)]
struct TensReader {
    split: Option<Split>,
    emitted: u64,
}

impl SourceReader for TensReader {
    fn assign(&mut self, split: Split) -> Result<(), Failure> {
        assert!(self.split.is_none(), "the last split is not finished");
        assert_ne!(split.id, "panic", "a split to panic at");
        self.split = Some(split);
        self.emitted = 0;
        Ok(())
    }

    fn position(&self) -> Result<serde_json::Value, Failure> {
        Ok(self.split.as_ref().unwrap().payload.clone())
    }

    fn poll(&mut self, out: &mut dyn Output) -> Result<Polled, Failure> {
        let split = self.split.as_ref().unwrap();
        if split.id == "wait" {
            return Ok(Polled::Waiting { until: Some(Now(77)) });
        }
        if split.id == "emit-and-wait" {
            if out.now() < Now(77) || self.emitted > 0 {
                return Ok(Polled::Waiting { until: Some(Now(77 + self.emitted)) });
            }
            self.emitted = 1;
            out.emit(Box::new(Rows::new(vec![5u64])))?;
            return Ok(Polled::Waiting { until: Some(Now(78)) });
        }
        if self.emitted == 3 {
            self.split = None;
            return Ok(Polled::SplitFinished);
        }
        if split.id == "unlucky" {
            out.emit(Box::new(Rows::new(vec![13u64])))?;
        }
        out.emit(Box::new(Rows::new(vec![split.payload.as_u64().unwrap() * 10 + self.emitted])))?;
        self.emitted += 1;
        Ok(Polled::More)
    }

    fn stop(&mut self, out: &mut dyn Output) -> Result<(), Failure> {
        self.split = None;
        out.emit(Box::new(Rows::new(vec![999u64])))
    }

    fn take_bad_records(&mut self) -> u64 {
        1
    }
}

pub(crate) fn tens(splits: u64) -> ProgramCode {
    ProgramCode::Source(Arc::new(Tens { splits }))
}

/// `source ─► a ═► reader`, edge 1 leading out.
fn source() -> Stepped {
    let mut graph = Graph::new();
    let source = graph.node("tens", NodeKind::Source { bounded: true }, tens(2));
    let a = graph.probe("a", Behaviour::Pass);
    let reader = graph.probe("reader", Behaviour::Pass);
    graph.edge(source, a, Partitioner::Forward);
    graph.edge(a, reader, Partitioner::Rebalance);
    let mut stepped = graph.stepped(source);
    assert_eq!(stepped.settle(0), Step::Wait { until: None });
    assert_eq!(stepped.reports(), [Report::Running, Report::SplitRequested(NodeIndex(0), None)]);
    stepped.sent(1);
    stepped
}

#[test]
fn splits_are_read_one_at_a_time_until_there_are_no_more() {
    let mut task = source();
    task.mail(Mail::AssignSplit(split("s4", 4)));
    assert_eq!(task.settle(1), Step::Wait { until: None });
    assert_eq!(task.sent(1), ["[40]", "[41]", "[42]", "flush"]);
    let finished = Report::SplitFinished(NodeIndex(0), "s4".to_owned());
    assert_eq!(task.reports(), [finished, Report::SplitRequested(NodeIndex(0), None)]);
    task.mail(Mail::NoMoreSplits);
    assert_eq!(task.settle(2), Step::Ended(Outcome::Finished(Vec::new())));
    assert_eq!(task.sent(1), ["watermark end", "end"]);
    let log = task.log();
    assert_eq!(log[log.len() - 3..], ["a watermark end", "a input 0 ended", "a finished"]);
    let metrics = task.subtask.metrics();
    assert_eq!((metrics.records_in, metrics.records_out), (3, 3));
    assert!(metrics.bad_records > 0);
}

#[test]
fn a_waiting_reader_is_polled_again_at_the_moment_it_named() {
    let mut task = source();
    task.mail(Mail::AssignSplit(split("wait", 0)));
    assert_eq!(task.settle(1), Step::Wait { until: Some(Now(77)) });
}

#[test]
fn what_a_reader_emits_before_it_waits_does_not_wait_with_it() {
    let mut task = source();
    task.mail(Mail::AssignSplit(split("emit-and-wait", 0)));
    assert_eq!(task.settle(1), Step::Wait { until: Some(Now(77)) });
    assert_eq!(task.settle(77), Step::Wait { until: Some(Now(78)) });
    assert_eq!(task.sent(1), ["flush", "[5]", "flush"]);
}

#[test]
fn a_stopped_source_ends_as_if_its_input_had() {
    let mut task = source();
    task.mail(Mail::AssignSplit(split("wait", 0)));
    task.settle(1);
    task.mail(Mail::StopSource);
    assert_eq!(task.settle(2), Step::Ended(Outcome::Finished(Vec::new())));
    assert_eq!(task.sent(1), ["flush", "[999]", "watermark end", "end"]);
    // One that only waits for a split has nothing to end.
    let mut task = source();
    task.mail(Mail::StopSource);
    assert_eq!(task.settle(1), Step::Ended(Outcome::Finished(Vec::new())));
    assert_eq!(task.sent(1), ["watermark end", "end"]);
}

#[test]
fn a_source_whose_input_a_barrier_ends_keeps_what_it_has_not_read() {
    let mut task = source();
    task.mail(Mail::AssignSplit(split("wait", 6)));
    task.settle(1);
    let then = Continuation::Drain;
    task.mail(Mail::Checkpoint(Arc::new(Barrier { checkpoint: CheckpointId(2), then, ..Barrier::default() })));
    assert_eq!(task.settle(2), Step::Wait { until: None }, "it reads nothing any more");
    let mut sent = task.sent(1);
    sent.retain(|what| what != "flush");
    assert_eq!(sent, ["[999]", "watermark end", "barrier 2"]);
    let taken = task.subtask.take_checkpoint().unwrap();
    assert_eq!(taken.held, [(NodeIndex(0), split("wait", 6))]);
    task.mail(Mail::StopSource);
    assert_eq!(task.settle(3), Step::Ended(Outcome::Finished(Vec::new())));
    assert_eq!(task.sent(1), ["end"]);
}

#[test]
fn a_reader_s_panic_is_the_source_s_failure() {
    let mut task = source();
    task.mail(Mail::AssignSplit(split("panic", 0)));
    let Step::Ended(Outcome::Failed(failure)) = task.settle(1) else { panic!("it did not fail") };
    assert_eq!(failure.operator.as_deref(), Some("tens"));
    assert!(failure.message.contains("a split to panic at"), "{failure}");
}

#[test]
fn what_fails_beside_a_subtask_fails_it() {
    let mut task = source();
    let failure = Failure::user("no such directory").in_operator("tens");
    task.mail(Mail::Fail(failure.clone()));
    assert_eq!(task.settle(1), Step::Ended(Outcome::Failed(failure)));
}

#[test]
fn lanes_are_read_side_by_side_the_one_furthest_behind_first() {
    let mut graph = Graph::new();
    let source = graph.node("tens", NodeKind::Source { bounded: true }, tens(0));
    let strategy =
        WatermarkStrategy::for_monotonous_timestamps().with_timestamp_assigner(|n: &u64| EventTime(*n as i64));
    let follows = move || Box::new(TimestampsAndWatermarks::new(strategy.clone())) as Box<dyn Operator>;
    let time = graph.node("time", NodeKind::Operator, ProgramCode::Operator(Arc::new(follows)));
    let reader = graph.probe("reader", Behaviour::Pass);
    graph.edge(source, time, Partitioner::Forward);
    graph.edge(time, reader, Partitioner::Rebalance);
    let mut task = graph.stepped(source);
    task.settle(0);
    let asked = |lane| Report::SplitRequested(NodeIndex(0), lane);
    assert_eq!(task.reports(), [Report::Running, asked(None)]);

    let of_lane = |index, id: &str, n| Split { lane: Some(Lane { index, of: 2 }), ..split(id, n) };
    task.mail(Mail::AssignSplit(of_lane(1, "late", 5)));
    let one_slice = |task: &mut Stepped| task.subtask.step(Now(0), 1, &mut Vec::new());
    for _ in 0..3 {
        one_slice(&mut task);
    }
    task.mail(Mail::AssignSplit(of_lane(0, "early", 1)));
    task.settle(1);
    let mut sent = task.sent(1);
    sent.retain(|what| what != "flush");
    assert_eq!(sent, ["[50]", "[51]", "[10]", "[11]", "[12]", "[52]"], "time stands still: lane 0 may have more");
    let finished = |id: &str| Report::SplitFinished(NodeIndex(0), id.to_owned());
    assert_eq!(task.reports(), [finished("early"), asked(Some(0)), finished("late")]);

    task.mail(Mail::NoMoreSplits);
    task.settle(2);
    assert_eq!(task.sent(1), ["watermark 51", "flush"]);
    assert_eq!(task.reports(), [asked(Some(1))]);
    task.mail(Mail::NoMoreSplits);
    assert_eq!(task.settle(3), Step::Ended(Outcome::Finished(Vec::new())));
}
