//! The cluster: who answers, with which version, by which clock.

use std::time::Duration;

use serde_json::Value;

use super::Check;
use crate::cli::run::user;
use crate::client::{JobManager, ResourceManager};
use crate::config::ClientConfig;
use crate::protocol::node::NodeState;
use crate::protocol::yarn_rest::Node;
use crate::rpc::http::{Client, Error};
use crate::time::{Clock, Now, SystemClock};

/// Tokens last minutes and logs are merged by time: clocks that differ by more confuse people, and later the machines.
const SKEW_MAX: Duration = Duration::from_millis(500);
/// From here on tokens are refused that are valid.
const SKEW_FATAL: Duration = Duration::from_secs(60);
/// Who does not answer within this does not answer.
const PATIENCE: Duration = Duration::from_secs(3);
const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) async fn checks(client: &ClientConfig) -> Vec<Check> {
    let cluster = ResourceManager::new(&client.resource_manager, &user(), &client.credentials);
    let manager = cluster.daemon(&client.resource_manager).with_deadline(PATIENCE);
    let (info, clock) = asked(&manager, "/ws/v1/cluster/info", "/live/cluster").await;
    let mut checks = Vec::new();
    let is_there = info.is_ok();
    match info {
        Ok(info) => {
            let address = &client.resource_manager;
            checks.push(Check::ok("cluster", format!("the ResourceManager answers at {address}")));
            let version = info["clusterInfo"]["resourceManagerVersion"].as_str().unwrap_or_default();
            checks.push(versions("the ResourceManager", version));
            checks.extend(clock.map(|clock| skew("the ResourceManager", clock)));
            checks.extend(nodes(&cluster).await);
        }
        Err(error) => checks.push(unanswered(&format!("the ResourceManager at {}", client.resource_manager), &error)),
    }
    checks.extend(standalone(client, !is_there).await);
    checks
}

/// What a daemon says of itself, and its clock against ours if it tells that.
async fn asked(daemon: &Client, about: &str, time: &str) -> (Result<Value, Error>, Option<Moment>) {
    let clock = SystemClock::new();
    let told = daemon.get(about).await;
    let before = clock.now();
    let at: Result<Value, Error> = daemon.get(time).await;
    let after = clock.now();
    let there = at.ok().and_then(|at| at["now"].as_u64());
    (told, there.map(|there| Moment { before, there: Now(there), after }))
}

/// A daemon's time, and ours before and after it was asked.
struct Moment {
    before: Now,
    there: Now,
    after: Now,
}

fn skew(who: &str, Moment { before, there, after }: Moment) -> Check {
    // It looked at its clock at some time in between: only what is outside is certain.
    let ahead = there.since(after).max(before.since(there));
    let finding = format!("the clock of {who} differs by at least {} ms", ahead.as_millis());
    let remedy = "let an NTP service set the clocks of all machines";
    match ahead {
        ahead if ahead >= SKEW_FATAL => Check::fail("clock", format!("{finding}; tokens are refused so"), remedy),
        ahead if ahead >= SKEW_MAX => Check::warn("clock", finding, remedy),
        _ => Check::ok(
            "clock",
            format!("the clock of {who} agrees within {} ms", after.since(before).as_millis() + ahead.as_millis()),
        ),
    }
}

fn versions(who: &str, version: &str) -> Check {
    match version == VERSION {
        true => Check::ok("version", format!("{who} is flott {version}")),
        false => Check::warn(
            "version",
            format!("{who} is flott {version}, this is {VERSION}"),
            "use one version everywhere; a program of another release may be refused",
        ),
    }
}

fn unanswered(who: &str, error: &Error) -> Check {
    match error {
        Error::Status { status: 401 | 403, .. } => Check::fail(
            "cluster",
            format!("{who} refuses this token: {error}"),
            "show another with --token-file or FLOTT_TOKEN",
        ),
        Error::Status { .. } => Check::fail(
            "cluster",
            format!("somebody else answers in place of {who}: {error}"),
            "look who listens there",
        ),
        _ => Check::warn(
            "cluster",
            format!("{who} does not answer: {error}"),
            "start one with scripts/start-yarn.sh, or say where it is with -D resourcemanager.address=…",
        ),
    }
}

async fn nodes(cluster: &ResourceManager) -> Vec<Check> {
    let nodes = match cluster.nodes(true).await {
        Ok(nodes) => nodes,
        Err(error) => return vec![unanswered("the list of nodes", &error)],
    };
    let mut checks = Vec::new();
    if !nodes.iter().any(|node| node.state == NodeState::Running) {
        let remedy = "start one on each machine with flott nodemanager";
        checks.push(Check::fail("nodes", "no node takes containers", remedy));
    }
    for node in &nodes {
        checks.push(state(node));
        if node.state != NodeState::Running {
            continue;
        }
        checks.push(versions(&format!("node {}", node.id), &node.version));
        let daemon = cluster.daemon(&node.node_http_address).with_deadline(PATIENCE);
        match asked(&daemon, "/ws/v1/node/info", "/ws/v1/node/time").await {
            (Ok(_), clock) => checks.extend(clock.map(|clock| skew(&format!("node {}", node.id), clock))),
            (Err(error), _) => checks.push(Check::fail(
                "nodes",
                format!("node {} cannot be reached from here: {error}", node.id),
                "set nodemanager.host to a name that others resolve, and open its port",
            )),
        }
    }
    checks
}

fn state(node: &Node) -> Check {
    let Node { id, state, health_report, .. } = node;
    match state {
        NodeState::Running if !node.connected => {
            Check::warn("nodes", format!("node {id} is silent"), "look at its log; it is lost when it stays so")
        }
        NodeState::Running => Check::ok("nodes", format!("node {id} takes containers")),
        NodeState::Unhealthy => {
            Check::fail("nodes", format!("node {id} is unhealthy: {health_report}"), "do what it asks for")
        }
        NodeState::Lost => {
            Check::warn("nodes", format!("node {id} is lost"), "start its NodeManager again, or decommission it")
        }
        other => Check::ok("nodes", format!("node {id} is {other}")),
    }
}

/// A standalone JobManager, where one is or nothing else is.
async fn standalone(client: &ClientConfig, alone: bool) -> Vec<Check> {
    let job_manager = JobManager::at(&client.job_manager, &client.credentials);
    match job_manager.overview().await {
        Ok(overview) => {
            let who = format!("the JobManager at {}", client.job_manager);
            let mut checks = vec![versions(&who, overview["flink-version"].as_str().unwrap_or_default())];
            if overview["taskmanagers"] == 0 {
                let remedy = "start one on each machine with flott taskmanager";
                checks.push(Check::warn("cluster", format!("{who} has no TaskManagers"), remedy));
            }
            checks
        }
        Err(error) if alone => vec![Check::warn(
            "cluster",
            format!("no standalone JobManager answers at {}: {error}", client.job_manager),
            "start one with scripts/start-cluster.sh, if that is how jobs run here",
        )],
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn a_clock_is_wrong_only_by_what_the_way_there_cannot_explain() {
        let status =
            |there| skew("n1", Moment { before: Now(1_000_000), there: Now(there), after: Now(1_000_800) }).status;
        assert_eq!([1_000_000, 1_000_800, 1_001_299, 999_501].map(status), [Status::Ok; 4]);
        assert_eq!([1_001_300, 999_500].map(status), [Status::Warn; 2]);
        assert_eq!([1_060_800, 940_000].map(status), [Status::Fail; 2]);
    }

    #[test]
    fn another_version_is_named_with_ours() {
        assert_eq!(versions("n1", VERSION).status, Status::Ok);
        let other = versions("n1", "9.9.9");
        assert_eq!(other.finding, format!("n1 is flott 9.9.9, this is {VERSION}"));
    }
}
