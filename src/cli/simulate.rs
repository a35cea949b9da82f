//! What `flott simulate` and `flott simulate scheduler` accept.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use super::values::number;
use crate::testing::scheduling;
use crate::testing::simulation::{FaultId, KINDS, Selection};

#[derive(Debug, Subcommand)]
pub(super) enum SimulateVerb {
    /// Run the resource manager's scheduler under thousands of simulated nodes, and measure it
    Scheduler(SimulateScheduler),
}

/// Which faults a seed's run has.
#[derive(Debug, Args)]
pub(super) struct Faults {
    /// Another draw of everything: jobs that take checkpoints all the while, and at least four faults
    #[arg(long)]
    eventful: bool,
    /// Only faults of these kinds, separated by commas: kill-worker, freeze, small …
    #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = PossibleValuesParser::new(KINDS))]
    faults: Option<Vec<String>>,
    /// Only these faults, by the numbers that the trace shows, s1 and so on for small ones, or none
    #[arg(long, value_name = "NUMBERS", value_parser = numbers)]
    only: Option<BTreeSet<FaultId>>,
    /// Not these faults
    #[arg(long, value_name = "NUMBERS", value_parser = numbers)]
    without: Option<BTreeSet<FaultId>>,
    /// No faults after so many seconds of the run
    #[arg(long, value_name = "SECONDS", value_parser = millis)]
    until: Option<u64>,
}

impl From<Faults> for Selection {
    fn from(faults: Faults) -> Self {
        Self {
            eventful: faults.eventful,
            only: faults.only,
            without: faults.without.unwrap_or_default(),
            kinds: faults.faults.map(|kinds| kinds.into_iter().collect()),
            until_ms: faults.until,
        }
    }
}

fn numbers(text: &str) -> Result<BTreeSet<FaultId>, String> {
    if text == "none" { Ok(BTreeSet::new()) } else { text.split(',').map(str::parse).collect() }
}

fn millis(text: &str) -> Result<u64, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let millis = seconds.and_then(|seconds| u64::try_from(seconds.as_millis()).ok());
    millis.ok_or_else(|| "write a number of seconds, e.g. 2.5".to_owned())
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
