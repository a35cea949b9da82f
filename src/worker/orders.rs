//! What the JobManager wants, as calls of the runtime.

use std::sync::Arc;

use crate::engine::runtime::{Mail, TaskExecutor};
use crate::graph::task::{ExecutionState, TaskMetrics};
use crate::protocol::worker::{ToJobManager, ToWorker};

/// How it goes on after an order.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    /// With these answers, which the runtime does not give by itself.
    Continue(Vec<ToJobManager>),
    /// The job has ended.
    Shutdown,
}

/// Carries an order out. Waits for nothing.
pub(crate) fn perform(executor: &TaskExecutor, order: ToWorker) -> Next {
    match order {
        ToWorker::Deploy { tasks } => {
            let refused = executor.deploy(tasks).err().unwrap_or_default();
            return Next::Continue(refused.into_iter().map(|(attempt, failure)| failed(attempt, failure)).collect());
        }
        ToWorker::Cancel { attempts } => {
            attempts.into_iter().for_each(|attempt| executor.mail(attempt, Mail::Cancel));
        }
        ToWorker::AssignSplit { attempt, split } => executor.mail(attempt, Mail::AssignSplit(split)),
        ToWorker::NoMoreSplits { attempt } => executor.mail(attempt, Mail::NoMoreSplits),
        ToWorker::StopSources { attempts } => {
            attempts.into_iter().for_each(|attempt| executor.mail(attempt, Mail::StopSource));
        }
        ToWorker::TriggerCheckpoint { barrier, attempts } => {
            let barrier = Arc::new(barrier);
            attempts.into_iter().for_each(|attempt| executor.mail(attempt, Mail::Checkpoint(Arc::clone(&barrier))));
        }
        ToWorker::ResumeSources { attempts } => {
            attempts.into_iter().for_each(|attempt| executor.mail(attempt, Mail::Resume));
        }
        ToWorker::Commit { operator, committables, publication } => {
            executor.commit(operator, committables, publication);
        }
        ToWorker::Discard { operator, committables } => executor.discard(operator, committables),
        ToWorker::Shutdown => return Next::Shutdown,
    }
    Next::Continue(Vec::new())
}

fn failed(attempt: crate::ids::ExecutionAttemptId, failure: crate::graph::task::Failure) -> ToJobManager {
    ToJobManager::TaskState {
        attempt,
        state: ExecutionState::Failed,
        failure: Some(failure),
        committables: Vec::new(),
        metrics: TaskMetrics::default(),
    }
}
