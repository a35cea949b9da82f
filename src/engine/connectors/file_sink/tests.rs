//! Part files: hidden until committed, rolled as told, readable again.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::{ProptestConfig, proptest};

use super::super::files::testing::read_all;
use super::super::{Compression, FileSource};
use super::{FileSink, RollingPolicy};
use crate::engine::operators::testing::context;
use crate::engine::operators::{OperatorContext, Sink, SinkWriter};
use crate::engine::record::Rows;
use crate::graph::plan::ExecutionMode;
use crate::ids::JobId;
use crate::time::Now;

type Count = (String, u64);

fn sink(dir: &Path) -> FileSink<Count> {
    FileSink::text(dir, |(word, count): &Count, line: &mut String| write!(line, "{word} {count}"))
}

fn rows() -> Rows<Count> {
    Rows::new(vec![("a".to_owned(), 1), ("b".to_owned(), 2)])
}

fn batch_context() -> OperatorContext {
    context(ExecutionMode::Batch)
}

fn writer(sink: &FileSink<Count>) -> Box<dyn SinkWriter<Count>> {
    sink.writer(&batch_context()).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn parts_are_hidden_until_committed_and_committing_again_is_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("deep/out");
    let sink = sink(&out);
    let mut writer = writer(&sink);
    writer.write(rows()).unwrap();
    let committables = writer.prepare().unwrap();
    drop(writer);
    assert_eq!(names(&out), [".part-0-0-0.00000000000000000000000000000001.inprogress"]);
    sink.commit(committables.clone()).unwrap();
    assert_eq!(names(&out), ["part-0-0-0"]);
    assert_eq!(fs::read_to_string(out.join("part-0-0-0")).unwrap(), "a 1\nb 2\n");
    sink.commit(committables.clone()).unwrap();
    sink.discard(committables).unwrap();
    assert_eq!(names(&out), ["part-0-0-0"]);
}

#[test]
fn parts_of_a_savepoint_become_visible_where_they_were_written_whatever_the_directory_is_now() {
    let dir = tempfile::tempdir().unwrap();
    let before = dir.path().join("before");
    let mut writer = writer(&sink(&before));
    writer.write(rows()).unwrap();
    let committables = writer.prepare().unwrap();
    // No writer has made the directory of now yet.
    let now = sink(&dir.path().join("now"));
    now.commit(committables.clone()).unwrap();
    assert_eq!(names(&before), ["part-0-0-0"]);
    fs::remove_dir_all(&before).unwrap();
    now.commit(committables).unwrap();
}

#[test]
fn dropped_discarded_and_empty_parts_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(dir.path()).with_rolling_policy(RollingPolicy::never().max_part_size(8));
    let mut dropped = writer(&sink);
    dropped.write(rows()).unwrap();
    dropped.write(Rows::new(vec![("c".to_owned(), 3)])).unwrap();
    // A process that is killed here leaves what has a name.
    let named = if super::part::nameless(dir.path()).is_some() { 1 } else { 2 };
    assert_eq!(names(dir.path()).len(), named, "one is closed, the open one is nameless where that is possible");
    drop(dropped);
    assert!(names(dir.path()).is_empty());
    let mut discarded = writer(&sink);
    discarded.write(rows()).unwrap();
    let committables = discarded.prepare().unwrap();
    drop(discarded);
    sink.discard(committables.clone()).unwrap();
    sink.discard(committables.clone()).unwrap();
    assert!(names(dir.path()).is_empty());
    sink.commit(committables).unwrap();
    assert!(names(dir.path()).is_empty(), "what is gone is not made again, and a job goes on without");
    let mut empty = writer(&sink);
    assert_eq!(empty.prepare().unwrap(), Vec::<serde_json::Value>::new());
    drop(empty);
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_further_attempt_removes_what_a_killed_one_left_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut context = batch_context();
    let (own, other) = (context.job, JobId(2));
    let killed = [format!(".part-0-0-0.{own}.inprogress"), format!(".part-0-1-12.gz.{own}.inprogress")];
    let others = [
        format!(".part-0-0-0.{other}.inprogress"),
        format!(".part-1-0-0.{own}.inprogress"),
        format!(".part-0-3-0.{own}.inprogress"),
        ".part-of-something-else".to_owned(),
    ];
    for name in killed.iter().chain(&others) {
        fs::write(dir.path().join(name), "half a l").unwrap();
    }
    context.attempt.attempt = 2;
    let writer = sink(dir.path()).writer(&context).unwrap();
    drop(writer);
    let mut expected = others.to_vec();
    expected.sort();
    assert_eq!(names(dir.path()), expected);
}

#[test]
fn a_directory_with_output_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("part-3-0"), "a 1\n").unwrap();
    let failure = sink(dir.path()).writer(&batch_context()).err().unwrap();
    assert!(failure.message.contains("already holds output (part-3-0)"), "{failure}");
}

#[test]
fn an_output_that_is_a_file_is_said_first() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let failure = sink(file.path()).writer(&batch_context()).err().unwrap();
    assert_eq!(failure.message, format!("{} is a file; name a directory (--output)", file.path().display()));
}

#[test]
fn parts_roll_when_they_are_old_and_when_nothing_comes() {
    let dir = tempfile::tempdir().unwrap();
    let policy = RollingPolicy::never()
        .rollover_interval(Duration::from_millis(100))
        .inactivity_interval(Duration::from_millis(30));
    let sink = sink(dir.path()).with_rolling_policy(policy);
    let mut writer = writer(&sink);
    assert_eq!(writer.next_timer(), None, "an empty part never rolls");
    let mut write = |now: u64, word: &str| {
        writer.on_processing_time(Now(now)).unwrap();
        writer.write(Rows::new(vec![(word.to_owned(), now)])).unwrap();
        writer.next_timer()
    };
    assert_eq!(write(1000, "a"), Some(Now(1030)));
    assert_eq!(write(1020, "a"), Some(Now(1050)));
    // Nothing came for 30 ms.
    assert_eq!(write(1060, "b"), Some(Now(1090)));
    for now in [1080, 1100, 1120] {
        assert_eq!(write(now, "b"), Some(Now(now + 30)));
    }
    // The part is 100 ms old sooner than idle for 30.
    assert_eq!(write(1140, "b"), Some(Now(1160)));
    writer.on_processing_time(Now(1160)).unwrap();
    assert_eq!(writer.next_timer(), None);
    let committables = writer.prepare().unwrap();
    drop(writer);
    sink.commit(committables).unwrap();
    assert_eq!(names(dir.path()), ["part-0-0-0", "part-0-0-1"]);
    assert_eq!(fs::read_to_string(dir.path().join("part-0-0-0")).unwrap(), "a 1000\na 1020\n");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_is_written_in_any_parts_and_compression_is_read_again(
        batches in proptest::collection::vec(proptest::collection::vec((".{0,20}", 0u64..1000), 1..50), 0..12),
        max_part_bytes in 1u64..2000,
    ) {
        let expected: Vec<Count> = batches.concat();
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let dir = tempfile::tempdir().unwrap();
            let policy = RollingPolicy::default().max_part_size(max_part_bytes);
            let sink = FileSink::json_lines(dir.path()).with_rolling_policy(policy).with_compression(compression);
            let mut writer = writer(&sink);
            for batch in &batches {
                writer.write(Rows::new(batch.clone())).unwrap();
            }
            let committables = writer.prepare().unwrap();
            drop(writer);
            assert!(read_all(&FileSource::<crate::connectors::JsonLines<Count>>::json_lines(dir.path())).is_empty());
            let parts = committables.len();
            sink.commit(committables).unwrap();
            let mut read: Vec<Count> = Vec::new();
            for counter in 0..parts {
                let path = dir.path().join(format!("part-0-0-{counter}{}", compression.extension()));
                let content = fs::metadata(&path).unwrap().len();
                assert!(content > 0);
                read.extend(read_all(&FileSource::json_lines(&path)));
            }
            assert_eq!(&read, &expected, "{compression:?}");
        }
    }
}
