//! The end of an application, and what may be forgotten.

use std::time::Duration;

use super::{COMPLETION_KEPT, Core, Effect};
use crate::ids::{ApplicationId, ContainerId};
use crate::nodemanager::container::{Container, ContainerRecord, Lease, State};
use crate::protocol::container::ExitCause;
use crate::time::Now;

impl Core {
    pub(super) fn finish_application(&mut self, id: ApplicationId, now: Now, out: &mut Vec<Effect>) {
        let Some(application) = self.applications.get_mut(&id) else {
            return;
        };
        application.finished = true;
        for container in self.containers_of(id) {
            self.kill(container, ExitCause::KilledAfterApplicationEnd, now, out);
        }
        self.clean_up_if_over(id, now, out);
    }

    /// Deletes what a finished application leaves, as soon as none of its containers lives.
    pub(super) fn clean_up_if_over(&mut self, id: ApplicationId, now: Now, out: &mut Vec<Effect>) {
        let over = self.applications.get(&id).is_some_and(|application| application.finished)
            && self.containers_of(id).iter().all(|container| self.containers[container].is_done());
        if !over {
            return;
        }
        if let Some(application) = self.applications.remove(&id) {
            out.push(Effect::DeleteApplication { application: id, user: application.user });
            out.push(Effect::WakeAt(now + COMPLETION_KEPT));
        }
    }

    pub(super) fn containers_of(&self, id: ApplicationId) -> Vec<ContainerId> {
        self.containers.keys().filter(|container| container.attempt.application == id).copied().collect()
    }

    pub(super) fn acknowledged(&mut self, containers: &[ContainerId], now: Now, out: &mut Vec<Effect>) {
        for id in containers {
            let Some(container) = self.containers.get(id).filter(|container| container.is_done()) else {
                continue;
            };
            let lease = container.lease.clone();
            self.containers.remove(id);
            self.remember_token(lease, now, out);
        }
    }

    /// A container is forgotten, except that its token must not start another one.
    pub(super) fn remember_token(&mut self, lease: Lease, now: Now, out: &mut Vec<Effect>) {
        if lease.token_expires_at < now {
            out.push(Effect::Forget(lease.container));
            return;
        }
        self.spent.insert(lease.container, lease.token_expires_at);
        out.push(Effect::WakeAt(lease.token_expires_at + Duration::from_millis(1)));
        out.push(Effect::Persist(ContainerRecord { lease, exit: None, acknowledged: true }));
    }

    /// Completions of finished applications that nobody has acknowledged for long.
    pub(super) fn forget_unacknowledged(&mut self, now: Now, out: &mut Vec<Effect>) {
        let stale = |container: &&Container| {
            let over = !self.applications.contains_key(&container.lease.container.attempt.application);
            over && matches!(&container.state, State::Done { at, .. } if now.since(*at) >= COMPLETION_KEPT)
        };
        let leases: Vec<Lease> =
            self.containers.values().filter(stale).map(|container| container.lease.clone()).collect();
        for lease in leases {
            self.containers.remove(&lease.container);
            self.remember_token(lease, now, out);
        }
    }
}
