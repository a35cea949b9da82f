//! A container on its node.
//!
//! ```text
//! Localizing ──► Scheduled ──► Running ──► Done
//!      │             │            │          ▲
//!      │             └─► Killing ◄┘          │    (killed while scheduled: the process is killed as soon as it is there)
//!      │                    └────────────────┤
//!      └─────────────────────────────────────┘    (killed, or a file could not be had)
//! ```

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::handle::ContainerView;
use super::resources::ResourceKey;
use crate::ids::ContainerId;
use crate::process::{Identity, MemoryWatch};
use crate::protocol::container::{ContainerState, ContainerStatus, Exit, ExitCause, LaunchContext};
use crate::resource::Resource;
use crate::time::Now;

/// What stays true of a container all its life; from its token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The container.
    pub container: ContainerId,
    /// Whose application it is.
    pub user: String,
    /// What it was granted.
    pub resource: Resource,
    /// Priority it was asked with.
    pub priority: u32,
    /// Until when its token could be shown again.
    pub token_expires_at: Now,
    /// When the node took it.
    pub accepted_at: Now,
}

/// A container on its node.
#[derive(Clone, Debug)]
pub(super) struct Container {
    pub(super) lease: Lease,
    pub(super) state: State,
    pub(super) memory: MemoryWatch,
}

/// Where it stands.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// Files are being fetched.
    Localizing { context: Box<LaunchContext>, missing: BTreeSet<ResourceKey> },
    /// Its process is being started.
    Scheduled,
    /// Its process runs.
    Running { process: Identity },
    /// Its process is being ended.
    Killing { process: Option<Identity>, cause: ExitCause, escalation: Escalation },
    /// It has ended.
    Done { exit: Exit, at: Now },
}

/// How hard a process has been asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escalation {
    /// Not asked yet: there is no process yet.
    Waiting,
    /// Asked; to be killed at this moment.
    Asked { kill_at: Now },
    /// Killed; to be killed again at this moment should something be left.
    Killed { again_at: Now },
}

impl Container {
    pub(super) fn new(lease: Lease, state: State) -> Self {
        let memory = MemoryWatch::new(lease.resource.memory_mb << 20);
        Self { lease, state, memory }
    }

    /// As reported to the ResourceManager.
    pub(super) fn status(&self) -> ContainerStatus {
        let (state, exit) = match &self.state {
            State::Localizing { .. } | State::Scheduled => (ContainerState::New, None),
            State::Killing { process: None, .. } => (ContainerState::New, None),
            State::Running { .. } | State::Killing { process: Some(_), .. } => (ContainerState::Running, None),
            State::Done { exit, .. } => (ContainerState::Complete, Some(exit.clone())),
        };
        ContainerStatus {
            container: self.lease.container,
            state,
            resource: self.lease.resource.clone(),
            priority: self.lease.priority,
            exit,
            stopping: matches!(&self.state, State::Killing { cause, .. } if cause.is_order()),
        }
    }

    /// YARN's name for where it stands on its node.
    pub(super) fn state_name(&self) -> &'static str {
        match &self.state {
            State::Localizing { .. } => "LOCALIZING",
            State::Scheduled => "SCHEDULED",
            State::Running { .. } => "RUNNING",
            State::Killing { .. } => "KILLING",
            State::Done { .. } => "DONE",
        }
    }

    /// As shown to people.
    pub(super) fn view(&self) -> ContainerView {
        ContainerView {
            container: self.lease.container,
            user: self.lease.user.clone(),
            state: self.state_name(),
            resource: self.lease.resource.clone(),
            accepted_at: self.lease.accepted_at,
            process: self.process(),
            rss_bytes: if self.is_done() { 0 } else { self.memory.rss_bytes() },
            peak_mb: self.memory.peak_mb(),
            exit: if let State::Done { exit, .. } = &self.state { Some(exit.clone()) } else { None },
        }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.state, State::Done { .. })
    }

    pub(super) fn process(&self) -> Option<Identity> {
        match &self.state {
            State::Running { process } => Some(*process),
            State::Killing { process, .. } => *process,
            State::Localizing { .. } | State::Scheduled | State::Done { .. } => None,
        }
    }
}

/// What outlives the NodeManager: enough to find the process again, and to report what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// The container.
    pub lease: Lease,
    /// How it ended, if it has, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<(Exit, Now)>,
    /// Whether the ResourceManager knows that it ended; kept until the token can no longer be shown.
    #[serde(default)]
    pub acknowledged: bool,
}

/// What a restarted NodeManager found of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Its process runs.
    Alive(Identity),
    /// It ended meanwhile, or nothing is left of it.
    Ended(Exit),
}
