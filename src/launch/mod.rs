//! What `execute` does: the same program is planned, shipped and run, and looks at its environment to know its part.
//!
//! ```text
//! api ──Job{plan, program}──► execute ─┬─ local ────► JobMaster core + TaskExecutor in this process, no sockets
//!                                      ├─ plan ─────► writes the plan as JSON, exits 0
//!                                      └─ worker ───► crate::worker: joins its JobManager, exits with its code
//! parse::<Args>() ────────────────────── describe ──► prints the arguments' description as JSON, exits 0
//! ```
//!
//! Invariants: `execute` returns in the local role alone; it blocks the calling thread and never enters the caller's async
//! runtime, so it works inside `#[tokio::main]` too; a program is one job, so a second `execute` is refused.

mod describe;
mod error;
mod once;
mod result;
mod role;

use std::cell::Cell;

pub use self::describe::parse;
pub use self::error::Error;
pub(crate) use self::once::Once;
pub use self::result::{JobResult, VertexResult};
use self::role::Role;
use crate::engine::operators::ProgramGraph;
use crate::graph::plan::Plan;

/// What a program asks to be executed: its graph as data, and the code behind it.
#[derive(Clone)]
pub(crate) struct Job {
    /// The graph.
    pub(crate) plan: Plan,
    /// The code, by position in the graph.
    pub(crate) program: ProgramGraph,
}

thread_local! {
    /// Whether this thread has called `execute`. A program's `main` is one thread; tests, many in a process, have one each.
    static EXECUTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs the job in this process, or does what else this process was started for. Blocks until then.
///
/// # Errors
/// [`Error`], whose message has the cause first. The plan and worker roles print it and exit instead.
pub(crate) fn execute(job: Job) -> Result<JobResult, Error> {
    if EXECUTED.replace(true) {
        return Err(Error::SecondExecution);
    }
    match Role::from_environment()? {
        Role::Local | Role::Describe => {
            job.plan.validate()?;
            Err(Error::Internal { cause: "this build does not run jobs in the local role yet".to_owned() })
        }
        Role::Plan { file } => role::exit(role::write_plan(&job.plan, &file)),
        Role::Worker { .. } => {
            Err(Error::Internal { cause: "this build does not run jobs in the worker role yet".to_owned() })
        }
    }
}
