//! When panes are to be looked at again.

use std::collections::BTreeMap;

/// Panes by the next time each wants to be looked at, in one time domain: one entry a pane.
///
/// A pane whose time moves back, as that of a session does with each record, keeps its earlier entry and is told then that it has
/// come too early. One whose time moves forward gets a second entry, and the first is nobody's any more. So nothing is ever
/// searched for or deleted here.
pub(super) struct Schedule<T, K> {
    due: BTreeMap<T, Vec<Entry<K>>>,
}

/// Whose turn it is.
pub(super) struct Entry<K> {
    pub(super) hash: u64,
    pub(super) key: K,
    pub(super) pane: u64,
}

impl<T: Ord + Copy, K> Schedule<T, K> {
    pub(super) fn new() -> Self {
        Self { due: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, time: T, entry: Entry<K>) {
        self.due.entry(time).or_insert_with(|| Vec::with_capacity(1)).push(entry);
    }

    /// The first time.
    pub(super) fn first(&self) -> Option<T> {
        self.due.keys().next().copied()
    }

    /// Takes all entries of the first time, if it has come at `now`, in the order they were made.
    pub(super) fn pop(&mut self, now: T) -> Option<(T, Vec<Entry<K>>)> {
        let first = self.due.first_entry().filter(|first| *first.key() <= now)?;
        Some(first.remove_entry())
    }
}
