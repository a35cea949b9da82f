//! Who leads an application, for those that its leader before has left behind: `<dir>/<attempt>.json`, written once by each attempt.
//!
//! The one with the highest number leads. Attempts are numbered by the ResourceManager, which starts one when it has given up the one
//! before: what a replaced leader still writes stands below, where nobody looks. Counterpart: the leader records of Flink's high
//! availability services.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Error;
use super::files;

/// Where the attempts of one application say where they are. Blocking.
#[derive(Clone, Debug)]
pub struct Leaders {
    dir: PathBuf,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// Which.
    pub attempt: u32,
    /// `host:port` of its links.
    pub address: String,
}

impl Leaders {
    /// In `dir`, which need not be there.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Where they are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Says where `leader` is, and removes what earlier ones have said.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn publish(&self, leader: &Leader) -> Result<(), Error> {
        let json = serde_json::to_vec(leader).expect("a number and text are JSON");
        files::create_new(&self.path(leader.attempt), &json)?;
        for earlier in self.attempts()?.into_iter().filter(|attempt| *attempt < leader.attempt) {
            files::remove(&self.path(earlier))?;
        }
        Ok(())
    }

    /// Who leads, if that is a later attempt than `known`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn later_than(&self, known: u32) -> Result<Option<Leader>, Error> {
        let Some(attempt) = self.attempts()?.into_iter().max().filter(|attempt| *attempt > known) else {
            return Ok(None);
        };
        // Gone by now, or not to be read: the next one is looked for as if there were none.
        let json = files::read(&self.path(attempt))?.unwrap_or_default();
        Ok(serde_json::from_slice(&json).ok().filter(|leader: &Leader| leader.attempt == attempt))
    }

    /// Removes everything: the application has ended.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn forget(&self) -> Result<(), Error> {
        for attempt in self.attempts()? {
            files::remove(&self.path(attempt))?;
        }
        let _ = std::fs::remove_dir(&self.dir); // What else is there is not ours.
        Ok(())
    }

    fn path(&self, attempt: u32) -> PathBuf {
        self.dir.join(format!("{attempt}.json"))
    }

    fn attempts(&self) -> Result<Vec<u32>, Error> {
        let names = files::list(&self.dir, "")?;
        Ok(names.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_attempt_leads_whatever_a_replaced_one_still_says() {
        let dir = tempfile::tempdir().unwrap();
        let leaders = Leaders::new(dir.path().join("leaders"));
        let leader = |attempt, address: &str| Leader { attempt, address: address.to_owned() };
        assert_eq!(leaders.later_than(1).unwrap(), None);
        leaders.publish(&leader(3, "b:1")).unwrap();
        leaders.publish(&leader(2, "a:1")).unwrap();
        assert_eq!(leaders.later_than(1).unwrap(), Some(leader(3, "b:1")));
        assert_eq!(leaders.later_than(3).unwrap(), None);
        leaders.publish(&leader(12, "c:1")).unwrap();
        leaders.publish(&leader(12, "d:1")).unwrap();
        assert_eq!(leaders.later_than(3).unwrap(), Some(leader(12, "c:1")), "an attempt speaks once");
        assert_eq!(leaders.attempts().unwrap(), [12]);

        std::fs::write(dir.path().join("leaders/13.json"), "{").unwrap();
        assert_eq!(leaders.later_than(12).unwrap(), None, "what cannot be read leads nobody");
        leaders.forget().unwrap();
        assert!(!dir.path().join("leaders").exists());
    }
}
