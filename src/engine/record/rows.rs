//! Records as they are.

use std::any::{Any, type_name};
use std::marker::PhantomData;

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
        self.0.len() * size_of::<T>()
    }

    fn hashes(&self) -> Option<&[u64]> {
        None
    }

    fn scatter(self: Box<Self>, targets: &[u32], open: &mut [Option<Box<dyn Batch>>]) {
        let parts = super::keyed::open_parts::<Self>(open);
        let mut parts: Vec<_> = parts;
        for (row, target) in self.0.into_iter().zip(targets) {
            parts[*target as usize].get_or_insert_with(|| Self(Vec::new())).0.push(row);
        }
        super::keyed::close_parts(parts, open);
    }

    fn append(&mut self, other: Box<dyn Batch>) {
        self.0.append(&mut Self::of(other).0);
    }

    fn clone_batch(&self) -> Box<dyn Batch> {
        Box::new(self.clone())
    }

    fn encode(&self, frame: &mut Vec<u8>) -> Result<(), CodecError> {
        let bytes = postcard::to_stdvec(&self.0).map_err(CodecError::write::<T>)?;
        frame.extend_from_slice(&bytes);
        Ok(())
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
        let rows: Vec<T> = postcard::from_bytes(frame).map_err(CodecError::read::<T>)?;
        Ok(Box::new(Rows(rows)))
    }
}
