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
    assert!(table.segments.iter().all(|part| part.read().bytes() <= 256 << 10));
    assert_eq!(table.bytes, table.segments.iter().map(|part| part.read().bytes()).sum::<usize>());
    for key in 0..100_000u64 {
        assert_eq!(table.get(key_hash(&key), KeyRef::Value(&key)), Some(&(key + 1)));
    }
    assert_eq!(table.iter().count(), 100_000);
}

#[test]
fn a_segment_holds_neighbouring_key_groups() {
    let table = table_of(0..100_000);
    let groups = |part: &Part<u64, u64>| -> std::collections::BTreeSet<u32> {
        part.read().iter().map(|(key, _)| crate::engine::record::key_group(key_hash(key), 128)).collect()
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
    assert_eq!(table.bytes, table.segments.iter().map(|part| part.read().bytes()).sum::<usize>());
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
    fn what_is_frozen_stays_and_the_table_goes_on(
        ops in proptest::collection::vec((0u8..8, 0u16..400), 0..2000),
        keep in any::<bool>(),
    ) {
        let (mut table, mut map) = (KeyedTable::<u16, u64>::new(), BTreeMap::<u16, u64>::new());
        let mut frozen: Vec<(FrozenTable<u16, u64>, BTreeMap<u16, u64>)> = Vec::new();
        for ((op, key), at) in ops.into_iter().zip(0..) {
            let (hash, key_ref) = (key_hash(&key), KeyRef::Value(&key));
            prop_assert_eq!(table.get(hash, key_ref), map.get(&key));
            match op {
                0 if at % 20 == 0 => {
                    if !keep {
                        frozen.clear();
                    }
                    frozen.push((table.freeze(), map.clone()));
                }
                1 => prop_assert_eq!(table.remove(hash, key_ref), map.remove(&key).map(|state| (key, state))),
                2 => prop_assert_eq!(table.get_mut(hash, key_ref).map(|state| std::mem::replace(state, at)), {
                    map.get_mut(&key).map(|state| std::mem::replace(state, at))
                }),
                3 => *table.get_or_insert_with(hash, key_ref, || 0).1 = *map.entry(key).insert_entry(at).get(),
                _ => {
                    *map.entry(key).or_default() += at;
                    table.fold_owned(hash, key, at, |value| value, |state, value| *state += value);
                }
            }
            prop_assert_eq!(table.len(), map.len());
        }
        prop_assert_eq!(table.iter().map(|(key, state)| (*key, *state)).collect::<BTreeMap<_, _>>(), map.clone());
        for (frozen, expected) in frozen {
            prop_assert_eq!(frozen.len(), expected.len());
            let entries = frozen.pieces().flatten().map(|(_, entry)| *entry).collect::<BTreeMap<_, _>>();
            prop_assert_eq!(entries, expected);
        }
        prop_assert_eq!(table.drain().collect::<BTreeMap<_, _>>(), map);
    }
}

#[test]
fn a_sweep_goes_round_the_table_in_steps_and_takes_out_what_is_due() {
    let mut table = table_of(0..50_000);
    let frozen = table.freeze();
    let (mut swept, mut steps) = (Swept::default(), 0);
    // Every third is due, and every ninth goes for good when its state is made less of.
    let due = |state: &u64| state.is_multiple_of(3);
    let mut shrink = |state: &mut u64| {
        let gone = state.is_multiple_of(9);
        *state += 1;
        gone
    };
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
    assert_eq!(frozen.pieces().map(Iterator::count).sum::<usize>(), 50_000);
}
