//! What nodes say: register, report containers, health; and falling silent.

use super::{Core, Step, refuse, respond};
use crate::ids::{ApplicationAttemptId, ContainerId, NodeId};
use crate::protocol::container::{ContainerState, ContainerStatus, Exit, ExitCause};
use crate::protocol::node::{NodeState, Register, Registered, ToNode, ToResourceManager};
use crate::resourcemanager::application::Application;
use crate::resourcemanager::asks::DEFAULT_RACK;
use crate::resourcemanager::attempt;
use crate::resourcemanager::container::{self, Container, Role};
use crate::resourcemanager::error::{Illegal, RefusalCode};
use crate::resourcemanager::event::{Answer, Effect, RequestId};
use crate::resourcemanager::node::{self, Consequence, Node};
use crate::resourcemanager::timers::Timer;
use crate::time::Now;

impl Core {
    pub(super) fn node_hello(
        &mut self,
        request: RequestId,
        register: Register,
        resumed: bool,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if let Err((code, why)) = self.may_join(&register, now) {
            return refuse(out, request, code, why);
        }
        let id = register.node.clone();
        let goes_on = resumed && self.nodes.get(&id).is_some_and(Node::is_active);
        let expiry_ms = u64::try_from(self.settings.node_expiry.as_millis()).unwrap_or(u64::MAX);
        let registered = Registered {
            resource_manager: self.cluster.identity,
            epoch: self.cluster.epoch,
            container_token_key: self.cluster.token_key.clone(),
            expiry_ms,
        };
        respond(out, request, Ok(Answer::NodeRegistered(registered)));
        self.timers.disarm(&Timer::Node(id.clone()));
        self.replan = true;
        if goes_on {
            // Its link carries every message since; the hello's list is that of the link's beginning.
            if let Some(node) = self.nodes.get_mut(&id) {
                node.connected = true;
            }
            self.sync_node(&id);
            return;
        }
        self.enter_node(&register, now);
        self.reconcile(&id, register, now, out);
        if let Some(until) = self.excluded_until(&id) {
            self.begin_to_leave(&id, until, now, out);
        }
    }

    fn may_join(&self, register: &Register, now: Now) -> Result<(), (RefusalCode, String)> {
        if let Some(secret) = &self.settings.secret {
            let shown = register.secret.as_deref();
            if !shown.is_some_and(|shown| secret.matches(shown)) {
                let what = if shown.is_some() { "another cluster secret" } else { "no cluster secret" };
                let why = format!("node {} shows {what}; give it the secret of this cluster", register.node);
                return Err((RefusalCode::Forbidden, why));
            }
        }
        let out_already = self.nodes.get(&register.node).is_some_and(|node| node.state == NodeState::Decommissioned);
        if self.excluded_until(&register.node).is_some_and(|until| out_already || until <= now) {
            let why = format!(
                "node {0} is excluded from this cluster; to have it back: flott node recommission {0}",
                register.node
            );
            return Err((RefusalCode::Forbidden, why));
        }
        let minor = |version: &str| version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
        if minor(&register.version) != minor(&self.settings.version) {
            let why = format!(
                "node {} runs flott {}, this ResourceManager {}; install the same version on both",
                register.node, register.version, self.settings.version
            );
            return Err((RefusalCode::VersionMismatch, why));
        }
        Ok(())
    }

    fn enter_node(&mut self, register: &Register, now: Now) {
        let id = register.node.clone();
        let rack = register.rack.clone().unwrap_or_else(|| DEFAULT_RACK.to_owned());
        let label = register.label.clone().unwrap_or_default();
        let node = self.nodes.entry(id.clone()).or_insert_with(|| Node::new(register));
        let before = node.state;
        // One that is decommissioned has been refused before.
        if node.apply(&node::Input::Registered).is_err() {
            return;
        }
        let after = node.state;
        node.connected = true;
        node.http_address.clone_from(&register.http_address);
        node.capability = register.capability.clone();
        (node.rack, node.label) = (rack, label);
        node.version.clone_from(&register.version);
        node.last_health_update = now;
        node.health_report.clear();
        self.transition("node", &id, before, after);
        self.sync_node(&id);
        if before != after {
            self.tell_masters(&id, after);
            self.members_changed.insert(id);
        }
    }

    /// Brings the books and what the node says it has together.
    fn reconcile(&mut self, id: &NodeId, register: Register, now: Now, out: &mut Vec<Effect>) {
        let has = |container: &ContainerId| register.containers.iter().any(|status| status.container == *container);
        let booked = self.nodes.get(id).map(|node| node.containers.clone()).unwrap_or_default();
        for missing in booked.into_iter().filter(|container| !has(container)) {
            self.container_missing(missing, now, out);
        }
        for status in register.containers {
            self.container_reported(id, status, now);
        }
        let mut finished = Vec::new();
        for application in register.applications {
            match self.applications.get_mut(&application).filter(|known| !known.has_ended()) {
                // It keeps directories: it is to be told of the end, whether or not a container of it still lives there.
                Some(live) => drop(live.nodes.insert(id.clone())),
                None => finished.push(application),
            }
        }
        if !finished.is_empty() {
            let message = Box::new(ToNode::ApplicationsFinished { applications: finished });
            out.push(Effect::ToNode { node: id.clone(), message });
        }
        self.lost_over_restart.remove(id);
        self.masters_lost_over_restart(id);
        if self.awaited_nodes.remove(id) && self.awaited_nodes.is_empty() && self.recovering {
            self.recovery_over();
        }
    }

    /// A container in the books that its node, registering, does not have.
    fn container_missing(&mut self, id: ContainerId, now: Now, out: &mut Vec<Effect>) {
        let Some(container) = self.containers.get(&id) else { return };
        match (container.reported, container.role, container.state) {
            (true, _, _) => {
                let why = "its node came back without it".to_owned();
                self.end_container(id, Exit { cause: ExitCause::Aborted { why }, diagnostics: String::new() }, now);
            }
            // The order to start it went down with the old link.
            (false, Role::Master, container::State::Acquired) => self.launch_master(container.owner, now, out),
            // Its master may be about to start it; else it expires.
            (false, Role::Master | Role::Worker, _) => {}
        }
    }

    /// Recovered attempts whose master should be on this node and is not.
    fn masters_lost_over_restart(&mut self, id: &NodeId) {
        let here = |attempt: &ApplicationAttemptId| {
            let master = self.attempts.get(attempt).and_then(|attempt| attempt.master.as_ref());
            master.is_some_and(|master| master.node == *id && !self.containers.contains_key(&master.container))
        };
        let lost: Vec<_> = self.unclaimed.iter().copied().filter(here).collect();
        for attempt in lost {
            let why = "not on its node any more when the ResourceManager had restarted".to_owned();
            let exit = Exit { cause: ExitCause::Aborted { why }, diagnostics: String::new() };
            self.unclaimed.remove(&attempt);
            self.steps.push_back(Step::Attempt(attempt, attempt::Input::MasterExited(exit)));
        }
    }

    pub(super) fn node_says(&mut self, id: &NodeId, message: ToResourceManager, now: Now) -> Result<(), Illegal> {
        let Some(node) = self.nodes.get_mut(id) else {
            return Err(Illegal::new("node", id, "UNKNOWN", "a message"));
        };
        match message {
            ToResourceManager::ContainersChanged { containers } => {
                for status in containers {
                    self.container_reported(id, status, now);
                }
                Ok(())
            }
            ToResourceManager::Health { healthy, report } => {
                node.health_report.clone_from(&report);
                node.last_health_update = now;
                let cause = ExitCause::Aborted { why: format!("its node became unhealthy: {report}") };
                self.node_input(id, &node::Input::Health { healthy }, cause, now)
            }
            ToResourceManager::Utilization { node_memory_mb, containers_memory_mb } => {
                node.utilization = (node_memory_mb, containers_memory_mb);
                Ok(())
            }
            ToResourceManager::Unregister => {
                node.connected = false;
                self.timers.disarm(&Timer::Node(id.clone()));
                let cause = ExitCause::Aborted { why: "its node was shut down".to_owned() };
                self.node_input(id, &node::Input::Unregistered, cause, now)
            }
        }
    }

    pub(super) fn node_silent(&mut self, id: &NodeId, now: Now) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        node.connected = false;
        if node.is_active() {
            self.timers.arm(Timer::Node(id.clone()), now + self.settings.node_expiry);
        }
        self.sync_node(id);
    }

    pub(super) fn node_expired(&mut self, id: &NodeId, now: Now) -> Result<(), Illegal> {
        if self.awaited_nodes.remove(id) {
            // Lost while nobody was there to see it. Which containers it had, only their masters know.
            self.lost_over_restart.insert(id.clone());
            self.members_changed.insert(id.clone());
            self.tell_masters(id, NodeState::Lost);
            return Ok(());
        }
        self.node_input(id, &node::Input::Expired, ExitCause::NodeLost, now)
    }

    pub(super) fn node_input(
        &mut self,
        id: &NodeId,
        input: &node::Input,
        cause: ExitCause,
        now: Now,
    ) -> Result<(), Illegal> {
        let Some(node) = self.nodes.get_mut(id) else { return Ok(()) };
        let before = node.state;
        let consequence = node.apply(input)?;
        let after = node.state;
        let containers = node.containers.clone();
        if before == after {
            return Ok(());
        }
        self.transition("node", id, before, after);
        self.sync_node(id);
        self.tell_masters(id, after);
        self.members_changed.insert(id.clone());
        self.replan = true;
        match consequence {
            Consequence::None | Consequence::Usable => {}
            Consequence::ContainersLost => {
                for container in containers {
                    // The order to stop waits for a lost node, should its link come back.
                    self.kill_container(container, cause.clone(), now);
                }
            }
        }
        Ok(())
    }

    /// Every registered master hears of a node's new state.
    fn tell_masters(&mut self, id: &NodeId, state: NodeState) {
        for (attempt, master) in self.attempts.iter_mut().filter(|(_, attempt)| attempt.is_registered()) {
            master.mailbox.node_changed(id, state);
            self.outgoing.mail.insert(*attempt);
        }
    }

    pub(super) fn container_reported(&mut self, node: &NodeId, status: ContainerStatus, now: Now) {
        let id = status.container;
        match self.containers.get_mut(&id).filter(|container| container.node == *node) {
            Some(container) => {
                let input = match (status.state, status.exit) {
                    (ContainerState::New, _) => container::Input::Acquired,
                    (ContainerState::Running, _) => container::Input::Reported,
                    (ContainerState::Complete, exit) => container::Input::Completed(exit.unwrap_or_else(unexplained)),
                };
                container.reported = true;
                let (before, outcome) = (container.state, container.apply(input));
                let (after, role, owner) = (container.state, container.role, container.owner);
                self.timers.disarm(&Timer::Allocation(id));
                match outcome {
                    Ok(Some(exit)) => self.end_container(id, exit, now),
                    Ok(None) | Err(_) => self.container_lives(id, before, after, role, owner),
                }
            }
            None if status.state == ContainerState::Complete => self.unknown_ended(node, status, now),
            // What it holds may have been granted to another since; its end is told when it has come.
            None if status.stopping => {}
            None => self.unknown_lives(node, &status, now),
        }
    }

    fn container_lives(
        &mut self,
        id: ContainerId,
        before: container::State,
        after: container::State,
        role: Role,
        owner: ApplicationAttemptId,
    ) {
        if before != after {
            self.transition("container", id, before.name(), after.name());
            self.touch(id.attempt.application);
        }
        if role == Role::Master {
            self.unclaimed.remove(&owner);
            self.steps.push_back(Step::Attempt(owner, attempt::Input::MasterLaunched));
        }
    }

    /// Whom a container that is not in the books belongs to: only one that an earlier epoch granted can, and only once.
    fn claimant(&self, id: ContainerId) -> Option<ApplicationAttemptId> {
        let live = |id: &ApplicationAttemptId| self.attempts.get(id).is_some_and(|attempt| !attempt.is_over());
        let heard_of = self.attempts.get(&id.attempt).is_some_and(|attempt| attempt.ended.contains_key(&id));
        if id.epoch() >= self.cluster.epoch || heard_of {
            return None;
        }
        let application = self.applications.get(&id.attempt.application)?;
        let keeps = application.submission.keep_containers_across_attempts;
        // A kept worker goes to the next attempt; a master is that of its own attempt and no other.
        let keeps = keeps && self.role_of(id) == Role::Worker;
        let heir = application.current_attempt().filter(|current| keeps || *current == id.attempt);
        heir.filter(live)
    }

    /// Whether a master is still to be told, or to acknowledge, that a container has ended.
    fn is_owed(&self, id: ContainerId) -> bool {
        let current = self.applications.get(&id.attempt.application).and_then(Application::current_attempt);
        let owed = |attempt| self.attempts.get(&attempt).is_some_and(|attempt| attempt.mailbox.owes(id));
        owed(id.attempt) || current.is_some_and(owed)
    }

    fn role_of(&self, id: ContainerId) -> Role {
        let master = self.attempts.get(&id.attempt).and_then(|attempt| attempt.master.as_ref());
        match master {
            Some(master) if master.container == id => Role::Master,
            Some(_) | None => Role::Worker,
        }
    }

    /// An end that is not in the books: of before a restart, or told again.
    fn unknown_ended(&mut self, node: &NodeId, status: ContainerStatus, now: Now) {
        let id = status.container;
        let Some(owner) = self.claimant(id) else {
            // A node may forget it only when its master knows: this process might not live to tell.
            if !self.is_owed(id) {
                self.acknowledge_to(node, id);
            }
            return;
        };
        let exit = status.exit.clone().unwrap_or_else(unexplained);
        let container = self.recovered_container(node, &status, owner, now);
        let ended =
            crate::resourcemanager::report::EndedContainer::new(&container, exit.clone(), self.http_address(node), now);
        if let Some(attempt) = self.attempts.get_mut(&id.attempt) {
            attempt.ended.insert(id, ended);
        }
        if container.role == Role::Master {
            self.unclaimed.remove(&owner);
            self.acknowledge_to(node, id);
            self.steps.push_back(Step::Attempt(owner, attempt::Input::MasterExited(exit)));
        } else if let Some(attempt) = self.attempts.get_mut(&owner) {
            attempt.mailbox.completed.push((container.completed(exit), node.clone()));
            self.outgoing.mail.insert(owner);
        }
    }

    /// A live container that is not in the books is taken in, if it has an owner and room; else it is stopped.
    fn unknown_lives(&mut self, node: &NodeId, status: &ContainerStatus, now: Now) {
        let id = status.container;
        let room = |node: &Node| node.free().fits(&status.resource);
        let fits = self.recovering || self.nodes.get(node).is_some_and(room);
        let elsewhere = self.containers.contains_key(&id);
        let given_up = elsewhere || self.lost_over_restart.contains(node);
        let app = self.applications.get(&id.attempt.application).and_then(|application| application.scheduled);
        let owner = self.claimant(id).filter(|_| fits && !given_up);
        let (Some(owner), Some(app)) = (owner, app) else {
            let application = self.applications.get(&id.attempt.application);
            let cause = if application.is_none_or(|application| application.has_ended()) {
                // Started by a master that was frozen when it ended: the node keeps directories for it, perhaps anew.
                self.outgoing.finished.entry(node.clone()).or_default().insert(id.attempt.application);
                ExitCause::KilledAfterApplicationEnd
            } else {
                let why = "the ResourceManager had given it up".to_owned();
                ExitCause::KilledByResourceManager { why }
            };
            self.outgoing.stops.push((node.clone(), id, cause));
            return;
        };
        let mut container = self.recovered_container(node, status, owner, now);
        container.reported = true;
        if status.state == ContainerState::Running {
            container.state = container::State::Running;
        }
        let role = container.role;
        container.allocation = self.scheduler.adopt(app, node, &container.resource, role == Role::Master);
        if let Some(node) = self.nodes.get_mut(node) {
            node.allocated.add(&container.resource);
            node.containers.insert(id);
        }
        if let Some(application) = self.applications.get_mut(&id.attempt.application) {
            application.nodes.insert(node.clone());
        }
        self.transition("container", id, "RECOVERED", container.state.name());
        self.containers.insert(id, container);
        if role == Role::Master {
            self.unclaimed.remove(&owner);
            if self.attempts.get(&owner).is_some_and(|attempt| attempt.is_command) {
                self.steps.push_back(Step::Attempt(owner, attempt::Input::MasterLaunched));
            }
        }
        self.touch(id.attempt.application);
    }

    fn recovered_container(
        &self,
        node: &NodeId,
        status: &ContainerStatus,
        owner: ApplicationAttemptId,
        now: Now,
    ) -> Container {
        let role = self.role_of(status.container);
        Container {
            id: status.container,
            owner,
            node: node.clone(),
            resource: status.resource.clone(),
            priority: status.priority,
            allocation_request_id: 0,
            allocation: None,
            role,
            state: container::State::Acquired,
            reported: false,
            on_notice: None,
            allocated_at: now,
        }
    }

    pub(super) fn allocation_expired(&mut self, id: ContainerId, now: Now) -> Result<(), Illegal> {
        let Some(container) = self.containers.get(&id) else { return Ok(()) };
        match container.role {
            Role::Master => {
                let (node, owner) = (container.node.clone(), container.owner);
                let wait = self.settings.allocation_expiry.as_secs();
                let why = format!("node {node} did not start the master within {wait} s");
                self.steps.push_back(Step::Attempt(owner, attempt::Input::Expired { why, counts: true }));
            }
            Role::Worker => {
                let why = "not started in time".to_owned();
                self.stop_container(id, container::Input::Expired, ExitCause::Aborted { why }, now);
            }
        }
        Ok(())
    }
}

fn unexplained() -> Exit {
    let cause = ExitCause::Aborted { why: "its node gave no cause".to_owned() };
    Exit { cause, diagnostics: String::new() }
}
