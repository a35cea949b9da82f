//! `flott session`: start, list, stop; and which session a job goes to.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio::signal::ctrl_c;

use super::arguments::{Output, OutputFormat, Settings};
use super::block_on;
use super::output::{print, say, table};
use super::progress::ProgressLine;
use super::run::user;
use super::values::{memory, number};
use crate::client::{JobManager, ResourceManager, SessionOptions, start_session};
use crate::config::{ClientConfig, PROCESS_MEMORY_MIN};
use crate::ids::ApplicationId;
use crate::protocol::submission::ApplicationState;
use crate::protocol::yarn_rest::Application;
use crate::resource::{MemorySize, Resource};

/// How long an orderly end may take: jobs are cancelled, and the ResourceManager is told.
const STOPPING: Duration = Duration::from_secs(60);

/// `flott session`.
#[derive(Debug, Args)]
pub(super) struct Session {
    #[command(subcommand)]
    verb: SessionVerb,
}

#[derive(Debug, Subcommand)]
enum SessionVerb {
    /// Start a session
    Start(SessionStart),
    /// List sessions
    List {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        output: Output,
    },
    /// Stop a session, and all jobs in it
    Stop {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        output: Output,
        /// The session, e.g. application_1760000000000_0001; not needed if you have just one
        session: Option<ApplicationId>,
    },
}

/// `flott session start`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    flott session start -n etl -tm 1g -s 2 -d\n  \
    flott run -t yarn-session ./my-job")]
struct SessionStart {
    #[command(flatten)]
    settings: Settings,
    /// Name of the session
    #[arg(short, long)]
    name: Option<String>,
    /// Queue of the resource manager
    #[arg(short, long)]
    queue: Option<String>,
    /// Memory of the job manager, also -jm; in megabytes unless a unit is given
    #[arg(long = "jobManagerMemory", visible_alias = "job-manager-memory", value_name = "SIZE", value_parser = memory(PROCESS_MEMORY_MIN))]
    job_manager_memory: Option<MemorySize>,
    /// Memory of each task manager, also -tm; in megabytes unless a unit is given
    #[arg(long = "taskManagerMemory", visible_alias = "task-manager-memory", value_name = "SIZE", value_parser = memory(PROCESS_MEMORY_MIN))]
    task_manager_memory: Option<MemorySize>,
    /// Slots of each task manager
    #[arg(short, long, value_name = "N", value_parser = number::<u32>(1..=1024))]
    slots: Option<u32>,
    /// Return as soon as the session runs
    #[arg(short, long)]
    detached: bool,
    #[command(flatten)]
    output: Output,
}

pub(super) fn session(options: Session) -> anyhow::Result<ExitCode> {
    match options.verb {
        SessionVerb::Start(options) => start(&options),
        SessionVerb::List { settings, output } => list(&settings, output),
        SessionVerb::Stop { settings, output, session } => stop(&settings, output, session),
    }
}

fn start(options: &SessionStart) -> anyhow::Result<ExitCode> {
    let (configuration, client) = options.settings.client()?;
    let mut submitted = configuration.job_level();
    submitted.extend(options.settings.define.iter().cloned());
    if let Some(memory) = options.task_manager_memory {
        submitted.insert("taskmanager.memory.process.size".to_owned(), memory.to_string());
    }
    if let Some(slots) = options.slots {
        submitted.insert("taskmanager.numberOfTaskSlots".to_owned(), slots.to_string());
    }
    let memory = options.job_manager_memory.unwrap_or(client.jobmanager_memory);
    let session = SessionOptions {
        name: options.name.clone().or(client.application_name.clone()).unwrap_or_else(|| "flott session".to_owned()),
        queue: options.queue.clone().unwrap_or_else(|| client.queue.clone()),
        user: user(),
        job_manager: Resource::new(memory.mebibytes(), 1),
        attempts: client.application_attempts,
        configuration: submitted,
    };
    block_on(async {
        let cluster = cluster(&client);
        let id = start_session(&cluster, session).await.context("cannot start a session")?;
        let mut line = ProgressLine::new("submitted");
        let application = cluster.started(id, |progress| line.show(progress)).await?;
        line.finish();
        if application.state != ApplicationState::Running {
            bail!("the session did not start: {}", application.diagnostics.trim());
        }
        announce(&cluster, options, id)?;
        if options.detached { Ok(ExitCode::SUCCESS) } else { stay(&cluster, options, id).await }
    })
}

fn announce(cluster: &ResourceManager, options: &SessionStart, id: ApplicationId) -> anyhow::Result<()> {
    let url = cluster.url(&format!("/proxy/{id}/"));
    if options.output.output == OutputFormat::Json {
        return say(&json!({ "application": id, "state": "RUNNING", "webInterface": url }).to_string());
    }
    say(&format!("Session {id} runs.\nJobManager Web Interface: {url}"))?;
    if options.detached {
        say(&format!("Run jobs with: flott run -t yarn-session PROGRAM\nStop it with: flott session stop {id}"))
    } else {
        say("Run jobs with: flott run -t yarn-session PROGRAM\nCtrl-C here stops it.")
    }
}

/// Until the session ends, or is interrupted and stopped.
async fn stay(cluster: &ResourceManager, options: &SessionStart, id: ApplicationId) -> anyhow::Result<ExitCode> {
    let ended = tokio::select! {
        biased;
        interrupted = ctrl_c() => {
            interrupted?;
            cluster.stop_session(id).await?;
            tokio::time::timeout(STOPPING, cluster.ended(id)).await.context("the session does not end")??
        }
        ended = cluster.ended(id) => ended?,
    };
    if options.output.output == OutputFormat::Text {
        say(&format!("Session {id} has ended: {:?}.", ended.state))?;
    }
    Ok(if ended.state == ApplicationState::Failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn cluster(client: &ClientConfig) -> ResourceManager {
    ResourceManager::new(&client.resource_manager, &user(), &client.credentials)
}

fn list(settings: &Settings, output: Output) -> anyhow::Result<ExitCode> {
    let (_, client) = settings.client()?;
    let cluster = cluster(&client);
    let sessions = block_on(async {
        let mut rows = Vec::new();
        for session in cluster.sessions().await? {
            // One that is starting, or ends just now, has nothing to say.
            let overview = JobManager::of_application(&cluster, &session.id).overview().await.unwrap_or(Value::Null);
            rows.push(json!({
                "application": session.id,
                "name": session.name,
                "user": session.user,
                "queue": session.queue,
                "state": session.state,
                "jobsRunning": overview["jobs-running"],
                "taskManagers": overview["taskmanagers"],
                "slotsFree": overview["slots-available"],
                "slotsTotal": overview["slots-total"],
            }));
        }
        Ok(rows)
    })?;
    print(output, &sessions, || {
        if sessions.is_empty() {
            return "No sessions; start one with flott session start.\n".to_owned();
        }
        let text = |row: &Value, key: &str| row[key].as_str().map_or_else(|| shown(&row[key]), str::to_owned);
        let header = ["SESSION", "NAME", "USER", "QUEUE", "STATE", "JOBS", "TASKMANAGERS", "SLOTS FREE"];
        let rows = sessions.iter().map(|row| {
            let slots = format!("{}/{}", shown(&row["slotsFree"]), shown(&row["slotsTotal"]));
            let cell = |key| text(row, key);
            [
                cell("application"),
                cell("name"),
                cell("user"),
                cell("queue"),
                cell("state"),
                cell("jobsRunning"),
                cell("taskManagers"),
                slots,
            ]
        });
        table(header, rows)
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What is not known is a dash.
fn shown(value: &Value) -> String {
    if value.is_null() { "-".to_owned() } else { value.to_string() }
}

fn stop(settings: &Settings, output: Output, wanted: Option<ApplicationId>) -> anyhow::Result<ExitCode> {
    let (_, client) = settings.client()?;
    let cluster = cluster(&client);
    let ended = block_on(async {
        let id = match wanted {
            Some(id) => id,
            None => only_one(&cluster).await?,
        };
        let before = cluster.application(id).await?;
        if before.state.is_terminal() {
            bail!("{id} has ended already: {:?}", before.state);
        }
        cluster.stop_session(id).await?;
        let ended = tokio::time::timeout(STOPPING, cluster.ended(id)).await;
        ended
            .with_context(|| format!("{id} has been asked to stop and still runs; end it with flott app kill {id}"))?
            .map_err(Into::into)
    })?;
    print(output, &json!({ "application": ended.id, "state": ended.state }), || format!("Stopped {}.\n", ended.id))?;
    Ok(ExitCode::SUCCESS)
}

/// Stopping takes jobs along: which session is meant must be clear.
async fn only_one(cluster: &ResourceManager) -> anyhow::Result<ApplicationId> {
    let own = own_sessions(cluster).await?;
    match own.as_slice() {
        [] => bail!("no session of yours runs; flott session list shows those of others"),
        [only] => Ok(only.id.parse()?),
        several => {
            let ids: Vec<&str> = several.iter().map(|session| session.id.as_str()).collect();
            bail!("several sessions of yours run; name one of {}", ids.join(", "))
        }
    }
}

async fn own_sessions(cluster: &ResourceManager) -> anyhow::Result<Vec<Application>> {
    let mut sessions = cluster.sessions().await?;
    sessions.retain(|session| session.user == user());
    Ok(sessions)
}

/// The session that a job goes to: the one named, else this user's newest.
pub(super) async fn chosen(
    cluster: &ResourceManager,
    named: Option<ApplicationId>,
    line: &mut ProgressLine,
) -> anyhow::Result<ApplicationId> {
    let id = match named {
        Some(id) => id,
        None => {
            let newest = own_sessions(cluster).await?.pop();
            let newest = newest.context("no session of yours runs; start one with flott session start -d")?;
            newest.id.parse()?
        }
    };
    let session = cluster.started(id, |progress| line.show(progress)).await?;
    if session.state.is_terminal() {
        bail!("session {id} has ended: {:?}; start another with flott session start -d", session.state);
    }
    Ok(id)
}
