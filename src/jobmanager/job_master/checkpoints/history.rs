//! What became of a job's checkpoints, for people: how long each subtask took, and why one failed.

use std::collections::{BTreeMap, VecDeque};

use super::super::execution::Position;
use crate::engine::checkpoint::{Barrier, Manifest};
use crate::graph::checkpoint::CheckpointTimings;
use crate::graph::task::Failure;
use crate::ids::CheckpointId;
use crate::time::Now;

/// Checkpoints remembered. Flink's `web.checkpoints.history`.
const HISTORY_MAX: usize = 10;

/// How a checkpoint stands. Flink's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointStatus {
    /// Under way.
    InProgress,
    /// Complete.
    Completed,
    /// It came to nothing.
    Failed,
}

/// One checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointRecord {
    /// Its number.
    pub checkpoint: CheckpointId,
    /// Whether a user asked for it and owns it.
    pub savepoint: bool,
    /// How it stands.
    pub status: CheckpointStatus,
    /// When it was begun.
    pub triggered: Now,
    /// When it was completed or given up.
    pub ended: Option<Now>,
    /// Where it lies.
    pub directory: String,
    /// Bytes of state, once it is complete.
    pub state_bytes: u64,
    /// The subtasks it awaits, and what those that acknowledged took.
    pub subtasks: BTreeMap<(usize, usize), Option<SubtaskRecord>>,
    /// Why it failed.
    pub failure: Option<Failure>,
}

/// A subtask's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubtaskRecord {
    /// Bytes of its state.
    pub bytes: u64,
    /// How long it took.
    pub timings: CheckpointTimings,
    /// When it said that its state is written.
    pub acknowledged: Now,
}

/// The latest checkpoints, and how many there were.
#[derive(Clone, Debug, Default)]
pub struct History {
    records: VecDeque<CheckpointRecord>,
    latest_completed: Option<CheckpointRecord>,
    latest_savepoint: Option<CheckpointRecord>,
    latest_failed: Option<CheckpointRecord>,
    restored: Option<(CheckpointRecord, Now)>,
    completed: u64,
    failed: u64,
    restores: u64,
}

impl History {
    pub(super) fn begun(&mut self, barrier: &Barrier, savepoint: bool, awaiting: impl Iterator<Item = Position>) {
        self.records.push_back(CheckpointRecord {
            checkpoint: barrier.checkpoint,
            savepoint,
            status: CheckpointStatus::InProgress,
            triggered: barrier.triggered,
            ended: None,
            directory: barrier.directory.clone(),
            state_bytes: 0,
            subtasks: awaiting.map(|at| (at, None)).collect(),
            failure: None,
        });
        if self.records.len() > HISTORY_MAX {
            self.records.pop_front();
        }
    }

    pub(super) fn written(&mut self, checkpoint: CheckpointId, at: Position, subtask: SubtaskRecord) {
        if let Some(slot) = self.find(checkpoint).and_then(|record| record.subtasks.get_mut(&at)) {
            *slot = Some(subtask);
        }
    }

    pub(super) fn completed(&mut self, manifest: &Manifest, now: Now) {
        self.completed += 1;
        let Some(record) = self.find(manifest.checkpoint) else { return };
        (record.status, record.ended) = (CheckpointStatus::Completed, Some(now));
        record.state_bytes = manifest.state_bytes();
        let record = record.clone();
        if record.savepoint { self.latest_savepoint = Some(record) } else { self.latest_completed = Some(record) }
    }

    pub(super) fn failed(&mut self, checkpoint: CheckpointId, failure: &Failure, now: Now) {
        self.failed += 1;
        let Some(record) = self.find(checkpoint) else { return };
        (record.status, record.ended) = (CheckpointStatus::Failed, Some(now));
        record.failure = Some(failure.clone());
        self.latest_failed = Some(record.clone());
    }

    pub(in super::super) fn restored(&mut self, manifest: &Manifest, now: Now) {
        self.restores += 1;
        let record = CheckpointRecord {
            checkpoint: manifest.checkpoint,
            savepoint: manifest.savepoint,
            status: CheckpointStatus::Completed,
            triggered: manifest.triggered,
            ended: None,
            directory: manifest.directory.clone(),
            state_bytes: manifest.state_bytes(),
            subtasks: BTreeMap::new(),
            failure: None,
        };
        self.restored = Some((record, now));
    }

    fn find(&mut self, checkpoint: CheckpointId) -> Option<&mut CheckpointRecord> {
        self.records.iter_mut().rev().find(|record| record.checkpoint == checkpoint)
    }

    /// The latest ones, oldest first, at most ten.
    pub fn records(&self) -> impl DoubleEndedIterator<Item = &CheckpointRecord> {
        self.records.iter()
    }

    /// One of them.
    pub fn get(&self, checkpoint: CheckpointId) -> Option<&CheckpointRecord> {
        let latest = [&self.latest_completed, &self.latest_savepoint, &self.latest_failed];
        let known = self.records.iter().chain(latest.into_iter().flatten());
        known.into_iter().find(|record| record.checkpoint == checkpoint)
    }

    /// The latest one that was completed and is no savepoint.
    pub fn latest_completed(&self) -> Option<&CheckpointRecord> {
        self.latest_completed.as_ref()
    }

    /// The latest complete savepoint.
    pub fn latest_savepoint(&self) -> Option<&CheckpointRecord> {
        self.latest_savepoint.as_ref()
    }

    /// The latest that failed.
    pub fn latest_failed(&self) -> Option<&CheckpointRecord> {
        self.latest_failed.as_ref()
    }

    /// The one the job went on from last, and when.
    pub fn latest_restored(&self) -> Option<&(CheckpointRecord, Now)> {
        self.restored.as_ref()
    }

    /// How many were completed.
    pub fn completed_count(&self) -> u64 {
        self.completed
    }

    /// How many failed.
    pub fn failed_count(&self) -> u64 {
        self.failed
    }

    /// How often the job went on from one.
    pub fn restored_count(&self) -> u64 {
        self.restores
    }

    /// How many are under way.
    pub fn in_progress_count(&self) -> u64 {
        self.records.iter().filter(|record| record.status == CheckpointStatus::InProgress).count() as u64
    }
}
