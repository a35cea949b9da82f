//! What a node decides: which containers it takes, when it launches and ends them, what it reports and what it keeps. Pure.

mod applications;
mod ending;
mod events;
mod recovery;
mod starting;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

pub use self::events::{Effect, Event, Launch, RequestId};
use super::admission::Registration;
use super::container::Container;
use super::error::Illegal;
use super::handle::{ApplicationView, ContainerView};
use super::resources::Downloads;
use crate::ids::{ApplicationId, ContainerId, NodeId};
use crate::process::Identity;
use crate::protocol::container::ContainerStatus;
use crate::time::Now;

/// How long after a kill the same is tried again.
const KILL_AGAIN: Duration = Duration::from_secs(1);
/// How long what ended is remembered for a ResourceManager that never acknowledges it, once its application is over.
const COMPLETION_KEPT: Duration = Duration::from_secs(600);

/// What the core is given once.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Between asking a process to end and killing it.
    pub kill_grace: Duration,
}

/// An application with containers or directories here.
#[derive(Clone, Debug)]
pub(super) struct Application {
    pub(super) user: String,
    pub(super) finished: bool,
}

/// The state of a node.
#[derive(Debug)]
pub struct Core {
    node: NodeId,
    policy: Policy,
    registration: Option<Registration>,
    draining: Option<String>,
    pub(super) applications: BTreeMap<ApplicationId, Application>,
    pub(super) containers: BTreeMap<ContainerId, Container>,
    downloads: Downloads,
    /// Containers that are forgotten but for the fact that their token, valid until then, has been used.
    spent: BTreeMap<ContainerId, Now>,
}

impl Core {
    /// A node that has nothing yet.
    pub fn new(node: NodeId, policy: Policy) -> Self {
        Self {
            node,
            policy,
            registration: None,
            draining: None,
            applications: BTreeMap::new(),
            containers: BTreeMap::new(),
            downloads: Downloads::default(),
            spent: BTreeMap::new(),
        }
    }

    /// States of all containers that the ResourceManager has not let us forget.
    pub fn statuses(&self) -> Vec<ContainerStatus> {
        self.containers.values().map(Container::status).collect()
    }

    /// Applications whose directories are still here.
    pub fn application_ids(&self) -> Vec<ApplicationId> {
        self.applications.keys().copied().collect()
    }

    /// The processes that are to be measured.
    pub fn processes(&self) -> Vec<(ContainerId, Identity)> {
        let with_process = |container: &Container| Some((container.lease.container, container.process()?));
        self.containers.values().filter_map(with_process).collect()
    }

    /// What containers use, when last measured.
    pub fn memory_used_bytes(&self) -> u64 {
        let alive = self.containers.values().filter(|container| !container.is_done());
        alive.map(|container| container.memory.rss_bytes()).sum()
    }

    /// Applications and containers as shown to people.
    pub fn views(&self) -> (Vec<ApplicationView>, Vec<ContainerView>) {
        let applications = self.applications.iter().map(|(id, application)| ApplicationView {
            application: *id,
            user: application.user.clone(),
            state: if application.finished { "FINISHING_CONTAINERS_WAIT" } else { "RUNNING" },
        });
        (applications.collect(), self.containers.values().map(Container::view).collect())
    }

    /// Takes `event` in, at `now`. What is to be done about it is appended to `out`, in order.
    ///
    /// # Errors
    /// [`Illegal`] if the event makes no sense; nothing changed then.
    pub fn apply(&mut self, event: Event, now: Now, out: &mut Vec<Effect>) -> Result<(), Illegal> {
        match event {
            Event::Registered(registration) => self.registration = Some(registration),
            Event::Start { request, start } => self.start(request, start, now, out),
            Event::Stop { containers, cause } => {
                for container in containers {
                    self.kill(container, cause.clone(), now, out);
                }
            }
            Event::StopByMaster { request, tokens } => self.stop_by_master(request, &tokens, now, out),
            Event::Localised { resource, outcome } => self.localised(&resource, outcome, now, out),
            Event::Launched { container, process } => self.launched(container, process, now, out)?,
            Event::LaunchFailed { container, why } => self.launch_failed(container, why, now, out)?,
            Event::Exited { container, ended, diagnostics } => self.exited(container, ended, diagnostics, now, out)?,
            Event::Measured { container, rss_bytes } => self.measured(container, rss_bytes, now, out),
            Event::ApplicationsFinished(applications) => {
                for application in applications {
                    self.finish_application(application, now, out);
                }
            }
            Event::CompletionsAcknowledged(containers) => self.acknowledged(&containers, now, out),
            Event::Drain { why } => self.drain(why, now, out),
            Event::Wake => self.wake(now, out),
        }
        Ok(())
    }

    fn container(&mut self, id: ContainerId, event: &'static str) -> Result<&mut Container, Illegal> {
        self.containers.get_mut(&id).ok_or(Illegal { container: id, state: "unknown", event })
    }
}
