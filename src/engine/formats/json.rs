//! JSON, one value a line.

use std::marker::PhantomData;

use serde::Serialize;

use super::{DeserializationSchema, Malformed, SerializationSchema};
use crate::engine::record::Record;

/// Each line is a JSON value, a `T` as serde reads and writes it. Blank lines are no records. Flink's `JsonRowDataSchema`s, for any
/// type.
///
/// Fields that `T` does not have are ignored, unless it says `#[serde(deny_unknown_fields)]`.
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
        // All of it is checked to be UTF-8 at once, which costs a sixth less than each text by itself; what is not is left to serde,
        // which says where.
        let read = match std::str::from_utf8(message) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(message),
        };
        match read {
            Ok(record) => records.push(record),
            Err(_) if message.trim_ascii().is_empty() => {}
            // A message is one line to serde, and has another number in its file.
            Err(error) => return Err(Malformed::new(error.to_string().replace(" at line 1 column ", " at column "))),
        }
        Ok(())
    }
}

impl<T: Serialize + 'static> SerializationSchema<T> for JsonLines<T> {
    fn serialize(&self, record: &T, message: &mut Vec<u8>) -> Result<(), Malformed> {
        serde_json::to_writer(message, record).map_err(Malformed::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &str) -> Result<Vec<(String, u64)>, String> {
        let mut records = Vec::new();
        JsonLines::new().deserialize(message.as_bytes(), &mut records).map_err(|error| error.to_string())?;
        Ok(records)
    }

    #[test]
    fn a_line_is_a_value_or_blank() {
        assert_eq!(read(r#" ["a", 1] "#).unwrap(), [("a".to_owned(), 1)]);
        assert_eq!(read(" \t\r").unwrap(), []);
        assert_eq!(read(r#"["a", -1]"#).unwrap_err(), "invalid value: integer `-1`, expected u64 at column 8");
        assert_eq!(read(r#"["a", 1] x"#).unwrap_err(), "trailing characters at column 10");
        assert_eq!(read(r#"["a","#).unwrap_err(), "EOF while parsing a value at column 5");
        let mut records = Vec::<(String, u64)>::new();
        let error = JsonLines::new().deserialize(b"[\"a\xff\", 1]", &mut records).unwrap_err();
        assert_eq!(error.to_string(), "invalid unicode code point at column 4");
    }

    #[test]
    fn what_is_written_is_read_again_and_keeps_to_its_line() {
        let record = ("line\nend \"quoted\" ä".to_owned(), 7);
        let mut message = Vec::new();
        JsonLines::new().serialize(&record, &mut message).unwrap();
        assert!(!message.contains(&b'\n'));
        assert_eq!(read(std::str::from_utf8(&message).unwrap()).unwrap(), [record]);
    }
}
