//! Whatever happens in whatever order, nothing is lost, doubled or over-committed.

use std::collections::BTreeSet;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_assert, prop_oneof, proptest};

use super::*;
use crate::resourcemanager::container::Role;

/// One thing that happens; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Act {
    Submit { memory: u64, keep: bool },
    Kill(usize),
    Node { which: u16, memory: u64 },
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
    let any_index = 0..100usize;
    prop_oneof![
        3 => (1..1500u64, any::<bool>()).prop_map(|(memory, keep)| Act::Submit { memory, keep }),
        1 => any_index.clone().prop_map(Act::Kill),
        3 => (1..4u16, 500..3000u64).prop_map(|(which, memory)| Act::Node { which, memory }),
        1 => (1..4u16).prop_map(Act::NodeSilent),
        1 => (1..4u16).prop_map(Act::NodeResumes),
        6 => any_index.clone().prop_map(Act::Launch),
        4 => (any_index.clone(), any::<bool>()).prop_map(|(which, ok)| Act::Exit { which, ok }),
        6 => (any_index.clone(), 1..900u64, 0..4u32).prop_map(|(which, memory, count)| Act::Ask { which, memory, count }),
        2 => any_index.clone().prop_map(Act::Release),
        4 => any_index.clone().prop_map(Act::Acknowledge),
        1 => any_index.clone().prop_map(Act::MasterSilent),
        2 => any_index.prop_map(Act::Finish),
        2 => (1..20_000u64).prop_map(Act::Wait),
        4 => Just(Act::Flush),
        1 => Just(Act::Restart),
    ]
}

/// What the outside saw.
#[derive(Default)]
struct Seen {
    delivered: BTreeMap<ContainerId, ApplicationAttemptId>,
    completed: BTreeSet<(ApplicationAttemptId, ContainerId)>,
    last_response: BTreeMap<ApplicationAttemptId, u64>,
}

fn pick<T: Clone>(of: &[T], index: usize) -> Option<T> {
    (!of.is_empty()).then(|| of[index % of.len()].clone())
}

fn perform(rm: &mut Rm, seen: &mut Seen, act: Act) {
    let attempts: Vec<_> = rm.core.attempts.values().filter(|a| !a.is_over()).map(|a| a.id).collect();
    let registered: Vec<_> =
        rm.core.attempts.values().filter(|attempt| attempt.is_registered()).map(|attempt| attempt.id).collect();
    let containers: Vec<_> = rm.core.containers.keys().copied().collect();
    let told: Vec<_> = containers.iter().filter(|id| seen.delivered.contains_key(id)).copied().collect();
    let event = match act {
        Act::Submit { memory, keep } => {
            rm.requests += 1;
            rm.apply(Event::NewApplication { request: rm.requests });
            let application = ApplicationId { cluster_timestamp: IDENTITY, sequence: rm.core.cluster().last_sequence };
            let mut submission = submission(application);
            submission.resource = mb(memory);
            submission.keep_containers_across_attempts = keep;
            Some(Event::Submit { request: 0, submission: Box::new(submission) })
        }
        Act::Kill(which) => pick(&attempts, which).map(|attempt| Event::Kill {
            request: 0,
            application: attempt.application,
            diagnostics: String::new(),
        }),
        Act::Node { which, memory } => {
            let id = NodeId::new(format!("n{which}"), 8042);
            let known = rm.core.containers.values().filter(|c| c.node == id && c.reported);
            let known = known.map(|c| ContainerStatus {
                container: c.id,
                state: c.public_state(),
                resource: c.resource.clone(),
                priority: c.priority,
                exit: None,
            });
            let known: Vec<_> = known.collect();
            // A node's size is its own; one that knows its containers comes back as large as it was.
            let memory = rm.core.nodes.get(&id).map_or(memory, |node| node.capability.memory_mb);
            Some(node_hello(0, &id, memory, known))
        }
        Act::NodeSilent(which) => Some(Event::NodeSilent { node: NodeId::new(format!("n{which}"), 8042) }),
        Act::NodeResumes(which) => {
            let id = NodeId::new(format!("n{which}"), 8042);
            let memory = rm.core.nodes.get(&id).map(|node| node.capability.memory_mb);
            memory.map(|memory| match node_hello(0, &id, memory, Vec::new()) {
                Event::NodeHello { request, register, .. } => Event::NodeHello { request, register, resumed: true },
                other => other,
            })
        }
        Act::Launch(which) => {
            if let Some(container) = pick(&containers, which) {
                let stored =
                    rm.core.containers[&container].state != crate::resourcemanager::container::State::Allocated;
                if stored {
                    let node = rm.core.containers[&container].node.clone();
                    rm.report(&node, container, ContainerState::Running, None);
                    if rm.core.containers.get(&container).is_some_and(|c| c.role == Role::Master) {
                        let _ = rm.core.attempts.get(&container.attempt);
                        let token = rm.core.master_token(container.attempt);
                        let register = Box::new(RegisterMaster {
                            attempt: container.attempt,
                            token,
                            host: String::new(),
                            rpc_port: 0,
                            tracking_url: String::new(),
                        });
                        rm.apply(Event::MasterHello { request: 0, register, by: Registering::Link });
                    }
                }
            }
            None
        }
        Act::Exit { which, ok } => {
            if let Some(container) = pick(&containers, which) {
                rm.exit(container, ExitCause::Completed { code: i32::from(!ok) });
            }
            None
        }
        Act::Ask { which, memory, count } => pick(&registered, which).map(|attempt| {
            let response_id = rm.core.attempts[&attempt].mailbox.last_id();
            let asks = vec![wanted(memory, count)];
            let allocate = Box::new(AllocateRequest { response_id, asks, ..AllocateRequest::default() });
            Event::Allocate { request: None, attempt, allocate }
        }),
        Act::Release(which) => pick(&told, which).and_then(|container| {
            let attempt = rm.core.containers[&container].owner;
            let response_id = rm.core.attempts.get(&attempt).filter(|a| a.is_registered())?.mailbox.last_id();
            let releases = vec![container];
            let allocate = Box::new(AllocateRequest { response_id, releases, ..AllocateRequest::default() });
            Some(Event::Allocate { request: None, attempt, allocate })
        }),
        Act::Acknowledge(which) => pick(&registered, which).map(|attempt| {
            let response_id = seen.last_response.get(&attempt).copied().unwrap_or(0);
            let allocate = Box::new(AllocateRequest { response_id, ..AllocateRequest::default() });
            Event::Allocate { request: None, attempt, allocate }
        }),
        Act::MasterSilent(which) => pick(&registered, which).map(|attempt| Event::MasterSilent { attempt }),
        Act::Finish(which) => pick(&registered, which).map(|attempt| Event::Finish {
            request: None,
            attempt,
            finish: Finish {
                final_status: FinalStatus::Succeeded,
                diagnostics: String::new(),
                tracking_url: String::new(),
            },
        }),
        Act::Wait(ms) => {
            rm.now = rm.now + Duration::from_millis(ms);
            Some(Event::Wake)
        }
        Act::Flush => {
            rm.flush();
            None
        }
        Act::Restart => {
            let store = rm.store.clone();
            *rm = Rm::on(store, settings(), rm.now);
            rm.slow_store = true;
            *seen = Seen::default();
            None
        }
    };
    if let Some(event) = event {
        rm.apply(event);
    }
}

fn observe(rm: &mut Rm, seen: &mut Seen) {
    for effect in std::mem::take(&mut rm.said) {
        let Effect::ToMaster { attempt, message } = effect else { continue };
        let ToApplicationMaster::Allocated(response) = *message else { continue };
        let last = seen.last_response.entry(attempt).or_default();
        if response.response_id <= *last {
            continue; // Told again after a reconnect: masters drop it.
        }
        *last = response.response_id;
        for allocation in response.allocated {
            let container = allocation.container;
            assert_eq!(seen.delivered.insert(container, attempt), None, "{container} was delivered twice");
            assert_eq!(container.attempt, attempt);
        }
        for status in response.completed {
            assert!(seen.completed.insert((attempt, status.container)), "{} completed twice", status.container);
        }
    }
}

fn check_books(rm: &Rm) {
    for node in rm.core.nodes.values() {
        let mut used = Resource::default();
        let on_node = rm.core.containers.values().filter(|container| container.node == node.id);
        let mut ids = BTreeSet::new();
        for container in on_node {
            used.add(&container.resource);
            ids.insert(container.id);
        }
        assert_eq!(used.memory_mb, node.allocated.memory_mb, "the books of {}", node.id);
        assert_eq!(used.vcores, node.allocated.vcores, "the books of {}", node.id);
        assert_eq!(ids, node.containers);
        assert!(node.capability.fits(&node.allocated), "{} is over-committed", node.id);
        let mut all = node.free();
        all.add(&node.allocated);
        assert_eq!(all, node.capability, "granted = used + free");
        assert!(node.is_active() || ids.is_empty(), "{} is {} and has containers", node.id, node.state);
    }
    for container in rm.core.containers.values() {
        let application = &rm.core.applications[&container.id.attempt.application];
        assert!(!application.has_ended(), "{} outlived its application", container.id);
        assert!(rm.core.nodes.contains_key(&container.node));
    }
    for attempt in rm.core.attempts.values().filter(|attempt| attempt.is_over()) {
        assert!(attempt.asks.groups().next().is_none(), "{} is over and asks", attempt.id);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_doubled_or_over_committed(acts in prop::collection::vec(act(), 1..120)) {
        let mut rm = Rm::new();
        rm.slow_store = true;
        rm.flush();
        rm.node("n1", 2048);
        let mut seen = Seen::default();
        for act in acts {
            perform(&mut rm, &mut seen, act);
            observe(&mut rm, &mut seen);
            check_books(&rm);
        }
        // Left alone, everything ends or waits: kill all, let everything expire, and nothing remains.
        let live: Vec<_> = rm.core.applications.values().filter(|a| !a.has_ended()).map(|a| a.id()).collect();
        for application in live {
            rm.apply(Event::Kill { request: 0, application, diagnostics: String::new() });
        }
        rm.flush();
        rm.advance(Duration::from_secs(1000));
        rm.flush();
        observe(&mut rm, &mut seen);
        check_books(&rm);
        prop_assert!(rm.core.applications.values().all(|application| application.has_ended()));
        prop_assert!(rm.core.containers.is_empty());
    }
}
