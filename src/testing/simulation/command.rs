//! `flott simulate`.

use std::io::Write;
use std::process::ExitCode;

use super::{Run, Stats, run};
use crate::time::Stopwatch;

/// What to simulate.
#[derive(Clone, Debug)]
pub struct Options {
    /// The first seed.
    pub seed: u64,
    /// How many seeds, this one and those after it.
    pub seeds: u64,
    /// Print nothing but the verdict: no trace, no progress.
    pub quiet: bool,
}

/// Runs seeds until one fails; a single one prints its trace. Exit code 1 if an invariant was violated.
///
/// # Errors
/// If standard output cannot be written.
pub fn command(options: &Options) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let stopwatch = Stopwatch::start();
    let single = options.seeds <= 1;
    let mut total = Stats::default();
    for number in 0..options.seeds.max(1) {
        let seed = options.seed.wrapping_add(number);
        let run = run(seed, None, single && !options.quiet);
        total.add(&run.stats);
        if single && !options.quiet {
            for line in &run.trace {
                writeln!(out, "{line}")?;
            }
        }
        if let Some(violation) = &run.violation {
            return fail(&mut out, seed, violation, &run, single && !options.quiet);
        }
        if !options.quiet && !single && (number + 1).is_multiple_of(50) {
            writeln!(out, "{} of {} seeds", number + 1, options.seeds)?;
        }
    }
    writeln!(out, "{}", summary(options.seeds.max(1), stopwatch.elapsed().as_secs_f64(), &total))?;
    Ok(ExitCode::SUCCESS)
}

fn fail(out: &mut impl Write, seed: u64, violation: &str, run: &Run, shown: bool) -> anyhow::Result<ExitCode> {
    if !shown {
        let from = run.trace.len().saturating_sub(40);
        for line in &run.trace[from..] {
            writeln!(out, "{line}")?;
        }
    }
    let at = run.stats.lasted_ms;
    writeln!(out, "seed {seed} at {}.{:03} s: {violation}", at / 1000, at % 1000)?;
    writeln!(out, "see all of it: flott simulate --seed {seed}")?;
    Ok(ExitCode::FAILURE)
}

fn summary(seeds: u64, seconds: f64, total: &Stats) -> String {
    let Stats {
        kills,
        broken_links,
        isolations,
        freezes,
        failures,
        finished,
        drained,
        unfinished,
        events,
        lasted_ms,
        illegal,
    } = total;
    let simulated = lasted_ms / 1000;
    format!(
        "{seeds} seeds passed in {seconds:.1} s: {simulated} s simulated, {events} events; jobs finished {finished} (drained {drained}), failed or \
         cancelled {unfinished}; faults injected: kills {kills}, broken links {broken_links}, hosts cut off {isolations}, frozen {freezes}, \
         small failures {failures}; stale or refused events {illegal}"
    )
}

impl Stats {
    fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.kills += other.kills;
        self.broken_links += other.broken_links;
        self.isolations += other.isolations;
        self.freezes += other.freezes;
        self.failures += other.failures;
        self.illegal += other.illegal;
        self.finished += other.finished;
        self.drained += other.drained;
        self.unfinished += other.unfinished;
        self.lasted_ms += other.lasted_ms;
    }
}
