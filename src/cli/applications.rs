//! Verbs about the cluster: applications and nodes, as the resource manager knows them.

use std::collections::BTreeSet;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::arguments::{App, AppChoice, AppVerb, Output, Settings};
use super::output::{print, say, table, write};
use super::queues;
use super::run::user;
use super::{block_on, command};
use crate::client::ResourceManager;
use crate::protocol::yarn_rest::{Application, Container};
use crate::rpc::http::Client;

impl Settings {
    pub(super) fn resource_manager(&self) -> anyhow::Result<ResourceManager> {
        let (_, client) = self.client()?;
        Ok(ResourceManager::new(&client.resource_manager, &user(), &client.credentials))
    }
}

/// `flott app`.
pub(super) fn app(options: App) -> anyhow::Result<ExitCode> {
    match options.verb {
        AppVerb::Run(options) => return command::run(&options),
        AppVerb::List { settings, all, output } => list(&settings, all, output),
        AppVerb::Status { choice } => status(&choice),
        AppVerb::Why { choice } => queues::why(&choice),
        AppVerb::Move { choice, queue } => queues::move_application(&choice, &queue),
        AppVerb::Priority { choice, priority } => queues::set_priority(&choice, priority),
        AppVerb::Kill { choice } => kill(&choice),
        AppVerb::Logs { choice, container, file } => logs(&choice, container.as_deref(), file.as_deref()),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn list(settings: &Settings, all: bool, output: Output) -> anyhow::Result<()> {
    let cluster = settings.resource_manager()?;
    let mut applications = block_on(async { Ok(cluster.applications().await?) })?;
    applications.retain(|application| all || !application.state.is_terminal());
    print(output, &applications, || {
        if applications.is_empty() {
            return format!("No applications{}.\n", if all { "" } else { " running; --all shows ended ones" });
        }
        table(
            ["APPLICATION", "NAME", "USER", "QUEUE", "STATE", "FINAL", "CONTAINERS", "WHY IT WAITS"],
            applications.iter().map(|application| {
                let containers = application.running_containers.max(0);
                [
                    application.id.clone(),
                    application.name.clone(),
                    application.user.clone(),
                    application.queue.clone(),
                    application.state.to_string(),
                    final_status(application),
                    containers.to_string(),
                    application.waiting_reason.clone().unwrap_or_default(),
                ]
            }),
        )
    })
}

fn final_status(application: &Application) -> String {
    let status = serde_json::to_value(application.final_status).unwrap_or(Value::Null);
    status.as_str().unwrap_or_default().to_owned()
}

fn status(choice: &AppChoice) -> anyhow::Result<()> {
    let cluster = choice.settings.resource_manager()?;
    let application = block_on(async { Ok(cluster.application(choice.application).await?) })?;
    print(choice.output, &application, || {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            if !value.is_empty() {
                text.push_str(&format!("{name:<14} {value}\n"));
            }
        };
        line("application", &application.id);
        line("name", &application.name);
        line("user", &application.user);
        line("queue", &application.queue);
        line("state", &application.state.to_string());
        if application.state.is_terminal() {
            line("final status", &final_status(&application));
        }
        line("waits because", application.waiting_reason.as_deref().unwrap_or_default());
        line("diagnostics", application.diagnostics.trim());
        line("tracking URL", application.tracking_url.as_deref().unwrap_or_default());
        if application.running_containers >= 0 {
            let (memory, cores) = (application.allocated_mb, application.allocated_vcores);
            line("containers", &format!("{} with {memory} MB and {cores} vcores", application.running_containers));
        }
        line(
            "used",
            &format!("{} MB-seconds, {} vcore-seconds", application.memory_seconds, application.vcore_seconds),
        );
        text
    })
}

fn kill(choice: &AppChoice) -> anyhow::Result<()> {
    let (cluster, id) = (choice.settings.resource_manager()?, choice.application);
    let ended = block_on(async {
        let before = cluster.application(id).await?;
        if before.state.is_terminal() {
            return Ok(Some(before));
        }
        cluster.kill(id).await?;
        Ok(None)
    })?;
    match ended {
        Some(application) => {
            let told = json!({ "application": id, "requested": Value::Null, "finalStatus": application.final_status });
            print(choice.output, &told, || format!("{id} has ended already: {}.\n", final_status(&application)))
        }
        None => print(choice.output, &json!({ "application": id, "requested": "kill" }), || format!("Killing {id}.\n")),
    }
}

/// Prints each file of each container; with one `file` wanted, its bare content.
fn logs(choice: &AppChoice, container: Option<&str>, file: Option<&str>) -> anyhow::Result<()> {
    let cluster = choice.settings.resource_manager()?;
    block_on(async {
        let containers = cluster.containers(choice.application).await?;
        let collected: BTreeSet<String> =
            cluster.collected_logs(choice.application).await?.iter().map(ToString::to_string).collect();
        for found in containers.iter().filter(|found| container.is_none_or(|wanted| wanted == found.container_id)) {
            let (source, base) = match collected.contains(&found.container_id) {
                true => (cluster.daemon(cluster.authority()), "/ws/v1/applicationhistory"),
                false => (cluster.daemon(&found.node_http_address), "/ws/v1/node"),
            };
            // A node that is gone has taken along what was not collected; the others still have theirs.
            if let Err(error) = container_logs(&source, base, found, file).await {
                eprintln!("{} on {}: {error}", found.container_id, found.node_http_address);
            }
        }
        Ok(())
    })
}

async fn container_logs(source: &Client, base: &str, container: &Container, file: Option<&str>) -> anyhow::Result<()> {
    let listing: Value = source.get(&format!("{base}/containers/{}/logs", container.container_id)).await?;
    for name in log_files(&listing).into_iter().filter(|name| is_wanted(name, file)) {
        let text = source.get_text(&format!("{base}/containerlogs/{}/{name}", container.container_id)).await?;
        if text.is_empty() {
            continue;
        }
        if file.is_none() {
            say(&format!("--- {name} of {} on {}", container.container_id, container.node_http_address))?;
        }
        write(text.as_bytes())?;
        if !text.ends_with('\n') {
            write(b"\n")?;
        }
    }
    Ok(())
}

/// Without a wish everything but the TaskManager's merged views, which repeat the jobs' own files. `stdout` stands for what programs
/// printed: `stdout` itself and the `.out` files.
fn is_wanted(name: &str, wanted: Option<&str>) -> bool {
    let merged = name == "workers.out" || name == "workers.err";
    match wanted {
        None => !merged,
        Some("stdout") => name == "stdout" || (name.ends_with(".out") && !merged),
        Some("stderr") => name == "stderr" || (name.ends_with(".err") && !merged),
        Some(wanted) => name == wanted,
    }
}

/// The names in YARN's listing, wherever they nest.
fn log_files(listing: &Value) -> Vec<String> {
    match listing {
        Value::Object(fields) => match fields.get("fileName").and_then(Value::as_str) {
            Some(name) => vec![name.to_owned()],
            None => fields.values().flat_map(log_files).collect(),
        },
        Value::Array(items) => items.iter().flat_map(log_files).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_names_are_found_in_yarns_listing() {
        let listing = json!({"containerLogsInfo": [{"containerLogInfo": [{"fileName": "stdout", "fileSize": "3"}, {"fileName": "jobmanager.err"}]}]});
        assert_eq!(log_files(&listing), ["stdout", "jobmanager.err"]);
        let wanted = |name| is_wanted(name, Some("stdout"));
        assert!(wanted("5e20.out") && wanted("stdout") && !wanted("jobmanager.err") && !wanted("workers.out"));
        assert!(is_wanted("jobmanager.err", None) && !is_wanted("workers.out", None));
    }
}
