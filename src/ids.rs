//! Newtypes for every id. Each parses from and prints to one text, the same in logs, REST, files and the command line.
//!
//! Things that restart carry an attempt or epoch number, so a stale message can be recognised: an
//! [`ApplicationAttemptId`] for a JobManager, an [`ExecutionAttemptId`] for a subtask.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a text is not an id of the wanted kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {kind}; it looks like {example}")]
pub struct InvalidId {
    kind: &'static str,
    example: &'static str,
    text: String,
}

impl InvalidId {
    fn new(kind: &'static str, example: &'static str, text: &str) -> Self {
        Self { kind, example, text: text.to_owned() }
    }
}

macro_rules! text_id {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

/// One application: `application_{cluster timestamp}_{sequence}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplicationId {
    /// When the ResourceManager's store was created, in epoch milliseconds.
    pub cluster_timestamp: u64,
    /// Counts submissions from 1.
    pub sequence: u32,
}

impl fmt::Display for ApplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "application_{}_{:04}", self.cluster_timestamp, self.sequence)
    }
}

impl FromStr for ApplicationId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parse = || {
            let (timestamp, sequence) = text.strip_prefix("application_")?.split_once('_')?;
            Some(Self { cluster_timestamp: timestamp.parse().ok()?, sequence: sequence.parse().ok()? })
        };
        parse().ok_or_else(|| InvalidId::new("ApplicationId", "application_1760000000000_0001", text))
    }
}

text_id!(ApplicationId);

impl ApplicationId {
    /// The `number`th run of this application's master, from 1.
    pub fn attempt(self, number: u32) -> ApplicationAttemptId {
        ApplicationAttemptId { application: self, attempt: number }
    }
}

/// One run of an application's master: `appattempt_{cluster timestamp}_{sequence}_{attempt}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApplicationAttemptId {
    /// The application.
    pub application: ApplicationId,
    /// Counts runs from 1.
    pub attempt: u32,
}

impl fmt::Display for ApplicationAttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ApplicationId { cluster_timestamp, sequence } = self.application;
        write!(f, "appattempt_{cluster_timestamp}_{sequence:04}_{:06}", self.attempt)
    }
}

impl FromStr for ApplicationAttemptId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parse = || {
            let mut parts = text.strip_prefix("appattempt_")?.splitn(3, '_');
            let application =
                ApplicationId { cluster_timestamp: parts.next()?.parse().ok()?, sequence: parts.next()?.parse().ok()? };
            Some(application.attempt(parts.next()?.parse().ok()?))
        };
        parse().ok_or_else(|| InvalidId::new("ApplicationAttemptId", "appattempt_1760000000000_0001_000001", text))
    }
}

text_id!(ApplicationAttemptId);

/// One container: `container_{cluster timestamp}_{sequence}_{attempt}_{number}`, with `e{epoch}_` in front of the timestamp
/// once the ResourceManager has restarted.
///
/// The number holds the ResourceManager's epoch in the bits from 40 up, so ids stay unique over its restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId {
    /// The application attempt it was granted to.
    pub attempt: ApplicationAttemptId,
    /// Epoch (bits 40 and up) and count within it.
    pub number: u64,
}

const CONTAINER_EPOCH_SHIFT: u32 = 40;

impl ContainerId {
    /// The `count`th container of `attempt` granted by the ResourceManager of `epoch`.
    pub fn new(attempt: ApplicationAttemptId, epoch: u64, count: u64) -> Self {
        Self { attempt, number: (epoch << CONTAINER_EPOCH_SHIFT) | count }
    }

    /// The ResourceManager's epoch when it was granted.
    pub fn epoch(&self) -> u64 {
        self.number >> CONTAINER_EPOCH_SHIFT
    }

    /// Which of the attempt's containers of that epoch it is, from 1.
    pub fn count(&self) -> u64 {
        self.number & ((1 << CONTAINER_EPOCH_SHIFT) - 1)
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ApplicationId { cluster_timestamp, sequence } = self.attempt.application;
        f.write_str("container_")?;
        if self.epoch() > 0 {
            write!(f, "e{:02}_", self.epoch())?;
        }
        let count = self.count();
        write!(f, "{cluster_timestamp}_{sequence:04}_{:02}_{count:06}", self.attempt.attempt)
    }
}

impl FromStr for ContainerId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parse = || {
            let rest = text.strip_prefix("container_")?;
            let (epoch, rest) = match rest.strip_prefix('e') {
                Some(rest) => {
                    let (epoch, rest) = rest.split_once('_')?;
                    (epoch.parse().ok()?, rest)
                }
                None => (0, rest),
            };
            let mut parts = rest.splitn(4, '_');
            let application =
                ApplicationId { cluster_timestamp: parts.next()?.parse().ok()?, sequence: parts.next()?.parse().ok()? };
            let attempt = application.attempt(parts.next()?.parse().ok()?);
            Some(Self::new(attempt, epoch, parts.next()?.parse().ok()?))
        };
        parse().ok_or_else(|| InvalidId::new("ContainerId", "container_1760000000000_0001_01_000001", text))
    }
}

text_id!(ContainerId);

/// One node of the cluster: `host:port` of its NodeManager.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// Host name or address that others reach it by.
    pub host: String,
    /// The NodeManager's port.
    pub port: u16,
}

impl NodeId {
    /// `host:port`.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for NodeId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId::new("NodeId", "host:8042", text);
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        if host.is_empty() {
            return Err(invalid());
        }
        Ok(Self::new(host, port.parse().map_err(|_| invalid())?))
    }
}

text_id!(NodeId);

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:032x})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let invalid = || InvalidId::new(stringify!($name), "5e20cb6b0f357591171dfcca2eea09de", text);
                if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(invalid());
                }
                u128::from_str_radix(text, 16).map(Self).map_err(|_| invalid())
            }
        }

        text_id!($name);
    };
}

hex_id! {
    /// One job: 32 hex digits.
    JobId
}
hex_id! {
    /// One vertex of a job graph (a chain of operators): 32 hex digits, derived from its head's operator id.
    VertexId
}
hex_id! {
    /// A user's request for a checkpoint or savepoint: 32 hex digits.
    TriggerId
}
hex_id! {
    /// One operator: 32 hex digits, derived from its `uid`, else from its position in the graph.
    OperatorId
}

/// One execution of a subtask: `{vertex}_{subtask}_{attempt}`. Flink's `ExecutionAttemptID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutionAttemptId {
    /// The vertex.
    pub vertex: VertexId,
    /// Index of the subtask, from 0.
    pub subtask: u32,
    /// Counts executions of this subtask, from 0.
    pub attempt: u32,
}

impl fmt::Display for ExecutionAttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_{}", self.vertex, self.subtask, self.attempt)
    }
}

impl FromStr for ExecutionAttemptId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parse = || {
            let mut parts = text.splitn(3, '_');
            Some(Self {
                vertex: parts.next()?.parse().ok()?,
                subtask: parts.next()?.parse().ok()?,
                attempt: parts.next()?.parse().ok()?,
            })
        };
        parse().ok_or_else(|| InvalidId::new("ExecutionAttemptId", "5e20cb6b0f357591171dfcca2eea09de_0_0", text))
    }
}

text_id!(ExecutionAttemptId);

/// Number of a checkpoint of a job, from 1, never used twice by a job. Savepoints are counted with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CheckpointId(pub u64);

impl fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name_id! {
    /// One TaskManager: the container's id in a container, else `host:port-random`.
    TaskManagerId
}

/// One worker process: the TaskManager that supervises it, the job, and the count of workers that TaskManager has started for
/// that job (from 1), so that a replaced worker's messages are recognised.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkerId {
    /// Its TaskManager.
    pub task_manager: TaskManagerId,
    /// Its job.
    pub job: JobId,
    /// Counts from 1 within (TaskManager, job).
    pub incarnation: u32,
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.task_manager, self.job, self.incarnation)
    }
}

/// How many parallel subtasks; at least one.
pub type Parallelism = NonZeroU32;

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<T>(text: &str)
    where
        T: FromStr<Err = InvalidId> + fmt::Display + Serialize + de::DeserializeOwned,
    {
        let id: T = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<T>(&json).unwrap().to_string(), text);
    }

    #[test]
    fn ids_print_and_parse_to_the_same_text() {
        round_trip::<ApplicationId>("application_1760000000000_0001");
        round_trip::<ApplicationAttemptId>("appattempt_1760000000000_0001_000002");
        round_trip::<ContainerId>("container_1760000000000_0001_01_000003");
        round_trip::<ContainerId>("container_e07_1760000000000_12345_01_000003");
        round_trip::<NodeId>("n1.example:8042");
        round_trip::<JobId>("5e20cb6b0f357591171dfcca2eea09de");
        round_trip::<ExecutionAttemptId>("5e20cb6b0f357591171dfcca2eea09de_3_1");
    }

    #[test]
    fn malformed_ids_are_refused_by_name() {
        for text in ["", "application_", "application_1", "application_x_1", "container_1_1_1_1"] {
            assert!(text.parse::<ApplicationId>().is_err(), "{text}");
        }
        let error = "5e20".parse::<JobId>().unwrap_err().to_string();
        assert!(error.starts_with("`5e20` is not a valid JobId"), "{error}");
        assert!("+e20cb6b0f357591171dfcca2eea09de".parse::<JobId>().is_err());
    }
}
