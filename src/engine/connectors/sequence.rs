//! Consecutive numbers.

use super::collection::KnownSplits;
use crate::engine::operators::{
    Boundedness, OperatorContext, Output, Polled, Source, SourceReader, SplitEnumerator, Waker,
};
use crate::engine::record::{BATCH_RECORDS, Rows};
use crate::graph::task::{Failure, Split};

/// Parts that a sequence is divided into, at most: enough for any cluster's subtasks to balance.
const SPLITS_MAX: u64 = 1024;
/// Numbers in a part, at least.
const SPLIT_LEN_MIN: u64 = 64 * 1024;

/// The numbers from first to last, both included, read in parallel. Flink's `NumberSequenceSource`.
#[derive(Clone, Copy, Debug)]
pub struct SequenceSource {
    first: u64,
    last: u64,
}

impl SequenceSource {
    /// From `first` to `last`, both included; none when `last` lies before `first`.
    pub fn new(first: u64, last: u64) -> Self {
        Self { first, last }
    }

    /// First and last of each part.
    fn parts(self) -> impl Iterator<Item = (u64, u64)> {
        let numbers_less_one = self.last.checked_sub(self.first);
        let step = numbers_less_one.map_or(1, |len| (len / SPLITS_MAX).saturating_add(1).max(SPLIT_LEN_MIN));
        let starts = numbers_less_one.into_iter().flat_map(move |len| (0..=len / step).map(move |i| i * step));
        starts.map(move |offset| {
            let first = self.first + offset;
            (first, first.saturating_add(step - 1).min(self.last))
        })
    }
}

impl Source for SequenceSource {
    type Out = u64;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn enumerator(&self, _context: &OperatorContext) -> Result<Box<dyn SplitEnumerator>, Failure> {
        let split = |(first, last)| Split { id: format!("{first}-{last}"), payload: serde_json::json!([first, last]) };
        Ok(Box::new(KnownSplits(self.parts().map(split).collect())))
    }

    fn reader(&self, _context: &OperatorContext, _waker: Waker) -> Result<Box<dyn SourceReader>, Failure> {
        Ok(Box::new(SequenceReader { next: None }))
    }
}

struct SequenceReader {
    /// Next and last number of the present part.
    next: Option<(u64, u64)>,
}

impl SourceReader for SequenceReader {
    fn assign(&mut self, split: Split) -> Result<(), Failure> {
        let part = serde_json::from_value(split.payload)
            .map_err(|error| Failure::permanent(format!("{error}: part {} of a sequence", split.id)))?;
        self.next = Some(part);
        Ok(())
    }

    fn poll(&mut self, out: &mut dyn Output) -> Result<Polled, Failure> {
        let Some((next, last)) = self.next else { return Ok(Polled::SplitFinished) };
        let batch_last = next.saturating_add(BATCH_RECORDS as u64 - 1).min(last);
        self.next = (batch_last < last).then(|| (batch_last + 1, last));
        out.emit(Box::new(Rows((next..=batch_last).collect::<Vec<u64>>())))?;
        Ok(Polled::More)
    }

    fn stop(&mut self, _out: &mut dyn Output) -> Result<(), Failure> {
        self.next = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::super::files::testing::read_all;
    use super::*;

    #[test]
    fn both_ends_are_included() {
        assert_eq!(read_all(&SequenceSource::new(3, 3)), [3]);
        assert_eq!(read_all(&SequenceSource::new(3, 2)), Vec::<u64>::new());
        assert_eq!(read_all(&SequenceSource::new(1, 200_000)), (1..=200_000).collect::<Vec<_>>());
        assert_eq!(read_all(&SequenceSource::new(u64::MAX - 1, u64::MAX)), [u64::MAX - 1, u64::MAX]);
    }

    proptest! {
        #[test]
        fn parts_cover_the_sequence_without_gap_or_overlap(first in any::<u64>(), last in any::<u64>()) {
            let parts: Vec<_> = SequenceSource::new(first, last).parts().collect();
            assert_eq!(parts.is_empty(), last < first);
            assert!(parts.len() as u64 <= SPLITS_MAX + 1);
            if let (Some(head), Some(tail)) = (parts.first(), parts.last()) {
                assert_eq!((head.0, tail.1), (first, last));
            }
            assert!(parts.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0));
        }
    }
}
