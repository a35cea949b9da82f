//! Harnesses: for users one operator without a job, [`KeyedOneInputHarness`]; for us a simulated cluster, [`simulation`].

#[cfg(test)]
pub(crate) mod allocations;
mod harness;
pub mod simulation;

pub use harness::KeyedOneInputHarness;
