//! Records in an append-only log, with the log before it beside it.
//!
//! ```text
//! <dir>/lock     held while open
//! <dir>/log      the live records when it was begun, then every change since
//! <dir>/log.1    the log before that, whole: what damage in the newer one destroys is taken from here
//!
//! apply ──► pending (memory) ──flush──► one frame, one sync      too many dead records: all live ones go to a new log
//! ```
//!
//! In memory are the keys and where their values lie. Damage is noticed when the store is opened and never passed over in silence.
//! The one thing that looks like damage and is not, a cut-off last frame, is a flush that was never acknowledged.

mod frame;
mod opening;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::frame::{Change, Frame, Head};
pub use self::opening::{Opened, Rebuilt};
use super::{Error, MetaStore, Operation, Record, Version};
use crate::storage::files::{Temporary, sync_parent};

const LOG: &str = "log";
const PREVIOUS: &str = "log.1";
/// A log is written anew when it is this many times as large as its live records, and above [`LOG_BYTES_MIN`].
const GROWTH_MAX: u64 = 4;
const LOG_BYTES_MIN: u64 = 1 << 20;
/// When records are copied, a frame ends at this size, so that damage to one touches few.
const COPIED_FRAME_BYTES: usize = 16 << 10;

/// Where a record lies in the log.
#[derive(Clone, Copy, Debug)]
struct Place {
    version: Version,
    offset: u64,
    value_len: u32,
    checksum: u32,
}

impl Place {
    /// Where a change has put the record; `None` if it removed it.
    fn of(change: &Change<'_>) -> Option<Self> {
        let value = change.value?;
        Some(Self {
            version: change.version,
            offset: value.offset,
            value_len: u32::try_from(value.bytes.len()).expect("values are small"),
            checksum: crc32c::crc32c(value.bytes),
        })
    }

    fn read(&self, file: &File) -> io::Result<Record> {
        let mut value = vec![0; self.value_len as usize];
        file.read_exact_at(&mut value, self.offset)?;
        if crc32c::crc32c(&value) != self.checksum {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a record has the wrong checksum"));
        }
        Ok(Record { version: self.version, value })
    }
}

/// What is live in a log.
#[derive(Debug, Default)]
struct Index {
    records: BTreeMap<String, Place>,
    /// Roughly what a log of only these would take.
    live_bytes: u64,
    /// Of the last change.
    last: Version,
}

impl Index {
    fn change(&mut self, change: &Change<'_>) {
        const HEAD_BYTES: usize = 24;
        let size = |place: &Place| (HEAD_BYTES + change.key.len()) as u64 + u64::from(place.value_len);
        self.last = self.last.max(change.version);
        let before = match Place::of(change) {
            Some(place) => {
                self.live_bytes += size(&place);
                self.records.insert(change.key.to_owned(), place)
            }
            None => self.records.remove(change.key),
        };
        self.live_bytes -= before.map_or(0, |place| size(&place));
    }
}

/// Records in an append-only log.
pub struct LogStore {
    dir: PathBuf,
    file: File,
    /// Length of the log, which is where the next frame goes.
    bytes: u64,
    index: Index,
    /// What the next flush will write; `None`: the record is removed.
    pending: BTreeMap<String, (Version, Option<Vec<u8>>)>,
    /// Counts what is pending too.
    last: Version,
    _lock: File,
}

impl LogStore {
    /// Opens or creates the store in `dir` for this process alone. All of the log is read and checked.
    ///
    /// A damaged log is moved aside and rebuilt from what is readable of it and of the log before.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Damaged`] if nothing is readable, [`Error::Io`].
    pub fn open(dir: &Path) -> Result<Opened, Error> {
        opening::open(dir)
    }

    /// The version of what would be read of `key`.
    fn version_of(&self, key: &str) -> Option<Version> {
        match self.pending.get(key) {
            Some((version, value)) => value.is_some().then_some(*version),
            None => self.index.records.get(key).map(|place| place.version),
        }
    }

    fn read(&self, place: &Place) -> Result<Record, Error> {
        place.read(&self.file).map_err(Error::io("read", &self.dir.join(LOG)))
    }

    /// Writes the live records into a new log; the old one stays beside it until the next time.
    fn compact(&mut self) -> Result<(), Error> {
        let mut begun = Begun::create(&self.dir)?;
        for (key, place) in &self.index.records {
            let record = self.read(place)?;
            begun.push(key, &record)?;
        }
        let (file, bytes) = begun.publish(self.last, Replaced::Kept)?;
        let mut index = Index::default();
        frame::scan(&file, |change| index.change(&change)).map_err(Error::io("read", &self.dir.join(LOG)))?;
        (self.file, self.bytes, self.index) = (file, bytes, index);
        Ok(())
    }
}

impl MetaStore for LogStore {
    fn get(&self, key: &str) -> Result<Option<Record>, Error> {
        match self.pending.get(key) {
            Some((version, value)) => Ok(value.clone().map(|value| Record { version: *version, value })),
            None => self.index.records.get(key).map(|place| self.read(place)).transpose(),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<(String, Record)>, Error> {
        let mut found = BTreeMap::new();
        let from_prefix = self.index.records.range(prefix.to_owned()..);
        for (key, place) in from_prefix.take_while(|(key, _)| key.starts_with(prefix)) {
            if !self.pending.contains_key(key) {
                found.insert(key.clone(), self.read(place)?);
            }
        }
        let from_prefix = self.pending.range(prefix.to_owned()..);
        for (key, (version, value)) in from_prefix.take_while(|(key, _)| key.starts_with(prefix)) {
            if let Some(value) = value.clone() {
                found.insert(key.clone(), Record { version: *version, value });
            }
        }
        Ok(found.into_iter().collect())
    }

    fn apply(&mut self, batch: &[Operation]) -> Result<Version, Error> {
        for operation in batch {
            operation.check(self.version_of(operation.key()))?;
        }
        let version = Version(self.last.0 + 1);
        self.last = version;
        for operation in batch {
            let (key, value) = match operation {
                Operation::Put { key, value, .. } => (key, Some(value.clone())),
                Operation::Delete { key, .. } => (key, None),
            };
            self.pending.insert(key.clone(), (version, value));
        }
        Ok(version)
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        let mut frame = Frame::default();
        for (key, (version, value)) in &pending {
            let offset = self.bytes + frame.push(key, *version, value.as_deref());
            let value = value.as_deref().map(|bytes| frame::Value { bytes, offset });
            self.index.change(&Change { key, version: *version, value });
        }
        let bytes = frame.finish();
        let written = self.file.write_all_at(&bytes, self.bytes).and_then(|()| self.file.sync_data());
        written.map_err(Error::io("write", &self.dir.join(LOG)))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn maintain(&mut self) -> Result<Option<Duration>, Error> {
        if self.pending.is_empty() && self.bytes > LOG_BYTES_MIN.max(GROWTH_MAX * self.index.live_bytes) {
            self.compact()?;
        }
        Ok(None)
    }

    /// Leaves a log of only the live records, so that the next start is quick and the log before it has them too.
    fn close(&mut self) -> Result<(), Error> {
        self.flush()?;
        self.compact()
    }
}

impl fmt::Debug for LogStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogStore").field("dir", &self.dir).field("last", &self.last).finish_non_exhaustive()
    }
}

/// What becomes of the log that a new one replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replaced {
    Kept,
    Thrown,
}

/// A log being begun with the live records; hidden until published.
struct Begun {
    dir: PathBuf,
    temporary: Temporary,
    file: File,
    bytes: u64,
    frame: Frame,
}

impl Begun {
    fn create(dir: &Path) -> Result<Self, Error> {
        let (temporary, _) = Temporary::create(&dir.join(LOG))?;
        let opened = File::options().read(true).write(true).open(&temporary.path);
        let file = opened.map_err(Error::io("open", &temporary.path))?;
        // The head's place is left free until the length is known.
        Ok(Self { dir: dir.to_owned(), temporary, file, bytes: Head::BYTES, frame: Frame::default() })
    }

    fn push(&mut self, key: &str, record: &Record) -> Result<(), Error> {
        self.frame.push(key, record.version, Some(&record.value));
        if self.frame.len() >= COPIED_FRAME_BYTES { self.write_frame() } else { Ok(()) }
    }

    fn write_frame(&mut self) -> Result<(), Error> {
        let bytes = std::mem::take(&mut self.frame).finish();
        self.file.write_all_at(&bytes, self.bytes).map_err(Error::io("write", &self.temporary.path))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Makes it the log. What was there becomes the log before it, unless it is `Replaced::Thrown` away.
    fn publish(mut self, version: Version, replaced: Replaced) -> Result<(File, u64), Error> {
        if !self.frame.is_empty() {
            self.write_frame()?;
        }
        let (log, previous) = (self.dir.join(LOG), self.dir.join(PREVIOUS));
        let head = Head { version, bytes: self.bytes }.encode();
        let written = self.file.write_all_at(&head, 0).and_then(|()| self.file.sync_all());
        written.map_err(Error::io("write", &self.temporary.path))?;
        if replaced == Replaced::Kept && log.exists() {
            // A second name first: at no moment is there no log.
            let (second, _) = Temporary::create(&previous)?;
            let linked = fs::remove_file(&second.path).and_then(|()| fs::hard_link(&log, &second.path));
            linked.and_then(|()| fs::rename(&second.path, &previous)).map_err(Error::io("keep", &log))?;
        }
        fs::rename(&self.temporary.path, &log).map_err(Error::io("write", &log))?;
        sync_parent(&log)?;
        Ok((self.file, self.bytes))
    }
}

#[cfg(test)]
mod tests;
