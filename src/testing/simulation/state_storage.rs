//! Where the simulated jobs' checkpoints lie: files in memory that outlive every process.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Cursor, Read, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fastrand::Rng;

use crate::engine::checkpoint::{CheckpointStorage, JobStands, Manifest, NewFile, StoredFile};
use crate::engine::lsm::Run;
use crate::graph::task::Failure;
use crate::storage::files::Creation;

/// The files of one job.
#[derive(Clone, Default)]
pub(super) struct StateStorage(Arc<Mutex<Disk>>);

#[derive(Default)]
struct Disk {
    files: BTreeMap<String, Arc<[u8]>>,
    full: bool,
    /// A full disk takes what is written, and half of it is not there: a planted mistake.
    swallows: bool,
    /// Files that are not what was written.
    damaged: BTreeSet<String>,
    /// Where workers hold what of their state is not in memory.
    scratch: Option<Scratch>,
}

/// A directory of the real machine, for state beyond memory.
struct Scratch {
    dir: PathBuf,
    made: u64,
}

impl Scratch {
    fn new() -> io::Result<Self> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("flott-simulation-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir)?;
        Ok(Self { dir, made: 0 })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is small, and below the directory for what is temporary.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl StateStorage {
    /// Removes a directory.
    pub(super) fn discard(&self, directory: &str) {
        let prefix = format!("{directory}/");
        self.lock().files.retain(|path, _| !path.starts_with(&prefix));
    }

    /// Removes the checkpoints in a directory that are not among these.
    pub(super) fn discard_others(&self, directory: &str, kept: &[String]) {
        let prefix = format!("{directory}/");
        let is_kept = |path: &str| kept.iter().any(|kept| path.starts_with(&format!("{kept}/")));
        self.lock().files.retain(|path, _| !path.starts_with(&prefix) || is_kept(path));
    }

    /// The first file of a checkpoint that is there.
    pub(super) fn first_in(&self, directory: &str) -> Option<String> {
        let prefix = format!("{directory}/");
        self.lock().files.keys().find(|path| path.starts_with(&prefix)).cloned()
    }

    /// A new place in a real directory that goes with this storage.
    ///
    /// # Errors
    /// A machine without one.
    pub(super) fn scratch(&self) -> io::Result<PathBuf> {
        let mut disk = self.lock();
        if disk.scratch.is_none() {
            disk.scratch = Some(Scratch::new()?);
        }
        let scratch = disk.scratch.as_mut().ok_or(io::ErrorKind::NotFound)?;
        scratch.made += 1;
        Ok(scratch.dir.join(scratch.made.to_string()))
    }

    /// The same failure of every run of the seed.
    pub(super) fn without_scratch(&self, failure: Failure) -> Failure {
        let disk = self.lock();
        let Some(scratch) = &disk.scratch else { return failure };
        let message = failure.message.replace(&*scratch.dir.to_string_lossy(), "scratch");
        Failure { message, ..failure }
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    pub(super) fn swallow_when_full(&self) {
        self.lock().swallows = true;
    }

    /// Damages a file, a later one rather than an earlier one.
    pub(super) fn flip(&self, rng: &mut Rng) -> Option<String> {
        let mut disk = self.lock();
        let count = disk.files.len();
        let at = rng.usize(..count.max(1)).max(rng.usize(..count.max(1)));
        let (path, bytes) = disk.files.iter_mut().nth(at)?;
        let mut changed = bytes.to_vec();
        let byte = rng.usize(..changed.len().max(1));
        *changed.get_mut(byte)? ^= 1 << rng.u32(..8);
        *bytes = changed.into();
        let path = path.clone();
        disk.damaged.insert(path.clone());
        Some(path)
    }

    /// Whether anything in a directory has been damaged.
    pub(super) fn is_damaged(&self, directory: &str) -> bool {
        let prefix = format!("{directory}/");
        self.lock().damaged.iter().any(|path| path.starts_with(&prefix))
    }

    /// Whether anything at all has been.
    pub(super) fn has_damage(&self) -> bool {
        !self.lock().damaged.is_empty()
    }

    /// Whether all files of a checkpoint are there, as long as they were written.
    pub(super) fn has_all_of(&self, manifest: &Manifest) -> bool {
        let mut files = manifest.operators.iter().flat_map(|operator| operator.files.iter().flatten());
        files.all(|file| self.len(&file.path) == Some(file.bytes))
    }

    /// Bytes of a file.
    pub(super) fn len(&self, path: &str) -> Option<u64> {
        self.lock().files.get(path).map(|bytes| bytes.len() as u64)
    }

    /// Only the first half of a file has become durable.
    pub(super) fn tear(&self, path: &str) {
        if let Some(bytes) = self.lock().files.get_mut(path) {
            *bytes = bytes[..bytes.len() / 2].into();
        }
    }
}

struct MemoryFile {
    storage: StateStorage,
    path: String,
    bytes: Vec<u8>,
}

impl Write for MemoryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let disk = self.storage.lock();
        if disk.full && !disk.swallows {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewFile for MemoryFile {
    fn publish(self: Box<Self>) -> Result<String, Failure> {
        let Self { storage, path, mut bytes } = *self;
        let mut disk = storage.lock();
        if disk.full {
            if !disk.swallows {
                return Err(Failure::transient(format!("cannot write {path}: no space left on device")));
            }
            bytes.truncate(bytes.len() / 2);
        }
        disk.damaged.remove(&path);
        disk.files.insert(path.clone(), bytes.into());
        Ok(path)
    }
}

impl CheckpointStorage for StateStorage {
    fn create(&self, directory: &str, name: &str) -> Result<Box<dyn NewFile>, Failure> {
        Ok(Box::new(MemoryFile { storage: self.clone(), path: format!("{directory}/{name}"), bytes: Vec::new() }))
    }

    fn open(&self, path: &str) -> Result<Box<dyn StoredFile>, Failure> {
        let file = self.lock().files.get(path).cloned();
        match file {
            Some(bytes) => Ok(Box::new(Cursor::new(bytes))),
            None => Err(Failure::permanent(format!("no such file: {path}"))),
        }
    }

    fn put_run(&self, directory: &str, name: &str, run: &Run) -> Result<String, Failure> {
        let mut bytes = Vec::new();
        let read = |bytes: &mut Vec<u8>| run.file()?.read_to_end(bytes);
        read(&mut bytes).map_err(|error| Failure::transient(error.to_string()))?;
        let mut file = self.create(directory, name)?;
        file.write_all(&bytes).map_err(|error| Failure::transient(error.to_string()))?;
        file.publish()?;
        Ok(name.to_owned())
    }

    fn open_run(&self, beside: &str, name: &str) -> Result<Run, Failure> {
        let directory = beside.rsplit_once('/').map_or("", |(directory, _)| directory);
        let path = format!("{directory}/{name}");
        let bytes = self.read(&path)?.ok_or_else(|| Failure::permanent(format!("no such file: {path}")))?;
        let copy = self.scratch().map_err(|error| Failure::transient(error.to_string()))?;
        let written = fs::write(&copy, bytes).map_err(|error| Failure::transient(error.to_string()));
        written.and_then(|()| Run::open(&copy, true)).map_err(|failure| self.without_scratch(failure))
    }

    fn create_new(&self, path: &str, bytes: &[u8]) -> Result<Creation, Failure> {
        match self.lock().files.entry(path.to_owned()) {
            Entry::Occupied(_) => Ok(Creation::AlreadyExists),
            Entry::Vacant(vacant) => {
                vacant.insert(bytes.into());
                Ok(Creation::Created)
            }
        }
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.lock().files.get(path).map(|bytes| bytes.to_vec()))
    }

    fn bytes_of(&self, path: &str) -> Result<Option<u64>, Failure> {
        Ok(self.len(path))
    }

    fn directories(&self, path: &str) -> Result<Vec<String>, Failure> {
        let (disk, prefix) = (self.lock(), format!("{path}/"));
        let below = disk.files.keys().filter_map(|known| known.strip_prefix(&prefix)?.split_once('/'));
        let names: BTreeSet<String> = below.map(|(name, _)| name.to_owned()).collect();
        Ok(names.into_iter().collect())
    }

    fn discard(&self, directory: &str, _: JobStands) -> Result<(), Failure> {
        Self::discard(self, directory);
        Ok(())
    }
}
