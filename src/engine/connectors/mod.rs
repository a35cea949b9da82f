//! Sources and sinks: files, sockets, collections, the terminal.
//!
//! ```text
//! files, sockets, collections ─► Source ─► job ─► Sink ─► terminal, part files
//! ```
//!
//! Each is built on the public traits of [`operators`](super::operators) alone, as a connector of a user's own would be.

mod collect;
mod collection;
mod discard;
mod file_sink;
mod files;
mod generator;
mod lines;
mod print;
mod printed;
mod ranges;
mod sequence;
mod socket;
mod socket_sink;

pub use collect::{CollectSink, Collected};
pub use collection::CollectionSource;
pub use discard::DiscardSink;
pub use file_sink::{FileSink, RollingPolicy};
pub use files::{Compression, FileSource, TextFileSource};
pub use generator::{DataGeneratorSource, GeneratorFunction, Stamped};
pub use print::PrintSink;
pub use sequence::SequenceSource;
pub use socket::{SocketSource, SocketTextSource};
pub use socket_sink::SocketSink;

pub use super::formats::{DeserializationSchema, JsonLines, Malformed, SerializationSchema, TextLines, from_json};
pub use super::operators::{BadRecords, DeadLetter, OnError, Origin};

use std::io;

use crate::rpc::io_cause;

/// The cause of an I/O error in words, without the operating system's number.
fn cause(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::TimedOut => "no answer in time".to_owned(),
        _ => io_cause(error),
    }
}
