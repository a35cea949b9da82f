//! Beginning again with what an earlier NodeManager left.

use super::{Application, Core, Effect};
use crate::ids::ApplicationId;
use crate::nodemanager::container::{Container, ContainerRecord, Found, State};
use crate::time::Now;

impl Core {
    /// Takes over what the records say and what was found of their processes; `applications` are those whose directories are there.
    ///
    /// A process that runs is simply a running container again: why it might have been about to be ended is asked again by who
    /// wanted it.
    pub fn recover(
        &mut self,
        records: Vec<(ContainerRecord, Found)>,
        applications: Vec<(ApplicationId, String)>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        for (application, user) in applications {
            self.applications.insert(application, Application { user, finished: false });
        }
        for (record, found) in records {
            let lease = record.lease;
            let id = lease.container;
            if record.acknowledged {
                self.remember_token(lease, now, out);
                continue;
            }
            if record.exit.is_none() || self.applications.contains_key(&id.attempt.application) {
                let known = Application { user: lease.user.clone(), finished: false };
                self.applications.entry(id.attempt.application).or_insert(known);
            }
            let (state, died_meanwhile) = match (record.exit, found) {
                (Some((exit, at)), _) => (State::Done { exit, at }, None),
                (None, Found::Alive(process)) => (State::Running { process }, None),
                (None, Found::Ended(exit)) => (State::Scheduled, Some(exit)),
            };
            self.containers.insert(id, Container::new(lease, state));
            if let Some(exit) = died_meanwhile {
                self.finish(id, exit.cause, exit.diagnostics, now, out);
            }
        }
    }
}
