//! Records as they are.

use std::any::{Any, type_name};
use std::marker::PhantomData;

use super::batch::open_parts;
use super::column::{self, FrameReader, Malformed, write_head};
use super::{Batch, BatchType, CodecError, Record};

/// A batch that holds its records in a vector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows<T>(pub Vec<T>);

impl<T: Record> Rows<T> {
    /// The concrete batch behind `batch`.
    ///
    /// # Panics
    /// When the graph connected operators of different types, which the typed API rules out.
    pub fn of(batch: Box<dyn Batch>) -> Self {
        *batch.into_any().downcast().expect("an edge carries batches of its source's record type")
    }
}

impl<T: Record> Batch for Rows<T> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self) -> usize {
        column::bytes_of(&self.0)
    }

    fn hashes(&self) -> Option<&[u64]> {
        None
    }

    fn scatter(self: Box<Self>, targets: &[u32], open: &mut [Option<Box<dyn Batch>>]) {
        let new = |rows| Self(Vec::with_capacity(rows));
        let mut parts = open_parts::<Self>(targets, open, new, |part, rows| part.0.reserve(rows));
        for (row, target) in self.0.into_iter().zip(targets) {
            if let Some(part) = &mut parts[*target as usize] {
                part.0.push(row);
            }
        }
    }

    fn append(&mut self, other: Box<dyn Batch>) {
        self.0.append(&mut Self::of(other).0);
    }

    fn clone_batch(&self) -> Box<dyn Batch> {
        Box::new(self.clone())
    }

    fn encode(&self, frame: &mut Vec<u8>) -> Result<(), CodecError> {
        write_head(self.0.len(), frame).map_err(CodecError::write::<T>)?;
        column::write(&self.0, frame).map_err(CodecError::write::<T>)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

/// The type of edges that carry [`Rows`].
pub struct RowsType<T>(PhantomData<fn() -> T>);

impl<T> RowsType<T> {
    /// The type of `Rows<T>`.
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Default for RowsType<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Record> BatchType for RowsType<T> {
    fn name(&self) -> &'static str {
        type_name::<T>()
    }

    fn decode(&self, frame: &[u8]) -> Result<Box<dyn Batch>, CodecError> {
        let read = || {
            let (mut frame, rows) = FrameReader::new(frame)?;
            let values = column::read(&mut frame, rows)?;
            frame.finish()?;
            Ok(Rows::<T>(values))
        };
        let rows = read().map_err(|malformed: Malformed| CodecError::read::<T>(malformed))?;
        Ok(Box::new(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_scatter_in_order_and_round_trip() {
        let rows = Rows((0..1000u32).map(|i| (i, i.to_string())).collect());
        let targets: Vec<u32> = (0..1000).map(|i| i % 3).collect();
        let mut open = vec![None, None, None, None];
        Box::new(rows).scatter(&targets, &mut open);
        assert!(open[3].is_none());
        for (part, first) in open.into_iter().flatten().zip(0..) {
            let mut frame = Vec::new();
            part.encode(&mut frame).unwrap();
            let part = Rows::<(u32, String)>::of(RowsType::<(u32, String)>::new().decode(&frame).unwrap());
            let expected: Vec<_> = (first..1000).step_by(3).map(|i| (i, i.to_string())).collect();
            assert_eq!(part.0, expected);
        }
    }
}
