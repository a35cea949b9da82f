//! A task as data: what a worker is given to run, and what it reports. Shared by the engine, which runs tasks and knows no
//! process, and the processes, which know tasks only as this.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::event_time::WatermarkHold;
use super::plan::{EdgeId, NodeIndex, Partitioner};
use crate::ids::{CheckpointId, ExecutionAttemptId, JobId, OperatorId, WorkerId};
use crate::rpc::ErrorKind;
use crate::time::EventTime;

/// One subtask to run. Flink's `TaskDeploymentDescriptor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskDeployment {
    /// The job.
    pub job: JobId,
    /// Which execution this is.
    pub attempt: ExecutionAttemptId,
    /// Name of the vertex, for logs and errors.
    pub name: String,
    /// The chain's operators: positions in the plan, each after those that feed it.
    pub operators: Vec<NodeIndex>,
    /// Number of subtasks of the vertex.
    pub parallelism: u32,
    /// Number of key groups.
    pub max_parallelism: u32,
    /// What comes in, one entry an edge.
    pub inputs: Vec<InputDeployment>,
    /// What goes out, one entry an edge.
    pub outputs: Vec<OutputDeployment>,
    /// The checkpoint that the job goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<CheckpointId>,
    /// Where its state lies in that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restore: Vec<RestoredFile>,
}

/// A file that a subtask goes on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoredFile {
    /// Which.
    #[serde(flatten)]
    pub file: StateFile,
    /// The subtask that wrote it.
    pub subtask: u32,
    /// Of how many.
    pub parallelism: u32,
}

/// A file with the state of a subtask of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateFile {
    /// Where.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Whose state is in it.
    pub operators: Vec<OperatorId>,
    /// Whether there is state in it that every subtask is given, at the same parallelism too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub union: bool,
    /// Files beside it that belong to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<RunFile>,
}

impl StateFile {
    /// Bytes of it and the files beside it.
    pub fn all_bytes(&self) -> u64 {
        self.bytes + self.runs.iter().map(|run| run.bytes).sum::<u64>()
    }
}

/// A file beside that of a subtask's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFile {
    /// Its name, in the same directory.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// An edge into a subtask: its input gate. Flink's `InputGateDeploymentDescriptor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputDeployment {
    /// The edge.
    pub edge: EdgeId,
    /// Those producers that send to this subtask, in order of their index.
    pub producers: Vec<Producer>,
}

/// Where one input channel comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Producer {
    /// The producing execution.
    pub attempt: ExecutionAttemptId,
    /// The worker it runs in: the same worker means a local handover.
    pub worker: WorkerId,
    /// `host:port` of that worker's data port.
    pub data_address: String,
}

/// An edge out of a subtask: its result partition. Flink's `ResultPartitionDeploymentDescriptor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputDeployment {
    /// The edge.
    pub edge: EdgeId,
    /// How records choose among the consumers.
    pub partitioner: Partitioner,
    /// Those consumers this subtask sends to, in order of their index.
    pub consumers: Vec<ExecutionAttemptId>,
    /// Key groups of the consuming vertex.
    pub max_parallelism: u32,
}

/// Where a task stands. Flink's `ExecutionState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ExecutionState {
    /// Known.
    Created,
    /// Waiting for a slot.
    Scheduled,
    /// On its way to a worker.
    Deploying,
    /// Opening its operators.
    Initializing,
    /// Processing.
    Running,
    /// Ended by itself.
    Finished,
    /// Being cancelled.
    Canceling,
    /// Ended by request.
    Canceled,
    /// Ended by failure.
    Failed,
}

impl ExecutionState {
    /// Every state, in Flink's order.
    pub const ALL: [Self; 9] = [
        Self::Created,
        Self::Scheduled,
        Self::Deploying,
        Self::Running,
        Self::Finished,
        Self::Canceling,
        Self::Canceled,
        Self::Failed,
        Self::Initializing,
    ];

    /// Whether nothing comes after.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Finished | Self::Canceled | Self::Failed => true,
            Self::Created
            | Self::Scheduled
            | Self::Deploying
            | Self::Initializing
            | Self::Running
            | Self::Canceling => false,
        }
    }

    /// Flink's name for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Scheduled => "SCHEDULED",
            Self::Deploying => "DEPLOYING",
            Self::Initializing => "INITIALIZING",
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Canceling => "CANCELING",
            Self::Canceled => "CANCELED",
            Self::Failed => "FAILED",
        }
    }
}

impl fmt::Display for ExecutionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a task or job failed; data for the job's history, and what the restart strategy reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Whether a restart may help.
    pub kind: ErrorKind,
    /// The cause first, then what to do: `cannot connect to 127.0.0.1:8888: connection refused; start the server first`.
    pub message: String,
    /// Name of the operator, when one is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// A checkpoint's file that is damaged or missing, when that is why: an earlier checkpoint may be whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damaged_file: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.operator {
            Some(operator) => write!(f, " (in operator \"{operator}\")"),
            None => Ok(()),
        }
    }
}

/// A part of a source's input, opaque to the JobManager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Unique within its source, and stable over restarts of the enumerator.
    pub id: String,
    /// What the source's readers understand.
    pub payload: serde_json::Value,
    /// Where it belongs in event time, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<Lane>,
}

/// A sequence of splits each of which goes on in event time where the one before it ends: the parts of a file. How time in one lane is to
/// time in another is not known, so who reads in event time reads all of them side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    /// Which one, from 0.
    pub index: u32,
    /// How many the source has.
    pub of: u32,
}

/// Counters of one subtask since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskMetrics {
    /// Records read from inputs.
    pub records_in: u64,
    /// Bytes read from inputs.
    pub bytes_in: u64,
    /// Records written to outputs.
    pub records_out: u64,
    /// Bytes written to outputs.
    pub bytes_out: u64,
    /// Records that were repaired or dropped because they were malformed.
    #[serde(default)]
    pub bad_records: u64,
    /// Of a thousand records that came in by key lately, how many at least had the most frequent key.
    #[serde(default)]
    pub hot_key_permille: u64,
    /// Milliseconds spent working.
    #[serde(default)]
    pub busy_ms: u64,
    /// Milliseconds spent waiting for input.
    #[serde(default)]
    pub idle_ms: u64,
    /// Milliseconds spent waiting for room downstream.
    #[serde(default)]
    pub backpressured_ms: u64,
    /// How far event time has come in what it reads; `None` before the first watermark, and for sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_watermark: Option<EventTime>,
    /// The input that event time waits for; `None` where there is one channel only, or they are equally far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_hold: Option<WatermarkHold>,
}

/// What one sink subtask has prepared and wants published: opaque to the JobManager, meant for the sink's committer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committable {
    /// The sink's position in the plan.
    pub operator: NodeIndex,
    /// What the sink's committer understands.
    pub payload: serde_json::Value,
}

impl Failure {
    /// A failure of a kind, not yet blamed on an operator.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), operator: None, damaged_file: None }
    }

    /// One that a restart may cure.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Transient, message)
    }

    /// One that a restart will meet again.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Permanent, message)
    }

    /// One of the user's own code or input.
    pub fn user(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::User, message)
    }

    /// Says that a checkpoint cannot be gone on from, for this file of it.
    #[must_use]
    pub fn of_damaged_file(mut self, path: &str) -> Self {
        self.damaged_file = Some(path.to_owned());
        self
    }

    /// Blames `operator`, unless one deeper in the chain was blamed already.
    #[must_use]
    pub fn in_operator(mut self, operator: &str) -> Self {
        self.operator.get_or_insert_with(|| operator.to_owned());
        self
    }
}

impl std::error::Error for Failure {}
