//! Records that the program holds.

use std::sync::Arc;

use crate::engine::operators::{
    Boundedness, Discovery, NextDiscovery, OperatorContext, Output, Polled, Source, SourceReader, SplitEnumerator,
    Waker,
};
use crate::engine::record::{OpenRows, Record, Rows};
use crate::graph::task::{Failure, Split};

/// The records of a collection, in order. One part: one subtask reads it all.
pub struct CollectionSource<T> {
    records: Arc<Vec<T>>,
}

impl<T> CollectionSource<T> {
    /// Holds the records.
    pub fn new(records: impl IntoIterator<Item = T>) -> Self {
        Self { records: Arc::new(records.into_iter().collect()) }
    }
}

impl<T: Record + Sync> Source for CollectionSource<T> {
    type Out = T;

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn enumerator(&self, _context: &OperatorContext) -> Result<Box<dyn SplitEnumerator>, Failure> {
        let all = Split { id: "all".to_owned(), payload: serde_json::Value::Null, lane: None };
        Ok(Box::new(KnownSplits(vec![all])))
    }

    fn reader(&self, _context: &OperatorContext, _waker: Waker) -> Result<Box<dyn SourceReader>, Failure> {
        Ok(Box::new(CollectionReader { records: Arc::clone(&self.records), next: self.records.len() }))
    }
}

/// Splits that are known from the start.
pub(super) struct KnownSplits(pub(super) Vec<Split>);

impl SplitEnumerator for KnownSplits {
    fn discover(&mut self) -> Result<Discovery, Failure> {
        Ok(Discovery { splits: std::mem::take(&mut self.0), next: NextDiscovery::Complete })
    }
}

struct CollectionReader<T> {
    records: Arc<Vec<T>>,
    next: usize,
}

impl<T: Record + Sync> SourceReader for CollectionReader<T> {
    fn assign(&mut self, split: Split) -> Result<(), Failure> {
        let next = split.payload.as_u64().and_then(|next| usize::try_from(next).ok()).unwrap_or(0);
        self.next = next.min(self.records.len());
        Ok(())
    }

    fn position(&self) -> Result<serde_json::Value, Failure> {
        Ok(self.next.into())
    }

    fn poll(&mut self, out: &mut dyn Output) -> Result<Polled, Failure> {
        let left = &self.records[self.next..];
        if left.is_empty() {
            return Ok(Polled::SplitFinished);
        }
        let batch = OpenRows::batch_of(left.iter().cloned());
        self.next += batch.len();
        out.emit(Box::new(Rows::new(batch)))?;
        Ok(Polled::More)
    }

    fn stop(&mut self, _out: &mut dyn Output) -> Result<(), Failure> {
        self.next = self.records.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::testing::read_all;
    use super::*;

    #[test]
    fn every_record_comes_once_and_in_order() {
        for len in [0u64, 1, 1024, 2500] {
            assert_eq!(read_all(&CollectionSource::new(0..len)), (0..len).collect::<Vec<u64>>());
        }
    }
}
