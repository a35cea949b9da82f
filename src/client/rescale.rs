//! The parallelism of a running job, as a client sees and changes it.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::job_manager::{JobManager, POLL};
use crate::ids::{JobId, VertexId};
use crate::protocol::job::RescaleStatus;
use crate::rpc::http::Error;

/// How many subtasks a vertex has.
#[derive(Clone, Debug, Deserialize)]
pub struct VertexParallelism {
    /// Its id.
    pub id: VertexId,
    /// Its name.
    pub name: String,
    /// How many.
    pub parallelism: u32,
    /// How many it could have: its key groups.
    #[serde(rename = "maxParallelism")]
    pub max_parallelism: u32,
}

/// One change of a job's parallelism.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rescale {
    /// Counts the job's.
    pub number: u64,
    /// How it stands.
    pub status: RescaleStatus,
    /// Milliseconds since it was asked for, until its end.
    pub duration: u64,
    /// Milliseconds that the sources stood still.
    pub downtime: u64,
    /// Why it came to nothing.
    pub failure: Option<String>,
}

impl JobManager {
    /// The vertices of a job.
    ///
    /// # Errors
    /// Those of [`Client`](crate::rpc::http::Client), as everywhere here.
    pub async fn vertices(&self, job: JobId) -> Result<Vec<VertexParallelism>, Error> {
        #[derive(Deserialize)]
        struct Job {
            vertices: Vec<VertexParallelism>,
        }
        let job: Job = self.http().get(&self.path(&format!("/jobs/{job}"))).await?;
        Ok(job.vertices)
    }

    /// Wants so many subtasks of each vertex named.
    ///
    /// # Errors
    /// As [`JobManager::vertices`].
    pub async fn require_parallelism(
        &self,
        job: JobId,
        wanted: impl Iterator<Item = (VertexId, u32)>,
    ) -> Result<(), Error> {
        let bounds = |upper: u32| json!({ "parallelism": { "lowerBound": 1, "upperBound": upper } });
        let body: serde_json::Map<String, Value> = wanted.map(|(id, upper)| (id.to_string(), bounds(upper))).collect();
        let path = self.path(&format!("/jobs/{job}/resource-requirements"));
        let _: IgnoredAny = self.http().put(&path, &Value::Object(body)).await?;
        Ok(())
    }

    /// The latest changes, oldest first. `behind`: waits a while until one with a higher number has made a step.
    ///
    /// # Errors
    /// As [`JobManager::vertices`].
    pub async fn rescales(&self, job: JobId, behind: Option<u64>) -> Result<Vec<Rescale>, Error> {
        #[derive(Deserialize)]
        struct History {
            rescales: Vec<Rescale>,
        }
        let wait = behind.map(|number| format!("?behind={number}&wait_ms={}", POLL.as_millis())).unwrap_or_default();
        let path = self.path(&format!("/jobs/{job}/rescales/history{wait}"));
        let history: History = self.waiting().get(&path).await?;
        Ok(history.rescales)
    }
}
