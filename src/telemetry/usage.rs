//! What this process uses of its machine.

use std::fs;

use serde::{Deserialize, Serialize};

use super::process_rss;

/// Numbers of one process. What the system does not tell is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProcessUsage {
    /// Resident memory.
    pub rss_bytes: u64,
    /// Memory of the machine.
    pub machine_memory_bytes: u64,
    /// Processor time since its start, of all its threads.
    pub cpu_ms: u64,
    /// Threads.
    pub threads: u64,
    /// Open file descriptors.
    pub open_files: u64,
    /// How many it may open.
    pub open_files_max: u64,
}

impl ProcessUsage {
    /// Of this process, now. Reads a few files of `/proc`: blocking, some 50 µs.
    pub fn of_self() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            rss_bytes: process_rss().map_or(0, |rss| rss.bytes()),
            machine_memory_bytes: number_after(&read("/proc/meminfo"), "MemTotal:").unwrap_or(0) * 1024,
            cpu_ms: cpu_ms(&read("/proc/self/stat"), rustix::param::clock_ticks_per_second()).unwrap_or(0),
            threads: number_after(&read("/proc/self/status"), "Threads:").unwrap_or(0),
            open_files: fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64),
            open_files_max: number_after(&read("/proc/self/limits"), "Max open files").unwrap_or(0),
        }
    }
}

/// One thread of this process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Thread {
    /// Its name.
    pub name: String,
    /// Its number.
    pub id: u64,
    /// `R` running, `S` sleeping, `D` waiting for a disk.
    pub state: char,
    /// Processor time since its start.
    pub cpu_ms: u64,
}

/// The threads of this process, by number. Blocking.
pub fn threads() -> Vec<Thread> {
    let ticks = rustix::param::clock_ticks_per_second();
    let thread = |entry: fs::DirEntry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (before, after) = (stat.split_once(" (")?, stat.rsplit_once(") ")?.1);
        let name = before.1.rsplit_once(") ")?.0.to_owned();
        Some(Thread {
            name,
            id: before.0.parse().ok()?,
            state: after.chars().next()?,
            cpu_ms: cpu_ms(&stat, ticks).unwrap_or(0),
        })
    };
    let entries = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let mut threads: Vec<Thread> = entries.filter_map(thread).collect();
    threads.sort_by_key(|thread| thread.id);
    threads
}

/// The first number behind `key` at the beginning of a line.
fn number_after(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// User and system time of a `stat` line. A name may hold anything, so fields count from its last parenthesis.
fn cpu_ms(stat: &str, ticks_per_second: u64) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) * 1000 / ticks_per_second.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_what_it_uses() {
        let usage = ProcessUsage::of_self();
        assert!(usage.rss_bytes > 1 << 20 && usage.machine_memory_bytes > usage.rss_bytes, "{usage:?}");
        assert!(usage.threads > 0 && usage.open_files > 0 && usage.open_files_max >= usage.open_files, "{usage:?}");
        let threads = threads();
        assert!(threads.iter().any(|thread| u64::from(std::process::id()) == thread.id), "{threads:?}");
    }

    #[test]
    fn processor_time_is_read_behind_a_hostile_name() {
        let stat = "17 (a) b 1) R 1 17 17 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 3 0 500 1000 30";
        assert_eq!(cpu_ms(stat, 100), Some(2000));
        assert_eq!(cpu_ms("", 100), None);
        assert_eq!(number_after("Name:\tx\nThreads:\t7\n", "Threads:"), Some(7));
    }
}
