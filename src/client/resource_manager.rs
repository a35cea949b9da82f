//! The ResourceManager as a client sees it: YARN's REST.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::job_manager::JobOverview;
use super::program::LocalProgram;
use crate::ids::{ApplicationId, JobId};
use crate::protocol::diagnosis::ClusterDiagnosis;
use crate::protocol::submission::{ApplicationState, Submission};
use crate::protocol::yarn_rest::{
    AppState, Application, ApplicationAttempt, ApplicationEnvelope, ApplicationsEnvelope, BASE, Container,
    NewApplication, Node, NodesEnvelope, SubmissionContext,
};
use crate::rpc::Credentials;
use crate::rpc::http::{Client, Error};

/// Longest wait of one long poll.
const POLL: Duration = Duration::from_secs(20);

/// A client of one ResourceManager.
#[derive(Clone, Debug)]
pub struct ResourceManager {
    http: Client,
    waiting: Client,
    user: String,
    credentials: Credentials,
}

impl ResourceManager {
    /// A client for `authority` (`host:port`) that acts as `user`.
    pub fn new(authority: &str, user: &str, credentials: &Credentials) -> Self {
        let http = Client::new(authority).with_credentials(credentials);
        let waiting = http.clone().with_deadline(POLL + Duration::from_secs(10));
        Self { http, waiting, user: user.to_owned(), credentials: credentials.clone() }
    }

    /// `host:port`.
    pub fn authority(&self) -> &str {
        self.http.authority()
    }

    /// A client of another daemon of the cluster, at `authority`.
    pub fn daemon(&self, authority: &str) -> Client {
        Client::new(authority).with_credentials(&self.credentials)
    }

    /// The whole address of a path there.
    pub fn url(&self, path: &str) -> String {
        self.http.url(path)
    }

    pub(super) fn http(&self) -> &Client {
        &self.http
    }

    fn as_user(&self, path: &str) -> String {
        let separator = if path.contains('?') { '&' } else { '?' };
        format!("{BASE}{path}{separator}user.name={}", self.user)
    }

    /// A fresh application id.
    ///
    /// # Errors
    /// Those of [`Client`], as everywhere here.
    pub async fn new_application(&self) -> Result<NewApplication, Error> {
        self.http.post(&self.as_user("/apps/new-application"), &serde_json::json!({})).await
    }

    /// Uploads a file unless it is there, and gives its address.
    ///
    /// # Errors
    /// Those of [`Client`], and of reading the file.
    pub async fn upload(&self, file: &LocalProgram) -> Result<String, Error> {
        let path = format!("{BASE}/blobs/{}", file.sha256);
        if !self.http.exists(&path).await? {
            self.http.upload(&self.as_user(&format!("/blobs/{}", file.sha256)), &file.path).await?;
        }
        Ok(self.http.url(&path))
    }

    /// Submits; the answer means the submission is durable.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn submit(&self, submission: &Submission) -> Result<(), Error> {
        let context = SubmissionContext::from(submission);
        self.http.post::<_, serde_json::Value>(&self.as_user("/apps"), &context).await.map(drop)
    }

    /// The application as it is.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn application(&self, id: ApplicationId) -> Result<Application, Error> {
        let envelope: ApplicationEnvelope = self.http.get(&format!("{BASE}/apps/{id}")).await?;
        Ok(envelope.app)
    }

    /// The application once its version exceeds `since`, or as it is after some seconds. Cancel-safe.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn application_changed(&self, id: ApplicationId, since: u64) -> Result<Application, Error> {
        let path = format!("{BASE}/apps/{id}?wait_ms={}&since={since}", POLL.as_millis());
        let envelope: ApplicationEnvelope = self.waiting.get(&path).await?;
        Ok(envelope.app)
    }

    /// All applications it remembers, oldest first.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn applications(&self) -> Result<Vec<Application>, Error> {
        let envelope: ApplicationsEnvelope = self.http.get(&format!("{BASE}/apps")).await?;
        let mut applications = envelope.apps.app;
        applications.sort_by_key(|application| application.id.parse::<ApplicationId>().ok());
        Ok(applications)
    }

    /// Applications of ours whose master answers.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn running_masters(&self) -> Result<Vec<Application>, Error> {
        let all = self.applications().await?;
        Ok(all
            .into_iter()
            .filter(|application| application.state == ApplicationState::Running && is_ours(application))
            .collect())
    }

    /// The application that was submitted for `job`.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn application_of(&self, job: JobId) -> Result<Option<Application>, Error> {
        let tag = job_tag(job);
        let all = self.applications().await?;
        Ok(all.into_iter().rev().find(|application| application.application_tags.split(',').any(|have| have == tag)))
    }

    /// Ended jobs of all applications that are archived, newest first; or of them one.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn archived(&self, job: Option<JobId>) -> Result<Vec<JobOverview>, Error> {
        let query = job.map(|job| format!("?job={job}")).unwrap_or_default();
        self.inner(&format!("/history{query}"), "/jobs").await
    }

    /// Ends an application.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn kill(&self, id: ApplicationId) -> Result<(), Error> {
        let state = AppState { state: "KILLED".to_owned(), diagnostics: None };
        self.http.put::<_, serde_json::Value>(&self.as_user(&format!("/apps/{id}/state")), &state).await.map(drop)
    }

    /// What is the matter with the cluster.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn diagnosis(&self) -> Result<ClusterDiagnosis, Error> {
        self.http.get(&format!("{BASE}/diagnosis")).await
    }

    /// The root queue as YARN shows it, each queue within its parent.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn queues(&self) -> Result<serde_json::Value, Error> {
        let mut envelope: serde_json::Value = self.http.get(&format!("{BASE}/scheduler")).await?;
        Ok(envelope["scheduler"]["schedulerInfo"].take())
    }

    /// Replaces the tree of queues by that of a queues file; with `dry_run` nothing changes. Returns what does, a line each.
    ///
    /// # Errors
    /// Those of [`Client`]; a refusal lists everything that is wrong.
    pub async fn apply_queues(&self, text: &str, dry_run: bool) -> Result<Vec<String>, Error> {
        let path = self.as_user(&format!("/scheduler-conf/queues?dry-run={dry_run}"));
        let mut answer: serde_json::Value = self.http.put(&path, &serde_json::json!({ "text": text })).await?;
        Ok(serde_json::from_value(answer["differences"].take()).unwrap_or_default())
    }

    /// Moves an application to another queue; returns the queue's path.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn move_application(&self, id: ApplicationId, queue: &str) -> Result<String, Error> {
        let path = self.as_user(&format!("/apps/{id}/queue"));
        let answer: serde_json::Value = self.http.put(&path, &serde_json::json!({ "queue": queue })).await?;
        Ok(answer["queue"].as_str().unwrap_or_default().to_owned())
    }

    /// Gives an application another priority.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn set_priority(&self, id: ApplicationId, priority: u32) -> Result<(), Error> {
        let path = self.as_user(&format!("/apps/{id}/priority"));
        let body = serde_json::json!({ "priority": priority });
        self.http.put::<_, serde_json::Value>(&path, &body).await.map(drop)
    }

    /// Why an application waits: YARN's activities of it, with a reason per ask and per node.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn why(&self, id: ApplicationId) -> Result<serde_json::Value, Error> {
        let mut envelope: serde_json::Value = self.http.get(&format!("{BASE}/scheduler/app-activities/{id}")).await?;
        Ok(envelope["appActivities"].take())
    }

    /// Has nodes leave, come back, or stay out. `change` is one of `{"add":[…],"graceSeconds":N}`, `{"remove":[…]}`,
    /// `{"replace":[…],"graceSeconds":N}`. Returns the nodes it concerned, with their states.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn exclude_nodes(&self, change: &serde_json::Value) -> Result<serde_json::Value, Error> {
        let mut answer: serde_json::Value = self.http.put(&self.as_user("/excluded-nodes"), change).await?;
        Ok(answer["nodes"]["node"].take())
    }

    /// The cluster in numbers, as YARN's `clusterMetrics`.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn metrics(&self) -> Result<serde_json::Value, Error> {
        let mut envelope: serde_json::Value = self.http.get(&format!("{BASE}/metrics")).await?;
        Ok(envelope["clusterMetrics"].take())
    }

    /// Who the ResourceManager is, as YARN's `clusterInfo`.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn info(&self) -> Result<serde_json::Value, Error> {
        let mut envelope: serde_json::Value = self.http.get(&format!("{BASE}/info")).await?;
        Ok(envelope["clusterInfo"].take())
    }

    /// Nodes; with `all`, those that are gone too.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn nodes(&self, all: bool) -> Result<Vec<Node>, Error> {
        let query = if all { "?states=all" } else { "" };
        let envelope: NodesEnvelope = self.http.get(&format!("{BASE}/nodes{query}")).await?;
        Ok(envelope.nodes.node)
    }

    /// Every attempt of an application with its containers, oldest first.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn containers(&self, id: ApplicationId) -> Result<Vec<Container>, Error> {
        let attempts: Vec<ApplicationAttempt> =
            self.inner(&format!("/apps/{id}/appattempts"), "/appAttempts/appAttempt").await?;
        let mut containers = Vec::new();
        for attempt in attempts {
            let path = format!("/apps/{id}/appattempts/{}/containers", attempt.app_attempt_id);
            containers.extend(self.inner::<Container>(&path, "/containers/container").await?);
        }
        Ok(containers)
    }

    /// The list at `pointer` of the answer; an absent one is empty.
    async fn inner<T: DeserializeOwned>(&self, path: &str, pointer: &str) -> Result<Vec<T>, Error> {
        let answer: serde_json::Value = self.http.get(&format!("{BASE}{path}")).await?;
        let list = answer.pointer(pointer).cloned().unwrap_or_else(|| serde_json::json!([]));
        serde_json::from_value(list)
            .map_err(|error| Error::Decode { request: format!("GET {BASE}{path}"), cause: error.to_string() })
    }
}

/// Type of the applications that flott's own client submits.
pub(super) const APPLICATION_TYPE: &str = "FLOTT";

pub(super) fn is_ours(application: &Application) -> bool {
    application.application_type == APPLICATION_TYPE
}

/// The tag that links an application to the job it was submitted for.
pub(super) fn job_tag(job: JobId) -> String {
    format!("job:{job}")
}
