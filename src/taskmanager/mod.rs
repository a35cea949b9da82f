//! A TaskManager owns slots and supervises one worker process a job.
//!
//! ```text
//! jobmanager ══ link ══► service ──► Core::apply ──► effects ─┬► prepare (program by hash, directory) ──► spawn ──► supervise
//!                                        ▲                    └► link: WorkerStarted, WorkerExited          │  │
//!                                        └──────────────── measure, Exited ◄────────────────────────────────┘  ▼
//!                                                                        per-job rotated files and one merged view
//! ```
//!
//! A crash, leak or abort in user code ends that job's worker and nobody else. A worker's standard input is a pipe that its
//! TaskManager holds: it closes when the TaskManager dies, which is the worker's sign to exit, so there are no orphans.
//!
//! Invariants: slots are never given twice; a program that cannot run here is refused before it is launched; when a worker is
//! reported exited, none of its processes runs; in a container nothing outlives the TaskManager. It knows nothing of dataflow.

mod core;
mod directories;
mod error;
mod handle;
mod output;
mod prepare;
mod service;
mod supervise;
#[cfg(test)]
pub(crate) mod testing;
mod work_dir;
mod worker;

pub use self::core::{Core, Effect, Event, Home, Policy};
pub use self::error::{Error, Illegal};
pub use self::handle::{Handle, WorkerView};
pub use self::output::Stream;
pub use self::service::{Service, Settings, Timing, start};
