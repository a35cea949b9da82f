//! The job's part in its checkpoints: when one begins, what its manifest says, and what follows when it is there or is not.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cause::Cause;
use super::checkpoints::{Standing, Trigger};
use super::event::{Effect, Illegal};
use super::execution::Position;
use super::{JobMaster, Phase};
use crate::engine::checkpoint::{Continuation, MANIFEST_VERSION, Manifest, OperatorState};
use crate::graph::checkpoint::{CheckpointTimings, Cut};
use crate::graph::plan::{ExecutionMode, NodeIndex, NodeKind};
use crate::graph::task::{ExecutionState, Failure, RestoredFile, StateFile};
use crate::ids::{CheckpointId, ExecutionAttemptId, OperatorId, WorkerId};
use crate::protocol::worker::ToWorker;
use crate::time::Now;

impl JobMaster {
    /// The tasks are deployed: what a restored checkpoint had prepared is published (again), and the next one is due later.
    pub(super) fn begin_checkpoints(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.plan.resolved_mode() == ExecutionMode::Batch {
            return;
        }
        if let Some(at) = self.checkpoints.running(now) {
            out.push(Effect::Wake { at });
        }
        if let Some(manifest) = self.checkpoints.latest().cloned() {
            self.begin_committing(&manifest, now, out);
        }
    }

    /// A user wants a checkpoint or savepoint.
    pub(super) fn triggered(&mut self, trigger: Trigger, now: Now, out: &mut Vec<Effect>) -> Result<(), Illegal> {
        if !matches!(self.phase, Phase::Running { .. }) {
            let status = self.status();
            return Err(Illegal::new(format!("only a running job has checkpoints; this one is {status}")));
        }
        if self.plan.resolved_mode() == ExecutionMode::Batch {
            return Err(Illegal::new("a batch job has no checkpoints; run it with --execution-mode streaming"));
        }
        self.checkpoints.request(trigger);
        self.checkpoint_if_due(now, out);
        Ok(())
    }

    /// Begins a checkpoint when one is due and every task can take part in it.
    pub(super) fn checkpoint_if_due(&mut self, now: Now, out: &mut Vec<Effect>) {
        let can = matches!(self.phase, Phase::Running { .. }) && self.committing.is_none() && self.drained().is_none();
        if !can || !self.checkpoints.wants_one(now) {
            return;
        }
        let mut awaiting = BTreeMap::new();
        let mut sources: BTreeMap<WorkerId, Vec<ExecutionAttemptId>> = BTreeMap::new();
        for (at, subtask) in self.execution.subtasks() {
            match subtask.current.state {
                ExecutionState::Finished => continue,
                ExecutionState::Running => {}
                // Asked again when it runs.
                _ => return,
            }
            let attempt = self.execution.id(&self.graph, at);
            awaiting.insert(at, attempt);
            if let Some(worker) = subtask.current.worker.as_ref().filter(|_| self.is_source_vertex(at.0)) {
                sources.entry(worker.clone()).or_default().push(attempt);
            }
        }
        if sources.is_empty() {
            return; // The input has ended: the job is about to.
        }
        let pending = self.checkpoints.begin(awaiting, &self.job.to_string(), now);
        let barrier = pending.barrier.clone();
        for (worker, attempts) in sources {
            let message = ToWorker::TriggerCheckpoint { barrier: barrier.clone(), attempts };
            out.push(Effect::ToWorker { worker, message });
        }
        out.extend(self.checkpoints.next_wake().map(|at| Effect::Wake { at }));
    }

    pub(super) fn is_source_vertex(&self, vertex: usize) -> bool {
        let is_source = |index: &NodeIndex| matches!(self.plan.nodes[index.0 as usize].kind, NodeKind::Source { .. });
        self.graph.vertices[vertex].operators.iter().any(is_source)
    }

    /// A barrier has passed a subtask.
    pub(super) fn cut(&mut self, attempt: &ExecutionAttemptId, cut: Cut, now: Now, out: &mut Vec<Effect>) {
        let Some(at) = self.position(attempt) else { return };
        let standing = self.checkpoints.cut(at, &cut, self.splits.read_by(*attempt));
        // Kept whatever becomes of the checkpoint: they belong to the next one then.
        let prepared = cut.committables.into_iter().map(|committable| (cut.checkpoint, committable));
        self.prepared.extend(prepared);
        self.publish_if_complete(standing, now, out);
    }

    /// A subtask's state is in its file, or is not.
    pub(super) fn state_written(
        &mut self,
        attempt: &ExecutionAttemptId,
        checkpoint: CheckpointId,
        result: Result<Option<StateFile>, Failure>,
        timings: CheckpointTimings,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(at) = self.position(attempt) else { return };
        match result {
            Ok(file) => {
                let standing = self.checkpoints.written(at, checkpoint, file, timings, now);
                self.publish_if_complete(standing, now, out);
            }
            Err(failure) if self.pending_is(checkpoint) => {
                let message = format!("subtask {} was not written: {}", self.task_name(at), failure.message);
                self.fail_checkpoint(&Failure { message, ..failure }, now, out);
            }
            Err(_) => self.stale += 1,
        }
    }

    fn pending_is(&self, checkpoint: CheckpointId) -> bool {
        self.checkpoints.pending.as_ref().is_some_and(|pending| pending.barrier.checkpoint == checkpoint)
    }

    pub(super) fn publish_if_complete(&mut self, standing: Standing, now: Now, out: &mut Vec<Effect>) {
        if standing == Standing::Waiting {
            return;
        }
        let Some(manifest) = self.manifest() else { return };
        if let Some(pending) = &mut self.checkpoints.pending {
            pending.publishing = true;
            let counts = !manifest.savepoint || pending.barrier.then != Continuation::GoOn;
            out.push(Effect::WriteManifest { manifest: Arc::new(manifest), counts });
        }
        debug_assert!(self.checkpoints.next_wake().is_none_or(|at| at >= now), "nothing is due while it is written");
    }

    /// What the checkpoint under way consists of.
    fn manifest(&self) -> Option<Manifest> {
        let pending = self.checkpoints.pending.as_ref()?;
        let mut operators = Vec::new();
        for (index, vertex) in self.graph.vertices.iter().enumerate() {
            for node in &vertex.operators {
                let planned = &self.plan.nodes[node.0 as usize];
                let file = |subtask: usize| {
                    let file = pending.file((index, subtask))?;
                    file.operators.contains(&planned.operator_id).then(|| file.clone())
                };
                operators.push(OperatorState {
                    operator: planned.operator_id,
                    uid: planned.uid.clone(),
                    name: planned.name.clone(),
                    parallelism: vertex.parallelism,
                    max_parallelism: vertex.max_parallelism,
                    files: (0..vertex.parallelism as usize).map(file).collect(),
                });
            }
        }
        let source = |node: NodeIndex| (self.operator_id(node), self.splits.at_cut(node, pending));
        let checkpoint = pending.barrier.checkpoint;
        let mut committables: BTreeMap<OperatorId, Vec<serde_json::Value>> = BTreeMap::new();
        for (_, committable) in self.prepared.iter().filter(|(covering, _)| *covering <= checkpoint) {
            let operator = self.operator_id(committable.operator);
            committables.entry(operator).or_default().push(committable.payload.clone());
        }
        Some(Manifest {
            version: MANIFEST_VERSION,
            job: self.job,
            job_name: self.plan.name.clone(),
            checkpoint,
            savepoint: pending.trigger.as_ref().is_some_and(|trigger| trigger.savepoint.is_some()),
            drained: pending.barrier.then == Continuation::Drain,
            attempt: self.settings.attempt,
            triggered: pending.barrier.triggered,
            directory: pending.barrier.directory.clone(),
            operators,
            sources: self.splits.sources().map(|(node, _)| source(node)).collect(),
            committables,
        })
    }

    fn operator_id(&self, node: NodeIndex) -> OperatorId {
        self.plan.nodes[node.0 as usize].operator_id
    }

    /// The manifest is written, or could not be.
    pub(super) fn manifest_written(
        &mut self,
        manifest: &Arc<Manifest>,
        failure: Option<Failure>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if !self.pending_is(manifest.checkpoint) {
            // The job has ended meanwhile.
            self.checkpoints.left_written(manifest.checkpoint);
            if !manifest.savepoint {
                out.push(Effect::DiscardCheckpoint { directory: manifest.directory.clone() });
            }
            if matches!(self.phase, Phase::Closed) {
                self.discard_what_is_left(out);
            }
            self.stale += 1;
            return;
        }
        if let Some(failure) = failure {
            self.fail_checkpoint(&failure, now, out);
            self.go_on_with_regions(now, out);
            return self.conclude_if_unwound(now, out);
        }
        let then = self.goal_of_suspension();
        self.discard_given_up(out);
        let subsumed = self.checkpoints.published(Arc::clone(manifest), now);
        self.discard_own(subsumed, out);
        if !manifest.savepoint || then.is_some() || manifest.drained {
            let sources = manifest.sources.iter().filter_map(|(id, state)| Some((self.node_of(*id)?, state)));
            let sources: Vec<_> = sources.collect();
            self.splits.covered(sources.into_iter());
            self.prepared.retain(|(covering, _)| *covering > manifest.checkpoint);
            if matches!(self.phase, Phase::Running { .. }) {
                self.stopping = then;
                self.begin_committing(manifest, now, out);
            }
        }
        self.go_on_with_regions(now, out);
        self.conclude_if_unwound(now, out);
        out.extend(self.checkpoints.next_wake().map(|at| Effect::Wake { at }));
        self.checkpoint_if_due(now, out);
    }

    pub(super) fn node_of(&self, operator: OperatorId) -> Option<NodeIndex> {
        let at = self.plan.nodes.iter().position(|node| node.operator_id == operator)?;
        u32::try_from(at).ok().map(NodeIndex)
    }

    /// The checkpoint under way has come to nothing.
    pub(super) fn fail_checkpoint(&mut self, failure: &Failure, now: Now, out: &mut Vec<Effect>) {
        let Some((pending, too_many)) = self.checkpoints.failed(failure, now) else { return };
        out.push(Effect::DiscardCheckpoint { directory: pending.barrier.directory.clone() });
        out.push(Effect::CheckpointFailed { checkpoint: pending.barrier.checkpoint, failure: failure.clone() });
        match pending.barrier.then {
            Continuation::GoOn => {}
            Continuation::Suspend => self.resume_sources(out),
            Continuation::Drain => return self.restart_undrained(failure, now, out),
        }
        if self.rescaling.asked_for(pending.trigger.as_ref()) {
            self.rescale_checkpoint_failed(failure, now, out);
        }
        if too_many {
            let message = format!(
                "checkpoint {} failed, one more than execution.checkpointing.tolerable-failed-checkpoints allows: {}",
                pending.barrier.checkpoint, failure.message
            );
            return self.fail(Cause::task(Failure { message, ..failure.clone() }, None, None), now, out);
        }
        out.extend(self.checkpoints.next_wake().map(|at| Effect::Wake { at }));
    }

    fn resume_sources(&self, out: &mut Vec<Effect>) {
        for (worker, attempts) in self.running_sources() {
            out.push(Effect::ToWorker { worker, message: ToWorker::ResumeSources { attempts } });
        }
    }

    /// A moment has come while the job runs.
    pub(super) fn wake_checkpoints(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.checkpoints.is_overdue(now) {
            let missing = self.checkpoints.missing();
            let first = missing.iter().next().map(|at| self.task_name(*at)).unwrap_or_default();
            let others = if missing.len() > 1 { format!(" and {} more", missing.len() - 1) } else { String::new() };
            let seconds = self.checkpoints.settings.timeout.as_secs();
            let blame = missing.iter().next().and_then(|at| self.backpressured_by(*at));
            let blame = blame.map(|name| format!(": backpressured by \"{name}\"")).unwrap_or_default();
            let failure = Failure::transient(format!(
                "not complete after {seconds} s: subtask {first}{others} not acknowledged{blame}"
            ));
            self.fail_checkpoint(&failure, now, out);
        }
        self.place_checkpoint_commits(now, out);
        self.checkpoint_if_due(now, out);
        out.extend(self.checkpoints.next_wake().filter(|at| *at > now).map(|at| Effect::Wake { at }));
    }

    /// The vertex that holds a subtask's input back: the first busy one on the way down from what waits.
    fn backpressured_by(&self, at: Position) -> Option<&str> {
        let share = |vertex: usize| {
            let subtasks = self.execution.vertices[vertex].iter();
            let rates = subtasks.filter_map(|subtask| subtask.current.rates);
            rates.map(|rates| (rates.busy_ms, rates.backpressured_ms)).max().unwrap_or((0, 0))
        };
        let mut vertex = at.0;
        for _ in 0..self.graph.vertices.len() {
            let waits = self.graph.edges.iter().filter(|edge| edge.source == vertex || edge.target == vertex);
            let below =
                waits.map(|edge| edge.target).filter(|target| *target != vertex).max_by_key(|target| share(*target));
            match below {
                Some(below) if share(below).1 > share(below).0 => vertex = below,
                Some(below) if share(below).0 > 500 => return Some(&self.graph.vertices[below].name),
                Some(_) | None => break,
            }
        }
        (share(vertex).0 > 500).then(|| self.graph.vertices[vertex].name.as_str())
    }

    fn task_name(&self, (vertex, subtask): Position) -> String {
        let vertex = &self.graph.vertices[vertex];
        format!("{}/{} of \"{}\"", subtask + 1, vertex.parallelism, vertex.name)
    }

    /// The job runs no more: what is under way comes to nothing.
    pub(super) fn abandon_checkpoint(&mut self, why: &str, now: Now, out: &mut Vec<Effect>) {
        self.abort_checkpoint(why, now, out);
        self.checkpoints.stopped(&Failure::transient(why.to_owned()));
        self.committing = None;
        self.stopping = None;
    }

    /// The checkpoint under way comes to nothing, which is not its own fault.
    pub(super) fn abort_checkpoint(&mut self, why: &str, now: Now, out: &mut Vec<Effect>) {
        let failure = Failure::transient(why.to_owned());
        // One whose manifest is being written may become complete yet: see `is_publishing_checkpoint`.
        if !self.is_publishing_checkpoint()
            && let Some((pending, _)) = self.checkpoints.failed(&failure, now)
        {
            out.push(Effect::DiscardCheckpoint { directory: pending.barrier.directory.clone() });
            if pending.trigger.is_none() {
                self.checkpoints.forgive();
            }
        }
    }

    /// Whether a manifest is being written. What the job goes on from after a failure is known only behind that.
    pub(super) fn is_publishing_checkpoint(&self) -> bool {
        self.checkpoints.pending.as_ref().is_some_and(|pending| pending.publishing)
    }

    /// A file of the checkpoint that the job goes on from is damaged: it goes on from the one before, which the failure then says.
    /// Output of the damaged one is visible already, and what led to it is processed again: better twice than not at all.
    pub(super) fn go_back(&mut self, failure: &mut Failure, out: &mut Vec<Effect>) -> bool {
        let given_up = failure.damaged_file.as_deref().and_then(|file| self.checkpoints.give_up_latest(file));
        let (Some(given_up), Some(latest)) = (given_up, self.checkpoints.latest()) else { return false };
        let (damaged, earlier) = (given_up.checkpoint, latest.checkpoint);
        failure.message = format!(
            "{}; the job goes back from checkpoint {damaged} to {earlier}: output in between may be published again",
            failure.message
        );
        self.discard_own(vec![given_up], out);
        true
    }

    /// Where the state of a subtask lies in the checkpoint the job goes on from.
    pub(super) fn restored_files(&self, vertex: usize, subtask: u32) -> Vec<RestoredFile> {
        let Some(manifest) = self.checkpoints.latest() else { return Vec::new() };
        let spec = &self.graph.vertices[vertex];
        let mut files: Vec<RestoredFile> = Vec::new();
        for node in &spec.operators {
            let id = self.operator_id(*node);
            let Some(state) = manifest.operators.iter().find(|state| state.operator == id) else { continue };
            let same = state.parallelism == spec.parallelism;
            let written = state.files.iter().zip(0..).filter_map(|(file, index)| Some((file.as_ref()?, index)));
            for (file, index) in written.filter(|(file, index)| !same || *index == subtask || file.union) {
                if files.iter().all(|known| known.file != *file) {
                    let (file, parallelism) = (file.clone(), state.parallelism);
                    files.push(RestoredFile { file, subtask: index, parallelism });
                }
            }
        }
        files
    }

    /// Checkpoints that nobody needs once the job has ended like this.
    pub(super) fn discard_checkpoints(&mut self, finished: bool, out: &mut Vec<Effect>) {
        let discarded = self.checkpoints.take_completed();
        if finished || !self.checkpoints.settings.retain_on_cancellation {
            self.discard_own(discarded, out);
        } else {
            self.checkpoints.retain(&discarded);
        }
    }

    /// Everybody who wrote checkpoints has gone: whatever there is of them goes, too, but for those that stay.
    pub(super) fn discard_what_is_left(&mut self, out: &mut Vec<Effect>) {
        self.discard_given_up(out);
        if let Some(retained) = self.checkpoints.sweep() {
            let directory = self.checkpoints.settings.directory.clone();
            out.push(Effect::DiscardOtherCheckpoints { directory, retained });
        }
    }

    /// Removes what was given up, once more: a subtask may have been writing to it.
    fn discard_given_up(&mut self, out: &mut Vec<Effect>) {
        let given_up = self.checkpoints.take_given_up().into_iter();
        out.extend(given_up.map(|directory| Effect::DiscardCheckpoint { directory }));
    }

    /// Removes checkpoints, except what is its user's: savepoints, and another job's that this one was started from without claiming
    /// it.
    fn discard_own(&self, manifests: Vec<Arc<Manifest>>, out: &mut Vec<Effect>) {
        let claimed = self.checkpoints.settings.claimed.as_deref();
        let is_own = |manifest: &Arc<Manifest>| {
            let made_here = !manifest.savepoint && manifest.job == self.job;
            made_here || claimed == Some(manifest.directory.as_str())
        };
        let own = manifests.into_iter().filter(is_own);
        out.extend(own.map(|manifest| Effect::DiscardCheckpoint { directory: manifest.directory.clone() }));
    }
}
