//! What workers report about tasks, splits and commits. Stale reports were dropped before.

use std::collections::BTreeMap;

use super::cause::Cause;
use super::event::{Effect, Illegal};
use super::execution::{Execution, Position};
use super::splits::Answer;
use super::{JobMaster, Phase};
use crate::graph::task::{Committable, ExecutionState, Failure, TaskMetrics};
use crate::ids::{ExecutionAttemptId, WorkerId};
use crate::protocol::worker::{ToJobManager, ToWorker};
use crate::time::Now;

impl JobMaster {
    pub(super) fn report(
        &mut self,
        worker: &WorkerId,
        message: ToJobManager,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), Illegal> {
        match message {
            ToJobManager::TaskState { attempt, state, failure, committables, metrics } => {
                self.check_runs_on(&attempt, worker)?;
                self.note_metrics(&attempt, metrics, now);
                self.task_state(&attempt, (state, failure), committables, now, out)
            }
            ToJobManager::SplitsDiscovered { attempt, operator, splits, complete } => {
                self.check_runs_on(&attempt, worker)?;
                let answers = self.splits.discovered(operator, splits, complete)?;
                self.answer(answers, out);
                Ok(())
            }
            ToJobManager::SplitRequested { attempt, operator, lane } => {
                self.check_runs_on(&attempt, worker)?;
                let answers = self.splits.requested(operator, attempt, lane)?;
                self.answer(answers, out);
                Ok(())
            }
            ToJobManager::SplitFinished { attempt, operator, split } => {
                self.check_runs_on(&attempt, worker)?;
                self.splits.finished(operator, attempt, &split)
            }
            ToJobManager::Accumulators { attempt, accumulators } => {
                self.check_runs_on(&attempt, worker)?;
                if let Some(execution) = self.position(&attempt).and_then(|at| self.execution.current_mut(at)) {
                    execution.accumulators = accumulators;
                }
                Ok(())
            }
            ToJobManager::Cut { attempt, cut } => {
                self.check_runs_on(&attempt, worker)?;
                self.cut(&attempt, cut, now, out);
                Ok(())
            }
            ToJobManager::StateWritten { attempt, checkpoint, file, failure, timings } => {
                self.check_runs_on(&attempt, worker)?;
                let result = failure.map_or(Ok(file), Err);
                self.state_written(&attempt, checkpoint, result, timings, now, out);
                Ok(())
            }
            ToJobManager::Committed { operator, publication: number, failure } => {
                if let (Phase::Running { .. }, Some(committing)) = (&self.phase, &mut self.committing) {
                    let progress = committing.committed(worker, (operator, number), failure, now);
                    self.checkpoint_commit_progress(progress, now, out);
                } else if let Phase::Publishing { publication, .. } = &mut self.phase {
                    let progress = publication.committed(worker, (operator, number), failure, now);
                    self.commit_progress(progress, now, out);
                }
                Ok(())
            }
            ToJobManager::Metrics { tasks, mut hot_keys } => {
                for (attempt, metrics) in tasks {
                    let named = hot_keys.iter().position(|(named, _)| *named == attempt);
                    let hot_key = named.map(|index| hot_keys.swap_remove(index).1);
                    self.note_metrics(&attempt, metrics, now);
                    if let Some(execution) = self.running_execution(&attempt) {
                        execution.hot_key = hot_key;
                    }
                }
                Ok(())
            }
        }
    }

    fn check_runs_on(&self, attempt: &ExecutionAttemptId, worker: &WorkerId) -> Result<(), Illegal> {
        let subtask = self.position(attempt).and_then(|at| self.execution.get(at));
        let execution = subtask.map(|subtask| &subtask.current).filter(|current| current.attempt == attempt.attempt);
        match execution {
            Some(execution) if execution.worker.as_ref() == Some(worker) => Ok(()),
            Some(_) => Err(Illegal::new(format!("{worker} reports about {attempt}, which it was not given"))),
            None => Err(Illegal::new(format!("{worker} reports about {attempt}, which the job does not have"))),
        }
    }

    fn note_metrics(&mut self, attempt: &ExecutionAttemptId, metrics: TaskMetrics, now: Now) {
        if let Some(execution) = self.running_execution(attempt) {
            execution.note(metrics, now);
        }
    }

    /// The execution, if it is its subtask's current one.
    fn running_execution(&mut self, attempt: &ExecutionAttemptId) -> Option<&mut Execution> {
        let current = self.position(attempt).and_then(|at| self.execution.current_mut(at));
        current.filter(|execution| execution.attempt == attempt.attempt)
    }

    fn task_state(
        &mut self,
        attempt: &ExecutionAttemptId,
        (state, failure): (ExecutionState, Option<Failure>),
        committables: Vec<Committable>,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), Illegal> {
        let Some(at) = self.position(attempt) else { return Ok(()) };
        if !self.execution.set_state(at, state, now)? {
            return Ok(());
        }
        match state {
            ExecutionState::Finished => {
                let covering = self.checkpoints.covering(at);
                self.prepared.extend(committables.into_iter().map(|committable| (covering, committable)));
                if matches!(self.phase, Phase::Running { .. }) {
                    self.rescaled_if_running(now, out);
                    self.task_finished(at, now, out);
                }
            }
            ExecutionState::Failed => {
                let failure = failure.unwrap_or_else(|| Failure::transient("the task failed without saying why"));
                self.task_failed(attempt, failure, now, out);
            }
            ExecutionState::Canceled if matches!(self.phase, Phase::Running { .. }) && !self.is_restarting(at.0) => {
                self.task_failed(attempt, Failure::transient("the task was cancelled by its worker"), now, out);
            }
            ExecutionState::Canceled
            | ExecutionState::Created
            | ExecutionState::Scheduled
            | ExecutionState::Deploying
            | ExecutionState::Initializing
            | ExecutionState::Canceling => {}
            ExecutionState::Running => {
                self.rescaled_if_running(now, out);
                self.checkpoint_if_due(now, out);
            }
        }
        self.go_on_with_regions(now, out);
        self.conclude_if_unwound(now, out);
        Ok(())
    }

    fn task_finished(&mut self, at: Position, now: Now, out: &mut Vec<Effect>) {
        if self.execution.all_finished() {
            self.finish(now, out);
        } else {
            let standing = self.checkpoints.ended(at);
            self.publish_if_complete(standing, now, out);
        }
    }

    fn task_failed(&mut self, attempt: &ExecutionAttemptId, failure: Failure, now: Now, out: &mut Vec<Effect>) {
        let mut task_manager = None;
        if let Some(execution) = self.position(attempt).and_then(|at| self.execution.current_mut(at)) {
            execution.failure = Some(failure.clone());
            task_manager = execution.worker.as_ref().map(|worker| worker.task_manager.clone());
        }
        self.fail(Cause::task(failure, Some(*attempt), task_manager), now, out);
    }

    pub(super) fn answer(&self, answers: Vec<Answer>, out: &mut Vec<Effect>) {
        for answer in answers {
            let (attempt, message) = match answer {
                Answer::Split(attempt, split) => (attempt, ToWorker::AssignSplit { attempt, split }),
                Answer::NoMore(attempt) => (attempt, ToWorker::NoMoreSplits { attempt }),
            };
            let subtask = self.position(&attempt).and_then(|at| self.execution.get(at));
            if let Some(worker) = subtask.and_then(|subtask| subtask.current.worker.clone()) {
                out.push(Effect::ToWorker { worker, message });
            }
        }
    }

    /// The source subtasks that have not ended, by worker.
    pub(super) fn running_sources(&self) -> BTreeMap<WorkerId, Vec<ExecutionAttemptId>> {
        let mut sources: BTreeMap<WorkerId, Vec<ExecutionAttemptId>> = BTreeMap::new();
        for (at, subtask) in self.execution.subtasks() {
            if let Some(worker) = &subtask.current.worker
                && self.is_source_vertex(at.0)
                && !subtask.current.state.is_terminal()
            {
                sources.entry(worker.clone()).or_default().push(self.execution.id(&self.graph, at));
            }
        }
        sources
    }
}
