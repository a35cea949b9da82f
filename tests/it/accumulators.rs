//! What functions count beside their records, as people and tools see it.

use std::fs;

use serde_json::json;

use crate::cluster::Standalone;
use crate::processes::example;

#[test]
fn a_jobs_accumulators_are_merged_over_its_workers_and_told_by_run_and_rest() {
    let cluster = Standalone::start(2, 1);
    let input = cluster.dir.path().join("transactions");
    fs::create_dir(&input).unwrap();
    for file in 0..8 {
        fs::write(input.join(format!("{file}.csv")), "1,20\nno transaction\n2,30\n1,0.5\n").unwrap();
    }
    let program = example("fraud_detection");
    let arguments = [program.to_str().unwrap(), "--input", input.to_str().unwrap()];
    let finished = cluster.flott(&["run", "-p", "2"], &arguments).succeeded();
    let told = "Accumulator Results:\n- malformed-lines (LongCounter): 8\n- transactions (LongCounter): 24\n";
    assert!(finished.stdout.contains(told), "{}", finished.stdout);
    let runtime = finished.stdout.find("Job Runtime: ").unwrap();
    assert!(runtime < finished.stdout.find(told).unwrap(), "{}", finished.stdout);

    let submitted = finished.stdout.lines().find_map(|line| line.strip_prefix("Job has been submitted with JobID "));
    let answer = cluster.get(&format!("/jobs/{}/accumulators", submitted.unwrap()));
    let expected = json!([
        { "name": "malformed-lines", "type": "LongCounter", "value": "8" },
        { "name": "transactions", "type": "LongCounter", "value": "24" },
    ]);
    assert_eq!(answer["user-task-accumulators"], expected, "{answer}");
}
