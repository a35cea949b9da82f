//! TaskManagers and the containers they come in: who is there, who is away, who is gone.

use super::{Core, TaskManager, counted};
use crate::graph::task::Failure;
use crate::ids::{ContainerId, JobId, TaskManagerId};
use crate::jobmanager::containers::{End, Ended, Takeover};
use crate::jobmanager::error::Refused;
use crate::jobmanager::event::Effect;
use crate::jobmanager::job_master;
use crate::protocol::application_master::AllocateResponse;
use crate::protocol::container::Allocation;
use crate::protocol::node::NodeState;
use crate::protocol::task_manager::{Register, ToJobManager, ToTaskManager};
use crate::time::Now;

impl Core {
    pub(super) fn task_manager_registered(&mut self, register: Register, now: Now, out: &mut Vec<Effect>) {
        let id = register.task_manager.clone();
        if self.task_managers.remove(&id).is_some() {
            // On a link that begins anew: what it was told on the one before may never have come. It keeps its container.
            self.slots_lost(&id, "its link has begun anew", now, out);
        }
        if let (Some(containers), Some(container)) = (&mut self.containers, register.container) {
            if containers.is_given_up(container) {
                let why = "it came too late after the JobManager's failure".to_owned();
                let message = ToTaskManager::Shutdown { why: why.clone() };
                out.push(Effect::ToTaskManager { task_manager: id.clone(), message });
                out.push(Effect::DropTaskManager { task_manager: id, why });
                return;
            }
            containers.registered(container, id.clone());
        }
        // Whatever runs there was started by a JobManager before this one.
        for worker in register.workers.clone() {
            let message = ToTaskManager::StopWorker { worker, grace_ms: 0 };
            out.push(Effect::ToTaskManager { task_manager: id.clone(), message });
        }
        let slots = register.slots;
        self.task_managers
            .insert(id.clone(), TaskManager { register, registered_at: now, away: None, idle_since: None });
        let grants = self.pool.register(id, slots);
        self.hand_out(grants, now, out);
    }

    pub(super) fn task_manager_away(&mut self, id: &TaskManagerId, why: String, now: Now, out: &mut Vec<Effect>) {
        if let Some(task_manager) = self.task_managers.get_mut(id) {
            task_manager.away = Some((now, why));
            let grants = self.pool.set_away(id, true);
            self.hand_out(grants, now, out);
            out.push(Effect::Wake { at: now + self.settings.lost_after });
        }
    }

    pub(super) fn task_manager_back(&mut self, id: &TaskManagerId, now: Now, out: &mut Vec<Effect>) {
        if let Some(task_manager) = self.task_managers.get_mut(id) {
            task_manager.away = None;
            let grants = self.pool.set_away(id, false);
            self.hand_out(grants, now, out);
        }
    }

    pub(super) fn task_manager_lost(&mut self, id: &TaskManagerId, why: &str, now: Now, out: &mut Vec<Effect>) {
        if self.task_managers.remove(id).is_none() {
            return;
        }
        if let Some(containers) = &mut self.containers
            && let Some(container) = containers.of(id)
        {
            containers.ended(container, &End::of_others(why), now);
            out.push(Effect::ReleaseContainer(container)); // Fenced: should it live on, it is stopped.
        }
        out.push(Effect::DropTaskManager { task_manager: id.clone(), why: why.to_owned() });
        self.slots_lost(id, why, now, out);
    }

    fn slots_lost(&mut self, id: &TaskManagerId, why: &str, now: Now, out: &mut Vec<Effect>) {
        let (losers, grants) = self.pool.lose(id);
        for job in losers {
            let lost = job_master::Event::SlotsLost { task_manager: id.clone(), why: why.to_owned() };
            let _ = self.of_job(job, lost, now, out); // A job that is gone lost nothing.
        }
        self.hand_out(grants, now, out);
    }

    pub(super) fn task_manager_says(
        &mut self,
        id: &TaskManagerId,
        message: ToJobManager,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        match message {
            // Of the attempt before, stopped as its TaskManager registered: no news.
            ToJobManager::WorkerStarted { worker, .. } | ToJobManager::WorkerExited { worker, .. }
                if self.task_managers.get(id).is_some_and(|of| of.register.workers.contains(&worker)) =>
            {
                Ok(())
            }
            ToJobManager::WorkerStarted { worker, pid } => {
                self.of_job(worker.job, job_master::Event::WorkerStarted { worker, pid }, now, out)
            }
            ToJobManager::WorkerExited { worker, cause, diagnostics } => {
                self.of_job(worker.job, job_master::Event::WorkerExited { worker, cause, diagnostics }, now, out)
            }
            ToJobManager::Leaving { why } => {
                self.task_manager_lost(id, &format!("it leaves: {why}"), now, out);
                Ok(())
            }
        }
    }

    /// Waits for the TaskManagers that the attempt before has left behind: they are looking for this one.
    pub(super) fn containers_kept(&mut self, kept: Vec<Allocation>, now: Now, out: &mut Vec<Effect>) {
        let Some(containers) = &mut self.containers else { return };
        let until = now + self.settings.previous_worker_timeout;
        containers.keep(kept, until);
        out.push(Effect::Wake { at: until });
    }

    pub(super) fn allocated(&mut self, response: AllocateResponse, now: Now, out: &mut Vec<Effect>) {
        for status in &response.completed {
            self.container_ended(status.container, &End::of(status), now, out);
        }
        // A ResourceManager that has restarted does not know what a node had that it never saw again.
        for report in response.updated_nodes.iter().filter(|report| report.state == NodeState::Lost) {
            let starting = self.containers.as_ref().map(|containers| containers.starting_on(&report.node));
            for container in starting.unwrap_or_default() {
                let lost = End::of_others(format!("node {} was lost", report.node));
                self.container_ended(container, &lost, now, out);
            }
        }
        let pending: Vec<String> = response.pending.into_iter().map(|pending| pending.reason).collect();
        if pending != self.pending {
            self.pending = pending;
            for job in self.pool.waiting() {
                self.show_change(job, now);
            }
        }
        let missing = self.pool.missing();
        let Some(containers) = &mut self.containers else { return };
        for action in containers.granted(response.allocated, missing) {
            out.push(action.into());
        }
    }

    pub(super) fn container_ended(&mut self, container: ContainerId, end: &End, now: Now, out: &mut Vec<Effect>) {
        let Some(containers) = &mut self.containers else { return };
        match containers.ended(container, end, now) {
            Ended::Unknown => {}
            Ended::Start { again_at: Some(at) } => out.push(Effect::Wake { at }),
            Ended::TaskManager(id) => self.task_manager_lost(&id, &end.why, now, out),
            Ended::Start { again_at: None } => {
                let message = format!("no TaskManager can be started: {}", end.why);
                for job in self.pool.waiting() {
                    let refused = job_master::Event::SlotsRefused(Failure::permanent(message.clone()));
                    let _ = self.of_job(job, refused, now, out); // A job that is gone waits for nothing.
                }
            }
        }
    }

    /// What has become of the TaskManagers that the attempt before has left behind, if it has.
    pub fn takeover(&self) -> Option<&Takeover> {
        self.containers.as_ref()?.takeover()
    }

    /// The same in one line.
    pub fn said_of(&self, takeover: &Takeover) -> String {
        let count = counted(takeover.taken_over, "TaskManager");
        let lost = match takeover.given_up.len() {
            0 => String::new(),
            lost => format!("; {lost} did not come and will be replaced"),
        };
        format!("JobManager attempt {} took over {count}{lost}", self.settings.attempt)
    }

    /// Lets those who watch a job know that there is something new to see.
    pub(super) fn show_change(&mut self, job: JobId, now: Now) {
        if let Some(job) = self.jobs.get_mut(&job) {
            job.version += 1;
            job.versioned_at = now;
        }
    }

    /// Brings what is asked of the ResourceManager in line with what is missing, and notes who is idle.
    pub(super) fn reconcile_containers(&mut self, now: Now, out: &mut Vec<Effect>) {
        let missing = self.pool.missing();
        let Some(containers) = &mut self.containers else { return };
        out.extend(containers.takeover_that_ended(now).map(|takeover| Effect::TookOver(takeover.clone())));
        out.extend(containers.reconcile(missing, now).map(Effect::from));
        if self.looked_at == self.pool.generation() {
            return;
        }
        self.looked_at = self.pool.generation();
        for (id, task_manager) in &mut self.task_managers {
            let idle = self.pool.offer(id).is_some_and(|offer| offer.granted.is_empty());
            task_manager.idle_since = match task_manager.idle_since {
                since @ Some(_) if idle => since,
                None if idle => {
                    out.push(Effect::Wake { at: now + self.settings.idle_after });
                    Some(now)
                }
                Some(_) | None => None,
            };
        }
    }

    /// Gives back containers that no job has needed for long.
    pub(super) fn release_idle(&mut self, now: Now, out: &mut Vec<Effect>) {
        let long = |since: Now| since + self.settings.idle_after <= now;
        let idle = self.task_managers.iter().filter(|(_, task_manager)| task_manager.idle_since.is_some_and(long));
        let idle: Vec<TaskManagerId> = idle.map(|(id, _)| id.clone()).collect();
        for task_manager in idle {
            let why = "no job needs it".to_owned();
            let message = ToTaskManager::Shutdown { why };
            out.push(Effect::ToTaskManager { task_manager: task_manager.clone(), message });
            self.task_manager_lost(&task_manager, "it was idle and is given back", now, out);
        }
    }
}
