//! Jobs of applications that have ended, from their archives.

use std::fs;

use super::*;
use crate::ids::JobId;
use crate::protocol::history::{ArchivedAnswer, JobArchive};
use crate::storage::History;

const JOB: JobId = JobId(0xA1);

fn line(job: JobId, state: &str) -> Value {
    json!({
        "jid": job, "name": "word count", "state": state, "start-time": 1, "end-time": 5, "duration": 4,
        "last-modification": 5, "tasks": { "total": 2, "finished": 2, "failed": 0 },
    })
}

fn archive(job: JobId, overview: &Value) -> Vec<u8> {
    let answer = |path: String, json: Value| ArchivedAnswer { path, json: json.to_string() };
    let answers = vec![
        answer("/jobs/overview".to_owned(), json!({ "jobs": [overview] })),
        answer(format!("/live/jobs/{job}"), json!({ "now": 5, "view": { "failure": "no such file" } })),
        answer(format!("/jobs/{job}"), json!({ "jid": job, "state": "FAILED" })),
        ArchivedAnswer { path: format!("/jobs/{job}/plan"), json: "<script>".to_owned() },
    ];
    JobArchive::new(job, answers).to_json()
}

/// A cluster, and an application of it that has ended.
async fn with_ended_application(dir: &Path) -> (Cluster, ApplicationId) {
    let cluster = Cluster::start(dir).await;
    let id = cluster.submit(|_| {}).await;
    let state = format!("/ws/v1/cluster/apps/{id}/state?user.name=alice");
    cluster.send(Method::PUT, &state, Some(json!({ "state": "KILLED" }))).await;
    cluster.app_when(&id, |app| app["state"] == "KILLED").await;
    (cluster, id.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_applications_jobs_are_listed_and_shown_in_its_place() {
    let dir = TempDir::new().unwrap();
    let (cluster, id) = with_ended_application(dir.path()).await;
    let proxied = async |method: Method, path: &str| cluster.send(method, &format!("/proxy/{id}/{path}"), None).await;
    let (status, body) = proxied(Method::GET, "jobs/overview").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.to_string().contains("it has ended, and archived no job"), "{body}");

    let history = History::new(dir.path().join("history"));
    history.put(id, JOB, &archive(JOB, &line(JOB, "FAILED"))).unwrap();
    let (status, listed) = proxied(Method::GET, "v1/jobs/overview").await;
    assert_eq!((status, listed), (StatusCode::OK, json!({ "jobs": [line(JOB, "FAILED")] })));
    let all = cluster.get("/history").await;
    assert_eq!(all["jobs"][0]["application"], id.to_string());
    assert_eq!(cluster.get(&format!("/history?job={}", JobId(1))).await["jobs"], json!([]));
    let (_, live) = proxied(Method::GET, "live/cluster").await;
    let job = json!({ "jid": JOB, "name": "word count", "state": "FAILED", "start": 1, "end": 5,
        "tasks": { "FINISHED": 2 }, "why": "no such file" });
    assert_eq!(live["view"]["jobs"], json!([job]));
    assert_eq!(live["view"]["overview"]["jobs-failed"], 1);
    assert_eq!(
        proxied(Method::GET, &format!("jobs/{JOB}")).await,
        (StatusCode::OK, json!({ "jid": JOB, "state": "FAILED" }))
    );
    assert_eq!(proxied(Method::GET, "config").await.1["features"]["web-history"], true);

    let page = cluster.http.get(format!("http://{}/proxy/{id}/", cluster.address)).send().await.unwrap();
    assert!(page.headers().contains_key("content-security-policy"));
    assert!(page.text().await.unwrap().contains("assets/jobmanager/main.js"));
    assert_eq!(proxied(Method::GET, "assets/app.css").await.0, StatusCode::OK);

    let (status, body) = proxied(Method::PATCH, &format!("jobs/{JOB}?mode=cancel")).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(body["errors"][0].as_str().unwrap().contains("has ended: FAILED"), "{body}");
    for path in [format!("jobs/{}", JobId(1)), format!("jobs/{JOB}/nothing"), "jars".to_owned()] {
        assert_eq!(proxied(Method::GET, &path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    // The ResourceManager has forgotten the application, and the archive is there.
    let forgotten = ApplicationId { sequence: 99, ..id };
    history.put(forgotten, JOB, &archive(JOB, &line(JOB, "FAILED"))).unwrap();
    let (status, _) = cluster.send(Method::GET, &format!("/proxy/{forgotten}/jobs/{JOB}"), None).await;
    assert_eq!(status, StatusCode::OK);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_archives_are_refused_and_hide_no_other() {
    let dir = TempDir::new().unwrap();
    let (cluster, id) = with_ended_application(dir.path()).await;
    let history = History::new(dir.path().join("history"));
    history.put(id, JOB, &archive(JOB, &line(JOB, "FINISHED"))).unwrap();
    let hostile: Vec<(JobId, Vec<u8>)> = vec![
        (JobId(1), b"{".to_vec()),
        (JobId(2), archive(JobId(3), &line(JobId(3), "FINISHED"))),
        (JobId(4), br#"{"version":9}"#.to_vec()),
        (JobId(5), vec![b'['; 1 << 20]),
        // Their lists lie: another job's line, a job that runs, keys of wrong types.
        (JobId(6), archive(JobId(6), &line(JOB, "FINISHED"))),
        (JobId(7), archive(JobId(7), &line(JobId(7), "RUNNING"))),
        (JobId(8), archive(JobId(8), &json!({ "jid": JobId(8), "name": ["<b>"], "state": "FINISHED" }))),
    ];
    for (job, bytes) in &hostile {
        history.put(id, *job, bytes).unwrap();
    }
    let secret = dir.path().join("secret.json");
    fs::write(&secret, archive(JobId(9), &line(JobId(9), "FINISHED"))).unwrap();
    let link = dir.path().join("history").join(id.to_string()).join(format!("{}.json", JobId(9)));
    std::os::unix::fs::symlink(&secret, link).unwrap();

    assert_eq!(cluster.get("/history").await["jobs"].as_array().unwrap().len(), 1);
    for (job, why) in [(JobId(4), "has version 9"), (JobId(7), "does not say what became of it")] {
        let path = format!("/ws/v1/cluster/history?job={job}");
        let (status, body) = cluster.send(Method::GET, &path, None).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(body.to_string().contains(why), "{body}");
    }
    let get = async |path: String| cluster.send(Method::GET, &path, None).await;
    for job in [1, 2, 4, 5, 9].map(JobId) {
        let (status, body) = get(format!("/proxy/{id}/jobs/{job}")).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{job}");
        assert!(body["errors"][0].is_string(), "{body}");
    }
    let (status, body) = get(format!("/proxy/{id}/jobs/{JOB}/plan")).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "no JSON, so nobody is sent it: {body}");
    for path in ["jobs/..%2f..%2fsecret", "assets/..%2f..%2fetc%2fpasswd"] {
        assert_eq!(get(format!("/proxy/{id}/{path}")).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(get("/proxy/..%2f..%2fetc/jobs/overview".to_owned()).await.0, StatusCode::BAD_REQUEST);
    let answer = cluster.http.get(format!("http://{}/proxy/{id}/jobs/{JOB}", cluster.address)).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/json; charset=UTF-8");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    cluster.stop().await;
}
