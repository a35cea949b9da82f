//! The data plane: how records are held, moved and worked on. It knows no process and no user-facing API.
//!
//! ```text
//! source ─► operator chain ─► ResultPartition ─► (same process: the batch is moved │ other process: frame over TCP)
//!        ─► InputGate ─► operator chain ─► … ─► sink
//! ```
//!
//! A record never turns back; backpressure is the absence of credit and nothing else. What the engine has to say to its
//! process are [`runtime`]'s own events.

pub mod checkpoint;
pub mod connectors;
pub mod formats;
pub mod lsm;
pub mod network;
pub mod operators;
pub mod record;
pub mod runtime;
pub mod state;
