//! Which key comes most, from a sample: a subtask that gets one key all the time is why others wait.

/// Hashes looked at of each batch.
const SAMPLES: usize = 8;
/// Keys counted at a time. One that comes more often than a sixteenth of the time is among them.
const KEYS: usize = 16;
/// Samples after which all counts are halved, so that what was long ago fades.
const FADING: u64 = 8192;

/// A space-saving sketch over some of the hashes of each batch. Its cost is per batch.
#[derive(Default)]
pub(super) struct HotKeys {
    counted: Vec<Counted>,
    samples: u64,
    offset: usize,
}

#[derive(Clone, Copy)]
struct Counted {
    hash: u64,
    /// Too high by `inherited` at most.
    count: u64,
    inherited: u64,
}

impl HotKeys {
    /// Takes note of a batch's keys.
    pub(super) fn see(&mut self, hashes: &[u64]) {
        let stride = hashes.len().div_ceil(SAMPLES);
        // Not the same rows of each batch: a source may have a rhythm.
        self.offset = (self.offset * 5 + 3) % 8191;
        for hash in hashes.iter().skip(self.offset % stride.max(1)).step_by(stride.max(1)) {
            self.add(*hash);
        }
        if self.samples >= FADING {
            self.samples /= 2;
            for counted in &mut self.counted {
                counted.count /= 2;
                counted.inherited /= 2;
            }
        }
    }

    fn add(&mut self, hash: u64) {
        self.samples += 1;
        if let Some(counted) = self.counted.iter_mut().find(|counted| counted.hash == hash) {
            counted.count += 1;
        } else if self.counted.len() < KEYS {
            self.counted.push(Counted { hash, count: 1, inherited: 0 });
        } else if let Some(least) = self.counted.iter_mut().min_by_key(|counted| counted.count) {
            *least = Counted { hash, count: least.count + 1, inherited: least.count };
        }
    }

    /// Of a thousand records, how many at least had the most frequent key.
    pub(super) fn permille(&self) -> u64 {
        let most = self.counted.iter().map(|counted| counted.count - counted.inherited).max().unwrap_or(0);
        (most * 1000).checked_div(self.samples).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share told after so many batches of 1024 rows, of which `hot` per cent have one key.
    fn told(hot: u64, batches: usize) -> u64 {
        let (mut keys, mut random) = (HotKeys::default(), fastrand::Rng::with_seed(3));
        for _ in 0..batches {
            let hashes: Vec<u64> =
                (0..1024).map(|_| if random.u64(..100) < hot { 7 } else { random.u64(..) }).collect();
            keys.see(&hashes);
        }
        keys.permille()
    }

    #[test]
    fn a_hot_key_is_told_with_its_share_and_even_keys_are_not() {
        assert_eq!(HotKeys::default().permille(), 0);
        for hot in [20, 50, 99] {
            let told = told(hot, 2000);
            assert!(told.abs_diff(hot * 10) <= 60, "{told} of {hot} %");
        }
        assert!(told(0, 2000) < 20, "{}", told(0, 2000));
    }

    #[test]
    fn what_was_hot_long_ago_fades_and_short_batches_count() {
        let mut keys = HotKeys::default();
        (0..2000).for_each(|_| keys.see(&[7; 1024]));
        assert_eq!(keys.permille(), 1000);
        let mut random = fastrand::Rng::with_seed(4);
        (0..20_000).for_each(|_| keys.see(&[random.u64(..), random.u64(..), random.u64(..)]));
        assert!(keys.permille() < 30, "{}", keys.permille());
        keys.see(&[1]);
    }
}
