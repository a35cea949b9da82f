//! What a JobManager, its TaskManagers, workers and clients say about jobs. Tasks are [`crate::graph::task`].

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::container::{LocalResource, Visibility};
use super::roles::PROGRAMS_DIR;
use crate::ids::JobId;

/// A program to run: the executable by hash, and what it is run with in each of its roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its file name, for people and process lists.
    pub name: String,
    /// Where it can be fetched.
    pub executable: LocalResource,
    /// Arguments, the same in every role.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Environment recorded at submission.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Further files, by the name they get in the working directory.
    #[serde(default)]
    pub files: BTreeMap<String, LocalResource>,
}

impl Program {
    /// Lets what a JobManager before this one has served from its own blobs come from `base`, its
    /// successor's address, now.
    pub fn serve_from(&mut self, base: &str) {
        for resource in std::iter::once(&mut self.executable).chain(self.files.values_mut()) {
            let blob = resource.url.rsplit_once("/blobs/").map(|(_, blob)| blob.to_owned());
            if let Some(blob) = blob.filter(|blob| resource.sha256.as_ref() == Some(blob)) {
                resource.url = format!("{base}/blobs/{blob}");
            }
        }
    }

    /// What a container of its job needs beside it: executable and files, each as `programs/<sha256>`.
    pub(crate) fn localised(&self) -> BTreeMap<String, LocalResource> {
        let resources = std::iter::once(&self.executable).chain(self.files.values());
        let place = |resource: &LocalResource| {
            let hash = resource.sha256.as_ref()?;
            let resource = LocalResource { visibility: Visibility::Public, executable: true, ..resource.clone() };
            Some((format!("{PROGRAMS_DIR}/{hash}"), resource))
        };
        resources.filter_map(place).collect()
    }
}

/// A job as submitted: what a JobManager is given to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSubmission {
    /// Chosen by the client, so that it can name the job before anything runs.
    pub job: JobId,
    /// What to run.
    pub program: Program,
    /// Job-level configuration given at submission; it outranks the program's own.
    #[serde(default)]
    pub configuration: BTreeMap<String, String>,
}

/// Where a job stands. Flink's `JobStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum JobStatus {
    /// The program is being planned.
    Initializing,
    /// Planned, waiting for slots.
    Created,
    /// Deployed.
    Running,
    /// Failing: tasks are being cancelled.
    Failing,
    /// Ended by failure.
    Failed,
    /// Being cancelled.
    Cancelling,
    /// Ended by request.
    Canceled,
    /// Ended by itself.
    Finished,
    /// Waiting to be deployed again.
    Restarting,
    /// Given up by this JobManager, for another to take over.
    Suspended,
}

impl JobStatus {
    /// Every status, in Flink's order.
    pub const ALL: [Self; 10] = [
        Self::Initializing,
        Self::Created,
        Self::Running,
        Self::Failing,
        Self::Failed,
        Self::Cancelling,
        Self::Canceled,
        Self::Finished,
        Self::Restarting,
        Self::Suspended,
    ];

    /// Whether nothing comes after, anywhere.
    pub fn is_globally_terminal(self) -> bool {
        match self {
            Self::Failed | Self::Canceled | Self::Finished => true,
            Self::Initializing
            | Self::Created
            | Self::Running
            | Self::Failing
            | Self::Cancelling
            | Self::Restarting
            | Self::Suspended => false,
        }
    }

    /// Flink's name for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "INITIALIZING",
            Self::Created => "CREATED",
            Self::Running => "RUNNING",
            Self::Failing => "FAILING",
            Self::Failed => "FAILED",
            Self::Cancelling => "CANCELLING",
            Self::Canceled => "CANCELED",
            Self::Finished => "FINISHED",
            Self::Restarting => "RESTARTING",
            Self::Suspended => "SUSPENDED",
        }
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a change of parallelism stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RescaleStatus {
    /// There are not slots enough yet, or no worker in them; the job runs on.
    WaitingForSlots,
    /// The checkpoint that it goes on from is being made.
    Checkpointing,
    /// Its tasks are stopped and started anew.
    Redeploying,
    /// Done.
    Completed,
    /// The job has the parallelism it had, or has ended.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::container::LocalResourceType;

    #[test]
    fn a_program_is_placed_by_its_hash() {
        let resource = |hash: &str| LocalResource {
            url: "http://rm/blob".to_owned(),
            size: 1,
            sha256: Some(hash.to_owned()),
            kind: LocalResourceType::File,
            visibility: Visibility::Application,
            executable: false,
        };
        let program = Program {
            name: "p".to_owned(),
            executable: resource("aa"),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            files: [("input.txt".to_owned(), resource("bb"))].into(),
        };
        let placed = program.localised();
        assert_eq!(placed.keys().collect::<Vec<_>>(), ["programs/aa", "programs/bb"]);
        assert_eq!(placed["programs/aa"].visibility, Visibility::Public);
    }
}
