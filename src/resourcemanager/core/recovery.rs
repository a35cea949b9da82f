//! The first event: taking up what the store holds.
//!
//! Applications come back as they were, live ones as ACCEPTED until their master registers again. Nodes come back by
//! themselves and bring their containers; nothing is granted until they had time to.

use std::collections::BTreeMap;

use super::{Core, Saved, Step};
use crate::ids::{ApplicationAttemptId, ApplicationId};
use crate::resourcemanager::application::{self, Application, State};
use crate::resourcemanager::attempt::{self, Attempt};
use crate::resourcemanager::event::Effect;
use crate::resourcemanager::node::Node;
use crate::resourcemanager::record::{self, AttemptEnd, Key, Outcome, Record};
use crate::resourcemanager::timers::Timer;
use crate::rpc::token::SigningKey;
use crate::time::Now;

/// Versions of an epoch begin here, so that those given out before a restart are lower.
const VERSIONS_PER_EPOCH: u64 = 1 << 32;

impl Core {
    pub(super) fn recover(&mut self, records: Vec<Record>, now: Now, out: &mut Vec<Effect>) {
        let mut applications = Vec::new();
        let mut attempts: BTreeMap<ApplicationId, Vec<record::Attempt>> = BTreeMap::new();
        for record in records {
            match record {
                Record::Cluster(cluster) => self.recover_cluster(cluster),
                Record::Application(application) => applications.push(*application),
                // Two attempts of an application would end each other's containers for ever.
                Record::Attempt(attempt) if !is_sound(&attempt) => {}
                Record::Attempt(attempt) => attempts.entry(attempt.attempt.application).or_default().push(*attempt),
                Record::Excluded { nodes } => self.excluded = nodes,
                Record::Queues { text } => self.recover_queues(&text, now),
                Record::Node { node } => {
                    self.awaited_nodes.insert(node);
                }
            }
        }
        self.last_version = self.cluster.epoch * VERSIONS_PER_EPOCH;
        self.persist_cluster(out);
        applications.sort_by_key(|application| {
            (application.end.as_ref().map(|end| end.at), application.submission.application)
        });
        let mut live = false;
        for application in applications {
            let mut of = attempts.remove(&application.submission.application).unwrap_or_default();
            of.sort_by_key(|attempt| attempt.attempt);
            // The store holds each once, unless somebody has been at it.
            of.dedup_by_key(|attempt| attempt.attempt);
            if self.applications.contains_key(&application.submission.application) {
                continue;
            }
            live |= application.end.is_none();
            self.recover_application(application, of);
        }
        for node in &self.awaited_nodes {
            self.timers.arm(Timer::Node(node.clone()), now + self.settings.node_expiry);
        }
        if live && !self.awaited_nodes.is_empty() {
            self.recovering = true;
            self.timers.arm(Timer::Recovery, now + self.settings.scheduling_wait);
        }
        self.replan = true;
    }

    fn recover_cluster(&mut self, cluster: record::Cluster) {
        let keys = (SigningKey::from_hex(&cluster.token_key), SigningKey::from_hex(&cluster.master_key));
        if let (Ok(key), Ok(master_key)) = keys {
            (self.key, self.master_key) = (key, master_key);
            self.cluster = record::Cluster { epoch: cluster.epoch + 1, ..cluster };
        }
    }

    fn recover_application(&mut self, stored: record::Application, attempts: Vec<record::Attempt>) {
        let id = stored.submission.application;
        let mut application = Application::new(stored.submission, stored.submitted_at);
        application.recovered = true;
        application.attempt = attempts.last().map_or(0, |attempt| attempt.attempt.attempt);
        application.launched_at =
            attempts.iter().find(|attempt| attempt.master.is_some()).map(|first| first.started_at);
        application.failures = attempts.iter().rev().skip(1).rev().filter_map(counted_failure).collect();
        application.nodes.extend(attempts.iter().filter_map(|attempt| attempt.master.as_ref()).map(|m| m.node.clone()));
        let ended = stored.end.is_some();
        if let Some(end) = stored.end {
            application.state = State::Ended(end.state);
            application.used = (end.memory_seconds * 1000, end.vcore_seconds * 1000);
            application.end = Some(end);
            self.ended.push_back(id);
        }
        self.applications.insert(id, application);
        self.touch(id);
        if !ended {
            self.steps.push_back(Step::Application(id, application::Input::Recover));
        }
        let last = attempts.len().saturating_sub(1);
        for (index, attempt) in attempts.into_iter().enumerate() {
            self.recover_attempt(attempt, index == last && !ended);
        }
    }

    /// `current`: of an application that has not ended, the last one.
    fn recover_attempt(&mut self, stored: record::Attempt, current: bool) {
        let id = stored.attempt;
        let is_command = self.applications.get(&id.application).is_some_and(|of| of.submission.is_command);
        match (&stored.end, &stored.master) {
            (None, Some(master)) if current => {
                let master = master.clone();
                let mut attempt = Attempt::new(id, is_command, stored.started_at);
                attempt.mailbox.held = true;
                self.attempts.insert(id, attempt);
                self.unclaimed.insert(id);
                self.steps.push_back(Step::Attempt(id, attempt::Input::Recover(master)));
            }
            (end, _) => {
                let told = end.clone().filter(|_| current);
                self.attempts.insert(id, Attempt::recover_ended(stored, is_command));
                if let Some(end) = told {
                    self.tell_recovered_end(id, end);
                }
            }
        }
    }

    /// The attempt's end was stored, its application's was not.
    fn tell_recovered_end(&mut self, id: ApplicationAttemptId, end: AttemptEnd) {
        use application::Input;
        let AttemptEnd { outcome, diagnostics, at, .. } = end;
        let inputs = match outcome {
            Outcome::Finished { final_status, tracking_url } => {
                vec![Input::AttemptUnregistered { final_status, diagnostics, tracking_url }, Input::AttemptFinished]
            }
            Outcome::Failed { counts } => vec![Input::AttemptFailed { diagnostics, counts, at }],
            Outcome::Killed => vec![Input::AttemptKilled],
        };
        self.steps.extend(inputs.into_iter().map(|input| Step::Application(id.application, input)));
    }

    /// Every node is back, or has had its time.
    pub(super) fn recovery_over(&mut self) {
        self.timers.disarm(&Timer::Recovery);
        self.recovering = false;
        self.replan = true;
    }
}

impl Core {
    /// Stores which nodes are part of the cluster, where that changed.
    pub(super) fn store_members(&mut self, out: &mut Vec<Effect>) {
        for id in std::mem::take(&mut self.members_changed) {
            let member = self.nodes.get(&id).is_some_and(Node::is_active);
            let record = member.then(|| Record::Node { node: id.clone() });
            self.persist(Key::Node(id), record, Saved::Nothing, out);
        }
    }
}

/// Whether it is an attempt, and its master's container its own.
fn is_sound(stored: &record::Attempt) -> bool {
    let own = stored.master.as_ref().is_none_or(|master| master.container.attempt == stored.attempt);
    own && stored.attempt.attempt > 0
}

fn counted_failure(attempt: &record::Attempt) -> Option<Now> {
    let end = attempt.end.as_ref()?;
    matches!(end.outcome, Outcome::Failed { counts: true }).then_some(end.at)
}
