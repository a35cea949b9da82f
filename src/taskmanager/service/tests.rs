//! Real processes, and a JobManager that listens.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::process::{Identity, Table};
use crate::protocol::container::ExitCause;
use crate::protocol::task_manager::ToTaskManager;
use crate::taskmanager::testing::{Supervised, job, worker};

fn gone(pid: u32) -> bool {
    Table::read().unwrap().tree(pid).is_empty()
}

#[tokio::test]
async fn a_worker_gets_its_role_plan_files_environment_and_arguments() {
    let mut it = Supervised::new().await;
    let mut program = it.program(
        r#"echo "$0 $1 $FLOTT_INTERNAL_ROLE $GREETING $FORGED"; cat data/list.txt; ls -a; grep -o '"name":"the plan"' $FLOTT_INTERNAL_PLAN
           echo $FLOTT_INTERNAL_WORKER; env | cut -d= -f1 | grep -c CARGO; [ -d $TMPDIR ] && touch $TMPDIR/x; exit 4"#,
    );
    program.arguments = vec!["--input x".to_owned()];
    program.environment = BTreeMap::from([
        ("GREETING".to_owned(), "hello".to_owned()),
        ("FLOTT_INTERNAL_ROLE".to_owned(), "forged".to_owned()),
    ]);
    let list = it.dir.path().join("list");
    fs::write(&list, "a list\n").unwrap();
    program.files = BTreeMap::from([("data/list.txt".to_owned(), it.resource(list))]);
    it.start_program(1, program);
    let (cause, _) = it.exit(1).await;
    assert_eq!(cause, ExitCause::Completed { code: 4 }, "{}", it.log("workers.err"));
    let directory = it.work().join(format!("workers/{}-1", job(1)));
    let log = it.log(&format!("{}.out", job(1)));
    let told =
        format!("{}/.flott/bin/wordcount --input x worker hello \na list\n.\n..\n.flott\ndata\n", directory.display());
    assert!(log.starts_with(&told), "{log}");
    assert!(log.contains("\"name\":\"the plan\"\n{\"worker\":{\"task_manager\":\"tm-1\""), "{log}");
    assert!(log.ends_with("\n0\n"), "nothing of our environment: {log}");
    it.poll(|_| !directory.exists()).await;
}

#[tokio::test]
async fn a_worker_that_dies_is_reported_with_its_last_words() {
    let mut it = Supervised::new().await;
    it.start(1, "echo 'thread main panicked: boom' >&2; kill -ABRT $$");
    let (cause, diagnostics) = it.exit(1).await;
    assert_eq!(cause, ExitCause::Signal { signal: 6 });
    assert!(diagnostics.contains("thread main panicked: boom"), "{diagnostics}");
}

#[tokio::test]
async fn what_cannot_run_here_is_refused_before_launch() {
    let mut it = Supervised::new().await;
    let text = it.dir.path().join("notes.txt");
    fs::write(&text, "just text").unwrap();
    let mut program = it.program("");
    program.executable = it.resource(text);
    it.start_program(1, program);
    let (ExitCause::LaunchFailed { why }, _) = it.exit(1).await else { panic!("launched") };
    assert!(why.starts_with("wordcount is not an executable"), "{why}");

    let mut changed = it.program("true");
    changed.executable.size += 1;
    changed.executable.sha256 = Some("0".repeat(64));
    it.start_program(2, changed);
    let (ExitCause::LaunchFailed { why }, _) = it.exit(2).await else { panic!("launched") };
    assert!(why.contains("cannot fetch wordcount") && why.contains("it was changed; submit it again"), "{why}");

    let mut escaping = it.program("true");
    escaping.files.insert("../outside".to_owned(), escaping.executable.clone());
    it.start_program(3, escaping);
    let (ExitCause::LaunchFailed { why }, _) = it.exit(3).await else { panic!("launched") };
    assert!(why.contains("`../outside` is not a usable name"), "{why}");
}

#[tokio::test]
async fn a_program_that_the_node_localised_is_not_fetched() {
    let mut it = Supervised::new().await;
    let mut program = it.program("echo found; exit 0");
    let programs = it.dir.path().join("programs");
    fs::create_dir(&programs).unwrap();
    let localised = programs.join(program.executable.sha256.as_ref().unwrap());
    fs::copy(program.executable.url.strip_prefix("file://").unwrap(), &localised).unwrap();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&localised, fs::Permissions::from_mode(0o755)).unwrap();
    program.executable.url = "file:///nowhere".to_owned();
    it.start_program(1, program);
    assert_eq!(it.exit(1).await.0, ExitCause::Completed { code: 0 }, "{:?}", it.exits);
    assert_eq!(it.log("workers.out"), "found\n");
}

#[tokio::test]
async fn a_stopped_worker_takes_its_children_with_it() {
    let mut it = Supervised::new().await;
    it.start(1, "trap '' TERM; sleep 600 & set -m; sleep 601 & echo ready; wait; wait; sleep 602");
    let pid = it.started(1).await;
    it.poll(|it| it.log("workers.out") == "ready\n").await;
    it.say(ToTaskManager::StopWorker { worker: worker(1), grace_ms: 50 });
    assert_eq!(it.exit(1).await.0, ExitCause::KilledByApplicationMaster);
    assert!(gone(pid), "once it is reported nothing of it runs");
}

#[tokio::test]
async fn a_worker_that_takes_too_much_memory_is_killed_and_others_live() {
    let mut it = Supervised::new().await;
    it.start(1, "read line");
    it.started(1).await;
    it.start(2, r"x=$(head -c 100000000 /dev/zero | tr '\0' x); sleep 600");
    let (cause, _) = it.exit(2).await;
    assert!(matches!(cause, ExitCause::OutOfMemory { limit_mb: 64, peak_mb, .. } if peak_mb > 64), "{cause:?}");
    let lives = it.handle().workers().await.unwrap();
    assert_eq!(lives.len(), 1);
    assert!(Identity::of(lives[0].pid.unwrap()).unwrap().is_alive());
}

#[tokio::test]
async fn a_killed_task_manager_leaves_no_orphans() {
    let mut it = Supervised::new().await;
    it.start(1, "read line; exit 9");
    let pid = it.started(1).await;
    it.crash().await;
    it.poll(|_| gone(pid)).await;
}

#[tokio::test]
async fn without_its_job_manager_a_container_is_left_empty() {
    let mut it = Supervised::with(|settings| settings.timing.link_grace = Duration::from_millis(300)).await;
    it.start(1, "sleep 600");
    let pid = it.started(1).await;
    it.kill_job_manager().await;
    it.ended().await.unwrap();
    assert!(gone(pid));
}

#[tokio::test]
async fn told_to_go_or_stopped_it_ends_its_workers_and_says_so() {
    for by_system in [false, true] {
        let mut it = Supervised::new().await;
        it.start(1, "sleep 600");
        let pid = it.started(1).await;
        if by_system {
            it.cancel();
        } else {
            it.say(ToTaskManager::Shutdown { why: "the job has ended".to_owned() });
        }
        it.until(|it| it.leaving.is_some()).await;
        it.ended().await.unwrap();
        assert!(gone(pid));
    }
}
