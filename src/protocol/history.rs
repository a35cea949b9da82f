//! What stays of a job that has ended: the answers of its JobManager's REST API, by path, in one file. JobManager → ResourceManager.
//!
//! The shape is that of Flink's archives, `{"archive": [{"path", "json"}]}`, with a version and the job beside it: Flink's history server
//! reads the same file. Whoever reads one does not know what the answers say.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::ids::JobId;

/// Of the answers' meaning. Raised when a page made for older ones would misread them.
pub const VERSION: u32 = 1;

/// The answers about one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobArchive {
    version: u32,
    job: JobId,
    archive: Vec<ArchivedAnswer>,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedAnswer {
    /// Of the request, with its leading slash and without a query.
    pub path: String,
    /// The body, as text.
    pub json: String,
}

/// Why an archive is not shown.
#[derive(Debug, thiserror::Error)]
pub enum InvalidArchive {
    /// It is something else.
    #[error("the archive of job {job} cannot be read: {cause}")]
    Malformed {
        /// Whose it should be.
        job: JobId,
        /// The parser's words.
        cause: String,
    },
    /// It was written by a later flott.
    #[error(
        "the archive of job {job} has version {version}, this flott reads {VERSION}; look at it with the flott that wrote it"
    )]
    Version {
        /// Whose it is.
        job: JobId,
        /// The version it has.
        version: u32,
    },
    /// It is that of another job.
    #[error("the archive of job {job} is about job {found}; somebody has moved it there")]
    OtherJob {
        /// Whose it should be.
        job: JobId,
        /// Whose it is.
        found: JobId,
    },
}

impl JobArchive {
    /// Of these answers.
    pub fn new(job: JobId, archive: Vec<ArchivedAnswer>) -> Self {
        Self { version: VERSION, job, archive }
    }

    /// As it is stored.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text and numbers are JSON")
    }

    /// Reads what should be the archive of `job`.
    ///
    /// # Errors
    /// [`InvalidArchive`].
    pub fn parse(job: JobId, bytes: &[u8]) -> Result<Self, InvalidArchive> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let malformed = |error: serde_json::Error| InvalidArchive::Malformed { job, cause: error.to_string() };
        // First the version: of a later one nothing else is known.
        let Head { version } = serde_json::from_slice(bytes).map_err(malformed)?;
        if version != VERSION {
            return Err(InvalidArchive::Version { job, version });
        }
        let archive: Self = serde_json::from_slice(bytes).map_err(malformed)?;
        if archive.job != job {
            return Err(InvalidArchive::OtherJob { job, found: archive.job });
        }
        Ok(archive)
    }

    /// The answer to a request for `path`.
    ///
    /// # Errors
    /// [`InvalidArchive::Malformed`] if what stands there is no JSON; nobody is sent it then.
    pub fn answer(&self, path: &str) -> Result<Option<&str>, InvalidArchive> {
        let Some(found) = self.archive.iter().find(|answer| answer.path == path) else { return Ok(None) };
        let whole = serde_json::from_str::<IgnoredAny>(&found.json);
        let malformed = |error| InvalidArchive::Malformed { job: self.job, cause: format!("{path}: {error}") };
        whole.map(|_| Some(found.json.as_str())).map_err(malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fuzz::fuzz;

    const JOB: JobId = JobId(7);

    #[test]
    fn an_archive_gives_the_answers_that_went_into_it() {
        let answer = |path: &str, json: &str| ArchivedAnswer { path: path.to_owned(), json: json.to_owned() };
        let archive = JobArchive::new(JOB, vec![answer("/jobs/7", r#"{"a":1}"#), answer("/jobs/7/plan", "{")]);
        let read = JobArchive::parse(JOB, &archive.to_json()).unwrap();
        assert_eq!(read.answer("/jobs/7").unwrap(), Some(r#"{"a":1}"#));
        assert_eq!(read.answer("/jobs/8").unwrap(), None);
        assert!(read.answer("/jobs/7/plan").unwrap_err().to_string().contains("/jobs/7/plan"));
    }

    #[test]
    fn what_is_no_archive_of_the_job_is_refused_with_the_reason() {
        let refusal = |text: &str| JobArchive::parse(JOB, text.as_bytes()).unwrap_err().to_string();
        let of = |job: JobId, version: u32| format!(r#"{{"version":{version},"job":"{job}","archive":[]}}"#);
        assert!(JobArchive::parse(JOB, of(JOB, 1).as_bytes()).is_ok());
        assert!(refusal("").contains("cannot be read"));
        assert!(refusal(&of(JOB, 1)[..20]).contains("cannot be read"));
        assert!(refusal(r#"{"version":1,"archive":{}}"#).contains("cannot be read"));
        assert!(refusal(r#"{"version":2,"new":true}"#).contains("has version 2, this flott reads 1"));
        assert!(refusal(&of(JobId(8), 1)).contains("is about job"));
        let nested = "[".repeat(100_000);
        assert!(refusal(&format!(r#"{{"version":1,"job":{nested}"#)).contains("cannot be read"), "no stack overflow");
    }

    #[test]
    fn fuzz_archives() {
        let answers = ["/jobs/overview", "/jobs/1/plan"].map(|path| ArchivedAnswer {
            path: path.to_owned(),
            json: r#"{"jobs":[{"jid":"1","tasks":{"total":3}}]}"#.to_owned(),
        });
        fuzz("archive", &[JobArchive::new(JobId(1), answers.to_vec()).to_json()], |bytes| {
            if let Ok(archive) = JobArchive::parse(JobId(1), bytes) {
                let _ = (archive.answer("/jobs/overview"), archive.answer("/jobs/1/plan"));
            }
        });
    }
}
