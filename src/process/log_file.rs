//! What processes write, bounded: rotated logs, their tails, and ranges of them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A log file of at most `bytes_max`, with one predecessor (`name.1`) of the same size.
///
/// When it is full it becomes the predecessor, at the end of a line where one is near. Not buffered: what was written can be read.
#[derive(Debug)]
pub struct RotatedLog {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
}

impl RotatedLog {
    /// Opens the log at `path`, going on where it ended.
    ///
    /// # Errors
    /// If the file cannot be opened for writing.
    pub fn open(path: impl Into<PathBuf>, bytes_max: u64) -> io::Result<Self> {
        let path = path.into();
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, file, bytes, bytes_max })
    }

    /// Appends `text`, which should end with a line.
    ///
    /// # Errors
    /// If the disk refuses; what was written before stays.
    pub fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if self.bytes > 0 && self.bytes + text.len() as u64 > self.bytes_max {
            fs::rename(&self.path, predecessor(&self.path))?;
            self.file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            self.bytes = 0;
        }
        self.file.write_all(text)?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn predecessor(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

/// Bytes `start..end` of a file, as YARN's log endpoints count: negative numbers count from the end, an absent end is the end.
/// At most `bytes_max` of them. Also says where the range begins and how large the file is now.
///
/// # Errors
/// If the file cannot be read.
pub fn read_range(path: &Path, start: i64, end: Option<i64>, bytes_max: u64) -> io::Result<(Vec<u8>, u64, u64)> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let place = |at: i64| if at < 0 { size.saturating_sub(at.unsigned_abs()) } else { size.min(at.unsigned_abs()) };
    let start = place(start);
    let end = end.map_or(size, place).clamp(start, start.saturating_add(bytes_max));
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(end - start).read_to_end(&mut bytes)?;
    Ok((bytes, start, size))
}

/// The last lines of a file, at most `bytes_max`; a line cut off at the front is left out. Empty if there is no such file.
pub fn tail(path: &Path, bytes_max: u64) -> String {
    let wanted = i64::try_from(bytes_max).unwrap_or(i64::MAX);
    let Ok((bytes, start, _)) = read_range(path, -wanted, None, bytes_max) else {
        return String::new();
    };
    let whole = match memchr::memchr(b'\n', &bytes) {
        Some(line_end) if start > 0 && line_end + 1 < bytes.len() => &bytes[line_end + 1..],
        _ => &bytes[..],
    };
    String::from_utf8_lossy(whole).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_becomes_its_own_predecessor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("job.out");
        let mut log = RotatedLog::open(&path, 10).unwrap();
        for line in ["one\n", "two\n", "three\n", "four\n", "an overlong line\n"] {
            log.write(line.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(log.path()).unwrap(), "an overlong line\n");
        assert_eq!(fs::read_to_string(directory.path().join("job.out.1")).unwrap(), "four\n");
        let mut again = RotatedLog::open(&path, 100).unwrap();
        again.write(b"more\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "an overlong line\nmore\n");
    }

    #[test]
    fn ranges_count_from_either_end_and_are_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stdout");
        fs::write(&path, "0123456789").unwrap();
        let read = |start, end, max| {
            let (bytes, at, size) = read_range(&path, start, end, max).unwrap();
            assert_eq!(size, 10);
            (String::from_utf8(bytes).unwrap(), at)
        };
        assert_eq!(read(0, None, 100), ("0123456789".to_owned(), 0));
        assert_eq!(read(-3, None, 100), ("789".to_owned(), 7));
        assert_eq!(read(2, Some(-2), 100), ("234567".to_owned(), 2));
        assert_eq!(read(8, Some(3), 100), (String::new(), 8));
        assert_eq!(read(-100, None, 4), ("0123".to_owned(), 0));
        assert_eq!(read(50, None, 4), (String::new(), 10));
    }

    #[test]
    fn a_tail_begins_with_a_whole_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stderr");
        assert_eq!(tail(&path, 10), "");
        fs::write(&path, "first line\nsecond\nthird\n").unwrap();
        assert_eq!(tail(&path, 16), "second\nthird");
        assert_eq!(tail(&path, 4096), "first line\nsecond\nthird");
        fs::write(&path, "one very long line without an end").unwrap();
        assert_eq!(tail(&path, 6), "an end");
    }
}
