//! The ResourceManager: owner of nodes, applications and containers. It grants containers and knows nothing of jobs or
//! dataflow: an application is an opaque launch context.
//!
//! ```text
//! clients ─ rest::cluster ─► Handle ─► Service ─ Event ─► Core ─ Effect ─► Service ─┬─► store (writer thread)
//! nodes ═══ link ═════════════════════► │                  │                        ├─► nodes, masters (links)
//! masters ═ link, or HTTP ════════════► │                  └─ scheduler: pure       └─► answers
//! ```
//!
//! `core` decides; the service is the only interpreter of its effects.
//!
//! Invariants:
//! * An acknowledged submission survives a restart; what is acknowledged or shown has been stored before.
//! * Σ containers on a node ≤ its capability whenever something is granted.
//! * Each container reaches exactly one attempt; each completion is counted once, and repeated to its master until
//!   acknowledged.
//! * A broken link is no lost node: the node is silent until the expiry.
//!
//! It deliberately does not know `graph`, `engine`, jobs, or how a node launches.

mod application;
pub(crate) mod asks;
mod attempt;
mod configure;
mod container;
pub mod core;
mod error;
pub mod event;
mod handle;
mod mailbox;
mod node;
mod outbound;
mod peers;
pub mod record;
pub mod report;
mod retention;
pub(crate) mod scheduler;
mod service;
mod settings;
mod store;
mod timers;
mod uploads;

pub use self::application::{Final, Preempted};
pub use self::error::{Error, Illegal, RefusalCode, Refused, RequestError};
pub use self::handle::Handle;
pub use self::scheduler::{Access, NodeReason, Placement};
pub use self::service::{Service, Started, start};
pub use self::settings::Settings;
