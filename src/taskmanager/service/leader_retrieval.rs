//! Looking for the next attempt of a JobManager that is gone. Flink's `LeaderRetrievalService`.

use std::time::Duration;

use crate::storage::{Leader, Leaders};
use crate::time::Now;

/// Between the first two looks; a JobManager takes some tens of milliseconds to start.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// Between two looks when it takes long: many TaskManagers look at the same file system.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// When to look, and where. Each pause is an eighth longer than the one before: who is found late is so by an eighth of the wait.
#[derive(Debug)]
pub(super) struct LeaderRetrieval {
    leaders: Leaders,
    pause: Duration,
    next: Option<Now>,
    looking: bool,
}

impl LeaderRetrieval {
    pub(super) fn new(leaders: Leaders) -> Self {
        Self { leaders, pause: PAUSE_MIN, next: None, looking: false }
    }

    /// When to look, if not just now; `left_behind` says whether there is a reason to.
    pub(super) fn due(&mut self, left_behind: bool, now: Now) -> Option<Now> {
        if !left_behind {
            (self.pause, self.next) = (PAUSE_MIN, None);
            return None;
        }
        let next = *self.next.get_or_insert(now);
        (!self.looking).then_some(next)
    }

    /// A look, which blocks, at who leads later than `known`. The next is not due before this one is over: [`Self::looked`].
    pub(super) fn look(&mut self, known: u32) -> impl FnOnce() -> Option<Leader> + Send + 'static {
        self.looking = true;
        let leaders = self.leaders.clone();
        move || match leaders.later_than(known) {
            Ok(leader) => leader,
            Err(error) => {
                tracing::warn!(%error, "cannot look for the next JobManager");
                None
            }
        }
    }

    pub(super) fn looked(&mut self, now: Now) {
        self.looking = false;
        self.next = Some(now + self.pause);
        self.pause = (self.pause * 9 / 8).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_come_at_once_then_ever_later_and_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let leaders = Leaders::new(dir.path().to_owned());
        let mut retrieval = LeaderRetrieval::new(leaders.clone());
        assert_eq!(retrieval.due(false, Now(5)), None);
        assert_eq!(retrieval.due(true, Now(7)), Some(Now(7)));
        let look = retrieval.look(1);
        assert_eq!(retrieval.due(true, Now(9)), None, "one at a time");
        let leader = Leader { attempt: 2, address: "a:1".to_owned() };
        leaders.publish(&leader).unwrap();
        assert_eq!(look(), Some(leader));
        let mut now = Now(10);
        for _ in 0..40 {
            retrieval.looked(now);
            now = retrieval.due(true, now).unwrap();
        }
        retrieval.looked(now);
        assert_eq!(retrieval.due(true, now), Some(now + PAUSE_MAX));
        assert_eq!(retrieval.due(false, now), None);
        assert_eq!(retrieval.due(true, now), Some(now), "a link that opened begins it anew");
    }
}
