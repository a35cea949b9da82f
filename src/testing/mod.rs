//! What tests of programs need: a source that follows a script, [`TestStream`]; jobs in virtual time, [`execute`] and
//! [`execute_and_collect`]; one operator without a job, [`KeyedOneInputHarness`]. The chapter [`testing`](crate::guide::testing) of
//! the guide shows them together. For us a simulated cluster, [`simulation`], and the
//! ResourceManager's scheduler under thousands of simulated nodes, [`scheduling`].

#[cfg(test)]
pub(crate) mod allocations;
#[cfg(test)]
mod dataflow_model;
#[cfg(test)]
pub(crate) mod fuzz;
mod harness;
pub mod scheduling;
pub mod simulation;
mod test_stream;
#[cfg(test)]
mod tests_joins;
mod virtual_time;

pub use harness::KeyedOneInputHarness;
pub use test_stream::TestStream;
pub use virtual_time::{execute, execute_and_collect};
