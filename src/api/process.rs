//! Process functions and side outputs on streams.

use std::sync::Arc;

use super::{DataStream, KeyedStream};
use crate::engine::operators::{KeyedProcess, KeyedProcessFunction, Operator, OutputTag, Process, ProcessFunction};
use crate::engine::record::{Key, Record, RowsType};

impl<T: Record> DataStream<T> {
    /// Gives each record to a function with its context: [`ProcessFunction`].
    pub fn process<O: Record, F>(&self, function: F) -> DataStream<O>
    where
        F: ProcessFunction<T, O> + Clone + Sync,
    {
        self.operator("Process", move || Box::new(Process::<T, O, F>::new(function.clone())))
    }

    /// The records that the operator which emits this stream puts out at `tag`. Call it directly behind the transformation; the
    /// stream itself goes on besides. See [`OutputTag`] for an example.
    pub fn side_output<S: Record>(&self, tag: &OutputTag<S>) -> DataStream<S> {
        let graph = self.graph().clone();
        let operator = self.sole_operator();
        let mut builder = graph.lock();
        let upstreams = match operator {
            Some(operator) => vec![builder.read_side_output(operator, tag.name(), Arc::new(RowsType::<S>::new()))],
            None => {
                builder.mistake(format!(
                    "side_output(\"{0}\") was called on a union, a repartitioned stream or a side output, which is no \
                     operator; call it directly behind the transformation that emits to \"{0}\"",
                    tag.name()
                ));
                Vec::new()
            }
        };
        drop(builder);
        DataStream::of_upstreams(graph, upstreams)
    }
}

impl<K: Key, T: Record> KeyedStream<K, T> {
    /// Gives each record to a function with state and timers by key: [`KeyedProcessFunction`].
    pub fn process<O: Record, F>(&self, function: F) -> DataStream<O>
    where
        F: KeyedProcessFunction<K, T, O> + Clone + Sync,
    {
        let receiver = move || Box::new(KeyedProcess::<K, T, O, F>::new(function.clone())) as Box<dyn Operator>;
        self.receive(self.record_sender(), "KeyedProcess", receiver)
    }
}
