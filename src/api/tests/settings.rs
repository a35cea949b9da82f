//! What an operator's settings change in the job graph, and what is refused.

use super::super::{DataStream, StreamExecutionEnvironment};
use crate::graph::job_graph::{JobGraph, Settings};
use crate::graph::plan::Partitioner;

/// The job graph at a default parallelism of 2, or why there is none.
fn job_graph(env: &StreamExecutionEnvironment) -> Result<JobGraph, String> {
    let job = env.graph().lock().build("test").map_err(|error| error.to_string())?;
    job.plan.validate().map_err(|error| error.to_string())?;
    JobGraph::new(&job.plan, Settings { default_parallelism: 2, chaining: true }).map_err(|error| error.to_string())
}

/// The vertices of `source -> one -> two -> sink`, where `set` sets `one` up.
fn vertices(set: impl Fn(DataStream<u64>) -> DataStream<u64>) -> Vec<String> {
    graph(set).unwrap().vertices.into_iter().map(|vertex| vertex.name).collect()
}

fn graph(set: impl Fn(DataStream<u64>) -> DataStream<u64>) -> Result<JobGraph, String> {
    let env = StreamExecutionEnvironment::new();
    let one = set(env.from_sequence(1, 9).name("source").map(|n| n).name("one"));
    one.map(|n| n).name("two").discard().name("sink");
    job_graph(&env)
}

#[test]
fn names_are_joined_in_chains() {
    assert_eq!(vertices(|one| one), ["source -> one -> two -> sink"]);
    assert_eq!(vertices(|one| one.name("uno")), ["source -> uno -> two -> sink"]);
}

#[test]
fn disable_chaining_leaves_an_operator_alone() {
    assert_eq!(vertices(DataStream::disable_chaining), ["source", "one", "two -> sink"]);
}

#[test]
fn start_new_chain_cuts_before_and_not_behind() {
    assert_eq!(vertices(DataStream::start_new_chain), ["source", "one -> two -> sink"]);
}

#[test]
fn parallelism_cuts_chains_and_rebalances() {
    let graph = graph(|one| one.set_parallelism(3)).unwrap();
    let vertices: Vec<_> = graph.vertices.iter().map(|vertex| (vertex.name.as_str(), vertex.parallelism)).collect();
    assert_eq!(vertices, [("source", 2), ("one", 3), ("two -> sink", 2)]);
    assert!(graph.edges.iter().all(|edge| edge.partitioner == Partitioner::Rebalance));
    assert_eq!(graph.slots_needed(), 3);
}

#[test]
fn a_slot_sharing_group_cuts_the_chain_and_takes_slots_of_its_own() {
    let graph = graph(|one| one.slot_sharing_group("heavy")).unwrap();
    let groups: Vec<_> =
        graph.vertices.iter().map(|vertex| (vertex.name.as_str(), vertex.slot_sharing_group.as_str())).collect();
    assert_eq!(groups, [("source", "default"), ("one -> two -> sink", "heavy")]);
    assert_eq!(graph.slots_needed(), 4);
}

#[test]
fn max_parallelism_is_the_number_of_key_groups() {
    let of = |set: &dyn Fn(DataStream<u64>) -> DataStream<u64>| graph(set).unwrap().vertices[0].max_parallelism;
    assert_eq!(of(&|one| one), 128);
    assert_eq!(of(&|one| one.set_max_parallelism(300)), 300);
    let env = StreamExecutionEnvironment::new();
    env.set_max_parallelism(40);
    env.from_sequence(1, 9).map(|n| n).set_max_parallelism(30).discard();
    assert_eq!(job_graph(&env).unwrap().vertices[0].max_parallelism, 30, "the least of a chain");
}

#[test]
fn a_uid_is_the_identity_whatever_stands_around_it() {
    let id = |build: &dyn Fn(&StreamExecutionEnvironment) -> DataStream<u64>| {
        let env = StreamExecutionEnvironment::new();
        build(&env).start_new_chain().uid("counter").discard();
        let graph = job_graph(&env).unwrap();
        graph.vertices.last().unwrap().id
    };
    let plain = id(&|env| env.from_sequence(1, 9).map(|n| n));
    assert_eq!(plain, id(&|env| env.from_sequence(1, 9).filter(|n| *n > 3).map(|n| n).name("renamed")));
    let env = StreamExecutionEnvironment::new();
    env.from_sequence(1, 9).map(|n| n).start_new_chain().discard();
    assert_ne!(plain, job_graph(&env).unwrap().vertices[1].id);
}

fn refused(set: impl Fn(DataStream<u64>) -> DataStream<u64>) -> String {
    graph(set).unwrap_err()
}

#[test]
fn what_cannot_be_names_the_operator_and_what_to_change() {
    assert_eq!(
        refused(|one| one.set_parallelism(0)),
        "operator \"one\" has parallelism 0; set_parallelism takes 1 or more"
    );
    let too_wide = "operator \"one\" has parallelism 5 and max parallelism 4; lower the one by set_parallelism or raise \
                    the other by set_max_parallelism";
    assert_eq!(refused(|one| one.set_parallelism(5).set_max_parallelism(4)), too_wide);
    assert_eq!(
        refused(|one| one.set_max_parallelism(1)),
        too_wide.replace("parallelism 5", "parallelism 2").replace("parallelism 4", "parallelism 1"),
        "the default parallelism counts too"
    );
    for max in [0, 32769] {
        assert_eq!(
            refused(|one| one.set_max_parallelism(max)),
            format!("operator \"one\" has max parallelism {max}; set_max_parallelism takes 1 to 32768")
        );
    }
    let twice = refused(|one| one.uid("x").map(|n| n).uid("x"));
    assert_eq!(twice, "operators \"one\" and \"Map\" both have the uid \"x\"; give each its own");
    let repartitioned = refused(|one| one.rebalance().set_parallelism(3));
    assert!(repartitioned.starts_with("set_parallelism was called on a union, a repartitioned stream"));
    assert!(repartitioned.contains("call it directly behind the transformation"), "{repartitioned}");
}
