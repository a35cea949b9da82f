use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::nodemanager::testing::{Cluster, container, shell};
use crate::rpc::http::{Client, Server};

struct Node {
    cluster: Cluster,
    client: Client,
    _tasks: JoinSet<()>,
}

async fn node() -> Node {
    let cluster = Cluster::new().await;
    let server = Server::bind("127.0.0.1", 0).unwrap();
    let client = Client::new(&server.local_addr().to_string()).with_deadline(Duration::from_secs(30));
    let served = server.serve(router(cluster.handle()), CancellationToken::new());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { served.await.unwrap() });
    Node { cluster, client, _tasks: tasks }
}

impl Node {
    async fn get(&self, path: &str) -> Value {
        self.client.get(&format!("/ws/v1/node{path}")).await.unwrap()
    }

    async fn text(&self, path: &str) -> String {
        self.client.get_text(&format!("/ws/v1/node{path}")).await.unwrap()
    }
}

#[tokio::test]
async fn a_master_starts_and_stops_containers_by_token() {
    let mut node = node().await;
    let request = node.cluster.request(1, shell("echo hello; sleep 600"));
    let started: Started = node.client.post(CONTAINERS_PATH, &request).await.unwrap();
    assert_eq!(started.container, container(1));
    let again = node.client.post::<_, Started>(CONTAINERS_PATH, &request).await.unwrap_err();
    assert_eq!(again.status(), Some(409), "{again}");
    let mut forged = node.cluster.request(2, shell("true"));
    forged.token.password[0] ^= 1;
    let refusal = node.client.post::<_, Started>(CONTAINERS_PATH, &forged).await.unwrap_err();
    assert_eq!(refusal.status(), Some(403), "{refusal}");
    assert!(refusal.to_string().contains("not signed by this cluster's key"), "{refusal}");
    node.cluster.running(1).await;

    let stop = StopContainers { tokens: vec![request.token] };
    let stopped: Value = node.client.post(&format!("{CONTAINERS_PATH}/stop"), &stop).await.unwrap();
    assert_eq!(stopped["containers"][0], container(1).to_string());
    node.cluster.exit(1).await;
    let shown = node.get(&format!("/containers/{}", container(1))).await;
    assert_eq!(shown["container"]["state"], "DONE");
    assert_eq!(shown["container"]["exitCode"], -105);
    // The container's shell may have had time to say `Terminated`, which stands behind the cause.
    let diagnostics = shown["container"]["diagnostics"].as_str().unwrap();
    assert_eq!(diagnostics.lines().next(), Some("stopped by the application's master"));
}

#[tokio::test]
async fn views_have_yarns_keys() {
    let mut node = node().await;
    assert_eq!(node.get("/apps").await, serde_json::json!({ "apps": {} }));
    assert_eq!(node.get("/containers").await, serde_json::json!({ "containers": {} }));
    node.cluster.start(1, shell("sleep 600"));
    node.cluster.running(1).await;
    for path in ["", "/info"] {
        let info = &node.get(path).await["nodeInfo"];
        assert_eq!(info["id"], "127.0.0.1:4242");
        assert_eq!((&info["nodeHealthy"], &info["totalPmemAllocatedContainersMB"]), (&true.into(), &512.into()));
    }
    let applications = node.get("/apps?user=alice&state=running").await;
    assert_eq!(applications["apps"]["app"][0]["containerids"][0], container(1).to_string());
    assert_eq!(node.get("/apps?user=bob").await, serde_json::json!({ "apps": {} }));
    let listed = node.get("/containers").await;
    let shown = &listed["containers"]["container"][0];
    assert_eq!((&shown["state"], &shown["exitCode"]), (&"RUNNING".into(), &(-1000).into()));
    assert_eq!((&shown["user"], &shown["totalMemoryNeededMB"]), (&"alice".into(), &512.into()));
    let missing = node.client.get_text(&format!("/ws/v1/node/containers/{}", container(9))).await.unwrap_err();
    assert_eq!(missing.status(), Some(404), "{missing}");
    let nonsense = node.client.get_text("/ws/v1/node/containers/nonsense").await.unwrap_err();
    assert_eq!(nonsense.status(), Some(400), "{nonsense}");
}

#[tokio::test]
async fn logs_are_listed_read_by_ranges_and_followed_to_their_end() {
    let mut node = node().await;
    let gate = node.cluster.dir.path().join("gate");
    let script = format!("echo first; while [ ! -e {} ]; do sleep 0.02; done; echo second", gate.display());
    node.cluster.start(1, shell(&script));
    node.cluster.poll(|cluster| cluster.log(1, "stdout") == "first\n").await;
    let id = container(1);
    let listed = node.get(&format!("/containers/{id}/logs")).await;
    let files = listed["containerLogsInfo"]["containerLogInfo"].as_array().unwrap().clone();
    let names: Vec<_> = files.iter().map(|file| file["fileName"].as_str().unwrap()).collect();
    assert_eq!(names, ["prelaunch.err", "prelaunch.out", "stderr", "stdout"]);
    assert_eq!(files[3]["fileSize"], "6");

    let followed = node.client.clone();
    let path = format!("/ws/v1/node/containerlogs/{id}/stdout?follow=true");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { followed.get_text(&path).await.unwrap() });
    std::fs::write(gate, "").unwrap();
    node.cluster.exit(1).await;
    assert_eq!(tasks.join_next().await.unwrap().unwrap(), "first\nsecond\n");

    assert_eq!(node.text(&format!("/containerlogs/{id}/stdout?start=-4")).await, "ond\n");
    assert_eq!(node.text(&format!("/containerlogs/{id}/stdout?start=2&end=5")).await, "rst");
    assert_eq!(node.text(&format!("/containers/{id}/logs/stdout?size=-7")).await, "second\n");
    for outside in ["..%2F..%2F..%2Fstate%2Fdb", "nothing"] {
        let refusal = node.client.get_text(&format!("/ws/v1/node/containerlogs/{id}/{outside}")).await.unwrap_err();
        assert!(matches!(refusal.status(), Some(400 | 404)), "{refusal}");
    }
}
