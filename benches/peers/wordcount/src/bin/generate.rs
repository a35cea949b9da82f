//! Writes Zipf text of a given size, the same for a seed on every machine.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::mpsc::sync_channel;
use std::thread;

use wordcount_peers::args::Args;
use wordcount_peers::zipf::{Random, Vocabulary};

const USAGE: &str = "usage: generate --bytes 1g [--distinct 1000000] [--seed 1] [--threads 2] --out FILE|-
Writes lines of 8 to 12 lower-case words, Zipf exponent 1. g = 10^9, gi = 2^30.";

/// Bytes of text made from one random stream.
const BLOCK_BYTES: usize = 96 << 10;

fn main() -> io::Result<()> {
    let mut args = Args::of_process(USAGE);
    let bytes = args.number("--bytes").unwrap_or_else(|| args.refuse("--bytes is missing"));
    let distinct = args.number("--distinct").unwrap_or(1_000_000);
    let seed = args.number("--seed").unwrap_or(1);
    let threads = args.number("--threads").unwrap_or(2).max(1);
    let out = args.value("--out").unwrap_or_else(|| args.refuse("--out is missing"));
    args.positional();
    let out: Box<dyn Write> = if out == "-" { Box::new(io::stdout()) } else { Box::new(File::create(out)?) };
    let vocabulary = Vocabulary::new(distinct as usize, seed);
    write_text(&vocabulary, seed, bytes, threads, BufWriter::new(out))
}

/// Thread `t` makes the blocks `t`, `t + threads`, …; they are written in turn, the last one cut after a whole word.
fn write_text(vocabulary: &Vocabulary, seed: u64, bytes: u64, threads: u64, mut out: impl Write) -> io::Result<()> {
    thread::scope(|scope| {
        let mut blocks = Vec::new();
        for thread in 0..threads {
            // One finished block may wait; then the maker waits for the writer.
            let (send, receive) = sync_channel::<Vec<u8>>(1);
            blocks.push(receive);
            scope.spawn(move || {
                for block in (thread..).step_by(threads as usize) {
                    let mut text = Vec::new();
                    vocabulary.write_block(&mut Random::new(seed, block), &mut text, BLOCK_BYTES);
                    if send.send(text).is_err() {
                        return;
                    }
                }
            });
        }
        let mut left = bytes;
        for turn in 0.. {
            if left == 0 {
                break;
            }
            let text = blocks[turn % blocks.len()].recv().map_err(|_| io::Error::other("a maker thread panicked"))?;
            let take = text.len().min(left as usize);
            left -= take as u64;
            if left > 0 {
                out.write_all(&text[..take])?;
            } else {
                write_last(&text[..take], &mut out)?;
            }
        }
        out.flush()
    })
}

/// Writes `text` so that it ends with a whole word and a line feed, at its exact length.
fn write_last(text: &[u8], out: &mut impl Write) -> io::Result<()> {
    let whole = text.iter().rposition(|&b| b.is_ascii_whitespace()).map_or(0, |space| space + 1);
    out.write_all(&text[..whole])?;
    out.write_all(&b"\n".repeat(text.len() - whole))
}
