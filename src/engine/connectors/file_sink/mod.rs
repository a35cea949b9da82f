//! Part files, complete or not at all.
//!
//! ```text
//! records ─format─► a file without a name ─full, due, end of input: fsync─► .part-0-0-0.<job>.inprogress ─the job's decision: rename─► part-0-0-0
//! ```
//! What is being written has no name where the file system can do that, so a process that is killed leaves nothing behind;
//! elsewhere it has the hidden one from the beginning.

mod part;
mod rolling;
#[cfg(test)]
mod tests;

pub use rolling::RollingPolicy;

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::part::{Names, Part, Pending, unwritable};
use super::files::Compression;
use crate::engine::formats::{JsonLines, SerializationSchema};
use crate::engine::operators::{OperatorContext, Sink, SinkWriter};
use crate::engine::record::{Record, Rows};
use crate::graph::task::Failure;
use crate::time::Now;

/// What is held back before it is written.
const BUFFER_BYTES: usize = 256 << 10;

/// Writes each record as a line. Flink's `FileSink` in row format.
///
/// Each subtask that gets a record writes part files, `part-<subtask>-<attempt>-<counter>`, into the directory: one after the other
/// as its [`RollingPolicy`] says. All are hidden (their names begin with a dot) until the whole job has finished; then they become
/// visible by rename. A job that fails or is cancelled leaves none. The directory is made if absent; one that already holds part
/// files is refused, so that the output of two jobs is never mixed.
///
/// With checkpoints, in streaming mode, each part also ends with a checkpoint, and becomes visible when that is complete: what is
/// visible is then always exactly what a prefix of the input makes, whatever fails. A job that goes on from a checkpoint goes on in
/// the same directory.
///
/// ```no_run
/// # use std::time::Duration;
/// # use flott::prelude::*;
/// use flott::connectors::{Compression, FileSink, RollingPolicy};
///
/// # let env = StreamExecutionEnvironment::new();
/// let hourly = RollingPolicy::default().max_part_size(1 << 30).rollover_interval(Duration::from_secs(3600));
/// let sink = FileSink::json_lines("/data/words").with_rolling_policy(hourly).with_compression(Compression::Gzip);
/// env.from_collection([("to".to_owned(), 2u64)]).sink_to(sink);
/// ```
pub struct FileSink<T> {
    dir: PathBuf,
    format: Format<T>,
    rolling: RollingPolicy,
    compression: Compression,
}

/// Appends the lines of some records: one virtual call a batch.
type Format<T> = Arc<dyn Fn(&[T], &mut Vec<u8>) -> Result<(), String> + Send + Sync>;

impl<T: Record> FileSink<T> {
    /// Writes into `dir`, a line a record, as `format` says. A relative path is relative to the directory that the job's tasks run
    /// in.
    pub fn for_row_format(dir: impl AsRef<Path>, format: impl SerializationSchema<T>) -> Self {
        let format = move |records: &[T], lines: &mut Vec<u8>| {
            for record in records {
                format.serialize(record, lines).map_err(|malformed| malformed.to_string())?;
                lines.push(b'\n');
            }
            Ok(())
        };
        Self::new(dir, Arc::new(format), RollingPolicy::default())
    }

    /// As [`FileSink::for_row_format`], JSON values.
    pub fn json_lines(dir: impl AsRef<Path>) -> Self {
        Self::for_row_format(dir, JsonLines::<T>::new())
    }

    /// As [`FileSink::for_row_format`], text; `format` appends a record's text, without a line end, to the line. Does not roll
    /// unless a policy is given.
    pub fn text(
        dir: impl AsRef<Path>,
        format: impl Fn(&T, &mut String) -> fmt::Result + Send + Sync + 'static,
    ) -> Self {
        let format = move |records: &[T], lines: &mut Vec<u8>| {
            let mut text = String::new();
            for record in records {
                format(record, &mut text).map_err(|error| error.to_string())?;
                text.push('\n');
            }
            lines.extend_from_slice(text.as_bytes());
            Ok(())
        };
        Self::new(dir, Arc::new(format), RollingPolicy::never())
    }

    fn new(dir: impl AsRef<Path>, format: Format<T>, rolling: RollingPolicy) -> Self {
        Self { dir: dir.as_ref().to_owned(), format, rolling, compression: Compression::None }
    }

    /// Sets when a part file is closed and the next one begun.
    #[must_use]
    pub fn with_rolling_policy(mut self, rolling: RollingPolicy) -> Self {
        self.rolling = rolling;
        self
    }

    /// Compresses the part files, and says so in their names. Zstandard at its fastest, gzip at its usual level.
    #[must_use]
    pub fn with_compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }
}

impl<T: Record> Sink for FileSink<T> {
    type In = T;

    fn writer(&self, context: &OperatorContext) -> Result<Box<dyn SinkWriter<T>>, Failure> {
        fs::create_dir_all(&self.dir).map_err(|error| match self.dir.is_file() {
            true => Failure::user(format!("{} is a file; name a directory (--output)", self.dir.display())),
            false => unwritable(&self.dir, &error),
        })?;
        let names = Names::new(&self.dir, self.compression, context);
        // What lies here of a job that goes on from a checkpoint belongs to it.
        let names = match context.restored_from {
            Some(_) => names.beside_others(),
            None => {
                refuse_parts(&self.dir)?;
                names.remove_leftovers();
                names
            }
        };
        // Opened now, so that a directory that cannot be written to fails the job before it works.
        let part = Part::create(&names, 0)?;
        let lines = Vec::with_capacity(BUFFER_BYTES + BUFFER_BYTES / 4);
        Ok(Box::new(PartWriter {
            format: Arc::clone(&self.format),
            rolling: self.rolling,
            names,
            part: Some(part),
            counter: 0,
            closed: Vec::new(),
            lines,
            now: Now::default(),
        }))
    }

    fn commit(&self, committables: Vec<serde_json::Value>) -> Result<(), Failure> {
        // Of a job that goes on from a savepoint with another directory, parts become visible where they were written.
        let mut dirs = BTreeSet::new();
        for committable in committables {
            let pending = Pending::parse(committable)?;
            pending.publish()?;
            dirs.extend(pending.dir().map(Path::to_owned));
        }
        dirs.iter().try_for_each(|dir| make_renames_durable(dir))
    }

    fn discard(&self, committables: Vec<serde_json::Value>) -> Result<(), Failure> {
        for committable in committables {
            Pending::parse(committable)?.remove()?;
        }
        Ok(())
    }
}

/// What is in no directory any more needs no durability.
fn make_renames_durable(dir: &Path) -> Result<(), Failure> {
    match File::open(dir).and_then(|dir| dir.sync_all()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|error| unwritable(dir, &error)),
    }
}

/// Refuses a directory with visible part files.
fn refuse_parts(dir: &Path) -> Result<(), Failure> {
    let unreadable = |error: io::Error| unwritable(dir, &error);
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if name.to_string_lossy().starts_with("part-") {
            return Err(Failure::user(format!(
                "{} already holds output ({}); remove it, or name another directory (--output)",
                dir.display(),
                name.display()
            )));
        }
    }
    Ok(())
}

/// Writes the part files of one subtask.
struct PartWriter<T> {
    format: Format<T>,
    rolling: RollingPolicy,
    names: Names,
    /// Absent between parts.
    part: Option<Part>,
    /// Of the present part, or the next.
    counter: u32,
    /// Removed with the writer unless handed over.
    closed: Vec<Pending>,
    /// Of the present part.
    lines: Vec<u8>,
    now: Now,
}

impl<T> PartWriter<T> {
    /// The present part; begins one if there is none.
    fn part(&mut self) -> Result<&mut Part, Failure> {
        match &mut self.part {
            Some(part) => Ok(part),
            absent @ None => Ok(absent.insert(Part::create(&self.names, self.counter)?)),
        }
    }

    fn write_lines(&mut self) -> Result<(), Failure> {
        if let Some(part) = &mut self.part {
            part.write(&self.lines)?;
        }
        self.lines.clear();
        Ok(())
    }

    fn close_part(&mut self) -> Result<(), Failure> {
        self.write_lines()?;
        if let Some(pending) = self.part.take().map_or(Ok(None), Part::close)? {
            self.closed.push(pending);
            self.counter += 1;
        }
        Ok(())
    }
}

impl<T: Record> SinkWriter<T> for PartWriter<T> {
    fn write(&mut self, batch: Rows<T>) -> Result<(), Failure> {
        let now = self.now;
        let part = self.part()?;
        let first = part.written.map_or(now, |(first, _)| first);
        part.written = Some((first, now));
        (self.format)(&batch.0, &mut self.lines)
            .map_err(|error| Failure::user(format!("cannot format a {}: {error}", std::any::type_name::<T>())))?;
        let bytes = self.part.as_ref().map_or(0, |part| part.bytes) + self.lines.len() as u64;
        match self.lines.len() >= BUFFER_BYTES {
            _ if self.rolling.is_full(bytes) => self.close_part(),
            true => self.write_lines(),
            false => Ok(()),
        }
    }

    fn next_timer(&self) -> Option<Now> {
        let (first, last) = self.part.as_ref()?.written?;
        self.rolling.due(first, last)
    }

    fn on_processing_time(&mut self, now: Now) -> Result<(), Failure> {
        self.now = now;
        if self.next_timer().is_some_and(|due| due <= now) { self.close_part() } else { Ok(()) }
    }

    fn prepare_checkpoint(&mut self) -> Result<Vec<serde_json::Value>, Failure> {
        self.prepare()
    }

    fn prepare(&mut self) -> Result<Vec<serde_json::Value>, Failure> {
        self.close_part()?;
        let committables = self.closed.iter().map(Pending::to_committable).collect::<Result<_, _>>()?;
        // From here the job decides: the files outlive this writer.
        self.closed.clear();
        Ok(committables)
    }
}

/// A subtask that failed or was cancelled leaves nothing; the open part removes itself.
impl<T> Drop for PartWriter<T> {
    fn drop(&mut self) {
        for pending in self.closed.drain(..) {
            if let Err(failure) = pending.remove() {
                tracing::warn!(%failure, "a part file that nobody will publish remains");
            }
        }
    }
}
