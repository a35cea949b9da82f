//! What a TaskManager decides: which workers it starts and ends, and when it leaves. Pure.

mod events;
mod link;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

pub use self::events::{Effect, Event};
use self::link::Link;
use super::error::Illegal;
use super::handle::WorkerView;
use super::worker::{State, Worker};
use crate::ids::{JobId, WorkerId};
use crate::process::{Ended, Identity, Signal};
use crate::protocol::container::ExitCause;
use crate::protocol::task_manager::{StartWorker, ToJobManager};
use crate::time::Now;

/// How long after a kill the same is tried again.
const KILL_AGAIN: Duration = Duration::from_secs(1);

/// What becomes of a TaskManager whose JobManager is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// It follows a later attempt of the JobManager that has started it, if one comes in time, else it leaves: its container belongs to
    /// the application.
    Container {
        /// Which attempt that was.
        attempt: u32,
        /// How long it waits for the next. Nothing: as long as for a broken connection.
        registration_timeout: Duration,
    },
    /// It waits for the next JobManager at the same address.
    Standalone,
}

/// What the core is given once.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Slots it offers.
    pub slots: u32,
    /// Where it runs.
    pub home: Home,
    /// How long it goes on without a JobManager. Long enough for a broken connection to come back.
    pub link_grace: Duration,
    /// Between asking a worker to end and killing it, where nobody said otherwise.
    pub kill_grace: Duration,
}

/// The state of a TaskManager.
#[derive(Debug)]
pub struct Core {
    policy: Policy,
    workers: BTreeMap<WorkerId, Worker>,
    /// Ordered behind the end of workers whose slots they take over; begun as soon as those are gone.
    waiting: Vec<StartWorker>,
    link: Link,
    /// The attempt of the JobManager that it follows; 0 standalone, where nobody counts.
    leader: u32,
    /// Why it leaves, once it does.
    leaving: Option<String>,
}

impl Core {
    /// A TaskManager that has nothing yet and looks for its JobManager from `now` on.
    pub fn new(policy: Policy, now: Now, out: &mut Vec<Effect>) -> Self {
        out.push(Effect::WakeAt(now + policy.link_grace));
        let leader = match policy.home {
            Home::Container { attempt, .. } => attempt,
            Home::Standalone => 0,
        };
        Self {
            policy,
            workers: BTreeMap::new(),
            waiting: Vec::new(),
            link: Link::Lost { since: now },
            leader,
            leaving: None,
        }
    }

    /// Workers that are alive or about to be, as told at registration.
    pub fn worker_ids(&self) -> Vec<WorkerId> {
        self.workers.keys().chain(self.waiting.iter().map(|start| &start.worker)).cloned().collect()
    }

    /// The processes that are to be measured.
    pub fn processes(&self) -> Vec<(WorkerId, Identity)> {
        self.workers.iter().filter_map(|(id, worker)| Some((id.clone(), worker.process()?))).collect()
    }

    /// Workers as shown to people.
    pub fn views(&self) -> Vec<WorkerView> {
        let view = |(id, worker): (&WorkerId, &Worker)| WorkerView {
            worker: id.clone(),
            state: worker.state_name(),
            pid: worker.process().map(|process| process.pid),
            slots: worker.slots,
            rss_bytes: worker.memory.rss_bytes(),
            limit_mb: worker.memory.limit_mb(),
        };
        self.workers.iter().map(view).collect()
    }

    /// Takes `event` in, at `now`. What is to be done about it is appended to `out`, in order.
    ///
    /// # Errors
    /// [`Illegal`] if the event makes no sense; nothing changed then.
    pub fn apply(&mut self, event: Event, now: Now, out: &mut Vec<Effect>) -> Result<(), Illegal> {
        match event {
            Event::LinkOpened => self.link = Link::Open,
            Event::LinkBroken => self.link_broken(now, out),
            Event::LeaderFound(leader) => self.leader_found(leader, now, out),
            Event::StartWorker(start) => self.start(start, out),
            Event::StopWorker { worker, grace } => {
                self.stop(&worker, ExitCause::KilledByApplicationMaster, grace, now, out);
            }
            Event::JobEnded { job } => self.job_ended(job, now, out),
            Event::Leave { why } => self.leave(why, now, out),
            Event::Prepared { worker, outcome } => self.prepared(&worker, outcome, out)?,
            Event::Spawned { worker, process } => self.spawned(&worker, process, now, out)?,
            Event::SpawnFailed { worker, why } => self.spawn_failed(&worker, why, out)?,
            Event::Exited { worker, ended, diagnostics } => self.exited(&worker, ended, diagnostics, out)?,
            Event::Measured { worker, rss_bytes } => self.measured(&worker, rss_bytes, now, out),
            Event::Wake => self.wake(now, out),
        }
        Ok(())
    }

    fn start(&mut self, start: Box<StartWorker>, out: &mut Vec<Effect>) {
        match self.admit(&start) {
            Ok(Admission::Now) => self.begin(start, out),
            Ok(Admission::Later) => self.waiting.push(*start),
            Err(why) => {
                let cause = ExitCause::LaunchFailed { why };
                report_exit(start.worker, cause, out);
            }
        }
    }

    fn begin(&mut self, start: Box<StartWorker>, out: &mut Vec<Effect>) {
        self.workers.insert(start.worker.clone(), Worker::new(start.slots, start.memory));
        out.push(Effect::Prepare(start));
    }

    fn admit(&self, start: &StartWorker) -> Result<Admission, String> {
        if let Some(why) = &self.leaving {
            return Err(format!("the TaskManager is leaving: {why}"));
        }
        let waits = self.waiting.iter().any(|waiting| waiting.worker == start.worker);
        if waits || self.workers.contains_key(&start.worker) {
            return Err(format!("worker {} was started before", start.worker));
        }
        let used: u32 = self.workers.values().map(|worker| worker.slots).sum();
        let ending: u32 = self.workers.values().filter(|worker| worker.is_ending()).map(|worker| worker.slots).sum();
        let promised: u32 = self.waiting.iter().map(|waiting| waiting.slots).sum();
        let free = self.policy.slots.saturating_sub(used);
        if start.slots <= free.saturating_sub(promised) {
            return Ok(Admission::Now);
        }
        // The JobManager has ended their holders before it gave the slots to this one.
        if start.slots <= (free + ending).saturating_sub(promised) {
            return Ok(Admission::Later);
        }
        Err(format!("{} slots wanted, {free} of {} are free", start.slots, self.policy.slots))
    }

    /// Begins what waited for room, in order.
    fn begin_waiting(&mut self, out: &mut Vec<Effect>) {
        loop {
            let used: u32 = self.workers.values().map(|worker| worker.slots).sum();
            let free = self.policy.slots.saturating_sub(used);
            if self.waiting.first().is_none_or(|next| next.slots > free) {
                return;
            }
            let next = self.waiting.remove(0);
            self.begin(Box::new(next), out);
        }
    }

    /// Those that wait will not be begun.
    fn give_up_waiting(&mut self, which: impl Fn(&WorkerId) -> bool, cause: &ExitCause, out: &mut Vec<Effect>) {
        let (given_up, kept) = std::mem::take(&mut self.waiting).into_iter().partition(|start| which(&start.worker));
        self.waiting = kept;
        let given_up: Vec<StartWorker> = given_up;
        for start in given_up {
            report_exit(start.worker, cause.clone(), out);
        }
    }

    fn prepared(&mut self, id: &WorkerId, outcome: Result<(), String>, out: &mut Vec<Effect>) -> Result<(), Illegal> {
        let worker = self.worker(id, "preparation")?;
        match &mut worker.state {
            State::Preparing => {}
            State::Starting | State::Running { .. } | State::Stopping { .. } => {
                return Err(Illegal::new(id, worker.state_name(), "preparation"));
            }
        }
        match outcome {
            Ok(()) => {
                worker.state = State::Starting;
                out.push(Effect::Spawn(id.clone()));
            }
            Err(why) => self.gone(id, ExitCause::LaunchFailed { why }, String::new(), out),
        }
        Ok(())
    }

    fn spawned(&mut self, id: &WorkerId, process: Identity, now: Now, out: &mut Vec<Effect>) -> Result<(), Illegal> {
        let worker = self.worker(id, "start")?;
        match &mut worker.state {
            State::Starting => {
                worker.state = State::Running { process };
                let started = ToJobManager::WorkerStarted { worker: id.clone(), pid: process.pid };
                out.push(Effect::Report(started));
                Ok(())
            }
            State::Stopping { process: slot @ None, kill_at, .. } => {
                *slot = Some(process);
                *kill_at = now + KILL_AGAIN;
                out.push(Effect::Signal { worker: id.clone(), process, signal: Signal::Kill });
                out.push(Effect::WakeAt(now + KILL_AGAIN));
                Ok(())
            }
            State::Preparing | State::Running { .. } | State::Stopping { .. } => {
                Err(Illegal::new(id, worker.state_name(), "start"))
            }
        }
    }

    fn spawn_failed(&mut self, id: &WorkerId, why: String, out: &mut Vec<Effect>) -> Result<(), Illegal> {
        let worker = self.worker(id, "failed start")?;
        let cause = match &worker.state {
            State::Starting => ExitCause::LaunchFailed { why },
            State::Stopping { process: None, cause, .. } => cause.clone(),
            State::Preparing | State::Running { .. } | State::Stopping { .. } => {
                return Err(Illegal::new(id, worker.state_name(), "failed start"));
            }
        };
        self.gone(id, cause, String::new(), out);
        Ok(())
    }

    fn exited(
        &mut self,
        id: &WorkerId,
        ended: Ended,
        diagnostics: String,
        out: &mut Vec<Effect>,
    ) -> Result<(), Illegal> {
        let worker = self.worker(id, "exit")?;
        let cause = match &worker.state {
            State::Running { .. } => own_cause(ended),
            // It may have died by itself just before it was told to end: then that is the news.
            State::Stopping { process: Some(_), cause: ExitCause::KilledByApplicationMaster, sent, .. }
                if !is_our_doing(ended, *sent) =>
            {
                own_cause(ended)
            }
            State::Stopping { process: Some(_), cause, .. } => cause.clone(),
            State::Preparing | State::Starting | State::Stopping { process: None, .. } => {
                return Err(Illegal::new(id, worker.state_name(), "exit"));
            }
        };
        self.gone(id, cause, diagnostics, out);
        Ok(())
    }

    /// The one way out: reported, its directory removed.
    fn gone(&mut self, id: &WorkerId, cause: ExitCause, diagnostics: String, out: &mut Vec<Effect>) {
        self.workers.remove(id);
        out.push(Effect::Report(ToJobManager::WorkerExited { worker: id.clone(), cause, diagnostics }));
        out.push(Effect::RemoveWorker(id.clone()));
        self.begin_waiting(out);
        if self.leaving.is_some() && self.workers.is_empty() {
            out.push(Effect::Exit);
        }
    }

    /// Begins the end of a worker. One that is ending already goes on to, at once if there is no grace; one that is gone is gone.
    fn stop(&mut self, id: &WorkerId, cause: ExitCause, grace: Duration, now: Now, out: &mut Vec<Effect>) {
        let Some(worker) = self.workers.get_mut(id) else {
            return self.give_up_waiting(|waiting| waiting == id, &cause, out);
        };
        match &mut worker.state {
            State::Preparing => {
                out.push(Effect::AbandonPreparation(id.clone()));
                self.gone(id, cause, String::new(), out);
            }
            State::Starting => {
                worker.state = State::Stopping { process: None, cause, kill_at: Now(u64::MAX), sent: Signal::Kill }
            }
            State::Running { process } => {
                let process = *process;
                let (signal, after) =
                    if grace.is_zero() { (Signal::Kill, KILL_AGAIN) } else { (Signal::Terminate, grace) };
                worker.state = State::Stopping { process: Some(process), cause, kill_at: now + after, sent: signal };
                out.push(Effect::Signal { worker: id.clone(), process, signal });
                out.push(Effect::WakeAt(now + after));
            }
            State::Stopping { process: Some(process), kill_at, sent: sent @ Signal::Terminate, .. }
                if grace.is_zero() =>
            {
                let process = *process;
                (*kill_at, *sent) = (now + KILL_AGAIN, Signal::Kill);
                out.push(Effect::Signal { worker: id.clone(), process, signal: Signal::Kill });
                out.push(Effect::WakeAt(now + KILL_AGAIN));
            }
            State::Stopping { .. } => {}
        }
    }

    fn stop_all(&mut self, cause: &ExitCause, grace: Duration, now: Now, out: &mut Vec<Effect>) {
        self.give_up_waiting(|_| true, cause, out);
        for worker in self.worker_ids() {
            self.stop(&worker, cause.clone(), grace, now, out);
        }
    }

    fn job_ended(&mut self, job: JobId, now: Now, out: &mut Vec<Effect>) {
        let left: Vec<WorkerId> = self.worker_ids().into_iter().filter(|worker| worker.job == job).collect();
        self.give_up_waiting(|worker| worker.job == job, &ExitCause::KilledAfterApplicationEnd, out);
        for worker in left {
            self.stop(&worker, ExitCause::KilledAfterApplicationEnd, self.policy.kill_grace, now, out);
        }
        out.push(Effect::ReleaseJob(job));
    }

    fn leave(&mut self, why: String, now: Now, out: &mut Vec<Effect>) {
        if self.leaving.is_some() {
            return;
        }
        self.leaving = Some(why.clone());
        out.push(Effect::Report(ToJobManager::Leaving { why: why.clone() }));
        if self.workers.is_empty() {
            out.push(Effect::Exit);
        }
        // Otherwise the last one to go says so.
        self.stop_all(&ExitCause::Aborted { why }, self.policy.kill_grace, now, out);
    }

    fn measured(&mut self, id: &WorkerId, rss_bytes: u64, now: Now, out: &mut Vec<Effect>) {
        let Some(worker) = self.workers.get_mut(id) else {
            return;
        };
        let exceeded = worker.memory.observe(rss_bytes);
        if exceeded && matches!(worker.state, State::Running { .. }) {
            let (limit_mb, peak_mb) = (worker.memory.limit_mb(), worker.memory.peak_mb());
            let cause = ExitCause::OutOfMemory { limit_mb, peak_mb, by: "process tree".to_owned() };
            self.stop(id, cause, Duration::ZERO, now, out);
        }
    }

    fn wake(&mut self, now: Now, out: &mut Vec<Effect>) {
        for (id, worker) in &mut self.workers {
            if let State::Stopping { process: Some(process), kill_at, sent, .. } = &mut worker.state
                && now >= *kill_at
            {
                *kill_at = now + KILL_AGAIN;
                *sent = Signal::Kill;
                out.push(Effect::Signal { worker: id.clone(), process: *process, signal: Signal::Kill });
                out.push(Effect::WakeAt(now + KILL_AGAIN));
            }
        }
        self.wait_for_link(now, out);
    }

    fn worker(&mut self, id: &WorkerId, event: &'static str) -> Result<&mut Worker, Illegal> {
        self.workers.get_mut(id).ok_or_else(|| Illegal::new(id, "unknown", event))
    }
}

/// When a worker may be begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    Now,
    /// When workers that are being ended are gone.
    Later,
}

fn report_exit(worker: WorkerId, cause: ExitCause, out: &mut Vec<Effect>) {
    out.push(Effect::Report(ToJobManager::WorkerExited { worker, cause, diagnostics: String::new() }));
}

fn own_cause(ended: Ended) -> ExitCause {
    match ended {
        Ended::Code(code) => ExitCause::Completed { code },
        Ended::Signal(signal) => ExitCause::Signal { signal },
    }
}

/// Whether a worker that was sent `sent` ended of that: orderly (0), by TERM or its handler (143), or killed.
fn is_our_doing(ended: Ended, sent: Signal) -> bool {
    match ended {
        Ended::Code(0 | 143) | Ended::Signal(15) => true,
        Ended::Signal(9) => sent == Signal::Kill,
        Ended::Code(_) | Ended::Signal(_) => false,
    }
}
