//! How a JobManager ends: wait for its jobs, unregister, go.

use std::collections::BTreeSet;
use std::time::Duration;

use super::core::Core;
use super::error::Error;
use super::job_master::Outcome;
use crate::ids::JobId;
use crate::protocol::application_master::{FinalStatus, Finish};
use crate::protocol::job::JobStatus;
use crate::time::Now;

/// How long workers may take to remove what a failed job will not publish, before the application ends under them.
const DRAIN: Duration = Duration::from_secs(4);
/// How long the ResourceManager may take to confirm the end. Long, since it may be away, and what it is not told it takes for a
/// failure; it ends sooner if the container is stopped.
const UNREGISTER: Duration = Duration::from_secs(15 * 60);
/// What remains to be done once the ResourceManager has ended the attempt.
const FENCED: Duration = Duration::from_secs(1);

/// What has not wound up yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Nothing,
    /// Workers, which go by themselves.
    Workers,
    /// Workers that may be writing what is to be removed behind them.
    Files,
}

impl Left {
    pub(crate) fn of(open: &BTreeSet<JobId>, core: &Core) -> Self {
        match core.leaves_files() {
            true => Self::Files,
            false if open.is_empty() => Self::Nothing,
            false => Self::Workers,
        }
    }
}

/// How far the end has come.
#[derive(Debug)]
pub(crate) enum Ending {
    /// It has not begun.
    No,
    /// Jobs wind up.
    Draining { finish: Finish, deadline: Now },
    /// The ResourceManager has been told.
    Unregistering { deadline: Now },
    /// Over.
    Done,
    /// Ended from outside.
    Fenced { why: String, deadline: Now },
}

impl Ending {
    pub(crate) fn begun(&self) -> bool {
        !matches!(self, Self::No)
    }

    /// Whether the ResourceManager has ended this attempt.
    pub(crate) fn is_fenced(&self) -> bool {
        matches!(self, Self::Fenced { .. })
    }

    /// Whether the JobManager still heeds being told to stop: before its end has begun, and while it waits for an answer that may
    /// not come.
    pub(crate) fn heeds_stop(&self) -> bool {
        matches!(self, Self::No | Self::Unregistering { .. })
    }

    pub(crate) fn deadline(&self) -> Option<Now> {
        match self {
            Self::Draining { deadline, .. } | Self::Unregistering { deadline } | Self::Fenced { deadline, .. } => {
                Some(*deadline)
            }
            Self::No | Self::Done => None,
        }
    }

    pub(crate) fn drain(&mut self, finish: Finish, now: Now) {
        if let Self::No = self {
            *self = Self::Draining { finish, deadline: now + DRAIN };
        }
    }

    /// What to tell the ResourceManager now, if it is time. A job that has finished need not wait for its workers' exit.
    pub(crate) fn finish(&mut self, left: Left, registered: bool, now: Now) -> Option<Finish> {
        if let Self::Fenced { deadline, .. } = self
            && left == Left::Nothing
        {
            *deadline = now;
        }
        let Self::Draining { finish, deadline } = self else { return None };
        let may_go = match left {
            Left::Nothing => true,
            Left::Workers => finish.final_status == FinalStatus::Succeeded,
            Left::Files => false,
        };
        if !may_go && now < *deadline {
            return None;
        }
        let finish = finish.clone();
        *self = if registered { Self::Unregistering { deadline: now + UNREGISTER } } else { Self::Done };
        Some(finish)
    }

    pub(crate) fn unregistered(&mut self) {
        if let Self::Unregistering { .. } = self {
            *self = Self::Done;
        }
    }

    pub(crate) fn fenced(&mut self, why: String, now: Now) {
        match self {
            // After our goodbye a closed link is no news.
            Self::Unregistering { .. } | Self::Done => *self = Self::Done,
            Self::No | Self::Draining { .. } => *self = Self::Fenced { why, deadline: now + FENCED },
            Self::Fenced { .. } => {}
        }
    }

    /// With what the JobManager ends, once it is time.
    pub(crate) fn outcome(&self, now: Now) -> Option<Result<(), Error>> {
        match self {
            Self::Done => Some(Ok(())),
            Self::Fenced { why, deadline } if *deadline <= now => Some(Err(Error::Fenced(why.clone()))),
            Self::Unregistering { deadline } if *deadline <= now => Some(Ok(())),
            Self::No | Self::Draining { .. } | Self::Unregistering { .. } | Self::Fenced { .. } => None,
        }
    }
}

/// What the ResourceManager is told of a job's end.
pub(crate) fn final_status(outcome: &Outcome) -> Finish {
    let final_status = match outcome.status {
        JobStatus::Finished => FinalStatus::Succeeded,
        JobStatus::Canceled => FinalStatus::Killed,
        JobStatus::Failed
        | JobStatus::Initializing
        | JobStatus::Created
        | JobStatus::Running
        | JobStatus::Failing
        | JobStatus::Cancelling
        | JobStatus::Restarting
        | JobStatus::Suspended => FinalStatus::Failed,
    };
    let diagnostics = match &outcome.failure {
        Some(failure) => failure.to_string(),
        None => outcome.status.to_string(),
    };
    Finish { final_status, diagnostics, tracking_url: String::new() }
}

/// What the ResourceManager is told when somebody stopped the JobManager.
pub(crate) fn stopped(why: &str) -> Finish {
    Finish { final_status: FinalStatus::Killed, diagnostics: why.to_owned(), tracking_url: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_is_told_at_once_and_failure_after_the_workers_have_gone() {
        let outcome = |status| Outcome { status, failure: None, at: Now(0) };
        let mut ending = Ending::No;
        ending.drain(final_status(&outcome(JobStatus::Finished)), Now(0));
        assert_eq!(ending.finish(Left::Workers, true, Now(0)).unwrap().final_status, FinalStatus::Succeeded);
        assert!(ending.outcome(Now(14 * 60_000)).is_none(), "the ResourceManager may be away for long");
        ending.unregistered();
        assert!(matches!(ending.outcome(Now(0)), Some(Ok(()))));

        let mut ending = Ending::No;
        ending.drain(final_status(&outcome(JobStatus::Finished)), Now(0));
        assert_eq!(ending.finish(Left::Files, true, Now(3999)), None);
        assert!(ending.finish(Left::Files, true, Now(4000)).is_some());

        let mut ending = Ending::No;
        ending.drain(final_status(&outcome(JobStatus::Failed)), Now(0));
        assert_eq!(ending.finish(Left::Workers, true, Now(3999)), None);
        assert_eq!(ending.finish(Left::Workers, true, Now(4000)).unwrap().final_status, FinalStatus::Failed);
        ending.fenced("closed".to_owned(), Now(4001));
        assert!(matches!(ending.outcome(Now(4001)), Some(Ok(()))), "closed after our goodbye");
        assert!(!ending.heeds_stop());
    }
}
