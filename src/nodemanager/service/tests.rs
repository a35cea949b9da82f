//! Real processes on a real directory, and a ResourceManager that listens.

use std::collections::BTreeMap;
use std::fs;

use crate::nodemanager::testing::{Cluster, application, container, shell};
use crate::process::marked;
use crate::protocol::container::{ContainerState, ExitCause, LocalResource, LocalResourceType, Visibility};
use crate::protocol::node::ToNode;
use crate::protocol::roles::CONTAINER_ID;
use crate::storage::BlobId;

fn processes_of(count: u64) -> usize {
    marked(CONTAINER_ID, &container(count).to_string()).unwrap().len()
}

fn shared_file(path: &std::path::Path) -> LocalResource {
    LocalResource {
        url: format!("file://{}", path.display()),
        size: fs::metadata(path).unwrap().len(),
        sha256: Some(BlobId::of_file(path).unwrap().as_str().to_owned()),
        kind: LocalResourceType::File,
        visibility: Visibility::Public,
        executable: true,
    }
}

#[tokio::test]
async fn a_container_finds_its_files_environment_tokens_and_log_directory() {
    let mut cluster = Cluster::new().await;
    let program = cluster.dir.path().join("program");
    fs::write(&program, "#!/bin/sh\necho \"program $1 in $PWD\"\n").unwrap();
    let mut context = shell(
        "bin/greet.sh {{GREETING}}; echo $JSON; stat -c %a container_tokens $(dirname $PWD)/$CONTAINER_ID; echo oops >&2; exit 7",
    );
    context.resources = BTreeMap::from([("bin/greet.sh".to_owned(), shared_file(&program))]);
    context.environment = BTreeMap::from([
        ("GREETING".to_owned(), "{{USER}}@{{NM_HOST}}".to_owned()),
        ("JSON".to_owned(), r#"{"it's":"$HOME {{"}"#.to_owned()),
    ]);
    cluster.start(1, context);
    let exit = cluster.exit(1).await;
    assert_eq!(exit.cause, ExitCause::Completed { code: 7 }, "{exit:?} {}", cluster.log(1, "prelaunch.err"));
    assert_eq!(exit.diagnostics, "last lines of stderr:\noops");
    let work = cluster.directories().work("alice", container(1));
    let expected = format!("program alice@127.0.0.1 in {}\n{{\"it's\":\"$HOME {{{{\"}}\n600\n700\n", work.display());
    assert_eq!(cluster.log(1, "stdout"), expected);
    cluster.poll(|_| !work.exists()).await;
    let copies = fs::read_dir(cluster.directories().root().join("filecache")).unwrap().count();
    assert_eq!(copies, 1, "public copies stay");
}

#[tokio::test]
async fn changed_files_and_programs_that_cannot_start_are_failed_launches() {
    let mut cluster = Cluster::new().await;
    let file = cluster.dir.path().join("file");
    fs::write(&file, "as submitted").unwrap();
    let mut context = shell("true");
    context.resources = BTreeMap::from([("file".to_owned(), shared_file(&file))]);
    fs::write(&file, "as changed  ").unwrap();
    cluster.start(1, context);
    let ExitCause::LaunchFailed { why } = cluster.exit(1).await.cause else { panic!("launched") };
    assert!(why.contains("it was changed; submit it again"), "{why}");

    cluster.start(2, shell("/no/such/program"));
    let exit = cluster.exit(2).await;
    assert_eq!(exit.cause, ExitCause::Completed { code: 127 });
    assert!(exit.diagnostics.contains("/no/such/program: No such file or directory"), "{exit:?}");
}

#[tokio::test]
async fn a_stopped_container_takes_everything_it_started_with_it() {
    let mut cluster = Cluster::new().await;
    // One child in the group, one in a session of its own, one that ignores requests.
    let script = "sleep 600 & setsid sleep 601 & (trap '' TERM; sleep 602) & echo ready; wait";
    cluster.start(1, shell(script));
    cluster.poll(|cluster| cluster.log(1, "stdout") == "ready\n" && processes_of(1) >= 5).await;
    let cause = ExitCause::KilledByUser;
    cluster.say(ToNode::StopContainers { containers: vec![container(1)], cause: cause.clone() });
    assert_eq!(cluster.exit(1).await.cause, cause);
    assert_eq!(processes_of(1), 0, "once it is reported nothing of it runs");
}

#[tokio::test]
async fn an_exit_takes_what_was_left_in_the_background_with_it() {
    let mut cluster = Cluster::new().await;
    cluster.start(1, shell("sleep 600 & setsid sleep 601 & true"));
    assert_eq!(cluster.exit(1).await.cause, ExitCause::Completed { code: 0 });
    assert_eq!(processes_of(1), 0);
    cluster.start(2, shell("kill -SEGV $$"));
    assert_eq!(cluster.exit(2).await.cause, ExitCause::Signal { signal: 11 });
}

#[tokio::test]
async fn a_container_that_grows_beyond_its_memory_is_killed_with_both_numbers() {
    let mut cluster = Cluster::new().await;
    let grow = r"x=$(head -c 60000000 /dev/zero | tr '\0' x); sleep 600";
    let token = cluster.token(1, 32);
    let start = crate::protocol::node::StartContainer { token, context: shell(grow) };
    cluster.handle().start(start).await.unwrap();
    let exit = cluster.exit(1).await;
    let ExitCause::OutOfMemory { limit_mb: 32, peak_mb, by } = exit.cause else { panic!("{exit:?}") };
    assert!(peak_mb > 32, "{peak_mb}");
    assert_eq!(by, "process tree");
}

#[tokio::test]
async fn a_killed_node_manager_leaves_its_containers_running_and_its_successor_takes_them_over() {
    let mut cluster = Cluster::new().await;
    let gates = [1, 2].map(|container| cluster.dir.path().join(format!("gate-{container}")));
    let wait = |gate: &std::path::Path| format!("while [ ! -e {} ]; do sleep 0.02; done", gate.display());
    cluster.start(1, shell(&format!("echo one; {}; exit 3", wait(&gates[0]))));
    cluster.start(2, shell(&format!("{}; exit 4", wait(&gates[1]))));
    cluster.running(1).await;
    cluster.running(2).await;
    let before = cluster.handle().view().await.unwrap();
    cluster.crash_node().await;
    fs::write(&gates[1], "").unwrap();
    cluster.poll(|_| processes_of(2) == 0).await;
    assert!(processes_of(1) >= 1, "it lives on");
    cluster.statuses.clear();
    cluster.start_node().await;

    let registration = cluster.registrations.last().unwrap();
    assert_eq!(registration.incarnation, 2);
    let states: Vec<_> = registration.containers.iter().map(|status| status.state).collect();
    assert_eq!(states, [ContainerState::Running, ContainerState::Complete]);
    assert_eq!(cluster.exit(2).await.cause, ExitCause::Completed { code: 4 });
    let after = cluster.handle().view().await.unwrap();
    assert_eq!(after.containers[0].process, before.containers[0].process);
    fs::write(&gates[0], "").unwrap();
    assert_eq!(cluster.exit(1).await.cause, ExitCause::Completed { code: 3 });
}

#[tokio::test]
async fn an_orderly_stop_ends_containers_first_and_says_goodbye() {
    let mut cluster = Cluster::new().await;
    cluster.start(1, shell("sleep 600"));
    cluster.running(1).await;
    cluster.stop_node().await.unwrap();
    assert!(matches!(cluster.exit(1).await.cause, ExitCause::Aborted { why } if why == "the node is being stopped"));
    assert_eq!(processes_of(1), 0);
}

#[tokio::test]
async fn a_finished_application_leaves_only_its_logs() {
    let mut cluster = Cluster::new().await;
    cluster.start(1, shell("echo kept; sleep 600"));
    cluster.running(1).await;
    cluster.poll(|cluster| cluster.log(1, "stdout") == "kept\n").await;
    cluster.say(ToNode::ApplicationsFinished { applications: vec![application()] });
    assert_eq!(cluster.exit(1).await.cause, ExitCause::KilledAfterApplicationEnd);
    let directory = cluster.directories().application("alice", application());
    cluster.poll(|_| !directory.exists()).await;
    assert_eq!(cluster.log(1, "stdout"), "kept\n");
    cluster.say(ToNode::CompletionsAcknowledged { containers: vec![container(1)] });
    let handle = cluster.handle();
    while !handle.view().await.unwrap().containers.is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_node_that_is_told_to_go_goes() {
    let mut cluster = Cluster::new().await;
    cluster.start(1, shell("sleep 600"));
    cluster.running(1).await;
    cluster.say(ToNode::Shutdown { why: "n1 is excluded".to_owned() });
    cluster.exit(1).await;
    let error = cluster.ended().await.unwrap_err();
    assert!(error.to_string().ends_with("refused this node: n1 is excluded"), "{error}");
}

#[tokio::test]
async fn the_resource_manager_being_away_stops_nothing_and_its_successor_hears_everything() {
    let mut cluster = Cluster::new().await;
    let gate = cluster.dir.path().join("gate");
    cluster.start(1, shell("sleep 600"));
    cluster.start(2, shell(&format!("while [ ! -e {} ]; do sleep 0.02; done; exit 6", gate.display())));
    cluster.running(1).await;
    cluster.running(2).await;
    cluster.kill_resource_manager().await;
    fs::write(gate, "").unwrap();
    let handle = cluster.handle();
    while handle.view().await.unwrap().containers[1].exit.is_none() {
        tokio::task::yield_now().await;
    }
    // A master may go on starting containers.
    handle.start(cluster.request(3, shell("sleep 600"))).await.unwrap();
    cluster.start_resource_manager().await;
    assert_eq!(cluster.exit(2).await.cause, ExitCause::Completed { code: 6 });
    cluster.running(1).await;
    cluster.running(3).await;
    cluster.stop_node().await.unwrap();
}

#[tokio::test]
async fn what_a_container_wrote_is_collected_when_it_has_ended_also_while_no_node_manager_was_there() {
    let mut cluster = Cluster::new().await;
    let collected = crate::storage::ContainerLogs::new(cluster.dir.path().join("collected"));
    let read = |count: u64| {
        let directory = collected.find(container(count))?;
        Some(fs::read_to_string(directory.join("stdout")).unwrap())
    };
    let gate = cluster.dir.path().join("gate");
    cluster.start(1, shell("echo one"));
    cluster.start(2, shell(&format!("echo two; while [ ! -e {} ]; do sleep 0.02; done; echo end", gate.display())));
    cluster.exit(1).await;
    cluster.poll(|_| read(1).is_some()).await;
    cluster.running(2).await;
    assert_eq!((read(1).unwrap().as_str(), read(2)), ("one\n", None), "who still writes is not collected");
    cluster.crash_node().await;
    fs::write(gate, "").unwrap();
    cluster.start_node().await;
    cluster.exit(2).await;
    cluster.poll(|_| read(2).is_some()).await;
    assert_eq!(read(2).unwrap(), "two\nend\n");
}
