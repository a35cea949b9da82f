//! Lines of text from bytes: shared by files and sockets.

use std::path::Path;

use crate::engine::operators::Output;
use crate::engine::record::{BATCH_BYTES, BATCH_RECORDS, Rows, Str};
use crate::graph::task::Failure;

/// Collects lines into batches.
#[derive(Default)]
pub(super) struct Lines {
    rows: Vec<Str>,
    bytes: usize,
    /// Lines with invalid UTF-8, which was replaced, since they were last counted.
    bad: u64,
    /// The same, since they were last warned of.
    bad_unsaid: u64,
}

impl Lines {
    /// Adds a line without its line feed. A carriage return at its end is dropped; what is not UTF-8 becomes U+FFFD.
    #[inline]
    pub(super) fn push(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.bytes += line.len();
        let line = match std::str::from_utf8(line) {
            Ok(line) => Str::from(line),
            Err(_) => {
                self.bad += 1;
                self.bad_unsaid += 1;
                Str::from_utf8_lossy(line)
            }
        };
        self.rows.push(line);
    }

    /// Whether there is a full batch.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= BATCH_RECORDS || self.bytes >= BATCH_BYTES
    }

    /// Emits what there is.
    pub(super) fn emit(&mut self, out: &mut dyn Output) -> Result<(), Failure> {
        self.bytes = 0;
        // The next batch is likely to be as long.
        let next = Vec::with_capacity(self.rows.len());
        let rows = std::mem::replace(&mut self.rows, next);
        if rows.is_empty() { Ok(()) } else { out.emit(Box::new(Rows(rows))) }
    }

    /// Says how many lines of `path` were repaired since the last call, if any.
    pub(super) fn warn_of_bad(&mut self, path: &Path) {
        let lines = std::mem::take(&mut self.bad_unsaid);
        if lines > 0 {
            tracing::warn!(path = %path.display(), lines, "invalid UTF-8 was replaced by U+FFFD");
        }
    }

    /// Lines that were repaired since the last call.
    pub(super) fn take_bad(&mut self) -> u64 {
        std::mem::take(&mut self.bad)
    }
}
