//! flott runs batch and streaming jobs, written as typed Rust programs, on machines that a YARN-style resource manager
//! hands out.
//!
//! A job is an ordinary program: it builds streams and calls `execute`. Started by itself it runs the job in its own process;
//! given to `flott run` the same executable is planned, shipped and run on a cluster.
//!
//! ```
//! use flott::prelude::*;
//!
//! fn main() -> Result<(), flott::Error> {
//!     let env = StreamExecutionEnvironment::new();
//!     env.from_collection(["to be or not to be".to_owned()])
//!         .flat_map(|line, out| out.extend(line.split_whitespace().map(Str::from)))
//!         .key_by(|word| word.clone())
//!         .count()
//!         .print(); // (be,2) (not,1) (or,1) (to,2), in any order
//!     let result = env.execute("word count")?;
//!     assert_eq!(result.bad_records(), 0);
//!     Ok(())
//! }
//! ```
//!
//! # Where things are
//! What a program needs is in [`prelude`]: [`StreamExecutionEnvironment`] makes sources, [`DataStream`] has the transformations,
//! [`KeyedStream`] and [`WindowedStream`] the aggregates, and what needs state, timers or side outputs is a
//! [`KeyedProcessFunction`]. Beyond it: [`connectors`] (files, sockets, the terminal), [`text`]
//! (words, fast), [`parse`] (a program's arguments), and for connectors of your own the traits
//! [`Source`](engine::operators::Source) and [`Sink`](engine::operators::Sink). The rooms of the engine and the daemons:
//!
//! ```text
//! faces       cli  testing  api  application_master  shell  launch  rest  web  client
//! processes   resourcemanager  nodemanager  jobmanager  taskmanager  worker      share: protocol
//! engine      runtime  connectors  operators  network  record
//! ground      graph  rpc  storage  config  telemetry  ids  resource  time        imports point down this list
//! ```
//!
//! # What may be a record, and what a function
//! A record is any type that is `Clone + Send + Sync + Serialize + Deserialize`; a key is also `Hash + Eq`. Derive them. [`Str`] is the
//! string type to prefer: up to 24 bytes lie in the record itself.
//!
//! A function is a plain closure. Each subtask gets a clone of it, so what it captures must be the same in every process of the
//! job; what may differ between two runs of `main` goes through [`StreamExecutionEnvironment::once`]. A function may keep
//! state in what it captures, and that state is one subtask's own.
//!
//! # Batch and streaming
//! The same program runs in both [`ExecutionMode`]s, and bounded input in batch mode gives what streaming gives in the end: an
//! aggregate emits once a key in batch mode, and with each record in streaming mode, unless [`KeyedStream::emit`] is given
//! [`Emission::Final`].

// Unit tests have an allocator that counts (src/testing/allocations.rs).
#[cfg(all(feature = "mimalloc", not(test)))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub mod api;
pub mod application_master;
pub mod cli;
pub mod client;
pub mod config;
pub mod engine;
pub mod graph;
pub mod guide;
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
pub mod shell;
pub mod storage;
pub mod taskmanager;
pub mod telemetry;
pub mod testing;
pub mod time;
pub mod web;
pub mod worker;

pub use api::{
    AllWindowedStream, AsyncDataStream, BroadcastConnectedStream, ConnectedStreams, DataStream, DataStreamSink,
    IntervalJoinedStreams, JoinedStreams, JoinedWindows, KeyedBroadcastConnectedStream, KeyedConnectedStreams,
    KeyedStream, StreamExecutionEnvironment, WindowedStream, text,
};
pub use engine::connectors;
pub use engine::operators::{
    Accumulator, AccumulatorHandle, AggregateFunction, AggregatingState, BroadcastContext, BroadcastProcessFunction,
    CoProcessFunction, Collector, Emission, KeyedBroadcastContext, KeyedBroadcastProcessFunction,
    KeyedCoProcessFunction, KeyedContext, KeyedProcessFunction, KeyedRuntimeContext, OutputTag, ProcessContext,
    ProcessFunction, RuntimeContext, Timer, TimerService, TimestampAssigner, WatermarkGenerator, WatermarkOutput,
    WatermarkStrategy,
};
pub use engine::operators::{
    AverageAccumulator, DoubleCounter, DoubleMaximum, DoubleMinimum, Histogram, IntCounter, IntMaximum, IntMinimum,
    ListAccumulator, LongCounter, LongMaximum, LongMinimum,
};
pub use engine::operators::{ExpiringStates, FunctionInitializationContext, FunctionSnapshotContext};
pub use engine::operators::{JoinContext, ProcessJoinFunction};
pub use engine::record::Str;
pub use engine::state::{
    BroadcastState, ListState, MapState, ReducingState, StateTtlConfig, StateVisibility, UpdateType, ValueState,
};
pub use graph::accumulator::{AccumulatorValue, Number};
pub use graph::plan::ExecutionMode;
pub use launch::{Error, JobResult, parse};

/// Kinds of windows, triggers, and what is known of an emission. What is used most is in the [`prelude`] too.
pub mod windows {
    pub use crate::api::{
        DynamicSessionWindows, EventTimeSessionWindows, GlobalWindows, ProcessingTimeSessionWindows,
        SlidingEventTimeWindows, SlidingProcessingTimeWindows, TumblingEventTimeWindows, TumblingProcessingTimeWindows,
        WindowAssigner,
    };
    pub use crate::engine::operators::{
        Accumulation, AfterWatermark, ContinuousEventTimeTrigger, CountTrigger, DefaultTrigger, Early,
        EventTimeTrigger, JoinSide, Pane, PaneInfo, Panes, ProcessWindowFunction, ProcessingTimeTrigger,
        PurgingTrigger, RowKind, TimeWindow, Timing, Trigger, TriggerContext, TriggerResult, WindowContext,
        WindowRuntimeContext, WindowState,
    };
}

/// What a program needs: `use flott::prelude::*;`.
pub mod prelude {
    pub use crate::api::{
        AsyncDataStream, DataStream, DataStreamSink, KeyedStream, StreamExecutionEnvironment, WindowedStream,
    };
    pub use crate::connectors::TextFileSource;
    pub use crate::engine::operators::{
        Accumulator, AccumulatorHandle, AverageAccumulator, DoubleCounter, Histogram, LongCounter,
    };
    pub use crate::engine::operators::{
        AggregateFunction, AggregatingState, BroadcastContext, BroadcastProcessFunction, CoProcessFunction, Collector,
        Emission, KeyedBroadcastContext, KeyedBroadcastProcessFunction, KeyedCoProcessFunction, KeyedContext,
        KeyedProcessFunction, KeyedRuntimeContext, OutputTag, ProcessContext, ProcessFunction, RuntimeContext, Timer,
        TimerService, WatermarkGenerator, WatermarkOutput, WatermarkStrategy,
    };
    pub use crate::engine::operators::{FunctionInitializationContext, FunctionSnapshotContext};
    pub use crate::engine::record::Str;
    pub use crate::engine::state::{
        BroadcastState, ListState, MapState, ReducingState, StateTtlConfig, StateVisibility, UpdateType, ValueState,
    };
    pub use crate::graph::plan::ExecutionMode;
    pub use crate::graph::task::Failure;
    pub use crate::time::{EventTime, Now};
    pub use crate::windows::{
        Accumulation, AfterWatermark, CountTrigger, Early, EventTimeSessionWindows, GlobalWindows, Pane, Panes,
        ProcessWindowFunction, ProcessingTimeSessionWindows, PurgingTrigger, SlidingEventTimeWindows,
        SlidingProcessingTimeWindows, TimeWindow, TumblingEventTimeWindows, TumblingProcessingTimeWindows,
        WindowContext,
    };
}
