//! The application master's protocol as plain HTTP, for masters that hold no link.
//!
//! The same bodies as on the link, as JSON. `register` carries its token in the body; `allocate` and `finish` show it in
//! `Authorization: Bearer <base64 of the token's JSON>`. `allocate?wait_ms=` is answered as soon as there is news. A lost answer
//! is repeated to whoever asks with the same response id again.

use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::Deserialize;
use serde_json::json as object;

use super::error::{Content, Error};
use super::filter::body;
use super::{Context, json};
use crate::protocol::application_master::{AllocateRequest, Finish, Register};
use crate::rpc::token::Token;

pub(super) async fn register(State(context): State<Context>, Content(bytes): Content) -> Result<Response, Error> {
    let register: Register = body(&bytes)?;
    Ok(json(&context.handle.register_master(register).await?))
}

#[derive(Debug, Deserialize)]
pub(super) struct WaitQuery {
    #[serde(default)]
    wait_ms: u64,
}

pub(super) async fn allocate(
    State(context): State<Context>,
    Query(query): Query<WaitQuery>,
    headers: HeaderMap,
    Content(bytes): Content,
) -> Result<Response, Error> {
    let token = token(&headers)?;
    let request: AllocateRequest = body(&bytes)?;
    let wait = Duration::from_millis(query.wait_ms);
    Ok(json(&context.handle.allocate(token, request, wait).await?))
}

/// Answers `{"unregistered":true}` once the end is stored; `false`: ask again.
pub(super) async fn finish(
    State(context): State<Context>,
    headers: HeaderMap,
    Content(bytes): Content,
) -> Result<Response, Error> {
    let token = token(&headers)?;
    let request: Finish = body(&bytes)?;
    let unregistered = context.handle.finish(token, request).await?;
    Ok(json(&object!({ "unregistered": unregistered })))
}

fn token(headers: &HeaderMap) -> Result<Token, Error> {
    let refused = || {
        let message = "show the AM-RM token: Authorization: Bearer <base64 of its JSON>";
        Error::unauthorized(message)
    };
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or_else(refused)?;
    let text = value.strip_prefix("Bearer ").unwrap_or(value).trim();
    if text.starts_with('{') {
        return serde_json::from_str(text).map_err(|_| refused());
    }
    let decoded = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).map_err(|_| refused())?;
    serde_json::from_slice(&decoded).map_err(|_| refused())
}
