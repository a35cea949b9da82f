//! Publishing a bounded job's output: collect what sinks prepared, decide once, commit until every sink has confirmed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::Decision;
use crate::graph::plan::NodeIndex;
use crate::graph::task::{Committable, Failure};
use crate::ids::WorkerId;
use crate::protocol::worker::ToWorker;
use crate::rpc::ErrorKind;
use crate::time::Now;

/// Commits of one sink tried at most this often.
const TRIES_MAX: u32 = 10;
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// A decided publication under way.
#[derive(Clone, Debug)]
pub(super) struct Publication {
    /// Which one of the job's: an answer to another one is not for this.
    number: u64,
    sinks: BTreeMap<NodeIndex, SinkCommit>,
}

#[derive(Clone, Debug)]
struct SinkCommit {
    committables: Vec<Committable>,
    tries: u32,
    state: CommitState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum CommitState {
    /// No worker has it.
    Unplaced,
    /// This worker was told.
    Sent(WorkerId),
    /// It failed; to be tried again then.
    Waiting(Now),
}

/// What a report about a commit means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Somebody else's report, or an old one.
    Stale,
    /// Others are under way.
    Pending,
    /// To be tried again then.
    RetryAt(Now),
    /// Every sink has confirmed.
    Done,
    /// It will not work.
    Failed(Failure),
}

impl Publication {
    pub(super) fn new(number: u64, decision: Decision) -> Self {
        let sink =
            |(operator, committables)| (operator, SinkCommit { committables, tries: 0, state: CommitState::Unplaced });
        Self { number, sinks: decision.committables.into_iter().map(sink).collect() }
    }

    /// What has not been confirmed.
    pub(super) fn committables(&self) -> BTreeMap<NodeIndex, Vec<Committable>> {
        self.sinks.iter().map(|(operator, sink)| (*operator, sink.committables.clone())).collect()
    }

    /// Commits that a worker should be told of now; noted as sent to one of `workers`, by turns.
    pub(super) fn place(&mut self, workers: &[WorkerId], now: Now) -> Vec<(WorkerId, ToWorker)> {
        let publication = self.number;
        let mut placed = Vec::new();
        let mut turn = workers.iter().cycle();
        for (operator, sink) in &mut self.sinks {
            let due = match sink.state {
                CommitState::Unplaced => true,
                CommitState::Waiting(at) => at <= now,
                CommitState::Sent(_) => false,
            };
            let skip = sink.tries as usize % workers.len().max(1); // Another worker at each try.
            if due && let Some(worker) = turn.nth(skip) {
                sink.tries += 1;
                sink.state = CommitState::Sent(worker.clone());
                let (operator, committables) = (*operator, sink.committables.clone());
                placed.push((worker.clone(), ToWorker::Commit { operator, committables, publication }));
            }
        }
        placed
    }

    /// Whether some commit could be placed now if there were a worker.
    pub(super) fn wants_worker(&self, now: Now) -> bool {
        self.sinks.values().any(|sink| match sink.state {
            CommitState::Unplaced => true,
            CommitState::Waiting(at) => at <= now,
            CommitState::Sent(_) => false,
        })
    }

    /// A worker is gone: whether it published is unknown, so others publish again.
    pub(super) fn worker_gone(&mut self, worker: &WorkerId, why: &str) -> Progress {
        let mut progress = Progress::Pending;
        for sink in self.sinks.values_mut() {
            if sink.state == CommitState::Sent(worker.clone()) {
                sink.state = CommitState::Unplaced;
                if sink.tries >= TRIES_MAX {
                    progress = Progress::Failed(Failure::permanent(format!(
                        "the output is complete but could not be published in {TRIES_MAX} tries: {why}"
                    )));
                }
            }
        }
        progress
    }

    pub(super) fn committed(
        &mut self,
        worker: &WorkerId,
        (operator, publication): (NodeIndex, u64),
        failure: Option<Failure>,
        now: Now,
    ) -> Progress {
        if publication != self.number {
            return Progress::Stale;
        }
        match self.sinks.get_mut(&operator) {
            Some(sink) if sink.state == CommitState::Sent(worker.clone()) => match failure {
                None => {
                    self.sinks.remove(&operator);
                    if self.sinks.is_empty() { Progress::Done } else { Progress::Pending }
                }
                Some(failure) => sink.failed(failure, now),
            },
            Some(_) | None => Progress::Stale,
        }
    }
}

impl SinkCommit {
    fn failed(&mut self, failure: Failure, now: Now) -> Progress {
        let again = match failure.kind {
            ErrorKind::Transient => self.tries < TRIES_MAX,
            ErrorKind::Permanent | ErrorKind::Fenced | ErrorKind::User => false,
        };
        if !again {
            let message = format!("the output is complete but could not be published: {}", failure.message);
            return Progress::Failed(Failure { message, ..failure });
        }
        let at = now + (FIRST_RETRY * 2u32.saturating_pow(self.tries - 1)).min(LAST_RETRY);
        self.state = CommitState::Waiting(at);
        Progress::RetryAt(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{JobId, TaskManagerId};

    fn worker(name: &str) -> WorkerId {
        WorkerId { task_manager: TaskManagerId(name.to_owned()), job: JobId(1), incarnation: 1 }
    }

    fn publication() -> Publication {
        let operator = NodeIndex(3);
        let committable = Committable { operator, payload: serde_json::json!("part-0") };
        Publication::new(1, Decision { committables: [(operator, vec![committable])].into() })
    }

    #[test]
    fn a_transient_failure_is_tried_again_elsewhere_and_then_confirmed() {
        let (mut publication, workers) = (publication(), [worker("a"), worker("b")]);
        let first = publication.place(&workers, Now(0));
        assert_eq!(first[0].0, worker("a"));
        assert!(publication.place(&workers, Now(0)).is_empty(), "told once");
        let busy = Some(Failure::transient("storage is busy"));
        assert_eq!(publication.committed(&worker("a"), (NodeIndex(3), 1), busy, Now(0)), Progress::RetryAt(Now(100)));
        assert!(publication.place(&workers, Now(99)).is_empty());
        assert_eq!(publication.place(&workers, Now(100))[0].0, worker("b"));
        assert_eq!(publication.committed(&worker("a"), (NodeIndex(3), 1), None, Now(101)), Progress::Stale);
        assert_eq!(publication.committed(&worker("b"), (NodeIndex(3), 1), None, Now(101)), Progress::Done);
    }

    #[test]
    fn a_lost_worker_hands_its_commits_on_but_not_for_ever() {
        let mut publication = publication();
        for _ in 0..TRIES_MAX - 1 {
            assert_eq!(publication.place(&[worker("a")], Now(0)).len(), 1);
            assert_eq!(publication.worker_gone(&worker("a"), "killed"), Progress::Pending);
        }
        publication.place(&[worker("a")], Now(0));
        assert!(matches!(publication.worker_gone(&worker("a"), "killed"), Progress::Failed(_)));
    }

    #[test]
    fn a_permanent_failure_ends_it() {
        let mut publication = publication();
        publication.place(&[worker("a")], Now(0));
        let denied = Some(Failure::permanent("permission denied"));
        let progress = publication.committed(&worker("a"), (NodeIndex(3), 1), denied, Now(0));
        let Progress::Failed(failure) = progress else { panic!("{progress:?}") };
        assert_eq!(failure.message, "the output is complete but could not be published: permission denied");
    }
}
