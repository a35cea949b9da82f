//! What is counted while the world turns.

use std::time::Duration;

/// Counts of latencies in buckets that grow by an eighth: exact enough for percentiles, and small.
#[derive(Debug)]
pub(super) struct Latencies {
    buckets: Vec<u64>,
    count: u64,
    max: Duration,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { buckets: vec![0; 512], count: 0, max: Duration::ZERO }
    }
}

impl Latencies {
    pub(super) fn add(&mut self, took: Duration) {
        self.count += 1;
        self.max = self.max.max(took);
        self.buckets[bucket(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX))] += 1;
    }

    /// The smallest latency that `part` of all do not exceed.
    pub(super) fn percentile(&self, part: f64) -> Duration {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts stay far below 2^52"
        )]
        let wanted = (self.count as f64 * part).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return Duration::from_nanos(upper(index)).min(self.max);
            }
        }
        self.max
    }

    pub(super) fn max(&self) -> Duration {
        self.max
    }
}

/// Eight buckets for each power of two.
fn bucket(nanos: u64) -> usize {
    if nanos < 8 {
        return usize::try_from(nanos).unwrap_or(0);
    }
    let power = nanos.ilog2();
    let within = (nanos >> (power - 3)) & 7;
    (power as usize - 2) * 8 + usize::try_from(within).unwrap_or(0)
}

fn upper(index: usize) -> u64 {
    if index < 8 {
        return index as u64;
    }
    let (power, within) = (index / 8 + 2, index as u64 % 8);
    ((8 + within + 1) << (power - 3)) - 1
}

/// What one run came to.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Containers granted.
    pub(super) committed: u64,
    /// Of them, those whose application took them.
    pub(super) delivered: u64,
    /// Of them, those that ended after their time.
    pub(super) completed: u64,
    /// Of them, those that ended with their node.
    pub(super) lost: u64,
    /// Granted on a host that was asked for, on its rack, and with neither though one was asked for.
    pub(super) on_host: u64,
    pub(super) on_rack: u64,
    pub(super) off: u64,
    pub(super) heartbeats: u64,
    pub(super) node_failures: u64,
    /// Longest that an application wanted something and got nothing.
    pub(super) starved_ms: u64,
    pub(super) utilisation_sum: f64,
    pub(super) samples: u64,
    pub(super) decisions: Latencies,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_an_eighth() {
        let mut latencies = Latencies::default();
        for nanos in 1..=1000 {
            latencies.add(Duration::from_nanos(nanos));
        }
        let median = latencies.percentile(0.5).as_nanos();
        assert!((500..=563).contains(&median), "{median}");
        assert_eq!(latencies.percentile(1.0), Duration::from_nanos(1000));
        for nanos in [0, 1, 7, 8, 9, 100, 12_345, u64::MAX / 2] {
            assert!(upper(bucket(nanos)) >= nanos && (nanos == 0 || upper(bucket(nanos) - 1) < nanos), "{nanos}");
        }
    }
}
