//! The receiving half of a keyed exchange: one value a key.

use std::marker::PhantomData;
use std::slice;

use super::aggregate::{Aggregate, Shape};
use super::{Collector, Emission, Operator, OperatorContext, Output, Restore, Snapshot};
use crate::engine::record::{Batch, Key, Keyed, KeyedTable, Record, Rows};
use crate::engine::state::{Codec, Disk, StateBackend, take_runs};
use crate::graph::task::Failure;

/// Name of the state in snapshots.
const STATE: &str = "aggregate";

/// Folds the values of each key; emits the new value with each record, or all values at the end.
pub(crate) struct KeyedAggregate<K, V, G: Aggregate<V>, S> {
    aggregate: G,
    shape: S,
    emission: Emission,
    rolling: bool,
    max_parallelism: u32,
    table: KeyedTable<K, G::Accumulator>,
    /// Where the rest of it lies, if it need not all be in memory.
    disk: Option<Disk<K, G::Accumulator>>,
    types: PhantomData<fn(V)>,
}

impl<K: Key, V: Record, G: Aggregate<V>, S: Shape<K, V>> KeyedAggregate<K, V, G, S> {
    /// Folds by `aggregate`, emits as `shape` says.
    pub(crate) fn new(aggregate: G, shape: S, emission: Emission) -> Self {
        Self {
            aggregate,
            shape,
            emission,
            rolling: true,
            max_parallelism: 1,
            table: KeyedTable::new(),
            disk: None,
            types: PhantomData,
        }
    }
}

impl<K: Key, V: Record, G: Aggregate<V>, S: Shape<K, V>> Operator for KeyedAggregate<K, V, G, S> {
    fn open(&mut self, context: &OperatorContext) -> Result<(), Failure> {
        self.max_parallelism = context.max_parallelism;
        self.rolling = !self.emission.is_final_in(context.execution_mode);
        if let StateBackend::Disk(backend) = &context.state_backend {
            self.table = KeyedTable::resident();
            self.disk = Some(Disk::new(backend, Codec::lasting(|_| 0)));
        }
        Ok(())
    }

    fn process(&mut self, _input: u32, batch: Box<dyn Batch>, out: &mut dyn Output) -> Result<(), Failure> {
        let mut batch = Keyed::<K, V>::of(batch);
        if let Some(disk) = &mut self.disk {
            disk.admit(slice::from_mut(&mut self.table), |_| 0, batch.hashes(), batch.keys())?;
        }
        let (table, aggregate, shape) = (&mut self.table, &self.aggregate, &self.shape);
        let (start, add) =
            (|value| aggregate.start(value), |folded: &mut G::Accumulator, value| aggregate.add(folded, value));
        if !self.rolling {
            batch.fold_into(table, start, add, |_, _| {});
            return self.settle();
        }
        let (mut rows, times) = (Vec::with_capacity(batch.len()), batch.take_times());
        batch.fold_into(table, start, add, |key, folded| rows.push(shape.cloned(key, G::value_ref(folded))));
        self.settle()?;
        out.emit(Box::new(Rows(rows, times)))
    }

    fn snapshot(&mut self, into: &mut Snapshot) -> Result<(), Failure> {
        if let Some(disk) = &mut self.disk {
            let runs = disk.save(slice::from_mut(&mut self.table))?;
            into.on_disk::<K, G::Accumulator>(STATE, self.max_parallelism, runs);
            return Ok(());
        }
        into.keyed(STATE, self.max_parallelism, vec![self.table.freeze()]);
        Ok(())
    }

    fn restore(&mut self, from: &mut dyn Restore) -> Result<(), Failure> {
        let (table, disk, max_parallelism) = (&mut self.table, &mut self.disk, self.max_parallelism);
        if let Some(disk) = disk {
            disk.adopt(take_runs::<K, G::Accumulator>(STATE, from)?)?;
        }
        from.visit(STATE, &mut |section| {
            section.each_keyed(
                max_parallelism,
                |(key, _): &(K, G::Accumulator)| key,
                |hash, (key, folded)| table.put(hash, key, folded),
            )?;
            disk.as_mut().map_or(Ok(()), |disk| disk.settle(slice::from_mut(table)))
        })
    }

    fn finish(&mut self, out: &mut dyn Output) -> Result<Vec<serde_json::Value>, Failure> {
        if self.rolling {
            return Ok(Vec::new());
        }
        let Some(disk) = &mut self.disk else {
            emit_values::<K, V, G, S>(&mut self.table, &self.shape, out)?;
            return Ok(Vec::new());
        };
        let mut collector = Collector::new(out);
        disk.each_saved(slice::from_mut(&mut self.table), |key, folded| {
            collector.collect(self.shape.owned(key, G::value(folded)));
            !collector.has_failed()
        })?;
        collector.finish()?;
        Ok(Vec::new())
    }
}

impl<K: Key, V: Record, G: Aggregate<V>, S: Shape<K, V>> KeyedAggregate<K, V, G, S> {
    fn settle(&mut self) -> Result<(), Failure> {
        self.disk.as_mut().map_or(Ok(()), |disk| disk.settle(slice::from_mut(&mut self.table)))
    }
}

/// Emits what a table holds and leaves it empty.
pub(super) fn emit_values<K: Key, V: Record, G: Aggregate<V>, S: Shape<K, V>>(
    table: &mut KeyedTable<K, G::Accumulator>,
    shape: &S,
    out: &mut dyn Output,
) -> Result<(), Failure> {
    let mut collector = Collector::new(out);
    for (key, folded) in table.take() {
        collector.collect(shape.owned(key, G::value(folded)));
        if collector.has_failed() {
            break;
        }
    }
    collector.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::{ProptestConfig, any, proptest};

    use super::super::aggregate::{Best, KeyAndValue, Reduce, Sum, ValueOnly};
    use super::super::testing::{Collected, context};
    use super::*;
    use crate::engine::record::{Str, key_hash};
    use crate::graph::plan::ExecutionMode;

    fn keyed<K: Key, V: Record>(rows: &[(K, V)]) -> Box<dyn Batch> {
        let mut batch = Keyed::with_capacity(rows.len());
        for (key, value) in rows {
            batch.push(key_hash(key), key.clone(), value.clone());
        }
        Box::new(batch)
    }

    fn check<G: Aggregate<u64>>(aggregate: G, mode: ExecutionMode, rows: &[(&str, u64)], expected: &[(&str, u64)]) {
        let own = |rows: &[(&str, u64)]| -> Vec<(Str, u64)> { rows.iter().map(|(k, v)| (Str::from(*k), *v)).collect() };
        let mut operator = KeyedAggregate::<Str, u64, G, KeyAndValue>::new(aggregate, KeyAndValue, Emission::Updates);
        operator.open(&context(mode)).unwrap();
        let mut out = Collected::default();
        operator.process(0, keyed(&own(rows)), &mut out).unwrap();
        operator.finish(&mut out).unwrap();
        let mut emitted = out.rows::<(Str, u64)>();
        if mode == ExecutionMode::Batch {
            emitted.sort();
        }
        assert_eq!(emitted, own(expected));
    }

    #[test]
    fn rolling_emits_one_value_a_record() {
        let rows = [("a", 1), ("b", 5), ("a", 3), ("a", 2)];
        check(Sum, ExecutionMode::Streaming, &rows, &[("a", 1), ("b", 5), ("a", 4), ("a", 6)]);
        check(Best::MIN, ExecutionMode::Streaming, &rows, &[("a", 1), ("b", 5), ("a", 1), ("a", 1)]);
        check(Best::MAX, ExecutionMode::Streaming, &rows, &[("a", 1), ("b", 5), ("a", 3), ("a", 3)]);
    }

    #[test]
    fn batch_emits_each_key_once_at_the_end() {
        let rows = [("a", 1), ("b", 5), ("a", 3), ("a", 2)];
        check(Sum, ExecutionMode::Batch, &rows, &[("a", 6), ("b", 5)]);
        check(Best::MIN, ExecutionMode::Batch, &rows, &[("a", 1), ("b", 5)]);
        check(Best::MAX, ExecutionMode::Batch, &rows, &[("a", 3), ("b", 5)]);
        check(Reduce(|a: u64, b: u64| a * 10 + b), ExecutionMode::Batch, &rows, &[("a", 132), ("b", 5)]);
    }

    #[test]
    fn reduce_emits_records_alone() {
        let reduce = Reduce(|a: (Str, u64), b: (Str, u64)| (a.0, a.1.max(b.1)));
        let mut operator = KeyedAggregate::<Str, (Str, u64), _, ValueOnly>::new(reduce, ValueOnly, Emission::Updates);
        operator.open(&context(ExecutionMode::Streaming)).unwrap();
        let row = |n: u64| (Str::from("k"), (Str::from("k"), n));
        let mut out = Collected::default();
        operator.process(0, keyed(&[row(3), row(9), row(4)]), &mut out).unwrap();
        let values: Vec<u64> = out.rows::<(Str, u64)>().into_iter().map(|row| row.1).collect();
        assert_eq!(values, [3, 9, 9]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn batch_emits_what_streaming_emits_last(
            batches in proptest::collection::vec(proptest::collection::vec((0u8..20, any::<u32>()), 1..50), 0..20),
        ) {
            let emitted = [ExecutionMode::Streaming, ExecutionMode::Batch].map(|mode| {
                let mut operator = KeyedAggregate::<u8, u64, Sum, KeyAndValue>::new(Sum, KeyAndValue, Emission::Updates);
                operator.open(&context(mode)).unwrap();
                let mut out = Collected::default();
                for batch in &batches {
                    let rows: Vec<(u8, u64)> = batch.iter().map(|(k, v)| (*k, u64::from(*v))).collect();
                    operator.process(0, keyed(&rows), &mut out).unwrap();
                }
                operator.finish(&mut out).unwrap();
                out.rows::<(u8, u64)>()
            });
            let records: usize = batches.iter().map(Vec::len).sum();
            assert_eq!(emitted[0].len(), records);
            let last = emitted.map(|rows| rows.into_iter().collect::<BTreeMap<u8, u64>>());
            assert_eq!(last[0], last[1]);
        }
    }
}
