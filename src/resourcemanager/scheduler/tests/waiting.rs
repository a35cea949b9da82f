//! Locality, delays, blacklists, labels, reservations; and the reasons given for waiting.

use std::time::Duration;

use super::*;

#[test]
fn what_does_not_fit_says_what_is_missing() {
    let mut cluster = Cluster::plain(&[]);
    let app = cluster.app("default", "u");
    cluster.want(app, 64, 1);
    cluster.schedule();
    assert_eq!(cluster.reasons(app), ["1 x no node registered"]);
    cluster.node("n1", 1024);
    cluster.node("n2", 512);
    cluster.want(app, 64, 0);
    cluster.want(app, 9000, 2);
    cluster.schedule();
    assert_eq!(cluster.reasons(app), ["2 x no node is large enough for 9000 MB: 2 nodes, the largest has 1024 MB"]);
    cluster.want(app, 9000, 0);
    cluster.want(app, 1024, 2);
    cluster.schedule();
    assert_eq!(cluster.reasons(app), ["1 x no node has 1024 MB free: 2 nodes, largest free 512 MB"]);
    let why: Vec<String> = cluster.scheduler.why_not_nodes(app, 9).into_iter().map(|node| node.why).collect();
    assert_eq!(why, ["needs 1024 MB, free 0 MB", "needs 1024 MB, free 512 MB"]);
    for host in ["n1", "n2"] {
        cluster.set_node(host, DEFAULT_RACK, "", &Resource::new(1024, 64), Standing::Silent);
    }
    assert_eq!(cluster.reasons(app), ["1 x no node can take containers: 2 nodes known, none running and connected"]);
}

#[test]
fn strict_locality_waits_and_relaxed_falls_back_at_once() {
    let mut cluster = Cluster::plain(&[("n1", 256), ("n2", 1024)]);
    let strict = cluster.app("default", "u");
    cluster.ask(strict, &row("n1", 512, 1, true));
    cluster.ask(strict, &row(ANY, 512, 1, false));
    assert_eq!(cluster.granted(), Vec::<String>::new());
    assert_eq!(cluster.reasons(strict), ["1 x waiting for n1: locality"]);
    cluster.set_node("n1", DEFAULT_RACK, "", &Resource::new(512, 8), Standing::Usable);
    assert_eq!(cluster.granted(), ["1@n1"], "room on its host is noticed");
    let relaxed = cluster.app("default", "u");
    for name in ["n1", DEFAULT_RACK, ANY] {
        cluster.ask(relaxed, &row(name, 512, 1, true));
    }
    assert_eq!(cluster.granted(), ["2@n2"]);
}

#[test]
fn an_ask_insists_on_hosts_then_racks_for_as_long_as_configured() {
    let mut cluster = Cluster::new(
        "root: {queues: {default: {}}}\nscheduler: {node-locality-delay: 10 s, rack-locality-additional-delay: 5 s}\n",
    );
    for (host, rack, memory) in [("n1", "/a", 256), ("n2", "/a", 256), ("n3", "/b", 4096)] {
        cluster.set_node(host, rack, "", &Resource::new(memory, 8), Standing::Usable);
    }
    let app = cluster.app("default", "u");
    for (name, count) in [("n1", 3), ("/a", 3), (ANY, 3)] {
        cluster.ask(app, &row(name, 200, count, true));
    }
    assert_eq!(cluster.granted(), ["1@n1"]);
    assert_eq!(cluster.scheduler.next_deadline(cluster.now), Some(cluster.now + Duration::from_secs(10)));
    cluster.now = cluster.now + Duration::from_secs(10);
    assert_eq!(cluster.granted(), ["1@n2"], "another node of the rack");
    cluster.now = cluster.now + Duration::from_secs(14);
    assert_eq!(cluster.granted(), Vec::<String>::new(), "it got something: it insists again");
    cluster.now = cluster.now + Duration::from_secs(1);
    assert_eq!(cluster.granted(), ["1@n3"]);
}

#[test]
fn blacklisted_hosts_are_passed_over() {
    let mut cluster = Cluster::plain(&[("n1", 2048), ("n2", 1024)]);
    let app = cluster.app("default", "u");
    cluster.scheduler.set_blacklist(app, &["n1".to_owned()].into(), cluster.now);
    cluster.want(app, 512, 3);
    assert_eq!(cluster.granted(), ["1@n2", "1@n2"]);
    let reason = "1 x no node has 512 MB free: 1 node, largest free 0 MB (1 more blacklisted)";
    assert_eq!(cluster.reasons(app), [reason]);
    cluster.scheduler.set_blacklist(app, &["n1".to_owned(), "n2:8042".to_owned()].into(), cluster.now);
    assert_eq!(cluster.reasons(app), ["1 x the application has blacklisted every node (2)"]);
    cluster.scheduler.set_blacklist(app, &BTreeSet::new(), cluster.now);
    assert_eq!(cluster.granted(), ["1@n1"]);
}

#[test]
fn a_master_avoids_nodes_that_failed_it_unless_there_is_no_other() {
    for (memory, host) in [(512, "1@n2"), (4096, "1@n1")] {
        let mut cluster = Cluster::plain(&[("n1", 8192), ("n2", 1024)]);
        let app = cluster.app("default", "u");
        cluster.scheduler.want_master(app, &mb(memory), &["n1:8042".to_owned()].into(), cluster.now);
        assert_eq!(cluster.granted(), [host]);
    }
}

#[test]
fn nodes_of_a_label_serve_those_who_name_it_and_others_only_if_it_is_not_exclusive() {
    let queues = "root: {queues: {default: {}}}\nlabels: {gpu: {exclusive: true}, spare: {exclusive: false}}\n";
    let mut cluster = Cluster::new(queues);
    cluster.set_node("g1", DEFAULT_RACK, "gpu", &Resource::new(1024, 8), Standing::Usable);
    let app = cluster.app("default", "u");
    cluster.want(app, 512, 1);
    assert_eq!(cluster.granted(), Vec::<String>::new());
    let labelled = cluster.app("default", "u");
    cluster.ask(labelled, &ResourceRequest { node_label: Some("gpu".to_owned()), ..row(ANY, 512, 3, true) });
    assert_eq!(cluster.granted(), ["2@g1", "2@g1"]);
    assert_eq!(cluster.reasons(labelled), ["1 x no node has 512 MB free: 1 node, largest free 0 MB"]);
    cluster.set_node("s1", DEFAULT_RACK, "spare", &Resource::new(1024, 8), Standing::Usable);
    assert_eq!(cluster.granted(), ["1@s1"]);
    cluster.set_node("g1", DEFAULT_RACK, "gpu", &Resource::new(1024, 8), Standing::Silent);
    let reason = "1 x label gpu is on no healthy node (1 lost, unfit or disconnected)";
    assert_eq!(cluster.reasons(labelled), [reason]);
}

#[test]
fn named_resources_are_counted_and_unknown_ones_are_said() {
    let mut cluster = Cluster::plain(&[]);
    let with = |count: u64, memory: u64| Resource { named: [("yarn.io/gpu".to_owned(), count)].into(), ..mb(memory) };
    let app = cluster.app("default", "u");
    let ask = ResourceRequest { capability: with(1, 64), ..row(ANY, 64, 3, true) };
    cluster.node("n1", 1024);
    cluster.ask(app, &ask);
    assert_eq!(cluster.reasons(app), ["3 x no node offers yarn.io/gpu"]);
    cluster.ask(app, &ResourceRequest { count: 0, ..ask.clone() });
    cluster.set_node("n2", DEFAULT_RACK, "", &with(2, 1024), Standing::Usable);
    cluster.set_node("n2", DEFAULT_RACK, "", &Resource { vcores: 9, ..with(2, 1024) }, Standing::Usable);
    cluster.ask(app, &ask);
    assert_eq!(cluster.granted(), ["1@n2", "1@n2"]);
}

#[test]
fn a_large_container_gets_a_node_held_free_when_small_ones_overtake_it() {
    let mut cluster = Cluster::plain(&[("n1", 1000), ("n2", 1000)]);
    let (large, small) = (cluster.app("default", "u"), cluster.app("default", "u"));
    cluster.want(small, 500, 4);
    let running = cluster.schedule();
    cluster.want(large, 1000, 1);
    cluster.want(small, 500, 100);
    assert_eq!(cluster.granted(), Vec::<String>::new());
    cluster.scheduler.release(running[0].allocation);
    cluster.now = cluster.now + Duration::from_secs(1);
    assert_eq!(cluster.granted(), ["2@n1"], "the small one overtakes");
    cluster.now = cluster.now + Duration::from_secs(5);
    assert_eq!(cluster.granted(), Vec::<String>::new());
    let reasons = cluster.reasons(large);
    assert!(reasons[0].contains("is held free for it: needs 1000 MB, free 0 MB"), "{reasons:?}");
    let held: Vec<_> =
        cluster.scheduler.nodes.iter().filter(|node| node.reserved.is_some()).map(|n| n.id.clone()).collect();
    assert_eq!(held.len(), 1);
    let on_held: Vec<_> = cluster
        .scheduler
        .allocations
        .iter()
        .filter(|(_, a)| cluster.scheduler.nodes.node(a.node).id == held[0])
        .map(|(i, _)| AllocationKey::new(i))
        .collect();
    cluster.scheduler.release(on_held[0]);
    assert_eq!(
        cluster.granted(),
        Vec::<String>::new(),
        "half a node is no use to the large one, and nobody else gets it"
    );
    cluster.scheduler.release(on_held[1]);
    assert_eq!(cluster.granted(), [format!("1@{}", held[0].host)]);
}

#[test]
fn what_was_reserved_is_free_for_all_once_its_application_has_gone() {
    let mut cluster = Cluster::plain(&[("n1", 1000)]);
    let (large, small) = (cluster.app("default", "u"), cluster.app("default", "u"));
    cluster.want(small, 500, 2);
    let running = cluster.schedule();
    cluster.want(large, 1000, 1);
    cluster.want(small, 500, 9);
    cluster.granted();
    cluster.scheduler.release(running[0].allocation);
    cluster.now = cluster.now + Duration::from_secs(1);
    cluster.granted();
    cluster.now = cluster.now + Duration::from_secs(9);
    cluster.granted();
    cluster.scheduler.release(running[1].allocation);
    assert_eq!(cluster.granted(), Vec::<String>::new());
    cluster.scheduler.remove_app(large);
    assert_eq!(cluster.granted(), ["2@n1"]);
}
