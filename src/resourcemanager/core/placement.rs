//! Between the books here and the scheduler's: nodes and asks go there, grants come back and become containers.

use super::{Core, Step};
use crate::ids::{ApplicationAttemptId, ContainerId, NodeId};
use crate::protocol::application_master::Pending;
use crate::resource::Resource;
use crate::resourcemanager::attempt::{self, Attempt};
use crate::resourcemanager::container::{self, Container, Role};
use crate::resourcemanager::record::Master;
use crate::resourcemanager::scheduler::{AppKey, Grant, Reason, Standing, Waiting};
use crate::resourcemanager::timers::Timer;
use crate::time::Now;

/// At most so many containers are granted before others are heard again.
const GRANTS_MAX: usize = 1000;
/// How many attempts that wait are looked at again after something changed, besides those that asked.
const REASONS_CHECKED: usize = 8;

impl Core {
    /// Grants what can be granted, if something changed since the last time.
    pub(super) fn place(&mut self, now: Now) {
        if !std::mem::take(&mut self.replan) {
            return;
        }
        if !self.recovering {
            for grant in self.scheduler.schedule(now, GRANTS_MAX) {
                self.granted(grant, now);
            }
            match self.scheduler.next_deadline(now) {
                Some(at) => self.timers.arm(Timer::Scheduler, at),
                None => self.timers.disarm(&Timer::Scheduler),
            }
            match self.scheduler.next_round(now) {
                Some(at) => self.timers.arm(Timer::PreemptionRound, at),
                None => self.timers.disarm(&Timer::PreemptionRound),
            }
        }
        self.tell_reasons(now);
    }

    /// Makes the scheduler's view of a node that of the books.
    pub(super) fn sync_node(&mut self, id: &NodeId) {
        let Some(node) = self.nodes.get(id) else { return };
        let standing = match (node.is_usable(), node.is_active()) {
            (true, _) => Standing::Usable,
            (false, true) => Standing::Silent,
            (false, false) => Standing::Gone,
        };
        self.scheduler.set_node(id, &node.rack, &node.label, &node.capability, standing);
        self.replan = true;
    }

    /// The place of an attempt's application in the scheduler.
    pub(super) fn scheduled(&self, id: ApplicationAttemptId) -> Option<AppKey> {
        let application = self.applications.get(&id.application)?;
        application.scheduled.filter(|_| application.current_attempt() == Some(id))
    }

    /// A grant becomes a container in the books; its attempt hears of it.
    fn granted(&mut self, grant: Grant, now: Now) {
        let Grant { application, key, master, node, allocation, .. } = grant;
        let current = self.applications.get(&application).and_then(|application| application.current_attempt());
        let attempt = current.and_then(|id| self.attempts.get_mut(&id));
        let place = self.nodes.get_mut(&node);
        let (Some(attempt), Some(place)) = (attempt, place) else {
            debug_assert!(false, "the scheduler knows only live applications and registered nodes");
            return self.scheduler.release(allocation);
        };
        let (id, capability) = (attempt.id, key.capability());
        debug_assert!(place.is_usable() && place.free().fits(&capability), "{node} cannot take {capability}");
        attempt.granted += 1;
        let container = ContainerId::new(id, self.cluster.epoch, attempt.granted);
        place.allocated.add(&capability);
        place.containers.insert(container);
        let role = if master { Role::Master } else { Role::Worker };
        match role {
            Role::Master => {
                let node_http_address = place.http_address.clone();
                let master = Master { container, node: node.clone(), node_http_address, resource: capability.clone() };
                self.steps.push_back(Step::Attempt(id, attempt::Input::MasterAllocated(master)));
            }
            Role::Worker => {
                attempt.mailbox.granted.push(container);
                self.outgoing.mail.insert(id);
                self.timers.arm(Timer::Allocation(container), now + self.settings.allocation_expiry);
            }
        }
        if let Some(application) = self.applications.get_mut(&application) {
            application.nodes.insert(node.clone());
        }
        let granted = Container {
            id: container,
            owner: id,
            node,
            resource: capability,
            priority: key.priority,
            allocation_request_id: key.allocation_request_id,
            allocation: Some(allocation),
            role,
            state: container::State::Allocated,
            reported: false,
            on_notice: None,
            allocated_at: now,
        };
        self.containers.insert(container, granted);
        self.transition("container", container, "NEW", "ALLOCATED");
        self.touch(id.application);
    }

    /// What an attempt's application wants and has not got, with reasons as of now.
    pub(super) fn waiting_of(&self, attempt: &Attempt, now: Now) -> Vec<Waiting> {
        let Some(app) = self.scheduled(attempt.id) else { return Vec::new() };
        let mut waiting = self.scheduler.waiting(app, now);
        if self.recovering {
            // Nothing is granted while nodes come back; everything waits for that.
            for entry in &mut waiting {
                entry.reason = Reason::Recovering;
            }
        }
        waiting
    }

    /// Every unsatisfied ask of an attempt's master, with its reason.
    pub(super) fn pending(&self, attempt: &Attempt, now: Now) -> Vec<Pending> {
        let waiting = self.waiting_of(attempt, now).into_iter().filter(|waiting| !waiting.master);
        let waiting = waiting.map(|waiting| Pending {
            priority: waiting.key.priority,
            allocation_request_id: waiting.key.allocation_request_id,
            capability: waiting.key.capability(),
            count: waiting.count,
            reason: waiting.reason.to_string(),
        });
        attempt.invalid.values().cloned().chain(waiting).collect()
    }

    /// Tells masters when an ask of theirs waits for another kind of reason than before. Those that asked just now are looked
    /// at, and a few others in turn: a change that moves thousands must not cost thousands of explanations.
    fn tell_reasons(&mut self, now: Now) {
        let asked = std::mem::take(&mut self.outgoing.asked);
        let in_turn: Vec<_> = self.waiting.iter().take(REASONS_CHECKED).copied().collect();
        if self.waiting.len() > REASONS_CHECKED {
            // Those behind come first the next time.
            let behind = self.waiting.split_off(&in_turn[REASONS_CHECKED - 1]);
            self.turned.append(&mut self.waiting);
            self.waiting = behind;
        } else if !self.turned.is_empty() {
            self.waiting.append(&mut self.turned);
        }
        for id in asked.into_iter().chain(in_turn) {
            self.tell_reason(id, now);
        }
    }

    fn tell_reason(&mut self, id: ApplicationAttemptId, now: Now) {
        let Some(attempt) = self.attempts.get(&id) else { return };
        let waiting = self.waiting_of(attempt, now);
        let waiting: Vec<_> = waiting.into_iter().map(|w| (w.key, w.master, w.reason)).collect();
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        let same = |((a, _, new), (b, _, old)): (&(_, bool, Reason), &(_, bool, Reason))| a == b && new.same_kind(old);
        let alike = waiting.len() == attempt.told.len() && waiting.iter().zip(&attempt.told).all(same);
        if waiting.is_empty() {
            self.waiting.remove(&id);
            self.turned.remove(&id);
        } else if !self.turned.contains(&id) {
            self.waiting.insert(id);
        }
        if alike {
            return;
        }
        if waiting.iter().any(|(_, master, _)| !master) {
            attempt.mailbox.reasons_changed = true;
            self.outgoing.mail.insert(id);
        }
        attempt.told = waiting;
        self.touch(id.application);
    }

    /// The largest container that can be asked for: the configured limit, or the largest node if that is smaller.
    pub(super) fn maximum_capability(&self) -> Resource {
        let configured = &self.settings.maximum_allocation;
        let largest = self.scheduler.largest();
        let (memory, vcores) = largest.map_or((u64::MAX, u32::MAX), |largest| (largest.memory_mb, largest.vcores));
        Resource {
            memory_mb: memory.min(configured.memory_mb),
            vcores: vcores.min(configured.vcores),
            named: configured.named.clone(),
        }
    }
}
