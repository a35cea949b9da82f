//! Into the program itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engine::operators::{OperatorContext, Sink, SinkWriter};
use crate::engine::record::{Record, Rows};
use crate::graph::task::Failure;

/// Keeps records for the program that made the job, when the job has finished in the program's own process.
///
/// For tests and small results: everything is held in memory. Exact as a file is: what a failed execution has written and no
/// checkpoint covers is forgotten.
pub struct CollectSink<T> {
    parts: Arc<Mutex<Parts<T>>>,
}

/// Subtask, attempt, and the how manieth it has prepared.
type PartId = (u32, u32, u32);

/// What writers have prepared, and what of it is published.
struct Parts<T> {
    prepared: BTreeMap<PartId, Vec<T>>,
    published: BTreeMap<PartId, Vec<T>>,
}

fn lock<T>(parts: &Mutex<Parts<T>>) -> MutexGuard<'_, Parts<T>> {
    parts.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> CollectSink<T> {
    /// An empty one.
    pub fn new() -> Self {
        let parts = Parts { prepared: BTreeMap::new(), published: BTreeMap::new() };
        Self { parts: Arc::new(Mutex::new(parts)) }
    }

    /// What it has kept, to be taken when the job has finished.
    pub fn collected(&self) -> Collected<T> {
        Collected { parts: Arc::clone(&self.parts) }
    }
}

impl<T> Default for CollectSink<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// What a [`CollectSink`] has kept.
pub struct Collected<T> {
    parts: Arc<Mutex<Parts<T>>>,
}

impl<T> Collected<T> {
    /// Takes the records, subtask by subtask.
    pub fn take(&self) -> Vec<T> {
        std::mem::take(&mut lock(&self.parts).published).into_values().flatten().collect()
    }
}

fn parse(committable: serde_json::Value) -> Result<PartId, Failure> {
    serde_json::from_value(committable).map_err(|error| Failure::permanent(format!("{error}: not a collected part")))
}

impl<T: Record> Sink for CollectSink<T> {
    type In = T;

    fn writer(&self, context: &OperatorContext) -> Result<Box<dyn SinkWriter<T>>, Failure> {
        let (parts, next) = (Arc::clone(&self.parts), (context.attempt.subtask, context.attempt.attempt, 0));
        Ok(Box::new(CollectWriter { parts, next, own: Vec::new() }))
    }

    fn commit(&self, committables: Vec<serde_json::Value>) -> Result<(), Failure> {
        let mut parts = lock(&self.parts);
        for committable in committables {
            let id = parse(committable)?;
            if let Some(rows) = parts.prepared.remove(&id) {
                parts.published.insert(id, rows);
            }
        }
        Ok(())
    }

    fn discard(&self, committables: Vec<serde_json::Value>) -> Result<(), Failure> {
        let mut parts = lock(&self.parts);
        for committable in committables {
            parts.prepared.remove(&parse(committable)?);
        }
        Ok(())
    }
}

struct CollectWriter<T> {
    parts: Arc<Mutex<Parts<T>>>,
    next: PartId,
    own: Vec<T>,
}

impl<T: Record> SinkWriter<T> for CollectWriter<T> {
    fn write(&mut self, mut batch: Rows<T>) -> Result<(), Failure> {
        self.own.append(&mut batch.0);
        Ok(())
    }

    fn prepare_checkpoint(&mut self) -> Result<Vec<serde_json::Value>, Failure> {
        self.prepare()
    }

    fn prepare(&mut self) -> Result<Vec<serde_json::Value>, Failure> {
        if self.own.is_empty() {
            return Ok(Vec::new());
        }
        let id = self.next;
        self.next.2 += 1;
        lock(&self.parts).prepared.insert(id, std::mem::take(&mut self.own));
        Ok(vec![serde_json::json!(id)])
    }
}
