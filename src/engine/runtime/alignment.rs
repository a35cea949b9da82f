//! When a checkpoint's barrier has come on every channel of a subtask.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::record::Barrier;
use crate::ids::CheckpointId;
use crate::time::Now;

/// A barrier that has come on every channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Aligned {
    pub(super) barrier: Arc<Barrier>,
    /// How long it was on its way until it came on the first channel.
    pub(super) start_delay: Duration,
    /// From the first channel to the last.
    pub(super) alignment: Duration,
}

impl Aligned {
    /// One that needs no alignment.
    pub(super) fn at_once(barrier: Arc<Barrier>, now: Now) -> Self {
        Self { start_delay: now.since(barrier.triggered), barrier, alignment: Duration::ZERO }
    }
}

/// What a barrier's coming means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Its channel waits for the others.
    Awaited,
    /// As [`Arrival::Awaited`], and the checkpoint aligned so far is given up: its channels go on.
    Supersedes,
    /// Of a checkpoint that was given up: its channel goes on.
    Late,
}

/// Follows the alignment of one checkpoint at a time, the newest. A channel that ends counts as one on which the barrier has come:
/// all of it lies before.
#[derive(Debug, Default)]
pub(super) struct Aligner {
    /// The newest checkpoint seen.
    newest: CheckpointId,
    current: Option<Alignment>,
}

#[derive(Debug)]
struct Alignment {
    barrier: Arc<Barrier>,
    /// Open channels on which it has not come.
    missing: usize,
    since: Now,
}

impl Aligner {
    /// The barrier has come on a channel; `open` channels have not ended, this one included.
    pub(super) fn barrier(&mut self, barrier: Arc<Barrier>, open: usize, now: Now) -> Arrival {
        match &mut self.current {
            Some(current) if current.barrier.checkpoint == barrier.checkpoint => {
                current.missing -= 1;
                Arrival::Awaited
            }
            _ if barrier.checkpoint <= self.newest => Arrival::Late,
            current => {
                self.newest = barrier.checkpoint;
                let before = current.replace(Alignment { barrier, missing: open - 1, since: now });
                if before.is_some() { Arrival::Supersedes } else { Arrival::Awaited }
            }
        }
    }

    /// A channel has ended on which no barrier had come.
    pub(super) fn channel_ended(&mut self) {
        if let Some(current) = &mut self.current {
            current.missing = current.missing.saturating_sub(1);
        }
    }

    /// The barrier, once it has come on all channels.
    pub(super) fn take_aligned(&mut self, now: Now) -> Option<Aligned> {
        let Alignment { barrier, since, .. } = self.current.take_if(|current| current.missing == 0)?;
        Some(Aligned { start_delay: since.since(barrier.triggered), alignment: now.since(since), barrier })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn barrier(checkpoint: u64) -> Arc<Barrier> {
        Arc::new(Barrier { checkpoint: CheckpointId(checkpoint), ..Barrier::default() })
    }

    #[test]
    fn the_last_channel_completes_it() {
        let mut aligner = Aligner::default();
        assert_eq!(aligner.barrier(barrier(1), 3, Now(10)), Arrival::Awaited);
        assert_eq!(aligner.barrier(barrier(1), 3, Now(20)), Arrival::Awaited);
        assert_eq!(aligner.take_aligned(Now(25)), None);
        aligner.channel_ended();
        let aligned = aligner.take_aligned(Now(30)).unwrap();
        assert_eq!((aligned.barrier, aligned.alignment), (barrier(1), Duration::from_millis(20)));
        assert_eq!(aligner.take_aligned(Now(31)), None);
    }

    #[test]
    fn a_newer_one_supersedes_and_what_is_left_of_the_older_one_is_late() {
        let mut aligner = Aligner::default();
        assert_eq!(aligner.barrier(barrier(1), 2, Now(0)), Arrival::Awaited);
        assert_eq!(aligner.barrier(barrier(2), 2, Now(0)), Arrival::Supersedes);
        assert_eq!(aligner.barrier(barrier(1), 2, Now(0)), Arrival::Late);
        assert_eq!(aligner.barrier(barrier(2), 2, Now(0)), Arrival::Awaited);
        assert_eq!(aligner.take_aligned(Now(0)).unwrap().barrier, barrier(2));
        assert_eq!(aligner.barrier(barrier(2), 2, Now(0)), Arrival::Late);
    }
}
