//! Applications, their attempts and containers, read.

use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::response::{Redirect, Response};
use serde::Deserialize;
use serde_json::json as object;

use super::error::Error;
use super::filter::Filter;
use super::{Context, convert, json};
use crate::ids::{ApplicationAttemptId, ApplicationId, ContainerId};
use crate::protocol::yarn_rest::{
    AppState, ApplicationAttempts, ApplicationEnvelope, Applications, ApplicationsEnvelope, Containers,
};
use crate::resourcemanager::report::{ApplicationReport, AttemptReport};

pub(super) async fn list(
    State(context): State<Context>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Error> {
    let filter = Filter::parse(&query)?;
    if let Some(wanted) = &filter.queue {
        let queues = context.handle.queues().await?;
        let known = |path: &str| path.strip_prefix("root.").unwrap_or(path) == wanted;
        if !queues.iter().any(|queue| known(&queue.path)) {
            let names: Vec<_> = queues.iter().map(|queue| queue.path.as_str()).collect();
            let names = names.join(", ");
            return Err(Error::bad_request(format!("queue {wanted} does not exist; it should be one of [{names}]")));
        }
    }
    let mut reports = context.handle.applications().await?;
    reports.retain(|report| filter.admits(report));
    if let Some(limit) = filter.limit {
        reports.sort_by_key(|report| std::cmp::Reverse((report.submitted_at, report.id)));
        reports.truncate(limit);
    }
    let total = context.handle.summary().await?.total;
    let (address, now) = (context.handle.url(), context.handle.now());
    let mut app: Vec<_> = reports.iter().map(|report| convert::application(report, &address, &total, now)).collect();
    if filter.without_requests {
        app.iter_mut().for_each(|app| app.resource_requests.clear());
    }
    Ok(json(&ApplicationsEnvelope { apps: Applications { app } }))
}

/// `wait_ms` and `since` are extensions: the answer comes when the application's version exceeds `since`, or after `wait_ms`.
#[derive(Debug, Deserialize)]
pub(super) struct OneQuery {
    wait_ms: Option<u64>,
    since: Option<u64>,
    #[serde(rename = "deSelects", default)]
    deselects: String,
}

pub(super) async fn one(
    State(context): State<Context>,
    Path(id): Path<String>,
    Query(query): Query<OneQuery>,
) -> Result<Response, Error> {
    let application = parse_application(&id)?;
    let report = match (query.wait_ms, query.since) {
        (Some(wait_ms), since) => {
            let wait = Duration::from_millis(wait_ms);
            context.handle.application_after(application, since.unwrap_or(0), wait).await?
        }
        (None, _) => context.handle.application(application).await?,
    };
    let report = report.ok_or_else(|| Error::application_not_found(&id))?;
    let total = context.handle.summary().await?.total;
    let mut app = convert::application(&report, &context.handle.url(), &total, context.handle.now());
    if query.deselects.to_ascii_uppercase().contains("RESOURCEREQUESTS") {
        app.resource_requests.clear();
    }
    Ok(json(&ApplicationEnvelope { app }))
}

/// YARN's address of an application's page leads to ours.
pub(super) async fn to_page(Path(id): Path<String>) -> Result<Redirect, Error> {
    Ok(Redirect::temporary(&format!("/#/applications/{}", parse_application(&id)?)))
}

/// Shows the internal state, as YARN does here.
pub(super) async fn state(State(context): State<Context>, Path(id): Path<String>) -> Result<Response, Error> {
    let report = report(&context, &id).await?;
    Ok(json(&AppState { state: report.internal_state, diagnostics: None }))
}

pub(super) async fn queue(State(context): State<Context>, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(json(&object!({ "queue": report(&context, &id).await?.queue })))
}

pub(super) async fn priority(State(context): State<Context>, Path(id): Path<String>) -> Result<Response, Error> {
    Ok(json(&object!({ "priority": report(&context, &id).await?.priority })))
}

pub(super) async fn attempts(State(context): State<Context>, Path(id): Path<String>) -> Result<Response, Error> {
    let (report, attempts) = attempts_of(&context, &id).await?;
    let address = context.handle.url();
    let app_attempt = attempts.iter().map(|attempt| convert::attempt(attempt, &report.user, &address)).collect();
    Ok(json(&object!({ "appAttempts": ApplicationAttempts { app_attempt } })))
}

pub(super) async fn attempt(
    State(context): State<Context>,
    Path((id, attempt)): Path<(String, String)>,
) -> Result<Response, Error> {
    let (report, attempt) = attempt_of(&context, &id, &attempt).await?;
    Ok(json(&object!({ "appAttempt": convert::attempt(&attempt, &report.user, &context.handle.url()) })))
}

pub(super) async fn containers(
    State(context): State<Context>,
    Path((id, attempt)): Path<(String, String)>,
) -> Result<Response, Error> {
    let (_, attempt) = attempt_of(&context, &id, &attempt).await?;
    let (address, now) = (context.handle.url(), context.handle.now());
    let reports = context.handle.containers(attempt.id).await?;
    let container = reports.iter().map(|report| convert::container(report, &address, now)).collect();
    Ok(json(&object!({ "containers": Containers { container } })))
}

pub(super) async fn container(
    State(context): State<Context>,
    Path((id, attempt, container)): Path<(String, String, String)>,
) -> Result<Response, Error> {
    let (_, attempt) = attempt_of(&context, &id, &attempt).await?;
    let wanted: ContainerId = container.parse().map_err(|error| Error::invalid_id("ContainerId", &container, error))?;
    let reports = context.handle.containers(attempt.id).await?;
    let report = reports.iter().find(|report| report.id == wanted);
    let report = report.ok_or_else(|| Error::not_found(format!("container with id: {container} not found")))?;
    Ok(json(&object!({ "container": convert::container(report, &context.handle.url(), context.handle.now()) })))
}

pub(super) async fn statistics(
    State(context): State<Context>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Error> {
    let filter = Filter::parse(&query)?;
    let ([] | [_]) = filter.types() else {
        let message = "# of applicationTypes = 2, we temporarily support at most one applicationType";
        return Err(Error::bad_request(message));
    };
    let kind = filter.types().first().cloned();
    let reports = context.handle.applications().await?;
    let of_kind = |report: &&ApplicationReport| {
        kind.as_deref().is_none_or(|kind| kind.eq_ignore_ascii_case(&report.application_type))
    };
    let count = |state: &str| reports.iter().filter(of_kind).filter(|report| report.state.to_string() == state).count();
    let shown = kind.clone().unwrap_or_else(|| "*".to_owned()).to_lowercase();
    let items: Vec<_> = filter
        .states_or_all()
        .iter()
        .map(|state| object!({ "state": state, "type": shown, "count": count(state) }))
        .collect();
    Ok(json(&object!({ "appStatInfo": { "statItem": items } })))
}

pub(super) fn parse_application(id: &str) -> Result<ApplicationId, Error> {
    id.parse().map_err(|error| Error::invalid_id("ApplicationId", id, error))
}

pub(super) async fn report(context: &Context, id: &str) -> Result<ApplicationReport, Error> {
    let report = context.handle.application(parse_application(id)?).await?;
    report.ok_or_else(|| Error::application_not_found(id))
}

async fn attempts_of(context: &Context, id: &str) -> Result<(ApplicationReport, Vec<AttemptReport>), Error> {
    let report = report(context, id).await?;
    let attempts = context.handle.attempts(report.id).await?;
    Ok((report, attempts.ok_or_else(|| Error::application_not_found(id))?))
}

async fn attempt_of(context: &Context, id: &str, attempt: &str) -> Result<(ApplicationReport, AttemptReport), Error> {
    let (report, attempts) = attempts_of(context, id).await?;
    let wanted: ApplicationAttemptId =
        attempt.parse().map_err(|error| Error::invalid_id("AppAttemptId", attempt, error))?;
    let found = attempts.into_iter().find(|report| report.id == wanted);
    let found = found.ok_or_else(|| Error::not_found(format!("app attempt with id: {attempt} not found")))?;
    Ok((report, found))
}
