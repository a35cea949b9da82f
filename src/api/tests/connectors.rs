//! Sources and sinks in whole jobs.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::thread;

use super::pipelines::{in_all_ways, main_of, text_files, words};
use crate::engine::connectors::{
    CollectSink, Compression, DataGeneratorSource, FileSink, FileSource, OnError, RollingPolicy, TextLines,
};
use crate::engine::operators::Emission;
use crate::engine::record::Str;
use crate::graph::plan::ExecutionMode;

/// Replaces each file by a compressed one.
fn compress(dir: &Path, extension: &str, pack: impl Fn(&[u8]) -> Vec<u8>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let packed = pack(&fs::read(&path).unwrap());
        fs::write(format!("{}.{extension}", path.display()), packed).unwrap();
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn compressed_text_has_the_same_words() {
    for extension in ["gz", "zst"] {
        let dir = tempfile::tempdir().unwrap();
        let expected: Vec<(Str, u64)> = text_files(dir.path()).into_iter().collect();
        compress(dir.path(), extension, |content| match extension {
            "gz" => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
            _ => ruzstd::encoding::compress_to_vec(content, ruzstd::encoding::CompressionLevel::Fastest),
        });
        let counts = |env: &_| words(env, dir.path()).key_by(|word| word.clone()).emit(Emission::Final).count();
        for (mode, rows) in in_all_ways(counts) {
            assert_eq!(rows, expected, "{extension}, {mode}");
        }
    }
}

#[test]
fn generated_records_are_counted_exactly_at_any_parallelism() {
    let generated = |env: &super::super::StreamExecutionEnvironment| {
        env.from_source(DataGeneratorSource::new(100_000, |index| index * 7), "numbers").key_by(|n| n % 10)
    };
    for (_, rows) in in_all_ways(|env| generated(env).emit(Emission::Final).sum(|n| *n)) {
        let expected: BTreeMap<u64, u64> = (0..100_000u64).fold(BTreeMap::new(), |mut sums, index| {
            *sums.entry(index * 7 % 10).or_default() += index * 7;
            sums
        });
        assert_eq!(rows.into_iter().collect::<BTreeMap<_, _>>(), expected);
    }
}

#[test]
fn a_generator_with_a_rate_ends_with_its_last_record() {
    for (_, rows) in in_all_ways(|env| {
        let paced = DataGeneratorSource::stamped(Some(100), 10_000.0, |index, due_us| (index, due_us > 0));
        env.from_source(paced, "paced")
    }) {
        assert_eq!(rows, (0..100).map(|index| (index, true)).collect::<Vec<_>>());
    }
}

#[test]
fn json_lines_written_by_one_job_are_read_by_the_next() {
    for (parallelism, compression) in (1..=3).zip([Compression::None, Compression::Gzip, Compression::Zstd]) {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let pair = |index: u64| (format!("näme \"{index}\""), index);
        main_of(|env| {
            env.set_execution_mode(ExecutionMode::Streaming).set_parallelism(parallelism);
            let policy = RollingPolicy::default().max_part_size(2000);
            let sink = FileSink::json_lines(&out).with_rolling_policy(policy).with_compression(compression);
            env.from_source(DataGeneratorSource::new(5000, pair), "pairs").sink_to(sink);
            env.execute("write").unwrap();
        });
        let parts = fs::read_dir(&out).unwrap().count();
        assert!(parts > parallelism as usize, "{parts} parts: they have rolled");
        let mut read = main_of(|env| {
            let source = FileSource::json_lines(&out).split_bytes(500);
            env.from_source(source, "read").execute_and_collect("read").unwrap()
        });
        read.sort_by_key(|(_, index): &(String, u64)| *index);
        assert_eq!(read, (0..5000).map(pair).collect::<Vec<_>>());
    }
}

#[test]
fn a_socket_gets_every_record_on_one_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = thread::spawn(move || {
        let mut received = String::new();
        listener.accept().unwrap().0.read_to_string(&mut received).unwrap();
        received
    });
    main_of(|env| {
        env.set_parallelism(2).from_sequence(1, 1000).write_to_socket("127.0.0.1", port, TextLines);
        env.execute("to socket").unwrap();
    });
    let mut numbers: Vec<u64> = server.join().unwrap().lines().map(|line| line.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=1000).collect::<Vec<_>>());
}

#[test]
fn dead_letters_of_sources_and_functions_are_streams_and_bad_records_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("numbers");
    let lines: String =
        (0..3000).map(|i| if i % 100 == 7 { "[oops\n".to_owned() } else { format!("[{i}]\n") }).collect();
    fs::write(&path, lines).unwrap();
    for parallelism in 1..=3 {
        let (mut rows, unread, refused, bad) = main_of(|env| {
            env.set_parallelism(parallelism);
            let source = FileSource::json_lines(&path).split_bytes(1000).on_error(OnError::DeadLetter);
            let read: super::super::DataStream<Vec<u64>> = env.from_source(source, "numbers");
            let first = |row: Vec<u64>| if row[0] % 10 == 3 { Err("a three") } else { Ok(row[0]) };
            let numbers = read.try_map(first, OnError::DeadLetter).name("refuse threes");
            let [unread, refused] = [read.dead_letters(), numbers.dead_letters()].map(|letters| {
                let sink = CollectSink::new();
                let collected = sink.collected();
                letters.rebalance().sink_to(sink);
                collected
            });
            let sink = CollectSink::new();
            let rows = sink.collected();
            numbers.sink_to(sink);
            let bad = env.execute("numbers").unwrap().bad_records();
            (rows.take(), unread.take(), refused.take(), bad)
        });
        rows.sort_unstable();
        assert_eq!(rows, (0..3000).filter(|i| i % 100 != 7 && i % 10 != 3).collect::<Vec<u64>>());
        assert_eq!((unread.len(), refused.len(), bad), (30, 300, 330));
        assert!(unread.iter().all(|letter| letter.bytes == b"[oops" && letter.origin.offset.is_some()));
        assert!(refused.iter().all(|letter| letter.text().ends_with("3]") && letter.error == "a three"));
        assert_eq!(refused[0].origin.place, "refuse threes");
    }
}
