//! The counters give the counts of other programs, on text made to be unpleasant.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use wordcount_peers::zipf::{Random, Vocabulary};

const SAMPLE_BYTES: usize = 5_000_000;

/// Zipf text with, every now and then: other white space, runs of it, capitals, long and very long words, any bytes.
fn unpleasant(insert: &[&[u8]]) -> Vec<u8> {
    let mut random = Random::new(11, 0);
    let vocabulary = Vocabulary::new(50_000, 11);
    let mut text = b" \n\t".to_vec();
    while text.len() < SAMPLE_BYTES {
        let mut lines = Vec::new();
        vocabulary.write_block(&mut random, &mut lines, 300);
        if random.below(3) == 0 {
            lines.make_ascii_uppercase();
        }
        text.extend_from_slice(&lines);
        text.extend_from_slice(insert[random.below(insert.len() as u64) as usize]);
        if random.below(500) == 0 {
            let len = random.below(3) * 200_000 + random.below(400);
            text.extend((0..len).map(|at| b'a' + (at % 3) as u8));
        }
    }
    text.extend_from_slice(b"last");
    text
}

fn run(program: &str, args: &[&str], input: &Path) -> String {
    let output = Command::new(program).args(args).arg(input).output().expect("the program runs");
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    // Words may be any bytes; for a comparison of both sides this loss is the same.
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const SINGLE: &str = env!("CARGO_BIN_EXE_single_purpose");
const PLAIN: &str = env!("CARGO_BIN_EXE_plain");

/// A file of its own for each call.
fn sample(text: &[u8]) -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let name = format!("wordcount-peers-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    fs::write(&path, text).expect("the sample is written");
    path
}

fn check(text: &[u8], expected: &str, programs: &[(&str, &[&str])]) {
    let input = sample(text);
    for (program, args) in programs {
        let found = run(program, args, &input);
        if found != expected {
            let difference = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
            panic!("{program} {args:?}: {} lines, expected {}, first {difference:?}", found.len(), expected.len());
        }
    }
    fs::remove_file(&input).expect("the sample is removed");
}

/// `word count` lines of `tr | sort | uniq -c`.
fn coreutils(text: &[u8], before: &str) -> String {
    let input = sample(text);
    let pipe = format!("{before} tr -s '[:space:]' '\\n' | sort | uniq -c | sed -E 's/^ *([0-9]+) ?(.*)$/\\2 \\1/'");
    let lines = run("sh", &["-c", &format!("export LC_ALL=C; cat \"$0\" | {pipe}")], &input);
    fs::remove_file(&input).expect("the sample is removed");
    // White space at the start of the text makes an empty line for tr, which is no word.
    lines.lines().filter(|line| !line.starts_with(' ')).map(|line| format!("{line}\n")).collect()
}

#[test]
fn any_bytes_are_counted_as_coreutils_does() {
    let text =
        unpleasant(&[b"\t\t ", b"\x0b", b"\x0c\r\n", b"nul\0in\0it ", b"\xff\xfe\x80 ", b"a ", b"\xc2\xa0 ", b"\x1c"]);
    let one: &[&str] = &["--keep-case"];
    let two: &[&str] = &["--keep-case", "--threads", "2"];
    check(&text, &coreutils(&text, ""), &[(SINGLE, one), (SINGLE, two)]);
    let folded = coreutils(&text, "tr A-Z a-z |");
    check(&text, &folded, &[(SINGLE, &[]), (SINGLE, &["--threads", "3"])]);
}

#[test]
fn plain_text_is_counted_alike_by_all() {
    let text = unpleasant(&[b"  ", b"\t", b"\r\n", b"Don't. "]);
    let expected = coreutils(&text, "");
    check(
        &text,
        &expected,
        &[(SINGLE, &["--keep-case"]), (SINGLE, &["--unicode", "--keep-case"]), (PLAIN, &["--keep-case"])],
    );
}

#[test]
fn unicode_text_is_split_and_lowered_as_rust_does() {
    let insert = ["\u{a0}", "\u{2003}Ä\u{3000}ö", "ΣΑΣ ", "\u{85}\u{2028}", "İstanbul\u{1680}", "日本\u{205f}語 ", "é"];
    let mut text = unpleasant(&insert.map(str::as_bytes));
    // Invalid bytes are replaced.
    text.extend_from_slice(b" bad\xf0\x9fword \xc2");
    for (keep_case, args) in [(true, &["--unicode", "--keep-case"][..]), (false, &["--unicode", "--threads", "2"])] {
        let mut clean = String::from_utf8_lossy(&text).into_owned();
        if !keep_case {
            clean = clean.to_lowercase();
        }
        let mut counts = BTreeMap::<&str, u64>::new();
        clean.split_whitespace().for_each(|word| *counts.entry(word).or_default() += 1);
        let expected: String = counts.iter().map(|(word, count)| format!("{word} {count}\n")).collect();
        check(&text, &expected, &[(SINGLE, args)]);
    }
}

#[test]
fn generated_text_never_changes_for_a_seed() {
    let generate = |threads| {
        let args = ["--bytes", "300k", "--distinct", "1000", "--seed", "1", "--threads", threads, "--out", "-"];
        let output = Command::new(env!("CARGO_BIN_EXE_generate")).args(args).output().expect("the program runs");
        assert_eq!(output.stdout.len(), 300_000);
        wordcount_peers::key::hash_bytes(&output.stdout)
    };
    // Published figures are about this text: a change of the generator needs new ones.
    assert_eq!(generate("1"), 5_459_858_187_885_957_138);
    assert_eq!(generate("3"), generate("1"));
}
