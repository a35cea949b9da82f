//! Requests of strangers, and requests that nobody in his right mind would send.

use std::fs;

use axum::http::header::AUTHORIZATION;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// Sends `request` as it is and gives what comes back until the connection closes.
async fn raw(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may have refused, and closed, before all of it is sent.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn oversized_and_malformed_requests_are_refused_in_flinks_form() {
    let cluster = Standalone::start();
    let large = json!({ "programArgs": "x".repeat(3 << 20) });
    let (status, answer) = cluster.post("/jars/any/run", large).await;
    assert_eq!(
        (status, &answer),
        (413, &json!({ "errors": ["the body is larger than the 2 MB that are taken here"] }))
    );
    let job = "0".repeat(32);
    let malformed = cluster.http.post(format!("http://{}/jobs/{job}/savepoints", cluster.address)).body("{\"a\":");
    let (status, answer) = cluster.send(malformed).await;
    assert_eq!(status, 400);
    assert!(answer["errors"][0].as_str().unwrap().contains("EOF"), "{answer}");

    let head = |lines: &str| format!("GET /config HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{lines}\r\n");
    let many = "x-a: b\r\n".repeat(200);
    assert!(raw(&cluster.address, head(&many).as_bytes()).await.starts_with("HTTP/1.1 431 "));
    let long = format!("x-a: {}\r\n", "b".repeat(1 << 20));
    assert!(raw(&cluster.address, head(&long).as_bytes()).await.starts_with("HTTP/1.1 431 "));
    assert!(raw(&cluster.address, b"\x16\x03\x01\x02\x00\x01\x00\xff").await.starts_with("HTTP/1.1 400 "));
    assert!(raw(&cluster.address, b"GET /\r\n\r\n").await.starts_with("HTTP/1.1 400 "));
    let both = b"POST /jars/x/run HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\nxyz\r\n";
    assert!(raw(&cluster.address, both).await.starts_with("HTTP/1.1 400 "), "no request is smuggled behind another");
    cluster.stop().await;
}

#[tokio::test]
async fn paths_lead_nowhere_else() {
    let mut cluster = Standalone::start();
    cluster.task_manager(Behaviour::Run);
    let secret = cluster.dir.path().join("outside.txt");
    fs::write(&secret, "outside").unwrap();
    let inside = secret.to_str().unwrap();
    let paths = [
        "/jobmanager/logs/..%2Foutside.txt".to_owned(),
        "/jobmanager/logs/../outside.txt".to_owned(),
        "/taskmanagers/tm-1/logs/..%2F..%2Foutside.txt".to_owned(),
        "/taskmanagers/..%2F..%2Fx/log".to_owned(),
        "/blobs/..%2Foutside.txt".to_owned(),
        "/assets/../../outside.txt".to_owned(),
        format!("/assets/{inside}"),
        format!("/jobmanager/logs/{}", inside.replace('/', "%2F")),
    ];
    for path in paths {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = raw(&cluster.address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 404 ") && !answer.contains("outside\n"), "{path}: {answer}");
        assert!(!answer.ends_with("outside"), "{path}: {answer}");
    }
    cluster.stop().await;
}

#[tokio::test]
async fn uploads_are_bounded_in_size_and_count() {
    let cluster = Standalone::start_with(&[("rest.server.max-content-length", "1000"), ("web.upload.max-count", "1")]);
    let upload = async |bytes: usize| {
        let body = format!(
            "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"p\"\r\n\r\n{}\r\n--B--\r\n",
            "x".repeat(bytes)
        );
        let request = cluster.http.post(format!("http://{}/jars/upload", cluster.address));
        cluster.send(request.header("content-type", "multipart/form-data; boundary=B").body(body)).await
    };
    let (status, answer) = upload(1001).await;
    assert_eq!(status, 413, "{answer}");
    assert!(answer["errors"][0].as_str().unwrap().contains("rest.server.max-content-length"), "{answer}");
    assert_eq!(upload(1000).await.0, 200);
    let (status, answer) = upload(10).await;
    assert_eq!(status, 507, "{answer}");
    assert!(answer["errors"][0].as_str().unwrap().contains("delete one first"), "{answer}");
    cluster.stop().await;
}

#[tokio::test]
async fn where_there_are_tokens_each_opens_what_it_is_for() {
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, token: &str| {
        let path = files.path().join(name);
        fs::write(&path, token).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (admin, reader) = (file("admin", "a-token-of-an-admin\n"), file("read", "a-token-of-a-reader\n"));
    let keys = [("security.token.admin.file", admin.as_str()), ("security.token.read.file", reader.as_str())];
    let cluster = Standalone::start_with(&keys);
    let ask = async |method: &str, path: &str, token: Option<&str>| {
        let method = method.parse().unwrap();
        let mut request = cluster.http.request(method, format!("http://{}{path}", cluster.address));
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        cluster.send(request).await
    };
    let (admin, reader, nobody) = (Some("a-token-of-an-admin"), Some("a-token-of-a-reader"), Some("a-token-of-nobody"));
    for stranger in [None, nobody, Some("")] {
        let (status, answer) = ask("GET", "/v1/jobs/overview", stranger).await;
        assert_eq!(status, 401);
        assert!(answer["errors"][0].as_str().unwrap().contains("--token-file"), "{answer}");
    }
    assert_eq!(ask("GET", "/jobs/overview", reader).await.0, 200);
    let (status, answer) = ask("POST", "/jars/upload", reader).await;
    assert_eq!((status, answer["errors"][0].as_str().unwrap().contains("not to change")), (403, true), "{answer}");
    let cancel = format!("/jobs/{}/yarn-cancel", "0".repeat(32));
    assert_eq!(ask("GET", &cancel, reader).await.0, 403);
    assert_eq!(ask("GET", &cancel, admin).await.0, 404, "there is no such job");
    let (_, config) = ask("GET", "/jobmanager/config", admin).await;
    assert!(!config.to_string().contains("a-token-of"), "{config}");
    cluster.stop().await;
}
