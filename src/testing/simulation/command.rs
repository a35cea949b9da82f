//! `flott simulate`.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;

use super::selection::minimised;
use super::{FaultId, Run, Selection, Stats, run_with};
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
    /// What is to happen of what goes wrong.
    pub selection: Selection,
    /// Of a seed that fails, find the faults that it takes.
    pub minimise: bool,
}

/// Runs seeds until one fails; a single one prints its trace. Exit code 1 if an invariant was violated.
///
/// # Errors
/// If standard output cannot be written.
pub fn command(options: &Options) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let stopwatch = Stopwatch::start();
    let traced = options.seeds <= 1 && !options.quiet && !options.minimise;
    let mut total = Stats::default();
    for number in 0..options.seeds.max(1) {
        let seed = options.seed.wrapping_add(number);
        let run = run_with(seed, None, traced, &options.selection);
        total.add(&run.stats);
        if traced {
            for line in &run.trace {
                writeln!(out, "{line}")?;
            }
        }
        if run.violation.is_some() {
            let run = if options.minimise { minimise(&mut out, seed, run, options)? } else { run };
            return fail(&mut out, seed, &run, options, traced);
        }
        if !options.quiet && options.seeds > 1 && (number + 1).is_multiple_of(50) {
            writeln!(out, "{} of {} seeds", number + 1, options.seeds)?;
        }
    }
    writeln!(out, "{}", summary(options.seeds.max(1), stopwatch.elapsed().as_secs_f64(), &total))?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a seed that fails again and again with fewer faults; the run with the fewest.
fn minimise(out: &mut impl Write, seed: u64, failed: Run, options: &Options) -> anyhow::Result<Run> {
    let mut runs = 0;
    let needed = minimised(&failed.faults, |faults| {
        runs += 1;
        run_with(seed, None, false, &options.selection.only(faults)).violation.is_some()
    });
    let (all, fewest) = (failed.faults.len(), needed.len());
    writeln!(out, "seed {seed} fails with {fewest} of its {all} faults ({runs} runs)")?;
    Ok(run_with(seed, None, false, &options.selection.only(&needed)))
}

fn fail(out: &mut impl Write, seed: u64, run: &Run, options: &Options, traced: bool) -> anyhow::Result<ExitCode> {
    if !traced {
        let from = run.trace.len().saturating_sub(40);
        for line in &run.trace[from..] {
            writeln!(out, "{line}")?;
        }
    }
    writeln!(out, "seed {seed} at {}: {}", run.at(), run.violation.as_deref().unwrap_or_default())?;
    let selected = match options.minimise {
        true => selected(&options.selection.only(&run.faults)),
        false => selected(&options.selection),
    };
    writeln!(out, "see all of it: flott simulate --seed {seed}{selected}")?;
    Ok(ExitCode::FAILURE)
}

fn only(faults: &BTreeSet<FaultId>) -> String {
    match faults.is_empty() {
        true => " --only none".to_owned(),
        false => format!(" --only {}", list(faults)),
    }
}

fn list(names: impl IntoIterator<Item: ToString>) -> String {
    names.into_iter().map(|name| name.to_string()).collect::<Vec<_>>().join(",")
}

/// The options that select the same.
fn selected(selection: &Selection) -> String {
    let Selection { eventful, only: alone, without, kinds, until_ms } = selection;
    let eventful = if *eventful { " --eventful" } else { "" }.to_owned();
    let until = until_ms.map(|ms| format!(" --until {}.{:03}", ms / 1000, ms % 1000)).unwrap_or_default();
    let without = if without.is_empty() { String::new() } else { format!(" --without {}", list(without)) };
    let kinds = kinds.as_ref().map(|kinds| format!(" --faults {}", list(kinds))).unwrap_or_default();
    [eventful, alone.as_ref().map(only).unwrap_or_default(), without, kinds, until].concat()
}

fn summary(seeds: u64, seconds: f64, total: &Stats) -> String {
    let Stats {
        kills,
        broken_links,
        isolations,
        freezes,
        storage_and_clocks,
        failures,
        finished,
        drained,
        unfinished,
        events,
        lasted_ms,
        illegal,
        checkpoints,
        nodes: _,
    } = total;
    let simulated = lasted_ms / 1000;
    format!(
        "{seeds} seeds passed in {seconds:.1} s: {simulated} s simulated, {events} events; jobs finished {finished} (drained {drained}), failed or \
         cancelled {unfinished}; checkpoints {checkpoints}; faults injected: kills {kills}, broken links {broken_links}, hosts cut off {isolations}, frozen {freezes}, \
         clocks set and disks full, slow or damaged {storage_and_clocks}, \
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
        self.storage_and_clocks += other.storage_and_clocks;
        self.failures += other.failures;
        self.illegal += other.illegal;
        self.finished += other.finished;
        self.drained += other.drained;
        self.unfinished += other.unfinished;
        self.checkpoints += other.checkpoints;
        self.nodes += other.nodes;
        self.lasted_ms += other.lasted_ms;
    }
}
