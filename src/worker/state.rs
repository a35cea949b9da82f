//! Where the states of a worker's subtasks live.

use std::path::Path;

use crate::config::{StateBackendType, StateConfig};
use crate::engine::state::{DiskBackend, StateBackend, StateMemory};
use crate::resource::MemorySize;

/// As configured, for a process that may use `memory`; what lies on disk lies below `temporary_dir`.
pub(crate) fn state_backend(config: &StateConfig, memory: MemorySize, temporary_dir: &Path) -> StateBackend {
    match config.backend {
        StateBackendType::Hashmap => StateBackend::Hashmap,
        StateBackendType::Disk => {
            let memory = StateMemory::new(config.managed_bytes(memory));
            StateBackend::Disk(DiskBackend::new(temporary_dir.join("state"), memory))
        }
    }
}
