//! A process that is stopped for a while, as by SIGSTOP, a debugger, or a machine that swaps: what comes in meanwhile waits for it. When
//! it goes on, it does not know that time has passed, and that others may have taken its place.

use std::collections::BTreeMap;
use std::time::Duration;

use super::actors::Actor;
use super::world::{Happening, Pid, Process, World};
use crate::time::Now;

/// The silence on a connection after which the other side takes it for broken.
const NOTICED_AFTER: Duration = Duration::from_secs(5);

/// Who is frozen, until when.
#[derive(Debug, Default)]
pub(super) struct Frozen(BTreeMap<Pid, Now>);

impl Frozen {
    /// When a process goes on, if it is frozen.
    pub(super) fn until(&self, pid: Pid, now: Now) -> Option<Now> {
        self.0.get(&pid).copied().filter(|until| *until > now)
    }
}

impl World {
    /// Stops a process of any kind but the client for so long.
    pub(super) fn freeze_one(&mut self, for_ms: u64) {
        let kind = self.rng.u32(0..5);
        let wanted = |process: &Process| match &process.actor {
            Actor::JobManager(_) => kind <= 1,
            Actor::Worker(_) => kind == 2,
            Actor::TaskManager(_) => kind == 3,
            Actor::ResourceManager(_) | Actor::Node(_) => kind == 4,
            Actor::Client(_) => false,
        };
        let processes = self.processes.iter().filter(|(_, process)| wanted(process));
        let candidates: Vec<Pid> = processes.map(|(pid, _)| *pid).collect();
        if candidates.is_empty() {
            return self.note("fault", "nothing of that kind to freeze");
        }
        let pid = candidates[self.rng.usize(0..candidates.len())];
        let name = self.processes[&pid].name.clone();
        self.freeze(pid, &name, for_ms);
    }

    /// Stops a process for so long, which may be the one that acts.
    pub(super) fn freeze(&mut self, pid: Pid, name: &str, for_ms: u64) {
        self.note("fault", format!("{name} is frozen for {for_ms} ms"));
        self.stats.freezes += 1;
        let until = self.now + Duration::from_millis(for_ms);
        let known = self.frozen.0.entry(pid).or_insert(until);
        *known = until.max(*known);
        if Duration::from_millis(for_ms) > NOTICED_AFTER {
            let at = self.now + NOTICED_AFTER;
            self.schedule(at, Happening::SilenceNoticed(pid));
        }
    }

    /// Those that are connected with a process that is frozen take their connections for broken; they come back when it goes on.
    pub(super) fn silence_noticed(&mut self, pid: Pid) {
        let Some(until) = self.frozen.until(pid, self.now) else { return };
        for link in self.net.links_of(pid) {
            let (client, server) = (self.rng.u64(0..10), self.rng.u64(0..10));
            self.break_link(link, until, client, server);
        }
    }
}
