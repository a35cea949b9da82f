//! Verbs about jobs: list, cancel. A job is looked for where `-m` says, else in the resource manager's applications,
//! else at the standalone job manager.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;

use super::arguments::{Cluster, JobChoice, List, OutputFormat};
use super::block_on;
use super::output::{print, say, table};
use super::run::user;
use crate::client::{JobManager, JobOverview, ResourceManager};
use crate::config::ClientConfig;
use crate::ids::JobId;
use crate::protocol::job::JobStatus;
use crate::rpc::http;

/// Where jobs are looked for.
pub(super) enum Place {
    Standalone(JobManager),
    Applications(ResourceManager),
}

impl Cluster {
    /// `-m`, else `-t`, else whoever answers.
    pub(super) async fn place(&self) -> anyhow::Result<(Place, ClientConfig)> {
        let (_, client) = self.settings.client()?;
        let cluster = ResourceManager::new(&client.resource_manager, &user(), &client.credentials);
        let standalone =
            || JobManager::at(self.jobmanager.as_deref().unwrap_or(&client.job_manager), &client.credentials);
        let target = self.target.as_deref().or(client.target.as_deref());
        let place = match (&self.jobmanager, target) {
            (Some(_), _) | (None, Some("remote")) => Place::Standalone(standalone()),
            (None, Some(_)) => Place::Applications(cluster),
            (None, None) => match (cluster.applications().await, standalone().jobs().await) {
                (Ok(_), _) => Place::Applications(cluster),
                (Err(_), Ok(_)) => Place::Standalone(standalone()),
                // It answers, but not us.
                (Err(refused @ http::Error::Status { .. }), _) | (_, Err(refused @ http::Error::Status { .. })) => {
                    return Err(refused.into());
                }
                (Err(from_cluster), Err(from_job_manager)) => bail!(
                    "neither a resource manager nor a job manager answers ({from_cluster}; {from_job_manager}); \
                     name one with -D resourcemanager.port=… or -m host:port"
                ),
            },
        };
        Ok((place, client))
    }

    /// The job manager that has `job`, or what stands in its place when it is gone.
    pub(super) async fn job_manager_of(&self, job: JobId) -> anyhow::Result<JobManager> {
        Ok(match self.home_of(job).await? {
            Home::Standalone(job_manager) => job_manager,
            Home::Application(cluster, application) => JobManager::of_application(&cluster, &application),
        })
    }

    /// Where `job` runs or ran.
    pub(super) async fn home_of(&self, job: JobId) -> anyhow::Result<Home> {
        let (place, _) = self.place().await?;
        let cluster = match place {
            Place::Standalone(job_manager) => return Ok(Home::Standalone(job_manager)),
            Place::Applications(cluster) => cluster,
        };
        if let Some(application) = cluster.application_of(job).await? {
            return Ok(Home::Application(cluster, application.id));
        }
        if let Some(session) = session_of(&cluster, job).await? {
            return Ok(Home::Application(cluster, session));
        }
        // Of a session that has ended, or of an application that the resource manager has forgotten.
        let archived = cluster.archived(Some(job)).await?.into_iter().next();
        match archived.and_then(|archived| archived.application) {
            Some(application) => Ok(Home::Application(cluster, application)),
            None => bail!(
                "no application was submitted for job {job}; flott list --all shows jobs, flott app list --all applications"
            ),
        }
    }
}

/// Where a job runs or ran.
pub(super) enum Home {
    Standalone(JobManager),
    /// In this application, which may have ended.
    Application(ResourceManager, String),
}

/// The session that has `job`. One that does not answer cannot be asked.
async fn session_of(cluster: &ResourceManager, job: JobId) -> anyhow::Result<Option<String>> {
    for session in cluster.sessions().await? {
        let job_manager = JobManager::of_application(cluster, &session.id);
        if job_manager.read_records(job).await.is_ok() {
            return Ok(Some(session.id));
        }
    }
    Ok(None)
}

/// `flott list`.
pub(super) fn list(options: List) -> anyhow::Result<ExitCode> {
    let jobs = block_on(async {
        let (place, _) = options.cluster.place().await?;
        let mut jobs = Vec::new();
        match place {
            Place::Standalone(job_manager) => jobs_of(&job_manager, None, options.verbose, &mut jobs).await?,
            Place::Applications(cluster) => {
                for application in cluster.running_masters().await? {
                    let job_manager = JobManager::of_application(&cluster, &application.id);
                    // A master that ends meanwhile takes its jobs along; the next listing knows.
                    let _ = jobs_of(&job_manager, Some(&application.id), options.verbose, &mut jobs).await;
                }
                if options.all {
                    let archived = cluster.archived(None).await?;
                    let known: BTreeSet<JobId> = jobs.iter().map(|job| job.jid).collect();
                    jobs.extend(archived.into_iter().filter(|archived| !known.contains(&archived.jid)));
                }
            }
        }
        jobs.sort_by_key(|job: &JobOverview| job.start_time);
        Ok(jobs)
    })?;
    let wanted: Vec<_> = jobs.into_iter().filter(|job| is_wanted(&options, job.state)).collect();
    print(options.output, &wanted, || job_table(&wanted, options.verbose))?;
    Ok(ExitCode::SUCCESS)
}

async fn jobs_of(
    job_manager: &JobManager,
    application: Option<&str>,
    verbose: bool,
    jobs: &mut Vec<JobOverview>,
) -> Result<(), http::Error> {
    for mut job in job_manager.jobs().await? {
        job.application = application.map(str::to_owned);
        if verbose {
            job.read_records = Some(job_manager.read_records(job.jid).await?);
        }
        jobs.push(job);
    }
    Ok(())
}

fn is_scheduled(state: JobStatus) -> bool {
    matches!(state, JobStatus::Initializing | JobStatus::Created)
}

/// Running and scheduled ones unless asked otherwise, as Flink does.
fn is_wanted(options: &List, state: JobStatus) -> bool {
    let running = !is_scheduled(state) && !state.is_globally_terminal();
    match (options.all, options.running, options.scheduled) {
        (true, _, _) => true,
        (false, false, false) => !state.is_globally_terminal(),
        (false, want_running, want_scheduled) => (want_running && running) || (want_scheduled && is_scheduled(state)),
    }
}

fn job_table(jobs: &[JobOverview], verbose: bool) -> String {
    if jobs.is_empty() {
        return "No jobs.\n".to_owned();
    }
    let row = |job: &JobOverview| {
        let runtime = Duration::from_millis(u64::try_from(job.duration).unwrap_or(0)).as_secs_f64();
        [
            job.jid.to_string(),
            job.state.to_string(),
            format!("{runtime:.1} s"),
            job.name.clone(),
            job.application.clone().unwrap_or_default(),
        ]
    };
    if verbose {
        let records = |job: &JobOverview| job.read_records.map(|records| records.to_string()).unwrap_or_default();
        let rows = jobs.iter().map(|job| {
            let [jid, state, runtime, name, application] = row(job);
            [jid, state, runtime, records(job), name, application]
        });
        table(["JOB", "STATE", "RUNTIME", "RECORDS READ", "NAME", "APPLICATION"], rows)
    } else {
        table(["JOB", "STATE", "RUNTIME", "NAME", "APPLICATION"], jobs.iter().map(row))
    }
}

/// `flott cancel`.
pub(super) fn cancel(options: JobChoice) -> anyhow::Result<ExitCode> {
    let job = options.job;
    block_on(async {
        let job_manager = options.cluster.job_manager_of(job).await?;
        if options.output.output == OutputFormat::Text {
            say(&format!("Cancelling job {job}."))?;
        }
        job_manager.cancel(job).await.with_context(|| format!("could not cancel job {job}"))
    })?;
    print(options.output, &json!({ "job": job, "requested": "cancel" }), || format!("Cancelled job {job}.\n"))?;
    Ok(ExitCode::SUCCESS)
}
