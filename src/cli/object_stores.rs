//! How commands that read checkpoints here, and the programs they start, reach object stores.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::config::{Configuration, S3Config};
use crate::engine::checkpoint::Storages;

/// Storage as configured.
pub(super) fn storages(configuration: &Configuration) -> anyhow::Result<Storages> {
    Ok(Storages::new(&S3Config::from_configuration(configuration)?))
}

/// What a program that is started here is told, in a file of its own: command lines and variables can be listed. Removed when dropped.
pub(super) struct Told(PathBuf);

impl Told {
    pub(super) fn write(config: &S3Config) -> anyhow::Result<Self> {
        let name = format!("flott-object-stores-{}-{:016x}", std::process::id(), fastrand::u64(..));
        let told = Self(std::env::temp_dir().join(name));
        config.write_private(&told.0).with_context(|| format!("cannot write {}", told.0.display()))?;
        Ok(told)
    }

    pub(super) fn file(&self) -> &Path {
        &self.0
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        // Left behind, only this user reads it.
        let _ = std::fs::remove_file(&self.0);
    }
}
