//! Takes programs, plans them, and runs their jobs: Flink's Dispatcher and its JobMasters.
//!
//! ```text
//! client ─ rest/flink ─► Handle ─► Service ◄═ links ═► TaskManagers, workers
//!                                     │    ◄═ link ══► ResourceManager (in a container)
//!             Event ─► Core ─► Effect ┤
//!                       │             ├─► preparation: store, programs, planning   (a program becomes a Plan)
//!    slots, containers ─┴─ JobMaster  ├─► store: job, plan, decision, outcome
//!                                     └─► archive: what the ended job's views showed
//! ```
//!
//! The same code in three ways: *per-job* in a container (started with one job, ends with it), *session* in a container,
//! *standalone* with TaskManagers started by hand. [`Setup`] finds out which.
//!
//! Invariants: [`core`] and [`job_master`] decide and do no I/O; effects are performed in order and a record is durable before
//! anything behind it happens or any view shows it; a stored plan is never computed again; whoever was replaced (an older
//! worker, execution or attempt) is not heard. Deliberately unknown here: what an operator does, how records travel.

mod archive;
mod checkpoint_store;
pub mod containers;
pub mod core;
pub mod diagnosis;
pub mod error;
pub mod event;
mod handle;
pub mod job;
pub mod job_master;
mod links;
mod peers;
mod planning;
mod preparation;
mod programs;
pub mod recovery;
mod resource_manager;
mod service;
mod setup;
pub(crate) mod shutdown;
pub mod slots;
mod store;
mod succession;
mod succession_list;
pub mod uploads;

pub use self::archive::Render;
pub use self::error::{Error, Refused};
pub use self::handle::{About, Handle};
pub use self::service::Service;
pub use self::setup::Setup;

#[cfg(test)]
pub(crate) mod fakes;
#[cfg(test)]
mod tests_per_job;
