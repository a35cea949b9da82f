//! What outlives processes: the ResourceManager's store, nodes' directories, the storage of jobs, and published output.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::checkpoint::Manifest;
use crate::graph::plan::Plan;
use crate::ids::{ApplicationId, ContainerId, JobId};
use crate::jobmanager::job_master::{Decision, Outcome, Requirements};
use crate::nodemanager::ContainerRecord;
use crate::process::Ended;
use crate::resourcemanager::record::{Key, Record};
use crate::storage::Leader;

/// All disks.
#[derive(Default)]
pub(super) struct Disks {
    /// The ResourceManager's store.
    pub(super) resource_manager: BTreeMap<Key, Record>,
    /// By host.
    pub(super) nodes: BTreeMap<String, NodeDisk>,
    /// `<flott.storage.dir>/<application>/<job>/`.
    pub(super) jobs: BTreeMap<(ApplicationId, JobId), JobFiles>,
    /// `<flott.storage.dir>/<application>/leaders/`, as `storage::Leaders` keeps it.
    leaders: BTreeMap<(ApplicationId, u32), Leader>,
}

/// A node's directory.
#[derive(Default)]
pub(super) struct NodeDisk {
    /// Starts of its NodeManager.
    pub(super) incarnation: u64,
    pub(super) records: BTreeMap<ContainerId, ContainerRecord>,
    /// Exit codes that containers left.
    pub(super) exits: BTreeMap<ContainerId, Ended>,
    /// Directories of applications, with their users.
    pub(super) applications: BTreeMap<ApplicationId, String>,
    /// Work directories of containers.
    pub(super) containers: BTreeSet<ContainerId>,
}

/// What is stored of a job, as `jobmanager::store` does.
#[derive(Default)]
pub(super) struct JobFiles {
    pub(super) plan: Option<Plan>,
    /// With the attempt that wrote it.
    verdict: Option<(u32, Verdict)>,
    outcome: Option<(u32, Outcome)>,
    /// By attempt.
    requirements: BTreeMap<u32, Requirements>,
    /// As `jobmanager::checkpoint_store` does: which attempt wrote each entry, and what the job goes on from behind it.
    checkpoints: Vec<(u32, Option<Arc<Manifest>>)>,
    /// Nobody is kept out: a planted mistake.
    pub(super) is_open_to_all: bool,
}

/// What a job comes to: the first one counts.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    Publish(Decision),
    End(Outcome),
}

/// What a JobManager writes.
#[derive(Clone, Debug)]
pub(super) enum JobWrite {
    Plan(Box<Plan>),
    Verdict(Verdict),
    /// After a decision.
    Outcome(Outcome),
    Requirements(Requirements),
}

/// A record is there already, written by another attempt.
#[derive(Debug)]
pub(super) struct WrittenBy(pub(super) u32);

impl Disks {
    pub(super) fn node(&mut self, host: &str) -> &mut NodeDisk {
        self.nodes.entry(host.to_owned()).or_default()
    }

    pub(super) fn leave_exit(&mut self, host: &str, container: ContainerId, ended: Ended) {
        self.node(host).exits.insert(container, ended);
    }

    pub(super) fn lead(&mut self, application: ApplicationId, leader: Leader) {
        self.leaders.entry((application, leader.attempt)).or_insert(leader);
    }

    /// Who leads, if that is a later attempt than `known`.
    pub(super) fn leader(&self, application: ApplicationId, known: u32) -> Option<Leader> {
        let later = self.leaders.range((application, known + 1)..=(application, u32::MAX));
        later.last().map(|(_, leader)| leader.clone())
    }

    pub(super) fn job(&mut self, application: ApplicationId, job: JobId) -> &mut JobFiles {
        self.jobs.entry((application, job)).or_default()
    }
}

impl JobFiles {
    /// Writes what counts unless a later attempt has entered, and, of what there is once, unless another has written it.
    pub(super) fn create(&mut self, attempt: u32, write: JobWrite) -> Result<(), WrittenBy> {
        if matches!(write, JobWrite::Verdict(_) | JobWrite::Outcome(_)) {
            self.let_in(attempt)?;
        }
        match write {
            JobWrite::Plan(plan) => {
                self.plan.get_or_insert(*plan);
                Ok(())
            }
            JobWrite::Verdict(verdict) => create_stamped(&mut self.verdict, attempt, verdict),
            JobWrite::Outcome(outcome) => match &self.outcome {
                Some((_, found)) if found.status == outcome.status => Ok(()),
                Some(_) | None => create_stamped(&mut self.outcome, attempt, outcome),
            },
            JobWrite::Requirements(requirements) => {
                self.requirements.insert(attempt, requirements);
                Ok(())
            }
        }
    }

    /// The parallelism that the latest attempt with a word on it has written.
    pub(super) fn requirements(&self, attempt: u32) -> Option<&Requirements> {
        self.requirements.range(..=attempt).next_back().map(|(_, requirements)| requirements)
    }

    /// Enters an attempt; what it takes over, the one that it goes on from last.
    pub(super) fn begin_checkpoints(
        &mut self,
        attempt: u32,
        retained: usize,
        is_whole: impl Fn(&Manifest) -> bool,
    ) -> Result<Vec<Arc<Manifest>>, WrittenBy> {
        self.let_in(attempt)?;
        let mut kept: Vec<_> = self.latest_first().filter(|it| is_whole(it)).take(retained).cloned().collect();
        kept.reverse();
        self.checkpoints.push((attempt, kept.last().cloned()));
        Ok(kept)
    }

    /// Whether no later attempt has entered.
    fn let_in(&self, attempt: u32) -> Result<(), WrittenBy> {
        match self.leads() {
            Some(by) if by > attempt && !self.is_open_to_all => Err(WrittenBy(by)),
            Some(_) | None => Ok(()),
        }
    }

    /// Each checkpoint of the list once.
    fn latest_first(&self) -> impl Iterator<Item = &Arc<Manifest>> {
        let mut seen = BTreeSet::new();
        let complete = self.checkpoints.iter().rev().filter_map(|entry| entry.1.as_ref());
        complete.filter(move |manifest| seen.insert(&manifest.directory))
    }

    /// The latest attempt that has entered.
    pub(super) fn leads(&self) -> Option<u32> {
        self.checkpoints.iter().map(|(attempt, _)| *attempt).max()
    }

    /// The earliest of those that are retained, if that is not the latest.
    pub(super) fn earliest_retained(&self, retained: usize) -> Option<&Arc<Manifest>> {
        self.latest_first().take(retained).skip(1).last()
    }

    /// The one before that, for a planted mistake.
    pub(super) fn earlier_checkpoint(&self) -> Option<Arc<Manifest>> {
        let latest = self.checkpoints.last().and_then(|entry| entry.1.as_ref())?.checkpoint;
        let complete = self.checkpoints.iter().rev().filter_map(|entry| entry.1.clone());
        complete.into_iter().find(|manifest| manifest.checkpoint < latest)
    }

    /// Makes a checkpoint the one to go on from, unless a later attempt has entered.
    pub(super) fn publish_checkpoint(&mut self, attempt: u32, manifest: Arc<Manifest>) -> Result<(), WrittenBy> {
        self.let_in(attempt)?;
        self.checkpoints.push((attempt, Some(manifest)));
        Ok(())
    }

    /// Whether a job that has not ended may go on from the checkpoint in this directory: it is one of the latest, of which so many are kept.
    pub(super) fn counts_on(&self, directory: &str, retained: usize) -> bool {
        self.verdict.is_none() && self.latest_first().take(retained).any(|manifest| manifest.directory == directory)
    }

    /// The savepoint that the job's input has ended with.
    pub(super) fn drained(&self) -> Option<&Arc<Manifest>> {
        self.checkpoints.last().and_then(|entry| entry.1.as_ref()).filter(|manifest| manifest.drained)
    }

    /// Whether prepared output belongs to a checkpoint that is complete.
    pub(super) fn is_checkpointed(&self, payload: &serde_json::Value) -> bool {
        self.output_of_checkpoints().any(|known| known == payload)
    }

    /// The same of all.
    pub(super) fn checkpointed(&self) -> Vec<serde_json::Value> {
        self.output_of_checkpoints().cloned().collect()
    }

    fn output_of_checkpoints(&self) -> impl Iterator<Item = &serde_json::Value> {
        let manifests = self.checkpoints.iter().filter_map(|entry| entry.1.as_ref());
        manifests.flat_map(|manifest| manifest.committables.values().flatten())
    }

    /// What is to be published.
    pub(super) fn decision(&self) -> Option<&Decision> {
        match &self.verdict {
            Some((_, Verdict::Publish(decision))) => Some(decision),
            Some((_, Verdict::End(_))) | None => None,
        }
    }

    /// How the job ended.
    pub(super) fn outcome(&self) -> Option<&Outcome> {
        match &self.verdict {
            Some((_, Verdict::End(outcome))) => Some(outcome),
            Some((_, Verdict::Publish(_))) | None => self.outcome.as_ref().map(|(_, outcome)| outcome),
        }
    }
}

fn create_stamped<T>(file: &mut Option<(u32, T)>, attempt: u32, record: T) -> Result<(), WrittenBy> {
    match file {
        Some((by, _)) if *by != attempt => Err(WrittenBy(*by)),
        Some(_) => Ok(()),
        None => {
            *file = Some((attempt, record));
            Ok(())
        }
    }
}
