//! State that an earlier program left in a checkpoint, taken over by a later one whose types differ.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use flott::connectors::DataGeneratorSource;
use flott::engine::checkpoint::{JobStands, LocalStorage, StateContents, discard_checkpoint, read_contents};
use flott::engine::record::{Key, Record};
use flott::prelude::*;

const NUMBERS: u64 = 100_000;
const KEYS: u64 = 7;

/// What a program remembers of a key.
trait Seen: Record + Default {
    fn add(&mut self, number: u64);
    fn count(&self) -> u64;
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Visits {
    count: u32,
    obsolete: String,
    last: Last,
}

#[derive(Clone, Default, Serialize, Deserialize)]
enum Last {
    #[default]
    Never,
    Number {
        number: u64,
    },
}

impl Seen for Visits {
    fn add(&mut self, number: u64) {
        self.count += 1;
        "old".clone_into(&mut self.obsolete);
        self.last = Last::Number { number };
    }

    fn count(&self) -> u64 {
        u64::from(self.count)
    }
}

/// `Visits` in a later program.
#[derive(Clone, Default, Serialize, Deserialize)]
struct LaterVisits {
    #[serde(default)]
    since_upgrade: u64,
    last: Option<LaterLast>,
    #[serde(alias = "count")]
    times: u64,
}

#[derive(Clone, Serialize, Deserialize)]
enum LaterLast {
    #[serde(rename = "Never")]
    Unknown,
    #[serde(alias = "Number")]
    Seen { number: i128 },
}

impl Seen for LaterVisits {
    fn add(&mut self, number: u64) {
        // What was written before was taken over.
        assert!(self.times == 0 || self.since_upgrade > 0 || matches!(self.last, Some(LaterLast::Seen { .. })));
        self.times += 1;
        self.since_upgrade += 1;
        self.last = Some(LaterLast::Seen { number: i128::from(number) });
    }

    fn count(&self) -> u64 {
        self.times
    }
}

/// A type that has nothing to do with it.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Stranger {
    count: String,
}

impl Seen for Stranger {
    fn add(&mut self, _: u64) {}

    fn count(&self) -> u64 {
        0
    }
}

/// The latest count of each key.
type Counts = BTreeMap<u64, u64>;

#[derive(Clone)]
struct Count<S> {
    seen: ValueState<S>,
    recent: MapState<u8, u64>,
}

impl<S: Seen, K: Key> KeyedProcessFunction<K, u64, (u64, u64)> for Count<S> {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, K>) -> Result<(), Failure> {
        self.seen = ctx.value_state("seen");
        self.recent = ctx.map_state("recent");
        Ok(())
    }

    fn process_element(&mut self, number: u64, ctx: &mut KeyedContext<'_, K>, out: &mut Collector<'_, (u64, u64)>) {
        self.recent.put(ctx, (number % 3) as u8, number);
        let seen = self.seen.get_or_default(ctx);
        seen.add(number);
        out.collect((number % KEYS, seen.count()));
    }
}

/// Runs a program on a thread of its own, as its `main` would be.
pub fn program<R: Send>(main: impl FnOnce(&StreamExecutionEnvironment) -> R + Send) -> R {
    std::thread::scope(|scope| scope.spawn(|| main(&StreamExecutionEnvironment::new())).join().unwrap())
}

/// Counts numbers by key; where it is told to, it fails as soon as there is a checkpoint.
fn run<S: Seen, K: Key>(
    settings: &[(&str, &str)],
    key: fn(&u64) -> K,
    fail_once_in: Option<&Path>,
) -> Result<Counts, flott::Error> {
    let checkpoints = fail_once_in.map(Path::to_owned);
    let (seen, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    program(|env| {
        env.set_execution_mode(ExecutionMode::Streaming).set_parallelism(2);
        env.enable_checkpointing(Duration::from_millis(10));
        for (key, value) in settings {
            env.configure(*key, *value);
        }
        // Slow enough for a checkpoint to come in its midst, wherever it runs.
        let rate = if fail_once_in.is_some() { 20_000.0 } else { 1e9 };
        let numbers = DataGeneratorSource::new(NUMBERS, |n| n).rate_per_second(rate);
        let numbers = env.from_source(numbers, "Numbers").uid("numbers").map(move |n| {
            let turn = seen.fetch_add(1, Ordering::Relaxed);
            // Not in the first: it may have come before any record.
            let complete = |dir| latest(dir).is_some_and(|path| number_of(&path) > Some(2));
            if turn.is_multiple_of(64) && checkpoints.as_deref().is_some_and(complete) {
                failed.store(true, Ordering::Relaxed);
                panic!("an accident");
            }
            n
        });
        let count = Count::<S> { seen: ValueState::default(), recent: MapState::default() };
        let counts = numbers.key_by(key).process(count).name("Count visits").uid("count");
        let mut latest = Counts::new();
        for (key, count) in counts.execute_and_collect("visits")? {
            assert!(latest.insert(key, count).is_none_or(|before| before + 1 == count), "counts follow each other");
        }
        Ok(latest)
    })
}

/// The latest complete checkpoint.
pub fn latest(checkpoints: &Path) -> Option<PathBuf> {
    let job = fs::read_dir(checkpoints).ok()?.next()?.ok()?.path();
    let complete = fs::read_dir(job).ok()?.flatten().map(|entry| entry.path());
    complete.filter(|path| path.join("_metadata").exists()).max_by_key(|path| number_of(path))
}

pub fn number_of(checkpoint: &Path) -> Option<u64> {
    checkpoint.file_name()?.to_str()?.strip_prefix("chk-")?.split('-').next()?.parse().ok()
}

/// A checkpoint that the first program left behind, somewhere in its midst.
fn checkpoint(dir: &Path) -> String {
    let checkpoints = dir.join("checkpoints");
    let place = checkpoints.to_string_lossy().into_owned();
    let settings = [
        ("restart-strategy.type", "none"),
        ("execution.checkpointing.dir", place.as_str()),
        ("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION"),
    ];
    let error = run::<Visits, _>(&settings, |n| n % KEYS, Some(&checkpoints)).unwrap_err();
    assert!(error.to_string().contains("an accident"), "{error}");
    latest(&checkpoints).unwrap().to_string_lossy().into_owned()
}

/// Copies the files of a directory to another.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().flatten() {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// Goes on from a copy of the checkpoint: it may lie anywhere.
fn go_on<S: Seen, K: Key>(checkpoint: &str, key: fn(&u64) -> K) -> Result<Counts, String> {
    let place = tempfile::tempdir().unwrap();
    copy(Path::new(checkpoint), place.path());
    let checkpoint = place.path().to_string_lossy().into_owned();
    let settings = [("execution.state-recovery.path", checkpoint.as_str()), ("restart-strategy.type", "none")];
    run::<S, K>(&settings, key, None).map_err(|error| error.to_string())
}

#[test]
fn a_later_program_takes_over_state_of_types_that_have_changed() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = checkpoint(dir.path());
    let counts = go_on::<LaterVisits, _>(&checkpoint, |n| n % KEYS).unwrap();
    let expected = (0..KEYS).map(|key| (key, (0..NUMBERS).filter(|n| n % KEYS == key).count() as u64));
    assert_eq!(counts, expected.collect());
}

#[test]
fn state_that_cannot_be_taken_over_is_refused_with_operator_state_and_both_types() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = checkpoint(dir.path());
    let error = go_on::<Stranger, _>(&checkpoint, |n| n % KEYS).unwrap_err();
    for part in ["Count visits", "state \"seen\"", "Visits", "Stranger", "value.count: was u32 and is String"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    let error = go_on::<Visits, _>(&checkpoint, |n| (n % KEYS) as u16).unwrap_err();
    assert!(error.contains("keys of type u16 have other hashes"), "{error}");
}

#[test]
fn a_checkpoint_is_read_without_its_program_wherever_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let original = checkpoint(dir.path());
    let copy = dir.path().join("copy");
    fs::rename(&original, &copy).unwrap();
    let contents = read_contents(&LocalStorage, &copy.to_string_lossy(), 2).unwrap();
    assert_eq!((contents.job_name.as_str(), contents.savepoint), ("visits", false));
    let count = contents.operators.iter().find(|operator| operator.uid.as_deref() == Some("count")).unwrap();
    let state = |name: &str| count.states.iter().find(|state| state.name == name).unwrap();
    let StateContents { entry, types, entries, key_groups, samples, .. } = state("seen");
    assert_eq!(entry, "(u64, Visits)");
    assert_eq!(
        types,
        &["Last = Never | Number { number: u64 }", "Visits { count: u32, obsolete: String, last: Last }"]
    );
    assert_eq!((*entries, *key_groups, samples.len()), (KEYS, KEYS as usize, 2));
    let last = samples[0]["value"]["last"]["Number"]["number"].as_u64().unwrap();
    assert_eq!(last % KEYS, samples[0]["key"].as_u64().unwrap());
    assert_eq!(samples[0]["value"]["obsolete"], json!("old"));
    assert_eq!(state("recent").entry, "(u64, Map<u8, u64>)");
    assert!(state("recent").samples[0]["value"].is_object());
    let numbers = contents.operators.iter().find(|operator| operator.uid.as_deref() == Some("numbers")).unwrap();
    assert!(numbers.parts_to_read.unwrap() > 0);

    discard_checkpoint(&LocalStorage, &contents.directory, JobStands::Ended).unwrap();
    assert!(read_contents(&LocalStorage, &copy.to_string_lossy(), 2).is_err());
}
