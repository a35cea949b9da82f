//! Child processes of a test: found, waited for, killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use flott::time::Deadline;

/// How long a condition may take to come true. Generous: the machine may be busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` gives something, asking every few milliseconds.
///
/// # Panics
/// When `patience` is over; `what` says what was waited for.
pub fn wait_for<T>(what: &str, patience: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Deadline::after(patience);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(!deadline.passed(), "still waiting after {patience:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// The binary under test.
pub fn flott() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_flott"))
}

/// An example job of this build.
pub fn example(name: &str) -> PathBuf {
    let path = flott().with_file_name("examples").join(name);
    assert!(
        path.exists(),
        "{} is missing: cargo test builds it, a filtered test run needs cargo build --examples first",
        path.display()
    );
    path
}

/// A finished command's output as text.
pub struct Finished {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Finished {
    /// Panics with all that was printed unless the command succeeded.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert!(self.success, "the command failed\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Panics unless the command failed and its stderr contains `cause`.
    #[track_caller]
    pub fn failed_with(self, cause: &str) -> Self {
        assert!(!self.success, "the command succeeded\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        assert!(self.stderr.contains(cause), "stderr lacks {cause:?}:\n{}\nstdout:\n{}", self.stderr, self.stdout);
        self
    }
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Finished {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}")).into()
}

/// A process as /proc shows it.
#[derive(Clone, Debug)]
pub struct Process {
    pub pid: i32,
    pub command: String,
}

/// Processes whose environment or command line names `marker` (a cluster's directory, say).
pub fn processes_of(marker: &str) -> Vec<Process> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let (command, environment) = (read("cmdline"), read("environ"));
        let names = |bytes: &[u8]| bytes.windows(marker.len()).any(|window| window == marker.as_bytes());
        // A zombie has neither, and counts as gone.
        if pid != i32::try_from(std::process::id()).unwrap() && (names(&command) || names(&environment)) {
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            found.push(Process { pid, command });
        }
    }
    found
}

/// `kill -9`.
pub fn kill(pid: i32) {
    signal(pid, rustix::process::Signal::KILL);
}

/// Sends a signal; a process that is gone does not mind.
pub fn signal(pid: i32, signal: rustix::process::Signal) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// All visible part files' lines under `dir`, sorted.
pub fn parts(dir: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else { return lines };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with("part-") {
            lines.extend(fs::read_to_string(entry.path()).unwrap().lines().map(str::to_owned));
        }
    }
    lines.sort();
    lines
}

/// `word count` lines of a text, sorted, as the word count defines words.
pub fn naive_counts(text: &str) -> Vec<String> {
    let mut counts = std::collections::BTreeMap::<String, u64>::new();
    for word in text.split_whitespace() {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    let mut lines: Vec<String> = counts.into_iter().map(|(word, count)| format!("{word} {count}")).collect();
    lines.sort();
    lines
}
