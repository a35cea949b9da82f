//! `flott run`: submit, and follow to the end unless detached.

use std::collections::BTreeMap;
use std::future::pending;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::json;
use tokio::signal::ctrl_c;

use super::arguments::{OutputFormat, Run};
use super::block_on;
use super::explain::{self, Question};
use super::local::{self, Local};
use super::output::{is_terminal, say};
use super::progress::ProgressLine;
use super::restore;
use super::session;
use crate::client::{
    Accumulated, Follower, JobManager, LocalProgram, Outcome, ResourceManager, SubmitError, SubmitOptions, Submitted,
    submit_per_job, submit_standalone,
};
use crate::config::options::is_private;
use crate::config::{self, ClientConfig, S3Config};
use crate::ids::ApplicationId;
use crate::launch::default_parallelism;
use crate::protocol::job::JobStatus;
use crate::protocol::roles;
use crate::resource::Resource;
use crate::rpc::http;
use crate::storage::places::absolute_place_of;

/// Where a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// In the program's own process.
    Local,
    /// At a standalone JobManager.
    Remote,
    /// In a session.
    Session,
    /// In an application of its own.
    PerJob,
}

impl Target {
    fn parse(text: &str) -> anyhow::Result<Self> {
        match text {
            "local" => Ok(Self::Local),
            "remote" => Ok(Self::Remote),
            "yarn-session" => Ok(Self::Session),
            "yarn-per-job" | "yarn-application" => Ok(Self::PerJob),
            _ => {
                bail!("`{text}` is not a target; choose local, remote, yarn-session, yarn-per-job or yarn-application")
            }
        }
    }

    /// Of a job for which nobody says one.
    fn default_parallelism(self) -> u32 {
        match self {
            Self::Local => default_parallelism(),
            Self::Remote | Self::Session | Self::PerJob => 1,
        }
    }
}

/// `flott run`.
pub(super) fn run(options: Run) -> anyhow::Result<ExitCode> {
    let (configuration, client) = options.cluster.settings.client()?;
    let target = match (&options.cluster.target, &options.cluster.jobmanager) {
        (Some(target), _) => Target::parse(target)?,
        (None, Some(_)) => Target::Remote,
        (None, None) if options.session.is_some() => Target::Session,
        (None, None) => client.target.as_deref().map_or(Ok(Target::Remote), Target::parse)?,
    };
    let mut job_configuration = configuration.job_level();
    let (private, public): (Vec<_>, Vec<_>) =
        options.cluster.settings.define.iter().cloned().partition(|(key, _)| is_private(key));
    if let Some((key, _)) = private.into_iter().next().filter(|_| target != Target::Local) {
        return Err(config::Error::Private { key }.into());
    }
    job_configuration.extend(public);
    if let Some(parallelism) = options.parallelism {
        job_configuration.insert("parallelism.default".to_owned(), parallelism.to_string());
    }
    if let Some(savepoint) = &options.from_savepoint {
        job_configuration.insert(restore::RECOVERY_PATH.to_owned(), absolute_place_of(savepoint)?);
    }
    if let Some(mode) = &options.claim_mode {
        job_configuration.insert("execution.state-recovery.claim-mode".to_owned(), claim_mode(mode)?.to_owned());
    }
    if options.allow_non_restored_state {
        job_configuration.insert("execution.state-recovery.ignore-unclaimed-state".to_owned(), "true".to_owned());
    }
    let question = Question {
        program: &options.program,
        arguments: &options.arguments,
        environment: recorded_environment(&options.env)?,
        configuration: job_configuration,
        object_stores: S3Config::from_configuration(&configuration)?,
        default_parallelism: target.default_parallelism(),
    };
    if options.validate {
        return restore::validate(&question, options.output);
    }
    if let Some(format) = options.explain {
        return explain::explain(format, &question);
    }
    restore::tell(&question, options.output)?;
    let job_configuration = question.configuration;
    let shipped: Vec<PathBuf> = options.files.iter().chain(&client.ship_files).cloned().collect();
    if target == Target::Local {
        return local::run(&Local {
            program: &options.program,
            arguments: &options.arguments,
            files: &shipped,
            environment: &recorded_environment(&options.env)?,
            configuration: &job_configuration,
            object_stores: &question.object_stores,
        });
    }
    let submit = SubmitOptions {
        program: options.program.clone(),
        arguments: options.arguments.clone(),
        environment: recorded_environment(&options.env)?,
        files: shipped,
        name: options.name.clone().or_else(|| client.application_name.clone()),
        queue: options.queue.clone().or_else(|| Some(client.queue.clone())),
        user: user(),
        job_manager: Resource::new(client.jobmanager_memory.mebibytes(), 1),
        configuration: job_configuration,
    };
    block_on(async {
        let (submitted, follower) = match target {
            Target::PerJob => per_job(&client, submit).await?,
            Target::Session => in_session(&options, &client, submit).await?,
            Target::Remote | Target::Local => standalone(&options, &client, submit).await?,
        };
        announce(&options, target, &submitted)?;
        if options.detached {
            detached(&options, &follower).await
        } else {
            attached(&options, &submitted, &follower).await
        }
    })
}

fn claim_mode(word: &str) -> anyhow::Result<&'static str> {
    match word.to_ascii_uppercase().replace('-', "_").as_str() {
        "CLAIM" => Ok("CLAIM"),
        "NO_CLAIM" => Ok("NO_CLAIM"),
        "LEGACY" => bail!("--claimMode LEGACY is gone, as in Flink 2; choose CLAIM or NO_CLAIM"),
        _ => bail!("`{word}` is not a claim mode; choose CLAIM or NO_CLAIM"),
    }
}

async fn per_job(client: &ClientConfig, submit: SubmitOptions) -> anyhow::Result<(Submitted, Follower)> {
    let cluster = ResourceManager::new(&client.resource_manager, &submit.user, &client.credentials);
    let uploading = |file: &LocalProgram| {
        if is_terminal() {
            eprintln!("uploading {} ({} kB)", file.name, file.size / 1000);
        }
    };
    let submitted = submit_per_job(&cluster, submit, uploading).await.map_err(|error| {
        with_hint(error, "no resource manager answers there; start one with scripts/start-yarn.sh, or set resourcemanager.address and resourcemanager.port")
    })?;
    let application = submitted.application.context("a per-job submission has an application")?;
    Ok((submitted, Follower::of_application(cluster, application, submitted.job)))
}

async fn in_session(
    options: &Run,
    client: &ClientConfig,
    submit: SubmitOptions,
) -> anyhow::Result<(Submitted, Follower)> {
    let cluster = ResourceManager::new(&client.resource_manager, &submit.user, &client.credentials);
    let configured = client.application_id.as_deref().map(str::parse::<ApplicationId>).transpose()?;
    let mut line = ProgressLine::new("looking for the session");
    let session = session::chosen(&cluster, options.session.or(configured), &mut line).await;
    line.finish();
    let session = session?;
    let job_manager = JobManager::of_application(&cluster, &session.to_string());
    let submitted = submit_standalone(&job_manager, submit).await?;
    let submitted = Submitted { application: Some(session), ..submitted };
    Ok((submitted, Follower::of_session(cluster, session, submitted.job)))
}

async fn standalone(
    options: &Run,
    client: &ClientConfig,
    submit: SubmitOptions,
) -> anyhow::Result<(Submitted, Follower)> {
    let job_manager =
        JobManager::at(options.cluster.jobmanager.as_deref().unwrap_or(&client.job_manager), &client.credentials);
    let submitted = submit_standalone(&job_manager, submit).await.map_err(|error| {
        with_hint(error, "no job manager answers there; start one with scripts/start-cluster.sh, name it with -m host:port, or use -t yarn-per-job")
    })?;
    Ok((submitted, Follower::of_job_manager(job_manager, submitted.job)))
}

/// A refused connection gets its hint; everything else speaks for itself.
fn with_hint(error: SubmitError, hint: &str) -> anyhow::Error {
    match error {
        SubmitError::Http(error @ http::Error::Connect { .. }) => anyhow::anyhow!("{error}; {hint}"),
        other => other.into(),
    }
}

fn announce(options: &Run, target: Target, submitted: &Submitted) -> anyhow::Result<()> {
    match options.output.output {
        OutputFormat::Json if options.detached => {
            say(&json!({ "application": submitted.application, "job": submitted.job }).to_string())
        }
        OutputFormat::Json => Ok(()),
        OutputFormat::Text => {
            match submitted.application {
                Some(session) if target == Target::Session => say(&format!("Submitted to session {session}"))?,
                Some(application) => say(&format!("Submitted application {application}"))?,
                None => {}
            }
            say(&format!("Job has been submitted with JobID {}", submitted.job))
        }
    }
}

/// What is to be known of a job is said to who leaves it alone, too.
async fn detached(options: &Run, follower: &Follower) -> anyhow::Result<ExitCode> {
    if options.output.output == OutputFormat::Text {
        for note in follower.notes_when_planned().await {
            eprintln!("{note}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn attached(options: &Run, submitted: &Submitted, follower: &Follower) -> anyhow::Result<ExitCode> {
    let mut line = ProgressLine::new("submitted");
    let outcome = loop {
        // The follower remembers nothing that is lost here: it asks again for the present state.
        tokio::select! {
            biased;
            () = interrupted() => match answer(&line).await {
                Answer::Cancel => follower.cancel().await?,
                Answer::Continue => {}
                Answer::Leave => {
                    line.finish();
                    eprintln!("The job runs on; cancel it with: flott cancel {}", submitted.job);
                    return Ok(ExitCode::from(130));
                }
            },
            outcome = follower.follow(|progress| line.show(progress)) => break outcome,
        }
    };
    line.finish();
    let outcome = outcome.with_context(|| {
        format!("lost sight of the job; it may still run: flott list, flott cancel {}", submitted.job)
    })?;
    report(options, submitted, &outcome)?;
    Ok(if outcome.state == JobStatus::Finished { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Resolves at Ctrl-C; never, where signals cannot be listened to.
pub(super) async fn interrupted() {
    if ctrl_c().await.is_err() {
        pending::<()>().await;
    }
}

enum Answer {
    Cancel,
    Continue,
    Leave,
}

/// Asks whether to cancel the job. Another Ctrl-C at the question leaves it alone.
async fn answer(line: &ProgressLine) -> Answer {
    if !is_terminal() {
        return Answer::Leave;
    }
    line.pause();
    let answer = loop {
        eprint!("\nCancel the job? [y = cancel, n = keep watching, d = detach] ");
        let _ = io::stderr().flush();
        let typed = tokio::select! {
            biased;
            () = interrupted() => None,
            typed = typed_line() => typed,
        };
        match typed.as_deref().map(str::trim) {
            Some("y" | "Y" | "yes") => break Answer::Cancel,
            Some("n" | "N" | "no") => break Answer::Continue,
            Some("d" | "D" | "detach") | None => break Answer::Leave,
            Some(_) => {}
        }
    };
    line.resume();
    answer
}

/// A line from the terminal; none at its end. Read on a thread of its own, which an interrupt leaves behind.
async fn typed_line() -> Option<String> {
    let (typed, line) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = io::stdin().lock().read_line(&mut text).unwrap_or(0);
        // Nobody waits for it any more after an interrupt.
        let _ = typed.send((read > 0).then_some(text));
    });
    line.await.ok().flatten()
}

fn report(options: &Run, submitted: &Submitted, outcome: &Outcome) -> anyhow::Result<()> {
    let millis = outcome.duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    let job = submitted.job;
    if options.output.output == OutputFormat::Json {
        let told = json!({
            "application": submitted.application, "job": job, "state": outcome.state,
            "duration": millis, "failure": outcome.failure, "accumulators": outcome.accumulators,
        });
        return say(&told.to_string());
    }
    match outcome.state {
        JobStatus::Finished => say(&format!("Program execution finished\nJob with JobID {job} has finished."))?,
        JobStatus::Canceled => say(&format!("Job with JobID {job} was cancelled."))?,
        _ => {
            say(&format!("Job with JobID {job} has failed."))?;
            eprintln!("error: {}", outcome.failure.as_deref().unwrap_or("the job failed without saying why"));
            if let Some(application) = submitted.application {
                eprintln!("logs: flott app logs {application}");
            }
        }
    }
    if let Some(millis) = millis {
        say(&format!("Job Runtime: {millis} ms"))?;
    }
    if !outcome.accumulators.is_empty() {
        say("Accumulator Results:")?;
    }
    for Accumulated { name, kind, value } in &outcome.accumulators {
        say(&format!("- {name} ({kind}): {value}"))?;
    }
    Ok(())
}

/// `NAME=VALUE`, or `NAME` for its value here. Nothing else of this process's environment is recorded.
pub(super) fn recorded_environment(wanted: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut recorded = BTreeMap::new();
    for text in wanted {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let value =
                    std::env::var(text).with_context(|| format!("--env {text}: the variable is not set here"))?;
                (text.as_str(), value)
            }
        };
        if name.is_empty() || name.starts_with(roles::PREFIX) {
            bail!("--env {text}: the name is empty or reserved; write NAME=VALUE, and not {}… as NAME", roles::PREFIX);
        }
        recorded.insert(name.to_owned(), value);
    }
    Ok(recorded)
}

/// The name of who runs this: as the system knows them.
pub(super) fn user() -> String {
    let named = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok()).filter(|name| !name.is_empty());
    named.unwrap_or_else(|| user_by_id(Path::new("/etc/passwd")).unwrap_or_else(|| "unknown".to_owned()))
}

fn user_by_id(passwd: &Path) -> Option<String> {
    let id = rustix::process::getuid().as_raw().to_string();
    let text = std::fs::read_to_string(passwd).ok()?;
    let line = text.lines().find(|line| line.split(':').nth(2) == Some(&id))?;
    line.split(':').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_variables_are_recorded_and_reserved_ones_refused() {
        let recorded = recorded_environment(&["A=b=c".to_owned()]).unwrap();
        assert_eq!(recorded, BTreeMap::from([("A".to_owned(), "b=c".to_owned())]));
        for text in ["=x", "FLOTT_INTERNAL_ROLE=plan", "NOT_SET_ANYWHERE_AT_ALL"] {
            assert!(recorded_environment(&[text.to_owned()]).is_err(), "{text}");
        }
    }
}
