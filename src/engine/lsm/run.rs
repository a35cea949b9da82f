//! Reading a run.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::entry::Entry;
use super::filter::Filter;
use super::writer::{END_MAGIC, FOOTER_BYTES, Index, MAGIC};
use crate::graph::task::Failure;
use crate::rpc::io_cause;

/// Read at once by who reads on.
pub(super) const READ_BYTES: u64 = 32 << 10;
const CRC_BYTES: usize = 4;

/// Entries in order, in a file that never changes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Run {
    file: Arc<RunFile>,
    /// The orders of its entries that count.
    first: u64,
    last: u64,
}

#[derive(Debug)]
struct RunFile {
    path: PathBuf,
    file: File,
    index: Index,
    bytes: u64,
    /// Whether the file goes with the last who knows it.
    owned: bool,
    /// Where else it is known to lie, durable.
    stored: Mutex<Option<String>>,
}

impl Drop for RunFile {
    fn drop(&mut self) {
        if self.owned {
            // What stays behind goes with the directory.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// What was read last of a run: whoever asks in order reads a block once.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    block: Option<usize>,
    bytes: Vec<u8>,
}

impl Run {
    pub(super) fn written(path: PathBuf, file: File, index: Index, bytes: u64) -> Self {
        Self::of(RunFile { path, file, index, bytes, owned: true, stored: Mutex::default() })
    }

    fn of(file: RunFile) -> Self {
        let (first, last) = (file.index.firsts.first().copied().unwrap_or(u64::MAX), file.index.last);
        Self { file: Arc::new(file), first, last }
    }

    /// Opens a run. `owned`: its file is removed when nobody knows it any more.
    ///
    /// # Errors
    /// One that is missing, damaged or not whole, by name.
    pub(crate) fn open(path: &Path, owned: bool) -> Result<Self, Failure> {
        let read = || -> io::Result<RunFile> {
            let file = File::open(path)?;
            let (index, bytes) = read_index(&file)?;
            Ok(RunFile { path: path.to_owned(), file, index, bytes, owned, stored: Mutex::default() })
        };
        read().map(Self::of).map_err(|error| unreadable(path, &error))
    }

    /// Of its entries, those of orders from `first` to `last`.
    pub(crate) fn within(&self, first: u64, last: u64) -> Self {
        Self { file: Arc::clone(&self.file), first: self.first.max(first), last: self.last.min(last) }
    }

    /// Whether no entry can count.
    pub(crate) fn is_empty(&self) -> bool {
        self.first > self.last
    }

    /// Where it is known to lie besides, as [`Run::set_stored_at`] was told.
    pub(crate) fn stored_at(&self) -> Option<String> {
        self.file.stored.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers that it lies at this place, too, durable: a checkpoint need not write it there again.
    pub(crate) fn set_stored_at(&self, place: String) {
        *self.file.stored.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
    }

    /// Its file, to be copied.
    ///
    /// # Errors
    /// One that is not there any more.
    pub(crate) fn file(&self) -> io::Result<File> {
        File::open(&self.file.path)
    }

    /// Where its file is.
    #[cfg(test)]
    pub(super) fn path(&self) -> &Path {
        &self.file.path
    }

    /// Bytes of its file.
    pub(crate) fn bytes(&self) -> u64 {
        self.file.bytes
    }

    /// Entries of its file.
    pub(crate) fn entries(&self) -> u64 {
        self.file.index.entries
    }

    /// The orders of the entries that count.
    pub(crate) fn range(&self) -> (u64, u64) {
        (self.first, self.last)
    }

    /// Whether both are of one file.
    pub(crate) fn is_of_file(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file)
    }

    /// Memory that it takes.
    pub(crate) fn memory(&self) -> usize {
        let Index { firsts, offsets, filter, .. } = &self.file.index;
        (firsts.len() + offsets.len()) * size_of::<u64>() + filter.bytes()
    }

    /// The same entries in a file at `path`, which goes with the last who knows it: linked where that can be, else copied.
    ///
    /// # Errors
    /// A place that cannot be written, or a file that cannot be read.
    pub(crate) fn at(&self, path: &Path) -> Result<Self, Failure> {
        self.put_at(path)?;
        let run = Self::open(path, true)?;
        if let Some(place) = self.stored_at() {
            run.set_stored_at(place);
        }
        Ok(run.within(self.first, self.last))
    }

    /// Puts its file at `path`, too: linked where that can be, else copied. Whether bytes were written for it.
    ///
    /// # Errors
    /// A place that cannot be written, or a file that cannot be read.
    pub(crate) fn put_at(&self, path: &Path) -> Result<bool, Failure> {
        let link = || std::fs::hard_link(&self.file.path, path);
        let linked = link().or_else(|error| match error.kind() {
            // What somebody has begun who is no more.
            io::ErrorKind::AlreadyExists => std::fs::remove_file(path).and_then(|()| link()),
            _ => Err(error),
        });
        if linked.is_ok() {
            return Ok(false);
        }
        // Another file system, or one without links.
        std::fs::copy(&self.file.path, path).map_err(|error| unwritable(path, &error))?;
        Ok(true)
    }

    /// Makes its file durable.
    ///
    /// # Errors
    /// A disk that does not take it.
    pub(crate) fn sync(&self) -> Result<(), Failure> {
        self.file.file.sync_all().map_err(|error| unwritable(&self.file.path, &error))
    }

    /// Whether it may have an entry of this order.
    #[inline]
    pub(crate) fn may_have(&self, order: u64) -> bool {
        self.first <= order && order <= self.last && self.file.index.filter.may_have(order)
    }

    /// What it holds for a key: nothing, that it was deleted, or its value's bytes.
    ///
    /// # Errors
    /// A file that cannot be read, or is damaged.
    pub(crate) fn find<'p>(
        &self,
        order: u64,
        key: &[u8],
        probe: &'p mut Probe,
    ) -> Result<Option<Option<&'p [u8]>>, Failure> {
        let firsts = &self.file.index.firsts;
        // Keys of one hash may begin in the block before one that begins with that hash.
        let mut block = firsts.partition_point(|first| *first < order).saturating_sub(1);
        while firsts.get(block).is_some_and(|first| *first <= order) {
            if probe.block != Some(block) {
                probe.block = None;
                self.read_block(block, &mut probe.bytes)?;
                probe.block = Some(block);
            }
            match place_in(&probe.bytes, order, key) {
                Place::Found(value) => return Ok(Some(value.map(|value| &probe.bytes[value]))),
                Place::Absent => return Ok(None),
                Place::Behind => block += 1,
            }
        }
        Ok(None)
    }

    fn read_block(&self, block: usize, bytes: &mut Vec<u8>) -> Result<(), Failure> {
        let RunFile { path, file, index, .. } = &*self.file;
        let (begin, end) = (index.offsets[block], index.offsets[block + 1]);
        bytes.resize((end - begin) as usize, 0);
        let checked = file.read_exact_at(bytes, begin).and_then(|()| check_block(bytes));
        let len = checked.map_err(|error| unreadable(path, &error))?;
        bytes.truncate(len);
        Ok(())
    }

    /// Its entries that count, in order.
    ///
    /// # Errors
    /// A file that cannot be read, or is damaged.
    pub(crate) fn cursor(&self) -> Result<Cursor, Failure> {
        let next_block = self.file.index.firsts.partition_point(|first| *first < self.first).saturating_sub(1);
        let mut cursor =
            Cursor { run: self.clone(), next_block, bytes: Vec::new(), blocks: Vec::new(), rest: 0..0, head: None };
        cursor.advance()?;
        while cursor.head.as_ref().is_some_and(|head| head.order < self.first) {
            cursor.advance()?;
        }
        Ok(cursor)
    }
}

/// Goes through a run's entries, many blocks at a time.
pub(crate) struct Cursor {
    run: Run,
    next_block: usize,
    /// Blocks that were read.
    bytes: Vec<u8>,
    /// Where the entries of each lie in `bytes`, the last first.
    blocks: Vec<Range<usize>>,
    /// What is left of the block it is in.
    rest: Range<usize>,
    /// The entry it stands at.
    head: Option<Head>,
}

/// Where an entry lies among the bytes that were read.
struct Head {
    order: u64,
    key: Range<usize>,
    value: Option<Range<usize>>,
}

impl Cursor {
    /// The entry it stands at. None at the end.
    #[inline]
    pub(super) fn entry(&self) -> Option<Entry<'_>> {
        let Head { order, key, value } = self.head.as_ref()?;
        let value = value.as_ref().map(|value| &self.bytes[value.clone()]);
        Some(Entry { order: *order, key: &self.bytes[key.clone()], value })
    }

    /// Goes on to the next entry.
    ///
    /// # Errors
    /// A file that cannot be read, or is damaged.
    pub(super) fn advance(&mut self) -> Result<(), Failure> {
        self.head = None;
        while self.rest.is_empty() {
            if self.blocks.is_empty() {
                self.read_on()?;
            }
            let Some(block) = self.blocks.pop() else { return Ok(()) };
            self.rest = block;
        }
        let mut rest = &self.bytes[self.rest.clone()];
        let entry = Entry::read(&mut rest).filter(|entry| entry.order <= self.run.last);
        let Some(Entry { order, key, value }) = entry else {
            // Behind its range; what is left is nobody's.
            (self.rest, self.next_block) = (0..0, usize::MAX);
            self.blocks.clear();
            return Ok(());
        };
        let end = self.rest.end - rest.len();
        let value = value.map(|value| end - value.len()..end);
        let key_end = value.as_ref().map_or(end, |value| value.start);
        self.head = Some(Head { order, key: key_end - key.len()..key_end, value });
        self.rest.start = end;
        Ok(())
    }

    fn read_on(&mut self) -> Result<(), Failure> {
        let RunFile { path, file, index, .. } = &*self.run.file;
        let offsets = &index.offsets;
        let begin = self.next_block;
        if begin >= index.firsts.len() {
            return Ok(());
        }
        let mut end = begin + 1;
        while end < index.firsts.len() && offsets[end] - offsets[begin] < READ_BYTES {
            end += 1;
        }
        self.bytes.resize((offsets[end] - offsets[begin]) as usize, 0);
        file.read_exact_at(&mut self.bytes, offsets[begin]).map_err(|error| unreadable(path, &error))?;
        for block in (begin..end).rev() {
            let place = |offset: u64| (offset - offsets[begin]) as usize;
            let (from, to) = (place(offsets[block]), place(offsets[block + 1]));
            let len = check_block(&self.bytes[from..to]).map_err(|error| unreadable(path, &error))?;
            self.blocks.push(from..from + len);
        }
        self.next_block = end;
        Ok(())
    }
}

/// Where a key is against a block.
enum Place {
    /// It is in it, and its value there, unless it was deleted.
    Found(Option<Range<usize>>),
    /// It would be in it, and is not.
    Absent,
    /// It may be in the next.
    Behind,
}

fn place_in(block: &[u8], order: u64, key: &[u8]) -> Place {
    let mut rest = block;
    while let Some(entry) = Entry::read(&mut rest) {
        if entry.order < order {
            continue;
        }
        if entry.order > order {
            return Place::Absent;
        }
        if entry.key == key {
            let end = block.len() - rest.len();
            return Place::Found(entry.value.map(|value| end - value.len()..end));
        }
    }
    Place::Behind
}

/// Length of a block's entries.
fn check_block(bytes: &[u8]) -> io::Result<usize> {
    let Some((entries, crc)) = bytes.split_last_chunk::<CRC_BYTES>() else {
        return Err(malformed("a block is too short"));
    };
    if crc32c::crc32c(entries) != u32::from_le_bytes(*crc) {
        return Err(malformed("the checksum of a block is wrong"));
    }
    Ok(entries.len())
}

fn read_index(file: &File) -> io::Result<(Index, u64)> {
    let bytes = file.metadata()?.len();
    let end = bytes.checked_sub(FOOTER_BYTES as u64).ok_or_else(|| malformed("it is too short"))?;
    let mut footer = [0; FOOTER_BYTES];
    file.read_exact_at(&mut footer, end)?;
    if !footer.ends_with(END_MAGIC) {
        return Err(malformed("it does not end as a run does"));
    }
    let number = |at: usize| u64::from_le_bytes(*footer[at..].first_chunk().expect("a footer holds two numbers"));
    let (blocks, words) = (number(0), number(8));
    let crc = u32::from_le_bytes(*footer[16..].first_chunk().expect("a footer holds a crc"));
    let numbers = blocks.checked_mul(2).and_then(|numbers| numbers.checked_add(words)?.checked_add(3));
    let len = numbers.and_then(|numbers| numbers.checked_mul(8)).filter(|len| *len <= end);
    let len = len.ok_or_else(|| malformed("its index does not fit it"))?;
    let mut index = vec![0; len as usize];
    file.read_exact_at(&mut index, end - len)?;
    if crc32c::crc32c(&index) != crc {
        return Err(malformed("the checksum of its index is wrong"));
    }
    let numbers: Vec<u64> = index.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
    let (firsts, rest) = numbers.split_at(blocks as usize);
    let (offsets, rest) = rest.split_at(blocks as usize + 1);
    let (words, ends) = rest.split_at(words as usize);
    let fits = offsets.is_sorted() && offsets[0] >= MAGIC.len() as u64 && offsets[blocks as usize] <= end - len;
    if !fits && blocks > 0 {
        return Err(malformed("a block lies outside"));
    }
    let filter = Filter::of(words.to_vec());
    let (firsts, offsets) = (firsts.to_vec(), offsets.to_vec());
    Ok((Index { firsts, offsets, filter, entries: ends[1], last: ends[0] }, bytes))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let (path, cause) = (path.display(), io_cause(error));
    match error.kind() {
        io::ErrorKind::InvalidData => Failure::permanent(format!("the state's file {path} is damaged: {cause}")),
        _ => Failure::transient(format!("cannot read the state's file {path}: {cause}")),
    }
}

pub(super) fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::transient(format!("cannot write the state's file {}: {}", path.display(), io_cause(error)))
}

#[cfg(test)]
mod tests {
    use super::super::writer::RunWriter;
    use super::*;
    use crate::testing::fuzz::fuzz;

    #[test]
    fn fuzz_runs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        let mut writer = RunWriter::create(&path, 40).unwrap();
        for order in 0..40_u64 {
            let (key, value) = (order.to_le_bytes(), [7; 50]);
            writer.push(Entry { order, key: &key, value: (order % 5 != 0).then_some(&value[..]) }).unwrap();
        }
        drop(writer.finish().unwrap().put_at(&dir.path().join("kept")));
        let whole = std::fs::read(dir.path().join("kept")).or_else(|_| std::fs::read(&path)).unwrap();
        let path = dir.path().join("changed");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let Ok(run) = Run::open(&path, false) else { return };
            let _ =
                (run.entries(), run.range(), run.may_have(3), run.find(3, &3_u64.to_le_bytes(), &mut Probe::default()));
            let Ok(mut cursor) = run.cursor() else { return };
            while cursor.entry().is_some() && cursor.advance().is_ok() {}
        };
        fuzz("run", &[whole], |bytes| {
            read(bytes);
            let Some(end) = bytes.len().checked_sub(FOOTER_BYTES) else { return };
            let number = |at: usize| u64::from_le_bytes(*bytes[end + at..].first_chunk().unwrap());
            let numbers = number(0).checked_mul(2).and_then(|numbers| numbers.checked_add(number(8))?.checked_add(3));
            let Some(len) = numbers.and_then(|numbers| numbers.checked_mul(8)).filter(|len| *len <= end as u64) else {
                return;
            };
            let mut mended = bytes.to_vec();
            let crc = crc32c::crc32c(&bytes[end - len as usize..end]);
            mended[end + 16..end + 20].copy_from_slice(&crc.to_le_bytes());
            read(&mended);
        });
    }
}
