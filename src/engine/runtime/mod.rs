//! A subtask: mailbox loop, operator chain, inputs and outputs; and the threads of a process's subtasks.
//!
//! ```text
//! process ──deploy, mail──► TaskExecutor ──► Driver (a thread) ──step(now, budget)──► Subtask
//!    ▲                                                                                  │
//!    └───────TaskEvent, bounded──────────────────────────────────────────────────◄──────┘
//!
//! Gate ─► Inputs ─┐
//!                 ├─► Chain (a tree of operators) ─► Partition
//! SourceHead ─────┘   Enumerator beside subtask 0
//! ```
//!
//! A [`Subtask`] has neither thread nor clock: the driver gives it the time and calls it until it ends, and so can a simulator.
//! It takes the next slice of input only when every partition has room, so user code alone can block it, and between two
//! slices it looks at its mail. A batch travels through the whole chain before the next one is taken.
//!
//! Invariants: time is handed on behind what operators emit because of it; an operator sees the end of its input before it
//! finishes, and finishes before those behind it do; a subtask that is cancelled or fails is dropped without finishing, and
//! its consumers get no end of input; a panic in user code ends its subtask and nothing else; nothing here is paid for per
//! record. It knows the network only as [`Connect`] and processes not at all.

mod alignment;
mod build;
mod chain;
mod counters;
mod declared;
mod driver;
mod enumerator;
mod event;
mod executor;
mod hot_keys;
mod inputs;
mod mailbox;
mod network;
mod panics;
mod ports;
mod running;
mod snapshot;
mod snapshots;
mod source;
mod stepped;
mod subtask;
mod valve;

pub use build::Blueprint;
pub use event::TaskEvent;
pub use executor::TaskExecutor;
pub use mailbox::{Mail, Mailer};
pub use ports::{Connect, Gate, Partition};
pub(crate) use stepped::Stepped;
pub use subtask::{Flushing, Outcome, Report, Step, Subtask};

#[cfg(test)]
pub(crate) mod tests;
