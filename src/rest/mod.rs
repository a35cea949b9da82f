//! HTTP views over the daemons' handles: each module makes an axum router from one daemon's handle and knows no more.

pub mod access;
pub mod cluster;
mod exposition;
pub mod flink;
mod live;
mod log_files;
pub mod node;
pub mod task_manager;

use axum::http::StatusCode;

/// Why a body was not taken.
fn unread(status: StatusCode, cause: &str) -> String {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => "the body is larger than the 2 MB that are taken here".to_owned(),
        _ => format!("the body broke off: {cause}"),
    }
}
