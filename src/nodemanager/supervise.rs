//! A container's process from its start to its end, ours or taken over.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::core::Event;
use super::directories::{self, Directories};
use crate::ids::ContainerId;
use crate::process::{self, Child, Ended, Identity, Signal, marked, signal_process, signal_tree, tail};
use crate::protocol::roles::CONTAINER_ID;
use crate::rpc::io_cause;
use crate::time::Deadline;

/// How much of its error output is reported with an exit.
const DIAGNOSTICS_BYTES_MAX: u64 = 4096;
/// How long what a leader leaves behind may take to die once killed.
const SWEEP_MAX: Duration = Duration::from_secs(5);

/// A process to wait for.
#[derive(Debug)]
pub(super) enum Watched {
    /// Started by us.
    Child(Box<Child>),
    /// Taken over from an earlier NodeManager.
    Adopted(Identity),
}

/// Waits for the end of `container`'s process, ends whatever is left of its tree and tells how it ended.
pub(super) async fn supervise(container: ContainerId, watched: Watched, directories: Directories) -> Event {
    let (leader, ended) = match watched {
        Watched::Child(mut child) => {
            let ended = child.wait().await.map(from_top);
            (child.identity(), ended.ok())
        }
        Watched::Adopted(leader) => {
            if let Err(error) = process::gone(leader).await {
                tracing::error!(%container, cause = io_cause(&error), "cannot watch an adopted process");
            }
            (leader, exit_code(&directories.exit_code_file(container)))
        }
    };
    if let Err(error) = sweep(container, leader).await {
        tracing::error!(%container, cause = io_cause(&error), "cannot end all of the container's processes");
    }
    let logs = directories.logs_of(container);
    let diagnostics = tokio::task::spawn_blocking(move || diagnostics(&logs)).await.unwrap_or_default();
    Event::Exited { container, ended, diagnostics }
}

/// The shell at the top speaks for the program.
fn from_top(ended: Ended) -> Ended {
    match ended {
        Ended::Code(code) => Ended::from_shell_status(code),
        Ended::Signal(signal) => Ended::Signal(signal),
    }
}

/// What the shell at the top wrote down.
pub(super) fn exit_code(file: &Path) -> Option<Ended> {
    let text = std::fs::read_to_string(file).ok()?;
    text.trim().parse().ok().map(Ended::from_shell_status)
}

/// Kills everything of the container that still runs, wherever it moved to, until nothing does.
pub(super) async fn sweep(container: ContainerId, leader: Identity) -> io::Result<()> {
    const LOOK_AGAIN: Duration = Duration::from_millis(5);
    let deadline = Deadline::after(SWEEP_MAX);
    loop {
        let left =
            tokio::task::spawn_blocking(move || sweep_once(container, leader)).await.map_err(io::Error::other)??;
        if left == 0 {
            return Ok(());
        }
        if deadline.passed() {
            return Err(io::Error::other(format!("{left} processes do not end although killed")));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn sweep_once(container: ContainerId, leader: Identity) -> io::Result<usize> {
    let of_tree = signal_tree(leader, Signal::Kill)?;
    let strays = marked(CONTAINER_ID, &container.to_string())?;
    for stray in &strays {
        signal_process(*stray, Signal::Kill)?;
    }
    Ok(of_tree + strays.len())
}

/// The tails of what looks like error output, in a few lines.
pub(super) fn diagnostics(logs: &Path) -> String {
    let is_error_output = |name: &String| name == "stderr" || name.ends_with(".err");
    let names: Vec<String> = directories::names(logs).into_iter().filter(is_error_output).collect();
    let share = DIAGNOSTICS_BYTES_MAX / u64::try_from(names.len().max(1)).unwrap_or(1);
    let tails = names.iter().map(|name| (name, tail(&logs.join(name), share))).filter(|(_, tail)| !tail.is_empty());
    let parts: Vec<String> = tails.map(|(name, tail)| format!("last lines of {name}:\n{tail}")).collect();
    parts.join("\n")
}
