//! Harnesses: for users one operator without a job, [`KeyedOneInputHarness`]; for us a simulated cluster, [`simulation`].

mod harness;
pub mod simulation;

pub use harness::KeyedOneInputHarness;
