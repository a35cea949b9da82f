//! A job with a cluster of its own, from upload to the last container's end.

use std::fs;

use crate::cluster::Yarn;
use crate::processes::{PATIENCE, example, naive_counts, parts, wait_for};

const TEXT: &str = "To be, or not to be\nthat is the question:\n\n  Whether 'tis nobler\u{a0}in the mind to suffer\nÜBER über Straße\n";

#[test]
fn batch_word_count_gives_the_naive_counts_at_every_parallelism() {
    let yarn = Yarn::start(2);
    let input = yarn.dir.path().join("text.txt");
    let text = TEXT.repeat(2000);
    fs::write(&input, &text).unwrap();
    for parallelism in ["1", "2", "3"] {
        let output = yarn.dir.path().join(format!("counts-{parallelism}"));
        let program = example("wordcount");
        let arguments =
            [program.to_str().unwrap(), "--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()];
        let finished = yarn.flott(&["run", "-t", "yarn-per-job", "-p", parallelism], &arguments).succeeded();
        assert!(finished.stdout.contains("Job has been submitted with JobID "), "{}", finished.stdout);
        assert!(finished.stdout.contains("has finished"), "{}", finished.stdout);
        assert_eq!(parts(&output), naive_counts(&text), "parallelism {parallelism}");
    }
    yarn.wait_empty();
    let applications = yarn.json(&["app", "list"], &["--all"]);
    let states: Vec<_> =
        applications.as_array().unwrap().iter().map(|app| app["finalStatus"].as_str().unwrap()).collect();
    assert_eq!(states, ["SUCCEEDED"; 3]);
    let nodes = yarn.json(&["node", "list"], &[]);
    let used: Vec<_> = nodes.as_array().unwrap().iter().map(|node| node["usedMemoryMB"].as_u64().unwrap()).collect();
    assert_eq!(used, [0, 0], "containers were not released: {nodes}");
}

#[test]
fn streaming_word_count_prints_to_the_task_managers_stdout() {
    let yarn = Yarn::start(1);
    let input = yarn.dir.path().join("text.txt");
    fs::write(&input, "a b a\n").unwrap();
    let arguments = ["--input", input.to_str().unwrap(), "--execution-mode", "streaming"];
    let (application, _) = yarn.submit(&[], &example("wordcount"), &arguments);
    yarn.wait_application(&application, "FINISHED");
    let logs = yarn.flott(&["app", "logs"], &[&application, "--file", "stdout"]).succeeded();
    let mut lines: Vec<_> = logs.stdout.lines().filter(|line| line.starts_with('(')).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["(a,1)", "(a,2)", "(b,1)"]);
}

#[test]
fn a_running_job_is_listed_cancelled_and_leaves_nothing() {
    let yarn = Yarn::start(1);
    let input = yarn.dir.path().join("incoming");
    fs::create_dir(&input).unwrap();
    fs::write(input.join("one.txt"), "a b a\n").unwrap();
    let output = yarn.dir.path().join("counts");
    let arguments = ["--input", input.to_str().unwrap(), "--watch", "--output", output.to_str().unwrap()];
    let (application, job) = yarn.submit(&[], &example("wordcount"), &arguments);
    wait_for("the job to be listed as running", PATIENCE, || {
        let jobs = yarn.json(&["list"], &[]);
        jobs.as_array()
            .unwrap()
            .iter()
            .any(|listed| listed["jid"] == job.as_str() && listed["state"] == "RUNNING")
            .then_some(())
    });
    yarn.flott(&["cancel"], &[&job]).succeeded();
    let report = yarn.wait_application(&application, "FINISHED");
    assert_eq!(report["finalStatus"], "KILLED", "{report}");
    yarn.wait_empty();
    assert_eq!(parts(&output), Vec::<String>::new(), "a cancelled job left visible output");
}

#[test]
fn a_watching_job_stopped_with_drain_publishes_its_counts() {
    let yarn = Yarn::start(1);
    let input = yarn.dir.path().join("incoming");
    fs::create_dir(&input).unwrap();
    fs::write(input.join("one.txt"), "a b a\n").unwrap();
    let output = yarn.dir.path().join("counts");
    let arguments = ["--input", input.to_str().unwrap(), "--watch", "--output", output.to_str().unwrap()];
    let (application, job) = yarn.submit(&[], &example("wordcount"), &arguments);
    let read = |records: u64| {
        wait_for("the job to have read its input", PATIENCE, || {
            let jobs = yarn.json(&["list"], &["--verbose"]);
            let job = jobs.as_array().unwrap().iter().find(|listed| listed["jid"] == job.as_str())?;
            (job["read-records"].as_u64()? >= records).then_some(())
        });
    };
    read(1);
    fs::write(input.join(".two.tmp"), "b c\n").unwrap();
    fs::rename(input.join(".two.tmp"), input.join("two.txt")).unwrap();
    read(2);
    yarn.flott(&["stop", "--drain"], &[&job]).succeeded();
    yarn.wait_application(&application, "FINISHED");
    assert_eq!(parts(&output), ["a 2", "b 2", "c 1"]);
}
