//! A container as everybody sees it: what to launch, which state it is in, and why it ended.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{ContainerId, NodeId};
use crate::resource::Resource;
use crate::rpc::token::Token;

/// What a NodeManager needs to start a process. YARN's `ContainerLaunchContext`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchContext {
    /// Files to place in the work directory, by the (relative) name they get there.
    #[serde(default)]
    pub resources: BTreeMap<String, LocalResource>,
    /// Environment; `{{NAME}}` refers to another variable and `<LOG_DIR>` to the container's log directory.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Joined by spaces and run by `bash -c`. `<LOG_DIR>` and `{{NAME}}` are expanded as in the environment.
    pub commands: Vec<String>,
    /// Credentials, by name; the node writes them to a file that only the container's user reads.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tokens: BTreeMap<String, Token>,
}

/// A file to localise. YARN's `LocalResource`, with a hash in addition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalResource {
    /// `http://` or `file://`.
    pub url: String,
    /// Expected size in bytes; another size at the source is refused.
    pub size: u64,
    /// Expected SHA-256 in lower-case hex; another content is refused. Absent: only the size is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// How it is placed.
    #[serde(rename = "type", default)]
    pub kind: LocalResourceType,
    /// Who shares the copy on the node.
    #[serde(default)]
    pub visibility: Visibility,
    /// Whether the placed file is executable.
    #[serde(default)]
    pub executable: bool,
}

/// How a localised resource is placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LocalResourceType {
    /// As it is.
    #[default]
    File,
    /// Unpacked into a directory of its name.
    Archive,
}

/// Who shares a localised resource on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Visibility {
    /// Every application of every user.
    Public,
    /// Every application of the same user.
    Private,
    /// This application; deleted with it.
    #[default]
    Application,
}

/// Where a container stands, publicly. YARN's `ContainerState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ContainerState {
    /// Being localised or launched.
    New,
    /// Its process runs.
    Running,
    /// It has ended.
    Complete,
}

/// A container's state as its node reports it. YARN's `ContainerStatus`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// The container.
    pub container: ContainerId,
    /// Where it stands.
    pub state: ContainerState,
    /// What it was granted; lets a restarted ResourceManager rebuild its books from reports.
    pub resource: Resource,
    /// Priority it was asked with.
    #[serde(default)]
    pub priority: u32,
    /// Why it ended; present exactly when `state` is `Complete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// Whether it is being ended because the ResourceManager said so, which reckons with it no longer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopping: bool,
}

/// How a container ended: the typed cause and a bounded text for people (the tail of stderr, say).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The cause.
    pub cause: ExitCause,
    /// Further text, at most a few KiB; may be empty.
    #[serde(default)]
    pub diagnostics: String,
}

/// What a process said last on its stderr, as far as it may explain its end. Lines of a log (they begin with the time), headings
/// of quoted output, and what the shell says of a signal do not.
pub(crate) fn last_words(diagnostics: &str) -> Option<&str> {
    const OF_THE_SHELL: [&str; 4] = ["Killed", "Terminated", "Aborted", "Segmentation fault"];
    let is_log = |line: &str| line.get(..20).is_some_and(|start| start.starts_with("20") && start.contains('T'));
    let is_heading = |line: &str| line.starts_with("last lines of ") && line.ends_with(':');
    let is_shells = |line: &str| OF_THE_SHELL.contains(&line.trim_end_matches(" (core dumped)"));
    let says_nothing = |line: &str| line.is_empty() || is_log(line) || is_heading(line) || is_shells(line);
    diagnostics.lines().rev().map(str::trim).find(|line| !says_nothing(line))
}

/// Why a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ExitCause {
    /// The process exited by itself.
    Completed {
        /// Its exit code.
        code: i32,
    },
    /// A signal that nobody of us sent ended the process.
    Signal {
        /// The signal's number.
        signal: i32,
    },
    /// It, or its process tree, used more memory than it was granted.
    OutOfMemory {
        /// What it was granted.
        limit_mb: u64,
        /// What it was seen to use.
        peak_mb: u64,
        /// Who noticed: `cgroup` or `process tree`.
        by: String,
    },
    /// A file could not be localised, or the process could not be started.
    LaunchFailed {
        /// The cause, in words.
        why: String,
    },
    /// The application's master asked for its end.
    KilledByApplicationMaster,
    /// The ResourceManager ended it.
    KilledByResourceManager {
        /// The reason, in words.
        why: String,
    },
    /// A user killed the application.
    KilledByUser,
    /// It outlived its application.
    KilledAfterApplicationEnd,
    /// Taken away for another queue.
    Preempted {
        /// The queue that got it.
        queue: String,
    },
    /// The application's master gave it back.
    Released,
    /// Its node was lost.
    NodeLost,
    /// The node's disks failed.
    DiskFailed,
    /// Never launched, or lost without a trace over a restart.
    Aborted {
        /// The reason, in words.
        why: String,
    },
}

impl ExitCause {
    /// YARN's exit status for this cause.
    pub fn exit_status(&self) -> i32 {
        match self {
            Self::Completed { code } => *code,
            Self::Signal { signal } => 128 + signal,
            Self::OutOfMemory { .. } => -104,
            Self::LaunchFailed { .. } => -1,
            Self::KilledByApplicationMaster => -105,
            Self::KilledByResourceManager { .. } | Self::KilledByUser => -106,
            Self::KilledAfterApplicationEnd => -107,
            Self::Preempted { .. } => -102,
            Self::Released | Self::NodeLost | Self::Aborted { .. } => -100,
            Self::DiskFailed => -101,
        }
    }

    /// Whether the process ended by itself with code 0.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Completed { code: 0 })
    }

    /// Whether the ResourceManager has ordered it.
    pub fn is_order(&self) -> bool {
        match self {
            Self::KilledByResourceManager { .. }
            | Self::KilledByUser
            | Self::KilledAfterApplicationEnd
            | Self::Preempted { .. }
            | Self::Released => true,
            Self::Completed { .. }
            | Self::KilledByApplicationMaster
            | Self::Signal { .. }
            | Self::OutOfMemory { .. }
            | Self::LaunchFailed { .. }
            | Self::NodeLost
            | Self::DiskFailed
            | Self::Aborted { .. } => false,
        }
    }

    /// Whether an application attempt that ended so counts against the application's limit of attempts.
    pub fn counts_as_attempt_failure(&self) -> bool {
        match self {
            Self::Preempted { .. }
            | Self::NodeLost
            | Self::Aborted { .. }
            | Self::DiskFailed
            | Self::KilledByResourceManager { .. } => false,
            Self::Completed { .. }
            | Self::Signal { .. }
            | Self::OutOfMemory { .. }
            | Self::LaunchFailed { .. }
            | Self::KilledByApplicationMaster
            | Self::KilledByUser
            | Self::KilledAfterApplicationEnd
            | Self::Released => true,
        }
    }
}

impl fmt::Display for ExitCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed { code } => write!(f, "exited with code {code}"),
            Self::Signal { signal } => write!(f, "killed by signal {signal}"),
            Self::OutOfMemory { limit_mb, peak_mb, by } => {
                write!(f, "out of memory: used {peak_mb} MB of {limit_mb} MB (seen by {by})")
            }
            Self::LaunchFailed { why } => write!(f, "launch failed: {why}"),
            Self::KilledByApplicationMaster => f.write_str("stopped by the application's master"),
            Self::KilledByResourceManager { why } => {
                write!(f, "stopped by the ResourceManager: {why}")
            }
            Self::KilledByUser => f.write_str("killed by user"),
            Self::KilledAfterApplicationEnd => f.write_str("stopped because its application had ended"),
            Self::Preempted { queue } => write!(f, "preempted by queue {queue}"),
            Self::Released => f.write_str("released by the application's master"),
            Self::NodeLost => f.write_str("its node was lost"),
            Self::DiskFailed => f.write_str("the node's disks failed"),
            Self::Aborted { why } => write!(f, "aborted: {why}"),
        }
    }
}

/// A container granted to an application's master. YARN's `Container`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// The container.
    pub container: ContainerId,
    /// Where it will run.
    pub node: NodeId,
    /// `host:port` of the node's HTTP interface, where the container is started.
    pub node_http_address: String,
    /// What was granted: the ask, rounded up to the minimum allocation.
    pub resource: Resource,
    /// Priority of the ask it answers.
    pub priority: u32,
    /// The ask it answers.
    pub allocation_request_id: u64,
    /// Proof for the node, signed by the ResourceManager.
    pub token: Token,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_headings_and_the_shell_s_remarks_are_no_last_words() {
        let log = "2026-11-22T21:08:02.510Z  INFO flott::worker: registered";
        assert_eq!(last_words(&format!("double free\n{log}\n\n")), Some("double free"));
        assert_eq!(last_words(log), None);
        assert_eq!(last_words(&format!("last lines of workers.err:\n{log}")), None);
        assert_eq!(last_words(&format!("{log}\nlast lines of prelaunch.err:\nAborted (core dumped)\n")), None);
    }
}
