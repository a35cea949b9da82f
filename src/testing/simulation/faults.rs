//! What goes wrong, and when: all of it follows from the seed.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;

use super::actors::Actor;
use super::node::NodeManager;
use super::resource_manager::ResourceManager;
use super::selection::{FaultId, Selection};
use super::world::{BEGINNING, Happening, Process, World};
use crate::time::Now;

/// Of its writes.
const RESOURCE_MANAGER_DIES_WRITING_ONE_IN: u32 = 12;

/// Something that goes wrong.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    KillWorker,
    KillTaskManager,
    KillJobManager,
    /// Its containers live on.
    KillNodeManager {
        down_ms: u64,
    },
    KillResourceManager {
        down_ms: u64,
    },
    /// The machine: its NodeManager and all its containers.
    CrashNode {
        down_ms: u64,
    },
    /// A connection breaks and cannot come back for so long.
    BreakLink {
        cut_ms: u64,
        notice_ms: u64,
    },
    /// A host is cut off from all others.
    Isolate {
        for_ms: u64,
        notice_ms: u64,
    },
    /// A machine for good, as it starts a TaskManager, and the ResourceManager so that it does not see that.
    LoseNode {
        down_ms: u64,
    },
    /// A process stands still and goes on.
    Freeze {
        for_ms: u64,
    },
    /// The answer to an HTTP request gets lost, after it has been carried out.
    LoseAnswer,
    /// A machine's clock is set, forward or back.
    JumpClock {
        by_ms: i64,
    },
    /// A disk takes nothing for so long.
    FillDisk {
        for_ms: u64,
    },
    /// Disks take seconds for what takes milliseconds.
    SlowStorage {
        for_ms: u64,
    },
    /// A bit of a checkpoint changes where it lies.
    FlipBit,
}

/// Of small failures, beside those of [`Fault::kind`].
const SMALL: &str = "small";
const FLAKY: &str = "flaky";

/// The kinds of faults, as [`Selection`] names them.
pub const KINDS: [&str; 17] = [
    "kill-worker",
    "kill-taskmanager",
    "kill-jobmanager",
    "kill-nodemanager",
    "kill-resourcemanager",
    "crash-node",
    "break-link",
    "isolate",
    "lose-node",
    "freeze",
    "lose-answer",
    "clock-jump",
    "full-disk",
    "slow-storage",
    "bit-flip",
    SMALL,
    FLAKY,
];

impl Fault {
    /// Its name among [`KINDS`].
    fn kind(&self) -> &'static str {
        match self {
            Self::KillWorker => "kill-worker",
            Self::KillTaskManager => "kill-taskmanager",
            Self::KillJobManager => "kill-jobmanager",
            Self::KillNodeManager { .. } => "kill-nodemanager",
            Self::KillResourceManager { .. } => "kill-resourcemanager",
            Self::CrashNode { .. } => "crash-node",
            Self::BreakLink { .. } => "break-link",
            Self::Isolate { .. } => "isolate",
            Self::LoseNode { .. } => "lose-node",
            Self::Freeze { .. } => "freeze",
            Self::LoseAnswer => "lose-answer",
            Self::JumpClock { .. } => "clock-jump",
            Self::FillDisk { .. } => "full-disk",
            Self::SlowStorage { .. } => "slow-storage",
            Self::FlipBit => "bit-flip",
        }
    }
}

/// Whether things go wrong at present.
#[derive(Debug, Default)]
pub(super) struct Faults {
    on: bool,
    pub(super) selection: Selection,
    /// Small failures drawn so far, and those that happened.
    drawn: u64,
    pub(super) struck: u64,
    /// All that has happened.
    pub(super) happened: BTreeSet<FaultId>,
    /// The next machine that starts a TaskManager is lost; the ResourceManager is down for so long.
    losing: Option<u64>,
    /// Machines that do not come back.
    pub(super) lost: Vec<String>,
}

impl Faults {
    /// Whether a small failure, one in so many, happens now.
    pub(super) fn strikes(&mut self, rng: &mut Rng, one_in: u32) -> bool {
        if !self.on || rng.u32(0..one_in) != 0 {
            return false;
        }
        self.drawn += 1;
        let strikes = self.happens(FaultId::Small(self.drawn), SMALL);
        self.struck += u64::from(strikes);
        strikes
    }

    fn happens(&mut self, fault: FaultId, kind: &str) -> bool {
        let happens = self.selection.admits(fault, kind);
        if happens {
            self.happened.insert(fault);
        }
        happens
    }
}

/// One of those that clocks and disks bring about.
fn draw_of_machines(rng: &mut Rng) -> Fault {
    /// By a leap second's worth, by a wrong time zone, by a dead battery's.
    const JUMPS_MS: [u64; 4] = [1_500, 30_000, 3_600_000, 100_000_000];
    match rng.u32(0..5) {
        0..=1 => {
            let most = JUMPS_MS[rng.usize(..JUMPS_MS.len())];
            let by_ms = rng.u64(1..most).cast_signed();
            Fault::JumpClock { by_ms: if rng.bool() { by_ms } else { -by_ms } }
        }
        2 => Fault::FillDisk { for_ms: rng.u64(100..6_000) },
        3 => Fault::SlowStorage { for_ms: rng.u64(500..8_000) },
        _ => Fault::FlipBit,
    }
}

fn draw(rng: &mut Rng) -> Fault {
    let down_ms = if rng.u32(0..5) == 0 { rng.u64(12_000..25_000) } else { rng.u64(100..5_000) };
    let notice_ms = if rng.u32(0..3) == 0 { 5_000 } else { 10 };
    match rng.u32(0..24) {
        0..=2 => Fault::KillWorker,
        3..=4 => Fault::KillTaskManager,
        5..=6 => Fault::KillJobManager,
        7..=8 => Fault::KillNodeManager { down_ms },
        9..=12 => Fault::KillResourceManager { down_ms: down_ms.min(8_000) },
        13..=15 => Fault::BreakLink { cut_ms: if rng.bool() { 0 } else { down_ms }, notice_ms },
        16..=17 => Fault::Isolate { for_ms: down_ms, notice_ms },
        18 => Fault::LoseNode { down_ms: down_ms.min(8_000) },
        19 => Fault::CrashNode { down_ms },
        20..=22 => Fault::Freeze { for_ms: rng.u64(500..30_000) },
        _ => Fault::LoseAnswer,
    }
}

impl World {
    /// Starts the cluster and lays out what will go wrong.
    pub(super) fn begin(&mut self) {
        let scenario = self.scenario.clone();
        self.start_resource_manager();
        for index in 0..scenario.nodes.len() {
            self.start_node(index);
        }
        let client = super::client::Client::new(scenario.jobs.len());
        let (name, host) = ("client".to_owned(), "rm".to_owned());
        let actor = Actor::Client(Box::new(client));
        self.spawn(Process { name, host, container: None, parent: None, actor });
        if scenario.faults == 0 {
            return;
        }
        self.faults.on = true;
        scenario.flakiness.set(self.faults.happens(FaultId::Flaky, FLAKY));
        let mut rng = self.rng.fork();
        for number in 1..=scenario.faults {
            let at = self.moment(rng.u64(100..scenario.faults_end_ms));
            let of_machines = self.faults.selection.eventful && rng.u32(0..4) == 0;
            let fault = if of_machines { draw_of_machines(&mut rng) } else { draw(&mut rng) };
            if at < self.faults_end_at() {
                self.schedule(at, Happening::Planned(u32::try_from(number).unwrap_or(u32::MAX), fault));
            }
        }
        let end = self.faults_end_at();
        self.schedule(end, Happening::FaultsEnd);
    }

    fn moment(&self, ms: u64) -> Now {
        BEGINNING + Duration::from_millis(ms)
    }

    /// When nothing goes wrong any more.
    pub(super) fn faults_end_at(&self) -> Now {
        let until_ms = self.faults.selection.until_ms.unwrap_or(u64::MAX);
        self.moment(self.scenario.faults_end_ms.min(until_ms))
    }

    pub(super) fn faults_end(&mut self) {
        (self.faults.on, self.faults.losing) = (false, None);
        self.scenario.flakiness.set(false);
        self.storage_recovers();
        self.note("fault", "no more faults");
    }

    pub(super) fn start_resource_manager(&mut self) {
        let (name, host) = ("rm".to_owned(), "rm".to_owned());
        let actor = Actor::ResourceManager(Box::new(ResourceManager::new()));
        self.spawn(Process { name, host, container: None, parent: None, actor });
    }

    pub(super) fn start_node(&mut self, index: usize) {
        let (host, capability) = self.scenario.nodes[index].clone();
        if self.faults.lost.contains(&host) {
            return;
        }
        let actor = Actor::Node(Box::new(NodeManager::new(&host, capability)));
        self.spawn(Process { name: host.clone(), host, container: None, parent: None, actor });
    }

    /// One of those that were laid out comes due.
    pub(super) fn planned(&mut self, number: u32, fault: Fault) {
        let kind = fault.kind();
        if self.faults.happens(FaultId::Planned(number), kind) {
            self.note("fault", format!("number {number}: {kind}"));
            self.inject(fault);
        }
    }

    pub(super) fn inject(&mut self, fault: Fault) {
        match fault {
            Fault::KillWorker => self.kill_one("worker", |actor| matches!(actor, Actor::Worker(_))),
            Fault::KillTaskManager => self.kill_one("TaskManager", |actor| matches!(actor, Actor::TaskManager(_))),
            Fault::KillJobManager => self.kill_one("JobManager", |actor| matches!(actor, Actor::JobManager(_))),
            Fault::CrashNode { down_ms } => self.crash_node(down_ms),
            Fault::KillNodeManager { down_ms } => {
                let index = self.rng.usize(0..self.scenario.nodes.len());
                let host = self.scenario.nodes[index].0.clone();
                if let Some(pid) = self.node_manager_of(&host) {
                    self.note("fault", format!("kill -9 of the NodeManager on {host}, for {down_ms} ms"));
                    self.stats.kills += 1;
                    self.kill(pid);
                    self.schedule(self.now + Duration::from_millis(down_ms), Happening::StartNode(index));
                }
            }
            Fault::KillResourceManager { down_ms } => self.kill_resource_manager(down_ms),
            Fault::LoseNode { down_ms } => {
                if self.scenario.can_lose_a_node && self.faults.lost.is_empty() {
                    self.faults.losing = Some(down_ms);
                }
            }
            Fault::BreakLink { cut_ms, notice_ms } => self.break_one(cut_ms, notice_ms),
            Fault::Isolate { for_ms, notice_ms } => {
                let index = self.rng.usize(0..self.scenario.nodes.len());
                let host = self.scenario.nodes[index].0.clone();
                self.note("fault", format!("{host} is cut off for {for_ms} ms"));
                self.stats.isolations += 1;
                self.isolate(&host, self.now + Duration::from_millis(for_ms), notice_ms);
            }
            Fault::Freeze { for_ms } => self.freeze_one(for_ms),
            Fault::LoseAnswer => self.net.answers_to_lose += 1,
            Fault::JumpClock { by_ms } => self.jump_clock(by_ms),
            Fault::FillDisk { for_ms } => self.fill_disk(for_ms),
            Fault::SlowStorage { for_ms } => self.slow_storage(for_ms),
            Fault::FlipBit => self.flip_bit(),
        }
    }

    fn kill_resource_manager(&mut self, down_ms: u64) {
        if let Some(pid) = self.find(|process| matches!(process.actor, Actor::ResourceManager(_))) {
            self.note("fault", format!("kill -9 of the ResourceManager, for {down_ms} ms"));
            self.stats.kills += 1;
            self.kill(pid);
            self.schedule(self.now + Duration::from_millis(down_ms), Happening::StartResourceManager);
        }
    }

    /// Whatever supervises the ResourceManager starts it again soon.
    pub(super) fn restart_resource_manager(&mut self) {
        let pause = self.rng.u64(100..3_000);
        self.schedule(self.now + Duration::from_millis(pause), Happening::StartResourceManager);
    }

    /// The same for a NodeManager.
    pub(super) fn restart_node_manager(&mut self, host: &str) {
        let pause = self.rng.u64(100..3_000);
        if let Some(index) = self.scenario.nodes.iter().position(|(name, _)| name == host) {
            self.schedule(self.now + Duration::from_millis(pause), Happening::StartNode(index));
        }
    }

    /// Kills the NodeManager of a node, or the ResourceManager behind the last one, and starts it again.
    pub(super) fn restart_daemon_of(&mut self, index: usize, down: Duration) {
        let Some((host, _)) = self.scenario.nodes.get(index).cloned() else {
            return self.kill_resource_manager(u64::try_from(down.as_millis()).unwrap_or(0));
        };
        if let Some(pid) = self.node_manager_of(&host) {
            self.stats.kills += 1;
            self.kill(pid);
            self.schedule(self.now + down, Happening::StartNode(index));
        }
    }

    /// The ResourceManager writes: now and then it dies before that is durable.
    pub(super) fn may_die_writing(&mut self) {
        if self.faults.strikes(&mut self.rng, RESOURCE_MANAGER_DIES_WRITING_ONE_IN) {
            let at = self.now + Duration::from_millis(self.rng.u64(0..12));
            let down_ms = self.rng.u64(100..3_000);
            self.schedule(at, Happening::Fault(Fault::KillResourceManager { down_ms }));
        }
    }

    /// A TaskManager starts on a host: the moment that a fault may have waited for.
    pub(super) fn task_manager_starts(&mut self, host: &str) {
        if let Some(down_ms) = self.faults.losing.take() {
            let at = self.now + Duration::from_millis(self.rng.u64(0..10));
            self.schedule(at, Happening::LoseNode { host: host.to_owned(), down_ms });
        }
    }

    pub(super) fn lose_node(&mut self, host: String, down_ms: u64) {
        self.note("fault", format!("{host} is lost for good"));
        self.kill_resource_manager(down_ms);
        self.kill_all_on(&host);
        self.faults.lost.push(host);
    }

    fn crash_node(&mut self, down_ms: u64) {
        let index = self.rng.usize(0..self.scenario.nodes.len());
        let host = self.scenario.nodes[index].0.clone();
        if self.node_manager_of(&host).is_none() {
            return self.note("fault", format!("{host} is down already"));
        }
        self.note("fault", format!("{host} crashes, for {down_ms} ms"));
        self.kill_all_on(&host);
        self.schedule(self.now + Duration::from_millis(down_ms), Happening::StartNode(index));
    }

    fn kill_all_on(&mut self, host: &str) {
        self.stats.kills += 1;
        let all = self.processes.iter().filter(|(_, process)| process.host == host).map(|(pid, _)| *pid);
        for pid in all.collect::<Vec<_>>() {
            self.kill(pid);
        }
        // Nobody was there to write them down.
        self.disks.node(host).exits.clear();
    }

    fn kill_one(&mut self, what: &str, wanted: impl Fn(&Actor) -> bool) {
        let candidates: Vec<_> =
            self.processes.iter().filter(|(_, process)| wanted(&process.actor)).map(|(pid, _)| *pid).collect();
        if candidates.is_empty() {
            return self.note("fault", format!("no {what} to kill"));
        }
        let victim = candidates[self.rng.usize(0..candidates.len())];
        let name = self.processes[&victim].name.clone();
        self.note("fault", format!("kill -9 of {name}"));
        self.stats.kills += 1;
        self.kill(victim);
    }

    fn break_one(&mut self, cut_ms: u64, notice_ms: u64) {
        let links = self.net.established();
        if links.is_empty() {
            return;
        }
        let ends = &links[self.rng.usize(0..links.len())];
        let name = |pid| self.processes.get(&pid).map_or("?", |process| process.name.as_str());
        let what = format!("the link {} - {} breaks, for {cut_ms} ms", name(ends.client), name(ends.server));
        let link = ends.link;
        self.note("fault", what);
        self.stats.broken_links += 1;
        let (client, server) = (self.rng.u64(0..=notice_ms), self.rng.u64(0..=notice_ms));
        self.break_link(link, self.now + Duration::from_millis(cut_ms), client, server);
    }
}
