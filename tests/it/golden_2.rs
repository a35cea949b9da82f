//! As `golden`, the kinds of state that came later: broadcast, aggregating, with a time to live, event-time timers, and lists of
//! functions; at the parallelism it was written at, and at others.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use flott::engine::checkpoint::{LocalStorage, read_contents};
use flott::prelude::*;

use super::state_evolution::{copy, latest, number_of, program};

const NUMBERS: u64 = 20_000;
const KEYS: u64 = 7;
const RULES: u64 = 5;

/// Counts.
#[derive(Clone)]
struct Counter;

impl AggregateFunction<u64> for Counter {
    type Accumulator = u64;
    type Output = u64;

    fn create_accumulator(&self) -> u64 {
        0
    }

    fn add(&self, count: &mut u64, _: u64) {
        *count += 1;
    }

    fn get_result(&self, count: &u64) -> u64 {
        *count
    }

    fn merge(&self, count: &mut u64, other: u64) {
        *count += other;
    }
}

/// What is emitted: key, count so far, and rules known; or, of a timer, key and how often it has fired.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
enum Told {
    Count(u64, u64, u64),
    Fired(u64),
}

#[derive(Clone, Default)]
struct Kinds {
    rules: BroadcastState<u64, Str>,
    total: AggregatingState<u64, Counter>,
    value: ValueState<u64>,
    list: ListState<u64>,
    map: MapState<u64, Str>,
    reduced: ReducingState<u64>,
}

impl KeyedBroadcastProcessFunction<u64, u64, u64, Told> for Kinds {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, u64>) -> Result<(), Failure> {
        self.rules = ctx.broadcast_state("rules");
        self.total = ctx.aggregating_state("total", Counter);
        // Long enough for this file to be read in any year.
        let ttl = StateTtlConfig::new(Duration::from_secs(1 << 40));
        self.value = ctx.time_to_live(ttl).value_state("value");
        self.list = ctx.time_to_live(ttl).list_state("list");
        self.map = ctx.time_to_live(ttl).map_state("map");
        self.reduced = ctx.time_to_live(ttl).reducing_state("reduced", |a, b| a + b);
        Ok(())
    }

    fn process_element(&mut self, number: u64, ctx: &mut KeyedContext<'_, u64>, out: &mut Collector<'_, Told>) {
        ctx.timer_service().register_event_time_timer(EventTime(1 << 50));
        self.total.add(ctx, number);
        self.reduced.add(ctx, 1);
        *self.value.get_or_default(ctx) += 1;
        if number.is_multiple_of(64) {
            self.list.add(ctx, number);
            self.map.put(ctx, number, Str::from(number.to_string()));
        }
        let count = self.total.get(ctx).unwrap_or(0);
        let others = [self.value.value(ctx).copied(), self.reduced.get(ctx).copied()];
        assert_eq!(others, [Some(count); 2]);
        assert_eq!(self.list.get(ctx).len(), self.map.len(ctx));
        let rules = self.rules.iter(ctx).filter(|(rule, name)| rule.to_string() == name.as_str()).count();
        out.collect(Told::Count(number % KEYS, count, rules as u64));
    }

    fn process_broadcast_element(
        &mut self,
        rule: u64,
        ctx: &mut KeyedBroadcastContext<'_, u64>,
        _: &mut Collector<'_, Told>,
    ) {
        self.rules.put(ctx, rule, Str::from(rule.to_string()));
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut KeyedContext<'_, u64>, out: &mut Collector<'_, Told>) {
        assert_eq!(timer, Timer::EventTime(EventTime(1 << 50)));
        out.collect(Told::Fired(*ctx.current_key()));
    }
}

/// Counts records, without a key. Emits its subtask, its count, and what all subtasks together had counted when it began.
#[derive(Clone, Default)]
struct Lists {
    subtask: u64,
    count: u64,
    all: u64,
}

impl ProcessFunction<u64, (u64, u64, u64)> for Lists {
    fn open(&mut self, ctx: &mut RuntimeContext<'_>) -> Result<(), Failure> {
        self.subtask = u64::from(ctx.operator().attempt.subtask);
        Ok(())
    }

    fn initialize_state(&mut self, ctx: &mut FunctionInitializationContext<'_>) -> Result<(), Failure> {
        self.count = ctx.list_state::<u64>("count")?.into_iter().sum();
        self.all = ctx.union_list_state::<u64>("all")?.into_iter().sum();
        assert_eq!(ctx.is_restored(), self.all > 0);
        Ok(())
    }

    fn process_element(&mut self, _: u64, _: &mut ProcessContext<'_>, out: &mut Collector<'_, (u64, u64, u64)>) {
        self.count += 1;
        out.collect((self.subtask, self.count, self.all));
    }

    fn snapshot_state(&mut self, ctx: &mut FunctionSnapshotContext<'_>) -> Result<(), Failure> {
        ctx.list_state("count", [self.count])?;
        ctx.union_list_state("all", [self.count])
    }
}

/// What came of a run: of each key its last count with the rules, how often timers fired, and of each subtask of the lists its count
/// and what it began with.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    counts: BTreeMap<u64, (u64, u64)>,
    fired: BTreeMap<u64, u64>,
    lists: BTreeMap<u64, (u64, u64)>,
}

fn run(settings: &[(&str, &str)], parallelism: u32, fail_in: Option<&Path>) -> Result<Outcome, flott::Error> {
    let fail_in = fail_in.map(Path::to_owned);
    program(|env| {
        env.set_execution_mode(ExecutionMode::Streaming).set_parallelism(parallelism);
        env.enable_checkpointing(Duration::from_millis(10));
        for (key, value) in settings {
            env.configure(*key, *value);
        }
        let rate = if fail_in.is_some() { 20_000.0 } else { 1e9 };
        let numbers = flott::connectors::DataGeneratorSource::new(NUMBERS, |n| n).rate_per_second(rate);
        let numbers = env.from_source(numbers, "Numbers").uid("numbers").map(move |n| {
            let complete = |dir| latest(dir).is_some_and(|path| number_of(&path) > Some(3));
            assert!(n < 1000 || !n.is_multiple_of(64) || !fail_in.as_deref().is_some_and(complete), "an accident");
            n
        });
        let rules = env.from_collection(0..RULES).uid("rules");
        let kinds = numbers.key_by(|n| n % KEYS).connect_broadcast(&rules).process(Kinds::default()).uid("kinds");
        let kinds = kinds.map(|told| match told {
            Told::Count(key, count, rules) => (0u8, key, count, rules),
            Told::Fired(key) => (1, key, 0, 0),
        });
        let lists = numbers.rebalance().process(Lists::default()).uid("lists");
        let lists = lists.map(|(subtask, count, all)| (2u8, subtask, count, all));
        let mut outcome = Outcome::default();
        for (kind, key, first, second) in kinds.union(&lists).execute_and_collect("golden 2")? {
            match kind {
                0 => drop(outcome.counts.insert(key, (first, second))),
                1 => *outcome.fired.entry(key).or_default() += 1,
                _ => drop(outcome.lists.insert(key, (first, second))),
            }
        }
        Ok(outcome)
    })
}

fn write_golden(directory: &Path) {
    let checkpoints = directory.join("checkpoints-2");
    let place = checkpoints.to_string_lossy().into_owned();
    let settings = [
        ("restart-strategy.type", "none"),
        ("execution.checkpointing.dir", place.as_str()),
        ("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION"),
    ];
    let error = run(&settings, 2, Some(&checkpoints)).unwrap_err();
    assert!(error.to_string().contains("an accident"), "{error}");
    copy(&latest(&checkpoints).unwrap(), &directory.join("checkpoint-2"));
}

#[test]
fn later_kinds_of_state_of_an_earlier_flott_are_restored_at_every_parallelism() {
    let written = std::env::var_os("FLOTT_WRITE_GOLDEN");
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let golden = written.as_ref().map_or(kept.as_path(), Path::new);
    if written.is_some() {
        write_golden(golden);
    }
    let dir = tempfile::tempdir().unwrap();
    copy(&golden.join("checkpoint-2"), dir.path());
    let place = dir.path().to_string_lossy().into_owned();

    let contents = read_contents(&LocalStorage, &place, 1).unwrap();
    let with_entries = |operator: &str| -> Vec<String> {
        let of_uid = contents.operators.iter().find(|known| known.uid.as_deref() == Some(operator)).unwrap();
        let states = of_uid.states.iter().filter(|state| state.entries > 0);
        states.map(|state| format!("{}: {}", state.name, state.entry)).collect()
    };
    assert_eq!(with_entries("lists"), ["_list/count: u64", "_union/all: u64"]);
    let kinds = with_entries("kinds");
    for state in ["_broadcast/rules: (u64, String)", "_timers/event: (i64, u64)", "total: (u64, u64)"] {
        assert!(kinds.contains(&state.to_owned()), "{state} is not in {kinds:?}");
    }
    for state in ["list: (u64, Vec<u64>, Vec<u64>)", "map: (u64, Map<u64, String>, Vec<u64>)", "value: (u64, u64, u64)"]
    {
        assert!(kinds.contains(&state.to_owned()), "{state} is not in {kinds:?}");
    }

    let settings = [("execution.state-recovery.path", place.as_str()), ("restart-strategy.type", "none")];
    for parallelism in [2, 1, 3] {
        let Outcome { counts, fired, lists } = run(&settings, parallelism, None).unwrap();
        let expected = (0..KEYS).map(|key| (key, ((0..NUMBERS).filter(|n| n % KEYS == key).count() as u64, RULES)));
        assert_eq!(counts, expected.collect(), "parallelism {parallelism}");
        assert_eq!(fired, (0..KEYS).map(|key| (key, 1)).collect(), "parallelism {parallelism}");
        assert_eq!(lists.values().map(|list| list.0).sum::<u64>(), NUMBERS, "parallelism {parallelism}: {lists:?}");
        let began: std::collections::BTreeSet<u64> = lists.values().map(|list| list.1).collect();
        assert!(began.len() == 1 && !began.contains(&0), "parallelism {parallelism}: {lists:?}");
    }
}
