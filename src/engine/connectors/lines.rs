//! Records from lines: shared by files and sockets.

use std::sync::Arc;

use crate::engine::formats::{DeserializationSchema, Malformed};
use crate::engine::operators::{BadRecords, DeadLetter, OnError, Origin, Output};
use crate::engine::record::{BATCH_BYTES, BATCH_RECORDS, Rows};
use crate::graph::task::Failure;

/// Collects the records of lines into batches.
pub(super) struct Lines<D: DeserializationSchema> {
    schema: Arc<D>,
    /// What is said to happen with bad records; if nothing is, they are repaired where the format can, and fail the job else.
    on_error: Option<OnError>,
    rows: Vec<D::Out>,
    bytes: usize,
    bad: BadRecords,
    /// Bad records since they were last warned of.
    bad_unsaid: u64,
}

impl<D: DeserializationSchema> Lines<D> {
    pub(super) fn new(schema: Arc<D>, on_error: Option<OnError>) -> Self {
        let bad = BadRecords::new(on_error.unwrap_or_default());
        Self { schema, on_error, rows: Vec::new(), bytes: 0, bad, bad_unsaid: 0 }
    }

    /// Adds a line without its line feed. A carriage return at its end is dropped.
    #[inline]
    pub(super) fn push(&mut self, line: &[u8], origin: impl FnOnce() -> Origin) -> Result<(), Failure> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.bytes += line.len();
        match self.schema.deserialize(line, &mut self.rows) {
            Ok(()) => Ok(()),
            Err(malformed) => self.bad(line, malformed, origin),
        }
    }

    #[cold]
    fn bad(&mut self, line: &[u8], malformed: Malformed, origin: impl FnOnce() -> Origin) -> Result<(), Failure> {
        self.bad_unsaid += 1;
        if self.on_error.is_none() && self.schema.repair(line, &mut self.rows) {
            self.bad.add_repaired();
            return Ok(());
        }
        self.bad.add(|| DeadLetter { bytes: line.to_vec(), origin: origin(), error: malformed.to_string() })
    }

    /// Whether there is a full batch.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= BATCH_RECORDS || self.bytes >= BATCH_BYTES
    }

    /// Emits what there is.
    pub(super) fn emit(&mut self, out: &mut dyn Output) -> Result<(), Failure> {
        self.bytes = 0;
        self.bad.emit(out)?;
        // The next batch is likely to be as long.
        let next = Vec::with_capacity(self.rows.len());
        let rows = std::mem::replace(&mut self.rows, next);
        if rows.is_empty() { Ok(()) } else { out.emit(Box::new(Rows::new(rows))) }
    }

    /// Says how many lines of `place` were bad since the last call, if any.
    pub(super) fn warn_of_bad(&mut self, place: impl std::fmt::Display) {
        let lines = std::mem::take(&mut self.bad_unsaid);
        if lines > 0 {
            let done = match self.on_error {
                None => "bad lines were repaired: what is not UTF-8 was replaced by U+FFFD",
                Some(OnError::DeadLetter) => "bad lines were sent to the dead letters",
                Some(OnError::Skip | OnError::Fail) => "bad lines were left out",
            };
            tracing::warn!(%place, lines, "{done}");
        }
    }

    /// Lines that were bad since the last call.
    pub(super) fn take_bad(&mut self) -> u64 {
        self.bad.take_count()
    }
}
