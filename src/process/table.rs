//! The machine's processes at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};

/// One process, from `/proc/<pid>/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub pid: u32,
    /// Its parent.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// Its session.
    pub session: u32,
    /// When it was started, in the kernel's ticks since the boot.
    pub started_ticks: u64,
    /// Its resident set, in pages.
    pub rss_pages: u64,
    /// Whether it has ended and waits to be reaped.
    pub ended: bool,
}

impl Entry {
    pub(super) fn parse(stat: &[u8]) -> Option<Self> {
        // The name stands in parentheses and may hold anything, parentheses too: the last one counts.
        let open = memchr::memchr(b'(', stat)?;
        let close = memchr::memrchr(b')', stat)?;
        let pid = std::str::from_utf8(&stat[..open]).ok()?.trim().parse().ok()?;
        let mut fields = std::str::from_utf8(&stat[close + 1..]).ok()?.split_ascii_whitespace();
        let state = fields.next()?;
        let mut number = |skip: usize| fields.nth(skip)?.parse::<u64>().ok();
        let parent = u32::try_from(number(0)?).ok()?;
        let group = u32::try_from(number(0)?).ok()?;
        let session = u32::try_from(number(0)?).ok()?;
        // Fields 7 to 21 lie between; some of them are negative, and none is of interest.
        let started_ticks = number(15)?;
        let rss_pages = number(1)?;
        Some(Self { pid, parent, group, session, started_ticks, rss_pages, ended: matches!(state, "Z" | "X" | "x") })
    }
}

/// What a tree uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Sum of the resident sets; pages shared between its processes count for each.
    pub rss_bytes: u64,
    /// How many processes run.
    pub processes: u32,
}

/// All processes of the machine at about one moment. Reading it costs some 10 µs a process: read once for many trees, off
/// the control runtime.
#[derive(Clone, Debug, Default)]
pub struct Table {
    entries: BTreeMap<u32, Entry>,
}

impl Table {
    /// Reads `/proc`. Processes that end meanwhile are left out.
    ///
    /// # Errors
    /// If `/proc` cannot be listed.
    pub fn read() -> io::Result<Self> {
        let mut entries = BTreeMap::new();
        let mut stat = Vec::with_capacity(512);
        for directory in fs::read_dir("/proc")? {
            let name = directory?.file_name();
            let Some(pid) = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) else {
                continue;
            };
            stat.clear();
            let read = File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read_to_end(&mut stat));
            if let Some(entry) = read.ok().and_then(|_| Entry::parse(&stat)) {
                entries.insert(entry.pid, entry);
            }
        }
        Ok(Self { entries })
    }

    /// The process with this number.
    pub fn get(&self, pid: u32) -> Option<&Entry> {
        self.entries.get(&pid)
    }

    /// Every process that has not ended and belongs to the tree of `leader`: its session, its group, and all descendants.
    /// The leader itself may be gone.
    pub fn tree(&self, leader: u32) -> Vec<Entry> {
        let mut members: BTreeSet<u32> = self
            .entries
            .values()
            .filter(|entry| entry.pid == leader || entry.group == leader || entry.session == leader)
            .map(|entry| entry.pid)
            .collect();
        if members.is_empty() {
            return Vec::new();
        }
        // A child may have a smaller number than its parent, so repeat until nothing is added: two rounds as a rule.
        loop {
            let before = members.len();
            for entry in self.entries.values() {
                if members.contains(&entry.parent) {
                    members.insert(entry.pid);
                }
            }
            if members.len() == before {
                break;
            }
        }
        members.into_iter().filter_map(|pid| self.entries.get(&pid)).filter(|entry| !entry.ended).copied().collect()
    }

    /// What the tree of `leader` uses.
    pub fn usage(&self, leader: u32) -> Usage {
        let page = rustix::param::page_size() as u64;
        self.tree(leader).iter().fold(Usage::default(), |usage, entry| Usage {
            rss_bytes: usage.rss_bytes + entry.rss_pages * page,
            processes: usage.processes + 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(u32, u32, u32, u32)]) -> Table {
        let entry = |&(pid, parent, group, session)| {
            let entry = Entry { pid, parent, group, session, started_ticks: 0, rss_pages: 1, ended: false };
            (pid, entry)
        };
        Table { entries: rows.iter().map(entry).collect() }
    }

    #[test]
    fn a_line_with_a_hostile_name_is_understood() {
        let line =
            b"42 (a) R 1 (b)) S 7 42 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 25 18446744073709551615 1";
        let expected =
            Entry { pid: 42, parent: 7, group: 42, session: 40, started_ticks: 987_654, rss_pages: 25, ended: false };
        assert_eq!(Entry::parse(line), Some(expected));
        assert_eq!(Entry::parse(b"nonsense"), None);
    }

    #[test]
    fn a_tree_is_session_group_and_descendants_wherever_they_moved() {
        let table = table(&[
            (1, 0, 1, 1),
            (100, 1, 100, 100),   // the leader
            (101, 100, 101, 100), // a group of its own, same session
            (90, 101, 90, 90),    // left the session, but is a descendant with a smaller number
            (102, 1, 101, 100),   // orphaned, found by the session
            (103, 1, 103, 103),   // a stranger
        ]);
        let pids: Vec<u32> = table.tree(100).iter().map(|entry| entry.pid).collect();
        assert_eq!(pids, [90, 100, 101, 102]);
        assert_eq!(table.usage(100).processes, 4);
        assert!(table.tree(104).is_empty());
    }

    #[test]
    fn the_own_process_is_in_the_table_with_its_memory() {
        let table = Table::read().unwrap();
        let own = table.get(std::process::id()).unwrap();
        assert!(own.rss_pages > 100);
        assert!(table.usage(std::process::id()).rss_bytes > 1 << 20);
    }
}
