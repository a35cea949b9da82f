//! `flott logs`: what a job's processes have written, as one log by time; while it runs, when it has ended, and when its nodes are gone.

mod lines;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use self::lines::{Entry, Filter, Level, Reader, merge};
use super::arguments::{Cluster, Output, OutputFormat, duration};
use super::block_on;
use super::jobs::Home;
use super::output::write;
use super::run::interrupted;
use super::values::{PARALLELISM_MAX, number};
use crate::client::{Found, JobLogs, JobManager, LogFile, Stream};
use crate::ids::{JobId, VertexId};
use crate::protocol::job::JobStatus;
use crate::telemetry::utc;
use crate::time::{Clock, Now, SystemClock};

/// Between looks with `-f`.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(500);

/// Of a rotated file's predecessor, behind the name.
const BEFORE: &str = ".1";

/// `flott logs`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    flott logs 6f1c… --level warn\n  \
    flott logs 6f1c… --vertex map --subtask 0 -f\n  \
    flott logs 6f1c… --since 5m --output json | jq -r .text")]
pub(super) struct Logs {
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    output: Output,
    /// Only of this vertex: its id, the beginning of it, or a part of its name
    #[arg(long, value_name = "VERTEX")]
    vertex: Option<String>,
    /// Only of the subtask with this number, from 0
    #[arg(long, value_name = "N", value_parser = number::<u32>(0..=PARALLELISM_MAX - 1))]
    subtask: Option<u32>,
    /// Only what was written in the last so long, e.g. 5m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    since: Option<Duration>,
    /// Only what matters at least so much
    #[arg(long, value_enum, value_name = "LEVEL")]
    level: Option<Level>,
    /// Go on with what is written later, until the job has ended
    #[arg(short, long)]
    follow: bool,
    /// What the program prints, instead of what it logs: one worker after the other, for what is printed bears no time
    #[arg(long, conflicts_with_all = ["vertex", "subtask", "since", "level"])]
    stdout: bool,
    /// The job: 32 hex digits, as `flott list` shows it
    job: JobId,
}

/// `flott logs`.
pub(super) fn logs(options: &Logs) -> anyhow::Result<ExitCode> {
    block_on(async {
        tokio::select! {
            biased;
            () = interrupted(), if options.follow => Ok(()),
            done = show(options) => done,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn show(options: &Logs) -> anyhow::Result<()> {
    let job = options.job;
    let stream = if options.stdout { Stream::Stdout } else { Stream::Log };
    let home = options.cluster.home_of(job).await?;
    let (job_manager, logs) = match &home {
        Home::Standalone(job_manager) => {
            (job_manager.clone(), JobLogs::of_job_manager(job_manager.clone(), job, stream))
        }
        Home::Application(cluster, application) => {
            let job_manager = JobManager::of_application(cluster, application);
            (job_manager, JobLogs::of_application(cluster.clone(), application.parse()?, job, stream))
        }
    };
    let mut shown = Shown { job, filter: filter(options, &job_manager).await?, logs: BTreeMap::new() };
    loop {
        // First this: what is written before the end is there then.
        let ended = !options.follow || has_ended(&home, &job_manager, job).await;
        let found = logs.find().await.context("cannot find the job's logs")?;
        let entries = shown.news(&found, ended).await;
        print(options.output, &if options.stdout { entries } else { merge(entries) })?;
        if ended {
            tell_missing(&found);
            // Told by the JobManager itself; an application's may be gone, and its logs with it.
            return match (&home, found.files.is_empty()) {
                (Home::Standalone(job_manager), true) => Ok(job_manager.details(job).await.map(drop)?),
                _ => Ok(()),
            };
        }
        tokio::time::sleep(FOLLOW_INTERVAL).await;
    }
}

fn tell_missing(found: &Found) {
    for missing in &found.missing {
        eprintln!("{missing}");
    }
    if found.files.is_empty() {
        eprintln!("nothing that this job has written is left, or it has written nothing");
    }
}

/// A job that nobody knows has ended, or its application has not come so far.
async fn has_ended(home: &Home, job_manager: &JobManager, job: JobId) -> bool {
    match (job_manager.details(job).await, home) {
        (Ok(details), _) => serde_json::from_value(details["state"].clone()).is_ok_and(JobStatus::is_globally_terminal),
        (Err(error), Home::Standalone(_)) => error.status() == Some(404),
        (Err(_), Home::Application(cluster, application)) => {
            let Ok(application) = application.parse() else { return true };
            match cluster.application(application).await {
                Ok(application) => application.state.is_terminal(),
                Err(error) => error.status() == Some(404),
            }
        }
    }
}

async fn filter(options: &Logs, job_manager: &JobManager) -> anyhow::Result<Filter> {
    let now = SystemClock::new().now();
    let since = options.since.map(|since| {
        let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        utc(Now(now.as_millis().saturating_sub(since)))
    });
    let vertices = match &options.vertex {
        Some(wanted) => Some(vertices(wanted, job_manager, options.job).await?),
        None => None,
    };
    if let Some(subtask) = options.subtask {
        check_subtask(subtask, vertices.as_deref(), job_manager, options.job).await?;
    }
    Ok(Filter { since, level: options.level, vertices, subtask: options.subtask })
}

/// Refuses the number of a subtask that no vertex has. Where nobody knows the job any more, any may have been.
async fn check_subtask(
    subtask: u32,
    vertices: Option<&[String]>,
    job_manager: &JobManager,
    job: JobId,
) -> anyhow::Result<()> {
    let Ok(details) = job_manager.details(job).await else { return Ok(()) };
    let all = details["vertices"].as_array().map(Vec::as_slice).unwrap_or_default();
    let meant = all.iter().filter(|vertex| {
        vertices.is_none_or(|meant| vertex["id"].as_str().is_some_and(|id| meant.iter().any(|meant| meant == id)))
    });
    match meant.filter_map(|vertex| vertex["parallelism"].as_u64()).max() {
        Some(most) if u64::from(subtask) >= most => {
            bail!("there is no subtask {subtask}; they are numbered from 0 to {}", most.saturating_sub(1))
        }
        _ => Ok(()),
    }
}

/// The ids of the vertices that somebody means.
async fn vertices(wanted: &str, job_manager: &JobManager, job: JobId) -> anyhow::Result<Vec<String>> {
    if wanted.parse::<VertexId>().is_ok() {
        return Ok(vec![wanted.to_ascii_lowercase()]);
    }
    let details =
        job_manager.details(job).await.context("cannot look up the job's vertices; name one by its whole id")?;
    let all = details["vertices"].as_array().cloned().unwrap_or_default();
    let known: Vec<(&str, &str)> =
        all.iter().filter_map(|it| Some((it["id"].as_str()?, it["name"].as_str()?))).collect();
    let folded = wanted.to_lowercase();
    let is_meant = |(id, name): &&(&str, &str)| id.starts_with(&folded) || name.to_lowercase().contains(&folded);
    let meant: Vec<String> = known.iter().filter(is_meant).map(|(id, _)| (*id).to_owned()).collect();
    if meant.is_empty() {
        let names: Vec<String> = known.iter().map(|(id, name)| format!("  {id}  {name}")).collect();
        bail!("no vertex is called {wanted}; the job has\n{}", names.join("\n"));
    }
    Ok(meant)
}

/// What has been shown of each log: how far into its present file, by origin and name.
struct Shown {
    job: JobId,
    filter: Filter,
    logs: BTreeMap<(String, String), (Reader, u64)>,
}

impl Shown {
    /// What has come since the last look.
    async fn news(&mut self, found: &Found, last: bool) -> Vec<Entry> {
        let mut entries = Vec::new();
        for file in found.files.iter().filter(|file| !file.name.ends_with(BEFORE)) {
            let is_before =
                |it: &&LogFile| it.origin == file.origin && it.name.strip_suffix(BEFORE) == Some(&file.name);
            let before = found.files.iter().find(is_before);
            let key = (file.origin.clone(), file.name.clone());
            let (mut reader, from, from_before) = match self.logs.remove(&key) {
                None => {
                    let about = file.shared.then(|| self.job.to_string());
                    (Reader::new(file.origin.clone(), about), file.first_byte(), before.map(LogFile::first_byte))
                }
                // It was rotated: the rest of what was being read is in its predecessor.
                Some((reader, from)) if file.bytes < from => (reader, 0, Some(from)),
                Some((reader, from)) => (reader, from, None),
            };
            // One that has just gone is found elsewhere, or missed, at the next look.
            if let Some((before, from)) = before.zip(from_before) {
                let bytes = before.read(from).await.unwrap_or_default();
                entries.extend(reader.read(&bytes, false, &self.filter));
            }
            let bytes = file.read(from).await.unwrap_or_default();
            entries.extend(reader.read(&bytes, last, &self.filter));
            self.logs.insert(key, (reader, from + bytes.len() as u64));
        }
        entries
    }
}

fn print(output: Output, entries: &[Entry]) -> anyhow::Result<()> {
    let mut text = String::new();
    for Entry { time, origin, level, lines } in entries {
        match output.output {
            OutputFormat::Text => lines.iter().for_each(|line| text.push_str(&format!("{origin:<5} {line}\n"))),
            OutputFormat::Json => {
                let time = Some(time).filter(|time| !time.is_empty());
                let level = level.map(|level| level.to_string());
                let entry = json!({ "time": time, "origin": origin, "level": level, "text": lines.join("\n") });
                text.push_str(&format!("{entry}\n"));
            }
        }
    }
    write(text.as_bytes())
}
