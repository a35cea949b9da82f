//! What the command line needs to submit and ask.

use std::path::PathBuf;
use std::time::Duration;

use super::cluster::resource_manager;
use super::options::{
    CLIENT_POLL_INTERVAL, CLIENT_TIMEOUT, EXECUTION_ATTACHED, EXECUTION_TARGET, JOBMANAGER_MEMORY,
    JOBMANAGER_RPC_ADDRESS, REST_ADDRESS, REST_PORT, YARN_APPLICATION_ATTEMPTS, YARN_APPLICATION_ID,
    YARN_APPLICATION_NAME, YARN_APPLICATION_QUEUE, YARN_SHIP_FILES, YARN_TAGS,
};
use super::security::credentials;
use super::{Configuration, Error};
use crate::resource::MemorySize;
use crate::rpc::Credentials;

/// The client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// `execution.target`: where jobs are submitted to.
    pub target: Option<String>,
    /// `execution.attached`: whether to wait for the job; default false, `flott run` sets it.
    pub attached: bool,
    /// `host:port` of the ResourceManager.
    pub resource_manager: String,
    /// `host:port` of the standalone JobManager's REST API, from `rest.address` (else `jobmanager.rpc.address`) and `rest.port`.
    pub job_manager: String,
    /// `client.timeout`; default 60 s.
    pub timeout: Duration,
    /// `client.poll.interval`; default 200 ms.
    pub poll_interval: Duration,
    /// `yarn.application.id`: the session to submit to.
    pub application_id: Option<String>,
    /// `yarn.application.name`; default: the program's.
    pub application_name: Option<String>,
    /// `yarn.application.queue`; default `root.default`.
    pub queue: String,
    /// `yarn.application-attempts`; default: as the ResourceManager says.
    pub application_attempts: Option<u32>,
    /// `yarn.ship-files`.
    pub ship_files: Vec<PathBuf>,
    /// `yarn.tags`.
    pub tags: Vec<String>,
    /// `jobmanager.memory.process.size`: the container asked for the JobManager; default 256 MB.
    pub jobmanager_memory: MemorySize,
    /// `cluster.secret`, the token to show, and TLS.
    pub credentials: Credentials,
}

impl ClientConfig {
    /// Reads and checks it.
    ///
    /// # Errors
    /// [`Error`] names the key and where it was set.
    pub fn from_configuration(configuration: &Configuration) -> Result<Self, Error> {
        let host = configuration.find::<String>(&REST_ADDRESS)?;
        let host = host.map_or_else(|| configuration.get(&JOBMANAGER_RPC_ADDRESS), Ok)?;
        let port: u16 = configuration.get(&REST_PORT)?;
        let files: Vec<String> = configuration.find(&YARN_SHIP_FILES)?.unwrap_or_default();
        Ok(Self {
            target: configuration.find(&EXECUTION_TARGET)?,
            attached: configuration.get(&EXECUTION_ATTACHED)?,
            resource_manager: resource_manager(configuration)?,
            job_manager: format!("{host}:{port}"),
            timeout: configuration.get(&CLIENT_TIMEOUT)?,
            poll_interval: configuration.get(&CLIENT_POLL_INTERVAL)?,
            application_id: configuration.find(&YARN_APPLICATION_ID)?,
            application_name: configuration.find(&YARN_APPLICATION_NAME)?,
            queue: configuration.get(&YARN_APPLICATION_QUEUE)?,
            application_attempts: configuration.find(&YARN_APPLICATION_ATTEMPTS)?,
            ship_files: files.into_iter().map(PathBuf::from).collect(),
            tags: configuration.find(&YARN_TAGS)?.unwrap_or_default(),
            jobmanager_memory: configuration.get(&JOBMANAGER_MEMORY)?,
            credentials: credentials(configuration)?,
        })
    }
}
