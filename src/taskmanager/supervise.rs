//! A worker's process from its start to its end.

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use tokio::task::JoinSet;

use super::core::Event;
use super::directories::Directories;
use super::output::{Outputs, Stream};
use crate::config::S3Config;
use crate::ids::{JobId, WorkerId};
use crate::process::{Child, Command, Ended, Leads, Output, Signal, StandardInput, end_tree, signal_tree};
use crate::protocol::roles::{self, WorkerEnvironment};
use crate::protocol::task_manager::StartWorker;
use crate::rpc::{TlsFiles, io_cause};

/// How long output may go on once the worker has ended; only a process that left its tree could hold it open.
const OUTPUT_MAX: Duration = Duration::from_secs(2);
/// Passed on from the TaskManager's own environment, unless the program's recorded one says otherwise.
const INHERITED: [&str; 6] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", roles::CONTAINER_ID];
/// So are those that begin so: with them a worker reaches the places of its checkpoints.
const OBJECT_STORES_PREFIX: &str = "AWS_";

/// Starts a prepared worker.
pub(super) fn spawn(
    start: &StartWorker,
    directories: &Directories,
    host: &str,
    tls: Option<&TlsFiles>,
    s3: &S3Config,
) -> Result<Child, String> {
    let worker = &start.worker;
    let temporary = directories.temporary(worker);
    let object_stores = directories.object_stores(worker);
    s3.write_private(&object_stores)
        .map_err(|error| format!("cannot write {}: {}", object_stores.display(), io_cause(&error)))?;
    let told = WorkerEnvironment {
        worker: worker.clone(),
        job_manager: start.job_manager.clone(),
        secret: start.secret.clone(),
        host: host.to_owned(),
        slots: start.slots,
        memory: start.memory,
        configuration: start.configuration.clone(),
        temporary_dir: temporary.clone(),
        tls: tls.cloned(),
    };
    let told = serde_json::to_string(&told).expect("an environment is expressible in JSON");
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let inherited = |name: &str| INHERITED.contains(&name) || name.starts_with(OBJECT_STORES_PREFIX);
    let here = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let mut environment: BTreeMap<String, String> = here.filter(|(name, _)| inherited(name)).collect();
    let recorded = start.program.environment.iter().filter(|(name, _)| !name.starts_with(roles::PREFIX));
    environment.insert("TMPDIR".to_owned(), text(&temporary));
    environment.extend(recorded.map(|(name, value)| (name.clone(), value.clone())));
    let directory = directories.worker(worker);
    let roles = [
        ("PWD", text(&directory)),
        (roles::ROLE, roles::ROLE_WORKER.to_owned()),
        (roles::PLAN, text(&directories.plan(worker))),
        (roles::WORKER, told),
        (roles::OBJECT_STORES, text(&object_stores)),
    ];
    let mut command = Command::new(directories.program(worker, &start.program.name))
        .arguments(&start.program.arguments)
        .environment(environment)
        .environment(roles);
    command.directory = Some(directory);
    command.stdin = StandardInput::Pipe;
    command.stdout = Output::Pipe;
    command.stderr = Output::Pipe;
    command.leads = Leads::Group;
    command.spawn().map_err(|error| error.to_string())
}

/// Collects what `child` writes, waits for its end, ends whatever is left of its tree and tells how it ended. Holds its standard
/// input open meanwhile: dropped, the worker exits.
pub(super) async fn supervise(worker: WorkerId, mut child: Child, outputs: Outputs) -> Event {
    let mut pumps = JoinSet::new();
    let stdout = child.stdout.take().map(|pipe| pipe.into_owned_fd());
    let stderr = child.stderr.take().map(|pipe| pipe.into_owned_fd());
    pump(&mut pumps, worker.job, Stream::Stdout, stdout, &outputs);
    pump(&mut pumps, worker.job, Stream::Stderr, stderr, &outputs);
    let ended = child.wait().await;
    let leader = child.identity();
    let left = tokio::task::spawn_blocking(move || signal_tree(leader, Signal::Kill)).await;
    if !matches!(left, Ok(Ok(0)))
        && let Err(error) = end_tree(leader, Duration::ZERO).await
    {
        tracing::error!(%worker, cause = io_cause(&error), "cannot end all of the worker's processes");
    }
    let mut diagnostics = String::new();
    let collect = async {
        while let Some(pump) = pumps.join_next().await {
            if let Ok((Stream::Stderr, tail)) = pump {
                diagnostics = tail;
            }
        }
    };
    if tokio::time::timeout(OUTPUT_MAX, collect).await.is_err() {
        tracing::warn!(%worker, "somebody still holds the worker's output");
    }
    let ended = ended.unwrap_or_else(|error| {
        tracing::error!(%worker, cause = io_cause(&error), "cannot learn how the worker ended");
        Ended::Code(-1)
    });
    Event::Exited { worker, ended, diagnostics }
}

fn pump(
    pumps: &mut JoinSet<(Stream, String)>,
    job: JobId,
    stream: Stream,
    pipe: Option<io::Result<OwnedFd>>,
    outputs: &Outputs,
) {
    match pipe {
        Some(Ok(pipe)) => {
            let outputs = outputs.clone();
            pumps.spawn_blocking(move || (stream, outputs.collect(job, stream, File::from(pipe))));
        }
        Some(Err(error)) => tracing::error!(cause = io_cause(&error), ?stream, "cannot read a worker's output"),
        None => {}
    }
}
