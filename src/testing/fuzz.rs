//! Bytes that are nearly right, for whatever reads bytes that others have written: frames, files, bodies.
//!
//! ```text
//! corpus ─► one is chosen, and changed a little, often where another shows how ─► reader ─► no panic, soon, no memory for what it claims
//! ```
//!
//! A run in `cargo test` is short and always the same. `FLOTT_FUZZ_SECONDS=600 cargo test --lib fuzz_` takes as long as is said for each
//! reader, from a seed that it prints. What makes a reader fail, or ends the process (`NAME-last`), is written below `target/fuzz`; put it into `tests/fuzz/corpus/NAME`,
//! from where each run begins with it. Nothing guides it by coverage, which would take a nightly compiler: readers of formats with
//! checksums are shown their bytes with the checksum mended as well.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;

use super::allocations;
use crate::time::Stopwatch;

/// What a reader may take for one input.
const LIMIT: Duration = Duration::from_secs(1);
/// A machine that is busy with something else may make one wait; a reader that is slow is slow each time.
const TRIES: u32 = 3;
/// A buffer that a reader always has; beyond it, and ten times its input, no single piece of memory may go.
const BUFFER_BYTES: usize = 2 << 20;
/// In a short run.
const INPUTS: u64 = 400;
const INPUT_BYTES_MAX: usize = 64 << 10;

/// Files of `tests/fuzz/corpus/NAME`.
pub(crate) fn corpus(name: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// A directory for a reader of files: in memory, where waiting for a disk is no part of what is measured.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("there is room for a directory")
}

/// Shows `read` each input of a corpus, and then many that are nearly one of them.
///
/// # Panics
/// If `read` panics, takes too long, or asks for a piece of memory much larger than the input.
pub(crate) fn fuzz(name: &str, corpus: &[Vec<u8>], read: impl FnMut(&[u8])) {
    fuzz_with_buffer(name, corpus, 0, read);
}

/// The same for a reader that may always have a buffer of so many bytes.
pub(crate) fn fuzz_with_buffer(name: &str, corpus: &[Vec<u8>], buffer_bytes: usize, mut read: impl FnMut(&[u8])) {
    assert!(!corpus.is_empty(), "{name} has nothing to begin with");
    let buffer_bytes = buffer_bytes.max(BUFFER_BYTES);
    corpus.iter().for_each(|input| check(name, input, buffer_bytes, &mut read));
    let seconds = std::env::var("FLOTT_FUZZ_SECONDS")
        .ok()
        .map(|text| text.parse::<u64>().expect("FLOTT_FUZZ_SECONDS is a number"));
    let seed = if seconds.is_some() { fastrand::u64(..) } else { 1 };
    let last = found_in().join(format!("{name}-last"));
    let (mut rng, stopwatch, mut inputs) = (Rng::with_seed(seed), Stopwatch::start(), 0);
    while seconds.map_or(inputs < INPUTS, |seconds| stopwatch.elapsed() < Duration::from_secs(seconds)) {
        let input = changed(corpus, &mut rng);
        if seconds.is_some() {
            // A reader that brings the process down leaves it behind.
            fs::write(&last, &input).expect("there is room for what is read");
        }
        check(name, &input, buffer_bytes, &mut read);
        inputs += 1;
    }
    if seconds.is_some() {
        let _ = fs::remove_file(&last); // It is of no interest any more.
        eprintln!("{name}: {inputs} inputs in {:.0} s, seed {seed}", stopwatch.elapsed().as_secs_f64());
    }
}

/// Where inputs are left that a reader fails at.
fn found_in() -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/fuzz");
    fs::create_dir_all(&dir).expect("there is room for what is found");
    dir
}

fn check(name: &str, input: &[u8], buffer_bytes: usize, read: &mut impl FnMut(&[u8])) {
    let mut tries = 0;
    let wrong = loop {
        let stopwatch = Stopwatch::start();
        let (ended, largest) = allocations::largest_of(|| catch_unwind(AssertUnwindSafe(|| read(input))));
        let took = stopwatch.elapsed();
        tries += 1;
        if ended.is_err() {
            break "panics".to_owned();
        } else if largest > buffer_bytes.max(10 * input.len()) {
            break format!("asks for {largest} bytes at once");
        } else if took <= LIMIT {
            return;
        } else if tries == TRIES {
            break format!("takes {took:?}, and no less before");
        }
    };
    let file = found_in().join(format!("{name}-{:08x}", crc32c::crc32c(input)));
    let written = fs::write(&file, input);
    panic!("{name} {wrong} on {} bytes, in {} ({written:?})", input.len(), file.display());
}

/// One of the corpus with a few changes.
fn changed(corpus: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut input = corpus[rng.usize(..corpus.len())].clone();
    for _ in 0..rng.u32(1..=6) {
        change(&mut input, corpus, rng);
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

fn change(input: &mut Vec<u8>, corpus: &[Vec<u8>], rng: &mut Rng) {
    /// Numbers that lie at the edges of something.
    const EDGES: [u64; 10] =
        [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 0x7fff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff];
    const WORDS: [&str; 16] = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        ",",
        ":",
        "null",
        "-1",
        "1e999",
        "\\ud800",
        "\n",
        "../",
        "99999999999999999999",
        "\u{feff}",
        "[[[[[[[[",
    ];
    let at = rng.usize(..=input.len());
    let end = (at + rng.usize(..=16)).min(input.len());
    match rng.u32(..10) {
        0..=1 if at < input.len() => input[at] ^= 1 << rng.u32(..8),
        2 if at < input.len() => input[at] = rng.u8(..),
        3 => drop(input.splice(at..at, WORDS[rng.usize(..WORDS.len())].bytes())),
        4 => drop(input.drain(at..end)),
        5 => {
            let piece = input[at..end].to_vec();
            let times = rng.usize(1..=64);
            drop(input.splice(at..at, piece.repeat(times)));
        }
        6 => input.truncate(at),
        7 => {
            let (edge, width) = (EDGES[rng.usize(..EDGES.len())], [1, 2, 4, 8][rng.usize(..4)]);
            let bytes = if rng.bool() {
                edge.to_le_bytes()[..width].to_vec()
            } else {
                edge.to_be_bytes()[8 - width..].to_vec()
            };
            let end = (at + width).min(input.len());
            drop(input.splice(at..end, bytes));
        }
        8 => {
            let other = &corpus[rng.usize(..corpus.len())];
            let from = rng.usize(..=other.len());
            let to = (from + rng.usize(..=256)).min(other.len());
            drop(input.splice(at..end, other[from..to].iter().copied()));
        }
        _ => {
            let digits = input.iter().enumerate().filter(|(_, byte)| byte.is_ascii_digit());
            let places: Vec<usize> = digits.map(|(place, _)| place).collect();
            if !places.is_empty() {
                input[places[rng.usize(..places.len())]] = b"0123456789-.e"[rng.usize(..13)];
            }
        }
    }
}

#[test]
fn what_readers_must_not_do_is_noticed() {
    let corpus = [b"a right input, long enough".to_vec()];
    let fails = |read: fn(&[u8])| catch_unwind(|| fuzz("planted", &corpus, read)).is_err();
    assert!(!fails(|_| ()));
    assert!(fails(|input| assert!(input.len() > 3, "a reader that takes the beginning for granted")));
    assert!(fails(|input| assert!(input.starts_with(b"a"), "one that takes it for right")));
    assert!(fails(|input| drop(vec![1_u8; usize::from(input.last().copied().unwrap_or(0)) << 15])));
}
