//! `flott rescale`: another parallelism for a job that runs.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use super::arguments::{Cluster, Output, OutputFormat};
use super::block_on;
use super::output::{print, say};
use super::values::PARALLELISM_MAX;
use crate::client::{JobManager, Rescale as Progress, VertexParallelism};
use crate::ids::JobId;
use crate::protocol::job::RescaleStatus;

/// `flott rescale`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    flott rescale 5f0c… 4               every vertex, as far as its key groups allow\n  \
    flott rescale 5f0c… Sum=8 Source=2  these alone; a vertex is named by its id, or by a part of its name that no other has")]
pub(super) struct Rescale {
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    output: Output,
    /// Return as soon as it is asked for
    #[arg(short, long)]
    detached: bool,
    /// The job: 32 hex digits, as `flott list` shows it
    job: JobId,
    /// The number of subtasks
    #[arg(required = true, value_name = "[VERTEX=]N", value_parser = wish)]
    parallelism: Vec<Wish>,
}

/// A number of subtasks, of all vertices or of one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wish {
    vertex: Option<String>,
    parallelism: u32,
}

fn wish(text: &str) -> Result<Wish, String> {
    // Names may have an equals sign.
    let (vertex, number) = match text.rsplit_once('=') {
        Some((vertex, number)) => (Some(vertex.to_owned()), number),
        None => (None, text),
    };
    match number.trim().parse::<u32>() {
        Ok(parallelism) if (1..=PARALLELISM_MAX).contains(&u64::from(parallelism)) && vertex.as_deref() != Some("") => {
            Ok(Wish { vertex, parallelism })
        }
        _ => Err(format!("write N or VERTEX=N, N from 1 to {PARALLELISM_MAX}")),
    }
}

pub(super) fn rescale(options: Rescale) -> anyhow::Result<ExitCode> {
    let Rescale { cluster, output, detached, job, parallelism } = options;
    block_on(async {
        let job_manager = cluster.job_manager_of(job).await?;
        let vertices = job_manager.vertices(job).await?;
        let wanted = resolve(&parallelism, &vertices)?;
        let changes: Vec<_> = vertices.iter().zip(&wanted).filter(|(vertex, to)| vertex.parallelism != **to).collect();
        if changes.is_empty() {
            return print(output, &json!({ "job": job, "changed": false }), || {
                format!("Job {job} has that parallelism already.\n")
            });
        }
        let words: Vec<String> =
            changes.iter().map(|(vertex, to)| format!("\"{}\" {} -> {to}", vertex.name, vertex.parallelism)).collect();
        let words = words.join(", ");
        let before = job_manager.rescales(job, None).await?.last().map_or(0, |last| last.number);
        job_manager
            .require_parallelism(job, changes.iter().map(|(vertex, to)| (vertex.id, **to)))
            .await
            .with_context(|| format!("job {job} was not rescaled"))?;
        if output.output == OutputFormat::Text {
            say(&format!("Rescaling job {job}: {words}."))?;
        }
        if detached {
            return print_json(output, &json!({ "job": job, "requested": "rescale" }));
        }
        let (_, client) = cluster.settings.client()?;
        let ended = tokio::time::timeout(client.timeout, ended(&job_manager, job, before, output));
        let Ok(ended) = ended.await else {
            let seconds = Duration::as_secs(&client.timeout);
            bail!(
                "not rescaled after {seconds} s (client.timeout): it still waits for slots; the job goes on meanwhile"
            );
        };
        let ended = ended?;
        if let Some(failure) = &ended.failure {
            bail!("job {job} was not rescaled and goes on as it was: {failure}");
        }
        print(output, &json!({ "job": job, "changed": true, "rescale": ended }), || {
            format!("Rescaled in {}; it stood still for {}.\n", seconds(ended.duration), seconds(ended.downtime))
        })
    })?;
    Ok(ExitCode::SUCCESS)
}

fn print_json(output: Output, value: &Value) -> anyhow::Result<()> {
    match output.output {
        OutputFormat::Json => print(output, value, String::new),
        OutputFormat::Text => Ok(()),
    }
}

fn seconds(milliseconds: u64) -> String {
    format!("{:.2} s", Duration::from_millis(milliseconds).as_secs_f64())
}

/// Waits for the end of the change behind number `before`.
async fn ended(job_manager: &JobManager, job: JobId, before: u64, output: Output) -> anyhow::Result<Progress> {
    let mut told = false;
    loop {
        let all = job_manager.rescales(job, Some(before)).await?;
        let Some(ours) = all.into_iter().find(|progress| progress.number > before) else {
            bail!("job {job} was not rescaled: the job manager does not know of it any more");
        };
        match ours.status {
            RescaleStatus::Completed | RescaleStatus::Failed => return Ok(ours),
            RescaleStatus::WaitingForSlots if !told && output.output == OutputFormat::Text => {
                say("Waiting for slots; the job goes on meanwhile.")?;
                told = true;
            }
            RescaleStatus::WaitingForSlots | RescaleStatus::Checkpointing | RescaleStatus::Redeploying => {}
        }
    }
}

/// The parallelism of each vertex, in order.
fn resolve(wishes: &[Wish], vertices: &[VertexParallelism]) -> anyhow::Result<Vec<u32>> {
    let mut wanted: Vec<u32> = vertices.iter().map(|vertex| vertex.parallelism).collect();
    for Wish { vertex, parallelism } in wishes {
        match vertex {
            // What has fewer key groups has as many subtasks as it can.
            None => {
                wanted.iter_mut().zip(vertices).for_each(|(to, vertex)| *to = vertex.max_parallelism.min(*parallelism))
            }
            Some(name) => wanted[named(name, vertices)?] = *parallelism,
        }
    }
    Ok(wanted)
}

fn named(name: &str, vertices: &[VertexParallelism]) -> anyhow::Result<usize> {
    let exact = vertices.iter().position(|vertex| vertex.id.to_string() == name || vertex.name == name);
    let of_part = || {
        let mut like = vertices.iter().enumerate().filter(|(_, vertex)| vertex.name.contains(name));
        match (like.next(), like.next()) {
            (Some((at, _)), None) => Some(at),
            (Some(_), Some(_)) | (None, _) => None,
        }
    };
    exact.or_else(of_part).with_context(|| {
        let names: Vec<String> = vertices.iter().map(|vertex| format!("\"{}\" ({})", vertex.name, vertex.id)).collect();
        format!("{name:?} names no vertex, or several; the job has {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::VertexId;

    fn vertices() -> Vec<VertexParallelism> {
        let vertex = |id, name: &str, max_parallelism| VertexParallelism {
            id: VertexId(id),
            name: name.to_owned(),
            parallelism: 2,
            max_parallelism,
        };
        vec![vertex(1, "Source: lines -> split", 128), vertex(2, "Sum", 128), vertex(3, "Sum of all", 1)]
    }

    fn wanted(words: &[&str]) -> Result<Vec<u32>, String> {
        let wishes: Vec<Wish> = words.iter().map(|word| wish(word)).collect::<Result<_, _>>()?;
        resolve(&wishes, &vertices()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_number_is_for_all_as_far_as_they_can_and_a_name_for_one() {
        assert_eq!(wanted(&["4"]), Ok(vec![4, 4, 1]));
        assert_eq!(wanted(&["split=3"]), Ok(vec![3, 2, 2]));
        assert_eq!(wanted(&["4", "Sum=8"]), Ok(vec![4, 8, 1]), "a whole name goes before a part of one");
        assert!(wanted(&["S=3"]).unwrap_err().starts_with("\"S\" names no vertex, or several; the job has \"Source"));
        assert!(wanted(&["Sum=0"]).unwrap_err().contains("N from 1"));
        assert!(wanted(&["much"]).is_err());
    }
}
