//! What is the matter with a job or a cluster, as a JobManager or the ResourceManager tells it to pages and clients.

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

/// All there is to say of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterDiagnosis {
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
    /// The node or application concerned, by id, where it is a cluster's matter.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
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
    /// The cluster's overview.
    Cluster,
    /// The node that the verdict is about.
    Node,
    /// The application that the verdict is about.
    Application,
}

impl Verdict {
    /// One that says nothing yet.
    pub fn new(severity: Severity, kind: &'static str, page: Evidence) -> Self {
        let (cause, evidence, remedy, subject) = Default::default();
        Self { severity, kind: kind.into(), cause, evidence, remedy, vertex: None, subject, page }
    }
}

/// A failure's message says the cause first and then what to do, parted by a semicolon that is in no parentheses.
pub fn cause_and_remedy(message: &str) -> (String, String) {
    let mut depth = 0_u32;
    let outside = message.char_indices().find(|(_, c)| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        *c == ';' && depth == 0
    });
    match outside {
        Some((at, _)) => (message[..at].to_owned(), message[at + 1..].trim_start().to_owned()),
        None => (message.to_owned(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_falls_into_its_cause_and_what_to_do() {
        let (cause, remedy) = cause_and_remedy("cannot connect to h:1: connection refused; start the server first");
        assert_eq!(
            (cause.as_str(), remedy.as_str()),
            ("cannot connect to h:1: connection refused", "start the server first")
        );
        for whole in ["boom", "no such file: x (in /tmp; give an absolute path)"] {
            assert_eq!(cause_and_remedy(whole), (whole.to_owned(), String::new()));
        }
    }
}
