//! Verbs that take a checkpoint or savepoint of a running job, or stop a job with one. Words as Flink's.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::json;

use super::arguments::{Cluster, JobChoice, Output, OutputFormat, Savepoint, Stop};
use super::block_on;
use super::output::{print, say};
use crate::client::{JobManager, Operation};
use crate::ids::JobId;
use crate::storage::places::absolute_place_of;

/// Waits for an operation, at most as long as a client waits for anything.
async fn ended(
    cluster: &Cluster,
    job_manager: &JobManager,
    job: JobId,
    operation: Operation,
    trigger: crate::ids::TriggerId,
) -> anyhow::Result<String> {
    let (_, client) = cluster.settings.client()?;
    let waiting = job_manager.operation_ended(job, operation, trigger);
    match tokio::time::timeout(client.timeout, waiting).await {
        Ok(ended) => ended?.map_err(|why| anyhow::anyhow!("{why}")),
        Err(_) => bail!(
            "not complete after {} s (client.timeout); it goes on, and flott list shows the job",
            Duration::as_secs(&client.timeout)
        ),
    }
}

fn say_if_text(output: Output, line: &str) -> anyhow::Result<()> {
    if output.output == OutputFormat::Text { say(line) } else { Ok(()) }
}

/// `flott savepoint JOB [DIR]`.
pub(super) fn savepoint(options: Savepoint) -> anyhow::Result<ExitCode> {
    let Savepoint { cluster, output, job, directory, .. } = options;
    let job = job.context("name a job: flott list shows jobs")?;
    let directory = directory.as_deref().map(absolute_place_of).transpose()?;
    let path = block_on(async {
        let job_manager = cluster.job_manager_of(job).await?;
        say_if_text(output, &format!("Triggering savepoint for job {job}."))?;
        let trigger = job_manager.trigger_savepoint(job, directory.as_deref(), false).await?;
        say_if_text(output, "Waiting for response...")?;
        ended(&cluster, &job_manager, job, Operation::Savepoint, trigger)
            .await
            .with_context(|| format!("the savepoint of job {job} failed"))
    })?;
    print(output, &json!({ "job": job, "savepoint": path }), || {
        format!(
            "Savepoint completed. Path: {path}\nYou can resume your program from this savepoint with flott run -s {path}.\n"
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

/// `flott checkpoint JOB`.
pub(super) fn checkpoint(options: JobChoice) -> anyhow::Result<ExitCode> {
    let JobChoice { cluster, output, job } = options;
    let number = block_on(async {
        let job_manager = cluster.job_manager_of(job).await?;
        say_if_text(output, &format!("Triggering checkpoint for job {job}."))?;
        let trigger = job_manager.trigger_checkpoint(job).await?;
        say_if_text(output, "Waiting for response...")?;
        ended(&cluster, &job_manager, job, Operation::Checkpoint, trigger)
            .await
            .with_context(|| format!("the checkpoint of job {job} failed"))
    })?;
    print(output, &json!({ "job": job, "checkpoint": number }), || format!("Checkpoint {number} completed.\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// `flott stop`.
pub(super) fn stop(options: Stop) -> anyhow::Result<ExitCode> {
    let Stop { cluster, output, savepoint, drain, job } = options;
    let (job, directory) = match (job, savepoint) {
        (Some(job), directory) => (job, directory.flatten()),
        // `-p` took the job for its directory, which Flink allows to be left out.
        (None, Some(Some(word))) => match word.parse() {
            Ok(job) => (job, None),
            Err(_) => bail!("name the job to stop: flott stop -p {word} JOB"),
        },
        (None, _) => bail!("name the job to stop; flott list shows them"),
    };
    let directory = directory.as_deref().map(absolute_place_of).transpose()?;
    let path = block_on(async {
        let job_manager = cluster.job_manager_of(job).await?;
        let trigger = if drain {
            let trigger = job_manager.stop_with_drain(job, directory.as_deref()).await;
            trigger.with_context(|| format!("could not stop job {job}"))?
        } else {
            let trigger = job_manager.trigger_savepoint(job, directory.as_deref(), true).await;
            Some(trigger.with_context(|| {
                format!("could not stop job {job}; flott stop --drain ends it without a savepoint, flott cancel without its results")
            })?)
        };
        let Some(trigger) = trigger else { return anyhow::Ok(None) };
        let how = if drain { "Draining" } else { "Suspending" };
        say_if_text(output, &format!("{how} job \"{job}\" with a CANONICAL savepoint."))?;
        say_if_text(output, &format!("Triggering stop-with-savepoint for job {job}.\nWaiting for response..."))?;
        let path = ended(&cluster, &job_manager, job, Operation::Savepoint, trigger).await;
        path.map(Some).with_context(|| format!("job {job} was not stopped"))
    })?;
    let mut requested = json!({ "job": job, "requested": "stop", "drain": drain });
    match path {
        None => print(output, &requested, || format!("Draining job {job}, without a savepoint.\n"))?,
        Some(path) => {
            requested["savepoint"] = json!(path);
            print(output, &requested, || format!("Savepoint completed. Path: {path}\n"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
