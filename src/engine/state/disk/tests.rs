//! States with next to no memory against a naive model: what is used, saved, evicted, merged and restored stays what it was.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::engine::record::key_group;
use crate::engine::state::testing::Kept;
use crate::engine::state::{KeyAt, KeyContext, KeyedState as _, KeyedStates, Snapshot, ValueState};

/// What happens in a batch to the state of each of its keys.
#[derive(Clone, Debug)]
enum Step {
    Add(u64),
    Append(u8),
    Clear,
    Read,
}

/// What happens between batches.
#[derive(Clone, Copy, Debug)]
enum Between {
    Nothing,
    Checkpoint,
    Restore,
}

type Batch = (Vec<(u16, Step)>, Between);

fn batches() -> impl Strategy<Value = Vec<Batch>> {
    let step = prop_oneof![
        3 => (0u64..1000).prop_map(Step::Add),
        2 => any::<u8>().prop_map(Step::Append),
        1 => Just(Step::Clear),
        1 => Just(Step::Read),
    ];
    let between = prop_oneof![6 => Just(Between::Nothing), 2 => Just(Between::Checkpoint), 1 => Just(Between::Restore)];
    proptest::collection::vec((proptest::collection::vec((0u16..400, step), 1..120), between), 1..25)
}

struct At<'a> {
    states: &'a mut KeyedStates<u16>,
    key: u16,
}

impl KeyContext for At<'_> {
    type Key = u16;

    fn keyed(&self) -> (&KeyedStates<u16>, KeyAt<'_, u16>) {
        (self.states, KeyAt { hash: key_hash(&self.key), key: KeyRef::Value(&self.key) })
    }

    fn keyed_mut(&mut self) -> (&mut KeyedStates<u16>, KeyAt<'_, u16>) {
        (self.states, KeyAt { hash: key_hash(&self.key), key: KeyRef::Value(&self.key) })
    }
}

struct Store {
    backend: StateBackend,
    states: KeyedStates<u16>,
    sum: ValueState<u64>,
    text: ValueState<String>,
}

impl Store {
    fn new(backend: StateBackend) -> Self {
        let mut states = KeyedStates::living_in(backend.clone(), 16, 1, 0);
        let sum = ValueState::register(&mut states, "sum", None).unwrap();
        let text = ValueState::register(&mut states, "text", None).unwrap();
        Self { backend, states, sum, text }
    }

    fn apply(&mut self, steps: &[(u16, Step)], model: &mut BTreeMap<u16, (u64, String)>) {
        let keys: Vec<u16> = steps.iter().map(|(key, _)| *key).collect();
        let hashes: Vec<u64> = keys.iter().map(key_hash).collect();
        self.states.admit(&hashes, &KeyColumn::Values(keys)).unwrap();
        let Self { states, sum, text, .. } = self;
        for (key, step) in steps {
            let mut ctx = At { states, key: *key };
            let expected = model.get(key).cloned();
            assert_eq!(sum.value(&ctx).copied(), expected.as_ref().map(|expected| expected.0), "the sum of {key}");
            assert_eq!(text.value(&ctx).cloned(), expected.map(|expected| expected.1), "the text of {key}");
            match step {
                Step::Add(number) => {
                    *sum.get_or_default(&mut ctx) += number;
                    text.get_or_default(&mut ctx);
                    model.entry(*key).or_default().0 += number;
                }
                Step::Append(byte) => {
                    sum.get_or_default(&mut ctx);
                    text.get_or_default(&mut ctx).push_str(&"x".repeat(usize::from(*byte)));
                    model.entry(*key).or_default().1.push_str(&"x".repeat(usize::from(*byte)));
                }
                Step::Clear => {
                    sum.clear(&mut ctx);
                    text.clear(&mut ctx);
                    model.remove(key);
                }
                Step::Read => {}
            }
        }
        self.states.settle().unwrap();
    }

    fn checkpoint(&mut self) -> Kept {
        let mut snapshot = Snapshot::default();
        self.states.freeze(&mut snapshot).unwrap();
        Kept::of(snapshot, Now(0))
    }

    /// One of the same backend, or of another, with what this one holds.
    fn restored(&mut self, backend: StateBackend) -> Self {
        let mut kept = self.checkpoint();
        let mut other = Self::new(backend);
        other.states.restore(&mut kept).unwrap();
        other
    }

    fn check_keys(&self, model: &BTreeMap<u16, (u64, String)>) {
        let mut keys = self.sum.keys(&self.states);
        keys.sort_unstable();
        assert_eq!(keys, model.keys().copied().collect::<Vec<_>>());
    }
}

fn backend(directory: &std::path::Path, bytes: u64) -> StateBackend {
    StateBackend::Disk(DiskBackend::new(directory.to_owned(), StateMemory::new(bytes)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn states_on_disk_hold_what_states_in_memory_hold(batches in batches()) {
        let directory = tempfile::tempdir().unwrap();
        let (mut store, mut model) = (Store::new(backend(directory.path(), 1)), BTreeMap::new());
        for (steps, between) in &batches {
            store.apply(steps, &mut model);
            match between {
                Between::Nothing => {}
                Between::Checkpoint => {
                    let kept = store.checkpoint();
                    prop_assert_eq!(kept.entries("sum"), model.len() as u64);
                }
                Between::Restore => store = store.restored(store.backend.clone()),
            }
        }
        store.check_keys(&model);
        // And as a savepoint restored elsewhere.
        let mut elsewhere = store.restored(StateBackend::Hashmap);
        elsewhere.check_keys(&model);
        let reads: Vec<(u16, Step)> = (0..400).map(|key| (key, Step::Read)).collect();
        elsewhere.apply(&reads, &mut model.clone());
        store.apply(&reads, &mut model);
        drop((store, elsewhere));
        let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
        prop_assert!(left.is_empty(), "{:?}", left);
    }
}

#[test]
fn memory_stays_within_its_number_and_sections_by_key_group() {
    let directory = tempfile::tempdir().unwrap();
    let memory = StateMemory::new(1 << 20);
    let backend = StateBackend::Disk(DiskBackend::new(directory.path().to_owned(), Arc::clone(&memory)));
    let mut states = KeyedStates::<u64>::living_in(backend, 128, 1, 0);
    let sum: ValueState<u64> = ValueState::register(&mut states, "sum", None).unwrap();
    for start in (0..200_000u64).step_by(1000) {
        let keys: Vec<u64> = (start..start + 1000).collect();
        let hashes: Vec<u64> = keys.iter().map(key_hash).collect();
        states.admit(&hashes, &KeyColumn::Values(keys.clone())).unwrap();
        for (key, hash) in keys.iter().zip(&hashes) {
            let part = states.part_mut(sum.slot(), *hash);
            part.put(*hash, *key, key * 3);
        }
        states.settle().unwrap();
        assert!(memory.used_bytes() <= 1 << 20, "{} bytes behind {start} keys", memory.used_bytes());
    }
    let mut snapshot = Snapshot::default();
    states.freeze(&mut snapshot).unwrap();
    let mut kept = Kept::of(snapshot, Now(0));
    assert_eq!(kept.entries("sum"), 200_000);
    let mut seen = 0;
    let visit = &mut |section: crate::engine::state::Section<'_>| {
        section.each_keyed(
            128,
            |(key, _): &(u64, u64)| key,
            |hash, (key, value)| {
                assert_eq!((value, key_group(hash, 128)), (key * 3, section.group.unwrap()));
                seen += 1;
            },
        )
    };
    crate::engine::state::Restore::visit(&mut kept, "sum", visit).unwrap();
    assert_eq!(seen, 200_000);
}
