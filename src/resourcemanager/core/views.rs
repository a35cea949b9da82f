//! Reading the state: reports for whoever asks. Nothing here changes anything.

use super::Core;
use crate::ids::{ApplicationAttemptId, ApplicationId, ContainerId, NodeId};
use crate::protocol::application_master::FinalStatus;
use crate::protocol::container::ContainerState;
use crate::protocol::submission::Submission;
use crate::resource::Resource;
use crate::resourcemanager::application::{Application, State};
use crate::resourcemanager::attempt::{self, Attempt};
use crate::resourcemanager::container::{Container, Role};
use crate::resourcemanager::node::Node;
use crate::resourcemanager::report::{
    ApplicationReport, AttemptReport, ClusterSummary, ContainerReport, EndedContainer, NodeSummary,
};
use crate::resourcemanager::scheduler::Waiting;
use crate::rpc::ClusterSecret;
use crate::time::Now;

impl Core {
    /// Every application, by id.
    pub fn applications(&self, now: Now) -> Vec<ApplicationReport> {
        self.applications.values().map(|application| self.application_report(application, now)).collect()
    }

    /// With what those were submitted that have not ended.
    pub(crate) fn live_submissions(&self) -> impl Iterator<Item = &Submission> {
        self.applications.values().filter(|application| !application.has_ended()).map(|live| &live.submission)
    }

    /// One application.
    pub fn application(&self, id: ApplicationId, now: Now) -> Option<ApplicationReport> {
        self.applications.get(&id).map(|application| self.application_report(application, now))
    }

    /// An application's version, without the cost of its report.
    pub fn application_version(&self, id: ApplicationId) -> Option<u64> {
        self.applications.get(&id).map(|application| application.version)
    }

    /// Attempts of an application, in order.
    pub fn attempt_reports(&self, id: ApplicationId) -> Vec<AttemptReport> {
        self.attempts_of(id).filter_map(|id| self.attempts.get(&id)).map(attempt_report).collect()
    }

    /// Containers that were granted to an attempt, ended ones included, by id.
    pub fn container_reports(&self, id: ApplicationAttemptId) -> Vec<ContainerReport> {
        let user = self.applications.get(&id.application).map(|application| application.submission.user.clone());
        let user = user.unwrap_or_default();
        let live = self.containers_of(id.application).into_iter().filter(|container| container.attempt == id);
        let live = live.filter_map(|container| self.containers.get(&container));
        let live = live.map(|container| self.live_container(container, &user));
        let ended = self.attempts.get(&id).map(|attempt| &attempt.ended).into_iter().flatten();
        let ended = ended.map(|(id, container)| ended_container(*id, container, &user));
        let mut all: Vec<_> = live.chain(ended).collect();
        all.sort_by_key(|container| container.id);
        all
    }

    /// Containers granted and not ended, by id, at most `most` of them.
    pub fn live_containers(&self, most: usize) -> Vec<ContainerReport> {
        let user = |id| self.applications.get(&id).map_or("", |application| application.submission.user.as_str());
        let report = |container: &Container| self.live_container(container, user(container.owner.application));
        self.containers.values().take(most).map(report).collect()
    }

    /// Every node, by id.
    pub fn node_summaries(&self) -> Vec<NodeSummary> {
        self.nodes.values().map(node_summary).collect()
    }

    /// One node.
    pub fn node_summary(&self, id: &NodeId) -> Option<NodeSummary> {
        self.nodes.get(id).map(node_summary)
    }

    /// The cluster in numbers.
    pub fn summary(&self) -> ClusterSummary {
        let (masters_used, masters_limit) = self.scheduler.masters();
        let (pending, containers_pending) = self.scheduler.pending();
        let mut summary = ClusterSummary {
            identity: self.cluster.identity,
            epoch: self.cluster.epoch,
            total: self.scheduler.total(),
            containers: self.containers.len(),
            maximum: self.maximum_capability(),
            minimum_mb: self.settings.minimum_allocation_mb,
            masters_used,
            masters_limit,
            pending,
            containers_pending,
            ..ClusterSummary::default()
        };
        for application in self.applications.values() {
            *summary.applications.entry(application.public_state()).or_default() += 1;
        }
        for node in self.nodes.values() {
            match summary.nodes.iter_mut().find(|(state, _)| *state == node.state) {
                Some((_, count)) => *count += 1,
                None => summary.nodes.push((node.state, 1)),
            }
            summary.allocated.add(&node.allocated);
        }
        summary
    }

    /// Where an application's master answers HTTP, while it runs, and what it takes for a sign of the ResourceManager.
    pub fn tracking_url(&self, id: ApplicationId) -> Option<(String, ClusterSecret)> {
        let attempt = self.current(id).filter(|attempt| !attempt.is_over())?;
        let url = attempt.registration.as_ref().map(|registration| registration.tracking_url.clone())?;
        let shown = self.master_token(self.applications.get(&id)?.current_attempt()?).front_secret();
        (!url.is_empty()).then_some((url, shown))
    }

    fn current(&self, id: ApplicationId) -> Option<&Attempt> {
        self.applications.get(&id).and_then(Application::current_attempt).and_then(|id| self.attempts.get(&id))
    }

    fn application_report(&self, application: &Application, now: Now) -> ApplicationReport {
        let id = application.id();
        let current = self.current(id);
        let submission = &application.submission;
        let end = application.shown_end();
        let mut allocated = Resource::default();
        let (mut memory_ms, mut vcore_ms) = application.used;
        let live = self.containers_of(id);
        for container in live.iter().filter_map(|id| self.containers.get(id)) {
            allocated.add(&container.resource);
            let lasted_ms = now.0.saturating_sub(container.allocated_at.0);
            memory_ms += container.resource.memory_mb * lasted_ms;
            vcore_ms += u64::from(container.resource.vcores) * lasted_ms;
        }
        let final_status = end.map_or(FinalStatus::Undefined, |end| end.final_status);
        let progress = match final_status {
            FinalStatus::Succeeded => 1.0,
            FinalStatus::Undefined | FinalStatus::Failed | FinalStatus::Killed => {
                current.map_or(0.0, |attempt| attempt.progress)
            }
        };
        ApplicationReport {
            id,
            user: submission.user.clone(),
            name: submission.name.clone(),
            queue: submission.queue.strip_prefix("root.").unwrap_or(&submission.queue).to_owned(),
            application_type: submission.application_type.clone(),
            tags: submission.tags.clone(),
            priority: submission.priority,
            state: application.public_state(),
            internal_state: application.state.to_string(),
            final_status,
            progress,
            diagnostics: match end {
                Some(end) => end.diagnostics.clone(),
                None => self.what_happened_before(application).unwrap_or_default(),
            },
            submitted_at: application.submitted_at,
            launched_at: application.launched_at,
            finished_at: end.map(|end| end.at),
            attempt: current.map(attempt_report),
            allocated,
            running_containers: live.len(),
            memory_seconds: memory_ms / 1000,
            vcore_seconds: vcore_ms / 1000,
            pending: current.map(|attempt| self.pending(attempt, now)).unwrap_or_default(),
            waiting_reason: self.waiting_reason(application, current, now),
            ends_by: application.ends_by,
            preempted: application.preempted.clone(),
            version: application.version,
        }
    }

    /// Why it is not the first attempt that runs, in one line, and what that one has inherited.
    fn what_happened_before(&self, application: &Application) -> Option<String> {
        let current = application.current_attempt().filter(|_| application.state == State::Running)?;
        let before = application.id().attempt(current.attempt.checked_sub(1)?);
        let why = self.attempts.get(&before)?.end.as_ref()?.diagnostics.lines().next()?;
        let live = self.containers_of(application.id()).into_iter().filter_map(|id| self.containers.get(&id));
        let kept = live.filter(|container| container.role == Role::Worker && container.id.attempt != current).count();
        let does = match kept {
            0 => "runs".to_owned(),
            1 => "has taken over 1 container".to_owned(),
            kept => format!("has taken over {kept} containers"),
        };
        Some(format!("attempt {} {does}; attempt {} failed: {why}", current.attempt, before.attempt))
    }

    /// Why an application does not get on, in one line: what it waits for, and after which failure.
    fn waiting_reason(&self, application: &Application, current: Option<&Attempt>, now: Now) -> Option<String> {
        let reason = self.waits_for(application, current, now)?;
        let earlier = current?.id.attempt.checked_sub(1).map(|number| application.id().attempt(number));
        let failed = earlier.filter(|_| application.state == State::Accepted).and_then(|id| self.attempts.get(&id));
        Some(match failed.and_then(|attempt| attempt.end.as_ref()).and_then(|end| end.diagnostics.lines().next()) {
            Some(why) => format!("{reason}; attempt {} failed: {why}", application.attempt - 1),
            None => reason,
        })
    }

    fn waits_for(&self, application: &Application, current: Option<&Attempt>, now: Now) -> Option<String> {
        match application.state {
            State::Accepted | State::Running => {}
            State::New
            | State::NewSaving
            | State::Submitted
            | State::FinalSaving { .. }
            | State::Finishing
            | State::Killing { .. }
            | State::Ended(_) => return None,
        }
        let attempt = current?;
        if let Some(Waiting { master, count, reason, .. }) = self.waiting_of(attempt, now).into_iter().next() {
            let queue = application.scheduled.map_or("", |app| self.scheduler.queue_of(app));
            return Some(match master {
                true => format!("the master waits for its container in queue {queue}: {reason}"),
                false if count == 1 => format!("a container waits: {reason}"),
                false => format!("{count} containers wait: {reason}"),
            });
        }
        if let Some(invalid) = attempt.invalid.values().next() {
            return Some(invalid.reason.clone());
        }
        let master = attempt.master.as_ref()?;
        match attempt.state {
            attempt::State::AllocatedSaving | attempt::State::Allocated => {
                Some(format!("the master's container is being started on {}", master.node))
            }
            attempt::State::Launched if self.unclaimed.contains(&attempt.id) => {
                Some("the ResourceManager has restarted; the master has not come back yet".to_owned())
            }
            attempt::State::Launched => Some(format!("the master runs on {} and has not registered yet", master.node)),
            attempt::State::New
            | attempt::State::Submitted
            | attempt::State::Scheduled
            | attempt::State::Running
            | attempt::State::FinalSaving { .. }
            | attempt::State::Finishing
            | attempt::State::Finished
            | attempt::State::Failed
            | attempt::State::Killed => None,
        }
    }

    fn live_container(&self, container: &Container, user: &str) -> ContainerReport {
        ContainerReport {
            id: container.id,
            node: container.node.clone(),
            http_address: self.http_address(&container.node),
            user: user.to_owned(),
            resource: container.resource.clone(),
            priority: container.priority,
            state: container.public_state(),
            started_at: container.allocated_at,
            finished_at: None,
            exit: None,
        }
    }
}

fn ended_container(id: ContainerId, container: &EndedContainer, user: &str) -> ContainerReport {
    ContainerReport {
        id,
        node: container.node.clone(),
        http_address: container.http_address.clone(),
        user: user.to_owned(),
        resource: container.resource.clone(),
        priority: container.priority,
        state: ContainerState::Complete,
        started_at: container.started_at,
        finished_at: Some(container.ended_at),
        exit: Some(container.exit.clone()),
    }
}

fn attempt_report(attempt: &Attempt) -> AttemptReport {
    let shown = attempt.end.as_ref().filter(|_| !matches!(attempt.state, attempt::State::FinalSaving { .. }));
    let registration = attempt.registration.as_ref();
    let exit = attempt.master.as_ref().and_then(|master| attempt.ended.get(&master.container));
    AttemptReport {
        id: attempt.id,
        state: attempt.state.to_string(),
        started_at: attempt.started_at,
        finished_at: shown.map(|end| end.at),
        master: attempt.master.as_ref().map(|m| (m.container, m.node.clone(), m.node_http_address.clone())),
        rpc_address: registration.map(|registration| (registration.host.clone(), registration.rpc_port)),
        tracking_url: registration.map(|registration| registration.tracking_url.clone()).unwrap_or_default(),
        blacklist: attempt.blacklist.iter().cloned().collect(),
        avoided: attempt.avoid.iter().cloned().collect(),
        diagnostics: shown.map(|end| end.diagnostics.clone()).unwrap_or_default(),
        exit: exit.map(|ended| ended.exit.cause.clone()).or_else(|| shown.and_then(|end| end.exit.clone())),
    }
}

fn node_summary(node: &Node) -> NodeSummary {
    NodeSummary {
        id: node.id.clone(),
        http_address: node.http_address.clone(),
        rack: node.rack.clone(),
        state: node.state,
        connected: node.connected,
        capability: node.capability.clone(),
        allocated: node.allocated.clone(),
        free: node.free(),
        containers: node.containers.len(),
        used_memory_mb: node.utilization.0,
        containers_memory_mb: node.utilization.1,
        health_report: node.health_report.clone(),
        last_health_update: node.last_health_update,
        version: node.version.clone(),
    }
}
