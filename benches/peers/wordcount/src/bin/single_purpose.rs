//! Counts words and does nothing else: the physical limit that a general engine is measured against.

use std::fs::File;
use std::io::{self, Write};

use wordcount_peers::args::Args;
use wordcount_peers::count::{Rules, count_file};
use wordcount_peers::report::{summarize, write_sorted};
use wordcount_peers::tokens::Space;

const USAGE: &str = "usage: single_purpose [--unicode] [--keep-case] [--threads 1] [--quiet | --out FILE] FILE
Prints `word count` lines sorted by word, or with --quiet the number of words and a checksum that ignores order.";

fn main() -> io::Result<()> {
    let mut args = Args::of_process(USAGE);
    let space = if args.switch("--unicode") { Space::Unicode } else { Space::Ascii };
    let rules = Rules { space, keep_case: args.switch("--keep-case") };
    let threads = args.number("--threads").unwrap_or(1).max(1) as usize;
    let quiet = args.switch("--quiet");
    let out = args.value("--out");
    let [input] = &args.positional()[..] else {
        eprintln!("one file is wanted\n{USAGE}");
        std::process::exit(2);
    };
    let file = File::open(input).map_err(|e| io::Error::new(e.kind(), format!("cannot open {input}: {e}")))?;
    let table = count_file(&file, rules, threads)?;
    match out {
        _ if quiet => println!("{}", summarize(&table)),
        Some(path) => write_sorted(&table, &mut File::create(path)?)?,
        None => write_sorted(&table, &mut io::stdout().lock())?,
    }
    // The process ends here; giving the tables back page by page would only cost time.
    io::stdout().flush()?;
    std::process::exit(0)
}
