//! A store with one current key, for tests of handles.

use super::{KeyAt, KeyContext, KeyedStates};
use crate::engine::record::{Key, KeyRef, key_hash};

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
