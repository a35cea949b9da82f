//! A TaskManager and workers over real links, that run nothing: tasks finish as soon as they are deployed.

use std::path::Path;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Configuration, Origin};
use crate::graph::plan::{NodeIndex, Plan};
use crate::graph::task::{Committable, ExecutionState, TaskDeployment, TaskMetrics};
use crate::ids::{ContainerId, JobId, TaskManagerId};
use crate::protocol::container::{ExitCause, LocalResource, LocalResourceType, Visibility};
use crate::protocol::job::{JobSubmission, Program};
use crate::protocol::task_manager::{self, StartWorker, ToTaskManager};
use crate::protocol::worker::{self, ToJobManager, ToWorker};
use crate::resource::MemorySize;
use crate::rpc::link::{LinkEvent, LinkOptions, LinkReceiver, LinkSender, LinkTarget, open};

/// What fake workers do with what they are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Finish each task; sinks prepare one file each.
    Finish,
    /// Run for ever; cancel when told.
    Run,
}

/// A configuration whose storage lies below `dir`.
pub(crate) fn configuration(dir: &Path) -> Configuration {
    let mut configuration = Configuration::new();
    let dir = dir.join("storage").display().to_string();
    configuration.set("flott.storage.dir", &dir, Origin::CommandLine).unwrap();
    configuration
}

/// A submission whose program lies nowhere.
pub(crate) fn submission(job: JobId) -> JobSubmission {
    let executable = LocalResource {
        url: String::new(),
        size: 0,
        sha256: None,
        kind: LocalResourceType::File,
        visibility: Visibility::Public,
        executable: true,
    };
    let program = Program {
        name: "count".to_owned(),
        executable,
        arguments: Vec::new(),
        environment: Default::default(),
        files: Default::default(),
    };
    JobSubmission { job, program, configuration: Default::default() }
}

/// A script that answers the plan role with `plan`.
pub(crate) fn program(plan: &Plan) -> String {
    let json = serde_json::to_string(plan).unwrap();
    format!("#!/bin/sh\ncat > \"$FLOTT_INTERNAL_PLAN\" <<'END'\n{json}\nEND\n")
}

/// What a TaskManager that registers says.
pub(crate) fn register(id: &str, container: Option<ContainerId>, secret: Option<String>) -> task_manager::Register {
    task_manager::Register {
        task_manager: TaskManagerId(id.to_owned()),
        container,
        host: "127.0.0.1".to_owned(),
        http_address: "127.0.0.1:1".to_owned(),
        slots: 2,
        memory: MemorySize::from_mebibytes(256),
        cores: 2,
        pid: 1,
        secret,
        workers: Vec::new(),
    }
}

/// Runs a TaskManager until `cancel`, or until it is told to shut down.
pub(crate) async fn task_manager(
    job_manager: String,
    hello: task_manager::Register,
    behaviour: Behaviour,
    cancel: CancellationToken,
) {
    let mut tasks = JoinSet::new();
    let target = LinkTarget::new(job_manager.as_str(), task_manager::PATH);
    let options = LinkOptions::new("TaskManager");
    let (sender, mut events): (
        LinkSender<task_manager::ToJobManager>,
        LinkReceiver<_, task_manager::Registered, ToTaskManager>,
    ) = open(&mut tasks, target, &hello, options, cancel.child_token());
    let mut workers = JoinSet::new();
    while let Some(event) = events.next().await {
        match event {
            LinkEvent::Message(ToTaskManager::StartWorker(start)) => {
                let started = task_manager::ToJobManager::WorkerStarted { worker: start.worker.clone(), pid: 2 };
                sender.send(started).unwrap();
                let (sender, cancel) = (sender.clone(), cancel.child_token());
                workers.spawn(async move {
                    let id = start.worker.clone();
                    worker(*start, behaviour, cancel).await;
                    let cause = ExitCause::Completed { code: 0 };
                    let exited =
                        task_manager::ToJobManager::WorkerExited { worker: id, cause, diagnostics: String::new() };
                    let _ = sender.send(exited);
                });
            }
            LinkEvent::Message(ToTaskManager::Shutdown { .. }) | LinkEvent::Refused(_) => break,
            LinkEvent::Message(ToTaskManager::StopWorker { .. } | ToTaskManager::JobEnded { .. })
            | LinkEvent::Opened { .. }
            | LinkEvent::Broken { .. } => {}
        }
    }
}

async fn worker(start: StartWorker, behaviour: Behaviour, cancel: CancellationToken) {
    let mut tasks = JoinSet::new();
    let target = LinkTarget::new(start.job_manager.as_str(), worker::PATH);
    let hello = worker::Register {
        worker: start.worker,
        pid: 2,
        data_address: "127.0.0.1:9".to_owned(),
        plan_hash: start.plan.hash(),
        secret: start.secret,
    };
    let (sender, mut events): (LinkSender<ToJobManager>, LinkReceiver<_, worker::Registered, ToWorker>) =
        open(&mut tasks, target, &hello, LinkOptions::new("worker"), cancel);
    while let Some(event) = events.next().await {
        let LinkEvent::Message(message) = event else { continue };
        match message {
            ToWorker::Deploy { tasks } => {
                for task in tasks {
                    deployed(&sender, &task, behaviour);
                }
            }
            ToWorker::Cancel { attempts } => {
                for attempt in attempts {
                    sender.send(state(attempt, ExecutionState::Canceled, Vec::new())).unwrap();
                }
            }
            ToWorker::Commit { operator, publication, .. } => {
                sender.send(ToJobManager::Committed { operator, publication, failure: None }).unwrap();
            }
            ToWorker::Shutdown => break,
            ToWorker::AssignSplit { .. }
            | ToWorker::NoMoreSplits { .. }
            | ToWorker::StopSources { .. }
            | ToWorker::TriggerCheckpoint { .. }
            | ToWorker::ResumeSources { .. }
            | ToWorker::Discard { .. } => {}
        }
    }
}

fn deployed(sender: &LinkSender<ToJobManager>, task: &TaskDeployment, behaviour: Behaviour) {
    sender.send(state(task.attempt, ExecutionState::Running, Vec::new())).unwrap();
    if behaviour == Behaviour::Finish {
        let sink = task.outputs.is_empty();
        let operator = task.operators.last().copied().unwrap_or(NodeIndex(0));
        let file = Committable { operator, payload: serde_json::json!("part") };
        let committables = if sink { vec![file] } else { Vec::new() };
        sender.send(state(task.attempt, ExecutionState::Finished, committables)).unwrap();
    }
}

fn state(
    attempt: crate::ids::ExecutionAttemptId,
    state: ExecutionState,
    committables: Vec<Committable>,
) -> ToJobManager {
    ToJobManager::TaskState { attempt, state, failure: None, committables, metrics: TaskMetrics::default() }
}
