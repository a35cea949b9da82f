//! What a job's processes have written, as one log.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use serde_json::Value;

use crate::cluster::{Standalone, Yarn};
use crate::processes::{PATIENCE, example, wait_for};

fn entries(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn logs(yarn: &Yarn, job: &str, rest: &[&str]) -> Vec<Value> {
    let mut all = vec!["--output", "json", job];
    all.extend(rest);
    entries(&yarn.flott(&["logs"], &all).succeeded().stdout)
}

#[test]
fn a_jobs_log_is_merged_over_its_processes_and_outlives_its_nodes() {
    let mut yarn = Yarn::start(2);
    // Of one slot each: three processes of the job.
    let rest = ["-p", "2", "-D", "taskmanager.memory.process.size=512m"];
    let (application, job) = yarn.submit(&rest, &example("faulty"), &["panic-in-map"]);
    yarn.wait_application(&application, "FINISHED");
    wait_for("the logs to be collected", PATIENCE, || {
        let collected = yarn.get(&format!("/ws/v1/applicationhistory/apps/{application}/containers"));
        (collected["containers"].as_array()?.len() == 3).then_some(())
    });
    let before = logs(&yarn, &job, &[]);
    for node in &mut yarn.nodes {
        node.kill();
    }
    fs::remove_dir_all(yarn.dir.path().join("nm-0")).unwrap();
    fs::remove_dir_all(yarn.dir.path().join("nm-1")).unwrap();
    let after = logs(&yarn, &job, &[]);
    assert_eq!(before, after, "nothing is missed when the nodes are gone");

    let times: Vec<&str> = after.iter().filter_map(|entry| entry["time"].as_str()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let origins: BTreeSet<&str> = after.iter().filter_map(|entry| entry["origin"].as_str()).collect();
    assert_eq!(origins, BTreeSet::from(["jm", "tm2", "tm3"]));
    let has = |entries: &[Value], text: &str| entries.iter().any(|it| it["text"].as_str().unwrap().contains(text));
    assert!(has(&after, "job submitted") && has(&after, "the map function panics on request"), "{after:?}");
    let serious = logs(&yarn, &job, &["--level", "warn"]);
    assert!(!serious.is_empty() && serious.iter().all(|it| it["level"] == "WARN" || it["level"] == "ERROR"));
    let of_one = logs(&yarn, &job, &["--vertex", "sequence source", "--subtask", "1"]);
    assert!(has(&of_one, "begins") && of_one.iter().all(|it| it["text"].as_str().unwrap().contains("subtask=1")));
    assert_eq!(logs(&yarn, &job, &["--since", "0 s"]).len(), 0);
    assert_eq!(logs(&yarn, &job, &["--since", "1 h"]).len(), times.len());
    yarn.flott(&["logs", &job, "--vertex", "nobody"], &[]).failed_with("no vertex is called nobody; the job has");
    // YARN's way to the same files.
    let all = yarn.flott(&["app", "logs"], &[&application]).succeeded();
    assert!(all.stdout.contains("--- jobmanager.err of") && all.stdout.contains("panics on request"), "{}", all.stderr);
}

#[test]
fn a_log_is_followed_until_the_job_has_ended() {
    let yarn = Yarn::start(1);
    let input = yarn.dir.path().join("incoming");
    fs::create_dir(&input).unwrap();
    fs::write(input.join("one.txt"), "a b a\n").unwrap();
    let output = yarn.dir.path().join("counts");
    let arguments = ["--input", input.to_str().unwrap(), "--watch", "--output", output.to_str().unwrap()];
    let (application, job) = yarn.submit(&[], &example("wordcount"), &arguments);
    let follow = yarn.command(&["logs"], &["--output", "json", "-f", &job]).stdout(Stdio::piped()).spawn().unwrap();
    wait_for("the job to run", PATIENCE, || {
        let jobs = yarn.json(&["list"], &["--running"]);
        jobs.as_array().unwrap().iter().any(|it| it["state"] == "RUNNING").then_some(())
    });
    yarn.flott(&["cancel"], &[&job]).succeeded();
    yarn.wait_application(&application, "FINISHED");
    let shown = follow.wait_with_output().unwrap();
    assert!(shown.status.success());
    let shown = entries(&String::from_utf8(shown.stdout).unwrap());
    let count = |text: &str| shown.iter().filter(|it| it["text"].as_str().unwrap().contains(text)).count();
    assert_eq!((count("job submitted"), count("effects: job ended")), (1, 1), "each once: {shown:?}");
    assert!(count("was stopped") >= 1, "of the workers, too: {shown:?}");
}

#[test]
fn a_standalone_clusters_job_has_its_log_and_what_it_printed() {
    let cluster = Standalone::start(1, 2);
    let input = cluster.dir.path().join("text.txt");
    fs::write(&input, "a b a\n").unwrap();
    let program = example("wordcount");
    let arguments = [program.to_str().unwrap(), "--input", input.to_str().unwrap(), "--execution-mode", "streaming"];
    cluster.flott(&["run"], &arguments).succeeded();
    let jobs = cluster.get("/jobs/overview");
    let job = jobs["jobs"][0]["jid"].as_str().unwrap();
    let printed = cluster.flott(&["logs"], &[job, "--stdout"]).succeeded().stdout;
    let mut lines: Vec<&str> = printed.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["tm1   (a,1)", "tm1   (a,2)", "tm1   (b,1)"]);
    let logged = cluster.flott(&["logs"], &[job]).succeeded().stdout;
    assert!(logged.lines().all(|line| line.starts_with("tm1   20")) && logged.contains("is done"), "{logged}");
}
