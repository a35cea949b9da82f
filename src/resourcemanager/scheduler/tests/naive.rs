//! The scheduler against a naive one that looks at everything every time: the same grants in the same order.

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};

use super::*;

/// A tree of queues for both.
const QUEUES: &str = "root:\n  queues:\n    a: {capacity: 50%, maximum-capacity: 70%, queues: {x: {capacity: 60%}, \
    y: {capacity: 40%, ordering-policy: fair}}}\n    b: {capacity: 30%, priority: 1, user-limit-factor: 2}\n    c: {capacity: 20%, maximum-capacity: 50%}\n";

/// Leaf, parent; share of the parent, maximum of the parent, priority, whether it is fair, how often one user may have the share.
type Leaf = (&'static str, Option<usize>, f64, f64, i32, bool, f64);
const LEAVES: [Leaf; 4] = [
    ("root.a.x", Some(0), 0.6, 1.0, 0, false, 1.0),
    ("root.a.y", Some(0), 0.4, 1.0, 0, true, 1.0),
    ("root.b", None, 0.3, 1.0, 1, false, 2.0),
    ("root.c", None, 0.2, 0.5, 0, false, 1.0),
];
const PARENT: (f64, f64) = (0.5, 0.7);

type Vector = [u64; 2];
/// Application, its ask, the node, and the host asked for that it is.
type Next = (usize, (u32, Vector), usize, Option<usize>);

#[derive(Clone, Debug)]
enum Act {
    Node { which: usize, memory: u64, cores: u64 },
    NodeGone(usize),
    App { leaf: usize, priority: u32 },
    Ask { app: usize, priority: u32, memory: u64, cores: u64, count: u32, host: Option<usize>, relax: bool },
    Release(usize),
    End(usize),
    Schedule,
}

fn act() -> impl Strategy<Value = Act> {
    let index = 0..50usize;
    prop_oneof![
        2 => (0..6usize, 1..40u64, 1..12u64)
            .prop_map(|(which, memory, cores)| Act::Node { which, memory: memory * 100, cores }),
        1 => (0..6usize).prop_map(Act::NodeGone),
        2 => (0..LEAVES.len(), 0..3u32).prop_map(|(leaf, priority)| Act::App { leaf, priority }),
        6 => (index.clone(), 0..3u32, 1..5u64, 1..4u64, 0..5u32, prop::option::of(0..6usize), any::<bool>()).prop_map(
            |(app, priority, memory, cores, count, host, relax)| {
                // Which of two asks of the same priority comes first is nobody's promise: here no two are of the same.
                let priority = priority * 100 + u32::try_from(memory * 10 + cores).unwrap();
                Act::Ask { app, priority, memory: memory * 200, cores, count, host, relax }
            }
        ),
        4 => index.clone().prop_map(Act::Release),
        1 => index.prop_map(Act::End),
        5 => Just(Act::Schedule),
    ]
}

#[derive(Clone, Debug)]
struct NaiveApp {
    leaf: usize,
    priority: u32,
    /// (priority, size) to (wanted, wanted on a host, whether any other node will do).
    wants: BTreeMap<(u32, Vector), Want>,
    ended: bool,
}

#[derive(Clone, Debug, Default)]
struct Want {
    any: u32,
    relax: bool,
    hosts: Vec<(usize, u32)>,
}

#[derive(Clone, Debug, PartialEq)]
struct Granted {
    app: usize,
    size: Vector,
    node: usize,
}

/// Everything in plain lists; every decision from scratch.
#[derive(Default)]
struct Naive {
    /// In the order they first came.
    nodes: Vec<(usize, Vector, bool)>,
    apps: Vec<NaiveApp>,
    granted: Vec<Granted>,
}

fn part(whole: Vector, part: f64) -> Vector {
    whole.map(|amount| (amount as f64 * part - 1e-6).ceil() as u64)
}

fn share(used: Vector, whole: Vector) -> f64 {
    let of = |(used, whole): (&u64, &u64)| match (used, whole) {
        (0, _) => 0.0,
        (_, 0) => f64::INFINITY,
        (used, whole) => *used as f64 / *whole as f64,
    };
    used.iter().zip(&whole).map(of).fold(0.0, f64::max)
}

fn fits(room: Vector, need: Vector) -> bool {
    room[0] >= need[0] && room[1] >= need[1]
}

fn plus(a: Vector, b: Vector) -> Vector {
    [a[0] + b[0], a[1] + b[1]]
}

impl Naive {
    fn total(&self) -> Vector {
        self.nodes.iter().filter(|(_, _, up)| *up).fold([0, 0], |sum, (_, size, _)| plus(sum, *size))
    }

    fn used(&self, of: impl Fn(&Granted) -> bool) -> Vector {
        self.granted.iter().filter(|granted| of(granted)).fold([0, 0], |sum, granted| plus(sum, granted.size))
    }

    fn used_by_leaf(&self, leaf: usize) -> Vector {
        self.used(|granted| self.apps[granted.app].leaf == leaf)
    }

    fn used_by_parent(&self) -> Vector {
        self.used(|granted| LEAVES[self.apps[granted.app].leaf].1.is_some())
    }

    fn free(&self, node: usize) -> Vector {
        let (_, size, up) = self.nodes[node];
        let used = self.used(|granted| granted.node == node);
        if up { [size[0].saturating_sub(used[0]), size[1].saturating_sub(used[1])] } else { [0, 0] }
    }

    /// Promise and maximum of a leaf.
    fn bounds(&self, leaf: usize) -> (Vector, Vector) {
        let total = self.total();
        let (above, most) = match LEAVES[leaf].1 {
            Some(_) => self.parent_bounds(),
            None => (total, total),
        };
        let most = part(most, LEAVES[leaf].3);
        let promised = part(above, LEAVES[leaf].2);
        ([promised[0].min(most[0]), promised[1].min(most[1])], most)
    }

    fn parent_bounds(&self) -> (Vector, Vector) {
        let total = self.total();
        let (promised, most) = (part(total, PARENT.0), part(total, PARENT.1));
        ([promised[0].min(most[0]), promised[1].min(most[1])], most)
    }

    fn may(&self, leaf: usize, size: Vector) -> bool {
        let used = self.used_by_leaf(leaf);
        let (promised, most) = self.bounds(leaf);
        if most != self.total() && !fits(most, plus(used, size)) {
            return false;
        }
        let above = self.parent_bounds().1;
        if LEAVES[leaf].1.is_some() && above != self.total() && !fits(above, plus(self.used_by_parent(), size)) {
            return false;
        }
        // One user: the queue, or what it uses if that is more, but not more than the factor times the promise.
        let factor = part(promised, LEAVES[leaf].6);
        let whole = plus(used, size);
        let whole = [whole[0].max(promised[0]), whole[1].max(promised[1])];
        let limit = if promised == [0, 0] { whole } else { [whole[0].min(factor[0]), whole[1].min(factor[1])] };
        used == [0, 0] || fits(limit, self.total()) || share(used, limit) < 1.0
    }

    fn place(&self, want: &Want, size: Vector) -> Option<(usize, Option<usize>)> {
        for (host, _) in &want.hosts {
            let node = self.nodes.iter().position(|(which, _, up)| which == host && *up);
            if let Some(node) = node.filter(|node| fits(self.free(*node), size)) {
                return Some((node, Some(*host)));
            }
        }
        if !want.relax {
            return None;
        }
        let fitting = (0..self.nodes.len()).filter(|node| self.nodes[*node].2 && fits(self.free(*node), size));
        fitting.max_by_key(|node| (self.free(*node)[0], std::cmp::Reverse(*node))).map(|node| (node, None))
    }

    /// What a leaf would be served next.
    fn next_of(&self, leaf: usize) -> Option<Next> {
        let mut candidates = Vec::new();
        for (index, app) in self.apps.iter().enumerate().filter(|(_, app)| app.leaf == leaf && !app.ended) {
            let rank = match LEAVES[leaf].5 {
                true => share(self.used(|granted| granted.app == index), self.total()).to_bits(),
                false => u64::from(u32::MAX - app.priority),
            };
            for (order, (key, want)) in app.wants.iter().enumerate().filter(|(_, (_, want))| want.any > 0) {
                if self.may(leaf, key.1)
                    && let Some((node, by)) = self.place(want, key.1)
                {
                    candidates.push(((rank, index, key.0, order), (index, *key, node, by)));
                }
            }
        }
        // Of one application's asks of the same priority either may be first.
        candidates.into_iter().min_by_key(|(turn, _)| *turn).map(|(_, next)| next)
    }

    fn need(&self, used: Vector, promised: Vector, priority: i32) -> (bool, i32, f64) {
        let ratio = share(used, promised);
        (ratio >= 1.0, -priority, ratio)
    }

    fn next(&self) -> Option<Next> {
        let inner = [0, 1].map(|leaf| (self.need(self.used_by_leaf(leaf), self.bounds(leaf).0, LEAVES[leaf].4), leaf));
        let inner = first(inner.into_iter().filter_map(|(need, leaf)| Some((need, self.next_of(leaf)?))).collect());
        let mut outer = Vec::new();
        if let Some(next) = inner {
            outer.push((self.need(self.used_by_parent(), self.parent_bounds().0, 0), next));
        }
        for leaf in [2, 3] {
            if let Some(next) = self.next_of(leaf) {
                outer.push((self.need(self.used_by_leaf(leaf), self.bounds(leaf).0, LEAVES[leaf].4), next));
            }
        }
        first(outer)
    }

    /// Grants what is next, on `node` if that is as good: which of equally free nodes is taken is nobody's promise.
    fn grant(&mut self, node: usize) -> Option<(usize, Vector, usize)> {
        let (app, key, best, by) = self.next()?;
        let as_good = by.is_none() && self.nodes[node].2 && fits(self.free(node), key.1);
        let node = if as_good && self.free(node)[0] == self.free(best)[0] { node } else { best };
        let want = self.apps[app].wants.get_mut(&key).unwrap();
        want.any -= 1;
        for row in want.hosts.iter_mut().filter(|(host, _)| Some(*host) == by) {
            row.1 -= 1;
        }
        want.hosts.retain(|(_, count)| *count > 0);
        self.granted.push(Granted { app, size: key.1, node });
        Some((app, key.1, self.nodes[node].0))
    }
}

/// The neediest; of equals the first.
fn first<T>(of: Vec<((bool, i32, f64), T)>) -> Option<T> {
    of.into_iter().reduce(|best, next| if next.0 < best.0 { next } else { best }).map(|(_, next)| next)
}

struct Both {
    naive: Naive,
    cluster: Cluster,
    apps: Vec<AppKey>,
    live: Vec<(AllocationKey, usize)>,
    grants: usize,
}

impl Both {
    fn new() -> Self {
        let cluster = Cluster::new(QUEUES);
        Self { naive: Naive::default(), cluster, apps: Vec::new(), live: Vec::new(), grants: 0 }
    }

    fn perform(&mut self, act: Act) {
        match act {
            Act::Node { which, memory, cores } => self.node(which, [memory, cores], true),
            Act::NodeGone(which) => {
                // Its containers end first, as the ResourceManager has them do.
                let host = format!("n{which}");
                let s = &self.cluster.scheduler;
                let on =
                    |key: &AllocationKey| s.nodes.node(s.allocations.get(key.index()).unwrap().node).id.host == host;
                let lost: Vec<usize> = (0..self.live.len()).filter(|index| on(&self.live[*index].0)).rev().collect();
                if self.naive.nodes.iter().any(|(known, _, _)| *known == which) {
                    self.node(which, [0, 0], false);
                    lost.into_iter().for_each(|index| self.release(index));
                }
            }
            Act::App { leaf, priority } => {
                self.apps.push(self.cluster.app_with(LEAVES[leaf].0, "u", priority));
                self.naive.apps.push(NaiveApp { leaf, priority, wants: BTreeMap::new(), ended: false });
            }
            Act::Ask { app, priority, memory, cores, count, host, relax } => {
                let live: Vec<usize> = (0..self.apps.len()).filter(|index| !self.naive.apps[*index].ended).collect();
                if !live.is_empty() {
                    self.ask(live[app % live.len()], priority, [memory, cores], count, host, relax);
                }
            }
            Act::Release(which) => {
                if !self.live.is_empty() {
                    self.release(which % self.live.len());
                }
            }
            Act::End(app) => self.end(app),
            Act::Schedule => self.schedule(),
        }
    }

    fn node(&mut self, which: usize, size: Vector, up: bool) {
        match self.naive.nodes.iter_mut().find(|(known, _, _)| *known == which) {
            Some(known) => (known.1, known.2) = (size, up),
            None => self.naive.nodes.push((which, size, up)),
        }
        let standing = if up { Standing::Usable } else { Standing::Gone };
        let size = Resource::new(size[0], u32::try_from(size[1]).unwrap());
        self.cluster.set_node(&format!("n{which}"), DEFAULT_RACK, "", &size, standing);
    }

    fn ask(&mut self, app: usize, priority: u32, size: Vector, count: u32, host: Option<usize>, relax: bool) {
        let want = self.naive.apps[app].wants.entry((priority, size)).or_default();
        let capability = Resource::new(size[0], u32::try_from(size[1]).unwrap());
        let plain = ResourceRequest { priority, capability, ..row(ANY, 0, count, relax || host.is_none()) };
        want.any = count;
        want.relax = plain.relax_locality;
        self.cluster.ask(self.apps[app], &plain);
        if let Some(host) = host {
            want.hosts.retain(|(known, _)| *known != host);
            if count > 0 {
                want.hosts.push((host, count));
            }
            let local = ResourceRequest { resource_name: format!("n{host}"), relax_locality: true, ..plain };
            self.cluster.ask(self.apps[app], &local);
        }
        if want.any == 0 && want.hosts.is_empty() {
            self.naive.apps[app].wants.remove(&(priority, size));
        }
    }

    fn release(&mut self, index: usize) {
        let (allocation, _) = self.live.remove(index);
        self.naive.granted.remove(index);
        self.cluster.scheduler.release(allocation);
    }

    fn end(&mut self, app: usize) {
        let live: Vec<usize> = (0..self.apps.len()).filter(|index| !self.naive.apps[*index].ended).collect();
        if live.is_empty() {
            return;
        }
        let app = live[app % live.len()];
        let theirs: Vec<usize> = (0..self.live.len()).filter(|index| self.live[*index].1 == app).rev().collect();
        theirs.into_iter().for_each(|index| self.release(index));
        self.naive.apps[app].ended = true;
        self.cluster.scheduler.remove_app(self.apps[app]);
    }

    fn schedule(&mut self) {
        let grants = self.cluster.schedule();
        for grant in &grants {
            let app = grant.application.sequence as usize - 1;
            let size = grant.key.capability();
            let host = grant.node.host[1..].parse::<usize>().unwrap();
            let node = self.naive.nodes.iter().position(|(known, _, _)| *known == host).unwrap();
            let got = (app, [size.memory_mb, u64::from(size.vcores)], host);
            assert_eq!(Some(got), self.naive.grant(node), "after {} grants", self.grants);
            self.live.push((grant.allocation, app));
            self.grants += 1;
        }
        assert_eq!(self.naive.next(), None, "nothing is left that could be granted");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn grants_are_those_of_a_naive_scheduler(acts in prop::collection::vec(act(), 1..80)) {
        let mut both = Both::new();
        for act in acts {
            both.perform(act);
        }
        both.perform(Act::Schedule);
    }
}

/// The property says little if hardly anything is granted.
#[test]
fn random_walks_grant_and_refuse() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut grants, mut refused) = (0, 0);
    for _ in 0..32 {
        let mut both = Both::new();
        for act in prop::collection::vec(act(), 80).new_tree(&mut runner).unwrap().current() {
            both.perform(act);
        }
        grants += both.grants;
        refused += both.cluster.scheduler.pending().1;
    }
    assert!(grants > 300 && refused > 300, "{grants} granted, {refused} refused");
}
