//! Which keys a run surely has not.

/// Four bits in one word of 64 for each order: a cache line a question, and one in thirty keys that are not there is looked for.
///
/// Which word is chosen by the order's first bits, so questions in order walk through the filter in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    words: Vec<u64>,
}

/// Bits of the filter an entry.
const BITS: u64 = 10;

impl Filter {
    /// For about so many entries. More only make it less sharp.
    pub(super) fn with_capacity(entries: u64) -> Self {
        let words = usize::try_from((entries * BITS).div_ceil(64)).unwrap_or(0);
        Self { words: vec![0; words.max(1)] }
    }

    pub(super) fn of(words: Vec<u64>) -> Self {
        Self { words }
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    pub(super) fn bytes(&self) -> usize {
        self.words.len() * size_of::<u64>()
    }

    #[inline]
    pub(super) fn add(&mut self, order: u64) {
        let word = self.word(order);
        self.words[word] |= mask(order);
    }

    /// Whether an entry of this order may have been added. Without words anything may.
    #[inline]
    pub(super) fn may_have(&self, order: u64) -> bool {
        let mask = mask(order);
        self.words.get(self.word(order)).is_none_or(|word| word & mask == mask)
    }

    #[inline]
    fn word(&self, order: u64) -> usize {
        ((u128::from(order) * self.words.len() as u128) >> 64) as usize
    }
}

#[inline]
fn mask(order: u64) -> u64 {
    let bit = |shift: u32| 1 << (order >> shift & 63);
    bit(0) | bit(6) | bit(12) | bit(18)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_found_and_little_else() {
        let mut filter = Filter::with_capacity(100_000);
        let orders: Vec<u64> = std::iter::repeat_with(|| fastrand::u64(..)).take(100_000).collect();
        orders.iter().for_each(|order| filter.add(*order));
        assert!(orders.iter().all(|order| filter.may_have(*order)));
        let wrong = (0..100_000).filter(|_| filter.may_have(fastrand::u64(..))).count();
        assert!(wrong < 6000, "{wrong} of 100000");
        assert!(Filter::default().may_have(7));
    }
}
