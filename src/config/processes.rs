//! The processes that run jobs.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use super::cluster::{advertised, dir, require_heartbeats};
use super::kind::Ports;
use super::options::{
    ARCHIVE_DIR, ConfigOption, HEARTBEAT_INTERVAL, HEARTBEAT_TIMEOUT, JOBMANAGER_BIND_HOST, JOBMANAGER_MEMORY,
    JOBMANAGER_RPC_ADDRESS, JOBMANAGER_RPC_PORT, JOBSTORE_MAX_CAPACITY, LOG_AGGREGATION_DIR, PREVIOUS_WORKER_TIMEOUT,
    PROGRAM_PLAN_MEMORY, PROGRAM_PLAN_TIMEOUT, REGISTRATION_TIMEOUT, REST_ADDRESS, REST_BIND_ADDRESS, REST_BIND_PORT,
    REST_MAX_CONTENT_LENGTH, REST_PORT, SLOT_REQUEST_TIMEOUT, SLOTS_MAX, STORAGE_DIR, TASKMANAGER_BIND_HOST,
    TASKMANAGER_DATA_PORT, TASKMANAGER_HOST, TASKMANAGER_MEMORY, TASKMANAGER_RESOURCE_ID, TASKMANAGER_SLOTS,
    TASKMANAGER_TIMEOUT, TMP_DIRS, WEB_CANCEL_ENABLE, WEB_EXCEPTION_HISTORY_SIZE, WEB_REFRESH_INTERVAL,
    WEB_SUBMIT_ENABLE, WEB_UPLOAD_MAX_COUNT, YARN_CONTAINERS_VCORES,
};
use super::security::{require_protection, secret, security};
use super::{Configuration, Error, S3Config, Security};
use crate::resource::MemorySize;
use crate::rpc::ClusterSecret;

/// A JobManager's.
#[derive(Clone, Debug, PartialEq)]
pub struct JobManagerConfig {
    /// `jobmanager.rpc.address`: host that TaskManagers reach it at; default 127.0.0.1.
    pub address: String,
    /// `jobmanager.rpc.port`: of links; default 6123; 0 in a container.
    pub port: u16,
    /// `jobmanager.bind-host`; default 127.0.0.1. Any but loopback demands protection.
    pub bind_host: String,
    /// `rest.address`: host that clients reach it at; default: `address`.
    pub rest_address: String,
    /// `rest.bind-port`: tried in turn; default: `rest.port`, 8081; 0 in a container.
    pub rest_ports: Vec<u16>,
    /// `rest.bind-address`; default: `bind_host`. Any but loopback demands protection.
    pub rest_bind_host: String,
    /// `flott.storage.dir`: what must outlive an attempt.
    pub storage_dir: PathBuf,
    /// `jobmanager.archive.fs.dir`: where an application's ended jobs are archived; default: `history` below the storage directory.
    pub archive_dir: PathBuf,
    /// `slot.request.timeout`; default 5 min.
    pub slot_request_timeout: Duration,
    /// `resourcemanager.taskmanager-timeout`: when an idle TaskManager is given back; default 30 s.
    pub taskmanager_timeout: Duration,
    /// `resourcemanager.previous-worker.recovery.timeout`: when TaskManagers of the attempt before that have not registered are given up;
    /// default 3 s.
    pub previous_worker_timeout: Duration,
    /// `jobstore.max-capacity`: ended jobs that are remembered; default 1000.
    pub ended_jobs_max: u32,
    /// `slotmanager.number-of-slots.max`; default: no limit.
    pub slots_max: Option<u32>,
    /// `taskmanager.numberOfTaskSlots` of the TaskManagers it asks for; default 1.
    pub taskmanager_slots: u32,
    /// `taskmanager.memory.process.size` of the TaskManagers it asks for; default 1 GB.
    pub taskmanager_memory: MemorySize,
    /// `yarn.containers.vcores` of the TaskManagers it asks for; default: one a slot.
    pub taskmanager_vcores: u32,
    /// `jobmanager.memory.process.size`: its own container; default 256 MB.
    pub memory: MemorySize,
    /// `program.plan.timeout`; default 60 s.
    pub plan_timeout: Duration,
    /// `program.plan.memory`; default 1 GB.
    pub plan_memory: MemorySize,
    /// `web.exception-history-size`; default 16.
    pub exception_history_len_max: u32,
    /// `web.refresh-interval`; default 3 s.
    pub web_refresh_interval: Duration,
    /// `web.submit.enable`; default true.
    pub web_submit: bool,
    /// `rest.server.max-content-length`: of an upload; default 2 GB.
    pub upload_size_max: MemorySize,
    /// `web.upload.max-count`; default 1000.
    pub uploads_max: u32,
    /// `web.cancel.enable`; default true.
    pub web_cancel: bool,
    /// `heartbeat.interval`; default 1 s.
    pub heartbeat: Duration,
    /// `heartbeat.timeout`; default 5 s.
    pub frozen_after: Duration,
    /// `cluster.secret`, if there is one.
    pub secret: Option<ClusterSecret>,
    /// `security.*`; what a node says goes before it in a container.
    pub security: Security,
    /// `s3.*`: how the places of checkpoints in object stores are reached.
    pub s3: S3Config,
}

impl JobManagerConfig {
    /// Reads and checks it.
    ///
    /// # Errors
    /// [`Error`] names the key and where it was set.
    pub fn from_configuration(configuration: &Configuration) -> Result<Self, Error> {
        let address: String = configuration.get(&JOBMANAGER_RPC_ADDRESS)?;
        let bind_host: String = configuration.get(&JOBMANAGER_BIND_HOST)?;
        let rest_port: u16 = configuration.get(&REST_PORT)?;
        let rest_ports = configuration.find::<Ports>(&REST_BIND_PORT)?.map_or_else(|| vec![rest_port], |ports| ports.0);
        let slots = slots(configuration)?;
        let config = Self {
            rest_address: configuration.find(&REST_ADDRESS)?.unwrap_or_else(|| address.clone()),
            rest_ports,
            rest_bind_host: configuration.find(&REST_BIND_ADDRESS)?.unwrap_or_else(|| bind_host.clone()),
            address,
            port: configuration.get(&JOBMANAGER_RPC_PORT)?,
            bind_host,
            storage_dir: storage_dir(configuration)?,
            archive_dir: archive_dir(configuration)?,
            slot_request_timeout: configuration.get(&SLOT_REQUEST_TIMEOUT)?,
            taskmanager_timeout: configuration.get(&TASKMANAGER_TIMEOUT)?,
            previous_worker_timeout: configuration.get(&PREVIOUS_WORKER_TIMEOUT)?,
            ended_jobs_max: configuration.get(&JOBSTORE_MAX_CAPACITY)?,
            slots_max: configuration.find(&SLOTS_MAX)?,
            taskmanager_slots: slots,
            taskmanager_memory: configuration.get(&TASKMANAGER_MEMORY)?,
            taskmanager_vcores: taskmanager_vcores(configuration, slots)?,
            memory: configuration.get(&JOBMANAGER_MEMORY)?,
            plan_timeout: configuration.get(&PROGRAM_PLAN_TIMEOUT)?,
            plan_memory: configuration.get(&PROGRAM_PLAN_MEMORY)?,
            exception_history_len_max: configuration.get(&WEB_EXCEPTION_HISTORY_SIZE)?,
            web_refresh_interval: configuration.get(&WEB_REFRESH_INTERVAL)?,
            web_submit: configuration.get(&WEB_SUBMIT_ENABLE)?,
            upload_size_max: configuration.get(&REST_MAX_CONTENT_LENGTH)?,
            uploads_max: configuration.get(&WEB_UPLOAD_MAX_COUNT)?,
            web_cancel: configuration.get(&WEB_CANCEL_ENABLE)?,
            heartbeat: configuration.get(&HEARTBEAT_INTERVAL)?,
            frozen_after: configuration.get(&HEARTBEAT_TIMEOUT)?,
            secret: secret(configuration)?,
            security: security(configuration)?,
            s3: S3Config::from_configuration(configuration)?,
        };
        config.validate()?;
        Ok(config)
    }

    /// Checks what belongs together. Called by [`Self::from_configuration`]; again after changes by hand.
    ///
    /// # Errors
    /// [`Error::Conflict`] says what to set.
    pub fn validate(&self) -> Result<(), Error> {
        require_protection(&JOBMANAGER_BIND_HOST, &self.bind_host, self.secret.as_ref(), &self.security)?;
        require_protection(&REST_BIND_ADDRESS, &self.rest_bind_host, self.secret.as_ref(), &self.security)?;
        require_heartbeats(self.heartbeat, self.frozen_after)
    }
}

/// A TaskManager's.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskManagerConfig {
    /// `host:port` of the JobManager's links, from `jobmanager.rpc.address` and `.port`; a container is told.
    pub job_manager: String,
    /// `taskmanager.host`: host that others reach it at; default: the interface it listens on.
    pub host: String,
    /// `taskmanager.bind-host`; default 127.0.0.1. Any but loopback demands protection.
    pub bind_host: String,
    /// `taskmanager.data.port`: of workers, tried in turn; default: a free one.
    pub data_ports: Vec<u16>,
    /// `taskmanager.resource-id`; default: host:port and a random word, in a container its id.
    pub resource_id: Option<String>,
    /// `taskmanager.numberOfTaskSlots`; default 1.
    pub slots: u32,
    /// `taskmanager.memory.process.size`: itself with its workers; default 1 GB.
    pub memory: MemorySize,
    /// `taskmanager.registration.timeout`: how long it waits for the next JobManager in a container; default 5 min.
    pub registration_timeout: Duration,
    /// `io.tmp.dirs`; default: `LOCAL_DIRS` of a container, else the system's.
    pub tmp_dirs: Vec<PathBuf>,
    /// `heartbeat.interval`; default 1 s.
    pub heartbeat: Duration,
    /// `heartbeat.timeout`; default 5 s.
    pub frozen_after: Duration,
    /// `cluster.secret`, if there is one.
    pub secret: Option<ClusterSecret>,
    /// `security.*`; what a node says goes before it in a container.
    pub security: Security,
    /// `s3.*`: how the places of checkpoints in object stores are reached.
    pub s3: S3Config,
}

impl TaskManagerConfig {
    /// Reads and checks it.
    ///
    /// # Errors
    /// [`Error`] names the key and where it was set.
    pub fn from_configuration(configuration: &Configuration) -> Result<Self, Error> {
        let bind_host: String = configuration.get(&TASKMANAGER_BIND_HOST)?;
        let (host, port): (String, u16) =
            (configuration.get(&JOBMANAGER_RPC_ADDRESS)?, configuration.get(&JOBMANAGER_RPC_PORT)?);
        let config = Self {
            job_manager: format!("{host}:{port}"),
            host: configuration.find(&TASKMANAGER_HOST)?.unwrap_or_else(|| advertised(&bind_host)),
            bind_host,
            data_ports: configuration.get::<Ports>(&TASKMANAGER_DATA_PORT)?.0,
            resource_id: configuration.find(&TASKMANAGER_RESOURCE_ID)?,
            slots: slots(configuration)?,
            memory: configuration.get(&TASKMANAGER_MEMORY)?,
            registration_timeout: configuration.get(&REGISTRATION_TIMEOUT)?,
            tmp_dirs: tmp_dirs(configuration),
            heartbeat: configuration.get(&HEARTBEAT_INTERVAL)?,
            frozen_after: configuration.get(&HEARTBEAT_TIMEOUT)?,
            secret: secret(configuration)?,
            security: security(configuration)?,
            s3: S3Config::from_configuration(configuration)?,
        };
        config.validate()?;
        Ok(config)
    }

    /// Checks what belongs together. Called by [`Self::from_configuration`]; again after changes by hand.
    ///
    /// # Errors
    /// [`Error::Conflict`] says what to set.
    pub fn validate(&self) -> Result<(), Error> {
        require_protection(&TASKMANAGER_BIND_HOST, &self.bind_host, self.secret.as_ref(), &self.security)?;
        require_heartbeats(self.heartbeat, self.frozen_after)
    }
}

fn slots(configuration: &Configuration) -> Result<u32, Error> {
    let slots: std::num::NonZeroU32 = configuration.get(&TASKMANAGER_SLOTS)?;
    Ok(slots.get())
}

fn taskmanager_vcores(configuration: &Configuration, slots: u32) -> Result<u32, Error> {
    match configuration.get::<i64>(&YARN_CONTAINERS_VCORES)? {
        -1 => Ok(slots),
        vcores => u32::try_from(vcores)
            .ok()
            .filter(|vcores| *vcores > 0)
            .ok_or_else(|| configuration.invalid(&YARN_CONTAINERS_VCORES, "a whole number of at least 1, or -1")),
    }
}

/// Flink separates them with commas, colons or bars, YAML lists come with semicolons.
fn tmp_dirs(configuration: &Configuration) -> Vec<PathBuf> {
    let text = configuration.raw(&TMP_DIRS).map(str::to_owned).or_else(|| env::var("LOCAL_DIRS").ok());
    let dirs: Vec<PathBuf> = text
        .iter()
        .flat_map(|text| text.split([',', ':', '|', ';']))
        .map(str::trim)
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from)
        .collect();
    if dirs.is_empty() { vec![env::temp_dir()] } else { dirs }
}

/// What outlives an application's processes does not lie in the directory of one of its containers, which goes with that: by
/// default it lies below the machine's temporary directory, whatever the container is told is its own.
fn storage_dir(configuration: &Configuration) -> Result<PathBuf, Error> {
    if configuration.raw(&STORAGE_DIR).is_some_and(|place| place.contains("://")) {
        return Err(configuration.invalid(
            &STORAGE_DIR,
            "a directory that every node mounts; only checkpoints and savepoints may lie in an object store: execution.checkpointing.dir and execution.checkpointing.savepoint-dir",
        ));
    }
    let in_container = env::var_os("CONTAINER_ID").is_some();
    if in_container && !configuration.is_set(&STORAGE_DIR) {
        let own = format!("flott-{}", rustix::process::getuid().as_raw());
        return Ok(PathBuf::from("/tmp").join(own).join("storage"));
    }
    dir(configuration, &STORAGE_DIR, "storage")
}

/// Where archives of ended jobs lie, for who writes and who reads them.
pub(super) fn archive_dir(configuration: &Configuration) -> Result<PathBuf, Error> {
    below_storage(configuration, &ARCHIVE_DIR, "history")
}

/// Where nodes collect the logs of containers.
pub(super) fn container_logs_dir(configuration: &Configuration) -> Result<PathBuf, Error> {
    below_storage(configuration, &LOG_AGGREGATION_DIR, "logs")
}

/// The directory of `option`, else `name` below `flott.storage.dir`.
fn below_storage(configuration: &Configuration, option: &'static ConfigOption, name: &str) -> Result<PathBuf, Error> {
    match configuration.find::<PathBuf>(option)? {
        Some(path) => std::path::absolute(&path).map_err(|source| Error::File { path, source }),
        None => Ok(storage_dir(configuration)?.join(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::set;

    #[test]
    fn addresses_fall_back_on_one_another() {
        let config = JobManagerConfig::from_configuration(&set(&[("jobmanager.rpc.address", "jm1")])).unwrap();
        assert_eq!((config.rest_address.as_str(), config.rest_ports), ("jm1", vec![8081]));
        let config = JobManagerConfig::from_configuration(&set(&[("rest.bind-port", "9000-9001")])).unwrap();
        assert_eq!(config.rest_ports, [9000, 9001]);
        let config = TaskManagerConfig::from_configuration(&set(&[("jobmanager.rpc.address", "jm1")])).unwrap();
        assert_eq!((config.job_manager.as_str(), config.host.as_str()), ("jm1:6123", "127.0.0.1"));
        let open = set(&[("rest.bind-address", "0.0.0.0")]);
        assert!(
            JobManagerConfig::from_configuration(&open).unwrap_err().to_string().starts_with("rest.bind-address is")
        );
    }

    #[test]
    fn a_taskmanager_has_a_core_a_slot_unless_told() {
        let vcores =
            |pairs: &[_]| JobManagerConfig::from_configuration(&set(pairs)).map(|config| config.taskmanager_vcores);
        assert_eq!(vcores(&[("taskmanager.numberOfTaskSlots", "3")]).unwrap(), 3);
        assert_eq!(vcores(&[("yarn.containers.vcores", "2")]).unwrap(), 2);
        assert!(vcores(&[("yarn.containers.vcores", "0")]).is_err());
    }

    #[test]
    fn temporary_directories_have_four_separators() {
        assert_eq!(tmp_dirs(&set(&[("io.tmp.dirs", "/a,/b:/c|/d")])).len(), 4);
    }
}
