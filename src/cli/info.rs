//! `flott info`: one job, running or ended, on one screen.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::arguments::JobChoice;
use super::block_on;
use super::output::{print, table};
use crate::telemetry::utc;
use crate::time::Now;

/// Failures that a person is shown; `--output json` has them all.
const FAILURES_SHOWN: usize = 5;

pub(super) fn info(options: JobChoice) -> anyhow::Result<ExitCode> {
    let job = options.job;
    let (details, exceptions, checkpoints) = block_on(async {
        let job_manager = options.cluster.job_manager_of(job).await?;
        let details = job_manager.details(job).await.with_context(|| format!("nothing is known of job {job}"))?;
        Ok((details, job_manager.exceptions(job).await?, job_manager.checkpoints(job).await?))
    })?;
    let all = json!({ "job": details, "exceptions": exceptions, "checkpoints": checkpoints });
    print(options.output, &all, || {
        let mut text = head(&details);
        text.push_str(&vertices(&details));
        text.push_str(&failures(&exceptions));
        text.push_str(&checkpoints.as_ref().map(checkpoints_of).unwrap_or_default());
        text
    })?;
    Ok(ExitCode::SUCCESS)
}

fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of[key].as_str().unwrap_or_default()
}

fn time(of: &Value, key: &str) -> String {
    match of[key].as_u64() {
        Some(ms) if ms > 0 => utc(Now(ms)),
        Some(_) | None => "-".to_owned(),
    }
}

fn seconds(ms: &Value) -> String {
    format!("{:.1} s", Duration::from_millis(ms.as_u64().unwrap_or(0)).as_secs_f64())
}

fn head(job: &Value) -> String {
    let mut lines = format!("job            {}\nname           {}\n", text(job, "jid"), text(job, "name"));
    lines.push_str(&format!("state          {}\n", text(job, "state")));
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() && value != "-" {
            lines.push_str(&format!("{name:<14} {value}\n"));
        }
    };
    line("waits because", text(job, "waiting-reason"));
    line("started", &time(job, "start-time"));
    line("ended", &time(job, "end-time"));
    line("runtime", &seconds(&job["duration"]));
    line("delivery", text(&job["progress"], "delivery"));
    for accumulator in job["accumulators"].as_array().into_iter().flatten() {
        line("accumulator", &format!("{} = {}", text(accumulator, "name"), text(accumulator, "value")));
    }
    lines
}

fn vertices(job: &Value) -> String {
    let rows: Vec<[String; 6]> = job["vertices"].as_array().into_iter().flatten().map(vertex).collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}", table(["VERTEX", "STATE", "SUBTASKS", "RECORDS IN", "RECORDS OUT", "NAME"], rows))
}

fn vertex(vertex: &Value) -> [String; 6] {
    let metric = |key: &str| vertex["metrics"][key].as_u64().unwrap_or(0).to_string();
    [
        text(vertex, "id").to_owned(),
        text(vertex, "status").to_owned(),
        vertex["parallelism"].as_u64().unwrap_or(0).to_string(),
        metric("read-records"),
        metric("write-records"),
        text(vertex, "name").to_owned(),
    ]
}

fn failures(exceptions: &Value) -> String {
    let entries = exceptions["exceptionHistory"]["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    if entries.is_empty() {
        return String::new();
    }
    let mut lines = match entries.len() {
        1 => "\n1 failure\n".to_owned(),
        count if count > FAILURES_SHOWN => format!("\n{count} failures, the last {FAILURES_SHOWN}\n"),
        count => format!("\n{count} failures\n"),
    };
    for entry in entries.iter().take(FAILURES_SHOWN) {
        let task = entry["taskName"].as_str().map(|task| format!("{task}: ")).unwrap_or_default();
        let mut cause = text(entry, "stacktrace").trim_end().lines();
        lines.push_str(&format!("  {}  {task}{}\n", time(entry, "timestamp"), cause.next().unwrap_or_default()));
        lines.extend(cause.map(|line| format!("    {line}\n")));
    }
    lines
}

fn checkpoints_of(checkpoints: &Value) -> String {
    let count = |key: &str| checkpoints["counts"][key].as_u64().unwrap_or(0);
    let mut lines = format!(
        "\ncheckpoints    {} completed, {} failed, {} in progress, {} restored\n",
        count("completed"),
        count("failed"),
        count("in_progress"),
        count("restored")
    );
    for kind in ["completed", "savepoint", "failed", "restored"] {
        let latest = &checkpoints["latest"][kind];
        let Some(id) = latest["id"].as_u64() else { continue };
        let at = latest["latest_ack_timestamp"].as_u64().or_else(|| latest["restore_timestamp"].as_u64());
        let at = at.filter(|at| *at > 0).map(|at| format!(" at {}", utc(Now(at)))).unwrap_or_default();
        let place = latest["external_path"].as_str().or_else(|| latest["failure_message"].as_str());
        lines.push_str(&format!("last {kind:<9} {id}{at}{}\n", place.map(|it| format!(", {it}")).unwrap_or_default()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_its_time_its_task_and_its_cause() {
        let entries: Vec<Value> =
            (0..7).map(|n| json!({ "timestamp": n + 1, "taskName": "map (1/2)", "stacktrace": "a\nb\n" })).collect();
        let shown = failures(&json!({ "exceptionHistory": { "entries": entries } }));
        assert!(shown.starts_with("\n7 failures, the last 5\n  1970-01-01T00:00:00.001"), "{shown}");
        assert!(shown.contains("map (1/2): a\n    b\n"), "{shown}");
        assert_eq!(failures(&json!({})), "");
    }

    #[test]
    fn what_a_job_has_not_is_not_shown() {
        let shown = head(
            &json!({ "jid": "5", "name": "j", "state": "RUNNING", "start-time": 1, "end-time": -1, "duration": 1500 }),
        );
        assert!(shown.contains("runtime        1.5 s\n") && !shown.contains("ended"), "{shown}");
        assert_eq!(vertices(&json!({ "vertices": [] })), "");
        let counts = json!({ "counts": { "completed": 2 }, "latest": { "completed": { "id": 2, "latest_ack_timestamp": 5, "external_path": "/x" } } });
        assert!(
            checkpoints_of(&counts).contains("last completed 2 at 1970-01-01T00:00:00.005"),
            "{}",
            checkpoints_of(&counts)
        );
    }
}
