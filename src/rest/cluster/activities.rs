//! Why something is not scheduled: YARN's activities. YARN records what its scheduler does for some seconds after it was asked; here
//! the reasons are those of this moment, and nothing is kept for them.

use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json as object};

use super::applications::report;
use super::error::Error;
use super::{Context, json};
use crate::ids::NodeId;
use crate::protocol::yarn_rest::format_moment;
use crate::resourcemanager::report::ApplicationReport;

/// Nodes that an answer says more about than the reason.
const NODES_EXPLAINED_MAX: usize = 1000;
/// Applications that the answer about a node speaks of.
const APPLICATIONS_EXPLAINED_MAX: usize = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NodeQuery {
    node_id: Option<String>,
}

/// Why an application waits, per ask and, for what it wants most, per node.
pub(super) async fn of_application(State(context): State<Context>, Path(id): Path<String>) -> Result<Response, Error> {
    let report = report(&context, &id).await?;
    let now = context.handle.now();
    let mut activities = object!({ "applicationId": id, "timestamp": now.as_millis(), "dateTime": format_moment(now) });
    if let Some(reason) = &report.waiting_reason {
        let nodes = context.handle.why_not_nodes(report.id, NODES_EXPLAINED_MAX).await?;
        let nodes: Vec<_> = nodes
            .iter()
            .map(|node| {
                object!({ "nodeId": node.node.to_string(), "allocationState": "REJECTED", "diagnostic": node.why })
            })
            .collect();
        activities["diagnostic"] = object!(reason);
        activities["allocations"] = object!([{
            "timestamp": now.as_millis(),
            "dateTime": format_moment(now),
            "queueName": report.queue,
            "appPriority": report.priority.to_string(),
            "allocationState": "SKIPPED",
            "diagnostic": reason,
            "children": asks(&report),
            "nodes": nodes,
        }]);
    }
    Ok(json(&object!({ "appActivities": activities })))
}

fn asks(report: &ApplicationReport) -> Vec<Value> {
    let ask = |pending: &crate::protocol::application_master::Pending| {
        object!({
            "requestPriority": pending.priority.to_string(),
            "allocationRequestId": pending.allocation_request_id.to_string(),
            "allocationState": "SKIPPED",
            "diagnostic": pending.reason,
        })
    };
    report.pending.iter().map(ask).collect()
}

/// What waits in the cluster and why; of one node, why it does not serve what waits.
pub(super) async fn of_cluster(
    State(context): State<Context>,
    Query(query): Query<NodeQuery>,
) -> Result<Response, Error> {
    let now = context.handle.now();
    let mut activities = object!({ "timestamp": now.as_millis(), "dateTime": format_moment(now) });
    let node = query.node_id.filter(|id| !id.is_empty());
    if let Some(id) = &node {
        let node: NodeId = id.parse().map_err(|error| Error::invalid_id("NodeId", id, error))?;
        if context.handle.node(node).await?.is_none() {
            return Err(Error::not_found(format!("nodeId, {id}, is not found")));
        }
        activities["nodeId"] = object!(id);
    }
    let mut waiting: Vec<_> = context.handle.applications().await?;
    waiting.retain(|report| report.waiting_reason.is_some());
    let mut queues: Vec<Value> = Vec::new();
    for report in waiting.iter().take(APPLICATIONS_EXPLAINED_MAX) {
        let why = match &node {
            Some(id) => {
                let nodes = context.handle.why_not_nodes(report.id, usize::MAX).await?;
                nodes.into_iter().find(|reason| reason.node.to_string() == *id).map(|reason| reason.why)
            }
            None => report.waiting_reason.clone(),
        };
        let Some(why) = why else { continue };
        queues.push(object!({
            "name": format!("root.{}", report.queue),
            "allocationState": "SKIPPED",
            "children": [{
                "name": report.id.to_string(),
                "appPriority": report.priority.to_string(),
                "allocationState": "SKIPPED",
                "diagnostic": why,
                "children": asks(report),
            }],
        }));
    }
    if queues.is_empty() {
        activities["diagnostic"] = object!("nothing waits");
    } else {
        let root = object!({ "name": "root", "allocationState": "SKIPPED", "children": queues });
        activities["allocations"] = object!([{ "partition": "", "finalAllocationState": "SKIPPED", "root": root }]);
    }
    Ok(json(&object!({ "activities": activities })))
}
