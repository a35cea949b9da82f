//! Chapters for people: what the words mean, and how flott's messages relate to YARN's and Flink's.
//!
//! * [`event_time`]: timestamps, watermarks, windows, joins.
//! * [`testing`]: how programs are tested without waiting.
//! * [`application_masters`]: applications that are no flott jobs, from a shell command to a master of one's own.
//! * [`glossary`]: Flink's and YARN's words, and what they are here.
//! * [`state`]: what checkpoints hold of a program's state, and how its types may change.
//! * [`yarn_protocol`]: each message between processes, its YARN verb and fields.

#[doc = include_str!("event_time.md")]
pub mod event_time {}

#[doc = include_str!("application_masters.md")]
pub mod application_masters {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[doc = include_str!("glossary.md")]
pub mod glossary {}

#[doc = include_str!("state.md")]
pub mod state {}

#[doc = include_str!("yarn_protocol.md")]
pub mod yarn_protocol {}
