//! Verbs about nodes, and about the cluster as a whole.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::arguments::{Output, Settings, duration};
use super::block_on;
use super::output::{print, table};

/// `flott node`.
#[derive(Debug, Args)]
pub(super) struct Node {
    #[command(subcommand)]
    pub(super) verb: NodeVerb,
}

#[derive(Debug, Subcommand)]
pub(super) enum NodeVerb {
    /// List nodes
    List {
        #[command(flatten)]
        settings: Settings,
        /// Lost and decommissioned ones as well
        #[arg(short, long)]
        all: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Have nodes leave: they take no new containers, and go when they are empty or their grace is over
    Decommission {
        #[command(flatten)]
        asked: Asked,
        #[command(flatten)]
        grace: Grace,
        /// Hosts, or host:port
        #[arg(required = true, value_name = "NODE")]
        nodes: Vec<String>,
    },
    /// Let decommissioned nodes stay, or come back
    Recommission {
        #[command(flatten)]
        asked: Asked,
        /// Hosts, or host:port, as they were decommissioned
        #[arg(required = true, value_name = "NODE")]
        nodes: Vec<String>,
    },
    /// Exclude exactly the nodes of a file: those in it leave, those no more in it may come back
    Refresh {
        #[command(flatten)]
        asked: Asked,
        #[command(flatten)]
        grace: Grace,
        /// A host or host:port per line; # begins a comment
        file: PathBuf,
    },
}

/// How long containers may go on.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Grace {
    /// How long what runs there may go on, e.g. 30 min; 0 s ends it now
    #[arg(long, value_name = "DURATION", default_value = "1 h", value_parser = duration)]
    pub(super) grace: Duration,
}

/// `flott cluster`.
#[derive(Debug, Args)]
pub(super) struct ClusterCommand {
    #[command(subcommand)]
    pub(super) verb: ClusterVerb,
}

#[derive(Debug, Subcommand)]
pub(super) enum ClusterVerb {
    /// Show which resource manager this is, and since when
    Info(Asked),
    /// Show the cluster in numbers: applications, containers, memory, nodes
    Metrics(Asked),
}

/// A question to the resource manager.
#[derive(Debug, Args)]
pub(super) struct Asked {
    #[command(flatten)]
    pub(super) settings: Settings,
    #[command(flatten)]
    pub(super) output: Output,
}

/// `flott node`.
pub(super) fn node(options: Node) -> anyhow::Result<ExitCode> {
    match options.verb {
        NodeVerb::List { settings, all, output } => list(&settings, all, output),
        NodeVerb::Decommission { asked, grace, nodes } => {
            exclude(&asked, &json!({ "add": nodes, "graceSeconds": grace.grace.as_secs() }))
        }
        NodeVerb::Recommission { asked, nodes } => exclude(&asked, &json!({ "remove": nodes })),
        NodeVerb::Refresh { asked, grace, file } => {
            let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
            let nodes: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
            if let Some(wrong) = nodes.iter().find(|node| !names_a_node(node)) {
                bail!("`{wrong}` names no node ({}); write HOST or HOST:PORT, one a line", file.display());
            }
            exclude(&asked, &json!({ "replace": nodes, "graceSeconds": grace.grace.as_secs() }))
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

fn names_a_node(text: &str) -> bool {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "0"));
    !host.is_empty() && port.parse::<u16>().is_ok() && !host.contains([':', ' ', '\t', '/', '\0'])
}

fn exclude(asked: &Asked, change: &Value) -> anyhow::Result<()> {
    let cluster = asked.settings.resource_manager()?;
    let nodes = block_on(async { Ok(cluster.exclude_nodes(change).await?) })?;
    let text = |node: &Value, key: &str| node[key].as_str().unwrap_or_default().to_owned();
    print(asked.output, &nodes, || match nodes.as_array().map(Vec::as_slice) {
        None | Some([]) => "No node is concerned.\n".to_owned(),
        Some(nodes) => table(["NODE", "STATE"], nodes.iter().map(|node| [text(node, "id"), text(node, "state")])),
    })
}

fn list(settings: &Settings, all: bool, output: Output) -> anyhow::Result<()> {
    let cluster = settings.resource_manager()?;
    let nodes = block_on(async { Ok(cluster.nodes(all).await?) })?;
    print(output, &nodes, || {
        if nodes.is_empty() {
            return "No nodes; start one with: flott nodemanager -D resourcemanager.address=…\n".to_owned();
        }
        table(
            ["NODE", "STATE", "HTTP", "CONTAINERS", "MEMORY USED", "MEMORY FREE", "VCORES USED", "VCORES FREE"],
            nodes.iter().map(|node| {
                [
                    node.id.clone(),
                    node.state.to_string(),
                    node.node_http_address.clone(),
                    node.num_containers.to_string(),
                    format!("{} MB", node.used_memory_mb),
                    format!("{} MB", node.avail_memory_mb),
                    node.used_virtual_cores.to_string(),
                    node.available_virtual_cores.to_string(),
                ]
            }),
        )
    })
}

/// `flott cluster`.
pub(super) fn cluster(options: ClusterCommand) -> anyhow::Result<ExitCode> {
    match options.verb {
        ClusterVerb::Info(asked) => {
            let cluster = asked.settings.resource_manager()?;
            let info = block_on(async { Ok(cluster.info().await?) })?;
            print(asked.output, &info, || {
                let text = |key: &str| info[key].as_str().unwrap_or_default();
                let number = |key: &str| info[key].as_u64().unwrap_or_default();
                let (id, restarts) = (number("id"), number("epoch"));
                format!(
                    "cluster        {id}\nstate          {}, {}\nversion        {}\nspeaks         YARN {}\nrestarts       {restarts}\n",
                    text("state"),
                    text("haState"),
                    text("resourceManagerVersion"),
                    text("hadoopVersion"),
                )
            })?;
        }
        ClusterVerb::Metrics(asked) => {
            let cluster = asked.settings.resource_manager()?;
            let metrics = block_on(async { Ok(cluster.metrics().await?) })?;
            print(asked.output, &metrics, || metrics_text(&metrics))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn metrics_text(metrics: &Value) -> String {
    let of = |key: &str| metrics[key].as_u64().unwrap_or_default();
    format!(
        "applications   {} pending, {} running, {} finished, {} failed, {} killed\n\
         containers     {} allocated, {} pending, {} reserved\n\
         memory         {} MB of {} MB allocated, {} MB pending\n\
         vcores         {} of {} allocated, {} pending\n\
         nodes          {} active, {} decommissioning, {} unhealthy, {} lost, {} decommissioned, {} shut down\n",
        of("appsPending"),
        of("appsRunning"),
        of("appsCompleted"),
        of("appsFailed"),
        of("appsKilled"),
        of("containersAllocated"),
        of("containersPending"),
        of("containersReserved"),
        of("allocatedMB"),
        of("totalMB"),
        of("pendingMB"),
        of("allocatedVirtualCores"),
        of("totalVirtualCores"),
        of("pendingVirtualCores"),
        of("activeNodes"),
        of("decommissioningNodes"),
        of("unhealthyNodes"),
        of("lostNodes"),
        of("decommissionedNodes"),
        of("shutdownNodes"),
    )
}
