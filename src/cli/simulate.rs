//! What `flott simulate scheduler` accepts.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::values::number;
use crate::testing::scheduling;

#[derive(Debug, Subcommand)]
pub(super) enum SimulateVerb {
    /// Run the resource manager's scheduler under thousands of simulated nodes, and measure it
    Scheduler(SimulateScheduler),
}

/// `flott simulate scheduler`.
#[derive(Debug, Args)]
pub(super) struct SimulateScheduler {
    /// How many nodes, each of 128 GiB and 32 vcores
    #[arg(long, default_value_t = 10_000, value_parser = number::<u32>(1..=1_000_000))]
    pub(super) nodes: u32,
    /// How many applications a synthetic workload has
    #[arg(long, default_value_t = 1000, value_parser = number::<u32>(1..=1_000_000))]
    pub(super) apps: u32,
    /// A queues file as conf/queues.yaml; default: 100 leaf queues in 3 levels, fair, with user limits
    #[arg(long, value_name = "FILE")]
    pub(super) queues: Option<PathBuf>,
    /// A workload, one JSON object a line; `synthetic` makes one from the seed
    #[arg(long, value_name = "FILE", default_value = "synthetic")]
    pub(super) trace: PathBuf,
    /// Write the workload as a trace
    #[arg(long, value_name = "FILE")]
    pub(super) write_trace: Option<PathBuf>,
    /// Write each queue's use of its promise, second by second, as CSV
    #[arg(long, value_name = "FILE")]
    pub(super) plot: Option<PathBuf>,
    /// Seed of all chance
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// How many simulated seconds to measure, after as many to fill the cluster
    #[arg(long, default_value_t = 100, value_parser = number::<u64>(1..=100_000))]
    pub(super) seconds: u64,
    /// How many of 100 nodes fail in a minute
    #[arg(long, default_value_t = 0.1)]
    pub(super) failures: f64,
}

impl From<SimulateScheduler> for scheduling::Options {
    fn from(options: SimulateScheduler) -> Self {
        Self {
            nodes: options.nodes as usize,
            applications: options.apps as usize,
            queues: options.queues,
            trace: Some(options.trace).filter(|trace| trace.as_os_str() != "synthetic"),
            write_trace: options.write_trace,
            plot: options.plot,
            seed: options.seed,
            seconds: options.seconds,
            failures_percent: options.failures,
        }
    }
}
