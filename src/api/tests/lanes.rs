//! Event time over files that lie side by side in time, by jobs that fail in the middle: each subtask reads several at once, and what
//! restores it may be another number of subtasks.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::{DataStream, StreamExecutionEnvironment, TumblingEventTimeWindows};
use super::accident::{Accident, HeldBack, parts};
use super::checkpoints::latest_checkpoint;
use super::pipelines::main_of;
use crate::engine::connectors::{FileSink, FileSource, JsonLines};
use crate::engine::operators::{Collector, Source, WatermarkStrategy, WindowContext};
use crate::graph::plan::ExecutionMode;
use crate::launch::Error;
use crate::time::EventTime;

/// Key, value, time.
type Row = (u64, u64, i64);
/// Key, start of the window, sum of the left values, number of the right ones.
type Paired = (u64, i64, u64, usize);

const LEFT: i64 = 90_000;
const RIGHT: i64 = 30_000;
const WINDOW_MS: i64 = 1_000;

fn row(time: i64) -> Row {
    (time as u64 % 31, time as u64 % 1009, time)
}

/// Writes a row for every `step` ms up to [`LEFT`], the n-th to file n modulo `files`: each file spans all of the time.
fn write(dir: &Path, files: usize, step: usize) {
    fs::create_dir(dir).unwrap();
    for file in 0..files {
        let times = (0..LEFT).step_by(step).skip(file).step_by(files);
        let lines: String = times.map(|time| serde_json::to_string(&row(time)).unwrap() + "\n").collect();
        fs::write(dir.join(format!("{file}.json")), lines).unwrap();
    }
}

fn expected() -> BTreeMap<(u64, i64), (u64, usize)> {
    let mut expected: BTreeMap<(u64, i64), (u64, usize)> = BTreeMap::new();
    for time in 0..LEFT {
        let (key, value, _) = row(time);
        let both = expected.entry((key, time - time % WINDOW_MS)).or_default();
        both.0 += value;
        both.1 += usize::from(time % (LEFT / RIGHT) == 0);
    }
    expected
}

/// Many splits of each file, so that a lane goes on with others.
fn files(dir: &Path) -> FileSource<JsonLines<Row>> {
    FileSource::json_lines(dir).split_bytes(64 << 10)
}

fn rows(env: &StreamExecutionEnvironment, dir: &Path, source: impl Source<Out = Row>) -> DataStream<Row> {
    let strategy = WatermarkStrategy::for_monotonous_timestamps().with_timestamp_assigner(|row: &Row| EventTime(row.2));
    env.from_source(source, "Rows").uid(dir.to_string_lossy()).assign_timestamps_and_watermarks(strategy)
}

fn run(dir: &Path, accident: &Arc<Accident>, settings: &[(&str, &str)]) -> Result<(), Error> {
    main_of(|env| {
        env.set_execution_mode(ExecutionMode::Streaming).enable_checkpointing(Duration::from_millis(10));
        for (key, value) in settings {
            env.configure(*key, *value);
        }
        let (left, right) = (dir.join("left"), dir.join("right"));
        let accident = Arc::clone(accident);
        // Two of three files may have been read to their ends; the third still makes windows.
        let source = HeldBack { source: files(&left), after: LEFT as u64 / 4 * 3, accident: Arc::clone(&accident) };
        let left = rows(env, &left, source).map(move |row| {
            accident.may_happen();
            row
        });
        let windows = left
            .key_by(|row| row.0)
            .co_group(&rows(env, &right, files(&right)).key_by(|row| row.0))
            .window(TumblingEventTimeWindows::of(Duration::from_millis(WINDOW_MS as u64)));
        let paired = windows.co_group(
            |(left, right): (Vec<Row>, Vec<Row>), ctx: &mut WindowContext<'_, u64>, out: &mut Collector<'_, Paired>| {
                let sum = left.iter().map(|row| row.1).sum();
                out.collect((*ctx.current_key(), ctx.window().start.0, sum, right.len()));
            },
        );
        paired.uid("windows").sink_to(FileSink::json_lines(dir.join("out"))).uid("files");
        env.execute("paired").map(drop)
    })
}

/// Every window of every key once, with all that is in it: what was read of no lane, or of one that others were ahead of, is missing.
fn assert_complete(output: &Path) {
    let mut found = BTreeMap::new();
    for path in parts(output) {
        for line in fs::read_to_string(path).unwrap().lines() {
            let (key, start, sum, count): Paired = serde_json::from_str(line).unwrap();
            assert_eq!(found.insert((key, start), (sum, count)), None, "twice: {key} at {start}");
        }
    }
    let expected = expected();
    let wrong = expected.iter().find(|(key, both)| found.get(key) != Some(both));
    assert_eq!(wrong, None, "{} of {} windows", found.len(), expected.len());
    assert_eq!(found.len(), expected.len());
}

#[test]
fn windows_and_joins_over_several_lanes_are_whole_behind_a_failure_and_at_another_parallelism() {
    for (before, after) in [("1", "1"), ("1", "3"), ("3", "1"), ("2", "4")] {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("left"), 3, 1);
        write(&dir.path().join("right"), 2, (LEFT / RIGHT) as usize);
        let (output, checkpoints) = (dir.path().join("out"), dir.path().join("checkpoints"));
        let accident = Accident::new(&output);
        let place = checkpoints.to_string_lossy().into_owned();
        let first = [
            ("restart-strategy.type", "none"),
            ("parallelism.default", before),
            ("execution.checkpointing.dir", place.as_str()),
            ("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION"),
        ];
        let error = run(dir.path(), &accident, &first).unwrap_err();
        assert!(error.to_string().contains("an accident"), "{error}");
        assert!(accident.happened());
        let latest = latest_checkpoint(&checkpoints);
        let second = [("parallelism.default", after), ("execution.state-recovery.path", latest.as_str())];
        run(dir.path(), &accident, &second).unwrap();
        assert_complete(&output);
    }
}
