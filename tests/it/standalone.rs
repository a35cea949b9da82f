//! A job manager with task managers and no resource manager.

use std::fs;

use crate::cluster::Standalone;
use crate::processes::{example, naive_counts, parts};

#[test]
fn many_jobs_run_one_after_the_other_on_task_managers_started_by_hand() {
    let cluster = Standalone::start(2, 1);
    let text = "x y x\nz\n".repeat(500);
    let input = cluster.dir.path().join("text.txt");
    fs::write(&input, &text).unwrap();
    for round in 0..3 {
        let output = cluster.dir.path().join(format!("counts-{round}"));
        let program = example("wordcount");
        let arguments =
            [program.to_str().unwrap(), "--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()];
        cluster.flott(&["run", "-p", "2"], &arguments).succeeded();
        assert_eq!(parts(&output), naive_counts(&text));
    }
    let listed = cluster.flott(&["list", "--all", "--output", "json"], &[]).succeeded();
    let jobs: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    let states: Vec<_> = jobs.as_array().unwrap().iter().map(|job| job["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["FINISHED"; 3]);
}
