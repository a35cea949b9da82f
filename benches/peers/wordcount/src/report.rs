//! Results: lines of `word count`, and a checksum of them which does not depend on their order.

use std::io::{self, Write};

use crate::key::{INLINE_MAX, hash_bytes};
use crate::table::Table;

/// Number of different words, number of words, checksum.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Different words.
    pub distinct: u64,
    /// All words.
    pub total: u64,
    /// Sum of the lines' hashes.
    pub checksum: u64,
}

impl Summary {
    /// Takes in one word.
    pub fn add(&mut self, word: &[u8], count: u64) {
        self.distinct += 1;
        self.total += count;
        let mixed = (hash_bytes(word) ^ count).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.checksum = self.checksum.wrapping_add(mixed ^ mixed >> 32);
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "distinct={} total={} checksum={:016x}", self.distinct, self.total, self.checksum)
    }
}

/// The summary of a table.
pub fn summarize(table: &Table) -> Summary {
    let mut summary = Summary::default();
    for (key, count) in table.entries() {
        match key.as_long() {
            Some((_, place, len)) => summary.add(table.long_word(place, len), count),
            None => {
                let (letters, len) = key.letters();
                summary.add(&letters[..len], count);
            }
        }
    }
    summary
}

/// Writes `word count` lines in byte order.
pub fn write_sorted(table: &Table, out: &mut impl Write) -> io::Result<()> {
    // Short words sort as numbers: their letters in big endian, then the length (which only NUL bytes make matter).
    let mut short = Vec::with_capacity(table.distinct());
    let mut long = Vec::new();
    for (key, count) in table.entries() {
        match key.as_long() {
            Some((_, place, len)) => long.push((table.long_word(place, len), count)),
            None => {
                let [a, b, c] = key.0;
                short.push(([a.swap_bytes(), b.swap_bytes(), c.swap_bytes() & !0xff | c >> 56], count));
            }
        }
    }
    short.sort_unstable();
    long.sort_unstable();
    let mut long = long.into_iter().peekable();
    let mut lines = Lines { buffer: Vec::with_capacity(1 << 16), out };
    for ([a, b, c], count) in short {
        let mut letters = [0; 24];
        letters[..8].copy_from_slice(&a.to_be_bytes());
        letters[8..16].copy_from_slice(&b.to_be_bytes());
        letters[16..].copy_from_slice(&c.to_be_bytes());
        let word = &letters[..(letters[INLINE_MAX] as usize).min(INLINE_MAX)];
        while let Some((before, its_count)) = long.next_if(|(other, _)| *other < word) {
            lines.write(before, its_count)?;
        }
        lines.write(word, count)?;
    }
    for (word, count) in long {
        lines.write(word, count)?;
    }
    lines.flush()
}

/// Lines gathered in a buffer; formatting a number by hand is a quarter of `write!`'s time.
struct Lines<'a, W> {
    buffer: Vec<u8>,
    out: &'a mut W,
}

impl<W: Write> Lines<'_, W> {
    fn write(&mut self, word: &[u8], count: u64) -> io::Result<()> {
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = count;
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.buffer.extend_from_slice(word);
        self.buffer.push(b' ');
        self.buffer.extend_from_slice(&digits[at..]);
        self.buffer.push(b'\n');
        if self.buffer.len() >= 60_000 { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}
