//! What a process has used.

use std::time::Duration;

/// CPU time and memory.
pub struct Usage {
    /// User and system.
    pub cpu: Duration,
    /// The most resident memory there was.
    pub peak_mb: f64,
}

impl Usage {
    /// So far. The clock ticks of /proc are fine enough for runs of seconds.
    pub fn of_this_process() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak_kb = peak.and_then(|peak| peak.split_whitespace().next()?.parse::<f64>().ok());
        Self { cpu: Duration::from_millis(ticks * 10), peak_mb: peak_kb.unwrap_or_default() / 1024.0 }
    }
}
