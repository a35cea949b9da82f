//! Operators that take records by key and have no use for the key.

use std::marker::PhantomData;

use super::{Operator, Output};
use crate::engine::record::{Batch, Key, Keyed, Record, Rows};
use crate::graph::task::Failure;

/// Gives the records of a keyed exchange to a map, a filter or a flat map.
pub(crate) struct ByKey<K, T, O> {
    inner: O,
    types: PhantomData<fn(K, T)>,
}

impl<K, T, O> ByKey<K, T, O> {
    /// Gives them to `inner`, of which only `process` is ever called.
    pub(crate) fn new(inner: O) -> Self {
        Self { inner, types: PhantomData }
    }
}

impl<K: Key, T: Record, O: Operator> Operator for ByKey<K, T, O> {
    fn process(&mut self, input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure> {
        let mut batch = Keyed::<K, T>::of(batch);
        let times = batch.take_times();
        let (_, _, records) = batch.into_columns();
        self.inner.process(input, Box::new(Rows(records, times)), out)
    }
}
