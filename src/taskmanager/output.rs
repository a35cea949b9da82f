//! What workers write: read from their pipes by lines, into a bounded file of the job and one of all workers.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::directories::Directories;
use crate::ids::JobId;
use crate::process::RotatedLog;

/// Each file has this size at most, and one predecessor.
const LOG_BYTES_MAX: u64 = 10 << 20;
/// A line longer than this is cut into several writes.
const LINE_BYTES_MAX: usize = 64 << 10;
/// How much of its last output is reported with a worker's exit.
const TAIL_BYTES_MAX: usize = 4096;
/// Jobs whose logs are kept once they have ended; the oldest go first.
const ENDED_JOBS_KEPT: usize = 20;

/// One of a worker's two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// What it prints.
    Stdout,
    /// What it logs, and its panics.
    Stderr,
}

impl Stream {
    /// The extension of its files.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Stdout => "out",
            Self::Stderr => "err",
        }
    }
}

/// The files of all workers together. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Outputs {
    directories: Directories,
    stdout: Arc<Mutex<RotatedLog>>,
    stderr: Arc<Mutex<RotatedLog>>,
}

impl Outputs {
    pub(super) fn open(directories: Directories) -> io::Result<Self> {
        fs::create_dir_all(&directories.logs)?;
        let merged = |stream: Stream| {
            let log = RotatedLog::open(directories.merged_log(stream.extension()), LOG_BYTES_MAX)?;
            Ok::<_, io::Error>(Arc::new(Mutex::new(log)))
        };
        let (stdout, stderr) = (merged(Stream::Stdout)?, merged(Stream::Stderr)?);
        Ok(Self { directories, stdout, stderr })
    }

    /// Reads `pipe` to its end. Blocking. Returns the last lines. A full disk loses lines, never blocks the worker.
    pub(super) fn collect(&self, job: JobId, stream: Stream, mut pipe: impl Read) -> String {
        let merged = match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        };
        let own = RotatedLog::open(self.directories.log(job, stream.extension()), LOG_BYTES_MAX);
        let mut writer = Writer { own: own.ok(), merged, tail: Vec::new(), complained: false };
        let mut buffer = Vec::with_capacity(LINE_BYTES_MAX);
        let mut chunk = vec![0; LINE_BYTES_MAX];
        loop {
            let length = match pipe.read(&mut chunk) {
                Ok(length) if length > 0 => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(_) | Err(_) => break,
            };
            buffer.extend_from_slice(&chunk[..length]);
            let whole = memchr::memrchr(b'\n', &buffer).map_or(0, |at| at + 1);
            let cut = if whole == 0 && buffer.len() >= LINE_BYTES_MAX { buffer.len() } else { whole };
            writer.write(&buffer[..cut]);
            buffer.drain(..cut);
        }
        if !buffer.is_empty() {
            buffer.push(b'\n');
            writer.write(&buffer);
        }
        writer.last_lines()
    }

    /// Removes the logs of jobs that ended long ago.
    pub(super) fn prune(&self, running: &[JobId]) {
        let Ok(entries) = fs::read_dir(&self.directories.logs) else {
            return;
        };
        let mut ended: Vec<_> = entries
            .flatten()
            .filter_map(|entry| {
                let job: JobId =
                    Path::new(&entry.file_name()).file_stem()?.to_str()?.split('.').next()?.parse().ok()?;
                let changed = entry.metadata().ok()?.modified().ok()?;
                (!running.contains(&job)).then(|| (changed, entry.path()))
            })
            .collect();
        ended.sort();
        // Four files a job at most: two streams with one predecessor each.
        let surplus = ended.len().saturating_sub(ENDED_JOBS_KEPT * 4);
        for (_, path) in ended.drain(..surplus) {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "cannot remove an old log");
            }
        }
    }
}

struct Writer<'a> {
    own: Option<RotatedLog>,
    merged: &'a Mutex<RotatedLog>,
    tail: Vec<u8>,
    complained: bool,
}

impl Writer<'_> {
    fn write(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let own = self.own.as_mut().map_or(Ok(()), |log| log.write(lines));
        let merged = self.merged.lock().unwrap_or_else(PoisonError::into_inner).write(lines);
        if let Err(error) = own.and(merged)
            && !std::mem::replace(&mut self.complained, true)
        {
            tracing::error!(%error, "cannot write what a worker says; it is lost");
        }
        self.tail.extend_from_slice(lines);
        let surplus = self.tail.len().saturating_sub(TAIL_BYTES_MAX);
        self.tail.drain(..surplus);
    }

    fn last_lines(&self) -> String {
        let text = String::from_utf8_lossy(&self.tail);
        let whole = match text.split_once('\n') {
            // The first line may have been cut.
            Some((_, rest)) if self.tail.len() == TAIL_BYTES_MAX && !rest.trim().is_empty() => rest,
            Some(_) | None => &text,
        };
        whole.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(directory: &Path) -> Outputs {
        let directories = Directories { work: directory.join("work"), logs: directory.join("logs"), programs: None };
        Outputs::open(directories).unwrap()
    }

    #[test]
    fn lines_of_several_jobs_are_kept_apart_and_together() {
        let directory = tempfile::tempdir().unwrap();
        let outputs = outputs(directory.path());
        assert_eq!(outputs.collect(JobId(1), Stream::Stdout, &b"a\nb\nhalf"[..]), "a\nb\nhalf");
        outputs.collect(JobId(2), Stream::Stdout, &b"c\n"[..]);
        let read = |name: &str| fs::read_to_string(directory.path().join("logs").join(name)).unwrap();
        assert_eq!(read(&format!("{}.out", JobId(1))), "a\nb\nhalf\n");
        assert_eq!(read("workers.out"), "a\nb\nhalf\nc\n");
        assert_eq!(read("workers.err"), "");
    }

    #[test]
    fn endless_lines_and_long_outputs_are_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let outputs = outputs(directory.path());
        let text = format!("{}\n{}last", "x".repeat(300_000), "line\n".repeat(10_000));
        let tail = outputs.collect(JobId(1), Stream::Stderr, text.as_bytes());
        assert!(tail.len() <= TAIL_BYTES_MAX && tail.starts_with("line\n") && tail.ends_with("line\nlast"));
        let written = fs::metadata(directory.path().join("logs/workers.err")).unwrap().len();
        assert_eq!(written, text.len() as u64 + 1);
    }

    #[test]
    fn logs_of_old_jobs_go_and_of_running_ones_stay() {
        let directory = tempfile::tempdir().unwrap();
        let outputs = outputs(directory.path());
        for job in 0..100 {
            outputs.collect(JobId(job), Stream::Stdout, &b"x\n"[..]);
        }
        outputs.prune(&[JobId(0)]);
        let names = fs::read_dir(directory.path().join("logs")).unwrap().count();
        assert_eq!(names, ENDED_JOBS_KEPT * 4 + 1 + 2);
        assert!(directory.path().join("logs").join(format!("{}.out", JobId(0))).exists());
    }
}
