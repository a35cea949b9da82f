//! How others talk to a running JobManager: views, submissions, cancellations.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::core::Core;
use super::error::Refused;
use super::job_master::{Requirements, Trigger};
use super::preparation::Preparation;
use super::uploads::Uploads;
use crate::config::Configuration;
use crate::graph::explain::Explanation;
use crate::graph::task::Failure;
use crate::ids::JobId;
use crate::protocol::description::Description;
use crate::protocol::job::{JobSubmission, Program};
use crate::rpc::{ClusterSecret, Credentials, Tokens};
use crate::time::Now;

/// Requests that wait for the service; when full, callers wait.
pub(super) const REQUESTS_LEN_MAX: usize = 256;

type Reply<T> = oneshot::Sender<T>;
type Look = Box<dyn FnOnce(&Core, Now) + Send>;

pub(super) enum Request {
    Submit(Box<JobSubmission>, Reply<Result<(), Refused>>),
    Cancel(JobId, Reply<Result<(), Refused>>),
    /// [`Handle::trigger`].
    Trigger(JobId, Trigger, Reply<Result<(), Refused>>),
    Rescale(JobId, Requirements, Reply<Result<(), Refused>>),
    Stop(JobId, Reply<Result<(), Refused>>),
    View(Look),
    Watch {
        job: JobId,
        since: u64,
        reply: Reply<()>,
    },
    Shutdown {
        why: String,
        reply: Reply<()>,
    },
}

/// What does not change while a JobManager runs.
#[derive(Debug)]
pub struct About {
    /// `host:port` where TaskManagers and clients reach it.
    pub address: String,
    /// What it shows to its TaskManagers.
    pub credentials: Credentials,
    /// What others must show.
    pub tokens: Tokens,
    /// Secrets that others may show instead: its TaskManagers', its ResourceManager's.
    pub secrets: Vec<ClusterSecret>,
    /// When it started.
    pub started_at: Now,
    /// With what configuration.
    pub configuration: Configuration,
    /// How often browsers look again.
    pub refresh_interval: Duration,
    /// Whether programs may be uploaded and run over HTTP.
    pub submit_enabled: bool,
    /// Largest upload, in bytes.
    pub upload_bytes_max: u64,
    /// Uploads that are kept.
    pub uploads_len_max: usize,
    /// Whether browsers may cancel jobs.
    pub cancel_enabled: bool,
    /// Where its own output goes, if somebody has redirected it: `jobmanager.out` and `jobmanager.err`.
    pub log_dir: Option<PathBuf>,
    /// Uploaded programs; absent where the client brings them to the ResourceManager.
    pub uploads: Option<Uploads>,
}

impl About {
    /// The address as people and programs give it to an HTTP client.
    pub fn url(&self) -> String {
        format!("{}://{}", self.credentials.tls.scheme(), self.address)
    }

    /// Bytes of a file of [`About::log_dir`], counted from its end where negative. Blocking.
    pub fn log(&self, name: &str, start: i64, end: Option<i64>, bytes_max: u64) -> Option<Vec<u8>> {
        let path = self.log_dir.as_ref()?.join(name);
        crate::process::read_range(&path, start, end, bytes_max).ok().map(|(content, _, _)| content)
    }
}

/// Talks to a running JobManager. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) about: Arc<About>,
    pub(super) preparation: Preparation,
}

impl Handle {
    /// What does not change.
    pub fn about(&self) -> &About {
        &self.about
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, Refused> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| Refused::ShuttingDown)?;
        answer.await.map_err(|_| Refused::ShuttingDown)
    }

    /// Takes a job. It is planned and started behind the answer.
    ///
    /// # Errors
    /// [`Refused::Conflict`] if there is a job of that id.
    pub async fn submit(&self, submission: JobSubmission) -> Result<(), Refused> {
        self.ask(|reply| Request::Submit(Box::new(submission), reply)).await?
    }

    /// What a submission would run, without running it.
    ///
    /// # Errors
    /// Why it could not be run: its program cannot be fetched or planned, or the configuration makes no sense.
    pub async fn explain(&self, submission: &JobSubmission) -> Result<Explanation, Failure> {
        self.preparation.explain(submission).await
    }

    /// What a program tells of itself.
    ///
    /// # Errors
    /// It tells nothing, for it does not use [`flott::parse`](crate::parse) or is no program of ours.
    pub async fn describe(&self, program: &Program) -> Result<Description, Failure> {
        self.preparation.describe(program).await
    }

    /// Begins to cancel a job. Cancelling a cancelled job is fine.
    ///
    /// # Errors
    /// [`Refused::NoSuchJob`], or [`Refused::Conflict`] if it has ended otherwise.
    pub async fn cancel(&self, job: JobId) -> Result<(), Refused> {
        self.ask(|reply| Request::Cancel(job, reply)).await?
    }

    /// Asks for a checkpoint or savepoint of a running job; what becomes of it, the job's view says by the trigger's id.
    ///
    /// # Errors
    /// [`Refused::NoSuchJob`], or [`Refused::Conflict`] if it does not run or has none.
    pub async fn trigger(&self, job: JobId, trigger: Trigger) -> Result<(), Refused> {
        self.ask(|reply| Request::Trigger(job, trigger, reply)).await?
    }

    /// Gives a job another parallelism; how that goes, the job's view says.
    ///
    /// # Errors
    /// [`Refused::NoSuchJob`], or [`Refused::Conflict`] if it does not go, with the reason.
    pub async fn rescale(&self, job: JobId, requirements: Requirements) -> Result<(), Refused> {
        self.ask(|reply| Request::Rescale(job, requirements, reply)).await?
    }

    /// Ends the sources of a running job, so that it drains and finishes.
    ///
    /// # Errors
    /// [`Refused::NoSuchJob`], or [`Refused::Conflict`] if it does not run.
    pub async fn stop(&self, job: JobId) -> Result<(), Refused> {
        self.ask(|reply| Request::Stop(job, reply)).await?
    }

    /// Looks at the state. `look` runs on the control loop: it copies out what it needs and does nothing slow.
    ///
    /// # Errors
    /// [`Refused::ShuttingDown`].
    pub async fn view<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Core, Now) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        self.ask(|reply: Reply<T>| {
            Request::View(Box::new(move |core, now| {
                let _ = reply.send(look(core, now)); // Who asked may have gone.
            }))
        })
        .await
    }

    /// Returns once the job's version exceeds `since` (at once if there is no such job), or after `limit`.
    ///
    /// # Errors
    /// [`Refused::ShuttingDown`].
    pub async fn watch(&self, job: JobId, since: u64, limit: Duration) -> Result<(), Refused> {
        match tokio::time::timeout(limit, self.ask(|reply| Request::Watch { job, since, reply })).await {
            Ok(answer) => answer,
            Err(_) => Ok(()),
        }
    }

    /// Cancels every job and ends the JobManager.
    ///
    /// # Errors
    /// [`Refused::ShuttingDown`] if it is ending already.
    pub async fn shut_down(&self, why: &str) -> Result<(), Refused> {
        self.ask(|reply| Request::Shutdown { why: why.to_owned(), reply }).await
    }
}
