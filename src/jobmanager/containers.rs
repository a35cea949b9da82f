//! Turns missing slots into containers: how many to ask the ResourceManager for, which grant to launch, which to give back.
//!
//! ```text
//! missing slots ─► ask (absolute) ─► granted ─► launched ─► its TaskManager registers ─► slots
//! ```
//!
//! The ResourceManager takes what it grants off the ask by itself, so the ask is only repeated when the need has changed.

use std::collections::BTreeMap;

use crate::ids::{ContainerId, NodeId, TaskManagerId};
use crate::protocol::container::{Allocation, ContainerStatus, last_words};
use crate::resource::Resource;

/// Containers that may end before their TaskManager has registered, one after another, until jobs are told to stop waiting.
const FAILURES_IN_A_ROW_MAX: u32 = 3;

/// What a TaskManager's container is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Slots of each TaskManager.
    pub slots: u32,
    /// What is asked for.
    pub capability: Resource,
}

/// What is to be done at the ResourceManager and at nodes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// Want so many containers in all, beside those granted.
    Ask {
        count: u32,
    },
    Launch(Box<Allocation>),
    Release(ContainerId),
}

/// The containers of an application.
#[derive(Clone, Debug)]
pub struct Containers {
    shape: Shape,
    /// What the ResourceManager still owes, as far as we know.
    asked: u32,
    /// Launched; its TaskManager has not registered.
    starting: BTreeMap<ContainerId, NodeId>,
    /// Its TaskManager has registered.
    running: BTreeMap<ContainerId, TaskManagerId>,
    failures_in_a_row: u32,
}

/// What the end of a container means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was none of ours.
    Unknown,
    /// It held this TaskManager.
    TaskManager(TaskManagerId),
    /// It never came so far. `give_up`: too many did not.
    Start { give_up: bool },
}

impl Containers {
    pub(super) fn new(shape: Shape) -> Self {
        Self { shape, asked: 0, starting: BTreeMap::new(), running: BTreeMap::new(), failures_in_a_row: 0 }
    }

    /// What each is like.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Asked for and not granted, granted and not yet registered.
    pub fn pending(&self) -> (u32, usize) {
        (self.asked, self.starting.len())
    }

    fn needed(&self, missing_slots: u32) -> u32 {
        missing_slots.div_ceil(self.shape.slots.max(1))
    }

    /// Brings the ask in line with the need.
    pub(super) fn reconcile(&mut self, missing_slots: u32) -> Option<Action> {
        let starting = u32::try_from(self.starting.len()).unwrap_or(u32::MAX);
        let count = self.needed(missing_slots).saturating_sub(starting);
        (count != self.asked).then(|| {
            self.asked = count;
            Action::Ask { count }
        })
    }

    /// The ResourceManager has forgotten what was asked.
    pub(super) fn forget_ask(&mut self) {
        self.asked = 0;
    }

    pub(super) fn granted(&mut self, allocations: Vec<Allocation>, missing_slots: u32) -> Vec<Action> {
        let mut actions = Vec::new();
        for allocation in allocations {
            self.asked = self.asked.saturating_sub(1);
            let starting = u32::try_from(self.starting.len()).unwrap_or(u32::MAX);
            if starting < self.needed(missing_slots) {
                self.starting.insert(allocation.container, allocation.node.clone());
                actions.push(Action::Launch(Box::new(allocation)));
            } else {
                actions.push(Action::Release(allocation.container)); // More than is needed by now.
            }
        }
        actions
    }

    pub(super) fn registered(&mut self, container: ContainerId, task_manager: TaskManagerId) {
        self.starting.remove(&container);
        self.running.insert(container, task_manager);
        self.failures_in_a_row = 0;
    }

    /// Those on `node` whose TaskManager has not registered; of the others the TaskManager's link tells.
    pub(super) fn starting_on(&self, node: &NodeId) -> Vec<ContainerId> {
        self.starting.iter().filter(|(_, on)| *on == node).map(|(container, _)| *container).collect()
    }

    /// A container has ended, or could not be launched.
    pub(super) fn ended(&mut self, container: ContainerId) -> Ended {
        if let Some(task_manager) = self.running.remove(&container) {
            return Ended::TaskManager(task_manager);
        }
        if self.starting.remove(&container).is_none() {
            return Ended::Unknown;
        }
        self.failures_in_a_row += 1;
        let give_up = self.failures_in_a_row >= FAILURES_IN_A_ROW_MAX;
        if give_up {
            self.failures_in_a_row = 0;
        }
        Ended::Start { give_up }
    }

    /// The container of a TaskManager.
    pub(super) fn of(&self, task_manager: &TaskManagerId) -> Option<ContainerId> {
        self.running.iter().find(|(_, id)| *id == task_manager).map(|(container, _)| *container)
    }
}

/// Why a container ended, in words: the cause, and the last line it wrote.
pub(super) fn why(status: &ContainerStatus) -> String {
    let Some(exit) = &status.exit else {
        return "ended".to_owned();
    };
    match last_words(&exit.diagnostics) {
        Some(words) => format!("{}: {words}", exit.cause),
        None => exit.cause.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ApplicationId;
    use crate::rpc::token::Token;

    fn container(number: u64) -> ContainerId {
        ContainerId::new(ApplicationId { cluster_timestamp: 1, sequence: 1 }.attempt(1), 0, number)
    }

    fn allocation(number: u64) -> Allocation {
        Allocation {
            container: container(number),
            node: NodeId::new("n1", 8042),
            node_http_address: "n1:8042".to_owned(),
            resource: Resource::new(1024, 2),
            priority: 1,
            allocation_request_id: 0,
            token: Token { kind: String::new(), service: String::new(), identifier: Vec::new(), password: Vec::new() },
        }
    }

    fn two_slots_each() -> Containers {
        Containers::new(Shape { slots: 2, capability: Resource::new(1024, 2) })
    }

    #[test]
    fn asks_are_absolute_and_only_repeated_when_the_need_changes() {
        let mut containers = two_slots_each();
        assert_eq!(containers.reconcile(3), Some(Action::Ask { count: 2 }));
        assert_eq!(containers.reconcile(4), None);
        assert_eq!(containers.granted(vec![allocation(1)], 4), [Action::Launch(Box::new(allocation(1)))]);
        assert_eq!(containers.reconcile(4), None, "one is owed and one starts");
        assert_eq!(containers.starting_on(&NodeId::new("n1", 8042)), [container(1)]);
        assert_eq!(containers.starting_on(&NodeId::new("n2", 8042)), []);
        containers.registered(container(1), TaskManagerId("a".into()));
        assert_eq!(containers.reconcile(2), None);
        assert_eq!(containers.reconcile(0), Some(Action::Ask { count: 0 }));
        assert_eq!(containers.granted(vec![allocation(2)], 0), [Action::Release(container(2))]);
        assert_eq!(containers.ended(container(1)), Ended::TaskManager(TaskManagerId("a".into())));
        assert_eq!(containers.ended(container(1)), Ended::Unknown);
    }

    #[test]
    fn containers_that_end_at_once_are_not_asked_for_for_ever() {
        let mut containers = two_slots_each();
        for number in 1..=3 {
            containers.reconcile(2);
            containers.granted(vec![allocation(number)], 2);
            assert_eq!(containers.ended(container(number)), Ended::Start { give_up: number == 3 });
        }
    }
}
