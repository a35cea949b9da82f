//! Who takes from whom, and that nobody is brought below what it was promised.

use proptest::prelude::{ProptestConfig, prop, prop_assert, proptest};

use super::*;
use crate::config::queues::Preemption;

const TWO: &str = "{root: {queues: {a: {capacity: 50%, user-limit-factor: -1}, b: {capacity: 50%}}}, scheduler: {preemption: between-queues, preemption-round-percent: 100}}";

impl Cluster {
    /// Lets a round's patience pass, and has one.
    fn round(&mut self) -> Vec<(u32, String)> {
        self.now = self.now + Duration::from_secs(3);
        let round = self.scheduler.preempt(self.now);
        assert_eq!(round.lifted, []);
        round.marked.into_iter().map(|(application, _, queue)| (application.sequence, queue)).collect()
    }

    /// A round whose marks are carried out at once.
    fn take(&mut self) -> usize {
        self.now = self.now + Duration::from_secs(3);
        let marked = self.scheduler.preempt(self.now).marked;
        for (_, allocation, _) in &marked {
            self.scheduler.release(*allocation);
        }
        self.scheduler.audit().unwrap();
        marked.len()
    }
}

#[test]
fn a_queue_below_its_promise_takes_the_newest_from_one_above() {
    let mut cluster = Cluster::new(TWO);
    cluster.node("n1", 1000);
    let (a, b) = (cluster.app("root.a", "u"), cluster.app("root.b", "u"));
    cluster.want(a, 100, 10);
    assert_eq!(cluster.schedule().len(), 10);
    cluster.want(b, 100, 8);
    assert_eq!(cluster.schedule().len(), 0);
    cluster.now = cluster.now + Duration::from_secs(2);
    assert_eq!(cluster.scheduler.preempt(cluster.now), Round::default(), "it has not waited long enough");
    assert_eq!(cluster.round(), vec![(1, "root.b".to_owned()); 5], "up to its promise and no more");
    assert_eq!(cluster.round(), [], "those on notice count");
    cluster.want(b, 100, 0);
    let lifted = cluster.scheduler.preempt(cluster.now).lifted;
    assert_eq!(lifted.len(), 5, "nobody wants them any more");
}

#[test]
fn a_report_says_who_may_take_from_a_queue() {
    let of = |text: &str| {
        let reports = Cluster::new(text).scheduler.reports();
        ["root.a", "root.b"].map(|path| reports.iter().find(|report| report.path == path).unwrap().preemption)
    };
    assert_eq!(of(TWO), [Preemption::BetweenQueues; 2]);
    assert_eq!(of("{root: {queues: {a: {capacity: 50%}, b: {capacity: 50%}}}}"), [Preemption::None; 2]);
    let within = TWO.replace("between-queues", "within-queues").replace("b: {", "b: {disable-preemption: true, ");
    assert_eq!(of(&within), [Preemption::WithinQueues, Preemption::None]);
}

#[test]
fn what_is_freed_can_be_used_and_is_gathered_on_one_node() {
    let mut cluster = Cluster::new(TWO);
    cluster.node("n1", 400);
    cluster.node("n2", 400);
    let (a, b) = (cluster.app("root.a", "u"), cluster.app("root.b", "u"));
    cluster.want(a, 100, 8);
    assert_eq!(cluster.schedule().len(), 8);
    cluster.want(b, 400, 1);
    cluster.schedule();
    assert_eq!(cluster.take(), 4);
    assert_eq!(cluster.schedule().len(), 1, "four on one node, not two on each");
}

#[test]
fn a_round_takes_no_more_than_its_part_and_the_next_goes_on() {
    let mut cluster = Cluster::new(&TWO.replace("100}", "20}"));
    cluster.node("n1", 1000);
    let (a, b) = (cluster.app("root.a", "u"), cluster.app("root.b", "u"));
    cluster.want(a, 100, 10);
    cluster.schedule();
    cluster.want(b, 100, 5);
    cluster.schedule();
    assert_eq!((cluster.take(), cluster.schedule().len()), (2, 2));
    assert_eq!((cluster.take(), cluster.schedule().len()), (2, 2));
    assert_eq!((cluster.take(), cluster.schedule().len()), (1, 1));
}

#[test]
fn siblings_settle_among_themselves_and_a_protected_queue_keeps_what_it_has() {
    let queues = "{root: {queues: {a: {capacity: 50%, queues: {x: {capacity: 50%, user-limit-factor: -1}, y: {capacity: 50%}}}, \
                  b: {capacity: 25%, disable-preemption: true, user-limit-factor: -1}, c: {capacity: 25%}}}, \
                  scheduler: {preemption: between-queues, preemption-round-percent: 100}}";
    let mut cluster = Cluster::new(queues);
    cluster.node("n1", 800);
    let [x, y, b, c] = ["root.a.x", "root.a.y", "root.b", "root.c"].map(|queue| cluster.app(queue, "u"));
    cluster.want(x, 100, 4);
    cluster.schedule();
    cluster.want(b, 100, 4);
    cluster.schedule();
    cluster.want(c, 100, 2);
    assert_eq!(cluster.round(), [], "x has what its parent was promised, and b is protected");
    cluster.want(y, 100, 2);
    assert_eq!(cluster.round(), vec![(1, "root.a.y".to_owned()); 2], "its sibling takes its own half");
}

#[test]
fn masters_go_last_and_a_dead_zone_is_left_alone() {
    let mut cluster = Cluster::new(TWO);
    cluster.node("n1", 1000);
    let (a, b) = (cluster.app("root.a", "u"), cluster.app("root.b", "u"));
    cluster.want(a, 100, 9);
    cluster.schedule();
    cluster.scheduler.want_master(a, &mb(100), &BTreeSet::new(), cluster.now);
    cluster.schedule();
    cluster.want(b, 100, 5);
    cluster.round();
    let marked: Vec<_> = cluster.scheduler.allocations.iter().filter(|(_, it)| it.master).collect();
    assert_eq!(marked.len(), 1);
    let master = AllocationKey::new(marked[0].0);
    cluster.want(b, 100, 0);
    let lifted = cluster.scheduler.preempt(cluster.now).lifted;
    assert_eq!(lifted.len(), 5);
    assert!(lifted.iter().all(|(_, allocation)| *allocation != master));

    let mut cluster = Cluster::new(TWO);
    cluster.node("n1", 1050);
    let (a, b) = (cluster.app("root.a", "u"), cluster.app("root.b", "u"));
    cluster.want(a, 50, 11);
    cluster.want(b, 500, 1);
    cluster.schedule();
    cluster.want(b, 500, 1);
    assert_eq!(cluster.round(), [], "a is less than a tenth above its promise");
}

#[test]
fn within_a_queue_lower_priorities_and_users_above_their_limit_give_way() {
    let queues = "{root: {queues: {a: {minimum-user-limit-percent: 50}}}, \
                  scheduler: {preemption: within-queues, preemption-round-percent: 100}}";
    let mut cluster = Cluster::new(queues);
    cluster.node("n1", 1000);
    let low = cluster.app_with("root.a", "u", 0);
    cluster.want(low, 100, 10);
    cluster.schedule();
    let high = cluster.app_with("root.a", "u", 5);
    cluster.want(high, 100, 3);
    assert_eq!(cluster.round().len(), 3);
    let mut cluster = Cluster::new(queues);
    cluster.node("n1", 1000);
    let greedy = cluster.app("root.a", "greedy");
    cluster.want(greedy, 100, 10);
    cluster.schedule();
    let other = cluster.app("root.a", "other");
    cluster.want(other, 100, 9);
    assert_eq!(cluster.round().len(), 5, "half each");
    let same = cluster.app("root.a", "greedy");
    cluster.want(same, 100, 1);
    assert_eq!(cluster.round(), [], "equals wait for each other");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is asked for by whom, taking ends: nobody is brought below its promise by it, no round takes more than its part, and
    /// who could be served within its promise is, after some rounds.
    #[test]
    fn nobody_falls_below_its_promise_and_taking_comes_to_an_end(
        nodes in prop::collection::vec(4..12u64, 1..6),
        asks in prop::collection::vec((0..3usize, 1..4u64, 0..30u32), 1..12),
    ) {
        let queues = "{root: {queues: {a: {capacity: 50%, user-limit-factor: -1}, \
                      b: {capacity: 30%, user-limit-factor: -1}, c: {capacity: 20%, user-limit-factor: -1}}}, \
                      scheduler: {preemption: between-queues, preemption-round-percent: 30, preemption-dead-zone-percent: 0}}";
        let mut cluster = Cluster::new(queues);
        for (index, size) in nodes.iter().enumerate() {
            cluster.node(&format!("n{index}"), size * 64);
        }
        let used = |cluster: &Cluster| -> Vec<(f64, f64)> {
            let queues = cluster.scheduler.queues.iter().skip(1);
            queues.map(|(_, queue)| (queue.shares[0].ratio, queue.pending_containers as f64)).collect()
        };
        for (queue, size, count) in asks {
            let app = cluster.app(["root.a", "root.b", "root.c"][queue], "u");
            cluster.want(app, size * 64, count);
            while !cluster.schedule().is_empty() {}
            for _ in 0..20 {
                let before = used(&cluster);
                cluster.now = cluster.now + Duration::from_secs(3);
                let marked = cluster.scheduler.preempt(cluster.now).marked;
                let all = cluster.scheduler.total().memory_mb;
                let mut taken = 0;
                for (_, allocation, _) in &marked {
                    taken += cluster.scheduler.allocations.get(allocation.index()).unwrap().amount.memory();
                    cluster.scheduler.release(*allocation);
                }
                prop_assert!(taken * 10 <= all * 3 + 10, "{taken} of {all} in one round");
                for ((before, _), (after, _)) in before.iter().zip(used(&cluster)) {
                    prop_assert!(after >= before.min(1.0) - 1e-9, "a queue fell from {before} to {after}");
                }
                while !cluster.schedule().is_empty() {}
                cluster.scheduler.audit().unwrap();
            }
            cluster.now = cluster.now + Duration::from_secs(3);
            prop_assert!(cluster.scheduler.preempt(cluster.now).marked.is_empty(), "taking does not come to an end");
        }
    }
}
