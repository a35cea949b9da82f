//! Runs a program for a moment, watched: without input, within a time and a memory limit, and with nothing left behind.

use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::graph::task::Failure;
use crate::process::{self, Child, Command, Ended, Output, Signal, StandardInput, Table};
use crate::resource::MemorySize;
use crate::rpc::{ErrorKind, io_cause};

/// Of each of a program's outputs so much is kept: the end.
const OUTPUT_BYTES_MAX: usize = 64 << 10;
const MEMORY_WATCHED_EVERY: Duration = Duration::from_millis(50);

/// What a program may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) timeout: Duration,
    pub(super) memory: MemorySize,
}

/// How a program's run ended.
pub(super) struct Run {
    pub(super) ended: Ended,
    /// The end of what it wrote.
    pub(super) stdout: String,
    stderr: String,
}

/// Runs it to its end; it and whatever it has started go when the limits are reached or nobody waits any more.
pub(super) async fn run(mut command: Command, limits: Limits) -> Result<Run, Failure> {
    command.stdin = StandardInput::Null;
    command.stdout = Output::Pipe;
    command.stderr = Output::Pipe;
    let mut child = command.spawn().map_err(|error| Failure::new(error.kind(), error.to_string()))?;
    let group = Group(child.identity());
    let run = watch(&mut child, limits).await;
    drop(group);
    run
}

/// Waits for the program's end within its limits.
async fn watch(child: &mut Child, limits: Limits) -> Result<Run, Failure> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let pid = child.identity().pid;
    let ended = async {
        // The outputs close with the program; children that keep them open are cut off by the timeout.
        let (ended, stdout, stderr) = tokio::join!(child.wait(), tail(stdout), tail(stderr));
        (ended, stdout, stderr)
    };
    tokio::select! {
        (ended, stdout, stderr) = ended => match ended {
            Ok(ended) => Ok(Run { ended, stdout, stderr }),
            Err(error) => Err(Failure::transient(format!("lost the program while it ran: {}", io_cause(&error)))),
        },
        () = tokio::time::sleep(limits.timeout) => Err(Failure::user(format!(
            "the program did not build its graph within {} s; planning runs main() up to execute(…)",
            limits.timeout.as_secs_f64()
        ))),
        used = exceeds(pid, limits.memory) => Err(Failure::user(format!(
            "the program used {} of memory before execute(…), the limit is {}; build large things in open() of an \
             operator, or raise program.plan.memory",
            MemorySize::from_mebibytes(used.mebibytes()),
            limits.memory
        ))),
    }
}

/// A directory that goes when the planning ends, also when it is aborted.
pub(super) struct Scratch(pub(super) PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // A few links; left behind they only cost space.
    }
}

/// A program and whatever it has started, which go when the planning ends, also when it is aborted.
struct Group(process::Identity);

impl Drop for Group {
    fn drop(&mut self) {
        let _ = process::signal_group(self.0, Signal::Kill); // It fails only for processes of others.
    }
}

/// Reads to the end; keeps the last of it.
async fn tail<R: AsyncRead + Unpin>(output: Option<R>) -> String {
    let Some(mut output) = output else {
        return String::new();
    };
    let (mut kept, mut chunk) = (Vec::new(), [0; 8192]);
    while let Ok(count @ 1..) = output.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..count]);
        if kept.len() > 2 * OUTPUT_BYTES_MAX {
            kept.drain(..kept.len() - OUTPUT_BYTES_MAX);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// Returns once the process' tree uses more than `limit`.
async fn exceeds(pid: u32, limit: MemorySize) -> MemorySize {
    loop {
        tokio::time::sleep(MEMORY_WATCHED_EVERY).await;
        let table = tokio::task::spawn_blocking(Table::read).await;
        if let Ok(Ok(table)) = table {
            let used = table.usage(pid).rss_bytes;
            if used > limit.bytes() {
                return MemorySize::from_bytes(used);
            }
        }
    }
}

/// What a failed run says, in one line.
pub(super) fn went_wrong(run: &Run) -> Failure {
    if let Some((message, location)) = panic_in(&run.stderr) {
        return Failure::user(format!("the program panicked in main: {message} (at {location})"));
    }
    let words = said(&run.stderr);
    let said = if words.is_empty() { "it said nothing on stderr".to_owned() } else { words };
    match run.ended {
        // `execute` itself refuses what cannot run, and its message stands alone.
        Ended::Code(1) if !run.stderr.trim().is_empty() => Failure::new(ErrorKind::User, said),
        ended @ (Ended::Code(_) | Ended::Signal(_)) => {
            let was = if matches!(ended, Ended::Signal(_)) { "was " } else { "" };
            Failure::user(format!("the program {was}{ended} before it reached execute(…): {said}"))
        }
    }
}

/// Message and place of the last panic that std reported.
fn panic_in(stderr: &str) -> Option<(String, String)> {
    let lines: Vec<&str> = stderr.lines().collect();
    let at = lines.iter().rposition(|line| line.starts_with("thread '") && line.contains(" panicked at "))?;
    let (_, location) = lines[at].split_once(" panicked at ")?;
    let message: Vec<&str> = lines[at + 1..]
        .iter()
        .take_while(|line| !line.starts_with("note: ") && !line.starts_with("stack backtrace:"))
        .map(|line| line.trim())
        .filter(|line| !line.is_empty())
        .collect();
    Some((message.join(" "), location.trim_end_matches(':').to_owned()))
}

/// What stderr says that matters, in one line: behind an `error:` the paragraph it begins, and what it was caused by; else the last line.
fn said(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().map(str::trim).collect();
    let Some(at) = lines.iter().position(|line| line.to_ascii_lowercase().starts_with("error:")) else {
        return lines.into_iter().rfind(|line| !line.is_empty()).unwrap_or_default().to_owned();
    };
    let paragraph = |from: usize| lines[from..].iter().copied().take_while(|line| !line.is_empty());
    let what = paragraph(at).collect::<Vec<_>>().join(" ");
    let what = what["error:".len()..].trim();
    // As anyhow prints what `main` returns: the innermost cause is the last, and comes first here.
    let causes = lines[at..].iter().position(|line| *line == "Caused by:").map(|below| paragraph(at + below + 1));
    match causes.and_then(Iterator::last) {
        Some(cause) => {
            let numbered =
                cause.split_once(": ").filter(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit()));
            format!("{} ({what})", numbered.map_or(cause, |(_, cause)| cause))
        }
        None => what.to_owned(),
    }
}
