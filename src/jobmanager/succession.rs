//! Which attempt of the JobManager leads a job, and how far the job has come, as a list whose entries are each written once.
//!
//! ```text
//! <job>/checkpoints/00000001.json   attempt 1 begins
//! <job>/checkpoints/00000002.json   attempt 1: chk-1 is complete
//! <job>/checkpoints/00000003.json   attempt 2 begins, from chk-1
//! <job>/checkpoints/00000004.json   attempt 2: its verdict on the job counts
//! ```
//! An entry is created on condition that it is not there, behind the last one that its attempt has seen. A JobManager that was replaced
//! without noticing finds that number taken by its successor: it completes no further checkpoint and decides nothing, so nothing that
//! it has prepared becomes visible. Whatever counts, counts by an entry: what lies beside the list is a draft until then.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::error::Error;
use super::succession_list::{self as list, Entry, Place};
use crate::ids::JobId;
use crate::storage::files::Creation;

/// The lists of one application's or cluster's jobs. Blocking: called off the control runtime.
#[derive(Clone, Debug)]
pub(super) struct Succession {
    dir: PathBuf,
    attempt: u32,
    /// Where this JobManager is in each job's list.
    places: Arc<Mutex<BTreeMap<JobId, Arc<Mutex<Place>>>>>,
}

impl Succession {
    pub(super) fn new(dir: PathBuf, attempt: u32) -> Self {
        Self { dir, attempt, places: Arc::default() }
    }

    /// Of this JobManager.
    pub(super) fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Where a job's list lies.
    pub(super) fn list(&self, job: JobId) -> PathBuf {
        self.dir.join(job.to_string()).join("checkpoints")
    }

    /// Enters this attempt behind all others. `going_on` is shown the numbers of all entries and says from which checkpoint; it is asked
    /// again if another attempt enters meanwhile. `retained`: so many checkpoints may be gone back to.
    ///
    /// # Errors
    /// A later attempt has entered; what `going_on` fails of.
    pub(super) fn enter<T>(
        &self,
        job: JobId,
        retained: usize,
        mut going_on: impl FnMut(&[u64]) -> Result<(Option<String>, T), Error>,
    ) -> Result<T, Error> {
        let path = self.list(job);
        loop {
            let entries = list::entries(&path)?;
            let number = entries.last().map_or(0, |last| *last) + 1;
            let last = match entries.last() {
                Some(last) => list::read(&path, *last)?,
                None => Some(Entry::default()),
            };
            let Some(last) = last else { continue };
            if last.attempt > self.attempt {
                return Err(self.fenced_by(last.attempt, &path));
            }
            let (checkpoint, found) = going_on(&entries)?;
            let entry = Entry { attempt: self.attempt, checkpoint, ..last };
            if list::append(&path, number, &entry)? {
                let place = Place::begun(number, retained, entry);
                list::tidy(&path, &place)?;
                self.places().insert(job, Arc::new(Mutex::new(place)));
                return Ok(found);
            }
        }
    }

    /// What the list says last.
    pub(super) fn standing(&self, job: JobId) -> Result<Entry, Error> {
        let path = self.list(job);
        loop {
            let Some(last) = list::entries(&path)?.last().copied() else { return Ok(Entry::default()) };
            if let Some(entry) = list::read(&path, last)? {
                return Ok(entry);
            }
        }
    }

    /// What the list says as far as this attempt has written it; it enters if it has not.
    pub(super) fn entry(&self, job: JobId) -> Result<Entry, Error> {
        let place = self.place(job)?;
        let place = place.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(place.entry().clone())
    }

    /// Writes the next entry: the last one with a change.
    ///
    /// # Errors
    /// [`Error::Fenced`] where a later attempt has entered.
    pub(super) fn write(&self, job: JobId, change: impl FnOnce(&mut Entry)) -> Result<(), Error> {
        let (path, place) = (self.list(job), self.place(job)?);
        // Held while the entry is written: another of this attempt comes behind it.
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entry = place.entry().clone();
        change(&mut entry);
        if list::create(&path, place.next(), &entry)? == Creation::AlreadyExists {
            match list::read(&path, place.next())? {
                // It was written, and the storage failed to say so.
                Some(found) if found == entry => {}
                Some(found) => return Err(self.fenced_by(found.attempt, &list::path_of(&path, place.next()))),
                None => return Err(Error::Fenced(format!("{} has been taken", path.display()))),
            }
        }
        place.advance(&path, entry);
        Ok(())
    }

    /// Removes the list; checkpoints in its directory stay.
    pub(super) fn forget(&self, job: JobId) {
        self.places().remove(&job);
        list::forget(&self.list(job));
    }

    fn fenced_by(&self, attempt: u32, path: &std::path::Path) -> Error {
        let (path, own) = (path.display(), self.attempt);
        Error::Fenced(format!("attempt {attempt} of this JobManager has written {path} already; this is attempt {own}"))
    }

    fn place(&self, job: JobId) -> Result<Arc<Mutex<Place>>, Error> {
        if let Some(place) = self.places().get(&job) {
            return Ok(Arc::clone(place));
        }
        let checkpoint = self.standing(job)?.checkpoint;
        self.enter(job, 1, |_| Ok((checkpoint.clone(), ())))?;
        self.places().get(&job).map(Arc::clone).ok_or_else(|| Error::Setup(format!("job {job} has been forgotten")))
    }

    fn places(&self) -> std::sync::MutexGuard<'_, BTreeMap<JobId, Arc<Mutex<Place>>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: JobId = JobId(1);

    fn enter(succession: &Succession) -> Result<(), Error> {
        succession.enter(JOB, 1, |_| Ok((None, ())))
    }

    #[test]
    fn an_attempt_that_was_overtaken_before_it_entered_does_not_enter() {
        let dir = tempfile::tempdir().unwrap();
        let attempt = |attempt| Succession::new(dir.path().to_owned(), attempt);
        let (first, second) = (attempt(1), attempt(2));
        enter(&second).unwrap();
        assert!(matches!(enter(&first), Err(Error::Fenced(_))));
        assert!(matches!(first.write(JOB, |entry| entry.verdict = Some(1)), Err(Error::Fenced(_))));
        second.write(JOB, |entry| entry.checkpoint = Some("chk-1".to_owned())).unwrap();
        // Started again, as itself.
        enter(&attempt(2)).unwrap();
    }

    #[test]
    fn whoever_was_replaced_decides_nothing_and_what_was_decided_stays() {
        let dir = tempfile::tempdir().unwrap();
        let [first, second, third] = [1, 2, 3].map(|attempt| Succession::new(dir.path().to_owned(), attempt));
        enter(&first).unwrap();
        enter(&second).unwrap();
        let error = first.write(JOB, |entry| entry.verdict = Some(1)).unwrap_err().to_string();
        assert!(error.contains("attempt 2 of this JobManager has written"), "{error}");
        second.write(JOB, |entry| entry.verdict = Some(2)).unwrap();
        second.write(JOB, |entry| entry.checkpoint = Some("chk-1".to_owned())).unwrap();
        enter(&third).unwrap();
        assert_eq!(third.standing(JOB).unwrap().verdict, Some(2));
        assert_eq!(third.entry(JOB).unwrap().verdict, Some(2));
    }

    #[test]
    fn an_entry_that_was_written_without_an_answer_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let first = Succession::new(dir.path().to_owned(), 1);
        enter(&first).unwrap();
        let entry = Entry { attempt: 1, verdict: Some(1), ..Entry::default() };
        list::create(&first.list(JOB), 2, &entry).unwrap();
        first.write(JOB, |entry| entry.verdict = Some(1)).unwrap();
        first.write(JOB, |entry| entry.outcome = Some(1)).unwrap();
        assert_eq!(list::entries(&first.list(JOB)).unwrap(), [1, 2, 3]);
    }
}
