use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::rpc::http::{Client, Server};
use crate::taskmanager::testing::{Supervised, job};

#[tokio::test]
async fn what_workers_write_is_served_merged_and_by_job() {
    let mut it = Supervised::new().await;
    let server = Server::bind("127.0.0.1", 0).unwrap();
    let client = Client::new(&server.local_addr().to_string()).with_deadline(Duration::from_secs(30));
    let served = server.serve(router(it.handle()), CancellationToken::new());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { served.await.unwrap() });

    it.start(1, "echo one; echo two; echo oops >&2; read line");
    it.poll(|it| it.log("workers.out") == "one\ntwo\n" && it.log("workers.err") == "oops\n").await;
    assert_eq!(client.get_text("/stdout").await.unwrap(), "one\ntwo\n");
    assert_eq!(client.get_text("/stdout?start=-4").await.unwrap(), "two\n");
    assert_eq!(client.get_text("/stderr?start=1&end=3").await.unwrap(), "op");
    assert_eq!(client.get_text(&format!("/logs/{}.out", job(1))).await.unwrap(), "one\ntwo\n");
    let listed: serde_json::Value = client.get("/logs").await.unwrap();
    let names: Vec<_> = listed["logs"].as_array().unwrap().iter().map(|log| log["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"workers.out"), "{names:?}");
    let workers: serde_json::Value = client.get("/workers").await.unwrap();
    assert_eq!(workers["workers"][0]["state"], "running");
    for missing in ["/logs/none", "/logs/..%2Fsecret"] {
        let refusal = client.get_text(missing).await.unwrap_err();
        assert!(matches!(refusal.status(), Some(400 | 404)), "{refusal}");
    }
    // Without one of its own it would serve the file that its error output goes to, which is the test runner's matter.
    std::fs::write(it.handle().logs().join("taskmanager.err"), "started\n").unwrap();
    assert_eq!(client.get_text("/log").await.unwrap(), "started\n");
}
