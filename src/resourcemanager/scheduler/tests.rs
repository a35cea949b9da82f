use super::*;
use crate::ids::ApplicationId;
use crate::protocol::application_master::{ANY, ResourceRequest};
use crate::resourcemanager::asks::{AskTable, DEFAULT_RACK};

struct Cluster {
    nodes: Vec<(NodeId, Resource, Resource, bool)>,
    blacklist: BTreeSet<String>,
    table: AskTable,
}

fn mb(memory_mb: u64) -> Resource {
    Resource::new(memory_mb, 1)
}

fn cluster(free: &[(&str, u64)]) -> Cluster {
    let node =
        |(host, free): &(&str, u64)| (NodeId::new(*host, 8042), Resource::new(8192, 8), Resource::new(*free, 8), true);
    Cluster { nodes: free.iter().map(node).collect(), blacklist: BTreeSet::new(), table: AskTable::default() }
}

fn attempt(sequence: u32) -> ApplicationAttemptId {
    ApplicationId { cluster_timestamp: 1, sequence }.attempt(1)
}

impl Cluster {
    fn ask(mut self, name: &str, memory_mb: u64, count: u32, relax_locality: bool) -> Self {
        let request = ResourceRequest {
            priority: 1,
            allocation_request_id: 0,
            resource_name: name.to_owned(),
            capability: mb(memory_mb),
            count,
            relax_locality,
            node_label: None,
        };
        self.table.replace(&request, &mb(memory_mb));
        self
    }

    fn views(&self) -> Vec<NodeView<'_>> {
        self.nodes
            .iter()
            .map(|(id, total, free, usable)| NodeView {
                id,
                rack: DEFAULT_RACK,
                total,
                free: free.clone(),
                usable: *usable,
            })
            .collect()
    }

    fn plan(&self, placement: Placement) -> (Vec<String>, Vec<String>) {
        let application = ApplicationView {
            attempt: attempt(1),
            queue: "root.default",
            blacklist: &self.blacklist,
            master: None,
            groups: self.table.groups().collect(),
        };
        let snapshot = Snapshot { nodes: self.views(), queues: BTreeMap::new(), applications: vec![application] };
        let plan = plan(&snapshot, placement);
        let granted = plan.proposals.iter().map(|p| format!("{} by {}", p.node.host, p.level)).collect();
        (granted, plan.waiting.iter().map(|w| format!("{} x {}", w.count, w.reason)).collect())
    }
}

fn check(cluster: &Cluster, granted: &[&str], waiting: &[&str]) {
    let (got, waits) = cluster.plan(Placement::Spread);
    assert_eq!(got, granted);
    assert_eq!(waits, waiting);
}

#[test]
fn spread_takes_the_most_free_node_and_pack_the_fullest_that_fits() {
    let cluster = cluster(&[("n1", 1024), ("n2", 4096), ("n3", 2048)]).ask(ANY, 1024, 3, true);
    check(&cluster, &["n2 by *", "n2 by *", "n3 by *"], &[]);
    assert_eq!(cluster.plan(Placement::Pack).0, ["n1 by *", "n3 by *", "n3 by *"]);
}

#[test]
fn equally_free_nodes_are_taken_in_turn_from_the_first() {
    let cluster = cluster(&[("n1", 2048), ("n2", 2048)]).ask(ANY, 512, 4, true);
    check(&cluster, &["n1 by *", "n2 by *", "n1 by *", "n2 by *"], &[]);
}

#[test]
fn what_does_not_fit_says_what_is_missing() {
    check(&cluster(&[]).ask(ANY, 64, 1, true), &[], &["1 x no node registered"]);
    let full = cluster(&[("n1", 1024), ("n2", 512)]).ask(ANY, 4096, 2, true);
    check(&full, &[], &["2 x no node has 4096 MB free: 2 nodes, largest free 1024 MB"]);
    let small = cluster(&[("n1", 1024)]).ask(ANY, 9000, 1, true);
    check(&small, &[], &["1 x no node is large enough for 9000 MB: 1 node, the largest has 8192 MB"]);
    let mut silent = cluster(&[("n1", 1024)]).ask(ANY, 64, 1, true);
    silent.nodes[0].3 = false;
    check(&silent, &[], &["1 x no node can take containers: 1 node known, none running and connected"]);
}

#[test]
fn strict_locality_waits_and_relaxed_falls_back_at_once() {
    let strict = cluster(&[("n1", 0), ("n2", 1024)]).ask("n1", 512, 1, true).ask(ANY, 512, 1, false);
    check(&strict, &[], &["1 x waiting for n1: locality"]);
    let relaxed = cluster(&[("n1", 512), ("n2", 1024)])
        .ask("n1", 512, 2, true)
        .ask(DEFAULT_RACK, 512, 2, true)
        .ask(ANY, 512, 2, true);
    check(&relaxed, &["n1 by n1", "n2 by /default-rack"], &[]);
}

#[test]
fn blacklisted_hosts_are_passed_over() {
    let mut cluster = cluster(&[("n1", 2048), ("n2", 1024)]).ask(ANY, 512, 3, true);
    cluster.blacklist.insert("n1".to_owned());
    let waiting = "1 x no node has 512 MB free: 1 node, largest free 0 MB (1 more blacklisted)";
    check(&cluster, &["n2 by *", "n2 by *"], &[waiting]);
    cluster.blacklist.insert("n2:8042".to_owned());
    check(&cluster, &[], &["3 x the application has blacklisted every node (2)"]);
}

#[test]
fn one_master_is_let_in_always_and_the_next_only_within_the_share() {
    let cluster = cluster(&[("n1", 8192)]);
    let none = BTreeSet::new();
    let application = |sequence| ApplicationView {
        attempt: attempt(sequence),
        queue: "root.default",
        blacklist: &none,
        master: Some(AskKey::new(0, 0, &mb(1024))),
        groups: Vec::new(),
    };
    let queue = QueueView { master_limit: Resource::new(512, 4), ..QueueView::default() };
    let snapshot = Snapshot {
        nodes: cluster.views(),
        queues: BTreeMap::from([("root.default", queue)]),
        applications: vec![application(1), application(2)],
    };
    let plan = plan(&snapshot, Placement::Spread);
    assert_eq!(plan.proposals.len(), 1);
    assert_eq!(plan.waiting.len(), 1);
    let reason = plan.waiting[0].reason.to_string();
    assert!(reason.starts_with("queue root.default is at its AM share: masters use 1024 MB of 512 MB, "), "{reason}");
}
