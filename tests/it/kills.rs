//! `kill -9` of each kind of process: noticed, said, and nothing left behind.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use flott::time::Stopwatch;
use serde_json::Value;

use crate::cluster::Yarn;
use crate::processes::{self, PATIENCE, Process, example, kill, naive_counts, parts, wait_for};

/// A cluster with a job that watches a directory: it runs until it is stopped.
struct Watching {
    yarn: Yarn,
    application: String,
    job: String,
}

impl Watching {
    fn start(options: &[&str]) -> Self {
        let yarn = Yarn::start(2);
        let input = yarn.dir.path().join("incoming");
        fs::create_dir(&input).unwrap();
        fs::write(input.join("one.txt"), "a b a\n").unwrap();
        let output = yarn.dir.path().join("counts");
        let arguments = ["--input", input.to_str().unwrap(), "--watch", "--output", output.to_str().unwrap()];
        let (application, job) = yarn.submit(options, &example("wordcount"), &arguments);
        let watching = Self { yarn, application, job };
        watching.wait_running();
        watching
    }

    fn listed(&self) -> Option<Value> {
        let jobs = self.yarn.json(&["list"], &["--all"]);
        jobs.as_array().unwrap().iter().find(|job| job["jid"] == self.job.as_str()).cloned()
    }

    fn wait_running(&self) {
        wait_for("the job to run", PATIENCE, || (self.listed()?["tasks"]["running"].as_u64()? >= 1).then_some(()));
    }

    fn process(&self, what: &str) -> Process {
        let found = self.yarn.container_processes();
        found
            .iter()
            .find(|process| process.command.contains(what))
            .cloned()
            .unwrap_or_else(|| panic!("no {what} in {found:#?}"))
    }

    fn pids(&self, what: &str) -> BTreeSet<i32> {
        let found = self.yarn.container_processes().into_iter();
        found.filter(|process| process.command.contains(what)).map(|process| process.pid).collect()
    }

    /// The job ends with drain and has counted everything exactly once.
    fn finishes_with_the_right_counts(&self) {
        wait_for("the job to have read its input again", PATIENCE, || {
            let jobs = self.yarn.json(&["list"], &["--verbose"]);
            let job = jobs.as_array().unwrap().iter().find(|listed| listed["jid"] == self.job.as_str())?.clone();
            (job["read-records"].as_u64()? >= 1).then_some(())
        });
        self.yarn.flott(&["stop", "--drain"], &[&self.job]).succeeded();
        self.yarn.wait_application(&self.application, "FINISHED");
        assert_eq!(parts(&self.yarn.dir.path().join("counts")), naive_counts("a b a"));
        self.yarn.wait_empty();
    }
}

const RESTARTS: [&str; 6] = [
    "-D",
    "restart-strategy.type=fixed-delay",
    "-D",
    "restart-strategy.fixed-delay.attempts=3",
    "-D",
    "restart-strategy.fixed-delay.delay=10ms",
];

#[test]
fn a_killed_worker_fails_the_job_with_its_cause_or_restarts_it() {
    let job = Watching::start(&[]);
    kill(job.process("--watch").pid);
    let report = job.yarn.wait_application(&job.application, "FINISHED");
    assert_eq!(report["finalStatus"], "FAILED");
    let diagnostics = report["diagnostics"].as_str().unwrap();
    assert!(diagnostics.contains("signal 9"), "{diagnostics}");
    job.yarn.wait_empty();

    let job = Watching::start(&RESTARTS);
    kill(job.process("--watch").pid);
    job.wait_running();
    job.finishes_with_the_right_counts();
}

#[test]
fn a_killed_task_manager_is_replaced() {
    let job = Watching::start(&RESTARTS);
    let worker = job.process("--watch");
    kill(job.process("taskmanager").pid);
    wait_for("the orphaned worker to end", Duration::from_secs(10), || {
        let left = job.yarn.container_processes();
        (!left.iter().any(|process| process.pid == worker.pid)).then_some(())
    });
    job.wait_running();
    job.finishes_with_the_right_counts();
}

#[test]
fn a_killed_job_manager_is_started_again_and_takes_its_task_managers_over() {
    let job = Watching::start(&[&RESTARTS[..], &["-p", "2"]].concat());
    let (task_managers, workers) = (job.pids("taskmanager"), job.pids("--watch"));
    kill(job.process("jobmanager").pid);
    let clock = Stopwatch::start();
    wait_for("workers of the next attempt", PATIENCE, || {
        let now = job.pids("--watch");
        (now.len() == 2 && now.is_disjoint(&workers)).then_some(())
    });
    job.wait_running();
    let elapsed = clock.elapsed();
    println!("runs again {elapsed:?} after its JobManager was killed");
    assert!(elapsed < Duration::from_secs(3), "{elapsed:?}");
    assert_eq!(job.pids("taskmanager"), task_managers);
    let diagnosis = job.yarn.json(&["diagnose"], &[&job.job]);
    assert!(diagnosis.to_string().contains("JobManager attempt 2 took over 2 TaskManagers"), "{diagnosis}");
    let report = job.yarn.json(&["app", "status"], &[&job.application]);
    let said = "attempt 2 has taken over 2 containers; attempt 1 failed: ";
    let diagnostics = report["diagnostics"].as_str().unwrap();
    assert!(diagnostics.starts_with(said), "{diagnostics}");
    job.finishes_with_the_right_counts();
}

#[test]
fn a_killed_node_manager_adopts_its_containers_again() {
    let mut job = Watching::start(&RESTARTS);
    let before: Vec<i32> = job.yarn.container_processes().iter().map(|process| process.pid).collect();
    for node in 0..2 {
        job.yarn.nodes[node].kill();
        job.yarn.restart_node(node);
    }
    let after: Vec<i32> = job.yarn.container_processes().iter().map(|process| process.pid).collect();
    assert_eq!(before, after, "containers did not survive their NodeManager");
    job.finishes_with_the_right_counts();
}

#[test]
fn a_job_whose_masters_node_is_stopped_in_order_goes_on_elsewhere() {
    let mut job = Watching::start(&RESTARTS);
    let report = job.yarn.json(&["app", "status"], &[&job.application]);
    let address = report["masterNodeId"].as_str().unwrap().to_owned();
    let node = job.yarn.nodes.iter().position(|node| node.address == address).unwrap();
    processes::signal(job.yarn.nodes[node].pid(), rustix::process::Signal::TERM);
    job.yarn.nodes[node].child.wait().unwrap();
    job.wait_running();
    job.finishes_with_the_right_counts();
}

#[test]
fn a_killed_resource_manager_disturbs_nobody_and_recovers() {
    let mut job = Watching::start(&RESTARTS);
    let before: Vec<i32> = job.yarn.container_processes().iter().map(|process| process.pid).collect();
    job.yarn.resource_manager.kill();
    job.yarn.restart_resource_manager();
    job.wait_running();
    let after: Vec<i32> = job.yarn.container_processes().iter().map(|process| process.pid).collect();
    assert_eq!(before, after, "containers did not survive the ResourceManager");
    job.finishes_with_the_right_counts();
}

#[test]
fn a_killed_client_does_not_disturb_its_job() {
    let yarn = Yarn::start(1);
    let input = yarn.dir.path().join("incoming");
    fs::create_dir(&input).unwrap();
    fs::write(input.join("one.txt"), "a b a\n").unwrap();
    let program = example("wordcount");
    let arguments = [program.to_str().unwrap(), "--input", input.to_str().unwrap(), "--watch"];
    let mut client =
        yarn.command(&["run", "-t", "yarn-per-job"], &arguments).stdout(std::process::Stdio::null()).spawn().unwrap();
    let job = wait_for("the job to run", PATIENCE, || {
        let jobs = yarn.json(&["list"], &[]);
        let job = jobs.as_array().unwrap().first()?.clone();
        (job["state"] == "RUNNING").then(|| job["jid"].as_str().unwrap().to_owned())
    });
    client.kill().unwrap();
    client.wait().unwrap();
    let jobs = yarn.json(&["list"], &[]);
    assert_eq!(jobs[0]["state"], "RUNNING", "{jobs}");
    yarn.flott(&["cancel"], &[&job]).succeeded();
    yarn.wait_empty();
}

#[test]
fn of_two_independent_parts_the_one_that_fails_starts_anew_and_the_other_goes_on() {
    let yarn = Yarn::start(1);
    let (application, job) = yarn.submit(&RESTARTS, &example("faulty"), &["panic-in-one-part"]);
    yarn.wait_application(&application, "RUNNING");
    let path = format!("/proxy/{application}/jobs/{job}");
    let label = wait_for("the failure to be noted", PATIENCE, || {
        let entries = yarn.get(&format!("{path}/exceptions"))["exceptionHistory"]["entries"].clone();
        let entry = entries.as_array()?.iter().find(|entry| entry["stacktrace"].as_str().unwrap().contains("once"))?;
        Some(entry["failureLabels"]["restarted-region"].clone())
    });
    assert!(label.as_str().is_some_and(|names| names.contains("flawed") && !names.contains("sound")), "{label}");
    let attempt_of = |name: &str| {
        let details = yarn.get(&path);
        let vertices = details["vertices"].as_array()?;
        let vertex = vertices.iter().find(|vertex| vertex["name"].as_str().unwrap().contains(name))?["id"].clone();
        let subtask = yarn.get(&format!("{path}/vertices/{}", vertex.as_str()?))["subtasks"][0].clone();
        (subtask["status"] == "RUNNING").then(|| subtask["attempt"].as_u64().unwrap())
    };
    assert_eq!(wait_for("the failed part to run", PATIENCE, || attempt_of("flawed")), 1);
    assert_eq!(attempt_of("sound"), Some(0));
    yarn.flott(&["cancel"], &[&job]).succeeded();
    yarn.wait_empty();
}
