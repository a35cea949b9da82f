//! Following a submitted job to its end by long polls: of the ResourceManager while the JobManager is not there, else of the
//! JobManager. Nothing here waits for a tick.

use std::time::Duration;

use super::job_manager::{Accumulated, JobDetails, JobManager};
use super::resource_manager::ResourceManager;
use crate::ids::{ApplicationId, JobId};
use crate::protocol::application_master::FinalStatus;
use crate::protocol::job::JobStatus;
use crate::protocol::submission::ApplicationState;
use crate::protocol::yarn_rest::Application;
use crate::rpc::ErrorKind;
use crate::rpc::http::Error;

/// Pause before asking again somebody who does not answer.
const PAUSE: Duration = Duration::from_millis(200);
/// How long who does not stay for a job waits for its JobManager to find room; where there is some, that is milliseconds.
const QUEUED_MAX: Duration = Duration::from_secs(1);
/// And then for it to start and to plan the job: a tenth of a second on a machine that is not busy.
const STARTING_MAX: Duration = Duration::from_secs(5);

/// How a job stands, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// `RUNNING`, or the application's state while there is no job yet.
    pub state: String,
    /// Why it waits, if it does.
    pub waiting: Option<String>,
    /// Tasks that run, and all.
    pub tasks: (u64, u64),
    /// Records read and written by its tasks.
    pub records: (u64, u64),
    /// How soon it is known what the job promises.
    pub stage: Stage,
    /// What people should know: that records may be lost, and why checkpoints fail.
    pub notes: Vec<String>,
}

/// How far a job is from being planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Its JobManager waits for room in the cluster, which may take for ever.
    #[default]
    Queued,
    /// Its JobManager starts, or plans it.
    Starting,
    /// The JobManager has its plan.
    Planned,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// `Finished`, `Failed` or `Canceled`.
    pub state: JobStatus,
    /// As the JobManager measured it; absent when it was gone before it could say.
    pub duration: Option<Duration>,
    /// Why, when it failed.
    pub failure: Option<String>,
    /// What its accumulators gathered; none when the JobManager was gone before it could say.
    pub accumulators: Vec<Accumulated>,
}

/// Follows one job.
pub struct Follower {
    job: JobId,
    job_manager: JobManager,
    home: Home,
}

/// Whose the job is, and who knows more when its JobManager does not answer.
enum Home {
    Standalone,
    /// The application ends with the job.
    Own(ResourceManager, ApplicationId),
    /// The application takes other jobs too, and its JobManager comes back with all of them.
    Session(ResourceManager, ApplicationId),
}

impl Progress {
    /// Of an application whose master does not run yet.
    pub fn waiting(application: &Application) -> Self {
        let stage = if application.running_containers > 0 { Stage::Starting } else { Stage::Queued };
        let state = application.state.to_string();
        Self { state, waiting: application.waiting_reason.clone(), stage, ..Self::default() }
    }
}

impl Follower {
    /// Follows a job in an application of its own.
    pub fn of_application(resource_manager: ResourceManager, application: ApplicationId, job: JobId) -> Self {
        let job_manager = JobManager::of_application(&resource_manager, &application.to_string());
        Self { job, job_manager, home: Home::Own(resource_manager, application) }
    }

    /// Follows a job of a session.
    pub fn of_session(resource_manager: ResourceManager, session: ApplicationId, job: JobId) -> Self {
        let job_manager = JobManager::of_application(&resource_manager, &session.to_string());
        Self { job, job_manager, home: Home::Session(resource_manager, session) }
    }

    /// Follows a job of a standalone JobManager.
    pub fn of_job_manager(job_manager: JobManager, job: JobId) -> Self {
        Self { job, job_manager, home: Home::Standalone }
    }

    /// Follows until the job has ended; `progress` hears of every change. Cancel-safe: dropping it leaves the job alone.
    ///
    /// # Errors
    /// When nobody can say how the job stands.
    pub async fn follow(&self, mut progress: impl FnMut(&Progress)) -> Result<Outcome, Error> {
        match &self.home {
            Home::Standalone => self.follow_job(&mut progress, 0).await,
            Home::Own(cluster, id) | Home::Session(cluster, id) => {
                self.follow_application(cluster, *id, &mut progress).await
            }
        }
    }

    /// Waits until the job is planned; what people should know of it then. Nothing if its JobManager finds no room soon, or does not
    /// get that far within some seconds.
    pub async fn notes_when_planned(&self) -> Vec<String> {
        let (send, mut seen) = tokio::sync::watch::channel(Progress::default());
        let follow = self.follow(|progress| drop(send.send_replace(progress.clone())));
        let planned = async {
            let starting = seen.wait_for(|progress| progress.stage != Stage::Queued);
            tokio::time::timeout(QUEUED_MAX, starting).await.ok()?.ok()?;
            let planned = seen.wait_for(|progress| progress.stage == Stage::Planned);
            Some(tokio::time::timeout(STARTING_MAX, planned).await.ok()?.ok()?.notes.clone())
        };
        tokio::select! {
            biased;
            notes = planned => notes.unwrap_or_default(),
            _ = follow => Vec::new(), // It has ended, or nobody knows of it; whoever wants to know asks.
        }
    }

    async fn follow_application(
        &self,
        cluster: &ResourceManager,
        id: ApplicationId,
        progress: &mut impl FnMut(&Progress),
    ) -> Result<Outcome, Error> {
        let mut since = 0;
        loop {
            let application = match cluster.application_changed(id, since).await {
                Ok(application) => application,
                // The ResourceManager may be restarting; the job does not mind, so neither do we.
                Err(error) if error.kind() == ErrorKind::Transient && since > 0 => {
                    progress(&unreachable(&error));
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            since = application.version;
            if application.state.is_terminal() {
                return Ok(ended(&application));
            }
            if application.state != ApplicationState::Running {
                progress(&Progress::waiting(&application));
                continue;
            }
            // A JobManager that does not answer (any more) sends us back to the ResourceManager, who knows why.
            match (self.follow_job(progress, 0).await, &self.home) {
                (Ok(outcome), _) => return Ok(outcome),
                // It answers, and does not know the job.
                (Err(error @ Error::Status { status: 404, .. }), Home::Session(..)) if is_of_a_job(&error) => {
                    return Err(error);
                }
                (Err(_), _) => {}
            }
        }
    }

    async fn follow_job(&self, progress: &mut impl FnMut(&Progress), mut since: u64) -> Result<Outcome, Error> {
        loop {
            let details = self.job_manager.job_changed(self.job, since).await?;
            since = details.version;
            if details.state.is_globally_terminal() {
                return self.outcome(&details).await;
            }
            progress(&running(&details));
        }
    }

    async fn outcome(&self, details: &JobDetails) -> Result<Outcome, Error> {
        let failure = match details.state {
            JobStatus::Failed => self.job_manager.failure(self.job).await?,
            _ => None,
        };
        let duration = u64::try_from(details.duration).ok().map(Duration::from_millis);
        let accumulators = details.accumulators.clone();
        Ok(Outcome { state: details.state, duration, failure, accumulators })
    }

    /// Asks the job to be cancelled.
    ///
    /// # Errors
    /// When neither JobManager nor ResourceManager take the request.
    pub async fn cancel(&self) -> Result<(), Error> {
        match (self.job_manager.cancel(self.job).await, &self.home) {
            (Ok(()), _) => Ok(()),
            (Err(_), Home::Own(cluster, id)) => cluster.kill(*id).await,
            (Err(error), Home::Standalone | Home::Session(..)) => Err(error),
        }
    }
}

/// Whether a JobManager has refused, and not the ResourceManager for it.
fn is_of_a_job(refusal: &Error) -> bool {
    refusal.to_string().contains("NotFoundException")
}

/// Nobody says how the job stands; it is asked again.
fn unreachable(error: &Error) -> Progress {
    let waiting = Some(format!("{error}; asking again, and what runs goes on"));
    Progress { state: "UNKNOWN".to_owned(), waiting, ..Progress::default() }
}

fn running(details: &JobDetails) -> Progress {
    let mut progress =
        Progress { state: details.state.to_string(), waiting: details.waiting_reason.clone(), ..Progress::default() };
    let delivery = details.progress.delivery.iter().filter(|delivery| delivery.starts_with("at-most-once"));
    let is_planned = details.state != JobStatus::Initializing;
    progress.stage = if is_planned { Stage::Planned } else { Stage::Starting };
    progress.notes.extend(delivery.map(|delivery| format!("Delivery is {delivery}")));
    progress.notes.extend(details.progress.checkpoint_failure.clone());
    for vertex in &details.vertices {
        let count = |state: &str| vertex.tasks.get(state).copied().unwrap_or(0);
        progress.tasks.0 += count("RUNNING");
        progress.tasks.1 += vertex.tasks.values().sum::<u64>();
        progress.records.0 += vertex.metrics.read_records;
        progress.records.1 += vertex.metrics.write_records;
    }
    progress
}

/// The job's end as the ResourceManager remembers it, when its JobManager is gone.
fn ended(application: &Application) -> Outcome {
    let state = match application.final_status {
        FinalStatus::Succeeded => JobStatus::Finished,
        FinalStatus::Killed => JobStatus::Canceled,
        FinalStatus::Failed | FinalStatus::Undefined => JobStatus::Failed,
    };
    // The cause stands in front of what the master wrote, which its logs have too.
    let cause = application.diagnostics.split("\nlast lines of ").next().unwrap_or_default();
    let failure = (state == JobStatus::Failed).then(|| cause.to_owned());
    Outcome { state, duration: None, failure, accumulators: Vec::new() }
}
