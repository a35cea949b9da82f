//! A checkpoint that an earlier flott wrote, kept in `tests/golden`: every later one restores it.
//!
//! `FLOTT_WRITE_GOLDEN=DIR` has the test write one anew to DIR and restore that. A new format gets a directory of its own; the old
//! ones stay.

use std::collections::BTreeMap;
use std::path::Path;

use flott::engine::checkpoint::{LocalStorage, read_contents};
use flott::prelude::*;
use serde::{Deserialize, Serialize};

use super::state_evolution::{copy, latest, number_of, program};

const NUMBERS: u64 = 20_000;
const KEYS: u64 = 7;

#[derive(Clone, Default, Serialize, Deserialize)]
struct Visits {
    count: u64,
    page: Str,
    last: Option<Last>,
}

#[derive(Clone, Serialize, Deserialize)]
enum Last {
    Even,
    Odd { number: u64 },
}

/// Counts in each kind of keyed state; they have to agree.
#[derive(Clone, Default)]
struct Kinds {
    value: ValueState<Visits>,
    list: ListState<u64>,
    map: MapState<Str, u64>,
    reducing: ReducingState<u64>,
}

impl KeyedProcessFunction<u64, u64, (u64, u64)> for Kinds {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u64>) -> Result<(), Failure> {
        self.value = ctx.value_state("value");
        self.list = ctx.list_state("list");
        self.map = ctx.map_state("map");
        self.reducing = ctx.reducing_state("reducing", |a, b| a + b);
        Ok(())
    }

    fn process_element(&mut self, number: u64, ctx: &mut KeyedContext<'_, u64>, out: &mut Collector<'_, (u64, u64)>) {
        // A timer that is never due: it is only carried along.
        ctx.timer_service().register_processing_time_timer(Now(1 << 45));
        self.reducing.add(ctx, 1);
        if number.is_multiple_of(64) {
            self.list.add(ctx, number);
            self.map.put(ctx, Str::from(number.to_string()), number);
        }
        assert_eq!(self.list.get(ctx).len(), self.map.len(ctx));
        let value = self.value.get_or_default(ctx);
        value.count += 1;
        value.page = "/".into();
        value.last = Some(if number.is_multiple_of(2) { Last::Even } else { Last::Odd { number } });
        let count = value.count;
        assert_eq!(self.reducing.get(ctx), Some(&count));
        out.collect((number % KEYS, count));
    }
}

type Counts = BTreeMap<(Str, u64), u64>;

/// The last count of each key, by each of three operators.
fn counts(settings: &[(&str, &str)], fail_in: Option<&Path>) -> Result<Counts, flott::Error> {
    let fail_in = fail_in.map(Path::to_owned);
    program(|env| {
        env.set_execution_mode(ExecutionMode::Streaming).set_parallelism(2);
        env.enable_checkpointing(std::time::Duration::from_millis(10));
        for (key, value) in settings {
            env.configure(*key, *value);
        }
        let rate = if fail_in.is_some() { 20_000.0 } else { 1e9 };
        let numbers = flott::connectors::DataGeneratorSource::new(NUMBERS, |n| n).rate_per_second(rate);
        let numbers = env.from_source(numbers, "Numbers").uid("numbers").map(move |n| {
            let complete = |dir| latest(dir).is_some_and(|path| number_of(&path) > Some(2));
            assert!(!n.is_multiple_of(64) || !fail_in.as_deref().is_some_and(complete), "an accident");
            n
        });
        let keyed = || numbers.key_by(|n| n % KEYS);
        let named = |name: &'static str, counts: DataStream<(u64, u64)>| {
            counts.uid(name).map(move |(key, count)| ((Str::from(name), key), count))
        };
        let kinds = named("kinds", keyed().process(Kinds::default()));
        let rolling = named("rolling", keyed().count());
        let windows = TumblingProcessingTimeWindows::of(std::time::Duration::from_secs(1 << 40));
        let windowed = named("windowed", keyed().window(windows).count());
        Ok(kinds.union(&rolling).union(&windowed).execute_and_collect("golden")?.into_iter().collect())
    })
}

fn write_golden(directory: &Path) {
    let checkpoints = directory.join("checkpoints");
    let place = checkpoints.to_string_lossy().into_owned();
    let settings = [
        ("restart-strategy.type", "none"),
        ("execution.checkpointing.dir", place.as_str()),
        ("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION"),
    ];
    let error = counts(&settings, Some(&checkpoints)).unwrap_err();
    assert!(error.to_string().contains("an accident"), "{error}");
    copy(&latest(&checkpoints).unwrap(), &directory.join("checkpoint-1"));
}

#[test]
fn a_checkpoint_of_an_earlier_flott_is_restored() {
    let written = std::env::var_os("FLOTT_WRITE_GOLDEN");
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let golden = written.as_ref().map_or(kept.as_path(), Path::new);
    if written.is_some() {
        write_golden(golden);
    }
    let dir = tempfile::tempdir().unwrap();
    copy(&golden.join("checkpoint-1"), dir.path());
    let place = dir.path().to_string_lossy().into_owned();

    let contents = read_contents(&LocalStorage, &place, 1).unwrap();
    let states = contents.operators.iter().flat_map(|operator| {
        let uid = operator.uid.as_deref().unwrap_or_default();
        operator
            .states
            .iter()
            .filter(|state| state.entries > 0)
            .map(move |state| format!("{uid}.{}: {}", state.name, state.entry))
    });
    let states: Vec<_> = states.collect();
    assert!(states.contains(&"kinds.value: (u64, Visits)".to_owned()), "{states:?}");
    assert!(states.len() >= 7, "{states:?}");

    let settings = [("execution.state-recovery.path", place.as_str()), ("restart-strategy.type", "none")];
    let expected = |name: &'static str| {
        (0..KEYS).map(move |key| ((Str::from(name), key), (0..NUMBERS).filter(|n| n % KEYS == key).count() as u64))
    };
    let expected: Counts = ["kinds", "rolling", "windowed"].into_iter().flat_map(expected).collect();
    assert_eq!(counts(&settings, None).unwrap(), expected);
}
