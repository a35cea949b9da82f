//! Which runs of the command wait, run, and are done.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::ContainerId;
use crate::protocol::container::{ContainerStatus, LaunchContext, last_words};
use crate::protocol::roles::{ShellEnvironment, TASK_COUNT, TASK_INDEX};

/// Runs that are lost for no fault of theirs, one index, before that is a failure too.
const LOSSES_MAX: u32 = 20;

/// The runs, by index.
pub(super) struct Tasks {
    count: u32,
    waiting: BTreeSet<u32>,
    running: BTreeMap<ContainerId, u32>,
    lost: BTreeMap<u32, u32>,
}

/// What the end of a container means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It ran nothing.
    None,
    Done,
    /// It is to be run again.
    Again,
    /// The application has failed, for this reason.
    Failed(String),
}

impl Tasks {
    pub(super) fn new(count: u32) -> Self {
        Self { count, waiting: (0..count).collect(), running: BTreeMap::new(), lost: BTreeMap::new() }
    }

    /// How many have no container.
    pub(super) fn waiting(&self) -> u32 {
        u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)
    }

    /// The index that a granted container runs; none if it is one too many.
    pub(super) fn begin(&mut self, container: ContainerId) -> Option<u32> {
        let index = self.waiting.pop_first()?;
        self.running.insert(container, index);
        Some(index)
    }

    pub(super) fn ended(&mut self, status: &ContainerStatus) -> Verdict {
        let Some(index) = self.running.remove(&status.container) else { return Verdict::None };
        let Some(exit) = &status.exit else { return self.again(index) };
        if exit.cause.is_success() {
            return Verdict::Done;
        }
        // One we gave back was never started: its node did not take it.
        let own_fault = exit.cause.counts_as_attempt_failure()
            && !matches!(exit.cause, crate::protocol::container::ExitCause::Released);
        let lost = self.lost.entry(index).or_default();
        *lost += 1;
        if !own_fault && *lost <= LOSSES_MAX {
            return self.again(index);
        }
        let words = last_words(&exit.diagnostics).map(|words| format!(": {words}")).unwrap_or_default();
        Verdict::Failed(format!("run {index} in {} {}{words}", status.container, exit.cause))
    }

    fn again(&mut self, index: u32) -> Verdict {
        self.waiting.insert(index);
        Verdict::Again
    }

    pub(super) fn all_done(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    #[expect(clippy::cast_precision_loss, reason = "a part for people")]
    pub(super) fn progress(&self) -> f32 {
        let open = self.waiting.len() + self.running.len();
        1.0 - open as f32 / self.count.max(1) as f32
    }

    pub(super) fn summary(&self) -> String {
        format!("{} of {} runs ended well", self.count, self.count)
    }
}

/// What run `index` is started with.
pub(super) fn context(shell: &ShellEnvironment, index: u32) -> LaunchContext {
    let mut context = shell.context.clone();
    context.environment.insert(TASK_INDEX.to_owned(), index.to_string());
    context.environment.insert(TASK_COUNT.to_owned(), shell.count.to_string());
    context
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ApplicationId;
    use crate::protocol::container::{ContainerState, Exit, ExitCause};
    use crate::resource::Resource;

    fn container(number: u64) -> ContainerId {
        ContainerId::new(ApplicationId { cluster_timestamp: 1, sequence: 1 }.attempt(1), 0, number)
    }

    fn ended(number: u64, cause: ExitCause) -> ContainerStatus {
        let exit = Some(Exit { cause, diagnostics: "no such host".to_owned() });
        let resource = Resource::new(64, 1);
        ContainerStatus {
            container: container(number),
            state: ContainerState::Complete,
            resource,
            priority: 1,
            exit,
            stopping: false,
        }
    }

    #[test]
    fn what_is_lost_runs_again_under_its_index_and_what_fails_ends_all() {
        let mut tasks = Tasks::new(2);
        assert_eq!(
            (tasks.begin(container(1)), tasks.begin(container(2)), tasks.begin(container(3))),
            (Some(0), Some(1), None)
        );
        assert_eq!(tasks.ended(&ended(1, ExitCause::NodeLost)), Verdict::Again);
        assert_eq!((tasks.waiting(), tasks.begin(container(4))), (1, Some(0)));
        assert_eq!(tasks.ended(&ended(3, ExitCause::Released)), Verdict::None);
        assert_eq!(tasks.ended(&ended(2, ExitCause::Completed { code: 0 })), Verdict::Done);
        assert!((tasks.progress() - 0.5).abs() < 1e-6 && !tasks.all_done());
        let Verdict::Failed(why) = tasks.ended(&ended(4, ExitCause::Completed { code: 2 })) else {
            panic!("a failure")
        };
        assert_eq!(why, format!("run 0 in {} exited with code 2: no such host", container(4)));
    }

    #[test]
    fn a_run_that_is_lost_for_ever_is_a_failure_in_the_end() {
        let mut tasks = Tasks::new(1);
        for number in 1..=u64::from(LOSSES_MAX) {
            tasks.begin(container(number));
            assert_eq!(tasks.ended(&ended(number, ExitCause::Released)), Verdict::Again);
        }
        tasks.begin(container(99));
        assert!(matches!(tasks.ended(&ended(99, ExitCause::NodeLost)), Verdict::Failed(_)));
    }
}
