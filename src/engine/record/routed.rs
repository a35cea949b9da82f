//! Rows with the partitioner that the program gave them.

use std::any::Any;
use std::sync::Arc;

use super::{Batch, CodecError, Record, Rows};

/// Appends the consumer of each row, among so many.
pub(crate) type Router<T> = Arc<dyn Fn(&[T], u32, &mut Vec<u32>) + Send + Sync>;

/// [`Rows`] on their way to a partition that asks them where to go. Anywhere else they are rows like others.
#[derive(Clone)]
pub(crate) struct Routed<T> {
    rows: Rows<T>,
    router: Router<T>,
}

impl<T: Record> Routed<T> {
    /// These rows, to be distributed as `router` says.
    pub(crate) fn new(rows: Rows<T>, router: Router<T>) -> Self {
        Self { rows, router }
    }
}

impl<T: Record> Batch for Routed<T> {
    fn len(&self) -> usize {
        self.rows.len()
    }

    fn bytes(&self) -> usize {
        self.rows.bytes()
    }

    fn hashes(&self) -> Option<&[u64]> {
        None
    }

    fn choose_consumers(&self, consumers: u32, targets: &mut Vec<u32>) -> bool {
        (self.router)(&self.rows.0, consumers, targets);
        true
    }

    fn scatter(self: Box<Self>, targets: &[u32], open: &mut [Option<Box<dyn Batch>>]) {
        Box::new(self.rows).scatter(targets, open);
    }

    fn append(&mut self, other: Box<dyn Batch>) {
        self.rows.append(other);
    }

    fn clone_batch(&self) -> Box<dyn Batch> {
        Box::new(self.clone())
    }

    fn encode(&self, frame: &mut Vec<u8>) -> Result<(), CodecError> {
        self.rows.encode(frame)
    }

    /// The rows alone: what operators expect.
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        Box::new(self.rows)
    }
}
