//! `flott top`: what runs, how fast, and what is the matter, once a second in a terminal.
//!
//! ```text
//! JobManagers ─ overview, jobs ─► look ─► Sight ─► frame (pure) ─► screen ◄─ keys
//! ```

mod frame;
mod screen;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use futures_util::future::join_all;
use serde::Serialize;

use super::arguments::{Cluster, Output, OutputFormat};
use super::block_on;
use super::jobs::Place;
use super::output::{print, write};
use crate::client::{JobManager, JobOverview, LiveJob};
use crate::ids::JobId;
use crate::protocol::job::JobStatus;
use crate::rpc::http;
use crate::time::Now;
use frame::Cursor;
use screen::{Key, Screen};

/// Jobs whose vertices are asked for at a time: the ones that can be on a screen.
const JOBS_MAX: usize = 64;

/// `flott top`.
#[derive(Debug, Args)]
#[command(after_help = "Keys: up and down choose a job, Enter shows or hides its vertices, q ends.\n\n\
    BUSY and HELD are of the busiest and of the most held back subtask; LAG is how far event time is behind the clock.")]
pub(super) struct Top {
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    output: Output,
    /// Seconds between two looks
    #[arg(short, long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    delay: f64,
    /// Look once and end; so does a top that is not on a terminal
    #[arg(short = '1', long)]
    once: bool,
    /// Only this job, with its vertices
    job: Option<JobId>,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if (0.1..=3600.0).contains(&seconds) { Ok(seconds) } else { Err("between 0.1 and 3600 seconds".to_owned()) }
}

/// All that there is to see at one moment.
#[derive(Debug, Default, Serialize)]
struct Sight {
    now: Now,
    /// Where it was looked for.
    at: String,
    task_managers: u64,
    slots: u64,
    slots_free: u64,
    /// Jobs that have ended and are remembered.
    ended: usize,
    /// Jobs that there is no room for.
    hidden: usize,
    jobs: Vec<LiveJob>,
}

pub(super) fn top(options: Top) -> anyhow::Result<ExitCode> {
    let live = options.output.output == OutputFormat::Text && !options.once && std::io::stdout().is_terminal();
    block_on(async { if live { watch(&options).await } else { once(&options).await } })?;
    Ok(ExitCode::SUCCESS)
}

async fn once(options: &Top) -> anyhow::Result<()> {
    let sight = look(options).await?;
    let cursor = Cursor { open: options.job, ..Cursor::default() };
    print(options.output, &sight, || {
        let lines = frame::lines(&sight, &cursor, usize::MAX);
        lines.into_iter().map(|line| line.text + "\n").collect()
    })
}

async fn watch(options: &Top) -> anyhow::Result<()> {
    // What cannot be reached at all is told plainly; what is lost later is told on the screen.
    let mut sight = look(options).await?;
    let mut trouble = None;
    let mut cursor = Cursor { open: options.job, ..Cursor::default() };
    let mut screen = Screen::open()?;
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(options.delay));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        let (width, height) = screen.size();
        cursor.keep_within(&sight);
        let mut lines = frame::lines(&sight, &cursor, width);
        lines.extend(trouble.as_ref().map(|trouble| frame::Line::plain(format!("cannot look: {trouble}"))));
        write(screen::paint(&frame::window(lines, height)).as_bytes())?;
        tokio::select! {
            _ = ticks.tick() => match look(options).await {
                Ok(seen) => (sight, trouble) = (seen, None),
                Err(error) => trouble = Some(format!("{error:#}")),
            },
            key = screen.key() => match key {
                Key::Quit => return Ok(()),
                Key::Up => cursor.step(&sight, -1),
                Key::Down => cursor.step(&sight, 1),
                Key::Enter => cursor.toggle(),
            },
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

/// Asks everyone there is.
async fn look(options: &Top) -> anyhow::Result<Sight> {
    if let Some(job) = options.job {
        let job_manager = options.cluster.job_manager_of(job).await?;
        let mut sight = Sight { at: job_manager.address(), ..Sight::default() };
        note_slots(&job_manager, &mut sight).await?;
        let live = job_manager.live_job(job).await?;
        sight.now = live.now;
        sight.jobs.push(live.view);
        return Ok(sight);
    }
    let (place, _) = options.cluster.place().await?;
    let mut sight = Sight::default();
    match place {
        Place::Standalone(job_manager) => {
            sight.at = job_manager.address();
            look_at(&job_manager, &mut sight).await?;
        }
        Place::Applications(cluster) => {
            cluster.authority().clone_into(&mut sight.at);
            for application in cluster.running_masters().await? {
                // A master that ends meanwhile takes its jobs along; the next look knows.
                let _ = look_at(&JobManager::of_application(&cluster, &application.id), &mut sight).await;
            }
        }
    }
    sight.jobs.sort_by_key(|job| (job.start, job.jid));
    Ok(sight)
}

async fn note_slots(job_manager: &JobManager, sight: &mut Sight) -> Result<(), http::Error> {
    let overview = job_manager.overview().await?;
    let number = |key: &str| overview[key].as_u64().unwrap_or(0);
    sight.task_managers += number("taskmanagers");
    sight.slots += number("slots-total");
    sight.slots_free += number("slots-available");
    Ok(())
}

async fn look_at(job_manager: &JobManager, sight: &mut Sight) -> Result<(), http::Error> {
    note_slots(job_manager, sight).await?;
    let (ended, running): (Vec<JobOverview>, Vec<JobOverview>) =
        job_manager.jobs().await?.into_iter().partition(|job| JobStatus::is_globally_terminal(job.state));
    sight.ended += ended.len();
    let room = JOBS_MAX.saturating_sub(sight.jobs.len());
    sight.hidden += running.len().saturating_sub(room);
    let asked = running.iter().take(room).map(|job| job_manager.live_job(job.jid));
    for live in join_all(asked).await {
        // One that has just been forgotten is not to be seen.
        let Ok(live) = live else { continue };
        sight.now = sight.now.max(live.now);
        sight.jobs.push(live.view);
    }
    Ok(())
}
