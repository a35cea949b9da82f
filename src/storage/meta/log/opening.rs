//! Opening a log: what is readable, what is missing, and a rebuilt one where something is.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::super::{Error, Record, Version};
use super::{Begun, Index, LOG, LogStore, PREVIOUS, Replaced, frame};

/// More than can have been lost.
const VERSIONS_SKIPPED: u64 = 1 << 32;

/// An opened store.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: LogStore,
    /// Set if it had to be rebuilt; the operator should be told.
    pub rebuilt: Option<Rebuilt>,
}

/// That a store was damaged and has been rebuilt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// What was wrong.
    pub cause: String,
    /// How many records there are now.
    pub records: usize,
    /// Where the damaged log has been moved, for those who want to look; absent if there was nothing to move.
    pub set_aside: Option<PathBuf>,
}

pub(super) fn open(dir: &Path) -> Result<Opened, Error> {
    fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    let lock = lock(dir)?;
    let (log, previous) = (open_log(&dir.join(LOG))?, open_log(&dir.join(PREVIOUS))?);
    let damage = match &log {
        Some(file) => match load(dir, file)? {
            Ok(loaded) => return Ok(Opened { store: loaded.store(dir, lock), rebuilt: None }),
            Err(damage) => damage,
        },
        None if previous.is_some() => "it is gone".to_owned(),
        None => {
            Begun::create(dir)?.publish(Version(0), Replaced::Thrown)?;
            return Ok(Opened { store: reopen(dir, lock)?, rebuilt: None });
        }
    };
    rebuild(dir, damage, [previous, log], lock)
}

struct Loaded {
    file: File,
    bytes: u64,
    index: Index,
    last: Version,
}

impl Loaded {
    fn store(self, dir: &Path, lock: File) -> LogStore {
        let Self { file, bytes, index, last } = self;
        LogStore { dir: dir.to_owned(), file, bytes, index, pending: BTreeMap::new(), last, _lock: lock }
    }
}

/// The log's records, or what is wrong with it.
fn load(dir: &Path, file: &File) -> Result<Result<Loaded, String>, Error> {
    let path = dir.join(LOG);
    let mut index = Index::default();
    let scan = frame::scan(file, |change| index.change(&change)).map_err(Error::io("read", &path))?;
    if let Some(damage) = scan.damage() {
        return Ok(Err(damage));
    }
    if scan.length > scan.end {
        tracing::info!(path = %path.display(), bytes = scan.length - scan.end, "an unfinished write is dropped");
        let cut = file.set_len(scan.end).and_then(|()| file.sync_all());
        cut.map_err(Error::io("write", &path))?;
    }
    let file = file.try_clone().map_err(Error::io("open", &path))?;
    let last = index.last.max(scan.head.map_or(Version(0), |head| head.version));
    Ok(Ok(Loaded { file, bytes: scan.end, index, last }))
}

/// Opens a log that has just been written.
fn reopen(dir: &Path, lock: File) -> Result<LogStore, Error> {
    let gone = || "it is gone".to_owned();
    let loaded = open_log(&dir.join(LOG))?.map(|file| load(dir, &file)).transpose()?;
    match loaded.unwrap_or_else(|| Err(gone())) {
        Ok(loaded) => Ok(loaded.store(dir, lock)),
        Err(cause) => Err(Error::Damaged { path: dir.to_owned(), cause }),
    }
}

/// Takes what is readable of the log before and, over it, of the damaged one.
fn rebuild(dir: &Path, cause: String, logs: [Option<File>; 2], lock: File) -> Result<Opened, Error> {
    let path = dir.join(LOG);
    let mut salvaged = Salvaged::default();
    for file in logs.iter().flatten() {
        salvaged.read(file).map_err(Error::io("read", &path))?;
    }
    let Salvaged { records, last, readable } = salvaged;
    if !readable {
        let cause = format!("{cause}, and there is no log before it to rebuild it from");
        return Err(Error::Damaged { path: dir.to_owned(), cause });
    }
    let [_, damaged] = logs;
    let set_aside = damaged.map(|_| set_aside(&path)).transpose()?;
    let mut begun = Begun::create(dir)?;
    for (key, record) in &records {
        begun.push(key, record)?;
    }
    // Versions that are lost may have been seen by somebody: they are not given again.
    begun.publish(Version(last.0 + VERSIONS_SKIPPED), Replaced::Thrown)?;
    let mut store = reopen(dir, lock)?;
    // Once more, so that the log before it is whole too.
    store.compact()?;
    // Nothing was lost if there never was anything.
    let rebuilt = (last > Version(0)).then_some(Rebuilt { cause, records: records.len(), set_aside });
    Ok(Opened { store, rebuilt })
}

#[derive(Default)]
struct Salvaged {
    records: BTreeMap<String, Record>,
    last: Version,
    /// Whether there was a single good frame.
    readable: bool,
}

impl Salvaged {
    fn read(&mut self, file: &File) -> io::Result<()> {
        let scan = frame::scan(file, |change| {
            self.last = self.last.max(change.version);
            match change.value {
                Some(value) => {
                    let record = Record { version: change.version, value: value.bytes.to_vec() };
                    self.records.insert(change.key.to_owned(), record);
                }
                None => {
                    self.records.remove(change.key);
                }
            }
        })?;
        self.last = self.last.max(scan.head.map_or(Version(0), |head| head.version));
        self.readable |= scan.end > 0;
        Ok(())
    }
}

fn open_log(path: &Path) -> Result<Option<File>, Error> {
    match File::options().read(true).write(true).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("open", path)(error)),
    }
}

/// Gives the log a second name, under which it stays when it is replaced.
fn set_aside(path: &Path) -> Result<PathBuf, Error> {
    let names = (1..).map(|number: u32| path.with_file_name(format!("{LOG}.damaged-{number}")));
    for target in names {
        match fs::hard_link(path, &target) {
            Ok(()) => return Ok(target),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("keep", path)(error)),
        }
    }
    unreachable!("numbers do not end")
}

fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(Error::io("create", &path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::InUse { path: dir.to_owned() }),
        Err(error) => Err(Error::io("lock", &path)(error.into())),
    }
}
