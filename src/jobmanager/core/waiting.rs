//! Jobs that wait: what for, and for how long.

use super::{Core, counted};
use crate::graph::task::Failure;
use crate::ids::JobId;
use crate::jobmanager::event::Effect;
use crate::jobmanager::job::Job;
use crate::jobmanager::job_master;
use crate::protocol::job::JobStatus;
use crate::time::Now;

impl Core {
    /// Why a job does not run, while it does not and could: which slots it lacks, or after which failure it restarts.
    pub fn why_waiting(&self, job: JobId) -> Option<String> {
        let Some(mut why) = self.shortage(job) else {
            let master = self.job(job)?.master()?;
            let last = master.failures().last().filter(|_| master.status() == JobStatus::Restarting)?;
            return Some(format!("restarting after: {}", last.failure));
        };
        if self.containers.is_none() {
            why.push_str("; start more with flott taskmanager, or lower the parallelism");
        }
        Some(why)
    }

    /// How many slots a job lacks, where those are that there are, and what has been done to get more.
    fn shortage(&self, job: JobId) -> Option<String> {
        let (wanted, held) = self.pool.shortage(job)?;
        let (offered, _) = self.pool.totals();
        let mut why = format!("needs {}", counted(wanted, "slot"));
        if held > 0 {
            why.push_str(&format!(" and holds {held}"));
        }
        why.push_str(&match self.task_managers.len() {
            1 => format!(", 1 TaskManager offers {offered}"),
            count => format!(", {count} TaskManagers offer {offered}"),
        });
        if let Some(containers) = &self.containers {
            let (asked, starting) = containers.pending();
            why.push_str(&format!("; {} asked for, {starting} starting", counted(asked, "container")));
            if let Some(last) = containers.last_failure() {
                why.push_str(&format!("; the last one could not be started: {last}"));
            }
            for reason in &self.pending {
                why.push_str("; ");
                why.push_str(reason);
            }
        }
        Some(why)
    }

    /// Jobs that have waited for slots as long as they may have failed, each for its own reason.
    pub(super) fn fail_late(&mut self, now: Now, out: &mut Vec<Effect>) {
        let is_late = |job: &&Job| job.master().is_some_and(|master| master.waits_too_long(now));
        let late: Vec<JobId> = self.jobs.values().filter(is_late).map(Job::id).collect();
        for job in late {
            let Some(shortage) = self.shortage(job) else { continue };
            let seconds = self.settings.slot_timeout.as_secs_f64();
            let remedy = match &self.containers {
                None => "start more TaskManagers",
                Some(containers) if containers.last_failure().is_some() => "see to why it could not",
                Some(_) => "make room in the queue",
            };
            let message = format!(
                "waited {seconds} s for slots: {shortage}; {remedy}, lower the parallelism, or raise slot.request.timeout"
            );
            let late = job_master::Event::SlotsLate(Failure::transient(message));
            let _ = self.of_job(job, late, now, out); // A job that is gone waits for nothing.
        }
    }
}
