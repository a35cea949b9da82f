//! Consecutive numbers.

use super::collection::KnownSplits;
use super::ranges::Range;
use crate::engine::operators::{
    Boundedness, OperatorContext, Output, Polled, Source, SourceReader, SplitEnumerator, Waker,
};
use crate::engine::record::{BATCH_RECORDS, Rows};
use crate::graph::task::{Failure, Split};

/// The numbers from first to last, both included, read in parallel. Flink's `NumberSequenceSource`.
#[derive(Clone, Copy, Debug)]
pub struct SequenceSource(Range);

impl SequenceSource {
    /// From `first` to `last`, both included; none when `last` lies before `first`.
    pub fn new(first: u64, last: u64) -> Self {
        Self(Range { first, last })
    }
}

impl Source for SequenceSource {
    type Out = u64;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn enumerator(&self, _context: &OperatorContext) -> Result<Box<dyn SplitEnumerator>, Failure> {
        Ok(Box::new(KnownSplits(self.0.parts().map(Range::split).collect())))
    }

    fn reader(&self, _context: &OperatorContext, _waker: Waker) -> Result<Box<dyn SourceReader>, Failure> {
        Ok(Box::new(SequenceReader { present: None }))
    }
}

struct SequenceReader {
    /// What is left of the present part.
    present: Option<Range>,
}

impl SourceReader for SequenceReader {
    fn assign(&mut self, split: Split) -> Result<(), Failure> {
        self.present = Range::of(split)?;
        Ok(())
    }

    fn position(&self) -> Result<serde_json::Value, Failure> {
        Ok(Range::payload(self.present))
    }

    fn poll(&mut self, out: &mut dyn Output) -> Result<Polled, Failure> {
        let Some(range) = self.present else { return Ok(Polled::SplitFinished) };
        let (batch, rest) = range.take(BATCH_RECORDS as u64);
        self.present = rest;
        out.emit(Box::new(Rows::new((batch.first..=batch.last).collect::<Vec<u64>>())))?;
        Ok(Polled::More)
    }

    fn stop(&mut self, _out: &mut dyn Output) -> Result<(), Failure> {
        self.present = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::testing::read_all;
    use super::*;

    #[test]
    fn both_ends_are_included() {
        assert_eq!(read_all(&SequenceSource::new(3, 3)), [3]);
        assert_eq!(read_all(&SequenceSource::new(3, 2)), Vec::<u64>::new());
        assert_eq!(read_all(&SequenceSource::new(1, 200_000)), (1..=200_000).collect::<Vec<_>>());
        assert_eq!(read_all(&SequenceSource::new(u64::MAX - 1, u64::MAX)), [u64::MAX - 1, u64::MAX]);
    }
}
