//! The sending half of a keyed exchange: rows become columns of hash, key and value, folded as far as that is allowed.
//!
//! ```text
//! Rows<T> ─selectors─► hash, key, value ─┬─► Keyed<K, V> ─► exchange           each record, in streaming mode
//!                                        └─► Table ─full or end─► Keyed<K, V>  folded, when results are emitted at the end
//! ```

use std::marker::PhantomData;
use std::sync::Arc;

use super::aggregate::Aggregate;
use super::{Emission, Operator, OperatorContext, Output};
use crate::engine::record::{BATCH_RECORDS, Batch, Key, Keyed, KeyedTable, Record, Rows, key_hash};
use crate::graph::task::Failure;

/// Fills the hash and key columns for some rows: one virtual call a batch.
pub(crate) type KeySelector<T, K> = Arc<dyn Fn(&[T], &mut Vec<u64>, &mut Vec<K>) + Send + Sync>;

/// What the table may take before it is emptied into the exchange. Large enough for the keys of most inputs, small beside
/// the memory of a task.
const TABLE_BYTES_MAX: usize = 32 << 20;
/// A table that holds more than this share of what was folded into it (out of 16) does not reduce enough to pay for itself.
const USELESS_SIXTEENTHS: u64 = 13;
/// After a useless table this many records go past it, for each that was folded, before it is tried again.
const BYPASS_FACTOR: u64 = 8;

/// Rows whose columns are filled before they are folded.
const FOLDED_AT_ONCE: usize = 128;

/// The operator before a keyed exchange.
pub(crate) struct KeyedSender<T, K, V, G: Aggregate<V>, F> {
    keys: KeySelector<T, K>,
    value: F,
    aggregate: G,
    emission: Option<Emission>,
    table: Option<KeyedTable<K, G::Accumulator>>,
    table_bytes_max: usize,
    /// Records folded since the table was last empty.
    folded: u64,
    /// Records that still go past the table.
    bypass: u64,
    hash_column: Vec<u64>,
    key_column: Vec<K>,
    types: PhantomData<fn(T) -> V>,
}

impl<T, K, V, G, F> KeyedSender<T, K, V, G, F>
where
    T: Record,
    K: Key,
    V: Record,
    G: Aggregate<V>,
    F: FnMut(T) -> V + Send,
{
    /// Folds by `aggregate` where the receiver emits nothing before the end anyway; `None`: it emits at moments of its own.
    pub(crate) fn new(keys: KeySelector<T, K>, value: F, aggregate: G, emission: Option<Emission>) -> Self {
        Self {
            keys,
            value,
            aggregate,
            emission,
            table: None,
            table_bytes_max: TABLE_BYTES_MAX,
            folded: 0,
            bypass: 0,
            hash_column: Vec::new(),
            key_column: Vec::new(),
            types: PhantomData,
        }
    }

    /// Hands rows on as they are.
    fn send(&mut self, Rows(rows, times): Rows<T>, out: &mut dyn Output) -> Result<(), Failure> {
        let (mut hashes, mut keys) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        (self.keys)(&rows, &mut hashes, &mut keys);
        let values = rows.into_iter().map(&mut self.value).collect();
        out.emit(Box::new(Keyed::from_columns(hashes, keys, values).with_times(times)))
    }

    /// Folds rows into the table, some at a time, so that their columns stay in the first-level cache.
    fn fold(&mut self, rows: Vec<T>) {
        let Some(table) = &mut self.table else { return };
        let aggregate = &self.aggregate;
        self.folded += rows.len() as u64;
        let mut rows = rows.into_iter();
        while !rows.as_slice().is_empty() {
            let some = &rows.as_slice()[..rows.len().min(FOLDED_AT_ONCE)];
            (self.keys)(some, &mut self.hash_column, &mut self.key_column);
            table.prefetch(&self.hash_column);
            for ((hash, key), row) in self.hash_column.drain(..).zip(self.key_column.drain(..)).zip(&mut rows) {
                let value = (self.value)(row);
                table.fold_owned(
                    hash,
                    key,
                    value,
                    |value| aggregate.start(value),
                    |folded, value| aggregate.add(folded, value),
                );
            }
        }
    }

    /// Empties the table when it has grown to its bound.
    fn empty_if_full(&mut self, out: &mut dyn Output) -> Result<(), Failure> {
        let Some(table) = &self.table else { return Ok(()) };
        // About half of a table's slots are in use.
        if table.len() * size_of::<(K, G::Accumulator)>() * 2 <= self.table_bytes_max {
            return Ok(());
        }
        if table.len() as u64 * 16 > self.folded * USELESS_SIXTEENTHS {
            self.bypass = self.folded * BYPASS_FACTOR;
        }
        self.empty(out)
    }

    fn empty(&mut self, out: &mut dyn Output) -> Result<(), Failure> {
        self.folded = 0;
        let Some(table) = &mut self.table else { return Ok(()) };
        emit_keyed(table.drain().map(|(key, folded)| (key, G::value(folded))), out)
    }
}

/// Emits keys and values as full batches.
fn emit_keyed<K: Key, V: Record>(
    mut columns: impl ExactSizeIterator<Item = (K, V)>,
    out: &mut dyn Output,
) -> Result<(), Failure> {
    while columns.len() > 0 {
        let mut keyed = Keyed::with_capacity(columns.len().min(BATCH_RECORDS));
        for (key, value) in columns.by_ref().take(BATCH_RECORDS) {
            keyed.push(key_hash(&key), key, value);
        }
        out.emit(Box::new(keyed))?;
    }
    Ok(())
}

impl<T, K, V, G, F> Operator for KeyedSender<T, K, V, G, F>
where
    T: Record,
    K: Key,
    V: Record,
    G: Aggregate<V>,
    F: FnMut(T) -> V + Send,
{
    fn open(&mut self, context: &OperatorContext) -> Result<(), Failure> {
        let folds = self.emission.is_some_and(|emission| emission.is_final_in(context.execution_mode));
        self.table = folds.then(KeyedTable::new);
        Ok(())
    }

    fn process(&mut self, _input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure> {
        let rows = Rows::<T>::of(batch);
        if self.table.is_none() {
            return self.send(rows, out);
        }
        if self.bypass > 0 {
            self.bypass = self.bypass.saturating_sub(rows.0.len() as u64);
            return self.send(rows, out);
        }
        self.empty_if_full(out)?;
        self.fold(rows.0);
        Ok(())
    }

    fn before_barrier(&mut self, out: &mut dyn Output) -> Result<Vec<serde_json::Value>, Failure> {
        self.empty(out)?;
        Ok(Vec::new())
    }

    fn finish(&mut self, out: &mut dyn Output) -> Result<Vec<serde_json::Value>, Failure> {
        self.empty(out)?;
        self.table = None;
        Ok(Vec::new())
    }
}

/// Fills hash and key columns by a key selector.
pub(crate) fn key_selector<T: Record, K: Key>(key: impl Fn(&T) -> K + Send + Sync + 'static) -> KeySelector<T, K> {
    Arc::new(move |rows, hashes, keys| {
        hashes.clear();
        keys.clear();
        hashes.reserve(rows.len());
        keys.reserve(rows.len());
        for row in rows {
            let key = key(row);
            hashes.push(key_hash(&key));
            keys.push(key);
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::{ProptestConfig, any, proptest};

    use super::super::aggregate::Sum;
    use super::super::testing::{Collected, context, run};
    use super::*;
    use crate::graph::plan::ExecutionMode;

    type Words = KeyedSender<(u16, u64), u16, u64, Sum, fn((u16, u64)) -> u64>;

    fn sender(emission: impl Into<Option<Emission>>, mode: ExecutionMode) -> Words {
        let mut sender: Words =
            KeyedSender::new(key_selector(|row: &(u16, u64)| row.0), |row| row.1, Sum, emission.into());
        sender.open(&context(mode)).unwrap();
        sender
    }

    fn totals(rows: impl IntoIterator<Item = (u16, u64)>) -> BTreeMap<u16, u64> {
        let mut totals = BTreeMap::new();
        for (key, value) in rows {
            *totals.entry(key).or_default() += value;
        }
        totals
    }

    #[test]
    fn streaming_sends_each_record_in_order() {
        let mut out = Collected::default();
        let rows = vec![(1u16, 1u64), (2, 2), (1, 3)];
        run(&mut sender(Emission::Updates, ExecutionMode::Streaming), vec![rows.clone()], &mut out);
        assert_eq!(out.keyed::<u16, u64>(), rows);
    }

    #[test]
    fn windows_get_each_record_when_it_comes() {
        let mut out = Collected::default();
        sender(None, ExecutionMode::Batch)
            .process(0, Box::new(Rows::new(vec![(1u16, 1u64), (1, 2)])), &mut out)
            .unwrap();
        assert_eq!(out.keyed::<u16, u64>(), [(1, 1), (1, 2)]);
    }

    #[test]
    fn batch_and_final_emission_fold_before_the_exchange() {
        for (emission, mode) in [(Emission::Updates, ExecutionMode::Batch), (Emission::Final, ExecutionMode::Streaming)]
        {
            let mut out = Collected::default();
            run(&mut sender(emission, mode), vec![vec![(1u16, 1u64), (2, 2)], vec![(1, 3)]], &mut out);
            let mut rows = out.keyed::<u16, u64>();
            rows.sort_unstable();
            assert_eq!(rows, [(1, 4), (2, 2)]);
        }
    }

    #[test]
    fn a_table_that_does_not_reduce_is_passed_by() {
        let mut sender = sender(Emission::Final, ExecutionMode::Batch);
        sender.table_bytes_max = 64 << 10;
        let mut out = Collected::default();
        let batches: Vec<Vec<(u16, u64)>> =
            (0..60u16).map(|batch| (0..1024).map(|i| (batch * 1024 + i, 1)).collect()).collect();
        for batch in &batches {
            sender.process(0, Box::new(Rows::new(batch.clone())), &mut out).unwrap();
        }
        assert!(sender.bypass > 0);
        sender.finish(&mut out).unwrap();
        assert_eq!(totals(out.keyed()), totals(batches.into_iter().flatten()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn nothing_is_lost_or_doubled_by_folding(
            batches in proptest::collection::vec(proptest::collection::vec((any::<u16>(), 0u64..100), 1..300), 0..40),
            table_bytes_max in 0usize..100_000,
        ) {
            let mut sender = sender(Emission::Final, ExecutionMode::Batch);
            sender.table_bytes_max = table_bytes_max;
            let mut out = Collected::default();
            run(&mut sender, batches.clone(), &mut out);
            assert_eq!(totals(out.keyed()), totals(batches.into_iter().flatten()));
        }
    }
}
