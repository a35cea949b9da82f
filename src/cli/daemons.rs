//! Running a daemon: configuration, logging, ports, the service beside its HTTP views, signals, and the ready file.
//!
//! ```text
//! settings ─► config ─► bind ─► start (service + handle) ─► links ∪ REST on the port ─► ready file ─► run until TERM or INT
//! ```

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use axum::Router;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing::level_filters::LevelFilter;

use super::arguments::Daemon;
use crate::config::{Configuration, NodeManagerConfig, ResourceManagerConfig, TaskManagerConfig, options};
use crate::process::give_back_own_program;
use crate::protocol::roles::{NM_HOST, SECURITY, SecurityEnvironment, TASK_MANAGER, TaskManagerEnvironment};
use crate::rest::access::Access;
use crate::rpc::ClusterSecret;
use crate::rpc::http::{BindError, Server};
use crate::storage::files;
use crate::telemetry::{LogTarget, init_logging};
use crate::time::SystemClock;
use crate::{jobmanager, nodemanager, resourcemanager, rest, taskmanager, web};

/// Threads of a daemon's runtime. Daemons decide on one of them and only wait for the network on the others.
const RUNTIME_THREADS: usize = 2;

/// What ran within so long of the start belongs to it.
const STARTED_AFTER: Duration = Duration::from_secs(1);
/// Then it is looked again so often.
const GIVE_BACK_EVERY: Duration = Duration::from_secs(60);

/// A daemon's HTTP side: servers and what they serve.
struct Front {
    servers: Vec<Server>,
    router: Router,
}

/// Logging, and a runtime for `run`.
fn daemon<F>(options: Daemon, run: impl FnOnce(Configuration, Option<PathBuf>) -> F) -> anyhow::Result<ExitCode>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let configuration = options.settings.load()?;
    init_logging(&LogTarget::Stderr, LevelFilter::INFO)?;
    for key in configuration.without_effect() {
        info!(key, "this key is accepted and has no effect in this version");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(RUNTIME_THREADS).enable_all().build()?;
    runtime.block_on(run(configuration, options.ready_file))?;
    Ok(ExitCode::SUCCESS)
}

/// `flott resourcemanager`.
pub(super) fn resource_manager(options: Daemon) -> anyhow::Result<ExitCode> {
    daemon(options, |configuration, ready_file| async move {
        let config = ResourceManagerConfig::from_configuration(&configuration)?;
        config.validate()?;
        let server = bind(&config.bind_host, config.port, "resourcemanager.port")?.with_tls(&config.security.tls);
        let address = reachable(&config.address, server.local_addr());
        let started = resourcemanager::start(&config, &address, SystemClock::shared())?;
        let router =
            started.links.merge(rest::cluster::router(started.handle)).merge(web::router(web::App::ResourceManager));
        let access = Access { security: config.security, secrets: config.secret.into_iter().collect() };
        let router = access.guard(router, rest::cluster::FACE);
        let cancel = CancellationToken::new();
        let ready = || {
            info!(address, "ResourceManager is ready");
            write_ready(ready_file.as_deref(), &address, None)
        };
        serve(Front { servers: vec![server], router }, cancel.clone(), ready, started.service.run(cancel)).await
    })
}

/// `flott nodemanager`.
pub(super) fn node_manager(options: Daemon) -> anyhow::Result<ExitCode> {
    daemon(options, |configuration, ready_file| async move {
        let config = NodeManagerConfig::from_configuration(&configuration)?;
        config.validate()?;
        let server = bind(&config.bind_host, config.port, "nodemanager.port")?.with_tls(&config.security.tls);
        let access = Access { security: config.security.clone(), secrets: config.secret.iter().cloned().collect() };
        let address = reachable(&config.host, server.local_addr());
        let flott = std::env::current_exe().context("cannot find this program's own file")?;
        let port = server.local_addr().port();
        let (service, handle) =
            nodemanager::start(config, port, flott, nodemanager::Timing::default(), SystemClock::shared())?;
        let cancel = CancellationToken::new();
        let ready = || {
            info!(address, "NodeManager is ready");
            write_ready(ready_file.as_deref(), &address, None)
        };
        let router = rest::node::router(handle).merge(web::router(web::App::NodeManager));
        let router = access.guard(router, rest::node::FACE);
        serve(Front { servers: vec![server], router }, cancel.clone(), ready, service.run(cancel)).await
    })
}

/// `flott jobmanager`.
pub(super) fn job_manager(options: Daemon) -> anyhow::Result<ExitCode> {
    daemon(options, |configuration, ready_file| async move {
        let setup = jobmanager::Setup::from_environment(configuration)?.archived_by(rest::flink::archive);
        let mut servers = vec![bind_one_of(setup.bind_host(), &setup.ports(), "rest.port")?.with_tls(setup.tls())];
        if let Some((host, port)) = setup.links_port() {
            servers.push(bind(host, port, "jobmanager.rpc.port")?.with_tls(setup.tls()));
        }
        let addresses: Vec<_> = servers.iter().map(|server| server.local_addr()).collect();
        let (service, handle) = setup.start(addresses[0], addresses.get(1).copied())?;
        let address = handle.about().address.clone();
        let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
        let links = addresses.get(1).map(|bound| reachable(host, *bound));
        let router =
            service.links().merge(rest::flink::router(handle.clone())).merge(web::router(web::App::JobManager));
        let router = rest::flink::guard(&handle, router);
        let cancel = CancellationToken::new();
        let ready = || {
            info!(address, "JobManager is ready");
            write_ready(ready_file.as_deref(), &address, links.as_deref())
        };
        serve(Front { servers, router }, cancel.clone(), ready, service.run(cancel)).await
    })
}

/// `flott taskmanager`.
pub(super) fn task_manager(options: Daemon) -> anyhow::Result<ExitCode> {
    daemon(options, |configuration, ready_file| async move {
        let told: Option<TaskManagerEnvironment> = match std::env::var(TASK_MANAGER) {
            Ok(json) => Some(serde_json::from_str(&json).with_context(|| format!("cannot read {TASK_MANAGER}"))?),
            Err(_) => None,
        };
        let configuration = match &told {
            Some(told) => configuration.with_submitted(&told.configuration)?,
            None => configuration,
        };
        let mut config = TaskManagerConfig::from_configuration(&configuration)?;
        let in_container = told.is_some();
        if let Some(json) = std::env::var(SECURITY).ok().filter(|_| in_container) {
            config.security = SecurityEnvironment::security(&json).map_err(|cause| anyhow!(cause))?;
        }
        // In a container the node says which interface; its port is nobody's habit in either mode.
        let host = std::env::var(NM_HOST).ok().filter(|_| in_container).unwrap_or_else(|| config.bind_host.clone());
        let server = bind(&host, 0, "taskmanager.bind-host")?.with_tls(&config.security.tls);
        let port = server.local_addr().port();
        let settings = match told {
            Some(told) => taskmanager::Settings::in_container(told, &config, port),
            None => {
                config.validate()?;
                let log_dir = configuration.find::<PathBuf>(&options::LOG_DIR)?;
                taskmanager::Settings::standalone(&config, port, log_dir.unwrap_or_else(std::env::temp_dir))
            }
        };
        let address = reachable(&settings.host, server.local_addr());
        let secrets = settings.secret.as_deref().and_then(ClusterSecret::new).into_iter().collect();
        let access = Access { security: config.security.clone(), secrets };
        let (service, handle) = taskmanager::start(settings, SystemClock::shared())?;
        let cancel = CancellationToken::new();
        let ready = || {
            info!(address, "TaskManager is ready");
            write_ready(ready_file.as_deref(), &address, None)
        };
        let router = access.guard(rest::task_manager::router(handle), rest::task_manager::FACE);
        serve(Front { servers: vec![server], router }, cancel.clone(), ready, service.run(cancel)).await
    })
}

/// Serves `front` beside `service` until a signal, or until the service ends by itself; the one takes the other along.
async fn serve<E: Into<anyhow::Error>>(
    front: Front,
    cancel: CancellationToken,
    ready: impl FnOnce() -> anyhow::Result<()>,
    service: impl Future<Output = Result<(), E>>,
) -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // The views go on while the service winds up, so that its last words can be heard.
    let stop_serving = CancellationToken::new();
    let mut servers = JoinSet::new();
    for server in front.servers {
        servers.spawn(server.serve(front.router.clone(), stop_serving.clone()));
    }
    ready()?;
    let idle = give_back_now_and_then();
    tokio::pin!(service, idle);
    let outcome = tokio::select! {
        biased;
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
        outcome = &mut service => Some(outcome),
        never = &mut idle => match never {},
    };
    let outcome = match outcome {
        Some(outcome) => outcome,
        None => {
            info!("stopping");
            cancel.cancel();
            service.await
        }
    };
    stop_serving.cancel();
    while let Some(served) = servers.join_next().await {
        served.context("a server's task ended badly")??;
    }
    outcome.map_err(Into::into)
}

/// Gives back what only the start needed, and later what only a few requests did.
async fn give_back_now_and_then() -> Infallible {
    let mut after = STARTED_AFTER;
    loop {
        tokio::time::sleep(after).await;
        give_back_own_program();
        after = GIVE_BACK_EVERY;
    }
}

/// Says that the daemon is ready, and where.
fn write_ready(path: Option<&Path>, address: &str, links: Option<&str>) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let text = json!({ "pid": std::process::id(), "address": address, "links": links.unwrap_or(address) }).to_string();
    files::write_atomic(path, text.as_bytes())
        .with_context(|| format!("cannot write the ready file {}", path.display()))
}

/// Binds, and names the key that changes a taken port.
fn bind(host: &str, port: u16, key: &str) -> anyhow::Result<Server> {
    Server::bind(host, port).map_err(|error| match error {
        error @ BindError::PortTaken { .. } => anyhow!("{error}; stop it, or set another with -D {key}=…"),
        error @ BindError::Other { .. } => error.into(),
    })
}

/// Binds the first free one of `ports`.
fn bind_one_of(host: &str, ports: &[u16], key: &str) -> anyhow::Result<Server> {
    let mut last = anyhow!("{key} names no port");
    for port in ports {
        match bind(host, *port, key) {
            Ok(server) => return Ok(server),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// `host:port` for others: the configured name, not the interface.
fn reachable(host: &str, bound: SocketAddr) -> String {
    format!("{host}:{}", bound.port())
}
