//! Holding a process tree to its memory. Pure.

/// What a process tree uses, against what it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryWatch {
    limit_bytes: u64,
    rss_bytes: u64,
    peak_bytes: u64,
    was_over: bool,
}

impl MemoryWatch {
    /// Nothing is used yet.
    pub fn new(limit_bytes: u64) -> Self {
        Self { limit_bytes, rss_bytes: 0, peak_bytes: 0, was_over: false }
    }

    /// Takes in a measurement; true if the tree has to be killed.
    ///
    /// A process that has just forked counts twice until its child has called exec, so being over the limit is forgiven once, unless it
    /// is by more than the double. YARN's rule.
    pub fn observe(&mut self, rss_bytes: u64) -> bool {
        self.rss_bytes = rss_bytes;
        self.peak_bytes = self.peak_bytes.max(rss_bytes);
        let over = rss_bytes > self.limit_bytes;
        let was_over = std::mem::replace(&mut self.was_over, over);
        over && (was_over || rss_bytes > self.limit_bytes.saturating_mul(2))
    }

    /// What it used when last measured.
    pub fn rss_bytes(&self) -> u64 {
        self.rss_bytes
    }

    /// The most it was seen to use, in MiB, rounded up.
    pub fn peak_mb(&self) -> u64 {
        self.peak_bytes.div_ceil(1 << 20)
    }

    /// What it may use, in MiB.
    pub fn limit_mb(&self) -> u64 {
        self.limit_bytes >> 20
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_the_limit_is_forgiven_once_and_over_the_double_never() {
        let mut watch = MemoryWatch::new(100);
        assert_eq!([100, 150, 100, 101, 101].map(|rss| watch.observe(rss)), [false, false, false, false, true]);
        assert!(MemoryWatch::new(100).observe(201));
        assert!(!MemoryWatch::new(100).observe(200));
    }
}
