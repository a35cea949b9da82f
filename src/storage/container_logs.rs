//! What containers wrote, collected when they have ended: `<dir>/<application>/<container>/<file>`. YARN's log aggregation.
//!
//! A container's directory appears whole, by a rename, and does not change. Of long files the end is kept.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;

use super::Error;
use crate::ids::{ApplicationId, ContainerId};

/// Of one file. What flott's daemons and workers write is rotated below it.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Of one container.
const FILES_LEN_MAX: usize = 64;

/// The collected logs of all applications. Blocking.
#[derive(Clone, Debug)]
pub struct ContainerLogs {
    dir: PathBuf,
}

impl ContainerLogs {
    /// In `dir`, which need not be there.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    fn of_application(&self, application: ApplicationId) -> PathBuf {
        self.dir.join(application.to_string())
    }

    /// Where the logs of a container are, once they have been collected.
    pub fn find(&self, container: ContainerId) -> Option<PathBuf> {
        let path = self.path(container);
        fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()).then_some(path)
    }

    fn path(&self, container: ContainerId) -> PathBuf {
        self.of_application(container.attempt.application).join(container.to_string())
    }

    /// The containers of an application whose logs have been collected, in order.
    pub fn containers(&self, application: ApplicationId) -> Vec<ContainerId> {
        let names = fs::read_dir(self.of_application(application)).into_iter().flatten().flatten();
        let mut found: Vec<ContainerId> = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        found.sort();
        found
    }

    /// Collects the files in `from`, unless that was done before. Empty files, and whatever is no plain file, are left out.
    ///
    /// # Errors
    /// [`Error::Io`]; nothing is kept then.
    pub fn put(&self, container: ContainerId, from: &Path) -> Result<(), Error> {
        let path = self.path(container);
        if path.exists() {
            return Ok(());
        }
        let application = self.of_application(container.attempt.application);
        let temporary = application.join(format!(".{container}-{:08x}", fastrand::u32(..)));
        let copied = fs::create_dir_all(&application).and_then(|()| copy(from, &temporary));
        let outcome = match copied.and_then(|()| fs::rename(&temporary, &path)) {
            // Somebody else was quicker.
            Err(_) if path.exists() => Ok(()),
            outcome => outcome.map_err(Error::io("collect logs into", &path)),
        };
        // Gone if it was renamed.
        let _ = fs::remove_dir_all(&temporary);
        outcome
    }

    /// Removes the logs of applications to which nothing was added for longer than `keep`; returns how many.
    pub fn sweep(&self, keep: Duration) -> usize {
        let applications = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let is_old = |path: &Path| age(path).is_some_and(|age| age > keep);
        let old = applications.map(|entry| entry.path()).filter(|path| is_old(path));
        old.filter(|path| fs::remove_dir_all(path).is_ok()).count()
    }
}

fn age(path: &Path) -> Option<Duration> {
    let changed: SystemTime = fs::symlink_metadata(path).ok()?.modified().ok()?;
    changed.elapsed().ok()
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o750).create(to)?;
    let mut names: Vec<_> = fs::read_dir(from)?.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    for name in names.into_iter().take(FILES_LEN_MAX) {
        copy_end(&from.join(&name), &to.join(&name))?;
    }
    Ok(())
}

/// Copies the last [`FILE_BYTES_MAX`] of a file, whole lines of it, and says in front what is missing.
fn copy_end(from: &Path, to: &Path) -> io::Result<()> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    // A link, say: the container made it, and it may lead anywhere.
    let Ok(mut file) = OpenOptions::new().read(true).custom_flags(flags).open(from) else { return Ok(()) };
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() == 0 {
        return Ok(());
    }
    let skipped = metadata.len().saturating_sub(FILE_BYTES_MAX);
    file.seek(SeekFrom::Start(skipped))?;
    let mut content = BufReader::new(file.take(FILE_BYTES_MAX));
    let mut out = BufWriter::new(File::create(to)?);
    if skipped > 0 {
        let cut = skip_line(&mut content)?;
        writeln!(out, "[{} bytes before this were not collected]", skipped + cut)?;
    }
    io::copy(&mut content, &mut out)?;
    out.flush()?;
    out.get_ref().set_modified(metadata.modified()?)
}

fn skip_line(content: &mut BufReader<impl Read>) -> io::Result<u64> {
    const LINE_BYTES_MAX: u64 = 64 << 10;
    let mut line = Vec::new();
    let length = content.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    Ok(length as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(number: u64) -> ContainerId {
        ContainerId::new(ApplicationId { cluster_timestamp: 1, sequence: 1 }.attempt(1), 0, number)
    }

    #[test]
    fn logs_are_collected_whole_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let (from, logs) = (dir.path().join("from"), ContainerLogs::new(dir.path().join("to")));
        fs::create_dir(&from).unwrap();
        fs::write(from.join("stdout"), "said\n").unwrap();
        fs::write(from.join("stderr"), "").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", from.join("link")).unwrap();
        fs::create_dir(from.join("directory")).unwrap();
        assert_eq!((logs.find(container(2)), logs.containers(container(2).attempt.application)), (None, vec![]));
        logs.put(container(2), &from).unwrap();
        let there = logs.find(container(2)).unwrap();
        let names: Vec<_> = fs::read_dir(&there).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["stdout"]);
        assert_eq!(fs::read_to_string(there.join("stdout")).unwrap(), "said\n");
        fs::write(from.join("stdout"), "changed\n").unwrap();
        logs.put(container(2), &from).unwrap();
        assert_eq!(fs::read_to_string(there.join("stdout")).unwrap(), "said\n");
        logs.put(container(1), &from).unwrap();
        assert_eq!(logs.containers(container(2).attempt.application), [container(1), container(2)]);
        assert!(logs.put(container(3), &dir.path().join("nothing")).is_err());
        assert_eq!(fs::read_dir(there.parent().unwrap()).unwrap().count(), 2, "what failed leaves nothing");
    }

    #[test]
    fn of_a_long_file_whole_lines_of_its_end_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (from, logs) = (dir.path().join("from"), ContainerLogs::new(dir.path().join("to")));
        fs::create_dir(&from).unwrap();
        let text = "a line of 16 b.\n".repeat((FILE_BYTES_MAX / 16 + 100) as usize) + "last\n";
        fs::write(from.join("stdout"), &text).unwrap();
        logs.put(container(1), &from).unwrap();
        let kept = fs::read_to_string(logs.find(container(1)).unwrap().join("stdout")).unwrap();
        let (note, rest) = kept.split_once('\n').unwrap();
        let missing = text.len() - rest.len();
        assert_eq!(note, format!("[{missing} bytes before this were not collected]"));
        assert!(text.ends_with(rest) && rest.starts_with("a line") && rest.len() as u64 <= FILE_BYTES_MAX);
    }

    #[test]
    fn logs_go_when_nothing_was_added_for_long() {
        let dir = tempfile::tempdir().unwrap();
        let (from, logs) = (dir.path().join("from"), ContainerLogs::new(dir.path().join("to")));
        fs::create_dir(&from).unwrap();
        logs.put(container(1), &from).unwrap();
        assert_eq!(logs.sweep(Duration::from_secs(60)), 0);
        let application = logs.of_application(container(1).attempt.application);
        File::open(&application).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!((logs.sweep(Duration::from_secs(60)), logs.find(container(1))), (1, None));
    }
}
