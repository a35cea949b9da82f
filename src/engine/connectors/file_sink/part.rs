//! A part file: hidden while it is written, visible when the job says so.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
use rustix::io::Errno;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde::{Deserialize, Serialize};

use super::super::cause;
use super::super::files::Compression;
use crate::engine::operators::OperatorContext;
use crate::graph::task::Failure;
use crate::ids::JobId;
use crate::time::Now;

/// A part that is written and not yet visible: the committable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    from: PathBuf,
    to: PathBuf,
}

impl Pending {
    pub(super) fn parse(committable: serde_json::Value) -> Result<Self, Failure> {
        serde_json::from_value(committable)
            .map_err(|error| Failure::permanent(format!("cannot publish output: {error}: not a pending part file")))
    }

    pub(super) fn to_committable(&self) -> Result<serde_json::Value, Failure> {
        serde_json::to_value(self)
            .map_err(|error| Failure::permanent(format!("cannot write to {}: {error}", self.to.display())))
    }

    /// Where it becomes visible.
    pub(super) fn dir(&self) -> Option<&Path> {
        self.to.parent()
    }

    /// Renames; what was renamed before is done.
    pub(super) fn publish(&self) -> Result<(), Failure> {
        match fs::rename(&self.from, &self.to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Published before. Who has taken it away since may: a job must be able to go on all the same.
                if !self.to.exists() {
                    tracing::warn!(path = %self.to.display(), "a part file that was complete is not there any more");
                }
                Ok(())
            }
            other => other.map_err(|error| unwritable(&self.to, &error)),
        }
    }

    pub(super) fn remove(&self) -> Result<(), Failure> {
        match fs::remove_file(&self.from) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(|error| unwritable(&self.from, &error)),
        }
    }
}

/// Removes the file unless it was handed over: a subtask that failed or was cancelled leaves nothing.
pub(super) struct Unpublished(Option<Pending>);

impl Unpublished {
    /// From here the job decides: the file outlives the writer.
    pub(super) fn hand_over(mut self) -> Option<Pending> {
        self.0.take()
    }
}

impl Drop for Unpublished {
    fn drop(&mut self) {
        if let Some(Err(failure)) = self.0.take().map(|pending| pending.remove()) {
            tracing::warn!(%failure, "a part file that nobody will publish remains");
        }
    }
}

/// Where a subtask's parts lie, and what they are called.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) dir: PathBuf,
    job: JobId,
    subtask: u32,
    attempt: u32,
    compression: Compression,
    /// Makes names differ from those of another job in the same directory.
    tag: String,
}

impl Names {
    pub(super) fn new(dir: &Path, compression: Compression, context: &OperatorContext) -> Self {
        let attempt = context.attempt;
        Self {
            dir: dir.to_owned(),
            job: context.job,
            subtask: attempt.subtask,
            attempt: attempt.attempt,
            compression,
            tag: String::new(),
        }
    }

    /// Names that nothing here has: a job that was started from a savepoint of another one goes on in its directory, and counts its
    /// executions anew.
    pub(super) fn beside_others(mut self) -> Self {
        let own = format!("part-{}-{}-", self.subtask, self.attempt);
        let names = fs::read_dir(&self.dir).into_iter().flatten();
        let mut names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        if names.any(|name| name.starts_with(&own)) {
            self.tag = format!("{}-", &self.job.to_string()[..8]);
        }
        self
    }

    fn pending(&self, counter: u32) -> Pending {
        let Self { dir, job, subtask, attempt, compression, tag } = self;
        let name = format!("part-{subtask}-{attempt}-{tag}{counter}{}", compression.extension());
        // The hidden name has the job's, so that two jobs never write to one file.
        Pending { from: dir.join(format!(".{name}.{job}.inprogress")), to: dir.join(&name) }
    }

    /// Removes what earlier executions of this subtask left behind when their process was killed: nobody will publish it, since
    /// the decision to publish ends all executions. What cannot be removed stays, hidden.
    pub(super) fn remove_leftovers(&self) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let ending = format!(".{}.inprogress", self.job);
        for name in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
            let numbers = name.strip_prefix(".part-").filter(|name| name.ends_with(&ending));
            let mut numbers = numbers.into_iter().flat_map(|numbers| numbers.split('-')).map(str::parse::<u32>);
            if let (Some(Ok(subtask)), Some(Ok(attempt))) = (numbers.next(), numbers.next())
                && subtask == self.subtask
                && attempt < self.attempt
            {
                let _ = fs::remove_file(self.dir.join(name));
            }
        }
    }
}

/// A part while it is written.
pub(super) struct Part {
    file: Unpublished,
    /// Whether it has no name yet.
    nameless: bool,
    content: Content,
    /// Before compression.
    pub(super) bytes: u64,
    /// When its first and its last record came; absent without records.
    pub(super) written: Option<(Now, Now)>,
}

enum Content {
    Plain(File),
    Gzip(Box<GzEncoder<File>>),
    /// Each write is a frame.
    Zstd(File),
}

impl Part {
    pub(super) fn create(names: &Names, counter: u32) -> Result<Self, Failure> {
        let pending = names.pending(counter);
        let (file, nameless) = match nameless(&names.dir) {
            Some(file) => (file, true),
            None => (File::create(&pending.from).map_err(|error| unwritable(&pending.from, &error))?, false),
        };
        let content = match names.compression {
            Compression::None => Content::Plain(file),
            Compression::Gzip => Content::Gzip(Box::new(GzEncoder::new(file, flate2::Compression::default()))),
            Compression::Zstd => Content::Zstd(file),
        };
        Ok(Self { file: Unpublished(Some(pending)), nameless, content, bytes: 0, written: None })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.bytes += bytes.len() as u64;
        let written = match &mut self.content {
            Content::Plain(file) => file.write_all(bytes),
            Content::Gzip(encoder) => encoder.write_all(bytes),
            Content::Zstd(file) => file.write_all(&compress_to_vec(bytes, CompressionLevel::Fastest)),
        };
        written.map_err(|error| self.failure(&error))
    }

    /// Makes it durable; the file is there until published or discarded. None where nothing was written: the file goes.
    pub(super) fn close(self) -> Result<Option<Pending>, Failure> {
        if self.bytes == 0 {
            return Ok(None);
        }
        let Self { file, nameless, content, .. } = self;
        let finished = match content {
            Content::Plain(file) | Content::Zstd(file) => Ok(file),
            Content::Gzip(encoder) => encoder.finish(),
        };
        let kept = finished.and_then(|written| {
            if let Some(pending) = file.0.as_ref().filter(|_| nameless) {
                give_name(&written, &pending.from)?;
            }
            written.sync_all()
        });
        kept.map_err(|error| failure(&file, &error))?;
        Ok(file.hand_over())
    }

    fn failure(&self, error: &io::Error) -> Failure {
        failure(&self.file, error)
    }
}

/// A file in `dir` that goes with its writer, however that ends. None where the file system has no such files, or nobody could
/// give it a name later.
pub(super) fn nameless(dir: &Path) -> Option<File> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = File::from(open(dir, flags, Mode::from_bits_truncate(0o666)).ok()?);
    opened(&file).exists().then_some(file)
}

fn opened(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

fn give_name(file: &File, path: &Path) -> io::Result<()> {
    let link = || linkat(CWD, opened(file), CWD, path, AtFlags::SYMLINK_FOLLOW);
    match link() {
        // Left behind by a process of the same number that could not create nameless ones.
        Err(Errno::EXIST) => {
            fs::remove_file(path)?;
            Ok(link()?)
        }
        linked => Ok(linked?),
    }
}

fn failure(file: &Unpublished, error: &io::Error) -> Failure {
    let path = file.0.as_ref().map(|pending| pending.to.as_path());
    unwritable(path.unwrap_or(Path::new("a part file")), error)
}

pub(super) fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot write to {}: {}", path.display(), cause(error));
    match error.kind() {
        io::ErrorKind::Interrupted | io::ErrorKind::StorageFull | io::ErrorKind::TimedOut => {
            Failure::transient(message)
        }
        _ => Failure::permanent(message),
    }
}
