//! What is the matter with a job, as the JobManager tells it to pages and clients.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::ids::{JobId, VertexId};
use crate::protocol::job::JobStatus;

/// All there is to say of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The job.
    pub jid: JobId,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: JobStatus,
    /// What is the matter, worst first.
    pub verdicts: Vec<Verdict>,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// How bad.
    pub severity: Severity,
    /// The rule that speaks, for programs: `bottleneck`, `hot-key`, ….
    pub kind: Cow<'static, str>,
    /// The cause, in a sentence without a full stop.
    pub cause: String,
    /// The numbers behind it; may be empty.
    pub evidence: String,
    /// What to do about it; may be empty.
    pub remedy: String,
    /// The vertex concerned, where there is one.
    pub vertex: Option<VertexId>,
    /// Where to look.
    pub page: Evidence,
}

/// How bad it is. Worse ones are smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The job does not work.
    Error,
    /// It works, and worse than it could or should.
    Warning,
    /// Worth knowing.
    Info,
}

/// Where the evidence is: a page of the Web UI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// The graph, or the vertex named.
    Graph,
    /// The history of failures.
    Exceptions,
    /// Checkpoints.
    Checkpoints,
}
