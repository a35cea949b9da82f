//! A worker as its TaskManager sees it.
//!
//! ```text
//! Preparing ──► Starting ──► Running ──► (gone)
//!     │            │            ▼           ▲
//!     │            └───────► Stopping ──────┤
//!     └─────────────────────────────────────┘
//! ```

use crate::process::{Identity, MemoryWatch, Signal};
use crate::protocol::container::ExitCause;
use crate::resource::MemorySize;
use crate::time::Now;

/// A worker.
#[derive(Clone, Debug)]
pub(super) struct Worker {
    pub(super) slots: u32,
    pub(super) memory: MemoryWatch,
    pub(super) state: State,
}

/// Where it stands.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// Its program and directory are being made ready.
    Preparing,
    /// Its process is being started.
    Starting,
    /// Its process runs.
    Running { process: Identity },
    /// Its process is being ended; killed, and killed again, at `kill_at`.
    Stopping { process: Option<Identity>, cause: ExitCause, kill_at: Now, sent: Signal },
}

impl Worker {
    pub(super) fn new(slots: u32, memory: MemorySize) -> Self {
        Self { slots, memory: MemoryWatch::new(memory.bytes()), state: State::Preparing }
    }

    pub(super) fn process(&self) -> Option<Identity> {
        match &self.state {
            State::Running { process } => Some(*process),
            State::Stopping { process, .. } => *process,
            State::Preparing | State::Starting => None,
        }
    }

    /// Whether its slots are about to be free.
    pub(super) fn is_ending(&self) -> bool {
        match &self.state {
            State::Stopping { .. } => true,
            State::Preparing | State::Starting | State::Running { .. } => false,
        }
    }

    pub(super) fn state_name(&self) -> &'static str {
        match &self.state {
            State::Preparing => "being prepared",
            State::Starting => "being started",
            State::Running { .. } => "running",
            State::Stopping { .. } => "being stopped",
        }
    }
}
