//! From the configuration of the process to the settings of the core.

use std::path::Path;

use super::error::Error;
use super::settings::Settings;
use crate::config::{QueuesConfig, ResourceManagerConfig};

fn queues(path: &Path) -> Result<QueuesConfig, Error> {
    let unusable = |cause: String| Error::Queues { path: path.to_owned(), cause };
    let text = std::fs::read_to_string(path).map_err(|error| unusable(crate::rpc::io_cause(&error)))?;
    QueuesConfig::parse(&text).map_err(|invalid| unusable(invalid.to_string()))
}

/// What the core needs of the configuration. Reads the queues file.
pub(super) fn settings(config: &ResourceManagerConfig, address: &str) -> Result<Settings, Error> {
    let queues = config.queues_file.as_deref().map(queues).transpose()?.unwrap_or_default();
    // A share is a fraction from 0 to 1, checked when the configuration was read.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
    let master_share_percent = (config.am_share * 100.0).round() as u64;
    Ok(Settings {
        secret: config.secret.clone(),
        minimum_allocation_mb: config.minimum_allocation.mebibytes(),
        max_attempts: config.am_max_attempts,
        master_share_percent,
        node_expiry: config.node_expiry,
        master_expiry: config.am_expiry,
        queues,
        ..Settings::new(address)
    })
}
