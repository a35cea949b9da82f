//! `flott diagnose`: what is the matter with a job, or with a cluster and all that runs there, why, and what to do about it.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::arguments::{Cluster, Output};
use super::block_on;
use super::jobs::Place;
use super::output::print;
use crate::client::JobManager;
use crate::ids::JobId;
use crate::protocol::diagnosis::{ClusterDiagnosis, Diagnosis, Severity, Verdict};

/// `flott diagnose`.
#[derive(Debug, Args)]
pub(super) struct Diagnose {
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    output: Output,
    /// The job: 32 hex digits, as `flott list` shows it; without one: the cluster, and every job that has not ended
    job: Option<JobId>,
}

/// A cluster and what runs there.
#[derive(Debug, Serialize)]
struct Everything {
    /// None of a standalone job manager.
    cluster: Option<ClusterDiagnosis>,
    jobs: Vec<Diagnosis>,
}

pub(super) fn diagnose(options: Diagnose) -> anyhow::Result<ExitCode> {
    let Diagnose { cluster, output, job } = options;
    match job {
        Some(job) => {
            let diagnosis = block_on(async { Ok(cluster.job_manager_of(job).await?.diagnosis(job).await?) })?;
            print(output, &diagnosis, || of_job(&diagnosis))?;
        }
        None => {
            let everything = block_on(look(&cluster))?;
            print(output, &everything, || of_everything(&everything))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn look(cluster: &Cluster) -> anyhow::Result<Everything> {
    let (place, _) = cluster.place().await?;
    let mut everything = Everything { cluster: None, jobs: Vec::new() };
    match place {
        Place::Standalone(job_manager) => everything.jobs = of_jobs(&job_manager).await?,
        Place::Applications(cluster) => {
            everything.cluster = Some(cluster.diagnosis().await?);
            for application in cluster.running_masters().await? {
                // A master that ends meanwhile takes its jobs along.
                let job_manager = JobManager::of_application(&cluster, &application.id);
                everything.jobs.extend(of_jobs(&job_manager).await.unwrap_or_default());
            }
        }
    }
    Ok(everything)
}

async fn of_jobs(job_manager: &JobManager) -> Result<Vec<Diagnosis>, crate::rpc::http::Error> {
    let mut found = Vec::new();
    for job in job_manager.jobs().await?.into_iter().filter(|job| !job.state.is_globally_terminal()) {
        // One that has just been forgotten has nothing the matter.
        found.extend(job_manager.diagnosis(job.jid).await.ok());
    }
    Ok(found)
}

fn of_everything(everything: &Everything) -> String {
    let mut text = String::new();
    if let Some(ClusterDiagnosis { verdicts }) = &everything.cluster {
        match verdicts.is_empty() {
            true => text.push_str("Nothing is the matter with the cluster.\n"),
            false => text.push_str("The cluster:\n"),
        }
        text.extend(verdicts.iter().map(finding));
    }
    for job in &everything.jobs {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&of_job(job));
    }
    if everything.jobs.is_empty() {
        text.push_str("No job runs.\n");
    }
    text
}

fn of_job(diagnosis: &Diagnosis) -> String {
    let Diagnosis { jid, name, state, verdicts } = diagnosis;
    let head = format!("Job {name} ({jid}) is {state}.");
    if verdicts.is_empty() {
        return format!("{head} Nothing is the matter with it.\n");
    }
    verdicts.iter().fold(head + "\n", |text, verdict| text + &finding(verdict))
}

fn finding(verdict: &Verdict) -> String {
    let word = match verdict.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    };
    let mut text = format!("\n{word}: {}\n", verdict.cause);
    if !verdict.evidence.is_empty() {
        text.push_str(&format!("  {}\n", verdict.evidence));
    }
    if !verdict.remedy.is_empty() {
        text.push_str(&format!("  -> {}\n", verdict.remedy));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::diagnosis::Evidence;
    use crate::protocol::job::JobStatus;

    #[test]
    fn a_finding_is_its_cause_then_its_numbers_then_what_to_do() {
        let verdict = Verdict {
            cause: "map is the bottleneck".to_owned(),
            evidence: "busy 100 %".to_owned(),
            remedy: "give it more than 2 subtasks".to_owned(),
            ..Verdict::new(Severity::Warning, "bottleneck", Evidence::Graph)
        };
        assert_eq!(
            finding(&verdict),
            "\nwarning: map is the bottleneck\n  busy 100 %\n  -> give it more than 2 subtasks\n"
        );
        let well = Diagnosis { jid: JobId(7), name: "j".to_owned(), state: JobStatus::Running, verdicts: Vec::new() };
        assert!(of_job(&well).ends_with("is RUNNING. Nothing is the matter with it.\n"));
        let cluster = Some(ClusterDiagnosis { verdicts: vec![verdict] });
        let text = of_everything(&Everything { cluster, jobs: vec![well] });
        assert!(text.starts_with("The cluster:\n\nwarning: map"), "{text}");
        assert!(text.contains("subtasks\n\nJob j ("), "{text}");
    }
}
