//! What a `flott jobmanager` process is to be, from its configuration and environment: an application's master in a container, or
//! standalone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::archive::{Archive, Render};
use super::containers::Shape;
use super::core;
use super::error::Error;
use super::handle::{About, Handle};
use super::planning::{PROGRAMS_MAX, Planner};
use super::programs::Programs;
use super::resource_manager::Application;
use super::service::{Config, PreparationConfig, Service};
use super::uploads::Uploads;
use crate::config::{Configuration, JobManagerConfig};
use crate::engine::checkpoint::Storages;
use crate::protocol::roles::{self, JobManagerEnvironment, SecurityEnvironment};
use crate::resource::Resource;
use crate::rpc::token::{SigningKey, Token};
use crate::rpc::{ClusterSecret, Credentials, Tls};
use crate::storage::{BlobStore, History};
use crate::time::{Clock, SystemClock};

/// Name of the AM-RM token in a container's token file.
const AM_RM_TOKEN: &str = "AMRM";
/// Directory of a standalone JobManager's records below `flott.storage.dir`.
const STANDALONE_DIR: &str = "standalone";

/// A JobManager before its ports are bound.
///
/// Bind [`Setup::bind_host`] on one of [`Setup::ports`] (and, standalone, on [`Setup::links_port`] too), give the addresses to
/// [`Setup::start`], and serve [`Service::links`] merged with the REST routes on both.
#[derive(Debug)]
pub struct Setup {
    configuration: Configuration,
    config: JobManagerConfig,
    container: Option<Container>,
    archive: Option<Render>,
}

/// What a container's environment says.
#[derive(Debug)]
struct Container {
    environment: JobManagerEnvironment,
    application: Application,
    host: String,
}

impl Setup {
    /// Looks at this process' environment.
    ///
    /// # Errors
    /// [`Error::Setup`] names what is missing or wrong.
    pub fn from_environment(configuration: Configuration) -> Result<Self, Error> {
        Self::from_variables(configuration, |name| std::env::var(name).ok())
    }

    pub(crate) fn from_variables(
        configuration: Configuration,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Error> {
        let invalid = |error: crate::config::Error| Error::Setup(error.to_string());
        let container = match variable(roles::JOB_MANAGER) {
            Some(json) => Some(Container::new(&json, &variable)?),
            None => None,
        };
        let configuration = match &container {
            Some(container) => configuration.with_submitted(&container.environment.configuration).map_err(invalid)?,
            None => configuration,
        };
        let mut config = JobManagerConfig::from_configuration(&configuration).map_err(invalid)?;
        if let Some(security) = variable(roles::SECURITY).filter(|_| container.is_some()) {
            config.security = SecurityEnvironment::security(&security).map_err(Error::Setup)?;
        }
        Ok(Self { configuration, config, container, archive: None })
    }

    /// Has jobs that end archived as `render` shows them, where a ResourceManager finds them when the application has ended. A standalone
    /// JobManager shows its jobs itself.
    #[must_use]
    pub fn archived_by(self, render: Render) -> Self {
        Self { archive: Some(render), ..self }
    }

    /// The interface to listen on.
    pub fn bind_host(&self) -> &str {
        self.container.as_ref().map_or(&self.config.rest_bind_host, |container| &container.host)
    }

    /// How it serves.
    pub fn tls(&self) -> &Tls {
        &self.config.security.tls
    }

    /// Ports to try in turn.
    pub fn ports(&self) -> Vec<u16> {
        if self.container.is_some() { vec![0] } else { self.config.rest_ports.clone() }
    }

    /// Interface and port of links, where they have one of their own (standalone: `jobmanager.rpc.port`).
    pub fn links_port(&self) -> Option<(&str, u16)> {
        self.container.is_none().then_some((self.config.bind_host.as_str(), self.config.port))
    }

    /// Makes the service. `address`: what was bound of [`Setup::ports`]; `links`: of [`Setup::links_port`]. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// [`Error`] if directories cannot be made or the system has no randomness.
    pub fn start(self, address: SocketAddr, links: Option<SocketAddr>) -> Result<(Service, Handle), Error> {
        self.start_with_clock(address, links, SystemClock::shared())
    }

    /// As [`Setup::start`], with a clock of one's own.
    ///
    /// # Errors
    /// As there.
    pub fn start_with_clock(
        self,
        address: SocketAddr,
        links: Option<SocketAddr>,
        clock: Arc<dyn Clock>,
    ) -> Result<(Service, Handle), Error> {
        let generated = SigningKey::generate().map_err(|error| Error::Setup(error.to_string()))?.to_hex();
        let about_started = clock.now();
        let Self { configuration, config, container, archive } = self;
        let (subdir, secret, attempt) = identity(container.as_ref(), generated);
        let storage_dir = config.storage_dir.join(subdir);
        let (public, job_manager) = addresses(&config, container.as_ref(), address, links);
        let (preparation, uploads) = preparation(&config, container.as_ref(), &storage_dir)?;
        // One that makes its own secret is not known to the TaskManagers of the attempt before: they need not be waited for.
        let given = container.as_ref().is_some_and(|container| !container.environment.secret.trim().is_empty());
        let previous_worker_timeout = if given { config.previous_worker_timeout } else { Duration::ZERO };
        let shape = container.as_ref().map(|_| Shape {
            slots: config.taskmanager_slots,
            capability: Resource::new(config.taskmanager_memory.mebibytes(), config.taskmanager_vcores),
        });
        let task_manager_secret = if container.is_some() { ClusterSecret::new(&secret) } else { config.secret.clone() };
        let credentials =
            Credentials { secret: task_manager_secret.clone(), token: None, tls: config.security.tls.clone() };
        let front = container.as_ref().map(|container| container.application.token.front_secret());
        let about = About {
            address: public,
            secrets: task_manager_secret.iter().cloned().chain(front).collect(),
            credentials,
            tokens: config.security.tokens.clone(),
            started_at: about_started,
            configuration,
            refresh_interval: config.web_refresh_interval,
            submit_enabled: config.web_submit,
            upload_bytes_max: config.upload_size_max.bytes(),
            uploads_len_max: config.uploads_max as usize,
            cancel_enabled: config.web_cancel,
            log_dir: log_dir(),
            uploads,
        };
        let core = core::Settings {
            attempt,
            job_manager,
            secret,
            lost_after: config.frozen_after,
            idle_after: config.taskmanager_timeout,
            slot_timeout: config.slot_request_timeout,
            previous_worker_timeout,
            containers: shape,
            ended_jobs_max: config.ended_jobs_max as usize,
            seed: fastrand::u64(..),
        };
        let archive = archive.zip(container.as_ref()).map(|(render, container)| Archive {
            history: History::new(config.archive_dir.clone()),
            application: container.application.attempt.application,
            render,
        });
        let (application, job, submitted_configuration) = match container {
            Some(Container { environment, application, .. }) => {
                (Some(application), environment.job, environment.configuration)
            }
            None => (None, None, BTreeMap::new()),
        };
        Ok(Service::new(Config {
            core,
            application,
            job,
            storage_dir,
            storages: Storages::new(&config.s3),
            archive,
            preparation,
            task_manager_secret,
            submitted_configuration,
            heartbeat: config.heartbeat,
            frozen_after: config.frozen_after,
            about,
            clock,
        }))
    }
}

/// Directory in the storage, the secret of its own, and which attempt this is.
fn identity(container: Option<&Container>, generated: String) -> (String, String, u32) {
    let Some(container) = container else { return (STANDALONE_DIR.to_owned(), generated, 1) };
    let given = container.environment.secret.trim();
    let secret = if given.is_empty() { generated } else { given.to_owned() };
    let attempt = container.application.attempt;
    (attempt.application.to_string(), secret, attempt.attempt)
}

/// `host:port` of REST, and of links.
fn addresses(
    config: &JobManagerConfig,
    container: Option<&Container>,
    address: SocketAddr,
    links: Option<SocketAddr>,
) -> (String, String) {
    if let Some(container) = container {
        let here = format!("{}:{}", container.host, address.port());
        return (here.clone(), here);
    }
    let links_port = links.unwrap_or(address).port();
    (format!("{}:{}", config.rest_address, address.port()), format!("{}:{links_port}", config.address))
}

/// A node, or whoever starts daemons, says where our output goes.
fn log_dir() -> Option<PathBuf> {
    let dirs = std::env::var(roles::LOG_DIRS).or_else(|_| std::env::var("FLOTT_LOG_DIR")).ok()?;
    dirs.split(',').next().filter(|dir| !dir.is_empty()).map(PathBuf::from)
}

/// Of one job in a container everything local lies in its working directory, which goes with it. Who takes many jobs takes
/// uploads, and keeps them below the storage directory.
fn preparation(
    config: &JobManagerConfig,
    container: Option<&Container>,
    storage_dir: &std::path::Path,
) -> Result<(PreparationConfig, Option<Uploads>), Error> {
    let tls = config.security.tls.clone();
    let (programs, scratch_dir, uploads) = match container {
        Some(container) if container.environment.job.is_some() => {
            let here = std::env::current_dir().map_err(|error| Error::Setup(error.to_string()))?;
            (Programs::new(here.join("fetched"), Some(here.join(roles::PROGRAMS_DIR)), tls), here, None)
        }
        Some(_) | None => {
            let blobs = storage_dir.join("blobs");
            let uploads = Uploads::open(BlobStore::open(&blobs).map_err(Error::Storage)?, storage_dir.to_owned());
            (Programs::new(storage_dir.join("fetched"), Some(blobs), tls), storage_dir.join("scratch"), Some(uploads))
        }
    };
    let host = container.map_or_else(|| config.address.clone(), |container| container.host.clone());
    let permits = Arc::new(Semaphore::new(PROGRAMS_MAX));
    let planner = Planner { timeout: config.plan_timeout, memory: config.plan_memory, scratch_dir, host, permits };
    Ok((PreparationConfig { programs, planner }, uploads))
}

impl Container {
    fn new(environment: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let required =
            |name: &str| variable(name).ok_or_else(|| Error::Setup(format!("{name} is not set; a node sets it")));
        let malformed = |name: &str, cause: String| Error::Setup(format!("{name} is malformed: {cause}"));
        let environment =
            serde_json::from_str(environment).map_err(|error| malformed(roles::JOB_MANAGER, error.to_string()))?;
        let attempt = required(roles::APPLICATION_ATTEMPT_ID)?;
        let attempt = attempt
            .parse()
            .map_err(|error: crate::ids::InvalidId| malformed(roles::APPLICATION_ATTEMPT_ID, error.to_string()))?;
        let file = PathBuf::from(required(roles::TOKEN_FILE[0])?);
        let json = std::fs::read(&file).map_err(|error| malformed(&file.display().to_string(), error.to_string()))?;
        let mut tokens: BTreeMap<String, Token> =
            serde_json::from_slice(&json).map_err(|error| malformed(&file.display().to_string(), error.to_string()))?;
        let token = tokens
            .remove(AM_RM_TOKEN)
            .ok_or_else(|| Error::Setup(format!("{} holds no token {AM_RM_TOKEN}", file.display())))?;
        let application = Application { attempt, token, resource_manager: required(roles::RESOURCE_MANAGER)? };
        Ok(Self { environment, application, host: required(roles::NM_HOST)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_needs_what_its_node_sets() {
        let environment = JobManagerEnvironment { job: None, configuration: BTreeMap::new(), secret: String::new() };
        let json = serde_json::to_string(&environment).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let tokens = dir.path().join("tokens");
        let token = SigningKey::generate().unwrap().sign("YARN_AM_RM_TOKEN", "rm", b"{}");
        std::fs::write(&tokens, serde_json::to_vec(&BTreeMap::from([(AM_RM_TOKEN, token)])).unwrap()).unwrap();
        let all = [
            (roles::JOB_MANAGER, json.as_str()),
            (roles::APPLICATION_ATTEMPT_ID, "appattempt_1_0001_000002"),
            (roles::TOKEN_FILE[0], tokens.to_str().unwrap()),
            (roles::RESOURCE_MANAGER, "rm:8088"),
            (roles::NM_HOST, "127.0.0.1"),
        ];
        let setup = |without: &str| {
            Setup::from_variables(Configuration::new(), |name| {
                all.iter().find(|(n, _)| *n == name && name != without).map(|(_, value)| (*value).to_owned())
            })
        };
        let complete = setup("").unwrap();
        assert_eq!((complete.bind_host(), complete.ports(), complete.links_port()), ("127.0.0.1", vec![0], None));
        assert_eq!(complete.container.unwrap().application.attempt.attempt, 2);
        for (name, _) in &all[1..] {
            let error = setup(name).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name} is not set")), "{error}");
        }
        let standalone = setup(roles::JOB_MANAGER).unwrap();
        assert_eq!((standalone.ports(), standalone.links_port()), (vec![8081], Some(("127.0.0.1", 6123))));
    }
}
