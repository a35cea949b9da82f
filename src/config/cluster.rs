//! The processes that manage machines, and what all daemons share.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;
use std::{env, fs};

use super::options::{
    ARCHIVE_RETAINED_JOBS, ARCHIVE_RETAINED_TTL, ConfigOption, ENV_WHITELIST, HEARTBEAT_INTERVAL, HEARTBEAT_TIMEOUT,
    LOG_AGGREGATION, LOG_AGGREGATION_RETAIN_SECONDS, NODEMANAGER_BIND_HOST, NODEMANAGER_CACHE_TARGET_SIZE,
    NODEMANAGER_DIR, NODEMANAGER_HOST, NODEMANAGER_LABEL, NODEMANAGER_MEMORY, NODEMANAGER_PORT, NODEMANAGER_RACK,
    NODEMANAGER_RESOURCES, NODEMANAGER_VCORES, RESOURCEMANAGER_ADDRESS, RESOURCEMANAGER_AM_EXPIRY,
    RESOURCEMANAGER_AM_MAX_ATTEMPTS, RESOURCEMANAGER_AM_SHARE, RESOURCEMANAGER_BIND_HOST,
    RESOURCEMANAGER_MINIMUM_ALLOCATION_MEMORY, RESOURCEMANAGER_NODE_EXPIRY, RESOURCEMANAGER_PORT,
    RESOURCEMANAGER_QUEUES_FILE, RESOURCEMANAGER_STATE_DIR, RESOURCEMANAGER_UPLOADS_ENABLED,
    RESOURCEMANAGER_UPLOADS_MAX_SIZE, RESOURCEMANAGER_UPLOADS_RETENTION,
};
use super::processes::{archive_dir, container_logs_dir};
use super::security::{require_protection, secret, security};
use super::{Configuration, Error, Security};
use crate::resource::MemorySize;
use crate::rpc::ClusterSecret;

/// The ResourceManager's.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceManagerConfig {
    /// `resourcemanager.address`: host that others reach it at; default 127.0.0.1.
    pub address: String,
    /// `resourcemanager.port`; default 8088, 0 takes a free one.
    pub port: u16,
    /// `resourcemanager.bind-host`; default 127.0.0.1. Any but loopback demands protection.
    pub bind_host: String,
    /// `resourcemanager.state-dir`: what survives restarts.
    pub state_dir: PathBuf,
    /// `resourcemanager.scheduler.minimum-allocation.memory`; default 64 MB.
    pub minimum_allocation: MemorySize,
    /// `resourcemanager.scheduler.queues-file`, if there is one.
    pub queues_file: Option<PathBuf>,
    /// `resourcemanager.node-expiry`; default 15 s.
    pub node_expiry: Duration,
    /// `resourcemanager.am-expiry`; default 15 s.
    pub am_expiry: Duration,
    /// `resourcemanager.am.max-attempts`; default 2.
    pub am_max_attempts: u32,
    /// `resourcemanager.am.share`: of a queue, 0 to 1; default 0.5.
    pub am_share: f64,
    /// `resourcemanager.uploads.enabled`; default true.
    pub uploads_enabled: bool,
    /// `resourcemanager.uploads.retention`: of those that no running application names; default 24 h.
    pub uploads_retention: Duration,
    /// `resourcemanager.uploads.max-size`: of all together; default 32 GiB.
    pub uploads_max: MemorySize,
    /// `jobmanager.archive.fs.dir`: where archives of ended jobs are found; default: `history` below `flott.storage.dir`.
    pub archive_dir: PathBuf,
    /// `historyserver.archive.retained-jobs`; default 1000, none keeps all.
    pub archives_max: Option<usize>,
    /// `historyserver.archive.retained-ttl`; default 7 d, none keeps them for ever.
    pub archives_retention: Option<Duration>,
    /// `yarn.nodemanager.remote-app-log-dir`: where collected logs are found; default: `logs` below `flott.storage.dir`.
    pub container_logs_dir: PathBuf,
    /// `yarn.log-aggregation.retain-seconds`; default 7 d, none keeps them for ever.
    pub container_logs_retention: Option<Duration>,
    /// `heartbeat.interval`; default 1 s.
    pub heartbeat: Duration,
    /// `heartbeat.timeout`; default 5 s.
    pub frozen_after: Duration,
    /// `cluster.secret`, if there is one.
    pub secret: Option<ClusterSecret>,
    /// `security.*`.
    pub security: Security,
}

impl ResourceManagerConfig {
    /// Reads and checks it.
    ///
    /// # Errors
    /// [`Error`] names the key and where it was set.
    pub fn from_configuration(configuration: &Configuration) -> Result<Self, Error> {
        let config = Self {
            address: configuration.get(&RESOURCEMANAGER_ADDRESS)?,
            port: configuration.get(&RESOURCEMANAGER_PORT)?,
            bind_host: configuration.get(&RESOURCEMANAGER_BIND_HOST)?,
            state_dir: dir(configuration, &RESOURCEMANAGER_STATE_DIR, "resourcemanager")?,
            minimum_allocation: configuration.get(&RESOURCEMANAGER_MINIMUM_ALLOCATION_MEMORY)?,
            queues_file: configuration.find(&RESOURCEMANAGER_QUEUES_FILE)?.map(|path: String| PathBuf::from(path)),
            node_expiry: configuration.get(&RESOURCEMANAGER_NODE_EXPIRY)?,
            am_expiry: configuration.get(&RESOURCEMANAGER_AM_EXPIRY)?,
            am_max_attempts: configuration.get(&RESOURCEMANAGER_AM_MAX_ATTEMPTS)?,
            am_share: configuration.get(&RESOURCEMANAGER_AM_SHARE)?,
            uploads_enabled: configuration.get(&RESOURCEMANAGER_UPLOADS_ENABLED)?,
            uploads_retention: configuration.get(&RESOURCEMANAGER_UPLOADS_RETENTION)?,
            uploads_max: configuration.get(&RESOURCEMANAGER_UPLOADS_MAX_SIZE)?,
            archive_dir: archive_dir(configuration)?,
            archives_max: archives_max(configuration)?,
            archives_retention: Some(configuration.get(&ARCHIVE_RETAINED_TTL)?)
                .filter(|keep: &Duration| !keep.is_zero()),
            container_logs_dir: container_logs_dir(configuration)?,
            container_logs_retention: container_logs_retention(configuration)?,
            heartbeat: configuration.get(&HEARTBEAT_INTERVAL)?,
            frozen_after: configuration.get(&HEARTBEAT_TIMEOUT)?,
            secret: secret(configuration)?,
            security: security(configuration)?,
        };
        config.validate()?;
        Ok(config)
    }

    /// Checks what belongs together. Called by [`Self::from_configuration`]; again after changes by hand.
    ///
    /// # Errors
    /// [`Error::Conflict`] says what to set.
    pub fn validate(&self) -> Result<(), Error> {
        require_protection(&RESOURCEMANAGER_BIND_HOST, &self.bind_host, self.secret.as_ref(), &self.security)?;
        require_heartbeats(self.heartbeat, self.frozen_after)?;
        if self.am_max_attempts == 0 {
            return Err(Error::Conflict(format!("{} must be at least 1", RESOURCEMANAGER_AM_MAX_ATTEMPTS.key)));
        }
        if !(self.am_share > 0.0 && self.am_share <= 1.0) {
            return Err(Error::Conflict(format!("{} must be above 0 and at most 1", RESOURCEMANAGER_AM_SHARE.key)));
        }
        if self.minimum_allocation.mebibytes() == 0 {
            let key = RESOURCEMANAGER_MINIMUM_ALLOCATION_MEMORY.key;
            return Err(Error::Conflict(format!("{key} must be at least 1 mb")));
        }
        Ok(())
    }
}

/// A NodeManager's.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeManagerConfig {
    /// `host:port` of the ResourceManager, from `resourcemanager.address` and `.port`.
    pub resource_manager: String,
    /// `nodemanager.host`: host that others reach it at; default: the interface it listens on.
    pub host: String,
    /// `nodemanager.port`; default 8042, 0 takes a free one.
    pub port: u16,
    /// `nodemanager.bind-host`; default 127.0.0.1. Any but loopback demands protection.
    pub bind_host: String,
    /// `nodemanager.dir`: cache, containers, logs.
    pub dir: PathBuf,
    /// `nodemanager.localizer.cache.target-size`: of copies that outlive applications; default 10 GB.
    pub cache_target: MemorySize,
    /// `nodemanager.memory`: what the node offers; default: all it has.
    pub memory: MemorySize,
    /// `nodemanager.vcores`: what the node offers; default: its cores, at least 8.
    pub vcores: u32,
    /// `nodemanager.resources`: other countable things the node offers, by name.
    pub resources: BTreeMap<String, u64>,
    /// `nodemanager.rack`, if it names one.
    pub rack: Option<String>,
    /// `nodemanager.label`, if it has one.
    pub label: Option<String>,
    /// `yarn.nodemanager.remote-app-log-dir`: where logs are collected, unless `yarn.log-aggregation-enable` is off; default: `logs` below
    /// `flott.storage.dir`.
    pub container_logs_dir: Option<PathBuf>,
    /// `yarn.nodemanager.env-whitelist`: variables of its own that containers get; default: none beside those that every program needs.
    pub env_whitelist: Vec<String>,
    /// `heartbeat.interval`; default 1 s.
    pub heartbeat: Duration,
    /// `heartbeat.timeout`; default 5 s.
    pub frozen_after: Duration,
    /// `cluster.secret`, if there is one.
    pub secret: Option<ClusterSecret>,
    /// `security.*`.
    pub security: Security,
}

impl NodeManagerConfig {
    /// Reads and checks it; looks at the machine for what it offers.
    ///
    /// # Errors
    /// [`Error`] names the key and where it was set.
    pub fn from_configuration(configuration: &Configuration) -> Result<Self, Error> {
        let bind_host: String = configuration.get(&NODEMANAGER_BIND_HOST)?;
        let port = configuration.get(&NODEMANAGER_PORT)?;
        let config = Self {
            resource_manager: resource_manager(configuration)?,
            host: configuration.find(&NODEMANAGER_HOST)?.unwrap_or_else(|| advertised(&bind_host)),
            port,
            bind_host,
            dir: dir(configuration, &NODEMANAGER_DIR, &format!("nodemanager-{port}"))?,
            cache_target: configuration.get(&NODEMANAGER_CACHE_TARGET_SIZE)?,
            memory: configuration.find(&NODEMANAGER_MEMORY)?.unwrap_or_else(machine_memory),
            vcores: configuration.find(&NODEMANAGER_VCORES)?.unwrap_or_else(machine_vcores),
            resources: resources(configuration)?,
            rack: configuration.find(&NODEMANAGER_RACK)?,
            label: configuration.find(&NODEMANAGER_LABEL)?,
            env_whitelist: env_whitelist(configuration)?,
            container_logs_dir: configuration
                .get::<bool>(&LOG_AGGREGATION)?
                .then(|| container_logs_dir(configuration))
                .transpose()?,
            heartbeat: configuration.get(&HEARTBEAT_INTERVAL)?,
            frozen_after: configuration.get(&HEARTBEAT_TIMEOUT)?,
            secret: secret(configuration)?,
            security: security(configuration)?,
        };
        config.validate()?;
        Ok(config)
    }

    /// Checks what belongs together. Called by [`Self::from_configuration`]; again after changes by hand.
    ///
    /// # Errors
    /// [`Error::Conflict`] says what to set.
    pub fn validate(&self) -> Result<(), Error> {
        require_protection(&NODEMANAGER_BIND_HOST, &self.bind_host, self.secret.as_ref(), &self.security)?;
        require_heartbeats(self.heartbeat, self.frozen_after)?;
        if self.memory.mebibytes() == 0 || self.vcores == 0 {
            let (memory, vcores) = (NODEMANAGER_MEMORY.key, NODEMANAGER_VCORES.key);
            return Err(Error::Conflict(format!("a node must offer something: {memory} and {vcores} must not be 0")));
        }
        if let Some(rack) = self.rack.as_ref().filter(|rack| rack.len() < 2 || !rack.starts_with('/')) {
            let key = NODEMANAGER_RACK.key;
            return Err(Error::Conflict(format!("{key} is `{rack}`; the name of a rack begins with /, e.g. /rack1")));
        }
        Ok(())
    }
}

fn archives_max(configuration: &Configuration) -> Result<Option<usize>, Error> {
    match configuration.get::<i64>(&ARCHIVE_RETAINED_JOBS)? {
        -1 => Ok(None),
        jobs => usize::try_from(jobs)
            .ok()
            .filter(|jobs| *jobs > 0)
            .map(Some)
            .ok_or_else(|| configuration.invalid(&ARCHIVE_RETAINED_JOBS, "a whole number of at least 1, or -1")),
    }
}

fn container_logs_retention(configuration: &Configuration) -> Result<Option<Duration>, Error> {
    match configuration.get::<i64>(&LOG_AGGREGATION_RETAIN_SECONDS)? {
        -1 => Ok(None),
        seconds => u64::try_from(seconds)
            .map(|seconds| Some(Duration::from_secs(seconds)))
            .map_err(|_| configuration.invalid(&LOG_AGGREGATION_RETAIN_SECONDS, "a number of seconds, or -1")),
    }
}

/// Amounts by name.
fn resources(configuration: &Configuration) -> Result<BTreeMap<String, u64>, Error> {
    let written: Vec<(String, String)> = configuration.find(&NODEMANAGER_RESOURCES)?.unwrap_or_default();
    let amount = |(name, amount): (String, String)| match amount.trim().parse() {
        Ok(amount) if !name.is_empty() => Ok((name, amount)),
        Ok(_) | Err(_) => {
            let key = NODEMANAGER_RESOURCES.key;
            Err(Error::Conflict(format!("{key}: `{name}:{amount}` is no amount; write for example yarn.io/gpu:2")))
        }
    };
    written.into_iter().map(amount).collect()
}

/// `host:port` of the ResourceManager.
pub(super) fn resource_manager(configuration: &Configuration) -> Result<String, Error> {
    let host: String = configuration.get(&RESOURCEMANAGER_ADDRESS)?;
    let port: u16 = configuration.get(&RESOURCEMANAGER_PORT)?;
    Ok(format!("{host}:{port}"))
}

pub(super) fn require_heartbeats(heartbeat: Duration, frozen_after: Duration) -> Result<(), Error> {
    if heartbeat.is_zero() || frozen_after < heartbeat * 2 {
        let (timeout, interval) = (HEARTBEAT_TIMEOUT.key, HEARTBEAT_INTERVAL.key);
        return Err(Error::Conflict(format!(
            "{timeout} ({frozen_after:?}) must be at least twice {interval} ({heartbeat:?})"
        )));
    }
    Ok(())
}

/// The directory of `option`, else one of the user's own below the temporary directory.
pub(super) fn dir(configuration: &Configuration, option: &'static ConfigOption, name: &str) -> Result<PathBuf, Error> {
    let fallback = || env::temp_dir().join(format!("flott-{}", rustix::process::getuid().as_raw())).join(name);
    let path: PathBuf = configuration.find(option)?.unwrap_or_else(fallback);
    std::path::absolute(&path).map_err(|source| Error::File { path, source })
}

fn env_whitelist(configuration: &Configuration) -> Result<Vec<String>, Error> {
    let names: String = configuration.get(&ENV_WHITELIST)?;
    Ok(names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// What others reach us at if we listen on `bind`.
pub(super) fn advertised(bind: &str) -> String {
    let everywhere = bind.parse().is_ok_and(|address: IpAddr| address.is_unspecified());
    if everywhere {
        let name = rustix::system::uname();
        return name.nodename().to_string_lossy().into_owned();
    }
    bind.to_owned()
}

fn machine_memory() -> MemorySize {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total =
        info.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    MemorySize::from_bytes(total.unwrap_or(0_u64) << 10)
}

fn machine_vcores() -> u32 {
    const LEAST: u32 = 8;
    available_parallelism().map_or(LEAST, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX).max(LEAST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::set;

    #[test]
    fn an_open_address_demands_protection() {
        let open = [("resourcemanager.bind-host", "0.0.0.0"), ("nodemanager.bind-host", "10.0.0.7")];
        let error = ResourceManagerConfig::from_configuration(&set(&open)).unwrap_err().to_string();
        assert!(error.starts_with("resourcemanager.bind-host is 0.0.0.0"), "{error}");
        assert!(NodeManagerConfig::from_configuration(&set(&open)).is_err());
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "a-token-long-enough").unwrap();
        let path = file.path().to_str().unwrap();
        let guarded = [open[0], open[1], ("cluster.secret", "sesame"), ("security.token.admin.file", path)];
        assert!(ResourceManagerConfig::from_configuration(&set(&guarded)).is_ok());
        assert!(NodeManagerConfig::from_configuration(&set(&guarded[..3])).is_err(), "a secret alone is not enough");
        let config = NodeManagerConfig::from_configuration(&set(&guarded)).unwrap();
        assert_eq!(config.host, "10.0.0.7");
    }

    #[test]
    fn a_node_offers_what_the_machine_has() {
        let config = NodeManagerConfig::from_configuration(&Configuration::new()).unwrap();
        assert!(config.memory.mebibytes() > 0);
        assert!(config.vcores >= 8);
        assert_eq!((config.resource_manager.as_str(), config.port), ("127.0.0.1:8088", 8042));
        assert!(config.dir.ends_with("nodemanager-8042"));
    }

    #[test]
    fn heartbeats_must_fit_into_the_timeout() {
        let error = ResourceManagerConfig::from_configuration(&set(&[("heartbeat.interval", "5 s")])).unwrap_err();
        assert!(error.to_string().starts_with("heartbeat.timeout (5s) must be at least twice"), "{error}");
    }
}
