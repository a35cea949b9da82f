//! What the ResourceManager stores: enough to forget no acknowledged application over a restart.

use serde::{Deserialize, Serialize};

use super::application::Final;
use crate::ids::{ApplicationAttemptId, ApplicationId, ContainerId, NodeId};
use crate::protocol::application_master::FinalStatus;
use crate::protocol::container::ExitCause;
use crate::protocol::submission::Submission;
use crate::resource::Resource;
use crate::time::Now;

/// The largest record: the store's limit less its own needs. A submission whose record is larger is refused.
pub const RECORD_BYTES_MAX: usize = 60 << 10;

/// One record of the store, as JSON under [`Key`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// The cluster's identity and counters.
    Cluster(Cluster),
    /// An application.
    Application(Box<Application>),
    /// An attempt, from the moment its master has a container.
    Attempt(Box<Attempt>),
    /// The tree of queues that was applied last, as a queues file's text.
    Queues {
        /// It was checked when it was applied.
        text: String,
    },
    /// Nodes that are to leave, or must not join.
    Excluded {
        /// All there are.
        nodes: Vec<Excluded>,
    },
    /// A node that is part of the cluster: after a restart it is waited for.
    Node {
        /// Its id.
        node: NodeId,
    },
}

/// Where a record stands. Prints to the store's key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// The only one of its kind.
    Cluster,
    /// The tree of queues.
    Queues,
    /// The list of excluded nodes.
    Excluded,
    /// By application.
    Application(ApplicationId),
    /// By attempt.
    Attempt(ApplicationAttemptId),
    /// By node.
    Node(NodeId),
}

/// Prefix of every key.
pub const PREFIX: &str = "rm/";

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cluster => write!(f, "{PREFIX}cluster"),
            Self::Queues => write!(f, "{PREFIX}queues"),
            Self::Excluded => write!(f, "{PREFIX}excluded"),
            Self::Application(id) => write!(f, "{PREFIX}application/{id}"),
            Self::Attempt(id) => write!(f, "{PREFIX}attempt/{id}"),
            Self::Node(id) => write!(f, "{PREFIX}node/{id}"),
        }
    }
}

impl Record {
    /// Its place.
    pub fn key(&self) -> Key {
        match self {
            Self::Cluster(_) => Key::Cluster,
            Self::Application(application) => Key::Application(application.submission.application),
            Self::Attempt(attempt) => Key::Attempt(attempt.attempt),
            Self::Queues { .. } => Key::Queues,
            Self::Excluded { .. } => Key::Excluded,
            Self::Node { node } => Key::Node(node.clone()),
        }
    }
}

/// The cluster's identity and counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// When the store was created: the timestamp in every id.
    pub identity: u64,
    /// Counts restarts.
    pub epoch: u64,
    /// The last application number given out.
    pub last_sequence: u32,
    /// Signs container tokens; hex. Every node gets it. A restarted ResourceManager goes on honouring what was signed.
    pub token_key: String,
    /// Signs masters' tokens; hex. Stays here.
    pub master_key: String,
}

/// A node that is to leave, or must not join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excluded {
    /// Host, or `host:port`.
    pub node: String,
    /// Until then what runs on it may go on.
    pub until: Now,
}

/// An application as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// As submitted.
    pub submission: Submission,
    /// When.
    pub submitted_at: Now,
    /// When and how it ended; absent while it lives.
    pub end: Option<ApplicationEnd>,
}

/// How an application ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationEnd {
    /// Its terminal state.
    pub state: Final,
    /// As its master, or else the ResourceManager, judged.
    pub final_status: FinalStatus,
    /// The cause first.
    pub diagnostics: String,
    /// Where it can be looked at; may be empty.
    pub tracking_url: String,
    /// When.
    pub at: Now,
    /// MB-seconds used in all.
    pub memory_seconds: u64,
    /// Core-seconds used in all.
    pub vcore_seconds: u64,
}

/// An attempt as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its id.
    pub attempt: ApplicationAttemptId,
    /// When it began.
    pub started_at: Now,
    /// Its master's container; absent if it ended before it got one.
    pub master: Option<Master>,
    /// How it ended; absent while it lives.
    pub end: Option<AttemptEnd>,
}

/// The container of an attempt's master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Master {
    /// The container.
    pub container: ContainerId,
    /// Where it runs.
    pub node: NodeId,
    /// That node's HTTP interface.
    pub node_http_address: String,
    /// What it may use.
    pub resource: Resource,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptEnd {
    /// Which way.
    pub outcome: Outcome,
    /// The cause first.
    pub diagnostics: String,
    /// How the master's container ended, where that was the cause.
    pub exit: Option<ExitCause>,
    /// When.
    pub at: Now,
}

/// Which way an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "way", rename_all = "kebab-case")]
pub enum Outcome {
    /// Its master unregistered.
    Finished {
        /// As the master judged.
        final_status: FinalStatus,
        /// Where it can be looked at.
        tracking_url: String,
    },
    /// Its master ended without that.
    Failed {
        /// Whether it counts against the application's limit of attempts.
        counts: bool,
    },
    /// By request.
    Killed,
}
