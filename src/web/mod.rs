//! The Web UI's files: what a browser loads from a daemon. They are part of the binary; nobody builds or installs anything.
//!
//! ```text
//! GET / ─► the app's page ─► assets/app.css, assets/<app>/main.js ─► ES modules ─► the daemon's REST API
//! ```
//!
//! Pages name everything relative to themselves, so that they work behind the ResourceManager's proxy and any other. A strict
//! content security policy holds: no inline script or style, nothing from another origin. Browsers ask again for each file and
//! get `304` while its hash is the same, so that an upgraded daemon never meets an old page.
//!
//! It knows no daemon: what pages show they fetch themselves.

mod assets;
mod serve;

use axum::Router;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;

/// Whose pages to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    /// Jobs.
    JobManager,
    /// The cluster.
    ResourceManager,
    /// Logs of containers.
    NodeManager,
}

impl App {
    fn page(self) -> &'static str {
        match self {
            Self::JobManager => "jobmanager.html",
            Self::ResourceManager => "resourcemanager.html",
            Self::NodeManager => "nodemanager.html",
        }
    }

    /// Where its page is. `/cluster` is where people look for a YARN ResourceManager's.
    fn places(self) -> &'static [&'static str] {
        match self {
            Self::JobManager => &["/", "/index.html"],
            Self::ResourceManager => &["/", "/index.html", "/cluster"],
            Self::NodeManager => &["/", "/index.html", "/node"],
        }
    }
}

/// The routes of an app's page and files; to be merged with the API that they call.
pub fn router(app: App) -> Router {
    let mut router = Router::new();
    for place in app.places() {
        router = router.route(place, get(move |headers| serve::page(app, headers)));
    }
    if app == App::NodeManager {
        // YARN's address of a container's logs; the page reads the container off its own address.
        router = router.route("/node/containerlogs/{container}/{user}", get(move |headers| serve::page(app, headers)));
        router = router.route("/node/containerlogs/{container}/assets/{*path}", get(serve::nested_asset));
    }
    router.route("/assets/{*path}", get(serve::asset))
}

/// A page or file of an app, by its path without the slash that begins it; for who serves an app elsewhere than at its own daemon.
pub fn file(app: App, path: &str, headers: &HeaderMap) -> Option<Response> {
    match path {
        "" | "index.html" => Some(serve::file(app.page(), headers)),
        _ => path.strip_prefix("assets/").map(|name| serve::file(name, headers)),
    }
}

#[cfg(test)]
mod tests;
