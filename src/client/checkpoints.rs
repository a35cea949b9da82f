//! Checkpoints and savepoints as a client asks for them: Flink's asynchronous operations.

use serde_json::{Value, json};

use super::job_manager::{JobManager, POLL};
use crate::ids::{JobId, TriggerId};
use crate::rpc::http::Error;

/// An operation that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A savepoint, of a job that goes on or ends with it.
    Savepoint,
    /// A checkpoint.
    Checkpoint,
}

impl JobManager {
    /// Begins a savepoint in `directory`, else where the cluster says; with `stop` the job ends with it.
    ///
    /// # Errors
    /// Those of [`Client`](crate::rpc::http::Client), as everywhere here.
    pub async fn trigger_savepoint(&self, job: JobId, directory: Option<&str>, stop: bool) -> Result<TriggerId, Error> {
        match stop {
            true => self.begin(job, "stop", &json!({ "targetDirectory": directory, "drain": false })).await,
            false => self.begin(job, "savepoints", &json!({ "target-directory": directory })).await,
        }
    }

    /// Ends a job's input where it is, so that it emits all that it holds and finishes: with a savepoint in `directory`, else where the
    /// cluster says. If it says nothing, there is no savepoint to wait for.
    ///
    /// # Errors
    /// As [`JobManager::trigger_savepoint`].
    pub async fn stop_with_drain(&self, job: JobId, directory: Option<&str>) -> Result<Option<TriggerId>, Error> {
        let id = self.begin(job, "stop", &json!({ "targetDirectory": directory, "drain": true })).await?;
        Ok(Some(id).filter(|id| id.to_string() != job.to_string()))
    }

    /// Begins a checkpoint.
    ///
    /// # Errors
    /// As [`JobManager::trigger_savepoint`].
    pub async fn trigger_checkpoint(&self, job: JobId) -> Result<TriggerId, Error> {
        self.begin(job, "checkpoints", &json!({})).await
    }

    async fn begin(&self, job: JobId, what: &str, body: &Value) -> Result<TriggerId, Error> {
        let path = self.path(&format!("/jobs/{job}/{what}"));
        let answer: Value = self.http().post(&path, body).await?;
        let id = answer["request-id"].as_str().and_then(|id| id.parse().ok());
        id.ok_or_else(|| Error::Decode { request: format!("POST {path}"), cause: format!("no request-id in {answer}") })
    }

    /// Waits for an operation's end: the savepoint's directory or the checkpoint's number, or why there is none.
    ///
    /// # Errors
    /// As [`JobManager::trigger_savepoint`].
    pub async fn operation_ended(
        &self,
        job: JobId,
        operation: Operation,
        trigger: TriggerId,
    ) -> Result<Result<String, String>, Error> {
        let what = match operation {
            Operation::Savepoint => "savepoints",
            Operation::Checkpoint => "checkpoints",
        };
        // The JobManager may end with the job: whoever waits there is told before.
        let path = self.path(&format!("/jobs/{job}/{what}/{trigger}?wait_ms={}", POLL.as_millis()));
        loop {
            let answer: Value = self.waiting().get(&path).await?;
            if answer["status"]["id"] == "COMPLETED" {
                return Ok(result_of(&answer["operation"]));
            }
        }
    }
}

fn result_of(operation: &Value) -> Result<String, String> {
    let failure = ["failure-cause", "failureCause"].into_iter().find_map(|key| operation.get(key));
    if let Some(failure) = failure {
        let trace = failure["stack-trace"].as_str().unwrap_or_default();
        return Err(trace.lines().next().unwrap_or_default().to_owned());
    }
    match (&operation["location"], &operation["checkpointId"]) {
        (Value::String(location), _) => Ok(location.clone()),
        (_, Value::Number(checkpoint)) => Ok(checkpoint.to_string()),
        _ => Err(format!("an answer that is not understood: {operation}")),
    }
}
