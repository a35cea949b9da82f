//! Why a job fails, and how much that explains: of several causes that arrive together, the one that explains most is told.

use crate::graph::task::Failure;
use crate::ids::{ExecutionAttemptId, TaskManagerId};
use crate::rpc::ErrorKind;

/// A failure and where it happened.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    pub(super) failure: Failure,
    pub(super) weight: Weight,
    pub(super) attempt: Option<ExecutionAttemptId>,
    pub(super) task_manager: Option<TaskManagerId>,
}

/// How much a cause explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// A link broke: whose process ended how is not known yet.
    LinkLost,
    /// A task met trouble that may be another's fault.
    Symptom,
    /// A task says what is wrong, or a process is known to have ended.
    Root,
}

impl Cause {
    pub(super) fn task(
        failure: Failure,
        attempt: Option<ExecutionAttemptId>,
        task_manager: Option<TaskManagerId>,
    ) -> Self {
        let weight = match failure.kind {
            ErrorKind::Transient | ErrorKind::Fenced => Weight::Symptom,
            ErrorKind::Permanent | ErrorKind::User => Weight::Root,
        };
        Self { failure, weight, attempt, task_manager }
    }

    /// Something that the job itself has decided.
    pub(super) fn own(failure: Failure) -> Self {
        Self { failure, weight: Weight::Root, attempt: None, task_manager: None }
    }

    pub(super) fn process(failure: Failure, task_manager: TaskManagerId) -> Self {
        Self { failure, weight: Weight::Root, attempt: None, task_manager: Some(task_manager) }
    }

    pub(super) fn failure(&self) -> &Failure {
        &self.failure
    }

    /// Whether it has happened to a task or a process.
    pub(super) fn has_place(&self) -> bool {
        self.attempt.is_some() || self.task_manager.is_some()
    }

    /// Takes the place of this one what explains more. Whether it is the root now.
    pub(super) fn amend(&mut self, other: Self) -> bool {
        let better = other.weight > self.weight;
        if better {
            *self = other;
        }
        better && self.weight == Weight::Root
    }

    pub(super) fn link_lost(failure: Failure, task_manager: TaskManagerId) -> Self {
        Self { failure, weight: Weight::LinkLost, attempt: None, task_manager: Some(task_manager) }
    }
}
