//! Small versioned records of a daemon: applications, nodes, containers.
//!
//! The shape is the one that ZooKeeper and etcd also have (compare-and-set on records of at most 64 KiB, list by prefix,
//! completion as an event), so that such a service can later stand behind [`MetaStore`].
//!
//! ```text
//! service: Persist effect ──► MetaWriter ──► thread: apply, apply, …, one flush ──► complete(ticket) ──► service: Persisted event
//! ```
//!
//! A service reads everything when it starts, then gives the store to a [`MetaWriter`] and only writes.

mod log;
mod memory;
mod writer;

use std::fmt;
use std::time::Duration;

pub use self::log::{LogStore, Opened, Rebuilt};
pub use self::memory::MemoryStore;
pub use self::writer::{MetaWriter, Outcome};
use super::Error;

/// The largest value.
pub const VALUE_BYTES_MAX: usize = 64 << 10;

/// Counts the writes of a store; a record carries the number of the write that made it, so no two contents of a key share one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

/// A record as stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// Which write made it.
    pub version: Version,
    /// What was written.
    pub value: Vec<u8>,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record(version {}, {} bytes)", self.version.0, self.value.len())
    }
}

/// What a writer believes of the record it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing: the only writer of the store knows without asking.
    Anything,
    /// There is none.
    Absent,
    /// It is of this version.
    Version(Version),
}

/// One change.
#[derive(Clone, PartialEq, Eq)]
pub enum Operation {
    /// Creates or replaces a record.
    Put {
        /// Its key.
        key: String,
        /// At most [`VALUE_BYTES_MAX`].
        value: Vec<u8>,
        /// On condition.
        expect: Expect,
    },
    /// Removes a record; that there is none is fine with [`Expect::Anything`].
    Delete {
        /// Its key.
        key: String,
        /// On condition.
        expect: Expect,
    },
}

impl Operation {
    /// Creates or replaces `key`, whatever it was.
    pub fn put(key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self::Put { key: key.into(), value: value.into(), expect: Expect::Anything }
    }

    /// Removes `key`, whatever it was.
    pub fn delete(key: impl Into<String>) -> Self {
        Self::Delete { key: key.into(), expect: Expect::Anything }
    }

    fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }

    /// Checks the condition against what is stored, and the size.
    fn check(&self, found: Option<Version>) -> Result<(), Error> {
        let expect = match self {
            Self::Put { key, value, .. } if value.len() > VALUE_BYTES_MAX => {
                return Err(Error::TooLarge { what: format!("record {key}"), limit_bytes: VALUE_BYTES_MAX as u64 });
            }
            Self::Put { expect, .. } | Self::Delete { expect, .. } => *expect,
        };
        let met = match expect {
            Expect::Anything => true,
            Expect::Absent => found.is_none(),
            Expect::Version(version) => found == Some(version),
        };
        if met {
            return Ok(());
        }
        let expected = match expect {
            Expect::Version(version) => format!("version {}", version.0),
            Expect::Absent | Expect::Anything => "no version".to_owned(),
        };
        let found = found.map_or_else(|| "no version".to_owned(), |version| format!("version {}", version.0));
        Err(Error::Conflict { key: self.key().to_owned(), expected, found })
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { key, value, expect } => write!(f, "Put({key}, {} bytes, {expect:?})", value.len()),
            Self::Delete { key, expect } => write!(f, "Delete({key}, {expect:?})"),
        }
    }
}

/// A store of versioned records.
///
/// Contract for implementors: a batch is applied whole or not at all and is seen by every later read; it is durable once a later
/// [`MetaStore::flush`] has returned; batches become durable in the order they were applied; after an error the store may
/// refuse everything until it is opened anew. Calls block.
pub trait MetaStore: Send {
    /// One record.
    ///
    /// # Errors
    /// [`Error`] if the storage fails.
    fn get(&self, key: &str) -> Result<Option<Record>, Error>;

    /// All records whose keys begin with `prefix`, by key.
    ///
    /// # Errors
    /// [`Error`] if the storage fails.
    fn list(&self, prefix: &str) -> Result<Vec<(String, Record)>, Error>;

    /// Applies all of `batch` if all its conditions are met, each against the store before the batch. A key may stand in it once.
    ///
    /// Returns the version that the written records now have.
    ///
    /// # Errors
    /// [`Error::Conflict`], [`Error::TooLarge`]: nothing has changed.
    fn apply(&mut self, batch: &[Operation]) -> Result<Version, Error>;

    /// Makes everything applied so far durable.
    ///
    /// # Errors
    /// [`Error`] if the storage fails; what is durable is then not known.
    fn flush(&mut self) -> Result<(), Error>;

    /// Does housekeeping that is due; says when to be called again if nothing is written meanwhile.
    ///
    /// # Errors
    /// [`Error`] if the storage fails.
    fn maintain(&mut self) -> Result<Option<Duration>, Error> {
        Ok(None)
    }

    /// The last act: flushes and leaves everything in order.
    ///
    /// # Errors
    /// [`Error`] if the storage fails.
    fn close(&mut self) -> Result<(), Error> {
        self.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract, for every implementation.
    fn check(store: &mut dyn MetaStore) {
        let put = |key: &str, value: &str, expect| Operation::Put { key: key.into(), value: value.into(), expect };
        let first = store.apply(&[put("app/1", "a", Expect::Absent), put("app/2", "b", Expect::Absent)]).unwrap();
        assert_eq!(store.get("app/1").unwrap(), Some(Record { version: first, value: b"a".to_vec() }));

        // Of two writers that saw the same version one wins.
        let second = store.apply(&[put("app/1", "x", Expect::Version(first))]).unwrap();
        assert!(second > first);
        let conflict = store.apply(&[put("app/3", "c", Expect::Absent), put("app/1", "y", Expect::Version(first))]);
        assert!(matches!(conflict, Err(Error::Conflict { key, .. }) if key == "app/1"));
        assert_eq!(store.get("app/3").unwrap(), None, "a batch is applied whole or not at all");
        assert!(matches!(store.apply(&[put("app/2", "c", Expect::Absent)]), Err(Error::Conflict { .. })));

        store.apply(&[Operation::put("b", "z"), Operation::put("app/10", "t")]).unwrap();
        let keys: Vec<_> = store.list("app/").unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["app/1", "app/10", "app/2"]);
        assert_eq!(store.list("").unwrap().len(), 4);

        store.apply(&[Operation::delete("b"), Operation::delete("never")]).unwrap();
        assert_eq!(store.get("b").unwrap(), None);
        let reborn = store.apply(&[put("b", "z", Expect::Absent)]).unwrap();
        assert!(reborn > second, "a version is never used again");
        let large = Operation::put("large", vec![0; VALUE_BYTES_MAX + 1]);
        assert!(matches!(store.apply(&[large]), Err(Error::TooLarge { .. })));
        store.apply(&[Operation::put("large", vec![0; VALUE_BYTES_MAX])]).unwrap();
        store.flush().unwrap();
    }

    #[test]
    fn both_stores_keep_the_contract() {
        check(&mut MemoryStore::default());
        let dir = tempfile::tempdir().unwrap();
        check(&mut LogStore::open(dir.path()).unwrap().store);
    }
}
