//! From a submission to a job that can start: store it, fetch its program, plan it (or find the stored plan), chain it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::checkpoint_store::CheckpointStore;
use super::error::Error;
use super::event::{Event, Prepared};
use super::job_master::{CheckpointSettings, Outcome};
use super::planning::Planner;
use super::programs::Programs;
use super::recovery::Recovery;
use super::store::Store;
use crate::config::{Configuration, JobConfig};
use crate::engine::checkpoint::Manifest;
use crate::graph::explain::Explanation;
use crate::graph::job_graph::{self, JobGraph};
use crate::graph::plan::Plan;
use crate::graph::task::Failure;
use crate::ids::JobId;
use crate::protocol::description::Description;
use crate::protocol::job::{JobSubmission, Program};
use crate::storage::places::{self, place_of};

/// Until a store that is not reached is asked again.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// All that preparing a job takes. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Preparation {
    pub(super) store: Store,
    pub(super) checkpoints: CheckpointStore,
    pub(super) programs: Programs,
    pub(super) planner: Planner,
    /// The cluster's configuration: what neither program nor submission set.
    pub(super) configuration: Configuration,
}

impl Preparation {
    /// Prepares a job; the event says how it went.
    ///
    /// # Errors
    /// [`Error`] if storage fails, which concerns the whole JobManager.
    pub(super) async fn run(self, submission: JobSubmission) -> Result<Event, Error> {
        let job = submission.job;
        let stored = {
            let (store, submission) = (self.store.clone(), submission.clone());
            blocking(move || store.put_job(&submission).and_then(|()| store.find(job))).await?
        };
        if let Some(outcome) = stored.outcome {
            let resolved = stored.plan.and_then(|plan| self.resolve(plan, &submission).ok());
            let settings = resolved.map(|(_, prepared)| prepared.checkpoints);
            return found_ended(&self.checkpoints, job, outcome, settings).await;
        }
        let plan = match stored.plan {
            Some(plan) => Ok(plan),
            None => self.plan(&submission).await,
        };
        let prepared = plan.and_then(|plan| {
            let (plan, prepared) = self.resolve(plan, &submission)?;
            Ok((plan, prepared))
        });
        match prepared {
            Ok((plan, mut prepared)) => {
                let (store, checkpoints) = (self.store.clone(), self.checkpoints.clone());
                let from = prepared.recovery.take();
                let (retained, directory) = (prepared.checkpoints.retained, prepared.checkpoints.directory.clone());
                let (store_plan, stored) = (store.clone(), plan.clone());
                blocking(move || store_plan.put_plan(job, &stored)).await?;
                let kept = begin(&checkpoints, job, retained, &directory).await?;
                // Looked at once more: an earlier attempt may have decided until this one had entered, and no longer.
                let stored = blocking(move || store.find(job)).await?;
                if let Some(outcome) = stored.outcome {
                    return found_ended(&checkpoints, job, outcome, Some(prepared.checkpoints)).await;
                }
                (prepared.decision, prepared.requirements) = (stored.decision, stored.requirements);
                let found = blocking(move || {
                    // An earlier attempt has come further than what the job was started from.
                    let from = from.filter(|_| kept.is_empty());
                    let opened = from.map(|from| from.open(checkpoints.storage(), &plan)).transpose();
                    Ok(opened.map(|opened| opened.into_iter().chain(kept).collect::<Vec<_>>()))
                })
                .await?;
                match found {
                    Ok(restore) => {
                        prepared.restore = restore.into_iter().map(Arc::new).collect();
                        Ok(Event::Planned { job, prepared: Box::new(prepared) })
                    }
                    Err(failure) => Ok(Event::PlanFailed { job, failure }),
                }
            }
            Err(failure) => Ok(Event::PlanFailed { job, failure }),
        }
    }

    /// What a submission would run, without storing or starting it.
    pub(super) async fn explain(&self, submission: &JobSubmission) -> Result<Explanation, Failure> {
        let plan = self.plan(submission).await?;
        let (_, prepared) = self.resolve(plan, submission)?;
        Ok(Explanation::new(prepared.plan, prepared.graph))
    }

    /// What a program tells of itself.
    pub(super) async fn describe(&self, program: &Program) -> Result<Description, Failure> {
        let executable = self.programs.fetch(&program.name, &program.executable).await?;
        self.planner.describe(program, &executable).await
    }

    async fn plan(&self, submission: &JobSubmission) -> Result<Plan, Failure> {
        let program = &submission.program;
        let executable = self.programs.fetch(&program.name, &program.executable).await?;
        let mut files = BTreeMap::new();
        for (name, resource) in &program.files {
            files.insert(name.clone(), self.programs.fetch(name, resource).await?);
        }
        self.planner.plan(program, &executable, &files, &submission.configuration).await
    }

    /// Puts the layers of configuration together (cluster < program < submission) and chains the plan. The first plan is the one
    /// as the program made it, to be stored.
    fn resolve(&self, plan: Plan, submission: &JobSubmission) -> Result<(Plan, Prepared), Failure> {
        let invalid = |error: crate::config::Error| Failure::user(error.to_string());
        let configuration = self.configuration.clone().with_submitted(&plan.configuration).map_err(invalid)?;
        let configuration = configuration.with_submitted(&submission.configuration).map_err(invalid)?;
        let config = JobConfig::from_configuration(&configuration).map_err(invalid)?;
        let mut resolved = plan.clone();
        if let Some(name) = config.name.clone() {
            resolved.name = name;
        }
        if let Some(mode) = config.execution_mode {
            resolved.execution_mode = mode;
        }
        for node in &mut resolved.nodes {
            node.max_parallelism = node.max_parallelism.or(config.max_parallelism);
        }
        resolved.validate().map_err(|error| Failure::user(error.to_string()))?;
        let settings =
            job_graph::Settings { default_parallelism: config.default_parallelism().get(), chaining: config.chaining };
        let graph = JobGraph::new(&resolved, settings).map_err(|error| Failure::user(error.to_string()))?;
        let checkpoints = self.checkpoint_settings(submission.job, &config)?;
        let recovery = Recovery::configured(&config);
        let prepared = Prepared {
            graph,
            plan: resolved,
            configuration: configuration.job_level(),
            restart_strategy: config.restart_strategy,
            cancel_timeout: config.cancellation_timeout,
            decision: None,
            checkpoints,
            restore: Vec::new(),
            requirements: None,
            recovery,
        };
        Ok((plan, prepared))
    }
}

impl Preparation {
    fn checkpoint_settings(&self, job: JobId, config: &JobConfig) -> Result<CheckpointSettings, Failure> {
        let unusable = |error: crate::storage::Error| Failure::user(format!("execution.checkpointing.dir: {error}"));
        let directory = match &config.checkpointing.directory {
            Some(directory) => places::inside(&place_of(directory).map_err(unusable)?, &job.to_string()),
            None => self.checkpoints.default_directory(job).to_string_lossy().into_owned(),
        };
        Ok(CheckpointSettings::new(config.checkpointing_interval, &config.checkpointing, directory))
    }
}

/// A job ended under an earlier attempt, which may not have lived to remove the checkpoints.
async fn found_ended(
    checkpoints: &CheckpointStore,
    job: JobId,
    outcome: Outcome,
    settings: Option<CheckpointSettings>,
) -> Result<Event, Error> {
    let Some(settings) = settings else { return Ok(Event::FoundEnded { job, outcome, left: None }) };
    let (checkpoints, status) = (checkpoints.clone(), outcome.status);
    let left = match blocking(move || checkpoints.left_by(job, &settings, status)).await {
        Ok(left) => Some(left),
        Err(error) => {
            tracing::warn!(%job, %error, "what the job has left of checkpoints stays");
            None
        }
    };
    Ok(Event::FoundEnded { job, outcome, left })
}

/// [`CheckpointStore::begin`]. While a store of objects is not reached the job waits for it: what it goes on from is not known, and
/// going on from anything else would undo what was committed.
async fn begin(
    checkpoints: &CheckpointStore,
    job: JobId,
    retained: usize,
    directory: &str,
) -> Result<Vec<Manifest>, Error> {
    loop {
        let (checkpoints, directory) = (checkpoints.clone(), directory.to_owned());
        match blocking(move || checkpoints.begin(job, retained, &directory)).await {
            Err(error @ Error::Checkpoints(_)) => {
                tracing::warn!(%job, %error, again_s = STORE_PAUSE.as_secs(), "the job waits for its checkpoints' store");
                tokio::time::sleep(STORE_PAUSE).await;
            }
            begun => return begun,
        }
    }
}

/// Runs disk work off the control runtime.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(Error::Setup(format!("disk work was interrupted: {error}"))),
    }
}
