//! Files of lines, read in parallel.
//!
//! ```text
//! file │ directory │ glob ─listing─► files ─by size─► splits ─► reader ─memchr─► lines ─schema─► records
//! ```
//!
//! A split owns the lines that begin in it: its reader skips to the first line that begins behind its start, and reads the last
//! line beyond its end. A compressed file is one split. A file is read to the size it had when it was found; what is appended
//! later is not seen, so files that shall appear while a job watches are best renamed into the directory when complete.

mod compression;
mod enumerator;
mod reader;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

pub use compression::Compression;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::enumerator::FileEnumerator;
use self::reader::FileReader;
use crate::engine::formats::{DeserializationSchema, JsonLines, TextLines};
use crate::engine::operators::{Boundedness, OnError, OperatorContext, Source, SourceReader, SplitEnumerator, Waker};
use crate::engine::record::Record;
use crate::graph::task::Failure;

/// How often a watched path is looked at, unless the source says another interval.
const MONITOR_INTERVAL: Duration = Duration::from_secs(1);

/// The records of files of lines. Flink's class of that name, with a format that is a [`DeserializationSchema`].
///
/// Reads a file, the files of a directory (names that begin with `.` or `_` are left out), or what a glob pattern matches. A
/// relative path is relative to the directory that the job's tasks run in. Files that end in `.gz` or `.zst` are decompressed, each
/// by one subtask; large plain files are divided and read in parallel. Line ends are `\n` or `\r\n`, and the last line may
/// lack its own. Records come in order within a split only; where a job follows event time, several files are read side by side, the
/// one furthest behind first, unless they are watched.
///
/// ```no_run
/// # use std::time::Duration;
/// # use flott::prelude::*;
/// # use flott::connectors::{FileSource, OnError};
/// # let env = StreamExecutionEnvironment::new();
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct Order { id: u64, item: String }
///
/// let orders = FileSource::json_lines("/data/orders/*.json.gz")
///     .monitor_continuously(Duration::from_secs(5))
///     .on_error(OnError::Skip);
/// let orders: DataStream<Order> = env.from_source(orders, "orders");
/// ```
pub struct FileSource<D> {
    path: PathBuf,
    schema: Arc<D>,
    listing: Listing,
    on_error: Option<OnError>,
}

/// How files are found and divided.
#[derive(Clone, Copy, Debug, Default)]
struct Listing {
    /// Absent: as the size of the file suggests.
    split_bytes: Option<u64>,
    monitor: Option<Duration>,
    recursive: bool,
}

/// The lines of text files, without their line ends. Flink's `FileSource` with `TextLineInputFormat`.
///
/// Invalid UTF-8 is replaced by U+FFFD and the line counted as a bad record, unless [`FileSource::on_error`] says otherwise.
pub type TextFileSource = FileSource<TextLines>;

impl TextFileSource {
    /// Reads `path`: a file, a directory, or a glob pattern. `file://` in front of it is allowed.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self::for_record_stream_format(TextLines, path)
    }
}

impl<T: Record> FileSource<JsonLines<T>> {
    /// Reads the JSON values in `path`, one a line; blank lines are none.
    pub fn json_lines(path: impl AsRef<Path>) -> Self {
        Self::for_record_stream_format(JsonLines::new(), path)
    }
}

impl<D: DeserializationSchema> FileSource<D> {
    /// Reads the records in `path`: a file, a directory, or a glob pattern. `file://` in front of it is allowed.
    pub fn for_record_stream_format(schema: D, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let path = path.to_str().and_then(|text| text.strip_prefix("file://")).map_or(path, Path::new);
        Self { path: path.to_owned(), schema: Arc::new(schema), listing: Listing::default(), on_error: None }
    }

    /// Keeps reading files that appear, looking every `interval`, until the job is stopped: an unbounded source. Each file is
    /// read once; one that changes later is not read again.
    #[must_use]
    pub fn monitor_continuously(mut self, interval: Duration) -> Self {
        self.listing.monitor = Some(interval);
        self
    }

    /// As [`FileSource::monitor_continuously`], looking once a second; or not.
    #[must_use]
    pub fn watch(mut self, watch: bool) -> Self {
        self.listing.monitor = watch.then_some(MONITOR_INTERVAL);
        self
    }

    /// Also reads the directories below; by default only the files of a directory itself.
    #[must_use]
    pub fn recursive(mut self, recursive: bool) -> Self {
        self.listing.recursive = recursive;
        self
    }

    /// Sets the size of the parts that a large file is read in. By default a sixteenth of the file, at least 4 and at most 32 MiB.
    #[must_use]
    pub fn split_bytes(mut self, bytes: u64) -> Self {
        self.listing.split_bytes = Some(bytes.max(1));
        self
    }

    /// Sets what happens to lines that are no record. By default text is repaired and anything else fails the job.
    #[must_use]
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = Some(on_error);
        self
    }
}

impl<D: DeserializationSchema> Source for FileSource<D> {
    type Out = D::Out;

    fn boundedness(&self) -> Boundedness {
        if self.listing.monitor.is_some() { Boundedness::Unbounded } else { Boundedness::Bounded }
    }

    fn enumerator(&self, _context: &OperatorContext) -> Result<Box<dyn SplitEnumerator>, Failure> {
        Ok(Box::new(FileEnumerator::new(self.path.clone(), self.listing)))
    }

    fn reader(&self, _context: &OperatorContext, _waker: Waker) -> Result<Box<dyn SourceReader>, Failure> {
        Ok(Box::new(FileReader::new(Arc::clone(&self.schema), self.on_error)))
    }
}

/// A part of a file: the lines that begin in `start..end`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FileSplit {
    path: PathBuf,
    start: u64,
    end: u64,
    /// Size of the file when it was found; nothing behind it is read.
    size: u64,
    /// A compressed file is one split.
    compression: Compression,
    /// Bytes of a compressed file's content that have been read before.
    #[serde(default)]
    skip: u64,
}

/// `cannot read /x/y: permission denied`, or `no such file or directory: /x/y`.
fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let cause = super::cause(error);
    match error.kind() {
        std::io::ErrorKind::NotFound => Failure::permanent(format!("{cause}: {}", in_full(path))),
        std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::IsADirectory => {
            Failure::permanent(format!("cannot read {}: {cause}", path.display()))
        }
        _ => Failure::transient(format!("cannot read {}: {cause}", path.display())),
    }
}

/// A path, and for a relative one where it was looked for.
fn in_full(path: &Path) -> String {
    match std::env::current_dir() {
        Ok(dir) if path.is_relative() => format!("{} (in {}; give an absolute path)", path.display(), dir.display()),
        Ok(_) | Err(_) => path.display().to_string(),
    }
}
