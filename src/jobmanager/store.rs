//! What of a job lies in storage: `<flott.storage.dir>/<application or cluster>/<job>/`.
//!
//! | file | holds | written |
//! |---|---|---|
//! | `job.json` | the submission | once |
//! | `plan.json` | the plan, never recomputed | once |
//! | `verdict-<attempt>.json` | what is published, or that the job ended without that | by an attempt that decides |
//! | `outcome-<attempt>.json` | how the job ended after its output was decided to be published | by an attempt that has carried that out |
//! | `requirements-<attempt>.json` | the parallelism that users have set while the job ran | again and again, by one attempt |
//! | `checkpoints/` | the [`Succession`], and the checkpoints unless they lie elsewhere | |
//!
//! A verdict and an outcome count once the succession names their attempt, of which there is one at most: of two JobManagers that both
//! believe to be the one, only the later decides, and none can call a job failed or cancelled whose output another one publishes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::job_master::{Decision, Outcome, Record, Requirements};
use super::succession::Succession;
use crate::graph::plan::Plan;
use crate::ids::JobId;
use crate::protocol::job::JobSubmission;
use crate::storage::files::{self, Creation};

/// The stored jobs of one application or cluster. Blocking: called off the control runtime.
#[derive(Clone, Debug)]
pub(super) struct Store {
    dir: PathBuf,
    succession: Succession,
    /// Jobs whose decision to publish this JobManager has made or found.
    decided: Arc<Mutex<BTreeSet<JobId>>>,
}

/// What a job comes to.
#[derive(Serialize, Deserialize)]
#[serde(tag = "verdict", content = "record", rename_all = "kebab-case")]
enum Verdict {
    /// Its output is complete and will be published.
    Publish(Decision),
    /// It ended, and nothing is published.
    End(Outcome),
}

/// What an earlier JobManager has left of a job.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub(super) plan: Option<Plan>,
    pub(super) decision: Option<Decision>,
    pub(super) outcome: Option<Outcome>,
    /// The parallelism that a user has given it while it ran.
    pub(super) requirements: Option<Requirements>,
}

impl Store {
    pub(super) fn new(dir: PathBuf, succession: Succession) -> Self {
        Self { dir, succession, decided: Arc::default() }
    }

    fn path(&self, job: JobId, name: &str) -> PathBuf {
        self.dir.join(job.to_string()).join(name)
    }

    pub(super) fn put_job(&self, submission: &JobSubmission) -> Result<(), Error> {
        // Written by an earlier attempt it says the same.
        self.create(&self.path(submission.job, "job.json"), submission).map(drop)
    }

    pub(super) fn put_plan(&self, job: JobId, plan: &Plan) -> Result<(), Error> {
        self.create(&self.path(job, "plan.json"), plan).map(drop)
    }

    /// Writes a decision or an outcome.
    pub(super) fn put(&self, job: JobId, record: &Record) -> Result<(), Error> {
        match record {
            Record::Decision(decision) => {
                self.put_verdict(job, &Verdict::Publish(decision.clone()))?;
                self.note_decided(job);
                Ok(())
            }
            Record::Outcome(outcome) if self.has_decided(job) => self.put_outcome(job, outcome),
            Record::Outcome(outcome) => self.put_verdict(job, &Verdict::End(outcome.clone())),
            // One file an attempt: what a fenced one still writes, nobody reads.
            Record::Requirements(requirements) => {
                let name = of_attempt("requirements", self.succession.attempt());
                self.draft(job, &name, requirements)
            }
        }
    }

    fn put_verdict(&self, job: JobId, verdict: &Verdict) -> Result<(), Error> {
        let own = self.succession.attempt();
        match self.succession.entry(job)?.verdict {
            Some(by) if by == own => Ok(()),
            Some(by) => Err(self.written_by(job, &of_attempt("verdict", by), by)),
            None => {
                self.draft(job, &of_attempt("verdict", own), verdict)?;
                self.succession.write(job, |entry| entry.verdict = Some(own))
            }
        }
    }

    fn put_outcome(&self, job: JobId, outcome: &Outcome) -> Result<(), Error> {
        let own = self.succession.attempt();
        match self.succession.entry(job)?.outcome {
            Some(by) if by == own => Ok(()),
            Some(by) => {
                let (name, same) = (of_attempt("outcome", by), outcome.status);
                let found = read::<Outcome>(&self.path(job, &name))?;
                // An earlier attempt has carried the same decision out.
                let is_same = found.is_some_and(|found| found.status == same);
                if is_same { Ok(()) } else { Err(self.written_by(job, &name, by)) }
            }
            None => {
                self.draft(job, &of_attempt("outcome", own), outcome)?;
                self.succession.write(job, |entry| entry.outcome = Some(own))
            }
        }
    }

    /// Writes a file of this attempt's own.
    fn draft<T: Serialize>(&self, job: JobId, name: &str, value: &T) -> Result<(), Error> {
        let path = self.path(job, name);
        let json = to_json(&path, value)?;
        files::write_atomic(&path, &json).map_err(Error::Storage)
    }

    fn written_by(&self, job: JobId, name: &str, attempt: u32) -> Error {
        let (path, own) = (self.path(job, name), self.succession.attempt());
        let path = path.display();
        Error::Fenced(format!("attempt {attempt} of this JobManager has written {path} already; this is attempt {own}"))
    }

    /// The parallelism that a user has given the job under the latest attempt that has a word on it.
    fn find_requirements(&self, job: JobId) -> Result<Option<Requirements>, Error> {
        let of = |attempt| read(&self.path(job, &of_attempt("requirements", attempt))).transpose();
        (1..=self.succession.attempt()).rev().find_map(of).transpose()
    }

    fn note_decided(&self, job: JobId) {
        self.decided.lock().unwrap_or_else(PoisonError::into_inner).insert(job);
    }

    fn has_decided(&self, job: JobId) -> bool {
        self.decided.lock().unwrap_or_else(PoisonError::into_inner).contains(&job)
    }

    fn create<T: Serialize>(&self, path: &Path, value: &T) -> Result<Creation, Error> {
        let json = to_json(path, value)?;
        files::create_new(path, &json).map_err(Error::Storage)
    }

    /// Jobs that have not ended, oldest first: those that an earlier JobManager has left behind.
    pub(super) fn unfinished(&self) -> Result<Vec<JobSubmission>, Error> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let Some(job) = entry.file_name().to_str().and_then(|name| name.parse::<JobId>().ok()) else { continue };
            let path = self.path(job, "job.json");
            // Without a submission there is nothing to resume: it was being stored, and nobody was told that it is.
            let Some(submission) = read::<JobSubmission>(&path)? else { continue };
            if self.find(job)?.outcome.is_none() {
                found.push((path.metadata().and_then(|metadata| metadata.modified()).ok(), submission));
            }
        }
        found.sort_by_key(|(stored_at, submission)| (*stored_at, submission.job));
        Ok(found.into_iter().map(|(_, submission)| submission).collect())
    }

    /// Forgets the records of a job that ended long ago; checkpoints beside them stay.
    pub(super) fn forget(&self, job: JobId) {
        self.decided.lock().unwrap_or_else(PoisonError::into_inner).remove(&job);
        // In this order: what is left by a crash in between is no job.
        for name in ["plan.json", "job.json"] {
            let _ = std::fs::remove_file(self.path(job, name)); // Left behind, they only cost space.
        }
        for attempt in 1..=self.succession.attempt() {
            for name in ["verdict", "outcome", "requirements"] {
                let _ = std::fs::remove_file(self.path(job, &of_attempt(name, attempt))); // As above.
            }
        }
        self.succession.forget(job);
        let _ = std::fs::remove_dir(self.dir.join(job.to_string())); // It may hold checkpoints.
    }

    /// Removes what the application has stored beside its jobs, once it has ended for good.
    pub(super) fn forget_application(&self) {
        for name in ["uploads", "blobs", "fetched", "scratch"] {
            let _ = std::fs::remove_dir_all(self.dir.join(name)); // Left behind, it only costs space.
        }
        let _ = std::fs::remove_dir(&self.dir); // Checkpoints may be retained in it.
    }

    /// What there is of a job.
    pub(super) fn find(&self, job: JobId) -> Result<Stored, Error> {
        let standing = self.succession.standing(job)?;
        let mut stored = Stored {
            plan: read(&self.path(job, "plan.json"))?,
            decision: None,
            outcome: standing.outcome.map(|by| self.read_of(job, "outcome", by)).transpose()?,
            requirements: self.find_requirements(job)?,
        };
        match standing.verdict.map(|by| self.read_of(job, "verdict", by)).transpose()? {
            Some(Verdict::Publish(decision)) => {
                self.note_decided(job);
                stored.decision = Some(decision);
            }
            Some(Verdict::End(outcome)) => stored.outcome = Some(outcome),
            None => {}
        }
        Ok(stored)
    }

    /// What an attempt has written before the succession came to name it.
    fn read_of<T: DeserializeOwned>(&self, job: JobId, name: &str, attempt: u32) -> Result<T, Error> {
        let path = self.path(job, &of_attempt(name, attempt));
        read(&path)?.ok_or_else(|| Error::Damaged { path, cause: "it has vanished".to_owned() })
    }
}

fn of_attempt(name: &str, attempt: u32) -> String {
    format!("{name}-{attempt}.json")
}

fn to_json<T: Serialize>(path: &Path, value: &T) -> Result<Vec<u8>, Error> {
    let json = serde_json::to_vec_pretty(value);
    json.map_err(|error| Error::Damaged { path: path.to_owned(), cause: error.to_string() })
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let Some(json) = files::read(path).map_err(Error::Storage)? else {
        return Ok(None);
    };
    let parsed = serde_json::from_slice(&json);
    parsed.map(Some).map_err(|error| Error::Damaged { path: path.to_owned(), cause: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobmanager::job_master::Bounds;
    use crate::protocol::job::JobStatus;
    use crate::time::Now;

    const JOB: JobId = JobId(5);

    fn store_of(dir: &Path, attempt: u32) -> Store {
        Store::new(dir.to_owned(), Succession::new(dir.to_owned(), attempt))
    }

    #[test]
    fn a_later_attempt_finds_what_was_decided_and_cannot_decide_again() {
        let dir = tempfile::tempdir().unwrap();
        let first = store_of(dir.path(), 1);
        assert!(first.find(JOB).unwrap().plan.is_none());
        let operator = crate::graph::plan::NodeIndex(3);
        let file = crate::graph::task::Committable { operator, payload: serde_json::json!("part") };
        let decided = Decision { committables: [(operator, vec![file])].into() };
        let decision = Record::Decision(decided.clone());
        first.put(JOB, &decision).unwrap();
        first.put(JOB, &decision).unwrap();
        let second = store_of(dir.path(), 2);
        assert_eq!(second.find(JOB).unwrap().decision, Some(decided));
        let error = second.put(JOB, &decision).unwrap_err().to_string();
        assert!(error.starts_with("attempt 1 of this JobManager has written"), "{error}");

        let outcome = Outcome { status: JobStatus::Finished, failure: None, at: Now(9) };
        second.put(JOB, &Record::Outcome(outcome.clone())).unwrap();
        assert_eq!(first.find(JOB).unwrap().outcome, Some(outcome));
    }

    #[test]
    fn a_job_is_either_published_or_ends_without_whoever_says_so_first() {
        let outcome = |status| Record::Outcome(Outcome { status, failure: None, at: Now(9) });
        let decision = Record::Decision(Decision::default());

        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (store_of(dir.path(), 1), store_of(dir.path(), 2));
        new.put(JOB, &decision).unwrap();
        let error = old.put(JOB, &outcome(JobStatus::Canceled)).unwrap_err();
        assert!(matches!(error, Error::Fenced(_)), "{error}");
        new.put(JOB, &outcome(JobStatus::Finished)).unwrap();
        assert_eq!(old.find(JOB).unwrap().outcome.unwrap().status, JobStatus::Finished);
        let error = old.put(JOB, &outcome(JobStatus::Finished)).unwrap_err();
        assert!(matches!(error, Error::Fenced(_)), "{error}");

        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (store_of(dir.path(), 1), store_of(dir.path(), 2));
        old.put(JOB, &outcome(JobStatus::Failed)).unwrap();
        assert!(new.put(JOB, &decision).is_err(), "nothing is published of a job that has failed");
        let stored = new.find(JOB).unwrap();
        assert_eq!((stored.decision, stored.outcome.unwrap().status), (None, JobStatus::Failed));
    }

    #[test]
    fn the_parallelism_a_user_has_set_last_is_found_by_the_next_attempt() {
        let dir = tempfile::tempdir().unwrap();
        let bounds = |upper| Requirements::from([(crate::ids::VertexId(3), Bounds { lower: 1, upper })]);
        let attempt = |attempt| store_of(dir.path(), attempt);
        assert_eq!(attempt(1).find(JOB).unwrap().requirements, None);
        attempt(1).put(JOB, &Record::Requirements(bounds(2))).unwrap();
        attempt(1).put(JOB, &Record::Requirements(bounds(3))).unwrap();
        assert_eq!(attempt(3).find(JOB).unwrap().requirements, Some(bounds(3)));
        attempt(3).put(JOB, &Record::Requirements(bounds(4))).unwrap();
        attempt(1).put(JOB, &Record::Requirements(bounds(5))).unwrap();
        assert_eq!(attempt(4).find(JOB).unwrap().requirements, Some(bounds(4)), "attempt 1 is fenced");
    }

    #[test]
    fn only_jobs_without_an_end_are_unfinished_and_what_is_forgotten_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = store_of(dir.path(), 1);
        assert_eq!(store.unfinished().unwrap().len(), 0);
        let jobs: Vec<JobId> = (1..=4).map(JobId).collect();
        for job in &jobs {
            store.put_job(&crate::jobmanager::fakes::submission(*job)).unwrap();
        }
        let outcome = |status| Record::Outcome(Outcome { status, failure: None, at: Now(9) });
        store.put(jobs[0], &outcome(JobStatus::Failed)).unwrap();
        store.put(jobs[1], &Record::Decision(Decision::default())).unwrap();
        store.put(jobs[3], &Record::Decision(Decision::default())).unwrap();
        store.put(jobs[3], &outcome(JobStatus::Finished)).unwrap();
        store.put(jobs[3], &Record::Requirements(Requirements::default())).unwrap();
        std::fs::create_dir(dir.path().join("blobs")).unwrap();
        let unfinished: Vec<JobId> = store.unfinished().unwrap().iter().map(|submission| submission.job).collect();
        assert_eq!(unfinished, [jobs[1], jobs[2]], "a decision still has to be carried out");
        for job in &jobs {
            store.forget(*job);
        }
        assert_eq!(store.unfinished().unwrap().len(), 0);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "the blobs alone are left");
    }

    #[test]
    fn a_damaged_record_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = store_of(dir.path(), 1);
        files::write_atomic(&store.path(JOB, "plan.json"), b"{").unwrap();
        assert!(store.find(JOB).unwrap_err().to_string().contains("plan.json"));
    }
}
