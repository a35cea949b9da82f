//! Plain text.

use std::fmt::Display;
use std::io::Write as _;

use super::{DeserializationSchema, Malformed, SerializationSchema};
use crate::engine::record::Str;

/// Each line is a text. Flink's `TextLineInputFormat` and `SimpleStringSchema`.
///
/// Reads UTF-8; what is invalid is repaired by U+FFFD. Writes whatever can be displayed.
#[derive(Clone, Copy, Debug, Default)]
pub struct TextLines;

impl DeserializationSchema for TextLines {
    type Out = Str;

    #[inline]
    fn deserialize(&self, message: &[u8], records: &mut Vec<Str>) -> Result<(), Malformed> {
        match std::str::from_utf8(message) {
            Ok(text) => {
                records.push(Str::from(text));
                Ok(())
            }
            Err(error) => Err(invalid(error)),
        }
    }

    fn repair(&self, message: &[u8], records: &mut Vec<Str>) -> bool {
        records.push(Str::from_utf8_lossy(message));
        true
    }
}

#[cold]
fn invalid(error: std::str::Utf8Error) -> Malformed {
    Malformed::new(format!("not UTF-8 behind {} bytes", error.valid_up_to()))
}

impl<T: Display> SerializationSchema<T> for TextLines {
    fn serialize(&self, record: &T, message: &mut Vec<u8>) -> Result<(), Malformed> {
        write!(message, "{record}").map_err(Malformed::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_text_is_refused_with_its_place_and_can_be_repaired() {
        let mut records = Vec::new();
        TextLines.deserialize("ä".as_bytes(), &mut records).unwrap();
        let error = TextLines.deserialize(b"ab\xffc", &mut records).unwrap_err();
        assert_eq!(error.to_string(), "not UTF-8 behind 2 bytes");
        assert!(TextLines.repair(b"ab\xffc", &mut records));
        assert_eq!(records, ["ä", "ab\u{fffd}c"]);
    }

    #[test]
    fn records_are_written_as_they_display() {
        let mut message = b"> ".to_vec();
        TextLines.serialize(&1.5, &mut message).unwrap();
        assert_eq!(message, b"> 1.5");
    }
}
