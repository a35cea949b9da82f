//! Writing a run.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::entry::Entry;
use super::filter::Filter;
use super::run::{Run, unwritable};
use crate::graph::task::Failure;

pub(super) const MAGIC: &[u8; 8] = b"FLOTTRUN";
pub(super) const END_MAGIC: &[u8; 8] = b"FRUN0001";
/// Blocks, filter words, crc of the index, and the end.
pub(super) const FOOTER_BYTES: usize = 8 + 8 + 4 + END_MAGIC.len();
/// A block is closed when it has as much.
const BLOCK_BYTES: usize = 4096;
/// Written at once.
const WRITE_BYTES: usize = 64 << 10;

/// Where the blocks of a run are, and what is not in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// The first order of each block.
    pub(super) firsts: Vec<u64>,
    /// Where each block begins, and at the end where the last one ends.
    pub(super) offsets: Vec<u64>,
    pub(super) filter: Filter,
    pub(super) entries: u64,
    /// The last order of all.
    pub(super) last: u64,
}

/// Takes entries in order, and makes a run of them. Dropped, there is none.
pub(crate) struct RunWriter {
    path: PathBuf,
    file: File,
    /// What is not written yet; the open block is its end.
    buffer: Vec<u8>,
    block: usize,
    written: u64,
    index: Index,
    finished: bool,
}

impl RunWriter {
    /// Begins a run in a new file, for about so many entries.
    ///
    /// # Errors
    /// A place that cannot be written.
    pub(crate) fn create(path: &Path, expected: u64) -> Result<Self, Failure> {
        let file = File::options().read(true).write(true).create_new(true).open(path);
        let file = file.map_err(|error| unwritable(path, &error))?;
        let mut buffer = Vec::with_capacity(WRITE_BYTES + 2 * BLOCK_BYTES);
        buffer.extend_from_slice(MAGIC);
        let index = Index { filter: Filter::with_capacity(expected), ..Index::default() };
        let (path, block) = (path.to_owned(), buffer.len());
        Ok(Self { path, file, buffer, block, written: 0, index, finished: false })
    }

    /// Adds an entry; its place is behind those of all before it.
    ///
    /// # Errors
    /// A place that cannot be written.
    pub(crate) fn push(&mut self, entry: Entry<'_>) -> Result<(), Failure> {
        debug_assert!(self.index.entries == 0 || entry.order >= self.index.last, "a run is in order");
        if self.buffer.len() == self.block {
            self.index.firsts.push(entry.order);
            self.index.offsets.push(self.written + self.block as u64);
        }
        entry.write(&mut self.buffer);
        self.index.filter.add(entry.order);
        self.index.entries += 1;
        self.index.last = entry.order;
        if self.buffer.len() - self.block >= BLOCK_BYTES {
            self.close_block()?;
        }
        Ok(())
    }

    /// Memory that it takes.
    pub(super) fn memory(&self) -> usize {
        let Index { firsts, offsets, filter, .. } = &self.index;
        self.buffer.capacity() + (firsts.capacity() + offsets.capacity()) * size_of::<u64>() + filter.bytes()
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Whether nothing was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.index.entries == 0
    }

    /// Makes a run of what was added. It is not durable: a checkpoint makes it so.
    ///
    /// # Errors
    /// A place that cannot be written.
    pub(crate) fn finish(mut self) -> Result<Run, Failure> {
        if self.buffer.len() > self.block {
            self.close_block()?;
        }
        self.index.offsets.push(self.written + self.buffer.len() as u64);
        let begin = self.buffer.len();
        let Self { buffer, index, .. } = &mut self;
        index.firsts.iter().for_each(|first| buffer.extend_from_slice(&first.to_le_bytes()));
        index.offsets.iter().for_each(|offset| buffer.extend_from_slice(&offset.to_le_bytes()));
        index.filter.words().iter().for_each(|word| buffer.extend_from_slice(&word.to_le_bytes()));
        buffer.extend_from_slice(&index.last.to_le_bytes());
        buffer.extend_from_slice(&index.entries.to_le_bytes());
        let crc = crc32c::crc32c(&buffer[begin..]);
        buffer.extend_from_slice(&(index.firsts.len() as u64).to_le_bytes());
        buffer.extend_from_slice(&(index.filter.words().len() as u64).to_le_bytes());
        buffer.extend_from_slice(&crc.to_le_bytes());
        buffer.extend_from_slice(END_MAGIC);
        self.flush()?;
        self.finished = true;
        let file = self.file.try_clone().map_err(|error| unwritable(&self.path, &error))?;
        Ok(Run::written(std::mem::take(&mut self.path), file, std::mem::take(&mut self.index), self.written))
    }

    fn close_block(&mut self) -> Result<(), Failure> {
        let crc = crc32c::crc32c(&self.buffer[self.block..]);
        self.buffer.extend_from_slice(&crc.to_le_bytes());
        if self.buffer.len() >= WRITE_BYTES {
            self.flush()?;
        }
        self.block = self.buffer.len();
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let write = |this: &mut Self| -> io::Result<()> { this.file.write_all(&this.buffer) };
        write(self).map_err(|error| unwritable(&self.path, &error))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Drop for RunWriter {
    fn drop(&mut self) {
        if !self.finished {
            // What stays behind goes with the directory.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
