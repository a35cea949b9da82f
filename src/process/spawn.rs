//! Starting a process and learning of its end.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

use super::huge_pages::with_huge_pages;
use super::{Identity, SpawnError};
use crate::time::Deadline;

/// How long somebody else may hold a program that is to run.
const WRITTEN_WITHIN: Duration = Duration::from_millis(200);

/// What a started process leads, so that everything it starts can be found and ended with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leads {
    /// A process group: what children of ours need.
    Group,
    /// A session: also groups that its children make belong to it. Costs one more exec (`setsid`), and falls back to
    /// a group where that tool is missing.
    Session,
}

/// Where a process' standard input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandardInput {
    /// Nothing to read.
    Null,
    /// A pipe whose other end is [`Child::stdin`]; it closes when that is dropped, or when we die.
    Pipe,
}

/// Where a process' output goes.
#[derive(Debug)]
pub enum Output {
    /// Away.
    Null,
    /// Where ours goes.
    Inherit,
    /// A pipe, read at [`Child::stdout`] or [`Child::stderr`].
    Pipe,
    /// Into a file.
    File(File),
}

impl From<Output> for Stdio {
    fn from(output: Output) -> Self {
        match output {
            Output::Null => Self::null(),
            Output::Inherit => Self::inherit(),
            Output::Pipe => Self::piped(),
            Output::File(file) => file.into(),
        }
    }
}

/// A process to start. Its environment is exactly what is given here: nothing is inherited.
#[derive(Debug)]
pub struct Command {
    /// A path, or a name looked up in our `PATH`.
    pub program: PathBuf,
    /// Arguments after the program's name.
    pub arguments: Vec<OsString>,
    /// Working directory; ours if absent.
    pub directory: Option<PathBuf>,
    /// The whole environment.
    pub environment: BTreeMap<OsString, OsString>,
    /// Standard input.
    pub stdin: StandardInput,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// What it leads.
    pub leads: Leads,
}

impl Command {
    /// Runs `program` without arguments and environment, with no input, output thrown away, in a group of its own.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            directory: None,
            environment: BTreeMap::new(),
            stdin: StandardInput::Null,
            stdout: Output::Null,
            stderr: Output::Null,
            leads: Leads::Group,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds variables.
    #[must_use]
    pub fn environment<K: Into<OsString>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.environment.extend(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Starts it. Needs a tokio runtime, which reaps it.
    ///
    /// # Errors
    /// [`SpawnError`]; nothing runs then.
    pub fn spawn(self) -> Result<Child, SpawnError> {
        let setsid = match self.leads {
            Leads::Session => setsid(),
            Leads::Group => None,
        };
        let mut command = match setsid {
            // NOTE: not a group leader when it starts, `setsid` needs no fork and becomes the program: the pid stays.
            Some(setsid) => {
                let mut command = std::process::Command::new(setsid);
                command.arg(&self.program);
                command
            }
            None => {
                let mut command = std::process::Command::new(&self.program);
                std::os::unix::process::CommandExt::process_group(&mut command, 0);
                command
            }
        };
        command.args(&self.arguments).env_clear().envs(&self.environment);
        command.stdin(match self.stdin {
            StandardInput::Null => Stdio::null(),
            StandardInput::Pipe => Stdio::piped(),
        });
        command.stdout(self.stdout).stderr(self.stderr);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let mut command = tokio::process::Command::from(command);
        let failed = |source| SpawnError::new(&self.program, self.directory.as_deref(), source);
        let mut child = with_huge_pages(|| spawn_when_written(&mut command)).map_err(failed)?;
        let pid = child.id().expect("a child that nobody has waited for has a process id");
        let identity = Identity::of(pid).map_err(failed)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        Ok(Child { identity, stdin, stdout, stderr, child })
    }
}

/// Starts a program that may have been written a moment ago. A child that another thread of this process forks meanwhile holds the file
/// open for writing until it becomes its own program, and a file that is open for writing cannot be run.
fn spawn_when_written(command: &mut tokio::process::Command) -> io::Result<tokio::process::Child> {
    let deadline = Deadline::after(WRITTEN_WITHIN);
    loop {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && !deadline.passed() => {
                std::thread::yield_now();
            }
            outcome => return outcome,
        }
    }
}

/// The `setsid` tool, where the machine has it.
fn setsid() -> Option<&'static Path> {
    ["/usr/bin/setsid", "/bin/setsid"].map(Path::new).into_iter().find(|path| path.exists())
}

/// A started process. Dropping it leaves the process running.
pub struct Child {
    identity: Identity,
    /// Our end of its input, if that is a pipe.
    pub stdin: Option<ChildStdin>,
    /// Our end of its output, if that is a pipe.
    pub stdout: Option<ChildStdout>,
    /// Our end of its error output, if that is a pipe.
    pub stderr: Option<ChildStderr>,
    child: tokio::process::Child,
}

impl Child {
    /// Which process it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Waits for its end, and reaps it. Cancel-safe. What its children do is not waited for.
    ///
    /// # Errors
    /// Only if somebody else reaped it.
    pub async fn wait(&mut self) -> io::Result<Ended> {
        self.child.wait().await.map(Ended::from)
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Ended {
    /// What a shell says of its command's end: above 128 stands for the signal that ended it.
    pub fn from_shell_status(status: i32) -> Self {
        const SIGNALS: std::ops::RangeInclusive<i32> = 129..=128 + 64;
        if SIGNALS.contains(&status) { Self::Signal(status - 128) } else { Self::Code(status) }
    }
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Code(status.into_raw()),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    fn sh(script: &str) -> Command {
        Command::new("/bin/sh").arguments(["-c", script])
    }

    #[tokio::test]
    async fn exit_codes_and_signals_are_told_apart() {
        for (script, expected) in [
            ("exit 0", Ended::Code(0)),
            ("exit 7", Ended::Code(7)),
            ("kill -9 $$", Ended::Signal(9)),
            ("kill -15 $$", Ended::Signal(15)),
        ] {
            assert_eq!(sh(script).spawn().unwrap().wait().await.unwrap(), expected, "{script}");
        }
        assert_eq!(Ended::from_shell_status(143), Ended::Signal(15));
        assert_eq!(Ended::from_shell_status(128), Ended::Code(128));
        assert_eq!(Ended::from_shell_status(255), Ended::Code(255));
    }

    #[tokio::test]
    async fn the_environment_is_exactly_what_is_given_and_the_directory_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("/usr/bin/env").environment([("A", "1"), ("B", "x y")]);
        command.stdout = Output::Pipe;
        command.directory = Some(directory.path().to_owned());
        let mut child = command.spawn().unwrap();
        let mut text = String::new();
        child.stdout.take().unwrap().read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "A=1\nB=x y\n");
        assert_eq!(child.wait().await.unwrap(), Ended::Code(0));
    }

    #[tokio::test]
    async fn a_program_that_another_child_still_holds_is_waited_for() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("program");
        std::fs::copy("/bin/true", &program).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let held = std::fs::OpenOptions::new().append(true).open(&program).unwrap();
        let holder = std::thread::spawn(move || {
            let deadline = Deadline::after(Duration::from_millis(20));
            while !deadline.passed() {
                std::thread::yield_now();
            }
            drop(held);
        });
        assert_eq!(Command::new(&program).spawn().unwrap().wait().await.unwrap(), Ended::Code(0));
        holder.join().unwrap();
    }

    #[tokio::test]
    async fn a_process_has_huge_pages_though_we_forgo_them() {
        crate::process::forgo_huge_pages();
        let mut child = sh("grep -qx 'THP_enabled:.1' /proc/self/status").spawn().unwrap();
        assert_eq!(child.wait().await.unwrap(), Ended::Code(0));
    }

    #[tokio::test]
    async fn a_leader_of_a_session_keeps_its_pid_and_leads_its_group() {
        let mut command = sh("read line");
        command.leads = Leads::Session;
        command.stdin = StandardInput::Pipe;
        let mut child = command.spawn().unwrap();
        let pid = child.identity().pid;
        // The exec of `setsid` comes after the spawn; its effect shows when the shell reads.
        let deadline = Deadline::after(Duration::from_secs(10));
        while !super::super::Table::read().unwrap().get(pid).is_some_and(|it| it.session == pid && it.group == pid) {
            assert!(!deadline.passed(), "never led a session");
            tokio::task::yield_now().await;
        }
        drop(child.stdin.take());
        assert_eq!(child.wait().await.unwrap(), Ended::Code(1), "the pipe's closing ends the read");
    }

    #[tokio::test]
    async fn refusals_name_the_cause() {
        let directory = tempfile::tempdir().unwrap();
        let text = directory.path().join("notes.txt");
        std::fs::write(&text, "hello").unwrap();
        let refusal = |program: &Path| Command::new(program).spawn().unwrap_err().to_string();
        assert!(refusal(&directory.path().join("absent")).contains("no such program"));
        assert!(refusal(&text).contains("not executable; check its permissions"));
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&text, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(refusal(&text).contains("not an executable of this machine"));
        let mut elsewhere = sh("true");
        elsewhere.directory = Some(directory.path().join("gone"));
        assert!(elsewhere.spawn().unwrap_err().to_string().contains("working directory"));
        let huge = sh("true").environment([("HUGE", "x".repeat(1 << 20))]);
        assert!(huge.spawn().unwrap_err().to_string().contains("too large"));
    }
}
