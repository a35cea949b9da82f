//! Streams get their timestamps and watermarks.

use std::sync::Arc;

use super::DataStream;
use super::graph_builder::Node;
use crate::engine::operators::{Operator, ProgramCode, TimestampAssigner, TimestampsAndWatermarks, WatermarkStrategy};
use crate::engine::record::{Record, RowsType};
use crate::graph::plan::NodeKind;

impl<T: Record> DataStream<T> {
    /// Gives records timestamps, and event time its pace: see [`WatermarkStrategy`]. Directly behind a source each subtask follows
    /// the part of the input that it reads: there are as many as of the source, unless the program says otherwise. Watermarks that
    /// come in end here.
    pub fn assign_timestamps_and_watermarks<A>(&self, strategy: WatermarkStrategy<T, A>) -> Self
    where
        A: TimestampAssigner<T>,
    {
        let make = move || Box::new(TimestampsAndWatermarks::new(strategy.clone())) as Box<dyn Operator>;
        let mut node = Node::new("Timestamps/Watermarks", NodeKind::Operator, ProgramCode::Operator(Arc::new(make)));
        node.output = Some(Arc::new(RowsType::<T>::new()));
        node.follows = self.sole_feeder();
        let index = self.add(node);
        DataStream::of_node(self.graph().clone(), index)
    }
}
