//! The sending half of a keyed exchange: rows become columns of hash, key and value, folded as far as that is allowed.
//!
//! ```text
//! Rows<T> ─selectors─► hash, key, value ─┬─► Keyed<K, V> ─► exchange           each record, in streaming mode
//!                                        └─► Table ─full or end─► Keyed<K, V>  folded, when results are emitted at the end
//! ```

use std::marker::PhantomData;
use std::sync::Arc;

use super::aggregate::Aggregate;
use super::table::Table;
use super::{Emission, Operator, OperatorContext, Output};
use crate::engine::record::{BATCH_RECORDS, Batch, Key, Keyed, Record, Rows, key_hash};
use crate::graph::task::Failure;

/// Fills the hash and key columns for some rows: one virtual call a batch.
pub(crate) type KeyColumn<T, K> = Arc<dyn Fn(&[T], &mut Vec<u64>, &mut Vec<K>) + Send + Sync>;

/// What the table may take before it is emptied into the exchange. Large enough for the keys of most inputs, small beside
/// the memory of a task.
const TABLE_BYTES_MAX: usize = 32 << 20;
/// A table that holds more than this share of what was folded into it (out of 16) does not reduce enough to pay for itself.
const USELESS_SIXTEENTHS: u64 = 13;
/// After a useless table this many records go past it, for each that was folded, before it is tried again.
const BYPASS_FACTOR: u64 = 8;

/// The operator before a keyed exchange.
pub(crate) struct KeyedSender<T, K, V, G: Aggregate<V>, F> {
    keys: KeyColumn<T, K>,
    value: F,
    aggregate: G,
    emission: Option<Emission>,
    table: Option<Table<K, G::Accumulator>>,
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
    pub(crate) fn new(keys: KeyColumn<T, K>, value: F, aggregate: G, emission: Option<Emission>) -> Self {
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

    fn send(&mut self, rows: Vec<T>, out: &mut dyn Output) -> Result<(), Failure> {
        let mut keyed = Keyed::with_capacity(rows.len());
        for ((row, hash), key) in rows.into_iter().zip(self.hash_column.drain(..)).zip(self.key_column.drain(..)) {
            keyed.push(hash, key, (self.value)(row));
        }
        out.emit(Box::new(keyed))
    }

    fn fold(&mut self, rows: Vec<T>) {
        let Some(table) = &mut self.table else { return };
        self.folded += rows.len() as u64;
        for ((row, hash), key) in rows.into_iter().zip(self.hash_column.drain(..)).zip(self.key_column.drain(..)) {
            table.fold_owned(&self.aggregate, hash, key, (self.value)(row));
        }
    }

    /// Empties the table when the next batch might make it grow beyond its bound.
    fn empty_if_full(&mut self, out: &mut dyn Output) -> Result<(), Failure> {
        let Some(table) = &self.table else { return Ok(()) };
        if table.room() >= BATCH_RECORDS || table.bytes() * 2 <= self.table_bytes_max {
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
        emit_keyed(table.len(), table.drain().map(|(hash, key, folded)| (hash, key, G::value(folded))), out)
    }
}

/// Emits `rows` rows as full batches.
fn emit_keyed<K: Key, V: Record>(
    mut rows: usize,
    columns: impl Iterator<Item = (u64, K, V)>,
    out: &mut dyn Output,
) -> Result<(), Failure> {
    let mut keyed = Keyed::with_capacity(rows.min(BATCH_RECORDS));
    for (hash, key, value) in columns {
        keyed.push(hash, key, value);
        rows = rows.saturating_sub(1);
        if keyed.len() == BATCH_RECORDS {
            let full = std::mem::replace(&mut keyed, Keyed::with_capacity(rows.min(BATCH_RECORDS)));
            out.emit(Box::new(full))?;
        }
    }
    if keyed.is_empty() { Ok(()) } else { out.emit(Box::new(keyed)) }
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
        self.table = folds.then(Table::new);
        Ok(())
    }

    fn process(&mut self, _input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure> {
        let rows = Rows::<T>::of(batch).0;
        (self.keys)(&rows, &mut self.hash_column, &mut self.key_column);
        if self.table.is_none() {
            return self.send(rows, out);
        }
        if self.bypass > 0 {
            self.bypass = self.bypass.saturating_sub(rows.len() as u64);
            return self.send(rows, out);
        }
        self.empty_if_full(out)?;
        self.fold(rows);
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Output) -> Result<Vec<serde_json::Value>, Failure> {
        self.empty(out)?;
        self.table = None;
        Ok(Vec::new())
    }
}

/// Fills hash and key columns by a key selector.
pub(crate) fn key_column<T: Record, K: Key>(key: impl Fn(&T) -> K + Send + Sync + 'static) -> KeyColumn<T, K> {
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
            KeyedSender::new(key_column(|row: &(u16, u64)| row.0), |row| row.1, Sum, emission.into());
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
        sender(None, ExecutionMode::Batch).process(0, Box::new(Rows(vec![(1u16, 1u64), (1, 2)])), &mut out).unwrap();
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
            sender.process(0, Box::new(Rows(batch.clone())), &mut out).unwrap();
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
