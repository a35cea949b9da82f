//! Reads the lines of a split.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use super::super::cause;
use super::super::lines::Lines;
use super::compression::{Compression, Content};
use super::{FileSplit, unreadable};
use crate::engine::formats::DeserializationSchema;
use crate::engine::operators::{OnError, Origin, Output, Polled, SourceReader};
use crate::graph::task::{Failure, Split};

/// Bytes asked for at once.
const READ_BYTES: usize = 512 << 10;

/// Reads one split after the other.
pub(super) struct FileReader<D: DeserializationSchema> {
    present: Option<OpenSplit>,
    buffer: Vec<u8>,
    lines: Lines<D>,
}

impl<D: DeserializationSchema> FileReader<D> {
    pub(super) fn new(schema: Arc<D>, on_error: Option<OnError>) -> Self {
        Self { present: None, buffer: Vec::new(), lines: Lines::new(schema, on_error) }
    }
}

/// A split being read.
struct OpenSplit {
    split: FileSplit,
    content: Content,
    /// Where its content ends, as far as known: a compressed file does not say.
    size: u64,
    /// What is in the buffer and has not been emitted; it begins with a line.
    unread: Range<usize>,
    /// Part of `unread` that is known to hold no line feed.
    searched: usize,
    /// Where the line at the start of `unread` begins in the file.
    position: u64,
    /// Everything up to the content's end is in the buffer.
    at_end: bool,
}

impl<D: DeserializationSchema> SourceReader for FileReader<D> {
    fn assign(&mut self, split: Split) -> Result<(), Failure> {
        let split: FileSplit = serde_json::from_value(split.payload)
            .map_err(|error| Failure::permanent(format!("{error}: part {} of a file", split.id)))?;
        let mut open = OpenSplit::open(split)?;
        if open.split.start > 0 {
            open.skip_line(&mut self.buffer)?;
        }
        self.present = Some(open);
        Ok(())
    }

    fn poll(&mut self, out: &mut dyn Output) -> Result<Polled, Failure> {
        let Some(open) = &mut self.present else { return Ok(Polled::SplitFinished) };
        while !self.lines.is_full() {
            match open.next_line(&mut self.buffer)? {
                Some(line) => self.lines.push(&self.buffer[line.clone()], || open.origin(line.start))?,
                None => {
                    self.lines.warn_of_bad(open.split.path.display());
                    self.present = None;
                    self.lines.emit(out)?;
                    return Ok(Polled::SplitFinished);
                }
            }
        }
        self.lines.emit(out)?;
        Ok(Polled::More)
    }

    fn position(&self) -> Result<serde_json::Value, Failure> {
        let Some(open) = &self.present else { return Ok(serde_json::Value::Null) };
        serde_json::to_value(open.rest()).map_err(|error| Failure::permanent(error.to_string()))
    }

    fn stop(&mut self, _out: &mut dyn Output) -> Result<(), Failure> {
        // Between polls no line is held back.
        self.present = None;
        Ok(())
    }

    fn take_bad_records(&mut self) -> u64 {
        self.lines.take_bad()
    }
}

impl OpenSplit {
    fn open(split: FileSplit) -> Result<Self, Failure> {
        let failed = |error: io::Error| unreadable(&split.path, &error);
        let mut file = File::open(&split.path).map_err(failed)?;
        // A line begins at `start` when the byte before is a line feed; reading from there finds that out like any other.
        let position = split.start.saturating_sub(1).max(split.skip);
        file.seek(SeekFrom::Start(split.start.saturating_sub(1))).map_err(failed)?;
        let mut content = Content::of(file, split.compression, split.size);
        // There is no way into the middle of a compressed file but through its beginning.
        io::copy(&mut content.by_ref().take(split.skip), &mut io::sink()).map_err(failed)?;
        let size = if split.compression == Compression::None { split.size } else { u64::MAX };
        Ok(Self { split, content, size, unread: 0..0, searched: 0, position, at_end: false })
    }

    /// What has not been read.
    fn rest(&self) -> FileSplit {
        match self.split.compression {
            Compression::None => FileSplit { start: self.position.min(self.split.end), ..self.split.clone() },
            Compression::Gzip | Compression::Zstd => FileSplit { skip: self.position, ..self.split.clone() },
        }
    }

    /// Where the line came from that begins at `start` in the buffer.
    fn origin(&self, start: usize) -> Origin {
        let offset = self.position - (self.unread.start - start) as u64;
        Origin { place: self.split.path.display().to_string(), offset: Some(offset) }
    }

    fn skip_line(&mut self, buffer: &mut Vec<u8>) -> Result<(), Failure> {
        // The skipped line is another split's, and may be long: nothing of it is kept.
        loop {
            let unread = &buffer[self.unread.clone()];
            if let Some(feed) = memchr::memchr(b'\n', unread) {
                self.unread.start += feed + 1;
                self.position += feed as u64 + 1;
                return Ok(());
            }
            self.position += unread.len() as u64;
            self.unread = 0..0;
            if self.at_end {
                return Ok(());
            }
            self.read(buffer)?;
        }
    }

    /// Where the next line of this split lies in the buffer, without its line feed; none at the split's end.
    #[inline]
    fn next_line(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Range<usize>>, Failure> {
        if self.position >= self.end() {
            return Ok(None);
        }
        loop {
            let start = self.unread.start;
            if let Some(feed) = memchr::memchr(b'\n', &buffer[start + self.searched..self.unread.end]) {
                let end = start + self.searched + feed;
                self.unread.start = end + 1;
                self.position += (end + 1 - start) as u64;
                self.searched = 0;
                return Ok(Some(start..end));
            }
            self.searched = self.unread.len();
            if self.at_end {
                let rest = self.unread.clone();
                self.unread.start = rest.end;
                self.position += rest.len() as u64;
                self.searched = 0;
                return Ok((!rest.is_empty()).then_some(rest));
            }
            self.read(buffer)?;
        }
    }

    /// Reads on behind what is unread, which moves to the buffer's front.
    #[cold]
    fn read(&mut self, buffer: &mut Vec<u8>) -> Result<(), Failure> {
        buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        let in_file = self.position + self.unread.len() as u64;
        // Up to the split's end at once, beyond it in small steps: there is but the rest of one line to come.
        let want = match self.end().saturating_sub(in_file) {
            0 => READ_BYTES as u64 / 64,
            left => left.min(READ_BYTES as u64),
        };
        let want = want.min(self.size.saturating_sub(in_file));
        let want = usize::try_from(want).unwrap_or(READ_BYTES);
        let filled = self.unread.end;
        if buffer.len() < filled + want {
            // Doubles for a line longer than the buffer.
            buffer.resize((filled + want).max(buffer.len() * 2).max(READ_BYTES), 0);
        }
        let read = loop {
            match self.content.read(&mut buffer[filled..filled + want]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(|error| self.failure(&error, in_file))?,
            }
        };
        self.unread.end += read;
        self.at_end = match self.split.compression {
            Compression::None if read == 0 && in_file < self.size => return Err(self.cut_short(in_file)),
            Compression::None => in_file + read as u64 >= self.size,
            Compression::Gzip | Compression::Zstd => read == 0,
        };
        Ok(())
    }

    /// Where the lines of this split end.
    #[inline]
    fn end(&self) -> u64 {
        // The only split of a compressed file ends with its content.
        if self.size == u64::MAX { u64::MAX } else { self.split.end }
    }

    fn failure(&self, error: &io::Error, position: u64) -> Failure {
        let FileSplit { path, size, .. } = &self.split;
        let Some(packed) = self.content.packed_position(*size) else { return unreadable(path, error) };
        let cause = match error.kind() {
            io::ErrorKind::UnexpectedEof => "the compressed data ends too early".to_owned(),
            _ => format!("the compressed data is damaged ({})", cause(error)),
        };
        Failure::permanent(format!(
            "cannot read {}: {cause}, at byte {packed} of {size}, behind {position} bytes of content; copy it again, and \
             rename files into a watched directory when they are complete",
            path.display()
        ))
    }

    fn cut_short(&self, position: u64) -> Failure {
        let FileSplit { path, size, .. } = &self.split;
        Failure::permanent(format!(
            "cannot read {}: it ends at byte {position} and had {size} bytes when it was found; input must not be cut short \
             while a job reads it",
            path.display()
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, proptest};
    use proptest::strategy::Strategy as _;

    use super::super::TextFileSource;
    use super::super::testing::{read_all, read_with_bad_records};
    use super::*;

    fn lines_of(content: &[u8], split_bytes: u64) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, content).unwrap();
        let lines = read_all(&TextFileSource::new(&path).split_bytes(split_bytes));
        lines.into_iter().map(|line| line.to_string()).collect()
    }

    fn check(content: &str, expected: &[&str]) {
        for split_bytes in [1, 2, 3, 5, 1000] {
            assert_eq!(lines_of(content.as_bytes(), split_bytes), expected, "{content:?} by {split_bytes}");
        }
    }

    #[test]
    fn line_ends_are_dropped_and_empty_lines_kept() {
        check("", &[]);
        check("\n", &[""]);
        check("a", &["a"]);
        check("a\n", &["a"]);
        check("a\n\nb", &["a", "", "b"]);
        check("a\r\nb\r\n", &["a", "b"]);
        check("a\rb\n\r\n", &["a\rb", ""]);
        check("ä\n€\n", &["ä", "€"]);
    }

    #[test]
    fn invalid_text_is_replaced_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, b"good\nb\xffd\n\xc3\n\xc3\xa4\n").unwrap();
        let (lines, bad) = read_with_bad_records(&TextFileSource::new(&path));
        assert_eq!(lines, ["good", "b\u{fffd}d", "\u{fffd}", "ä"]);
        assert_eq!(bad, 2);
    }

    #[test]
    fn lines_longer_than_the_buffer_are_whole() {
        let long = "x".repeat(3 * READ_BYTES + 17);
        let content = format!("a\n{long}\nb\n{long}");
        for split_bytes in [1 << 10, 1 << 20, 1 << 30] {
            let lines = lines_of(content.as_bytes(), split_bytes);
            assert_eq!(lines.len(), 4);
            assert!(lines[1] == long && lines[3] == long && lines[0] == "a" && lines[2] == "b");
        }
    }

    #[test]
    fn a_file_is_read_to_the_size_it_had_when_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "one\ntw").unwrap();
        let grow = || std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
        let lines = super::super::testing::read_after(&TextFileSource::new(&path), grow);
        assert_eq!(lines, ["one", "tw"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn any_division_gives_the_same_lines(
            content in proptest::collection::vec(
                proptest::prop_oneof![4 => any::<char>().prop_map(|c| c.to_string()), 3 => "\n", 1 => "\r\n"], 0..120),
            split_bytes in 1u64..64,
        ) {
            let content = content.concat();
            let expected: Vec<String> = content.split_inclusive('\n').map(|line| {
                let line = line.strip_suffix('\n').unwrap_or(line);
                line.strip_suffix('\r').unwrap_or(line).to_owned()
            }).collect();
            assert_eq!(lines_of(content.as_bytes(), split_bytes), expected);
        }
    }
}
