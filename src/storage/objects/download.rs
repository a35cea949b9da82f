//! Reading an object in ranges.

use std::io::{self, Read, Seek, SeekFrom};

use bytes::Bytes;

use super::{Object, Objects, Pending, explain, given_up, io_error};
use crate::storage::Error;

/// A range that nobody announced; one that is read on doubles, up to the largest.
const RANGE_BYTES_MIN: u64 = 256 << 10;
const RANGE_BYTES_MAX: u64 = 8 << 20;

/// An object that is being read. What is read on is fetched ahead; what is asked for here and there is not.
pub struct Download {
    objects: Objects,
    object: Object,
    len: u64,
    position: u64,
    /// What was fetched last, and where it begins.
    fetched: Bytes,
    start: u64,
    /// Bytes of the next range.
    range: u64,
    /// What follows it, under way.
    ahead: Option<(u64, Pending<object_store::Result<Bytes>>)>,
}

impl Download {
    pub(super) fn new(objects: Objects, object: Object, len: u64) -> Self {
        let (fetched, range) = (Bytes::new(), RANGE_BYTES_MIN);
        Self { objects, object, len, position: 0, fetched, start: 0, range, ahead: None }
    }

    /// What was fetched and begins at the position; fetched now if nothing was.
    fn here(&mut self) -> Result<&[u8], Error> {
        let end = self.start + self.fetched.len() as u64;
        if !(self.start..end).contains(&self.position) {
            let reads_on = self.position == end && end > 0;
            self.fetch(reads_on)?;
        }
        Ok(&self.fetched[(self.position - self.start) as usize..])
    }

    fn fetch(&mut self, reads_on: bool) -> Result<(), Error> {
        let ahead = self.ahead.take().filter(|(start, _)| *start == self.position);
        self.range = if reads_on { (self.range * 2).min(RANGE_BYTES_MAX) } else { RANGE_BYTES_MIN };
        let (start, fetching) = match ahead {
            Some(ahead) => ahead,
            None => {
                // Of the end all is wanted: an index, and what says where it begins.
                let last = self.len.saturating_sub(RANGE_BYTES_MIN);
                let start = if self.position > last && !reads_on { last } else { self.position };
                (start, self.begin(start)?)
            }
        };
        let place = &self.object.place;
        let fetched = fetching.wait().ok_or_else(|| given_up("read", place))?;
        self.fetched = fetched.map_err(|error| explain::error("read", place, &error))?;
        self.start = start;
        let next = start + self.fetched.len() as u64;
        if reads_on && next < self.len {
            self.ahead = Some((next, self.begin(next)?));
        }
        Ok(())
    }

    fn begin(&self, start: u64) -> Result<Pending<object_store::Result<Bytes>>, Error> {
        let end = (start + self.range).min(self.len);
        self.objects.begin_range(&self.object, start..end)
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.len || buffer.is_empty() {
            return Ok(0);
        }
        let here = self.here().map_err(io_error)?;
        let count = here.len().min(buffer.len());
        buffer[..count].copy_from_slice(&here[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Download {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.len.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}
