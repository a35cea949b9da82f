//! States with a time to live against a naive model that knows when each part was touched.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::super::testing::{Kept, Store};
use super::super::{KeyedState as _, ListState, MapState, ReducingState, ValueState};
use super::*;

const TTL: u64 = 10;

#[derive(Clone, Debug)]
enum Step {
    /// Time goes on.
    Wait(u64),
    Read,
    Update(u32),
    Increment,
    Take,
    Add(Vec<u32>),
    Replace(Vec<u32>),
    Put(u8, u32),
    Look(u8),
    Change(u8),
    Remove(u8),
    Reduce(u32),
    Clean(usize),
    /// A checkpoint, and a restart from it so much later.
    Restart(u64),
}

fn steps() -> impl Strategy<Value = Vec<(u16, Step)>> {
    let list = || proptest::collection::vec(any::<u32>(), 0..4);
    let step = prop_oneof![
        (0u64..8).prop_map(Step::Wait),
        (0u64..4).prop_map(Step::Wait),
        Just(Step::Read),
        any::<u32>().prop_map(Step::Update),
        Just(Step::Increment),
        Just(Step::Take),
        list().prop_map(Step::Add),
        list().prop_map(Step::Replace),
        (0u8..4, any::<u32>()).prop_map(|(key, value)| Step::Put(key, value)),
        (0u8..4).prop_map(Step::Look),
        (0u8..4).prop_map(Step::Change),
        (0u8..4).prop_map(Step::Remove),
        any::<u32>().prop_map(Step::Reduce),
        (0usize..100).prop_map(Step::Clean),
        (0u64..8).prop_map(Step::Restart),
    ];
    proptest::collection::vec((0u16..4, step), 0..150)
}

/// What a key's states hold, each part with its last touch.
#[derive(Clone, Debug, Default)]
struct Held {
    value: Option<(u32, u64)>,
    list: Vec<(u32, u64)>,
    map: BTreeMap<u8, (u32, u64)>,
    reduced: Option<(u32, u64)>,
}

impl Held {
    fn forget(&mut self, now: u64) {
        let alive = |touched: u64| touched + TTL > now;
        self.value = self.value.filter(|value| alive(value.1));
        self.list.retain(|element| alive(element.1));
        self.map.retain(|_, value| alive(value.1));
        self.reduced = self.reduced.filter(|value| alive(value.1));
    }

    fn touch(&mut self, now: u64) {
        let parts = self.value.iter_mut().chain(&mut self.list).chain(self.map.values_mut());
        parts.chain(&mut self.reduced).for_each(|part| part.1 = now);
    }
}

#[derive(Clone, Copy, Default)]
struct Handles {
    value: ValueState<u32>,
    list: ListState<u32>,
    map: MapState<u8, u32>,
}

/// The handles, and the one that cannot be copied.
fn handles(states: &mut super::super::KeyedStates<u16>, ttl: Option<StateTtlConfig>) -> (Handles, ReducingState<u32>) {
    let handles = Handles {
        value: ValueState::register(states, "value", ttl).unwrap(),
        list: ListState::register(states, "list", ttl).unwrap(),
        map: MapState::register(states, "map", ttl).unwrap(),
    };
    (handles, ReducingState::register(states, "reduced", ttl, |a: u32, b: u32| a ^ b).unwrap())
}

/// Everything the current key shows.
type Shown = (Option<u32>, Vec<u32>, BTreeMap<u8, u32>, Option<u32>);

fn shown((handles, reduced): &(Handles, ReducingState<u32>), ctx: &Store<u16>) -> Shown {
    let map: BTreeMap<u8, u32> = handles.map.iter(ctx).map(|(key, value)| (*key, *value)).collect();
    assert_eq!((handles.map.len(ctx), handles.map.is_empty(ctx)), (map.len(), map.is_empty()));
    (handles.value.value(ctx).copied(), handles.list.get(ctx).to_vec(), map, reduced.get(ctx).copied())
}

fn expected(held: &Held) -> Shown {
    let map = held.map.iter().map(|(key, value)| (*key, value.0)).collect();
    let list = held.list.iter().map(|element| element.0).collect();
    (held.value.map(|value| value.0), list, map, held.reduced.map(|value| value.0))
}

/// Does a step that concerns one key to both.
fn apply(
    (handles, reduced): &(Handles, ReducingState<u32>),
    ctx: &mut Store<u16>,
    step: Step,
    held: &mut Held,
    (now, reads): (u64, bool),
) {
    match step {
        Step::Update(value) => (held.value, ()) = (Some((value, now)), handles.value.update(ctx, value)),
        Step::Increment => {
            let value = handles.value.get_or_default(ctx);
            *value = value.wrapping_add(1);
            held.value = Some((held.value.map_or(0, |value| value.0).wrapping_add(1), now));
        }
        Step::Take => assert_eq!(handles.value.take(ctx), held.value.take().map(|value| value.0)),
        Step::Add(elements) => {
            held.list.extend(elements.iter().map(|element| (*element, now)));
            handles.list.add_all(ctx, elements);
        }
        Step::Replace(elements) => {
            held.list = elements.iter().map(|element| (*element, now)).collect();
            handles.list.update(ctx, elements);
        }
        Step::Put(key, value) => (held.map.insert(key, (value, now)), handles.map.put(ctx, key, value)).1,
        Step::Look(key) => {
            let entry = held.map.get_mut(&key);
            assert_eq!(handles.map.get(ctx, &key).copied(), entry.as_ref().map(|entry| entry.0));
            entry.filter(|_| reads).into_iter().for_each(|entry| entry.1 = now);
        }
        Step::Change(key) => {
            *handles.map.get_or_insert_with(ctx, &key, || 7) ^= 1;
            held.map.insert(key, (held.map.get(&key).map_or(7, |entry| entry.0) ^ 1, now));
        }
        Step::Remove(key) => assert_eq!(handles.map.remove(ctx, &key), held.map.remove(&key).map(|entry| entry.0)),
        Step::Reduce(value) => {
            reduced.add(ctx, value);
            held.reduced = Some((held.reduced.map_or(value, |before| before.0 ^ value), now));
        }
        Step::Wait(_) | Step::Read | Step::Clean(_) | Step::Restart(_) => unreachable!("concerns all keys"),
    }
}

fn restarted(store: &mut Store<u16>, now: u64, ttl: Option<StateTtlConfig>) -> (Handles, ReducingState<u32>) {
    let mut snapshot = Snapshot::default();
    store.states.freeze(&mut snapshot).unwrap();
    // What changes while it is written is not in it.
    let mut kept = Kept::of(snapshot, Now(now));
    *store = Store::new(store.key);
    let handles = handles(&mut store.states, ttl);
    store.states.restore(&mut kept).unwrap();
    handles
}

proptest! {
    #[test]
    fn each_part_lives_as_long_as_it_should(steps in steps(), reads in any::<bool>()) {
        let update_type = if reads { UpdateType::OnReadAndWrite } else { UpdateType::OnCreateAndWrite };
        let ttl = Some(StateTtlConfig::new(Duration::from_millis(TTL)).update_type(update_type));
        let mut store = Store::new(0);
        let (mut all, mut now) = (handles(&mut store.states, ttl), 0);
        let mut model = BTreeMap::<u16, Held>::new();
        for (key, step) in steps {
            match step {
                Step::Wait(millis) => now += millis,
                Step::Clean(records) => store.states.clean_up(records),
                Step::Restart(millis) => {
                    now += millis;
                    all = restarted(&mut store, now, ttl);
                }
                Step::Read => {
                    let held = model.entry(key).or_default();
                    prop_assert_eq!(shown(&all, store.at(key)), expected(held));
                    if reads {
                        held.touch(now);
                    }
                }
                step => apply(&all, store.at(key), step, model.entry(key).or_default(), (now, reads)),
            }
            store.states.set_now(Now(now));
            model.values_mut().for_each(|held| held.forget(now));
        }
        let mut keys = (all.0.list.keys(&store.states), all.0.value.keys(&store.states));
        keys.0.sort_unstable();
        keys.1.sort_unstable();
        let with = |has: fn(&Held) -> bool| -> Vec<u16> { model.iter().filter(|held| has(held.1)).map(|held| *held.0).collect() };
        prop_assert_eq!(keys, (with(|held| !held.list.is_empty()), with(|held| held.value.is_some())));
        for key in 0..4 {
            prop_assert_eq!(shown(&all, store.at(key)), model.get(&key).map(expected).unwrap_or_default());
        }
    }
}

/// A store of `keys` keys with a value, an element and an entry each, touched at 0.
fn filled(keys: u16, ttl: Option<StateTtlConfig>) -> (Store<u16>, (Handles, ReducingState<u32>)) {
    let mut store = Store::new(0);
    let all = handles(&mut store.states, ttl);
    for key in 0..keys {
        let ctx = store.at(key);
        all.0.value.update(ctx, 1);
        all.0.list.add(ctx, 2);
        all.0.map.put(ctx, 3, 4);
        all.1.add(ctx, 5);
    }
    (store, all)
}

/// Number of keys in memory, of each state.
fn held(store: &Store<u16>, all: &(Handles, ReducingState<u32>)) -> [usize; 2] {
    let (value, list) = (all.0.value.slot().expiring::<TimedValue<u32>>(), all.0.list.slot().expiring());
    let list = list.map_or(0, |slot| store.states.expiring::<TimedList<u32>>(slot, 0).0.held());
    [value.map_or(0, |slot| store.states.expiring(slot, 0).0.held()), list]
}

#[test]
fn expired_state_gives_its_memory_back_in_passing_and_stands_in_no_checkpoint() {
    let ttl = StateTtlConfig::new(Duration::from_millis(TTL)).cleanup_incrementally(2);
    let (mut store, all) = filled(1000, Some(ttl));
    store.states.set_now(Now(9));
    store.states.clean_up(100_000);
    assert_eq!(held(&store, &all), [1000, 1000]);
    store.states.set_now(Now(10));
    store.states.clean_up(100);
    let some = held(&store, &all);
    assert!(some[0] < 1000 && some[0] >= 800, "as many as 100 records pay for: {some:?}");
    let mut snapshot = Snapshot::default();
    store.states.freeze(&mut snapshot).unwrap();
    let kept = Kept::of(snapshot, Now(10));
    assert_eq!(["value", "list", "map", "reduced"].map(|state| kept.entries(state)), [0; 4]);
    (0..100).for_each(|_| store.states.clean_up(100));
    assert_eq!(held(&store, &all), [0, 0]);
}

#[test]
fn a_time_to_live_may_be_given_to_a_state_and_taken_from_it() {
    let ttl = Some(StateTtlConfig::new(Duration::from_millis(TTL)));
    let all_of = (Some(1), vec![2], BTreeMap::from([(3, 4)]), Some(5));
    let (mut store, _) = filled(50, None);
    let all = restarted(&mut store, 1000, ttl);
    store.states.set_now(Now(1009));
    assert_eq!(shown(&all, store.at(49)), all_of);
    // And back, at a moment when it is still alive.
    let all = restarted(&mut store, 1009, None);
    store.states.set_now(Now(1_000_000));
    assert_eq!(shown(&all, store.at(49)), all_of);
    let all = restarted(&mut store, 2_000_000, ttl);
    store.states.set_now(Now(2_000_010));
    assert_eq!(shown(&all, store.at(49)), Shown::default());
}

#[test]
fn expired_state_is_seen_until_it_is_cleaned_up_if_one_wants_that() {
    let ttl = StateTtlConfig::new(Duration::from_millis(TTL));
    let ttl = ttl.state_visibility(StateVisibility::ReturnExpiredIfNotCleanedUp);
    let (mut store, all) = filled(1, Some(ttl));
    store.states.set_now(Now(100));
    assert_eq!(shown(&all, &store).0, Some(1));
    all.0.list.add(&mut store, 9);
    assert_eq!(all.0.list.get(&store), [2, 9]);
    store.states.clean_up(1000);
    assert_eq!(shown(&all, &store), (None, vec![9], BTreeMap::new(), None));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut store = Store::new(0u16);
    let refused = |ttl, store: &mut Store<u16>| ValueState::<u32>::register(&mut store.states, "seen", ttl).err();
    let zero = refused(Some(StateTtlConfig::new(Duration::from_micros(9))), &mut store).unwrap();
    assert_eq!(zero, "state \"seen\" has a time to live of 9µs; give it a millisecond at least");
    let second = StateTtlConfig::new(Duration::from_secs(1));
    assert_eq!(refused(Some(second), &mut store), None);
    assert_eq!(refused(Some(second), &mut store), None);
    let other = refused(Some(second.cleanup_incrementally(9)), &mut store).unwrap();
    assert_eq!(other, "state \"seen\" was asked for before, and not with this time to live; rename one of both");
    let without = refused(None, &mut store).unwrap();
    assert_eq!(without, "state \"seen\" was asked for before, and not without a time to live; rename one of both");
}
