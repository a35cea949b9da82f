//! Text files, read in parallel.
//!
//! ```text
//! file │ directory │ glob ─listing─► files ─by size─► splits ─► reader ─memchr─► lines
//! ```
//!
//! A split owns the lines that begin in it: its reader skips to the first line that begins behind its start, and reads the last
//! line beyond its end. A file is read to the size it had when it was found; what is appended later is not seen, so files
//! that shall appear while a job watches are best renamed into the directory when complete.

mod enumerator;
mod reader;
#[cfg(test)]
pub(super) mod testing;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use self::enumerator::FileEnumerator;
use self::reader::FileReader;
use crate::engine::operators::{Boundedness, OperatorContext, Source, SourceReader, SplitEnumerator, Waker};
use crate::engine::record::Str;
use crate::graph::task::Failure;

/// Size of a split: large enough for its costs to vanish, small enough for subtasks to end together.
const SPLIT_BYTES: u64 = 32 << 20;

/// The lines of text files, without their line ends (`\n` or `\r\n`). Flink's `FileSource` with `TextLineInputFormat`.
///
/// Reads a file, the files of a directory (not those below it; names that begin with `.` or `_` are left out), or what a glob
/// pattern matches. A relative path is relative to the directory that the job's tasks run in. Invalid UTF-8 is replaced by
/// U+FFFD and the line counted as a bad record. The last line may lack its line end. Lines come in order within a split only.
#[derive(Clone, Debug)]
pub struct TextFileSource {
    path: PathBuf,
    split_bytes: u64,
    watch: bool,
}

impl TextFileSource {
    /// Reads `path`: a file, a directory, or a glob pattern. `file://` in front of it is allowed.
    pub fn new(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let path = path.to_str().and_then(|text| text.strip_prefix("file://")).map_or(path, Path::new);
        Self { path: path.to_owned(), split_bytes: SPLIT_BYTES, watch: false }
    }

    /// Keeps reading files that appear, looking once a second, until the job is stopped: an unbounded source. Each file is
    /// read once; one that changes later is not read again.
    #[must_use]
    pub fn watch(mut self, watch: bool) -> Self {
        self.watch = watch;
        self
    }

    /// Sets the size of the parts that a large file is read in; default 32 MiB.
    #[must_use]
    pub fn split_bytes(mut self, bytes: u64) -> Self {
        self.split_bytes = bytes.max(1);
        self
    }
}

impl Source for TextFileSource {
    type Out = Str;

    fn boundedness(&self) -> Boundedness {
        if self.watch { Boundedness::Unbounded } else { Boundedness::Bounded }
    }

    fn enumerator(&self, _context: &OperatorContext) -> Result<Box<dyn SplitEnumerator>, Failure> {
        Ok(Box::new(FileEnumerator::new(self.path.clone(), self.split_bytes, self.watch)))
    }

    fn reader(&self, _context: &OperatorContext, _waker: Waker) -> Result<Box<dyn SourceReader>, Failure> {
        Ok(Box::new(FileReader::default()))
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
