//! When a part file is complete.

use std::time::Duration;

use crate::time::Now;

/// When a part file is closed and the next one begun. Flink's `DefaultRollingPolicy`.
///
/// The default is Flink's: 128 MiB, a minute after its first record, a minute after its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollingPolicy {
    max_part_bytes: u64,
    rollover_interval: Option<Duration>,
    inactivity_interval: Option<Duration>,
}

impl Default for RollingPolicy {
    fn default() -> Self {
        let minute = Some(Duration::from_secs(60));
        Self { max_part_bytes: 128 << 20, rollover_interval: minute, inactivity_interval: minute }
    }
}

impl RollingPolicy {
    /// One part a subtask, however long.
    pub fn never() -> Self {
        Self { max_part_bytes: u64::MAX, rollover_interval: None, inactivity_interval: None }
    }

    /// Closes a part that has so many bytes, counted before compression; it may have a few more.
    #[must_use]
    pub fn max_part_size(mut self, bytes: u64) -> Self {
        self.max_part_bytes = bytes;
        self
    }

    /// Closes a part so long after its first record.
    #[must_use]
    pub fn rollover_interval(mut self, interval: Duration) -> Self {
        self.rollover_interval = Some(interval);
        self
    }

    /// Closes a part so long after its last record.
    #[must_use]
    pub fn inactivity_interval(mut self, interval: Duration) -> Self {
        self.inactivity_interval = Some(interval);
        self
    }

    /// Whether a part of `bytes` is to be closed.
    pub(super) fn is_full(&self, bytes: u64) -> bool {
        bytes >= self.max_part_bytes
    }

    /// When a part is to be closed, by its first and last record.
    pub(super) fn due(&self, first: Now, last: Now) -> Option<Now> {
        let rollover = self.rollover_interval.map(|interval| first + interval);
        let inactivity = self.inactivity_interval.map(|interval| last + interval);
        rollover.into_iter().chain(inactivity).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_due_at_the_earlier_of_its_intervals() {
        let policy = RollingPolicy::default().inactivity_interval(Duration::from_secs(5));
        assert_eq!(policy.due(Now(0), Now(0)), Some(Now(5_000)));
        assert_eq!(policy.due(Now(0), Now(58_000)), Some(Now(60_000)));
        assert_eq!(RollingPolicy::never().due(Now(0), Now(0)), None);
        assert!(policy.is_full(128 << 20) && !policy.is_full((128 << 20) - 1));
        assert!(RollingPolicy::never().max_part_size(1).is_full(1));
    }
}
