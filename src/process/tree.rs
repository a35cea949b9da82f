//! Signals to everything that belongs to a leader.

use std::io;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, kill_process, kill_process_group, pidfd_open, pidfd_send_signal};

use super::{Identity, Table};
use crate::time::Deadline;

/// What can be asked of a process. YARN's signal commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Please end (`SIGTERM`).
    Terminate,
    /// End now (`SIGKILL`).
    Kill,
    /// End and dump (`SIGQUIT`).
    Quit,
}

impl From<Signal> for rustix::process::Signal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Terminate => Self::TERM,
            Signal::Kill => Self::KILL,
            Signal::Quit => Self::QUIT,
        }
    }
}

fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

/// Sends `signal` to the group that `leader` leads. A group that is gone is no error.
///
/// # Errors
/// If the system does not permit it.
pub fn signal_group(leader: Identity, signal: Signal) -> io::Result<()> {
    let Some(group) = leader.pid() else {
        return Ok(());
    };
    permit(kill_process_group(group, signal.into()))
}

/// Sends `signal` to every process of the tree of `leader`, which may itself be gone. Returns how many there were.
///
/// # Errors
/// If `/proc` cannot be read or the system does not permit it.
pub fn signal_tree(leader: Identity, signal: Signal) -> io::Result<usize> {
    // A leader that is gone may have left children behind, but a stranger with its number was started later than it.
    let table = Table::read()?;
    if table.get(leader.pid).is_some_and(|entry| entry.started_ticks != leader.started_ticks) {
        return Ok(0);
    }
    let members = table.tree(leader.pid);
    for member in &members {
        if let Some(pid) = pid(member.pid) {
            permit(kill_process(pid, signal.into()))?;
        }
    }
    Ok(members.len())
}

/// Sends `signal` to this very process; one that has ended is no error.
///
/// # Errors
/// If the system does not permit it.
pub fn signal_process(process: Identity, signal: Signal) -> io::Result<()> {
    let Some(pid) = process.pid() else {
        return Ok(());
    };
    let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(descriptor) => descriptor,
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    // IMPORTANT: asked after opening, so the descriptor is known to be that of this very process.
    if !process.is_alive() {
        return Ok(());
    }
    permit(pidfd_send_signal(descriptor, signal.into()))
}

fn permit(sent: rustix::io::Result<()>) -> io::Result<()> {
    match sent {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Ends the tree of `leader`: asks its group to end, and after `grace` kills whatever is left. Returns when nothing runs any more.
///
/// # Errors
/// As [`signal_tree`], or if processes outlive being killed for 10 seconds (a broken disk under them).
pub async fn end_tree(leader: Identity, grace: Duration) -> io::Result<()> {
    const UNKILLABLE: Duration = Duration::from_secs(10);
    const LOOK_AGAIN: Duration = Duration::from_millis(10);
    let asked = Deadline::after(grace);
    signal_group(leader, Signal::Terminate)?;
    while !asked.passed() {
        if Table::read()?.tree(leader.pid).is_empty() {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN.min(asked.remaining())).await;
    }
    let killed = Deadline::after(UNKILLABLE);
    // A process may fork while it is being killed: repeat until none is found.
    while signal_tree(leader, Signal::Kill)? > 0 {
        if killed.passed() {
            return Err(io::Error::other(format!("processes of {leader} do not end although killed")));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

/// Every process whose environment holds `name=value`: finds what left its tree altogether, and orphans of those who died
/// before they could say what they had started.
///
/// # Errors
/// If `/proc` cannot be listed. Processes that may not be looked at are left out.
pub fn marked(name: &str, value: &str) -> io::Result<Vec<Identity>> {
    let wanted = format!("{name}={value}").into_bytes();
    let mut found = Vec::new();
    for directory in std::fs::read_dir("/proc")? {
        let file_name = directory?.file_name();
        let Some(pid) = file_name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Some(environment) = environment_of(pid) else {
            continue;
        };
        if environment.split(|byte| *byte == 0).any(|variable| variable == wanted) {
            found.extend(Identity::of(pid));
        }
    }
    Ok(found)
}

/// How often a process is looked at that seems to have no environment: about two milliseconds.
const LOOKS: u32 = 200;

/// What a process was started with, in one piece. While it becomes another program it has none for a moment.
fn environment_of(pid: u32) -> Option<Vec<u8>> {
    let environment = || std::fs::read(format!("/proc/{pid}/environ")).ok();
    for _ in 1..LOOKS {
        let found = environment()?;
        // The kernel's own and the dead have no program.
        if !found.is_empty() || std::fs::read_link(format!("/proc/{pid}/exe")).is_err() {
            return Some(found);
        }
        std::thread::yield_now();
    }
    environment()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncBufReadExt, BufReader};

    use super::*;
    use crate::process::{Child, Command, Ended, Leads, Output};

    /// A shell with a child in the background that itself has one which moved to another group; says `ready` when all run.
    async fn family(leads: Leads, script: &str) -> Child {
        let mut command = Command::new("/bin/bash").arguments(["-c", script]);
        command.environment = [("PATH".into(), "/usr/bin:/bin".into()), ("FAMILY".into(), "smith".into())].into();
        command.stdout = Output::Pipe;
        command.leads = leads;
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap());
        lines.read_line(&mut line).await.unwrap();
        assert_eq!(line, "ready\n");
        child
    }

    #[tokio::test]
    async fn ending_a_tree_ends_grandchildren_and_those_who_ignore_the_request() {
        let script = "trap '' TERM; set -m; bash -c 'sleep 600 & wait' & echo ready; wait; wait; sleep 600";
        for leads in [Leads::Group, Leads::Session] {
            let mut child = family(leads, script).await;
            let leader = child.identity();
            let (ended, status) = tokio::join!(end_tree(leader, Duration::from_millis(50)), child.wait());
            ended.unwrap();
            assert_eq!(status.unwrap(), Ended::Signal(9));
            assert!(Table::read().unwrap().tree(leader.pid).is_empty());
        }
    }

    #[tokio::test]
    async fn an_obedient_tree_is_not_killed() {
        let mut child = family(Leads::Group, "trap 'exit 5' TERM; sleep 600 & echo ready; wait").await;
        let (ended, status) = tokio::join!(end_tree(child.identity(), Duration::from_secs(60)), async {
            let status = child.wait().await;
            drop(child.stdout.take());
            status
        });
        ended.unwrap();
        assert_eq!(status.unwrap(), Ended::Code(5));
    }

    #[tokio::test]
    async fn processes_are_found_by_a_mark_in_their_environment() {
        let mut child = family(Leads::Group, "echo ready; exec sleep 600").await;
        let found = marked("FAMILY", "smith").unwrap();
        assert!(found.contains(&child.identity()), "{found:?}");
        assert!(!marked("FAMILY", "smit").unwrap().contains(&child.identity()));
        signal_process(Identity { started_ticks: 0, ..child.identity() }, Signal::Kill).unwrap();
        assert!(child.identity().is_alive(), "a signal to another process of that number");
        signal_process(child.identity(), Signal::Kill).unwrap();
        child.wait().await.unwrap();
        assert_eq!(signal_tree(child.identity(), Signal::Kill).unwrap(), 0);
        signal_group(child.identity(), Signal::Kill).unwrap();
    }
}
