//! HTTP views over the daemons' handles: each module makes an axum router from one daemon's handle and knows no more.

pub mod access;
pub mod cluster;
mod exposition;
pub mod flink;
mod live;
mod log_files;
pub mod node;
pub mod task_manager;

use axum::body::to_bytes;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;

/// Why a body was not taken.
fn unread(status: StatusCode, cause: &str) -> String {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => "the body is larger than the 2 MB that are taken here".to_owned(),
        _ => format!("the body broke off: {cause}"),
    }
}

/// What is wrong with a body's JSON. serde's words, but for the names of types, which are Rust's.
fn not_understood(error: &serde_json::Error) -> String {
    let words = error.to_string();
    let words = ["u8", "u16", "u32", "u64", "usize", "i32", "i64"].iter().fold(words, |words, number| {
        words.replace(&format!("expected {number} "), "expected a whole number in range ")
    });
    let words = match words.split_once("expected struct ") {
        Some((before, behind)) => {
            let place = behind.find(" at line").map_or("", |at| &behind[at..]);
            format!("{before}expected an object{place}")
        }
        None => words,
    };
    format!("the body cannot be read: {words}")
}

/// What is wrong with a query, of axum's words.
fn in_query(words: &str) -> String {
    let words = words.replace("Failed to deserialize query string", "the query cannot be read");
    words.replace("invalid digit found in string", "it takes a whole number")
}

/// Marks a refusal in plain text that is meant to be plain text.
#[derive(Clone, Copy)]
struct Plain;

/// Axum's own refusals (of paths, queries, methods) are plain text or nothing; `refusal` makes them what an interface's clients read.
async fn reworded(response: Response, refusal: fn(StatusCode, String) -> Response) -> Response {
    /// They are short; what is longer is none of them.
    const BYTES_MAX: usize = 64 << 10;
    let content_type = response.headers().get(CONTENT_TYPE);
    let unlabelled = content_type.is_none_or(|it| it.as_bytes().starts_with(b"text/plain"));
    if !response.status().is_client_error() || !unlabelled || response.extensions().get::<Plain>().is_some() {
        return response;
    }
    let status = response.status();
    let text = to_bytes(response.into_body(), BYTES_MAX).await.unwrap_or_default();
    let text = match String::from_utf8_lossy(&text) {
        text if text.is_empty() => status.canonical_reason().unwrap_or("refused").to_owned(),
        text => in_query(&text),
    };
    refusal(status, text)
}
