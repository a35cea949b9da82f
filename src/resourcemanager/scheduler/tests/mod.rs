//! Given nodes, queues and asks: exactly these grants, and these reasons.

mod limits;
mod naive;
mod preemption;
mod waiting;

use super::*;
use crate::protocol::application_master::{ANY, ResourceRequest};
use crate::resourcemanager::asks::DEFAULT_RACK;

/// A scheduler with words for what is done to it.
pub(super) struct Cluster {
    pub(super) scheduler: Scheduler,
    pub(super) now: Now,
    apps: u32,
}

pub(super) fn mb(memory_mb: u64) -> Resource {
    Resource::new(memory_mb, 1)
}

pub(super) fn row(name: &str, memory_mb: u64, count: u32, relax_locality: bool) -> ResourceRequest {
    ResourceRequest {
        priority: 1,
        allocation_request_id: 0,
        resource_name: name.to_owned(),
        capability: mb(memory_mb),
        count,
        relax_locality,
        node_label: None,
    }
}

impl Cluster {
    /// Queues as in a queues file; masters may use everything.
    pub(super) fn new(queues: &str) -> Self {
        Self::placing(queues, Placement::Spread)
    }

    pub(super) fn placing(queues: &str, placement: Placement) -> Self {
        let config = QueuesConfig::parse(queues).unwrap();
        Self { scheduler: Scheduler::new(&config, 100, placement), now: Now(1_000_000), apps: 0 }
    }

    /// One queue for all.
    pub(super) fn plain(nodes: &[(&str, u64)]) -> Self {
        let mut cluster = Self::new("root: {queues: {default: {}}}");
        for (host, memory) in nodes {
            cluster.node(host, *memory);
        }
        cluster
    }

    pub(super) fn node(&mut self, host: &str, memory_mb: u64) {
        self.set_node(host, DEFAULT_RACK, "", &Resource::new(memory_mb, 64), Standing::Usable);
    }

    pub(super) fn set_node(&mut self, host: &str, rack: &str, label: &str, total: &Resource, standing: Standing) {
        self.scheduler.set_node(&NodeId::new(host, 8042), rack, label, total, standing);
    }

    pub(super) fn app(&mut self, queue: &str, user: &str) -> AppKey {
        self.app_with(queue, user, 0)
    }

    pub(super) fn app_with(&mut self, queue: &str, user: &str, priority: u32) -> AppKey {
        self.apps += 1;
        let id = ApplicationId { cluster_timestamp: 1, sequence: self.apps };
        self.scheduler.add_app(id, queue, user, priority).expect("the queue exists")
    }

    pub(super) fn ask(&mut self, app: AppKey, row: &ResourceRequest) {
        self.scheduler.ask(app, row, &row.capability, self.now);
    }

    /// Asks for `count` containers anywhere.
    pub(super) fn want(&mut self, app: AppKey, memory_mb: u64, count: u32) {
        self.ask(app, &row(ANY, memory_mb, count, true));
    }

    pub(super) fn schedule(&mut self) -> Vec<Grant> {
        let grants = self.scheduler.schedule(self.now, usize::MAX);
        self.check_books();
        grants
    }

    /// `app sequence @ host`, in the order granted.
    pub(super) fn granted(&mut self) -> Vec<String> {
        let grants = self.schedule();
        grants.iter().map(|grant| format!("{}@{}", grant.application.sequence, grant.node.host)).collect()
    }

    pub(super) fn reasons(&self, app: AppKey) -> Vec<String> {
        let waiting = self.scheduler.waiting(app, self.now);
        waiting.iter().map(|waiting| format!("{} x {}", waiting.count, waiting.reason)).collect()
    }

    pub(super) fn release_all(&mut self, grants: &[Grant]) {
        for grant in grants {
            self.scheduler.release(grant.allocation);
        }
    }

    pub(super) fn check_books(&self) {
        self.scheduler.audit().unwrap();
    }
}

#[test]
fn spread_takes_the_most_free_node_and_pack_fills_one_after_another() {
    let nodes = [("n1", 1024), ("n2", 4096), ("n3", 2048)];
    let mut spread = Cluster::plain(&nodes);
    let app = spread.app("default", "u");
    spread.want(app, 512, 3);
    assert_eq!(spread.granted(), ["1@n2", "1@n2", "1@n2"]);
    let mut pack = Cluster::placing("root: {queues: {default: {}}}", Placement::Pack);
    for (host, memory) in nodes {
        pack.node(host, memory);
    }
    let app = pack.app("default", "u");
    pack.want(app, 1024, 3);
    assert_eq!(pack.granted(), ["1@n1", "1@n2", "1@n2"]);
}

#[test]
fn equally_free_nodes_are_taken_in_turn_from_the_first() {
    let mut cluster = Cluster::plain(&[("n1", 2048), ("n2", 2048)]);
    let app = cluster.app("default", "u");
    cluster.want(app, 512, 4);
    assert_eq!(cluster.granted(), ["1@n1", "1@n2", "1@n1", "1@n2"]);
}

#[test]
fn asks_are_absolute_and_a_count_of_zero_removes() {
    let mut cluster = Cluster::plain(&[("n1", 64)]);
    let app = cluster.app("default", "u");
    cluster.want(app, 128, 3);
    cluster.want(app, 128, 2);
    assert_eq!(cluster.scheduler.pending(), (Resource::new(256, 2), 2));
    cluster.want(app, 128, 0);
    assert_eq!(cluster.scheduler.pending(), (Resource::default(), 0));
    assert!(!cluster.scheduler.wants(app));
}

#[test]
fn what_a_full_cluster_cannot_serve_is_served_when_room_appears() {
    let mut cluster = Cluster::plain(&[("n1", 1024)]);
    let app = cluster.app("default", "u");
    cluster.want(app, 1024, 2);
    let first = cluster.schedule();
    assert_eq!(first.len(), 1);
    assert_eq!(cluster.granted(), Vec::<String>::new());
    cluster.release_all(&first);
    assert_eq!(cluster.granted(), ["1@n1"]);
}

#[test]
fn a_container_its_master_never_heard_of_is_asked_for_again() {
    let mut cluster = Cluster::plain(&[("n1", 1024), ("n2", 1024)]);
    let app = cluster.app("default", "u");
    for name in ["n1", DEFAULT_RACK, ANY] {
        cluster.ask(app, &row(name, 512, 1, true));
    }
    let grants = cluster.schedule();
    assert_eq!(grants[0].node.host, "n1");
    assert!(!cluster.scheduler.wants(app), "host, rack and * each wanted one less");
    cluster.scheduler.take_back(grants[0].allocation, &grants[0].key, cluster.now);
    assert_eq!(cluster.granted(), ["1@n1"]);
}
