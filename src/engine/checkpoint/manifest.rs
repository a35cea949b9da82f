//! What a checkpoint consists of.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::graph::task::{Split, StateFile};
use crate::ids::{CheckpointId, JobId, OperatorId};
use crate::time::Now;

/// Version of the manifest's format. A reader refuses others.
pub const MANIFEST_VERSION: u32 = 1;

/// The manifest's file name, as Flink's.
pub const MANIFEST_NAME: &str = "_metadata";

/// A complete checkpoint or savepoint: all that a job needs to go on from there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`].
    pub version: u32,
    /// Whose.
    pub job: JobId,
    /// The job's name.
    pub job_name: String,
    /// Which.
    pub checkpoint: CheckpointId,
    /// Whether a user asked for it and owns it.
    pub savepoint: bool,
    /// Whether the job's input ended with it, so that all its output belongs to it and nothing is left to be done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drained: bool,
    /// Which run of the JobManager wrote it.
    pub attempt: u32,
    /// When it was begun.
    pub triggered: Now,
    /// The directory it was written to.
    pub directory: String,
    /// Every operator of the job, with its state.
    pub operators: Vec<OperatorState>,
    /// What of each source is left to read.
    pub sources: BTreeMap<OperatorId, SourceState>,
    /// Output that is prepared and belongs to this checkpoint: published once it is complete, again after a restore.
    pub committables: BTreeMap<OperatorId, Vec<serde_json::Value>>,
}

/// An operator's part in a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorState {
    /// Which.
    pub operator: OperatorId,
    /// The user's name for it, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// For people.
    pub name: String,
    /// Number of subtasks.
    pub parallelism: u32,
    /// Number of key groups.
    pub max_parallelism: u32,
    /// Its subtasks' files, by subtask; a file holds a whole chain's state. Absent: that subtask held nothing.
    pub files: Vec<Option<StateFile>>,
}

/// What of a source is left to read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceState {
    /// Parts not begun, and parts begun, from where they stood.
    pub remaining: Vec<Split>,
    /// Ids of parts that were read to their end, which its enumerator may report again.
    pub done: Vec<String>,
    /// Whether no further parts will be found.
    pub complete: bool,
}

impl Manifest {
    /// As it is when its directory lies at `directory`, with the files in it.
    pub(super) fn moved_to(mut self, directory: String) -> Self {
        let files = self.operators.iter_mut().flat_map(|operator| operator.files.iter_mut().flatten());
        for file in files {
            let inside =
                Path::new(&file.path).strip_prefix(&self.directory).map(|inside| Path::new(&directory).join(inside));
            if let Ok(moved) = inside {
                file.path = moved.to_string_lossy().into_owned();
            }
        }
        self.directory = directory;
        self
    }

    /// Bytes of all state files.
    pub fn state_bytes(&self) -> u64 {
        let mut files: Vec<(&str, u64)> = self
            .operators
            .iter()
            .flat_map(|operator| operator.files.iter().flatten())
            .map(|file| (file.path.as_str(), file.all_bytes()))
            .collect();
        files.sort_unstable();
        files.dedup();
        files.iter().map(|file| file.1).sum()
    }
}
