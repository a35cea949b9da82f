//! Shares of queues and users, order within a queue, masters, access, reload.

use super::*;

const TWO: &str = "root: {queues: {a: {capacity: 75%}, b: {capacity: 25%}}}";

fn count(grants: &[String], app: &str) -> usize {
    grants.iter().filter(|grant| grant.split('@').next() == Some(app)).count()
}

#[test]
fn queues_share_by_their_promises_and_lend_what_is_not_wanted() {
    let mut cluster = Cluster::new(TWO);
    cluster.node("n1", 8000);
    let (a, b) = (cluster.app("a", "u"), cluster.app("b", "u"));
    for app in [a, b] {
        cluster.want(app, 1000, 8);
    }
    let granted = cluster.granted();
    assert_eq!((count(&granted, "1"), count(&granted, "2")), (6, 2));
    let mut alone = Cluster::new("root: {queues: {a: {capacity: 75%}, b: {capacity: 25%, user-limit-factor: -1}}}");
    alone.node("n1", 8000);
    let b = alone.app("b", "u");
    alone.want(b, 1000, 8);
    assert_eq!(alone.granted().len(), 8, "what a does not use");
}

#[test]
fn a_queue_stops_at_its_maximum_and_says_so() {
    let mut cluster = Cluster::new(
        "root: {queues: {a: {capacity: 50%, queues: {x: {maximum-capacity: 40%, user-limit-factor: -1}}}, b: {capacity: 50%}}}",
    );
    cluster.node("n1", 10_000);
    let app = cluster.app("root.a.x", "u");
    cluster.want(app, 1000, 9);
    assert_eq!(cluster.granted().len(), 4);
    let reason = "5 x queue root.a.x is at its maximum: it uses 4000 MB of 4000 MB, this asks for 1000 MB";
    assert_eq!(cluster.reasons(app), [reason]);
}

#[test]
fn absolute_and_weighted_queues_get_what_they_are_promised() {
    let absolute =
        "root: {queues: {a: {capacity: '[memory=6000, vcores=60]'}, b: {capacity: '[memory=2000, vcores=20]'}}}";
    let weighted = "root: {queues: {a: {capacity: 3w}, b: {capacity: 1w}}}";
    for queues in [absolute, weighted] {
        let mut cluster = Cluster::new(queues);
        cluster.set_node("n1", DEFAULT_RACK, "", &Resource::new(4000, 400), Standing::Usable);
        let (a, b) = (cluster.app("a", "u"), cluster.app("b", "u"));
        for app in [a, b] {
            cluster.want(app, 500, 9);
        }
        let granted = cluster.granted();
        assert_eq!((count(&granted, "1"), count(&granted, "2")), (6, 2), "{queues}");
    }
}

#[test]
fn the_dominant_resource_decides_who_is_most_in_need() {
    let mut cluster = Cluster::new("root: {queues: {cpu: {user-limit-factor: -1}, mem: {user-limit-factor: -1}}}");
    cluster.set_node("n1", DEFAULT_RACK, "", &Resource::new(18_000, 9), Standing::Usable);
    let (cpu, mem) = (cluster.app("cpu", "u"), cluster.app("mem", "u"));
    cluster.ask(cpu, &ResourceRequest { capability: Resource::new(1000, 3), ..row(ANY, 0, 99, true) });
    cluster.ask(mem, &ResourceRequest { capability: Resource::new(4000, 1), ..row(ANY, 0, 99, true) });
    let granted = cluster.granted();
    assert_eq!((count(&granted, "1"), count(&granted, "2")), (2, 3), "the example of the DRF paper");
}

#[test]
fn first_in_first_out_serves_priority_then_age_and_fair_serves_who_has_least() {
    let mut fifo = Cluster::plain(&[("n1", 3000)]);
    let (old, young, urgent) = (fifo.app("default", "u"), fifo.app("default", "u"), fifo.app_with("default", "u", 5));
    for app in [old, young, urgent] {
        fifo.want(app, 1000, 2);
    }
    assert_eq!(fifo.granted(), ["3@n1", "3@n1", "1@n1"]);
    let mut fair = Cluster::new("root: {queues: {default: {ordering-policy: fair}}}");
    fair.node("n1", 4000);
    let (one, two) = (fair.app("default", "u"), fair.app("default", "u"));
    fair.want(one, 1000, 9);
    fair.want(two, 1000, 9);
    assert_eq!(fair.granted(), ["1@n1", "2@n1", "1@n1", "2@n1"]);
}

#[test]
fn users_share_a_queue_by_weight_and_one_alone_stops_at_the_factor() {
    let mut cluster =
        Cluster::new("root: {queues: {default: {minimum-user-limit-percent: 25, user-weights: {big: 3}}}}");
    cluster.node("n1", 8000);
    let (big, small) = (cluster.app("default", "big"), cluster.app("default", "small"));
    for app in [big, small] {
        cluster.want(app, 500, 99);
    }
    let granted = cluster.granted();
    assert_eq!((count(&granted, "1"), count(&granted, "2")), (12, 4));
    let mut half = Cluster::new("root: {queues: {default: {user-limit-factor: 0.5}}}");
    half.node("n1", 8000);
    let app = half.app("default", "u");
    half.want(app, 1000, 99);
    assert_eq!(half.granted().len(), 4);
    assert_eq!(half.reasons(app), ["95 x user u is at the limit in queue root.default: uses 4000 MB of 4000 MB"]);
}

#[test]
fn one_master_is_let_in_always_and_the_next_only_within_the_share() {
    let config = QueuesConfig::parse("root: {queues: {default: {}}}").unwrap();
    let mut cluster = Cluster { scheduler: Scheduler::new(&config, 10, Placement::Spread), now: Now(0), apps: 0 };
    cluster.node("n1", 8192);
    let apps = [cluster.app("default", "u"), cluster.app("default", "u")];
    for app in apps {
        cluster.scheduler.want_master(app, &mb(1024), &BTreeSet::new(), cluster.now);
    }
    let first = cluster.schedule();
    assert_eq!(first.len(), 1);
    let reason = &cluster.reasons(apps[1])[0];
    let expected =
        "1 x queue root.default is at its AM share: masters use 1024 MB of 820 MB, this one asks for 1024 MB";
    assert_eq!(reason, expected);
    cluster.release_all(&first);
    assert_eq!(cluster.granted(), ["2@n1"]);
}

#[test]
fn a_command_does_its_work_itself_and_has_no_part_in_what_masters_may_use() {
    let config = QueuesConfig::parse("root: {queues: {default: {}}}").unwrap();
    let mut cluster = Cluster { scheduler: Scheduler::new(&config, 10, Placement::Spread), now: Now(0), apps: 0 };
    cluster.node("n1", 4096);
    let apps = [cluster.app("default", "u"), cluster.app("default", "u"), cluster.app("default", "u")];
    for app in &apps[..2] {
        cluster.scheduler.set_command(*app);
    }
    for app in apps {
        cluster.scheduler.want_master(app, &mb(1024), &BTreeSet::new(), cluster.now);
    }
    let commands = cluster.schedule();
    assert_eq!(commands.len(), 2, "a master behind them is at its share");
    assert_eq!(cluster.scheduler.masters().0, Resource::new(0, 0));
    cluster.release_all(&commands);
    assert_eq!(cluster.granted(), ["3@n1"], "one is let in always");
    cluster.scheduler.audit().unwrap();
}

#[test]
fn only_so_many_applications_run_at_a_time() {
    let mut cluster = Cluster::new("root: {max-parallel-apps: 1, queues: {default: {}}}");
    cluster.node("n1", 8192);
    let apps = [cluster.app("default", "u"), cluster.app("default", "u")];
    for app in apps {
        cluster.scheduler.want_master(app, &mb(64), &BTreeSet::new(), cluster.now);
    }
    assert_eq!(cluster.granted(), ["1@n1"]);
    assert_eq!(cluster.reasons(apps[1]), ["1 x queue root runs 1 applications, as many as it may"]);
}

fn refusal(cluster: &Cluster, user: &str, queue: &str) -> String {
    let candidate = Candidate { user, name: "job", queue, resource: &mb(64), again: false };
    cluster.scheduler.admit(&candidate).unwrap_or_else(|why| why)
}

#[test]
fn admission_names_what_stands_in_the_way() {
    let cluster = Cluster::new(
        "root:\n  acl-submit-applications: ' admins'\n  queues:\n    open: {acl-submit-applications: '*', queues: {x: {}, y: {state: STOPPED}}}\n\
        \x20   closed: {maximum-allocation: 'memory=32, vcores=1', acl-submit-applications: eve}\n    other: {queues: {x: {}}}\ngroups: {admins: [ann]}\n",
    );
    assert_eq!(refusal(&cluster, "eve", "root.open.x"), "root.open.x");
    assert_eq!(refusal(&cluster, "ann", "root.other.x"), "root.other.x", "by the root's list");
    assert_eq!(refusal(&cluster, "bob", "root.other.x"), "user bob may not submit to queue root.other.x");
    assert!(refusal(&cluster, "bob", "x").starts_with("more than one queue is called x; "));
    assert_eq!(refusal(&cluster, "bob", "y"), "queue root.open.y is STOPPED and takes no applications");
    assert!(refusal(&cluster, "bob", "root.open").contains("has queues below it"));
    assert!(refusal(&cluster, "bob", "nope").starts_with("there is no queue nope; submit to one of: root.closed, "));
    assert!(refusal(&cluster, "eve", "closed").contains("allows at most <memory:32 MB"));
}

#[test]
fn the_first_placement_rule_that_fits_decides() {
    let cluster = Cluster::new(
        "root: {queues: {etl: {}, ad: {}, bob: {}}}\ngroups: {data: [ann]}\nplacement:\n  - {rule: group, group: data, queue: root.etl}\n\
        \x20 - {rule: user, user: '%user', queue: 'root.%user'}\n  - {rule: specified}\n  - {rule: reject}\n",
    );
    let placed = |user, queue| cluster.scheduler.placed(user, "job", queue);
    assert_eq!(placed("ann", "root.ad").as_deref(), Some("root.etl"));
    assert_eq!(placed("bob", "root.ad").as_deref(), Some("root.bob"));
    assert_eq!(placed("eve", "root.ad").as_deref(), Some("root.ad"));
    assert_eq!(placed("eve", "nope"), None);
    assert_eq!(refusal(&cluster, "eve", "nope"), "no placement rule takes applications of eve named job");
}

#[test]
fn queues_change_under_running_applications_and_none_loses_its_queue() {
    let mut cluster = Cluster::new(TWO);
    cluster.node("n1", 8000);
    let (a, b) = (cluster.app("a", "u"), cluster.app("b", "u"));
    for app in [a, b] {
        cluster.want(app, 1000, 8);
    }
    let granted = cluster.schedule();
    let without = QueuesConfig::parse("root: {queues: {a: {}}}").unwrap();
    let refused = cluster.scheduler.reload(&without, cluster.now).unwrap_err();
    assert_eq!(refused, ["root.b has 1 live applications; stop it and wait until they have ended, or move them first"]);
    let turned = QueuesConfig::parse("root: {queues: {a: {capacity: 25%}, b: {capacity: 75%}}}").unwrap();
    cluster.scheduler.reload(&turned, cluster.now).unwrap();
    cluster.check_books();
    cluster.release_all(&granted);
    let again = cluster.granted();
    assert_eq!((count(&again, "1"), count(&again, "2")), (2, 6));
    assert_eq!(cluster.scheduler.move_app(b, "a", cluster.now), Ok("root.a".to_owned()));
    cluster.check_books();
    assert_eq!(cluster.scheduler.queue_of(b), "root.a");
    cluster.scheduler.reload(&without, cluster.now).unwrap();
    cluster.check_books();
}
