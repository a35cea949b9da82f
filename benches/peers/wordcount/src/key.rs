//! A word as a table key of 24 bytes: inline up to 23 bytes, its last byte the length.

/// Longest word that is kept inside its key.
pub const INLINE_MAX: usize = 23;

/// Bytes which must be readable from the start of a word on, however short it is.
pub const READABLE: usize = 32;

/// Marks, in the last byte, a key that refers to a word in the arena.
const LONG: u64 = 0xff;

/// 24 bytes: letters, zeroes, length; or for a long word: hash, place in the arena, length (56 bits) and [`LONG`].
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Key(pub [u64; 3]);

/// `MASKS[len]` keeps the first `len` bytes of three little-endian numbers.
static MASKS: [[u64; 3]; INLINE_MAX + 1] = masks();

const fn masks() -> [[u64; 3]; INLINE_MAX + 1] {
    let mut all = [[0; 3]; INLINE_MAX + 1];
    let mut len = 0;
    while len <= INLINE_MAX {
        let mut byte = 0;
        while byte < len {
            all[len][byte / 8] |= 0xff << (byte % 8 * 8);
            byte += 1;
        }
        len += 1;
    }
    all
}

impl Key {
    /// The key of the word of `len` bytes that starts at `start` in `text`.
    ///
    /// # Safety
    /// `len <= INLINE_MAX`, and `READABLE` bytes from `start` on lie inside `text`.
    #[inline(always)]
    pub unsafe fn inline_at(text: &[u8], start: usize, len: usize) -> Self {
        debug_assert!(len <= INLINE_MAX && start + READABLE <= text.len());
        // SAFETY: promised by the caller; any bytes are valid numbers, and the read is unaligned.
        let raw: [u64; 3] = unsafe { text.as_ptr().add(start).cast::<[u64; 3]>().read_unaligned() };
        // SAFETY: promised by the caller.
        let mask = unsafe { MASKS.get_unchecked(len) };
        let last = u64::from_le(raw[2]) & mask[2] | (len as u64) << 56;
        Self([u64::from_le(raw[0]) & mask[0], u64::from_le(raw[1]) & mask[1], last])
    }

    /// The key of a short word that lies anywhere.
    pub fn inline(word: &[u8]) -> Self {
        let mut padded = [0; READABLE];
        padded[..word.len()].copy_from_slice(word);
        assert!(word.len() <= INLINE_MAX);
        // SAFETY: the length was checked, and the buffer holds READABLE bytes.
        unsafe { Self::inline_at(&padded, 0, word.len()) }
    }

    /// The key of a long word kept in an arena.
    pub fn long(hash: u64, place: usize, len: usize) -> Self {
        Self([hash, place as u64, len as u64 | LONG << 56])
    }

    /// Where a long word lies: (hash, place, length).
    pub fn as_long(&self) -> Option<(u64, usize, usize)> {
        let [hash, place, last] = self.0;
        (last >> 56 == LONG).then_some((hash, place as usize, (last & (u64::MAX >> 8)) as usize))
    }

    /// The letters of an inline word, zeroes after them.
    pub fn letters(&self) -> ([u8; 24], usize) {
        let mut bytes = [0; 24];
        for (to, number) in bytes.chunks_exact_mut(8).zip(self.0) {
            to.copy_from_slice(&number.to_le_bytes());
        }
        let len = bytes[23] as usize;
        bytes[23] = 0;
        (bytes, len)
    }

    /// A hash of an inline key: folded multiplications as in rapidhash.
    #[inline(always)]
    pub fn hash(&self) -> u64 {
        let [a, b, c] = self.0;
        fold(a ^ 0x2d35_8dcc_aa6c_78a5, b ^ c ^ 0x8bb8_4b93_962e_acc9) ^ c.wrapping_mul(0x4b33_a62e_d433_d4a3)
    }
}

/// A hash of any bytes, for long words.
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hash = bytes.len() as u64 ^ 0x9e37_79b9_7f4a_7c15;
    for part in bytes.chunks(8) {
        let mut padded = [0; 8];
        padded[..part.len()].copy_from_slice(part);
        hash = fold(hash ^ u64::from_le_bytes(padded), 0x8bb8_4b93_962e_acc9);
    }
    hash
}

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_keeps_the_word_and_nothing_behind_it() {
        let text = b"0123456789abcdefghijklmnopqrstuvwxyz";
        for len in 1..=INLINE_MAX {
            // SAFETY: 2 + 32 bytes are there.
            let key = unsafe { Key::inline_at(text, 2, len) };
            let (letters, found) = key.letters();
            assert_eq!((&letters[..found], found), (&text[2..2 + len], len));
            assert!(key == Key::inline(&text[2..2 + len]) && key.as_long().is_none());
        }
        assert!(Key::inline(b"a") != Key::inline(b"a\0"));
        assert_eq!(Key::long(5, 6, 70).as_long(), Some((5, 6, 70)));
    }
}
