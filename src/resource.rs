//! What a container is made of and a node offers: memory, cores, and named countable resources.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An amount of memory in bytes. Parses Flink's spellings (`512m`, `1 gb`, `1728mb`; a bare number is bytes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemorySize(u64);

impl MemorySize {
    /// `bytes` bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// `mebibytes` MiB.
    pub const fn from_mebibytes(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// In whole MiB, rounded down.
    pub const fn mebibytes(self) -> u64 {
        self.0 >> 20
    }
}

impl fmt::Display for MemorySize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u32); 4] = [("gb", 30), ("mb", 20), ("kb", 10), ("bytes", 0)];
        for (unit, shift) in UNITS {
            if self.0 >= 1 << shift && self.0.trailing_zeros() >= shift {
                return write!(f, "{} {unit}", self.0 >> shift);
            }
        }
        write!(f, "{} bytes", self.0)
    }
}

/// Why a text is not a [`MemorySize`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an amount of memory; write for example 512m, 1g or 1728 mb")]
pub struct InvalidMemorySize(String);

impl FromStr for MemorySize {
    type Err = InvalidMemorySize;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidMemorySize(text.to_owned());
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(digits);
        let shift = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" | "bytes" => 0,
            "k" | "kb" | "kib" | "kibibytes" => 10,
            "m" | "mb" | "mib" | "mebibytes" => 20,
            "g" | "gb" | "gib" | "gibibytes" => 30,
            "t" | "tb" | "tib" | "tebibytes" => 40,
            _ => return Err(invalid()),
        };
        let number: u64 = number.parse().map_err(|_| invalid())?;
        number.checked_mul(1 << shift).map(Self).ok_or_else(invalid)
    }
}

/// A vector of resources: what is asked for, granted, offered or used. YARN's `Resource`.
///
/// Memory has the granularity of MiB, as on YARN's wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Resource {
    /// Memory in MiB.
    pub memory_mb: u64,
    /// Virtual cores.
    pub vcores: u32,
    /// Other countable resources by name (`yarn.io/gpu`); absent means none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub named: BTreeMap<String, u64>,
}

impl Resource {
    /// Memory in MiB and virtual cores, nothing else.
    pub fn new(memory_mb: u64, vcores: u32) -> Self {
        Self { memory_mb, vcores, named: BTreeMap::new() }
    }

    /// Whether all of `other` fits into this.
    pub fn fits(&self, other: &Self) -> bool {
        self.memory_mb >= other.memory_mb
            && self.vcores >= other.vcores
            && other.named.iter().all(|(name, amount)| self.named.get(name).copied().unwrap_or(0) >= *amount)
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        self.memory_mb += other.memory_mb;
        self.vcores += other.vcores;
        for (name, amount) in &other.named {
            *self.named.entry(name.clone()).or_default() += amount;
        }
    }

    /// Takes `other` away; each dimension stops at zero, and a dimension that would go below is a broken invariant.
    pub fn subtract(&mut self, other: &Self) {
        debug_assert!(self.fits(other), "{self} cannot give {other}");
        self.memory_mb = self.memory_mb.saturating_sub(other.memory_mb);
        self.vcores = self.vcores.saturating_sub(other.vcores);
        for (name, amount) in &other.named {
            if let Some(mine) = self.named.get_mut(name) {
                *mine = mine.saturating_sub(*amount);
            }
        }
    }

    /// Whether every dimension is zero.
    pub fn is_zero(&self) -> bool {
        self.memory_mb == 0 && self.vcores == 0 && self.named.values().all(|amount| *amount == 0)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<memory:{} MB, vCores:{}", self.memory_mb, self.vcores)?;
        for (name, amount) in &self.named {
            write!(f, ", {name}:{amount}")?;
        }
        f.write_str(">")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_sizes_parse_as_flink_writes_them() {
        for (text, bytes) in [("512m", 512 << 20), ("1 gb", 1 << 30), ("32kb", 32 << 10), ("7", 7), (" 2G ", 2 << 30)] {
            assert_eq!(text.parse(), Ok(MemorySize(bytes)), "{text}");
        }
        for text in ["", "m", "-1m", "1.5g", "1 parsec", "99999999999t"] {
            assert!(text.parse::<MemorySize>().is_err(), "{text}");
        }
        assert_eq!(MemorySize::from_mebibytes(1728).to_string(), "1728 mb");
    }

    #[test]
    fn a_resource_fits_only_in_every_dimension() {
        let node = Resource::new(1024, 2);
        assert!(node.fits(&Resource::new(1024, 2)));
        assert!(!node.fits(&Resource::new(1024, 3)));
        let gpu = Resource { named: [("yarn.io/gpu".to_owned(), 1)].into(), ..Resource::new(1, 1) };
        assert!(!node.fits(&gpu));
    }
}
