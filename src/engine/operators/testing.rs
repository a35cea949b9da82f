//! What the operators' tests share: an output that keeps what is emitted, and a run over batches.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Operator, OperatorContext, Output};
use crate::engine::record::{Batch, Key, Keyed, Record, Rows};
use crate::engine::state::StateBackend;
use crate::graph::plan::ExecutionMode;
use crate::graph::task::Failure;
use crate::ids::{ExecutionAttemptId, JobId, VertexId};
use crate::time::{EventTime, Now};

/// What was said of event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Watermark(i64),
    Idle,
}

/// Keeps what is emitted; its clock stands where it is put.
#[derive(Default)]
pub(crate) struct Collected {
    pub(crate) batches: Vec<Box<dyn Batch>>,
    pub(crate) sides: Vec<(String, Box<dyn Batch>)>,
    pub(crate) now: Now,
    pub(crate) told: Vec<Told>,
    /// Refuses batches after this many.
    pub(crate) fail_after: Option<usize>,
}

impl Output for Collected {
    fn emit(&mut self, batch: Box<dyn Batch>) -> Result<(), Failure> {
        assert!(!batch.is_empty(), "a batch is never empty when emitted");
        if self.fail_after.is_some_and(|limit| self.batches.len() >= limit) {
            return Err(Failure::permanent("full"));
        }
        self.batches.push(batch);
        Ok(())
    }

    fn emit_side(&mut self, tag: &str, batch: Box<dyn Batch>) -> Result<(), Failure> {
        assert!(!batch.is_empty(), "a batch is never empty when emitted");
        self.sides.push((tag.to_owned(), batch));
        Ok(())
    }

    fn emit_watermark(&mut self, watermark: EventTime) -> Result<(), Failure> {
        self.told.push(Told::Watermark(watermark.0));
        Ok(())
    }

    fn mark_idle(&mut self) -> Result<(), Failure> {
        self.told.push(Told::Idle);
        Ok(())
    }

    fn now(&self) -> Now {
        self.now
    }
}

impl Collected {
    /// Takes what was said of event time.
    pub(crate) fn told(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    /// Takes all rows of batches of `Rows<T>`, in order.
    pub(crate) fn rows<T: Record>(&mut self) -> Vec<T> {
        self.batches.drain(..).flat_map(|batch| Rows::<T>::of(batch).0).collect()
    }

    /// Takes all rows of a side output, in order.
    pub(crate) fn side_rows<T: Record>(&mut self, tag: &str) -> Vec<T> {
        let of_tag = self.sides.extract_if(.., |side| side.0 == tag);
        of_tag.flat_map(|side| Rows::<T>::of(side.1).0).collect()
    }

    /// Takes all rows of keyed batches, in order, checking the hashes.
    pub(crate) fn keyed<K: Key, V: Record>(&mut self) -> Vec<(K, V)> {
        let mut rows = Vec::new();
        for batch in self.batches.drain(..) {
            Keyed::<K, V>::of(batch).for_each(|hash, key, value| {
                let key = key.to_owned();
                assert_eq!(hash, crate::engine::record::key_hash(&key));
                rows.push((key, value));
            });
        }
        rows
    }
}

/// A batch as a keyed exchange ships it.
pub(crate) fn keyed<K: Key, V: Record>(rows: &[(K, V)]) -> Box<dyn Batch> {
    let mut batch = Keyed::with_capacity(rows.len());
    for (key, value) in rows {
        batch.push(crate::engine::record::key_hash(key), key.clone(), value.clone());
    }
    Box::new(batch)
}

/// The context of subtask 0 of 1.
pub(crate) fn context(execution_mode: ExecutionMode) -> OperatorContext {
    OperatorContext {
        job: JobId(1),
        attempt: ExecutionAttemptId { vertex: VertexId(1), subtask: 0, attempt: 0 },
        name: "operator".to_owned(),
        parallelism: 1,
        max_parallelism: 128,
        execution_mode,
        restored_from: None,
        auto_watermark_interval: Duration::from_millis(200),
        temporary_dir: std::env::temp_dir(),
        state_backend: StateBackend::default(),
        side_outputs: BTreeMap::new(),
    }
}

/// Runs an opened operator over batches of rows to the end of its input.
pub(crate) fn run<T: Record>(operator: &mut dyn Operator, batches: Vec<Vec<T>>, out: &mut Collected) {
    for batch in batches {
        operator.process(0, Box::new(Rows::new(batch)), out).unwrap();
    }
    operator.end_input(0, out).unwrap();
    operator.finish(out).unwrap();
}
