//! What an earlier NodeManager left: its records, and what became of their processes meanwhile.

use std::fs;

use super::container::{ContainerRecord, Found};
use super::directories::Directories;
use super::error::Error;
use super::supervise::{diagnostics, exit_code};
use crate::ids::ContainerId;
use crate::process::{Ended, Identity, Signal, marked, signal_process};
use crate::protocol::container::{Exit, ExitCause};
use crate::protocol::roles::CONTAINER_ID;
use crate::storage::meta::{LogStore, MetaStore, Operation};

const CONTAINERS: &str = "container/";
const INCARNATION: &str = "incarnation";

/// An opened store and what was in it.
pub(super) struct Recovered {
    pub(super) store: LogStore,
    pub(super) incarnation: u64,
    pub(super) containers: Vec<(ContainerRecord, Found)>,
}

/// Opens the node's store, counts this start, and looks for the recorded processes. Blocking.
pub(super) fn recover(directories: &Directories) -> Result<Recovered, Error> {
    let failed = |error: crate::storage::Error| Error::State(error.to_string());
    let opened = LogStore::open(&directories.state()).map_err(failed)?;
    if let Some(rebuilt) = &opened.rebuilt {
        tracing::warn!(?rebuilt, "the node's store was damaged and has been rebuilt");
    }
    let mut store = opened.store;
    let number = |value: &[u8]| std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
    let before = store.get(INCARNATION).map_err(failed)?.and_then(|record| number(&record.value)).unwrap_or(0);
    let incarnation = before + 1;
    store.apply(&[Operation::put(INCARNATION, incarnation.to_string())]).map_err(failed)?;
    store.flush().map_err(failed)?;
    let mut containers = Vec::new();
    for (key, record) in store.list(CONTAINERS).map_err(failed)? {
        match serde_json::from_slice::<ContainerRecord>(&record.value) {
            Ok(record) => {
                let found = find(&record, directories);
                containers.push((record, found));
            }
            Err(error) => tracing::error!(key, %error, "a container's record is not understood and left alone"),
        }
    }
    Ok(Recovered { store, incarnation, containers })
}

/// The write that makes a record durable.
pub(super) fn put(record: &ContainerRecord) -> Operation {
    let value = serde_json::to_vec(record).expect("a record is expressible in JSON");
    Operation::put(key(record.lease.container), value)
}

/// The write that removes a record.
pub(super) fn delete(container: ContainerId) -> Operation {
    Operation::delete(key(container))
}

fn key(container: ContainerId) -> String {
    format!("{CONTAINERS}{container}")
}

fn find(record: &ContainerRecord, directories: &Directories) -> Found {
    let container = record.lease.container;
    if let Some((exit, _)) = &record.exit {
        return Found::Ended(exit.clone());
    }
    let process = fs::read(directories.pid_file(container)).ok();
    let process: Option<Identity> = process.and_then(|json| serde_json::from_slice(&json).ok());
    if let Some(process) = process.filter(Identity::is_alive) {
        return Found::Alive(process);
    }
    // Without its leader nothing of it is watched, so nothing of it may stay.
    for stray in marked(CONTAINER_ID, &container.to_string()).unwrap_or_default() {
        if let Err(error) = signal_process(stray, Signal::Kill) {
            tracing::error!(%container, %stray, %error, "cannot kill a process that its leader left behind");
        }
    }
    let cause = match exit_code(&directories.exit_code_file(container)) {
        Some(Ended::Code(code)) => ExitCause::Completed { code },
        Some(Ended::Signal(signal)) => ExitCause::Signal { signal },
        None if process.is_some() => {
            ExitCause::Aborted { why: "it ended while the NodeManager was away and left no exit code".to_owned() }
        }
        None => ExitCause::Aborted { why: "the NodeManager was restarted before it was launched".to_owned() },
    };
    Found::Ended(Exit { cause, diagnostics: diagnostics(&directories.logs_of(container)) })
}
