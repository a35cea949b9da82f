//! Nodes.

use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::convert::node;
use super::error::Error;
use super::{Context, json};
use crate::ids::NodeId;
use crate::protocol::node::NodeState;
use crate::protocol::yarn_rest::{NodeEnvelope, Nodes, NodesEnvelope};

#[derive(Debug, Deserialize)]
pub(super) struct StatesQuery {
    states: Option<String>,
}

const STATES: [NodeState; 8] = [
    NodeState::New,
    NodeState::Running,
    NodeState::Unhealthy,
    NodeState::Decommissioned,
    NodeState::Lost,
    NodeState::Rebooted,
    NodeState::Decommissioning,
    NodeState::Shutdown,
];

pub(super) async fn list(State(context): State<Context>, Query(query): Query<StatesQuery>) -> Result<Response, Error> {
    let wanted = wanted_states(query.states.as_deref())?;
    let nodes = context.handle.nodes().await?;
    let node = nodes.iter().filter(|summary| wanted.contains(&summary.state)).map(node).collect();
    Ok(json(&NodesEnvelope { nodes: Nodes { node } }))
}

/// By default those that are part of the cluster.
fn wanted_states(states: Option<&str>) -> Result<Vec<NodeState>, Error> {
    let Some(states) = states.filter(|states| !states.is_empty()) else {
        return Ok(vec![NodeState::New, NodeState::Running, NodeState::Unhealthy, NodeState::Decommissioning]);
    };
    if states.eq_ignore_ascii_case("all") {
        return Ok(STATES.to_vec());
    }
    let parse = |word: &str| {
        let word = word.trim().to_ascii_uppercase();
        STATES.into_iter().find(|state| state.to_string() == word).ok_or_else(|| {
            let names: Vec<_> = STATES.iter().map(ToString::to_string).collect();
            let names = names.join(", ");
            Error::bad_request(format!("Invalid node-state {word} specified. It should be one of [{names}]"))
        })
    };
    states.split(',').map(parse).collect()
}

pub(super) async fn one(State(context): State<Context>, Path(id): Path<String>) -> Result<Response, Error> {
    let node_id: NodeId = id.parse().map_err(|error| Error::invalid_id("NodeId", &id, error))?;
    let summary = context.handle.node(node_id).await?;
    let summary = summary.ok_or_else(|| Error::not_found(format!("nodeId, {id}, is not found")))?;
    Ok(json(&NodeEnvelope { node: node(&summary) }))
}
