//! Words of a text.

use crate::engine::record::Str;

/// The words of `text`: its maximal runs of characters that are not white space, as Unicode defines it.
///
/// As [`str::split_whitespace`], and several times faster on text that is mostly ASCII.
///
/// ```
/// let words: Vec<&str> = flott::text::words(" to be,\tor\u{2003}not ").collect();
/// assert_eq!(words, ["to", "be,", "or", "not"]);
/// ```
#[inline]
pub fn words(text: &str) -> Words<'_> {
    let mut words = Words { text, block: 0, unread: 0 };
    words.load(0);
    words
}

/// `text` in lower case, as Unicode defines it.
///
/// As [`str::to_lowercase`], and in place while it is ASCII.
pub fn lowercase(text: impl Into<Str>) -> Str {
    let mut text = text.into();
    if text.is_ascii() {
        text.as_mut_str().make_ascii_lowercase();
        text
    } else {
        Str::from(text.to_lowercase())
    }
}

/// The words of a text, from [`words`].
///
/// Looks at 64 bytes at a time, as a mask with one bit a byte: set where the byte belongs to a word.
#[derive(Clone, Debug)]
pub struct Words<'a> {
    text: &'a str,
    /// Where the present block begins.
    block: usize,
    /// The present block's bytes that belong to words and have not been returned.
    unread: u64,
}

const BLOCK: usize = 64;

impl<'a> Words<'a> {
    /// Moves on to the block at `at`; behind the text's end everything is space.
    #[inline]
    fn load(&mut self, at: usize) {
        let bytes = self.text.as_bytes();
        let rest = &bytes[at.min(bytes.len())..];
        let mut padded = [b' '; BLOCK];
        let block = rest.first_chunk().unwrap_or_else(|| {
            padded[..rest.len()].copy_from_slice(rest);
            &padded
        });
        self.block = at;
        self.unread = !ascii_spaces(block);
        // A character that began in the block before may end here.
        if !block.is_ascii() || (at > 0 && !bytes[at - 2..at].is_ascii()) {
            self.unread &= !self.wide_spaces(rest.len().min(BLOCK));
        }
    }

    /// The bytes of the present block that belong to white space beyond ASCII: each such character has two or three.
    #[cold]
    fn wide_spaces(&self, len: usize) -> u64 {
        let bytes = self.text.as_bytes();
        let before = self.block.saturating_sub(2);
        let mut spaces = 0;
        for at in before..self.block + len {
            let len = match bytes[at..] {
                [0xc2, 0x85 | 0xa0, ..] => 2,
                [0xe1, 0x9a, 0x80, ..] | [0xe2, 0x81, 0x9f, ..] | [0xe3, 0x80, 0x80, ..] => 3,
                [0xe2, 0x80, 0x80..=0x8a | 0xa8 | 0xa9 | 0xaf, ..] => 3,
                _ => continue,
            };
            for byte in at..at + len {
                if let Some(bit) = byte.checked_sub(self.block).filter(|bit| *bit < BLOCK) {
                    spaces |= 1 << bit;
                }
            }
        }
        spaces
    }
}

/// One bit a byte: whether it is white space of ASCII.
#[inline]
fn ascii_spaces(block: &[u8; BLOCK]) -> u64 {
    // The compiler makes vector instructions of this loop.
    let mut marks = [0u8; BLOCK];
    for (mark, byte) in marks.iter_mut().zip(block) {
        *mark = if is_ascii_space(*byte) { 0x80 } else { 0 };
    }
    let mut spaces = 0;
    for (eight, shift) in marks.chunks_exact(8).zip((0..BLOCK).step_by(8)) {
        let eight = eight.try_into().map_or(0, u64::from_le_bytes);
        // Gathers the top bits of eight bytes in the top byte.
        spaces |= (eight.wrapping_mul(0x0002_0408_1020_4081) >> 56) << shift;
    }
    spaces
}

#[inline]
fn is_ascii_space(byte: u8) -> bool {
    // Without short circuit, so that it is a vector instruction or two.
    (byte == b' ') | (byte.wrapping_sub(b'\t') < 5)
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    #[inline]
    fn next(&mut self) -> Option<&'a str> {
        while self.unread == 0 {
            let next = self.block + BLOCK;
            if next >= self.text.len() {
                return None;
            }
            self.load(next);
        }
        let first = self.unread.trailing_zeros();
        let start = self.block + first as usize;
        let mut spaces = !self.unread & (!0 << first);
        while spaces == 0 {
            // The word goes on in the next block.
            self.load(self.block + BLOCK);
            spaces = !self.unread;
        }
        let end = spaces.trailing_zeros();
        self.unread &= !0 << end;
        Some(&self.text[start..self.block + end as usize])
    }
}

impl std::iter::FusedIterator for Words<'_> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use proptest::strategy::Strategy as _;

    use super::*;

    fn check(text: &str) {
        assert!(words(text).eq(text.split_whitespace()), "{text:?}: {:?}", words(text).collect::<Vec<_>>());
    }

    #[test]
    fn words_end_at_white_space_of_any_kind() {
        check("");
        check(" ");
        check("one");
        check("\t one  two\r\n\u{b}three\u{c}four\u{1c}five ");
        for space in (0..=0x10ffff).filter_map(char::from_u32).filter(|c| c.is_whitespace()) {
            for len in 50..70 {
                let word = "x".repeat(len);
                check(&format!("{word}{space}{word}{space}{space}"));
            }
        }
    }

    #[test]
    fn characters_that_look_like_space_are_letters() {
        check("a\u{200b}b \u{2060}c \u{180e} \u{feff}");
        check(&"\u{2080}\u{3001}\u{c2}\u{1681}".repeat(40));
    }

    #[test]
    fn lower_case_is_that_of_unicode() {
        for text in ["Word", "ÄÖÜ", "ΌΔΟΣ", "İ", "ALREADY lower", &"LONG".repeat(20)] {
            assert_eq!(lowercase(text), text.to_lowercase());
            assert_eq!(lowercase(Str::from(text)), text.to_lowercase());
        }
    }

    proptest! {
        #[test]
        fn words_are_those_of_std(
            text in proptest::collection::vec(
                proptest::prop_oneof![
                    6 => proptest::char::range('a', 'z'),
                    2 => proptest::sample::select(vec![' ', '\n', '\t', '\u{a0}', '\u{85}', '\u{2003}', '\u{3000}', '\u{1680}']),
                    1 => any::<char>(),
                ], 0..300).prop_map(|chars| chars.into_iter().collect::<String>()),
        ) {
            check(&text);
        }
    }
}
