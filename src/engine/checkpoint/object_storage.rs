//! Checkpoints in an object store.
//!
//! ```text
//! <checkpoints>/chk-7/<vertex>-<subtask>-<attempt>, _metadata     as in a file system
//! <checkpoints>/shared/7-<vertex>-<subtask>-<attempt>-0-3f9c….run   a run, uploaded for checkpoint 7 and held by all that have it
//! ```
//! A store has no links, so a run lies beside the checkpoints, and their files name it as `../shared/…`. It is removed when no
//! complete checkpoint beside it names it and none can come to: that is so for a run that was uploaded for a checkpoint no later than the
//! latest complete one, for what that one did not have any more no later one has. Nothing is counted, so nothing can be miscounted: who
//! removes a checkpoint looks at what is there, and what a crash has left is found by the next who looks. That a run is still there is
//! asked before a further checkpoint names it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use bytes::Bytes;

use super::manifest::{MANIFEST_NAME, Manifest};
use super::manifest_file::read_manifest;
use super::storage::{CheckpointStorage, JobStands, NewFile, StoredFile, beside};
use crate::engine::lsm::Run;
use crate::graph::task::Failure;
use crate::rpc::{ErrorKind, io_cause};
use crate::storage::Error;
use crate::storage::files::Creation;
use crate::storage::objects::{Objects, Upload};
use crate::storage::places;

/// Directory of runs, beside the checkpoints that hold them.
const SHARED: &str = "shared";
/// What checkpoints' directories begin with, before their number.
const CHECKPOINT: &str = "chk-";
/// Copied at once.
const COPY_BYTES: usize = 1 << 20;

/// An object store.
#[derive(Clone, Debug)]
pub(super) struct ObjectStorage(Objects);

impl ObjectStorage {
    pub(super) fn new(objects: Objects) -> Self {
        Self(objects)
    }

    /// Whether a run lies whole in this directory, and its name.
    fn known(&self, shared: &str, run: &Run) -> Result<Option<String>, Failure> {
        let Some(place) = run.stored_at().filter(|place| places::parent_of(place) == Some(shared)) else {
            return Ok(None);
        };
        let is_there = self.bytes_of(&place)? == Some(run.bytes());
        Ok(place.rsplit_once('/').filter(|_| is_there).map(|(_, name)| name.to_owned()))
    }

    /// Removes runs beside the checkpoints of a job that no complete one holds.
    fn sweep(&self, checkpoints: &str, job: JobStands) -> Result<(), Failure> {
        let shared = places::inside(checkpoints, SHARED);
        // Listed first: what is uploaded from now on is not among them.
        let runs = self.0.names(&shared).map_err(failure)?;
        if runs.is_empty() {
            return Ok(());
        }
        let (mut latest, mut held) = (None, BTreeSet::new());
        for name in self.directories(checkpoints)?.iter().filter(|name| name.starts_with(CHECKPOINT)) {
            let directory = places::inside(checkpoints, name);
            match read_manifest(self, &places::inside(&directory, MANIFEST_NAME)) {
                Ok(manifest) => {
                    latest = latest.max(Some(manifest.checkpoint.0));
                    held.extend(runs_of(&manifest));
                }
                Err(failure) if failure.kind == ErrorKind::Transient => return Err(failure),
                // Under way, or removed, or damaged: nobody goes on from it.
                Err(_) => {}
            }
        }
        let is_left = |name: &&String| match (job, uploaded_for(name)) {
            (_, None) => false,
            (JobStands::Ended, Some(_)) => true,
            (JobStands::GoesOn, Some(number)) => latest.is_some_and(|latest| number <= latest),
        };
        for name in runs.iter().filter(is_left) {
            let place = places::inside(&shared, name);
            if !held.contains(&place) {
                self.0.remove(&place).map_err(failure)?;
            }
        }
        Ok(())
    }
}

/// The places of all runs that a checkpoint holds.
fn runs_of(manifest: &Manifest) -> impl Iterator<Item = String> {
    let files = manifest.operators.iter().flat_map(|operator| operator.files.iter().flatten());
    files.flat_map(|file| file.runs.iter().map(|run| beside(&file.path, &run.name)))
}

/// The checkpoint that a shared run was uploaded for; none for what is not ours.
fn uploaded_for(name: &str) -> Option<u64> {
    name.split_once('-')?.0.parse().ok()
}

impl CheckpointStorage for ObjectStorage {
    fn create(&self, directory: &str, name: &str) -> Result<Box<dyn NewFile>, Failure> {
        let path = places::inside(directory, name);
        let upload = self.0.upload(&path).map_err(failure)?;
        Ok(Box::new(ObjectFile { upload, path }))
    }

    fn open(&self, path: &str) -> Result<Box<dyn StoredFile>, Failure> {
        match self.0.download(path).map_err(failure)? {
            Some(download) => Ok(Box::new(download)),
            None => Err(missing(path)),
        }
    }

    fn put_run(&self, directory: &str, name: &str, run: &Run) -> Result<String, Failure> {
        let (checkpoints, number) = of_checkpoint(directory);
        let shared = places::inside(checkpoints, SHARED);
        let name = match self.known(&shared, run)? {
            Some(known) => known,
            None => {
                // A number alone may be used again, by the next attempt of a JobManager.
                let name = format!("{number}-{:016x}-{name}", fastrand::u64(..));
                let place = places::inside(&shared, &name);
                let mut upload = self.0.upload(&place).map_err(failure)?;
                copy(&mut run.file().map_err(|error| local(&error))?, &mut upload, &place)?;
                upload.finish().map_err(failure)?;
                run.set_stored_at(place);
                name
            }
        };
        Ok(format!("../{SHARED}/{name}"))
    }

    /// Fetches it: a run is read here and there, and long.
    fn open_run(&self, file: &str, name: &str) -> Result<Run, Failure> {
        let place = beside(file, name);
        let mut download = self.0.download(&place).map_err(failure)?.ok_or_else(|| missing(&place))?;
        let fetched = Fetched::new();
        let mut file = File::create_new(&fetched.0).map_err(|error| local(&error))?;
        copy(&mut download, &mut file, &place)?;
        let here = fetched.0.to_string_lossy();
        let opened = Run::open(&fetched.0, true);
        let run = opened.map_err(|failure| Failure::new(failure.kind, failure.message.replace(&*here, &place)))?;
        fetched.keep();
        run.set_stored_at(place);
        Ok(run)
    }

    fn create_new(&self, path: &str, bytes: &[u8]) -> Result<Creation, Failure> {
        self.0.create_new(path, Bytes::copy_from_slice(bytes)).map_err(failure)
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.0.read(path).map_err(failure)?.map(Vec::from))
    }

    fn bytes_of(&self, path: &str) -> Result<Option<u64>, Failure> {
        self.0.len(path).map_err(failure)
    }

    fn directories(&self, path: &str) -> Result<Vec<String>, Failure> {
        self.0.directories(path).map_err(failure)
    }

    fn discard(&self, directory: &str, job: JobStands) -> Result<(), Failure> {
        self.0.remove(&places::inside(directory, MANIFEST_NAME)).map_err(failure)?;
        self.0.remove_below(directory).map_err(failure)?;
        let checkpoints = places::parent_of(directory).filter(|_| is_checkpoint(directory));
        checkpoints.map_or(Ok(()), |checkpoints| self.sweep(checkpoints, job))
    }
}

fn is_checkpoint(directory: &str) -> bool {
    directory.rsplit('/').next().is_some_and(|name| name.starts_with(CHECKPOINT))
}

/// The directory of all checkpoints, and the number of this one.
fn of_checkpoint(directory: &str) -> (&str, u64) {
    let (checkpoints, name) = directory.rsplit_once('/').unwrap_or((directory, ""));
    let number = name.strip_prefix(CHECKPOINT).and_then(|name| name.split('-').next()?.parse().ok());
    (checkpoints, number.unwrap_or(u64::MAX))
}

struct ObjectFile {
    upload: Upload,
    path: String,
}

impl Write for ObjectFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.upload.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.upload.flush()
    }
}

impl NewFile for ObjectFile {
    fn publish(self: Box<Self>) -> Result<String, Failure> {
        self.upload.finish().map_err(failure)?;
        Ok(self.path)
    }
}

/// A file of this process's own, removed unless it is kept.
struct Fetched(PathBuf);

impl Fetched {
    fn new() -> Self {
        let name = format!("flott-run-{}-{:016x}", std::process::id(), fastrand::u64(..));
        Self(std::env::temp_dir().join(name))
    }

    fn keep(mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // What stays behind goes with the directory.
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

fn copy(from: &mut dyn Read, to: &mut dyn Write, place: &str) -> Result<(), Failure> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut copy = || -> io::Result<()> {
        loop {
            let count = from.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            to.write_all(&buffer[..count])?;
        }
    };
    copy().map_err(|error| Failure::transient(format!("cannot copy the state's file {place}: {}", io_cause(&error))))
}

fn failure(error: Error) -> Failure {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::Transient => Failure::transient(text),
        ErrorKind::Permanent | ErrorKind::Fenced => Failure::permanent(text),
        ErrorKind::User => Failure::user(text),
    }
}

fn missing(path: &str) -> Failure {
    Failure::permanent(format!("cannot read the checkpoint's file {path}: no such object"))
}

fn local(error: &io::Error) -> Failure {
    Failure::transient(format!("cannot use the directory for temporary files: {}", io_cause(error)))
}

#[cfg(test)]
mod tests;
