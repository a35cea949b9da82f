//! Nowhere.

use std::marker::PhantomData;

use crate::engine::operators::{OperatorContext, Sink, SinkWriter};
use crate::engine::record::{Record, Rows};
use crate::graph::task::Failure;

/// Drops every record. Flink's `DiscardingSink`.
pub struct DiscardSink<T>(PhantomData<fn(T)>);

impl<T> DiscardSink<T> {
    /// One for records of type `T`.
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Default for DiscardSink<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Record> Sink for DiscardSink<T> {
    type In = T;

    fn writer(&self, _context: &OperatorContext) -> Result<Box<dyn SinkWriter<T>>, Failure> {
        Ok(Box::new(Dropped))
    }
}

struct Dropped;

impl<T: Record> SinkWriter<T> for Dropped {
    fn write(&mut self, _batch: Rows<T>) -> Result<(), Failure> {
        Ok(())
    }

    fn prepare_checkpoint(&mut self) -> Result<Vec<serde_json::Value>, Failure> {
        Ok(Vec::new())
    }

    fn prepare(&mut self) -> Result<Vec<serde_json::Value>, Failure> {
        Ok(Vec::new())
    }
}
