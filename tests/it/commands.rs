//! Shell commands and programs of other domains as applications.

use std::fs;
use std::process::Stdio;

use rustix::process::Signal;

use crate::cluster::Yarn;
use crate::processes::{self, PATIENCE, example, signal, wait_for};

#[test]
fn a_command_prints_here_and_its_exit_code_is_ours() {
    let yarn = Yarn::start(1);
    let file = yarn.dir.path().join("names.txt");
    fs::write(&file, "one\ntwo\n").unwrap();
    let files = ["--files", file.to_str().unwrap(), "--env", "GREETING=good day"];
    let line = "echo $GREETING; wc -l <names.txt; echo odd >&2; exit 7";
    let mut command = yarn.command(&["app", "run"], &[&files[..], &["--", line]].concat());
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "good day\n2\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "odd\n");
    assert_eq!(output.status.code(), Some(7));
    let finished = yarn.flott(&["app", "run"], &["--", "echo", "a  b", "$HOME"]).succeeded();
    assert_eq!(finished.stdout, "a  b $HOME\n");
    yarn.flott(&["app", "run"], &["-q", "nowhere", "--", "true"]).failed_with("there is no queue nowhere");
    yarn.wait_empty();
}

#[test]
fn a_command_in_several_containers_knows_which_it_is() {
    let yarn = Yarn::start(2);
    let line = "echo $FLOTT_TASK_INDEX/$FLOTT_TASK_COUNT";
    let finished = yarn.flott(&["app", "run"], &["--containers", "3", "--memory", "64m", "--", line]).succeeded();
    let mut lines: Vec<_> = finished.stdout.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["0/3", "1/3", "2/3"], "{}", finished.stdout);
    let failing = "test $FLOTT_TASK_INDEX = 0 || exit 5; sleep 600";
    let mut command = yarn.command(&["app", "run"], &["--containers", "2", "--memory", "64m", "--", failing]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(5));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("error: run 1 in container_") && stderr.contains("exited with code 5"), "{stderr}");
    yarn.wait_empty();
}

#[test]
fn an_interrupt_kills_the_command_and_leaves_nothing() {
    let yarn = Yarn::start(1);
    let mut command = yarn.command(&["app", "run"], &["-n", "long", "--", "echo begun; sleep 600"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let id = wait_for("the command to run", PATIENCE, || {
        let applications = yarn.json(&["app", "list"], &[]);
        let running = applications.as_array()?.iter().find(|it| it["state"] == "RUNNING" && it["name"] == "long")?;
        running["id"].as_str().map(str::to_owned)
    });
    signal(i32::try_from(child.id()).unwrap(), Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    yarn.wait_application(&id, "KILLED");
    yarn.wait_empty();
}

#[test]
fn a_master_of_another_domain_retries_and_collects_over_a_restart_of_the_resource_manager() {
    let mut yarn = Yarn::start(2);
    let output = yarn.dir.path().join("results");
    let gate = yarn.dir.path().join("gate");
    // Run 1 fails the first time; every run waits for the gate.
    let gated = format!("until [ -e {} ]; do sleep 0.02; done", gate.display());
    let line = format!("{gated}; [ $RUN != 1 ] || [ $TRY != 1 ] || exit 3; echo run $RUN try $TRY");
    let mut command = std::process::Command::new(example("distributed_shell"));
    command.args(["--resource-manager", &yarn.resource_manager.address, "--containers", "3"]);
    command.arg("--output").arg(&output).args(["--", &line]).env("FLOTT_TEST_CLUSTER", yarn.dir.path());
    let runner = std::thread::spawn(move || processes::run(&mut command));
    wait_for("three runs", PATIENCE, || {
        let nodes = yarn.json(&["node", "list"], &[]);
        let count: u64 = nodes.as_array()?.iter().filter_map(|node| node["numContainers"].as_u64()).sum();
        (count == 4).then_some(())
    });
    yarn.resource_manager.kill();
    yarn.restart_resource_manager();
    fs::write(&gate, "").unwrap();
    let finished = runner.join().unwrap().succeeded();
    assert!(finished.stdout.contains("3 runs ended well, after 1 retries"), "{}", finished.stdout);
    for (run, tries) in [(0, 1), (1, 2), (2, 1)] {
        let text = fs::read_to_string(output.join(format!("run-{run}.txt"))).unwrap();
        assert_eq!(text, format!("run {run} try {tries}\n"));
    }
    yarn.wait_empty();
}

#[test]
fn a_node_that_is_decommissioned_ends_what_it_runs_after_its_grace_and_goes() {
    let mut yarn = Yarn::start(2);
    let submitted = yarn.json(&["app", "run"], &["-d", "--", "sleep 600"]);
    let id = submitted["application"].as_str().unwrap().to_owned();
    let first = wait_for("the command to run", PATIENCE, || {
        let report = yarn.json(&["app", "status"], &[&id]);
        (report["state"] == "RUNNING").then(|| report["masterNodeId"].as_str().unwrap().to_owned())
    });
    let told = yarn.json(&["node", "decommission"], &["--grace", "0 s", &first]);
    assert_eq!(told[0]["state"], "DECOMMISSIONED", "{told}");
    wait_for("the command to run on the other node", PATIENCE, || {
        let report = yarn.json(&["app", "status"], &[&id]);
        let moved = report["state"] == "RUNNING" && report["masterNodeId"].as_str() != Some(&first);
        moved.then_some(())
    });
    let index = yarn.nodes.iter().position(|node| first.ends_with(node.port())).unwrap();
    wait_for("the node manager to end", PATIENCE, || yarn.nodes[index].child.try_wait().unwrap());
    yarn.flott(&["node", "decommission"], &["nowhere"]).failed_with("there is no node nowhere");
    yarn.flott(&["node", "recommission"], &[&first]).succeeded();
    yarn.restart_node(index);
    let nodes = yarn.json(&["node", "list"], &[]);
    assert!(nodes.as_array().unwrap().iter().any(|node| node["id"] == *first && node["state"] == "RUNNING"), "{nodes}");
    yarn.flott(&["app", "kill"], &[&id]).succeeded();
    yarn.wait_empty();
}
