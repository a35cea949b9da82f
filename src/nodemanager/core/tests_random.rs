//! Whatever happens in whatever order, certain things hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::tests::{Node, application, container, process};
use super::{Effect, Event};
use crate::ids::ContainerId;
use crate::nodemanager::resources::ResourceKey;
use crate::process::{Ended, Signal};
use crate::protocol::container::{ContainerState, ExitCause};

/// What the world around a core is doing, as its effects made it.
#[derive(Default)]
struct World {
    downloads: Vec<ResourceKey>,
    launches: Vec<ContainerId>,
    processes: BTreeMap<ContainerId, u32>,
    killed: BTreeSet<ContainerId>,
    launched: BTreeSet<ContainerId>,
    completed: BTreeSet<ContainerId>,
    durable: BTreeSet<ContainerId>,
    durable_exits: BTreeSet<ContainerId>,
}

impl World {
    /// Takes the effects of one step in, checking what must hold at each.
    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Persist(record) => {
                    self.durable.insert(record.lease.container);
                    if record.exit.is_some() {
                        assert!(self.durable_exits.insert(record.lease.container), "an exit is decided once");
                    }
                }
                Effect::Forget(container) => assert!(self.completed.contains(&container)),
                Effect::Localise { key, .. } => {
                    assert!(!self.downloads.contains(&key), "one download a copy");
                    self.downloads.push(key);
                }
                Effect::AbandonLocalisation(key) => self.downloads.retain(|it| *it != key),
                Effect::Launch(launch) => {
                    let id = launch.lease.container;
                    assert!(self.durable.contains(&id), "nothing runs that no record names");
                    assert!(self.launched.insert(id), "a token starts one process");
                    self.launches.push(id);
                }
                Effect::Signal { container, signal, .. } => {
                    assert!(self.processes.contains_key(&container), "only what runs is signalled");
                    if signal == Signal::Kill {
                        self.killed.insert(container);
                    }
                }
                Effect::Report(statuses) => {
                    for status in statuses.iter().filter(|status| status.state == ContainerState::Complete) {
                        if self.durable.contains(&status.container) {
                            assert!(self.durable_exits.contains(&status.container), "durable before it is reported");
                            assert!(!self.processes.contains_key(&status.container), "nothing of it runs");
                        }
                        self.completed.insert(status.container);
                    }
                }
                Effect::DeleteApplication { .. } => assert!(self.processes.is_empty(), "its processes have ended"),
                Effect::DeleteContainer { container, .. } => assert!(self.completed.contains(&container)),
                Effect::Answer { .. } | Effect::WakeAt(_) | Effect::Drained => {}
            }
        }
    }
}

fn step(node: &mut Node, world: &mut World, random: &mut fastrand::Rng) {
    let some = container(random.u64(1..12));
    let event = match random.u8(..12) {
        0..=2 => {
            let files: Vec<_> =
                ["x", "y"][..random.usize(..3)].iter().map(|name| (*name, random.char('a'..='c'))).collect();
            let effects = node.start_random(some, &files);
            return world.take(effects);
        }
        3 => {
            if world.downloads.is_empty() {
                return;
            }
            let resource = world.downloads.swap_remove(random.usize(..world.downloads.len()));
            let outcome = if random.u8(..4) == 0 { Err("gone".to_owned()) } else { Ok(()) };
            Event::Localised { resource, outcome }
        }
        4 | 5 => {
            if world.launches.is_empty() {
                return;
            }
            let container = world.launches.swap_remove(random.usize(..world.launches.len()));
            if random.u8(..5) == 0 {
                Event::LaunchFailed { container, why: "no".to_owned() }
            } else {
                let pid = random.u32(1..);
                world.processes.insert(container, pid);
                Event::Launched { container, process: process(pid) }
            }
        }
        6 | 7 => {
            let Some((&container, _)) = world.processes.iter().next() else { return };
            world.processes.remove(&container);
            let ended = if world.killed.contains(&container) { Ended::Signal(9) } else { Ended::Code(random.i32(..3)) };
            Event::Exited { container, ended: Some(ended), diagnostics: String::new() }
        }
        8 => Event::Stop { containers: vec![some], cause: ExitCause::Released },
        9 => Event::Measured { container: some, rss_bytes: random.u64(..300 << 20) },
        10 => {
            node.now = node.now + Duration::from_millis(random.u64(..2_000));
            Event::Wake
        }
        _ if random.u8(..20) == 0 => Event::ApplicationsFinished(vec![application(1)]),
        _ => Event::CompletionsAcknowledged(vec![some]),
    };
    let effects = node.apply(event);
    world.take(effects);
}

#[test]
fn in_any_order_containers_run_once_end_once_and_leave_nothing() {
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut node = Node::new();
        let mut world = World::default();
        for _ in 0..random.usize(10..200) {
            step(&mut node, &mut world, &mut random);
        }
        // Everything is stopped; the world does what it was asked to.
        let effects = node.apply(Event::Drain { why: "the end".to_owned() });
        let mut drained = effects.contains(&Effect::Drained);
        world.take(effects);
        while !drained {
            node.now = node.now + Duration::from_secs(2);
            let event = if let Some(container) = world.launches.pop() {
                world.processes.insert(container, 7);
                Event::Launched { container, process: process(7) }
            } else if let Some((container, _)) = world.processes.pop_first() {
                Event::Exited { container, ended: Some(Ended::Signal(9)), diagnostics: String::new() }
            } else {
                panic!("seed {seed}: nothing runs and it is not drained");
            };
            let effects = node.apply(event);
            drained = effects.contains(&Effect::Drained);
            world.take(effects);
        }
        assert!(world.downloads.is_empty(), "seed {seed}: a download that nobody waits for");
        assert_eq!(world.durable, world.completed, "seed {seed}: each container taken is reported complete");
    }
}
