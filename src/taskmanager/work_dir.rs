//! The work directory of a standalone TaskManager: its own while it lives, gone when it has ended.
//!
//! Whoever holds the lock on `<directory>/lock` lives. One that was killed cannot remove its directory; the next TaskManager that
//! starts beside it does. In a container the node removes everything.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::rpc::io_cause;

/// How the directories are named, below that of the user.
pub(super) const PREFIX: &str = "taskmanager-";
const LOCK: &str = "lock";

/// A directory held by this process; removed when dropped.
#[derive(Debug)]
pub(super) struct WorkDir {
    path: PathBuf,
    _lock: File,
}

impl WorkDir {
    /// Makes and holds `path`, after removing what ended TaskManagers left beside it. Blocking.
    ///
    /// # Errors
    /// [`io::Error`] if it cannot be made, or another TaskManager holds it.
    pub(super) fn hold(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        // Held while directories come and go, so that nobody takes a new one for an abandoned one.
        let among = File::create(path.with_file_name(".taskmanagers.lock"))?;
        flock(&among, FlockOperation::LockExclusive)?;
        fs::create_dir_all(path)?;
        let lock = File::create(path.join(LOCK))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| io::Error::new(io::ErrorKind::AlreadyExists, "another TaskManager uses it"))?;
        for abandoned in siblings(path).into_iter().filter(|sibling| is_abandoned(sibling)) {
            remove(&abandoned);
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn siblings(path: &Path) -> Vec<PathBuf> {
    let entries = path.parent().map(fs::read_dir).into_iter().flatten().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    ours.map(|entry| entry.path()).filter(|sibling| sibling != path).collect()
}

fn is_abandoned(dir: &Path) -> bool {
    File::open(dir.join(LOCK)).is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok())
}

fn remove(dir: &Path) {
    if let Err(error) = fs::remove_dir_all(dir)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %dir.display(), cause = io_cause(&error), "cannot remove a TaskManager's directory");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_goes_with_its_task_manager_or_with_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(format!("{PREFIX}{name}"));
        let first = WorkDir::hold(&place("first")).unwrap();
        assert!(WorkDir::hold(&place("first")).unwrap_err().to_string().contains("another TaskManager"));
        // As a killed one leaves it, and what is somebody else's.
        for name in [place("killed"), dir.path().join("storage")] {
            fs::create_dir(&name).unwrap();
            fs::write(name.join(LOCK), "").unwrap();
        }
        let second = WorkDir::hold(&place("second")).unwrap();
        let exists = |name: &str| place(name).exists();
        assert!(exists("first") && exists("second") && !exists("killed") && dir.path().join("storage").exists());
        drop(first);
        assert!(!exists("first") && exists("second"));
        drop(second);
        assert!(!exists("second"));
    }
}
