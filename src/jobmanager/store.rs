//! What of a job lies in storage: `<flott.storage.dir>/<application or cluster>/<job>/`.
//!
//! | file | holds | written |
//! |---|---|---|
//! | `job.json` | the submission | once |
//! | `plan.json` | the plan, never recomputed | once |
//! | `decision.json` | that the output is complete and what is published | once, with the attempt that decided |
//! | `outcome.json` | how the job ended | once |
//!
//! Each is created on condition that it is not there, so of two JobManagers that both believe to be the one, only one decides.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::job_master::{Decision, Outcome, Record};
use crate::graph::plan::Plan;
use crate::ids::JobId;
use crate::protocol::job::JobSubmission;
use crate::storage::files::{self, Creation};

/// The stored jobs of one application or cluster. Blocking: called off the control runtime.
#[derive(Clone, Debug)]
pub(super) struct Store {
    dir: PathBuf,
    attempt: u32,
}

/// A record with the run of the JobManager that wrote it.
#[derive(Serialize, Deserialize)]
struct Stamped<T> {
    attempt: u32,
    record: T, // Not flattened: serde would no longer read numbers as keys.
}

/// What an earlier JobManager has left of a job.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub(super) plan: Option<Plan>,
    pub(super) decision: Option<Decision>,
    pub(super) outcome: Option<Outcome>,
}

impl Store {
    pub(super) fn new(dir: PathBuf, attempt: u32) -> Self {
        Self { dir, attempt }
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
            Record::Decision(decision) => self.put_stamped(&self.path(job, "decision.json"), decision),
            Record::Outcome(outcome) => self.put_stamped(&self.path(job, "outcome.json"), outcome),
        }
    }

    fn put_stamped<T: Serialize>(&self, path: &Path, record: &T) -> Result<(), Error> {
        match self.create(path, &Stamped { attempt: self.attempt, record })? {
            Creation::Created => Ok(()),
            Creation::AlreadyExists => {
                let found: Option<Stamped<serde_json::Value>> = read(path)?;
                match found {
                    Some(found) if found.attempt == self.attempt => Ok(()),
                    Some(Stamped { attempt, .. }) => Err(Error::Fenced(format!(
                        "attempt {attempt} of this JobManager has written {} already; this is attempt {}",
                        path.display(),
                        self.attempt
                    ))),
                    None => Err(Error::Damaged { path: path.to_owned(), cause: "it has vanished".to_owned() }),
                }
            }
        }
    }

    fn create<T: Serialize>(&self, path: &Path, value: &T) -> Result<Creation, Error> {
        let json = serde_json::to_vec_pretty(value)
            .map_err(|error| Error::Damaged { path: path.to_owned(), cause: error.to_string() })?;
        files::create_new(path, &json).map_err(Error::Storage)
    }

    /// What there is of a job.
    pub(super) fn find(&self, job: JobId) -> Result<Stored, Error> {
        let decision: Option<Stamped<Decision>> = read(&self.path(job, "decision.json"))?;
        let outcome: Option<Stamped<Outcome>> = read(&self.path(job, "outcome.json"))?;
        Ok(Stored {
            plan: read(&self.path(job, "plan.json"))?,
            decision: decision.map(|stamped| stamped.record),
            outcome: outcome.map(|stamped| stamped.record),
        })
    }
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
    use crate::protocol::job::JobStatus;
    use crate::time::Now;

    const JOB: JobId = JobId(5);

    #[test]
    fn a_later_attempt_finds_what_was_decided_and_cannot_decide_again() {
        let dir = tempfile::tempdir().unwrap();
        let first = Store::new(dir.path().to_owned(), 1);
        assert!(first.find(JOB).unwrap().plan.is_none());
        let operator = crate::graph::plan::NodeIndex(3);
        let file = crate::graph::task::Committable { operator, payload: serde_json::json!("part") };
        let decided = Decision { committables: [(operator, vec![file])].into() };
        let decision = Record::Decision(decided.clone());
        first.put(JOB, &decision).unwrap();
        first.put(JOB, &decision).unwrap();
        let second = Store::new(dir.path().to_owned(), 2);
        assert_eq!(second.find(JOB).unwrap().decision, Some(decided));
        let error = second.put(JOB, &decision).unwrap_err().to_string();
        assert!(error.starts_with("attempt 1 of this JobManager has written"), "{error}");

        let outcome = Outcome { status: JobStatus::Finished, failure: None, at: Now(9) };
        second.put(JOB, &Record::Outcome(outcome.clone())).unwrap();
        assert_eq!(first.find(JOB).unwrap().outcome, Some(outcome));
    }

    #[test]
    fn a_damaged_record_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().to_owned(), 1);
        files::write_atomic(&store.path(JOB, "plan.json"), b"{").unwrap();
        assert!(store.find(JOB).unwrap_err().to_string().contains("plan.json"));
    }
}
