//! Turns missing slots into containers: how many to ask the ResourceManager for, which grant to launch, which to give back.
//!
//! ```text
//! missing slots ─► ask (absolute) ─► granted ─► launched ─┬─► its TaskManager registers ─► slots
//!        kept of the attempt of the JobManager before ────┘ └─► not in time: given back
//! ```
//!
//! The ResourceManager takes what it grants off the ask by itself, so the ask is only repeated when the need has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::ids::{ContainerId, NodeId, TaskManagerId};
use crate::protocol::container::{Allocation, ContainerStatus, ExitCause, last_words};
use crate::resource::Resource;
use crate::time::Now;

/// How long nothing more is asked for after containers have ended before their TaskManager has registered: the first time, the next,
/// and so on.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];
/// After so many whose process ended by itself, or which their node has refused, jobs are told to stop waiting. What else goes wrong may
/// pass, and is waited for as long as jobs wait for slots.
const LASTING_FAILURES_MAX: usize = 3;

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
    /// Launched here, or kept of an attempt before; its TaskManager has not registered.
    starting: BTreeMap<ContainerId, Starting>,
    /// Its TaskManager has registered.
    running: BTreeMap<ContainerId, TaskManagerId>,
    /// Times in a row that containers ended like that, and those of them that were no accident.
    failures_in_a_row: (usize, usize),
    last_failure: Option<String>,
    /// No more is asked for until then.
    pause_until: Now,
    takeover: Option<Takeover>,
}

/// A container whose TaskManager is expected.
#[derive(Clone, Debug)]
struct Starting {
    node: NodeId,
    /// Kept of an attempt before: until when its TaskManager is waited for.
    kept_until: Option<Now>,
}

/// What has become of the containers that the attempt before has left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Takeover {
    /// Whose TaskManager has registered.
    pub taken_over: u32,
    /// Given back, as their TaskManager has not registered in time; and those that have ended meanwhile.
    pub given_up: BTreeSet<ContainerId>,
    /// Since when none is waited for any more.
    pub over_at: Option<Now>,
}

/// What the end of a container means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was none of ours.
    Unknown,
    /// It held this TaskManager.
    TaskManager(TaskManagerId),
    /// It never came so far. Others are asked for then; absent: too many did not.
    Start { again_at: Option<Now> },
}

impl Containers {
    pub(super) fn new(shape: Shape) -> Self {
        Self {
            shape,
            asked: 0,
            starting: BTreeMap::new(),
            running: BTreeMap::new(),
            failures_in_a_row: (0, 0),
            last_failure: None,
            pause_until: Now(0),
            takeover: None,
        }
    }

    /// What has become of those that the attempt before has left behind, if it has.
    pub fn takeover(&self) -> Option<&Takeover> {
        self.takeover.as_ref()
    }

    /// Waits until then for the TaskManagers in containers that the attempt before has left behind. Those that are known are.
    pub(super) fn keep(&mut self, left: Vec<Allocation>, until: Now) {
        for allocation in left {
            let container = allocation.container;
            let given_up = self.is_given_up(container);
            if !given_up && !self.running.contains_key(&container) && !self.starting.contains_key(&container) {
                let kept = Starting { node: allocation.node, kept_until: Some(until) };
                self.starting.insert(container, kept);
                let begun = Takeover { taken_over: 0, given_up: BTreeSet::new(), over_at: None };
                self.takeover.get_or_insert(begun).over_at = None;
            }
        }
    }

    /// Gives up those of the attempt before whose TaskManager has not come in time.
    pub(super) fn give_up_kept(&mut self, now: Now) -> Vec<Action> {
        let late = |starting: &Starting| starting.kept_until.is_some_and(|until| until <= now);
        let late: Vec<ContainerId> =
            self.starting.iter().filter(|(_, starting)| late(starting)).map(|(container, _)| *container).collect();
        for container in &late {
            self.starting.remove(container);
            self.no_longer_kept(*container);
        }
        late.into_iter().map(Action::Release).collect()
    }

    /// Whether its TaskManager comes too late: the container has been given back.
    pub(super) fn is_given_up(&self, container: ContainerId) -> bool {
        self.takeover.as_ref().is_some_and(|takeover| takeover.given_up.contains(&container))
    }

    fn no_longer_kept(&mut self, container: ContainerId) {
        if let Some(takeover) = &mut self.takeover {
            takeover.given_up.insert(container);
        }
    }

    /// The takeover, if it has just ended: every TaskManager that was kept has come or is given up.
    pub(super) fn takeover_that_ended(&mut self, now: Now) -> Option<&Takeover> {
        let waits = self.starting.values().any(|starting| starting.kept_until.is_some());
        let takeover = self.takeover.as_mut().filter(|takeover| takeover.over_at.is_none() && !waits)?;
        takeover.over_at = Some(now);
        Some(takeover)
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
    pub(super) fn reconcile(&mut self, missing_slots: u32, now: Now) -> Option<Action> {
        let starting = u32::try_from(self.starting.len()).unwrap_or(u32::MAX);
        let most = if now < self.pause_until { self.asked } else { u32::MAX };
        let count = self.needed(missing_slots).saturating_sub(starting).min(most);
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
                let starting = Starting { node: allocation.node.clone(), kept_until: None };
                self.starting.insert(allocation.container, starting);
                actions.push(Action::Launch(Box::new(allocation)));
            } else {
                actions.push(Action::Release(allocation.container)); // More than is needed by now.
            }
        }
        actions
    }

    pub(super) fn registered(&mut self, container: ContainerId, task_manager: TaskManagerId) {
        let was_kept = self.starting.remove(&container).is_some_and(|starting| starting.kept_until.is_some());
        if let Some(takeover) = self.takeover.as_mut().filter(|_| was_kept) {
            takeover.taken_over += 1;
        }
        self.running.insert(container, task_manager);
        (self.failures_in_a_row, self.pause_until, self.last_failure) = ((0, 0), Now(0), None);
    }

    /// Those on `node` whose TaskManager has not registered; of the others the TaskManager's link tells.
    pub(super) fn starting_on(&self, node: &NodeId) -> Vec<ContainerId> {
        self.starting.iter().filter(|(_, starting)| starting.node == *node).map(|(container, _)| *container).collect()
    }

    /// Why the last container did not come to a TaskManager, if none has since.
    pub(super) fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }

    /// A container has ended, or could not be launched. Those that end while a pause lasts ended of the same cause as the one before.
    pub(super) fn ended(&mut self, container: ContainerId, end: &End, now: Now) -> Ended {
        if let Some(task_manager) = self.running.remove(&container) {
            return Ended::TaskManager(task_manager);
        }
        match self.starting.remove(&container) {
            None => return Ended::Unknown,
            Some(Starting { kept_until: Some(_), .. }) => {
                self.no_longer_kept(container);
                return Ended::Start { again_at: Some(now) };
            }
            Some(Starting { kept_until: None, .. }) => {}
        }
        self.last_failure = Some(end.why.clone());
        if now >= self.pause_until {
            let (failures, lasting) = &mut self.failures_in_a_row;
            let pause = PAUSES[(*failures).min(PAUSES.len() - 1)];
            *failures += 1;
            *lasting += usize::from(end.stays);
            if *lasting == LASTING_FAILURES_MAX {
                self.failures_in_a_row = (0, 0);
                return Ended::Start { again_at: None };
            }
            self.pause_until = now + pause;
        }
        Ended::Start { again_at: Some(self.pause_until) }
    }

    /// The container of a TaskManager.
    pub(super) fn of(&self, task_manager: &TaskManagerId) -> Option<ContainerId> {
        self.running.iter().find(|(_, id)| *id == task_manager).map(|(container, _)| *container)
    }
}

/// Why a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// In words: the cause, and the last line it wrote.
    pub(super) why: String,
    /// Whether the next would end so, too: its process ended by itself, or the node has refused it.
    pub(super) stays: bool,
}

impl End {
    /// Something else than its process.
    pub(super) fn of_others(why: impl Into<String>) -> Self {
        Self { why: why.into(), stays: false }
    }

    pub(super) fn of(status: &ContainerStatus) -> Self {
        let Some(exit) = &status.exit else { return Self::of_others("ended") };
        let why = match last_words(&exit.diagnostics) {
            Some(words) => format!("{}: {words}", exit.cause),
            None => exit.cause.to_string(),
        };
        let stays = matches!(
            exit.cause,
            ExitCause::Completed { .. } | ExitCause::Signal { .. } | ExitCause::OutOfMemory { .. }
        );
        Self { why, stays }
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

    fn exited() -> End {
        End { why: "exited with code 1".to_owned(), stays: true }
    }

    fn two_slots_each() -> Containers {
        Containers::new(Shape { slots: 2, capability: Resource::new(1024, 2) })
    }

    #[test]
    fn asks_are_absolute_and_only_repeated_when_the_need_changes() {
        let mut containers = two_slots_each();
        assert_eq!(containers.reconcile(3, Now(1)), Some(Action::Ask { count: 2 }));
        assert_eq!(containers.reconcile(4, Now(1)), None);
        assert_eq!(containers.granted(vec![allocation(1)], 4), [Action::Launch(Box::new(allocation(1)))]);
        assert_eq!(containers.reconcile(4, Now(1)), None, "one is owed and one starts");
        assert_eq!(containers.starting_on(&NodeId::new("n1", 8042)), [container(1)]);
        assert_eq!(containers.starting_on(&NodeId::new("n2", 8042)), []);
        containers.registered(container(1), TaskManagerId("a".into()));
        assert_eq!(containers.reconcile(2, Now(1)), None);
        assert_eq!(containers.reconcile(0, Now(1)), Some(Action::Ask { count: 0 }));
        assert_eq!(containers.granted(vec![allocation(2)], 0), [Action::Release(container(2))]);
        assert_eq!(containers.ended(container(1), &exited(), Now(1)), Ended::TaskManager(TaskManagerId("a".into())));
        assert_eq!(containers.ended(container(1), &exited(), Now(1)), Ended::Unknown);
    }

    #[test]
    fn containers_that_end_at_once_are_not_asked_for_for_ever() {
        let mut containers = two_slots_each();
        let again_at = |at: u64| Ended::Start { again_at: Some(Now(at)) };
        containers.granted(vec![allocation(1), allocation(2)], 4);
        assert_eq!(containers.ended(container(1), &exited(), Now(10)), again_at(210));
        assert_eq!(containers.ended(container(2), &exited(), Now(209)), again_at(210), "for the same reason");
        assert_eq!(containers.reconcile(4, Now(209)), None);
        assert_eq!(containers.reconcile(4, Now(210)), Some(Action::Ask { count: 2 }));
        containers.granted(vec![allocation(3), allocation(4)], 4);
        assert_eq!(containers.ended(container(3), &exited(), Now(300)), again_at(1_300));
        assert_eq!(containers.ended(container(4), &exited(), Now(1_300)), Ended::Start { again_at: None });
    }

    #[test]
    fn what_goes_wrong_before_a_process_runs_is_waited_for_with_growing_pauses() {
        let (mut containers, mut now) = (two_slots_each(), 0);
        let full = End::of_others("no space left on device");
        for (number, pause) in [(1, 200), (2, 1_000), (3, 2_000), (4, 5_000), (5, 10_000), (6, 10_000)] {
            containers.granted(vec![allocation(number)], 4);
            let again_at = Ended::Start { again_at: Some(Now(now + pause)) };
            assert_eq!(containers.ended(container(number), &full, Now(now)), again_at);
            now += pause;
        }
        assert_eq!(containers.last_failure(), Some("no space left on device"));
        containers.granted(vec![allocation(7), allocation(8)], 4);
        containers.registered(container(7), TaskManagerId("a".into()));
        assert_eq!(containers.last_failure(), None);
        let again_at = Ended::Start { again_at: Some(Now(now + 200)) };
        assert_eq!(containers.ended(container(8), &full, Now(now)), again_at, "the first one again");
    }

    #[test]
    fn kept_containers_count_as_coming_until_their_task_manager_has_or_is_too_late() {
        let mut containers = two_slots_each();
        containers.keep(vec![allocation(1), allocation(2), allocation(3)], Now(10));
        containers.keep(vec![allocation(1)], Now(99));
        assert_eq!(containers.reconcile(8, Now(1)), Some(Action::Ask { count: 1 }), "three of four are coming");
        containers.registered(container(1), TaskManagerId("a".into()));
        assert_eq!(containers.ended(container(2), &exited(), Now(5)), Ended::Start { again_at: Some(Now(5)) });
        assert_eq!(containers.give_up_kept(Now(9)), []);
        assert_eq!(containers.takeover_that_ended(Now(9)), None);
        assert_eq!(containers.give_up_kept(Now(10)), [Action::Release(container(3))]);
        let given_up = [container(2), container(3)].into();
        let takeover = Takeover { taken_over: 1, given_up, over_at: Some(Now(10)) };
        assert_eq!(containers.takeover_that_ended(Now(10)), Some(&takeover));
        assert_eq!(containers.takeover_that_ended(Now(11)), None, "said once");
        assert!(containers.is_given_up(container(3)) && !containers.is_given_up(container(1)));
        assert_eq!(containers.reconcile(6, Now(1)), Some(Action::Ask { count: 3 }));
        containers.keep(vec![allocation(1), allocation(3)], Now(99));
        assert_eq!(containers.takeover_that_ended(Now(99)), None, "a ResourceManager that has restarted says it again");
    }
}
