//! Where the words end: a mask of white space, 64 bytes at a time.
//!
//! ASCII white space is 9..=13 and 32 (as in `isspace` of the C locale and in Unicode's `White_Space`; Rust's
//! `split_ascii_whitespace` leaves out 11). Unicode adds U+0085, U+00A0, U+1680, U+2000..=U+200A, U+2028, U+2029, U+202F,
//! U+205F and U+3000, which begin with the bytes C2, E1, E2 and E3.

/// What separates words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// Bytes 9..=13 and 32.
    Ascii,
    /// Characters with the property White_Space; the text must be valid UTF-8.
    Unicode,
}

/// Whether this byte is ASCII white space.
#[inline]
pub fn is_space(byte: u8) -> bool {
    matches!(byte, 9..=13 | 32)
}

/// Writes the position of each white-space byte in `text[from..to]` to `spaces`, in order.
///
/// `from` must be a multiple of 64 away from the start of a run of calls; `text` must have at least 64 bytes after `to`.
pub fn find_spaces(text: &[u8], from: usize, to: usize, space: Space, spaces: &mut Vec<u32>) {
    assert!(to + 64 <= text.len());
    spaces.clear();
    spaces.reserve(to - from + 64);
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512bw") && is_x86_feature_detected!("bmi2") {
            // SAFETY: the features were just found.
            unsafe { x86::find_avx512(text, from, to, space, spaces) };
            return;
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2") {
            // SAFETY: the features were just found.
            unsafe { x86::find_avx2(text, from, to, space, spaces) };
            return;
        }
    }
    find_with(text, from, to, space, spaces, masks_portable);
}

/// The loop around `masks`, which gives for 64 bytes (white space, non-ASCII) as bits.
#[inline(always)]
fn find_with(
    text: &[u8],
    from: usize,
    to: usize,
    space: Space,
    spaces: &mut Vec<u32>,
    masks: impl Fn(&[u8; 64]) -> (u64, u64),
) {
    let mut count = 0;
    let mut carry = 0;
    for at in (from..to).step_by(64) {
        let block: &[u8; 64] = text[at..at + 64].try_into().expect("64 bytes");
        let (mut mask, wide) = masks(block);
        if space == Space::Unicode && (wide | carry) != 0 {
            (mask, carry) = add_unicode(text, at, mask, wide, carry);
        }
        if at + 64 > to {
            mask &= (1 << (to - at)) - 1;
        }
        // SAFETY: there is room for one position per byte plus 64 more, and at most 64 are written here.
        unsafe { write_positions(spaces.as_mut_ptr().add(count), at as u32, mask) };
        count += mask.count_ones() as usize;
    }
    // SAFETY: `count` positions were written.
    unsafe { spaces.set_len(count) };
}

/// Writes the set bits' positions: 8 and then 16 without looking, since a branch per word costs more than a store.
#[inline(always)]
unsafe fn write_positions(to: *mut u32, base: u32, mut mask: u64) {
    let count = mask.count_ones() as usize;
    let mut write = |range: std::ops::Range<usize>| {
        for index in range {
            // SAFETY: fewer than 64 positions; the caller has room for 64.
            unsafe { to.add(index).write(base + mask.trailing_zeros()) };
            mask &= mask.wrapping_sub(1);
        }
    };
    write(0..12);
    if count > 12 {
        write(12..20);
        if count > 20 {
            write(20..count);
        }
    }
}

fn masks_portable(block: &[u8; 64]) -> (u64, u64) {
    let (mut mask, mut wide) = (0, 0);
    for (index, &byte) in block.iter().enumerate() {
        mask |= u64::from(is_space(byte)) << index;
        wide |= u64::from(byte >> 7) << index;
    }
    (mask, wide)
}

/// Adds the bytes of Unicode's other white space which begin at a set bit of `wide`; returns (mask, carry into the next block).
#[cold]
fn add_unicode(text: &[u8], at: usize, mut mask: u64, mut wide: u64, carry: u64) -> (u64, u64) {
    let mut next = 0;
    mask |= carry;
    while wide != 0 {
        let index = wide.trailing_zeros();
        wide &= wide - 1;
        let bytes = &text[at + index as usize..];
        let len = match [bytes[0], bytes[1], bytes[2]] {
            [0xc2, 0x85 | 0xa0, _] => 2,
            [0xe1, 0x9a, 0x80] | [0xe2, 0x81, 0x9f] | [0xe3, 0x80, 0x80] => 3,
            [0xe2, 0x80, 0x80..=0x8a | 0xa8 | 0xa9 | 0xaf] => 3,
            _ => continue,
        };
        let bits = ((1u128 << len) - 1) << index;
        mask |= bits as u64;
        next |= (bits >> 64) as u64;
    }
    (mask, next)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, __m512i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8, _mm256_movemask_epi8,
        _mm256_or_si256, _mm256_set1_epi8, _mm256_sub_epi8, _mm512_cmpeq_epi8_mask, _mm512_cmple_epu8_mask,
        _mm512_loadu_si512, _mm512_movepi8_mask, _mm512_set1_epi8, _mm512_sub_epi8,
    };

    use super::{Space, find_with};

    #[target_feature(enable = "avx512f,avx512bw,bmi1,bmi2,lzcnt,popcnt")]
    pub(super) fn find_avx512(text: &[u8], from: usize, to: usize, space: Space, spaces: &mut Vec<u32>) {
        find_with(text, from, to, space, spaces, |block| {
            // SAFETY: 64 readable bytes.
            let bytes: __m512i = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
            let control = _mm512_cmple_epu8_mask(_mm512_sub_epi8(bytes, _mm512_set1_epi8(9)), _mm512_set1_epi8(4));
            let blank = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(32));
            (control | blank, _mm512_movepi8_mask(bytes))
        });
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    pub(super) fn find_avx2(text: &[u8], from: usize, to: usize, space: Space, spaces: &mut Vec<u32>) {
        find_with(text, from, to, space, spaces, |block| {
            let half = |at: usize| {
                // SAFETY: 32 readable bytes from 0 and from 32.
                let bytes: __m256i = unsafe { _mm256_loadu_si256(block.as_ptr().add(at).cast()) };
                let moved = _mm256_sub_epi8(bytes, _mm256_set1_epi8(9));
                let control = _mm256_cmpeq_epi8(_mm256_min_epu8(moved, _mm256_set1_epi8(4)), moved);
                let blank = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(32));
                let mask = _mm256_movemask_epi8(_mm256_or_si256(control, blank)) as u32;
                (u64::from(mask), u64::from(_mm256_movemask_epi8(bytes) as u32))
            };
            let ((low, low_wide), (high, high_wide)) = (half(0), half(32));
            (low | high << 32, low_wide | high_wide << 32)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(text: &str) -> Vec<u8> {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(text.len() + 64, b'x');
        bytes
    }

    #[test]
    fn every_unicode_space_is_found_wherever_it_straddles_a_block() {
        let spaces: Vec<char> = (0..0x11_0000).filter_map(char::from_u32).filter(|c| c.is_whitespace()).collect();
        assert_eq!(spaces.len(), 25);
        for before in 0..70 {
            for &c in &spaces {
                let text = format!("{}{c}é€", "a".repeat(before));
                let mut found = Vec::new();
                find_spaces(&padded(&text), 0, text.len(), Space::Unicode, &mut found);
                let expected: Vec<u32> = (before..before + c.len_utf8()).map(|at| at as u32).collect();
                assert_eq!(found, expected, "{c:?} after {before} letters");
            }
        }
    }

    #[test]
    fn all_implementations_agree() {
        let mut random = crate::zipf::Random::new(1, 1);
        let mut text: Vec<u8> = (0..5000)
            .map(|_| if random.below(3) == 0 { random.below(40) as u8 } else { random.bits() as u8 })
            .collect();
        text.resize(5000 + 64, b' ');
        let mut portable = Vec::with_capacity(6000);
        find_with(&text, 0, 5000, Space::Ascii, &mut portable, masks_portable);
        let expected: Vec<u32> = (0..5000).filter(|&at| is_space(text[at as usize])).collect();
        assert_eq!(portable, expected);
        #[cfg(target_arch = "x86_64")]
        for (has, find) in [
            (is_x86_feature_detected!("avx2"), x86::find_avx2 as unsafe fn(&[u8], usize, usize, Space, &mut Vec<u32>)),
            (
                is_x86_feature_detected!("avx512bw"),
                x86::find_avx512 as unsafe fn(&[u8], usize, usize, Space, &mut Vec<u32>),
            ),
        ] {
            if has {
                let mut found = Vec::with_capacity(6000);
                // SAFETY: the feature was just found.
                unsafe { find(&text, 0, 5000, Space::Ascii, &mut found) };
                assert_eq!(found, expected);
            }
        }
    }
}
