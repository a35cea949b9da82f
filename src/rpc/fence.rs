//! Fencing: recognising messages of those who have been replaced.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::ErrorKind;

/// Which incarnation sent a message: the epoch of whoever numbers the attempts, then the attempt within it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Counts restarts of the owner (a ResourceManager's epoch).
    pub epoch: u64,
    /// Counts incarnations within the epoch.
    pub attempt: u32,
}

impl Stamp {
    /// `attempt` within `epoch`.
    pub fn new(epoch: u64, attempt: u32) -> Self {
        Self { epoch, attempt }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.attempt)
    }
}

/// A message came from an incarnation that has been replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stale: sent by incarnation {sent}, the current one is {current}")]
pub struct Stale {
    /// Who sent it.
    pub sent: Stamp,
    /// The highest seen so far.
    pub current: Stamp,
}

impl Stale {
    /// Always [`ErrorKind::Fenced`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Fenced
    }
}

/// The highest [`Stamp`] seen per key. Every service asks it before a message reaches its core, so that stale ones are
/// dropped in one place.
#[derive(Clone, Debug)]
pub struct Fence<K> {
    highest: BTreeMap<K, Stamp>,
}

impl<K> Default for Fence<K> {
    fn default() -> Self {
        Self { highest: BTreeMap::new() }
    }
}

impl<K: Ord> Fence<K> {
    /// Admits nothing below what it has seen; has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets a message of `key` at `stamp` pass, and from now on nothing older.
    ///
    /// # Errors
    /// [`Stale`] if a newer incarnation of `key` has been seen; nothing changes then.
    pub fn admit(&mut self, key: K, stamp: Stamp) -> Result<(), Stale> {
        let current = self.highest.entry(key).or_insert(stamp);
        if stamp < *current {
            return Err(Stale { sent: stamp, current: *current });
        }
        *current = stamp;
        Ok(())
    }

    /// Whether a newer incarnation of `key` than `stamp` has been seen.
    pub fn is_stale<Q: Ord + ?Sized>(&self, key: &Q, stamp: Stamp) -> bool
    where
        K: Borrow<Q>,
    {
        self.highest.get(key).is_some_and(|current| stamp < *current)
    }

    /// Forgets `key`; only when nobody can still send in its name.
    pub fn forget<Q: Ord + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.highest.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_incarnations_are_stale_until_forgotten() {
        let mut fence = Fence::new();
        assert_eq!(fence.admit("am", Stamp::new(1, 1)), Ok(()));
        assert_eq!(fence.admit("am", Stamp::new(1, 2)), Ok(()));
        assert_eq!(fence.admit("am", Stamp::new(1, 2)), Ok(()));
        let stale = fence.admit("am", Stamp::new(1, 1)).unwrap_err();
        assert_eq!(stale.to_string(), "stale: sent by incarnation 1.1, the current one is 1.2");
        assert!(fence.admit("am", Stamp::new(2, 1)).is_ok(), "an epoch outweighs attempts");
        assert!(fence.is_stale("am", Stamp::new(1, 9)));
        assert!(!fence.is_stale("other", Stamp::new(0, 0)));
        fence.forget("am");
        assert!(fence.admit("am", Stamp::new(0, 0)).is_ok());
    }
}
