//! Entries of a checkpoint, on their way back into a state.

use std::any::type_name;

use super::schema::{Compatibility, Schema, decode_with};
use crate::engine::record::{Key, Record, key_group, key_hash};
use crate::graph::task::Failure;

/// Entries of one state and key group, as they lie in a file.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    /// The state's name.
    pub state: &'a str,
    /// The key group; absent for state of no key.
    pub group: Option<u32>,
    /// How many entries there are.
    pub entries: u64,
    /// Entries in postcard bytes, one behind the other.
    pub bytes: &'a [u8],
    /// What the entries' writer wrote.
    pub schema: &'a Schema,
    /// What the parts of an entry are, where it has parts: key and value, mostly.
    pub parts: &'a [String],
}

/// When an entry was touched: what the last part of entries that expire is.
pub(super) const TOUCHED: &str = "touched";
/// When each element of a list or entry of a map was.
pub(super) const EACH_TOUCHED: &str = "each touched";

/// The times of touches that entries have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    /// One an entry.
    One,
    /// One for each element.
    Each,
}

/// How entries are read.
enum Reading {
    /// They are of the very type.
    Plain,
    /// They are of another, and become it.
    Migrating,
}

impl Section<'_> {
    /// The times that entries have, if they have any: if they were of a state that expires.
    pub(super) fn times(&self) -> Option<Times> {
        times_of(self.parts)
    }

    /// Calls `take` with each entry.
    ///
    /// # Errors
    /// Entries of a type that a `T` cannot be read from, with both types and the reason.
    pub(crate) fn each<T: Record>(&self, mut take: impl FnMut(T)) -> Result<(), Failure> {
        let mut bytes = self.bytes;
        match self.reading::<T>()? {
            Reading::Plain => {
                for _ in 0..self.entries {
                    let entry = postcard::take_from_bytes::<T>(bytes);
                    let (entry, rest) = entry.map_err(|error| self.unreadable::<T>(&error.to_string()))?;
                    bytes = rest;
                    take(entry);
                }
            }
            Reading::Migrating => {
                for _ in 0..self.entries {
                    let entry = decode_with::<T>(self.schema, bytes);
                    let (entry, rest) =
                        entry.map_err(|error| self.unreadable::<T>(&self.in_words(&error.to_string())))?;
                    bytes = rest;
                    take(entry);
                }
            }
        }
        if bytes.is_empty() {
            return Ok(());
        }
        Err(self.unreadable::<T>(&format!("{} bytes are left behind its last entry", bytes.len())))
    }

    /// Calls `take` with each entry and the hash of its key.
    ///
    /// # Errors
    /// As [`Section::each`], and keys whose hash is another now: they were routed elsewhere, and would never be found.
    pub(crate) fn each_keyed<K: Key, T: Record>(
        &self,
        max_parallelism: u32,
        key: impl Fn(&T) -> &K,
        mut take: impl FnMut(u64, T),
    ) -> Result<(), Failure> {
        let group = self
            .group
            .ok_or_else(|| Failure::permanent(format!("state \"{}\" of the checkpoint is not keyed", self.state)))?;
        let mut strayed = false;
        self.each(|entry: T| {
            let hash = key_hash(key(&entry));
            strayed |= key_group(hash, max_parallelism) != group;
            take(hash, entry);
        })?;
        if !strayed {
            return Ok(());
        }
        Err(self.unreadable::<T>(&format!(
            "keys of type {} have other hashes than those they were stored by; a key keeps its type",
            type_name::<K>()
        )))
    }

    fn reading<T: Record>(&self) -> Result<Reading, Failure> {
        let own = Schema::shared::<T>();
        if self.schema.says_the_same(&own) {
            return Ok(Reading::Plain);
        }
        match self.schema.compatibility(&own) {
            Compatibility::Same => Ok(Reading::Plain),
            Compatibility::Migrates(changes) => {
                tracing::debug!(state = self.state, changes = self.in_words(&changes.join("; ")), "state migrates");
                Ok(Reading::Migrating)
            }
            Compatibility::Incompatible(reasons) => {
                let words: Vec<_> = reasons.iter().map(|reason| self.in_words(reason)).collect();
                Err(self.unreadable::<T>(&words.join("; ")))
            }
        }
    }

    fn unreadable<T>(&self, cause: &str) -> Failure {
        Failure::permanent(format!(
            "state \"{}\" of the checkpoint was written as {} and cannot be read as {}: {cause}",
            self.state,
            self.schema.type_name(),
            type_name::<T>()
        ))
    }

    /// With the entry's parts by their names.
    fn in_words(&self, text: &str) -> String {
        name_parts(self.parts, text)
    }
}

/// What is said of an entry, with its parts by their names.
pub(crate) fn name_parts(parts: &[String], text: &str) -> String {
    let name = |text: String, (at, part): (usize, &String)| text.replace(&format!("value[{at}]"), part);
    parts.iter().enumerate().fold(text.to_owned(), name)
}

/// Whether entries with these parts are of a state that expires.
pub(crate) fn has_times(parts: &[String]) -> bool {
    times_of(parts).is_some()
}

fn times_of(parts: &[String]) -> Option<Times> {
    match parts.last().map(String::as_str) {
        Some(TOUCHED) => Some(Times::One),
        Some(EACH_TOUCHED) => Some(Times::Each),
        Some(_) | None => None,
    }
}
