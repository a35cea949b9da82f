//! Part files of text, complete or not at all.
//!
//! ```text
//! records ─► .part-0-0.<job>.inprogress ─end of input: fsync─► committable ─the job's decision: rename─► part-0-0
//! ```

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::cause;
use crate::engine::operators::{OperatorContext, Sink, SinkWriter};
use crate::engine::record::{Record, Rows};
use crate::graph::task::Failure;
use crate::ids::{ExecutionAttemptId, JobId};

/// What is held back before it is written.
const BUFFER_BYTES: usize = 256 << 10;

/// Writes each record as a line of text. Flink's `FileSink` in row format.
///
/// Each subtask that gets a record writes one part file, `part-<subtask>-<attempt>`, into the directory. While written it is
/// hidden (its name begins with a dot); when the whole job has finished all parts become visible by rename, and a job that fails or
/// is cancelled leaves none. The directory is made if absent; one that already holds part files is refused, so that the
/// output of two jobs is never mixed.
pub struct TextFileSink<T> {
    dir: PathBuf,
    format: Format<T>,
}

/// Appends the lines of some records: one virtual call a batch.
type Format<T> = Arc<dyn Fn(&[T], &mut String) -> fmt::Result + Send + Sync>;

impl<T: Record> TextFileSink<T> {
    /// Writes into `dir`; `format` appends a record's text, without a line end, to the line. A relative path is relative to
    /// the directory that the job's tasks run in.
    pub fn new(dir: impl AsRef<Path>, format: impl Fn(&T, &mut String) -> fmt::Result + Send + Sync + 'static) -> Self {
        let format = move |records: &[T], lines: &mut String| {
            for record in records {
                format(record, lines)?;
                lines.push('\n');
            }
            Ok(())
        };
        Self { dir: dir.as_ref().to_owned(), format: Arc::new(format) }
    }
}

impl<T: Record> Sink for TextFileSink<T> {
    type In = T;

    fn writer(&self, context: &OperatorContext) -> Result<Box<dyn SinkWriter<T>>, Failure> {
        let failed = |error: io::Error| unwritable(&self.dir, &error);
        fs::create_dir_all(&self.dir).map_err(failed)?;
        refuse_parts(&self.dir)?;
        let attempt = context.attempt;
        remove_leftovers(&self.dir, context);
        let name = format!("part-{}-{}", attempt.subtask, attempt.attempt);
        let pending =
            Pending { from: self.dir.join(format!(".{name}.{}.inprogress", context.job)), to: self.dir.join(&name) };
        // Opened now, so that a directory that cannot be written to fails the job before it works.
        let file = File::create(&pending.from).map_err(|error| unwritable(&pending.from, &error))?;
        let lines = String::with_capacity(BUFFER_BYTES + BUFFER_BYTES / 4);
        Ok(Box::new(PartWriter {
            format: Arc::clone(&self.format),
            part: Some(Part { pending, file, written: 0 }),
            lines,
        }))
    }

    fn commit(&self, committables: Vec<serde_json::Value>) -> Result<(), Failure> {
        for committable in committables {
            Pending::parse(committable)?.publish()?;
        }
        sync_dir(&self.dir)
    }

    fn discard(&self, committables: Vec<serde_json::Value>) -> Result<(), Failure> {
        for committable in committables {
            Pending::parse(committable)?.remove()?;
        }
        Ok(())
    }
}

/// Refuses a directory with visible part files.
fn refuse_parts(dir: &Path) -> Result<(), Failure> {
    for entry in fs::read_dir(dir).map_err(|error| unwritable(dir, &error))? {
        let name = entry.map_err(|error| unwritable(dir, &error))?.file_name();
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

/// Removes what earlier executions of this subtask left behind when their process was killed: nobody will publish it, since the
/// decision to publish ends all executions. What cannot be removed stays, hidden.
fn remove_leftovers(dir: &Path, context: &OperatorContext) {
    let ExecutionAttemptId { subtask, attempt, .. } = context.attempt;
    for earlier in 0..attempt {
        let _ = fs::remove_file(dir.join(in_progress(&part_name(subtask, earlier), context.job)));
    }
}

fn part_name(subtask: u32, attempt: u32) -> String {
    format!("part-{subtask}-{attempt}")
}

/// The hidden name that a part has while it is written. It names the job, so that two jobs never write to one file.
fn in_progress(part: &str, job: JobId) -> String {
    format!(".{part}.{job}.inprogress")
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot write to {}: {}", path.display(), cause(error));
    match error.kind() {
        io::ErrorKind::Interrupted | io::ErrorKind::StorageFull | io::ErrorKind::TimedOut => {
            Failure::transient(message)
        }
        _ => Failure::permanent(message),
    }
}

/// Makes renames in `dir` durable.
fn sync_dir(dir: &Path) -> Result<(), Failure> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| unwritable(dir, &error))
}

/// A part that is written and not yet visible: the committable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    from: PathBuf,
    to: PathBuf,
}

impl Pending {
    fn parse(committable: serde_json::Value) -> Result<Self, Failure> {
        serde_json::from_value(committable)
            .map_err(|error| Failure::permanent(format!("cannot publish output: {error}: not a pending part file")))
    }

    /// Renames; what was renamed before is done.
    fn publish(&self) -> Result<(), Failure> {
        match fs::rename(&self.from, &self.to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.to.exists() => Ok(()),
            other => other.map_err(|error| unwritable(&self.to, &error)),
        }
    }

    fn remove(&self) -> Result<(), Failure> {
        match fs::remove_file(&self.from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(|error| unwritable(&self.from, &error)),
        }
    }
}

/// Writes one part file.
struct PartWriter<T> {
    format: Format<T>,
    /// Absent when handed over, or given up.
    part: Option<Part>,
    lines: String,
}

struct Part {
    pending: Pending,
    file: File,
    written: u64,
}

impl<T> PartWriter<T> {
    fn flush_lines(&mut self) -> Result<(), Failure> {
        if let Some(part) = &mut self.part {
            part.file.write_all(self.lines.as_bytes()).map_err(|error| unwritable(&part.pending.to, &error))?;
            part.written += self.lines.len() as u64;
        }
        self.lines.clear();
        Ok(())
    }
}

impl<T: Record> SinkWriter<T> for PartWriter<T> {
    fn write(&mut self, batch: Rows<T>) -> Result<(), Failure> {
        (self.format)(&batch.0, &mut self.lines)
            .map_err(|error| Failure::user(format!("cannot format a {}: {error}", std::any::type_name::<T>())))?;
        if self.lines.len() >= BUFFER_BYTES { self.flush_lines() } else { Ok(()) }
    }

    fn prepare(&mut self) -> Result<Vec<serde_json::Value>, Failure> {
        self.flush_lines()?;
        let Some(part) = &self.part else { return Ok(Vec::new()) };
        if part.written == 0 {
            // Dropped below: removes the file.
            return Ok(Vec::new());
        }
        part.file.sync_all().map_err(|error| unwritable(&part.pending.to, &error))?;
        let committable = serde_json::to_value(&part.pending)
            .map_err(|error| Failure::permanent(format!("cannot write to {}: {error}", part.pending.to.display())))?;
        // From here the job decides: the file outlives this writer.
        self.part = None;
        Ok(vec![committable])
    }
}

/// A subtask that failed or was cancelled leaves nothing.
impl<T> Drop for PartWriter<T> {
    fn drop(&mut self) {
        if let Some(part) = self.part.take()
            && let Err(failure) = part.pending.remove()
        {
            tracing::warn!(%failure, "a part file that nobody will publish remains");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::engine::operators::testing::context;
    use crate::graph::plan::ExecutionMode;

    fn sink(dir: &Path) -> TextFileSink<(String, u64)> {
        TextFileSink::new(dir, |(word, count): &(String, u64), line: &mut String| write!(line, "{word} {count}"))
    }

    fn rows() -> Rows<(String, u64)> {
        Rows(vec![("a".to_owned(), 1), ("b".to_owned(), 2)])
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn parts_are_hidden_until_committed_and_committing_again_is_harmless() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("deep/out");
        let sink = sink(&out);
        let mut writer = sink.writer(&context(ExecutionMode::Batch)).unwrap();
        writer.write(rows()).unwrap();
        let committables = writer.prepare().unwrap();
        drop(writer);
        assert_eq!(names(&out), [".part-0-0.00000000000000000000000000000001.inprogress"]);
        sink.commit(committables.clone()).unwrap();
        assert_eq!(names(&out), ["part-0-0"]);
        assert_eq!(fs::read_to_string(out.join("part-0-0")).unwrap(), "a 1\nb 2\n");
        sink.commit(committables.clone()).unwrap();
        sink.discard(committables).unwrap();
        assert_eq!(names(&out), ["part-0-0"]);
    }

    #[test]
    fn a_dropped_or_discarded_or_empty_part_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let sink = sink(dir.path());
        let context = context(ExecutionMode::Batch);
        let mut writer = sink.writer(&context).unwrap();
        writer.write(rows()).unwrap();
        drop(writer);
        assert!(names(dir.path()).is_empty());
        let mut writer = sink.writer(&context).unwrap();
        writer.write(rows()).unwrap();
        let committables = writer.prepare().unwrap();
        drop(writer);
        sink.discard(committables.clone()).unwrap();
        sink.discard(committables.clone()).unwrap();
        assert!(names(dir.path()).is_empty());
        assert!(sink.commit(committables).is_err());
        let mut writer = sink.writer(&context).unwrap();
        assert_eq!(writer.prepare().unwrap(), Vec::<serde_json::Value>::new());
        drop(writer);
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn a_further_attempt_removes_what_a_killed_one_left() {
        let dir = tempfile::tempdir().unwrap();
        let mut context = context(ExecutionMode::Batch);
        let leftover = dir.path().join(in_progress("part-0-0", context.job));
        let other_job = dir.path().join(in_progress("part-0-0", JobId(2)));
        fs::write(&leftover, "half a l").unwrap();
        fs::write(&other_job, "half a l").unwrap();
        context.attempt.attempt = 1;
        let _writer = sink(dir.path()).writer(&context).unwrap();
        assert!(!leftover.exists() && other_job.exists());
    }

    #[test]
    fn a_directory_with_output_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("part-3-0"), "a 1\n").unwrap();
        let failure = sink(dir.path()).writer(&context(ExecutionMode::Batch)).err().unwrap();
        assert!(failure.message.contains("already holds output (part-3-0)"), "{failure}");
    }

    #[test]
    fn an_output_that_is_a_file_is_said_first() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let failure = sink(file.path()).writer(&context(ExecutionMode::Batch)).err().unwrap();
        assert!(failure.message.starts_with("cannot write to "), "{failure}");
        assert!(failure.message.ends_with("file exists"), "{failure}");
    }
}
