//! What a TaskManager is told: by its container's environment, or by its configuration.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{S3Config, TaskManagerConfig};
use crate::ids::{ContainerId, TaskManagerId};
use crate::protocol::roles::{self, TaskManagerEnvironment};
use crate::resource::MemorySize;
use crate::rpc::Tls;
use crate::taskmanager::core::Home;
use crate::taskmanager::work_dir::PREFIX;

/// What is fixed for users and turned by tests.
#[derive(Clone, Debug)]
pub struct Timing {
    /// How long a TaskManager goes on without a JobManager. Default 5 s and as long again for the link to come back.
    pub link_grace: Duration,
    /// Between asking a worker to end and killing it, where nobody said otherwise.
    pub kill_grace: Duration,
    /// Between looks at what workers use.
    pub memory_interval: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            link_grace: Duration::from_secs(10),
            kill_grace: Duration::from_millis(500),
            memory_interval: Duration::from_millis(250),
        }
    }
}

/// What a TaskManager is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name.
    pub id: TaskManagerId,
    /// The container it runs in; absent standalone.
    pub container: Option<ContainerId>,
    /// `host:port` of the JobManager's links.
    pub job_manager: String,
    /// Where later attempts of the JobManager say where they are; absent standalone.
    pub leaders: Option<PathBuf>,
    /// How long it waits for one.
    pub registration_timeout: Duration,
    /// The application's, or the cluster's.
    pub secret: Option<String>,
    /// Host that others reach its workers at.
    pub host: String,
    /// Port it answers HTTP on.
    pub http_port: u16,
    /// Slots it offers.
    pub slots: u32,
    /// Its memory, with that of its workers.
    pub memory: MemorySize,
    /// Workers' directories and fetched programs.
    pub work_dir: PathBuf,
    /// What it and its workers write.
    pub log_dir: PathBuf,
    /// Programs that the node localised.
    pub programs_dir: Option<PathBuf>,
    /// How it and its workers talk to others.
    pub tls: Tls,
    /// How its workers reach object stores.
    pub s3: S3Config,
    /// Of the link.
    pub heartbeat: Duration,
    /// When the JobManager counts as frozen.
    pub frozen_after: Duration,
    /// What tests turn.
    pub timing: Timing,
}

impl Settings {
    /// In a container: as the JobManager wrote into its environment; the node says where it runs. `http_port` is the one it listens on.
    pub fn in_container(told: TaskManagerEnvironment, config: &TaskManagerConfig, http_port: u16) -> Self {
        let here = env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        let log_dir = env::var_os(roles::LOG_DIRS).map_or_else(|| here.clone(), PathBuf::from);
        Self {
            id: TaskManagerId(told.container.to_string()),
            container: Some(told.container),
            job_manager: told.job_manager,
            leaders: told.leaders,
            registration_timeout: config.registration_timeout,
            secret: Some(told.secret),
            host: env::var(roles::NM_HOST).unwrap_or_else(|_| config.host.clone()),
            http_port,
            slots: told.slots,
            memory: told.memory,
            programs_dir: Some(here.join(roles::PROGRAMS_DIR)),
            work_dir: here,
            log_dir,
            tls: config.security.tls.clone(),
            s3: config.s3.clone(),
            heartbeat: config.heartbeat,
            frozen_after: config.frozen_after,
            timing: Timing::default(),
        }
    }

    /// Standalone: as configured. Its own directory lies below the first temporary one; `log_dir` is that of the daemons.
    pub fn standalone(config: &TaskManagerConfig, http_port: u16, log_dir: PathBuf) -> Self {
        let id = config.resource_id.clone().unwrap_or_else(|| {
            let word: String = std::iter::repeat_with(fastrand::alphanumeric).take(6).collect();
            format!("{}:{http_port}-{}", config.host, word.to_ascii_lowercase())
        });
        let name: String = id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
        let temporary = config.tmp_dirs.first().cloned().unwrap_or_else(env::temp_dir);
        let user = rustix::process::getuid().as_raw();
        Self {
            container: None,
            job_manager: config.job_manager.clone(),
            leaders: None,
            registration_timeout: config.registration_timeout,
            secret: config.secret.as_ref().map(|secret| secret.reveal().to_owned()),
            host: config.host.clone(),
            http_port,
            slots: config.slots,
            memory: config.memory,
            work_dir: temporary.join(format!("flott-{user}")).join(format!("{PREFIX}{name}")),
            programs_dir: None,
            log_dir: log_dir.join(format!("taskmanager-{name}")),
            tls: config.security.tls.clone(),
            s3: config.s3.clone(),
            heartbeat: config.heartbeat,
            frozen_after: config.frozen_after,
            timing: Timing::default(),
            id: TaskManagerId(id),
        }
    }

    pub(super) fn home(&self) -> Home {
        let Some(container) = self.container else { return Home::Standalone };
        let follows = self.leaders.is_some();
        Home::Container {
            attempt: container.attempt.attempt,
            registration_timeout: if follows { self.registration_timeout } else { Duration::ZERO },
        }
    }
}
