//! What goes wrong, and when: all of it follows from the seed.

use std::time::Duration;

use fastrand::Rng;

use super::actors::Actor;
use super::node::NodeManager;
use super::resource_manager::ResourceManager;
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
}

/// Whether things go wrong at present.
#[derive(Debug, Default)]
pub(super) struct Faults {
    on: bool,
    /// Small failures so far.
    pub(super) struck: u64,
    /// The next machine that starts a TaskManager is lost; the ResourceManager is down for so long.
    losing: Option<u64>,
    /// Machines that do not come back.
    pub(super) lost: Vec<String>,
}

impl Faults {
    /// Whether a small failure, one in so many, happens now.
    pub(super) fn strikes(&mut self, rng: &mut Rng, one_in: u32) -> bool {
        let strikes = self.on && rng.u32(0..one_in) == 0;
        self.struck += u64::from(strikes);
        strikes
    }
}

fn draw(rng: &mut Rng) -> Fault {
    let down_ms = if rng.u32(0..5) == 0 { rng.u64(12_000..25_000) } else { rng.u64(100..5_000) };
    let notice_ms = if rng.u32(0..3) == 0 { 5_000 } else { 10 };
    match rng.u32(0..23) {
        0..=2 => Fault::KillWorker,
        3..=4 => Fault::KillTaskManager,
        5..=6 => Fault::KillJobManager,
        7..=8 => Fault::KillNodeManager { down_ms },
        9..=12 => Fault::KillResourceManager { down_ms: down_ms.min(8_000) },
        13..=15 => Fault::BreakLink { cut_ms: if rng.bool() { 0 } else { down_ms }, notice_ms },
        16..=17 => Fault::Isolate { for_ms: down_ms, notice_ms },
        18 if rng.bool() => Fault::LoseNode { down_ms: down_ms.min(8_000) },
        18 => Fault::CrashNode { down_ms },
        19..=21 => Fault::Freeze { for_ms: rng.u64(500..30_000) },
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
        scenario.flakiness.set(true);
        let mut rng = self.rng.fork();
        for _ in 0..scenario.faults {
            let at = self.moment(rng.u64(100..scenario.faults_end_ms));
            let fault = draw(&mut rng);
            self.schedule(at, Happening::Fault(fault));
        }
        let end = self.faults_end_at();
        self.schedule(end, Happening::FaultsEnd);
    }

    fn moment(&self, ms: u64) -> Now {
        BEGINNING + Duration::from_millis(ms)
    }

    /// When nothing goes wrong any more.
    pub(super) fn faults_end_at(&self) -> Now {
        self.moment(self.scenario.faults_end_ms)
    }

    pub(super) fn faults_end(&mut self) {
        (self.faults.on, self.faults.losing) = (false, None);
        self.scenario.flakiness.set(false);
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
