//! When an application ends at the latest. YARN knows one type of timeout, `LIFETIME`.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json as object};

use super::applications::{parse_application, report};
use super::error::Error;
use super::filter::body;
use super::guard::Identity;
use super::queues::may_change;
use super::{Context, json};
use crate::protocol::yarn_rest::{format_moment, parse_moment};
use crate::time::Now;

const LIFETIME: &str = "LIFETIME";

pub(super) async fn all(State(context): State<Context>, Path(id): Path<String>) -> Result<Response, Error> {
    let timeout = of(&context, &id).await?;
    Ok(json(&object!({ "timeouts": { "timeout": [timeout] } })))
}

pub(super) async fn one(
    State(context): State<Context>,
    Path((id, kind)): Path<(String, String)>,
) -> Result<Response, Error> {
    check_type(&kind)?;
    Ok(json(&object!({ "timeout": of(&context, &id).await? })))
}

async fn of(context: &Context, id: &str) -> Result<Value, Error> {
    let report = report(context, id).await?;
    let open = report.ends_by.filter(|_| !report.state.is_terminal());
    Ok(shown(open, context.handle.now()))
}

/// As YARN shows it; also a part of an application.
pub(super) fn shown(ends_by: Option<Now>, now: Now) -> Value {
    let (expiry, remaining) = match ends_by {
        Some(at) => (format_moment(at), i64::try_from(at.since(now).as_secs()).unwrap_or(i64::MAX)),
        None => ("UNLIMITED".to_owned(), -1),
    };
    object!({ "type": LIFETIME, "expiryTime": expiry, "remainingTimeInSeconds": remaining })
}

fn check_type(kind: &str) -> Result<(), Error> {
    if kind.eq_ignore_ascii_case(LIFETIME) {
        return Ok(());
    }
    Err(Error::bad_request(format!("Invalid timeout type {kind}. It should be one of [{LIFETIME}]")))
}

#[derive(Debug, Deserialize)]
struct Envelope {
    timeout: Wanted,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    #[serde(rename = "type")]
    kind: String,
    expiry_time: String,
}

/// `UNLIMITED`, an extension, takes the limit away as far as the queue allows.
pub(super) async fn put(
    State(context): State<Context>,
    Path(id): Path<String>,
    Query(identity): Query<Identity>,
    bytes: Bytes,
) -> Result<Response, Error> {
    let Envelope { timeout } = body(&bytes)?;
    check_type(&timeout.kind)?;
    let until = match timeout.expiry_time.as_str() {
        "UNLIMITED" => None,
        text => Some(parse_moment(text).ok_or_else(|| {
            Error::bad_request(format!("expiryTime is `{text}`; write it as 2026-11-22T10:00:00.000+0000"))
        })?),
    };
    let application = parse_application(&id)?;
    may_change(&context, &id, identity.writer()?, "update timeout for").await?;
    let until = context.handle.set_lifetime(application, until).await?;
    Ok(json(&object!({ "timeout": shown(until, context.handle.now()) })))
}
