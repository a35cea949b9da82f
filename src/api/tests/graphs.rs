//! What programs build: the graph's shape, and what is refused.

use std::time::Duration;

use super::super::{DataStream, StreamExecutionEnvironment, TumblingProcessingTimeWindows};
use crate::engine::record::Str;
use crate::graph::job_graph::{JobGraph, Settings};
use crate::graph::plan::{ExecutionMode, Partitioner, Plan};
use crate::launch::Error;

pub(super) fn plan(env: &StreamExecutionEnvironment) -> Plan {
    let job = env.graph().lock().build("test").unwrap();
    assert_eq!(job.plan.nodes.len(), job.program.operators.len());
    job.plan.validate().unwrap();
    job.plan
}

fn vertices(env: &StreamExecutionEnvironment) -> Vec<(String, u32)> {
    let graph = JobGraph::new(&plan(env), Settings { default_parallelism: 2, chaining: true }).unwrap();
    graph.vertices.into_iter().map(|vertex| (vertex.name, vertex.parallelism)).collect()
}

pub(super) fn refused(env: &StreamExecutionEnvironment) -> String {
    let built = env.graph().lock().build("test").and_then(|job| Ok(job.plan.validate()?));
    built.unwrap_err().to_string()
}

/// A stream can be made in one function, and used in another.
fn words(env: &StreamExecutionEnvironment) -> DataStream<Str> {
    env.read_text_file("in").flat_map(|line, out| out.extend(line.split_whitespace().map(Str::from)))
}

#[test]
fn word_count_is_two_vertices() {
    let env = StreamExecutionEnvironment::new();
    words(&env).key_by(|word| word.clone()).count().print();
    assert_eq!(
        vertices(&env),
        [
            ("Source: Text Files -> Flat Map -> Key By".to_owned(), 2),
            ("Keyed Aggregation -> Sink: Print to Std. Out".to_owned(), 2)
        ]
    );
    let plan = plan(&env);
    assert_eq!(plan.resolved_mode(), ExecutionMode::Batch);
    let partitioners: Vec<_> = plan.edges.iter().map(|edge| edge.partitioner).collect();
    use Partitioner::{Forward, Hash};
    assert_eq!(partitioners, [Forward, Forward, Hash, Forward]);
    assert!(plan.nodes[2].output_type.contains("CompactString") && plan.nodes[2].output_type.contains("u64"));
}

#[test]
fn the_sender_of_a_keyed_exchange_shares_its_feeders_thread() {
    let env = StreamExecutionEnvironment::new();
    let words = words(&env).set_parallelism(3);
    let counts = words.key_by(|word| word.clone()).count().set_parallelism(4);
    counts.discard().set_parallelism(1);
    let parallelism: Vec<u32> = vertices(&env).into_iter().map(|vertex| vertex.1).collect();
    assert_eq!(parallelism, [2, 3, 4, 1]);
    assert!(vertices(&env)[1].0.ends_with("-> Key By"));
}

#[test]
fn two_runs_of_a_program_build_the_same_plan() {
    let build = || {
        let env = StreamExecutionEnvironment::new();
        let windows = TumblingProcessingTimeWindows::of(Duration::from_secs(5));
        words(&env).key_by(|word| word.clone()).window(windows).count().print();
        plan(&env)
    };
    assert_eq!(build(), build());
    assert_eq!(build().resolved_mode(), ExecutionMode::Batch);
}

#[test]
fn a_union_feeds_one_input_each() {
    let env = StreamExecutionEnvironment::new();
    let (low, high) = (env.from_sequence(1, 10), env.from_sequence(100, 110).map(|n| n * 2));
    low.union(&high).union(&low).map(|n| n + 1).discard();
    let plan = plan(&env);
    let inputs: Vec<(u32, u32)> =
        plan.edges.iter().filter(|edge| edge.target.0 == 3).map(|edge| (edge.source.0, edge.input)).collect();
    assert_eq!(inputs, [(0, 0), (2, 1), (0, 2)]);
}

#[test]
fn repartitioning_changes_the_edge_and_nothing_else() {
    let env = StreamExecutionEnvironment::new();
    let numbers = env.from_collection([1u64, 2]);
    numbers.rebalance().discard();
    numbers.broadcast().discard();
    numbers.global().discard();
    numbers.shuffle().discard();
    numbers.rescale().discard();
    numbers.rescale().forward().discard();
    let partitioners: Vec<_> = plan(&env).edges.iter().map(|edge| edge.partitioner).collect();
    use Partitioner::{Broadcast, ForwardOnly, Global, Rebalance, Rescale, Shuffle};
    assert_eq!(partitioners, [Rebalance, Broadcast, Global, Shuffle, Rescale, ForwardOnly]);
}

#[test]
fn groups_are_inherited_where_inputs_agree() {
    let env = StreamExecutionEnvironment::new();
    let left = env.from_sequence(1, 2).slot_sharing_group("left");
    let right = env.from_sequence(1, 2).slot_sharing_group("right");
    left.map(|n| n).discard();
    left.union(&right).discard();
    let groups: Vec<String> = plan(&env).nodes.into_iter().map(|node| node.slot_sharing_group).collect();
    assert_eq!(groups, ["left", "right", "left", "left", "default"]);
}

#[test]
fn what_cannot_be_is_said_by_execute() {
    let env = StreamExecutionEnvironment::new();
    assert!(refused(&env).contains("no source"), "{}", refused(&env));
    let numbers = env.from_collection([1u64]);
    assert!(refused(&env).contains("leads nowhere"), "{}", refused(&env));
    numbers.union(&numbers).name("both").discard();
    assert!(refused(&env).starts_with("name was called on a union"), "{}", refused(&env));

    let env = StreamExecutionEnvironment::new();
    let windows = TumblingProcessingTimeWindows::of(Duration::ZERO);
    env.from_collection([1u64]).key_by(|n| *n).window(windows).count().discard();
    assert!(refused(&env).contains("window of length 0"), "{}", refused(&env));

    let env = StreamExecutionEnvironment::new();
    env.set_execution_mode(ExecutionMode::Batch);
    env.socket_text_stream("127.0.0.1", 1).discard();
    assert!(refused(&env).contains("never ends"), "{}", refused(&env));
}

#[test]
fn sources_say_what_they_promise() {
    let env = StreamExecutionEnvironment::new();
    env.socket_text_stream("127.0.0.1", 1).discard();
    let source = &plan(&env).nodes[0];
    assert_eq!(source.description, "at-most-once: a socket cannot replay");
    assert_eq!(source.parallelism, Some(1));
}

#[test]
fn a_value_is_evaluated_once_and_stands_in_the_plan() -> Result<(), Error> {
    let env = StreamExecutionEnvironment::new();
    assert_eq!(env.once("seed", || 7u64)?, 7);
    assert_eq!(env.once("seed", || 8u64)?, 7);
    env.from_collection([1u64]).discard();
    assert_eq!(plan(&env).once["seed"], 7);
    Ok(())
}

#[test]
fn explain_names_vertices_and_edges() {
    let env = StreamExecutionEnvironment::new();
    env.set_parallelism(3);
    words(&env).key_by(|word| word.clone()).count().print();
    let explanation = env.explain().unwrap();
    assert_eq!(
        explanation.to_string(),
        "Job \"explain\": BATCH, 2 vertices, 6 subtasks, 3 slots\n\
         Delivery: at-least-once: \"Sink: Print to Std. Out\" shows records at once, and again after a failure\n\n\
         [1] Source: Text Files          parallelism 3, replayable\n    \
         └─ Flat Map\n       \
         └─ Key By                folds values by key before the exchange in batch mode\n    \
         ║ HASH from [1]\n\
         [2] Keyed Aggregation           parallelism 3, 128 key groups\n    \
         └─ Sink: Print to Std. Out\n"
    );
    let json = explanation.to_json();
    assert_eq!(json["type"], "BATCH");
    assert_eq!(json["nodes"][1]["inputs"][0]["ship_strategy"], "HASH");
    assert_eq!(json["nodes"][1]["inputs"][0]["id"], json["nodes"][0]["id"]);
    assert_eq!(json["nodes"][0]["description"], "Source: Text Files<br/>+- Flat Map<br/>   +- Key By<br/>");
    let dot = explanation.to_dot();
    assert!(dot.contains("n2 -> n3 [label=\"HASH\"];") && dot.contains("n0 [label=\"Source: Text Files\"];"), "{dot}");
}
