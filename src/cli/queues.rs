//! Verbs about queues, and about an application's place in them.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::arguments::{AppChoice, Output, Settings};
use super::block_on;
use super::output::{print, table};

/// `flott queue`.
#[derive(Debug, Args)]
pub(super) struct Queue {
    #[command(subcommand)]
    pub(super) verb: QueueVerb,
}

#[derive(Debug, Subcommand)]
pub(super) enum QueueVerb {
    /// List queues with what they are promised and use
    List {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        output: Output,
    },
    /// Show one queue: shares, limits, users
    Status {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        output: Output,
        /// By path, e.g. root.etl, or by name
        queue: String,
    },
    /// Replace the tree of queues while applications run
    Apply {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        output: Output,
        /// Only print what would change or be refused
        #[arg(long)]
        dry_run: bool,
        /// A queues file as conf/queues.yaml
        file: PathBuf,
    },
}

/// Lists, shows, applies.
pub(super) fn queue(options: Queue) -> anyhow::Result<ExitCode> {
    match options.verb {
        QueueVerb::List { settings, output } => {
            let cluster = settings.resource_manager()?;
            let root = block_on(async { Ok(cluster.queues().await?) })?;
            print(output, &root, || list(&root))
        }
        QueueVerb::Status { settings, output, queue } => {
            let cluster = settings.resource_manager()?;
            let root = block_on(async { Ok(cluster.queues().await?) })?;
            let all = flat(&root);
            let Some(found) = all.iter().find(|of| text(of, "queuePath") == queue || text(of, "queueName") == queue)
            else {
                let known: Vec<&str> = all.iter().map(|queue| text(queue, "queuePath")).collect();
                bail!("there is no queue {queue}; there are: {}", known.join(", "));
            };
            print(output, found, || status(found))
        }
        QueueVerb::Apply { settings, output, dry_run, file } => {
            let config = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let cluster = settings.resource_manager()?;
            let differences = block_on(async {
                let applied = cluster.apply_queues(&config, dry_run).await;
                applied.with_context(|| format!("{} was not applied", file.display()))
            })?;
            print(output, &json!({ "dryRun": dry_run, "differences": differences }), || applied(&differences, dry_run))
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

fn applied(differences: &[String], dry_run: bool) -> String {
    let mut text: String = differences.iter().map(|line| format!("{line}\n")).collect();
    text.push_str(match (differences.is_empty(), dry_run) {
        (true, _) => "Nothing changes.\n",
        (false, true) => "Nothing would be refused; nothing has changed yet.\n",
        (false, false) => "Applied.\n",
    });
    text
}

fn text<'a>(queue: &'a Value, key: &str) -> &'a str {
    queue[key].as_str().unwrap_or_default()
}

/// Every queue, parents before children.
fn flat(queue: &Value) -> Vec<&Value> {
    let below = queue["queues"]["queue"].as_array().into_iter().flatten();
    std::iter::once(queue).chain(below.flat_map(flat)).collect()
}

fn percent(value: &Value) -> String {
    format!("{:.1} %", value.as_f64().unwrap_or_default())
}

fn amount(resource: &Value) -> String {
    format!("{} MB, {} vcores", resource["memory"], resource["vCores"])
}

fn list(root: &Value) -> String {
    let header =
        ["QUEUE", "STATE", "PROMISED", "MAXIMUM", "USED", "OF PROMISE", "APPLICATIONS", "CONTAINERS", "PENDING"];
    table(
        header,
        flat(root).into_iter().map(|queue| {
            [
                text(queue, "queuePath").to_owned(),
                text(queue, "state").to_owned(),
                percent(&queue["absoluteCapacity"]),
                percent(&queue["absoluteMaxCapacity"]),
                percent(&queue["absoluteUsedCapacity"]),
                percent(&queue["usedCapacity"]),
                queue["numApplications"].to_string(),
                queue["allocatedContainers"].to_string(),
                queue["pendingContainers"].to_string(),
            ]
        }),
    )
}

fn status(queue: &Value) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| out.push_str(&format!("{name:<14} {value}\n"));
    line("queue", text(queue, "queuePath").to_owned());
    line("state", text(queue, "state").to_owned());
    let of =
        |share: &str, amounts: &str| format!("{} of the cluster: {}", percent(&queue[share]), amount(&queue[amounts]));
    line("promised", of("absoluteCapacity", "minEffectiveCapacity"));
    line("maximum", of("absoluteMaxCapacity", "maxEffectiveCapacity"));
    line("used", of("absoluteUsedCapacity", "resourcesUsed"));
    line("order", text(queue, "orderingPolicyInfo").to_owned());
    line("applications", queue["numApplications"].to_string());
    let containers = (&queue["allocatedContainers"], &queue["pendingContainers"]);
    line("containers", format!("{}, {} asked for", containers.0, containers.1));
    if queue["type"] == "capacitySchedulerLeafQueueInfo" {
        let masters = (amount(&queue["usedAMResource"]), amount(&queue["AMResourceLimit"]));
        line("masters", format!("{} of at most {}", masters.0, masters.1));
    }
    for user in queue["users"]["user"].as_array().into_iter().flatten() {
        let (used, limit) = (amount(&user["resourcesUsed"]), amount(&user["userResourceLimit"]));
        line("user", format!("{}: {used} of at most {limit}", text(user, "username")));
    }
    out
}

/// `flott app why`.
pub(super) fn why(choice: &AppChoice) -> anyhow::Result<()> {
    let cluster = choice.settings.resource_manager()?;
    let (application, activities) = block_on(async {
        Ok((cluster.application(choice.application).await?, cluster.why(choice.application).await?))
    })?;
    print(choice.output, &activities, || {
        let Some(reason) = activities["diagnostic"].as_str() else {
            return format!("{} is {} and waits for nothing.\n", application.id, application.state);
        };
        let mut out = format!("{reason}\n");
        for allocation in activities["allocations"].as_array().into_iter().flatten() {
            for ask in allocation["children"].as_array().into_iter().flatten() {
                let (priority, why) = (text(ask, "requestPriority"), text(ask, "diagnostic"));
                out.push_str(&format!("  ask of priority {priority}: {why}\n"));
            }
            for node in allocation["nodes"].as_array().into_iter().flatten() {
                out.push_str(&format!("  node {}: {}\n", text(node, "nodeId"), text(node, "diagnostic")));
            }
        }
        out
    })
}

/// `flott app move`.
pub(super) fn move_application(choice: &AppChoice, queue: &str) -> anyhow::Result<()> {
    let (cluster, id) = (choice.settings.resource_manager()?, choice.application);
    let queue = block_on(async { Ok(cluster.move_application(id, queue).await?) })?;
    print(choice.output, &json!({ "application": id, "queue": queue }), || format!("{id} is in queue {queue}.\n"))
}

/// `flott app priority`.
pub(super) fn set_priority(choice: &AppChoice, priority: u32) -> anyhow::Result<()> {
    let (cluster, id) = (choice.settings.resource_manager()?, choice.application);
    block_on(async { Ok(cluster.set_priority(id, priority).await?) })?;
    let told = json!({ "application": id, "priority": priority });
    print(choice.output, &told, || format!("{id} has priority {priority}.\n"))
}
