//! This machine: limits, control groups, disks, ports.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;
use rustix::process::{Resource, getrlimit};

use super::Check;
use crate::config::{Configuration, JobManagerConfig, NodeManagerConfig, ResourceManagerConfig};
use crate::rpc::io_cause;

/// A worker holds a descriptor for each channel to another process, and each spilled file.
const FILES_WANTED: u64 = 8192;
/// A worker has a thread for each subtask.
const THREADS_WANTED: u64 = 4096;
/// A disk with less room than this will be full soon.
const ROOM_WANTED_BYTES: u64 = 2 << 30;
/// As a NodeManager, which takes no more containers then.
const DISK_USE_PERCENT_MAX: u64 = 95;

pub(super) fn checks(configuration: &Configuration) -> Vec<Check> {
    let mut checks = vec![
        limit(
            "open files",
            getrlimit(Resource::Nofile).current,
            FILES_WANTED,
            "ulimit -n, or LimitNOFILE= of a systemd unit",
        ),
        limit(
            "threads",
            getrlimit(Resource::Nproc).current,
            THREADS_WANTED,
            "ulimit -u, or TasksMax= of a systemd unit",
        ),
        control_groups(Path::new("/sys/fs/cgroup")),
    ];
    let refused = |error: crate::config::Error| Check::fail("configuration", error.to_string(), "set what it asks for");
    match ResourceManagerConfig::from_configuration(configuration) {
        Ok(config) => {
            checks.push(port("ResourceManager", &config.bind_host, config.port));
            checks.push(disk("ResourceManager's state", &config.state_dir));
        }
        Err(error) => checks.push(refused(error)),
    }
    match NodeManagerConfig::from_configuration(configuration) {
        Ok(config) => {
            checks.push(port("NodeManager", &config.bind_host, config.port));
            checks.push(disk("node's containers", &config.dir));
        }
        Err(error) => checks.push(refused(error)),
    }
    match JobManagerConfig::from_configuration(configuration) {
        Ok(config) => checks.push(disk("storage", &config.storage_dir)),
        Err(error) => checks.push(refused(error)),
    }
    checks
}

fn limit(what: &str, limit: Option<u64>, wanted: u64, how: &str) -> Check {
    match limit {
        None => Check::ok("limits", format!("{what}: no limit")),
        Some(limit) if limit >= wanted => Check::ok("limits", format!("{what}: {limit}")),
        Some(limit) => Check::warn(
            "limits",
            format!("{what}: {limit}; large jobs need {wanted} in one process"),
            format!("raise it with {how}"),
        ),
    }
}

/// Containers' memory is measured by their process trees either way; what the kernel does at its own limits is told apart by this.
fn control_groups(root: &Path) -> Check {
    if root.join("cgroup.controllers").exists() {
        let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        return match controllers.split_whitespace().any(|name| name == "memory") {
            true => {
                Check::ok("cgroups", "version 2, with the memory controller; containers are measured by process tree")
            }
            false => Check::ok(
                "cgroups",
                "version 2, without the memory controller; containers are measured by process tree",
            ),
        };
    }
    match root.join("memory").exists() {
        true => Check::ok("cgroups", "version 1; containers are measured by process tree"),
        false => Check::ok("cgroups", "none; containers are measured by process tree"),
    }
}

/// The nearest directory above `path` that is there: where it would be made.
fn existing(path: &Path) -> PathBuf {
    path.ancestors().find(|path| path.is_dir()).map_or_else(|| PathBuf::from("/"), Path::to_path_buf)
}

fn disk(what: &str, path: &Path) -> Check {
    let dir = existing(path);
    let shown = path.display();
    let probe = dir.join(format!(".flott-doctor-{}", std::process::id()));
    let written = fs::write(&probe, b"ok").and_then(|()| fs::remove_file(&probe));
    if let Err(error) = written {
        let finding = format!("{what}: {shown} cannot be written: {}", io_cause(&error));
        return Check::fail(
            "disk",
            finding,
            format!("give this user {}, or configure another directory", dir.display()),
        );
    }
    match statvfs(&dir) {
        Err(errno) => Check::warn("disk", format!("{what}: {shown}: {}", io_cause(&errno.into())), "look at the mount"),
        Ok(found) => {
            let used = found.f_blocks.saturating_sub(found.f_bfree);
            let percent = (used * 100).checked_div(used + found.f_bavail).unwrap_or(0);
            room(what, path, percent, found.f_bavail * found.f_frsize)
        }
    }
}

fn room(what: &str, path: &Path, percent: u64, free_bytes: u64) -> Check {
    let finding = format!("{what}: {} has {:.1} GB free, {percent} % used", path.display(), free_bytes as f64 / 1e9);
    let remedy = "make room, or configure a directory on another disk";
    if percent >= DISK_USE_PERCENT_MAX {
        Check::fail("disk", format!("{finding}; a node takes no containers so"), remedy)
    } else if free_bytes < ROOM_WANTED_BYTES {
        Check::warn("disk", finding, remedy)
    } else {
        Check::ok("disk", finding)
    }
}

/// Whether a daemon could listen there, or one does.
fn port(daemon: &str, host: &str, port: u16) -> Check {
    if port == 0 {
        return Check::ok("ports", format!("{daemon}: any free one"));
    }
    match TcpListener::bind((host, port)) {
        Ok(_) => Check::ok("ports", format!("{daemon}: {host}:{port} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Check::ok("ports", format!("{daemon}: {host}:{port} is in use; below is who answers"))
        }
        Err(error) => Check::fail(
            "ports",
            format!("{daemon}: nobody can listen at {host}:{port}: {}", io_cause(&error)),
            "bind an address of this machine, and a port above 1023",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn limits_are_judged_by_what_large_jobs_need() {
        let status = |now| limit("open files", now, 100, "ulimit").status;
        assert_eq!([None, Some(100), Some(99)].map(status), [Status::Ok, Status::Ok, Status::Warn]);
    }

    #[test]
    fn a_disk_is_judged_by_its_room() {
        let status = |percent, free| room("storage", Path::new("/x"), percent, free).status;
        assert_eq!(status(10, 100 << 30), Status::Ok);
        assert_eq!(status(10, 1 << 30), Status::Warn);
        assert_eq!(status(95, 100 << 30), Status::Fail);
        let dir = tempfile::tempdir().unwrap();
        let check = disk("storage", &dir.path().join("to/be/made"));
        assert!(check.finding.starts_with("storage: "), "{check:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left there");
        assert_eq!(disk("storage", Path::new("/proc/nothing")).status, Status::Fail);
    }

    #[test]
    fn a_port_is_free_in_use_or_none_of_this_machine() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = taken.local_addr().unwrap().port();
        assert!(port("RM", "127.0.0.1", number).finding.contains("is in use"));
        drop(taken);
        assert!(port("RM", "127.0.0.1", number).finding.contains("is free"));
        assert_eq!(port("RM", "192.0.2.1", number).status, Status::Fail);
    }
}
