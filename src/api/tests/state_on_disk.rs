//! Jobs whose state is larger than what of it may be in memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::StreamExecutionEnvironment;
use super::accident::{Accident, HeldBack, parts};
use super::checkpoints::latest_checkpoint;
use super::pipelines::main_of;
use crate::engine::connectors::{DataGeneratorSource, FileSink};
use crate::engine::operators::{Collector, KeyedContext, KeyedProcessFunction, KeyedRuntimeContext, Timer};
use crate::graph::plan::ExecutionMode;
use crate::graph::task::Failure;
use crate::launch::Error;
use crate::time::EventTime;
use crate::{ListState, ValueState};

const NUMBERS: u64 = 120_000;
const KEYS: u64 = 30_011;
const DISK: &[(&str, &str)] = &[("state.backend.type", "disk"), ("taskmanager.memory.managed.size", "512kb")];

/// Counts in two kinds of state, which have to agree, and has a timer fire for each key at the end.
#[derive(Clone, Default)]
struct Count {
    value: ValueState<(u64, String)>,
    list: ListState<u64>,
}

impl KeyedProcessFunction<u64, u64, (u64, u64)> for Count {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u64>) -> Result<(), Failure> {
        self.value = ctx.value_state("value");
        self.list = ctx.list_state("list");
        Ok(())
    }

    fn process_element(&mut self, number: u64, ctx: &mut KeyedContext<'_, u64>, out: &mut Collector<'_, (u64, u64)>) {
        let (count, text) = self.value.get_or_default(ctx);
        *count += 1;
        text.push_str("some text, ");
        let (count, len) = (*count, text.len() as u64);
        self.list.add(ctx, number);
        assert_eq!((self.list.get(ctx).len() as u64, len), (count, count * 11));
        ctx.timer_service().register_event_time_timer(EventTime(1_000_000));
        out.collect((number % KEYS, count));
    }

    fn on_timer(&mut self, _timer: Timer, ctx: &mut KeyedContext<'_, u64>, out: &mut Collector<'_, (u64, u64)>) {
        let (count, _) = self.value.take(ctx).expect("a key with a timer has a count");
        assert_eq!(self.list.take(ctx).len() as u64, count);
        // Behind all counts of the key.
        out.collect((*ctx.current_key(), 1_000 + count));
    }
}

fn run(output: &Path, accident: &Arc<Accident>, settings: &[&[(&str, &str)]]) -> Result<(), Error> {
    main_of(|env| {
        env.set_execution_mode(ExecutionMode::Streaming).enable_checkpointing(Duration::from_millis(10));
        for (key, value) in settings.iter().copied().flatten() {
            env.configure(*key, *value);
        }
        count(env, output, Arc::clone(accident))
    })
}

fn count(env: &StreamExecutionEnvironment, output: &Path, accident: Arc<Accident>) -> Result<(), Error> {
    let source = DataGeneratorSource::new(NUMBERS, |n| n).rate_per_second(400_000.0);
    let source = HeldBack { source, after: NUMBERS / 4, accident: Arc::clone(&accident) };
    let numbers = env.from_source(source, "Numbers").uid("numbers").map(move |n| {
        accident.may_happen();
        n
    });
    let by_key = numbers.key_by(|n| n % KEYS);
    by_key.process(Count::default()).uid("count").sink_to(FileSink::json_lines(output.join("counts"))).uid("counts");
    by_key.sum(|_| 1u64).uid("sum").sink_to(FileSink::json_lines(output.join("sums"))).uid("sums");
    env.execute("counts").map(drop)
}

fn rows(output: &Path) -> BTreeMap<u64, Vec<u64>> {
    let mut counts: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for path in parts(output) {
        for line in fs::read_to_string(path).unwrap().lines() {
            let (key, count): (u64, u64) = serde_json::from_str(line).unwrap();
            counts.entry(key).or_default().push(count);
        }
    }
    counts.values_mut().for_each(|counts| counts.sort_unstable());
    counts
}

fn assert_exactly_once(output: &Path) {
    let (counts, sums) = (rows(&output.join("counts")), rows(&output.join("sums")));
    assert_eq!((counts.len() as u64, sums.len() as u64), (KEYS, KEYS));
    for key in 0..KEYS {
        let of_key = NUMBERS / KEYS + u64::from(key < NUMBERS % KEYS);
        assert!(sums[&key].iter().copied().eq(1..=of_key), "the sums of {key}: {:?}", sums[&key]);
        let expected = (1..=of_key).chain([1_000 + of_key]);
        assert!(counts[&key].iter().copied().eq(expected), "the counts of {key}: {:?}", counts[&key]);
    }
}

#[test]
fn a_job_with_more_state_than_memory_goes_on_from_its_checkpoint_and_its_output_is_exact() {
    let dir = tempfile::tempdir().unwrap();
    let accident = Accident::new(&dir.path().join("counts"));
    let settings = [
        ("restart-strategy.type", "fixed-delay"),
        ("restart-strategy.fixed-delay.delay", "1 ms"),
        ("parallelism.default", "2"),
    ];
    run(dir.path(), &accident, &[DISK, &settings]).unwrap();
    assert!(accident.happened());
    assert_exactly_once(dir.path());
}

#[test]
fn a_checkpoint_is_restored_at_another_parallelism_and_by_another_backend() {
    let memory: &[(&str, &str)] = &[];
    for (before, from, after, to) in
        [("1", DISK, "3", DISK), ("3", DISK, "2", DISK), ("2", DISK, "2", memory), ("2", memory, "3", DISK)]
    {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = dir.path().join("checkpoints");
        let accident = Accident::new(&dir.path().join("counts"));
        let place = checkpoints.to_string_lossy().into_owned();
        let first = [
            ("restart-strategy.type", "none"),
            ("parallelism.default", before),
            ("execution.checkpointing.dir", place.as_str()),
            ("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION"),
        ];
        let error = run(dir.path(), &accident, &[from, &first]).unwrap_err();
        assert!(error.to_string().contains("an accident"), "{error}");
        let latest = latest_checkpoint(&checkpoints);
        let second = [("parallelism.default", after), ("execution.state-recovery.path", latest.as_str())];
        run(dir.path(), &accident, &[to, &second]).unwrap();
        assert_exactly_once(dir.path());
    }
}
