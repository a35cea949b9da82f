//! Jobs that fail in the middle and go on from a checkpoint.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::StreamExecutionEnvironment;
use super::accident::{Accident, HeldBack, parts};
use super::pipelines::main_of;
use crate::engine::connectors::{DataGeneratorSource, FileSink};
use crate::engine::operators::{Collector, KeyedContext, KeyedProcessFunction, KeyedRuntimeContext};
use crate::graph::plan::ExecutionMode;
use crate::graph::task::Failure;
use crate::launch::Error;
use crate::{ListState, MapState, ValueState};

const NUMBERS: u64 = 60_000;
const KEYS: u64 = 97;

/// Counts in three kinds of state, which have to agree.
#[derive(Clone, Default)]
struct Count {
    value: ValueState<u64>,
    list: ListState<u64>,
    map: MapState<u64, u64>,
}

impl KeyedProcessFunction<u64, u64, (u64, u64)> for Count {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u64>) -> Result<(), Failure> {
        self.value = ctx.value_state("value");
        self.list = ctx.list_state("list");
        self.map = ctx.map_state("map");
        Ok(())
    }

    fn process_element(&mut self, number: u64, ctx: &mut KeyedContext<'_, u64>, out: &mut Collector<'_, (u64, u64)>) {
        let count = self.value.get_or_default(ctx);
        *count += 1;
        let count = *count;
        if number.is_multiple_of(64) {
            self.list.add(ctx, number);
            self.map.put(ctx, number, count);
        }
        assert_eq!(self.list.get(ctx).len(), self.map.len(ctx));
        out.collect((number % KEYS, count));
    }
}

/// The last complete checkpoint of the one job that has any there.
pub(super) fn latest_checkpoint(checkpoints: &Path) -> String {
    let job = fs::read_dir(checkpoints).unwrap().next().unwrap().unwrap().path();
    let complete = fs::read_dir(job).unwrap().map(|entry| entry.unwrap().path());
    let complete = complete.filter(|path| path.join("_metadata").exists());
    let latest = complete.max_by_key(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.strip_prefix("chk-").map(|number| number.parse::<u64>().unwrap())
    });
    latest.unwrap().to_string_lossy().into_owned()
}

/// Counts numbers by key and writes each new count.
fn run(output: &Path, accident: &Arc<Accident>, settings: &[(&str, &str)]) -> Result<(), Error> {
    main_of(|env| counts(env, output, Arc::clone(accident), settings))
}

fn counts(
    env: &StreamExecutionEnvironment,
    output: &Path,
    accident: Arc<Accident>,
    settings: &[(&str, &str)],
) -> Result<(), Error> {
    env.set_execution_mode(ExecutionMode::Streaming).enable_checkpointing(Duration::from_millis(10));
    for (key, value) in settings {
        env.configure(*key, *value);
    }
    let source = DataGeneratorSource::new(NUMBERS, |n| n).rate_per_second(200_000.0);
    let source = HeldBack { source, after: NUMBERS / 4, accident: Arc::clone(&accident) };
    let numbers = env.from_source(source, "Numbers").uid("numbers").map(move |n| {
        accident.may_happen();
        n
    });
    let counts = numbers.key_by(|n| n % KEYS).process(Count::default()).uid("count");
    counts.sink_to(FileSink::json_lines(output)).uid("files");
    env.execute("counts").map(drop)
}

/// Every count of every key is visible exactly once.
fn assert_exactly_once(output: &Path) {
    let mut counts: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for path in parts(output) {
        for line in fs::read_to_string(path).unwrap().lines() {
            let (key, count): (u64, u64) = serde_json::from_str(line).unwrap();
            counts.entry(key).or_default().push(count);
        }
    }
    assert_eq!(counts.len() as u64, KEYS);
    for (key, mut counts) in counts {
        counts.sort_unstable();
        let of_key = (0..NUMBERS).filter(|n| n % KEYS == key).count() as u64;
        assert!(counts.iter().copied().eq(1..=of_key), "key {key}: {} counts of {of_key}", counts.len());
    }
}

#[test]
fn a_job_that_fails_goes_on_from_its_checkpoint_and_its_output_is_exact() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out");
    let accident = Accident::new(&output);
    let restarts = [
        ("restart-strategy.type", "fixed-delay"),
        ("restart-strategy.fixed-delay.delay", "1 ms"),
        ("parallelism.default", "2"),
    ];
    run(&output, &accident, &restarts).unwrap();
    assert!(accident.happened());
    let seen = accident.seen();
    assert!((NUMBERS..2 * NUMBERS).contains(&seen), "{seen} of {NUMBERS} were read: it did not begin anew");
    assert_exactly_once(&output);
}

#[test]
fn another_job_goes_on_from_a_retained_checkpoint_at_another_parallelism() {
    for (before, after) in [("1", "3"), ("3", "1"), ("4", "2"), ("2", "2")] {
        let dir = tempfile::tempdir().unwrap();
        let (output, checkpoints) = (dir.path().join("out"), dir.path().join("checkpoints"));
        let accident = Accident::new(&output);
        let place = checkpoints.to_string_lossy().into_owned();
        let first = [
            ("restart-strategy.type", "none"),
            ("parallelism.default", before),
            ("execution.checkpointing.dir", place.as_str()),
            ("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION"),
        ];
        let error = run(&output, &accident, &first).unwrap_err();
        assert!(error.to_string().contains("an accident"), "{error}");
        let latest = latest_checkpoint(&checkpoints);
        let second = [("parallelism.default", after), ("execution.state-recovery.path", latest.as_str())];
        run(&output, &accident, &second).unwrap();
        assert_exactly_once(&output);
        assert!(Path::new(&latest).join("_metadata").exists(), "what a job was started from is its user's");
    }
}

#[test]
fn a_checkpoint_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let accident = Accident::new(dir.path());
    let error = run(dir.path(), &accident, &[("execution.state-recovery.path", "/nowhere/chk-1")]).unwrap_err();
    assert!(error.to_string().starts_with("there is no checkpoint or savepoint at /nowhere/chk-1"), "{error}");
}

#[test]
fn what_a_program_collects_is_exact_too() {
    let dir = tempfile::tempdir().unwrap();
    let accident = Accident::new(dir.path());
    let rows = main_of(|env| {
        env.set_execution_mode(ExecutionMode::Streaming).enable_checkpointing(Duration::from_millis(5));
        env.set_parallelism(2);
        env.configure("restart-strategy.type", "fixed-delay").configure("restart-strategy.fixed-delay.delay", "1 ms");
        let accident = Arc::clone(&accident);
        let source = DataGeneratorSource::new(40_000, |n| n).rate_per_second(200_000.0);
        let source = HeldBack { source, after: 10_000, accident: Arc::clone(&accident) };
        let numbers = env.from_source(source, "Numbers");
        // The files only say when a checkpoint is complete.
        let numbers = numbers.map(move |n| {
            accident.may_happen();
            n
        });
        numbers.sink_to(FileSink::json_lines(dir.path()));
        numbers.execute_and_collect("numbers")
    });
    let mut rows = rows.unwrap();
    rows.sort_unstable();
    assert!(accident.happened());
    assert!(rows.iter().copied().eq(0..40_000), "{} rows", rows.len());
}
