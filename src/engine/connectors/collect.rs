//! Into the program itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::operators::{OperatorContext, Sink, SinkWriter};
use crate::engine::record::{Record, Rows};
use crate::graph::task::Failure;

/// Keeps records for the program that made the job, when the job has finished in the program's own process.
///
/// For tests and small results: everything is held in memory.
pub struct CollectSink<T> {
    rows: Arc<Mutex<Finished<T>>>,
}

/// The records of each subtask whose input has ended; a repeated execution replaces those of the one before.
type Finished<T> = BTreeMap<u32, Vec<T>>;

impl<T> CollectSink<T> {
    /// An empty one.
    pub fn new() -> Self {
        Self { rows: Arc::default() }
    }

    /// What it has kept, to be taken when the job has finished.
    pub fn collected(&self) -> Collected<T> {
        Collected { rows: Arc::clone(&self.rows) }
    }
}

impl<T> Default for CollectSink<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// What a [`CollectSink`] has kept.
pub struct Collected<T> {
    rows: Arc<Mutex<Finished<T>>>,
}

impl<T> Collected<T> {
    /// Takes the records, subtask by subtask.
    pub fn take(&self) -> Vec<T> {
        let rows = std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner));
        rows.into_values().flatten().collect()
    }
}

impl<T: Record> Sink for CollectSink<T> {
    type In = T;

    fn writer(&self, context: &OperatorContext) -> Result<Box<dyn SinkWriter<T>>, Failure> {
        Ok(Box::new(CollectWriter { rows: Arc::clone(&self.rows), subtask: context.attempt.subtask, own: Vec::new() }))
    }
}

struct CollectWriter<T> {
    rows: Arc<Mutex<Finished<T>>>,
    subtask: u32,
    own: Vec<T>,
}

impl<T: Record> SinkWriter<T> for CollectWriter<T> {
    fn write(&mut self, mut batch: Rows<T>) -> Result<(), Failure> {
        self.own.append(&mut batch.0);
        Ok(())
    }

    fn prepare(&mut self) -> Result<Vec<serde_json::Value>, Failure> {
        let own = std::mem::take(&mut self.own);
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).insert(self.subtask, own);
        Ok(Vec::new())
    }
}
