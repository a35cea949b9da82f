//! How long the ResourceManager keeps what applications leave for people to look at.

use std::time::Duration;

use tracing::info;

use crate::config::ResourceManagerConfig;
use crate::storage::{ContainerLogs, History};
use crate::time::Now;

/// Between sweeps. In between there may be more than is kept: as much as ends in a minute.
pub(super) const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// What is kept, and its bounds.
#[derive(Clone, Debug)]
pub(super) struct Retention {
    pub(super) history: History,
    archives_max: Option<usize>,
    archives_kept: Option<Duration>,
    pub(super) logs: ContainerLogs,
    logs_kept: Option<Duration>,
}

impl Retention {
    pub(super) fn new(config: &ResourceManagerConfig) -> Self {
        Self {
            history: History::new(config.archive_dir.clone()),
            archives_max: config.archives_max,
            archives_kept: config.archives_retention,
            logs: ContainerLogs::new(config.container_logs_dir.clone()),
            logs_kept: config.container_logs_retention,
        }
    }

    /// Removes what is too old or too many. Blocking.
    pub(super) fn sweep(&self, now: Now) {
        let removed = self.history.sweep(self.archives_max, self.archives_kept, now);
        if removed > 0 {
            info!(removed, "archives of ended jobs deleted");
        }
        let removed = self.logs_kept.map_or(0, |keep| self.logs.sweep(keep));
        if removed > 0 {
            info!(removed, "collected logs of old applications deleted");
        }
    }
}
