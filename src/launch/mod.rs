//! What `execute` does: the same program is planned, shipped and run, and looks at its environment to know its part.
//!
//! ```text
//! api ──Job{plan, program}──► execute ─┬─ local ────► JobMaster core + TaskExecutor in this process, no sockets
//!                                      ├─ plan ─────► writes the plan as JSON, exits 0
//!                                      ├─ validate ─► writes what it would make of a checkpoint, exits 0
//!                                      └─ worker ───► crate::worker: joins its JobManager, exits with its code
//! parse::<Args>() ────────────────────── describe ──► prints the arguments' description as JSON, exits 0
//! ```
//!
//! Invariants: `execute` returns in the local role alone; it blocks the calling thread and never enters the caller's async
//! runtime, so it works inside `#[tokio::main]` too; a program is one job, so a second `execute` is refused.

#[cfg(test)]
mod cluster_tests;
mod configuration;
mod describe;
mod error;
mod interrupt;
mod local;
mod once;
mod result;
mod role;
mod validation;

use std::cell::Cell;
use std::path::Path;
use std::thread;

pub use self::describe::parse;
pub use self::error::Error;
pub(crate) use self::local::default_parallelism;
pub(crate) use self::once::Once;
pub use self::result::{JobResult, VertexResult};
use self::role::Role;
use crate::config::Configuration;
use crate::engine::operators::ProgramGraph;
use crate::graph::plan::Plan;
use crate::process::forgo_huge_pages;
use crate::protocol::roles::{self, WorkerEnvironment};
use crate::worker::{self, Membership};

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

/// Whether `execute` runs the job in this process: nobody started it for something else.
///
/// # Errors
/// When what flott told this process makes no sense.
pub(crate) fn is_local() -> Result<bool, Error> {
    Ok(match Role::from_environment()? {
        Role::Local | Role::Describe => true,
        Role::Plan { .. } | Role::Validate { .. } | Role::Worker { .. } => false,
    })
}

/// Runs the job in this process, or does what else this process was started for. Blocks until then.
///
/// # Errors
/// [`Error`], whose message has the cause first. The plan and worker roles print it and exit instead.
pub(crate) fn execute(job: Job) -> Result<JobResult, Error> {
    if EXECUTED.replace(true) {
        return Err(Error::SecondExecution);
    }
    let role = Role::from_environment()?;
    if matches!(role, Role::Local | Role::Worker { .. }) {
        // Each thread's heap would grow by 2 MiB at a time. Measured with 256 threads: twice as fast and half the memory without.
        forgo_huge_pages();
    }
    match role {
        Role::Local => {
            role::note_execution()?;
            local::run(job, &configuration::given()?)
        }
        Role::Describe => describe::exit_undescribed(),
        Role::Plan { file } => role::exit(role::write_plan(&job.plan, &file)),
        Role::Validate { file } => role::exit(validation::validate(job, &file)),
        Role::Worker { plan, environment } => join_as_worker(job, &plan, *environment),
    }
}

/// Hands over to the worker and exits with its code. On a thread of its own: the caller's may belong to an async runtime, which
/// must not be blocked by another.
fn join_as_worker(job: Job, plan: &Path, environment: WorkerEnvironment) -> ! {
    let stored = match role::read_plan(plan) {
        Ok(stored) => stored,
        Err(error) => role::exit(Err(error)),
    };
    let object_stores = match configuration::object_stores(&Configuration::new()) {
        Ok(object_stores) => object_stores,
        Err(error) => role::exit(Err(error)),
    };
    let membership = Membership { here: job.plan, stored, program: job.program, environment, object_stores };
    let worker = thread::Builder::new().name("flott-worker".to_owned()).spawn(|| worker::run(membership));
    let code = match worker.map(thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        // A panic of ours has been printed; without a thread nothing can run here.
        Ok(Err(_)) | Err(_) => roles::WORKER_EXIT_UNAVAILABLE,
    };
    std::process::exit(code)
}
