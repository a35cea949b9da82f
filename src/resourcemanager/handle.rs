//! How others talk to a running ResourceManager.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::core::Core;
use super::error::{Refused, RequestError};
use super::event::{Answer, Event, Exclusion, Registering, RequestId};
use super::report::{ApplicationReport, AttemptReport, ClusterSummary, ContainerReport, NodeSummary, QueueReport};
use super::retention::Retention;
use super::scheduler::{Access, NodeReason};
use crate::config::Security;
use crate::ids::{ApplicationAttemptId, ApplicationId, NodeId};
use crate::protocol::application_master::{
    AllocateRequest, AllocateResponse, Finish, Register, Registered, ToApplicationMaster,
};
use crate::protocol::diagnosis::ClusterDiagnosis;
use crate::protocol::node::NodeState;
use crate::protocol::submission::Submission;
use crate::resource::Resource;
use crate::rpc::ClusterSecret;
use crate::rpc::token::Token;
use crate::storage::{BlobStore, ContainerLogs, History};
use crate::time::{Clock, Now};

/// Longest wait of one request.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How long a finishing master waits for the store.
const FINISH_WAIT: Duration = Duration::from_secs(10);

/// Computes an answer now; what it returns sends the answer, once everything it shows is durable.
pub(super) type Read = Box<dyn FnOnce(&Core, Now) -> Reply + Send>;
/// Sends an answer.
pub(super) type Reply = Box<dyn FnOnce() + Send>;
type AnswerSender = oneshot::Sender<Result<Answer, Refused>>;

/// What the service is asked.
pub(super) enum Request {
    /// Apply an event and answer.
    Core { event: Box<dyn FnOnce(RequestId) -> Event + Send>, answer: AnswerSender },
    /// Look.
    Read(Read),
    /// Answer when the application is newer than `since`.
    Watch { application: ApplicationId, since: u64, answer: oneshot::Sender<Option<ApplicationReport>> },
    /// A master's request by HTTP: apply, and answer with the next message for it.
    Pull {
        attempt: ApplicationAttemptId,
        event: Box<dyn FnOnce(RequestId) -> Event + Send>,
        after_response: u64,
        answer: oneshot::Sender<Result<ToApplicationMaster, Refused>>,
    },
}

/// A running ResourceManager. Cheap to clone. Requests wait for their turn; each is answered once what it tells is durable.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    blobs: Option<BlobStore>,
    retention: Retention,
    secret: Option<ClusterSecret>,
    security: Arc<Security>,
    address: Arc<str>,
    operator: Arc<str>,
    clock: Arc<dyn Clock>,
}

impl Handle {
    pub(super) fn new(
        requests: mpsc::Sender<Request>,
        blobs: Option<BlobStore>,
        retention: Retention,
        (secret, security): (Option<ClusterSecret>, Security),
        address: &str,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let security = Arc::new(security);
        // Who runs the ResourceManager may end any application, as YARN's administrators may.
        let operator =
            std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "root".to_owned());
        let (address, operator) = (address.into(), operator.into());
        Self { requests, blobs, retention, secret, security, address, operator, clock }
    }

    /// What clients that change something must show; none on a cluster without.
    pub fn secret(&self) -> Option<&ClusterSecret> {
        self.secret.as_ref()
    }

    /// What it demands of those who ask, and how it talks to others.
    pub fn security(&self) -> &Security {
        &self.security
    }

    /// Its address as people and programs give it to an HTTP client.
    pub fn url(&self) -> String {
        format!("{}://{}", self.security.tls.scheme(), self.address)
    }

    /// The ResourceManager's time.
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// The user who runs the ResourceManager.
    pub fn operator(&self) -> &str {
        &self.operator
    }

    /// Where uploads go; none if they are switched off.
    pub fn blobs(&self) -> Option<&BlobStore> {
        self.blobs.as_ref()
    }

    /// Archives of jobs that have ended.
    pub fn history(&self) -> &History {
        &self.retention.history
    }

    /// What nodes have collected of containers that have ended.
    pub fn logs(&self) -> &ContainerLogs {
        &self.retention.logs
    }

    /// `host:port` that others reach the ResourceManager at.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// An id to submit with, and the largest container.
    ///
    /// # Errors
    /// [`RequestError`]; so for every request.
    pub async fn new_application(&self) -> Result<(ApplicationId, Resource), RequestError> {
        match self.ask(|request| Event::NewApplication { request }).await? {
            Answer::NewApplication { application, maximum } => Ok((application, maximum)),
            _ => Err(RequestError::Unavailable),
        }
    }

    /// Submits; returns once it is stored.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn submit(&self, submission: Submission) -> Result<(), RequestError> {
        let submission = Box::new(submission);
        self.ask(|request| Event::Submit { request, submission }).await.map(drop)
    }

    /// Has an application ended. Returns its internal state's name, and whether nothing comes after.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn kill(&self, application: ApplicationId, diagnostics: String) -> Result<(String, bool), RequestError> {
        match self.ask(move |request| Event::Kill { request, application, diagnostics }).await? {
            Answer::Killing { state, ended } => Ok((state, ended)),
            _ => Err(RequestError::Unavailable),
        }
    }

    /// Replaces the tree of queues with that of a queues file; with `dry_run` only says what would change, a line each.
    ///
    /// # Errors
    /// [`RequestError`]; a refusal lists everything that is wrong with it.
    pub async fn apply_queues(&self, text: String, dry_run: bool) -> Result<Vec<String>, RequestError> {
        match self.ask(move |request| Event::ApplyQueues { request, text, dry_run }).await? {
            Answer::QueuesApplied { differences } => Ok(differences),
            _ => Err(RequestError::Unavailable),
        }
    }

    /// Moves an application; returns the path of the queue it is in now.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn move_application(&self, application: ApplicationId, queue: String) -> Result<String, RequestError> {
        match self.ask(move |request| Event::MoveApplication { request, application, queue }).await? {
            Answer::Moved { queue } => Ok(queue),
            _ => Err(RequestError::Unavailable),
        }
    }

    /// Gives an application another priority among those of its queue.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn set_priority(&self, application: ApplicationId, priority: u32) -> Result<u32, RequestError> {
        match self.ask(move |request| Event::SetPriority { request, application, priority }).await? {
            Answer::Prioritised { priority } => Ok(priority),
            _ => Err(RequestError::Unavailable),
        }
    }

    /// What is the matter with the cluster, worst first.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn diagnosis(&self) -> Result<ClusterDiagnosis, RequestError> {
        self.read(|core, now| ClusterDiagnosis { verdicts: core.diagnose(now) }).await
    }

    /// Changes which nodes are to leave or stay out; returns those it concerned, as they stand now.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn exclude(&self, change: Exclusion) -> Result<Vec<(NodeId, NodeState)>, RequestError> {
        match self.ask(move |request| Event::Exclude { request, change }).await? {
            Answer::NodesExcluded { nodes } => Ok(nodes),
            _ => Err(RequestError::Unavailable),
        }
    }

    /// Sets when an application ends at the latest; returns when it does, since its queue may allow less.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn set_lifetime(
        &self,
        application: ApplicationId,
        until: Option<Now>,
    ) -> Result<Option<Now>, RequestError> {
        match self.ask(move |request| Event::SetLifetime { request, application, until }).await? {
            Answer::LifetimeSet { until } => Ok(until),
            _ => Err(RequestError::Unavailable),
        }
    }

    /// Every queue, the root first, parents before children.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn queues(&self) -> Result<Vec<QueueReport>, RequestError> {
        self.read(|core, _| core.queues()).await
    }

    /// Whether `user` may do that in a queue; none if there is no such queue.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn queue_access(
        &self,
        queue: String,
        user: String,
        access: Access,
    ) -> Result<Option<bool>, RequestError> {
        self.read(move |core, _| core.queue_access(&queue, &user, access)).await
    }

    /// Why each node does not serve what an application wants most, at most `most` nodes.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn why_not_nodes(&self, id: ApplicationId, most: usize) -> Result<Vec<NodeReason>, RequestError> {
        self.read(move |core, _| core.why_not_nodes(id, most)).await
    }

    /// Every application, by id.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn applications(&self) -> Result<Vec<ApplicationReport>, RequestError> {
        self.read(Core::applications).await
    }

    /// One application, if there is.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn application(&self, id: ApplicationId) -> Result<Option<ApplicationReport>, RequestError> {
        self.read(move |core, now| core.application(id, now)).await
    }

    /// One application, as soon as its version exceeds `since`, or else as it is after `wait`.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn application_after(
        &self,
        id: ApplicationId,
        since: u64,
        wait: Duration,
    ) -> Result<Option<ApplicationReport>, RequestError> {
        let (answer, changed) = oneshot::channel();
        self.send(Request::Watch { application: id, since, answer }).await?;
        match timeout(wait.min(WAIT_MAX), changed).await {
            Ok(Ok(report)) => Ok(report),
            // Too many watch; then this one is answered without waiting.
            Ok(Err(_)) | Err(_) => self.application(id).await,
        }
    }

    /// Attempts of an application, in order; none if it is unknown.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn attempts(&self, id: ApplicationId) -> Result<Option<Vec<AttemptReport>>, RequestError> {
        let known = move |core: &Core, now| core.application(id, now).map(|_| core.attempt_reports(id));
        self.read(known).await
    }

    /// Containers granted to an attempt, ended ones included.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn containers(&self, id: ApplicationAttemptId) -> Result<Vec<ContainerReport>, RequestError> {
        self.read(move |core, _| core.container_reports(id)).await
    }

    /// Containers granted and not ended, by id, at most `most` of them.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn live_containers(&self, most: usize) -> Result<Vec<ContainerReport>, RequestError> {
        self.read(move |core, _| core.live_containers(most)).await
    }

    /// Every node, by id.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn nodes(&self) -> Result<Vec<NodeSummary>, RequestError> {
        self.read(|core, _| core.node_summaries()).await
    }

    /// One node, if there is.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn node(&self, id: NodeId) -> Result<Option<NodeSummary>, RequestError> {
        self.read(move |core, _| core.node_summary(&id)).await
    }

    /// The cluster in numbers.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn summary(&self) -> Result<ClusterSummary, RequestError> {
        self.read(|core, _| core.summary()).await
    }

    /// Where a running application's master answers HTTP, and what it takes for a sign of the ResourceManager.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn tracking_url(&self, id: ApplicationId) -> Result<Option<(String, ClusterSecret)>, RequestError> {
        self.read(move |core, _| core.tracking_url(id)).await
    }

    /// Registers a master that speaks HTTP.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn register_master(&self, register: Register) -> Result<Registered, RequestError> {
        let register = Box::new(register);
        let by = Registering::Pull;
        match self.ask(move |request| Event::MasterHello { request, register, by }).await? {
            Answer::MasterRegistered(registered) => Ok(registered),
            _ => Err(RequestError::Unavailable),
        }
    }

    /// A master's allocate by HTTP: answered as soon as there is news, or without news after `wait`.
    ///
    /// # Errors
    /// [`RequestError`]; refused with [`super::RefusalCode::AttemptNotFound`] the master must exit.
    pub async fn allocate(
        &self,
        token: Token,
        allocate: AllocateRequest,
        wait: Duration,
    ) -> Result<AllocateResponse, RequestError> {
        let attempt = self.attempt_of(token).await?;
        let after_response = allocate.response_id;
        let allocate = Box::new(allocate);
        let event = move |request| Event::Allocate { request: Some(request), attempt, allocate };
        let news = self.pull(attempt, after_response, Box::new(event), wait.min(WAIT_MAX)).await?;
        match news {
            Some(ToApplicationMaster::Allocated(response)) => Ok(response),
            Some(ToApplicationMaster::Shutdown { why }) => {
                Err(Refused::new(super::RefusalCode::AttemptNotFound, why).into())
            }
            Some(ToApplicationMaster::Unregistered) | None => {
                let empty = self.read(move |core, now| core.empty_response(attempt, now)).await?;
                empty.ok_or(RequestError::Unavailable)
            }
        }
    }

    /// A master's finish by HTTP. Returns whether it is durable; if not yet, the master asks again.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn finish(&self, token: Token, finish: Finish) -> Result<bool, RequestError> {
        let attempt = self.attempt_of(token).await?;
        let event = move |request| Event::Finish { request: Some(request), attempt, finish };
        let news = self.pull(attempt, u64::MAX, Box::new(event), FINISH_WAIT).await?;
        Ok(matches!(news, Some(ToApplicationMaster::Unregistered)))
    }

    async fn attempt_of(&self, token: Token) -> Result<ApplicationAttemptId, RequestError> {
        Ok(self.read(move |core, _| core.attempt_of(&token)).await??)
    }

    async fn pull(
        &self,
        attempt: ApplicationAttemptId,
        after_response: u64,
        event: Box<dyn FnOnce(RequestId) -> Event + Send>,
        wait: Duration,
    ) -> Result<Option<ToApplicationMaster>, RequestError> {
        let (answer, news) = oneshot::channel();
        self.send(Request::Pull { attempt, event, after_response, answer }).await?;
        match timeout(wait, news).await {
            Ok(Ok(news)) => Ok(Some(news?)),
            // Replaced by a newer request of the same master, or nothing new.
            Ok(Err(_)) | Err(_) => Ok(None),
        }
    }

    async fn ask(&self, event: impl FnOnce(RequestId) -> Event + Send + 'static) -> Result<Answer, RequestError> {
        let (answer, answered) = oneshot::channel();
        self.send(Request::Core { event: Box::new(event), answer }).await?;
        Ok(answered.await.map_err(|_| RequestError::Unavailable)??)
    }

    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Core, Now) -> T + Send + 'static,
    ) -> Result<T, RequestError> {
        let (answer, answered) = oneshot::channel();
        let read: Read = Box::new(move |core, now| {
            let value = look(core, now);
            Box::new(move || drop(answer.send(value)))
        });
        self.send(Request::Read(read)).await?;
        answered.await.map_err(|_| RequestError::Unavailable)
    }

    async fn send(&self, request: Request) -> Result<(), RequestError> {
        self.requests.send(request).await.map_err(|_| RequestError::Unavailable)
    }
}
