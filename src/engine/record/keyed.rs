//! What a keyed exchange ships: hash, key and value, as columns.

use std::any::{Any, type_name};
use std::hash::Hash;
use std::marker::PhantomData;

use super::{Batch, BatchType, CodecError, Record, Str};

/// What can be a key: a record that is `Hash + Eq` (so floats do not compile).
pub trait Key: Record + Hash + Eq {}

impl<T: Record + Hash + Eq> Key for T {}

/// A key as it lies in a batch: borrowed, so that only a new key is ever copied.
#[derive(Clone, Copy, Debug)]
pub enum KeyRef<'a, K> {
    /// A whole value.
    Value(&'a K),
    /// The text of a `Str` or `String` key in a flat column.
    Text(&'a str),
}

impl<K: Key> KeyRef<'_, K> {
    /// Whether it is `key`.
    #[inline]
    pub fn matches(&self, key: &K) -> bool {
        match self {
            Self::Value(value) => *value == key,
            Self::Text(text) => {
                let any: &dyn Any = key;
                let own = any.downcast_ref::<Str>().map(Str::as_str);
                own.or_else(|| any.downcast_ref::<String>().map(String::as_str)) == Some(*text)
            }
        }
    }

    /// The key itself: a copy, where it lies in a flat column.
    ///
    /// # Panics
    /// Never: only `Str` and `String` keys lie in text columns.
    pub fn to_owned(&self) -> K {
        match self {
            Self::Value(value) => (*value).clone(),
            Self::Text(text) => {
                let mut key: Option<K> = None;
                let slot: &mut dyn Any = &mut key;
                if let Some(slot) = slot.downcast_mut::<Option<Str>>() {
                    *slot = Some(Str::from(*text));
                } else if let Some(slot) = slot.downcast_mut::<Option<String>>() {
                    *slot = Some(String::from(*text));
                }
                key.expect("a text column holds Str or String keys")
            }
        }
    }
}

/// A batch of hash, key and value columns.
#[derive(Clone, Debug)]
pub struct Keyed<K, V> {
    hashes: Vec<u64>,
    keys: Vec<K>,
    values: Vec<V>,
}

impl<K: Key, V: Record> Keyed<K, V> {
    /// An empty batch with room for `capacity` rows.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            hashes: Vec::with_capacity(capacity),
            keys: Vec::with_capacity(capacity),
            values: Vec::with_capacity(capacity),
        }
    }

    /// Adds a row; `hash` is [`key_hash`](super::key_hash) of `key`.
    pub fn push(&mut self, hash: u64, key: K, value: V) {
        self.hashes.push(hash);
        self.keys.push(key);
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
    pub fn for_each(self, mut row: impl FnMut(u64, KeyRef<'_, K>, V)) {
        for ((hash, key), value) in self.hashes.into_iter().zip(&self.keys).zip(self.values) {
            row(hash, KeyRef::Value(key), value);
        }
    }
}

impl<K: Key, V: Record> Batch for Keyed<K, V> {
    fn len(&self) -> usize {
        self.hashes.len()
    }

    fn bytes(&self) -> usize {
        self.hashes.len() * (8 + size_of::<K>() + size_of::<V>())
    }

    fn hashes(&self) -> Option<&[u64]> {
        Some(&self.hashes)
    }

    fn scatter(self: Box<Self>, targets: &[u32], open: &mut [Option<Box<dyn Batch>>]) {
        let mut parts = open_parts::<Self>(open);
        let Self { hashes, keys, values } = *self;
        for (((hash, key), value), target) in hashes.into_iter().zip(keys).zip(values).zip(targets) {
            parts[*target as usize].get_or_insert_with(|| Self::with_capacity(0)).push(hash, key, value);
        }
        close_parts(parts, open);
    }

    fn append(&mut self, other: Box<dyn Batch>) {
        let mut other = Self::of(other);
        self.hashes.append(&mut other.hashes);
        self.keys.append(&mut other.keys);
        self.values.append(&mut other.values);
    }

    fn clone_batch(&self) -> Box<dyn Batch> {
        Box::new(self.clone())
    }

    fn encode(&self, frame: &mut Vec<u8>) -> Result<(), CodecError> {
        let bytes =
            postcard::to_stdvec(&(&self.hashes, &self.keys, &self.values)).map_err(CodecError::write::<(K, V)>)?;
        frame.extend_from_slice(&bytes);
        Ok(())
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

/// Takes the open batches of [`Batch::scatter`] as their concrete type.
pub(super) fn open_parts<B: Batch>(open: &mut [Option<Box<dyn Batch>>]) -> Vec<Option<B>> {
    open.iter_mut()
        .map(|part| {
            part.take()
                .map(|batch| *batch.into_any().downcast().expect("open batches are of the scattered batch's type"))
        })
        .collect()
}

/// Puts them back.
pub(super) fn close_parts<B: Batch>(parts: Vec<Option<B>>, open: &mut [Option<Box<dyn Batch>>]) {
    for (part, slot) in parts.into_iter().zip(open) {
        *slot = part.map(|batch| Box::new(batch) as Box<dyn Batch>);
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
        let (hashes, keys, values) = postcard::from_bytes(frame).map_err(CodecError::read::<(K, V)>)?;
        Ok(Box::new(Keyed::<K, V> { hashes, keys, values }))
    }
}
