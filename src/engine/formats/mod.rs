//! What records look like outside: bytes to records and back.
//!
//! ```text
//! connector ─line, message─► DeserializationSchema ─► records ─► job ─► SerializationSchema ─line, message─► connector
//! ```
//!
//! A format knows no file and no socket: connectors cut what they receive into messages (files and sockets: lines, without their
//! line ends) and say where each came from. A message that is no record is a value ([`Malformed`]); what then happens is the
//! connector's business ([`OnError`](super::operators::OnError)).

mod json;
mod text;

pub use json::{JsonLines, from_json};
pub use text::TextLines;

use std::fmt::Display;

use super::record::Record;

/// Turns messages into records. Flink's interface of that name.
///
/// Implement it for a format of your own and give it to
/// [`FileSource::for_record_stream_format`](super::connectors::FileSource::for_record_stream_format).
pub trait DeserializationSchema: Send + Sync + 'static {
    /// What it makes.
    type Out: Record;

    /// Appends the records of a message: one as a rule, none for a message without content (a blank line, say). One virtual
    /// call for none of them: readers are compiled for their format.
    ///
    /// # Errors
    /// [`Malformed`] when the message is no record; nothing must have been appended then.
    fn deserialize(&self, message: &[u8], records: &mut Vec<Self::Out>) -> Result<(), Malformed>;

    /// Appends what can be made of a malformed message, and says whether there was anything; asked where a source is not
    /// told what to do with bad records. Formats that cannot repair make such a source fail.
    fn repair(&self, message: &[u8], records: &mut Vec<Self::Out>) -> bool {
        let _ = (message, records);
        false
    }
}

/// Turns records into messages. Flink's interface of that name.
pub trait SerializationSchema<T>: Send + Sync + 'static {
    /// Appends a record's message, without a line end.
    ///
    /// # Errors
    /// [`Malformed`] when the record has no such form.
    fn serialize(&self, record: &T, message: &mut Vec<u8>) -> Result<(), Malformed>;
}

/// Why a message is no record, or a record has no message: the cause in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

impl Malformed {
    /// For that cause.
    pub fn new(cause: impl Display) -> Self {
        Self(cause.to_string())
    }
}
