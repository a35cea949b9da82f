//! Which checkpoint is under way, who has to say what for it, and what became of earlier ones. Flink's `CheckpointCoordinator`.
//!
//! ```text
//!          all tasks run, it is due                 every cut and every file            manifest written
//! (none) ─────────────────────────► Pending: cuts, files ─────────────────► publishing ────────────────► completed
//!    ▲                                  │ refused, timed out, a task failed     │ not written                │ newer one
//!    └──────────────────────────────────┴───────────────────────────────────────┘                             ▼ discarded
//! ```
//! One at a time. What lies before a barrier is told in two messages: the *cut*, in order with all else a subtask reports, and the
//! *file*, whenever it is written. A subtask that ends without a cut has nothing behind the barrier: its end is its cut.

mod history;
mod settings;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub use self::history::{CheckpointRecord, CheckpointStatus, History, SubtaskRecord};
pub use self::settings::CheckpointSettings;

use super::execution::Position;
use crate::engine::checkpoint::{Barrier, Continuation, Manifest};
use crate::graph::checkpoint::{CheckpointTimings, Cut};
use crate::graph::plan::NodeIndex;
use crate::graph::task::{Failure, Split, StateFile};
use crate::ids::{CheckpointId, ExecutionAttemptId, TriggerId};
use crate::time::Now;

/// What a user asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// By which the user asks what became of it.
    pub id: TriggerId,
    /// A savepoint in this directory; none: a checkpoint.
    pub savepoint: Option<String>,
    /// Whether the job ends with it, and how.
    pub then: Continuation,
}

/// What became of a user's request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TriggerState {
    /// It waits, or is under way.
    InProgress,
    /// It lies there.
    Completed {
        /// The directory.
        directory: String,
        /// Its number.
        checkpoint: CheckpointId,
    },
    /// It failed.
    Failed(Failure),
}

/// What a subtask has said of the checkpoint under way.
#[derive(Clone, Debug, Default)]
struct Part {
    /// Splits read to their end before the barrier, by source: the first so many.
    read: Option<BTreeMap<NodeIndex, usize>>,
    held: Vec<(NodeIndex, Split)>,
    /// Whether its file is written; `Some(None)` where it had no state.
    file: Option<Option<StateFile>>,
    /// Its end stands for its cut.
    ended: bool,
}

impl Part {
    fn is_complete(&self) -> bool {
        self.read.is_some() && (self.file.is_some() || self.ended)
    }
}

/// A checkpoint under way.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) barrier: Barrier,
    pub(super) trigger: Option<Trigger>,
    parts: BTreeMap<Position, (ExecutionAttemptId, Part)>,
    deadline: Now,
    pub(super) publishing: bool,
}

impl Pending {
    fn part(&mut self, at: Position, checkpoint: CheckpointId) -> Option<&mut Part> {
        let matches = checkpoint == self.barrier.checkpoint && !self.publishing;
        self.parts.get_mut(&at).filter(|_| matches).map(|(_, part)| part)
    }

    fn is_complete(&self) -> bool {
        !self.publishing && self.parts.values().all(|(_, part)| part.is_complete())
    }

    /// Whether a subtask's barrier has passed.
    fn has_cut(&self, at: Position) -> bool {
        self.parts.get(&at).is_some_and(|(_, part)| part.read.is_some())
    }

    /// The files of each subtask.
    pub(super) fn file(&self, at: Position) -> Option<&StateFile> {
        self.parts.get(&at)?.1.file.as_ref()?.as_ref()
    }

    /// How many splits of a source each subtask had read to their end; those not named: all they ever read.
    pub(super) fn read(&self, source: NodeIndex) -> BTreeMap<ExecutionAttemptId, usize> {
        let of_source = |(attempt, part): &(ExecutionAttemptId, Part)| {
            let read = part.read.as_ref()?;
            (!part.ended).then(|| (*attempt, read.get(&source).copied().unwrap_or(0)))
        };
        self.parts.values().filter_map(of_source).collect()
    }

    /// The splits of a source that were being read.
    pub(super) fn held(&self, source: NodeIndex) -> impl Iterator<Item = &Split> {
        let parts = self.parts.values().flat_map(|(_, part)| &part.held);
        parts.filter(move |(operator, _)| *operator == source).map(|(_, split)| split)
    }
}

/// How it stands after a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Somebody else is still to report, or this was no news.
    Waiting,
    /// Everybody has reported.
    Complete,
}

/// The checkpoints of one job.
#[derive(Debug)]
pub(super) struct Coordinator {
    pub(super) settings: CheckpointSettings,
    /// Of the JobManager.
    attempt: u32,
    next: CheckpointId,
    /// When the next periodic one is due.
    due: Option<Now>,
    pub(super) pending: Option<Pending>,
    /// Oldest first.
    completed: VecDeque<Arc<Manifest>>,
    /// Directories of those given up, to which subtasks may have written since.
    given_up: Vec<String>,
    /// Those that stay although the job has ended.
    retained: Vec<String>,
    /// The job has ended, and what nobody needs of its checkpoints is gone.
    swept: bool,
    /// One whose manifest is being written although the job has finished without it.
    left: Option<CheckpointId>,
    requests: VecDeque<Trigger>,
    triggers: VecDeque<(TriggerId, TriggerState)>,
    failures_in_row: u32,
    pub(super) history: History,
}

/// Checkpoints given up in a row that may have to be removed again. Of earlier ones whoever is late has long been told.
const GIVEN_UP_MAX: usize = 100;
/// User requests remembered.
const TRIGGERS_MAX: usize = 100;

impl Coordinator {
    pub(super) fn new(settings: CheckpointSettings, attempt: u32) -> Self {
        Self {
            settings,
            attempt,
            next: CheckpointId(1),
            due: None,
            pending: None,
            completed: VecDeque::new(),
            given_up: Vec::new(),
            retained: Vec::new(),
            swept: false,
            left: None,
            requests: VecDeque::new(),
            triggers: VecDeque::new(),
            failures_in_row: 0,
            history: History::default(),
        }
    }

    /// The job goes on from this one: it is the latest, and later ones are numbered behind it.
    pub(super) fn restore(&mut self, manifest: Arc<Manifest>, now: Now) {
        self.next = self.next.max(CheckpointId(manifest.checkpoint.0 + 1));
        self.history.restored(&manifest, now);
        self.completed.push_back(manifest);
    }

    /// Those that are kept besides the latest, from an earlier run of the JobManager.
    pub(super) fn take_over(&mut self, older: &[Arc<Manifest>]) {
        self.completed.extend(older.iter().cloned());
    }

    /// Gives up the latest one, if this is a file of it and there is one before it to go back to.
    pub(super) fn give_up_latest(&mut self, file: &str) -> Option<Arc<Manifest>> {
        let latest = self.completed.back()?;
        let mut files = latest.operators.iter().flat_map(|operator| operator.files.iter().flatten());
        if !files.any(|known| known.path == file) || self.completed.len() < 2 {
            return None;
        }
        self.completed.pop_back()
    }

    /// The latest complete one.
    pub(super) fn latest(&self) -> Option<&Arc<Manifest>> {
        self.completed.back()
    }

    /// The checkpoint that what a subtask has prepared by its end belongs to.
    pub(super) fn covering(&self, at: Position) -> CheckpointId {
        match &self.pending {
            Some(pending) if !pending.publishing && !pending.has_cut(at) => pending.barrier.checkpoint,
            Some(_) | None => self.next,
        }
    }

    /// All tasks are deployed: the first one is due after an interval.
    pub(super) fn running(&mut self, now: Now) -> Option<Now> {
        self.due = self.settings.interval.map(|interval| now + interval);
        self.due
    }

    /// A user asks for one.
    pub(super) fn request(&mut self, trigger: Trigger) {
        self.note_trigger(trigger.id, TriggerState::InProgress);
        self.requests.push_back(trigger);
    }

    /// What became of a request.
    pub(super) fn trigger_state(&self, id: TriggerId) -> Option<&TriggerState> {
        self.triggers.iter().rev().find(|(known, _)| *known == id).map(|(_, state)| state)
    }

    fn note_trigger(&mut self, id: TriggerId, state: TriggerState) {
        match self.triggers.iter_mut().find(|(known, _)| *known == id) {
            Some((_, known)) => *known = state,
            None => self.triggers.push_back((id, state)),
        }
        if self.triggers.len() > TRIGGERS_MAX {
            self.triggers.pop_front();
        }
    }

    /// Whether one should begin now, if the tasks allow it.
    pub(super) fn wants_one(&self, now: Now) -> bool {
        self.pending.is_none() && (!self.requests.is_empty() || self.due.is_some_and(|due| due <= now))
    }

    /// When to look again.
    pub(super) fn next_wake(&self) -> Option<Now> {
        match &self.pending {
            Some(pending) => (!pending.publishing).then_some(pending.deadline),
            None => self.due,
        }
    }

    /// Begins one that awaits these subtasks. `job` names a savepoint's directory.
    pub(super) fn begin(&mut self, awaiting: BTreeMap<Position, ExecutionAttemptId>, job: &str, now: Now) -> &Pending {
        let trigger = self.requests.pop_front();
        let checkpoint = self.next;
        self.next = CheckpointId(checkpoint.0 + 1);
        let directory = match trigger.as_ref().and_then(|trigger| Some((trigger, trigger.savepoint.as_ref()?))) {
            Some((trigger, target)) => {
                let (job, id) = (&job[..job.len().min(6)], trigger.id.to_string());
                format!("{}/savepoint-{job}-{}", target.trim_end_matches('/'), &id[..id.len().min(12)])
            }
            None if self.attempt <= 1 => format!("{}/chk-{checkpoint}", self.settings.directory),
            None => format!("{}/chk-{checkpoint}-{}", self.settings.directory, self.attempt),
        };
        let then = trigger.as_ref().map(|trigger| trigger.then).unwrap_or_default();
        let parts: BTreeMap<_, _> =
            awaiting.into_iter().map(|(at, attempt)| (at, (attempt, Part::default()))).collect();
        let savepoint = trigger.as_ref().is_some_and(|trigger| trigger.savepoint.is_some());
        let barrier = Barrier { checkpoint, directory, savepoint, then, triggered: now };
        self.history.begun(&barrier, savepoint, parts.keys().copied());
        self.due = self.settings.interval.map(|interval| now + interval);
        let deadline = now + self.settings.timeout;
        self.pending.insert(Pending { barrier, trigger, parts, deadline, publishing: false })
    }

    /// A barrier has passed a subtask, which had read the first so many splits of each source to their end.
    pub(super) fn cut(&mut self, at: Position, cut: &Cut, read: BTreeMap<NodeIndex, usize>) -> Standing {
        if let Some(part) = self.pending.as_mut().and_then(|pending| pending.part(at, cut.checkpoint)) {
            part.read = Some(read);
            part.held.clone_from(&cut.held);
        }
        self.standing()
    }

    /// A subtask's state is in its file.
    pub(super) fn written(
        &mut self,
        at: Position,
        checkpoint: CheckpointId,
        file: Option<StateFile>,
        timings: CheckpointTimings,
        now: Now,
    ) -> Standing {
        let bytes = file.as_ref().map_or(0, |file| file.bytes);
        self.history.written(checkpoint, at, SubtaskRecord { bytes, timings, acknowledged: now });
        if let Some(part) = self.pending.as_mut().and_then(|pending| pending.part(at, checkpoint)) {
            part.file = Some(file);
        }
        self.standing()
    }

    /// A subtask has finished.
    pub(super) fn ended(&mut self, at: Position) -> Standing {
        if let Some(pending) = self.pending.as_mut().filter(|pending| !pending.publishing)
            && let Some((_, part)) = pending.parts.get_mut(&at)
            && part.read.is_none()
        {
            (part.read, part.ended) = (Some(BTreeMap::new()), true);
        }
        self.standing()
    }

    fn standing(&self) -> Standing {
        let complete = self.pending.as_ref().is_some_and(Pending::is_complete);
        if complete { Standing::Complete } else { Standing::Waiting }
    }

    /// The subtasks that have not reported.
    pub(super) fn missing(&self) -> BTreeSet<Position> {
        let parts = self.pending.iter().flat_map(|pending| &pending.parts);
        parts.filter(|(_, (_, part))| !part.is_complete()).map(|(at, _)| *at).collect()
    }

    /// Whether the one under way has taken too long.
    pub(super) fn is_overdue(&self, now: Now) -> bool {
        self.pending.as_ref().is_some_and(|pending| !pending.publishing && pending.deadline <= now)
    }

    /// The manifest of the one under way is written. Those that are no longer kept.
    pub(super) fn published(&mut self, manifest: Arc<Manifest>, now: Now) -> Vec<Arc<Manifest>> {
        let trigger = self.pending.take().and_then(|pending| pending.trigger);
        self.failures_in_row = 0;
        self.history.completed(&manifest, now);
        let stops = trigger.as_ref().is_some_and(|trigger| trigger.then != Continuation::GoOn);
        if let Some(trigger) = trigger {
            let (directory, checkpoint) = (manifest.directory.clone(), manifest.checkpoint);
            self.note_trigger(trigger.id, TriggerState::Completed { directory, checkpoint });
        }
        self.pause(now);
        // A savepoint is its user's: the job does not count on it, unless it ends with it.
        if manifest.savepoint && !stops {
            return Vec::new();
        }
        self.completed.push_back(manifest);
        let surplus = self.completed.len().saturating_sub(self.settings.retained.max(1));
        self.completed.drain(..surplus).collect()
    }

    /// The one under way has come to nothing. Whether that is more than the job bears.
    pub(super) fn failed(&mut self, failure: &Failure, now: Now) -> Option<(Pending, bool)> {
        let pending = self.pending.take()?;
        self.history.failed(pending.barrier.checkpoint, failure, now);
        if self.given_up.len() == GIVEN_UP_MAX {
            self.given_up.remove(0);
        }
        self.given_up.push(pending.barrier.directory.clone());
        if let Some(trigger) = &pending.trigger {
            self.note_trigger(trigger.id, TriggerState::Failed(failure.clone()));
        } else {
            self.failures_in_row += 1;
        }
        self.pause(now);
        let too_many = self.settings.tolerable_failures.is_some_and(|tolerable| self.failures_in_row > tolerable);
        Some((pending, too_many))
    }

    /// The failure noted last was not the checkpoint's own: it does not count among those the job bears.
    pub(super) fn forgive(&mut self) {
        self.failures_in_row = self.failures_in_row.saturating_sub(1);
    }

    /// The job does not run any more: requests that wait are refused, and nothing is due.
    pub(super) fn stopped(&mut self, failure: &Failure) {
        self.due = None;
        self.failures_in_row = 0;
        for trigger in std::mem::take(&mut self.requests) {
            self.note_trigger(trigger.id, TriggerState::Failed(failure.clone()));
        }
    }

    /// The job has ended: all that it has kept.
    pub(super) fn take_completed(&mut self) -> Vec<Arc<Manifest>> {
        self.completed.drain(..).collect()
    }

    /// The job has ended, and these stay.
    pub(super) fn retain(&mut self, manifests: &[Arc<Manifest>]) {
        self.retained = manifests.iter().map(|manifest| manifest.directory.clone()).collect();
    }

    /// All checkpoints that the job leaves, once nobody writes any more; none where it cannot have made any.
    pub(super) fn sweep(&mut self) -> Option<Vec<String>> {
        let made_any = self.attempt > 1 || self.next > CheckpointId(1);
        if self.left.is_some() || std::mem::replace(&mut self.swept, true) || !made_any {
            return None;
        }
        Some(std::mem::take(&mut self.retained))
    }

    /// Directories to be removed (again), since nobody writes to them any more.
    pub(super) fn take_given_up(&mut self) -> Vec<String> {
        std::mem::take(&mut self.given_up)
    }

    /// The job has finished: the one under way is nobody's.
    pub(super) fn leave_pending(&mut self) {
        self.left = self.pending.take().map(|pending| pending.barrier.checkpoint);
    }

    /// A manifest has been written, or could not be, that nobody waits for any more.
    pub(super) fn left_written(&mut self, checkpoint: CheckpointId) {
        self.left.take_if(|left| *left == checkpoint);
    }

    pub(super) fn leaves_files(&self) -> bool {
        // Workers of an earlier attempt may have gone on writing after the next had looked at what there was.
        let inherits = self.attempt > 1 && !self.swept;
        inherits || !self.given_up.is_empty() || self.left.is_some()
    }

    fn pause(&mut self, now: Now) {
        let earliest = now + self.settings.min_pause;
        self.due = self.due.map(|due| due.max(earliest));
    }
}
