//! What is the matter with the cluster, in sentences: the cause, what shows it, and what to do.

use super::Core;
use crate::ids::ContainerId;
use crate::protocol::application_master::FinalStatus;
use crate::protocol::container::ExitCause;
use crate::protocol::diagnosis::{Evidence, Severity, Verdict, cause_and_remedy};
use crate::protocol::node::NodeState;
use crate::resourcemanager::application::Application;
use crate::resourcemanager::attempt::Attempt;
use crate::resourcemanager::node::Node;
use crate::resourcemanager::report::EndedContainer;
use crate::time::Now;

/// What has ended badly is news for so long.
const RECENT_MS: u64 = 10 * 60 * 1000;
/// Verdicts of one kind; the rest are counted.
const PER_KIND: usize = 3;

impl Core {
    /// All there is to say of the cluster, worst first.
    pub fn diagnose(&self, now: Now) -> Vec<Verdict> {
        let mut verdicts = self.nodes_in_trouble(now);
        verdicts.extend(few(self.failed_applications(now), "applications have failed"));
        verdicts.extend(few(self.waiting_applications(now), "applications wait"));
        verdicts.extend(few(self.killed_containers(now), "applications had containers end badly"));
        verdicts.sort_by_key(|verdict| verdict.severity); // Stable: within one severity, rules keep their order.
        verdicts
    }

    fn nodes_in_trouble(&self, now: Now) -> Vec<Verdict> {
        let none_takes = !self.nodes.values().any(|node| node.state == NodeState::Running);
        let no_node = none_takes.then(|| Verdict {
            cause: "no node takes containers: nothing can run".to_owned(),
            remedy: "start one with flott nodemanager on each machine".to_owned(),
            ..Verdict::new(Severity::Error, "no-node", Evidence::Cluster)
        });
        let unhealthy = self.nodes.values().filter(|node| node.state == NodeState::Unhealthy).map(unhealthy).collect();
        let recent = |node: &&Node| now.0.saturating_sub(node.last_health_update.0) < 6 * RECENT_MS;
        let lost = self.nodes.values().filter(|node| node.state == NodeState::Lost).filter(recent).map(lost).collect();
        let few = few(unhealthy, "nodes are unhealthy").into_iter().chain(few(lost, "nodes were lost"));
        no_node.into_iter().chain(few).collect()
    }

    fn failed_applications(&self, now: Now) -> Vec<Verdict> {
        let failed = |application: &&Application| {
            application.shown_end().is_some_and(|end| {
                end.final_status == FinalStatus::Failed && now.0.saturating_sub(end.at.0) < RECENT_MS
            })
        };
        let verdict = |application: &Application| {
            let diagnostics = application.shown_end().map(|end| end.diagnostics.as_str()).unwrap_or_default();
            let (cause, remedy) = cause_and_remedy(diagnostics.lines().next().unwrap_or("it did not say why"));
            Verdict {
                cause: format!("{} failed: {cause}", application.submission.name),
                remedy,
                ..about(application, Severity::Warning, "failed")
            }
        };
        self.applications.values().rev().filter(failed).map(verdict).collect()
    }

    fn waiting_applications(&self, now: Now) -> Vec<Verdict> {
        let waiting = |application: &Application| {
            let attempt = self.attempts.get(&application.current_attempt()?)?;
            let first = self.waiting_of(attempt, now).into_iter().next();
            if first.is_none() && attempt.invalid.is_empty() {
                return None;
            }
            let why = self.application(application.id(), now)?.waiting_reason?;
            let (cause, remedy) = cause_and_remedy(&why);
            Some(Verdict {
                cause: format!("{} waits: {cause}", application.submission.name),
                remedy,
                ..about(application, Severity::Warning, "waiting")
            })
        };
        self.applications.values().filter(|application| !application.has_ended()).filter_map(waiting).collect()
    }

    /// Of each application that goes on, the last of its containers that did not end as anybody wanted.
    fn killed_containers(&self, now: Now) -> Vec<Verdict> {
        let bad = |application: &Application| {
            let attempt = self.attempts.get(&application.current_attempt()?)?;
            let (id, ended) = last_bad_end(attempt, now)?;
            Some(Verdict {
                cause: format!("a container of {} ended: {}", application.submission.name, ended.exit.cause),
                evidence: format!("{id} on {}, {} s ago", ended.node, now.0.saturating_sub(ended.ended_at.0) / 1000),
                remedy: remedy(&ended.exit.cause).to_owned(),
                ..about(application, Severity::Warning, "container")
            })
        };
        self.applications.values().rev().filter(|application| !application.has_ended()).filter_map(bad).collect()
    }
}

fn last_bad_end(attempt: &Attempt, now: Now) -> Option<(&ContainerId, &EndedContainer)> {
    let recent = |ended: &EndedContainer| now.0.saturating_sub(ended.ended_at.0) < RECENT_MS;
    let bad = attempt.ended.iter().filter(|(_, ended)| is_bad(&ended.exit.cause) && recent(ended));
    bad.max_by_key(|(_, ended)| ended.ended_at)
}

/// Whether nobody asked for such an end.
fn is_bad(cause: &ExitCause) -> bool {
    match cause {
        ExitCause::Completed { code } => *code != 0,
        ExitCause::KilledByApplicationMaster
        | ExitCause::KilledByUser
        | ExitCause::KilledAfterApplicationEnd
        | ExitCause::Released => false,
        ExitCause::Signal { .. }
        | ExitCause::OutOfMemory { .. }
        | ExitCause::LaunchFailed { .. }
        | ExitCause::KilledByResourceManager { .. }
        | ExitCause::Preempted { .. }
        | ExitCause::NodeLost
        | ExitCause::DiskFailed
        | ExitCause::Aborted { .. } => true,
    }
}

fn remedy(cause: &ExitCause) -> &'static str {
    match cause {
        ExitCause::OutOfMemory { .. } => "give its containers more memory, or let it hold less",
        ExitCause::Preempted { .. } => "it ran on what another queue was promised: give its queue more, or wait",
        ExitCause::NodeLost => "what ran there is replaced elsewhere; look at that machine",
        ExitCause::DiskFailed => "free or replace the disks of that node",
        _ => "its logs say more: flott app logs",
    }
}

fn about(application: &Application, severity: Severity, kind: &'static str) -> Verdict {
    let (id, submission) = (application.id(), &application.submission);
    let queue = submission.queue.strip_prefix("root.").unwrap_or(&submission.queue);
    Verdict {
        evidence: format!("{id} of {} in queue {queue}", submission.user),
        subject: id.to_string(),
        ..Verdict::new(severity, kind, Evidence::Application)
    }
}

fn unhealthy(node: &Node) -> Verdict {
    Verdict {
        cause: format!("node {} is unhealthy: {}", node.id, node.health_report),
        evidence: format!("{} containers there", node.containers.len()),
        remedy: "nothing new is placed on it until it is well".to_owned(),
        subject: node.id.to_string(),
        ..Verdict::new(Severity::Error, "node", Evidence::Node)
    }
}

fn lost(node: &Node) -> Verdict {
    Verdict {
        cause: format!("node {} was lost: it has been silent for too long", node.id),
        remedy: "start its NodeManager again; what ran there is replaced elsewhere".to_owned(),
        subject: node.id.to_string(),
        ..Verdict::new(Severity::Error, "node", Evidence::Node)
    }
}

/// The first of them, and how many more there are.
fn few(mut verdicts: Vec<Verdict>, what: &str) -> Vec<Verdict> {
    let more = verdicts.len().saturating_sub(PER_KIND);
    verdicts.truncate(PER_KIND);
    if let Some(last) = verdicts.last().filter(|_| more > 0) {
        let rest = Verdict::new(last.severity, "more", Evidence::Cluster);
        verdicts.push(Verdict { cause: format!("{more} more {what}"), ..rest });
    }
    verdicts
}
