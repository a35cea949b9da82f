//! Functions with two inputs, without a runtime.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::testing::{Collected, context, keyed};
use super::{
    AggregateFunction, AggregatingState, BroadcastContext, BroadcastProcess, BroadcastProcessFunction, CoFlatMap,
    CoProcess, Collector, KeyedBroadcastContext, KeyedBroadcastProcess, KeyedBroadcastProcessFunction, KeyedCoProcess,
    KeyedCoProcessFunction, KeyedContext, KeyedRuntimeContext, Operator, ProcessContext, RuntimeContext, Timer,
};
use crate::engine::record::{Batch, Rows};
use crate::engine::state::{BroadcastState, ListState, ValueState};
use crate::graph::plan::ExecutionMode;
use crate::graph::task::Failure;
use crate::time::Now;

fn rows<T: crate::engine::record::Record>(rows: &[T]) -> Box<dyn Batch> {
    Box::new(Rows::new(rows.to_vec()))
}

#[test]
fn each_input_has_its_function() {
    let numbers = |n: u64, out: &mut Collector<'_, String>| out.collect(n.to_string());
    let words = |word: String, out: &mut Collector<'_, String>| out.extend([word.clone(), word]);
    let mut operator = CoProcess::<u64, String, String, _>::new(CoFlatMap(numbers, words));
    operator.open(&context(ExecutionMode::Streaming)).unwrap();
    let mut out = Collected::default();
    operator.process(1, rows(&["a".to_owned()]), &mut out).unwrap();
    operator.process(0, rows(&[1u64, 2]), &mut out).unwrap();
    assert_eq!(out.rows::<String>(), ["a", "a", "1", "2"]);
}

/// The largest number, as an aggregate.
#[derive(Clone)]
struct Largest;

impl AggregateFunction<u32> for Largest {
    type Accumulator = u32;
    type Output = u64;

    fn create_accumulator(&self) -> u32 {
        0
    }

    fn add(&self, accumulator: &mut u32, number: u32) {
        *accumulator = number.max(*accumulator);
    }

    fn merge(&self, accumulator: &mut u32, other: u32) {
        *accumulator = other.max(*accumulator);
    }

    fn get_result(&self, accumulator: &u32) -> u64 {
        u64::from(*accumulator)
    }
}

/// Joins what comes in on one input with all that came in on the other, by key; a key that was quiet for 10 ms says so, and the
/// largest number it had.
#[derive(Clone, Default)]
struct Join {
    left: ListState<u32>,
    right: ListState<u32>,
    largest: AggregatingState<u32, Largest>,
    alarm: ValueState<Now>,
}

impl Join {
    fn reset_alarm(&self, ctx: &mut KeyedContext<'_, u8>) {
        if let Some(before) = self.alarm.take(ctx) {
            ctx.timer_service().delete_processing_time_timer(before);
        }
        let alarm = ctx.current_processing_time() + Duration::from_millis(10);
        ctx.timer_service().register_processing_time_timer(alarm);
        self.alarm.update(ctx, alarm);
    }
}

type Joined = (u8, u32, u64);

impl KeyedCoProcessFunction<u8, u32, u32, Joined> for Join {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u8>) -> Result<(), Failure> {
        self.left = ctx.list_state("left");
        self.right = ctx.list_state("right");
        self.largest = ctx.aggregating_state("largest", Largest);
        self.alarm = ctx.value_state("alarm");
        Ok(())
    }

    fn process_element1(&mut self, n: u32, ctx: &mut KeyedContext<'_, u8>, out: &mut Collector<'_, Joined>) {
        out.extend(self.right.get(ctx).iter().map(|other| (*ctx.current_key(), n, u64::from(*other))));
        self.left.add(ctx, n);
        self.largest.add(ctx, n);
        self.reset_alarm(ctx);
    }

    fn process_element2(&mut self, n: u32, ctx: &mut KeyedContext<'_, u8>, out: &mut Collector<'_, Joined>) {
        out.extend(self.left.get(ctx).iter().map(|other| (*ctx.current_key(), *other, u64::from(n))));
        self.right.add(ctx, n);
        self.largest.add(ctx, n);
        self.reset_alarm(ctx);
    }

    fn on_timer(&mut self, _: Timer, ctx: &mut KeyedContext<'_, u8>, out: &mut Collector<'_, Joined>) {
        let largest = self.largest.get(ctx).expect("a key with a timer has numbers");
        out.collect((*ctx.current_key(), QUIET, largest));
        self.alarm.clear(ctx);
    }
}

const QUIET: u32 = u32::MAX;

proptest! {
    #[test]
    fn both_inputs_share_the_state_and_timers_of_a_key(
        steps in proptest::collection::vec((0u64..8, 0u32..2, proptest::collection::vec((0u8..6, 0u32..9), 1..5)), 0..40),
    ) {
        let mut operator = KeyedCoProcess::<u8, u32, u32, Joined, _>::new(Join::default());
        operator.open(&context(ExecutionMode::Streaming)).unwrap();
        let mut out = Collected::default();
        let mut expected = Vec::new();
        // Numbers of both inputs by key, and when the key has been quiet.
        let mut seen = BTreeMap::<u8, ([Vec<u32>; 2], Option<u64>)>::new();
        let mut now = 0;
        for (passed, input, batch) in steps {
            now += passed;
            out.now = Now(now);
            operator.on_processing_time(Now(now), &mut out).unwrap();
            for (key, (numbers, alarm)) in &mut seen {
                if alarm.take_if(|alarm| *alarm <= now).is_some() {
                    let largest = numbers.iter().flatten().max().copied().unwrap_or(0);
                    expected.push((*key, QUIET, u64::from(largest)));
                }
            }
            operator.process(input, keyed(&batch), &mut out).unwrap();
            for (key, n) in batch {
                let (numbers, alarm) = seen.entry(key).or_default();
                let pair = |other: &u32| if input == 0 { (key, n, u64::from(*other)) } else { (key, *other, u64::from(n)) };
                expected.extend(numbers[1 - input as usize].iter().map(pair));
                numbers[input as usize].push(n);
                *alarm = Some(now + 10);
            }
        }
        let mut joined = out.rows::<Joined>();
        joined.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(joined, expected);
    }
}

/// Multiplies each number by the factor of its kind; the factor 0 takes a kind out.
#[derive(Clone, Default)]
struct Factors {
    factors: BroadcastState<u8, u32>,
}

impl BroadcastProcessFunction<(u8, u32), (u8, u32), u32> for Factors {
    fn open(&mut self, ctx: &mut RuntimeContext<'_>) -> Result<(), Failure> {
        self.factors = ctx.broadcast_state("factors");
        Ok(())
    }

    fn process_element(&mut self, (kind, n): (u8, u32), ctx: &mut ProcessContext<'_>, out: &mut Collector<'_, u32>) {
        out.extend(self.factors.get(ctx, &kind).map(|factor| factor * n));
    }

    fn process_broadcast_element(
        &mut self,
        (kind, factor): (u8, u32),
        ctx: &mut BroadcastContext<'_>,
        out: &mut Collector<'_, u32>,
    ) {
        match factor {
            0 => {
                assert_eq!(self.factors.contains(ctx, &kind), self.factors.remove(ctx, &kind).is_some());
            }
            1 => self.factors.clear(ctx),
            _ => self.factors.put(ctx, kind, factor),
        }
        out.collect(self.factors.iter(ctx).count() as u32);
    }
}

proptest! {
    #[test]
    fn records_see_what_was_broadcast_before_them(
        steps in proptest::collection::vec((0u32..2, proptest::collection::vec((0u8..4, 0u32..6), 1..5)), 0..40),
    ) {
        let mut operator = BroadcastProcess::<(u8, u32), (u8, u32), u32, _>::new(Factors::default());
        operator.open(&context(ExecutionMode::Streaming)).unwrap();
        let (mut out, mut expected, mut factors) = (Collected::default(), Vec::new(), BTreeMap::new());
        for (input, batch) in steps {
            operator.process(input, rows(&batch), &mut out).unwrap();
            for (kind, n) in batch {
                match (input, n) {
                    (0, n) => {
                        expected.extend(factors.get(&kind).map(|factor| factor * n));
                        continue;
                    }
                    (_, 0) => drop(factors.remove(&kind)),
                    (_, 1) => factors.clear(),
                    (_, factor) => drop(factors.insert(kind, factor)),
                }
                expected.push(factors.len() as u32);
            }
        }
        prop_assert_eq!(out.rows::<u32>(), expected);
    }
}

/// Counts the records of each key up to a limit that is broadcast; a new limit takes all counts beyond it away.
#[derive(Clone, Default)]
struct Limited {
    limit: BroadcastState<u8, u64>,
    count: ValueState<u64>,
}

impl KeyedBroadcastProcessFunction<u64, u64, u64, (u64, u64)> for Limited {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u64>) -> Result<(), Failure> {
        self.limit = ctx.broadcast_state("limit");
        self.count = ctx.value_state("count");
        Ok(())
    }

    fn process_element(&mut self, _: u64, ctx: &mut KeyedContext<'_, u64>, out: &mut Collector<'_, (u64, u64)>) {
        let limit = self.limit.get(ctx, &0).copied().unwrap_or(u64::MAX);
        let count = self.count.get_or_default(ctx);
        *count = limit.min(*count + 1);
        let count = *count;
        out.collect((*ctx.current_key(), count));
        ctx.timer_service().register_processing_time_timer(Now(5));
    }

    fn process_broadcast_element(
        &mut self,
        limit: u64,
        ctx: &mut KeyedBroadcastContext<'_, u64>,
        _: &mut Collector<'_, (u64, u64)>,
    ) {
        self.limit.put(ctx, 0, limit);
        let count = self.count;
        ctx.apply_to_keyed_state(&count, |ctx| {
            if count.value(ctx).is_some_and(|count| *count > limit) {
                count.clear(ctx);
                ctx.timer_service().delete_processing_time_timer(Now(5));
            }
        });
    }

    fn on_timer(&mut self, _: Timer, ctx: &mut KeyedContext<'_, u64>, out: &mut Collector<'_, (u64, u64)>) {
        out.collect((*ctx.current_key(), 1000 + self.limit.get(ctx, &0).copied().unwrap_or(0)));
    }
}

#[test]
fn a_broadcast_record_may_change_the_state_of_all_keys() {
    let mut operator = KeyedBroadcastProcess::<u64, u64, u64, (u64, u64), _>::new(Limited::default());
    operator.open(&context(ExecutionMode::Streaming)).unwrap();
    let mut out = Collected::default();
    operator.process(0, keyed(&[(1u64, 0u64), (2, 0), (1, 0), (1, 0)]), &mut out).unwrap();
    assert_eq!(out.rows::<(u64, u64)>(), [(1, 1), (2, 1), (1, 2), (1, 3)]);
    operator.process(1, rows(&[2u64]), &mut out).unwrap();
    operator.on_processing_time(Now(9), &mut out).unwrap();
    assert_eq!(out.rows::<(u64, u64)>(), [(2, 1002)], "the timer of key 1 was deleted with its count");
    operator.process(0, keyed(&[(1u64, 0u64), (2, 0), (1, 0), (1, 0)]), &mut out).unwrap();
    assert_eq!(out.rows::<(u64, u64)>(), [(1, 1), (2, 2), (1, 2), (1, 2)]);
}
