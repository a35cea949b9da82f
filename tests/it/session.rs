//! A JobManager that stays, and the jobs that share it without sharing fate.

use std::fs;

use serde_json::Value;

use crate::cluster::Yarn;
use crate::processes::{self, PATIENCE, example, parts, wait_for};

/// A session of one user: task managers of one slot.
fn start(yarn: &Yarn, options: &[&str]) -> String {
    let mut rest = vec!["-d", "-tm", "256m", "-s", "1"];
    rest.extend(options);
    let started = yarn.json(&["session", "start"], &rest);
    assert_eq!(started["state"], "RUNNING", "{started}");
    started["application"].as_str().unwrap().to_owned()
}

fn run_detached(yarn: &Yarn, program: &str, arguments: &[&str]) -> String {
    let program = example(program);
    let mut rest = vec!["-D", "task.cancellation.timeout=1s", program.to_str().unwrap()];
    rest.extend(arguments);
    let submitted = yarn.json(&["run", "-t", "yarn-session", "-d"], &rest);
    submitted["job"].as_str().unwrap_or_else(|| panic!("no job in {submitted}")).to_owned()
}

fn jobs(yarn: &Yarn) -> Vec<Value> {
    yarn.json(&["list", "--all"], &[]).as_array().unwrap().clone()
}

fn wait_state(yarn: &Yarn, job: &str, state: &str) {
    wait_for(&format!("job {job} to be {state}"), PATIENCE * 2, || {
        jobs(yarn).iter().any(|listed| listed["jid"] == job && listed["state"] == state).then_some(())
    });
}

fn task_managers(yarn: &Yarn) -> u64 {
    yarn.json(&["session", "list"], &[])[0]["taskManagers"].as_u64().unwrap_or(0)
}

#[test]
fn a_session_takes_jobs_one_after_another_and_gives_idle_task_managers_back() {
    let yarn = Yarn::start(1);
    let session = start(&yarn, &["-n", "etl", "-D", "resourcemanager.taskmanager-timeout=2s"]);
    assert_eq!(task_managers(&yarn), 0, "nothing is asked for before there is a job");
    let input = yarn.dir.path().join("text.txt");
    fs::write(&input, "a b a\n").unwrap();
    for round in 0..3 {
        let output = yarn.dir.path().join(format!("counts-{round}"));
        let program = example("wordcount");
        let arguments =
            [program.to_str().unwrap(), "--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()];
        let finished = yarn.flott(&["run", "-t", "yarn-session"], &arguments).succeeded();
        assert!(finished.stdout.contains("has finished"), "{}", finished.stdout);
        assert_eq!(parts(&output), ["a 2", "b 1"]);
    }
    assert_eq!(jobs(&yarn).len(), 3, "ended jobs stay to be looked at");
    let sessions = yarn.json(&["session", "list"], &[]);
    assert_eq!((&sessions[0]["application"], &sessions[0]["name"]), (&session.as_str().into(), &"etl".into()));
    wait_for("the idle TaskManager to be given back", PATIENCE, || (task_managers(&yarn) == 0).then_some(()));
    yarn.flott(&["session", "stop"], &[]).succeeded();
    yarn.wait_application(&session, "FINISHED");
    yarn.wait_empty();
    yarn.flott(&["session", "stop"], &[]).failed_with("no session of yours runs");
    let program = example("wordcount");
    yarn.flott(&["run", "-t", "yarn-session"], &[program.to_str().unwrap()]).failed_with("flott session start");
}

#[test]
fn a_panicking_a_leaking_and_a_spinning_job_leave_a_fourth_alone() {
    let yarn = Yarn::start_with(1, "3g");
    let session = start(&yarn, &[]);
    let input = yarn.dir.path().join("incoming");
    fs::create_dir(&input).unwrap();
    fs::write(input.join("one.txt"), "a b a\n").unwrap();
    let output = yarn.dir.path().join("counts");
    let arguments = ["--input", input.to_str().unwrap(), "--watch", "--output", output.to_str().unwrap()];
    let fourth = run_detached(&yarn, "wordcount", &arguments);
    wait_state(&yarn, &fourth, "RUNNING");
    let spinning = run_detached(&yarn, "faulty", &["spin-in-map"]);
    wait_state(&yarn, &spinning, "RUNNING");
    let panicking = run_detached(&yarn, "faulty", &["panic-in-map"]);
    let leaking = run_detached(&yarn, "faulty", &["leak-in-map"]);
    wait_state(&yarn, &panicking, "FAILED");
    wait_state(&yarn, &leaking, "FAILED");
    // What holds a core for ever does not hear that it is to stop; its process goes.
    yarn.flott(&["cancel"], &[&spinning]).succeeded();
    wait_state(&yarn, &spinning, "CANCELED");

    fs::write(input.join(".two.tmp"), "b c\n").unwrap();
    fs::rename(input.join(".two.tmp"), input.join("two.txt")).unwrap();
    wait_for("the fourth job to read on", PATIENCE, || {
        let listed = yarn.json(&["list"], &["--verbose"]);
        let job = listed.as_array().unwrap().iter().find(|listed| listed["jid"] == fourth.as_str())?;
        (job["read-records"].as_u64()? >= 2).then_some(())
    });
    yarn.flott(&["stop", "--drain"], &[&fourth]).succeeded();
    wait_state(&yarn, &fourth, "FINISHED");
    assert_eq!(parts(&output), ["a 2", "b 2", "c 1"], "of one run, without a restart");
    yarn.flott(&["session", "stop"], &[&session]).succeeded();
    yarn.wait_empty();
}

#[test]
fn running_jobs_resume_after_the_job_manager_was_killed() {
    let yarn = Yarn::start(1);
    start(&yarn, &["-D", "execution.checkpointing.interval=200ms"]);
    let mut jobs_of_before = Vec::new();
    for name in ["x", "y"] {
        let input = yarn.dir.path().join(name);
        fs::create_dir(&input).unwrap();
        fs::write(input.join("one.txt"), format!("{name} {name}\n")).unwrap();
        let output = yarn.dir.path().join(format!("counts-{name}"));
        let arguments = ["--input", input.to_str().unwrap(), "--watch", "--output", output.to_str().unwrap()];
        let job = run_detached(&yarn, "wordcount", &arguments);
        wait_state(&yarn, &job, "RUNNING");
        jobs_of_before.push((name, job, input, output));
    }
    let ended = run_detached(&yarn, "faulty", &["panic-in-map"]);
    wait_state(&yarn, &ended, "FAILED");
    let job_manager = yarn.container_processes().into_iter().find(|process| process.command.contains("jobmanager"));
    processes::kill(job_manager.expect("the session's JobManager is a process").pid);
    for (name, job, input, output) in jobs_of_before {
        let resumed = || jobs(&yarn).iter().any(|listed| listed["jid"] == job.as_str() && listed["state"] == "RUNNING");
        wait_for("the job to run again", PATIENCE * 2, || resumed().then_some(()));
        fs::write(input.join(".two.tmp"), format!("{name}\n")).unwrap();
        fs::rename(input.join(".two.tmp"), input.join("two.txt")).unwrap();
        wait_for("the job to read on", PATIENCE, || {
            let listed = yarn.json(&["list"], &["--verbose"]);
            let of_job = listed.as_array().unwrap().iter().find(|listed| listed["jid"] == job.as_str())?;
            (of_job["read-records"].as_u64()? >= 1).then_some(())
        });
        yarn.flott(&["stop", "--drain"], &[&job]).succeeded();
        wait_state(&yarn, &job, "FINISHED");
        assert_eq!(parts(&output), [format!("{name} 3")]);
    }
    let again: Vec<_> = jobs(&yarn).into_iter().filter(|listed| listed["jid"] == ended.as_str()).collect();
    assert_eq!(again.len(), 1, "{again:?}");
    assert_eq!(again[0]["state"], "FAILED", "what has ended is shown from its archive, and not run again");
    yarn.flott(&["session", "stop"], &[]).succeeded();
    yarn.wait_empty();
}
