//! One job of a JobManager, from submission on.

use crate::graph::task::Failure;
use crate::ids::JobId;
use crate::jobmanager::job_master::{JobMaster, Outcome};
use crate::protocol::job::{JobStatus, JobSubmission};
use crate::time::Now;

/// A job as the dispatcher knows it.
#[derive(Debug)]
pub struct Job {
    /// As submitted.
    pub submission: JobSubmission,
    /// When.
    pub submitted: Now,
    /// How far it has come.
    pub stage: Stage,
    pub(super) version: u64,
    pub(super) versioned_at: Now,
}

/// How far a job has come.
#[derive(Debug)]
pub enum Stage {
    /// Its program is being fetched and asked for its plan.
    Planning,
    /// It ended before it had a plan.
    Unplanned(Outcome),
    /// It has a plan.
    Planned(Box<JobMaster>),
}

impl Job {
    /// The job.
    pub fn id(&self) -> JobId {
        self.submission.job
    }

    /// Its name: the plan's, else the program's.
    pub fn name(&self) -> &str {
        match &self.stage {
            Stage::Planned(master) => &master.plan().name,
            Stage::Planning | Stage::Unplanned(_) => &self.submission.program.name,
        }
    }

    /// Where it stands.
    pub fn status(&self) -> JobStatus {
        match &self.stage {
            Stage::Planning => JobStatus::Initializing,
            Stage::Unplanned(outcome) => outcome.status,
            Stage::Planned(master) => master.status(),
        }
    }

    /// How it ended, once it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.stage {
            Stage::Planning => None,
            Stage::Unplanned(outcome) => Some(outcome),
            Stage::Planned(master) => master.outcome(),
        }
    }

    /// Why it failed, if it did.
    pub fn failure(&self) -> Option<&Failure> {
        self.outcome().and_then(|outcome| outcome.failure.as_ref())
    }

    /// Its core, once it has a plan.
    pub fn master(&self) -> Option<&JobMaster> {
        match &self.stage {
            Stage::Planned(master) => Some(master),
            Stage::Planning | Stage::Unplanned(_) => None,
        }
    }

    /// Grows when its status changes, and at most five times a second with its counters: what watchers wait for.
    pub fn version(&self) -> u64 {
        self.version
    }
}
