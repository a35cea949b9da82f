//! Formats, compression and bad lines together, against a naive reading of the whole content.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};

use super::compression::tests::packed;
use super::testing::{read_after, read_all, read_into, read_with_bad_records};
use super::{Compression, FileSource, TextFileSource};
use crate::engine::formats::JsonLines;
use crate::engine::operators::testing::{Collected, context};
use crate::engine::operators::{DeadLetter, NextDiscovery, OnError, Origin, Polled, Source as _, Waker};
use crate::engine::record::Str;
use crate::graph::plan::ExecutionMode;

const ALL: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

fn write(dir: &Path, name: &str, content: &[u8], compression: Compression) -> PathBuf {
    let extension = match compression {
        Compression::None => "",
        Compression::Gzip => ".gz",
        Compression::Zstd => ".zst",
    };
    let path = dir.join(format!("{name}{extension}"));
    fs::write(&path, packed(content, compression)).unwrap();
    path
}

/// Offsets and bytes of the lines, without their ends.
fn lines(content: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut lines = Vec::new();
    let mut offset = 0;
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        let bare = line.strip_suffix(b"\n").unwrap_or(line);
        lines.push((offset, bare.strip_suffix(b"\r").unwrap_or(bare).to_vec()));
        offset += line.len() as u64;
    }
    lines
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => any::<char>().prop_map(|c| c.to_string().into_bytes()),
        3 => Just(b"\n".to_vec()),
        1 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        2 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(piece, 0..120).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_bytes_in_any_parts_and_compression_are_the_same_lines(content in content(), split_bytes in 1u64..64) {
        let dir = tempfile::tempdir().unwrap();
        let expected: Vec<Str> =
            lines(&content).into_iter().map(|(_, line)| Str::from_utf8_lossy(&line)).collect();
        let invalid = lines(&content).iter().filter(|(_, line)| std::str::from_utf8(line).is_err()).count() as u64;
        for compression in ALL {
            let path = write(dir.path(), "text", &content, compression);
            let source = TextFileSource::new(&path).split_bytes(split_bytes);
            assert_eq!(read_with_bad_records(&source), (expected.clone(), invalid), "{compression:?}");
        }
    }

    #[test]
    fn dead_letters_are_the_lines_that_are_no_records_with_their_places(content in content(), split_bytes in 1u64..64) {
        let dir = tempfile::tempdir().unwrap();
        for compression in ALL {
            let path = write(dir.path(), "text", &content, compression);
            let source = TextFileSource::new(&path).split_bytes(split_bytes).on_error(OnError::DeadLetter);
            let mut out = Collected::default();
            let bad = read_into(&source, || {}, &mut out).unwrap();
            let letters: Vec<DeadLetter> = out.side_rows("dead-letters");
            assert_eq!(letters.len() as u64, bad);
            let place = path.display().to_string();
            let (valid, invalid): (Vec<_>, Vec<_>) =
                lines(&content).into_iter().partition(|(_, line)| std::str::from_utf8(line).is_ok());
            let valid: Vec<Str> = valid.into_iter().map(|(_, line)| Str::from_utf8(line).unwrap()).collect();
            assert_eq!(out.rows::<Str>(), valid);
            let found: Vec<_> = letters.into_iter().map(|letter| (letter.origin, letter.bytes)).collect();
            let expected: Vec<_> = invalid
                .into_iter()
                .map(|(offset, line)| (Origin { place: place.clone(), offset: Some(offset) }, line))
                .collect();
            assert_eq!(found, expected);
        }
    }
}

type Pair = (String, u64);

fn json(path: &Path) -> FileSource<JsonLines<Pair>> {
    FileSource::json_lines(path).split_bytes(16)
}

#[test]
fn json_lines_are_read_in_every_compression() {
    let dir = tempfile::tempdir().unwrap();
    let expected: Vec<Pair> = (0..5000).map(|i| (format!("näme {i}"), i)).collect();
    let text: String = expected.iter().map(|pair| serde_json::to_string(pair).unwrap() + "\r\n\n").collect();
    for compression in ALL {
        let path = write(dir.path(), "pairs.json", text.as_bytes(), compression);
        assert_eq!(read_all(&json(&path)), expected, "{compression:?}");
    }
}

#[test]
fn a_line_that_is_no_record_fails_is_skipped_or_kept_as_told() {
    let dir = tempfile::tempdir().unwrap();
    let text = b"[\"a\", 1]\n[\"b\", oops]\n[\"c\", 3]\n";
    let good: Vec<Pair> = vec![("a".to_owned(), 1), ("c".to_owned(), 3)];
    for compression in ALL {
        let path = write(dir.path(), "pairs.json", text, compression);
        let mut out = Collected::default();
        let failure = read_into(&json(&path), || {}, &mut out).unwrap_err();
        let expected = format!(r#"expected value at column 7: {} at byte 9: "[\"b\", oops]"; "#, path.display());
        assert!(failure.message.starts_with(&expected), "{failure}");

        let mut out = Collected::default();
        assert_eq!(read_into(&json(&path).on_error(OnError::Skip), || {}, &mut out).unwrap(), 1);
        assert_eq!(out.rows::<Pair>(), good);
        assert!(out.sides.is_empty());

        assert_eq!(read_into(&json(&path).on_error(OnError::DeadLetter), || {}, &mut out).unwrap(), 1);
        assert_eq!(out.rows::<Pair>(), good);
        let letters = out.side_rows::<DeadLetter>("dead-letters");
        assert_eq!((letters.len(), letters[0].text().as_str()), (1, r#"["b", oops]"#));
        assert_eq!(letters[0].error, "expected value at column 7");
    }
}

#[test]
fn cut_compressed_files_fail_with_their_name_and_place() {
    let dir = tempfile::tempdir().unwrap();
    let text: String = (0..10_000).map(|i| format!("line {i}\n")).collect();
    for compression in [Compression::Gzip, Compression::Zstd] {
        let path = write(dir.path(), "text", text.as_bytes(), compression);
        let half = fs::read(&path).unwrap();
        let half = &half[..half.len() / 2];
        fs::write(&path, half).unwrap();
        let failure = read_into(&TextFileSource::new(&path), || {}, &mut Collected::default()).unwrap_err();
        let expected =
            format!("cannot read {}: the compressed data ends too early, at byte {}", path.display(), half.len());
        assert!(failure.message.starts_with(&expected), "{failure}");
        fs::write(&path, b"not compressed at all\n").unwrap();
        let failure = read_into(&TextFileSource::new(&path), || {}, &mut Collected::default()).unwrap_err();
        assert!(failure.message.contains(": the compressed data is damaged ("), "{failure}");
    }
}

#[test]
fn a_file_that_is_cut_while_it_is_read_fails_instead_of_losing_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("text");
    fs::write(&path, "one\ntwo\nthree\n").unwrap();
    let cut = || fs::write(&path, "one\nt").unwrap();
    let failure = read_into(&TextFileSource::new(&path), cut, &mut Collected::default()).unwrap_err();
    let expected = format!("cannot read {}: it ends at byte 5 and had 14 bytes when it was found", path.display());
    assert!(failure.message.starts_with(&expected), "{failure}");
}

#[test]
fn a_compressed_file_is_read_to_the_size_it_had_when_found() {
    let dir = tempfile::tempdir().unwrap();
    for compression in [Compression::Gzip, Compression::Zstd] {
        let path = write(dir.path(), "text", b"one\n", compression);
        let grow = || {
            let twice = [packed(b"one\n", compression), packed(b"two\n", compression)].concat();
            fs::write(&path, twice).unwrap();
        };
        assert_eq!(read_after(&TextFileSource::new(&path), grow), ["one"]);
    }
}

#[test]
fn a_watched_directory_is_read_in_every_format_as_files_appear() {
    let dir = tempfile::tempdir().unwrap();
    let source = FileSource::<JsonLines<Pair>>::json_lines(dir.path()).watch(true);
    let context = context(ExecutionMode::Streaming);
    let mut enumerator = source.enumerator(&context).unwrap();
    let mut reader = source.reader(&context, Waker::new(|| {})).unwrap();
    let mut out = Collected::default();
    assert!(enumerator.discover().unwrap().splits.is_empty());
    for (i, compression) in (0u64..).zip(ALL) {
        write(dir.path(), "pairs.json", format!("[\"file\", {i}]").as_bytes(), compression);
        let discovery = enumerator.discover().unwrap();
        assert!(matches!(discovery.next, NextDiscovery::After(_)));
        for split in discovery.splits {
            reader.assign(split).unwrap();
            while reader.poll(&mut out).unwrap() == Polled::More {}
        }
        assert_eq!(out.rows::<Pair>(), [("file".to_owned(), i)], "{compression:?}");
    }
}
