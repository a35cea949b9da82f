//! How a job's checkpoints are made.

use std::time::Duration;

use crate::config::{CheckpointingConfig, StateBackendType};
use crate::engine::checkpoint::MANIFEST_NAME;
use crate::storage::places::absolute_place_of;

/// How a job's checkpoints are made.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointSettings {
    /// Where the states live that they are made of.
    pub backend: StateBackendType,
    /// From one to the next; none: only on request.
    pub interval: Option<Duration>,
    /// One that takes longer is given up.
    pub timeout: Duration,
    /// From the end of one to the beginning of the next, at least.
    pub min_pause: Duration,
    /// Failures in a row that the job survives; none: any number.
    pub tolerable_failures: Option<u32>,
    /// Completed ones that are kept.
    pub retained: usize,
    /// Whether they are kept when the job is cancelled or fails.
    pub retain_on_cancellation: bool,
    /// Where they lie: `chk-<n>` below it, and `chk-<n>-<attempt>` by later attempts of the JobManager: an earlier one that does not
    /// know that it was replaced writes and removes what is its own alone.
    pub directory: String,
    /// Where the one lies that the job was started from, if that is to be its own.
    pub claimed: Option<String>,
    /// Where savepoints lie, unless the request says.
    pub savepoint_directory: Option<String>,
}

impl Default for CheckpointSettings {
    fn default() -> Self {
        Self {
            backend: StateBackendType::default(),
            interval: None,
            timeout: Duration::from_secs(600),
            min_pause: Duration::ZERO,
            tolerable_failures: None,
            retained: 1,
            retain_on_cancellation: false,
            directory: String::new(),
            claimed: None,
            savepoint_directory: None,
        }
    }
}

impl CheckpointSettings {
    /// As configured; `directory` is where they lie.
    pub fn new(interval: Option<Duration>, config: &CheckpointingConfig, directory: String) -> Self {
        Self {
            backend: config.backend,
            interval,
            timeout: config.timeout,
            min_pause: config.min_pause,
            tolerable_failures: config.tolerable_failures,
            retained: config.retained as usize,
            retain_on_cancellation: config.retain_on_cancellation,
            directory,
            claimed: config.recovery_path.as_deref().filter(|_| config.claims_recovered).and_then(directory_of),
            savepoint_directory: config.savepoint_directory.clone(),
        }
    }
}

/// The directory of a checkpoint that a user names by it, or by the manifest in it.
fn directory_of(place: &str) -> Option<String> {
    let place = absolute_place_of(place).ok()?;
    let manifest = place.rsplit_once('/').filter(|(_, name)| *name == MANIFEST_NAME);
    Some(manifest.map_or(place.as_str(), |(directory, _)| directory).to_owned())
}
