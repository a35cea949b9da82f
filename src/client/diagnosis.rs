//! What is the matter with a job, asked of its JobManager.

use super::job_manager::JobManager;
use crate::ids::JobId;
use crate::protocol::diagnosis::Diagnosis;
use crate::rpc::http::Error;

impl JobManager {
    /// All there is to say of a job, worst first.
    ///
    /// # Errors
    /// Those of [`Client`](crate::rpc::http::Client), as everywhere here.
    pub async fn diagnosis(&self, job: JobId) -> Result<Diagnosis, Error> {
        self.http().get(&self.path(&format!("/jobs/{job}/diagnosis"))).await
    }
}
