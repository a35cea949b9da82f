//! A node of the cluster: localises files, launches containers as processes, holds them to their limits, reports their ends.
//!
//! ```text
//! resourcemanager ══ link ══► service ──► Core::apply ──► effects ─┬► localise ──► launch ──► supervise ──► Exited
//! master ── POST (token) ──► handle ─┘        ▲                    ├► storage (records)        │
//!                                             └────────────────────┴── measure ◄───────────────┘
//! ```
//!
//! The [`Core`] decides; the [`Service`] performs its effects in order and holds everything behind a record back until that is durable.
//! A container is a session of processes with a directory of its own; its logs outlive it.
//!
//! Invariants: a token starts one process; nothing runs that no record names; when a container is reported complete, none of
//! its processes runs; the ResourceManager being away stops nothing; a NodeManager that dies leaves its containers running and its
//! successor takes them over. It knows nothing of jobs or dataflow.

mod admission;
mod cache;
mod container;
mod core;
mod directories;
mod environment;
mod error;
mod handle;
mod health;
mod launch;
mod localise;
mod recovery;
mod resources;
mod service;
mod supervise;
#[cfg(test)]
pub(crate) mod testing;

pub use self::admission::Registration;
pub use self::container::{ContainerRecord, Found, Lease};
pub use self::core::{Core, Effect, Event, Launch, Policy, RequestId};
pub use self::directories::Directories;
pub use self::error::{Error, Illegal, Refused};
pub use self::handle::{ApplicationView, ContainerView, Handle, NodeView};
pub use self::resources::{Content, ResourceKey, Scope};
pub use self::service::{Service, Timing, start};
