//! A store with one current key, and a checkpoint in memory, for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::schema::Schema;
use super::{
    FrozenState, KeyAt, KeyContext, KeyedStates, Redistribution, Restore, Section, Sections, Snapshot, TakePart,
    TakeSection,
};
use crate::engine::record::{Key, KeyRef, key_hash};
use crate::graph::task::Failure;
use crate::time::Now;

/// A context whose key is set by hand.
pub(crate) struct Store<K> {
    pub(crate) states: KeyedStates<K>,
    pub(crate) key: K,
}

impl<K: Key> Store<K> {
    pub(crate) fn new(key: K) -> Self {
        Self { states: KeyedStates::new(128, 1, 0), key }
    }

    /// Makes `key` the current one.
    pub(crate) fn at(&mut self, key: K) -> &mut Self {
        self.key = key;
        self
    }
}

impl<K: Key> KeyContext for Store<K> {
    type Key = K;

    fn keyed(&self) -> (&KeyedStates<K>, KeyAt<'_, K>) {
        (&self.states, KeyAt { hash: key_hash(&self.key), key: KeyRef::Value(&self.key) })
    }

    fn keyed_mut(&mut self) -> (&mut KeyedStates<K>, KeyAt<'_, K>) {
        (&mut self.states, KeyAt { hash: key_hash(&self.key), key: KeyRef::Value(&self.key) })
    }
}

/// What a checkpoint holds, in memory; and the time of its restore.
#[derive(Default)]
pub(crate) struct Kept {
    states: BTreeMap<String, State>,
    pub(crate) now: Now,
}

struct State {
    schema: Arc<Schema>,
    parts: Vec<String>,
    sections: Vec<(Option<u32>, u64, Vec<u8>)>,
}

impl Kept {
    /// Of what was frozen.
    pub(crate) fn of(snapshot: Snapshot, now: Now) -> Self {
        let mut states = BTreeMap::new();
        for FrozenState { name, schema, parts, entries } in snapshot.into_states() {
            let parts = parts.iter().map(|part| (*part).to_owned()).collect();
            let mut state = State { schema, parts, sections: Vec::new() };
            entries.write(&mut state).unwrap();
            assert!(states.insert(name, state).is_none(), "names of states are unique");
        }
        Self { states, now }
    }

    /// Number of entries of a state.
    pub(crate) fn entries(&self, state: &str) -> u64 {
        self.states.get(state).map_or(0, |state| state.sections.iter().map(|section| section.1).sum())
    }
}

impl Sections for State {
    fn section(&mut self, group: Option<u32>, entries: u64, bytes: &[u8]) -> Result<(), Failure> {
        self.sections.push((group, entries, bytes.to_vec()));
        Ok(())
    }
}

impl Restore for Kept {
    fn now(&self) -> Now {
        self.now
    }

    fn is_restored(&self) -> bool {
        !self.states.is_empty()
    }

    fn visit_list(&mut self, state: &str, _: Redistribution, part: TakePart<'_>) -> Result<(), Failure> {
        self.visit(state, &mut |section| part(section, 0..section.entries))
    }

    fn visit(&mut self, state: &str, section: TakeSection<'_>) -> Result<(), Failure> {
        let Some(State { schema, parts, sections }) = self.states.get(state) else { return Ok(()) };
        sections.iter().try_for_each(|(group, entries, bytes)| {
            section(Section { state, group: *group, entries: *entries, bytes, schema, parts })
        })
    }
}
