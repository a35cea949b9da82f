//! Sums up `word count` lines written by any program, so that results can be compared whatever their order.

use std::fs::File;
use std::io::{self, BufRead, BufReader};

use wordcount_peers::args::Args;
use wordcount_peers::report::Summary;

const USAGE: &str = "usage: checksum [--count-first] FILE...
Reads lines `word count` (with --count-first: `   count word`, as uniq -c writes them) and prints the number of lines,
the sum of the counts and a checksum that ignores the order of lines. Lines without a word are left out.";

fn main() -> io::Result<()> {
    let mut args = Args::of_process(USAGE);
    let count_first = args.switch("--count-first");
    let mut summary = Summary::default();
    for path in args.positional() {
        let mut lines = BufReader::with_capacity(1 << 20, File::open(&path)?);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            let text = line.trim_ascii();
            let split =
                if count_first { text.iter().position(|&b| b == b' ') } else { text.iter().rposition(|&b| b == b' ') };
            if let Some(at) = split {
                let (word, count) =
                    if count_first { (&text[at + 1..], &text[..at]) } else { (&text[..at], &text[at + 1..]) };
                let count = std::str::from_utf8(count).ok().and_then(|digits| digits.parse().ok());
                let wrong = || {
                    io::Error::other(format!("{path}: not a line of word and count: {}", String::from_utf8_lossy(text)))
                };
                summary.add(word, count.ok_or_else(wrong)?);
            }
            line.clear();
        }
    }
    println!("{summary}");
    Ok(())
}
