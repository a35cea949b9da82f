//! What a table held at one moment.

use std::sync::Arc;

use super::super::{Key, key_hash};
use super::KeyedTable;
use super::segment::Segment;

/// What a table held at one moment; the table goes on changing. Freezing costs a pointer a segment; of a segment that is written to
/// while this holds it, the table copies the entries that change, and puts them to the rest when it is held no longer.
#[derive(Debug)]
pub struct FrozenTable<K, S> {
    /// Each holds later key groups than the one before, or goes on with its last.
    segments: Vec<Arc<Segment<K, S>>>,
    len: usize,
}

/// Some of the entries that a table held at one moment.
#[derive(Debug)]
pub struct FrozenPiece<K, S>(Arc<Segment<K, S>>);

impl<K: Key, S> FrozenPiece<K, S> {
    /// The entries with their hashes.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &(K, S))> {
        self.0.iter().map(|entry| (key_hash(&entry.0), entry))
    }
}

impl<K: Key, S: Clone> FrozenTable<K, S> {
    /// The entries a piece after another: a piece holds later key groups than the one before, or goes on with its last. The table's
    /// memory is its own again as pieces are dropped.
    pub fn into_pieces(self) -> impl Iterator<Item = FrozenPiece<K, S>> {
        self.segments.into_iter().map(FrozenPiece)
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<K: Key, S: Clone> KeyedTable<K, S> {
    /// What the table holds now, to be read while the table changes on.
    pub fn freeze(&mut self) -> FrozenTable<K, S> {
        self.thaw_changed();
        let mut segments = Vec::with_capacity(self.segments.len());
        let mut last = None;
        // In the order of the directory, which is that of the key groups.
        for place in 0..self.directory.len().max(1) {
            let part = self.directory.get(place).map_or(0, |part| *part as usize);
            if last != Some(part) && !self.segments[part].is_empty() {
                segments.push(self.segments[part].freeze());
            }
            last = Some(part);
        }
        FrozenTable { segments, len: self.len }
    }

    /// As [`KeyedTable::thaw`], of those segments that have changed.
    fn thaw_changed(&mut self) {
        // Those that come in addition have not.
        for part in 0..self.segments.len() {
            if self.segments[part].has_changed() {
                self.thaw(part);
            }
        }
    }

    /// As [`KeyedTable::thaw`], of all.
    pub(super) fn thaw_all(&mut self) {
        for part in 0..self.segments.len() {
            if self.segments[part].is_frozen() {
                self.thaw(part);
            }
        }
    }
}
