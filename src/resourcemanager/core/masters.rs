//! What masters say: register, allocate, finish, and falling silent.

use super::{Core, Step, refuse, respond};
use crate::ids::{ApplicationAttemptId, ContainerId};
use crate::protocol::application_master::{
    AllocateRequest, Finish, Pending, Register, Registered, ToApplicationMaster,
};
use crate::protocol::container::{Allocation, ExitCause};
use crate::protocol::node::NodeState;
use crate::protocol::tokens::{AM_RM_TOKEN, AmRmTokenIdentifier};
use crate::resource::Resource;
use crate::resourcemanager::application;
use crate::resourcemanager::asks::InvalidAsk;
use crate::resourcemanager::attempt::{self, Registration};
use crate::resourcemanager::container::{self, Role};
use crate::resourcemanager::error::{Illegal, RefusalCode, Refused};
use crate::resourcemanager::event::{Answer, Effect, Registering, RequestId};
use crate::resourcemanager::mailbox::Channel;
use crate::resourcemanager::timers::Timer;
use crate::rpc::token::Token;
use crate::time::Now;

impl Core {
    pub(super) fn master_hello(
        &mut self,
        request: RequestId,
        register: Register,
        by: Registering,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let id = register.attempt;
        if let Err(refused) = self.may_register(&register, by) {
            return respond(out, request, Err(refused));
        }
        self.connect_master(id, by, now);
        // A link that goes on where it was carries what was said before, too: its hello is old news.
        if by != Registering::ResumedLink {
            let Register { host, rpc_port, tracking_url, .. } = register;
            let registration = Registration { host, rpc_port, tracking_url };
            self.steps.push_back(Step::Attempt(id, attempt::Input::Registered(registration)));
        }
        let registered = self.registered(id, now);
        respond(out, request, Ok(Answer::MasterRegistered(registered)));
        if by == Registering::Link {
            self.redeliver(id, usize::MAX, out);
        }
        self.outgoing.mail.insert(id);
        self.replan = true;
    }

    fn may_register(&self, register: &Register, by: Registering) -> Result<(), Refused> {
        let id = &register.attempt;
        if self.attempt_of(&register.token)? != *id {
            return Err(Refused::new(RefusalCode::Forbidden, format!("the token is not that of {id}")));
        }
        let current = self.applications.get(&id.application).and_then(application::Application::current_attempt);
        let attempt = self.attempts.get(id).filter(|_| current == Some(*id));
        let Some(attempt) = attempt else {
            let why = format!("{id} is not the current attempt of its application; its master must exit");
            return Err(Refused::new(RefusalCode::AttemptNotFound, why));
        };
        if attempt.is_command {
            let why = format!("{} is a command, which registers nowhere; submit it without is-command", id.application);
            return Err(Refused::new(RefusalCode::BadRequest, why));
        }
        match attempt.state {
            attempt::State::Running if by == Registering::Pull => {
                let why = format!("Application Master is already registered : {}", id.application);
                Err(Refused::new(RefusalCode::BadRequest, why))
            }
            attempt::State::Allocated | attempt::State::Launched | attempt::State::Running => Ok(()),
            _ => {
                let why = format!("{id} is {}; its master must exit", attempt.state);
                Err(Refused::new(RefusalCode::AttemptNotFound, why))
            }
        }
    }

    /// Whom an AM-RM token lets speak.
    ///
    /// # Errors
    /// [`Refused`] if it is not one, or was not signed here.
    pub fn attempt_of(&self, token: &Token) -> Result<ApplicationAttemptId, Refused> {
        let forbidden = |why: String| Refused::new(RefusalCode::Forbidden, why);
        if token.kind != AM_RM_TOKEN {
            let why = format!("a {} is no right to speak for a master; show the {AM_RM_TOKEN}", token.kind);
            return Err(forbidden(why));
        }
        self.master_key.verify(token).map_err(|forged| forbidden(forged.to_string()))?;
        let claim: Result<AmRmTokenIdentifier, _> = serde_json::from_slice(&token.identifier);
        claim.map(|claim| claim.attempt).map_err(|error| forbidden(format!("the token cannot be read: {error}")))
    }

    fn connect_master(&mut self, id: ApplicationAttemptId, by: Registering, now: Now) {
        self.unclaimed.remove(&id);
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        let expiry = now + self.settings.master_expiry;
        match by {
            Registering::Link | Registering::ResumedLink => {
                if by == Registering::Link {
                    for node in &self.lost_over_restart {
                        attempt.mailbox.node_changed(node, NodeState::Lost);
                    }
                }
                attempt.mailbox.channel = Channel::Link;
                attempt.mailbox.held = false;
                self.timers.disarm(&Timer::Master(id));
            }
            Registering::Pull => {
                attempt.mailbox.channel = Channel::Pull;
                self.timers.arm(Timer::Master(id), expiry);
            }
        }
    }

    fn registered(&mut self, id: ApplicationAttemptId, now: Now) -> Registered {
        let kept = self.containers_of(id.application).into_iter().filter(|container| {
            let of = |container: &container::Container| container.owner == id && container.role == Role::Worker;
            container.attempt != id && self.containers.get(container).is_some_and(of)
        });
        let kept: Vec<ContainerId> = kept.collect();
        let containers = kept.into_iter().filter_map(|container| self.allocation(container, now)).collect();
        let expiry_ms = u64::try_from(self.settings.master_expiry.as_millis()).unwrap_or(u64::MAX);
        Registered {
            maximum_capability: self.maximum_capability(),
            minimum_capability: Resource::new(self.settings.minimum_allocation_mb, 1),
            queue: self.scheduled(id).map(|app| self.scheduler.queue_of(app).to_owned()).unwrap_or_default(),
            containers_from_previous_attempts: containers,
            expiry_ms,
            epoch: self.cluster.epoch,
        }
    }

    /// Sends again what a master has not acknowledged, at most `most` responses.
    fn redeliver(&self, id: ApplicationAttemptId, most: usize, out: &mut Vec<Effect>) {
        let Some(attempt) = self.attempts.get(&id) else { return };
        for response in attempt.mailbox.unacknowledged().take(most) {
            let message = Box::new(ToApplicationMaster::Allocated(response.clone()));
            out.push(Effect::ToMaster { attempt: id, message });
        }
    }

    pub(super) fn allocate(
        &mut self,
        request: Option<RequestId>,
        id: ApplicationAttemptId,
        allocate: AllocateRequest,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), Illegal> {
        if let Err(refused) = self.may_allocate(id, &allocate, request.is_some()) {
            let illegal = Illegal::new("attempt", id, &refused, "Allocate");
            let Some(request) = request else { return Err(illegal) };
            respond(out, request, Err(refused));
            return Ok(());
        }
        let Some(attempt) = self.attempts.get_mut(&id) else { return Ok(()) };
        let known = match attempt.mailbox.acknowledge(allocate.response_id) {
            Ok(known) => known,
            Err(invalid) => {
                let Some(request) = request else { return Err(Illegal::new("attempt", id, invalid, "Allocate")) };
                refuse(out, request, RefusalCode::BadRequest, invalid.to_string());
                return Ok(());
            }
        };
        let response_id = attempt.mailbox.last_id();
        for (container, node) in known {
            self.acknowledge_to(&node, container);
        }
        self.take_request(id, allocate, now);
        if let Some(request) = request {
            self.timers.arm(Timer::Master(id), now + self.settings.master_expiry);
            respond(out, request, Ok(Answer::AllocateTaken { response_id }));
            self.redeliver(id, 1, out);
        }
        self.outgoing.mail.insert(id);
        Ok(())
    }

    /// A request by HTTP is refused whole for one invalid ask; on a link nobody would hear of that.
    fn may_allocate(&self, id: ApplicationAttemptId, allocate: &AllocateRequest, strict: bool) -> Result<(), Refused> {
        let Some(attempt) = self.attempts.get(&id).filter(|attempt| !attempt.is_over()) else {
            let why = format!("{id} is not running; its master must exit");
            return Err(Refused::new(RefusalCode::AttemptNotFound, why));
        };
        if !attempt.is_registered() {
            let why = format!("the master of {id} is not registered; register first");
            return Err(Refused::new(RefusalCode::NotRegistered, why));
        }
        if strict {
            let bounds = self.bounds_of(id);
            for ask in &allocate.asks {
                let refuse =
                    |invalid: InvalidAsk| Refused::new(RefusalCode::InvalidResourceRequest, invalid.to_string());
                bounds.round(&ask.capability).map_err(refuse)?;
            }
        }
        Ok(())
    }

    fn take_request(&mut self, id: ApplicationAttemptId, allocate: AllocateRequest, now: Now) {
        let bounds = self.bounds_of(id);
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        let progress = allocate.progress.clamp(0.0, 1.0);
        let mut changed = attempt.progress.to_bits() != progress.to_bits();
        attempt.progress = progress;
        if let (Some(url), Some(registration)) = (allocate.tracking_url, attempt.registration.as_mut()) {
            registration.tracking_url = url;
            changed = true;
        }
        let blacklist_changed = !(allocate.blacklist_additions.is_empty() && allocate.blacklist_removals.is_empty());
        attempt.blacklist.extend(allocate.blacklist_additions);
        for removed in allocate.blacklist_removals {
            attempt.blacklist.remove(&removed);
        }
        let asked = !allocate.asks.is_empty();
        let mut granted = Vec::with_capacity(allocate.asks.len());
        for ask in allocate.asks {
            let place = (ask.priority, ask.allocation_request_id, ask.resource_name.clone());
            attempt.invalid.remove(&place);
            match bounds.round(&ask.capability) {
                Ok(capability) => granted.push((ask, capability)),
                Err(invalid) => {
                    let pending = Pending {
                        priority: ask.priority,
                        allocation_request_id: ask.allocation_request_id,
                        capability: ask.capability,
                        count: ask.count,
                        reason: invalid.to_string(),
                    };
                    if pending.count > 0 {
                        attempt.invalid.insert(place, pending);
                        attempt.mailbox.reasons_changed = true;
                    }
                }
            }
        }
        if let Some(app) = self.scheduled(id) {
            if let Some(attempt) = self.attempts.get(&id).filter(|_| blacklist_changed) {
                self.scheduler.set_blacklist(app, &attempt.blacklist, now);
            }
            for (ask, capability) in granted {
                self.scheduler.ask(app, &ask, &capability, now);
            }
        }
        if asked {
            self.outgoing.asked.insert(id);
        }
        self.replan |= asked || blacklist_changed;
        for container in allocate.releases {
            let of = |container: &container::Container| container.owner == id && container.role == Role::Worker;
            if self.containers.get(&container).is_some_and(of) {
                self.stop_container(container, container::Input::Released, ExitCause::Released, now);
            }
        }
        if changed || asked {
            self.touch(id.application);
        }
    }

    pub(super) fn finish(
        &mut self,
        request: Option<RequestId>,
        id: ApplicationAttemptId,
        finish: Finish,
        out: &mut Vec<Effect>,
    ) -> Result<(), Illegal> {
        use attempt::State;
        let state = self.attempts.get(&id).map(|attempt| attempt.state.clone());
        match state {
            Some(State::Running | State::FinalSaving { .. } | State::Finishing | State::Finished) => {}
            _ => {
                let why = format!("the master of {id} is not registered");
                let Some(request) = request else { return Err(Illegal::new("attempt", id, why, "Finish")) };
                refuse(out, request, RefusalCode::NotRegistered, why);
                return Ok(());
            }
        }
        let Finish { final_status, diagnostics, tracking_url } = finish;
        let input = attempt::Input::Unregistered { final_status, diagnostics, tracking_url };
        self.steps.push_back(Step::Attempt(id, input));
        if let Some(request) = request {
            respond(out, request, Ok(Answer::FinishTaken));
        }
        let application = self.applications.get(&id.application);
        // Asked again after its answer was lost.
        if application.is_some_and(|application| application.shown_end().is_some()) {
            let message = Box::new(ToApplicationMaster::Unregistered);
            out.push(Effect::ToMaster { attempt: id, message });
        }
        Ok(())
    }

    pub(super) fn master_silent(&mut self, id: ApplicationAttemptId, now: Now) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        attempt.mailbox.channel = Channel::Silent;
        if attempt.is_registered() {
            self.timers.arm(Timer::Master(id), now + self.settings.master_expiry);
        }
    }

    pub(super) fn master_expired(&mut self, id: ApplicationAttemptId) {
        let Some(attempt) = self.attempts.get(&id) else { return };
        let silent = |wait: std::time::Duration| format!("{} s", wait.as_millis().div_ceil(1000));
        let (why, counts) = if self.unclaimed.contains(&id) {
            let wait = silent(self.settings.master_expiry);
            (format!("the master did not come back within {wait} after the ResourceManager restarted"), false)
        } else if attempt.is_registered() {
            (format!("the master was silent for {}", silent(self.settings.master_expiry)), true)
        } else {
            let wait = silent(self.settings.registration_expiry);
            (format!("the master ran but did not register within {wait}"), true)
        };
        self.steps.push_back(Step::Attempt(id, attempt::Input::Expired { why, counts }));
    }

    /// A container as its master is told of it; acquires it.
    pub(super) fn allocation(&mut self, id: ContainerId, now: Now) -> Option<Allocation> {
        let token = self.container_token(id, now)?;
        let container = self.containers.get_mut(&id)?;
        let acquired = container.apply(container::Input::Acquired);
        debug_assert!(matches!(acquired, Ok(None)), "a live container can be acquired");
        let (node, resource) = (container.node.clone(), container.resource.clone());
        let (priority, allocation_request_id) = (container.priority, container.allocation_request_id);
        let node_http_address = self.http_address(&node);
        Some(Allocation { container: id, node, node_http_address, resource, priority, allocation_request_id, token })
    }
}
