//! `flott simulate scheduler`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::Schedules;
use super::measure::Counts;
use super::null::Null;
use super::workload::{self, Line};
use super::world::{Shape, World};
use crate::config::QueuesConfig;
use crate::resource::Resource;
use crate::resourcemanager::Placement;
use crate::resourcemanager::scheduler::Scheduler;
use crate::time::Stopwatch;

/// What to simulate.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many nodes, each of 128 GiB and 32 vcores.
    pub nodes: usize,
    /// How many applications a synthetic workload has.
    pub applications: usize,
    /// A queues file; without one: 100 leaves in 3 levels, fair, with user limits.
    pub queues: Option<PathBuf>,
    /// A trace; without one the workload is made from the seed.
    pub trace: Option<PathBuf>,
    /// Where the workload is written as a trace, for another run.
    pub write_trace: Option<PathBuf>,
    /// Where each queue's part of its promise goes, second by second, as CSV.
    pub plot: Option<PathBuf>,
    /// Seed of all chance.
    pub seed: u64,
    /// How long the cluster is watched, in simulated seconds, after as long again to fill it.
    pub seconds: u64,
    /// Of 100 nodes, how many fail in a minute.
    pub failures_percent: f64,
}

/// Of one node.
const NODE: (u64, u32) = (128 << 10, 32);

/// Runs the simulation twice, with the scheduler and with none, and prints what it came to. Exit code 1 if an invariant was
/// violated.
///
/// # Errors
/// If a file cannot be read or written.
pub fn command(options: &Options) -> anyhow::Result<ExitCode> {
    let queues = match &options.queues {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            QueuesConfig::parse(&text).with_context(|| format!("{} cannot be used", path.display()))?
        }
        None => QueuesConfig::parse(&default_queues()).context("the built-in queues")?,
    };
    let lines = workload(options, &queues)?;
    let mut out = std::io::stdout().lock();
    let leaves = queues.walk().iter().filter(|(_, queue)| queue.queues.is_empty()).count();
    writeln!(
        out,
        "{} simulated nodes of {} MB and {} vcores, {leaves} leaf queues, {} applications, seed {}; one thread",
        options.nodes,
        NODE.0,
        NODE.1,
        lines.len(),
        options.seed
    )?;
    let scheduler = Scheduler::new(&queues, 100, Placement::Spread);
    let real = match measured(options, scheduler, &lines) {
        Ok(run) => run,
        Err(violation) => {
            writeln!(out, "an invariant was violated: {violation}")?;
            return Ok(ExitCode::FAILURE);
        }
    };
    write!(out, "{}", real.text(options))?;
    let null = measured(options, Null::new(real.running), &lines).map_err(anyhow::Error::msg)?;
    writeln!(
        out,
        "null scheduler       {:>12.0} allocations/s committed, delivered and completed: what the simulation of {} \
         simulated nodes costs by itself",
        null.rate(),
        options.nodes
    )?;
    if let Some(path) = &options.plot {
        std::fs::write(path, plot(&real.fairness)).with_context(|| format!("cannot write {}", path.display()))?;
        writeln!(out, "queues over time     in {}", path.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn workload(options: &Options, queues: &QueuesConfig) -> anyhow::Result<Vec<Line>> {
    let lines = match &options.trace {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            workload::parse(&text).with_context(|| format!("{} cannot be used", path.display()))?
        }
        None => {
            let leaves = queues.walk().into_iter().filter(|(_, queue)| queue.queues.is_empty());
            let leaves: Vec<String> = leaves.map(|(path, _)| path).collect();
            let cores = options.nodes as u64 * u64::from(NODE.1);
            workload::synthetic(options.seed, &leaves, options.applications, cores)
        }
    };
    if let Some(path) = &options.write_trace {
        let mut text = String::new();
        for line in &lines {
            writeln!(text, "{}", serde_json::to_string(line)?)?;
        }
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(lines)
}

/// Five queues of five of four: a hundred leaves in three levels, with limits for users.
fn default_queues() -> String {
    let mut text = "root:\n  queues:\n".to_owned();
    for outer in 0..5 {
        text.push_str(&format!("    q{outer}:\n      capacity: 20%\n      queues:\n"));
        for middle in 0..5 {
            text.push_str(&format!("        m{middle}:\n          capacity: 20%\n          queues:\n"));
            for leaf in 0..4 {
                text.push_str(&format!(
                    "            l{leaf}: {{capacity: 25%, ordering-policy: fair, minimum-user-limit-percent: 25, \
                     user-limit-factor: 3}}\n"
                ));
            }
        }
    }
    text
}

/// One run, measured after the cluster has filled.
struct Measured {
    counts: Counts,
    /// Committed and completed while it was measured, in so many seconds of the thread's time; and of wall time, which is
    /// longer on a busy machine.
    committed: u64,
    completed: u64,
    heartbeats: u64,
    seconds: f64,
    wall_seconds: f64,
    running: usize,
    live_apps: usize,
    memory_kb: u64,
    fairness: Vec<(u64, String, f64)>,
}

fn measured<S: Schedules>(options: &Options, scheduler: S, lines: &[Line]) -> Result<Measured, String> {
    let shape = Shape {
        nodes: options.nodes,
        node: Resource::new(NODE.0, NODE.1),
        #[expect(clippy::cast_precision_loss, reason = "a share of a cluster")]
        failures_per_minute: options.nodes as f64 * options.failures_percent / 100.0,
        seed: options.seed,
    };
    let mut world = World::new(scheduler, shape, lines.to_vec());
    let half_ms = options.seconds * 1000;
    world.run(half_ms)?;
    let before = (world.counts.committed, world.counts.completed, world.counts.heartbeats);
    world.counts.decisions = super::measure::Latencies::default();
    let (stopwatch, cpu) = (Stopwatch::start(), cpu_seconds());
    world.run(2 * half_ms)?;
    let wall_seconds = stopwatch.elapsed().as_secs_f64();
    // Where the system does not say how long the thread really ran, it is taken to have run all the time.
    let seconds = cpu.zip(cpu_seconds()).map_or(wall_seconds, |(before, after)| after - before);
    Ok(Measured {
        committed: world.counts.committed - before.0,
        completed: world.counts.completed - before.1,
        heartbeats: world.counts.heartbeats - before.2,
        seconds,
        wall_seconds,
        running: world.running(),
        live_apps: world.live_apps(),
        memory_kb: resident_kb(),
        fairness: std::mem::take(&mut world.fairness),
        counts: std::mem::take(&mut world.counts),
    })
}

impl Measured {
    /// Only what was committed and later ended counts; in a steady cluster both are about the same.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    fn rate(&self) -> f64 {
        self.committed.min(self.completed) as f64 / self.seconds
    }

    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    fn text(&self, options: &Options) -> String {
        let counts = &self.counts;
        let nodes = options.nodes;
        let mut text = String::new();
        let mut line = |name: &str, value: String| text.push_str(&format!("{name:<20} {value}\n"));
        line(
            "allocations",
            format!(
                "{:>12.0} /s committed, delivered and completed on {nodes} simulated nodes ({} in {:.1} s of the thread's \
                 time, {:.1} s of wall time)",
                self.rate(),
                self.committed.min(self.completed),
                self.seconds,
                self.wall_seconds
            ),
        );
        let micros = |part| counts.decisions.percentile(part).as_secs_f64() * 1e6;
        line(
            "decisions",
            format!(
                "{:>12.0} /s, each all that follows a node's report; {:.1} µs median, {:.1} µs p99, {:.1} µs longest, \
                 {nodes} simulated nodes",
                self.heartbeats as f64 / self.seconds,
                micros(0.5),
                micros(0.99),
                counts.decisions.max().as_secs_f64() * 1e6
            ),
        );
        let asked = (counts.on_host + counts.on_rack + counts.off).max(1) as f64;
        let percent = |count: u64| 100.0 * count as f64 / asked;
        line(
            "locality",
            format!(
                "{:>11.1}% on the host, {:.1}% in the rack, {:.1}% elsewhere, of asks that named one",
                percent(counts.on_host),
                percent(counts.on_rack),
                percent(counts.off)
            ),
        );
        line(
            "utilisation",
            format!("{:>11.1}% of vcores, on average", 100.0 * counts.utilisation_sum / counts.samples.max(1) as f64),
        );
        line("containers", format!("{:>12} running at the end, {} applications", self.running, self.live_apps));
        line(
            "longest wait",
            format!(
                "{:>12.1} simulated s that an application wanted something and got nothing",
                counts.starved_ms as f64 / 1000.0
            ),
        );
        line("node failures", format!("{:>12}, with {} containers", counts.node_failures, counts.lost));
        line(
            "memory",
            format!("{:>12} MiB resident, simulated nodes and applications included", self.memory_kb / 1024),
        );
        line(
            "invariants",
            "          held: no node or queue over its limit by a grant, no container lost, the books add up"
                .to_owned(),
        );
        text
    }
}

fn plot(fairness: &[(u64, String, f64)]) -> String {
    let mut text = "second,queue,used_of_promised\n".to_owned();
    for (second, queue, share) in fairness {
        text.push_str(&format!("{second},{queue},{share:.4}\n"));
    }
    text
}

/// What this process has in memory; 0 where the system does not say.
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}

/// How long this thread has run, in seconds; none where the system does not say.
fn cpu_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos: u64 = text.split_whitespace().next()?.parse().ok()?;
    Some(std::time::Duration::from_nanos(nanos).as_secs_f64())
}
