//! What the open batches of a worker may hold together.

use std::sync::atomic::{AtomicI64, Ordering};

/// Counts the bytes of all open batches of a worker. At the cap partitions hand over batches that are not full.
#[derive(Debug)]
pub(super) struct Pool {
    cap: i64,
    used: AtomicI64,
}

impl Pool {
    pub(super) fn new(cap_bytes: u64) -> Self {
        Self { cap: i64::try_from(cap_bytes).unwrap_or(i64::MAX), used: AtomicI64::new(0) }
    }

    /// One partition's share was `before` bytes and is `now`. True when the pool is above its cap.
    pub(super) fn change(&self, before: usize, now: usize) -> bool {
        let change = now as i64 - before as i64;
        self.used.fetch_add(change, Ordering::Relaxed) + change > self.cap
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> i64 {
        self.used.load(Ordering::Relaxed)
    }
}
