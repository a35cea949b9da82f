//! Messages between processes, one file per pair. Plain data: no decisions, no I/O.
//!
//! ```text
//! client ──submission, yarn_rest──► resourcemanager ◄══node══► nodemanager
//!                                        ║                         ▲
//!                              application_master             node (start, stop)
//!                                        ║                         │
//!                                   jobmanager ────────────────────┘
//!                                     ║     ║
//!                            task_manager  worker
//! ```
//!
//! Rules: every message is JSON with named fields; a field added later has a `#[serde(default)]`, an unknown one is
//! ignored; a change that older peers would misread raises [`LINK_PROTOCOL`](crate::rpc). Ids print as text. Secrets
//! travel only in tokens.

pub mod application_master;
pub mod container;
pub mod description;
pub mod diagnosis;
pub mod history;
pub mod job;
pub mod node;
pub mod roles;
pub mod submission;
pub mod task_manager;
pub mod tokens;
pub mod worker;
pub mod yarn_rest;
