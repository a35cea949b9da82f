//! Views that go on: a page asks once and is told of each change by server-sent events; who cannot listen polls the same address.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::LazyLock;
use std::time::Duration;

use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{MissedTickBehavior, interval};

use crate::time::Now;

/// Listeners at one daemon. Who comes later polls.
const LISTENERS_MAX: usize = 64;
/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);

static LISTENERS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(LISTENERS_MAX)));

/// Answers with what `look` sees: once, or to who accepts `text/event-stream` again whenever it has changed, at most every second.
/// Events and the single answer are `{"now": ms, "view": …}`. A stream ends when `look` is refused.
pub(super) async fn answer<L, F, R>(headers: &HeaderMap, look: L) -> Result<Response, R>
where
    L: Fn() -> F + Send + 'static,
    F: Future<Output = Result<(Now, Value), R>> + Send,
    R: Send,
{
    let listens =
        headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|it| it.contains("text/event-stream"));
    let (now, first) = look().await?;
    if !listens {
        let body = json!({ "now": now.as_millis(), "view": first }).to_string();
        return Ok(
            ([(CONTENT_TYPE, "application/json; charset=UTF-8"), (CACHE_CONTROL, "no-store")], body).into_response()
        );
    }
    let Ok(permit) = Arc::clone(&LISTENERS).try_acquire_owned() else {
        let message = "too many listeners; ask again without Accept: text/event-stream";
        return Ok((StatusCode::SERVICE_UNAVAILABLE, message).into_response());
    };
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let listener = Listener { look, ticks, shown: None, _permit: permit };
    let events = stream::unfold(listener, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::default()).into_response();
    response.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    Ok(response)
}

struct Listener<L> {
    look: L,
    ticks: tokio::time::Interval,
    /// What the page has.
    shown: Option<String>,
    _permit: OwnedSemaphorePermit,
}

impl<L> Listener<L> {
    /// The next change; none when the daemon is ending.
    async fn next<F, R>(&mut self) -> Option<Event>
    where
        L: Fn() -> F,
        F: Future<Output = Result<(Now, Value), R>>,
    {
        loop {
            self.ticks.tick().await;
            let (now, view) = (self.look)().await.ok()?;
            let view = view.to_string();
            if self.shown.as_ref() == Some(&view) {
                continue;
            }
            let event = Event::default().data(format!("{{\"now\":{},\"view\":{view}}}", now.as_millis()));
            self.shown = Some(view);
            return Some(event);
        }
    }
}
