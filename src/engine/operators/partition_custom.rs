//! The sending half of an exchange whose partitioner is the program's own.

use std::sync::Arc;

use super::{Operator, Output};
use crate::engine::record::{Batch, Key, Record, Routed, Router, Rows};
use crate::graph::task::Failure;

/// Gives rows their partitioner; the result partition, which knows how many consumers there are, asks it.
pub(crate) struct PartitionCustom<T>(Router<T>);

impl<T: Record> PartitionCustom<T> {
    /// Distributes as `router` says.
    pub(crate) fn new(router: Router<T>) -> Self {
        Self(router)
    }
}

impl<T: Record> Operator for PartitionCustom<T> {
    fn process(&mut self, _input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure> {
        out.emit(Box::new(Routed::new(Rows::of(batch), Arc::clone(&self.0))))
    }
}

/// Asks `partitioner` with the key of each row and the number of consumers.
pub(crate) fn router<T: Record, K: Key>(
    partitioner: impl Fn(&K, u32) -> u32 + Send + Sync + 'static,
    key: impl Fn(&T) -> K + Send + Sync + 'static,
) -> Router<T> {
    Arc::new(move |rows, consumers, targets| {
        targets.extend(rows.iter().map(|row| {
            let target = partitioner(&key(row), consumers);
            assert!(
                target < consumers,
                "the partitioner chose subtask {target} of {consumers}; it must choose from 0 to {}",
                consumers - 1
            );
            target
        }));
    })
}
