//! A container as the ResourceManager sees it.
//!
//! ```text
//! ALLOCATED ─acquired by its master─► ACQUIRED ─reported by its node─► RUNNING
//!     │                                  │                                │
//!     └──── expired, released, killed, completed: it leaves the books ────┘
//! ```

use super::asks::AskKey;
use super::error::Illegal;
use super::scheduler::AllocationKey;
use crate::ids::{ApplicationAttemptId, ContainerId, NodeId};
use crate::protocol::container::{ContainerState, ContainerStatus, Exit, ExitCause};
use crate::resource::Resource;
use crate::time::Now;

/// A live container. One that ended is not kept: its completion travels to its master, its room is free at once.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) id: ContainerId,
    /// Who gets its completion; a later attempt than the id's, if it was kept across attempts.
    pub(crate) owner: ApplicationAttemptId,
    pub(crate) node: NodeId,
    pub(crate) resource: Resource,
    pub(crate) priority: u32,
    pub(crate) allocation_request_id: u64,
    /// Its place in the scheduler, while it is on the books.
    pub(crate) allocation: Option<AllocationKey>,
    pub(crate) role: Role,
    pub(crate) state: State,
    /// Whether its node has reported it in any state.
    pub(crate) reported: bool,
    /// It is to be taken away: when, and for which queue.
    pub(crate) on_notice: Option<(Now, String)>,
    pub(crate) allocated_at: Now,
}

/// What a container is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The application's master; the ResourceManager launches it.
    Master,
    /// Anything else; its master launches it.
    Worker,
}

/// Where a live container stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Granted.
    Allocated,
    /// Its master knows it.
    Acquired,
    /// Its node has it.
    Running,
}

impl State {
    /// YARN's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Allocated => "ALLOCATED",
            Self::Acquired => "ACQUIRED",
            Self::Running => "RUNNING",
        }
    }
}

/// What can happen to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// Its master was told (for a master: its node was).
    Acquired,
    /// Its node reported it alive.
    Reported,
    /// Its node reported its end.
    Completed(Exit),
    /// Its master gave it back.
    Released,
    /// It was not launched in time.
    Expired,
    /// Whatever else ends it here: kill, node loss.
    Killed(ExitCause),
}

impl Container {
    /// The exit, once it ended.
    ///
    /// # Errors
    /// [`Illegal`] never changes anything.
    pub(crate) fn apply(&mut self, input: Input) -> Result<Option<Exit>, Illegal> {
        let plain = |cause| Some(Exit { cause, diagnostics: String::new() });
        match (self.state, input) {
            (State::Allocated, Input::Acquired) => {
                self.state = State::Acquired;
                Ok(None)
            }
            // A report may overtake the master's next message, and repeats itself after a reconnect.
            (State::Allocated | State::Acquired | State::Running, Input::Reported) => {
                self.state = State::Running;
                Ok(None)
            }
            (State::Acquired | State::Running, Input::Acquired) => Ok(None),
            (State::Allocated | State::Acquired | State::Running, Input::Completed(exit)) => Ok(Some(exit)),
            (State::Allocated | State::Acquired | State::Running, Input::Released) => Ok(plain(ExitCause::Released)),
            (State::Allocated | State::Acquired, Input::Expired) => {
                let why = "not started in time by the application's master".to_owned();
                Ok(plain(ExitCause::Aborted { why }))
            }
            (State::Running, Input::Expired) => Err(Illegal::new("container", self.id, "RUNNING", "Expired")),
            (State::Allocated | State::Acquired | State::Running, Input::Killed(cause)) => Ok(plain(cause)),
        }
    }

    /// The ask it answers.
    pub(crate) fn ask(&self) -> AskKey {
        AskKey::new(self.priority, self.allocation_request_id, &self.resource)
    }

    /// The status that its master gets when it ended.
    pub(crate) fn completed(&self, exit: Exit) -> ContainerStatus {
        ContainerStatus {
            container: self.id,
            state: ContainerState::Complete,
            resource: self.resource.clone(),
            priority: self.priority,
            exit: Some(exit),
            stopping: false,
        }
    }

    /// Its public state.
    pub(crate) fn public_state(&self) -> ContainerState {
        match self.state {
            State::Allocated | State::Acquired => ContainerState::New,
            State::Running => ContainerState::Running,
        }
    }
}
