//! Windows, and which of them a record belongs to.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::EventTime;

/// A stretch of time: from `start`, included, to `end`, excluded. Of the machine's clock, where windows are those of processing time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimeWindow {
    /// The first moment.
    pub start: EventTime,
    /// The first moment behind it.
    pub end: EventTime,
}

impl TimeWindow {
    /// All of time: the one window of `GlobalWindows`. Flink's `GlobalWindow`.
    pub const GLOBAL: Self = Self { start: EventTime::MIN, end: EventTime::MAX };

    /// The window from `start_ms` to `end_ms`.
    pub fn new(start_ms: i64, end_ms: i64) -> Self {
        Self { start: EventTime(start_ms), end: EventTime(end_ms) }
    }

    /// The last moment: what is emitted for the window has this timestamp.
    pub fn max_timestamp(self) -> EventTime {
        if self == Self::GLOBAL { EventTime::MAX } else { EventTime(self.end.0.saturating_sub(1)) }
    }

    /// Whether they overlap or touch: such sessions are one.
    pub(super) fn meets(self, other: Self) -> bool {
        self.start <= other.end && self.end >= other.start
    }

    /// Both, and what is between them.
    pub(super) fn cover(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// In which time windows lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeDomain {
    Event,
    Processing,
}

/// Windows of one size at regular distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aligned {
    pub(crate) size_ms: i64,
    pub(crate) slide_ms: i64,
    pub(crate) offset_ms: i64,
}

impl Aligned {
    /// Windows of `size` that begin `offset` behind each multiple of `slide`. Shorter than a millisecond becomes one.
    pub(crate) fn new(size: Duration, slide: Duration, offset: Duration) -> Self {
        // Far from the ends of time, so that sums stay within it.
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).min(i64::MAX / 8);
        let slide_ms = millis(slide).max(1);
        Self { size_ms: millis(size).max(1), slide_ms, offset_ms: millis(offset) % slide_ms }
    }

    /// The start of the last window that begins at `time` or before.
    #[inline]
    pub(super) fn last_start(self, time: i64) -> i64 {
        time.saturating_sub(time.saturating_sub(self.offset_ms).rem_euclid(self.slide_ms))
    }

    /// The windows that `time` is in, last ones first: none where there are gaps between them.
    pub(super) fn of(self, time: i64) -> impl Iterator<Item = TimeWindow> {
        let starts = std::iter::successors(Some(self.last_start(time)), move |start| Some(start - self.slide_ms));
        let window = move |start: i64| TimeWindow::new(start, start.saturating_add(self.size_ms));
        starts.map(window).take_while(move |window| window.end.0 > time)
    }

    /// The first end of a window behind `time`.
    pub(super) fn first_end_behind(self, time: i64) -> i64 {
        let since_end = time.saturating_sub(self.offset_ms).saturating_sub(self.size_ms).rem_euclid(self.slide_ms);
        time.saturating_sub(since_end).saturating_add(self.slide_ms)
    }
}

/// How long after a record its session ends.
pub(crate) enum Gap<T> {
    Static(i64),
    Dynamic(Arc<dyn Fn(&T) -> Duration + Send + Sync>),
}

/// Which windows a record belongs to.
pub(crate) enum Assigner<T> {
    Aligned(Aligned, TimeDomain),
    Sessions(Gap<T>, TimeDomain),
    Global,
}

impl<T> Clone for Assigner<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Aligned(windows, domain) => Self::Aligned(*windows, *domain),
            Self::Sessions(Gap::Static(gap), domain) => Self::Sessions(Gap::Static(*gap), *domain),
            Self::Sessions(Gap::Dynamic(gap), domain) => Self::Sessions(Gap::Dynamic(Arc::clone(gap)), *domain),
            Self::Global => Self::Global,
        }
    }
}

impl<T> Assigner<T> {
    /// In which time its windows lie; the global one in neither, which matters to nobody.
    pub(crate) fn domain(&self) -> TimeDomain {
        match self {
            Self::Aligned(_, domain) | Self::Sessions(_, domain) => *domain,
            Self::Global => TimeDomain::Event,
        }
    }

    /// Whether windows of a key that meet become one.
    pub(crate) fn merges(&self) -> bool {
        matches!(self, Self::Sessions(..))
    }

    /// Puts the windows of a record into `windows`, which is emptied first.
    pub(super) fn assign(&self, record: &T, time: EventTime, windows: &mut Vec<TimeWindow>) {
        windows.clear();
        match self {
            Self::Aligned(aligned, _) => windows.extend(aligned.of(time.0)),
            Self::Sessions(gap, _) => {
                let gap = match gap {
                    Gap::Static(gap) => *gap,
                    Gap::Dynamic(gap) => millis(gap(record)),
                };
                windows.push(TimeWindow::new(time.0, time.0.saturating_add(gap.max(1))));
            }
            Self::Global => windows.push(TimeWindow::GLOBAL),
        }
    }
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn aligned(size_ms: u64, slide_ms: u64, offset_ms: u64) -> Aligned {
        Aligned::new(Duration::from_millis(size_ms), Duration::from_millis(slide_ms), Duration::from_millis(offset_ms))
    }

    #[test]
    fn windows_are_aligned_to_the_epoch_and_the_offset() {
        let end = |size, offset, time| aligned(size, size, offset).of(time).next().unwrap().end.0;
        assert_eq!(end(5000, 0, 0), 5000);
        assert_eq!(end(5000, 0, 4999), 5000);
        assert_eq!(end(5000, 0, 5000), 10_000);
        assert_eq!(end(5000, 0, -1), 0);
        assert_eq!(end(5000, 1000, 5500), 6000);
        assert_eq!(end(5000, 1000, 6000), 11_000);
        assert_eq!(end(5000, 6000, 6000), 11_000);
        assert_eq!(end(0, 0, 7), 8);
    }

    proptest! {
        #[test]
        fn a_record_is_in_every_window_around_it(
            size in 1u64..50, slide in 1u64..50, offset in 0u64..60, time in -200i64..200,
        ) {
            let windows = aligned(size, slide, offset);
            let (size, slide, offset) = (size as i64, slide as i64, offset as i64);
            let starts = (-400..=time).filter(|start| (start - offset).rem_euclid(slide) == 0);
            let mut expected: Vec<_> = starts.map(|start| TimeWindow::new(start, start + size)).collect();
            expected.retain(|window| window.end.0 > time);
            expected.reverse();
            prop_assert_eq!(windows.of(time).collect::<Vec<_>>(), expected);
            let end = (time + 1..).find(|end| (end - size - offset).rem_euclid(slide) == 0);
            prop_assert_eq!(Some(windows.first_end_behind(time)), end);
        }
    }
}
