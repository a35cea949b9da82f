//! Streams get their timestamps and watermarks.

use super::DataStream;
use crate::engine::operators::{TimestampAssigner, TimestampsAndWatermarks, WatermarkStrategy};
use crate::engine::record::Record;

impl<T: Record> DataStream<T> {
    /// Gives records timestamps, and event time its pace: see [`WatermarkStrategy`]. Directly behind a source each subtask follows
    /// the part of the input that it reads. Watermarks that come in end here.
    pub fn assign_timestamps_and_watermarks<A>(&self, strategy: WatermarkStrategy<T, A>) -> Self
    where
        A: TimestampAssigner<T>,
    {
        let make = move || Box::new(TimestampsAndWatermarks::new(strategy.clone())) as Box<_>;
        self.operator("Timestamps/Watermarks", make)
    }
}
