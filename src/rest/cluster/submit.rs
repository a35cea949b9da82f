//! What clients change: submit, kill.

use axum::extract::{Path, Query, State};
use axum::http::header::LOCATION;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::applications::parse_application;
use super::error::{Content, Error};
use super::filter::body;
use super::guard::Identity;
use super::queues::may_change;
use super::{Context, json};
use crate::protocol::yarn_rest::{AppState, InvalidSubmission, NewApplication, ResourceObject, SubmissionContext};

pub(super) async fn new_application(
    State(context): State<Context>,
    Query(identity): Query<Identity>,
) -> Result<Response, Error> {
    identity.writer()?;
    let (application, maximum) = context.handle.new_application().await?;
    Ok(json(&NewApplication {
        application_id: application.to_string(),
        maximum_resource_capability: ResourceObject::from(&maximum),
    }))
}

pub(super) async fn submit(
    State(context): State<Context>,
    Query(identity): Query<Identity>,
    Content(bytes): Content,
) -> Result<Response, Error> {
    let user = identity.writer()?;
    let submission: SubmissionContext = body(&bytes)?;
    let invalid = |error: InvalidSubmission| Error::bad_request(error.to_string());
    let submission = submission.into_submission(user).map_err(invalid)?;
    let id = submission.application;
    context.handle.submit(submission).await?;
    let location = format!("{}/ws/v1/cluster/apps/{id}", context.handle.url());
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)]).into_response())
}

/// Kills: the only state that can be put.
pub(super) async fn put_state(
    State(context): State<Context>,
    Path(id): Path<String>,
    Query(identity): Query<Identity>,
    uri: Uri,
    Content(bytes): Content,
) -> Result<Response, Error> {
    let user = identity.writer()?;
    let wanted: AppState = body(&bytes)?;
    if wanted.state != "KILLED" {
        let message = format!("Only 'KILLED' is allowed as a target state, not '{}'", wanted.state);
        return Err(Error::bad_request(message));
    }
    let application = parse_application(&id)?;
    may_change(&context, &id, user, "kill").await?;
    let because = wanted.diagnostics.filter(|why| !why.trim().is_empty());
    let diagnostics =
        because.map_or_else(|| format!("killed by user {user}"), |because| format!("killed by user {user}: {because}"));
    let (state, ended) = context.handle.kill(application, diagnostics).await?;
    let shown = json(&AppState { state, diagnostics: None });
    if ended {
        return Ok(shown);
    }
    let location = format!("{}{}", context.handle.url(), uri.path());
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)], shown).into_response())
}
