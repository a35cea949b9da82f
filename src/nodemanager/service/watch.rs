//! Looks at the machine every so often: memory of containers, the disk, old logs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Service;
use super::effects::Done;
use super::link::ResourceManagerLink;
use crate::ids::ContainerId;
use crate::nodemanager::cache::shrink;
use crate::nodemanager::directories::{self, names};
use crate::nodemanager::health;
use crate::process::Table;
use crate::rpc::io_cause;
use crate::storage::ContainerLogs;

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

    /// What a container has written outlives this node. Whatever remains uncollected, for this process or the disk was gone, is when old logs
    /// are looked for.
    pub(super) fn collect_logs(&mut self, container: ContainerId) {
        if let Some(logs) = self.collected.clone() {
            let from = self.launcher.directories.logs_of(container);
            self.children.spawn_blocking(move || {
                collect(&logs, container, &from);
                Done::Nothing
            });
        }
    }

    /// Logs of containers that ended before they could be collected.
    fn uncollected(&self) -> Vec<(ContainerId, PathBuf)> {
        let (_, views) = self.core.views();
        let alive: BTreeSet<ContainerId> =
            views.iter().filter(|view| view.exit.is_none()).map(|view| view.container).collect();
        let logs = self.launcher.directories.logs();
        let containers = names(&logs).into_iter().flat_map(|application| names(&logs.join(application)));
        let ended = containers.filter_map(|name| name.parse().ok()).filter(|container| !alive.contains(container));
        ended.map(|container| (container, self.launcher.directories.logs_of(container))).collect()
    }

    /// Deletes logs of applications that ended long ago, and copies that nobody uses where the cache is too large.
    pub(super) fn sweep(&mut self) {
        let directories = self.launcher.directories.clone();
        let (keep, cache_bytes, now) = (self.timing.log_retain, self.config.cache_target.bytes(), self.clock.now());
        let collected = self.collected.clone();
        let uncollected = if collected.is_some() { self.uncollected() } else { Vec::new() };
        self.children.spawn_blocking(move || {
            for (container, from) in uncollected {
                collected.iter().for_each(|logs| collect(logs, container, &from));
            }
            sweep(&directories.logs(), keep);
            shrink(&directories, cache_bytes, now);
            Done::Nothing
        });
    }
}

fn collect(logs: &ContainerLogs, container: ContainerId, from: &Path) {
    // One that never started has written nothing.
    if from.is_dir()
        && let Err(error) = logs.put(container, from)
    {
        tracing::warn!(%container, %error, "the container's logs are not collected; they stay here for some hours");
    }
}

/// An application's log directory is as old as the youngest file in it.
fn sweep(logs: &Path, keep: Duration) {
    let age = |path: &Path| path.metadata().and_then(|it| it.modified()).ok()?.elapsed().ok();
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
