//! A position in a JSON text: what stands there, and what stands behind it.

use std::borrow::Cow;
use std::fmt;

use serde::de;

/// Leaves a text to serde_json: it is no JSON, or not the type's, or holds what is too rare to be read here. Only serde_json says which.
#[derive(Debug)]
pub(super) struct NotHere;

impl fmt::Display for NotHere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("serde_json has to read this")
    }
}

impl std::error::Error for NotHere {}

impl de::Error for NotHere {
    /// No text is made of what nobody reads.
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// So deep may lists and objects lie in one another: serde_json goes a little deeper before it refuses.
const DEPTH_MAX: u8 = 100;

/// A number as it is written.
pub(super) enum Number<'de> {
    Natural(u64),
    Negative(i64),
    /// With a fraction, an exponent, or more digits than an integer has.
    Other(&'de str),
}

/// Reads a text from its beginning to its end, once.
pub(super) struct Reader<'de> {
    text: &'de str,
    at: usize,
    depth: u8,
}

impl<'de> Reader<'de> {
    pub(super) fn new(text: &'de str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The first byte of what comes next, behind white space.
    #[inline]
    pub(super) fn peek(&mut self) -> Result<u8, NotHere> {
        loop {
            match self.byte() {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                other => return other.ok_or(NotHere),
            }
        }
    }

    /// Steps over a byte which has been seen.
    #[inline]
    pub(super) fn step(&mut self) {
        self.at += 1;
    }

    /// Steps over `byte`, which has to come next, behind white space.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), NotHere> {
        if self.peek()? != byte {
            return Err(NotHere);
        }
        self.at += 1;
        Ok(())
    }

    /// Steps over `word`.
    #[inline]
    pub(super) fn word(&mut self, word: &str) -> Result<(), NotHere> {
        let rest = &self.text.as_bytes()[self.at..];
        if !rest.starts_with(word.as_bytes()) {
            return Err(NotHere);
        }
        self.at += word.len();
        Ok(())
    }

    /// Nothing but white space comes.
    pub(super) fn end(&mut self) -> Result<(), NotHere> {
        if self.peek().is_ok() { Err(NotHere) } else { Ok(()) }
    }

    /// What `read` reads, one level deeper.
    #[inline]
    pub(super) fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, NotHere>) -> Result<T, NotHere> {
        if self.depth == DEPTH_MAX {
            return Err(NotHere);
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    /// Whether another element comes before `close`, which is stepped over, as is the comma between elements.
    #[inline]
    pub(super) fn another(&mut self, close: u8, first: bool) -> Result<bool, NotHere> {
        let next = self.peek()?;
        if next == close {
            self.at += 1;
            return Ok(false);
        }
        if !first {
            if next != b',' {
                return Err(NotHere);
            }
            self.at += 1;
        }
        Ok(true)
    }

    /// The string whose quote comes next.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Cow<'de, str>, NotHere> {
        self.expect(b'"')?;
        let start = self.at;
        match self.special() {
            Some(b'"') => {
                let text = &self.text[start..self.at];
                self.at += 1;
                Ok(Cow::Borrowed(text))
            }
            _ => self.escaped(start).map(Cow::Owned),
        }
    }

    /// Goes to the next byte of a string that is not one of its characters, and says which: its end, an escape, or what is forbidden.
    #[inline]
    fn special(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(block) = bytes.get(self.at..).and_then(<[u8]>::first_chunk) {
            if let Some(at) = first_special(*block) {
                self.at += at;
                return self.byte();
            }
            self.at += block.len();
        }
        while let Some(byte) = self.byte() {
            if is_special(byte) {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// The string that began at `start` and has an escape here.
    #[cold]
    fn escaped(&mut self, start: usize) -> Result<String, NotHere> {
        let mut string = String::from(&self.text[start..self.at]);
        loop {
            let from = self.at;
            let special = self.special();
            string.push_str(&self.text[from..self.at]);
            match special {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(string);
                }
                Some(b'\\') => string.push(self.escape()?),
                Some(_) | None => return Err(NotHere),
            }
        }
    }

    /// Steps over an escape, and says what it stands for.
    fn escape(&mut self) -> Result<char, NotHere> {
        self.at += 1;
        let kind = self.byte().ok_or(NotHere)?;
        self.at += 1;
        Ok(match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.hex()?;
                // Halves of a pair, which stand for one character or for none, are rare.
                char::from_u32(unit).ok_or(NotHere)?
            }
            _ => return Err(NotHere),
        })
    }

    fn hex(&mut self) -> Result<u32, NotHere> {
        let digits = self.text.as_bytes()[self.at..].first_chunk::<4>().ok_or(NotHere)?;
        self.at += 4;
        digits.iter().try_fold(0, |number, digit| Some(number * 16 + char::from(*digit).to_digit(16)?)).ok_or(NotHere)
    }

    /// The number that comes next.
    #[inline]
    pub(super) fn number(&mut self) -> Result<Number<'de>, NotHere> {
        let start = self.at;
        let negative = self.byte() == Some(b'-');
        self.at += usize::from(negative);
        let first = self.at;
        let mut natural = 0u64;
        while let Some(digit @ b'0'..=b'9') = self.byte() {
            natural = natural.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        let (digits, leading_zero) = (self.at - first, self.text.as_bytes().get(first) == Some(&b'0'));
        if digits == 0 || leading_zero && digits > 1 {
            return Err(NotHere);
        }
        // Nineteen digits always fit in 64 bits.
        if digits > 19 || matches!(self.byte(), Some(b'.' | b'e' | b'E')) {
            self.fraction()?;
            return Ok(Number::Other(&self.text[start..self.at]));
        }
        match (negative, i64::try_from(natural)) {
            (false, _) => Ok(Number::Natural(natural)),
            // The negative zero is none of the integers.
            (true, Ok(natural)) if natural != 0 => Ok(Number::Negative(-natural)),
            (true, _) => Ok(Number::Other(&self.text[start..self.at])),
        }
    }

    /// Steps over a number's fraction and exponent.
    fn fraction(&mut self) -> Result<(), NotHere> {
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), NotHere> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { Err(NotHere) } else { Ok(()) }
    }

    /// Steps over a value of whatever kind, without making anything of it.
    pub(super) fn skip(&mut self) -> Result<(), NotHere> {
        match self.peek()? {
            b'"' => self.skip_string(),
            b'{' => self.deeper(Self::skip_object),
            b'[' => self.deeper(Self::skip_list),
            b'n' => self.word("null"),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            _ => self.number().map(drop),
        }
    }

    #[inline]
    fn skip_string(&mut self) -> Result<(), NotHere> {
        self.at += 1;
        loop {
            match self.special() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => drop(self.escape()?),
                Some(_) | None => return Err(NotHere),
            }
        }
    }

    fn skip_object(&mut self) -> Result<(), NotHere> {
        self.at += 1;
        let mut first = true;
        while self.another(b'}', first)? {
            if self.peek()? != b'"' {
                return Err(NotHere);
            }
            self.skip_string()?;
            self.expect(b':')?;
            self.skip()?;
            first = false;
        }
        Ok(())
    }

    fn skip_list(&mut self) -> Result<(), NotHere> {
        self.at += 1;
        let mut first = true;
        while self.another(b']', first)? {
            self.skip()?;
            first = false;
        }
        Ok(())
    }
}

#[inline]
fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < b' '
}

/// Where the first of them is among eight bytes.
#[inline]
fn first_special(block: [u8; 8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 0xff;
    let block = u64::from_le_bytes(block);
    // A byte's top bit is set by the borrow when the byte is too small. What stands behind the first may be marked without being one.
    let control = block.wrapping_sub(ONES * 0x20);
    let quote = (block ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let escape = (block ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    let marks = (control | quote | escape) & !block & (ONES * 0x80);
    (marks != 0).then(|| marks.trailing_zeros() as usize / 8)
}
