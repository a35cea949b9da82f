//! What can be seen of jobs when their processes are gone.

use std::fs;

use serde_json::Value;

use crate::cluster::Yarn;
use crate::processes::{PATIENCE, example, wait_for};

fn listed(yarn: &Yarn, job: &str) -> Option<Value> {
    let jobs = yarn.json(&["list", "--all"], &[]);
    jobs.as_array().unwrap().iter().find(|listed| listed["jid"] == job).cloned()
}

#[test]
fn ended_jobs_are_listed_and_shown_after_their_applications_have_ended() {
    let mut yarn = Yarn::start(1);
    let input = yarn.dir.path().join("text.txt");
    fs::write(&input, "a b a\n").unwrap();
    let output = yarn.dir.path().join("counts");
    let arguments = ["--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()];
    let (application, finished) = yarn.submit(&[], &example("wordcount"), &arguments);
    yarn.wait_application(&application, "FINISHED");
    let (application_of_failed, failed) = yarn.submit(&[], &example("faulty"), &["panic-in-map"]);
    yarn.wait_application(&application_of_failed, "FINISHED");
    yarn.wait_empty();

    let line = listed(&yarn, &finished).expect("the finished job is listed");
    assert_eq!((&line["state"], &line["application"]), (&"FINISHED".into(), &application.as_str().into()));
    assert_eq!(listed(&yarn, &failed).unwrap()["state"], "FAILED");
    assert_eq!(yarn.json(&["list"], &[]), Value::Array(Vec::new()), "without --all only what runs");

    let told = yarn.json(&["info"], &[&finished]);
    let vertices = told["job"]["vertices"].as_array().unwrap();
    assert_eq!(vertices[0]["metrics"]["read-records"], 1, "{told}");
    let shown = yarn.flott(&["info"], &[&failed]).succeeded().stdout;
    assert!(shown.contains("state          FAILED") && shown.contains("1 failure"), "{shown}");
    assert!(shown.contains("the map function panics on request"), "{shown}");
    yarn.flott(&["cancel"], &[&finished]).failed_with("has ended: FINISHED");

    // They outlive the ResourceManager's own memory of the applications, too.
    yarn.resource_manager.kill();
    fs::remove_dir_all(yarn.dir.path().join("rm")).unwrap();
    yarn.restart_resource_manager();
    let shown = yarn.flott(&["info"], &[&finished]).succeeded().stdout;
    assert!(shown.contains("state          FINISHED"), "{shown}");
    let plan = yarn.get(&format!("/proxy/{application}/jobs/{finished}/plan"));
    assert!(plan["plan"]["nodes"].as_array().is_some_and(|nodes| !nodes.is_empty()), "{plan}");
}

#[test]
fn a_sessions_jobs_are_shown_when_its_job_manager_has_forgotten_them_and_when_it_has_ended() {
    let yarn = Yarn::start(1);
    let rest = ["-d", "-tm", "256m", "-s", "1", "-D", "jobstore.max-capacity=1"];
    let session = yarn.json(&["session", "start"], &rest)["application"].as_str().unwrap().to_owned();
    let program = example("faulty");
    let jobs: Vec<String> = (0..3)
        .map(|_| {
            let rest = ["-d", program.to_str().unwrap(), "panic-in-map"];
            let job = yarn.json(&["run", "-t", "yarn-session"], &rest)["job"].as_str().unwrap().to_owned();
            wait_for("the job to have failed", PATIENCE, || listed(&yarn, &job).filter(|it| it["state"] == "FAILED"));
            job
        })
        .collect();
    let shown = |job: &str| yarn.flott(&["info"], &[job]).succeeded().stdout;
    assert!(jobs.iter().all(|job| shown(job).contains("1 failure")), "running, and all but one forgotten");
    yarn.flott(&["session", "stop"], &[&session]).succeeded();
    yarn.wait_application(&session, "FINISHED");
    for job in &jobs {
        assert_eq!(listed(&yarn, job).unwrap()["application"], session.as_str());
        assert!(shown(job).contains("1 failure"));
    }
}

#[test]
fn the_newest_archives_stay() {
    let yarn = Yarn::start_set(1, "2g", &["historyserver.archive.retained-jobs=1"]);
    let jobs = ["one", "two"].map(|_| {
        let (application, job) = yarn.submit(&[], &example("faulty"), &["panic-in-map"]);
        yarn.wait_application(&application, "FINISHED");
        job
    });
    // Swept at the start, and every minute.
    let mut yarn = yarn;
    yarn.resource_manager.kill();
    yarn.restart_resource_manager_with(&["historyserver.archive.retained-jobs=1"]);
    wait_for("the older archive to be gone", PATIENCE, || {
        let left: Vec<Value> = jobs.iter().filter_map(|job| listed(&yarn, job)).collect();
        (left.len() == 1 && left[0]["jid"] == jobs[1].as_str()).then_some(())
    });
}
