//! Writes from web pages of others are refused: a browser says where a page comes from, and only our own may write.

use axum::extract::Request;
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use super::answer::Refusal;

pub(super) async fn guard(request: Request, next: Next) -> Response {
    // Flink's dashboard cancels by GET.
    let reads = request.method() == Method::GET || request.method() == Method::HEAD;
    let writes = !reads || request.uri().path().ends_with("/yarn-cancel");
    if writes && !is_ours(request.headers()) {
        let message = "this page may not change anything here: it comes from another host";
        return Refusal::new(StatusCode::FORBIDDEN, message).into();
    }
    next.run(request).await
}

fn is_ours(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = text(ORIGIN.as_str()) else {
        return true; // No browser, or its own page.
    };
    let host = origin.split_once("://").map_or(origin, |(_, host)| host);
    [text(HOST.as_str()), text("x-forwarded-host")].into_iter().flatten().any(|ours| ours == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_write() {
        let check = |pairs: &[(&'static str, &'static str)]| {
            is_ours(&pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect())
        };
        assert!(check(&[("host", "jm:8081")]));
        assert!(check(&[("host", "jm:8081"), ("origin", "http://jm:8081")]));
        assert!(check(&[("host", "jm:40001"), ("x-forwarded-host", "rm:8088"), ("origin", "http://rm:8088")]));
        assert!(!check(&[("host", "jm:8081"), ("origin", "http://evil")]));
        assert!(!check(&[("host", "jm:8081"), ("origin", "null")]));
    }
}
