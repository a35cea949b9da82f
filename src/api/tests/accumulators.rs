//! Accumulators in whole programs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::StreamExecutionEnvironment;
use super::graphs::refused;
use crate::engine::operators::{
    Accumulator, AccumulatorHandle, Collector, KeyedContext, KeyedProcessFunction, KeyedRuntimeContext,
};
use crate::graph::accumulator::{AccumulatorValue, Number};
use crate::graph::task::Failure;
use crate::{AverageAccumulator, Histogram, IntMaximum, ListAccumulator, LongCounter};

/// Counts keys that come the first time.
#[derive(Clone)]
struct Visitors {
    visits: Option<AccumulatorHandle<LongCounter>>,
}

impl KeyedProcessFunction<u64, u64, u64> for Visitors {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u64>) -> Result<(), Failure> {
        self.visits = Some(ctx.accumulator("visits"));
        ctx.accumulator::<IntMaximum>("never added to");
        Ok(())
    }

    fn process_element(&mut self, n: u64, _ctx: &mut KeyedContext<'_, u64>, out: &mut Collector<'_, u64>) {
        self.visits.as_ref().unwrap().add(1);
        out.collect(n);
    }
}

#[test]
fn the_values_of_all_subtasks_and_vertices_are_merged_by_name() {
    let env = StreamExecutionEnvironment::new();
    env.set_parallelism(3);
    let (steps, unused) = (env.accumulator::<LongCounter>("steps"), env.accumulator::<LongCounter>("unused"));
    let (remainders, mean) =
        (env.accumulator::<Histogram>("remainders"), env.accumulator::<AverageAccumulator>("mean"));
    assert_eq!(unused.name(), "unused");
    unused.add(7); // Outside a subtask: nothing happens.
    let again = steps.clone();
    let numbers = env.from_sequence(1, 300).map(move |n| {
        steps.add(1);
        n
    });
    let visited = numbers.key_by(|n| n % 10).process(Visitors { visits: None });
    let seen = visited.rebalance().filter(move |n| {
        again.add(1);
        remainders.add(i64::try_from(n % 2).unwrap());
        true
    });
    seen.map(move |n| mean.add(n as f64)).discard();
    let result = env.execute("accumulators").unwrap();
    let shown: BTreeMap<&str, String> = result
        .accumulators
        .iter()
        .map(|(name, result)| (name.as_str(), format!("{} {}", result.kind, result.value)))
        .collect();
    let expected = [
        ("mean", "AverageAccumulator 150.5"),
        ("never added to", "IntMaximum none"),
        ("remainders", "Histogram {0=150, 1=150}"),
        ("steps", "LongCounter 600"),
        ("unused", "LongCounter 0"),
        ("visits", "LongCounter 300"),
    ];
    assert_eq!(shown, expected.map(|(name, value)| (name, value.to_owned())).into());
    assert_eq!(result.accumulator("steps").and_then(AccumulatorValue::as_i64), Some(600));
    assert!(result.accumulator("no such").is_none());
}

#[test]
fn what_an_execution_that_failed_had_counted_does_not_count() {
    let env = StreamExecutionEnvironment::new();
    env.configure("restart-strategy.type", "fixed-delay").configure("restart-strategy.fixed-delay.delay", "1 ms");
    env.set_parallelism(1);
    let seen = env.accumulator::<ListAccumulator>("seen");
    let failed = Arc::new(AtomicBool::new(false));
    let numbers = env.from_collection(0..10u64).map(move |n| {
        seen.add(n.to_string());
        assert!(n < 5 || failed.swap(true, Ordering::Relaxed), "once");
        n
    });
    numbers.discard();
    let result = env.execute("once more").unwrap();
    assert_eq!(result.accumulators["seen"].value.to_string(), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]");
}

#[test]
fn one_name_for_two_types_is_refused_before_anything_runs() {
    let env = StreamExecutionEnvironment::new();
    env.accumulator::<LongCounter>("n");
    env.accumulator::<LongCounter>("n");
    env.from_sequence(0, 1).discard();
    env.explain().unwrap();
    env.accumulator::<Histogram>("n");
    assert!(refused(&env).contains("accumulator \"n\" is a LongCounter and a Histogram"), "{}", refused(&env));
}

/// One whose value cannot be told once something is in it.
#[derive(Default)]
struct Broken {
    added: bool,
}

impl Accumulator for Broken {
    type Input = ();

    fn add(&mut self, (): ()) {
        self.added = true;
    }

    fn value(&self) -> AccumulatorValue {
        assert!(!self.added, "beyond words");
        AccumulatorValue::Sum(Number::Long(0))
    }
}

#[test]
fn a_panic_in_an_accumulator_fails_the_job_with_its_words() {
    let env = StreamExecutionEnvironment::new();
    let broken = env.accumulator::<Broken>("broken");
    env.from_collection([1u64]).map(move |_| broken.add(())).discard();
    let error = env.execute("broken").unwrap_err().to_string();
    assert!(error.contains("panicked at") && error.contains("beyond words"), "{error}");
}
