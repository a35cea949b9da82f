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
use crate::protocol::diagnosis::{Evidence, Severity, Verdict};
use crate::protocol::job::JobStatus;
use crate::time::Now;

/// All there is to say of `job`, worst first.
pub fn diagnose(core: &Core, job: &Job, now: Now) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> =
        [failed(job), waiting(core, job), restarting(job, now)].into_iter().flatten().collect();
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

/// A failure's message says the cause first and then what to do, parted by a semicolon that is in no parentheses.
fn cause_and_remedy(message: &str) -> (String, String) {
    let mut depth = 0_u32;
    let outside = message.char_indices().find(|(_, c)| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        *c == ';' && depth == 0
    });
    match outside {
        Some((at, _)) => (message[..at].to_owned(), message[at + 1..].trim_start().to_owned()),
        None => (message.to_owned(), String::new()),
    }
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
    Some(Verdict {
        severity: Severity::Error,
        kind: "failed".into(),
        cause,
        evidence,
        remedy,
        vertex: None,
        page: Evidence::Exceptions,
    })
}

fn waiting(core: &Core, job: &Job) -> Option<Verdict> {
    let restarts = job.status() == JobStatus::Restarting;
    let why = core.why_waiting(job.id()).filter(|_| !restarts && job.outcome().is_none())?;
    let (cause, remedy) = cause_and_remedy(&why);
    Some(Verdict {
        severity: Severity::Warning,
        kind: "waiting".into(),
        cause: format!("waiting: {cause}"),
        evidence: String::new(),
        remedy,
        vertex: None,
        page: Evidence::Graph,
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
    Some(Verdict {
        severity: if job.status() == JobStatus::Restarting { Severity::Error } else { Severity::Warning },
        kind: "restarts".into(),
        cause: format!("restarted {times}, last because {cause}"),
        evidence: format!("{} s ago{task}", age_ms / 1000),
        remedy,
        vertex: None,
        page: Evidence::Exceptions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_falls_into_its_cause_and_what_to_do() {
        let (cause, remedy) = cause_and_remedy("cannot connect to h:1: connection refused; start the server first");
        assert_eq!(
            (cause.as_str(), remedy.as_str()),
            ("cannot connect to h:1: connection refused", "start the server first")
        );
        for whole in ["boom", "no such file: x (in /tmp; give an absolute path)"] {
            assert_eq!(cause_and_remedy(whole), (whole.to_owned(), String::new()));
        }
    }
}
