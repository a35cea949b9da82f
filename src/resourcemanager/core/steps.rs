//! Runs the state machines of applications and attempts and does what they ask for.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Core, Saved, Step};
use crate::ids::{ApplicationAttemptId, ApplicationId, ContainerId, NodeId};
use crate::protocol::application_master::ToApplicationMaster;
use crate::protocol::container::{Exit, ExitCause, LaunchContext};
use crate::protocol::node::{NodeState, StartContainer, ToNode};
use crate::protocol::roles;
use crate::protocol::tokens::{AM_RM_TOKEN, AmRmTokenIdentifier};
use crate::resourcemanager::application::{self, Application};
use crate::resourcemanager::attempt::{self, Attempt};
use crate::resourcemanager::container::{self, Container, Role};
use crate::resourcemanager::error::Illegal;
use crate::resourcemanager::event::Effect;
use crate::resourcemanager::mailbox::Channel;
use crate::resourcemanager::record::{Key, Record};
use crate::resourcemanager::report::EndedContainer;
use crate::resourcemanager::scheduler::Candidate;
use crate::resourcemanager::timers::Timer;
use crate::rpc::token::Token;
use crate::time::Now;

/// Ended containers that an attempt remembers, for reports and to know repeated ones.
const ENDED_CONTAINERS_MAX: usize = 1000;

impl Core {
    /// Runs every step there is, and those they cause. Returns the first illegal one.
    pub(super) fn run_steps(&mut self, now: Now, out: &mut Vec<Effect>) -> Result<(), Illegal> {
        let mut result = Ok(());
        while let Some(step) = self.steps.pop_front() {
            let done = match step {
                Step::Application(id, input) => self.application_step(id, input, now, out),
                Step::Attempt(id, input) => self.attempt_step(id, input, now, out),
            };
            result = result.and(done);
        }
        result
    }

    fn application_step(
        &mut self,
        id: ApplicationId,
        input: application::Input,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), Illegal> {
        let Some(application) = self.applications.get_mut(&id) else {
            return Err(Illegal::new("application", id, "UNKNOWN", format!("{input:?}")));
        };
        let limit = self.settings.max_attempts;
        let attempts_max = application.submission.max_attempts.map_or(limit, |own| own.min(limit));
        let before = application.state.clone();
        let mut actions = Vec::new();
        application.apply(input, attempts_max, now, &mut actions)?;
        let after = application.state.clone();
        if before != after {
            self.transition("application", id, before, after);
        }
        self.touch(id);
        for action in actions {
            self.application_action(id, action, now, out);
        }
        Ok(())
    }

    fn application_action(&mut self, id: ApplicationId, action: application::Action, now: Now, out: &mut Vec<Effect>) {
        use application::Action;
        let Some(application) = self.applications.get(&id) else { return };
        match action {
            Action::Store => {
                let record = Record::Application(Box::new(application.record()));
                self.persist(Key::Application(id), Some(record), Saved::Application(id), out);
            }
            Action::Admit => {
                // Before anything that its attempts have to say (after a restart they may).
                let input = self.admit(id);
                self.steps.push_front(Step::Application(id, input));
            }
            Action::StartAttempt { number } => self.start_attempt(id.attempt(number), now),
            Action::KillAttempt { diagnostics } => {
                if let Some(current) = application.current_attempt() {
                    self.steps.push_back(Step::Attempt(current, attempt::Input::Kill { diagnostics }));
                }
            }
            Action::MasterMayExit => {
                if let Some(current) = application.current_attempt() {
                    let message = Box::new(ToApplicationMaster::Unregistered);
                    out.push(Effect::ToMaster { attempt: current, message });
                }
            }
            Action::Ended => self.application_ended(id, now, out),
        }
    }

    /// Whether the application's queue takes it; if so it has a place in the scheduler from now on.
    fn admit(&mut self, id: ApplicationId) -> application::Input {
        let rejected = |why| application::Input::Rejected { why };
        let Some(application) = self.applications.get_mut(&id) else { return rejected(format!("{id} is unknown")) };
        let submission = &application.submission;
        let candidate = Candidate {
            user: &submission.user,
            name: &submission.name,
            queue: &submission.queue,
            resource: &submission.resource,
            again: application.recovered,
        };
        let queue = match self.scheduler.admit(&candidate) {
            Ok(queue) => queue,
            Err(why) => return rejected(why),
        };
        application.scheduled = self.scheduler.add_app(id, &queue, &submission.user, submission.priority);
        if let Some(app) = application.scheduled.filter(|_| submission.is_command) {
            self.scheduler.set_command(app);
        }
        let wanted = submission.lifetime_ms.map(Duration::from_millis);
        application.ends_by = self.scheduler.lifetime(&queue, wanted).map(|lasts| application.submitted_at + lasts);
        if let Some(at) = application.ends_by {
            self.timers.arm(Timer::Lifetime(id), at);
        }
        application::Input::Admitted
    }

    /// Asks the scheduler for a master's container.
    fn want_master(&mut self, id: ApplicationAttemptId, now: Now) {
        let Some(application) = self.applications.get(&id.application) else { return };
        let (Some(app), Some(attempt)) = (application.scheduled, self.attempts.get(&id)) else { return };
        self.scheduler.want_master(app, &application.submission.resource, &attempt.avoid, now);
        self.replan = true;
    }

    /// Nothing more is granted to an attempt that ends.
    fn withdraw(&mut self, id: ApplicationAttemptId) {
        if let Some(app) = self.applications.get(&id.application).and_then(|application| application.scheduled) {
            self.scheduler.withdraw(app);
        }
    }

    /// Begins an attempt, which takes over what was kept of the one before.
    fn start_attempt(&mut self, id: ApplicationAttemptId, now: Now) {
        let is_command = self.applications.get(&id.application).is_some_and(|of| of.submission.is_command);
        let mut attempt = Attempt::new(id, is_command, now);
        attempt.avoid = self.nodes_that_failed(id.application);
        self.attempts.insert(id, attempt);
        for container in self.containers_of(id.application) {
            if let Some(kept) = self.containers.get_mut(&container)
                && kept.role == Role::Worker
            {
                kept.owner = id;
            }
        }
        self.steps.push_back(Step::Attempt(id, attempt::Input::Start));
    }

    /// Nodes on which masters of an application ended for reasons of the node.
    fn nodes_that_failed(&self, id: ApplicationId) -> BTreeSet<String> {
        let attempts = self.attempts_of(id).filter_map(|id| self.attempts.get(&id));
        let of_node = |cause: &ExitCause| {
            matches!(
                cause,
                ExitCause::LaunchFailed { .. }
                    | ExitCause::DiskFailed
                    | ExitCause::NodeLost
                    | ExitCause::Aborted { .. }
            )
        };
        let failed =
            attempts.filter(|attempt| attempt.end.as_ref().and_then(|end| end.exit.as_ref()).is_some_and(of_node));
        failed.filter_map(|attempt| attempt.master.as_ref()).map(|master| master.node.to_string()).collect()
    }

    fn attempt_step(
        &mut self,
        id: ApplicationAttemptId,
        input: attempt::Input,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), Illegal> {
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return Err(Illegal::new("attempt", id, "UNKNOWN", format!("{input:?}")));
        };
        let before = attempt.state.clone();
        let mut actions = Vec::new();
        attempt.apply(input, now, &mut actions)?;
        let after = attempt.state.clone();
        if before != after {
            self.transition("attempt", id, before, after.clone());
            if matches!(after, attempt::State::FinalSaving { .. }) {
                self.withdraw(id);
            }
            let is_command = self.attempts.get(&id).is_some_and(|attempt| attempt.is_command);
            if is_command {
                // It is not asked for a sign of life: its node watches it.
                self.timers.disarm(&Timer::Master(id));
            } else if after == attempt::State::Launched {
                self.timers.arm(Timer::Master(id), now + self.settings.registration_expiry);
            }
            // Registration may overtake the report of the launch.
            if matches!(after, attempt::State::Launched | attempt::State::Running)
                && let Some(application) = self.applications.get_mut(&id.application)
            {
                application.launched_at.get_or_insert(now);
            }
        }
        self.touch(id.application);
        for action in actions {
            self.attempt_action(id, action, now, out);
        }
        Ok(())
    }

    fn attempt_action(&mut self, id: ApplicationAttemptId, action: attempt::Action, now: Now, out: &mut Vec<Effect>) {
        use attempt::Action;
        match action {
            Action::Schedule => {
                self.want_master(id, now);
                self.steps.push_back(Step::Attempt(id, attempt::Input::Scheduled));
            }
            Action::Store => {
                if let Some(attempt) = self.attempts.get(&id) {
                    let record = Record::Attempt(Box::new(attempt.record()));
                    self.persist(Key::Attempt(id), Some(record), Saved::Attempt(id), out);
                }
            }
            Action::Launch => self.launch_master(id, now, out),
            Action::AwaitMaster => {
                self.timers.arm(Timer::Master(id), now + self.settings.master_expiry);
            }
            Action::AwaitExit => {
                self.timers.disarm(&Timer::Master(id));
                self.timers.arm(Timer::Exit(id), now + self.settings.exit_expiry);
            }
            Action::Tell(input) => self.steps.push_back(Step::Application(id.application, input)),
            Action::Over => self.attempt_over(id, now, out),
        }
    }

    /// Tells the master's node to start it. Sent again when the node registers without it.
    pub(super) fn launch_master(&mut self, id: ApplicationAttemptId, now: Now, out: &mut Vec<Effect>) {
        let Some(master) = self.attempts.get(&id).and_then(|attempt| attempt.master.clone()) else { return };
        let Some(container) = self.containers.get_mut(&master.container) else { return };
        let acquired = container.apply(container::Input::Acquired);
        debug_assert!(matches!(acquired, Ok(None)), "a live container can be acquired");
        let token = self.container_token(master.container, now);
        let context = self.master_context(id);
        let (Some(token), Some(context)) = (token, context) else { return };
        self.timers.arm(Timer::Allocation(master.container), now + self.settings.allocation_expiry);
        let message = Box::new(ToNode::StartContainer(StartContainer { token, context }));
        out.push(Effect::ToNode { node: master.node, message });
    }

    fn master_context(&self, id: ApplicationAttemptId) -> Option<LaunchContext> {
        let application = self.applications.get(&id.application)?;
        let mut context = application.submission.master.clone();
        let web_proxy_base = format!("/proxy/{}", id.application);
        for (name, value) in [
            (roles::RESOURCE_MANAGER, self.settings.address.clone()),
            (roles::APPLICATION_ATTEMPT_ID, id.to_string()),
            (roles::WEB_PROXY_BASE, web_proxy_base),
        ] {
            context.environment.insert(name.to_owned(), value);
        }
        if !application.submission.is_command {
            context.tokens.insert("AMRM".to_owned(), self.master_token(id));
        }
        Some(context)
    }

    /// The right to speak for `id`.
    pub(super) fn master_token(&self, id: ApplicationAttemptId) -> Token {
        let identifier = AmRmTokenIdentifier { attempt: id };
        let bytes = serde_json::to_vec(&identifier).expect("an identifier is plain data with text keys");
        self.master_key.sign(AM_RM_TOKEN, &self.settings.address, &bytes)
    }

    fn attempt_over(&mut self, id: ApplicationAttemptId, now: Now, out: &mut Vec<Effect>) {
        for timer in [Timer::Master(id), Timer::Exit(id)] {
            self.timers.disarm(&timer);
        }
        self.unclaimed.remove(&id);
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        attempt.told.clear();
        attempt.invalid.clear();
        self.waiting.remove(&id);
        self.turned.remove(&id);
        let spoken_to = attempt.mailbox.channel != Channel::Silent;
        for (container, node) in attempt.mailbox.close() {
            self.outgoing.acknowledged.entry(node).or_default().push(container);
        }
        let failed = attempt.state == attempt::State::Failed;
        let cause = match attempt.state {
            attempt::State::Killed => ExitCause::KilledByUser,
            attempt::State::Failed => {
                ExitCause::KilledByResourceManager { why: "its application's attempt has failed".to_owned() }
            }
            _ => ExitCause::KilledAfterApplicationEnd,
        };
        if spoken_to && attempt.state != attempt::State::Finished {
            let why = attempt.end.as_ref().map(|end| end.diagnostics.clone()).unwrap_or_default();
            let message = Box::new(ToApplicationMaster::Shutdown { why });
            out.push(Effect::ToMaster { attempt: id, message });
        }
        let keeps = |application: &Application| application.submission.keep_containers_across_attempts;
        let keep_workers = failed && self.applications.get(&id.application).is_some_and(keeps);
        for container in self.containers_of(id.application) {
            // As in YARN those that run: of one that was only granted nobody knows any more what it was for.
            let runs = |of: &Container| of.role == Role::Worker && of.state == container::State::Running;
            if !(keep_workers && self.containers.get(&container).is_some_and(runs)) {
                self.kill_container(container, cause.clone(), now);
            }
        }
        self.replan = true;
    }

    fn application_ended(&mut self, id: ApplicationId, now: Now, out: &mut Vec<Effect>) {
        for container in self.containers_of(id) {
            self.kill_container(container, ExitCause::KilledAfterApplicationEnd, now);
        }
        if let Some(app) = self.applications.get_mut(&id).and_then(|application| application.scheduled.take()) {
            self.scheduler.remove_app(app);
        }
        self.timers.disarm(&Timer::Lifetime(id));
        self.flush_stops(out);
        let nodes = self.applications.get(&id).map(|application| application.nodes.clone()).unwrap_or_default();
        for node in nodes {
            let message = Box::new(ToNode::ApplicationsFinished { applications: vec![id] });
            out.push(Effect::ToNode { node, message });
        }
        self.replan = true;
        self.ended.push_back(id);
        while self.ended.len() > self.settings.completed_applications_max {
            if let Some(oldest) = self.ended.pop_front() {
                self.forget_application(oldest, out);
            }
        }
    }

    fn forget_application(&mut self, id: ApplicationId, out: &mut Vec<Effect>) {
        let attempts: Vec<_> = self.attempts_of(id).collect();
        for attempt in attempts {
            self.attempts.remove(&attempt);
            self.persist(Key::Attempt(attempt), None, Saved::Nothing, out);
        }
        self.applications.remove(&id);
        self.outgoing.changed.remove(&id);
        self.persist(Key::Application(id), None, Saved::Nothing, out);
    }

    /// Attempts of an application, in order.
    pub(super) fn attempts_of(&self, id: ApplicationId) -> impl Iterator<Item = ApplicationAttemptId> {
        self.attempts.range(id.attempt(0)..=id.attempt(u32::MAX)).map(|(id, _)| *id)
    }

    /// Live containers of an application, in order.
    pub(super) fn containers_of(&self, id: ApplicationId) -> Vec<ContainerId> {
        let first = ContainerId { attempt: id.attempt(0), number: 0 };
        let last = ContainerId { attempt: id.attempt(u32::MAX), number: u64::MAX };
        self.containers.range(first..=last).map(|(id, _)| *id).collect()
    }

    /// Ends a container from here, and tells its node if that may have it.
    pub(super) fn kill_container(&mut self, id: ContainerId, cause: ExitCause, now: Now) {
        let input = container::Input::Killed(cause.clone());
        self.stop_container(id, input, cause, now);
    }

    pub(super) fn stop_container(&mut self, id: ContainerId, input: container::Input, cause: ExitCause, now: Now) {
        let Some(container) = self.containers.get_mut(&id) else { return };
        let node_may_have_it = container.state != container::State::Allocated;
        let node = container.node.clone();
        if let Ok(Some(exit)) = container.apply(input) {
            self.end_container(id, exit, now);
            if node_may_have_it {
                self.outgoing.stops.push((node, id, cause));
            }
        }
    }

    /// Takes a container off the books; its completion goes to its owner. Called once per container, since it is gone after.
    pub(super) fn end_container(&mut self, id: ContainerId, exit: Exit, now: Now) {
        let Some(container) = self.containers.remove(&id) else { return };
        self.timers.disarm(&Timer::Allocation(id));
        self.timers.disarm(&Timer::Preemption(id));
        self.transition("container", id, container.state.name(), format!("COMPLETE ({})", exit.cause));
        if let Some(node) = self.nodes.get_mut(&container.node) {
            node.containers.remove(&id);
            node.allocated.subtract(&container.resource);
            if node.state == NodeState::Decommissioning && node.containers.is_empty() {
                self.leaving.insert(container.node.clone());
            }
        }
        if let Some(application) = self.applications.get_mut(&id.attempt.application) {
            let lasted_ms = now.0.saturating_sub(container.allocated_at.0);
            application.used.0 += container.resource.memory_mb * lasted_ms;
            application.used.1 += u64::from(container.resource.vcores) * lasted_ms;
        }
        self.replan = true;
        self.touch(id.attempt.application);
        let status = container.completed(exit.clone());
        let record = EndedContainer::new(&container, exit.clone(), self.http_address(&container.node), now);
        if let Some(attempt) = self.attempts.get_mut(&id.attempt) {
            attempt.ended.insert(id, record);
            if attempt.ended.len() > ENDED_CONTAINERS_MAX {
                attempt.ended.pop_first();
            }
        }
        match container.role {
            Role::Master => {
                self.acknowledge_to(&container.node, id);
                self.steps.push_back(Step::Attempt(container.owner, attempt::Input::MasterExited(exit)));
            }
            Role::Worker => match self.attempts.get_mut(&container.owner).filter(|owner| !owner.is_over()) {
                Some(owner) => {
                    if owner.mailbox.granted.contains(&id) {
                        // Its master never heard of it: the ask stands again, and there is nothing to tell.
                        owner.mailbox.granted.retain(|granted| *granted != id);
                        if let Some(allocation) = container.allocation {
                            self.scheduler.take_back(allocation, &container.ask(), now);
                        }
                        self.acknowledge_to(&container.node, id);
                    } else {
                        owner.mailbox.completed.push((status, container.node));
                        self.outgoing.mail.insert(container.owner);
                    }
                }
                None => self.acknowledge_to(&container.node, id),
            },
        }
        // Does nothing where the ask was restored: that has released it already.
        if let Some(allocation) = container.allocation {
            self.scheduler.release(allocation);
        }
    }

    /// Tells a node that it may forget a container which ended.
    pub(super) fn acknowledge_to(&mut self, node: &NodeId, container: ContainerId) {
        self.outgoing.acknowledged.entry(node.clone()).or_default().push(container);
    }

    pub(super) fn http_address(&self, node: &NodeId) -> String {
        self.nodes.get(node).map(|node| node.http_address.clone()).unwrap_or_default()
    }
}
