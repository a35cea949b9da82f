//! What is the matter with a job, in sentences: the cause, what shows it, and what to do. Pure, over what the core knows anyway.
//!
//! Each rule looks at one thing and says at most one [`Verdict`] of it (one a vertex where it is about vertices); the worst come
//! first. A rule speaks only where somebody could act on it: a job that merely is idle gets none.

mod checkpoints;
mod event_time;
mod flow;

pub use self::event_time::{HeldBack, held_back};

use crate::jobmanager::core::Core;
use crate::jobmanager::job::Job;
use crate::protocol::diagnosis::{Evidence, Severity, Verdict, cause_and_remedy};
use crate::protocol::job::JobStatus;
use crate::time::Now;

/// All there is to say of `job`, worst first.
pub fn diagnose(core: &Core, job: &Job, now: Now) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> =
        [failed(job), waiting(core, job), restarting(job, now), taken_over(core, job, now)]
            .into_iter()
            .flatten()
            .collect();
    if let Some(master) = job.master() {
        if job.status() == JobStatus::Running {
            flow::diagnose(master, &mut verdicts);
            event_time::diagnose(master, &mut verdicts);
        }
        checkpoints::diagnose(master, job.status(), &mut verdicts);
    }
    verdicts.sort_by_key(|verdict| verdict.severity); // Stable: within one severity, rules keep their order.
    verdicts
}

fn failed(job: &Job) -> Option<Verdict> {
    let outcome = job.outcome().filter(|outcome| outcome.status == JobStatus::Failed)?;
    let failure = outcome.failure.as_ref()?;
    let (cause, remedy) = cause_and_remedy(&failure.message);
    let task = job.master().and_then(|master| master.failures().last()).and_then(|last| last.task.clone());
    let evidence = match (&failure.operator, task) {
        (Some(operator), Some(task)) => format!("operator \"{operator}\" in task {task}"),
        (Some(operator), None) => format!("operator \"{operator}\""),
        (None, Some(task)) => format!("task {task}"),
        (None, None) => String::new(),
    };
    Some(Verdict { cause, evidence, remedy, ..Verdict::new(Severity::Error, "failed", Evidence::Exceptions) })
}

fn waiting(core: &Core, job: &Job) -> Option<Verdict> {
    let restarts = job.status() == JobStatus::Restarting;
    let why = core.why_waiting(job.id()).filter(|_| !restarts && job.outcome().is_none())?;
    let (cause, remedy) = cause_and_remedy(&why);
    Some(Verdict {
        cause: format!("waiting: {cause}"),
        remedy,
        ..Verdict::new(Severity::Warning, "waiting", Evidence::Graph)
    })
}

fn taken_over(core: &Core, job: &Job, now: Now) -> Option<Verdict> {
    let takeover = core.takeover().filter(|_| job.outcome().is_none())?;
    let age_ms = now.as_millis().saturating_sub(takeover.over_at?.as_millis());
    (age_ms <= RECENT_MS).then(|| Verdict {
        cause: core.said_of(takeover),
        evidence: format!("{} s ago", age_ms / 1000),
        ..Verdict::new(Severity::Info, "taken-over", Evidence::Cluster)
    })
}

/// A restart is news for so long.
const RECENT_MS: u64 = 10 * 60 * 1000;

fn restarting(job: &Job, now: Now) -> Option<Verdict> {
    let master = job.master().filter(|_| job.outcome().is_none())?;
    let last = master.failures().last()?;
    let restarts = master.restarts();
    let age_ms = now.as_millis().saturating_sub(last.at.as_millis());
    if restarts == 0 || age_ms > RECENT_MS {
        return None;
    }
    let (cause, remedy) = cause_and_remedy(&last.failure.to_string());
    let times = if restarts == 1 { "once".to_owned() } else { format!("{restarts} times") };
    let task = last.task.as_ref().map(|task| format!(" in task {task}")).unwrap_or_default();
    let severity = if job.status() == JobStatus::Restarting { Severity::Error } else { Severity::Warning };
    Some(Verdict {
        cause: format!("restarted {times}, last because {cause}"),
        evidence: format!("{} s ago{task}", age_ms / 1000),
        remedy,
        ..Verdict::new(severity, "restarts", Evidence::Exceptions)
    })
}
