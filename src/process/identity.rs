//! Which process, beyond doubt, and its end when it is not our child.

use std::fmt;
use std::fs;
use std::io;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;

use super::table::Entry;

/// A process, recognised after a restart of ours: numbers are reused, a number with its start time in one boot is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its number.
    pub pid: u32,
    /// When it was started, in the kernel's ticks since the boot.
    pub started_ticks: u64,
    /// Which boot: the first half of the kernel's random id of it.
    pub boot: u64,
}

impl Identity {
    /// Of the process that has number `pid` now.
    ///
    /// # Errors
    /// If there is none.
    pub fn of(pid: u32) -> io::Result<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat"))?;
        let entry = Entry::parse(&stat).ok_or_else(|| io::Error::other("/proc/PID/stat was not understood"))?;
        Ok(Self { pid, started_ticks: entry.started_ticks, boot: boot()? })
    }

    /// Whether it still exists and has not ended.
    pub fn is_alive(&self) -> bool {
        let Ok(stat) = fs::read(format!("/proc/{}/stat", self.pid)) else {
            return false;
        };
        let runs = Entry::parse(&stat).is_some_and(|entry| entry.started_ticks == self.started_ticks && !entry.ended);
        runs && boot().is_ok_and(|boot| boot == self.boot)
    }

    pub(super) fn pid(&self) -> Option<Pid> {
        i32::try_from(self.pid).ok().and_then(Pid::from_raw)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {}", self.pid)
    }
}

fn boot() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    u64::from_str_radix(&digits, 16).map_err(io::Error::other)
}

/// Waits until `process` has ended; it need not be a child of ours. Returns at once if it has. Cancel-safe.
///
/// # Errors
/// If the kernel gives no pidfd for a reason other than the process' end.
pub async fn gone(process: Identity) -> io::Result<()> {
    let Some(pid) = process.pid() else {
        return Ok(());
    };
    let descriptor = match pidfd_open(pid, PidfdFlags::NONBLOCK) {
        Ok(descriptor) => descriptor,
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    // IMPORTANT: asked after opening, so the descriptor is known to be that of this very process.
    if !process.is_alive() {
        return Ok(());
    }
    #[expect(
        deprecated,
        reason = "an OwnedFd keeps its descriptor open, so it is sound; the replacement is an unsafe function"
    )]
    let descriptor = AsyncFd::new(descriptor)?;
    descriptor.readable().await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Command, StandardInput};

    #[tokio::test]
    async fn the_end_of_a_process_is_told_to_who_is_not_its_parent() {
        let mut command = Command::new("/bin/sh").arguments(["-c", "read line; exit 3"]);
        command.stdin = StandardInput::Pipe;
        let mut child = command.spawn().unwrap();
        let identity = child.identity();
        assert!(identity.is_alive());
        let mut watch = Box::pin(gone(identity));
        assert!(futures_util::poll!(&mut watch).is_pending());
        drop(child.stdin.take());
        watch.await.unwrap();
        assert!(!identity.is_alive(), "a zombie has ended");
        child.wait().await.unwrap();
        gone(identity).await.unwrap();
    }

    #[tokio::test]
    async fn a_reused_number_is_not_mistaken_for_the_process() {
        let own = Identity::of(std::process::id()).unwrap();
        assert!(own.is_alive());
        for other in [
            Identity { started_ticks: own.started_ticks + 1, ..own },
            Identity { boot: own.boot ^ 1, ..own },
            Identity { pid: u32::MAX, ..own },
        ] {
            assert!(!other.is_alive());
            gone(other).await.unwrap();
        }
    }
}
