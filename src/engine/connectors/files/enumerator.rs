//! Finds files and divides them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::compression::Compression;
use super::{FileSplit, Listing, in_full, unreadable};
use crate::engine::operators::{Discovery, NextDiscovery, SplitEnumerator};
use crate::graph::task::{Failure, Lane, Split};

/// Size of a split by default: a sixteenth of the file within these bounds, large enough for its costs to vanish, small enough
/// for subtasks to end together.
const SPLIT_BYTES_MIN: u64 = 4 << 20;
const SPLIT_BYTES_MAX: u64 = 32 << 20;

/// Lanes at most: a reader for each is open in every subtask of a job that follows event time.
const LANES_MAX: usize = 64;

/// Lists files and makes splits of those not seen before.
pub(super) struct FileEnumerator {
    path: PathBuf,
    listing: Listing,
    seen: BTreeSet<PathBuf>,
}

impl FileEnumerator {
    pub(super) fn new(path: PathBuf, listing: Listing) -> Self {
        Self { path, listing, seen: BTreeSet::new() }
    }

    fn split(&self, path: &Path, size: u64, lane: Option<Lane>, splits: &mut Vec<Split>) -> Result<(), Failure> {
        let compression = Compression::of(path);
        let split_bytes = match compression {
            Compression::None => self.listing.split_bytes.unwrap_or_else(|| default_split_bytes(size)),
            Compression::Gzip | Compression::Zstd => size,
        };
        let mut start = 0;
        while start < size {
            // The last part takes a small rest along.
            let end = if size - start < split_bytes + split_bytes / 2 { size } else { start + split_bytes };
            let payload = FileSplit { path: path.to_owned(), start, end, size, compression, skip: 0 };
            let payload = serde_json::to_value(payload)
                .map_err(|error| Failure::permanent(format!("cannot read {}: {error}", path.display())))?;
            splits.push(Split { id: format!("{}:{start}", path.display()), payload, lane });
            start = end;
        }
        Ok(())
    }
}

/// The lane of a file of `files`. Each has one of its own, while there are few; else neighbours by name share one, as if one of them
/// went on where the one before it ends, which is so for logs that are rotated. A path that is watched has no lanes: what appears there
/// is later than what was there.
fn lane(number: usize, files: usize, lanes: usize) -> Option<Lane> {
    let index = u32::try_from((number * lanes).checked_div(files)?).ok()?;
    let of = u32::try_from(lanes).ok().filter(|of| *of > 1)?;
    Some(Lane { index, of })
}

/// Depends on the file alone, so that its parts are the same whatever the parallelism.
fn default_split_bytes(size: u64) -> u64 {
    (size / 16).next_power_of_two().clamp(SPLIT_BYTES_MIN, SPLIT_BYTES_MAX)
}

impl SplitEnumerator for FileEnumerator {
    fn discover(&mut self) -> Result<Discovery, Failure> {
        let mut splits = Vec::new();
        let found = list(&self.path, self.listing)?;
        let news = found.into_iter().filter(|(path, _)| self.seen.insert(path.clone()));
        let found: Vec<_> = news.filter(|(_, size)| *size > 0).collect();
        let lanes = if self.listing.monitor.is_some() { 0 } else { found.len().min(LANES_MAX) };
        for (number, (path, size)) in found.iter().enumerate() {
            let lane = lane(number, found.len(), lanes);
            self.split(path, *size, lane, &mut splits)?;
        }
        let next = self.listing.monitor.map_or(NextDiscovery::Complete, NextDiscovery::After);
        Ok(Discovery { splits, next })
    }
}

/// Files and their sizes, ordered by path.
fn list(path: &Path, listing: Listing) -> Result<Vec<(PathBuf, u64)>, Failure> {
    let mut files = Vec::new();
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => list_directory(path, listing.recursive, &mut files)?,
        Ok(metadata) => files.push((path.to_owned(), metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match pattern(path) {
            Some(pattern) => list_matches(path, pattern, listing, &mut files)?,
            None => return Err(unreadable(path, &error)),
        },
        Err(error) => return Err(unreadable(path, &error)),
    }
    files.sort();
    Ok(files)
}

/// The path as a glob pattern, where it has wildcards.
fn pattern(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| text.contains(['*', '?', '[']))
}

fn list_directory(dir: &Path, recursive: bool, files: &mut Vec<(PathBuf, u64)>) -> Result<(), Failure> {
    for entry in fs::read_dir(dir).map_err(|error| unreadable(dir, &error))? {
        let entry = entry.map_err(|error| unreadable(dir, &error))?;
        if is_hidden(&entry.path()) {
            continue;
        }
        match fs::metadata(entry.path()) {
            Ok(metadata) if metadata.is_file() => files.push((entry.path(), metadata.len())),
            Ok(metadata) if metadata.is_dir() && recursive => list_directory(&entry.path(), true, files)?,
            Ok(_) => {}
            // Gone since the directory was read, or a link to nowhere.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unreadable(&entry.path(), &error)),
        }
    }
    Ok(())
}

fn list_matches(path: &Path, pattern: &str, listing: Listing, files: &mut Vec<(PathBuf, u64)>) -> Result<(), Failure> {
    let matches = glob::glob(pattern)
        .map_err(|error| Failure::user(format!("{error}: the pattern {pattern} names no files; quote [, ? and *")))?;
    let before = files.len();
    let mut matched = false;
    for found in matches {
        let found = found.map_err(|error| unreadable(error.path(), error.error()))?;
        let metadata = fs::metadata(&found).map_err(|error| unreadable(&found, &error))?;
        matched = true;
        if metadata.is_dir() {
            list_directory(&found, listing.recursive, files)?;
        } else if !is_hidden(&found) {
            files.push((found, metadata.len()));
        }
    }
    files[before..].sort();
    files.dedup();
    if matched || listing.monitor.is_some() {
        Ok(())
    } else {
        Err(Failure::permanent(format!("no file matches: {}", in_full(path))))
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| matches!(name.as_encoded_bytes().first(), Some(b'.' | b'_')))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BY_TEN: Listing = Listing { split_bytes: Some(10), monitor: None, recursive: false };

    fn found(path: impl AsRef<Path>) -> Result<Vec<String>, String> {
        found_by(path, BY_TEN)
    }

    fn found_by(path: impl AsRef<Path>, listing: Listing) -> Result<Vec<String>, String> {
        let mut enumerator = FileEnumerator::new(path.as_ref().to_owned(), listing);
        let discovery = enumerator.discover().map_err(|failure| failure.message)?;
        assert_eq!(discovery.next, NextDiscovery::Complete);
        let name = |split: &Split| split.id.rsplit('/').next().unwrap().to_owned();
        Ok(discovery.splits.iter().map(name).collect())
    }

    #[test]
    fn a_path_is_a_file_a_directory_or_a_pattern() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.txt", "a.txt", "c.log", ".hidden", "_SUCCESS", "empty.txt", "[x].txt"] {
            fs::write(dir.path().join(name), if name == "empty.txt" { "" } else { "text" }).unwrap();
        }
        fs::create_dir(dir.path().join("below")).unwrap();
        fs::write(dir.path().join("below/d.txt"), "text").unwrap();
        assert_eq!(found(dir.path().join("a.txt")).unwrap(), ["a.txt:0"]);
        assert_eq!(found(dir.path()).unwrap(), ["[x].txt:0", "a.txt:0", "b.txt:0", "c.log:0"]);
        assert_eq!(found(dir.path().join("?.txt")).unwrap(), ["a.txt:0", "b.txt:0"]);
        assert_eq!(found(dir.path().join("[x].txt")).unwrap(), ["[x].txt:0"]);
        assert_eq!(found(dir.path().join("be*")).unwrap(), ["d.txt:0"]);
        fs::create_dir(dir.path().join(".below")).unwrap();
        fs::write(dir.path().join(".below/hidden.txt"), "text").unwrap();
        let all = found_by(dir.path(), Listing { recursive: true, ..BY_TEN }).unwrap();
        assert_eq!(all, ["[x].txt:0", "a.txt:0", "b.txt:0", "d.txt:0", "c.log:0"]);
    }

    #[test]
    fn missing_input_is_said_first() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        assert_eq!(found(&missing).unwrap_err(), format!("no such file or directory: {}", missing.display()));
        let pattern = dir.path().join("*.txt");
        assert_eq!(found(&pattern).unwrap_err(), format!("no file matches: {}", pattern.display()));
        let relative = found("no/such/file").unwrap_err();
        assert!(relative.starts_with("no such file or directory: no/such/file (in /"), "{relative}");
    }

    #[test]
    fn large_files_are_divided_and_small_rests_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        for (size, starts) in [(0, vec![]), (1, vec![0]), (14, vec![0]), (15, vec![0, 10]), (34, vec![0, 10, 20])] {
            fs::write(&file, vec![b'x'; size]).unwrap();
            let expected: Vec<String> = starts.iter().map(|start| format!("file:{start}")).collect();
            assert_eq!(found(&file).unwrap(), expected, "{size}");
        }
    }

    #[test]
    fn a_compressed_file_is_one_part_whatever_its_size() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.gz", "b.zst", "c"] {
            fs::write(dir.path().join(name), [b'x'; 24]).unwrap();
        }
        assert_eq!(found(dir.path()).unwrap(), ["a.gz:0", "b.zst:0", "c:0", "c:10"]);
    }

    #[test]
    fn parts_grow_with_the_file_up_to_a_limit() {
        const MIB: u64 = 1 << 20;
        for (size, expected) in [(0, 4), (5 * MIB, 4), (65 * MIB, 8), (1 << 30, 32), (1 << 40, 32)] {
            assert_eq!(default_split_bytes(size), expected * MIB, "{size}");
        }
    }

    #[test]
    fn a_watched_directory_reports_each_file_once() {
        let dir = tempfile::tempdir().unwrap();
        let interval = Duration::from_secs(7);
        let mut enumerator = FileEnumerator::new(dir.path().to_owned(), Listing { monitor: Some(interval), ..BY_TEN });
        let mut discover = || {
            let discovery = enumerator.discover().unwrap();
            assert_eq!(discovery.next, NextDiscovery::After(interval));
            discovery.splits.len()
        };
        assert_eq!(discover(), 0);
        fs::write(dir.path().join("a"), "text").unwrap();
        assert_eq!(discover(), 1);
        fs::write(dir.path().join("a"), "more text").unwrap();
        fs::write(dir.path().join("b"), "text").unwrap();
        assert_eq!(discover(), 1);
        assert_eq!(discover(), 0);
    }
}
