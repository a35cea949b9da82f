//! `flott app run -- COMMAND`: a shell command as an application.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::arguments::{Output, OutputFormat, Settings};
use super::block_on;
use super::output::{say, write};
use super::progress::ProgressLine;
use super::run::{interrupted, recorded_environment, user};
use super::values::{memory, number};
use crate::application_master::{Error as MasterError, Identity};
use crate::client::{CommandOptions, Progress, ResourceManager, SubmitError, Written, follow_command, submit_command};
use crate::ids::{ApplicationId, ContainerId};
use crate::protocol::application_master::FinalStatus;
use crate::protocol::container::ExitCause;
use crate::protocol::roles::{SHELL, ShellEnvironment};
use crate::protocol::submission::ApplicationState;
use crate::protocol::yarn_rest::{Application, Container};
use crate::resource::{MemorySize, Resource};
use crate::rpc::http;
use crate::shell;

/// A command that does not run after so long waits for something, which is said.
const PATIENCE: Duration = Duration::from_secs(1);
/// Of a command that was ended by Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

/// `flott app run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    flott app run -- make -j4\n  \
    flott app run --containers 3 --files words.txt -- 'wc -l words.txt; echo $FLOTT_TASK_INDEX'\n  \
    flott app run -d -n nightly -q etl --memory 2g -- ./etl.sh --all")]
pub(super) struct RunCommand {
    #[command(flatten)]
    settings: Settings,
    /// Name of the application; by default the command's
    #[arg(short, long, value_name = "NAME")]
    name: Option<String>,
    /// Queue of the resource manager
    #[arg(short, long, value_name = "QUEUE")]
    queue: Option<String>,
    /// Run it in so many containers side by side, each with its number in FLOTT_TASK_INDEX
    #[arg(long, value_name = "N", value_parser = number::<u32>(1..=100_000))]
    containers: Option<u32>,
    /// Memory of each run, e.g. 512m
    #[arg(long, value_name = "SIZE", default_value = "256m", value_parser = memory(MemorySize::from_mebibytes(1)))]
    memory: MemorySize,
    /// Virtual cores of each run
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = number::<u32>(1..=u64::from(u32::MAX)))]
    vcores: u32,
    /// Files the command finds in its working directory, separated by commas
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    files: Vec<PathBuf>,
    /// Environment variable the command sees; without a value: as it is here
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Kill it after so long, e.g. 2 h; its queue may allow less
    #[arg(long, value_name = "DURATION", value_parser = super::arguments::duration)]
    lifetime: Option<Duration>,
    /// Return as soon as it is submitted
    #[arg(short, long)]
    detached: bool,
    #[command(flatten)]
    output: Output,
    /// The command: one word is a line for bash, several are a program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// `flott app run`.
pub(super) fn run(options: &RunCommand) -> anyhow::Result<ExitCode> {
    let (_, client) = options.settings.client()?;
    let cluster = ResourceManager::new(&client.resource_manager, &user(), &client.credentials);
    let submit = CommandOptions {
        command: options.command.clone(),
        name: options.name.clone(),
        queue: options.queue.clone().unwrap_or(client.queue),
        user: user(),
        capability: Resource::new(options.memory.mebibytes(), options.vcores),
        containers: options.containers,
        files: options.files.clone(),
        lifetime: options.lifetime,
        environment: recorded_environment(&options.env)?,
    };
    block_on(async {
        let id = submit_command(&cluster, submit).await.map_err(with_hint)?;
        if !options.detached {
            return attached(options, &cluster, id).await;
        }
        match options.output.output {
            OutputFormat::Json => say(&json!({ "application": id }).to_string())?,
            OutputFormat::Text => say(&format!("Submitted application {id}"))?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn with_hint(error: SubmitError) -> anyhow::Error {
    match error {
        SubmitError::Http(error @ http::Error::Connect { .. }) => anyhow::anyhow!(
            "{error}; no resource manager answers there: start one with scripts/start-yarn.sh, or set \
             resourcemanager.address and resourcemanager.port"
        ),
        other => other.into(),
    }
}

async fn attached(options: &RunCommand, cluster: &ResourceManager, id: ApplicationId) -> anyhow::Result<ExitCode> {
    let waiting = RefCell::new(Waiting { line: None, application: None });
    let printer = RefCell::new(Printer { several: options.containers.is_some(), open: BTreeMap::new() });
    let changed = |application: &Application| waiting.borrow_mut().changed(application);
    let follow = follow_command(cluster, id, changed, |piece| printer.borrow_mut().print(&piece));
    let patience = tokio::time::sleep(PATIENCE);
    tokio::pin!(follow, patience);
    let (mut killed, mut shows) = (false, false);
    let outcome = loop {
        tokio::select! {
            biased;
            () = interrupted() => {
                if killed {
                    waiting.borrow_mut().over();
                    eprintln!("{id} is being killed; how it ends: flott app status {id}");
                    return Ok(ExitCode::from(INTERRUPTED));
                }
                cluster.kill(id).await.with_context(|| format!("{id} may still run; kill it with: flott app kill {id}"))?;
                killed = true;
            }
            () = &mut patience, if !shows => {
                shows = true;
                waiting.borrow_mut().begin();
            }
            outcome = &mut follow => break outcome,
        }
    };
    waiting.borrow_mut().over();
    printer.borrow_mut().close();
    let (application, containers) =
        outcome.with_context(|| format!("lost sight of {id}; it may still run: flott app status {id}"))?;
    if options.output.output == OutputFormat::Json {
        let told = json!({
            "application": id, "state": application.state, "finalStatus": application.final_status,
            "exitCode": exit_code(&application, &containers), "diagnostics": application.diagnostics,
        });
        eprintln!("{told}");
    }
    Ok(ended(options, &application, &containers, killed))
}

/// What a person sees while the command does not run. Most run at once, and then there is nothing to see.
struct Waiting {
    line: Option<ProgressLine>,
    application: Option<Application>,
}

impl Waiting {
    fn changed(&mut self, application: &Application) {
        self.application = Some(application.clone());
        if self.line.is_some() {
            self.begin();
        }
    }

    fn begin(&mut self) {
        match &self.application {
            Some(waits) if waits.state != ApplicationState::Running && !waits.state.is_terminal() => {
                let line = self.line.get_or_insert_with(|| ProgressLine::new("submitted"));
                line.show(&Progress::waiting(waits));
            }
            Some(_) | None => self.over(),
        }
    }

    fn over(&mut self) {
        if let Some(line) = self.line.take() {
            line.finish();
        }
    }
}

/// Says what the command did not say itself, and gives its exit code.
fn ended(options: &RunCommand, application: &Application, containers: &[Container], killed: bool) -> ExitCode {
    if application.final_status == FinalStatus::Succeeded {
        return ExitCode::SUCCESS;
    }
    let code = exit_code(application, containers);
    let by_itself = code.is_some() && options.containers.is_none();
    if !by_itself && options.output.output == OutputFormat::Text {
        let cause = application.diagnostics.split("\nlast lines of ").next().unwrap_or_default().trim();
        eprintln!("error: {} (application {})", if cause.is_empty() { "it was killed" } else { cause }, application.id);
    }
    ExitCode::from(if killed { INTERRUPTED } else { code.unwrap_or(1) })
}

/// The first exit code that is none of success: of the command where that is the application, else of the run that failed.
fn exit_code(application: &Application, containers: &[Container]) -> Option<u8> {
    let causes =
        application.exit_cause.iter().chain(containers.iter().filter_map(|container| container.exit_cause.as_ref()));
    let code = |cause: &ExitCause| match cause {
        ExitCause::Completed { code } => u8::try_from(*code).ok().filter(|code| *code != 0),
        ExitCause::Signal { signal } => u8::try_from(128 + signal).ok(),
        ExitCause::OutOfMemory { .. }
        | ExitCause::LaunchFailed { .. }
        | ExitCause::KilledByApplicationMaster
        | ExitCause::KilledByResourceManager { .. }
        | ExitCause::KilledByUser
        | ExitCause::KilledAfterApplicationEnd
        | ExitCause::Preempted { .. }
        | ExitCause::Released
        | ExitCause::NodeLost
        | ExitCause::DiskFailed
        | ExitCause::Aborted { .. } => None,
    };
    causes.filter_map(code).next()
}

/// Prints what containers write: as it is, or, of several, by lines that begin with the container's number.
struct Printer {
    several: bool,
    /// Of each log the line that is not ended yet.
    open: BTreeMap<(String, bool), Vec<u8>>,
}

impl Printer {
    fn print(&mut self, piece: &Written) {
        if !self.several {
            return put(piece.is_error, &piece.bytes);
        }
        let key = (piece.container.clone(), piece.is_error);
        let open = self.open.entry(key).or_default();
        open.extend_from_slice(&piece.bytes);
        let Some(end) = open.iter().rposition(|byte| *byte == b'\n') else { return };
        let rest = open.split_off(end + 1);
        let whole = std::mem::replace(open, rest);
        put(piece.is_error, &prefixed(&piece.container, &whole));
    }

    fn close(&mut self) {
        for ((container, is_error), mut line) in std::mem::take(&mut self.open) {
            if !line.is_empty() {
                line.push(b'\n');
                put(is_error, &prefixed(&container, &line));
            }
        }
    }
}

fn prefixed(container: &str, lines: &[u8]) -> Vec<u8> {
    let number = container.parse::<ContainerId>().map_or(0, |id| id.count());
    let mut text = Vec::with_capacity(lines.len() + 16);
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        text.extend_from_slice(format!("[{number}] ").as_bytes());
        text.extend_from_slice(line);
    }
    text
}

/// Whoever has stopped reading has what they wanted; the command goes on.
fn put(is_error: bool, bytes: &[u8]) {
    if is_error {
        let _ = io::stderr().write_all(bytes);
    } else {
        let _ = write(bytes);
    }
}

/// `flott shellmaster`, in a container.
pub(super) fn shell_master() -> anyhow::Result<ExitCode> {
    let json = std::env::var(SHELL).context("this verb is for nodes; run a command with: flott app run -- COMMAND")?;
    let shell: ShellEnvironment = serde_json::from_str(&json).with_context(|| format!("cannot read {SHELL}"))?;
    let identity = Identity::from_environment()?;
    match block_on(async { Ok(shell::run(&identity, &shell).await?) }) {
        // It has said how its runs went; the master itself has done what it is for.
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => match error.downcast_ref::<MasterError>() {
            // Killed: nothing went wrong here.
            Some(MasterError::Shutdown { .. }) => Ok(ExitCode::FAILURE),
            _ => Err(error),
        },
    }
}
