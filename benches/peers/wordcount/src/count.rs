//! Counting: blocks on each thread into a table of its own, then one merge.

use std::fs::File;
use std::io;
use std::thread;

use crate::blocks::{Blocks, PADDING};
use crate::key::{INLINE_MAX, Key};
use crate::table::{Probe, Table};
use crate::tokens::{Space, find_spaces};

/// What a word is.
#[derive(Clone, Copy)]
pub struct Rules {
    /// What separates words.
    pub space: Space,
    /// Whether `The` and `the` are two words.
    pub keep_case: bool,
}

/// Bytes a thread reads at a time: with the positions found in them they stay in the second-level cache.
const BLOCK_BYTES: u64 = 256 << 10;

/// Words looked up together: enough misses in flight, few enough to stay in the first-level cache.
const BATCH: usize = 128;

/// The words of `file`, counted by `threads` threads.
pub fn count_file(file: &File, rules: Rules, threads: usize) -> io::Result<Table> {
    let blocks = Blocks::new(file, BLOCK_BYTES)?;
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| count_blocks(&blocks, rules))).collect();
        let mut table = count_blocks(&blocks, rules)?;
        for other in others {
            table.merge(&other.join().map_err(|_| io::Error::other("a counting thread panicked"))??);
        }
        Ok(table)
    })
}

fn count_blocks(blocks: &Blocks<'_>, rules: Rules) -> io::Result<Table> {
    let mut table = Table::with_capacity(1 << 15);
    let (mut buffer, mut spaces) = (Vec::new(), Vec::new());
    while let Some(text) = blocks.read_next(&mut buffer)? {
        if rules.space == Space::Unicode && !buffer[text.clone()].is_ascii() {
            // Characters change their length here; a block with only ASCII takes the fast path below.
            let mut clean = String::from_utf8_lossy(&buffer[text]).into_owned();
            if !rules.keep_case {
                clean = clean.to_lowercase();
            }
            let end = clean.len();
            let mut clean = clean.into_bytes();
            clean.resize(end + PADDING, b' ');
            count_text(&clean, 0, end, rules.space, &mut spaces, &mut table);
        } else {
            if !rules.keep_case {
                buffer[text.clone()].make_ascii_lowercase();
            }
            count_text(&buffer, text.start, text.end, Space::Ascii, &mut spaces, &mut table);
        }
    }
    Ok(table)
}

/// Counts the words of `text[start..end]`, behind which [`PADDING`] bytes are readable and the first one is white space.
fn count_text(text: &[u8], start: usize, end: usize, space: Space, spaces: &mut Vec<u32>, table: &mut Table) {
    find_spaces(text, start, end, space, spaces);
    // The end of the text ends a word too.
    spaces.push(end as u32);
    let mut probes = [Probe::default(); BATCH];
    let mut word_start = start;
    for ends in spaces.chunks(BATCH) {
        table.reserve(BATCH);
        let mut pending = 0;
        for &word_end in ends {
            let len = word_end as usize - word_start;
            if len <= INLINE_MAX {
                // SAFETY: the word is short, and more than 32 bytes are readable behind any place of the text.
                let key = unsafe { Key::inline_at(text, word_start, len) };
                let hash = key.hash();
                table.prefetch(hash);
                probes[pending] = Probe { key, hash };
                // Two separators side by side make an empty word: the next one takes its place.
                pending += usize::from(len > 0);
            } else {
                table.add_long(&text[word_start..word_end as usize], 1);
                table.reserve(BATCH);
            }
            word_start = word_end as usize + 1;
        }
        for probe in &probes[..pending] {
            table.add_inline(probe.key, probe.hash, 1);
        }
    }
}
