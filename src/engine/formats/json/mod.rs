//! JSON, one value a line.
//!
//! ```text
//! message ─► Reader: strings by blocks, what nobody reads is stepped over ─► value
//!               └─ whatever it does not know, and every error ─► serde_json, from the beginning ─► value, or the cause in words
//! ```
//!
//! serde_json says what JSON is; [`reader`] only says the same sooner where it says anything at all.

mod deserialize;
mod reader;
#[cfg(test)]
mod tests;

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use self::reader::{NotHere, Reader};

use super::{DeserializationSchema, Malformed, SerializationSchema};
use crate::engine::record::Record;

/// Each line is a JSON value, a `T` as serde reads and writes it. Blank lines are no records. Flink's `JsonRowDataSchema`s, for any
/// type.
///
/// Fields that `T` does not have are ignored, unless it says `#[serde(deny_unknown_fields)]`. They cost a fraction of what is read:
/// a `T` of the fields that the program uses, and no others, does what projection push-down does in SQL engines.
pub struct JsonLines<T>(PhantomData<fn() -> T>);

impl<T> JsonLines<T> {
    /// Lines that are a `T` each.
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Default for JsonLines<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for JsonLines<T> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<T: Record> DeserializationSchema for JsonLines<T> {
    type Out = T;

    fn deserialize(&self, message: &[u8], records: &mut Vec<T>) -> Result<(), Malformed> {
        match from_json(message) {
            Ok(record) => records.push(record),
            Err(_) if message.trim_ascii().is_empty() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// The value of a message that is JSON, as [`serde_json::from_slice`] reads it, and sooner. For a [`DeserializationSchema`] that makes
/// of a value something else than itself, or nothing; texts may be borrowed.
///
/// ```
/// use flott::connectors::from_json;
///
/// #[derive(serde::Deserialize)]
/// struct Bid<'a> { price: u64, channel: &'a str }
///
/// let bid: Bid<'_> = from_json(br#"{"price": 20, "extra": ["not", "read"], "channel": "Google"}"#).unwrap();
/// assert_eq!((bid.price, bid.channel), (20, "Google"));
/// ```
///
/// # Errors
/// [`Malformed`] with serde_json's words.
pub fn from_json<'de, T: Deserialize<'de>>(message: &'de [u8]) -> Result<T, Malformed> {
    // All of it is checked to be UTF-8 at once, which costs a sixth less than each text by itself.
    let Ok(text) = std::str::from_utf8(message) else { return by_serde_json(message) };
    let mut reader = Reader::new(text);
    match T::deserialize(&mut reader).and_then(|value| reader.end().map(|()| value)) {
        Ok(value) => Ok(value),
        Err(NotHere) => by_serde_json(message),
    }
}

#[cold]
fn by_serde_json<'de, T: Deserialize<'de>>(message: &'de [u8]) -> Result<T, Malformed> {
    // A message is one line to serde, and has another number in its file.
    serde_json::from_slice(message)
        .map_err(|error| Malformed::new(error.to_string().replace(" at line 1 column ", " at column ")))
}

impl<T: Serialize + 'static> SerializationSchema<T> for JsonLines<T> {
    fn serialize(&self, record: &T, message: &mut Vec<u8>) -> Result<(), Malformed> {
        serde_json::to_writer(message, record).map_err(Malformed::new)
    }
}
