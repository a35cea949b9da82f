//! The frozen routing hash. The scheme's id stands in every checkpoint; changing a bit here is a new scheme.

use std::any::Any;

use rapidhash::v3::rapidhash_v3;

use super::Str;
use super::keyed::Key;

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

/// The subtask, of `parallelism`, that owns each key group.
pub fn key_group_owners(max_parallelism: u32, parallelism: usize) -> Vec<u32> {
    let parallelism = u32::try_from(parallelism).unwrap_or(u32::MAX);
    (0..max_parallelism).map(|group| subtask_of_key_group(group, max_parallelism, parallelism)).collect()
}
