//! What a keyed exchange ships: hash, key and value, as columns.

use std::any::{Any, type_name};
use std::marker::PhantomData;

use super::batch::open_parts;
use super::column::{self, FrameReader, Malformed, read_flat, write_flat, write_head};
use super::key::text_of;
use super::{Batch, BatchType, CodecError, Key, KeyColumn, KeyRef, KeyedTable, Record, Times};

/// Keys whose memory is asked for together: enough waits in flight, few enough to stay in the first-level cache.
const FETCHED_AT_ONCE: usize = 64;

/// A batch of hash, key and value columns.
#[derive(Clone, Debug)]
pub struct Keyed<K, V> {
    hashes: Vec<u64>,
    keys: KeyColumn<K>,
    values: Vec<V>,
    times: Times,
}

impl<K: Key, V: Record> Keyed<K, V> {
    /// An empty batch with room for `capacity` rows.
    pub fn with_capacity(capacity: usize) -> Self {
        Self::from_columns(Vec::with_capacity(capacity), Vec::with_capacity(capacity), Vec::with_capacity(capacity))
    }

    /// A batch of columns that are filled already: the cheapest way to make one.
    ///
    /// # Panics
    /// When they are not of one length.
    pub fn from_columns(hashes: Vec<u64>, keys: Vec<K>, values: Vec<V>) -> Self {
        assert!(hashes.len() == keys.len() && keys.len() == values.len(), "columns of a batch are of one length");
        Self { hashes, keys: KeyColumn::Values(keys), values, times: Times::NONE }
    }

    /// The same rows with these timestamps.
    ///
    /// # Panics
    /// When there are some, and not as many as rows.
    #[must_use]
    pub fn with_times(mut self, times: Times) -> Self {
        assert!(times.fits(self.hashes.len()), "columns of a batch are of one length");
        self.times = times;
        self
    }

    /// The hashes of the keys.
    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// The keys.
    pub fn keys(&self) -> &KeyColumn<K> {
        &self.keys
    }

    /// The timestamps.
    pub fn times(&self) -> &Times {
        &self.times
    }

    /// Takes the timestamps out.
    pub fn take_times(&mut self) -> Times {
        std::mem::take(&mut self.times)
    }

    /// Adds a row without timestamp; `hash` is [`key_hash`](super::key_hash) of `key`.
    #[inline]
    pub fn push(&mut self, hash: u64, key: K, value: V) {
        self.times.push(self.hashes.len(), None);
        self.hashes.push(hash);
        self.keys.values().push(key);
        self.values.push(value);
    }

    /// The concrete batch behind `batch`.
    ///
    /// # Panics
    /// When the graph connected operators of different types, which the typed API rules out.
    pub fn of(batch: Box<dyn Batch>) -> Self {
        *batch.into_any().downcast().expect("an edge carries batches of its source's record type")
    }

    /// Calls `row` with hash, key and value of each row, in order.
    #[inline]
    pub fn for_each(self, mut row: impl FnMut(u64, KeyRef<'_, K>, V)) {
        let rows = self.hashes.into_iter().zip(self.values);
        match &self.keys {
            // Two loops, so that neither asks for each row which of both it is.
            KeyColumn::Values(keys) => {
                rows.zip(keys).for_each(|((hash, value), key)| row(hash, KeyRef::Value(key), value));
            }
            KeyColumn::Texts(keys) => {
                rows.zip(keys.iter()).for_each(|((hash, value), key)| row(hash, KeyRef::Text(key), value));
            }
        }
    }

    /// Folds each row's value into its key's state, in order, as [`KeyedTable::fold`] does; `then` gets both after each.
    #[inline]
    pub fn fold_into<S: Clone>(
        self,
        table: &mut KeyedTable<K, S>,
        start: impl Fn(V) -> S + Copy,
        add: impl Fn(&mut S, V) + Copy,
        mut then: impl FnMut(&K, &mut S),
    ) {
        let Self { hashes, keys, values, times: _ } = self;
        let mut values = values.into_iter();
        // Two loops, so that neither asks for each row which of both it is.
        match &keys {
            KeyColumn::Values(keys) => {
                for (hashes, keys) in hashes.chunks(FETCHED_AT_ONCE).zip(keys.chunks(FETCHED_AT_ONCE)) {
                    table.prefetch(hashes);
                    for ((hash, key), value) in hashes.iter().zip(keys).zip(&mut values) {
                        let (key, state) = table.fold(*hash, KeyRef::Value(key), value, start, add);
                        then(key, state);
                    }
                }
            }
            KeyColumn::Texts(keys) => {
                let mut keys = keys.iter();
                for hashes in hashes.chunks(FETCHED_AT_ONCE) {
                    table.prefetch(hashes);
                    for ((hash, key), value) in hashes.iter().zip(&mut keys).zip(&mut values) {
                        let (key, state) = table.fold(*hash, KeyRef::Text(key), value, start, add);
                        then(key, state);
                    }
                }
            }
        }
    }

    /// The columns but for timestamps: for operators that look ahead.
    pub fn into_columns(self) -> (Vec<u64>, KeyColumn<K>, Vec<V>) {
        (self.hashes, self.keys, self.values)
    }
}

impl<K: Key, V: Record> Batch for Keyed<K, V> {
    fn len(&self) -> usize {
        self.hashes.len()
    }

    fn bytes(&self) -> usize {
        self.hashes.len() * size_of::<u64>() + self.keys.bytes() + column::bytes_of(&self.values) + self.times.bytes()
    }

    fn key_text(&self, row: usize) -> Option<String> {
        match self.keys.get(row) {
            KeyRef::Text(text) => Some(text.to_owned()),
            KeyRef::Value(key) => text_of(key).map(str::to_owned).or_else(|| serde_json::to_string(key).ok()),
        }
    }

    fn hashes(&self) -> Option<&[u64]> {
        Some(&self.hashes)
    }

    fn scatter(self: Box<Self>, targets: &[u32], open: &mut [Option<Box<dyn Batch>>]) {
        let mut this = *self;
        let mut parts = open_parts::<Self>(
            targets,
            open,
            |rows| Self::with_capacity(rows),
            |part, rows| {
                part.hashes.reserve(rows);
                part.keys.values().reserve(rows);
                part.values.reserve(rows);
            },
        );
        if !this.times.is_none() || parts.iter().flatten().any(|part| !part.times.is_none()) {
            let before: Vec<usize> =
                parts.iter().map(|part| part.as_ref().map_or(0, |part| part.hashes.len())).collect();
            let mut times: Vec<_> = parts.iter_mut().map(|part| part.as_mut().map(|part| &mut part.times)).collect();
            this.times.scatter(targets, &mut times, &before);
        }
        let keys = std::mem::take(this.keys.values());
        // Column by column: each loop is small, and the targets stay in the first cache.
        let mut columns: Vec<(&mut Vec<u64>, &mut Vec<K>, &mut Vec<V>)> = Vec::new();
        let mut column_of = vec![0usize; parts.len()];
        for (part, column) in parts.iter_mut().zip(&mut column_of) {
            if let Some(Self { hashes, keys, values, times: _ }) = part {
                *column = columns.len();
                columns.push((hashes, keys.values(), values));
            }
        }
        for (hash, target) in this.hashes.into_iter().zip(targets) {
            columns[column_of[*target as usize]].0.push(hash);
        }
        for (key, target) in keys.into_iter().zip(targets) {
            columns[column_of[*target as usize]].1.push(key);
        }
        for (value, target) in this.values.into_iter().zip(targets) {
            columns[column_of[*target as usize]].2.push(value);
        }
    }

    fn append(&mut self, other: Box<dyn Batch>) {
        let mut other = Self::of(other);
        self.times.append(self.hashes.len(), other.take_times(), other.hashes.len());
        self.hashes.append(&mut other.hashes);
        self.keys.values().append(other.keys.values());
        self.values.append(&mut other.values);
    }

    fn clone_batch(&self) -> Box<dyn Batch> {
        Box::new(self.clone())
    }

    fn encode(&self, frame: &mut Vec<u8>) -> Result<(), CodecError> {
        write_head(self.hashes.len(), &self.times, frame).map_err(CodecError::write::<(K, V)>)?;
        write_flat(&self.hashes, frame, |hash, bytes| *bytes = hash.to_le_bytes());
        self.keys.write(frame).map_err(CodecError::write::<K>)?;
        column::write(&self.values, frame).map_err(CodecError::write::<V>)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

/// The type of edges that carry [`Keyed`].
pub struct KeyedType<K, V>(PhantomData<fn() -> (K, V)>);

impl<K, V> KeyedType<K, V> {
    /// The type of `Keyed<K, V>`.
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<K, V> Default for KeyedType<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Key, V: Record> BatchType for KeyedType<K, V> {
    fn name(&self) -> &'static str {
        type_name::<(K, V)>()
    }

    fn decode(&self, frame: &[u8]) -> Result<Box<dyn Batch>, CodecError> {
        let read = || {
            let (mut frame, rows, times) = FrameReader::new(frame)?;
            let hashes = read_flat(&mut frame, rows, u64::from_le_bytes)?;
            let keys = KeyColumn::read(&mut frame, rows)?;
            let values = column::read(&mut frame, rows)?;
            frame.finish()?;
            Ok(Keyed::<K, V> { hashes, keys, values, times })
        };
        let keyed = read().map_err(|malformed: Malformed| CodecError::read::<(K, V)>(malformed))?;
        Ok(Box::new(keyed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::record::{Str, key_hash};

    fn words(words: &[&str]) -> Keyed<Str, u64> {
        let mut batch = Keyed::with_capacity(0);
        for (word, count) in words.iter().zip(0..) {
            let key = Str::from(*word);
            batch.push(key_hash(&key), key, count);
        }
        batch
    }

    fn rows<K: Key, V: Record>(batch: Box<dyn Batch>) -> Vec<(K, V)> {
        let mut rows = Vec::new();
        Keyed::<K, V>::of(batch).for_each(|hash, key, value| {
            assert_eq!(hash, key_hash(&key.to_owned()));
            rows.push((key.to_owned(), value));
        });
        rows
    }

    fn sent(batch: &dyn Batch) -> Box<dyn Batch> {
        let mut frame = Vec::new();
        batch.encode(&mut frame).unwrap();
        KeyedType::<Str, u64>::new().decode(&frame).unwrap()
    }

    #[test]
    fn received_text_keys_are_borrowed() {
        let received = sent(&words(&["to", "be", "ör", "not"]));
        assert_eq!(received.len(), 4);
        Keyed::<Str, u64>::of(received.clone_batch()).for_each(|_, key, _| assert!(matches!(key, KeyRef::Text(_))));
        let (hashes, keys, values) = Keyed::<Str, u64>::of(received.clone_batch()).into_columns();
        assert!(keys.get(2).matches(&Str::from("ör")));
        assert_eq!((hashes.len(), values), (4, vec![0, 1, 2, 3]));
        // What was received can be sent on, joined and scattered.
        let mut again = sent(&*received);
        again.append(received);
        again.append(Box::new(words(&["that"])));
        let mut open = vec![None, Some(Box::new(words(&["x"])) as Box<dyn Batch>), None];
        again.scatter(&[0, 1, 0, 1, 0, 1, 0, 1, 0], &mut open);
        let texts = |batch: Option<Box<dyn Batch>>| -> Vec<String> {
            rows::<Str, u64>(batch.unwrap()).into_iter().map(|(key, value)| format!("{key}{value}")).collect()
        };
        assert_eq!(texts(open[0].take()), ["to0", "ör2", "to0", "ör2", "that0"]);
        assert_eq!(texts(open[1].take()), ["x0", "be1", "not3", "be1", "not3"]);
        assert!(open[2].is_none(), "a target without rows gets no batch");
    }

    #[test]
    fn other_keys_and_values_round_trip() {
        let mut batch = Keyed::with_capacity(0);
        for i in 0..100u32 {
            let key = (i, format!("key {i}"));
            batch.push(key_hash(&key), key, vec![i; 3]);
        }
        let mut frame = Vec::new();
        batch.encode(&mut frame).unwrap();
        let received = KeyedType::<(u32, String), Vec<u32>>::new().decode(&frame).unwrap();
        assert_eq!(rows::<(u32, String), Vec<u32>>(received), rows(Box::new(batch)));
        for len in 0..frame.len() {
            assert!(KeyedType::<(u32, String), Vec<u32>>::new().decode(&frame[..len]).is_err());
        }
    }
}
