//! Which key comes most, from a sample: a subtask that gets one key all the time is why others wait.

use std::sync::Arc;

use crate::engine::record::Batch;

/// Hashes looked at of each batch.
const SAMPLES: usize = 8;
/// Keys counted at a time. One that comes more often than a sixteenth of the time is among them.
const KEYS: usize = 16;
/// Samples after which all counts are halved, so that what was long ago fades.
const FADING: u64 = 8192;
/// A key with so many of a thousand records is told by name.
const NAMED_PERMILLE: u64 = 100;
/// Of its name.
const NAME_CHARS_MAX: usize = 64;

/// A space-saving sketch over some of the hashes of each batch. Its cost is per batch.
#[derive(Default)]
pub(super) struct HotKeys {
    counted: Vec<Counted>,
    samples: u64,
    offset: usize,
    /// The most frequent key when it was last looked up.
    named: Option<(u64, Arc<str>)>,
    /// It is another one since [`Self::take_news`].
    renamed: bool,
}

#[derive(Clone, Copy)]
struct Counted {
    hash: u64,
    /// Too high by `inherited` at most.
    count: u64,
    inherited: u64,
}

impl HotKeys {
    /// Takes note of a batch's keys, if it has some.
    // Never inlined, so that a profile shows what metrics cost.
    #[inline(never)]
    pub(super) fn see(&mut self, batch: &dyn Batch) {
        if let Some(hashes) = batch.hashes() {
            self.count(hashes);
            self.name_from(batch, hashes);
        }
    }

    /// Looks the most frequent key up where it is in `batch`, once: naming it costs more than counting it.
    fn name_from(&mut self, batch: &dyn Batch, hashes: &[u64]) {
        let Some(most) = self.most().filter(|most| self.permille_of(most) >= NAMED_PERMILLE) else {
            self.renamed |= self.named.take().is_some();
            return;
        };
        let hash = most.hash;
        if self.named.as_ref().is_none_or(|(named, _)| *named != hash)
            && let Some(row) = hashes.iter().position(|other| *other == hash)
            && let Some(key) = batch.key_text(row)
        {
            self.named = Some((hash, shortened(&key).into()));
            self.renamed = true;
        }
    }

    /// The name of the most frequent key, or that none is frequent, if that has changed since the last call.
    pub(super) fn take_news(&mut self) -> Option<Option<Arc<str>>> {
        std::mem::take(&mut self.renamed).then(|| self.named.as_ref().map(|(_, name)| Arc::clone(name)))
    }

    fn count(&mut self, hashes: &[u64]) {
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
        self.most().map_or(0, |most| self.permille_of(&most))
    }

    fn most(&self) -> Option<Counted> {
        self.counted.iter().max_by_key(|counted| counted.count - counted.inherited).copied()
    }

    fn permille_of(&self, counted: &Counted) -> u64 {
        ((counted.count - counted.inherited) * 1000).checked_div(self.samples).unwrap_or(0)
    }
}

/// At most [`NAME_CHARS_MAX`] characters of a key: keys may be whole documents.
fn shortened(key: &str) -> String {
    match key.char_indices().nth(NAME_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &key[..end]),
        None => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::record::{Keyed, key_hash};

    /// The share told after so many batches of 1024 rows, of which `hot` per cent have one key.
    fn told(hot: u64, batches: usize) -> u64 {
        let (mut keys, mut random) = (HotKeys::default(), fastrand::Rng::with_seed(3));
        for _ in 0..batches {
            let hashes: Vec<u64> =
                (0..1024).map(|_| if random.u64(..100) < hot { 7 } else { random.u64(..) }).collect();
            keys.count(&hashes);
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
    fn a_hot_key_has_a_name_until_it_is_no_longer_hot() {
        let batch = |keys: &[&str]| {
            let mut batch = Keyed::with_capacity(keys.len());
            keys.iter().map(|key| (*key).to_owned()).for_each(|key: String| batch.push(key_hash(&key), key, ()));
            batch
        };
        let mut keys = HotKeys::default();
        assert_eq!(keys.take_news(), None);
        (0..100).for_each(|_| keys.see(&batch(&["user-7", "user-7", "x"])));
        assert_eq!(keys.take_news(), Some(Some("user-7".into())));
        assert_eq!(keys.take_news(), None);
        let long = "é".repeat(100);
        (0..2000).for_each(|_| keys.see(&batch(&[long.as_str(); 8])));
        assert_eq!(keys.take_news().flatten().map(|name| name.chars().count()), Some(65));
        let mut random = fastrand::Rng::with_seed(4);
        (0..20_000).for_each(|_| keys.see(&batch(&[&random.u64(..).to_string()])));
        assert_eq!(keys.take_news(), Some(None));
    }

    #[test]
    fn what_was_hot_long_ago_fades_and_short_batches_count() {
        let mut keys = HotKeys::default();
        (0..2000).for_each(|_| keys.count(&[7; 1024]));
        assert_eq!(keys.permille(), 1000);
        let mut random = fastrand::Rng::with_seed(4);
        (0..20_000).for_each(|_| keys.count(&[random.u64(..), random.u64(..), random.u64(..)]));
        assert!(keys.permille() < 30, "{}", keys.permille());
        keys.count(&[1]);
    }
}
