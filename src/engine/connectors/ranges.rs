//! Numbers divided into parts, for sources that count.

use serde::{Deserialize, Serialize};

use crate::graph::task::{Failure, Split};

/// Parts at most, about: enough for any cluster's subtasks to balance.
const PARTS_MAX: u64 = 1024;
/// Parts at least, about, where there are enough numbers: so that few numbers, each with much work, are shared out too.
const PARTS_MIN: u64 = 16;
/// Numbers in a part that are enough for its costs to vanish.
const LEN_ENOUGH: u64 = 64 << 10;

/// Numbers from first to last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Range {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Range {
    /// Its parts, in order. They depend on the range alone, so that they are the same whatever the parallelism.
    pub(super) fn parts(self) -> impl Iterator<Item = Self> {
        let len_less_one = self.last.checked_sub(self.first);
        let len = len_less_one.unwrap_or(0).saturating_add(1);
        let step = (len / PARTS_MAX + 1).max(LEN_ENOUGH.min(len.div_ceil(PARTS_MIN)));
        let starts = len_less_one.into_iter().flat_map(move |last| (0..=last / step).map(move |i| i * step));
        starts.map(move |offset| {
            let first = self.first + offset;
            Self { first, last: first.saturating_add(step - 1).min(self.last) }
        })
    }

    pub(super) fn split(self) -> Split {
        let Self { first, last } = self;
        Split { id: format!("{first}-{last}"), payload: serde_json::json!(self), lane: None }
    }

    /// What is left of a part; nothing, when it was read to its end before a checkpoint.
    pub(super) fn of(split: Split) -> Result<Option<Self>, Failure> {
        let range: Self = serde_json::from_value(split.payload)
            .map_err(|error| Failure::permanent(format!("{error}: part {} of a sequence", split.id)))?;
        Ok((range.first <= range.last).then_some(range))
    }

    /// The payload of a part of which this is left.
    pub(super) fn payload(left: Option<Self>) -> serde_json::Value {
        serde_json::json!(left.unwrap_or(Self { first: 1, last: 0 }))
    }

    /// Takes the first `len` numbers off; none remain where it is no longer.
    pub(super) fn take(self, len: u64) -> (Self, Option<Self>) {
        let last = self.first.saturating_add(len - 1).min(self.last);
        let rest = (last < self.last).then(|| Self { first: last + 1, last: self.last });
        (Self { first: self.first, last }, rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    fn count(first: u64, last: u64) -> usize {
        Range { first, last }.parts().count()
    }

    #[test]
    fn few_numbers_are_shared_out_and_many_make_no_more_parts_than_help() {
        assert_eq!((count(1, 0), count(1, 1), count(1, 5)), (0, 1, 5));
        assert_eq!((count(1, 16), count(1, 1600)), (16, 16));
        assert_eq!(count(1, 10_000_000), 153);
        assert!(count(0, u64::MAX) <= 1025);
    }

    proptest! {
        #[test]
        fn parts_cover_the_range_without_gap_or_overlap(first in any::<u64>(), len in any::<u64>(), shift in 0u32..64) {
            let last = first.saturating_add(len >> shift);
            let parts: Vec<Range> = Range { first, last }.parts().collect();
            assert!(parts.len() as u64 <= PARTS_MAX + 1);
            assert_eq!((parts[0].first, parts[parts.len() - 1].last), (first, last));
            assert!(parts.windows(2).all(|pair| pair[0].last + 1 == pair[1].first));
            assert!(parts.iter().all(|part| part.first <= part.last));
        }

        #[test]
        fn taking_leaves_the_rest(first in any::<u64>(), more in 0u64..100, len in 1u64..100) {
            let range = Range { first, last: first.saturating_add(more) };
            let (taken, rest) = range.take(len);
            let numbers = |range: Range| (range.first..=range.last).collect::<Vec<u64>>();
            let both = [numbers(taken), rest.map_or(Vec::new(), numbers)].concat();
            assert_eq!(both, numbers(range));
            assert!(taken.last - taken.first < len);
        }
    }
}
