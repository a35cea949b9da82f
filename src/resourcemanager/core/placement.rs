//! Snapshot out, plan in: the one serial applier. It checks every proposal again.

use std::collections::BTreeMap;

use super::{Core, DEFAULT_QUEUE, Step};
use crate::ids::{ApplicationAttemptId, ContainerId};
use crate::resource::Resource;
use crate::resourcemanager::asks::AskKey;
use crate::resourcemanager::attempt::{self, Attempt};
use crate::resourcemanager::container::{self, Container, Role};
use crate::resourcemanager::node::Node;
use crate::resourcemanager::record::Master;
use crate::resourcemanager::scheduler::{
    self, ApplicationView, NodeView, Plan, Proposal, QueueView, Reason, Snapshot, Waiting,
};
use crate::resourcemanager::timers::Timer;
use crate::time::Now;

impl Core {
    /// Plans and grants, if something changed since the last time.
    pub(super) fn place(&mut self, now: Now) {
        if !std::mem::take(&mut self.replan) {
            return;
        }
        let plan = if self.recovering {
            self.wait_for_nodes()
        } else if self.wanting().next().is_none() {
            Plan::default() // Nothing is wanted; a snapshot of the cluster is not needed to say so.
        } else {
            scheduler::plan(&self.snapshot(), self.settings.placement)
        };
        for proposal in plan.proposals {
            self.grant(proposal, now);
        }
        self.note_waiting(plan.waiting);
    }

    fn snapshot(&self) -> Snapshot<'_> {
        let view = |node: &'_ Node| (node.free(), node.is_usable());
        let nodes = self.nodes.values().filter(|node| node.is_active());
        let nodes = nodes.map(|node| {
            let (free, usable) = view(node);
            NodeView { id: &node.id, rack: &node.rack, total: &node.capability, free, usable }
        });
        let (master_used, masters) = self.masters_used();
        let queue = QueueView { master_limit: self.masters_limit(), master_used, masters };
        Snapshot {
            nodes: nodes.collect(),
            queues: BTreeMap::from([(DEFAULT_QUEUE, queue)]),
            applications: self.wanting().collect(),
        }
    }

    /// Attempts that want something: by their application's priority, then in the order of submission.
    fn wanting(&self) -> impl Iterator<Item = ApplicationView<'_>> {
        let mut wanting: Vec<&Attempt> = self.attempts.values().filter(|attempt| wants(attempt)).collect();
        let priority = |id: ApplicationAttemptId| {
            self.applications.get(&id.application).map_or(0, |application| application.submission.priority)
        };
        wanting.sort_by_key(|attempt| (std::cmp::Reverse(priority(attempt.id)), attempt.id));
        wanting.into_iter().map(|attempt| ApplicationView {
            attempt: attempt.id,
            queue: DEFAULT_QUEUE,
            blacklist: &attempt.blacklist,
            master: self.master_ask(attempt),
            groups: attempt.asks.groups().collect(),
        })
    }

    fn master_ask(&self, attempt: &Attempt) -> Option<AskKey> {
        let application = self.applications.get(&attempt.id.application)?;
        let scheduled = attempt.state == attempt::State::Scheduled && attempt.master.is_none();
        scheduled.then(|| AskKey::new(0, 0, &application.submission.resource))
    }

    /// Nothing is granted while nodes come back; everything waits for that.
    fn wait_for_nodes(&self) -> Plan {
        let mut plan = Plan::default();
        for application in self.wanting() {
            let attempt = application.attempt;
            let mut wait = |key: AskKey, master, count| {
                plan.waiting.push(Waiting { attempt, key, master, count, reason: Reason::Recovering });
            };
            if let Some(key) = application.master {
                wait(key, true, 1);
            }
            for (key, group) in application.groups.iter().filter(|(_, group)| group.wanted() > 0) {
                wait((*key).clone(), false, group.wanted());
            }
        }
        plan
    }

    /// Grants one container, unless the snapshot it was planned on is out of date.
    fn grant(&mut self, proposal: Proposal, now: Now) -> Option<ContainerId> {
        let Proposal { attempt: id, key, master, level, node } = proposal;
        let capability = key.capability();
        let place = self.nodes.get_mut(&node).filter(|node| node.is_usable() && node.free().fits(&capability))?;
        let attempt = self.attempts.get_mut(&id)?;
        let role = if master { Role::Master } else { Role::Worker };
        let wanted = match role {
            Role::Master => attempt.state == attempt::State::Scheduled && attempt.master.is_none(),
            Role::Worker => attempt.asks.group(&key).is_some_and(|group| group.wanted() > 0),
        };
        if !wanted {
            return None;
        }
        attempt.granted += 1;
        let container = ContainerId::new(id, self.cluster.epoch, attempt.granted);
        place.allocated.add(&capability);
        place.containers.insert(container);
        let node_http_address = place.http_address.clone();
        match role {
            Role::Master => {
                let master = Master { container, node: node.clone(), node_http_address, resource: capability.clone() };
                self.steps.push_back(Step::Attempt(id, attempt::Input::MasterAllocated(master)));
            }
            Role::Worker => {
                attempt.asks.satisfied(&key, &level, &place.rack);
                attempt.mailbox.granted.push(container);
                self.outgoing.mail.insert(id);
                self.timers.arm(Timer::Allocation(container), now + self.settings.allocation_expiry);
            }
        }
        if let Some(application) = self.applications.get_mut(&id.application) {
            application.nodes.insert(node.clone());
        }
        let granted = Container {
            id: container,
            owner: id,
            node,
            resource: capability,
            priority: key.priority,
            allocation_request_id: key.allocation_request_id,
            level,
            role,
            state: container::State::Allocated,
            reported: false,
            allocated_at: now,
        };
        self.containers.insert(container, granted);
        self.transition("container", container, "NEW", "ALLOCATED");
        self.touch(id.application);
        Some(container)
    }

    /// Remembers why asks wait, and tells masters when a reason is of another kind than before.
    fn note_waiting(&mut self, waiting: Vec<Waiting>) {
        let mut by_attempt: BTreeMap<ApplicationAttemptId, Waits> = BTreeMap::new();
        for Waiting { attempt, key, master, count, reason } in waiting {
            by_attempt.entry(attempt).or_default().insert((master, key), (count, reason));
        }
        let mut changed = Vec::new();
        for attempt in self.attempts.values_mut().filter(|attempt| !attempt.is_over()) {
            let now = by_attempt.remove(&attempt.id).unwrap_or_default();
            if attempt.waiting == now {
                continue;
            }
            let same_kind =
                |((key, (_, new)), (other, (_, old))): (Wait<'_>, Wait<'_>)| key == other && new.same_kind(old);
            let workers = |waits: &Waits| waits.keys().filter(|(m, _)| !m).count();
            let alike = workers(&now) == workers(&attempt.waiting) && now.iter().zip(&attempt.waiting).all(same_kind);
            if !alike && workers(&now) > 0 {
                attempt.mailbox.reasons_changed = true;
                self.outgoing.mail.insert(attempt.id);
            }
            attempt.waiting = now;
            changed.push(attempt.id.application);
        }
        for application in changed {
            self.touch(application);
        }
    }

    /// What live masters have, and how many there are.
    pub(super) fn masters_used(&self) -> (Resource, usize) {
        let (mut used, mut count) = (Resource::default(), 0);
        for container in self.containers.values().filter(|container| container.role == Role::Master) {
            used.add(&container.resource);
            count += 1;
        }
        (used, count)
    }

    /// What masters may have.
    pub(super) fn masters_limit(&self) -> Resource {
        let total = self.total();
        let share = |amount: u64| amount * self.settings.master_share_percent / 100;
        let mut limit = Resource::new(share(total.memory_mb), u32::MAX);
        limit.vcores = u32::try_from(share(u64::from(total.vcores))).unwrap_or(u32::MAX).max(1);
        limit.named = total.named;
        limit
    }

    /// What active nodes offer.
    pub(super) fn total(&self) -> Resource {
        let mut total = Resource::default();
        for node in self.nodes.values().filter(|node| node.is_active()) {
            total.add(&node.capability);
        }
        total
    }

    /// The largest container that can be asked for: the configured limit, or the largest node if that is smaller.
    pub(super) fn maximum_capability(&self) -> Resource {
        let configured = &self.settings.maximum_allocation;
        let active = || self.nodes.values().filter(|node| node.is_active());
        let memory = active().map(|node| node.capability.memory_mb).max().unwrap_or(configured.memory_mb);
        let vcores = active().map(|node| node.capability.vcores).max().unwrap_or(configured.vcores);
        Resource {
            memory_mb: memory.min(configured.memory_mb),
            vcores: vcores.min(configured.vcores),
            named: configured.named.clone(),
        }
    }
}

type Waits = BTreeMap<(bool, AskKey), (u32, Reason)>;
type Wait<'a> = (&'a (bool, AskKey), &'a (u32, Reason));

fn wants(attempt: &Attempt) -> bool {
    match attempt.state {
        attempt::State::Scheduled => attempt.master.is_none(),
        attempt::State::Running => attempt.asks.groups().next().is_some(),
        attempt::State::New
        | attempt::State::Submitted
        | attempt::State::AllocatedSaving
        | attempt::State::Allocated
        | attempt::State::Launched
        | attempt::State::FinalSaving { .. }
        | attempt::State::Finishing
        | attempt::State::Finished
        | attempt::State::Failed
        | attempt::State::Killed => false,
    }
}
