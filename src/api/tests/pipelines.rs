//! What programs compute, run in this process: batch and streaming, at several parallelisms, against naive models.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::super::{DataStream, StreamExecutionEnvironment, TumblingProcessingTimeWindows, text};
use crate::engine::connectors::TextFileSource;
use crate::engine::operators::Emission;
use crate::engine::record::{Record, Str};
use crate::graph::plan::ExecutionMode;
use crate::launch::Error;

/// Runs a program on a thread of its own, as its `main` would be: a thread is one job.
pub(super) fn main_of<R: Send>(program: impl FnOnce(&StreamExecutionEnvironment) -> R + Send) -> R {
    thread::scope(|scope| {
        let main = scope.spawn(|| program(&StreamExecutionEnvironment::new()));
        main.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The sorted results of a program in each mode, at parallelisms 1 to 3.
pub(super) fn in_all_ways<T: Record + Ord>(
    program: impl Fn(&StreamExecutionEnvironment) -> DataStream<T> + Sync,
) -> Vec<(ExecutionMode, Vec<T>)> {
    let mut results = Vec::new();
    for mode in [ExecutionMode::Batch, ExecutionMode::Streaming] {
        for parallelism in 1..=3 {
            let mut rows = main_of(|env| {
                env.set_execution_mode(mode).set_parallelism(parallelism);
                program(env).execute_and_collect("test").unwrap()
            });
            rows.sort_unstable();
            results.push((mode, rows));
        }
    }
    results
}

pub(super) fn words(env: &StreamExecutionEnvironment, path: &Path) -> DataStream<Str> {
    let lines = env.from_source(TextFileSource::new(path).split_bytes(1000), "lines");
    lines.flat_map(|line, out| out.extend(text::words(&text::lowercase(line)).map(Str::from)))
}

/// A text with many repeated words, in two files; and its counts.
pub(super) fn text_files(dir: &Path) -> BTreeMap<Str, u64> {
    let mut counts = BTreeMap::new();
    for (file, seed) in [("one.txt", 7u64), ("two.txt", 8)] {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut content = String::new();
        for _ in 0..3000 {
            let word = format!("Word{}", (random.f64() * random.f64() * 500.0) as u64);
            *counts.entry(Str::from(word.to_lowercase())).or_default() += 1;
            content.push_str(&word);
            content.push(if random.u8(..) < 40 { '\n' } else { ' ' });
        }
        fs::write(dir.join(file), content).unwrap();
    }
    counts
}

#[test]
fn word_counts_are_the_same_in_every_way() {
    let dir = tempfile::tempdir().unwrap();
    let expected = text_files(dir.path());
    let records: u64 = expected.values().sum();
    let results = in_all_ways(|env| words(env, dir.path()).key_by(|word| word.clone()).sum(|_| 1u64));
    for (mode, rows) in results {
        match mode {
            ExecutionMode::Batch => assert_eq!(rows.len(), expected.len()),
            ExecutionMode::Streaming | ExecutionMode::Automatic => assert_eq!(rows.len() as u64, records),
        }
        // Sorted: the last of a word's updates is its largest.
        assert_eq!(rows.into_iter().collect::<BTreeMap<_, _>>(), expected, "{mode}");
    }
}

#[test]
fn final_emission_makes_streaming_emit_as_batch_does() {
    let dir = tempfile::tempdir().unwrap();
    let expected: Vec<(Str, u64)> = text_files(dir.path()).into_iter().collect();
    let counts = in_all_ways(|env| words(env, dir.path()).key_by(|word| word.clone()).emit(Emission::Final).count());
    for (mode, rows) in counts {
        assert_eq!(rows, expected, "{mode}");
    }
    let all_sent = in_all_ways(|env| {
        let words = words(env, dir.path()).key_by(|word| word.clone());
        words.emit(Emission::Final).local_aggregation(false).count()
    });
    for (mode, rows) in all_sent {
        assert_eq!(rows, expected, "{mode}");
    }
}

#[test]
fn aggregates_agree_with_their_names() {
    let numbers = |env: &StreamExecutionEnvironment| env.from_sequence(1, 1000).key_by(|n| n % 3).emit(Emission::Final);
    for (_, rows) in in_all_ways(|env| numbers(env).min(|n| *n)) {
        assert_eq!(rows, [(0, 3), (1, 1), (2, 2)]);
    }
    for (_, rows) in in_all_ways(|env| numbers(env).max(|n| *n)) {
        assert_eq!(rows, [(0, 999), (1, 1000), (2, 998)]);
    }
    for (_, rows) in in_all_ways(|env| numbers(env).count()) {
        assert_eq!(rows, [(0, 333), (1, 334), (2, 333)]);
    }
    for (_, rows) in in_all_ways(|env| numbers(env).reduce(|a, b| a + b)) {
        assert_eq!(rows, [166_500, 166_833, 167_167]);
    }
}

#[test]
fn windows_lose_and_double_nothing() {
    let results = in_all_ways(|env| {
        let windows = TumblingProcessingTimeWindows::of(Duration::from_millis(1));
        env.from_sequence(1, 50_000).key_by(|n| n % 10).window(windows).count()
    });
    for (mode, rows) in results {
        let mut totals = BTreeMap::new();
        for (key, count) in rows {
            *totals.entry(key).or_insert(0) += count;
        }
        assert_eq!(totals, (0..10).map(|key| (key, 5000)).collect(), "{mode}");
    }
}

#[test]
fn one_stream_can_be_used_several_times() {
    let results = in_all_ways(|env| {
        let numbers = env.from_sequence(1, 100);
        let even = numbers.filter(|n| n % 2 == 0);
        even.map(|n| n + 1).union(&even.rebalance().map(|n| n * 1000))
    });
    let expected: Vec<u64> = (1..=50).map(|n| n * 2 + 1).chain((1..=50).map(|n| n * 2000)).collect();
    for (_, rows) in results {
        assert_eq!(rows, expected);
    }
}

#[test]
fn partitioners_lose_nothing_and_broadcast_multiplies() {
    let all: Vec<u64> = (1..=2000).collect();
    for (_, rows) in in_all_ways(|env| env.from_collection(1..=2000u64).shuffle().map(|n| n)) {
        assert_eq!(rows, all);
    }
    for (_, rows) in in_all_ways(|env| env.from_sequence(1, 2000).global().map(|n| n).rescale().map(|n| n)) {
        assert_eq!(rows, all);
    }
    for (_, rows) in in_all_ways(|env| env.from_collection([7u64]).broadcast().map(|n| n).set_parallelism(2)) {
        assert_eq!(rows, [7, 7]);
    }
}

#[test]
fn the_share_of_the_hottest_key_is_told() {
    for (hot, expected) in [(1000u64, 1000), (500, 500), (0, 0)] {
        let result = main_of(|env| {
            env.set_parallelism(1).set_execution_mode(ExecutionMode::Streaming);
            env.from_sequence(1, 400_000).key_by(move |n| if n % 1000 < hot { 0 } else { *n }).count().discard();
            env.execute("hot").unwrap()
        });
        let told = result.vertices[1].metrics.hot_key_permille;
        assert!(told.abs_diff(expected) <= 80, "{told} of {expected} in a thousand");
    }
}

/// A sink that takes a millisecond a batch, and notes how many records were made and not yet taken.
#[test]
fn a_slow_sink_holds_back_its_source_and_little_lies_between() {
    const RECORDS: u64 = 100_000;
    let (made, taken, most) = <(Arc<AtomicU64>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
    let (made_here, most_here) = (Arc::clone(&made), Arc::clone(&most));
    main_of(|env| {
        env.set_parallelism(2).set_execution_mode(ExecutionMode::Streaming);
        let large = env.from_sequence(1, RECORDS).map(move |n| {
            made_here.fetch_add(1, Ordering::Relaxed);
            format!("{n:01000}")
        });
        large
            .rebalance()
            .filter(move |_| {
                let taken = taken.fetch_add(1, Ordering::Relaxed) + 1;
                if taken % 32 == 0 {
                    thread::park_timeout(Duration::from_millis(1));
                }
                most_here.fetch_max(made.load(Ordering::Relaxed).saturating_sub(taken), Ordering::Relaxed);
                false
            })
            .discard();
        env.execute("slow").unwrap();
    });
    // Records of 1 kB: 2 MiB in each of two gates, and what is open and under way.
    let most = most.load(Ordering::Relaxed);
    assert!(most < 8_000, "{most} records of a kilobyte lay between source and sink");
}

#[test]
fn part_files_hold_every_line_once() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    main_of(|env| {
        env.set_parallelism(2);
        env.from_sequence(1, 200_000).write_text(&out, |n, line| write!(line, "{n}"));
        env.execute("numbers").unwrap();
    });
    let mut lines = Vec::new();
    for entry in fs::read_dir(&out).unwrap() {
        let entry = entry.unwrap();
        assert!(entry.file_name().to_str().unwrap().starts_with("part-"), "{entry:?}");
        lines.extend(fs::read_to_string(entry.path()).unwrap().lines().map(|line| line.parse::<u64>().unwrap()));
    }
    lines.sort_unstable();
    assert_eq!(lines, (1..=200_000).collect::<Vec<_>>());
}

#[test]
fn a_failed_job_leaves_no_visible_part() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let error = main_of(|env| {
        env.set_parallelism(2);
        let numbers = env.from_sequence(1, 1_000_000).map(|n| {
            assert!(n != 900_000, "the user's own mistake");
            n
        });
        numbers.write_text(&out, |n, line| write!(line, "{n}"));
        env.execute("numbers").unwrap_err()
    });
    assert!(error.to_string().contains("the user's own mistake (in operator \"Map\")"), "{error}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
}

#[test]
fn failures_say_their_cause_first() {
    let dir = tempfile::tempdir().unwrap();
    let failed = |program: &(dyn Fn(&StreamExecutionEnvironment) + Sync)| {
        let error: Error = main_of(|env| {
            program(env);
            env.execute("test").unwrap_err()
        });
        error.to_string()
    };
    let missing = dir.path().join("missing.txt");
    let message = failed(&|env| drop(env.read_text_file(&missing).discard()));
    assert!(message.starts_with(&format!("no such file or directory: {}", missing.display())), "{message}");
    let message = failed(&|env| drop(env.from_sequence(1, 9).write_as_text("/proc/none/out")));
    assert!(message.starts_with("cannot write to /proc/none/out: "), "{message}");
    let message = failed(&|env| drop(env.socket_text_stream("127.0.0.1", 1).discard()));
    assert!(
        message.starts_with("cannot connect to 127.0.0.1:1: connection refused; start the server first"),
        "{message}"
    );
}

#[test]
fn bad_records_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, b"good\nb\xffd\n\xfe\n").unwrap();
    let result = main_of(|env| {
        env.read_text_file(&path).discard();
        env.execute("test").unwrap()
    });
    assert_eq!(result.bad_records(), 2);
}
