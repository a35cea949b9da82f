//! The programs that simulated jobs run: they count words, each in its way.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::wordcount::{CountsSink, Flakiness, Lines, Output};
use crate::api::{DataStream, StreamExecutionEnvironment, TumblingEventTimeWindows, text};
use crate::engine::operators::{
    Collector, Emission, KeyedBroadcastContext, KeyedBroadcastProcessFunction, KeyedContext, KeyedRuntimeContext,
    ProgramGraph, Timer, WatermarkStrategy, WindowContext,
};
use crate::engine::record::Str;
use crate::engine::state::{BroadcastState, ListState, MapState, ValueState};
use crate::graph::plan::{ExecutionMode, Plan};
use crate::graph::task::Failure;
use crate::time::EventTime;

const WINDOW_MS: i64 = 2_000;
/// Times of lines are below.
const TIMES_MS: i64 = 7_000;

/// How a job counts, and what it writes of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counting {
    /// The last count of each word.
    Last,
    /// Every count of each word.
    Updates,
    /// Words in windows of event time that emit again for each late record: every count from the first one that is emitted.
    Windows,
    /// The last count of each word and the number of rules, by a function with several states, timers and broadcast rules.
    Function,
}

impl Counting {
    /// One that a job can do, or the one it does else.
    pub(super) fn draw(rng: &mut Rng, streaming: bool, checkpoints: bool, or: Self) -> Self {
        match rng.u32(0..5) {
            0 | 1 if streaming => Self::Function,
            2 if checkpoints => Self::Windows,
            _ => or,
        }
    }

    /// Whether output is published while the job runs, a count more each time.
    pub(super) fn is_continuous(self) -> bool {
        matches!(self, Self::Updates | Self::Windows)
    }

    /// What a word of a line is counted as.
    pub(super) fn counted(self, pipeline: usize, word: &str, line: &str) -> String {
        match self {
            Self::Windows => {
                let time = time_of(line).0;
                named_window(&format!("{pipeline}.{word}"), time - time % WINDOW_MS)
            }
            Self::Last | Self::Updates | Self::Function => format!("{pipeline}.{word}"),
        }
    }
}

fn named_window(word: &str, start: i64) -> String {
    format!("{word}@{start}")
}

/// Any time, and always the same.
fn time_of(line: &str) -> EventTime {
    let mixed = line.bytes().fold(0i64, |sum, byte| sum.wrapping_mul(31).wrapping_add(i64::from(byte)));
    EventTime(mixed.rem_euclid(TIMES_MS))
}

/// What a job reads and writes.
pub(super) struct Data {
    pub(super) texts: Arc<Vec<Vec<Str>>>,
    /// Read by [`Counting::Function`].
    pub(super) rules: Arc<Vec<Vec<Str>>>,
    pub(super) output: Arc<Output>,
    pub(super) flakiness: Arc<Flakiness>,
}

/// The program that a user would write.
pub(super) fn word_count(
    name: &str,
    data: &Data,
    pipelines: usize,
    parallelism: u32,
    mode: ExecutionMode,
    counting: Counting,
) -> (Plan, ProgramGraph) {
    let env = StreamExecutionEnvironment::new();
    env.set_parallelism(parallelism);
    env.set_execution_mode(mode);
    // Of several, between which no data flows, each counts words of its own: `0.w7`, `1.w7`.
    let of_pipeline = data.texts.len().div_ceil(pipelines);
    for pipeline in 0..pipelines {
        let from = |first: usize| (first * of_pipeline).min(data.texts.len());
        let source = Lines::new("split", &data.texts, from(pipeline)..from(pipeline + 1), &data.flakiness);
        let lines = env.from_source(source, format!("Lines {pipeline}"));
        let lines = match counting {
            Counting::Windows => lines.assign_timestamps_and_watermarks(
                WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_millis(500))
                    .with_timestamp_assigner(|line: &Str| time_of(line)),
            ),
            Counting::Last | Counting::Updates | Counting::Function => lines,
        };
        let words = lines.flat_map(move |line, out: &mut Collector<'_, Str>| {
            for word in text::words(&line) {
                out.collect(Str::from(format!("{pipeline}.{word}").as_str()));
            }
        });
        let counts = match counting {
            Counting::Last => words.key_by(|word| word.clone()).emit(Emission::Final).sum(|_| 1u64),
            Counting::Updates => words.key_by(|word| word.clone()).emit(Emission::Updates).sum(|_| 1u64),
            Counting::Windows => in_windows(&words),
            Counting::Function => {
                let rules = Lines::new(rules_of(pipeline), &data.rules, 0..data.rules.len(), &data.flakiness);
                let rules = env.from_source(rules, format!("Rules {pipeline}"));
                words.key_by(|word| word.clone()).connect_broadcast(&rules).process(Function::default())
            }
        };
        counts.sink_to(CountsSink::new(Arc::clone(&data.output)));
    }
    let job = env.job(name).expect("the graph is a word count");
    (job.plan, job.program)
}

/// What the ids of a pipeline's splits of rules begin with.
pub(super) fn rules_of(pipeline: usize) -> String {
    format!("rules-{pipeline}")
}

/// Nothing is ever too late.
fn in_windows(words: &DataStream<Str>) -> DataStream<(Str, u64)> {
    let windows = words
        .map(|word| (word, 1u64))
        .key_by(|(word, _)| word.clone())
        .window(TumblingEventTimeWindows::of(Duration::from_millis(WINDOW_MS.unsigned_abs())))
        .allowed_lateness(Duration::from_secs(1_000_000));
    windows.reduce_with(
        |(word, a), (_, b)| (word, a + b),
        |(word, count): (Str, u64), ctx: &mut WindowContext<'_, Str>, out: &mut Collector<'_, (Str, u64)>| {
            out.collect((Str::from(named_window(&word, ctx.window().start.0).as_str()), count));
        },
    )
}

/// Counts in states of three kinds, which have to agree, and has a timer of each time domain fire once for each word.
#[derive(Clone, Default)]
struct Function {
    count: ValueState<u64>,
    /// The number of each occurrence.
    list: ListState<u64>,
    /// The same, and [`FIRED`].
    map: MapState<u64, u64>,
    rules: BroadcastState<Str, u64>,
}

/// How often a word's timer of processing time has fired.
const FIRED: u64 = 0;
/// Added to a count that is wrong for certain.
const WRONG: u64 = 1_000_000;

impl KeyedBroadcastProcessFunction<Str, Str, Str, (Str, u64)> for Function {
    fn open(&mut self, ctx: &mut KeyedRuntimeContext<'_, Str>) -> Result<(), Failure> {
        self.count = ctx.value_state("count");
        self.list = ctx.list_state("list");
        self.map = ctx.map_state("map");
        self.rules = ctx.broadcast_state("rules");
        Ok(())
    }

    fn process_element(&mut self, _: Str, ctx: &mut KeyedContext<'_, Str>, _: &mut Collector<'_, (Str, u64)>) {
        let count = self.count.get_or_default(ctx);
        *count += 1;
        let count = *count;
        self.list.add(ctx, count);
        self.map.put(ctx, count, count);
        if count == 1 {
            ctx.timer_service().register_event_time_timer(EventTime(TIMES_MS));
            let soon = ctx.current_processing_time() + Duration::from_millis(300);
            ctx.timer_service().register_processing_time_timer(soon);
        }
    }

    /// A set, which comes to each subtask.
    fn process_broadcast_element(
        &mut self,
        rule: Str,
        ctx: &mut KeyedBroadcastContext<'_, Str>,
        _: &mut Collector<'_, (Str, u64)>,
    ) {
        let times = self.rules.get(ctx, &rule).copied().unwrap_or(0);
        self.rules.put(ctx, rule, times + 1);
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut KeyedContext<'_, Str>, out: &mut Collector<'_, (Str, u64)>) {
        if let Timer::ProcessingTime(_) = timer {
            let fired = self.map.get(ctx, &FIRED).copied().unwrap_or(0);
            return self.map.put(ctx, FIRED, fired + 1);
        }
        let count = self.count.take(ctx).unwrap_or(WRONG);
        let fired = self.map.get(ctx, &FIRED).copied().unwrap_or(0);
        let agree = self.list.get(ctx).iter().copied().eq(1..=count)
            && (1..=count).all(|number| self.map.get(ctx, &number) == Some(&number))
            && fired <= 1;
        let rules: u64 = self.rules.iter(ctx).map(|(_, times)| *times).sum();
        out.collect((ctx.current_key().clone(), count + rules + if agree { 0 } else { WRONG }));
    }
}
