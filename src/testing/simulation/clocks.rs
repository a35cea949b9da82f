//! What machines take for the time. A process reads its machine's clock once, as it starts, and counts on from there: so a clock that is
//! set is seen by whoever starts next on that machine, and what it reads of others, or of those before it, may lie ahead of it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::world::{Pid, World};
use crate::time::Now;

/// How far clocks are off, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    hosts: BTreeMap<String, i64>,
    processes: BTreeMap<Pid, i64>,
}

impl Clocks {
    /// A process reads its machine's clock.
    pub(super) fn read(&mut self, pid: Pid, host: &str) {
        if let Some(off) = self.hosts.get(host) {
            self.processes.insert(pid, *off);
        }
    }

    /// Whether any was set.
    pub(super) fn are_off(&self) -> bool {
        !self.hosts.is_empty()
    }

    fn off(&self, pid: Pid) -> i64 {
        self.processes.get(&pid).copied().unwrap_or(0)
    }
}

impl World {
    /// The time as the acting process knows it.
    pub(super) fn wall(&self) -> Now {
        let off = self.acting().map_or(0, |pid| self.clocks.off(pid));
        Now(self.now.0.saturating_add_signed(off))
    }

    /// When it is `at` for a process.
    pub(super) fn moment_of(&self, pid: Pid, at: Now) -> Now {
        Now(at.0.saturating_add_signed(-self.clocks.off(pid)))
    }

    /// Sets a machine's clock. Half of the time its daemon is started anew soon, which is when that is noticed.
    pub(super) fn jump_clock(&mut self, by_ms: i64) {
        let index = self.rng.usize(0..=self.scenario.nodes.len());
        let host = self.scenario.nodes.get(index).map_or_else(|| "rm".to_owned(), |node| node.0.clone());
        self.note("fault", format!("the clock of {host} is set by {by_ms} ms"));
        *self.clocks.hosts.entry(host.clone()).or_default() += by_ms;
        self.stats.storage_and_clocks += 1;
        if self.rng.bool() {
            self.restart_daemon_of(index, Duration::from_millis(100));
        }
    }
}
