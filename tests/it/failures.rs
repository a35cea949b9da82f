//! What a user is told when something is wrong: cause first, then what to do.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use crate::cluster::Yarn;
use crate::processes::{PATIENCE, example, flott, run, wait_for};

fn refused(yarn: &Yarn, program: &Path, arguments: &[&str], cause: &str) {
    let mut rest = vec![program.to_str().unwrap()];
    rest.extend(arguments);
    yarn.flott(&["run", "-t", "yarn-per-job"], &rest).failed_with(cause);
}

#[test]
fn programs_that_cannot_be_planned_are_refused_with_their_cause() {
    let yarn = Yarn::start(1);
    let text = yarn.dir.path().join("notes.txt");
    fs::write(&text, "not a program").unwrap();
    refused(&yarn, &text, &[], "not an executable");
    refused(&yarn, &yarn.dir.path().join("absent"), &[], "no such file");
    refused(&yarn, Path::new("/bin/true"), &[], "without calling");
    let faulty = example("faulty");
    refused(&yarn, &faulty, &["panic-in-main"], "the main function panics on request");
    refused(&yarn, &faulty, &["never-execute"], "without calling");
    refused(&yarn, &faulty, &["exit-3"], "code 3");
    yarn.flott(&["run", "-t", "yarn-per-job", "-D", "program.plan.timeout=1s"], &[faulty.to_str().unwrap(), "hang"])
        .failed_with("within 1");
    yarn.wait_empty();
}

#[test]
fn jobs_that_fail_say_why() {
    let yarn = Yarn::start(1);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let socket = example("socket_window_wordcount");
    refused(&yarn, &socket, &["--hostname", "127.0.0.1", "--port", &port], "connection refused");
    let wordcount = example("wordcount");
    refused(&yarn, &wordcount, &["--input", "/no/such/file"], "/no/such/file");
    let input = yarn.dir.path().join("text.txt");
    fs::write(&input, "a b\n").unwrap();
    let arguments = ["--input", input.to_str().unwrap(), "--output", "/proc/no-output-here"];
    refused(&yarn, &wordcount, &arguments, "/proc/no-output-here");
    let faulty = example("faulty");
    refused(&yarn, &faulty, &["panic-in-map"], "the map function panics on request");
    refused(&yarn, &faulty, &["abort-in-map"], "signal 6");
    yarn.wait_empty();
}

#[test]
fn who_submits_a_job_that_may_lose_records_is_told_even_if_nobody_stays() {
    let yarn = Yarn::start(1);
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    let program = example("socket_window_wordcount");
    let submitted =
        yarn.flott(&["run", "-t", "yarn-per-job", "-d"], &[program.to_str().unwrap(), "--port", &port]).succeeded();
    assert!(submitted.stderr.contains("Delivery is at-most-once: "), "{}", submitted.stderr);
    let job = submitted.stdout.trim().rsplit(' ').next().unwrap();
    yarn.flott(&["cancel"], &[job]).succeeded();
    yarn.wait_empty();
}

#[test]
fn a_second_execute_is_refused_where_the_program_runs_by_itself() {
    let mut command = std::process::Command::new(flott());
    command.args(["run", "-t", "local"]).arg(example("faulty")).arg("execute-twice");
    run(&mut command).failed_with("execute a second time");
}

#[test]
fn without_a_resource_manager_the_client_says_what_to_start() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = std::process::Command::new(flott());
    command
        .args(["run", "-t", "yarn-per-job", "-D", &format!("resourcemanager.port={port}")])
        .arg(example("wordcount"));
    run(&mut command).failed_with("connection refused").failed_with("start-yarn.sh");
}

#[test]
fn a_taken_port_is_named_with_its_holder() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let mut command = std::process::Command::new(flott());
    let dir = tempfile::tempdir().unwrap();
    command.args(["resourcemanager", "-D", &format!("resourcemanager.port={port}")]);
    command.args(["-D", &format!("resourcemanager.state-dir={}", dir.path().display())]);
    run(&mut command).failed_with(&format!("port {port} is taken")).failed_with("resourcemanager.port");
}

#[test]
fn a_queue_without_room_says_what_is_missing_and_waits() {
    let yarn = Yarn::start_with(1, "512m");
    let input = yarn.dir.path().join("text.txt");
    fs::write(&input, "a b\n").unwrap();
    let options =
        ["-D", "jobmanager.memory.process.size=128m", "-D", "taskmanager.memory.process.size=300m", "-p", "2"];
    let (application, job) = yarn.submit(&options, &example("wordcount"), &["--input", input.to_str().unwrap()]);
    let reason = wait_for("the application to say why it waits", PATIENCE, || {
        let report = yarn.json(&["app", "status"], &[&application]);
        report["waitingReason"].as_str().filter(|reason| reason.contains("MB")).map(str::to_owned)
    });
    assert!(reason.contains("320 MB"), "{reason}");
    yarn.flott(&["cancel"], &[&job]).succeeded();
    yarn.wait_application(&application, "FINISHED");
    yarn.wait_empty();
}
