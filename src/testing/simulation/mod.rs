//! A whole cluster in one process, in virtual time, from one seed: to see that nothing is lost, whatever breaks.
//!
//! ```text
//!                 ┌ ResourceManager core + scheduler ┐
//! seed ─► World ──┼ NodeManager cores ───────────────┼── Net: links and HTTP, delayed, cut, resumed
//!   faults ──►    ├ JobManager, JobMaster cores ─────┤
//!   trace  ◄──    ├ TaskManager cores ───────────────┼── Disks: what was durable when a process was killed
//!   verdict ◄──   └ workers: real subtasks, stepped ─┘
//! ```
//!
//! The cores, the subtasks, the operators and the channels are the real ones. Simulated is what surrounds them: the clock, the
//! network, processes and disks; each process here performs its core's effects in order as its service does, `Persist` being a
//! barrier. A cluster of three nodes runs two or three word counts; processes are killed, connections break, hosts are cut off,
//! answers get lost, all drawn from the seed. Faults stop; then everything must end.
//!
//! Invariants of this module: one seed, one trace, byte for byte (no clock, no map whose order varies, no thread). What it
//! deliberately does not know: sockets, files, frames.

mod actors;
mod channels;
mod client;
mod clocks;
mod command;
mod disks;
mod faults;
mod freezes;
mod invariants;
mod job_manager;
mod master_link;
mod messages;
mod network;
mod node;
mod programs;
mod resource_manager;
mod scenario;
mod selection;
mod state_storage;
mod storage_faults;
mod task_manager;
#[cfg(test)]
mod tests;
mod trace;
mod wordcount;
mod worker;
mod world;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

pub use self::command::{Options, command};
pub use self::faults::KINDS;
use self::scenario::Scenario;
pub use self::selection::{FaultId, Selection};
use self::world::World;

/// In virtual time, how long everything may take to end once nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_secs(240);
/// More events than any sound run has.
const EVENTS_MAX: u64 = 2_000_000;

/// A mistake planted in the interpretation of effects, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// The ResourceManager answers before what it answers is durable.
    ResourceManagerIgnoresPersist,
    /// The JobManager publishes before the decision to is durable.
    CommitBeforeDecision,
    /// After a restart of the job a split is handed out twice.
    SplitHandedOutTwice,
    /// A restarted NodeManager does not take its containers up again.
    NodeForgetsContainers,
    /// A master does not hear which nodes are lost.
    LostNodeIsNotTold,
    /// A JobManager that finds a job drained lets it go on.
    DrainedJobGoesOn,
    /// A worker says that its state is written before it is durable.
    StateAcknowledgedEarly,
    /// What a sink has prepared at a barrier is forgotten.
    CutWithoutOutput,
    /// A split that is being read at a barrier is read from its beginning by whoever goes on from there.
    CutForgetsPositions,
    /// Output that is to be removed is published.
    DiscardedOutputIsPublished,
    /// The state of one subtask is not in the manifest.
    ManifestWithoutAFile,
    /// A job goes on from the checkpoint before the latest.
    GoesOnFromAnEarlierCheckpoint,
    /// The directory of a checkpoint is removed as it becomes complete.
    LatestIsCollected,
    /// A worker says that it has published what it has not.
    CommitNotDone,
    /// A resumed link has lost what was under way.
    LinkForgetsOnResume,
    /// Who was replaced writes to the job's list of checkpoints, and its records, all the same.
    SkippedFence,
    /// What a full disk did not take counts as written.
    FullDiskIsIgnored,
    /// A checkpoint goes although it is one of those that are retained.
    RetainedIsCollected,
}

/// What happened, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    pub(crate) events: u64,
    pub(crate) kills: u64,
    pub(crate) broken_links: u64,
    pub(crate) isolations: u64,
    /// Processes stopped for a while.
    pub(crate) freezes: u64,
    /// Small failures: downloads, starts, publications.
    pub(crate) failures: u64,
    /// Clocks that were set, disks that were full, slow or damaged.
    pub(crate) storage_and_clocks: u64,
    /// Events that a core refused.
    pub(crate) illegal: u64,
    pub(crate) finished: u64,
    /// Of those, with a savepoint that ended their input.
    pub(crate) drained: u64,
    pub(crate) unfinished: u64,
    /// Checkpoints that became complete.
    pub(crate) checkpoints: u64,
    /// Nodes of the cluster.
    pub(crate) nodes: u64,
    /// Virtual milliseconds until everything had ended.
    pub(crate) lasted_ms: u64,
}

/// How one seed went.
pub(crate) struct Run {
    pub(crate) stats: Stats,
    /// What was violated.
    pub(crate) violation: Option<String>,
    /// The trace, or its end.
    pub(crate) trace: Vec<String>,
    /// What went wrong in it.
    pub(crate) faults: BTreeSet<FaultId>,
}

impl Run {
    /// The moment of its end.
    fn at(&self) -> String {
        format!("{}.{:03} s", self.stats.lasted_ms / 1000, self.stats.lasted_ms % 1000)
    }
}

/// Runs one seed to its end, or to the first violation.
#[cfg(test)]
pub(crate) fn run(seed: u64, planted: Option<Bug>, keep_trace: bool) -> Run {
    run_with(seed, planted, keep_trace, &Selection::default())
}

/// The same with a part of its faults.
pub(crate) fn run_with(seed: u64, planted: Option<Bug>, keep_trace: bool, selection: &Selection) -> Run {
    let mut world = World::new(Scenario::of(seed, selection.eventful), seed, planted, keep_trace);
    world.faults.selection = selection.clone();
    if planted == Some(Bug::FullDiskIsIgnored) {
        world.scenario.jobs.iter().for_each(|job| job.storage.swallow_when_full());
    }
    world.net.forgets_on_resume = planted == Some(Bug::LinkForgetsOnResume);
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run_world(&mut world))) {
        let told = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        world.ledger.violated(format!("panic: {}", told.unwrap_or("without words")));
    }
    world.stats.failures = world.faults.struck;
    world.stats.lasted_ms = world.now.as_millis() - world::BEGINNING.as_millis();
    let lines = if keep_trace { world.trace.lines() } else { world.trace.tail() };
    let trace = lines.to_vec();
    world.stats.nodes = world.scenario.nodes.len() as u64;
    let violation = world.ledger.violation().map(str::to_owned);
    Run { stats: world.stats, violation, trace, faults: world.faults.happened }
}

fn run_world(world: &mut World) {
    world.begin();
    let faults_end = world.faults_end_at();
    while world.ledger.violation().is_none() {
        if !world.step() {
            let left = world.left().unwrap_or_else(|| "nothing".to_owned());
            world.ledger.violated(format!("nothing happens any more, but {left}"));
            return;
        }
        let faults_over = world.now >= faults_end || world.scenario.faults == 0;
        if faults_over && world.left().is_none() {
            break;
        }
        if world.now > faults_end + PATIENCE || world.stats.events > EVENTS_MAX {
            let left = world.left().unwrap_or_else(|| "it took too long".to_owned());
            let patience = PATIENCE.as_secs();
            world.ledger.violated(format!("{patience} s after the last fault {left}"));
            return;
        }
    }
    world.check_outputs();
}
