//! What the cluster says is the matter with it.

use super::*;

fn causes(rm: &Rm) -> Vec<String> {
    rm.core.diagnose(rm.now).into_iter().map(|verdict| verdict.cause).collect()
}

#[test]
fn a_cluster_says_what_is_missing_and_a_well_one_nothing() {
    let mut rm = Rm::new();
    assert_eq!(causes(&rm), ["no node takes containers: nothing can run"]);
    let n1 = rm.node("n1", 512);
    assert_eq!(causes(&rm), [""; 0]);
    let (attempt, _) = rm.running(|_| {});
    let worker = rm.worker(attempt, 256);
    rm.ask(attempt, 1, vec![wanted(256, 1)]);
    let verdicts = rm.core.diagnose(rm.now);
    assert_eq!(verdicts.len(), 1, "{verdicts:?}");
    assert!(
        verdicts[0].cause.ends_with("waits: a container waits: no node has 256 MB free: 1 node, largest free 0 MB")
    );
    assert_eq!(verdicts[0].subject, attempt.application.to_string());

    rm.exit(worker, ExitCause::OutOfMemory { limit_mb: 256, peak_mb: 300, by: "cgroup".to_owned() });
    let killed = rm.core.diagnose(rm.now).pop().unwrap();
    assert!(killed.cause.ends_with("ended: out of memory: used 300 MB of 256 MB (seen by cgroup)"), "{}", killed.cause);
    assert!(killed.evidence.starts_with(&format!("{worker} on {n1}, 0 s ago")), "{}", killed.evidence);
    rm.advance(Duration::from_secs(11 * 60));
    assert!(!causes(&rm).iter().any(|cause| cause.contains("out of memory")), "no longer news");
}

#[test]
fn many_of_a_kind_are_counted_and_the_worst_stand_first() {
    let mut rm = Rm::new();
    let n1 = rm.node("n1", 256);
    for _ in 0..6 {
        rm.submit(|_| {});
    }
    let found = causes(&rm);
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!(found[3], "2 more applications wait", "one of them has its master");
    let report = "disk full".to_owned();
    rm.apply(Event::NodeSays { node: n1.clone(), message: ToResourceManager::Health { healthy: false, report } });
    let found = causes(&rm);
    assert_eq!(found[0], "no node takes containers: nothing can run");
    assert_eq!(found[1], format!("node {n1} is unhealthy: disk full"));
}
