//! Chapters for people: what the words mean, and how flott's messages relate to YARN's and Flink's.
//!
//! * [`glossary`]: Flink's and YARN's words, and what they are here.
//! * [`state`]: what checkpoints hold of a program's state, and how its types may change.
//! * [`yarn_protocol`]: each message between processes, its YARN verb and fields.

#[doc = include_str!("glossary.md")]
pub mod glossary {}

#[doc = include_str!("state.md")]
pub mod state {}

#[doc = include_str!("yarn_protocol.md")]
pub mod yarn_protocol {}
