use std::collections::BTreeSet;
use std::io::Write as _;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::BodyExt as _;
use tower_service::Service as _;

use super::assets::ASSETS;
use super::{App, router};

async fn get(path: &str, headers: &[(&str, &str)]) -> axum::response::Response {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    router(App::JobManager).call(request.body(Body::empty()).unwrap()).await.unwrap()
}

fn text(name: &str) -> &'static str {
    let (_, content) = ASSETS.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no asset {name}"));
    std::str::from_utf8(content).unwrap()
}

/// What the module imports, as asset names.
fn imports(name: &str) -> Vec<String> {
    let dir = name.rsplit_once('/').map_or("", |(dir, _)| dir);
    let mut found = Vec::new();
    for part in text(name).split("from").skip(1) {
        let part = part.trim_start();
        let Some(quote) = part.chars().next().filter(|c| ['"', '\''].contains(c)) else { continue };
        let Some(path) = part[1..].split(quote).next().filter(|path| path.starts_with('.')) else { continue };
        let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
        for step in path.split('/') {
            match step {
                "." => {}
                ".." => drop(parts.pop()),
                step => parts.push(step),
            }
        }
        found.push(parts.join("/"));
    }
    found
}

/// Everything that a module needs, itself too.
fn reached_from(name: &str) -> BTreeSet<String> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![name.to_owned()]);
    while let Some(name) = open.pop() {
        if reached.insert(name.clone()) {
            open.extend(imports(&name));
        }
    }
    reached
}

#[test]
fn every_module_that_is_imported_is_there_and_every_one_there_is_used() {
    let mains = ["jobmanager/main.js", "resourcemanager/main.js", "nodemanager/main.js"];
    let reached: BTreeSet<String> = mains.into_iter().flat_map(reached_from).collect();
    let all: BTreeSet<String> =
        ASSETS.iter().map(|(name, _)| (*name).to_owned()).filter(|name| name.ends_with(".js")).collect();
    assert_eq!(reached, all);
}

#[test]
fn a_page_asks_for_all_of_its_modules_at_once() {
    for page in ["jobmanager", "resourcemanager", "nodemanager"] {
        let html = text(&format!("{page}.html"));
        let links = html.split(r#"<link rel="modulepreload" href="assets/"#).skip(1);
        let asked: BTreeSet<String> = links.map(|link| link.split('"').next().unwrap().to_owned()).collect();
        let mut needed = reached_from(&format!("{page}/main.js"));
        needed.remove(&format!("{page}/main.js"));
        assert_eq!(asked, needed, "{page}");
    }
}

#[test]
fn every_file_of_the_directory_is_an_asset() {
    fn files(dir: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            if entry.path().is_dir() { files(&entry.path(), found) } else { found.push(entry.path()) }
        }
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/assets");
    let mut found = Vec::new();
    files(&root, &mut found);
    let found: BTreeSet<String> =
        found.iter().map(|path| path.strip_prefix(&root).unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(found, ASSETS.iter().map(|(name, _)| (*name).to_owned()).collect());
}

#[test]
fn all_of_it_is_at_most_150_kilobytes_compressed() {
    let mut bytes = 0;
    for (_, content) in ASSETS {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content).unwrap();
        bytes += encoder.finish().unwrap().len();
    }
    assert!(bytes <= 150_000, "{bytes} bytes");
}

#[test]
fn pages_have_no_inline_code_and_load_nothing_from_elsewhere() {
    for page in ["jobmanager.html", "resourcemanager.html", "nodemanager.html"] {
        let text = text(page);
        for forbidden in ["<script>", "style=", "onclick", "http://", "https://", "\"/"] {
            assert!(!text.contains(forbidden), "{page} has {forbidden}");
        }
    }
}

#[tokio::test]
async fn a_page_is_compressed_for_who_can_read_it_and_not_sent_again_while_it_is_the_same() {
    let plain = get("/", &[]).await;
    assert_eq!(plain.status(), StatusCode::OK);
    let policy = plain.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let etag = plain.headers()["etag"].to_str().unwrap().to_owned();
    let length = plain.into_body().collect().await.unwrap().to_bytes().len();

    let packed = get("/", &[("accept-encoding", "gzip, br")]).await;
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert!(packed.into_body().collect().await.unwrap().to_bytes().len() < length);

    let same = get("/", &[("if-none-match", &etag)]).await;
    assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(get("/", &[("if-none-match", "\"other\"")]).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn only_known_files_are_served() {
    for path in ["/assets/nothing.js", "/assets/../Cargo.toml", "/assets/..%2f..%2fmod.rs"] {
        assert_eq!(get(path, &[]).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(get("/assets/app.css", &[]).await.headers()["content-type"], "text/css; charset=utf-8");
}
