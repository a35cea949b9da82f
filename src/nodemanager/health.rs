//! Whether a node is fit to take containers, and what it uses. Blocking.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::statvfs;

use crate::rpc::io_cause;

/// A disk that is fuller takes no more containers.
const DISK_USE_PERCENT_MAX: u64 = 95;

/// Why the node is unfit; empty if it is fit.
pub(super) fn check_disk(dir: &Path) -> String {
    match probe(dir) {
        Ok(()) => {}
        Err(error) => return format!("{} is not writable: {}", dir.display(), io_cause(&error)),
    }
    match statvfs(dir) {
        Ok(disk) => {
            let used = disk.f_blocks.saturating_sub(disk.f_bfree);
            // As df counts: what is reserved for the system is neither used nor available.
            let usable = used + disk.f_bavail;
            let percent = (used * 100).checked_div(usable).unwrap_or(0);
            if percent >= DISK_USE_PERCENT_MAX {
                return format!(
                    "the disk of {} is {percent} % full; make room below {DISK_USE_PERCENT_MAX} %",
                    dir.display()
                );
            }
            String::new()
        }
        Err(errno) => format!("the disk of {} cannot be looked at: {}", dir.display(), io_cause(&errno.into())),
    }
}

fn probe(dir: &Path) -> io::Result<()> {
    let file = dir.join(".probe");
    fs::write(&file, b"ok")?;
    match fs::remove_file(file) {
        // Two looks at once write and remove the same file, one of them last.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Memory used on the whole machine, in MiB.
pub(super) fn machine_memory_used_mb() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    let kibibytes = field("MemTotal:").unwrap_or(0).saturating_sub(field("MemAvailable:").unwrap_or(0));
    kibibytes >> 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_cannot_be_written_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let report = check_disk(&directory.path().join("gone"));
        assert!(report.contains("gone is not writable: "), "{report}");
        let report = check_disk(directory.path());
        assert!(report.is_empty() || report.contains("% full"), "{report}");
        assert!(machine_memory_used_mb() > 0);
    }

    #[test]
    fn looks_at_the_same_time_do_not_disturb_each_other() {
        let directory = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..200).for_each(|_| probe(directory.path()).unwrap()));
            }
        });
    }
}
