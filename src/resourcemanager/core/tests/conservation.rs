//! Whatever happens in whatever order, nothing is lost, doubled or over-committed, and nothing stays on a node.

use std::collections::BTreeSet;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_assert, prop_oneof, proptest};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;
use crate::resourcemanager::container::{Role, State};

/// One thing that happens; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Act {
    Submit { memory: u64, keep: bool },
    Kill(usize),
    NodeRegisters(u16),
    NodeSilent(u16),
    NodeResumes(u16),
    Launch(usize),
    Exit { which: usize, ok: bool },
    Ask { which: usize, memory: u64, count: u32 },
    Release(usize),
    Acknowledge(usize),
    MasterSilent(usize),
    Finish(usize),
    Wait(u64),
    Flush,
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let index = 0..100usize;
    prop_oneof![
        3 => (1..1500u64, any::<bool>()).prop_map(|(memory, keep)| Act::Submit { memory, keep }),
        1 => index.clone().prop_map(Act::Kill),
        3 => (1..4u16).prop_map(Act::NodeRegisters),
        1 => (1..4u16).prop_map(Act::NodeSilent),
        1 => (1..4u16).prop_map(Act::NodeResumes),
        8 => index.clone().prop_map(Act::Launch),
        3 => (index.clone(), any::<bool>()).prop_map(|(which, ok)| Act::Exit { which, ok }),
        6 => (index.clone(), 1..900u64, 0..4u32).prop_map(|(which, memory, count)| Act::Ask { which, memory, count }),
        2 => index.clone().prop_map(Act::Release),
        4 => index.clone().prop_map(Act::Acknowledge),
        1 => index.clone().prop_map(Act::MasterSilent),
        1 => index.prop_map(Act::Finish),
        2 => (1..20_000u64).prop_map(Act::Wait),
        6 => Just(Act::Flush),
        1 => Just(Act::Restart),
    ]
}

/// The ResourceManager and the world around it: what nodes really have, what masters have heard.
struct World {
    rm: Rm,
    nodes: BTreeMap<NodeId, BTreeMap<ContainerId, ContainerStatus>>,
    delivered: BTreeMap<ContainerId, ApplicationAttemptId>,
    completed: BTreeSet<(ApplicationAttemptId, ContainerId)>,
    last_response: BTreeMap<ApplicationAttemptId, u64>,
    /// Containers that a restarted ResourceManager took in again.
    recovered: usize,
    completions: usize,
    lost_nodes: usize,
}

fn pick<T: Clone>(of: &[T], index: usize) -> Option<T> {
    (!of.is_empty()).then(|| of[index % of.len()].clone())
}

fn node_id(which: u16) -> NodeId {
    NodeId::new(format!("n{which}"), 8042)
}

impl World {
    fn new() -> Self {
        let mut rm = Rm::new();
        rm.node("n1", 2048);
        rm.slow_store = true;
        Self {
            rm,
            nodes: BTreeMap::from([(node_id(1), BTreeMap::new())]),
            delivered: BTreeMap::new(),
            completed: BTreeSet::new(),
            last_response: BTreeMap::new(),
            recovered: 0,
            completions: 0,
            lost_nodes: 0,
        }
    }

    fn registered(&self) -> Vec<ApplicationAttemptId> {
        self.rm.core.attempts.values().filter(|attempt| attempt.is_registered()).map(|attempt| attempt.id).collect()
    }

    fn perform(&mut self, act: Act) {
        match act {
            Act::Submit { memory, keep } => self.submit(memory, keep),
            Act::Kill(which) => {
                let live: Vec<_> =
                    self.rm.core.applications.values().filter(|a| !a.has_ended()).map(|a| a.id()).collect();
                if let Some(application) = pick(&live, which) {
                    self.rm.apply(Event::Kill { request: 0, application, diagnostics: String::new() });
                }
            }
            Act::NodeRegisters(which) => self.node_registers(&node_id(which)),
            Act::NodeSilent(which) => self.rm.apply(Event::NodeSilent { node: node_id(which) }),
            Act::NodeResumes(which) => self.node_resumes(&node_id(which)),
            Act::Launch(which) => self.launch(which),
            Act::Exit { which, ok } => self.exit(which, ok),
            Act::Ask { which, memory, count } => {
                if let Some(attempt) = pick(&self.registered(), which) {
                    self.allocate(attempt, |allocate| allocate.asks = vec![wanted(memory, count)]);
                }
            }
            Act::Release(which) => {
                let told: Vec<_> = self.delivered.keys().copied().collect();
                if let Some(container) = pick(&told, which)
                    && self.registered().contains(&self.delivered[&container])
                {
                    self.allocate(self.delivered[&container], |allocate| allocate.releases = vec![container]);
                }
            }
            Act::Acknowledge(which) => {
                if let Some(attempt) = pick(&self.registered(), which) {
                    self.allocate(attempt, |_| {});
                }
            }
            Act::MasterSilent(which) => {
                if let Some(attempt) = pick(&self.registered(), which) {
                    self.rm.apply(Event::MasterSilent { attempt });
                }
            }
            Act::Finish(which) => {
                if let Some(attempt) = pick(&self.registered(), which) {
                    self.rm.finish(attempt);
                }
            }
            Act::Wait(ms) => self.rm.advance(Duration::from_millis(ms)),
            Act::Flush => self.rm.flush(),
            Act::Restart => self.restart(),
        }
    }

    fn submit(&mut self, memory: u64, keep: bool) {
        self.rm.apply(Event::NewApplication { request: 0 });
        let sequence = self.rm.core.cluster().last_sequence;
        let mut submission = submission(ApplicationId { cluster_timestamp: IDENTITY, sequence });
        submission.resource = mb(memory);
        submission.keep_containers_across_attempts = keep;
        self.rm.apply(Event::Submit { request: 0, submission: Box::new(submission) });
    }

    fn allocate(&mut self, attempt: ApplicationAttemptId, change: impl FnOnce(&mut AllocateRequest)) {
        let response_id = self.last_response.get(&attempt).copied().unwrap_or(0);
        let mut allocate = AllocateRequest { response_id, ..AllocateRequest::default() };
        change(&mut allocate);
        self.rm.apply(Event::Allocate { request: None, attempt, allocate: Box::new(allocate) });
    }

    /// A node registers with everything that is really on it. Its size is its own.
    fn node_registers(&mut self, id: &NodeId) {
        let has: Vec<_> = self.nodes.entry(id.clone()).or_default().values().cloned().collect();
        let memory = if id.host == "n1" { 2048 } else { 1000 };
        let booked = self.rm.core.containers.len();
        self.rm.apply(node_hello(0, id, memory, has));
        self.recovered += self.rm.core.containers.len().saturating_sub(booked);
    }

    /// The link goes on where it was: what the node said meanwhile arrives.
    fn node_resumes(&mut self, id: &NodeId) {
        let Some(node) = self.rm.core.nodes.get(id) else { return };
        let memory = node.capability.memory_mb;
        let containers: Vec<_> = self.nodes[id].values().cloned().collect();
        let Event::NodeHello { register, .. } = node_hello(0, id, memory, containers.clone()) else { unreachable!() };
        self.rm.apply(Event::NodeHello { request: 0, register, resumed: true });
        let message = ToResourceManager::ContainersChanged { containers };
        self.rm.apply(Event::NodeSays { node: id.clone(), message });
    }

    /// A container starts: its master's if it was ordered, a worker if its master was told.
    fn launch(&mut self, which: usize) {
        let ready = self.rm.core.containers.values().filter(|c| c.state == State::Acquired && !c.reported);
        let ready: Vec<_> = ready.map(|c| (c.id, c.node.clone(), c.resource.clone(), c.role)).collect();
        if let Some((container, node, resource, role)) = pick(&ready, which) {
            let status = ContainerStatus {
                container,
                state: ContainerState::Running,
                resource,
                priority: 1,
                exit: None,
                stopping: false,
            };
            self.nodes.entry(node.clone()).or_default().insert(container, status.clone());
            let message = ToResourceManager::ContainersChanged { containers: vec![status] };
            self.rm.apply(Event::NodeSays { node, message });
            if role == Role::Master {
                self.register_master(container.attempt);
            }
        } else if let Some(attempt) = pick(&self.rm.core.attempts.keys().copied().collect::<Vec<_>>(), which) {
            self.register_master(attempt);
        }
    }

    fn register_master(&mut self, attempt: ApplicationAttemptId) {
        let runs = self.nodes.values().flatten().any(|(id, status)| {
            let master = self.rm.core.attempts[&attempt].master.as_ref();
            status.state == ContainerState::Running && master.is_some_and(|master| master.container == *id)
        });
        if runs {
            let register = RegisterMaster {
                attempt,
                token: self.rm.core.master_token(attempt),
                host: String::new(),
                rpc_port: 0,
                tracking_url: String::new(),
            };
            let register = Box::new(register);
            self.rm.apply(Event::MasterHello { request: 0, register, by: Registering::Link });
        }
    }

    fn exit(&mut self, which: usize, ok: bool) {
        let running = self.nodes.iter().flat_map(|(node, has)| has.values().map(move |status| (node, status)));
        let running: Vec<_> = running
            .filter(|(_, status)| status.state == ContainerState::Running)
            .map(|(node, status)| (node.clone(), status.container))
            .collect();
        let Some((node, container)) = pick(&running, which) else { return };
        let status = self.nodes.get_mut(&node).unwrap().get_mut(&container).unwrap();
        end(status, ExitCause::Completed { code: i32::from(!ok) });
        let status = status.clone();
        if self.rm.core.nodes.get(&node).is_some_and(|node| node.connected) {
            let message = ToResourceManager::ContainersChanged { containers: vec![status] };
            self.rm.apply(Event::NodeSays { node, message });
        }
    }

    fn restart(&mut self) {
        let store = self.rm.store.clone();
        self.rm = Rm::on(store, settings(), self.rm.now);
        self.rm.slow_store = true;
        self.last_response.clear();
        // What was said and not stored may be said again; what an earlier epoch granted is never granted again.
        self.completed.clear();
    }

    /// Takes in what was said since the last time.
    fn observe(&mut self) {
        for effect in std::mem::take(&mut self.rm.said) {
            match effect {
                Effect::ToNode { node, message } => self.node_hears(&node, *message),
                Effect::ToMaster { attempt, message } => self.master_hears(attempt, *message),
                _ => {}
            }
        }
        let lost = |node: &&crate::resourcemanager::node::Node| node.state == crate::protocol::node::NodeState::Lost;
        self.lost_nodes = self.lost_nodes.max(self.rm.core.nodes.values().filter(lost).count());
    }

    fn node_hears(&mut self, node: &NodeId, message: ToNode) {
        let has = self.nodes.entry(node.clone()).or_default();
        match message {
            ToNode::StopContainers { containers, cause } => {
                for container in containers {
                    if let Some(status) = has.get_mut(&container) {
                        end(status, cause.clone());
                    }
                }
            }
            ToNode::CompletionsAcknowledged { containers } => {
                for container in containers {
                    if has.get(&container).is_some_and(|status| status.state == ContainerState::Complete) {
                        has.remove(&container);
                    }
                }
            }
            ToNode::ApplicationsFinished { applications } => {
                for status in has.values_mut() {
                    if applications.contains(&status.container.attempt.application) {
                        end(status, ExitCause::KilledAfterApplicationEnd);
                    }
                }
            }
            ToNode::StartContainer(_) | ToNode::Shutdown { .. } => {}
        }
    }

    fn master_hears(&mut self, attempt: ApplicationAttemptId, message: ToApplicationMaster) {
        let ToApplicationMaster::Allocated(response) = message else { return };
        let last = self.last_response.entry(attempt).or_default();
        if response.response_id <= *last {
            return; // Told again after a reconnect: masters drop it.
        }
        *last = response.response_id;
        for allocation in response.allocated {
            let container = allocation.container;
            assert_eq!(self.delivered.insert(container, attempt), None, "{container} was delivered twice");
            assert_eq!(container.attempt, attempt);
        }
        for status in response.completed {
            self.completions += 1;
            assert!(self.completed.insert((attempt, status.container)), "{} completed twice", status.container);
        }
    }

    fn check_books(&self) {
        let core = &self.rm.core;
        for node in core.nodes.values() {
            let mut used = Resource::default();
            let mut ids = BTreeSet::new();
            for container in core.containers.values().filter(|container| container.node == node.id) {
                used.add(&container.resource);
                ids.insert(container.id);
            }
            assert_eq!((used.memory_mb, used.vcores), (node.allocated.memory_mb, node.allocated.vcores));
            assert_eq!(ids, node.containers, "the books of {}", node.id);
            assert!(node.capability.fits(&node.allocated), "{} is over-committed", node.id);
            let mut all = node.free();
            all.add(&node.allocated);
            assert_eq!(all, node.capability, "granted = used + free");
            assert!(node.is_active() || ids.is_empty(), "{} is {} and has containers", node.id, node.state);
        }
        for container in core.containers.values() {
            let application = &core.applications[&container.id.attempt.application];
            assert!(!application.has_ended(), "{} outlived its application", container.id);
        }
        for attempt in core.attempts.values().filter(|attempt| attempt.is_over()) {
            let wants = core.scheduled(attempt.id).is_some_and(|app| core.scheduler.wants(app));
            assert!(!wants, "{} is over and asks", attempt.id);
        }
    }

    /// Kills all, lets everything expire, has every node come back: nothing may remain anywhere.
    fn wind_up(&mut self) {
        let live: Vec<_> = self.rm.core.applications.values().filter(|a| !a.has_ended()).map(|a| a.id()).collect();
        for application in live {
            self.rm.apply(Event::Kill { request: 0, application, diagnostics: String::new() });
        }
        for _ in 0..3 {
            self.rm.flush();
            self.rm.advance(Duration::from_secs(1000));
            self.rm.flush();
            for id in self.nodes.keys().cloned().collect::<Vec<_>>() {
                self.observe();
                self.node_registers(&id);
            }
            self.observe();
        }
        self.check_books();
    }
}

fn end(status: &mut ContainerStatus, cause: ExitCause) {
    if status.state != ContainerState::Complete {
        status.state = ContainerState::Complete;
        status.exit = Some(Exit { cause, diagnostics: String::new() });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_doubled_or_over_committed(acts in prop::collection::vec(act(), 1..150)) {
        let mut world = World::new();
        for act in acts {
            world.perform(act);
            world.observe();
            world.check_books();
        }
        world.wind_up();
        prop_assert!(world.rm.core.applications.values().all(|application| application.has_ended()));
        prop_assert!(world.rm.core.containers.is_empty());
        prop_assert!(world.nodes.values().all(BTreeMap::is_empty), "left on nodes: {:?}", world.nodes);
    }
}

/// The property above says little if its walks go nowhere.
#[test]
fn random_walks_reach_deliveries_completions_losses_and_recoveries() {
    let mut runner = TestRunner::deterministic();
    let (mut delivered, mut completed, mut recovered, mut lost) = (0, 0, 0, 0);
    for _ in 0..64 {
        let acts = prop::collection::vec(act(), 150).new_tree(&mut runner).unwrap().current();
        let mut world = World::new();
        for act in acts {
            world.perform(act);
            world.observe();
        }
        delivered += world.delivered.len();
        completed += world.completions;
        recovered += world.recovered;
        lost += world.lost_nodes;
    }
    let reached = format!("{delivered} delivered, {completed} completed, {recovered} recovered, {lost} nodes lost");
    assert!(delivered > 100 && completed > 30 && recovered > 30 && lost > 10, "{reached}");
}
