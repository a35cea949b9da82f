//! Process functions and side outputs in whole programs.

use std::collections::BTreeMap;

use super::super::StreamExecutionEnvironment;
use super::graphs::{plan, refused};
use super::pipelines::{in_all_ways, main_of};
use crate::MapState;
use crate::engine::operators::{
    Collector, KeyedContext, KeyedProcessFunction, KeyedRuntimeContext, OutputTag, ProcessContext,
};
use crate::graph::task::Failure;

const ODD: OutputTag<u64> = OutputTag::new("odd");

fn odd_aside(n: u64, ctx: &mut ProcessContext<'_>, out: &mut Collector<'_, u64>) {
    if n.is_multiple_of(2) { out.collect(n) } else { ctx.side_output(&ODD, n) }
}

#[test]
fn both_outputs_of_an_operator_can_be_used_several_times() {
    let rows = in_all_ways(|env| {
        let even = env.from_sequence(1, 1000).process(odd_aside);
        let odd = even.side_output(&ODD);
        even.map(|n| n + 10_000).union(&odd).union(&odd.rebalance().map(|n| n + 20_000))
    });
    let odd = || (1..=1000u64).step_by(2);
    let expected: Vec<u64> =
        odd().chain((2..=1000).step_by(2).map(|n| n + 10_000)).chain(odd().map(|n| n + 20_000)).collect();
    for (mode, rows) in rows {
        assert_eq!(rows, expected, "{mode}");
    }
}

/// Counts the pairs of each key by their second number.
#[derive(Clone, Default)]
struct Pairs {
    seen: MapState<u64, u64>,
}

impl KeyedProcessFunction<u64, (u64, u64), (u64, u64, u64)> for Pairs {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u64>) -> Result<(), Failure> {
        self.seen = ctx.map_state("seen");
        Ok(())
    }

    fn process_element(
        &mut self,
        (key, second): (u64, u64),
        ctx: &mut KeyedContext<'_, u64>,
        out: &mut Collector<'_, (u64, u64, u64)>,
    ) {
        assert_eq!(*ctx.current_key(), key);
        let times = self.seen.get_or_insert_with(ctx, &second, || 0);
        *times += 1;
        out.collect((key, second, *times));
    }
}

#[test]
fn a_keys_state_lives_in_one_subtask() {
    let pair = |n: u64| (n % 101, n % 3);
    let rows = in_all_ways(|env| env.from_sequence(1, 5000).map(pair).key_by(|pair| pair.0).process(Pairs::default()));
    let mut counts = BTreeMap::new();
    let mut expected: Vec<(u64, u64, u64)> = (1..=5000)
        .map(|n| {
            let times = counts.entry(pair(n)).or_insert(0);
            *times += 1;
            (pair(n).0, pair(n).1, *times)
        })
        .collect();
    expected.sort_unstable();
    for (mode, rows) in rows {
        assert_eq!(rows, expected, "{mode}");
    }
}

#[test]
fn a_side_output_is_an_edge_with_its_tag_and_type() {
    let env = StreamExecutionEnvironment::new();
    let even = env.from_sequence(1, 10).process(odd_aside);
    even.discard();
    even.side_output(&ODD).key_by(|n| *n).process(
        |n: u64, _: &mut KeyedContext<'_, u64>, out: &mut Collector<'_, u64>| {
            out.collect(n);
        },
    );
    even.side_output(&ODD).discard();
    let edges: Vec<_> = env.graph().lock().build("test").unwrap().plan.edges.into_iter().collect();
    let tags: Vec<_> = edges.iter().map(|edge| (edge.source.0, edge.target.0, edge.side_output.as_deref())).collect();
    assert_eq!(tags, [(0, 1, None), (1, 2, None), (1, 3, Some("odd")), (3, 4, None), (1, 5, Some("odd"))]);
}

#[test]
fn two_runs_of_a_program_with_side_outputs_build_the_same_plan() {
    let build = || {
        let env = StreamExecutionEnvironment::new();
        env.from_sequence(1, 10).process(odd_aside).side_output(&ODD).discard();
        plan(&env)
    };
    assert_eq!(build(), build());
}

#[test]
fn side_outputs_that_cannot_be_are_said_by_execute() {
    let env = StreamExecutionEnvironment::new();
    let even = env.from_sequence(1, 10).process(odd_aside);
    even.rebalance().side_output(&ODD).discard();
    assert!(
        refused(&env).starts_with("side_output(\"odd\") was called on a union, a repartitioned"),
        "{}",
        refused(&env)
    );

    let env = StreamExecutionEnvironment::new();
    let odd = env.from_sequence(1, 10).process(odd_aside).name("split").side_output(&ODD);
    odd.name("odd numbers").discard();
    assert!(refused(&env).starts_with("name was called on a union, a repartitioned stream or a side output"));

    let env = StreamExecutionEnvironment::new();
    let even = env.from_sequence(1, 10).process(odd_aside).name("split");
    even.side_output(&ODD).discard();
    even.side_output(&OutputTag::<String>::new("odd")).discard();
    let message = refused(&env);
    assert!(message.starts_with("side output \"odd\" of operator \"split\" is read as u64 and as alloc"), "{message}");
}

#[test]
fn a_wrong_type_at_a_side_output_fails_the_job_with_both_types() {
    let error = main_of(|env| {
        let even = env.from_sequence(1, 10).process(odd_aside).name("split");
        even.side_output(&OutputTag::<i64>::new("odd")).discard();
        env.execute("test").unwrap_err().to_string()
    });
    assert!(error.contains("side output \"odd\" is read as i64, and was given u64"), "{error}");
    assert!(error.contains("(in operator \"split\")"), "{error}");
}
