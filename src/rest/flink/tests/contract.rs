//! Every route against the recorded answers of a real Flink, for jobs in every state: each key that Flink has is there, with a
//! value of the same kind. What is different on purpose stands in [`ACCEPTED`] with the reason; an entry that is not needed fails
//! the test, as does a list that is empty although Flink's was not.
//!
//! Not walked: checkpoints and backpressure, of which the workers of these tests make none.

use std::collections::BTreeSet;

use super::*;

/// A job in one of the states that it is looked at in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Running,
    Finished,
    Canceled,
    Failed,
    /// Its program could not be planned.
    Unplanned,
}

/// `:job` and `:vertex` are filled in; the file is the recorded answer.
const OF_A_JOB: &[(&str, &str)] = &[
    ("/jobs/:job", "job"),
    ("/jobs/:job", "job_v2_3"),
    ("/jobs/:job/status", "job_status"),
    ("/jobs/:job/plan", "job_plan"),
    ("/jobs/:job/config", "job_config"),
    ("/jobs/:job/exceptions", "job_exceptions"),
    ("/jobs/:job/accumulators", "job_accumulators"),
    ("/jobs/:job/execution-result", "job_exec_result_running"),
    ("/jobs/:job/metrics", "job_metrics"),
    ("/jobs/:job/jobmanager/config", "jobmanager_config"),
    ("/applications/:job", "application"),
    ("/applications/:job/exceptions", "application_exceptions"),
];

const OF_A_VERTEX: &[(&str, &str)] = &[
    ("/jobs/:job/vertices/:vertex", "vertex"),
    ("/jobs/:job/vertices/:vertex/taskmanagers", "vertex_taskmanagers"),
    ("/jobs/:job/vertices/:vertex/subtasktimes", "vertex_subtasktimes"),
    ("/jobs/:job/vertices/:vertex/accumulators", "vertex_accumulators"),
    ("/jobs/:job/vertices/:vertex/subtasks/accumulators", "vertex_subtasks_accumulators"),
    ("/jobs/:job/vertices/:vertex/subtasks/0", "vertex_subtask0"),
    ("/jobs/:job/vertices/:vertex/subtasks/0/attempts/0", "vertex_subtask0"),
    ("/jobs/:job/vertices/:vertex/watermarks", "vertex_watermarks"),
    ("/jobs/:job/vertices/:vertex/flamegraph", "vertex_flamegraph"),
    ("/jobs/:job/vertices/:vertex/metrics", "vertex_metrics"),
    ("/jobs/:job/vertices/:vertex/metrics?get=0.numRecordsIn", "vertex_metrics_get"),
    ("/jobs/:job/vertices/:vertex/subtasks/metrics?get=numRecordsIn", "vertex_subtasks_metrics"),
    ("/jobs/:job/vertices/:vertex/subtasks/metrics?get=nope", "vertex_subtasks_metrics_one_missing"),
];

const OF_THE_CLUSTER: &[(&str, &str)] = &[
    ("/config", "config"),
    ("/overview", "overview"),
    ("/jobs", "jobs"),
    ("/jobs/overview", "jobs_overview"),
    ("/jobs/metrics?get=numRestarts&agg=max", "jobs_metrics_agg"),
    ("/applications/overview", "applications_overview"),
    ("/jars", "jars"),
    ("/taskmanagers", "taskmanagers"),
    ("/taskmanagers/tm-1", "taskmanager"),
    ("/taskmanagers/tm-1/metrics", "taskmanager_metrics"),
    ("/taskmanagers/tm-1/metrics?get=Status.JVM.Memory.Heap.Used", "taskmanager_metrics_get"),
    ("/taskmanagers/tm-1/logs", "taskmanager_logs"),
    ("/taskmanagers/metrics?get=Status.JVM.Memory.Heap.Used", "taskmanagers_metrics_agg"),
    ("/jobmanager/config", "jobmanager_config"),
    ("/jobmanager/metrics", "jobmanager_metrics"),
    ("/jobmanager/metrics?get=Status.JVM.Memory.Heap.Used", "jobmanager_metrics_get"),
    ("/jobmanager/logs", "jobmanager_logs"),
    ("/datasets", "datasets"),
    ("/jars/:jar/plan", "jar_plan"),
];

/// Where we differ on purpose: the place (its end is enough), in which states (none: in all), and why.
const ACCEPTED: &[(&str, &[Kind], &str)] = &[
    ("vertices is empty", &[Kind::Unplanned], "without a plan there are no vertices"),
    ("nodes is empty", &[Kind::Unplanned], "without a plan there is no graph"),
    ("job_metrics is empty", &[Kind::Unplanned], "nothing of it was ever measured"),
];

/// Names of metrics that Flink has and we do not, by a part of the name.
const UNMEASURED: &[(&str, &str)] = &[
    (".ClassLoader.", "no classes are loaded"),
    (".G1_", "no such garbage collector; its sum, `All`, is there"),
    ("CPU.Load", "a share needs two looks; the time itself is there"),
    ("Netty.", "the network's memory is the process'"),
    ("mailbox", "mails are not timed"),
    ("numBuffers", "frames are not counted, their bytes are"),
    ("[2", "operators within a chain share its counters"),
    ("BackPressureTime", "hard and soft waits are not told apart"),
    ("BackPressuredTimeMsPerSecond", "hard and soft waits are not told apart"),
    ("isBackPressured", "a moment's state; its share of a second is there"),
    ("numFiredTimers", "timers are not counted"),
    ("changelog", "there is no changelog"),
    ("checkpoint", "told in the checkpoint's own details"),
    ("initializationTime", "told in the subtask's own details"),
    ("numBytesInLocal", "bytes handed over within a process are not counted"),
    ("numBytesInRemote", "numBytesIn counts what came over the network"),
    ("numBytesInPerSecond", "records have rates, bytes have counters"),
    ("numBytesOutPerSecond", "records have rates, bytes have counters"),
    ("PerSecond", "rates come with the second report of a worker"),
];

#[derive(Default)]
struct Differences(BTreeSet<String>);

impl Differences {
    fn compare(&mut self, at: &str, recorded: &Value, ours: &Value) {
        match (recorded, ours) {
            (Value::Object(recorded), Value::Object(ours)) if has_ids(recorded) => {
                if let (Some(recorded), Some(ours)) = (recorded.values().next(), ours.values().next()) {
                    self.compare(&format!("{at}.*"), recorded, ours);
                }
            }
            (Value::Object(recorded), Value::Object(ours)) => {
                for (key, value) in recorded {
                    match ours.get(key) {
                        Some(found) => self.compare(&format!("{at}.{key}"), value, found),
                        None => drop(self.0.insert(format!("{at}.{key} is missing"))),
                    }
                }
            }
            (Value::Array(recorded), Value::Array(ours)) => {
                let Some(first) = recorded.first() else { return };
                // Lists hold different things: the one that is most alike is the one to compare with.
                let of_one = |ours: &Value| {
                    let mut differences = Self::default();
                    differences.compare(&format!("{at}[]"), first, ours);
                    differences.0
                };
                match ours.iter().map(of_one).min_by_key(BTreeSet::len) {
                    Some(differences) => self.0.extend(differences),
                    None => drop(self.0.insert(format!("{at} is empty"))),
                }
            }
            (Value::Number(a), Value::Number(b)) if a.is_f64() == b.is_f64() => {}
            // What is not known yet is this text in place of a number.
            (Value::String(nan), Value::Number(_)) | (Value::Number(_), Value::String(nan)) if nan == "NaN" => {}
            (Value::String(_), Value::String(_)) | (Value::Bool(_), Value::Bool(_)) | (Value::Null, _) => {}
            (recorded, ours) => drop(self.0.insert(format!("{at}: {recorded} and {ours}"))),
        }
    }

    /// Lists of metrics are compared name by name.
    fn compare_names(&mut self, at: &str, recorded: &Value, ours: &Value) {
        let names = |list: &Value| -> BTreeSet<String> {
            list.as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
        };
        let ours = names(ours);
        if ours.is_empty() {
            self.0.insert(format!("{at} is empty"));
            return;
        }
        for name in names(recorded).difference(&ours) {
            if !UNMEASURED.iter().any(|(part, _)| name.contains(part)) {
                self.0.insert(format!("{at} lacks {name}"));
            }
        }
    }
}

fn has_ids(object: &serde_json::Map<String, Value>) -> bool {
    object.keys().next().is_some_and(|key| key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn recorded(name: &str) -> Value {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rest/flink/golden").join(format!("{name}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

async fn check(cluster: &Standalone, path: &str, name: &str) -> Vec<String> {
    let (status, answer) = cluster.get(path).await;
    if status != 200 {
        return vec![format!("{status}: {answer}")];
    }
    let (status, versioned) = cluster.get(&format!("/v1{path}")).await;
    assert_eq!((status, versioned.is_array()), (200, answer.is_array()), "/v1{path}: {versioned}");
    let mut differences = Differences::default();
    let recorded = recorded(name);
    let is_names = recorded[0].as_object().is_some_and(|entry| entry.keys().eq(["id"]));
    if is_names {
        differences.compare_names(name, &recorded, &answer);
    } else {
        differences.compare(name, &recorded, &answer);
    }
    differences.0.into_iter().collect()
}

/// One job in each state, the running one last.
async fn jobs(cluster: &mut Standalone, jar: &str) -> Vec<(Kind, String)> {
    let mut jobs = Vec::new();
    let broken = cluster.upload("#!/bin/sh\necho 'error: no such luck' >&2\nexit 3\n").await;
    let id = JobId(0xbad).to_string();
    let (status, _) = cluster.post(&format!("/jars/{broken}/run"), json!({ "jobId": id })).await;
    assert_eq!(status, 400);
    jobs.push((Kind::Unplanned, id));
    let ends = [
        (Kind::Finished, Behaviour::Finish, "FINISHED"),
        (Kind::Canceled, Behaviour::Run, "CANCELED"),
        (Kind::Failed, Behaviour::Run, "FAILED"),
        (Kind::Running, Behaviour::Run, "RUNNING"),
    ];
    for (kind, behaviour, state) in ends {
        let task_manager = cluster.task_manager(behaviour);
        let (_, run) = cluster.post(&format!("/jars/{jar}/run"), json!({})).await;
        let job = run["jobid"].as_str().unwrap().to_owned();
        if kind != Kind::Finished {
            cluster.until(&job, "RUNNING").await;
        }
        match kind {
            Kind::Canceled => drop(cluster.get(&format!("/jobs/{job}/yarn-cancel")).await),
            Kind::Failed => task_manager.cancel(),
            Kind::Finished | Kind::Running | Kind::Unplanned => {}
        }
        cluster.until(&job, state).await;
        if kind != Kind::Running {
            task_manager.cancel();
        }
        jobs.push((kind, job));
    }
    jobs
}

#[tokio::test]
async fn every_route_answers_as_flink_does_for_jobs_in_every_state() {
    let mut cluster = Standalone::start();
    let jar = cluster.upload(&fakes::program(&plan(2))).await;
    let jobs = jobs(&mut cluster, &jar).await;
    let mut seen = BTreeSet::new();
    let mut unexpected = Vec::new();
    for (kind, job) in &jobs {
        let (_, details) = cluster.get(&format!("/jobs/{job}")).await;
        let vertex = details["vertices"][1]["id"].as_str().unwrap_or_default().to_owned();
        let of_vertex = if *kind == Kind::Unplanned { &[] } else { OF_A_VERTEX };
        for (path, name) in OF_A_JOB.iter().chain(of_vertex) {
            let path = path.replace(":job", job).replace(":vertex", &vertex);
            for difference in check(&cluster, &path, name).await {
                let accepted = ACCEPTED.iter().position(|(end, kinds, _)| {
                    difference.ends_with(end) && (kinds.is_empty() || kinds.contains(kind))
                });
                match accepted {
                    Some(index) => drop(seen.insert(index)),
                    None => unexpected.push(format!("{kind:?} {path}: {difference}")),
                }
            }
        }
    }
    for (path, name) in OF_THE_CLUSTER {
        let path = path.replace(":jar", &jar);
        for difference in check(&cluster, &path, name).await {
            match ACCEPTED.iter().position(|(end, ..)| difference.ends_with(end)) {
                Some(index) => drop(seen.insert(index)),
                None => unexpected.push(format!("{path}: {difference}")),
            }
        }
    }
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    let unneeded: Vec<_> =
        (0..ACCEPTED.len()).filter(|index| !seen.contains(index)).map(|index| ACCEPTED[index]).collect();
    assert!(unneeded.is_empty(), "accepted, but not different: {unneeded:?}");
    cluster.stop().await;
}

#[tokio::test]
async fn what_is_unknown_is_refused_in_flinks_form_and_metrics_of_it_are_none() {
    let cluster = Standalone::start();
    let (job, vertex) = (JobId(1).to_string(), "cbc357ccb763df2852fee8c4fc7d55f2");
    for (path, _) in OF_A_JOB.iter().chain(OF_A_VERTEX) {
        let path = path.replace(":job", &job).replace(":vertex", vertex);
        let (status, answer) = cluster.get(&path).await;
        if path.contains("metrics") {
            assert_eq!((status, &answer), (200, &json!([])), "{path}");
        } else if !path.ends_with("/jobmanager/config") {
            assert_eq!((status, answer.as_object().unwrap().len()), (404, 1), "{path}: {answer}");
            let (said, expected) = (answer["errors"][0].as_str().unwrap(), &recorded("unknown_job")["errors"][0]);
            let expected = expected.as_str().unwrap().replace(&"0".repeat(32), &job);
            assert_eq!(said, expected, "{path}");
        }
    }
    for (path, status) in [("/jobs/xyz", 400), ("/jobs/xyz/vertices/a", 400), ("/v2/overview", 404), ("/nope", 404)] {
        let (found, answer) = cluster.get(path).await;
        assert_eq!((found, answer.as_object().unwrap().len()), (status, 1), "{path}: {answer}");
        assert!(answer["errors"][0].is_string(), "{path}: {answer}");
    }
    assert_eq!(cluster.get("/nope").await.1, recorded("unknown_route"));
    assert_eq!(cluster.get("/v2/overview").await.1, recorded("v2_overview"));
    cluster.stop().await;
}
