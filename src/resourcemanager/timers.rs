//! Deadlines of the core: at most one per key.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{ApplicationAttemptId, ApplicationId, ContainerId, NodeId};
use crate::time::Now;

/// What a deadline is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A silent node is lost.
    Node(NodeId),
    /// A silent master's attempt fails.
    Master(ApplicationAttemptId),
    /// An unregistered master's container is stopped.
    Exit(ApplicationAttemptId),
    /// An application has lived as long as its queue allows.
    Lifetime(ApplicationId),
    /// A granted container was not started.
    Allocation(ContainerId),
    /// Those who starve are looked for again.
    PreemptionRound,
    /// A container on notice is taken away.
    Preemption(ContainerId),
    /// A node that is to leave has had its time.
    Decommission(NodeId),
    /// An ask may be served in another way from now on.
    Scheduler,
    /// Nodes had time to come back after a restart.
    Recovery,
}

/// The deadlines.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    by_time: BTreeSet<(Now, Timer)>,
    by_timer: BTreeMap<Timer, Now>,
}

impl Timers {
    /// Sets the deadline, replacing an earlier one.
    pub(crate) fn arm(&mut self, timer: Timer, at: Now) {
        self.disarm(&timer);
        self.by_time.insert((at, timer.clone()));
        self.by_timer.insert(timer, at);
    }

    /// Removes the deadline, if there is one.
    pub(crate) fn disarm(&mut self, timer: &Timer) {
        if let Some(at) = self.by_timer.remove(timer) {
            self.by_time.remove(&(at, timer.clone()));
        }
    }

    /// Takes the earliest deadline that has passed.
    pub(crate) fn take_due(&mut self, now: Now) -> Option<Timer> {
        let (at, _) = self.by_time.first()?;
        if *at > now {
            return None;
        }
        let (_, timer) = self.by_time.pop_first()?;
        self.by_timer.remove(&timer);
        Some(timer)
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Now> {
        self.by_time.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_set_again_replaces_the_earlier_one() {
        let mut timers = Timers::default();
        timers.arm(Timer::Recovery, Now(5));
        timers.arm(Timer::Recovery, Now(9));
        assert_eq!(timers.take_due(Now(8)), None);
        assert_eq!(timers.next(), Some(Now(9)));
        assert_eq!(timers.take_due(Now(9)), Some(Timer::Recovery));
        assert_eq!(timers.next(), None);
    }
}
