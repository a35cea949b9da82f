//! Records in an embedded store, with an export beside it.
//!
//! ```text
//! <dir>/lock           held while open
//! <dir>/sled/          the store
//! <dir>/export.jsonl   all records as of at most five seconds ago, checksummed
//! ```

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use sled::{Batch, Db, Tree};

use super::export::Export;
use super::{Error, MetaStore, Operation, Record, Version};
use crate::time::{Deadline, Stopwatch};

/// How old the export may be while records change.
const EXPORT_INTERVAL: Duration = Duration::from_secs(5);
/// Read once at start, then only written: a small cache will do.
const CACHE_BYTES: u64 = 4 << 20;
/// Sled lets go of a store a moment after its last handle is dropped.
const REOPEN_PATIENCE: Duration = Duration::from_secs(5);
/// Beside the records, the last version; its key sorts before all of theirs.
const LAST_VERSION: &[u8] = b"\0version";

/// Records in an embedded store (sled) with an export beside it.
pub struct SledStore {
    dir: PathBuf,
    database: Db,
    records: Tree,
    last: Version,
    /// To make flushes reach the disk: sled's own stop at the operating system.
    file: File,
    exported: Stopwatch,
    /// Changed since the last export.
    changed: bool,
    _lock: File,
}

/// An opened store.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: SledStore,
    /// Set if it had to be rebuilt from the export; the operator should be told.
    pub rebuilt: Option<Rebuilt>,
}

/// That a store was damaged and has been rebuilt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// What was wrong.
    pub cause: String,
    /// How many records the export had.
    pub records: usize,
    /// Where the damaged one has been moved, for those who want to look; absent if there was nothing to move.
    pub set_aside: Option<PathBuf>,
}

/// Why the embedded store did not open.
enum Failure {
    /// Its content is not what was written.
    Damage(String),
    Other(Error),
}

impl SledStore {
    /// Opens or creates the store in `dir` for this process alone. All records are read and checked.
    ///
    /// A damaged store is moved aside and rebuilt from the export, which may lack the changes of the last five seconds. Damage is
    /// what cannot be read, what has a wrong checksum, and what is less than the export.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Damaged`] if the export is missing or damaged too, [`Error::Io`].
    pub fn open(dir: &Path) -> Result<Opened, Error> {
        fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        let lock = lock(dir)?;
        let (sled_dir, export_path) = (dir.join("sled"), dir.join("export.jsonl"));
        let existed = sled_dir.exists();
        let mut export = Export::read(&export_path);
        if !existed && matches!(export, Ok(None)) {
            // The export comes first, so that a store without one is known not to be new.
            let empty = Export { last: Version(0), records: Vec::new() };
            empty.write(&export_path)?;
            export = Ok(Some(empty));
        }
        let known = export.as_ref().ok().and_then(Option::as_ref);
        let damage = match open_checked(&sled_dir).and_then(|opened| opened.compare(known)) {
            Ok(opened) => {
                let store = Self::new(dir, opened, lock)?;
                return Ok(Opened { store, rebuilt: None });
            }
            Err(Failure::Other(error)) => return Err(error),
            Err(Failure::Damage(cause)) => cause,
        };
        let unusable = |cause: String| Error::Damaged { path: dir.to_owned(), cause };
        let export = match export {
            Ok(Some(export)) => export,
            Ok(None) => return Err(unusable(format!("{damage}, and there is no export to rebuild it from"))),
            Err(error) => return Err(unusable(format!("{damage}, and {error}"))),
        };
        let set_aside = if existed { Some(set_aside(&sled_dir)?) } else { None };
        let opened = open_checked(&sled_dir).map_err(|failure| match failure {
            Failure::Other(error) => error,
            Failure::Damage(cause) => unusable(cause),
        })?;
        let mut store = Self::new(dir, opened, lock)?;
        store.import(&export)?;
        let rebuilt = Rebuilt { cause: damage, records: export.records.len(), set_aside };
        // Nothing was lost if there never was anything.
        let rebuilt = (export.last > Version(0)).then_some(rebuilt);
        Ok(Opened { store, rebuilt })
    }

    fn new(dir: &Path, opened: Checked, lock: File) -> Result<Self, Error> {
        let file_path = dir.join("sled/db");
        let file = File::open(&file_path).map_err(Error::io("open", &file_path))?;
        let Checked { database, records, last } = opened;
        let last = last.unwrap_or_default();
        let exported = Stopwatch::start();
        Ok(Self { dir: dir.to_owned(), database, records, last, file, exported, changed: true, _lock: lock })
    }

    fn import(&mut self, export: &Export) -> Result<(), Error> {
        let mut batch = Batch::default();
        for (key, record) in &export.records {
            batch.insert(key.as_bytes(), encode(record));
        }
        self.last = export.last;
        batch.insert(LAST_VERSION, &self.last.0.to_be_bytes());
        self.records.apply_batch(batch).map_err(|error| self.failed(&error))?;
        self.flush()
    }

    fn failed(&self, error: &sled::Error) -> Error {
        failed(&self.dir, error)
    }

    fn export(&mut self) -> Result<(), Error> {
        let export = Export { last: self.last, records: self.list("")? };
        export.write(&self.dir.join("export.jsonl"))?;
        self.changed = false;
        self.exported = Stopwatch::start();
        Ok(())
    }
}

impl MetaStore for SledStore {
    fn get(&self, key: &str) -> Result<Option<Record>, Error> {
        let bytes = self.records.get(key).map_err(|error| self.failed(&error))?;
        let record = bytes.map(|bytes| decode(&bytes)).transpose();
        record.map_err(|cause| Error::Damaged { path: self.dir.clone(), cause })
    }

    fn list(&self, prefix: &str) -> Result<Vec<(String, Record)>, Error> {
        let mut records = Vec::new();
        for entry in self.records.scan_prefix(prefix) {
            let (key, value) = entry.map_err(|error| self.failed(&error))?;
            if &*key == LAST_VERSION {
                continue;
            }
            let record = checked(&key, &value).map_err(|cause| Error::Damaged { path: self.dir.clone(), cause })?;
            records.push(record);
        }
        Ok(records)
    }

    fn apply(&mut self, batch: &[Operation]) -> Result<Version, Error> {
        for operation in batch {
            operation.check(self.get(operation.key())?.map(|record| record.version))?;
        }
        let version = Version(self.last.0 + 1);
        let mut changes = Batch::default();
        for operation in batch {
            match operation {
                Operation::Put { key, value, .. } => {
                    changes.insert(key.as_bytes(), encode(&Record { version, value: value.clone() }));
                }
                Operation::Delete { key, .. } => changes.remove(key.as_bytes()),
            }
        }
        changes.insert(LAST_VERSION, &version.0.to_be_bytes());
        self.records.apply_batch(changes).map_err(|error| self.failed(&error))?;
        self.last = version;
        self.changed = true;
        Ok(version)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.database.flush().map_err(|error| self.failed(&error))?;
        self.file.sync_data().map_err(Error::io("write", &self.dir))
    }

    fn maintain(&mut self) -> Result<Option<Duration>, Error> {
        if !self.changed {
            return Ok(None);
        }
        let age = self.exported.elapsed();
        if age < EXPORT_INTERVAL {
            return Ok(Some(EXPORT_INTERVAL - age));
        }
        self.export()?;
        Ok(None)
    }

    fn close(&mut self) -> Result<(), Error> {
        self.flush()?;
        self.export()
    }
}

impl std::fmt::Debug for SledStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledStore").field("dir", &self.dir).field("last", &self.last).finish_non_exhaustive()
    }
}

fn failed(dir: &Path, error: &sled::Error) -> Error {
    match error {
        sled::Error::Io(source) => {
            let source = std::io::Error::new(source.kind(), source.to_string());
            Error::Io { verb: "use", path: dir.to_owned(), source }
        }
        other => Error::Damaged { path: dir.to_owned(), cause: other.to_string() },
    }
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

/// An open store all of whose records have been read.
struct Checked {
    database: Db,
    records: Tree,
    /// `None` if it has never been used, or has lost everything.
    last: Option<Version>,
}

impl Checked {
    /// Sled opens a store whose log is unreadable as an empty or shortened one, so what it has is held against the export.
    fn compare(self, export: Option<&Export>) -> Result<Self, Failure> {
        let Some(last) = self.last else { return Err(Failure::Damage("it is empty".to_owned())) };
        let Some(export) = export else { return Ok(self) };
        if last < export.last {
            let (last, exported) = (last.0, export.last.0);
            return Err(Failure::Damage(format!("it ends at version {last}, its export at {exported}")));
        }
        if last == export.last {
            let stored = self.all().map_err(Failure::Damage)?;
            if stored != export.records {
                return Err(Failure::Damage("it differs from its export of the same version".to_owned()));
            }
        }
        Ok(self)
    }

    fn all(&self) -> Result<Vec<(String, Record)>, String> {
        let mut records = Vec::new();
        for entry in self.records.iter() {
            let (key, value) = entry.map_err(|error| error.to_string())?;
            if &*key != LAST_VERSION {
                records.push(checked(&key, &value)?);
            }
        }
        Ok(records)
    }
}

/// Sled reports some damage as errors and some by panicking, so both are looked at. Nothing of ours is shared with it.
fn open_checked(dir: &Path) -> Result<Checked, Failure> {
    match catch_unwind(AssertUnwindSafe(|| open_sled(dir))) {
        Ok(outcome) => outcome,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it cannot be read");
            Err(Failure::Damage(text.to_owned()))
        }
    }
}

fn open_sled(dir: &Path) -> Result<Checked, Failure> {
    let failure = |error: sled::Error| match error {
        sled::Error::Io(ref source)
            if !matches!(source.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof) =>
        {
            Failure::Other(failed(dir, &error))
        }
        other => Failure::Damage(other.to_string()),
    };
    let config = sled::Config::new().path(dir).cache_capacity(CACHE_BYTES).flush_every_ms(None);
    let patience = Deadline::after(REOPEN_PATIENCE);
    let database = loop {
        match config.open() {
            // We hold the lock of the directory, so whoever has the store is on its way out.
            Err(sled::Error::Io(error)) if error.to_string().contains("lock") && !patience.passed() => {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            outcome => break outcome.map_err(failure)?,
        }
    };
    let records = database.open_tree("records").map_err(failure)?;
    let number = records.get(LAST_VERSION).map_err(failure)?;
    let number = number.map(|bytes| <[u8; 8]>::try_from(&*bytes)).transpose();
    let number = number.map_err(|_| Failure::Damage("the version is cut".to_owned()))?;
    let opened = Checked { database, records, last: number.map(|bytes| Version(u64::from_be_bytes(bytes))) };
    opened.all().map_err(Failure::Damage)?;
    Ok(opened)
}

fn set_aside(dir: &Path) -> Result<PathBuf, Error> {
    let mut number = 1;
    let mut target = dir.with_file_name(format!("sled.damaged-{number}"));
    while target.exists() {
        number += 1;
        target = dir.with_file_name(format!("sled.damaged-{number}"));
    }
    fs::rename(dir, &target).map_err(Error::io("move", dir))?;
    Ok(target)
}

/// Version, checksum, value.
fn encode(record: &Record) -> Vec<u8> {
    let mut bytes = record.version.0.to_be_bytes().to_vec();
    bytes.extend(crc32c::crc32c(&record.value).to_be_bytes());
    bytes.extend(&record.value);
    bytes
}

fn decode(bytes: &[u8]) -> Result<Record, String> {
    let (version, rest) = bytes.split_first_chunk().ok_or("a record is cut")?;
    let (checksum, value) = rest.split_first_chunk().ok_or("a record is cut")?;
    if crc32c::crc32c(value) != u32::from_be_bytes(*checksum) {
        return Err("a record has the wrong checksum".to_owned());
    }
    Ok(Record { version: Version(u64::from_be_bytes(*version)), value: value.to_vec() })
}

fn checked(key: &[u8], value: &[u8]) -> Result<(String, Record), String> {
    let key = std::str::from_utf8(key).map_err(|_| "a key is no text")?;
    Ok((key.to_owned(), decode(value).map_err(|cause| format!("{cause}: {key}"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(dir: &Path, count: usize) {
        let mut store = SledStore::open(dir).unwrap().store;
        for number in 0..count {
            store.apply(&[Operation::put(format!("app/{number:04}"), vec![7; 500])]).unwrap();
        }
        store.close().unwrap();
    }

    #[test]
    fn records_and_versions_survive_reopening() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 3);
        let Opened { mut store, rebuilt } = SledStore::open(dir.path()).unwrap();
        assert_eq!((store.list("").unwrap().len(), rebuilt), (3, None));
        assert_eq!(store.apply(&[Operation::delete("app/0002")]).unwrap(), Version(4));
        store.flush().unwrap();
        drop(store);
        let mut store = SledStore::open(dir.path()).unwrap().store;
        assert_eq!(store.list("").unwrap().len(), 2);
        assert_eq!(store.apply(&[Operation::put("app/0002", "")]).unwrap(), Version(5), "deletions count too");
    }

    #[test]
    fn a_store_is_for_one_process() {
        let dir = tempfile::tempdir().unwrap();
        let _opened = SledStore::open(dir.path()).unwrap();
        assert!(matches!(SledStore::open(dir.path()), Err(Error::InUse { .. })));
    }

    #[test]
    fn a_damaged_store_is_rebuilt_from_its_export_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 200);
        let path = dir.path().join("sled/db");
        let mut bytes = fs::read(&path).unwrap();
        bytes.iter_mut().for_each(|byte| *byte ^= 0x5a);
        fs::write(&path, &bytes).unwrap();
        let Opened { store, rebuilt } = SledStore::open(dir.path()).unwrap();
        let rebuilt = rebuilt.expect("the damage is noticed");
        assert_eq!(rebuilt.records, 200);
        assert!(rebuilt.set_aside.unwrap().exists());
        assert_eq!(store.list("app/").unwrap().len(), 200);
        assert_eq!(store.last, Version(200));
        drop(store);
        assert_eq!(SledStore::open(dir.path()).unwrap().rebuilt, None, "once is enough");
    }

    /// After an orderly close the export is complete, so wherever the damage lies, every record is there afterwards.
    #[test]
    fn random_damage_loses_no_record_of_a_closed_store() {
        let dir = tempfile::tempdir().unwrap();
        for seed in 0..12 {
            let mut random = fastrand::Rng::with_seed(seed);
            let dir = dir.path().join(seed.to_string());
            fill(&dir, 100);
            let path = dir.join("sled/db");
            let mut bytes = fs::read(&path).unwrap();
            let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
            let from = random.usize(0..used);
            let to = (from + random.usize(1..200)).min(used + 1);
            match seed % 3 {
                0 => bytes.truncate(from),
                1 => bytes[from..to].fill(0),
                _ => bytes[from..to].iter_mut().for_each(|byte| *byte ^= random.u8(1..)),
            }
            fs::write(&path, &bytes).unwrap();
            let Opened { store, rebuilt } =
                SledStore::open(&dir).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            assert_eq!(store.list("app/").unwrap().len(), 100, "seed {seed}: {rebuilt:?}");
        }
    }

    #[test]
    fn a_vanished_store_is_rebuilt_too() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 5);
        fs::remove_dir_all(dir.path().join("sled")).unwrap();
        let Opened { store, rebuilt } = SledStore::open(dir.path()).unwrap();
        assert_eq!((store.list("").unwrap().len(), rebuilt.unwrap().records), (5, 5));
    }

    #[test]
    fn damage_without_export_is_fatal_and_named() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path(), 200);
        fs::remove_file(dir.path().join("export.jsonl")).unwrap();
        let path = dir.path().join("sled/db");
        let bytes = vec![0x5a; fs::read(&path).unwrap().len()];
        fs::write(&path, bytes).unwrap();
        let error = SledStore::open(dir.path()).unwrap_err().to_string();
        assert!(error.ends_with("and there is no export to rebuild it from"), "{error}");
    }
}
