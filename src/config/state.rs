//! Where keyed state lives.

use super::options::{MANAGED_MEMORY_FRACTION, MANAGED_MEMORY_SIZE, STATE_BACKEND, TASKMANAGER_MEMORY};
use super::{Configuration, Error};
use crate::resource::MemorySize;

/// `state.backend.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StateBackendType {
    /// In memory.
    #[default]
    Hashmap,
    /// In memory as far as that reaches, and on disk. `rocksdb` and `forst` mean this, too.
    Disk,
}

/// Where a job's keyed state lives.
#[derive(Clone, Debug, PartialEq)]
pub struct StateConfig {
    /// `state.backend.type`; default hashmap.
    pub backend: StateBackendType,
    /// `taskmanager.memory.managed.size`: what states may have in memory where they also lie on disk, of a TaskManager; default: a share.
    pub managed_size: Option<MemorySize>,
    /// `taskmanager.memory.managed.fraction`: that share; default 0.4.
    pub managed_fraction: f64,
    /// `taskmanager.memory.process.size`; default 1 GB.
    pub process_size: MemorySize,
}

impl StateConfig {
    pub(super) fn from_configuration(configuration: &Configuration) -> Result<Self, Error> {
        let backend = configuration.get::<String>(&STATE_BACKEND)?;
        let backend = match backend.trim().to_ascii_lowercase().as_str() {
            "disk" | "rocksdb" | "forst" => StateBackendType::Disk,
            _ => StateBackendType::Hashmap, // The key takes only these and three words for memory.
        };
        Ok(Self {
            backend,
            managed_size: configuration.find(&MANAGED_MEMORY_SIZE)?,
            managed_fraction: configuration.get(&MANAGED_MEMORY_FRACTION)?,
            process_size: configuration.get(&TASKMANAGER_MEMORY)?,
        })
    }

    /// What states may have in memory in a process that may use `memory` of a TaskManager's.
    pub fn managed_bytes(&self, memory: MemorySize) -> u64 {
        let fraction = match self.managed_size {
            Some(size) => size.bytes() as f64 / self.process_size.bytes().max(1) as f64,
            None => self.managed_fraction,
        };
        (memory.bytes() as f64 * fraction.min(1.0)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(lines: &[(&str, &str)]) -> Result<StateConfig, Error> {
        let lines = lines.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        StateConfig::from_configuration(&Configuration::new().with_submitted(&lines)?)
    }

    #[test]
    fn states_have_their_share_of_what_a_process_may_use() {
        let default = config(&[]).unwrap();
        assert_eq!(default.backend, StateBackendType::Hashmap);
        assert_eq!(default.managed_bytes(MemorySize::from_bytes(1000)), 400);
        let set = config(&[("state.backend", "RocksDB"), ("taskmanager.memory.managed.size", "256mb")]).unwrap();
        assert_eq!(set.backend, StateBackendType::Disk);
        assert_eq!(set.managed_bytes(MemorySize::from_bytes(1 << 29)), 128 << 20);
        assert!(config(&[("taskmanager.memory.managed.fraction", "1.5")]).is_err());
        assert!(config(&[("state.backend.type", "floppy")]).is_err());
    }
}
