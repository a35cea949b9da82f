//! Connected and broadcast streams in whole programs.

use std::collections::BTreeMap;

use super::super::StreamExecutionEnvironment;
use super::graphs::plan;
use super::pipelines::in_all_ways;
use crate::engine::operators::{
    BroadcastContext, BroadcastProcessFunction, Collector, KeyedCoProcessFunction, KeyedContext, KeyedRuntimeContext,
    OutputTag, ProcessContext, RuntimeContext,
};
use crate::graph::plan::Partitioner;
use crate::graph::task::Failure;
use crate::{BroadcastState, ListState};

#[test]
fn two_streams_of_different_types_become_one() {
    let rows = in_all_ways(|env| {
        let words = env.from_collection((1..=50).map(|n| format!("word {n}")));
        // A union feeds one input by several operators.
        let numbers = env.from_sequence(1, 100).union(&env.from_sequence(101, 200));
        let lengths = |word: String, out: &mut Collector<'_, u64>| out.extend([word.len() as u64 + 1000; 2]);
        let mapped = numbers.connect(&words).map(|n| n, |word| word.len() as u64);
        mapped.union(&numbers.rebalance().connect(&words).flat_map(|n, out| out.collect(n + 5000), lengths))
    });
    let lengths = || (1..=50).map(|n| format!("word {n}").len() as u64);
    let mut expected: Vec<u64> = (1..=200).chain(lengths()).chain((1..=200).map(|n| n + 5000)).collect();
    expected.extend(lengths().flat_map(|length| [length + 1000; 2]));
    expected.sort_unstable();
    for (mode, rows) in rows {
        assert_eq!(rows, expected, "{mode}");
    }
}

/// Pairs all that came in on one input with all that came in on the other, by key.
#[derive(Clone, Default)]
struct Pairs {
    left: ListState<u64>,
    right: ListState<u64>,
}

impl KeyedCoProcessFunction<u64, u64, (u64, u64), (u64, u64)> for Pairs {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u64>) -> Result<(), Failure> {
        self.left = ctx.list_state("left");
        self.right = ctx.list_state("right");
        Ok(())
    }

    fn process_element1(&mut self, n: u64, ctx: &mut KeyedContext<'_, u64>, out: &mut Collector<'_, (u64, u64)>) {
        out.extend(self.right.get(ctx).iter().map(|other| (n, *other)));
        self.left.add(ctx, n);
    }

    fn process_element2(
        &mut self,
        (_, n): (u64, u64),
        ctx: &mut KeyedContext<'_, u64>,
        out: &mut Collector<'_, (u64, u64)>,
    ) {
        out.extend(self.left.get(ctx).iter().map(|other| (*other, n)));
        self.right.add(ctx, n);
    }
}

#[test]
fn connected_streams_meet_by_key() {
    let rows = in_all_ways(|env| {
        let right = env.from_sequence(1, 300).map(|n| (n % 40, n)).rebalance();
        env.from_sequence(1, 200).connect(&right).key_by(|n| n % 40, |pair| pair.0).process(Pairs::default())
    });
    let pairs =
        (1..=200).flat_map(|left| (1..=300).filter(move |right| right % 40 == left % 40).map(move |r| (left, r)));
    let expected: Vec<(u64, u64)> = pairs.collect();
    for (mode, rows) in rows {
        assert_eq!(rows, expected, "{mode}");
    }
}

/// Emits what is broadcast from each subtask, with its number, and records besides.
#[derive(Clone, Default)]
struct Heard {
    subtask: u32,
    heard: BroadcastState<u64, u64>,
}

const COUNTS: OutputTag<u64> = OutputTag::new("counts");

impl BroadcastProcessFunction<u64, u64, (u32, u64)> for Heard {
    fn open(&mut self, ctx: &mut RuntimeContext<'_>) -> Result<(), Failure> {
        self.subtask = ctx.operator().attempt.subtask;
        self.heard = ctx.broadcast_state("heard");
        Ok(())
    }

    fn process_element(&mut self, n: u64, ctx: &mut ProcessContext<'_>, out: &mut Collector<'_, (u32, u64)>) {
        ctx.side_output(&COUNTS, self.heard.iter(ctx).count() as u64);
        out.collect((u32::MAX, n));
    }

    fn process_broadcast_element(
        &mut self,
        rule: u64,
        ctx: &mut BroadcastContext<'_>,
        out: &mut Collector<'_, (u32, u64)>,
    ) {
        self.heard.put(ctx, rule, rule);
        out.collect((self.subtask, rule));
    }
}

#[test]
fn what_is_broadcast_comes_to_every_subtask_once() {
    for (mode, rows) in in_all_ways(|env| {
        let rules = env.from_sequence(1, 30).union(&env.from_sequence(31, 60));
        env.from_sequence(1, 500).connect_broadcast(&rules).process(Heard::default())
    }) {
        let mut by_subtask = BTreeMap::<u32, Vec<u64>>::new();
        rows.into_iter().for_each(|(subtask, n)| by_subtask.entry(subtask).or_default().push(n));
        assert_eq!(by_subtask.remove(&u32::MAX), Some((1..=500).collect()), "{mode}");
        assert!(by_subtask.values().all(|rules| rules.iter().copied().eq(1..=60)), "{mode}: {by_subtask:?}");
    }
}

#[test]
fn the_broadcast_input_is_a_broadcast_edge_and_its_side_outputs_can_be_read() {
    let env = StreamExecutionEnvironment::new();
    let heard = env.from_sequence(1, 2).connect_broadcast(&env.from_sequence(1, 2)).process(Heard::default());
    heard.discard();
    heard.side_output(&COUNTS).discard();
    let edges: Vec<_> =
        plan(&env).edges.into_iter().map(|edge| (edge.source.0, edge.input, edge.partitioner)).collect();
    use Partitioner::{Broadcast, Forward};
    assert_eq!(edges, [(0, 0, Forward), (1, 1, Broadcast), (2, 0, Forward), (2, 0, Forward)]);
}
