//! The list behind [`Succession`](super::succession::Succession): numbered files, each created on condition that it is not there.
//!
//! Old entries go, so that a job that runs for years does not fill its directory. What stays keeps replaced JobManagers out: one that
//! does not know that it was replaced tries the number behind its last, and that is where its successor begins. So the first entry of
//! each attempt stays for ever, and the others go once they are far behind.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::Error;
use crate::storage::files::{self, Creation};

/// So many of the last entries stay, beside those of the checkpoints that are retained: a damaged one sends the job to those before.
const KEPT: u64 = 64;

/// How a job stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Who leads.
    pub(super) attempt: u32,
    /// The directory of the checkpoint the job goes on from.
    pub(super) checkpoint: Option<String>,
    /// The attempt whose verdict counts, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) verdict: Option<u32>,
    /// The attempt that has carried the verdict out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<u32>,
}

/// Where an attempt is in the list.
#[derive(Debug)]
pub(super) struct Place {
    /// Its first entry.
    begun: u64,
    last: u64,
    /// How many behind the last are kept.
    kept: u64,
    /// The last one.
    entry: Entry,
}

impl Place {
    pub(super) fn begun(number: u64, retained: usize, entry: Entry) -> Self {
        Self { begun: number, last: number, kept: KEPT + retained as u64, entry }
    }

    /// The entry it has written last.
    pub(super) fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The number of the entry that it writes next.
    pub(super) fn next(&self) -> u64 {
        self.last + 1
    }

    /// It has written that. Its entry that is now too far behind goes.
    pub(super) fn advance(&mut self, list: &Path, entry: Entry) {
        self.last += 1;
        self.entry = entry;
        let old = self.last.saturating_sub(self.kept);
        if old > self.begun {
            remove(&path_of(list, old));
        }
    }
}

/// Creates an entry behind all others, and says whether it is that: another may have been faster. `number` was seen to be free; where
/// it is only free again, since it was removed, there are greater ones.
pub(super) fn append(list: &Path, number: u64, entry: &Entry) -> Result<bool, Error> {
    if create(list, number, entry)? == Creation::AlreadyExists {
        return Ok(false);
    }
    let is_last = entries(list)?.last().is_some_and(|last| *last == number);
    if !is_last {
        remove(&path_of(list, number));
    }
    Ok(is_last)
}

/// Creates an entry unless there is one of its number.
pub(super) fn create(list: &Path, number: u64, entry: &Entry) -> Result<Creation, Error> {
    let path = path_of(list, number);
    let json =
        serde_json::to_vec(entry).map_err(|error| Error::Damaged { path: path.clone(), cause: error.to_string() })?;
    files::create_new(&path, &json).map_err(Error::Storage)
}

/// Removes what earlier attempts did not live to remove: their entries before `place` that are far behind and not their first.
pub(super) fn tidy(list: &Path, place: &Place) -> Result<(), Error> {
    let mut attempts = BTreeSet::new();
    for number in entries(list)?.into_iter().filter(|number| *number < place.begun) {
        let Some(entry) = read(list, number)? else { continue };
        let is_first = attempts.insert(entry.attempt);
        if !is_first && number + place.kept <= place.begun {
            remove(&path_of(list, number));
        }
    }
    Ok(())
}

/// Removes all of it but the checkpoints that may lie in it.
pub(super) fn forget(list: &Path) {
    for number in entries(list).unwrap_or_default() {
        remove(&path_of(list, number));
    }
    let _ = std::fs::remove_dir(list); // It may hold checkpoints.
}

/// The numbers of the entries, in order.
pub(super) fn entries(list: &Path) -> Result<Vec<u64>, Error> {
    let names = files::list(list, "").map_err(Error::Storage)?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// An entry; `None` if it has been removed in the meantime.
pub(super) fn read(list: &Path, number: u64) -> Result<Option<Entry>, Error> {
    let path = path_of(list, number);
    let Some(bytes) = files::read(&path).map_err(Error::Storage)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| Error::Damaged { path, cause: error.to_string() })
}

pub(super) fn path_of(list: &Path, number: u64) -> PathBuf {
    list.join(format!("{number:08}.json"))
}

fn remove(path: &Path) {
    let _ = std::fs::remove_file(path); // Left behind, it only costs space.
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(attempt: u32) -> Entry {
        Entry { attempt, ..Entry::default() }
    }

    /// Begins as an attempt, and publishes so many times.
    fn run(list: &Path, attempt: u32, count: u64) -> Place {
        let number = entries(list).unwrap().last().map_or(1, |last| last + 1);
        assert!(append(list, number, &entry(attempt)).unwrap());
        let mut place = Place::begun(number, 1, entry(attempt));
        tidy(list, &place).unwrap();
        for _ in 0..count {
            assert_eq!(create(list, place.next(), &entry(attempt)).unwrap(), Creation::Created);
            place.advance(list, entry(attempt));
        }
        place
    }

    #[test]
    fn however_many_checkpoints_there_were_few_entries_are_left_and_each_replaced_attempt_is_kept_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut replaced = Vec::new();
        for (attempt, count) in [(1, 500), (2, 0), (3, 3), (4, 200), (5, 70)] {
            replaced.push((attempt, run(dir.path(), attempt, count)));
            let left = entries(dir.path()).unwrap().len() as u64;
            assert!(left <= 2 * (KEPT + 1) + u64::from(attempt), "{left} entries at attempt {attempt}");
        }
        replaced.pop();
        for (attempt, place) in replaced {
            let tried = create(dir.path(), place.next(), &entry(attempt)).unwrap();
            assert_eq!(tried, Creation::AlreadyExists, "attempt {attempt} is not kept out");
        }
    }

    #[test]
    fn whoever_begins_at_a_number_that_was_removed_begins_again() {
        let dir = tempfile::tempdir().unwrap();
        run(dir.path(), 1, 300);
        let before = entries(dir.path()).unwrap();
        // It has looked long ago, when 20 was to be the next.
        assert!(!before.contains(&20));
        assert!(!append(dir.path(), 20, &entry(2)).unwrap());
        assert_eq!(entries(dir.path()).unwrap(), before);
    }
}
