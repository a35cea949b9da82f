//! Containers that are taken from applications for others: notice, grace, end.

use std::collections::BTreeMap;

use super::Core;
use crate::ids::{ApplicationAttemptId, ApplicationId, ContainerId};
use crate::protocol::application_master::Preempting;
use crate::protocol::container::ExitCause;
use crate::resourcemanager::container::Role;
use crate::resourcemanager::scheduler::AllocationKey;
use crate::resourcemanager::timers::Timer;
use crate::time::Now;

impl Core {
    /// One round: some containers are put on notice, others are let off.
    pub(super) fn preempt(&mut self, now: Now) {
        self.replan = true;
        if self.recovering {
            return;
        }
        let round = self.scheduler.preempt(now);
        let at = now + self.scheduler.config().scheduler.preemption_grace;
        let mut known = BTreeMap::new();
        for (application, allocation) in round.lifted {
            if let Some(id) = self.container_of(application, allocation, &mut known) {
                self.timers.disarm(&Timer::Preemption(id));
                self.put_on_notice(id, None);
            }
        }
        for (application, allocation, queue) in round.marked {
            if let Some(id) = self.container_of(application, allocation, &mut known) {
                self.timers.arm(Timer::Preemption(id), at);
                self.put_on_notice(id, Some((at, queue)));
            }
        }
    }

    /// The container that stands behind an allocation; each application's are looked through once.
    fn container_of(
        &self,
        application: ApplicationId,
        allocation: AllocationKey,
        known: &mut BTreeMap<ApplicationId, BTreeMap<AllocationKey, ContainerId>>,
    ) -> Option<ContainerId> {
        let of = known.entry(application).or_insert_with(|| {
            let live = self.containers_of(application).into_iter();
            live.filter_map(|id| Some((self.containers.get(&id)?.allocation?, id))).collect()
        });
        of.get(&allocation).copied()
    }

    fn put_on_notice(&mut self, id: ContainerId, notice: Option<(Now, String)>) {
        let Some(container) = self.containers.get_mut(&id) else { return };
        container.on_notice = notice;
        let owner = container.owner;
        if let Some(attempt) = self.attempts.get_mut(&owner) {
            attempt.mailbox.notices_changed = true;
            self.outgoing.mail.insert(owner);
        }
    }

    /// Every container of an attempt that is on notice.
    pub(super) fn notices(&self, id: ApplicationAttemptId, now: Now) -> Vec<Preempting> {
        let of = self.containers_of(id.application).into_iter().filter_map(|id| self.containers.get(&id));
        of.filter(|container| container.owner == id)
            .filter_map(|container| {
                let (at, queue) = container.on_notice.as_ref()?;
                let in_ms = at.as_millis().saturating_sub(now.as_millis());
                Some(Preempting { container: container.id, queue: queue.clone(), in_ms })
            })
            .collect()
    }

    /// The grace is over.
    pub(super) fn take_away(&mut self, id: ContainerId, now: Now) {
        let Some(container) = self.containers.get(&id) else { return };
        let Some((_, queue)) = container.on_notice.clone() else { return };
        let (role, resource) = (container.role, container.resource.clone());
        if let Some(application) = self.applications.get_mut(&id.attempt.application) {
            let preempted = &mut application.preempted;
            preempted.resource.add(&resource);
            match role {
                Role::Master => preempted.masters += 1,
                Role::Worker => preempted.workers += 1,
            }
        }
        self.kill_container(id, ExitCause::Preempted { queue }, now);
    }
}
