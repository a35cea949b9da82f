//! Handles of all kinds against a naive model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::testing::Store;
use super::{KeyedState as _, ListState, MapState, ReducingState, ValueState};

/// What happens to the state of a key.
#[derive(Clone, Debug)]
enum Step {
    Update(u32),
    Increment,
    Take,
    Add(u32),
    AddAll(Vec<u32>),
    UpdateList(Vec<u32>),
    ClearList,
    Put(u8, u32),
    Change(u8, u32),
    Remove(u8),
    ClearMap,
    Reduce(u32),
    ClearReduced,
}

fn steps() -> impl Strategy<Value = Vec<(u16, Step)>> {
    let list = || proptest::collection::vec(any::<u32>(), 0..4);
    let step = prop_oneof![
        any::<u32>().prop_map(Step::Update),
        Just(Step::Increment),
        Just(Step::Take),
        any::<u32>().prop_map(Step::Add),
        list().prop_map(Step::AddAll),
        list().prop_map(Step::UpdateList),
        Just(Step::ClearList),
        (0u8..5, any::<u32>()).prop_map(|(key, value)| Step::Put(key, value)),
        (0u8..5, any::<u32>()).prop_map(|(key, value)| Step::Change(key, value)),
        (0u8..5).prop_map(Step::Remove),
        Just(Step::ClearMap),
        any::<u32>().prop_map(Step::Reduce),
        Just(Step::ClearReduced),
    ];
    proptest::collection::vec((0u16..20, step), 0..300)
}

/// What a key's states hold.
#[derive(Clone, Debug, Default, PartialEq)]
struct Held {
    value: Option<u32>,
    list: Vec<u32>,
    map: BTreeMap<u8, u32>,
    reduced: Option<u32>,
}

struct Handles {
    value: ValueState<u32>,
    list: ListState<u32>,
    map: MapState<u8, u32>,
    reduced: ReducingState<u32>,
}

impl Handles {
    fn new(store: &mut Store<u16>) -> Self {
        let states = &mut store.states;
        Self {
            value: ValueState::register(states, "value", None).unwrap(),
            list: ListState::register(states, "list", None).unwrap(),
            map: MapState::register(states, "map", None).unwrap(),
            reduced: ReducingState::register(states, "reduced", None, |a: u32, b: u32| a ^ b).unwrap(),
        }
    }

    fn held(&self, ctx: &Store<u16>) -> Held {
        let map: BTreeMap<u8, u32> = self.map.iter(ctx).map(|(key, value)| (*key, *value)).collect();
        assert_eq!((self.map.len(ctx), self.map.is_empty(ctx)), (map.len(), map.is_empty()));
        Held {
            value: self.value.value(ctx).copied(),
            list: self.list.get(ctx).to_vec(),
            map,
            reduced: self.reduced.get(ctx).copied(),
        }
    }

    fn apply(&self, ctx: &mut Store<u16>, step: Step, model: &mut Held) {
        match step {
            Step::Update(value) => (model.value, ()) = (Some(value), self.value.update(ctx, value)),
            Step::Increment => {
                let value = self.value.get_or_default(ctx);
                *value = value.wrapping_add(1);
                model.value = Some(model.value.unwrap_or(0).wrapping_add(1));
            }
            Step::Take => assert_eq!(self.value.take(ctx), model.value.take()),
            Step::Add(element) => (self.list.add(ctx, element), model.list.push(element)).0,
            Step::AddAll(elements) => {
                model.list.extend(&elements);
                self.list.add_all(ctx, elements);
            }
            Step::UpdateList(elements) => {
                model.list.clone_from(&elements);
                self.list.update(ctx, elements);
            }
            Step::ClearList => assert_eq!(self.list.take(ctx), std::mem::take(&mut model.list)),
            Step::Put(key, value) => {
                model.map.insert(key, value);
                self.map.put_all(ctx, [(key, value)]);
            }
            Step::Change(key, value) => {
                let (held, expected) =
                    (self.map.get_or_insert_with(ctx, &key, || value), model.map.entry(key).or_insert(value));
                (*held, *expected) = (held.wrapping_mul(3), expected.wrapping_mul(3));
            }
            Step::Remove(key) => assert_eq!(self.map.remove(ctx, &key), model.map.remove(&key)),
            Step::ClearMap => (model.map, ()) = (BTreeMap::new(), self.map.clear(ctx)),
            Step::Reduce(value) => {
                self.reduced.add(ctx, value);
                model.reduced = Some(model.reduced.map_or(value, |before| before ^ value));
            }
            Step::ClearReduced => (model.reduced, ()) = (None, self.reduced.clear(ctx)),
        }
    }
}

proptest! {
    #[test]
    fn states_hold_for_each_key_what_was_put_there(steps in steps()) {
        let (mut store, mut model) = (Store::new(0), BTreeMap::<u16, Held>::new());
        let handles = Handles::new(&mut store);
        for (key, step) in steps {
            handles.apply(store.at(key), step, model.entry(key).or_default());
        }
        for key in 0..20 {
            prop_assert_eq!(handles.held(store.at(key)), model.get(&key).cloned().unwrap_or_default());
        }
        // What was cleared or emptied takes no memory.
        prop_assert_eq!(handles.list.keys(&store.states).len(), model.values().filter(|held| !held.list.is_empty()).count());
        prop_assert_eq!(handles.map.keys(&store.states).len(), model.values().filter(|held| !held.map.is_empty()).count());
        prop_assert_eq!(handles.value.keys(&store.states).len(), model.values().filter(|held| held.value.is_some()).count());
    }
}

#[test]
#[should_panic(expected = "used by the function that obtained it in `open`")]
fn a_handle_that_was_not_obtained_is_refused() {
    let mut store = Store::new(7u64);
    ValueState::<u64>::default().update(&mut store, 1);
}

#[test]
#[should_panic(expected = "used by the function that obtained it in `open`")]
fn a_handle_of_another_function_is_refused() {
    let (mut one, mut other) = (Store::new(7u64), Store::new(7u64));
    let count = ValueState::<u64>::register(&mut one.states, "count", None).unwrap();
    ValueState::<String>::register(&mut other.states, "name", None).unwrap();
    count.update(&mut other, 1);
}
