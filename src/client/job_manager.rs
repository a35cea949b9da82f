//! A JobManager as a client sees it: Flink's REST, directly or through the ResourceManager's proxy.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::program::LocalProgram;
use super::resource_manager::ResourceManager;
use crate::ids::JobId;
use crate::protocol::job::JobStatus;
use crate::rpc::Credentials;
use crate::rpc::http::{Client, Error};

/// Longest wait of one long poll.
pub(super) const POLL: Duration = Duration::from_secs(20);

/// A client of one JobManager.
#[derive(Clone, Debug)]
pub struct JobManager {
    http: Client,
    waiting: Client,
    /// In front of every path: empty, or the proxy's.
    prefix: String,
}

/// A job in a list. The keys are Flink's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobOverview {
    /// Its id.
    pub jid: JobId,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: JobStatus,
    /// Epoch milliseconds.
    #[serde(rename = "start-time")]
    pub start_time: i64,
    /// Epoch milliseconds; -1 while it runs.
    #[serde(rename = "end-time")]
    pub end_time: i64,
    /// Milliseconds.
    pub duration: i64,
    /// Tasks by state.
    #[serde(default)]
    pub tasks: Value,
    /// Extension, in verbose lists: records that its vertices have read.
    #[serde(rename = "read-records", default, skip_serializing_if = "Option::is_none")]
    pub read_records: Option<u64>,
    /// Extension: the application it runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
}

/// A job as `/jobs/:id` tells it: what the client needs of it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct JobDetails {
    pub(super) state: JobStatus,
    pub(super) duration: i64,
    /// Extension: grows with each change.
    #[serde(default)]
    pub(super) version: u64,
    #[serde(default)]
    pub(super) vertices: Vec<VertexDetails>,
    /// Extension: what its accumulators have gathered.
    #[serde(default)]
    pub(super) accumulators: Vec<Accumulated>,
    /// Extension: what people who wait want to know.
    #[serde(default)]
    pub(super) progress: Told,
    /// Extension: why it waits.
    #[serde(rename = "waiting-reason", default)]
    pub(super) waiting_reason: Option<String>,
}

/// What is told of a job's progress, besides its figures.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Told {
    /// What it promises.
    #[serde(default)]
    pub(super) delivery: Option<String>,
    /// Why its last checkpoint failed, if it did.
    #[serde(rename = "checkpoint-failure", default)]
    pub(super) checkpoint_failure: Option<String>,
}

/// What one of a job's accumulators has gathered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accumulated {
    /// Its name.
    pub name: String,
    /// Its type: `LongCounter`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it has gathered, as text.
    pub value: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct VertexDetails {
    #[serde(default)]
    pub(super) tasks: std::collections::BTreeMap<String, u64>,
    #[serde(default)]
    pub(super) metrics: VertexMetrics,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct VertexMetrics {
    pub(super) read_records: u64,
    pub(super) write_records: u64,
}

/// A file that was uploaded.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Uploaded {
    id: String,
    name: String,
    /// Extension: of its content.
    #[serde(default)]
    sha256: Option<String>,
}

impl JobManager {
    /// A JobManager at `authority` (`host:port`).
    pub fn at(authority: &str, credentials: &Credentials) -> Self {
        Self::new(Client::new(authority).with_credentials(credentials), String::new())
    }

    /// The master of an application, through the ResourceManager's proxy.
    pub fn of_application(resource_manager: &ResourceManager, application: &str) -> Self {
        Self::new(resource_manager.http().clone(), format!("/proxy/{application}"))
    }

    fn new(http: Client, prefix: String) -> Self {
        let waiting = http.clone().with_deadline(POLL + Duration::from_secs(10));
        Self { http, waiting, prefix }
    }

    /// `host:port`, with the proxy's path where there is one.
    pub fn address(&self) -> String {
        format!("{}{}", self.http.authority(), self.prefix)
    }

    pub(super) fn http(&self) -> &Client {
        &self.http
    }

    /// For long polls.
    pub(super) fn waiting(&self) -> &Client {
        &self.waiting
    }

    /// A path there.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// All jobs it remembers.
    ///
    /// # Errors
    /// Those of [`Client`], as everywhere here.
    pub async fn jobs(&self) -> Result<Vec<JobOverview>, Error> {
        #[derive(Deserialize)]
        struct Jobs {
            jobs: Vec<JobOverview>,
        }
        let answer: Jobs = self.http.get(&format!("{}/jobs/overview", self.prefix)).await?;
        Ok(answer.jobs)
    }

    /// Records that a job's vertices have read.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn read_records(&self, job: JobId) -> Result<u64, Error> {
        let details: JobDetails = self.http.get(&format!("{}/jobs/{job}", self.prefix)).await?;
        Ok(details.vertices.iter().map(|vertex| vertex.metrics.read_records).sum())
    }

    /// The job once its version exceeds `since`, or as it is after some seconds. Cancel-safe.
    pub(super) async fn job_changed(&self, job: JobId, since: u64) -> Result<JobDetails, Error> {
        let path = format!("{}/jobs/{job}?wait_ms={}&since={since}", self.prefix, POLL.as_millis());
        self.waiting.get(&path).await
    }

    /// Why a job failed, where it did.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn failure(&self, job: JobId) -> Result<Option<String>, Error> {
        let answer: Value = self.http.get(&format!("{}/jobs/{job}/exceptions", self.prefix)).await?;
        Ok(answer["root-exception"].as_str().map(str::to_owned))
    }

    /// A job as Flink's REST tells it: its times, its vertices, their counters.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn details(&self, job: JobId) -> Result<Value, Error> {
        self.http.get(&self.path(&format!("/jobs/{job}"))).await
    }

    /// Its failures, in Flink's keys.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn exceptions(&self, job: JobId) -> Result<Value, Error> {
        self.http.get(&self.path(&format!("/jobs/{job}/exceptions"))).await
    }

    /// Its checkpoints, in Flink's keys; none of a job that takes none.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn checkpoints(&self, job: JobId) -> Result<Option<Value>, Error> {
        match self.http.get(&self.path(&format!("/jobs/{job}/checkpoints"))).await {
            Ok(checkpoints) => Ok(Some(checkpoints)),
            Err(Error::Status { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks a job to be cancelled.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn cancel(&self, job: JobId) -> Result<(), Error> {
        self.http.patch(&format!("{}/jobs/{job}?mode=cancel", self.prefix)).await.map(drop)
    }

    /// Slots, TaskManagers and jobs in numbers, in Flink's keys.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn overview(&self) -> Result<Value, Error> {
        self.http.get(&self.path("/overview")).await
    }

    /// Cancels all jobs and ends the JobManager.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn shut_down(&self) -> Result<(), Error> {
        self.http.delete(&self.path("/cluster")).await.map(drop)
    }

    /// Files that were uploaded before.
    pub(super) async fn uploaded(&self) -> Result<Vec<Uploaded>, Error> {
        #[derive(Deserialize)]
        struct Files {
            files: Vec<Uploaded>,
        }
        let answer: Files = self.http.get(&self.path("/jars")).await?;
        Ok(answer.files)
    }

    /// Uploads a program, unless it is among `known`; gives its id there.
    pub(super) async fn upload(&self, program: &LocalProgram, known: &[Uploaded]) -> Result<String, Error> {
        let same = |file: &&Uploaded| file.name == program.name && file.sha256.as_ref() == Some(&program.sha256);
        if let Some(found) = known.iter().find(same) {
            return Ok(found.id.clone());
        }
        let path = format!("{}/jars/upload", self.prefix);
        let answer: Value = self.http.post_form_file(&path, &program.name, &program.path).await?;
        let filename = answer["filename"].as_str().unwrap_or_default();
        match filename.rsplit('/').next().filter(|id| !id.is_empty()) {
            Some(id) => Ok(id.to_owned()),
            None => Err(Error::Decode { request: format!("POST {path}"), cause: format!("no file name in {answer}") }),
        }
    }

    /// Runs an uploaded program as a job.
    pub(super) async fn run(&self, program: &str, request: &Value) -> Result<(), Error> {
        // Planning runs the program's main, which may take its time.
        let client = self.http.clone().with_deadline(Duration::from_secs(120));
        client.post::<_, Value>(&format!("{}/jars/{program}/run", self.prefix), request).await.map(drop)
    }
}
