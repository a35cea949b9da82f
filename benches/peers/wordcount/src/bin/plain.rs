//! The word count one writes without thinking about it: lines, `split_ascii_whitespace`, a hash map of `String`s.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};

use hashbrown::HashMap;
use wordcount_peers::args::Args;
use wordcount_peers::report::Summary;

const USAGE: &str = "usage: plain [--keep-case] [--quiet | --out FILE] FILE
Prints `word count` lines sorted by word, or with --quiet the number of words and a checksum that ignores order.
Words are separated by ASCII white space without vertical tab; the text must be UTF-8.";

fn main() -> io::Result<()> {
    let mut args = Args::of_process(USAGE);
    let keep_case = args.switch("--keep-case");
    let quiet = args.switch("--quiet");
    let out = args.value("--out");
    let [input] = &args.positional()[..] else {
        eprintln!("one file is wanted\n{USAGE}");
        std::process::exit(2);
    };
    let mut counts: HashMap<String, u64> = HashMap::new();
    for line in BufReader::new(File::open(input)?).lines() {
        let line = if keep_case { line? } else { line?.to_lowercase() };
        for word in line.split_ascii_whitespace() {
            *counts.entry_ref(word).or_insert(0) += 1;
        }
    }
    if quiet {
        let mut summary = Summary::default();
        counts.iter().for_each(|(word, &count)| summary.add(word.as_bytes(), count));
        println!("{summary}");
        return Ok(());
    }
    let mut lines: Vec<_> = counts.into_iter().collect();
    lines.sort_unstable();
    let out: Box<dyn Write> = match out {
        Some(path) => Box::new(File::create(path)?),
        None => Box::new(io::stdout()),
    };
    let mut out = BufWriter::new(out);
    for (word, count) in lines {
        writeln!(out, "{word} {count}")?;
    }
    out.flush()
}
