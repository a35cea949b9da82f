//! Text whose words follow Zipf's law: the word of rank `r` has weight `1 / r`.
//!
//! Deterministic on every machine: only integer arithmetic and IEEE division and addition are used (no `powf`, no `ln`), and
//! each block of text has a random generator of its own, so the number of threads does not matter.

use std::collections::HashSet;

/// SplitMix64: one multiplication chain per number, any seed is a good one.
pub struct Random(u64);

impl Random {
    /// The generator number `stream` of `seed`.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut seeder = Self(seed ^ stream.wrapping_mul(0xd6e8_feb8_6659_fd93));
        Self(seeder.bits())
    }

    /// The next 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit` (a small one: the bias is `limit / 2^32`).
    #[inline]
    pub fn below(&mut self, limit: u64) -> u64 {
        ((self.bits() >> 32) * limit) >> 32
    }
}

/// One word in 16 bytes: its letters, then in the last byte its length.
type Spelling = [u8; 16];

/// One column of Walker's alias table: take this rank if the draw is below `threshold`, else `alias`.
#[derive(Clone, Copy)]
struct Column {
    threshold: u32,
    alias: u32,
}

/// A vocabulary and the law by which words are drawn from it.
pub struct Vocabulary {
    spellings: Vec<Spelling>,
    columns: Vec<Column>,
}

impl Vocabulary {
    /// `distinct` different words; the spelling depends on `seed`.
    pub fn new(distinct: usize, seed: u64) -> Self {
        assert!((1..1 << 28).contains(&distinct), "between 1 and 2^28 words");
        Self { spellings: spellings(distinct, seed), columns: alias_columns(distinct) }
    }

    /// Appends lines of 8 to 12 words to `text` until it holds at least `bytes`.
    pub fn write_block(&self, random: &mut Random, text: &mut Vec<u8>, bytes: usize) {
        const LINE_BYTES_MAX: usize = 12 * 15;
        text.resize(bytes + LINE_BYTES_MAX + 16, 0);
        let mut at = 0;
        while at < bytes {
            let words = 8 + random.below(5);
            for _ in 0..words {
                let bits = random.bits();
                let index = (((bits >> 32) * self.columns.len() as u64) >> 32) as usize;
                let column = self.columns[index];
                let rank = if (bits as u32) < column.threshold { index } else { column.alias as usize };
                let spelling = &self.spellings[rank];
                // The word's whole slot is copied; what is beyond its end is overwritten by the next.
                text[at..at + 16].copy_from_slice(spelling);
                at += spelling[15] as usize;
                text[at] = b' ';
                at += 1;
            }
            text[at - 1] = b'\n';
        }
        text.truncate(at);
    }
}

/// Walker's alias method by Vose's two stacks, in exact integers: weights are `2^63 / r` scaled to a common mean.
fn alias_columns(distinct: usize) -> Vec<Column> {
    let weights: Vec<u128> = (1..=distinct as u128).map(|rank| (1 << 63) / rank).collect();
    let mean = weights.iter().sum::<u128>() / distinct as u128;
    let mut rest = weights;
    let mut columns = vec![Column { threshold: u32::MAX, alias: 0 }; distinct];
    let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..distinct).partition(|&rank| rest[rank] < mean);
    while let (Some(poor), Some(&rich)) = (small.pop(), large.last()) {
        let threshold = ((rest[poor] << 32) / mean) as u32;
        columns[poor] = Column { threshold, alias: rich as u32 };
        rest[rich] -= mean - rest[poor];
        if rest[rich] < mean {
            large.pop();
            small.push(rich);
        }
    }
    // What rounding left over takes itself always.
    for rank in small.into_iter().chain(large) {
        columns[rank] = Column { threshold: u32::MAX, alias: rank as u32 };
    }
    columns
}

/// Pronounceable different words, short for low ranks: vowels and consonants alternate, by their frequency in English.
fn spellings(distinct: usize, seed: u64) -> Vec<Spelling> {
    const VOWELS: &[u8] = b"eeeeeeaaaaoooooiiiiuuy";
    const CONSONANTS: &[u8] = b"ttttttnnnnnsssssrrrrrhhhhhlllldddccmmmffwwpggbvkxjqz";
    let mut random = Random::new(seed, u64::MAX);
    let mut seen = HashSet::with_capacity(distinct);
    let mut all = Vec::with_capacity(distinct);
    for rank in 0..distinct {
        let mut len = length_of_rank(rank, &mut random);
        let mut tries = 0;
        all.push(loop {
            let mut word: Spelling = [b' '; 16];
            let mut vowel = random.below(100) < 40;
            for letter in &mut word[..len] {
                let from = if vowel { VOWELS } else { CONSONANTS };
                *letter = from[random.below(from.len() as u64) as usize];
                // One time in five the same kind follows, as in "st" or "ea".
                vowel ^= random.below(5) != 0;
            }
            word[15] = len as u8;
            if seen.insert(word) {
                break word;
            }
            tries += 1;
            if tries % 8 == 0 && len < 14 {
                len += 1;
            }
        });
    }
    all
}

/// 2 to 14 letters: about two more for each factor of ten in rank, with a spread of five.
fn length_of_rank(rank: usize, random: &mut Random) -> usize {
    let decade = (rank + 1).ilog10() as usize;
    let spread = (random.below(3) + random.below(3)) as usize;
    (match decade {
        0 => 2 + spread / 4,
        1 => 2 + spread / 2,
        2 => 2 + spread,
        3 => 3 + spread,
        4 => 5 + spread,
        _ => 6 + spread + random.below(5) as usize,
    })
    .min(14)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_the_same_for_a_seed_and_differs_between_seeds() {
        let text = |seed| {
            let mut text = Vec::new();
            Vocabulary::new(1000, seed).write_block(&mut Random::new(seed, 3), &mut text, 1000);
            text
        };
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
        assert!(text(1).iter().all(|&b| b.is_ascii_lowercase() || b == b' ' || b == b'\n'));
        assert_eq!(text(1).last(), Some(&b'\n'));
    }

    #[test]
    fn first_rank_is_drawn_twice_as_often_as_the_second() {
        let vocabulary = Vocabulary::new(10_000, 7);
        let mut text = Vec::new();
        vocabulary.write_block(&mut Random::new(7, 0), &mut text, 20_000_000);
        let of = |rank: usize| {
            let spelling = &vocabulary.spellings[rank];
            let word = &spelling[..spelling[15] as usize];
            text.split(|b| b.is_ascii_whitespace()).filter(|w| *w == word).count() as f64
        };
        let (first, second, hundredth) = (of(0), of(1), of(99));
        assert!((first / second - 2.0).abs() < 0.02, "{first} / {second}");
        assert!((first / hundredth - 100.0).abs() < 5.0, "{first} / {hundredth}");
    }
}
