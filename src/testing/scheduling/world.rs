//! Nodes, applications and time around a scheduler. Time goes in steps of a millisecond; each node reports once a second.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::Schedules;
use super::measure::Counts;
use super::workload::Line;
use crate::ids::{ApplicationId, NodeId};
use crate::protocol::application_master::{ANY, ResourceRequest};
use crate::resource::Resource;
use crate::resourcemanager::scheduler::{AllocationKey, AppKey, Grant};
use crate::time::{Now, Stopwatch};

/// Between two reports of a node.
const HEARTBEAT_MS: u64 = 1000;
/// Nodes of a rack.
const RACK: usize = 40;
/// A failed node is away for so long.
const REPAIR_MS: u64 = 30_000;
/// Where time begins, for the scheduler.
const EPOCH: u64 = 1_760_000_000_000;
/// Asks for any node, and asks that name a host, by priority: urgent ones first.
const LOCAL: u32 = 5;
const ANYWHERE: u32 = 10;

/// What the cluster is made of.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) nodes: usize,
    pub(super) node: Resource,
    /// Of all nodes, how many fail in a minute, on average.
    pub(super) failures_per_minute: f64,
    pub(super) seed: u64,
}

struct Node {
    id: NodeId,
    rack: String,
    /// Back from repair at this time.
    down_until: Option<u64>,
    /// Its containers, the one that ends first on top: end, container, application.
    running: BinaryHeap<Reverse<(u64, AllocationKey, usize)>>,
}

struct App {
    line: Line,
    key: AppKey,
    /// Containers it may still ask for.
    left: u64,
    live: u64,
    anywhere: u32,
    local: u32,
    /// By node and by rack, with how many are wanted there.
    hosts: BTreeMap<usize, u32>,
    racks: BTreeMap<usize, u32>,
    /// Since when it has wanted something and got nothing.
    hungry_since: Option<u64>,
}

pub(super) struct World<S> {
    pub(super) scheduler: S,
    pub(super) counts: Counts,
    shape: Shape,
    nodes: Vec<Node>,
    index: BTreeMap<NodeId, usize>,
    apps: Vec<Option<App>>,
    coming: std::vec::IntoIter<Line>,
    next_line: Option<Line>,
    random: fastrand::Rng,
    now_ms: u64,
    vcores_used: u64,
    memory_used_mb: u64,
    /// Second, queue, part of its promise in use.
    pub(super) fairness: Vec<(u64, String, f64)>,
}

impl<S: Schedules> World<S> {
    pub(super) fn new(scheduler: S, shape: Shape, lines: Vec<Line>) -> Self {
        let node = |index: usize| Node {
            id: NodeId::new(format!("node{index:05}"), 8042),
            rack: format!("/rack{:04}", index / RACK),
            down_until: None,
            running: BinaryHeap::new(),
        };
        let nodes: Vec<Node> = (0..shape.nodes).map(node).collect();
        let index = nodes.iter().enumerate().map(|(index, node)| (node.id.clone(), index)).collect();
        let mut coming = lines.into_iter();
        let next_line = coming.next();
        let random = fastrand::Rng::with_seed(shape.seed);
        let mut world = Self {
            scheduler,
            counts: Counts::default(),
            shape,
            nodes,
            index,
            apps: Vec::new(),
            coming,
            next_line,
            random,
            now_ms: 0,
            vcores_used: 0,
            memory_used_mb: 0,
            fairness: Vec::new(),
        };
        for node in &world.nodes {
            world.scheduler.set_node(&node.id, &node.rack, &world.shape.node, true);
        }
        world
    }

    /// Lets time go on until `until_ms`.
    ///
    /// # Errors
    /// The first invariant that was violated.
    pub(super) fn run(&mut self, until_ms: u64) -> Result<(), String> {
        while self.now_ms < until_ms {
            self.arrivals();
            let phase = usize::try_from(self.now_ms % HEARTBEAT_MS).unwrap_or(0);
            let mut node = phase;
            while node < self.nodes.len() {
                self.heartbeat(node);
                node += usize::try_from(HEARTBEAT_MS).unwrap_or(1);
            }
            if phase == 0 {
                self.every_second();
            }
            if self.now_ms.is_multiple_of(10_000) {
                self.check()?;
            }
            self.now_ms += 1;
        }
        self.check()
    }

    fn now(&self) -> Now {
        Now(EPOCH + self.now_ms)
    }

    fn arrivals(&mut self) {
        while self.next_line.as_ref().is_some_and(|line| line.at_ms <= self.now_ms) {
            let Some(line) = std::mem::replace(&mut self.next_line, self.coming.next()) else { return };
            let sequence = u32::try_from(self.apps.len() + 1).unwrap_or(u32::MAX);
            let id = ApplicationId { cluster_timestamp: EPOCH, sequence };
            let key = self.scheduler.add_app(id, &line.queue, &line.user, line.priority);
            let app = key.map(|key| App {
                left: line.containers,
                line,
                key,
                live: 0,
                anywhere: 0,
                local: 0,
                hosts: BTreeMap::new(),
                racks: BTreeMap::new(),
                hungry_since: None,
            });
            self.apps.push(app);
            self.ask(self.apps.len() - 1);
            self.decide();
        }
    }

    /// One node's report, and all that follows from it.
    fn heartbeat(&mut self, index: usize) {
        if self.nodes[index].down_until.is_some() {
            return;
        }
        self.counts.heartbeats += 1;
        let stopwatch = Stopwatch::start();
        let mut asking = Vec::new();
        while let Some(Reverse((end, allocation, app))) = self.nodes[index].running.peek().copied() {
            if end > self.now_ms {
                break;
            }
            self.nodes[index].running.pop();
            self.counts.completed += 1;
            self.ended(allocation, app);
            asking.push(app);
        }
        asking.dedup();
        for app in asking {
            self.ask(app);
        }
        self.decide();
        self.counts.decisions.add(stopwatch.elapsed());
    }

    fn ended(&mut self, allocation: AllocationKey, app: usize) {
        self.scheduler.release(allocation);
        if let Some(app) = &mut self.apps[app] {
            app.live -= 1;
            self.vcores_used -= u64::from(app.line.vcores);
            self.memory_used_mb -= app.line.memory_mb;
        }
    }

    /// An application asks for as many as it wants at a time, or leaves.
    fn ask(&mut self, index: usize) {
        let now = self.now();
        let Some(app) = &mut self.apps[index] else { return };
        let wanted = u64::from(app.anywhere + app.local) + app.live;
        let more = app.left.min(u64::from(app.line.parallel).saturating_sub(wanted));
        if more == 0 && wanted == 0 && app.left == 0 {
            self.scheduler.remove_app(app.key);
            self.apps[index] = None;
            return;
        }
        app.left -= more;
        let mut rows = Vec::new();
        for _ in 0..more {
            if self.random.f64() < app.line.local {
                let node = self.random.usize(0..self.nodes.len());
                app.local += 1;
                if self.random.bool() {
                    *app.hosts.entry(node).or_default() += 1;
                    rows.push(row(app, LOCAL, &self.nodes[node].id.host, app.hosts[&node]));
                }
                *app.racks.entry(node / RACK).or_default() += 1;
                rows.push(row(app, LOCAL, &self.nodes[node].rack, app.racks[&(node / RACK)]));
            } else {
                app.anywhere += 1;
            }
        }
        rows.push(row(app, LOCAL, ANY, app.local));
        rows.push(row(app, ANYWHERE, ANY, app.anywhere));
        if app.anywhere + app.local > 0 {
            app.hungry_since.get_or_insert(self.now_ms);
        }
        for row in rows {
            self.scheduler.ask(app.key, &row, now);
        }
    }

    fn decide(&mut self) {
        for grant in self.scheduler.schedule(self.now()) {
            self.granted(&grant);
        }
    }

    /// The application takes the container and starts it; it corrects its rows as YARN's applications do.
    fn granted(&mut self, grant: &Grant) {
        self.counts.committed += 1;
        let (now, now_ms, node) = (self.now(), self.now_ms, self.index[&grant.node]);
        let at = grant.application.sequence as usize - 1;
        let Some(app) = &mut self.apps[at] else { return };
        self.counts.delivered += 1;
        app.live += 1;
        if let Some(since) = app.hungry_since.take() {
            self.counts.starved_ms = self.counts.starved_ms.max(now_ms - since);
        }
        if grant.key.priority == LOCAL {
            app.local -= 1;
            let surplus = app.take_local(node, &mut self.counts);
            for (name, count) in surplus {
                let name = match name {
                    Place::Host(node) => &self.nodes[node].id.host,
                    Place::Rack(rack) => &self.nodes[rack * RACK].rack,
                };
                self.scheduler.ask(app.key, &row(app, LOCAL, name, count), now);
            }
        } else {
            app.anywhere -= 1;
        }
        if app.anywhere + app.local > 0 {
            app.hungry_since = Some(now_ms);
        }
        self.vcores_used += u64::from(app.line.vcores);
        self.memory_used_mb += app.line.memory_mb;
        let (shortest, longest) = app.line.duration_ms;
        let end = now_ms + self.random.u64(shortest..=longest);
        self.nodes[node].running.push(Reverse((end, grant.allocation, at)));
    }

    fn every_second(&mut self) {
        let second = self.now_ms / 1000;
        self.fairness.extend(self.scheduler.shares().into_iter().map(|(queue, share)| (second, queue, share)));
        #[expect(clippy::cast_precision_loss, reason = "a share of a cluster")]
        let used = self.vcores_used as f64 / (self.nodes.len() as u64 * u64::from(self.shape.node.vcores)) as f64;
        self.counts.utilisation_sum += used;
        self.counts.samples += 1;
        for index in 0..self.nodes.len() {
            if self.nodes[index].down_until.is_some_and(|until| until <= self.now_ms) {
                self.nodes[index].down_until = None;
                let node = &self.nodes[index];
                self.scheduler.set_node(&node.id, &node.rack, &self.shape.node, true);
            }
        }
        let mut failing = self.shape.failures_per_minute / 60.0;
        while self.random.f64() < failing {
            failing -= 1.0;
            let index = self.random.usize(0..self.nodes.len());
            self.fail(index);
        }
        self.decide();
    }

    fn fail(&mut self, index: usize) {
        if self.nodes[index].down_until.is_some() {
            return;
        }
        self.counts.node_failures += 1;
        self.nodes[index].down_until = Some(self.now_ms + REPAIR_MS);
        let node = &self.nodes[index];
        self.scheduler.set_node(&node.id, &node.rack, &self.shape.node, false);
        let running = std::mem::take(&mut self.nodes[index].running);
        for Reverse((_, allocation, app)) in running {
            self.counts.lost += 1;
            self.ended(allocation, app);
            if let Some(app) = &mut self.apps[app] {
                app.left = app.left.saturating_add(1);
            }
            self.ask(app);
        }
    }

    /// The scheduler's books are in order, and every container that was granted is somewhere.
    fn check(&self) -> Result<(), String> {
        self.scheduler.audit()?;
        let running: usize = self.nodes.iter().map(|node| node.running.len()).sum();
        let Counts { committed, delivered, completed, lost, .. } = self.counts;
        if committed != delivered || delivered != completed + lost + running as u64 {
            return Err(format!(
                "containers do not add up: {committed} committed, {delivered} delivered, {completed} completed, {lost} lost, \
                 {running} running"
            ));
        }
        Ok(())
    }

    /// How many applications are there now.
    pub(super) fn live_apps(&self) -> usize {
        self.apps.iter().flatten().count()
    }

    /// How many containers run now.
    pub(super) fn running(&self) -> usize {
        self.nodes.iter().map(|node| node.running.len()).sum()
    }
}

enum Place {
    Host(usize),
    Rack(usize),
}

impl App {
    /// Counts a container against the rows; returns those that are to be told the scheduler, which has not counted it there.
    fn take_local(&mut self, node: usize, counts: &mut Counts) -> Vec<(Place, u32)> {
        let rack = node / RACK;
        if less(&mut self.hosts, node) {
            counts.on_host += 1;
            less(&mut self.racks, rack);
            return Vec::new();
        }
        if less(&mut self.racks, rack) {
            counts.on_rack += 1;
            // One host of the rack is wanted no more, if it was a host's ask.
            let host = self.hosts.keys().copied().find(|host| host / RACK == rack);
            return host.map(|host| self.drop_host(host)).into_iter().collect();
        }
        counts.off += 1;
        let Some(rack) = self.racks.keys().next().copied() else { return Vec::new() };
        less(&mut self.racks, rack);
        let host = self.hosts.keys().copied().find(|host| host / RACK == rack);
        let rack = (Place::Rack(rack), self.racks.get(&rack).copied().unwrap_or(0));
        host.map(|host| self.drop_host(host)).into_iter().chain([rack]).collect()
    }

    fn drop_host(&mut self, host: usize) -> (Place, u32) {
        less(&mut self.hosts, host);
        (Place::Host(host), self.hosts.get(&host).copied().unwrap_or(0))
    }
}

/// Takes one away; whether there was one.
fn less(counts: &mut BTreeMap<usize, u32>, at: usize) -> bool {
    let Some(count) = counts.get_mut(&at) else { return false };
    *count -= 1;
    if *count == 0 {
        counts.remove(&at);
    }
    true
}

fn row(app: &App, priority: u32, name: &str, count: u32) -> ResourceRequest {
    ResourceRequest {
        priority,
        allocation_request_id: 0,
        resource_name: name.to_owned(),
        capability: Resource::new(app.line.memory_mb, app.line.vcores),
        count,
        relax_locality: true,
        node_label: None,
    }
}
