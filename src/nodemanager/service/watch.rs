//! Looks at the machine every so often: memory of containers, the disk, old logs.

use std::time::Duration;

use super::Service;
use super::effects::Done;
use super::link::ResourceManagerLink;
use crate::nodemanager::cache::shrink;
use crate::nodemanager::directories::{self, names};
use crate::nodemanager::health;
use crate::process::Table;
use crate::rpc::io_cause;

/// Smaller changes of memory use are not worth a message.
const UTILIZATION_STEP_MB: u64 = 16;

impl Service {
    /// Measures all containers in one look at `/proc`; without containers nobody looks.
    pub(super) fn measure(&mut self) {
        let processes = self.core.processes();
        if processes.is_empty() {
            return;
        }
        self.measuring = true;
        self.children.spawn_blocking(move || match Table::read() {
            Ok(table) => {
                let usage = |(container, process): &(_, crate::process::Identity)| {
                    (*container, table.usage(process.pid).rss_bytes)
                };
                Done::Measured(processes.iter().map(usage).collect())
            }
            Err(error) => {
                tracing::error!(cause = io_cause(&error), "cannot measure the containers");
                Done::Measured(Vec::new())
            }
        });
    }

    pub(super) fn check_disk(&mut self) {
        let root = self.launcher.directories.root().to_owned();
        self.children.spawn_blocking(move || Done::Disk(health::check_disk(&root)));
    }

    pub(super) fn disk_checked(&mut self, report: String) {
        self.health.checked_at = self.clock.now();
        if report != self.health.report {
            tracing::warn!(node = %self.node, from = self.health.report, to = report, "the node's health changed");
        }
        self.health.report = report;
    }

    /// Tells the ResourceManager, once, what it does not know yet.
    pub(super) fn tell_health(&mut self, link: &ResourceManagerLink) {
        if link.is_open() && self.health.told.as_ref() != Some(&self.health.report) {
            self.health.told = Some(self.health.report.clone());
            link.health(self.health.report.clone());
        }
    }

    pub(super) fn report_utilization(&mut self, link: &ResourceManagerLink) {
        let containers_mb = self.core.memory_used_bytes() >> 20;
        let node_mb = health::machine_memory_used_mb();
        let near = |(node, containers): (u64, u64)| {
            node.abs_diff(node_mb) < UTILIZATION_STEP_MB && containers.abs_diff(containers_mb) < UTILIZATION_STEP_MB
        };
        if !self.reported_mb.is_some_and(near) {
            self.reported_mb = Some((node_mb, containers_mb));
            link.utilization(node_mb, containers_mb);
        }
    }

    /// Deletes logs of applications that ended long ago, and copies that nobody uses where the cache is too large.
    pub(super) fn sweep(&mut self) {
        let directories = self.launcher.directories.clone();
        let (keep, cache_bytes, now) = (self.timing.log_retain, self.config.cache_target.bytes(), self.clock.now());
        self.children.spawn_blocking(move || {
            sweep(&directories.logs(), keep);
            shrink(&directories, cache_bytes, now);
            Done::Nothing
        });
    }
}

/// An application's log directory is as old as the youngest file in it.
fn sweep(logs: &std::path::Path, keep: Duration) {
    let age = |path: &std::path::Path| path.metadata().and_then(|it| it.modified()).ok()?.elapsed().ok();
    for application in names(logs) {
        let application = logs.join(application);
        let containers = names(&application).into_iter().map(|name| application.join(name));
        let files = containers.flat_map(|container| {
            let inside: Vec<_> = names(&container).into_iter().map(|name| container.join(name)).collect();
            inside.into_iter().chain([container])
        });
        let youngest = files.chain([application.clone()]).filter_map(|path| age(&path)).min();
        if youngest.is_some_and(|age| age > keep)
            && let Err(error) = directories::remove(&application)
        {
            tracing::warn!(path = %application.display(), cause = io_cause(&error), "cannot delete old logs");
        }
    }
}
