//! Answers to browsers: a file as it is or compressed, or word that it has not changed.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::OnceLock;

use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::App;
use super::assets::ASSETS;

/// Scripts, styles, images and requests of the own origin, and nothing else; plots' and favicons' images may be data.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'none'; base-uri 'none'; frame-ancestors 'self'";

/// A file as it is sent.
struct Prepared {
    content: Bytes,
    gzip: Bytes,
    etag: String,
    mime: &'static str,
}

impl Prepared {
    fn new(name: &str, content: Bytes) -> Self {
        let hash = Sha256::digest(&content);
        let etag = hash.iter().take(8).fold(String::from("\""), |text, byte| text + &format!("{byte:02x}")) + "\"";
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let gzip = encoder.write_all(&content).and_then(|()| encoder.finish());
        let gzip = gzip.expect("writing to memory does not fail").into();
        Self { content, gzip, etag, mime: mime(name) }
    }
}

fn mime(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some(_) | None => "text/plain; charset=utf-8",
    }
}

/// All files, hashed and compressed when the first browser comes; a daemon that nobody looks at holds none of it.
fn prepared(name: &str) -> Option<&'static Prepared> {
    static PREPARED: OnceLock<BTreeMap<&str, Prepared>> = OnceLock::new();
    let all = PREPARED.get_or_init(|| {
        ASSETS.iter().map(|(name, content)| (*name, Prepared::new(name, Bytes::from_static(content)))).collect()
    });
    all.get(name)
}

/// For who works on the pages: in a debug build, files of this directory go before the built-in ones.
#[cfg(debug_assertions)]
fn from_disk(name: &str) -> Option<Prepared> {
    let dir = std::env::var_os("FLOTT_INTERNAL_WEB_DIR")?;
    ASSETS.iter().any(|(known, _)| *known == name).then_some(())?;
    let content = std::fs::read(std::path::Path::new(&dir).join(name)).ok()?;
    Some(Prepared::new(name, content.into()))
}

#[cfg(not(debug_assertions))]
fn from_disk(_name: &str) -> Option<Prepared> {
    None
}

pub(super) async fn page(app: App, headers: HeaderMap) -> Response {
    file(app.page(), &headers)
}

pub(super) async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    file(&name, &headers)
}

/// Of a page that lies deeper.
pub(super) async fn nested_asset(Path((_, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    file(&name, &headers)
}

pub(super) fn file(name: &str, headers: &HeaderMap) -> Response {
    if let Some(prepared) = from_disk(name) {
        return answer(&prepared, headers);
    }
    match prepared(name) {
        Some(prepared) => answer(prepared, headers),
        None => (StatusCode::NOT_FOUND, format!("there is no file {name} here\n")).into_response(),
    }
}

fn answer(file: &Prepared, headers: &HeaderMap) -> Response {
    let says = |name: HeaderName, word: &str| {
        headers.get_all(name).iter().any(|value| value.to_str().is_ok_and(|value| value.contains(word)))
    };
    let common = [
        (ETAG, file.etag.as_str()),
        (CACHE_CONTROL, "no-cache"),
        (VARY, "accept-encoding"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    if says(IF_NONE_MATCH, &file.etag) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    if says(ACCEPT_ENCODING, "gzip") {
        let headers = [(CONTENT_TYPE, file.mime), (CONTENT_ENCODING, "gzip")];
        return (common, headers, Body::from(file.gzip.clone())).into_response();
    }
    (common, [(CONTENT_TYPE, file.mime)], Body::from(file.content.clone())).into_response()
}
