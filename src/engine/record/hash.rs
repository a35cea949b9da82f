//! The frozen routing hash. The scheme's id stands in every checkpoint; changing a bit here is a new scheme.

use std::ops::Range;

use std::any::Any;

use rapidhash::v3::rapidhash_v3;

use super::Key;
use super::Str;

/// Id of the scheme by which keys become hashes and key groups. It stands in every checkpoint, so that state is never looked for
/// under another scheme than it was written by.
pub const KEY_HASH_SCHEME: &str = "rapidhash-v3/le-postcard/mid16";

/// The hash of a key: rapidhash v3 over little-endian integers or string bytes, else over postcard bytes. Never
/// `std::hash::Hash`. It routes, travels, and probes the table.
#[inline]
pub fn key_hash<K: Key>(key: &K) -> u64 {
    let any: &dyn Any = key;
    macro_rules! integers {
        ($($integer:ty),*) => {
            $(if let Some(value) = any.downcast_ref::<$integer>() {
                return rapidhash_v3(&value.to_le_bytes());
            })*
        };
    }
    if let Some(text) = any.downcast_ref::<Str>() {
        return rapidhash_v3(text.as_bytes());
    }
    if let Some(text) = any.downcast_ref::<String>() {
        return rapidhash_v3(text.as_bytes());
    }
    integers!(u64, i64, u32, i32, u16, i16, u8, i8, u128, i128);
    hash_of_postcard(key)
}

fn hash_of_postcard<K: Key>(key: &K) -> u64 {
    let mut buffer = [0; 128];
    if let Ok(bytes) = postcard::to_slice(key, &mut buffer) {
        return rapidhash_v3(bytes);
    }
    match postcard::to_stdvec(key) {
        Ok(bytes) => rapidhash_v3(&bytes),
        // A key that cannot be written fails at the exchange with its name; here any constant will do.
        Err(_) => 0,
    }
}

/// The key group of a hash: bits 32..47 × `max_parallelism` >> 16.
#[inline]
pub fn key_group(hash: u64, max_parallelism: u32) -> u32 {
    (((hash >> 32) as u32 & 0xffff) * max_parallelism) >> 16
}

/// Where a hash stands among all where they lie sorted on disk: by the bits that choose the key group, then by the others.
#[inline]
pub(crate) fn hash_order(hash: u64) -> u64 {
    hash.rotate_left(16)
}

/// The hash that stands there.
#[inline]
pub(crate) fn hash_at(order: u64) -> u64 {
    order.rotate_right(16)
}

/// The first and the last place among all hashes of those in these key groups, of which there is at least one.
pub(crate) fn order_range(groups: &Range<u32>, max_parallelism: u32) -> (u64, u64) {
    let start = |group: u32| (u64::from(group) << 16).div_ceil(u64::from(max_parallelism.max(1)));
    let last = (u128::from(start(groups.end)) << 48) - 1;
    (start(groups.start) << 48, u64::try_from(last).unwrap_or(u64::MAX))
}

/// The subtask that owns a key group: ranges are contiguous, as in Flink.
#[inline]
pub fn subtask_of_key_group(key_group: u32, max_parallelism: u32, parallelism: u32) -> u32 {
    key_group * parallelism / max_parallelism
}

/// The subtask that owns a hash.
#[inline]
pub fn subtask_of_hash(hash: u64, max_parallelism: u32, parallelism: u32) -> u32 {
    subtask_of_key_group(key_group(hash, max_parallelism), max_parallelism, parallelism)
}

/// The key groups that a subtask of `parallelism` owns: from the first whose share begins there to the next one's.
pub fn key_groups_of(max_parallelism: u32, parallelism: u32, subtask: u32) -> Range<u32> {
    let start = |subtask: u32| (subtask * max_parallelism).div_ceil(parallelism.max(1));
    start(subtask)..start(subtask + 1)
}

/// The subtask, of `parallelism`, that owns each key group.
pub fn key_group_owners(max_parallelism: u32, parallelism: usize) -> Vec<u32> {
    let parallelism = u32::try_from(parallelism).unwrap_or(u32::MAX);
    (0..max_parallelism).map(|group| subtask_of_key_group(group, max_parallelism, parallelism)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Never change an expected value here: state written by an older flott is found by it.
    #[test]
    fn the_scheme_is_frozen() {
        assert_eq!(KEY_HASH_SCHEME, "rapidhash-v3/le-postcard/mid16");
        let hashes = [
            key_hash(&0u64),
            key_hash(&42u64),
            key_hash(&-1i64),
            key_hash(&7u32),
            key_hash(&7u8),
            key_hash(&1u128),
            key_hash(&Str::from("")),
            key_hash(&Str::from("whale")),
            key_hash(&Str::from("a key that is longer than what a string keeps inline")),
            key_hash(&(Str::from("whale"), 7u32)),
            key_hash(&true),
            key_hash(&vec!["x".repeat(100), "y".repeat(100)]),
        ];
        assert_eq!(hashes, GOLDEN);
        let groups = hashes.map(|hash| key_group(hash, 128));
        assert_eq!(groups, GOLDEN_GROUPS);
    }

    const GOLDEN: [u64; 12] = [
        0x9efc171aebcea1f3,
        0x46007cef671e1cdf,
        0x8a185fbd8550916d,
        0xcb349009341dce5c,
        0x5c2caf7d68f06d3e,
        0xcd8fc3740225740b,
        0x0338dc4be2cecdae,
        0x96368ac163b25911,
        0xb0ec0ec8b4e7fb9e,
        0x01efaaf8c4e2b054,
        0xdc3697f74433a2f0,
        0x0e11b20f4fac34a9,
    ];
    const GOLDEN_GROUPS: [u32; 12] = [11, 62, 47, 72, 87, 97, 110, 69, 7, 85, 75, 89];

    #[test]
    fn hashes_in_order_are_in_the_order_of_their_key_groups() {
        for max_parallelism in [1, 2, 5, 128, 1000, 32768] {
            let mut next = 0;
            for group in 0..max_parallelism {
                let (first, last) = order_range(&(group..group + 1), max_parallelism);
                assert_eq!((first, hash_order(hash_at(first))), (next, first));
                assert_eq!([first, last].map(|order| key_group(hash_at(order), max_parallelism)), [group; 2]);
                next = last.wrapping_add(1);
            }
            assert_eq!(next, 0, "the last range ends with the last hash");
        }
    }

    #[test]
    fn a_string_hashes_alike_however_it_is_held() {
        assert_eq!(key_hash(&"whale".to_owned()), key_hash(&Str::from("whale")));
        assert_eq!(key_hash(&-1i64), key_hash(&u64::MAX));
    }

    #[test]
    fn key_groups_are_contiguous_and_even() {
        for (max_parallelism, parallelism) in [(128u32, 3usize), (128, 128), (1, 1), (32768, 7)] {
            let owners = key_group_owners(max_parallelism, parallelism);
            assert!(owners.is_sorted());
            let shares: Vec<usize> =
                (0..parallelism as u32).map(|owner| owners.iter().filter(|own| **own == owner).count()).collect();
            let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            assert!(*least >= 1 && most - least <= 1, "{shares:?}");
        }
        let mut groups = [0u32; 128];
        (0..100_000u64).for_each(|key| groups[key_group(key_hash(&key), 128) as usize] += 1);
        assert!(groups.iter().all(|keys| (600..1000).contains(keys)), "{groups:?}");
    }
}
