//! An entry and its bytes.

/// What a run holds for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// [`hash_order`](crate::engine::record::hash_order) of the key's hash.
    pub(crate) order: u64,
    /// The key's postcard bytes. Keys are the same when their bytes are: it is those that are hashed.
    pub(crate) key: &'a [u8],
    /// The state's bytes; none: the key was deleted.
    pub(crate) value: Option<&'a [u8]>,
}

impl<'a> Entry<'a> {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.order.to_le_bytes());
        write_number(self.key.len() as u64, out);
        write_number(self.value.map_or(0, |value| value.len() as u64 + 1), out);
        out.extend_from_slice(self.key);
        out.extend_from_slice(self.value.unwrap_or_default());
    }

    /// The first entry of `bytes`, which go on behind it. None: there is none, or it is cut off.
    #[inline]
    pub(super) fn read(bytes: &mut &'a [u8]) -> Option<Self> {
        let (order, mut rest) = bytes.split_first_chunk()?;
        let (key_len, value_len) = (read_number(&mut rest)?, read_number(&mut rest)?);
        let (key, rest) = rest.split_at_checked(usize::try_from(key_len).ok()?)?;
        let (value, rest) = match value_len.checked_sub(1) {
            Some(len) => {
                let (value, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
                (Some(value), rest)
            }
            None => (None, rest),
        };
        *bytes = rest;
        Some(Self { order: u64::from_le_bytes(*order), key, value })
    }

    /// Where it stands among others: keys of the same hash by their bytes.
    #[inline]
    pub(crate) fn place(&self) -> (u64, &'a [u8]) {
        (self.order, self.key)
    }
}

fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[inline]
fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    if *first < 0x80 {
        return Some(u64::from(*first));
    }
    let mut number = u64::from(first & 0x7f);
    for shift in (7..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn entries_are_read_as_they_were_written(
            entries in proptest::collection::vec((any::<u64>(), proptest::collection::vec(any::<u8>(), 0..300), any::<Option<Vec<u8>>>()), 0..20),
        ) {
            let mut bytes = Vec::new();
            for (order, key, value) in &entries {
                Entry { order: *order, key, value: value.as_deref() }.write(&mut bytes);
            }
            let mut left = bytes.as_slice();
            for (order, key, value) in &entries {
                prop_assert_eq!(Entry::read(&mut left), Some(Entry { order: *order, key, value: value.as_deref() }));
            }
            prop_assert!(left.is_empty() && Entry::read(&mut left).is_none());
            for len in 0..bytes.len() {
                let mut left = &bytes[..len];
                while Entry::read(&mut left).is_some() {}
            }
        }
    }
}
