//! From a request to a running process.

use std::collections::BTreeSet;

use super::{Application, Core, Effect, KILL_AGAIN, Launch, RequestId};
use crate::ids::ContainerId;
use crate::nodemanager::admission;
use crate::nodemanager::container::{Container, ContainerRecord, Escalation, Lease, State};
use crate::nodemanager::error::{Illegal, Refused};
use crate::nodemanager::resources::ResourceKey;
use crate::process::{Identity, Signal};
use crate::protocol::container::{ContainerState, ContainerStatus, Exit, ExitCause};
use crate::protocol::node::StartContainer;
use crate::protocol::tokens::ContainerTokenIdentifier;
use crate::rpc::token::Token;
use crate::time::Now;

impl Core {
    pub(super) fn start(&mut self, request: Option<RequestId>, start: StartContainer, now: Now, out: &mut Vec<Effect>) {
        let asked = self.claimed(&start.token);
        match self.try_start(start, now, out) {
            Ok(container) => {
                if let Some(request) = request {
                    out.push(Effect::Answer { request, outcome: Ok(vec![container]) });
                }
                out.push(Effect::Report(vec![self.containers[&container].status()]));
                self.launch_if_ready(container, out);
            }
            Err(refused) => match request {
                Some(request) => out.push(Effect::Answer { request, outcome: Err(refused) }),
                // The ResourceManager itself asked, on its link: it learns by report. What it started before, it hears of again.
                None => out.extend(asked.map(|claim| Effect::Report(vec![self.refusal_status(claim, &refused)]))),
            },
        }
    }

    pub(super) fn try_start(
        &mut self,
        start: StartContainer,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<ContainerId, Refused> {
        if let Some(why) = &self.draining {
            return Err(Refused::Draining { node: self.node.clone(), why: why.clone() });
        }
        let identifier = self.verify(&start.token)?;
        admission::admit(&identifier, &start.context, now)?;
        let container = identifier.container;
        if self.containers.contains_key(&container) || self.spent.contains_key(&container) {
            return Err(Refused::StartedBefore { container });
        }
        let application = container.attempt.application;
        let user = identifier.user;
        let known = self.applications.entry(application).or_insert(Application { user: user.clone(), finished: false });
        if known.finished {
            return Err(Refused::BadContext { container, why: "its application has ended".to_owned() });
        }
        let lease = Lease {
            container,
            user: user.clone(),
            resource: identifier.resource,
            priority: identifier.priority,
            token_expires_at: identifier.expires_at,
            accepted_at: now,
        };
        out.push(Effect::Persist(ContainerRecord { lease: lease.clone(), exit: None, acknowledged: false }));
        let mut missing = BTreeSet::new();
        for resource in start.context.resources.values() {
            let key = ResourceKey::new(resource, &user, application);
            if missing.insert(key.clone()) && self.downloads.wait(key.clone(), container) {
                out.push(Effect::Localise { key, resource: resource.clone() });
            }
        }
        let state = State::Localizing { context: Box::new(start.context), missing };
        self.containers.insert(container, Container::new(lease, state));
        Ok(container)
    }

    pub(super) fn verify(&self, token: &Token) -> Result<ContainerTokenIdentifier, Refused> {
        let registration =
            self.registration.as_ref().ok_or_else(|| Refused::NotRegistered { node: self.node.clone() })?;
        admission::verify(token, registration, &self.node)
    }

    /// What a token says, believed only on the ResourceManager's own link.
    pub(super) fn claimed(&self, token: &Token) -> Option<ContainerTokenIdentifier> {
        serde_json::from_slice(&token.identifier).ok()
    }

    pub(super) fn refusal_status(&self, claim: ContainerTokenIdentifier, refused: &Refused) -> ContainerStatus {
        if let Some(present) = self.containers.get(&claim.container) {
            return present.status();
        }
        let exit = Exit { cause: ExitCause::LaunchFailed { why: refused.to_string() }, diagnostics: String::new() };
        ContainerStatus {
            container: claim.container,
            state: ContainerState::Complete,
            resource: claim.resource,
            priority: claim.priority,
            exit: Some(exit),
            stopping: false,
        }
    }

    pub(super) fn launch_if_ready(&mut self, id: ContainerId, out: &mut Vec<Effect>) {
        let Some(container) = self.containers.get_mut(&id) else {
            return;
        };
        if !matches!(&container.state, State::Localizing { missing, .. } if missing.is_empty()) {
            return;
        }
        if let State::Localizing { context, .. } = std::mem::replace(&mut container.state, State::Scheduled) {
            out.push(Effect::Launch(Launch { lease: container.lease.clone(), context }));
        }
    }

    pub(super) fn localised(
        &mut self,
        key: &ResourceKey,
        outcome: Result<(), String>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        for id in self.downloads.ended(key) {
            let Some(container) = self.containers.get_mut(&id) else {
                continue;
            };
            let State::Localizing { missing, .. } = &mut container.state else {
                continue;
            };
            match &outcome {
                Ok(()) => {
                    missing.remove(key);
                    self.launch_if_ready(id, out);
                }
                Err(why) => {
                    self.leave_downloads(id, out);
                    self.finish(id, ExitCause::LaunchFailed { why: why.clone() }, String::new(), now, out);
                }
            }
        }
    }

    pub(super) fn launched(
        &mut self,
        id: ContainerId,
        process: Identity,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), Illegal> {
        let container = self.container(id, "launch")?;
        match &mut container.state {
            State::Scheduled => {
                container.state = State::Running { process };
                out.push(Effect::Report(vec![container.status()]));
                Ok(())
            }
            State::Killing { process: slot, escalation, .. } => {
                *slot = Some(process);
                *escalation = Escalation::Killed { again_at: now + KILL_AGAIN };
                // It has done nothing yet that would be worth an orderly end.
                out.push(Effect::Signal { container: id, process, signal: Signal::Kill });
                out.push(Effect::WakeAt(now + KILL_AGAIN));
                Ok(())
            }
            State::Localizing { .. } | State::Running { .. } | State::Done { .. } => {
                Err(Illegal { container: id, state: container.state_name(), event: "launch" })
            }
        }
    }

    pub(super) fn launch_failed(
        &mut self,
        id: ContainerId,
        why: String,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), Illegal> {
        let container = self.container(id, "failed launch")?;
        let cause = match &container.state {
            State::Scheduled => ExitCause::LaunchFailed { why },
            State::Killing { cause, .. } => cause.clone(),
            State::Localizing { .. } | State::Running { .. } | State::Done { .. } => {
                return Err(Illegal { container: id, state: container.state_name(), event: "failed launch" });
            }
        };
        self.finish(id, cause, String::new(), now, out);
        Ok(())
    }
}
