use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::engine::record::{Str, key_hash};

#[test]
fn texts_and_values_are_the_same_key() {
    let mut table = KeyedTable::<Str, u32>::new();
    let key = Str::from("whale");
    let hash = key_hash(&key);
    *table.get_or_insert_with(hash, KeyRef::Text("whale"), || 1).1 += 1;
    assert_eq!(table.fold(hash, KeyRef::Value(&key), 5, |value| value, |state, value| *state += value), (&key, &mut 7));
    table.fold_owned(hash, key.clone(), 1, |value| value, |state, value| *state += value);
    assert_eq!((table.len(), table.get(hash, KeyRef::Text("whale"))), (1, Some(&8)));
    assert_eq!(table.remove(hash, KeyRef::Text("whale")), Some((key, 8)));
    assert!(table.is_empty());
}

#[test]
fn draining_keeps_the_memory_and_taking_gives_it_up() {
    let mut table = KeyedTable::<u64, u64>::new();
    for key in 0..1000u64 {
        table.fold_owned(key_hash(&key), key, 1, |value| value, |state, value| *state += value);
    }
    let bytes = table.bytes();
    assert_eq!(table.drain().len(), 1000);
    assert_eq!((table.len(), table.bytes()), (0, bytes));
    assert_eq!(table.take().count(), 0);
    assert!(table.bytes() < 1000);
}

#[test]
fn a_drain_that_is_given_up_leaves_nothing_behind() {
    let mut table = table_of(0..50_000);
    assert!(table.segments.len() > 2);
    table.drain().nth(3).unwrap();
    assert_eq!((table.len(), table.iter().count()), (0, 0));
    assert_eq!(table.get(key_hash(&7u64), KeyRef::Value(&7)), None);
}

#[test]
fn segments_split_and_the_directory_finds_every_key() {
    let table = table_of(0..100_000);
    assert!(table.segments.len() >= 16, "{}", table.segments.len());
    assert!(table.segments.iter().all(|part| part.bytes() <= 256 << 10));
    assert_eq!(table.bytes, table.segments.iter().map(|part| part.bytes()).sum::<usize>());
    for key in 0..100_000u64 {
        assert_eq!(table.get(key_hash(&key), KeyRef::Value(&key)), Some(&(key + 1)));
    }
    assert_eq!(table.iter().count(), 100_000);
}

#[test]
fn a_segment_holds_neighbouring_key_groups() {
    let table = table_of(0..100_000);
    let groups = |part: &Part<u64, u64>| -> std::collections::BTreeSet<u32> {
        part.iter().map(|(key, _)| crate::engine::record::key_group(key_hash(key), 128)).collect()
    };
    for part in &table.segments {
        let groups = groups(part);
        assert!(groups.last().unwrap() - groups.first().unwrap() <= 128 >> part.depth, "{groups:?}");
    }
}

#[test]
fn keys_of_one_key_group_cost_no_more_than_others() {
    let of_one_group = |key: &u64| crate::engine::record::key_group(key_hash(key), 128) == 5;
    let keys: Vec<u64> = (0..).filter(of_one_group).take(20_000).collect();
    let mut table = KeyedTable::<u64, u64>::new();
    for key in &keys {
        *table.get_or_insert_with(key_hash(key), KeyRef::Value(key), || 0).1 += key;
    }
    assert!(keys.iter().all(|key| table.get(key_hash(key), KeyRef::Value(key)) == Some(key)));
    assert_eq!(table.bytes, table.segments.iter().map(|part| part.bytes()).sum::<usize>());
    assert!(table.bytes() < table_of(0..20_000).bytes() * 3 / 2, "{} bytes", table.bytes());
}

/// Keys and, as state, the key plus one.
fn table_of(keys: std::ops::Range<u64>) -> KeyedTable<u64, u64> {
    let mut table = KeyedTable::new();
    for key in keys {
        table.fold_owned(key_hash(&key), key, key + 1, |value| value, |state, value| *state += value);
    }
    table
}

proptest! {
    #[test]
    fn it_is_a_map(rows in proptest::collection::vec((0u16..300, any::<u32>()), 0..2000)) {
        let (mut table, mut map) = (KeyedTable::<String, u64>::new(), BTreeMap::<String, u64>::new());
        for (key, value) in rows {
            let (key, value) = (key.to_string(), u64::from(value));
            *map.entry(key.clone()).or_default() += value;
            table.fold(key_hash(&key), KeyRef::Text(&key), value, |value| value, |state, value| *state += value);
        }
        prop_assert_eq!(table.drain().collect::<BTreeMap<_, _>>(), map);
    }

    #[test]
    fn removing_moves_nothing_out_of_reach(ops in proptest::collection::vec((any::<bool>(), 0u16..400), 0..3000)) {
        let (mut table, mut map) = (KeyedTable::<u16, u64>::new(), BTreeMap::<u16, u64>::new());
        for ((remove, key), at) in ops.into_iter().zip(0..) {
            let (hash, key_ref) = (key_hash(&key), KeyRef::Value(&key));
            if remove {
                prop_assert_eq!(table.remove(hash, key_ref), map.remove(&key).map(|state| (key, state)));
            } else {
                prop_assert_eq!(table.get(hash, key_ref), map.get(&key));
                *table.get_or_insert_with(hash, key_ref, || 0).1 = at;
                map.insert(key, at);
            }
            prop_assert_eq!(table.len(), map.len());
        }
        prop_assert_eq!(table.iter().map(|(key, state)| (*key, *state)).collect::<BTreeMap<_, _>>(), map);
    }

    #[test]
    fn what_is_frozen_stays_and_the_table_goes_on(ops in proptest::collection::vec((0u8..10, 0u16..400), 0..2000)) {
        let (mut table, mut map) = (KeyedTable::<u16, Wide>::new(), BTreeMap::<u16, Wide>::new());
        let mut snapshots: Vec<Reading> = Vec::new();
        for ((op, key), at) in ops.into_iter().zip(0..) {
            let (hash, key_ref) = (key_hash(&key), KeyRef::Value(&key));
            prop_assert_eq!(table.get(hash, key_ref), map.get(&key));
            let state = [at; WIDTH];
            match op {
                0 if at % 20 == 0 => snapshots.push(Reading::new(table.freeze(), map.clone())),
                1 => prop_assert_eq!(table.remove(hash, key_ref), map.remove(&key).map(|state| (key, state))),
                2 => prop_assert_eq!(
                    table.get_mut(hash, key_ref).map(|held| std::mem::replace(held, state)),
                    map.get_mut(&key).map(|held| std::mem::replace(held, state))
                ),
                3 => *table.get_or_insert_with(hash, key_ref, || state).1 = *map.entry(key).insert_entry(state).get(),
                4 if at % 3 == 0 && !snapshots.is_empty() => {
                    let one = usize::from(key) % snapshots.len();
                    if !snapshots[one].read_piece() {
                        snapshots.remove(one).check_whole()?;
                    }
                }
                5 if at % 50 == 0 => drop(snapshots.pop()),
                _ => {
                    map.insert(key, state);
                    table.put(hash, key, state);
                }
            }
            prop_assert_eq!(table.len(), map.len());
            prop_assert_eq!(table.bytes, table.segments.iter().map(Part::bytes).sum::<usize>());
        }
        prop_assert_eq!(table.iter().map(|(key, state)| (*key, *state)).collect::<BTreeMap<_, _>>(), map.clone());
        for mut snapshot in snapshots {
            while snapshot.read_piece() {}
            snapshot.check_whole()?;
        }
        prop_assert_eq!(table.drain().collect::<BTreeMap<_, _>>(), map);
    }
}

/// So wide that few hundred states need some segments.
const WIDTH: usize = 160;
type Wide = [u64; WIDTH];

/// A snapshot that is read piece by piece.
struct Reading {
    pieces: Box<dyn Iterator<Item = FrozenPiece<u16, Wide>>>,
    read: BTreeMap<u16, Wide>,
    expected: BTreeMap<u16, Wide>,
}

impl Reading {
    fn new(frozen: FrozenTable<u16, Wide>, expected: BTreeMap<u16, Wide>) -> Self {
        assert_eq!((frozen.len(), frozen.is_empty()), (expected.len(), expected.is_empty()));
        Self { pieces: Box::new(frozen.into_pieces()), read: BTreeMap::new(), expected }
    }

    /// Whether there was one.
    fn read_piece(&mut self) -> bool {
        let Some(piece) = self.pieces.next() else { return false };
        self.read.extend(piece.iter().map(|(_, entry)| *entry));
        true
    }

    fn check_whole(self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.read, self.expected);
        Ok(())
    }
}

#[test]
fn writing_to_what_is_frozen_copies_entries_and_no_segment() {
    let mut table = table_of(0..100_000);
    let (before, segments) = (table.bytes(), table.segments.len());
    let frozen = table.freeze();
    assert_eq!(table.bytes(), before);
    let change = |table: &mut KeyedTable<u64, u64>| {
        for key in (0..100_000u64).step_by(1000) {
            *table.get_mut(key_hash(&key), KeyRef::Value(&key)).unwrap() += 1;
        }
    };
    change(&mut table);
    assert!(table.bytes() - before < 100 * 10 * size_of::<(u64, u64)>(), "{} bytes more", table.bytes() - before);
    drop(frozen);
    change(&mut table);
    assert_eq!((table.bytes(), table.segments.len()), (before, segments));
    for key in 0..100_000u64 {
        let expected = if key % 1000 == 0 { key + 3 } else { key + 1 };
        assert_eq!(table.get(key_hash(&key), KeyRef::Value(&key)), Some(&expected));
    }
}

#[test]
fn many_new_keys_while_frozen_split_segments_as_ever() {
    let mut table = table_of(0..20_000);
    let frozen = table.freeze();
    for key in 20_000..200_000u64 {
        table.put(key_hash(&key), key, key + 1);
    }
    assert_eq!(frozen.into_pieces().map(|piece| piece.iter().count()).sum::<usize>(), 20_000);
    assert!((0..200_000u64).all(|key| table.get(key_hash(&key), KeyRef::Value(&key)) == Some(&(key + 1))));
    table.thaw_all();
    assert!(table.segments.iter().all(|part| part.bytes() <= 256 << 10));
    assert_eq!((table.len(), table.iter().count()), (200_000, 200_000));
}

#[test]
fn a_sweep_goes_round_the_table_in_steps_and_takes_out_what_is_due() {
    let mut table = table_of(0..50_000);
    let (mut swept, mut steps) = (Swept::default(), 0);
    // Every third is due, and every ninth goes for good when its state is made less of.
    let due = |state: &u64| state.is_multiple_of(3);
    let mut shrink = |state: &mut u64| {
        let gone = state.is_multiple_of(9);
        *state += 1;
        gone
    };
    let frozen = table.freeze();
    while table.sweep(&mut swept, 1000, due, &mut shrink) == 0 {}
    assert_eq!((table.len(), frozen.len()), (50_000, 50_000), "what is frozen is passed over");
    drop(frozen);
    while table.sweep(&mut swept, 1000, due, &mut shrink) == 0 {
        steps += 1;
    }
    assert!(steps > 50, "{steps}");
    let left: BTreeMap<u64, u64> = table.iter().map(|(key, state)| (*key, *state)).collect();
    let expected = (1..=50_000u64).filter(|state| !state.is_multiple_of(9));
    let expected = expected.map(|state| (state - 1, if due(&state) { state + 1 } else { state }));
    // What moved may not have been looked at this time.
    while table.sweep(&mut swept, 1000, due, &mut shrink) == 0 {}
    assert_eq!((left.len(), left), (table.len(), expected.collect()));
}
