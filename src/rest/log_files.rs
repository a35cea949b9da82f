//! Log directories of containers, as YARN shows them: a list of files, and ranges of one.

use std::fs;
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::ids::ContainerId;
use crate::process::read_range;

/// One answer's most; who wants more asks again from there.
pub(super) const RANGE_BYTES_MAX: u64 = 64 << 20;

/// Files of a directory: name, size and time of last change, in milliseconds. None if there is no such directory.
pub(super) fn files(directory: &Path) -> Vec<(String, u64, u128)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
            Some((entry.file_name().into_string().ok()?, metadata.len(), changed.as_millis()))
        })
        .collect();
    files.sort();
    files
}

/// YARN's `containerLogsInfo`. `aggregation`: `LOCAL` or `AGGREGATED`.
pub(super) fn listing(directory: &Path, container: ContainerId, node: &str, aggregation: &str) -> Value {
    let files: Vec<_> = files(directory)
        .into_iter()
        .map(|(name, bytes, changed_ms)| {
            json!({ "fileName": name, "fileSize": bytes.to_string(), "lastModifiedTime": changed_ms.to_string() })
        })
        .collect();
    let info = json!({ "containerLogInfo": files, "logAggregationType": aggregation, "containerId": container, "nodeId": node });
    json!({ "containerLogsInfo": info })
}

/// Whether a name is one of a file in a directory: what is decoded from an address must not lead elsewhere.
pub(super) fn is_plain(name: &str) -> bool {
    !name.contains('/') && name != ".."
}

/// Which part of a log, as what.
#[derive(Deserialize)]
pub(super) struct Range {
    /// First byte; negative: from the end.
    start: Option<i64>,
    /// Behind the last byte; negative: from the end.
    end: Option<i64>,
    /// YARN's: so many bytes from the start, negative: from the end.
    size: Option<i64>,
    /// Go on with what is written later, until the container has ended.
    #[serde(default)]
    pub(super) follow: bool,
    /// `text`, or `octet-stream` to have it saved.
    format: Option<String>,
}

impl Range {
    fn bounds(&self) -> (i64, Option<i64>) {
        match (self.start, self.size) {
            (None, Some(size)) if size < 0 => (size, self.end),
            (None, Some(size)) => (0, Some(size)),
            (start, _) => (start.unwrap_or(0), self.end),
        }
    }

    /// Reads it, at most `bytes_max`; also says where it begins. Blocking.
    pub(super) fn read(&self, path: &Path, bytes_max: u64) -> io::Result<(Vec<u8>, u64)> {
        let (start, end) = self.bounds();
        read_range(path, start, end, bytes_max).map(|(bytes, at, _)| (bytes, at))
    }

    pub(super) fn headers(&self) -> [(HeaderName, HeaderValue); 2] {
        let content_type = match self.format.as_deref() {
            Some("octet-stream") => "application/octet-stream",
            Some(_) | None => "text/plain; charset=utf-8",
        };
        let sniffing = HeaderName::from_static("x-content-type-options");
        [(CONTENT_TYPE, HeaderValue::from_static(content_type)), (sniffing, HeaderValue::from_static("nosniff"))]
    }
}
