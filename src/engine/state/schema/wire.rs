//! Postcard's primitives, read from bytes that may be damaged, and the place in the value where the reader stands.

use super::error::Cause;
use super::{Definition, Types, Variant};

/// How deep a value may nest: below what a thread's stack holds.
pub(super) const DEPTH_MAX: usize = 192;

/// How many elements without bytes a value may claim to have.
const EMPTY_ELEMENTS_MAX: usize = 1 << 16;

/// One step of a path into a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'s> {
    Field(&'s str),
    Variant(&'s str),
    Index(usize),
    Key,
    MapValue,
}

/// The bytes of a value that are still to be read, and where in the value they begin.
pub(super) struct Wire<'s, 'de> {
    pub(super) bytes: &'de [u8],
    pub(super) types: &'s Types,
    pub(super) path: Vec<Step<'s>>,
    depth: usize,
    empty_elements: usize,
}

impl<'s, 'de> Wire<'s, 'de> {
    pub(super) fn new(types: &'s Types, bytes: &'de [u8]) -> Self {
        Self { bytes, types, path: Vec::new(), depth: 0, empty_elements: 0 }
    }

    /// What stands behind a name.
    pub(super) fn definition(&self, name: &str) -> Result<&'s Definition, Cause> {
        self.types.get(name).ok_or_else(|| format!("the schema does not say what `{name}` is").into())
    }

    /// The variant whose index comes next.
    pub(super) fn variant(&mut self, name: &str, variants: &'s [Variant]) -> Result<&'s Variant, Cause> {
        let index = self.count(32)?;
        variants
            .get(index)
            .ok_or_else(|| format!("is variant {index} of `{name}`, which has {}", variants.len()).into())
    }

    /// Reads what a value consists of, one level deeper.
    #[inline]
    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Cause>) -> Result<T, Cause> {
        if self.depth == DEPTH_MAX {
            return Err(format!("is nested more than {DEPTH_MAX} levels deep").into());
        }
        self.depth += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    /// Reads with `step` added to the path.
    #[inline]
    pub(super) fn within<T>(
        &mut self,
        step: Step<'s>,
        read: impl FnOnce(&mut Self) -> Result<T, Cause>,
    ) -> Result<T, Cause> {
        self.path.push(step);
        let value = read(self)?;
        self.path.pop();
        Ok(value)
    }

    /// Reads an element of a sequence or an entry of a map. One that has no bytes counts against a limit, so that a damaged length
    /// is no endless loop.
    #[inline]
    pub(super) fn element<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Cause>) -> Result<T, Cause> {
        let before = self.bytes.len();
        let value = read(self)?;
        if self.bytes.len() == before {
            self.empty_elements += 1;
            if self.empty_elements > EMPTY_ELEMENTS_MAX {
                return Err(format!("has more than {EMPTY_ELEMENTS_MAX} elements without content").into());
            }
        }
        Ok(value)
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, Cause> {
        let (byte, rest) = self.bytes.split_first().ok_or("ends too early")?;
        self.bytes = rest;
        Ok(*byte)
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'de [u8], Cause> {
        if len > self.bytes.len() {
            return Err(format!("should have {len} bytes more, and there are {}", self.bytes.len()).into());
        }
        let (taken, rest) = self.bytes.split_at(len);
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Cause> {
        let (array, rest) = self.bytes.split_first_chunk().ok_or("ends too early")?;
        self.bytes = rest;
        Ok(*array)
    }

    /// An unsigned integer of at most `bits` bits: 7 a byte, the lowest first.
    #[inline]
    fn varint(&mut self, bits: u32) -> Result<u128, Cause> {
        let mut value = 0u128;
        let mut shift = 0;
        loop {
            let byte = self.byte()?;
            let part = u128::from(byte & 0x7f);
            if shift >= bits || (bits - shift < 7 && part >> (bits - shift) != 0) {
                return Err(format!("is no integer of {bits} bits").into());
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            shift += 7;
        }
    }

    #[inline]
    fn short_varint(&mut self, bits: u32) -> Result<u64, Cause> {
        match self.bytes.first() {
            Some(byte) if *byte < 0x80 => {
                self.bytes = &self.bytes[1..];
                Ok(u64::from(*byte))
            }
            Some(_) | None => Ok(self.varint(bits)? as u64),
        }
    }

    pub(super) fn unsigned(&mut self, bits: u32) -> Result<u64, Cause> {
        if bits == 8 { self.byte().map(u64::from) } else { self.short_varint(bits) }
    }

    pub(super) fn signed(&mut self, bits: u32) -> Result<i64, Cause> {
        if bits == 8 {
            return Ok(i64::from(self.byte()? as i8));
        }
        let zigzag = self.short_varint(bits)?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    pub(super) fn u128(&mut self) -> Result<u128, Cause> {
        self.varint(128)
    }

    pub(super) fn i128(&mut self) -> Result<i128, Cause> {
        let zigzag = self.varint(128)?;
        Ok((zigzag >> 1) as i128 ^ -((zigzag & 1) as i128))
    }

    /// A length, or a variant's index.
    pub(super) fn count(&mut self, bits: u32) -> Result<usize, Cause> {
        usize::try_from(self.short_varint(bits)?).map_err(|_| "is longer than memory".into())
    }

    pub(super) fn len(&mut self) -> Result<usize, Cause> {
        self.count(64)
    }

    pub(super) fn bool(&mut self) -> Result<bool, Cause> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(format!("{other} is no bool").into()),
        }
    }

    /// Whether an option holds a value.
    pub(super) fn is_some(&mut self) -> Result<bool, Cause> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(format!("{other} begins no option").into()),
        }
    }

    pub(super) fn f32(&mut self) -> Result<f32, Cause> {
        self.array().map(f32::from_le_bytes)
    }

    pub(super) fn f64(&mut self) -> Result<f64, Cause> {
        self.array().map(f64::from_le_bytes)
    }

    pub(super) fn blob(&mut self) -> Result<&'de [u8], Cause> {
        let len = self.len()?;
        self.take(len)
    }

    pub(super) fn str(&mut self) -> Result<&'de str, Cause> {
        std::str::from_utf8(self.blob()?).map_err(|_| "is no text in UTF-8".into())
    }

    pub(super) fn char(&mut self) -> Result<char, Cause> {
        let mut chars = self.str()?.chars();
        match (chars.next(), chars.next()) {
            (Some(char), None) => Ok(char),
            (None, _) | (Some(_), Some(_)) => Err("is not one character".into()),
        }
    }
}
