//! The program as a member of a job: it registers, runs the subtasks it is given, and reports.
//!
//! ```text
//! launch ──Membership──► run ─┬─ link ◄══ ToWorker ══ JobManager        deploy, splits, commits, shutdown
//!                             │    └─ perform ──► TaskExecutor (a thread a subtask) ══ Network ══ other workers
//!                             │ JobManager ◄══ ToJobManager ══ reports ◄──TaskEvent, bounded──┘
//!                             └─ stdin ── closes with the TaskManager: the process ends
//! ```
//!
//! Invariants: a process whose graph differs from the stored plan never registers; reports go out in the order in which they
//! came about, through one channel; whoever is fenced, or loses its JobManager or TaskManager, ends without being told. stdout
//! belongs to the user's code alone.
//!
//! It decides nothing: what a failure means, who reads which split and what is published is the JobManager's.

mod error;
mod membership;
mod orders;
mod orphan;
mod reports;
mod state;

pub use self::error::Error;
#[cfg(test)]
pub(crate) use self::membership::take_part;
pub(crate) use self::membership::{Membership, run};
pub(crate) use self::orders::{Next, perform};
pub(crate) use self::state::state_backend;
