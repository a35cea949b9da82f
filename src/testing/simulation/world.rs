//! Virtual time, the queue of what happens next, and the processes it happens to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::actors::{Actor, Done};
use super::clocks::Clocks;
use super::disks::Disks;
use super::faults::{Fault, Faults};
use super::freezes::Frozen;
use super::invariants::Ledger;
use super::messages::{Answer, LinkEvent, Request};
use super::network::{HttpId, LinkId, Net, NetEvent};
use super::scenario::Scenario;
use super::storage_faults::StorageFaults;
use super::trace::Trace;
use super::{Bug, Stats};
use crate::ids::ContainerId;
use crate::process::{Ended, Identity, Signal};
use crate::time::Now;

/// Moment 0 of a trace.
pub(super) const BEGINNING: Now = Now(1_000_000_000);

/// A simulated process; numbers are not reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pid(pub(super) u32);

/// Something that happens to a process.
#[derive(Debug)]
pub(super) enum Input {
    Link(LinkId, LinkEvent),
    Request(HttpId, Request),
    Answered(HttpId, Result<Answer, String>),
    /// A moment that its core asked for.
    Wake,
    /// What it was writing is durable.
    Durable,
    /// `SIGTERM`.
    Terminate,
    /// Something that took time is done.
    Done(Done),
}

/// Something that happens.
#[derive(Debug)]
pub(super) enum Happening {
    Process(Pid, Input),
    Net(NetEvent),
    Signal(Pid, Signal),
    /// One of those laid out at the beginning, by its number.
    Planned(u32, Fault),
    Fault(Fault),
    /// A daemon that was killed starts again.
    StartResourceManager,
    StartNode(usize),
    LoseNode {
        host: String,
        down_ms: u64,
    },
    /// Others have not heard of a frozen process for long.
    SilenceNoticed(Pid),
    DiskFreed,
    FaultsEnd,
}

impl Happening {
    /// The process that has to run for it.
    fn needs(&self) -> Option<Pid> {
        match self {
            Self::Process(pid, _) | Self::Signal(pid, Signal::Terminate | Signal::Quit) => Some(*pid),
            Self::Signal(_, Signal::Kill)
            | Self::Net(_)
            | Self::Planned(..)
            | Self::Fault(_)
            | Self::StartResourceManager
            | Self::StartNode(_)
            | Self::LoseNode { .. }
            | Self::SilenceNoticed(_)
            | Self::DiskFreed
            | Self::FaultsEnd => None,
        }
    }
}

/// A simulated process.
pub(super) struct Process {
    pub(super) name: String,
    pub(super) host: String,
    /// The container whose process tree it belongs to.
    pub(super) container: Option<ContainerId>,
    /// Whose child it is; one that has a parent ends when that does.
    pub(super) parent: Option<Pid>,
    pub(super) actor: Actor,
}

/// Everything there is.
pub(super) struct World {
    pub(super) now: Now,
    pub(super) rng: Rng,
    pub(super) net: Net,
    pub(super) disks: Disks,
    pub(super) ledger: Ledger,
    pub(super) scenario: Arc<Scenario>,
    pub(super) faults: Faults,
    pub(super) frozen: Frozen,
    pub(super) clocks: Clocks,
    pub(super) storage_faults: StorageFaults,
    pub(super) stats: Stats,
    pub(super) planted: Option<Bug>,
    pub(super) trace: Trace,
    pub(super) processes: BTreeMap<Pid, Process>,
    /// The leader of each live container.
    pub(super) leaders: BTreeMap<ContainerId, Pid>,
    queue: BTreeMap<(Now, u64), Happening>,
    sequence: u64,
    last_pid: u32,
    /// The process that acts now, and whether it has ended itself.
    acting: Option<(Pid, Option<Ended>)>,
}

impl World {
    pub(super) fn new(scenario: Scenario, seed: u64, planted: Option<Bug>, keep_trace: bool) -> Self {
        let scenario = Arc::new(scenario);
        Self {
            now: BEGINNING,
            rng: Rng::with_seed(seed ^ 0x5eed),
            net: Net::default(),
            disks: Disks::default(),
            ledger: Ledger::default(),
            faults: Faults::default(),
            frozen: Frozen::default(),
            clocks: Clocks::default(),
            storage_faults: StorageFaults::default(),
            stats: Stats::default(),
            planted,
            trace: Trace::new(keep_trace),
            processes: BTreeMap::new(),
            leaders: BTreeMap::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            last_pid: 100,
            acting: None,
            scenario,
        }
    }

    /// Adds a line to the trace.
    pub(super) fn note(&mut self, actor: &str, what: impl AsRef<str>) {
        self.trace.note(self.now, actor, what.as_ref());
    }

    pub(super) fn schedule(&mut self, at: Now, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((at.max(self.now), self.sequence), happening);
    }

    /// Behind everything else that happens now.
    pub(super) fn hand(&mut self, pid: Pid, input: Input) {
        self.schedule(self.now, Happening::Process(pid, input));
    }

    /// After a pause that is drawn from `pause_ms`.
    pub(super) fn later(&mut self, pause_ms: std::ops::Range<u64>, pid: Pid, done: Done) {
        let pause = self.rng.u64(pause_ms);
        self.schedule(self.now + Duration::from_millis(pause), Happening::Process(pid, Input::Done(done)));
    }

    /// How long a write takes to become durable.
    pub(super) fn flush(&mut self, pid: Pid) {
        let usual = if self.rng.u32(0..20) == 0 { 20..300 } else { 0..12 };
        let pause = self.storage_pause(usual);
        let pause = self.rng.u64(pause);
        self.schedule(self.now + Duration::from_millis(pause), Happening::Process(pid, Input::Durable));
    }

    pub(super) fn wake_at(&mut self, pid: Pid, at: Now) {
        self.schedule(self.moment_of(pid, at), Happening::Process(pid, Input::Wake));
    }

    /// The number of the next process to be started.
    pub(super) fn next_pid(&self) -> Pid {
        Pid(self.last_pid + 1)
    }

    /// Starts a process.
    pub(super) fn spawn(&mut self, process: Process) -> Pid {
        self.last_pid += 1;
        let pid = Pid(self.last_pid);
        if let (Some(container), None) = (process.container, process.parent) {
            self.leaders.insert(container, pid);
        }
        self.note(&process.name, format!("started (pid {})", pid.0));
        if matches!(process.actor, Actor::TaskManager(_)) {
            self.task_manager_starts(&process.host);
        }
        self.clocks.read(pid, &process.host);
        self.processes.insert(pid, process);
        self.act(pid, |actor, pid, world| actor.start(pid, world));
        pid
    }

    /// What the operating system knows it by.
    pub(super) fn identity(pid: Pid) -> Identity {
        Identity { pid: pid.0, started_ticks: u64::from(pid.0), boot: 1 }
    }

    /// The acting process ends itself, once it has done what it is doing.
    pub(super) fn exit(&mut self, pid: Pid, code: i32) {
        match &mut self.acting {
            Some((acting, ended @ None)) if *acting == pid => *ended = Some(Ended::Code(code)),
            Some(_) | None => {}
        }
    }

    /// The acting process is killed: what it has still to do is not done.
    pub(super) fn die(&mut self, pid: Pid, what: &str) {
        if let Some((acting, ended @ None)) = &mut self.acting
            && *acting == pid
        {
            *ended = Some(Ended::Signal(9));
            self.stats.kills += 1;
            self.note("fault", format!("kill -9 of process {} {what}", pid.0));
        }
    }

    /// The process that acts now.
    pub(super) fn acting(&self) -> Option<Pid> {
        self.acting.as_ref().map(|(pid, _)| *pid)
    }

    pub(super) fn is_exiting(&self) -> bool {
        matches!(self.acting, Some((_, Some(_))))
    }

    /// Signals everything in a container.
    pub(super) fn signal_container(&mut self, container: ContainerId, signal: Signal) {
        let tree = self.processes.iter().filter(|(_, process)| process.container == Some(container));
        let mut tree: Vec<Pid> = tree.map(|(pid, _)| *pid).collect();
        tree.sort();
        for pid in tree {
            self.signal(pid, signal);
        }
    }

    pub(super) fn signal(&mut self, pid: Pid, signal: Signal) {
        let pause = self.rng.u64(0..2);
        self.schedule(self.now + Duration::from_millis(pause), Happening::Signal(pid, signal));
    }

    /// Ends a process at once.
    pub(super) fn kill(&mut self, pid: Pid) {
        if let Some(process) = self.processes.remove(&pid) {
            self.note(&process.name, "killed by signal 9");
            self.bury(pid, process, Ended::Signal(9));
        }
    }

    fn bury(&mut self, pid: Pid, process: Process, ended: Ended) {
        let Process { name, host, container, parent, actor } = process;
        self.close_all_of(pid, matches!(ended, Ended::Code(_)));
        actor.torn(self);
        let orphans: Vec<Pid> =
            self.processes.iter().filter(|(_, other)| other.parent == Some(pid)).map(|(pid, _)| *pid).collect();
        for orphan in orphans {
            // Its standard input has closed.
            let pause = self.rng.u64(1..20);
            self.schedule(self.now + Duration::from_millis(pause), Happening::Signal(orphan, Signal::Kill));
        }
        match parent {
            Some(parent) => self.later(1..15, parent, Done::ChildExited(pid, ended)),
            None => {
                if let Some(container) = container {
                    self.leaders.remove(&container);
                    self.disks.leave_exit(&host, container, ended);
                    if let Some(node) = self.node_manager_of(&host) {
                        self.later(25..60, node, Done::ContainerExited(container, ended));
                    }
                }
            }
        }
        if let Ended::Code(code) = ended {
            self.note(&name, format!("exited with code {code}"));
        }
    }

    /// The NodeManager that runs on a host.
    pub(super) fn node_manager_of(&self, host: &str) -> Option<Pid> {
        self.find(|process| process.host == host && matches!(process.actor, Actor::Node(_)))
    }

    pub(super) fn find(&self, wanted: impl Fn(&Process) -> bool) -> Option<Pid> {
        self.processes.iter().find(|(_, process)| wanted(process)).map(|(pid, _)| *pid)
    }

    fn act(&mut self, pid: Pid, action: impl FnOnce(&mut Actor, Pid, &mut Self)) {
        let Some(mut process) = self.processes.remove(&pid) else { return };
        let outer = self.acting.replace((pid, None));
        action(&mut process.actor, pid, self);
        let ended = std::mem::replace(&mut self.acting, outer).and_then(|(_, ended)| ended);
        match ended {
            None => drop(self.processes.insert(pid, process)),
            Some(ended) => self.bury(pid, process, ended),
        }
    }

    /// Lets the next thing happen; false if nothing is left to.
    pub(super) fn step(&mut self) -> bool {
        let Some(((at, _), happening)) = self.queue.pop_first() else { return false };
        self.now = at;
        self.stats.events += 1;
        let needed = match &happening {
            Happening::Net(event) => self.net.needs(event),
            other => other.needs(),
        };
        if let Some(until) = needed.and_then(|pid| self.frozen.until(pid, at)) {
            self.schedule(until, happening); // In the order it came.
            return true;
        }
        match happening {
            Happening::Process(pid, input) => self.act(pid, |actor, pid, world| actor.handle(input, pid, world)),
            Happening::Net(event) => self.network(event),
            Happening::Signal(pid, Signal::Kill) => self.kill(pid),
            Happening::Signal(pid, Signal::Terminate | Signal::Quit) => {
                self.act(pid, |actor, pid, world| actor.handle(Input::Terminate, pid, world));
            }
            Happening::Planned(number, fault) => self.planned(number, fault),
            Happening::Fault(fault) => self.inject(fault),
            Happening::StartResourceManager => self.start_resource_manager(),
            Happening::StartNode(index) => self.start_node(index),
            Happening::LoseNode { host, down_ms } => self.lose_node(host, down_ms),
            Happening::SilenceNoticed(pid) => self.silence_noticed(pid),
            Happening::DiskFreed => self.disk_freed(),
            Happening::FaultsEnd => self.faults_end(),
        }
        self.step_woken_subtasks();
        true
    }

    /// Subtasks that wait and have been woken, by whatever just happened, are stepped soon.
    fn step_woken_subtasks(&mut self) {
        let mut woken = Vec::new();
        for (pid, process) in &mut self.processes {
            if let Actor::Worker(worker) = &mut process.actor {
                woken.extend(worker.take_woken().into_iter().map(|attempt| (*pid, attempt)));
            }
        }
        for (pid, attempt) in woken {
            self.later(0..3, pid, Done::Step(attempt));
        }
    }

    /// Applications' processes that live.
    pub(super) fn in_containers(&self) -> BTreeSet<Pid> {
        self.processes.iter().filter(|(_, process)| process.container.is_some()).map(|(pid, _)| *pid).collect()
    }
}
