//! Sessions: applications whose JobManager stays and takes many jobs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::follow::Progress;
use super::job_manager::JobManager;
use super::resource_manager::{APPLICATION_TYPE, ResourceManager, is_ours};
use super::submit::{SubmitError, master, secret};
use crate::ids::ApplicationId;
use crate::protocol::roles::JobManagerEnvironment;
use crate::protocol::submission::{ApplicationState, Submission};
use crate::protocol::yarn_rest::Application;
use crate::resource::Resource;
use crate::rpc::http::Error;

/// Tag that tells a session from an application of one job.
const SESSION_TAG: &str = "session";
/// A session's master may fail as often as it takes, if it has worked for so long in between. As Flink's
/// `yarn.application-attempt-failures-validity-interval`.
const FAILURES_COUNT_FOR: Duration = Duration::from_secs(10);

/// What a session is to be.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// For people.
    pub name: String,
    /// Leaf queue.
    pub queue: String,
    /// Who starts it.
    pub user: String,
    /// The JobManager's container.
    pub job_manager: Resource,
    /// At most so many runs of the JobManager; the cluster's limit applies too.
    pub attempts: Option<u32>,
    /// For the JobManager, its TaskManagers, and all jobs that say nothing else.
    pub configuration: BTreeMap<String, String>,
}

/// Starts a session; the answer means that the ResourceManager will not forget it.
///
/// # Errors
/// [`SubmitError`]; nothing runs then.
pub async fn start_session(cluster: &ResourceManager, options: SessionOptions) -> Result<ApplicationId, SubmitError> {
    let application: ApplicationId = cluster.new_application().await?.application_id.parse()?;
    let environment = JobManagerEnvironment { job: None, configuration: options.configuration, secret: secret()? };
    let environment = serde_json::to_string(&environment).expect("text and keys of text are JSON");
    let submission = Submission {
        application,
        name: options.name,
        queue: options.queue,
        user: options.user,
        application_type: APPLICATION_TYPE.to_owned(),
        tags: vec![SESSION_TAG.to_owned()],
        priority: 0,
        master: master(environment, BTreeMap::new()),
        resource: options.job_manager,
        max_attempts: options.attempts,
        attempt_failures_validity_ms: u64::try_from(FAILURES_COUNT_FOR.as_millis()).ok(),
        keep_containers_across_attempts: true,
        lifetime_ms: None,
        is_command: false,
    };
    cluster.submit(&submission).await?;
    Ok(application)
}

/// Whether an application is a session.
fn is_session(application: &Application) -> bool {
    is_ours(application) && application.application_tags.split(',').any(|tag| tag == SESSION_TAG)
}

impl ResourceManager {
    /// Sessions that have not ended, oldest first.
    ///
    /// # Errors
    /// Those of [`Client`](crate::rpc::http::Client), as everywhere here.
    pub async fn sessions(&self) -> Result<Vec<Application>, Error> {
        let all = self.applications().await?;
        Ok(all.into_iter().filter(|application| is_session(application) && !application.state.is_terminal()).collect())
    }

    /// Waits until an application's master answers, or the application has ended.
    ///
    /// # Errors
    /// As [`ResourceManager::sessions`].
    pub async fn started(&self, id: ApplicationId, mut progress: impl FnMut(&Progress)) -> Result<Application, Error> {
        let mut since = 0;
        loop {
            let application = self.application_changed(id, since).await?;
            if application.state == ApplicationState::Running || application.state.is_terminal() {
                return Ok(application);
            }
            since = application.version;
            progress(&Progress::waiting(&application));
        }
    }

    /// Waits until an application has ended.
    ///
    /// # Errors
    /// As [`ResourceManager::sessions`].
    pub async fn ended(&self, id: ApplicationId) -> Result<Application, Error> {
        let mut since = 0;
        loop {
            let application = self.application_changed(id, since).await?;
            if application.state.is_terminal() {
                return Ok(application);
            }
            since = application.version;
        }
    }

    /// Ends a session in an orderly way; one whose master does not answer is killed.
    ///
    /// # Errors
    /// As [`ResourceManager::sessions`].
    pub async fn stop_session(&self, id: ApplicationId) -> Result<(), Error> {
        match JobManager::of_application(self, &id.to_string()).shut_down().await {
            Ok(()) => Ok(()),
            Err(_) => self.kill(id).await,
        }
    }
}
