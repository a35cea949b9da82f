//! Runs a windowed sum that a file describes, and prints each pane as a line of JSON, in the order they are emitted.
//!
//! ```text
//! cargo run --example window_script -- --script script.json
//! ```

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use flott::KeyedStream;
use flott::prelude::*;
use flott::testing::{self, TestStream};
use flott::windows::RowKind;
use serde::{Deserialize, Serialize};

/// Runs a windowed sum that a file describes, and prints each pane as a line of JSON, in the order they are emitted.
///
/// The values of one key are summed in windows while a script tells which values come, how far the watermark is, and what the clock
/// shows. Time is virtual: nothing waits.
#[derive(clap::Parser)]
#[command(after_long_help = FORMAT)]
struct Args {
    /// The description, in JSON; `--help` shows its form.
    #[arg(long, value_name = "FILE")]
    script: PathBuf,
}

const FORMAT: &str = r#"The file:
  {"window": {"kind": "fixed", "size_ms": N}
           | {"kind": "sliding", "size_ms": N, "slide_ms": N}
           | {"kind": "session", "gap_ms": N}
           | {"kind": "global"},
   "trigger": {"every_n": N}
            | {"watermark": true,
               "early": {"after_processing_time_ms": N} | {"every_n": N} | null,
               "late": {"every_n": N} | null},
   "allowed_lateness_ms": N,                                default 0
   "accumulation": "discarding" | "accumulating" | "retracting",  default accumulating
   "script": [{"add": [[value, timestamp_ms], ...]},
              {"watermark": timestamp_ms},
              {"processing_time": ms},                      what the clock shows from then on; it begins at 0
              ...
              "end"]}                                       the end of the input is the end of event time

Values and timestamps are whole numbers. An early timer counts from the first value that has not been emitted. Without a trigger
windows emit when the watermark has passed their end, and with each late value.

A line of output:
  {"window": [start_ms, end_ms], "value": N, "timing": "EARLY" | "ON_TIME" | "LATE", "index": N, "op": "+I" | "-U" | "+U"}
The window is null where it is the global one. The index counts the emissions of a window; a session that has grown or merged is another
window. Retracting windows emit what they replace as -U before the new value as +U; others emit +I."#;

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    window: Window,
    #[serde(default)]
    trigger: Option<WhenToEmit>,
    #[serde(default)]
    allowed_lateness_ms: u64,
    #[serde(default)]
    accumulation: Accumulation,
    script: Vec<Step>,
}

#[derive(Deserialize)]
struct Window {
    kind: Kind,
    size_ms: Option<u64>,
    slide_ms: Option<u64>,
    gap_ms: Option<u64>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Fixed,
    Sliding,
    Session,
    Global,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhenToEmit {
    every_n: Option<u64>,
    #[serde(default)]
    watermark: bool,
    #[serde(default)]
    early: Option<EarlyFiring>,
    #[serde(default)]
    late: Option<LateFiring>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EarlyFiring {
    AfterProcessingTimeMs(u64),
    EveryN(u64),
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct LateFiring {
    every_n: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    Add(Vec<(i64, i64)>),
    Watermark(i64),
    ProcessingTime(u64),
    End,
}

/// A line of output.
#[derive(Serialize)]
struct Line {
    window: Option<(i64, i64)>,
    value: i64,
    timing: flott::windows::Timing,
    index: u32,
    op: RowKind,
}

fn main() -> anyhow::Result<()> {
    let args: Args = flott::parse();
    let text = std::fs::read(&args.script).with_context(|| format!("reading {}", args.script.display()))?;
    let description: Description =
        serde_json::from_slice(&text).with_context(|| format!("{} is no script", args.script.display()))?;

    let env = StreamExecutionEnvironment::new();
    let values = env.from_source(script(&description.script)?, "script").key_by(|_| ());
    let panes = sums(windows(&values, &description.window)?, &description)?;
    for pane in testing::execute_and_collect(&panes, "window script")? {
        let window = (pane.window != TimeWindow::GLOBAL).then_some((pane.window.start.0, pane.window.end.0));
        let (value, info) = (pane.value, pane.info);
        let line = Line { window, value, timing: info.timing, index: info.index, op: info.kind };
        println!("{}", serde_json::to_string(&line)?);
    }
    Ok(())
}

fn script(steps: &[Step]) -> anyhow::Result<TestStream<i64>> {
    let mut script = TestStream::new();
    for (step, number) in steps.iter().zip(1..) {
        script = match step {
            Step::Add(values) => script.add_elements(values.iter().map(|(value, time)| (*value, EventTime(*time)))),
            Step::Watermark(time) => script.advance_watermark_to(EventTime(*time)),
            Step::ProcessingTime(ms) => script.advance_processing_time_to(Duration::from_millis(*ms)),
            Step::End => {
                anyhow::ensure!(
                    number == steps.len(),
                    "step {number} is \"end\", and more follow; it must be the last"
                );
                script
            }
        };
    }
    Ok(script)
}

fn windows(values: &KeyedStream<(), i64>, window: &Window) -> anyhow::Result<WindowedStream<(), i64>> {
    let length = |ms: Option<u64>, name: &str| match ms {
        Some(ms) if ms > 0 => Ok(Duration::from_millis(ms)),
        Some(_) | None => Err(anyhow::anyhow!("the window has no {name}; it must be at least 1")),
    };
    let size = || length(window.size_ms, "size_ms");
    Ok(match window.kind {
        Kind::Fixed => values.window(TumblingEventTimeWindows::of(size()?)),
        Kind::Sliding => values.window(SlidingEventTimeWindows::of(size()?, length(window.slide_ms, "slide_ms")?)),
        Kind::Session => values.window(EventTimeSessionWindows::with_gap(length(window.gap_ms, "gap_ms")?)),
        Kind::Global => values.window(GlobalWindows),
    })
}

fn sums(
    windows: WindowedStream<(), i64>,
    description: &Description,
) -> anyhow::Result<flott::DataStream<Pane<(), i64>>> {
    let windows = windows
        .allowed_lateness(Duration::from_millis(description.allowed_lateness_ms))
        .accumulation(description.accumulation);
    let add = |a, b| a + b;
    let Some(trigger) = description.trigger else { return Ok(windows.reduce_with(add, Panes)) };
    match trigger {
        WhenToEmit { every_n: Some(every), watermark: false, early: None, late: None } => {
            Ok(windows.trigger(CountTrigger::of(every)).reduce_with(add, Panes))
        }
        WhenToEmit { every_n: None, watermark: true, early, late } => {
            let mut trigger = AfterWatermark::past_end_of_window();
            if let Some(early) = early {
                trigger = trigger.with_early_firings(match early {
                    EarlyFiring::AfterProcessingTimeMs(ms) => Early::AfterProcessingTime(ms),
                    EarlyFiring::EveryN(every) => Early::Every(every),
                });
            }
            if let Some(late) = late {
                trigger = trigger.with_late_firings(late.every_n);
            }
            Ok(windows.trigger(trigger).reduce_with(add, Panes))
        }
        WhenToEmit { .. } => anyhow::bail!("the trigger is neither {{\"every_n\": N}} nor {{\"watermark\": true, …}}"),
    }
}
