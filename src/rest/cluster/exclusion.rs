//! Which nodes are to leave the cluster or to stay out: what YARN's administrators do with an exclude file and `-refreshNodes`.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json as object;

use super::error::Error;
use super::filter::body;
use super::guard::Identity;
use super::{Context, json};
use crate::resourcemanager::Access;
use crate::resourcemanager::event::Exclusion;

/// One of `add`, `remove`, `replace`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Change {
    add: Option<Vec<String>>,
    remove: Option<Vec<String>>,
    replace: Option<Vec<String>>,
    /// How long what runs there may go on.
    #[serde(default)]
    grace_seconds: u64,
}

pub(super) async fn put(
    State(context): State<Context>,
    Query(identity): Query<Identity>,
    bytes: Bytes,
) -> Result<Response, Error> {
    let user = identity.writer()?;
    let change: Change = body(&bytes)?;
    let grace = Duration::from_secs(change.grace_seconds);
    let change = match (change.add, change.remove, change.replace) {
        (Some(nodes), None, None) => Exclusion::Add { nodes, grace },
        (None, Some(nodes), None) => Exclusion::Remove { nodes },
        (None, None, Some(nodes)) => Exclusion::Replace { nodes, grace },
        _ => return Err(Error::bad_request("give one list of nodes: add, remove or replace")),
    };
    let administers =
        context.handle.queue_access("root".to_owned(), user.to_owned(), Access::Administer).await? == Some(true);
    if user != context.handle.operator() && !administers {
        let message = format!("Unauthorized attempt to exclude nodes by remote user {user}");
        return Err(Error::Plain { status: StatusCode::FORBIDDEN, message });
    }
    let nodes = context.handle.exclude(change).await?;
    let nodes: Vec<_> =
        nodes.iter().map(|(id, state)| object!({ "id": id.to_string(), "state": state.to_string() })).collect();
    Ok(json(&object!({ "nodes": { "node": nodes } })))
}
