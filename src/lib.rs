//! flott runs batch and streaming jobs, written as typed Rust programs, on machines that a YARN-style resource manager
//! hands out.

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub mod api;
pub mod cli;
pub mod client;
pub mod config;
pub mod engine;
pub mod graph;
pub mod ids;
pub mod jobmanager;
pub mod launch;
pub mod nodemanager;
pub mod process;
pub mod protocol;
pub mod resource;
pub mod resourcemanager;
pub mod rest;
pub mod rpc;
pub mod storage;
pub mod taskmanager;
pub mod telemetry;
pub mod testing;
pub mod time;
pub mod web;
pub mod worker;

pub use api::{
    DataStream, DataStreamSink, KeyedStream, StreamExecutionEnvironment, TumblingProcessingTimeWindows, WindowedStream,
    text,
};
pub use engine::connectors;
pub use engine::operators::{Collector, Emission};
pub use engine::record::Str;
pub use graph::plan::ExecutionMode;
pub use launch::{Error, JobResult, parse};

/// What a program needs: `use flott::prelude::*;`.
pub mod prelude {
    pub use crate::api::{
        DataStream, DataStreamSink, KeyedStream, StreamExecutionEnvironment, TumblingProcessingTimeWindows,
        WindowedStream,
    };
    pub use crate::connectors::TextFileSource;
    pub use crate::engine::operators::{Collector, Emission};
    pub use crate::engine::record::Str;
    pub use crate::graph::plan::ExecutionMode;
}
