//! The API against recorded answers of a real Flink, and over HTTP against a running JobManager.

mod contract;
mod exposition;
mod hostile;
mod large;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::Query;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{router, view};
use crate::config::Origin;
use crate::graph::accumulator::{AccumulatorResult, AccumulatorValue, Number};
use crate::graph::job_graph::{self, JobGraph};
use crate::graph::plan::Plan;
use crate::graph::task::{ExecutionState, Failure};
use crate::ids::{ExecutionAttemptId, JobId, TaskManagerId, WorkerId};
use crate::jobmanager::Setup;
use crate::jobmanager::core::{Core, Settings};
use crate::jobmanager::event::{Event, Prepared};
use crate::jobmanager::fakes::{self, Behaviour};
use crate::jobmanager::job_master::{CheckpointSettings, RestartStrategy, tests::plan};
use crate::protocol::task_manager::Register;
use crate::protocol::worker;
use crate::rpc::http::Server;
use crate::time::Now;

pub(super) const JOB: JobId = JobId(7);

/// A JobManager with one TaskManager and one running job, and one that could not be planned.
pub(super) fn core() -> Core {
    core_of(2)
}

fn worker_id() -> WorkerId {
    WorkerId { task_manager: TaskManagerId("tm-1".to_owned()), job: JOB, incarnation: 1 }
}

/// The same with as many subtasks of each vertex, of which the first runs.
fn core_of(parallelism: u32) -> Core {
    core_with(&plan(parallelism), 2)
}

/// A JobManager with one TaskManager of `slots` and one running job after `plan`, and one that could not be planned.
fn core_with(plan: &Plan, slots: u32) -> Core {
    let settings = Settings {
        attempt: 1,
        job_manager: "jm:1".to_owned(),
        secret: "s".to_owned(),
        lost_after: Duration::from_secs(5),
        idle_after: Duration::from_secs(30),
        slot_timeout: Duration::from_secs(300),
        previous_worker_timeout: Duration::from_secs(3),
        containers: None,
        ended_jobs_max: 50,
        seed: 1,
    };
    let mut core = Core::new(settings);
    let graph = JobGraph::new(plan, job_graph::Settings { default_parallelism: 1, chaining: true }).unwrap();
    let vertex = graph.vertices[0].id;
    let prepared = Prepared {
        plan: plan.clone(),
        graph,
        configuration: [("parallelism.default".to_owned(), "2".to_owned())].into(),
        restart_strategy: RestartStrategy::None,
        cancel_timeout: Duration::from_secs(1),
        decision: None,
        checkpoints: CheckpointSettings::default(),
        restore: Vec::new(),
        requirements: None,
        recovery: None,
    };
    let worker = worker_id();
    let task_manager = Register { slots, ..fakes::register("tm-1", None, None) };
    let register = worker::Register {
        worker: worker.clone(),
        pid: 1,
        data_address: "h:9".to_owned(),
        plan_hash: plan.hash(),
        secret: "s".to_owned(),
    };
    let running = worker::ToJobManager::TaskState {
        attempt: ExecutionAttemptId { vertex, subtask: 0, attempt: 0 },
        state: ExecutionState::Running,
        failure: None,
        committables: Vec::new(),
        metrics: Default::default(),
    };
    let counted = AccumulatorResult { kind: "LongCounter".to_owned(), value: AccumulatorValue::Sum(Number::Long(5)) };
    let counted = worker::ToJobManager::Accumulators {
        attempt: ExecutionAttemptId { vertex, subtask: 0, attempt: 0 },
        accumulators: [("lines".to_owned(), counted)].into(),
    };
    let events = [
        Event::Submitted(Box::new(fakes::submission(JOB))),
        Event::Planned { job: JOB, prepared: Box::new(prepared) },
        Event::TaskManagerRegistered(Box::new(task_manager)),
        Event::WorkerRegistered(register),
        Event::Worker { worker: worker.clone(), message: running },
        Event::Worker { worker, message: counted },
        Event::Submitted(Box::new(fakes::submission(JobId(8)))),
        Event::PlanFailed { job: JobId(8), failure: Failure::user("no such luck") },
    ];
    for (event, at) in events.into_iter().zip(100..) {
        core.apply(event, Now(at), &mut Vec::new()).unwrap();
    }
    core
}

/// Every key of the recorded answer is in ours, with a value of the same kind.
fn check_shape(at: &str, recorded: &Value, ours: &Value) {
    match (recorded, ours) {
        (Value::Object(recorded), Value::Object(ours)) => {
            for (key, value) in recorded {
                let found = ours.get(key).unwrap_or_else(|| panic!("{at}.{key} is missing"));
                check_shape(&format!("{at}.{key}"), value, found);
            }
        }
        (Value::Array(recorded), Value::Array(ours)) => {
            if let (Some(recorded), Some(ours)) = (recorded.first(), ours.first()) {
                check_shape(&format!("{at}[0]"), recorded, ours);
            }
        }
        (Value::Number(recorded), Value::Number(ours)) => {
            assert_eq!(recorded.is_f64(), ours.is_f64(), "{at}: {recorded} and {ours}");
        }
        (Value::String(_), Value::String(_)) | (Value::Bool(_), Value::Bool(_)) | (Value::Null, _) => {}
        (recorded, ours) => panic!("{at}: recorded {recorded}, ours {ours}"),
    }
}

macro_rules! check {
    ($name:literal, $ours:expr) => {
        let recorded: Value = serde_json::from_str(include_str!(concat!("../golden/", $name, ".json"))).unwrap();
        check_shape($name, &recorded, &$ours);
    };
}

#[test]
fn views_have_every_key_that_flink_has() {
    let (core, now) = (core(), Now(1000));
    let job = core.job(JOB).unwrap();
    let vertex = 1;
    let id = TaskManagerId("tm-1".to_owned());
    check!("job", view::job(&core, job, now));
    check!("jobs_overview", json!({ "jobs": [view::job_overview(job, now)] }));
    check!("job_plan", json!({ "plan": view::plan(job) }));
    check!("job_config", view::job_config(job));
    check!("job_exceptions", view::exceptions(&core, job, 20));
    check!("vertex", view::vertex(&core, job, vertex, now).unwrap());
    check!("vertex_taskmanagers", view::vertex_task_managers(&core, job, vertex, now).unwrap());
    check!("vertex_subtasktimes", view::vertex_times(&core, job, vertex, now).unwrap());
    check!("taskmanagers", json!({ "taskmanagers": [view::task_manager(&core, &id, now)] }));
    check!("taskmanager", view::task_manager_details(&core, &id, now));
}

#[test]
fn accumulators_are_told_of_the_job_its_vertices_and_subtasks() {
    let core = core();
    let job = core.job(JOB).unwrap();
    check!("job_accumulators", view::accumulators(job));
    let lines = json!([{ "name": "lines", "type": "LongCounter", "value": "5" }]);
    assert_eq!(view::accumulators(job)["user-task-accumulators"], lines);
    assert_eq!(view::job(&core, job, Now(1000))["accumulators"], lines);
    let vertices = [0, 1].map(|index| view::vertex_accumulators(job, index).unwrap()["user-accumulators"].clone());
    assert_eq!(vertices, [lines.clone(), json!([])]);
    let subtasks = view::subtask_accumulators(&core, job, 0).unwrap();
    assert_eq!((&subtasks["parallelism"], &subtasks["subtasks"][0]["user-accumulators"]), (&json!(2), &lines));
    assert_eq!(
        subtasks["subtasks"][1],
        json!({
            "subtask": 1, "attempt": 0, "endpoint": "h:9", "user-accumulators": [],
        })
    );
}

#[test]
fn what_is_unknown_is_minus_one_and_what_never_was_is_zero() {
    let (core, now) = (core(), Now(1000));
    let job = view::job(&core, core.job(JOB).unwrap(), now);
    assert_eq!((&job["end-time"], &job["duration"], &job["start-time"]), (&json!(-1), &json!(900), &json!(100)));
    assert_eq!((&job["timestamps"]["FAILED"], &job["timestamps"]["RUNNING"]), (&json!(0), &json!(103)));
    assert_eq!(job["vertices"][0]["status"], "RUNNING");
    assert_eq!(job["vertices"][0]["tasks"]["DEPLOYING"], 1);
    assert_eq!(job["plan"]["nodes"][1]["inputs"][0]["ship_strategy"], "HASH");
    let failed = core.job(JobId(8)).unwrap();
    let result = view::execution_result(failed, now);
    assert_eq!(result["job-execution-result"]["failure-cause"]["stack-trace"], "no such luck");
    let exceptions = view::exceptions(&core, failed, 20);
    assert_eq!(exceptions["exceptionHistory"]["entries"][0]["stacktrace"], "no such luck");
    assert_eq!(exceptions["root-exception"], "no such luck");
}

fn answers_of_a_task_manager() -> Router {
    let usage = json!({ "process": { "rssBytes": 5, "cpuMs": 3 }, "workersRssBytes": 7 });
    let logs = json!({ "logs": [{ "name": "taskmanager.out", "size": 2, "mtime": 1 }] });
    let threads = json!([{ "name": "main", "id": 1, "state": "S", "cpuMs": 2 }]);
    let text = |Query(range): Query<BTreeMap<String, i64>>| async move { format!("{range:?}") };
    Router::new()
        .route("/usage", get(Json(usage)))
        .route("/logs", get(Json(logs)))
        .route("/threads", get(Json(threads)))
        .route("/stdout", get(text))
}

/// A standalone JobManager over HTTP.
struct Standalone {
    address: String,
    http: reqwest::Client,
    tasks: JoinSet<()>,
    cancel: CancellationToken,
    dir: tempfile::TempDir,
}

impl Standalone {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut configuration = fakes::configuration(dir.path());
        for (key, value) in settings {
            configuration.set(key, value, Origin::CommandLine).unwrap();
        }
        let setup = Setup::from_variables(configuration, |_| None).unwrap();
        let server = Server::bind("127.0.0.1", 0).unwrap();
        let address = server.local_addr();
        let (service, handle) = setup.start(address, None).unwrap();
        let (mut tasks, cancel) = (JoinSet::new(), CancellationToken::new());
        let routes = super::guard(&handle, service.links().merge(router(handle.clone())));
        let (serving, running) = (cancel.child_token(), cancel.child_token());
        tasks.spawn(async move { server.serve(routes, serving).await.unwrap() });
        tasks.spawn(async move { service.run(running).await.unwrap() });
        let http = reqwest::Client::builder()
            .no_proxy()
            .tls_backend_preconfigured(crate::rpc::Tls::OFF.request_config())
            .build()
            .unwrap();
        Self { address: address.to_string(), http, tasks, cancel, dir }
    }

    fn task_manager(&mut self, behaviour: Behaviour) -> CancellationToken {
        let cancel = self.cancel.child_token();
        let mut hello = fakes::register("tm-1", None, None);
        let http = Server::bind("127.0.0.1", 0).unwrap();
        hello.http_address = http.local_addr().to_string();
        let serving = cancel.clone();
        self.tasks.spawn(async move { http.serve(answers_of_a_task_manager(), serving).await.unwrap() });
        self.tasks.spawn(fakes::task_manager(self.address.clone(), hello, behaviour, cancel.clone()));
        cancel
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let answer = request.timeout(Duration::from_secs(60)).send().await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.text().await.unwrap();
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.send(self.http.get(format!("http://{}{path}", self.address))).await
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(self.http.post(format!("http://{}{path}", self.address)).body(body.to_string())).await
    }

    /// Uploads as Flink's Java client does; returns the jar's id.
    async fn upload(&self, content: &str) -> String {
        let body = format!(
            "--B\r\nContent-Disposition: form-data; name=\"request\"\r\n\r\n{{}}\r\n--B\r\nContent-Disposition: form-data; \
             name=\"file_0\"; filename=\"count.jar\"\r\nContent-Type: application/java-archive\r\n\r\n{content}\r\n--B--\r\n"
        );
        let request = self
            .http
            .post(format!("http://{}/jars/upload", self.address))
            .header("content-type", "multipart/form-data; boundary=B")
            .body(body);
        let (status, answer) = self.send(request).await;
        assert_eq!((status, &answer["status"]), (200, &json!("success")), "{answer}");
        answer["filename"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    }

    /// Waits, as clients do, until the job is in a status.
    async fn until(&self, job: &str, wanted: &str) -> Value {
        let mut version = 0;
        loop {
            let (status, answer) = self.get(&format!("/jobs/{job}?wait_ms=30000&since={version}")).await;
            assert_eq!(status, 200, "{answer}");
            if answer["state"] == wanted {
                return answer;
            }
            let now = answer["version"].as_u64().unwrap();
            assert!(now > version, "no news within 30 s, it is {}", answer["state"]);
            version = now;
        }
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.tasks.join_all().await;
    }
}

#[tokio::test]
async fn a_program_is_uploaded_run_and_looked_at_as_with_flink() {
    let mut cluster = Standalone::start();
    let jar = cluster.upload(&fakes::program(&plan(2))).await;
    let (_, listed) = cluster.get("/v1/jars").await;
    check!("jars", listed);
    assert_eq!(listed["files"][0]["id"], json!(jar));

    let wanted = JobId(0xabc).to_string();
    let (status, run) = cluster.post(&format!("/jars/{jar}/run"), json!({ "jobId": wanted, "parallelism": "2" })).await;
    assert_eq!((status, &run["jobid"]), (200, &json!(wanted)), "{run}");
    let (_, waiting) = cluster.get(&format!("/jobs/{wanted}")).await;
    let why = waiting["waiting-reason"].as_str().unwrap();
    assert!(why.starts_with("needs 2 slots, 0 TaskManagers offer 0; start more with flott taskmanager"), "{why}");

    cluster.task_manager(Behaviour::Finish);
    let details = cluster.until(&wanted, "FINISHED").await;
    assert_eq!(details["vertices"][0]["tasks"]["FINISHED"], 2);
    let (_, result) = cluster.get(&format!("/v1/jobs/{wanted}/execution-result")).await;
    assert_eq!(result["job-execution-result"]["application-status"], "SUCCEEDED");
    check!("config", cluster.get("/config").await.1);
    check!("overview", cluster.get("/v1/overview").await.1);
    check!("jobs", cluster.get("/jobs").await.1);

    let cancelled =
        cluster.send(cluster.http.patch(format!("http://{}/jobs/{wanted}?mode=cancel", cluster.address))).await;
    assert_eq!(cancelled.0, 409, "{cancelled:?}");
    let (status, unknown) = cluster.get(&format!("/jobs/{}", JobId(1))).await;
    assert_eq!(status, 404);
    assert_eq!(unknown.as_object().unwrap().len(), 1);
    assert!(unknown["errors"][0].as_str().unwrap().contains("NotFoundException: Job "), "{unknown}");
    assert_eq!(cluster.get("/nope").await, (404, json!({ "errors": ["Unable to load requested file /nope."] })));
    assert_eq!(cluster.get("/jobs/xyz").await.0, 400);
    cluster.stop().await;
}

#[tokio::test]
async fn a_program_that_cannot_be_planned_is_refused_with_its_cause() {
    let cluster = Standalone::start();
    let jar = cluster.upload("#!/bin/sh\nexit 0\n").await;
    let (status, refused) = cluster.post(&format!("/jars/{jar}/run"), json!({})).await;
    assert_eq!(status, 400);
    assert!(refused["errors"][0].as_str().unwrap().starts_with("the program ended without calling env.execute"));
    let (status, unknown) = cluster.post("/jars/none/run", json!({})).await;
    assert_eq!((status, unknown), (404, json!({ "errors": ["Jar file none does not exist"] })));
    cluster.stop().await;
}

#[tokio::test]
async fn a_running_job_is_cancelled_by_the_dashboards_get_but_not_from_a_strange_page() {
    let mut cluster = Standalone::start();
    cluster.task_manager(Behaviour::Run);
    let jar = cluster.upload(&fakes::program(&plan(1))).await;
    let (_, run) = cluster.post(&format!("/jars/{jar}/run"), json!({})).await;
    let job = run["jobid"].as_str().unwrap().to_owned();
    cluster.until(&job, "RUNNING").await;
    let url = format!("http://{}/jobs/{job}/yarn-cancel", cluster.address);
    let strange = cluster.send(cluster.http.get(&url).header("origin", "http://evil")).await;
    assert_eq!(strange.0, 403);
    assert_eq!(cluster.send(cluster.http.get(&url)).await, (202, json!({})));
    cluster.until(&job, "CANCELED").await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_lost_task_manager_fails_a_job_without_restart_strategy_and_says_so() {
    let mut cluster = Standalone::start();
    let task_manager = cluster.task_manager(Behaviour::Run);
    let jar = cluster.upload(&fakes::program(&plan(1))).await;
    let (_, run) = cluster.post(&format!("/jars/{jar}/run"), json!({})).await;
    let job = run["jobid"].as_str().unwrap().to_owned();
    cluster.until(&job, "RUNNING").await;
    task_manager.cancel();
    let failed = cluster.until(&job, "FAILED").await;
    let why = failed["progress"]["failure"].as_str().unwrap();
    assert!(why.contains("tm-1") && why.contains("restart-strategy.type is none"), "{why}");
    cluster.stop().await;
}

#[tokio::test]
async fn a_task_manager_is_asked_for_what_only_it_knows() {
    let mut cluster = Standalone::start();
    cluster.task_manager(Behaviour::Run);
    let jar = cluster.upload(&fakes::program(&plan(1))).await;
    let (_, run) = cluster.post(&format!("/jars/{jar}/run"), json!({})).await;
    cluster.until(run["jobid"].as_str().unwrap(), "RUNNING").await;
    let (_, metrics) = cluster.get("/taskmanagers/tm-1/metrics?get=Status.JVM.Memory.Heap.Used").await;
    assert_eq!(metrics[0]["value"], "12", "its own and its workers' memory");
    assert_eq!(cluster.get("/taskmanagers/tm-1").await.1["metrics"]["heapUsed"], 12);
    let asked = json!({ "start": -5, "end": -1 });
    assert_eq!(cluster.get("/taskmanagers/tm-1/stdout?start=-5&end=-1").await.1, asked);
    let (_, dump) = cluster.get("/taskmanagers/tm-1/thread-dump").await;
    assert_eq!(dump["threadInfos"][0]["stringifiedThreadInfo"], "\"main\" Id=1 sleeping, 2 ms of processor time\n");
    assert_eq!(cluster.get("/taskmanagers/gone/thread-dump").await.0, 404);
    assert_eq!(cluster.get("/taskmanagers/gone/metrics").await, (200, json!([])));
    cluster.stop().await;
}

#[tokio::test]
async fn an_uploaded_program_says_what_it_is_and_what_it_would_run() {
    let cluster = Standalone::start();
    let description = r#"{"name":"count","about":"Counts words.","args":[{"name":"input","long":"input","help":"What to read","default":null,"required":true,"takes_value":true,"possible_values":[]}]}"#;
    let program = fakes::program(&plan(3));
    let describing = format!(
        "#!/bin/sh\nif [ \"$FLOTT_INTERNAL_ROLE\" = describe ]; then echo hello; echo '{description}'; exit; fi\n{}",
        program.split_once('\n').unwrap().1
    );
    let jar = cluster.upload(&describing).await;
    let (_, listed) = cluster.get("/jars").await;
    let entry = &listed["files"][0]["entry"][0];
    assert_eq!((&entry["name"], &entry["description"]), (&json!("count"), &json!("Counts words.")));
    assert_eq!(entry["arguments"][0]["help"], "What to read");
    let (status, planned) = cluster.get(&format!("/jars/{jar}/plan?parallelism=3")).await;
    assert_eq!((status, &planned["plan"]["nodes"][0]["parallelism"]), (200, &json!(3)), "{planned}");
    assert_eq!(cluster.get("/jobs").await.1, json!({ "jobs": [] }), "nothing was started");
    let broken = cluster.upload("#!/bin/sh\nexit 0\n").await;
    let (status, refused) = cluster.post(&format!("/jars/{broken}/plan"), json!({})).await;
    assert_eq!(status, 400);
    assert!(refused["errors"][0].as_str().unwrap().starts_with("the program ended without calling"), "{refused}");
    cluster.stop().await;
}

#[tokio::test]
async fn where_nothing_may_be_submitted_the_routes_for_it_are_absent() {
    let cluster = Standalone::start_with(&[("web.submit.enable", "false")]);
    assert_eq!(cluster.get("/config").await.1["features"]["web-submit"], false);
    assert_eq!(cluster.get("/jars").await.0, 404);
    for path in ["/jars/upload", "/v1/jars/x/run", "/jars/x/plan"] {
        assert_eq!(cluster.post(path, json!({})).await.0, 404, "{path}");
    }
    cluster.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_in_flinks_form() {
    let cluster = Standalone::start();
    let is_error = |body: &Value| body["errors"].is_array() && body.as_object().is_some_and(|body| body.len() == 1);
    for path in ["/jobs/0/exceptions?maxExceptions=many", "/jobmanager/logs/x", "/taskmanagers/none", "/jars/x/run"] {
        let (status, body) = cluster.get(path).await;
        assert!(status >= 400 && is_error(&body), "{path}: {status} {body}");
    }
    let (status, body) = cluster.post("/jars/upload", json!({})).await;
    assert!(status == 400 && is_error(&body), "{status} {body}");
    assert_eq!(cluster.get("/jobs/x/metrics").await, (200, json!([])));
    let (_, metrics) = cluster.get("/jobmanager/metrics?get=taskSlotsTotal,nope").await;
    assert_eq!(metrics, json!([{ "id": "taskSlotsTotal", "value": "0" }]));
    cluster.stop().await;
}
