//! What a job's author writes: an environment, streams, functions.
//!
//! ```text
//! StreamExecutionEnvironment ─► DataStream ─key_by─► KeyedStream ─window─► WindowedStream
//!        ▲                      │  ▲ map filter      │ sum reduce …         │ sum reduce …
//!        └─ execute ◄───────────┘  └─────────────────┴──────────────────────┘
//! ```
//!
//! The names are Flink's. Everything here only builds the graph: data (a [`Plan`](crate::graph::plan::Plan)) beside code (a
//! [`ProgramGraph`](crate::engine::operators::ProgramGraph)); [`StreamExecutionEnvironment::execute`] hands both on. Functions
//! are plain closures; a type error points at the line that holds it.

mod aggregates;
mod all_windowed_stream;
mod async_data_stream;
mod broadcast;
mod connected_streams;
mod data_stream;
mod data_stream_sink;
mod environment;
mod fallible;
mod graph_builder;
mod joins;
mod keyed_stream;
mod process;
#[cfg(test)]
mod tests;
pub mod text;
mod watermarks;
mod window_assigners;
mod windowed_stream;

pub use all_windowed_stream::AllWindowedStream;
pub use async_data_stream::AsyncDataStream;
pub use broadcast::{BroadcastConnectedStream, KeyedBroadcastConnectedStream};
pub use connected_streams::{ConnectedStreams, KeyedConnectedStreams};
pub use data_stream::DataStream;
pub use data_stream_sink::DataStreamSink;
pub use environment::StreamExecutionEnvironment;
pub use joins::{IntervalJoinedStreams, JoinedStreams, JoinedWindows};
pub use keyed_stream::KeyedStream;
pub use window_assigners::{
    DynamicSessionWindows, EventTimeSessionWindows, GlobalWindows, ProcessingTimeSessionWindows,
    SlidingEventTimeWindows, SlidingProcessingTimeWindows, TumblingEventTimeWindows, TumblingProcessingTimeWindows,
    WindowAssigner,
};
pub use windowed_stream::WindowedStream;
