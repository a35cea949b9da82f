//! Keys, owned and as they lie in a batch.

use std::any::Any;
use std::hash::Hash;

use super::column::{self, FrameReader, Malformed};
use super::text_column::TextColumn;
use super::{Record, Str};

/// What can be a key: a record that is `Hash + Eq` (so floats do not compile).
pub trait Key: Record + Hash + Eq {}

impl<T: Record + Hash + Eq> Key for T {}

/// A key as it lies in a batch: borrowed, so that only a new key is ever copied.
#[derive(Debug)]
pub enum KeyRef<'a, K> {
    /// A whole value.
    Value(&'a K),
    /// The text of a `Str` or `String` key in a flat column.
    Text(&'a str),
}

impl<K> Clone for KeyRef<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for KeyRef<'_, K> {}

impl<K: Key> KeyRef<'_, K> {
    /// Whether it is `key`.
    #[inline]
    pub fn matches(self, key: &K) -> bool {
        match self {
            Self::Value(value) => value == key,
            Self::Text(text) => text_of(key) == Some(text),
        }
    }

    /// The key itself: a clone, or a text of its own.
    #[inline]
    pub fn to_owned(self) -> K {
        match self {
            Self::Value(value) => value.clone(),
            Self::Text(text) => key_of(text).expect("only columns of Str and String keys hold texts"),
        }
    }
}

/// The text of a `Str` or `String` key.
#[inline]
pub(super) fn text_of<K: Key>(key: &K) -> Option<&str> {
    let any: &dyn Any = key;
    any.downcast_ref::<Str>().map(Str::as_str).or_else(|| any.downcast_ref::<String>().map(String::as_str))
}

/// The `Str` or `String` key with this text.
#[inline]
fn key_of<K: Key>(text: &str) -> Option<K> {
    let mut key: Option<K> = None;
    let any: &mut dyn Any = &mut key;
    if let Some(slot) = any.downcast_mut::<Option<Str>>() {
        *slot = Some(Str::from(text));
    } else if let Some(slot) = any.downcast_mut::<Option<String>>() {
        *slot = Some(String::from(text));
    }
    key
}

/// The keys of a batch.
#[derive(Clone, Debug)]
pub enum KeyColumn<K> {
    /// Whole values: what a producer made, and what was received of a type that is not text.
    Values(Vec<K>),
    /// Received `Str` or `String` keys.
    Texts(TextColumn),
}

impl<K: Key> KeyColumn<K> {
    /// Number of keys.
    pub fn len(&self) -> usize {
        match self {
            Self::Values(keys) => keys.len(),
            Self::Texts(keys) => keys.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key of row `i`. In a loop over all rows, match the column once instead.
    ///
    /// # Panics
    /// When there is no such row.
    #[inline]
    pub fn get(&self, i: usize) -> KeyRef<'_, K> {
        match self {
            Self::Values(keys) => KeyRef::Value(&keys[i]),
            Self::Texts(keys) => KeyRef::Text(keys.get(i)),
        }
    }

    /// The keys as values, which texts become if they are not.
    pub(super) fn values(&mut self) -> &mut Vec<K> {
        if let Self::Texts(texts) = self {
            let own = |text| key_of(text).expect("only columns of Str and String keys hold texts");
            *self = Self::Values(texts.iter().map(own).collect());
        }
        match self {
            Self::Values(keys) => keys,
            Self::Texts(_) => unreachable!("texts have just become values"),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Values(keys) => column::bytes_of(keys),
            Self::Texts(keys) => keys.bytes(),
        }
    }

    pub(super) fn write(&self, frame: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Self::Values(keys) => column::write(keys, frame),
            Self::Texts(keys) => {
                column::write_text_column(keys, frame);
                Ok(())
            }
        }
    }

    pub(super) fn read(frame: &mut FrameReader<'_>, rows: usize) -> Result<Self, Malformed> {
        if column::is::<K, Str>() || column::is::<K, String>() {
            return column::read_texts(frame, rows).map(Self::Texts);
        }
        column::read(frame, rows).map(Self::Values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_key_it_was() {
        let (text, value) = (KeyRef::<Str>::Text("word"), Str::from("word"));
        assert!(text.matches(&value) && KeyRef::Value(&value).matches(&value));
        assert!(!text.matches(&Str::from("words")));
        assert_eq!(text.to_owned(), value);
        assert_eq!(KeyRef::<String>::Text("word").to_owned(), "word");
        assert!(KeyRef::<String>::Text("word").matches(&"word".to_owned()));
    }
}
