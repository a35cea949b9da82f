//! Uploads, the secret, foreign pages, the proxy.

use super::*;
use crate::rpc::ClusterSecret;
use crate::storage::BlobId;

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_what_their_name_says() {
    let dir = TempDir::new().unwrap();
    let cluster = Cluster::start(dir.path()).await;
    let content = vec![7u8; 300_000];
    let url = |id: &BlobId| format!("http://{}/ws/v1/cluster/blobs/{id}", cluster.address);
    let id = BlobId::of(&content);
    assert_eq!(cluster.http.head(url(&id)).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let wrong = cluster.http.put(url(&BlobId::of(b"other"))).body(content.clone()).send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
    let put = cluster.http.put(url(&id)).body(content.clone()).send().await.unwrap();
    assert_eq!(put.status(), StatusCode::CREATED);
    let head = cluster.http.head(url(&id)).send().await.unwrap();
    assert_eq!((head.status(), head.headers()["content-length"].to_str().unwrap()), (StatusCode::OK, "300000"));
    let got = cluster.http.get(url(&id)).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(got, content);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_with_a_secret_admits_those_who_know_it() {
    let dir = TempDir::new().unwrap();
    let mut config = config(dir.path());
    config.secret = ClusterSecret::new("open sesame");
    let cluster = Cluster::with(config).await;
    let url = format!("http://{}/ws/v1/cluster/apps/new-application?user.name=alice", cluster.address);
    assert_eq!(cluster.http.post(&url).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let shown = cluster.http.post(&url).header("x-flott-secret", "open sesame");
    assert_eq!(shown.send().await.unwrap().status(), StatusCode::OK);
    assert!(cluster.get("/apps").await.is_object(), "reading is free");

    let mut stranger = FakeNode::join(&cluster, 1024, Vec::new(), None);
    let LinkEvent::Refused(refusal) = stranger.next().await else { panic!("a refusal") };
    assert_eq!(refusal.code, "forbidden");
    assert!(refusal.message.contains("shows no cluster secret"), "{refusal}");
    let mut friend = FakeNode::join(&cluster, 1024, Vec::new(), Some("open sesame"));
    assert!(matches!(friend.next().await, LinkEvent::Opened { .. }));
    friend.leave().await;
    stranger.leave().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_of_foreign_pages_are_refused() {
    let dir = TempDir::new().unwrap();
    let cluster = Cluster::start(dir.path()).await;
    let url = format!("http://{}/ws/v1/cluster/apps/new-application?user.name=alice", cluster.address);
    let post = |origin: String| cluster.http.post(&url).header("Origin", origin).send();
    assert_eq!(post("http://evil.example".to_owned()).await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(post("null".to_owned()).await.unwrap().status(), StatusCode::FORBIDDEN);
    assert_eq!(post(format!("http://{}", cluster.address)).await.unwrap().status(), StatusCode::OK);
    let read = cluster.http.get(format!("http://{}/ws/v1/cluster/apps", cluster.address));
    let read = read.header("Origin", "http://evil.example").send().await.unwrap();
    assert_eq!(read.headers()["access-control-allow-origin"], "*");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_passes_requests_and_streams_to_the_master() {
    use axum::routing::{get, post};
    let dir = TempDir::new().unwrap();
    let cluster = Cluster::start(dir.path()).await;
    let ui = Server::bind("127.0.0.1", 0).unwrap();
    let ui_address = ui.local_addr();
    let router = axum::Router::new()
        .route("/", get(async || "front page"))
        .route("/jobs", get(async |uri: axum::http::Uri| uri.to_string()))
        .route("/echo", post(async |body: String| body))
        .route("/moved", get(async || axum::response::Redirect::temporary("/jobs")));
    let stop = CancellationToken::new();
    let (mut tasks, serving) = (JoinSet::new(), stop.clone());
    tasks.spawn(async move { ui.serve(router, serving).await.unwrap() });

    let id = cluster.submit(|_| {}).await;
    let base = format!("http://{}/proxy/{id}", cluster.address);
    let waiting = cluster.http.get(format!("{base}/")).send().await.unwrap();
    assert_eq!(waiting.status(), StatusCode::NOT_FOUND);
    assert!(waiting.text().await.unwrap().contains("no node registered"));
    let mut node = FakeNode::join(&cluster, 1024, Vec::new(), None);
    let (claim, amrm) = node.start_container().await;
    node.report(&claim, ContainerState::Running, None);
    let register = json!({
        "attempt": claim.container.attempt, "token": amrm, "host": "n1", "rpc_port": 0,
        "tracking_url": format!("http://{ui_address}"),
    });
    assert_eq!(cluster.post("/application-master/register", register).await.0, StatusCode::OK);

    let text = async |path: &str| cluster.http.get(format!("{base}{path}")).send().await.unwrap().text().await.unwrap();
    assert_eq!(text("").await, "front page");
    assert_eq!(text("/jobs?a=1").await, "/jobs?a=1");
    assert_eq!(text("/moved").await, "/jobs", "a redirect stays behind the proxy");
    let echo = cluster.http.post(format!("{base}/echo")).body("x".repeat(100_000)).send().await.unwrap();
    assert_eq!(echo.text().await.unwrap().len(), 100_000);
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    node.leave().await;
    cluster.stop().await;
}
