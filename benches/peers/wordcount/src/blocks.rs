//! A file as blocks of whole words, handed to several threads.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::tokens::is_space;

/// Bytes that may be read behind a block's end.
pub const PADDING: usize = 128;

/// Hands out a file's blocks, each once.
pub struct Blocks<'a> {
    file: &'a File,
    len: u64,
    block_bytes: u64,
    next: AtomicU64,
}

impl<'a> Blocks<'a> {
    /// Blocks of about `block_bytes`.
    pub fn new(file: &'a File, block_bytes: u64) -> io::Result<Self> {
        Ok(Self { file, len: file.metadata()?.len(), block_bytes, next: AtomicU64::new(0) })
    }

    /// Reads the next block into `buffer`: every word that begins inside the block, to its end, and at least [`PADDING`]
    /// bytes of white space behind. Returns where the text ends, or `None` at the file's end.
    pub fn read_next(&self, buffer: &mut Vec<u8>) -> io::Result<Option<std::ops::Range<usize>>> {
        let from = self.next.fetch_add(self.block_bytes, Ordering::Relaxed);
        if from >= self.len {
            return Ok(None);
        }
        // One byte before the block tells whether its first word began earlier.
        let ahead = u64::from(from > 0);
        let wanted = (self.block_bytes + ahead).min(self.len - from + ahead) as usize;
        if buffer.len() < wanted + PADDING {
            buffer.resize(wanted + PADDING, b' ');
        }
        self.file.read_exact_at(&mut buffer[..wanted], from - ahead)?;
        let mut end = wanted;
        // The last word may go on behind the block.
        while !is_space(buffer[end - 1]) && from - ahead + (end as u64) < self.len {
            if buffer.len() < end + 256 + PADDING {
                buffer.resize(end * 2 + 256 + PADDING, b' ');
            }
            let read = self.file.read_at(&mut buffer[end..end + 256], from - ahead + end as u64)?;
            end += buffer[end..end + read].iter().position(|&b| is_space(b)).map_or(read, |space| space + 1);
        }
        buffer[end..end + PADDING].fill(b' ');
        let mut start = 0;
        if ahead == 1 {
            start = buffer[..wanted].iter().position(|&b| is_space(b)).unwrap_or(end);
        }
        Ok(Some(start..end))
    }
}
