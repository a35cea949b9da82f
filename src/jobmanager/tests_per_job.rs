//! A JobManager in a container, against a ResourceManager and a node that do just enough.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use axum::extract::Request;
use axum::routing::{any, post};
use axum::{Json, Router};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use super::fakes::{self, Behaviour};
use super::{Error, Setup};
use crate::config::Configuration;
use crate::ids::{ApplicationAttemptId, ApplicationId, ContainerId, JobId, NodeId};
use crate::protocol::application_master::{
    self, AllocateRequest, AllocateResponse, FinalStatus, Registered, ToApplicationMaster, ToResourceManager,
};
use crate::protocol::container::{Allocation, LocalResource, LocalResourceType, Visibility};
use crate::protocol::job::{JobStatus, JobSubmission, Program};
use crate::protocol::node::{CONTAINERS_PATH, StartContainer, Started};
use crate::protocol::roles::{self, JobManagerEnvironment, TaskManagerEnvironment};
use crate::resource::Resource;
use crate::rpc::http::Server;
use crate::rpc::link::{LinkOptions, PeerEvent, PeerEvents, acceptor};
use crate::rpc::token::SigningKey;
use crate::storage::BlobId;

const ATTEMPT: ApplicationAttemptId =
    ApplicationAttemptId { application: ApplicationId { cluster_timestamp: 1, sequence: 1 }, attempt: 1 };
const PATIENCE: Duration = Duration::from_secs(60);

/// What the fake ResourceManager saw of the end.
type Finished = application_master::Finish;

/// What the fake ResourceManager does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Grants what is asked for.
    Grants,
    /// Ends the attempt when it asks.
    Kills,
    /// Dies with the goodbye unheard; another one, which knows no link, takes its place.
    DiesAtGoodbye,
    /// Ends the attempt instead of hearing its goodbye.
    KillsAtGoodbye,
}

/// Serves the ResourceManager's link and the node's one route on one port; launches fake TaskManagers.
struct Cluster {
    address: String,
    tasks: JoinSet<()>,
    finished: mpsc::Receiver<Finished>,
    cancel: CancellationToken,
}

impl Cluster {
    fn start(behaviour: Behaviour, manner: Manner) -> Self {
        let (mut tasks, cancel) = (JoinSet::new(), CancellationToken::new());
        let server = Server::bind("127.0.0.1", 0).unwrap();
        let address = server.local_addr().to_string();
        let life = cancel.child_token();
        let (first, events) = acceptor(&mut tasks, LinkOptions::new("ResourceManager"), life.clone());
        let (second, later_events) = acceptor(&mut tasks, LinkOptions::new("ResourceManager"), cancel.child_token());
        let (first, second): (Router, Router) =
            (Router::new().fallback_service(first.route()), Router::new().fallback_service(second.route()));
        let dead = life.clone();
        let link = any(move |request: Request| {
            let mut current = if dead.is_cancelled() { second.clone() } else { first.clone() };
            async move { current.call(request).await }
        });
        let (starts, mut started) = mpsc::channel::<StartContainer>(8);
        let start = move |Json(request): Json<StartContainer>| {
            let starts = starts.clone();
            async move {
                starts.send(request).await.unwrap();
                Json(Started { container: ContainerId::new(ATTEMPT, 0, 2) })
            }
        };
        let router = Router::new().route(application_master::PATH, link).route(CONTAINERS_PATH, post(start));
        let serving = cancel.child_token();
        tasks.spawn(async move { server.serve(router, serving).await.unwrap() });
        let (finish, finished) = mpsc::channel(1);
        let later =
            resource_manager(later_events, address.clone(), finish.clone(), Manner::Grants, cancel.child_token());
        tasks.spawn(later);
        tasks.spawn(resource_manager(events, address.clone(), finish, manner, life));
        let launching = cancel.child_token();
        tasks.spawn(async move {
            while let Some(request) = started.recv().await {
                assert!(request.context.commands[0].starts_with("{{FLOTT_BIN}} taskmanager 1><LOG_DIR>/"));
                let json = &request.context.environment[roles::TASK_MANAGER];
                let told: TaskManagerEnvironment = serde_json::from_str(json).unwrap();
                let hello = fakes::register("tm-1", Some(told.container), Some(told.secret));
                fakes::task_manager(told.job_manager, hello, behaviour, launching.child_token()).await;
            }
        });
        Self { address, tasks, finished, cancel }
    }

    async fn stop(mut self) {
        self.cancel.cancel();
        self.tasks.shutdown().await;
    }
}

type Events = PeerEvents<application_master::Register, Registered, ToResourceManager, ToApplicationMaster>;

async fn resource_manager(
    mut events: Events,
    node: String,
    finish: mpsc::Sender<Finished>,
    manner: Manner,
    life: CancellationToken,
) {
    let mut sender = None;
    while let Some(event) = events.recv().await {
        match event {
            PeerEvent::Hello { answer, .. } => sender = Some(answer.accept(registered())),
            PeerEvent::Message { message: ToResourceManager::Allocate(AllocateRequest { asks, .. }), .. } => {
                let wanted: u32 = asks.iter().map(|ask| ask.count).sum();
                let Some(sender) = sender.as_ref().filter(|_| wanted > 0) else { continue };
                assert_eq!(wanted, 1, "two slots each");
                let message = if manner == Manner::Kills {
                    ToApplicationMaster::Shutdown { why: "killed by user".to_owned() }
                } else {
                    let allocated = vec![allocation(&node)];
                    ToApplicationMaster::Allocated(AllocateResponse {
                        response_id: 1,
                        allocated,
                        ..AllocateResponse::default()
                    })
                };
                let _ = sender.send(message); // It may be ending.
            }
            PeerEvent::Message { message: ToResourceManager::Finish(_), .. } if manner == Manner::DiesAtGoodbye => {
                return life.cancel();
            }
            PeerEvent::Message { message: ToResourceManager::Finish(finished), .. } => {
                finish.send(finished).await.unwrap();
                let answer = match manner {
                    Manner::KillsAtGoodbye => ToApplicationMaster::Shutdown { why: "killed by user".to_owned() },
                    _ => ToApplicationMaster::Unregistered,
                };
                sender.as_ref().unwrap().send(answer).unwrap();
            }
            PeerEvent::Broken { .. } => {}
        }
    }
}

fn registered() -> Registered {
    Registered {
        maximum_capability: Resource::new(8192, 8),
        minimum_capability: Resource::new(64, 1),
        queue: "root.default".to_owned(),
        containers_from_previous_attempts: Vec::new(),
        expiry_ms: 15_000,
        epoch: 0,
    }
}

fn allocation(node: &str) -> Allocation {
    Allocation {
        container: ContainerId::new(ATTEMPT, 0, 2),
        node: NodeId::new("127.0.0.1", 8042),
        node_http_address: node.to_owned(),
        resource: Resource::new(1024, 2),
        priority: 1,
        allocation_request_id: 0,
        token: SigningKey::generate().unwrap().sign("ContainerToken", "", b"{}"),
    }
}

fn submission(dir: &Path, program: &str) -> JobSubmission {
    let path = dir.join("program");
    std::fs::write(&path, program).unwrap();
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, permissions).unwrap();
    let executable = LocalResource {
        url: format!("file://{}", path.display()),
        size: program.len() as u64,
        sha256: Some(BlobId::of(program.as_bytes()).as_str().to_owned()),
        kind: LocalResourceType::File,
        visibility: Visibility::Public,
        executable: true,
    };
    JobSubmission {
        job: JobId(77),
        program: Program {
            name: "count".to_owned(),
            executable,
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            files: BTreeMap::new(),
        },
        configuration: BTreeMap::new(),
    }
}

/// Runs a JobManager for one job until it ends.
async fn run(dir: &Path, submission: JobSubmission, resource_manager: &str) -> Result<(), Error> {
    run_watched(dir, submission, resource_manager).await.0
}

/// As [`run`]; with what somebody saw who watched its job.
async fn run_watched(
    dir: &Path,
    submission: JobSubmission,
    resource_manager: &str,
) -> (Result<(), Error>, Vec<JobStatus>) {
    let storage = dir.join("storage").display().to_string();
    let configuration = BTreeMap::from([
        ("flott.storage.dir".to_owned(), storage),
        ("taskmanager.numberOfTaskSlots".to_owned(), "2".to_owned()),
    ]);
    let environment = JobManagerEnvironment { job: Some(submission), configuration, secret: String::new() };
    let environment = serde_json::to_string(&environment).unwrap();
    let tokens = dir.join("tokens");
    let token = SigningKey::generate().unwrap().sign("YARN_AM_RM_TOKEN", "", b"{}");
    std::fs::write(&tokens, serde_json::to_vec(&BTreeMap::from([("AMRM", token)])).unwrap()).unwrap();
    let setup = Setup::from_variables(Configuration::new(), |name| match name {
        roles::JOB_MANAGER => Some(environment.clone()),
        roles::APPLICATION_ATTEMPT_ID => Some(ATTEMPT.to_string()),
        roles::RESOURCE_MANAGER => Some(resource_manager.to_owned()),
        roles::NM_HOST => Some("127.0.0.1".to_owned()),
        name if name == roles::TOKEN_FILE[0] => Some(tokens.display().to_string()),
        _ => None,
    })
    .unwrap();
    let server = Server::bind(setup.bind_host(), setup.ports()[0]).unwrap();
    let (service, handle) = setup.start(server.local_addr(), None).unwrap();
    let (router, cancel, mut tasks) = (service.links(), CancellationToken::new(), JoinSet::new());
    let serving = cancel.child_token();
    tasks.spawn(async move { server.serve(router, serving).await.unwrap() });
    let watching = async move {
        let (mut seen, mut since) = (Vec::new(), 0);
        while let Ok(Some((version, status))) =
            handle.view(|core, _| core.job(JobId(77)).map(|job| (job.version(), job.status()))).await
        {
            seen.push(status);
            since = version.max(since);
            if handle.watch(JobId(77), since, PATIENCE).await.is_err() {
                break;
            }
        }
        seen
    };
    let running = tokio::time::timeout(PATIENCE, service.run(cancel.child_token()));
    let (outcome, seen) = tokio::join!(running, watching);
    cancel.cancel();
    tasks.join_all().await;
    (outcome.expect("it ends"), seen)
}

#[tokio::test]
async fn a_job_runs_in_containers_and_the_application_ends_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(Behaviour::Finish, Manner::Grants);
    let program = fakes::program(&super::job_master::tests::plan(2));
    run(dir.path(), submission(dir.path(), &program), &cluster.address).await.unwrap();
    let finish = cluster.finished.recv().await.unwrap();
    assert_eq!((finish.final_status, finish.diagnostics.as_str()), (FinalStatus::Succeeded, "FINISHED"));
    assert!(!dir.path().join("storage/application_1_0001").exists(), "nobody will read its records");
    cluster.stop().await;
}

#[tokio::test]
async fn a_second_attempt_finds_the_end_and_says_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(Behaviour::Finish, Manner::KillsAtGoodbye);
    let program = fakes::program(&super::job_master::tests::plan(2));
    run(dir.path(), submission(dir.path(), &program), &cluster.address).await.unwrap();
    assert_eq!(cluster.finished.recv().await.unwrap().final_status, FinalStatus::Succeeded);
    cluster.stop().await;
    let stored = dir.path().join("storage/application_1_0001").join(JobId(77).to_string());
    for name in ["job.json", "plan.json", "verdict-1.json", "outcome-1.json"] {
        assert!(stored.join(name).exists(), "{name}");
    }

    // Without asking for anything.
    let mut cluster = Cluster::start(Behaviour::Finish, Manner::Grants);
    run(dir.path(), submission(dir.path(), "#!/bin/sh\nexit 1\n"), &cluster.address).await.unwrap();
    assert_eq!(cluster.finished.recv().await.unwrap().final_status, FinalStatus::Succeeded);
    cluster.stop().await;
}

#[tokio::test]
async fn a_goodbye_that_a_dying_resource_manager_has_not_stored_is_said_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(Behaviour::Finish, Manner::DiesAtGoodbye);
    let program = fakes::program(&super::job_master::tests::plan(2));
    run(dir.path(), submission(dir.path(), &program), &cluster.address).await.unwrap();
    assert_eq!(cluster.finished.recv().await.unwrap().final_status, FinalStatus::Succeeded);
    cluster.stop().await;
}

#[tokio::test]
async fn a_program_that_cannot_be_planned_fails_its_application_with_the_cause() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(Behaviour::Finish, Manner::Grants);
    run(dir.path(), submission(dir.path(), "#!/bin/sh\n"), &cluster.address).await.unwrap();
    let finish = cluster.finished.recv().await.unwrap();
    assert_eq!(finish.final_status, FinalStatus::Failed);
    assert!(finish.diagnostics.starts_with("the program ended without calling env.execute"), "{finish:?}");
    cluster.stop().await;
}

#[tokio::test]
async fn a_killed_application_ends_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(Behaviour::Run, Manner::Kills);
    let program = fakes::program(&super::job_master::tests::plan(2));
    let (outcome, seen) = run_watched(dir.path(), submission(dir.path(), &program), &cluster.address).await;
    assert_eq!(outcome.unwrap_err().to_string(), "killed by user");
    // Another attempt may go on with the job: its end here is nobody's business.
    assert!(seen.iter().all(|status| !status.is_globally_terminal()), "{seen:?}");
    cluster.stop().await;
}
