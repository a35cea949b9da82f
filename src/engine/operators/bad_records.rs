//! Records that cannot be read or processed: what happens to them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Output, OutputTag};
use crate::engine::record::Rows;
use crate::graph::task::Failure;

/// What happens to a record that cannot be read, or that a fallible function refuses. All of them are counted in the metrics
/// of the subtask, whatever is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnError {
    /// The job fails, and says which record and why.
    #[default]
    Fail,
    /// It is left out.
    Skip,
    /// It is left out here and sent, as a [`DeadLetter`], to the stream that
    /// [`DataStream::dead_letters`](crate::DataStream::dead_letters) returns; if the program does not ask for that stream, it is
    /// only counted.
    DeadLetter,
}

impl FromStr for OnError {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().replace('_', "-").as_str() {
            "fail" => Ok(Self::Fail),
            "skip" => Ok(Self::Skip),
            "dead-letter" => Ok(Self::DeadLetter),
            _ => Err(format!("`{text}` is nothing to do with a bad record; choose fail, skip or dead-letter")),
        }
    }
}

/// A record that could not be read or processed, as it came.
///
/// In JSON its bytes are `text` where they are UTF-8, else numbers in `bytes`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeadLetter {
    /// The record as it came: a line without its line end; from a function, text and bytes as they are and anything else as JSON.
    pub bytes: Vec<u8>,
    /// Where it came from.
    pub origin: Origin,
    /// What is wrong with it.
    pub error: String,
}

/// Where a record came from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The file, the address, or the operator that refused it.
    pub place: String,
    /// Where it begins in a file, in bytes; in a compressed file, of its content.
    pub offset: Option<u64>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            Some(offset) => write!(f, "{} at byte {offset}", self.place),
            None => f.write_str(&self.place),
        }
    }
}

/// A dead letter in JSON, for people's eyes.
#[derive(Serialize, Deserialize)]
struct Readable {
    origin: Origin,
    error: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<Vec<u8>>,
}

impl Serialize for DeadLetter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { bytes, origin, error } = self;
        if !serializer.is_human_readable() {
            return (bytes, origin, error).serialize(serializer);
        }
        let (text, bytes) = match std::str::from_utf8(bytes) {
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(bytes.clone())),
        };
        Readable { origin: origin.clone(), error: error.clone(), text, bytes }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for DeadLetter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            let (bytes, origin, error) = Deserialize::deserialize(deserializer)?;
            return Ok(Self { bytes, origin, error });
        }
        let Readable { origin, error, text, bytes } = Readable::deserialize(deserializer)?;
        let bytes = bytes.or(text.map(String::into_bytes)).unwrap_or_default();
        Ok(Self { bytes, origin, error })
    }
}

/// The side output that dead letters leave by.
pub(crate) const DEAD_LETTERS: OutputTag<DeadLetter> = OutputTag::new("dead-letters");

/// Does with bad records what an [`OnError`] says, and counts them. For sources and operators of one's own, too.
#[derive(Debug, Default)]
pub struct BadRecords {
    on_error: OnError,
    count: u64,
    letters: Vec<DeadLetter>,
}

impl BadRecords {
    /// None so far.
    pub fn new(on_error: OnError) -> Self {
        Self { on_error, count: 0, letters: Vec::new() }
    }

    /// What is done with them.
    pub fn on_error(&self) -> OnError {
        self.on_error
    }

    /// Deals with one; `letter` is only called where its contents are needed.
    ///
    /// # Errors
    /// For [`OnError::Fail`]: that this record is bad, to be returned at once.
    #[cold]
    pub fn add(&mut self, letter: impl FnOnce() -> DeadLetter) -> Result<(), Failure> {
        self.count += 1;
        match self.on_error {
            OnError::Fail => return Err(letter().failure()),
            OnError::Skip => {}
            OnError::DeadLetter => self.letters.push(letter()),
        }
        Ok(())
    }

    /// Counts one that was repaired.
    #[cold]
    pub fn add_repaired(&mut self) {
        self.count += 1;
    }

    /// Emits the dead letters that have gathered. Call it once a batch.
    ///
    /// # Errors
    /// As [`Output::emit_side`].
    #[inline]
    pub fn emit(&mut self, out: &mut dyn Output) -> Result<(), Failure> {
        if self.letters.is_empty() {
            return Ok(());
        }
        out.emit_side(DEAD_LETTERS.name(), Box::new(Rows::new(std::mem::take(&mut self.letters))))
    }

    /// How many there were since the last call: what `take_bad_records` returns.
    pub fn take_count(&mut self) -> u64 {
        std::mem::take(&mut self.count)
    }
}

impl DeadLetter {
    /// The record, with U+FFFD for what is not UTF-8.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The failure of a job that tolerates no bad record.
    fn failure(&self) -> Failure {
        const EXCERPT_CHARS: usize = 100;
        let text = self.text();
        let mut excerpt: String = text.chars().take(EXCERPT_CHARS).collect();
        if excerpt.len() < text.len() {
            excerpt.push('…');
        }
        let Self { origin, error, .. } = self;
        Failure::user(format!(
            "{error}: {origin}: {excerpt:?}; correct it, or say what to do with bad records (on_error: skip, dead letter)"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Collected;
    use super::*;

    fn letter(bytes: &[u8]) -> DeadLetter {
        let origin = Origin { place: "a.json".to_owned(), offset: Some(7) };
        DeadLetter { bytes: bytes.to_vec(), origin, error: "not a number".to_owned() }
    }

    #[test]
    fn a_failure_says_cause_place_and_record() {
        let failure = BadRecords::new(OnError::Fail).add(|| letter(b"x\xff")).unwrap_err();
        assert!(failure.message.starts_with("not a number: a.json at byte 7: \"x\u{fffd}\"; "), "{failure}");
        let failure = BadRecords::new(OnError::Fail).add(|| letter(&[b'x'; 1000])).unwrap_err();
        assert!(failure.message.len() < 300, "{failure}");
    }

    #[test]
    fn skipped_ones_are_counted_and_dead_letters_kept() {
        let mut out = Collected::default();
        let mut skip = BadRecords::new(OnError::Skip);
        skip.add(|| panic!("nobody reads it")).unwrap();
        skip.emit(&mut out).unwrap();
        assert_eq!((skip.take_count(), skip.take_count()), (1, 0));
        let mut keep = BadRecords::new(OnError::DeadLetter);
        keep.add(|| letter(b"x")).unwrap();
        assert_eq!(keep.letters, [letter(b"x")]);
        keep.emit(&mut out).unwrap();
        keep.emit(&mut out).unwrap();
        assert_eq!(out.side_rows::<DeadLetter>(DEAD_LETTERS.name()), [letter(b"x")]);
    }

    #[test]
    fn letters_round_trip_between_processes_and_through_json() {
        for bytes in [b"text".as_slice(), b"\xff\x00", b""] {
            let letter = letter(bytes);
            let binary = postcard::to_allocvec(&letter).unwrap();
            assert_eq!(postcard::from_bytes::<DeadLetter>(&binary).unwrap(), letter);
            let json = serde_json::to_string(&letter).unwrap();
            assert_eq!(serde_json::from_str::<DeadLetter>(&json).unwrap(), letter);
        }
        let json = serde_json::to_string(&letter(b"a\"b")).unwrap();
        assert_eq!(json, r#"{"origin":{"place":"a.json","offset":7},"error":"not a number","text":"a\"b"}"#);
    }
}
