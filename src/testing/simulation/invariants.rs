//! What must always be true, and what must be true in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::actors::Actor;
use super::channels::{Channels, JobNetwork};
use super::disks::JobFiles;
use super::messages::Report;
use super::programs::Counting;
use super::world::World;
use crate::engine::checkpoint::Manifest;
use crate::graph::task::{Committable, TaskDeployment};
use crate::ids::{ApplicationAttemptId, ApplicationId, ContainerId, ExecutionAttemptId, JobId, WorkerId};
use crate::jobmanager::job_master::{JobMaster, Outcome, WorkerState};
use crate::protocol::application_master::FinalStatus;
use crate::protocol::container::Allocation;
use crate::protocol::job::JobStatus;
use crate::protocol::submission::ApplicationState;
use crate::resource::Resource;
use crate::resourcemanager::core::Core;
use crate::rpc::ErrorKind;
use crate::time::Now;

/// What an outside observer remembers.
#[derive(Default)]
pub(super) struct Ledger {
    violation: Option<String>,
    /// Who was told of which container.
    delivered: BTreeMap<ContainerId, ApplicationAttemptId>,
    networks: BTreeMap<JobId, Arc<JobNetwork>>,
    /// Applications whose master, of this attempt, has heard that their end is durable, and has removed its records.
    over: BTreeMap<ApplicationId, u32>,
}

impl Ledger {
    /// Notes that something is not as it must be. The first one counts.
    pub(super) fn violated(&mut self, what: impl Into<String>) {
        self.violation.get_or_insert_with(|| what.into());
    }

    pub(super) fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    /// A worker's ends of its job's channels.
    pub(super) fn channels_of(&mut self, job: JobId, worker: &WorkerId) -> Arc<Channels> {
        let network = self.networks.entry(job).or_insert_with(|| Arc::new(JobNetwork::new()));
        Arc::new(Channels::new(Arc::clone(network), worker.clone()))
    }

    /// A master has heard that its application's end is durable.
    pub(super) fn over(&mut self, attempt: ApplicationAttemptId) {
        self.over.insert(attempt.application, attempt.attempt);
    }

    /// No further attempt begins behind the end that its predecessor was told of: there is nothing from which it would know. An earlier one
    /// may come late, and is sent away.
    pub(super) fn begins(&mut self, attempt: ApplicationAttemptId) {
        if self.over.get(&attempt.application).is_some_and(|last| attempt.attempt > *last) {
            self.violated(format!("{attempt} begins, and its application's end was durable"));
        }
    }

    /// Each container is delivered to exactly one attempt.
    pub(super) fn delivered(&mut self, attempt: ApplicationAttemptId, allocations: &[Allocation]) {
        for allocation in allocations {
            let first = *self.delivered.entry(allocation.container).or_insert(attempt);
            if first != attempt {
                self.violated(format!("{} was delivered to {first} and to {attempt}", allocation.container));
            }
        }
    }

    /// A kept container passes from an attempt to a later one of the same application, and never back.
    pub(super) fn inherited(&mut self, attempt: ApplicationAttemptId, allocations: &[Allocation]) {
        for allocation in allocations {
            let before = self.delivered.insert(allocation.container, attempt);
            let passes_on = |before: ApplicationAttemptId| {
                before.application == attempt.application && before.attempt <= attempt.attempt
            };
            if !before.is_some_and(passes_on) {
                self.violated(format!("{} was inherited by {attempt}, from {before:?}", allocation.container));
            }
        }
    }

    /// Granted = used + free, never more than there is; who waits knows why.
    pub(super) fn look_at_resource_manager(&mut self, core: &Core, now: Now) {
        let mut used: BTreeMap<crate::ids::NodeId, Resource> = BTreeMap::new();
        for report in core.applications(now) {
            for attempt in core.attempt_reports(report.id) {
                let live = core.container_reports(attempt.id);
                for container in live.into_iter().filter(|container| container.exit.is_none()) {
                    used.entry(container.node).or_default().add(&container.resource);
                }
            }
            let nameless = report.pending.iter().find(|pending| pending.reason.is_empty());
            if let Some(pending) = nameless {
                self.violated(format!("{} waits for {} and nobody knows why", report.id, pending.capability));
            }
            let scheduled = report.attempt.as_ref().is_some_and(|attempt| attempt.state == "SCHEDULED");
            let waits = report.state == ApplicationState::Accepted && scheduled;
            if waits && report.waiting_reason.as_ref().is_none_or(String::is_empty) {
                self.violated(format!("{} waits and nobody knows why", report.id));
            }
        }
        for node in core.node_summaries() {
            let used = used.remove(&node.id).unwrap_or_default();
            if used != node.allocated {
                self.violated(format!("{}: containers have {used}, the books say {}", node.id, node.allocated));
            }
            if !node.capability.fits(&node.allocated) {
                self.violated(format!("{} offers {} and has granted {}", node.id, node.capability, node.allocated));
            }
            let mut sum = node.free;
            sum.add(&node.allocated);
            if sum != node.capability {
                self.violated(format!("{}: free and granted make {sum}, not {}", node.id, node.capability));
            }
        }
    }
}

/// Whether a job takes what this worker does for real.
fn counts_on(master: &JobMaster, worker: &WorkerId) -> bool {
    let mut places = master.workers().places();
    places.any(|(task_manager, place)| match &place.worker {
        WorkerState::Ready { incarnation, .. } | WorkerState::Starting { incarnation, .. } => {
            *task_manager == worker.task_manager && *incarnation == worker.incarnation
        }
        WorkerState::Absent | WorkerState::Leaving { .. } => false,
    })
}

impl World {
    /// No two live executions of one task, unless the older one's worker has been given up.
    pub(super) fn check_deployment(&mut self, master: Option<&JobMaster>, tasks: &[TaskDeployment]) {
        let Some(master) = master else { return };
        for task in tasks {
            let new = task.attempt;
            let same = |old: &ExecutionAttemptId| (old.vertex, old.subtask) == (new.vertex, new.subtask);
            let mut double = None;
            for process in self.processes.values() {
                let Actor::Worker(worker) = &process.actor else { continue };
                if worker.id().job == task.job
                    && counts_on(master, worker.id())
                    && let Some(old) = worker.attempts().find(same)
                {
                    double = Some((old, worker.id().clone()));
                }
            }
            if let Some((old, worker)) = double {
                self.ledger.violated(format!("{new} is deployed while {old} lives in {worker}"));
            }
        }
    }

    /// Nothing is published before the decision to is durable, or a checkpoint that it belongs to.
    pub(super) fn check_commit(&mut self, job: JobId, committables: &[Committable]) {
        let files = self.disks.jobs.iter().find(|((_, id), _)| *id == job).map(|(_, files)| files);
        let decision = files.and_then(JobFiles::decision);
        let decided = |committable: &Committable| {
            let of = decision.and_then(|decision| decision.committables.get(&committable.operator));
            of.is_some_and(|all| all.contains(committable))
                || files.is_some_and(|files| files.is_checkpointed(&committable.payload))
        };
        if let Some(undecided) = committables.iter().find(|committable| !decided(committable)) {
            self.ledger.violated(format!("{} is published without a durable decision", undecided.payload));
        }
    }

    /// A checkpoint is complete only when all its files are there, whole.
    pub(super) fn check_manifest(&mut self, program: &str, manifest: &Manifest) {
        let scenario = Arc::clone(&self.scenario);
        let Some(spec) = scenario.job_of_program(program) else { return };
        let files = manifest.operators.iter().flat_map(|operator| operator.files.iter().flatten());
        if let Some(file) = files.into_iter().find(|file| spec.storage.len(&file.path) != Some(file.bytes)) {
            let (checkpoint, path) = (manifest.checkpoint, &file.path);
            self.ledger.violated(format!("checkpoint {checkpoint} is complete without {path}"));
        }
    }

    /// Whether everything has ended and nothing is left; else what is.
    pub(super) fn left(&self) -> Option<String> {
        let client = self.processes.values().find_map(|process| match &process.actor {
            Actor::Client(client) => Some(client),
            _ => None,
        });
        if !client.is_some_and(|client| client.all_ended()) {
            return Some("an application has not ended".to_owned());
        }
        if let Some(process) = self.in_containers().first().and_then(|pid| self.processes.get(pid)) {
            return Some(format!("{} still runs", process.name));
        }
        let lost = &self.faults.lost;
        for (host, disk) in self.disks.nodes.iter().filter(|(host, _)| !lost.contains(host)) {
            if let Some(application) = disk.applications.keys().next() {
                return Some(format!("{host} still has directories of {application}"));
            }
            if let Some(container) = disk.containers.first() {
                return Some(format!("{host} still has the work directory of {container}"));
            }
        }
        let core = self.processes.values().find_map(|process| match &process.actor {
            Actor::ResourceManager(actor) => Some(actor.core()),
            _ => None,
        });
        let Some(core) = core else { return Some("the ResourceManager is down".to_owned()) };
        let summary = core.summary();
        if summary.containers > 0 || !summary.allocated.is_zero() || summary.containers_pending > 0 {
            return Some(format!("the ResourceManager's books hold {}", summary.allocated));
        }
        if core.node_summaries().len() + lost.len() < self.scenario.nodes.len() {
            return Some("a node is missing".to_owned());
        }
        None
    }

    /// What each application's end promises about its output.
    pub(super) fn check_outputs(&mut self) {
        let mut found = Vec::new();
        for process in self.processes.values() {
            if let Actor::Client(client) = &process.actor {
                found.extend(client.ends().map(|(index, id, report)| (index, id, report.clone())));
            }
        }
        for (index, application, report) in found {
            let job = self.scenario.jobs[index].job;
            let files = self.disks.jobs.get(&(application, job));
            let drained = files.and_then(JobFiles::drained).cloned();
            let decided = files.is_some_and(|files| files.decision().is_some());
            let outcome = files.and_then(JobFiles::outcome).cloned();
            let of_checkpoints = files.map(JobFiles::checkpointed).unwrap_or_default();
            let checkpointed = |payload: &serde_json::Value| of_checkpoints.contains(payload);
            let written = (decided, drained.as_deref());
            if let Err(what) = self.check_output(index, &report, written, outcome.as_ref(), checkpointed) {
                self.ledger.violated(format!("{application}: {what}"));
            }
        }
    }

    fn check_output(
        &mut self,
        index: usize,
        report: &Report,
        (decided, drained): (bool, Option<&Manifest>),
        outcome: Option<&Outcome>,
        checkpointed: impl Fn(&serde_json::Value) -> bool,
    ) -> Result<(), String> {
        let spec = &self.scenario.jobs[index];
        let failure = outcome.and_then(|outcome| outcome.failure.as_ref());
        // A clock that is hours ahead of the ResourceManager's lets no container start.
        let excused = spec.storage.has_damage() || self.clocks.are_off();
        if let Some(failure) = failure.filter(|failure| failure.kind == ErrorKind::Permanent && !excused) {
            return Err(format!("what goes wrong here passes, and the job fails for good: {failure}"));
        }
        let outcome = outcome.map(|outcome| outcome.status);
        let visible = spec.output.visible();
        let succeeded = report.state == ApplicationState::Finished && report.final_status == FinalStatus::Succeeded;
        // A job whose latest checkpoint was damaged goes on from the one before, and says that output in between may be there again.
        let twice = spec.storage.has_damage();
        let continuous = spec.counting.is_continuous();
        let from_one = spec.counting == Counting::Updates;
        let updates = if continuous { updates_of(&visible, from_one, twice)? } else { BTreeMap::new() };
        if !succeeded && continuous {
            self.stats.unfinished += 1;
            return Ok(());
        }
        if !succeeded {
            self.stats.unfinished += 1;
            // What a complete checkpoint holds may be visible: of a part of the job that had finished, or of a job that was drained.
            let own = |file: &&String| !checkpointed(&serde_json::Value::from(file.as_str()));
            return match visible.keys().find(own) {
                // Decided before the application's end: it only rolls forward.
                Some(file) if !decided => Err(format!("{} and yet {file} is visible", report.state)),
                Some(file) if matches!(outcome, Some(JobStatus::Canceled)) => {
                    Err(format!("the job is CANCELED and yet {file} is visible"))
                }
                Some(_) | None => Ok(()),
            };
        }
        self.stats.finished += 1;
        self.stats.drained += u64::from(drained.is_some());
        if outcome != Some(JobStatus::Finished) {
            return Err(format!("SUCCEEDED, and the job's stored outcome is {outcome:?}"));
        }
        if let Some(file) = spec.storage.first_in("checkpoints") {
            return Err(format!("SUCCEEDED, and {file} is left"));
        }
        let mut counts = updates;
        if !continuous {
            let mut seen = BTreeSet::new();
            for (word, count) in visible.into_values().flatten() {
                if twice && !seen.insert((word.clone(), count)) {
                    continue;
                }
                *counts.entry(word).or_default() += count;
            }
        }
        let expected = spec.expected(drained);
        let wrong = expected.keys().chain(counts.keys()).find(|word| expected.get(*word) != counts.get(*word));
        match wrong {
            None => Ok(()),
            Some(word) => Err(format!(
                "{word} is counted {:?} times, and occurs {:?} times",
                counts.get(word).unwrap_or(&0),
                expected.get(word).unwrap_or(&0)
            )),
        }
    }
}

/// The last count of each word, where each new one is written: every one of them once, whatever failed, and the first is 1 where it has
/// to be.
fn updates_of(
    visible: &BTreeMap<String, Vec<(String, u64)>>,
    from_one: bool,
    twice: bool,
) -> Result<BTreeMap<String, u64>, String> {
    let mut updates: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (word, count) in visible.values().flatten() {
        updates.entry(word.clone()).or_default().push(*count);
    }
    let mut last = BTreeMap::new();
    for (word, mut counts) in updates {
        counts.sort_unstable();
        if twice {
            counts.dedup();
        }
        if twice && !from_one {
            // Read again, a window may emit for the first time when it holds more, or less.
            last.insert(word, counts[counts.len() - 1]);
            continue;
        }
        let first = if from_one { 1 } else { counts[0] };
        let end = first + counts.len() as u64;
        if !counts.iter().copied().eq(first..end) {
            return Err(format!("the counts of {word} that are visible are {counts:?}"));
        }
        last.insert(word, end - 1);
    }
    Ok(last)
}
