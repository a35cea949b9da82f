//! How flott's processes tell a program, and each other, what to be. Set by flott, never by users.
//!
//! | role | [`ROLE`] | besides |
//! |---|---|---|
//! | local | absent | [`EXECUTED`], if `flott run` started it |
//! | plan | `plan` | [`PLAN`]: file to write the plan to |
//! | validate | `validate` | [`PLAN`]: file to write the report to; [`CONFIGURATION`]: names the checkpoint |
//! | worker | `worker` | [`PLAN`]: file that holds the plan; [`WORKER`]: a [`WorkerEnvironment`]; stdin closes when the TaskManager dies |
//! | describe | `describe` | the description goes to stdout as JSON |

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::container::LaunchContext;
use crate::ids::{ContainerId, WorkerId};
use crate::resource::{MemorySize, Resource};
use crate::rpc::{Security, Tls, TlsFiles, Tokens};

/// Prefix of every variable here; a program's recorded environment never contains such.
pub const PREFIX: &str = "FLOTT_INTERNAL_";
/// The role of a program's process.
pub const ROLE: &str = "FLOTT_INTERNAL_ROLE";
/// Value of [`ROLE`]: write the plan and exit.
pub const ROLE_PLAN: &str = "plan";
/// Value of [`ROLE`]: write what the program would make of a checkpoint, and exit.
pub const ROLE_VALIDATE: &str = "validate";
/// Value of [`ROLE`]: run subtasks.
pub const ROLE_WORKER: &str = "worker";
/// Value of [`ROLE`]: describe the arguments and exit.
pub const ROLE_DESCRIBE: &str = "describe";
/// Path of the plan file.
pub const PLAN: &str = "FLOTT_INTERNAL_PLAN";
/// Job-level configuration for the plan role, as a JSON object of strings.
pub const CONFIGURATION: &str = "FLOTT_INTERNAL_CONFIGURATION";
/// Path that a program writes a byte to as it begins to run its job itself, for the command line that has started it.
pub const EXECUTED: &str = "FLOTT_INTERNAL_EXECUTED";
/// A [`WorkerEnvironment`] as JSON.
pub const WORKER: &str = "FLOTT_INTERNAL_WORKER";
/// File (mode 600) that says how object stores are reached; absent: as the program's own configuration says.
pub const OBJECT_STORES: &str = "FLOTT_INTERNAL_OBJECT_STORES";
/// A [`JobManagerEnvironment`] as JSON, for a JobManager in a container.
pub const JOB_MANAGER: &str = "FLOTT_INTERNAL_JOB_MANAGER";
/// A [`TaskManagerEnvironment`] as JSON, for a TaskManager in a container.
pub const TASK_MANAGER: &str = "FLOTT_INTERNAL_TASK_MANAGER";

/// A [`ShellEnvironment`] as JSON, for the master of a command that runs in several containers.
pub const SHELL: &str = "FLOTT_INTERNAL_SHELL";
/// Variable a node sets for every container: a [`SecurityEnvironment`] as JSON.
pub const SECURITY: &str = "FLOTT_INTERNAL_SECURITY";

/// Exit code of a worker whose program built another graph than the plan's; its stderr names the difference.
pub const WORKER_EXIT_GRAPH_DIFFERS: i32 = 65;
/// Exit code of a worker that could not open its data port, or lost its JobManager; its stderr says which.
pub const WORKER_EXIT_UNAVAILABLE: i32 = 69;
/// Exit code of a worker that the system or its configuration does not let run; its stderr has the cause.
pub const WORKER_EXIT_MISCONFIGURED: i32 = 78;

/// Variable a node sets for every container: path of its own flott binary, used in launch commands as `{{FLOTT_BIN}}`.
pub const FLOTT_BIN: &str = "FLOTT_BIN";
/// Variable a node sets: file (mode 600) with the launch context's tokens as a JSON object. Also as YARN calls it.
pub const TOKEN_FILE: [&str; 2] = ["FLOTT_TOKEN_FILE_LOCATION", "HADOOP_TOKEN_FILE_LOCATION"];
/// Variables a node sets, as YARN's: the container's id and the node it runs on.
pub const CONTAINER_ID: &str = "CONTAINER_ID";
/// Host of the node.
pub const NM_HOST: &str = "NM_HOST";
/// Port of the node's NodeManager.
pub const NM_PORT: &str = "NM_PORT";
/// HTTP port of the node's NodeManager.
pub const NM_HTTP_PORT: &str = "NM_HTTP_PORT";
/// Directories for temporary files, separated by commas.
pub const LOCAL_DIRS: &str = "LOCAL_DIRS";
/// The container's log directory.
pub const LOG_DIRS: &str = "LOG_DIRS";
/// Set by the ResourceManager on a master's container: `host:port` of the ResourceManager.
pub const RESOURCE_MANAGER: &str = "FLOTT_RESOURCE_MANAGER";
/// Set by the ResourceManager on a master's container: its attempt's id.
pub const APPLICATION_ATTEMPT_ID: &str = "FLOTT_APPLICATION_ATTEMPT_ID";
/// Set by the ResourceManager on a master's container: `/proxy/{application}`.
pub const WEB_PROXY_BASE: &str = "APPLICATION_WEB_PROXY_BASE";
/// Variable of each container of a command that runs in several: which of them it is, from 0.
pub const TASK_INDEX: &str = "FLOTT_TASK_INDEX";
/// Variable of each container of a command that runs in several: how many there are.
pub const TASK_COUNT: &str = "FLOTT_TASK_COUNT";
/// Working directory of a container, relative path: programs localised by the node, named by their SHA-256.
pub const PROGRAMS_DIR: &str = "programs";

/// What a worker process is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerEnvironment {
    /// Its name.
    pub worker: WorkerId,
    /// `host:port` of the JobManager's links.
    pub job_manager: String,
    /// For its link and data connections.
    pub secret: String,
    /// Host that other workers reach its data port at.
    pub host: String,
    /// Slots of the job in its TaskManager.
    pub slots: u32,
    /// What it may use.
    pub memory: MemorySize,
    /// Job-level configuration, resolved.
    pub configuration: BTreeMap<String, String>,
    /// Directory for temporary files; its TaskManager removes it.
    pub temporary_dir: PathBuf,
    /// How links and data go over the wire; absent: in the clear.
    #[serde(default)]
    pub tls: Option<TlsFiles>,
}

/// What a node tells the processes of its containers about strangers: where certificates lie, and which tokens to take (as hashes).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityEnvironment {
    /// Absent: everything goes in the clear.
    pub tls: Option<TlsFiles>,
    /// Of those who ask.
    pub tokens: Tokens,
}

impl SecurityEnvironment {
    /// Of a daemon.
    pub fn of(security: &Security) -> Self {
        Self { tls: security.tls.files().cloned(), tokens: security.tokens.clone() }
    }

    /// From what the variable [`SECURITY`] holds.
    ///
    /// # Errors
    /// What is wrong with it, or with a file that it names.
    pub fn security(json: &str) -> Result<Security, String> {
        let Self { tls, tokens } =
            serde_json::from_str(json).map_err(|error| format!("{SECURITY} is malformed: {error}"))?;
        let tls = tls.map(Tls::load).transpose().map_err(|error| error.to_string())?;
        Ok(Security { tls: tls.unwrap_or_default(), tokens })
    }

    /// For the variable [`SECURITY`].
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("paths of a configuration and hashes are JSON")
    }
}

/// What a JobManager in a container is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobManagerEnvironment {
    /// The job it is started for (per-job mode); absent in session mode.
    pub job: Option<super::job::JobSubmission>,
    /// Cluster- and job-level configuration given at submission.
    pub configuration: BTreeMap<String, String>,
    /// The application's secret: its TaskManagers and workers show it. Empty: each attempt makes its own, and takes nobody over.
    pub secret: String,
}

/// What the master of a command that runs in several containers is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShellEnvironment {
    /// In how many containers it runs.
    pub count: u32,
    /// What each of them may use.
    pub capability: Resource,
    /// The command, its files and its environment.
    pub context: LaunchContext,
}

/// What a TaskManager in a container is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskManagerEnvironment {
    /// The container it runs in.
    pub container: ContainerId,
    /// `host:port` of the JobManager's links.
    pub job_manager: String,
    /// Where later attempts of the JobManager say where they are; absent: it ends with the attempt that has started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaders: Option<PathBuf>,
    /// The application's secret.
    pub secret: String,
    /// Slots it offers.
    pub slots: u32,
    /// Memory of the whole container.
    pub memory: MemorySize,
    /// Configuration given at submission.
    pub configuration: BTreeMap<String, String>,
}
