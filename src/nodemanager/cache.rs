//! The bound of the shared cache: copies nobody uses go, those used longest ago first, until the rest is small enough.
//!
//! A copy's time of change is that of its last use. Which copies a container uses stands in a file beside its pid, so a restarted
//! NodeManager knows too. Copies of one application go with it and are no matter here. Blocking.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::directories::{Directories, names, remove};
use crate::rpc::io_cause;
use crate::time::Now;

/// A copy used more recently stays: a container that was just admitted may not be written down yet.
const IDLE_MIN: Duration = Duration::from_secs(600);

struct Copy {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

/// Notes that `copy` is used now.
pub(super) fn touch(copy: &Path, now: Now) {
    // One that cannot be noted counts as older than it is.
    let _ = File::open(copy).and_then(|file| file.set_modified(wall(now)));
}

/// Deletes copies until those left have at most `target_bytes`, as far as they may go.
pub(super) fn shrink(directories: &Directories, target_bytes: u64, now: Now) {
    let mut copies = copies(directories);
    let mut total: u64 = copies.iter().map(|copy| copy.bytes).sum();
    if total <= target_bytes {
        return;
    }
    let in_use = in_use(directories);
    let idle = |copy: &Copy| wall(now).duration_since(copy.used).is_ok_and(|idle| idle >= IDLE_MIN);
    copies.retain(|copy| idle(copy) && !in_use.contains(&copy.path));
    copies.sort_by_key(|copy| copy.used);
    for copy in copies {
        if total <= target_bytes {
            return;
        }
        let removed = if copy.path.is_dir() { remove(&copy.path) } else { fs::remove_file(&copy.path) };
        match removed {
            Ok(()) => {
                total = total.saturating_sub(copy.bytes);
                tracing::info!(path = %copy.path.display(), bytes = copy.bytes, "deleted from the cache");
            }
            Err(error) => tracing::warn!(path = %copy.path.display(), cause = io_cause(&error), "cannot delete a copy"),
        }
    }
}

fn wall(now: Now) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(now.0)
}

fn copies(directories: &Directories) -> Vec<Copy> {
    let mut found = Vec::new();
    for cache in directories.shared_caches() {
        // A name that begins with a dot is still being fetched.
        for name in names(&cache).into_iter().filter(|name| !name.starts_with('.')) {
            let path = cache.join(name);
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let bytes = if metadata.is_dir() { size_of(&path) } else { metadata.len() };
            found.push(Copy { path, bytes, used });
        }
    }
    found
}

fn size_of(directory: &Path) -> u64 {
    let size = |path: PathBuf| match fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_dir() => size_of(&path),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    names(directory).into_iter().map(|name| size(directory.join(name))).sum()
}

/// Writes down which copies a container uses.
pub(super) fn note_use(file: &Path, copies: &[PathBuf]) -> io::Result<()> {
    let lines: Vec<_> = copies.iter().map(|copy| copy.display().to_string()).collect();
    fs::write(file, lines.join("\n"))
}

fn in_use(directories: &Directories) -> BTreeSet<PathBuf> {
    let files = directories.all_private().into_iter().filter_map(|dir| fs::read_to_string(dir.join(USED)).ok());
    files.flat_map(|text| text.lines().map(PathBuf::from).collect::<Vec<_>>()).collect()
}

/// The file's name.
pub(super) const USED: &str = "resources";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ApplicationId, ContainerId};

    #[test]
    fn the_copies_unused_longest_go_first_and_those_in_use_stay() {
        let dir = tempfile::tempdir().unwrap();
        let directories = Directories::new(dir.path().to_owned());
        let now = Now(1_000_000_000);
        let cache = dir.path().join("filecache");
        fs::create_dir_all(cache.join("unpacked.d")).unwrap();
        let copy = |name: &str, idle_s: u64| {
            let path = cache.join(name);
            let content = if path.is_dir() { path.join("inside") } else { path.clone() };
            fs::write(content, [0; 100]).unwrap();
            touch(&path, Now(now.0 - idle_s * 1000));
            path
        };
        let used = copy("used", 9_000);
        for (name, idle_s) in
            [("oldest", 8_000), ("unpacked.d", 7_000), ("old", 6_000), ("recent", 10), (".part", 9_000)]
        {
            copy(name, idle_s);
        }
        let attempt = ApplicationId { cluster_timestamp: 1, sequence: 1 }.attempt(1);
        let private = directories.private(ContainerId::new(attempt, 0, 1));
        fs::create_dir_all(&private).unwrap();
        note_use(&private.join(USED), &[used]).unwrap();

        shrink(&directories, 500, now);
        assert_eq!(names(&cache).len(), 6, "it fits");
        shrink(&directories, 300, now);
        assert_eq!(names(&cache), [".part", "old", "recent", "used"]);
        shrink(&directories, 0, now);
        assert_eq!(names(&cache), [".part", "recent", "used"]);
    }
}
