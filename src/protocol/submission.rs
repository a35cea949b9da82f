//! Client → ResourceManager: what is submitted and how it stands. The wire form is YARN's REST; these are the proven types.

use serde::{Deserialize, Serialize};

use super::application_master::FinalStatus;
use super::container::LaunchContext;
use crate::ids::ApplicationId;
use crate::resource::Resource;
use crate::time::Now;

/// An application as submitted. YARN's `ApplicationSubmissionContext`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// Its id, obtained before.
    pub application: ApplicationId,
    /// For people.
    pub name: String,
    /// Leaf queue, by path or unique short name.
    pub queue: String,
    /// Who submits.
    pub user: String,
    /// `FLOTT` for ours; anything for others.
    pub application_type: String,
    /// Free tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Larger numbers first, among applications of a queue.
    #[serde(default)]
    pub priority: u32,
    /// How the master's container is launched.
    pub master: LaunchContext,
    /// The master's container.
    pub resource: Resource,
    /// At most this many runs of the master; the cluster's limit applies too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Only failures younger than this count, in milliseconds; absent: all count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_failures_validity_ms: Option<u64>,
    /// Whether other containers live on when the master fails.
    #[serde(default)]
    pub keep_containers_across_attempts: bool,
    /// It is killed this many milliseconds after it was submitted, if it has not ended; its queue may allow less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_ms: Option<u64>,
    /// Whether the master's container is the whole application: its command registers nowhere, and how it exits is how the
    /// application ends.
    #[serde(default)]
    pub is_command: bool,
}

/// Where an application stands, publicly. YARN's `YarnApplicationState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ApplicationState {
    /// Being created.
    New,
    /// Being stored.
    NewSaving,
    /// Stored.
    Submitted,
    /// Let into its queue; the master waits for its container or starts.
    Accepted,
    /// The master has registered.
    Running,
    /// Ended by its master.
    Finished,
    /// Ended without.
    Failed,
    /// Ended by request.
    Killed,
}

impl ApplicationState {
    /// Whether nothing comes after.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Finished | Self::Failed | Self::Killed => true,
            Self::New | Self::NewSaving | Self::Submitted | Self::Accepted | Self::Running => false,
        }
    }
}

impl std::fmt::Display for ApplicationState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::New => "NEW",
            Self::NewSaving => "NEW_SAVING",
            Self::Submitted => "SUBMITTED",
            Self::Accepted => "ACCEPTED",
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Killed => "KILLED",
        })
    }
}

/// How an application ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// As its master, or else the ResourceManager, judged.
    pub final_status: FinalStatus,
    /// When.
    pub at: Now,
    /// The cause first.
    pub diagnostics: String,
}
