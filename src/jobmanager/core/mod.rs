//! What a JobManager knows and decides: many jobs, one slot pool, and the containers that slots come in.
//!
//! Routes what happens to the job it concerns, and what jobs want to the pool. Pure; see [`Service`](crate::jobmanager::Service) for the doing.

mod task_managers;
#[cfg(test)]
mod tests_random;
mod waiting;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::ids::{JobId, TaskManagerId, WorkerId};
use crate::jobmanager::containers::{Action, Containers, End, Shape};
use crate::jobmanager::error::Refused;
use crate::jobmanager::event::{Effect, Event, LeftCheckpoints, Prepared};
use crate::jobmanager::job::{Job, Stage};
use crate::jobmanager::job_master::{self, JobMaster, Outcome};
use crate::jobmanager::slots::{Grant, SlotPool};
use crate::protocol::job::{JobStatus, JobSubmission};
use crate::protocol::task_manager::{Register, StartWorker, ToTaskManager};
use crate::resource::MemorySize;
use crate::time::Now;

/// At most so often do counters alone change a job's version.
const COUNTERS_SHOWN_EVERY: Duration = Duration::from_millis(200);

/// What a JobManager is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which run of the JobManager this is, from 1.
    pub attempt: u32,
    /// `host:port` of its links.
    pub job_manager: String,
    /// What workers show.
    pub secret: String,
    /// How long a TaskManager may be without connection.
    pub lost_after: Duration,
    /// How long a container's TaskManager may be without any job.
    pub idle_after: Duration,
    /// How long the TaskManagers of the attempt before are waited for.
    pub previous_worker_timeout: Duration,
    /// How long a job may wait for slots before that counts as a failure of it.
    pub slot_timeout: Duration,
    /// What containers it asks for; absent standalone, where TaskManagers are started by hand.
    pub containers: Option<Shape>,
    /// Ended jobs that are remembered, with all their data.
    pub ended_jobs_max: usize,
    /// For jitter.
    pub seed: u64,
}

/// One TaskManager.
#[derive(Clone, Debug)]
pub struct TaskManager {
    /// What it said of itself.
    pub register: Register,
    /// When.
    pub registered_at: Now,
    /// Since when its connection is gone, and how it went.
    pub away: Option<(Now, String)>,
    /// Since when no job has a slot of it.
    pub idle_since: Option<Now>,
}

/// The state of a JobManager.
#[derive(Debug)]
pub struct Core {
    settings: Settings,
    jobs: BTreeMap<JobId, Job>,
    /// Ended jobs, oldest first.
    ended: VecDeque<JobId>,
    pool: SlotPool,
    /// The pool's generation when idleness was last looked at.
    looked_at: u64,
    containers: Option<Containers>,
    task_managers: BTreeMap<TaskManagerId, TaskManager>,
    /// Why the ResourceManager has not granted what was asked.
    pending: Vec<String>,
    /// Of jobs that an earlier attempt has ended: it may not have lived to remove their checkpoints.
    left: BTreeMap<JobId, LeftCheckpoints>,
}

impl Core {
    /// Knows nobody yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            containers: settings.containers.clone().map(Containers::new),
            settings,
            jobs: BTreeMap::new(),
            ended: VecDeque::new(),
            pool: SlotPool::default(),
            looked_at: 0,
            task_managers: BTreeMap::new(),
            pending: Vec::new(),
            left: BTreeMap::new(),
        }
    }

    /// Takes note of `event`.
    ///
    /// # Errors
    /// [`Refused`] if it makes no sense now; nothing changed then.
    pub fn apply(&mut self, event: Event, now: Now, out: &mut Vec<Effect>) -> Result<(), Refused> {
        match event {
            Event::Submitted(submission) => self.submitted(*submission, now, out)?,
            Event::Planned { job, prepared } => self.planned(job, *prepared, now, out),
            Event::PlanFailed { job, failure } => {
                self.end_unplanned(job, Outcome { status: JobStatus::Failed, failure: Some(failure), at: now }, out);
            }
            Event::FoundEnded { job, outcome, left } => {
                self.found_ended(job, outcome, out);
                self.left.extend(left.map(|left| (job, left)));
            }
            Event::Cancel { job } => self.cancel(job, now, out)?,
            Event::Trigger { job, trigger } => self.of_job(job, job_master::Event::Trigger(trigger), now, out)?,
            Event::Rescale { job, requirements } => {
                self.of_job(job, job_master::Event::Rescale(requirements), now, out)?;
            }
            Event::ManifestWritten { manifest, failure } => {
                let job = manifest.job;
                self.of_job(job, job_master::Event::ManifestWritten { manifest, failure }, now, out)?;
            }
            Event::Stop { job } => self.of_job(job, job_master::Event::Stop, now, out)?,
            Event::TaskManagerRegistered(register) => self.task_manager_registered(*register, now, out),
            Event::TaskManagerAway { task_manager, why } => self.task_manager_away(&task_manager, why, now, out),
            Event::TaskManagerBack { task_manager } => self.task_manager_back(&task_manager, now, out),
            Event::TaskManagerLost { task_manager, why } => self.task_manager_lost(&task_manager, &why, now, out),
            Event::TaskManager { task_manager, message } => {
                self.task_manager_says(&task_manager, message, now, out)?;
            }
            Event::WorkerRegistered(register) => {
                let job = register.worker.job;
                let event = job_master::Event::WorkerRegistered {
                    worker: register.worker,
                    pid: register.pid,
                    data_address: register.data_address,
                    plan_hash: register.plan_hash,
                };
                self.of_job(job, event, now, out)?;
            }
            Event::WorkerLost { worker, why } => {
                self.of_job(worker.job, job_master::Event::WorkerLost { worker, why }, now, out)?;
            }
            Event::Worker { worker, message } => {
                self.of_job(worker.job, job_master::Event::Worker { worker, message }, now, out)?;
            }
            Event::ResourceManagerForgot => {
                if let Some(containers) = &mut self.containers {
                    containers.forget_ask();
                }
            }
            Event::ContainersKept(kept) => self.containers_kept(kept, now, out),
            Event::Allocated(response) => self.allocated(*response, now, out),
            Event::LaunchFailed { container, why, refused } => {
                out.push(Effect::ReleaseContainer(container));
                self.container_ended(container, &End { why, stays: refused }, now, out);
            }
            Event::Wake => self.wake(now, out),
        }
        self.reconcile_containers(now, out);
        self.discard_left(out);
        Ok(())
    }

    fn submitted(&mut self, submission: JobSubmission, now: Now, out: &mut Vec<Effect>) -> Result<(), Refused> {
        let job = submission.job;
        if self.jobs.contains_key(&job) {
            return Err(Refused::Conflict(format!("there is a job {job} already")));
        }
        let stage = Stage::Planning;
        let entry = Job { submission: submission.clone(), submitted: now, stage, version: 1, versioned_at: now };
        self.jobs.insert(job, entry);
        out.push(Effect::Prepare(Box::new(submission)));
        Ok(())
    }

    fn planned(&mut self, job: JobId, prepared: Prepared, now: Now, out: &mut Vec<Effect>) {
        let Some(entry) = self.jobs.get_mut(&job).filter(|entry| matches!(entry.stage, Stage::Planning)) else {
            return; // Cancelled meanwhile.
        };
        let settings = job_master::Settings {
            attempt: self.settings.attempt,
            restart_strategy: prepared.restart_strategy,
            cancel_timeout: prepared.cancel_timeout,
            slot_timeout: self.settings.slot_timeout,
            seed: self.settings.seed,
            checkpoints: prepared.checkpoints,
            ..job_master::Settings::default()
        };
        let plan = Arc::new(prepared.plan);
        let mut master = JobMaster::new(job, plan, prepared.graph, settings, entry.submitted);
        if let Some(decision) = prepared.decision {
            master.resume_publication(decision);
        }
        if let Some(requirements) = prepared.requirements {
            master.require(requirements, now);
        }
        if let Some((latest, older)) = prepared.restore.split_last() {
            master.take_over(older);
            master.restore_from(Arc::clone(latest), now);
        }
        entry.submission.configuration = prepared.configuration;
        entry.stage = Stage::Planned(Box::new(master));
        // A new master refuses no start.
        let _ = self.of_job(job, job_master::Event::Start, now, out);
    }

    /// Ends a job that has no plan yet, durably.
    fn end_unplanned(&mut self, job: JobId, outcome: Outcome, out: &mut Vec<Effect>) {
        if self.jobs.get(&job).is_some_and(|entry| matches!(entry.stage, Stage::Planning)) {
            out.push(Effect::Persist { job, record: job_master::Record::Outcome(outcome.clone()) });
            self.found_ended(job, outcome, out);
        }
    }

    /// Takes a job to an end that is durable.
    fn found_ended(&mut self, job: JobId, outcome: Outcome, out: &mut Vec<Effect>) {
        let Some(entry) = self.jobs.get_mut(&job).filter(|entry| matches!(entry.stage, Stage::Planning)) else {
            return;
        };
        entry.stage = Stage::Unplanned(outcome.clone());
        entry.version += 1;
        out.push(Effect::StatusChanged { job, from: JobStatus::Initializing, to: outcome.status });
        out.push(Effect::Ended { job, outcome });
        out.push(Effect::Closed { job });
        self.remember_ended(job, out);
    }

    /// Removes what earlier attempts have left, once none of their workers writes any more: each TaskManager that follows this attempt has
    /// ended its own.
    fn discard_left(&mut self, out: &mut Vec<Effect>) {
        let takes_over = self.takeover().is_some_and(|takeover| takeover.over_at.is_none());
        if !takes_over {
            let discard = |(job, LeftCheckpoints { directory, retained })| Effect::DiscardOtherCheckpoints {
                job,
                directory,
                retained,
            };
            out.extend(std::mem::take(&mut self.left).into_iter().map(discard));
        }
    }

    /// Whether workers, or this process, may be writing to checkpoints that nobody needs, which are removed behind them.
    pub fn leaves_files(&self) -> bool {
        !self.left.is_empty() || self.jobs().filter_map(Job::master).any(JobMaster::leaves_files)
    }

    fn cancel(&mut self, job: JobId, now: Now, out: &mut Vec<Effect>) -> Result<(), Refused> {
        let entry = self.jobs.get(&job).ok_or(Refused::NoSuchJob(job))?;
        match entry.stage {
            Stage::Planning => {
                out.push(Effect::AbortPreparation { job });
                self.end_unplanned(job, Outcome { status: JobStatus::Canceled, failure: None, at: now }, out);
                Ok(())
            }
            // Cancelling what is cancelled is fine, as in Flink.
            Stage::Unplanned(_) | Stage::Planned(_) if entry.status() == JobStatus::Canceled => Ok(()),
            Stage::Unplanned(_) => Err(Refused::Conflict(format!("the job has ended already: {}", entry.status()))),
            Stage::Planned(_) => self.of_job(job, job_master::Event::Cancel, now, out),
        }
    }

    /// Lets a job take note of an event, and passes on what it wants. Grants that follow are events of their own.
    fn of_job(&mut self, job: JobId, event: job_master::Event, now: Now, out: &mut Vec<Effect>) -> Result<(), Refused> {
        let entry = self.jobs.get_mut(&job).ok_or(Refused::NoSuchJob(job))?;
        let Stage::Planned(master) = &mut entry.stage else {
            return Err(Refused::Conflict(format!("the job is {}", entry.status())));
        };
        let mut effects = Vec::new();
        // Somebody may wait to hear of a checkpoint before the job, and this process with it, ends.
        let mut is_news = matches!(event, job_master::Event::ManifestWritten { .. });
        let counters_due = now.since(entry.versioned_at) >= COUNTERS_SHOWN_EVERY;
        master.apply(event, now, &mut effects).map_err(|illegal| Refused::Conflict(illegal.0))?;
        is_news |= effects.iter().any(|effect| {
            matches!(effect, job_master::Effect::StatusChanged { .. } | job_master::Effect::RescaleEnded(_))
        });
        if counters_due || is_news {
            entry.version += 1;
            entry.versioned_at = now;
        }
        let mut grants = Vec::new();
        for effect in effects {
            self.perform(job, effect, &mut grants, out);
        }
        self.hand_out(grants, now, out);
        Ok(())
    }

    fn perform(&mut self, job: JobId, effect: job_master::Effect, grants: &mut Vec<Grant>, out: &mut Vec<Effect>) {
        match effect {
            job_master::Effect::RequestSlots { count } => grants.extend(self.pool.request(job, count)),
            job_master::Effect::ReleaseSlots { task_manager, slots } => {
                grants.extend(self.pool.release(job, &task_manager, slots));
                let still_used = self.pool.offer(&task_manager).is_some_and(|offer| offer.granted.contains_key(&job));
                if !still_used {
                    out.push(Effect::ToTaskManager { task_manager, message: ToTaskManager::JobEnded { job } });
                }
            }
            job_master::Effect::StartWorker { worker, slots } => self.start_worker(worker, slots, out),
            job_master::Effect::StopWorker { worker, grace_ms } => {
                let task_manager = worker.task_manager.clone();
                out.push(Effect::ToTaskManager {
                    task_manager,
                    message: ToTaskManager::StopWorker { worker, grace_ms },
                });
            }
            job_master::Effect::ToWorker { worker, message } => out.push(Effect::ToWorker { worker, message }),
            job_master::Effect::Persist(record) => out.push(Effect::Persist { job, record }),
            job_master::Effect::WriteManifest { manifest, counts } => {
                out.push(Effect::WriteManifest { manifest, counts });
            }
            job_master::Effect::DiscardCheckpoint { directory } => {
                out.push(Effect::DiscardCheckpoint { job, directory });
            }
            job_master::Effect::DiscardOtherCheckpoints { directory, retained } => {
                out.push(Effect::DiscardOtherCheckpoints { job, directory, retained });
            }
            job_master::Effect::CheckpointFailed { checkpoint, failure } => {
                out.push(Effect::CheckpointFailed { job, checkpoint, failure });
            }
            job_master::Effect::Wake { at } => out.push(Effect::Wake { at }),
            job_master::Effect::StatusChanged { from, to } => out.push(Effect::StatusChanged { job, from, to }),
            job_master::Effect::RescaleEnded(record) => out.push(Effect::RescaleEnded { job, record }),
            job_master::Effect::Ended(outcome) => {
                out.push(Effect::Ended { job, outcome });
                self.remember_ended(job, out);
            }
            job_master::Effect::Closed => out.push(Effect::Closed { job }),
        }
    }

    fn hand_out(&mut self, grants: Vec<Grant>, now: Now, out: &mut Vec<Effect>) {
        for Grant { job, task_manager, slots } in grants {
            let offered = job_master::Event::SlotsOffered { task_manager: task_manager.clone(), slots };
            if self.of_job(job, offered, now, out).is_err() {
                let others = self.pool.release(job, &task_manager, slots); // The job is gone.
                self.hand_out(others, now, out);
            }
        }
    }

    fn start_worker(&self, worker: WorkerId, slots: u32, out: &mut Vec<Effect>) {
        let task_manager = worker.task_manager.clone();
        let (Some(host), Some(job)) = (self.task_managers.get(&task_manager), self.jobs.get(&worker.job)) else {
            return; // Lost in this very step; its loss is the next event.
        };
        let Some(master) = job.master() else { return };
        let share = host.register.memory.bytes() / u64::from(host.register.slots.max(1)) * u64::from(slots);
        let message = ToTaskManager::StartWorker(Box::new(StartWorker {
            worker,
            program: job.submission.program.clone(),
            plan: master.plan().as_ref().clone(),
            job_manager: self.settings.job_manager.clone(),
            slots,
            memory: MemorySize::from_bytes(share),
            configuration: job.submission.configuration.clone(),
            secret: self.settings.secret.clone(),
        }));
        out.push(Effect::ToTaskManager { task_manager, message });
    }

    fn remember_ended(&mut self, job: JobId, out: &mut Vec<Effect>) {
        self.ended.push_back(job);
        if self.ended.len() > self.settings.ended_jobs_max {
            let oldest = self.ended.pop_front();
            out.extend(oldest.filter(|oldest| self.jobs.remove(oldest).is_some()).map(|job| Effect::Forgotten { job }));
        }
    }

    fn wake(&mut self, now: Now, out: &mut Vec<Effect>) {
        let lost: Vec<(TaskManagerId, String)> = self
            .task_managers
            .iter()
            .filter_map(|(id, task_manager)| match &task_manager.away {
                Some((since, why)) if *since + self.settings.lost_after <= now => Some((id.clone(), why.clone())),
                Some(_) | None => None,
            })
            .collect();
        self.release_idle(now, out);
        if let Some(containers) = &mut self.containers {
            out.extend(containers.give_up_kept(now).into_iter().map(Effect::from));
        }
        for (id, why) in lost {
            let seconds = self.settings.lost_after.as_secs_f64();
            self.task_manager_lost(&id, &format!("{why}; no sign of life for {seconds} s"), now, out);
        }
        self.fail_late(now, out);
        let running: Vec<JobId> = self.jobs.values().filter(|job| job.master().is_some()).map(|job| job.id()).collect();
        for job in running {
            let _ = self.of_job(job, job_master::Event::Wake, now, out); // A planned job refuses no wake.
        }
    }
}

impl From<Action> for Effect {
    fn from(action: Action) -> Self {
        match action {
            Action::Ask { count } => Self::AskContainers { count },
            Action::Launch(allocation) => Self::Launch(allocation),
            Action::Release(container) => Self::ReleaseContainer(container),
        }
    }
}

fn counted(count: u32, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// What views read.
impl Core {
    /// What it was told at its start.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its jobs, by id.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values()
    }

    /// One job.
    pub fn job(&self, job: JobId) -> Option<&Job> {
        self.jobs.get(&job)
    }

    /// The slot pool.
    pub fn pool(&self) -> &SlotPool {
        &self.pool
    }

    /// Its TaskManagers.
    pub fn task_managers(&self) -> &BTreeMap<TaskManagerId, TaskManager> {
        &self.task_managers
    }

    /// Whether a worker that opens its link now is one a job waits for.
    pub fn admits(&self, worker: &WorkerId) -> bool {
        self.job(worker.job).and_then(Job::master).is_some_and(|master| master.admits(worker))
    }
}
