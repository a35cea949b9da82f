//! Effects of the core, performed in order.

use std::time::Duration;

use tracing::{info, warn};

use super::Service;
use crate::engine::checkpoint::JobStands;
use crate::ids::JobId;
use crate::jobmanager::error::Error;
use crate::jobmanager::event::Effect;
use crate::jobmanager::job::Job;
use crate::jobmanager::job_master::{Outcome, RescaleRecord};
use crate::jobmanager::preparation::blocking;
use crate::jobmanager::shutdown::final_status;
use crate::protocol::job::JobStatus;

/// How long the service stands still for a checkpoint that an ended job leaves: less than anybody takes for its end.
const LAST_DISCARD_MAX: Duration = Duration::from_secs(4);

impl Service {
    pub(super) async fn perform(&mut self, effect: Effect) -> Result<(), Error> {
        match effect {
            Effect::Prepare(submission) => {
                let job = submission.job;
                let preparation = self.preparation.clone();
                let child = self.children.spawn(async move { preparation.run(*submission).await.map(Some) });
                self.preparations.insert(job, child);
            }
            Effect::AbortPreparation { job } => {
                if let Some(child) = self.preparations.remove(&job) {
                    child.abort();
                }
            }
            // A later attempt decides now: what becomes of the job here is nobody's business.
            Effect::Persist { .. } if self.ending.is_fenced() => {}
            // Awaited here: nothing behind it leaves, and no request is answered, before it is durable.
            Effect::Persist { job, record } => {
                let store = self.store.clone();
                blocking(move || store.put(job, &record)).await?;
            }
            Effect::WriteManifest { manifest, counts } => {
                let checkpoints = self.checkpoints.clone();
                self.children.spawn(async move { checkpoints.written(manifest, counts).await.map(Some) });
            }
            // Its job is cancelled by the end of this process, not by a user: what lies there may be gone on from, by a later attempt or
            // by hand.
            Effect::DiscardCheckpoint { .. } | Effect::DiscardOtherCheckpoints { .. } if self.stopping => {}
            Effect::DiscardCheckpoint { job, directory } => self.discard_checkpoint(job, directory).await?,
            Effect::DiscardOtherCheckpoints { job, directory, retained } => {
                let checkpoints = self.checkpoints.clone();
                self.discard_at_the_end(job, move || {
                    checkpoints.discard_others(&directory, &retained, JobStands::Ended)
                })
                .await?;
            }
            Effect::CheckpointFailed { job, checkpoint, failure } => {
                warn!(%job, %checkpoint, %failure, "checkpoint failed");
            }
            Effect::ToTaskManager { task_manager, message } => self.links.to_task_manager(&task_manager, message),
            Effect::DropTaskManager { task_manager, why } => {
                warn!(%task_manager, %why, "TaskManager lost");
                let fenced = self.resource_manager.is_some();
                self.links.drop_task_manager(&task_manager, &why, fenced);
            }
            Effect::ToWorker { worker, message } => self.links.to_worker(&worker, message),
            Effect::AskContainers { count } => {
                if let Some((resource_manager, _)) = &self.resource_manager {
                    info!(count, "asking for TaskManager containers");
                    resource_manager.ask(count);
                }
            }
            Effect::ReleaseContainer(container) => {
                if let Some((resource_manager, _)) = &self.resource_manager {
                    resource_manager.release(container);
                }
            }
            Effect::Launch(allocation) => {
                let launch = self.task_managers.clone().launch(*allocation);
                self.children.spawn(async move { Ok(launch.await) });
            }
            Effect::TookOver(takeover) => info!("{}", self.core.said_of(&takeover)),
            Effect::Wake { at } => drop(self.wakes.insert(at)),
            Effect::StatusChanged { job, from, to } => self.log_status(job, from, to),
            Effect::RescaleEnded { job, record } => log_rescale(job, &record),
            Effect::Ended { job, outcome } => self.job_ended(job, &outcome),
            // Whose records these are now, the later attempt knows.
            Effect::Forgotten { .. } if self.ending.is_fenced() => {}
            Effect::Forgotten { job } => {
                let store = self.store.clone();
                let forget = blocking(move || {
                    store.forget(job);
                    Ok(None)
                });
                self.children.spawn(forget);
            }
            Effect::Closed { job } => {
                self.open.remove(&job);
                self.preparations.remove(&job);
                self.finish_if_drained();
            }
        }
        Ok(())
    }

    /// Beside everything else, except when the job has ended: this process may be about to, too.
    async fn discard_checkpoint(&mut self, job: JobId, directory: String) -> Result<(), Error> {
        let has_ended = self.core.job(job).and_then(Job::master).is_none_or(|master| master.outcome().is_some());
        let checkpoints = self.checkpoints.clone();
        if has_ended {
            return self.discard_at_the_end(job, move || checkpoints.discard(&directory, JobStands::Ended)).await;
        }
        let discard = blocking(move || {
            checkpoints.discard(&directory, JobStands::GoesOn);
            Ok(None)
        });
        self.children.spawn(discard);
        Ok(())
    }

    async fn discard_at_the_end(&mut self, job: JobId, discard: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let discard = blocking(move || {
            discard();
            Ok(())
        });
        match tokio::time::timeout(LAST_DISCARD_MAX, discard).await {
            Ok(discarded) => discarded?,
            Err(_) => warn!(%job, "the store of the job's checkpoints does not answer; one may be left behind"),
        }
        self.finish_if_drained();
        Ok(())
    }

    fn log_status(&self, job: JobId, from: JobStatus, to: JobStatus) {
        let failure = self.core.job(job).and_then(Job::master).filter(|master| !master.is_redeploying());
        match failure.and_then(|master| master.failures().last()).filter(|_| from == JobStatus::Restarting) {
            Some(last) => info!(%job, %from, %to, after = %last.failure, "job status changed"),
            None => info!(%job, %from, %to, "job status changed"),
        }
    }

    fn job_ended(&mut self, job: JobId, outcome: &Outcome) {
        let why = outcome.failure.as_ref().map(ToString::to_string).unwrap_or_default();
        info!(%job, status = %outcome.status, %why, "job ended");
        // A later attempt says what became of it.
        if let Some(archive) = self.archive.as_ref().filter(|_| !self.ending.is_fenced())
            && let Some(ended) = self.core.job(job)
        {
            let write = archive.of(&self.core, ended, self.clock.now());
            self.archiving.spawn_blocking(write);
        }
        if self.per_job {
            self.ending.drain(final_status(outcome), self.clock.now());
            self.finish_if_drained();
        }
    }
}

fn log_rescale(job: JobId, record: &RescaleRecord) {
    let parallelism: Vec<String> =
        record.before.iter().map(|(id, before)| format!("{id} {before} -> {}", record.after[id])).collect();
    let parallelism = parallelism.join(", ");
    match (&record.failure, record.stopped, record.ended) {
        (None, Some(stopped), Some(ended)) => {
            let stood_still_ms = ended.since(stopped).as_millis();
            info!(%job, %parallelism, %stood_still_ms, "parallelism changed");
        }
        (failure, _, _) => warn!(%job, %parallelism, why = failure, "parallelism not changed"),
    }
}
