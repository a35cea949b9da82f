//! Transparent huge pages: not for processes whose threads each touch a little of much.

use std::io;
use std::sync::{Mutex, PoisonError};

use rustix::thread::{disable_transparent_huge_pages, transparent_huge_pages_are_disabled};

/// From now on this process grows by pages of 4 KiB. Where the system hands out 2 MiB at a time, which the allocator asks it to,
/// a process that touches a little of much holds twice what it uses. What it starts has huge pages as ever.
///
/// That the system knows no such switch is fine.
pub fn forgo_huge_pages() {
    let _ = disable_transparent_huge_pages(true);
}

/// Starts a process by `spawn`; it inherits nothing of [`forgo_huge_pages`], which the system would keep across fork and exec.
///
/// A page that another thread of ours touches meanwhile may become a huge one, which costs memory and no more.
pub(super) fn with_huge_pages<T>(spawn: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    // One at a time: who starts a second process meanwhile would take the switch for one that was never thrown.
    static SPAWNING: Mutex<()> = Mutex::new(());
    let _one = SPAWNING.lock().unwrap_or_else(PoisonError::into_inner);
    let forgone = transparent_huge_pages_are_disabled().unwrap_or(false);
    if !forgone {
        return spawn();
    }
    let _ = disable_transparent_huge_pages(false);
    let spawned = spawn();
    let _ = disable_transparent_huge_pages(true);
    spawned
}
