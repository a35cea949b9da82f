//! Process functions and their contexts, without a runtime.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::testing::{Collected, context, keyed, run};
use super::{
    Collector, KeyedContext, KeyedProcess, KeyedProcessFunction, KeyedRuntimeContext, Operator, OperatorContext,
    OutputTag, Process, ProcessContext, ProcessFunction, RuntimeContext, Timer,
};
use crate::engine::record::{BATCH_RECORDS, Batch, Key, Record, Rows};
use crate::engine::state::{ReducingState, ValueState};
use crate::graph::plan::ExecutionMode;
use crate::graph::task::Failure;
use crate::time::Now;

const ODD: OutputTag<u64> = OutputTag::new("odd");

/// The context of an operator whose side output `ODD` is read.
fn with_odd() -> OperatorContext {
    let side_outputs = [("odd".to_owned(), std::any::type_name::<u64>())].into();
    OperatorContext { side_outputs, ..context(ExecutionMode::Streaming) }
}

fn odd_aside(n: u64, ctx: &mut ProcessContext<'_>, out: &mut Collector<'_, u64>) {
    if n.is_multiple_of(2) { out.collect(n) } else { ctx.side_output(&ODD, n) }
}

#[test]
fn a_closure_emits_to_the_main_and_to_side_outputs() {
    let mut operator = Process::<u64, u64, _>::new(odd_aside);
    operator.open(&with_odd()).unwrap();
    let mut out = Collected::default();
    run(&mut operator, vec![vec![1u64, 2, 3], vec![4, 5]], &mut out);
    assert_eq!(out.rows::<u64>(), [2, 4]);
    assert_eq!(out.side_rows::<u64>("odd"), [1, 3, 5]);
}

#[test]
fn a_side_output_that_nothing_reads_takes_nothing() {
    let mut operator = Process::<u64, u64, _>::new(odd_aside);
    operator.open(&context(ExecutionMode::Streaming)).unwrap();
    let mut out = Collected::default();
    run(&mut operator, vec![vec![1u64, 2, 3]], &mut out);
    assert_eq!(out.rows::<u64>(), [2]);
    assert!(out.sides.is_empty());
}

#[test]
fn side_outputs_leave_in_full_batches() {
    let each_thousand = |n: u64, ctx: &mut ProcessContext<'_>, _: &mut Collector<'_, u64>| {
        (0..1000).for_each(|i| ctx.side_output(&ODD, n * 1000 + i));
    };
    let mut operator = Process::<u64, u64, _>::new(each_thousand);
    operator.open(&with_odd()).unwrap();
    let mut out = Collected::default();
    run(&mut operator, vec![(0..10u64).collect()], &mut out);
    assert_eq!(out.sides.len(), 5);
    assert_eq!(out.side_rows::<u64>("odd"), (0..10_000).collect::<Vec<_>>());
}

#[test]
#[should_panic(expected = "side output \"odd\" is read as u64, and was given alloc::string::String")]
fn a_side_output_has_one_type() {
    let tag = OutputTag::<String>::named("odd".to_owned());
    let wrong = move |_: u64, ctx: &mut ProcessContext<'_>, _: &mut Collector<'_, u64>| {
        ctx.side_output(&tag, String::new());
    };
    let mut operator = Process::<u64, u64, _>::new(wrong);
    operator.open(&with_odd()).unwrap();
    run(&mut operator, vec![vec![1u64]], &mut Collected::default());
}

#[test]
fn a_failure_downstream_ends_the_batch() {
    let mut calls = 0;
    let mut operator = KeyedProcess::<u8, u8, u64, _>::new(
        move |_: u8, _: &mut KeyedContext<'_, u8>, out: &mut Collector<'_, u64>| {
            calls += 1;
            assert!(calls < 5, "called behind the failure");
            out.extend(0..BATCH_RECORDS as u64);
        },
    );
    operator.open(&context(ExecutionMode::Streaming)).unwrap();
    let mut out = Collected { fail_after: Some(1), ..Collected::default() };
    let failure = operator.process(0, keyed(&[(1u8, 1u8); 100]), &mut out).unwrap_err();
    assert_eq!(failure.message, "full");
}

/// Opens with what it is given.
struct Opens<F>(F);

impl<F: FnMut(&mut RuntimeContext<'_>) + Send + 'static> ProcessFunction<u64, u64> for Opens<F> {
    fn open(&mut self, ctx: &mut RuntimeContext<'_>) -> Result<(), Failure> {
        self.0(ctx);
        Ok(())
    }

    fn process_element(&mut self, _: u64, _: &mut ProcessContext<'_>, _: &mut Collector<'_, u64>) {}
}

#[test]
fn what_open_asks_for_in_vain_fails_the_subtask() {
    let asks = |ctx: &mut RuntimeContext<'_>| {
        assert_eq!(ctx.operator().parallelism, 1);
        ctx.broadcast_state::<u64, u64>("rules");
    };
    let failure = Process::<u64, u64, _>::new(Opens(asks)).open(&with_odd()).unwrap_err();
    assert!(failure.message.starts_with("broadcast state \"rules\" is asked for by a function without"), "{failure:?}");
}

/// Emits how often a key was seen, and the sum of its values, when it was silent for a second.
#[derive(Clone, Default)]
struct Silent {
    count: ValueState<u64>,
    total: ReducingState<u64>,
    alarm: ValueState<Now>,
}

impl<K: Key> KeyedProcessFunction<K, u64, (K, u64, u64)> for Silent {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, K>) -> Result<(), Failure> {
        self.count = ctx.value_state("count");
        self.total = ctx.reducing_state("total", |a, b| a + b);
        self.alarm = ctx.value_state("alarm");
        Ok(())
    }

    fn process_element(&mut self, value: u64, ctx: &mut KeyedContext<'_, K>, _: &mut Collector<'_, (K, u64, u64)>) {
        *self.count.get_or_default(ctx) += 1;
        self.total.add(ctx, value);
        if let Some(before) = self.alarm.take(ctx) {
            ctx.timer_service().delete_processing_time_timer(before);
        }
        let alarm = ctx.current_processing_time() + Duration::from_secs(1);
        ctx.timer_service().register_processing_time_timer(alarm);
        self.alarm.update(ctx, alarm);
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut KeyedContext<'_, K>, out: &mut Collector<'_, (K, u64, u64)>) {
        let Timer::ProcessingTime(time) = timer else { panic!("no other was registered") };
        assert_eq!(self.alarm.take(ctx), Some(time));
        let count = self.count.take(ctx).expect("a key with a timer was seen");
        out.collect((ctx.current_key().clone(), count, *self.total.get(ctx).expect("and has a total")));
        self.total.clear(ctx);
    }
}

fn opened<I: Record, O: Record, F: KeyedProcessFunction<u8, I, O>>(
    function: F,
    mode: ExecutionMode,
) -> KeyedProcess<u8, I, O, F> {
    let mut operator = KeyedProcess::new(function);
    operator.open(&context(mode)).unwrap();
    operator
}

#[test]
fn a_timer_fires_once_with_its_key_current() {
    let mut operator = opened(Silent::default(), ExecutionMode::Streaming);
    let mut out = Collected { now: Now(100), ..Collected::default() };
    operator.process(0, numbers(&[(1, 10), (2, 20), (1, 11)]), &mut out).unwrap();
    out.now = Now(600);
    operator.process(0, numbers(&[(2, 22)]), &mut out).unwrap();
    assert_eq!(operator.next_timer(), Some(Now(1100)));
    operator.on_processing_time(Now(1099), &mut out).unwrap();
    assert!(out.batches.is_empty());
    operator.on_processing_time(Now(1100), &mut out).unwrap();
    assert_eq!(out.rows::<(u8, u64, u64)>(), [(1, 2, 21)]);
    assert_eq!(operator.next_timer(), Some(Now(1600)));
    operator.on_processing_time(Now(5000), &mut out).unwrap();
    assert_eq!(out.rows::<(u8, u64, u64)>(), [(2, 2, 42)]);
    assert_eq!(operator.next_timer(), None);
}

#[test]
fn the_end_of_the_input_drops_timers_in_streaming_mode_and_fires_them_in_batch_mode() {
    for (mode, expected) in
        [(ExecutionMode::Streaming, vec![]), (ExecutionMode::Batch, vec![(2u8, 1u64, 20u64), (1, 2, 21)])]
    {
        let mut operator = opened(Silent::default(), mode);
        let mut out = Collected { now: Now(100), ..Collected::default() };
        operator.process(0, numbers(&[(1, 10), (2, 20)]), &mut out).unwrap();
        out.now = Now(101);
        operator.process(0, numbers(&[(1, 11)]), &mut out).unwrap();
        assert_eq!(operator.next_timer(), (mode == ExecutionMode::Streaming).then_some(Now(1100)));
        operator.finish(&mut out).unwrap();
        assert_eq!(out.rows::<(u8, u64, u64)>(), expected, "{mode}");
    }
}

fn numbers(rows: &[(u8, u64)]) -> Box<dyn Batch> {
    keyed(rows)
}

/// Registers a timer whenever one fires.
#[derive(Clone)]
struct Again;

impl KeyedProcessFunction<u8, u64, u64> for Again {
    fn process_element(&mut self, time: u64, ctx: &mut KeyedContext<'_, u8>, _: &mut Collector<'_, u64>) {
        ctx.timer_service().register_processing_time_timer(Now(time));
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut KeyedContext<'_, u8>, out: &mut Collector<'_, u64>) {
        let Timer::ProcessingTime(time) = timer else { panic!("no other was registered") };
        out.collect(time.0);
        ctx.timer_service().register_processing_time_timer(time + Duration::from_millis(1));
    }
}

#[test]
fn timers_registered_at_the_end_of_a_batch_job_are_dropped() {
    let mut operator = opened(Again, ExecutionMode::Batch);
    let mut out = Collected::default();
    operator.process(0, numbers(&[(1, 7), (2, 5), (1, 7)]), &mut out).unwrap();
    operator.finish(&mut out).unwrap();
    assert_eq!(out.rows::<u64>(), [5, 7]);
}

#[test]
fn many_timers_due_at_once_fire_some_at_a_time() {
    let mut operator = opened(Again, ExecutionMode::Streaming);
    let mut out = Collected::default();
    // Far behind: each that fires registers the next, which is due as well.
    operator.process(0, numbers(&[(1, 0), (2, 0)]), &mut out).unwrap();
    let now = Now(10 * BATCH_RECORDS as u64);
    operator.on_processing_time(now, &mut out).unwrap();
    assert_eq!(out.rows::<u64>().len(), BATCH_RECORDS);
    assert!(operator.next_timer().unwrap() <= now);
    while operator.next_timer().is_some_and(|due| due <= now) {
        operator.on_processing_time(now, &mut out).unwrap();
    }
    let fired = out.rows::<u64>();
    assert!(fired.is_sorted());
    assert_eq!(fired.len() + BATCH_RECORDS, 2 * (now.0 as usize + 1));
}

proptest! {
    #[test]
    fn state_and_timers_of_a_key_are_its_own(
        steps in proptest::collection::vec((0u64..700, proptest::collection::vec((0u8..10, 0u64..100), 1..20)), 0..40),
    ) {
        let mut operator = opened(Silent::default(), ExecutionMode::Streaming);
        let mut out = Collected::default();
        // Key → when it fires, how often it was seen, the sum of its values.
        let (mut open, mut expected) = (BTreeMap::<u8, (u64, u64, u64)>::new(), Vec::new());
        let mut now = 0;
        for (passed, rows) in steps {
            now += passed;
            out.now = Now(now);
            operator.on_processing_time(Now(now), &mut out).unwrap();
            let due: Vec<u8> = open.iter().filter(|(_, key)| key.0 <= now).map(|(key, _)| *key).collect();
            expected.extend(due.into_iter().map(|key| {
                let (_, count, total) = open.remove(&key).unwrap();
                (key, count, total)
            }));
            operator.process(0, numbers(&rows), &mut out).unwrap();
            for (key, value) in rows {
                let (alarm, count, total) = open.entry(key).or_default();
                (*alarm, *count, *total) = (now + 1000, *count + 1, *total + value);
            }
        }
        let mut fired = out.rows::<(u8, u64, u64)>();
        fired.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(fired, expected);
        prop_assert_eq!(operator.next_timer(), open.values().map(|key| Now(key.0)).min());
    }
}

#[test]
fn keys_that_came_as_texts_are_current_as_keys() {
    use crate::engine::record::{BatchType, KeyedType, Str};
    let mut frame = Vec::new();
    keyed(&[(Str::from("word"), 1u64)]).encode(&mut frame).unwrap();
    let received = KeyedType::<Str, u64>::new().decode(&frame).unwrap();
    let name = |_: u64, ctx: &mut KeyedContext<'_, Str>, out: &mut Collector<'_, Str>| {
        out.collect(ctx.current_key().clone());
    };
    let mut operator = KeyedProcess::<Str, u64, Str, _>::new(name);
    operator.open(&context(ExecutionMode::Streaming)).unwrap();
    let mut out = Collected::default();
    operator.process(0, received, &mut out).unwrap();
    assert_eq!(Rows::<Str>::of(out.batches.remove(0)).0, ["word"]);
}
