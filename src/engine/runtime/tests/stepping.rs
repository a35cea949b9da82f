//! Operators behind gates.

use std::sync::Arc;

use super::super::{Mail, Outcome, Step};
use super::fixture::{Behaviour, Graph, Stepped};
use crate::engine::record::{Barrier, Continuation, Element};
use crate::graph::plan::{NodeIndex, NodeKind, Partitioner};
use crate::graph::task::{Committable, Failure};
use crate::ids::CheckpointId;
use crate::rpc::ErrorKind;
use crate::time::{EventTime, Now};

/// `feeder ═► a ─► b ═► reader`: `a` and `b` are the chain under test; edges 0 and 2 are its ways in and out.
fn chain(a: Behaviour, b: Behaviour) -> Stepped {
    let mut graph = Graph::new();
    let feeder = graph.probe("feeder", Behaviour::Pass);
    let a = graph.probe("a", a);
    let b = graph.probe("b", b);
    let reader = graph.probe("reader", Behaviour::Pass);
    graph.edge(feeder, a, Partitioner::Rebalance);
    graph.edge(a, b, Partitioner::Forward);
    graph.edge(b, reader, Partitioner::Rebalance);
    let mut stepped = graph.stepped(a);
    assert_eq!(stepped.step(0), Step::Progress);
    assert_eq!(stepped.log(), ["b opened", "a opened"]);
    stepped
}

fn end(stepped: &Stepped, edge: u32) {
    stepped.incoming(edge, 0, Element::EndOfInput);
    stepped.incoming(edge, 1, Element::EndOfInput);
}

#[test]
fn batches_pass_in_order_and_a_pause_flushes_once() {
    let mut task = chain(Behaviour::Pass, Behaviour::Pass);
    task.numbers(0, &[1, 2]);
    task.numbers(0, &[3]);
    assert_eq!(task.settle(1), Step::Wait { until: None });
    assert_eq!(task.settle(2), Step::Wait { until: None });
    assert_eq!(task.sent(2), ["[1, 2]", "[3]", "flush"]);
    assert_eq!(task.log(), ["a 0:[1, 2]", "b 0:[1, 2]", "a 0:[3]", "b 0:[3]"]);
    let metrics = task.subtask.metrics();
    assert_eq!((metrics.records_in, metrics.records_out, metrics.bytes_out), (3, 3, 24));
}

#[test]
fn output_is_flushed_at_the_ceiling_while_input_goes_on() {
    let mut task = chain(Behaviour::Pass, Behaviour::Pass);
    for number in 0..12 {
        task.numbers(0, &[number]);
    }
    assert_eq!(task.step(4), Step::Progress);
    assert_eq!(task.sent(2), ["[0]", "[1]", "[2]", "[3]"]);
    assert_eq!(task.step(5), Step::Progress);
    assert_eq!(task.sent(2).last().unwrap(), "flush");
    assert_eq!(task.step(9), Step::Progress);
    assert_ne!(task.sent(2).last().unwrap(), "flush");
}

#[test]
fn time_is_the_minimum_of_all_channels_and_follows_what_it_caused() {
    let mut task = chain(Behaviour::Hold, Behaviour::Pass);
    task.numbers(0, &[7]);
    task.incoming(0, 0, Element::Watermark(EventTime(50)));
    task.settle(1);
    assert_eq!(task.sent(2), ["flush"]);
    task.incoming(0, 1, Element::Watermark(EventTime(30)));
    task.settle(2);
    assert_eq!(task.sent(2), ["[7]", "watermark 30", "flush"]);
    task.incoming(0, 1, Element::EndOfInput);
    task.settle(3);
    assert_eq!(task.sent(2), ["watermark 50", "flush"]);
    let log = task.log();
    assert_eq!(log[1..], ["a watermark 30", "b 0:[7]", "b watermark 30", "a watermark 50", "b watermark 50"]);
}

#[test]
fn the_end_goes_through_the_chain_head_first() {
    let mut task = chain(Behaviour::Hold, Behaviour::Prepare);
    task.numbers(0, &[1]);
    end(&task, 0);
    let prepared = Committable { operator: NodeIndex(2), payload: serde_json::json!(1) };
    assert_eq!(task.settle(1), Step::Ended(Outcome::Finished(vec![prepared])));
    let log = task.log();
    assert_eq!(
        log,
        [
            "a 0:[1]",
            "a watermark end",
            "b 0:[1]",
            "b watermark end",
            "a input 0 ended",
            "a finished",
            "b input 0 ended",
            "b finished"
        ]
    );
    assert_eq!(task.sent(2), ["watermark end", "end"]);
    assert_eq!(task.settle(2), Step::Wait { until: None });
}

#[test]
fn a_barrier_that_ends_the_input_follows_all_that_operators_emit_and_the_end_follows_when_it_may() {
    let mut task = chain(Behaviour::Delay, Behaviour::Prepare);
    let drain = Arc::new(Barrier { checkpoint: CheckpointId(3), then: Continuation::Drain, ..Barrier::default() });
    task.numbers(0, &[1]);
    for channel in [0, 1] {
        task.incoming(0, channel, Element::Watermark(EventTime::MAX));
        task.incoming(0, channel, Element::Barrier(Arc::clone(&drain)));
    }
    assert_eq!(task.settle(1), Step::Wait { until: None }, "what would have been due later is done");
    let log = task.log();
    let tail = ["a input 0 ended", "a finished", "b 0:[1]", "b input 0 ended", "b finished"];
    assert_eq!(log[log.len() - 5..], tail, "{log:?}");
    let mut sent = task.sent(2);
    sent.retain(|what| what != "flush");
    assert_eq!(sent, ["watermark end", "barrier 3"]);
    let taken = task.subtask.take_checkpoint().unwrap();
    let prepared = Committable { operator: NodeIndex(2), payload: serde_json::json!(1) };
    assert_eq!(taken.committables, [prepared], "it belongs to the savepoint");

    end(&task, 0);
    assert_eq!(task.settle(2), Step::Ended(Outcome::Finished(Vec::new())));
    assert_eq!((task.log(), task.sent(2)), (Vec::new(), vec!["end".to_owned()]), "nobody finishes twice");
}

#[test]
fn an_operator_that_finishes_feeds_those_behind_it_before_they_end() {
    let mut task = chain(Behaviour::Delay, Behaviour::Pass);
    task.numbers(0, &[1]);
    end(&task, 0);
    task.settle(1);
    let log = task.log();
    let at = |what: &str| log.iter().position(|line| line == what).unwrap();
    assert!(at("a finished") < at("b 0:[1]") && at("b 0:[1]") < at("b input 0 ended"), "{log:?}");
    assert_eq!(task.sent(2), ["watermark end", "[1]", "end"]);
}

#[test]
fn timers_fire_when_due_and_are_what_is_waited_for() {
    let mut task = chain(Behaviour::Pass, Behaviour::Delay);
    task.numbers(0, &[1]);
    assert_eq!(task.settle(1000), Step::Wait { until: Some(Now(1100)) });
    assert_eq!(task.settle(1099), Step::Wait { until: Some(Now(1100)) });
    assert_eq!(task.settle(1105), Step::Wait { until: None });
    assert_eq!(task.log().last().unwrap(), "b fires at 1105");
    assert_eq!(task.sent(2), ["flush", "[1]", "flush"]);
}

#[test]
fn without_room_no_input_is_taken_and_no_timer_fires() {
    let mut task = chain(Behaviour::Delay, Behaviour::Pass);
    task.numbers(0, &[1]);
    task.settle(0);
    task.block(true);
    task.numbers(0, &[2]);
    assert_eq!(task.settle(200), Step::Wait { until: None });
    assert_eq!(task.settle(230), Step::Wait { until: None });
    task.block(false);
    task.settle(240);
    assert_eq!(task.log(), ["a 0:[1]", "a fires at 240", "b 0:[1]", "a 0:[2]"]);
    let metrics = task.subtask.metrics();
    assert_eq!((metrics.backpressured_ms, metrics.idle_ms), (40, 200));
}

#[test]
fn a_panic_becomes_a_failure_that_names_operator_place_and_message() {
    let mut task = chain(Behaviour::Pass, Behaviour::Superstitious);
    task.numbers(0, &[13]);
    let Step::Ended(Outcome::Failed(failure)) = task.settle(1) else { panic!("it did not fail") };
    assert_eq!((failure.kind, failure.operator.as_deref()), (ErrorKind::User, Some("b")));
    assert!(failure.message.contains("fixture.rs:") && failure.message.ends_with(": thirteen"), "{failure}");
    // Consumers must not take a failed producer for one that has ended.
    assert_eq!(task.sent(2), Vec::<String>::new());
}

#[test]
fn a_failure_is_blamed_on_the_operator_it_comes_from() {
    let mut task = chain(Behaviour::Pass, Behaviour::Superstitious);
    task.numbers(0, &[14]);
    let failure = Failure::permanent("fourteen").in_operator("b");
    assert_eq!(task.settle(1), Step::Ended(Outcome::Failed(failure)));
}

#[test]
fn cancelling_ends_at_once_without_finishing() {
    let mut task = chain(Behaviour::Hold, Behaviour::Pass);
    task.numbers(0, &[1]);
    end(&task, 0);
    task.mail(Mail::Cancel);
    assert_eq!(task.settle(1), Step::Ended(Outcome::Canceled));
    assert_eq!((task.log(), task.sent(2)), (Vec::new(), Vec::new()));
}

#[test]
fn a_tree_with_two_ways_out_and_a_side_output_gets_everything_everywhere() {
    let mut graph = Graph::new();
    let feeder = graph.probe("feeder", Behaviour::Pass);
    let a = graph.probe("a", Behaviour::OddAside);
    let b = graph.probe("b", Behaviour::Pass);
    let c = graph.probe("c", Behaviour::Pass);
    let reader = graph.probe("reader", Behaviour::Pass);
    graph.edge(feeder, a, Partitioner::Rebalance);
    graph.edge(a, b, Partitioner::Forward);
    graph.edge(a, c, Partitioner::Forward);
    graph.edge(b, reader, Partitioner::Rebalance);
    graph.edge(c, reader, Partitioner::Rebalance);
    graph.edge(a, reader, Partitioner::Rebalance);
    graph.edge(a, reader, Partitioner::Rebalance).side_output = Some("odd".to_owned());
    let mut task = graph.stepped(a);
    task.numbers(0, &[1, 2, 3, 4]);
    end(&task, 0);
    assert_eq!(task.settle(1), Step::Ended(Outcome::Finished(Vec::new())));
    for edge in [3, 4, 5] {
        assert_eq!(task.sent(edge), ["[2, 4]", "watermark end", "end"], "edge {edge}");
    }
    assert_eq!(task.sent(6), ["[1, 3]", "watermark end", "end"]);
}

#[test]
fn each_input_ends_for_itself_and_the_last_one_finishes() {
    let mut graph = Graph::new();
    let feeder = graph.probe("feeder", Behaviour::Pass);
    let join = graph.probe("join", Behaviour::Pass);
    let end_node = graph.probe("end", Behaviour::Pass);
    graph.plan.nodes[end_node.0 as usize].kind = NodeKind::Sink;
    graph.edge(feeder, join, Partitioner::Hash);
    graph.edge(feeder, join, Partitioner::Hash).input = 1;
    graph.edge(feeder, join, Partitioner::Hash);
    let mut task = graph.stepped(join);
    end(&task, 1);
    task.numbers(0, &[1]);
    end(&task, 0);
    assert_eq!(task.settle(1), Step::Wait { until: None });
    assert_eq!(task.log(), ["join opened", "join 0:[1]", "join input 1 ended"]);
    task.numbers(2, &[2]);
    end(&task, 2);
    assert_eq!(task.settle(2), Step::Ended(Outcome::Finished(Vec::new())));
    assert_eq!(task.log(), ["join 0:[2]", "join watermark end", "join input 0 ended", "join finished"]);
}
