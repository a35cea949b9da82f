//! Subtasks stepped by hand, and whole graphs on threads, with operators of the tests' own.

mod asynchronous;
pub(crate) mod fixture;
pub(crate) mod sinks;
pub(crate) mod sources;
mod stepping;
mod threads;
