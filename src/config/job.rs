//! What belongs to a job.

use std::time::Duration;

use super::options::{
    self, CHECKPOINTING_DIR, CHECKPOINTING_INTERVAL, CHECKPOINTING_MIN_PAUSE, CHECKPOINTING_NUM_RETAINED,
    CHECKPOINTING_RETENTION, CHECKPOINTING_TIMEOUT, CHECKPOINTING_TOLERABLE, ConfigOption, EXECUTION_BUFFER_TIMEOUT,
    EXECUTION_RUNTIME_MODE, EXPONENTIAL_DELAY_ATTEMPTS, EXPONENTIAL_DELAY_INITIAL, EXPONENTIAL_DELAY_JITTER,
    EXPONENTIAL_DELAY_MAX, EXPONENTIAL_DELAY_MULTIPLIER, EXPONENTIAL_DELAY_RESET, FAILURE_RATE_DELAY,
    FAILURE_RATE_INTERVAL, FAILURE_RATE_MAX, FIXED_DELAY_ATTEMPTS, FIXED_DELAY_DELAY, PARALLELISM_DEFAULT,
    PIPELINE_AUTO_WATERMARK_INTERVAL, PIPELINE_CHAINING, PIPELINE_GLOBAL_JOB_PARAMETERS, PIPELINE_MAX_PARALLELISM,
    PIPELINE_NAME, RECOVERY_CLAIM_MODE, RECOVERY_IGNORE_UNCLAIMED, RECOVERY_PATH, RESTART_STRATEGY_TYPE, SAVEPOINT_DIR,
    TASK_CANCELLATION_TIMEOUT,
};
use super::{Configuration, Error, StateBackendType, StateConfig};
use crate::graph::plan::ExecutionMode;
use crate::ids::Parallelism;

/// What follows a failure of a job. Flink's restart strategies.
#[derive(Clone, Debug, PartialEq)]
pub enum RestartStrategy {
    /// The job fails.
    None,
    /// So many restarts, always after the same pause.
    FixedDelay {
        /// Restarts until the job fails.
        attempts: u32,
        /// Pause before each.
        delay: Duration,
    },
    /// Restarts while failures are rare.
    FailureRate {
        /// Failures within `interval` that the job survives.
        max_failures: u32,
        /// The interval.
        interval: Duration,
        /// Pause before each restart.
        delay: Duration,
    },
    /// Restarts after pauses that grow while failures go on.
    ExponentialDelay {
        /// The first pause.
        initial: Duration,
        /// The longest pause.
        max: Duration,
        /// By how much it grows with each failure; at least 1.
        multiplier: f64,
        /// After so long without failure the pause is the first one again.
        reset_after: Duration,
        /// Share of the pause that is random, 0 to 1.
        jitter: f64,
        /// Restarts until the job fails, counted since the last reset; `None` = no end.
        attempts: Option<u32>,
    },
}

impl RestartStrategy {
    fn from_configuration(configuration: &Configuration, checkpointing: bool) -> Result<Self, Error> {
        let get = |option: &'static ConfigOption| configuration.get::<Duration>(option);
        let name = configuration.find::<String>(&RESTART_STRATEGY_TYPE)?;
        // A restart without checkpoint begins anew, which not every job can bear: only who asks for it gets it.
        let name = name.unwrap_or_else(|| if checkpointing { "exponential-delay" } else { "none" }.to_owned());
        match name.trim().to_ascii_lowercase().replace('-', "").as_str() {
            "fixeddelay" => Ok(Self::FixedDelay {
                attempts: configuration.get(&FIXED_DELAY_ATTEMPTS)?,
                delay: get(&FIXED_DELAY_DELAY)?,
            }),
            "failurerate" => Ok(Self::FailureRate {
                max_failures: configuration.get(&FAILURE_RATE_MAX)?,
                interval: get(&FAILURE_RATE_INTERVAL)?,
                delay: get(&FAILURE_RATE_DELAY)?,
            }),
            "exponentialdelay" => Self::exponential(configuration),
            _ => Ok(Self::None), // The key takes only these and three words for none.
        }
    }

    fn exponential(configuration: &Configuration) -> Result<Self, Error> {
        let multiplier = configuration.get(&EXPONENTIAL_DELAY_MULTIPLIER)?;
        if multiplier < 1.0 {
            return Err(configuration.invalid(&EXPONENTIAL_DELAY_MULTIPLIER, "a number of at least 1"));
        }
        let attempts = match configuration.get::<String>(&EXPONENTIAL_DELAY_ATTEMPTS)?.trim() {
            "infinite" => None,
            _ => Some(configuration.get(&EXPONENTIAL_DELAY_ATTEMPTS)?),
        };
        Ok(Self::ExponentialDelay {
            initial: configuration.get(&EXPONENTIAL_DELAY_INITIAL)?,
            max: configuration.get(&EXPONENTIAL_DELAY_MAX)?,
            multiplier,
            reset_after: configuration.get(&EXPONENTIAL_DELAY_RESET)?,
            jitter: configuration.get(&EXPONENTIAL_DELAY_JITTER)?,
            attempts,
        })
    }
}

/// How checkpoints are made, and what a job starts from.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointingConfig {
    /// `state.backend.type`: what makes them.
    pub backend: StateBackendType,
    /// `execution.checkpointing.timeout`; default 10 min.
    pub timeout: Duration,
    /// `execution.checkpointing.min-pause`; default none.
    pub min_pause: Duration,
    /// `execution.checkpointing.tolerable-failed-checkpoints`; default any number.
    pub tolerable_failures: Option<u32>,
    /// `execution.checkpointing.externalized-checkpoint-retention`; default false: they go with the job.
    pub retain_on_cancellation: bool,
    /// `execution.checkpointing.num-retained`; default 1.
    pub retained: u32,
    /// `execution.checkpointing.dir`; default: beside the job's other files.
    pub directory: Option<String>,
    /// `execution.checkpointing.savepoint-dir`.
    pub savepoint_directory: Option<String>,
    /// `execution.state-recovery.path`: a checkpoint or savepoint.
    pub recovery_path: Option<String>,
    /// `execution.state-recovery.ignore-unclaimed-state`.
    pub ignore_unclaimed_state: bool,
    /// `execution.state-recovery.claim-mode`; default false: what a job starts from stays its user's.
    pub claims_recovered: bool,
}

impl CheckpointingConfig {
    fn from_configuration(configuration: &Configuration) -> Result<Self, Error> {
        let backend = StateConfig::from_configuration(configuration)?.backend;
        let retention = configuration.get::<String>(&CHECKPOINTING_RETENTION)?;
        Ok(Self {
            backend,
            timeout: configuration.get(&CHECKPOINTING_TIMEOUT)?,
            min_pause: configuration.get(&CHECKPOINTING_MIN_PAUSE)?,
            tolerable_failures: configuration.find(&CHECKPOINTING_TOLERABLE)?,
            retain_on_cancellation: retention.trim().eq_ignore_ascii_case("retain_on_cancellation"),
            retained: configuration.get(&CHECKPOINTING_NUM_RETAINED)?,
            directory: configuration.find(&CHECKPOINTING_DIR)?,
            savepoint_directory: configuration.find(&SAVEPOINT_DIR)?,
            recovery_path: configuration.find(&RECOVERY_PATH)?,
            ignore_unclaimed_state: configuration.get(&RECOVERY_IGNORE_UNCLAIMED)?,
            claims_recovered: configuration.get::<String>(&RECOVERY_CLAIM_MODE)?.trim().eq_ignore_ascii_case("claim"),
        })
    }
}

/// What belongs to a job. `None` leaves it to the program or to what the JobManager derives.
#[derive(Clone, Debug, PartialEq)]
pub struct JobConfig {
    /// `pipeline.name`; default: as the program says.
    pub name: Option<String>,
    /// `parallelism.default`, if somebody set it; see [`JobConfig::default_parallelism`].
    pub parallelism: Option<Parallelism>,
    /// `pipeline.max-parallelism`: number of key groups; default: derived.
    pub max_parallelism: Option<u32>,
    /// `execution.runtime-mode`; default: as the program says.
    pub execution_mode: Option<ExecutionMode>,
    /// `pipeline.operator-chaining.enabled`; default true. Switch it off to see operators one by one.
    pub chaining: bool,
    /// `execution.buffer-timeout.interval`: ceiling of a record's wait for its batch; default 5 ms. Zero sends each at once, `None`
    /// only full batches.
    pub buffer_timeout: Option<Duration>,
    /// `pipeline.auto-watermark-interval`; default 200 ms.
    pub auto_watermark_interval: Duration,
    /// `execution.checkpointing.interval`; default: no checkpoints.
    pub checkpointing_interval: Option<Duration>,
    /// The other keys of `execution.checkpointing`, and `execution.state-recovery`.
    pub checkpointing: CheckpointingConfig,
    /// Where keyed state lives.
    pub state: StateConfig,
    /// `restart-strategy.*`; default: none without checkpoints, exponential delay with.
    pub restart_strategy: RestartStrategy,
    /// `task.cancellation.timeout`; default 3 min.
    pub cancellation_timeout: Duration,
    /// `pipeline.global-job-parameters`; shown in the UI.
    pub global_parameters: Vec<(String, String)>,
}

impl JobConfig {
    /// Reads and checks it.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the key and where it was set.
    pub fn from_configuration(configuration: &Configuration) -> Result<Self, Error> {
        let checkpointing_interval =
            configuration.find::<Duration>(&CHECKPOINTING_INTERVAL)?.filter(|interval| !interval.is_zero());
        let buffer_timeout = match configuration.raw(&EXECUTION_BUFFER_TIMEOUT).map(str::trim) {
            Some("-1") => None,
            Some(_) | None => Some(configuration.get(&EXECUTION_BUFFER_TIMEOUT)?),
        };
        let mode = configuration.find::<String>(&EXECUTION_RUNTIME_MODE)?;
        let execution_mode = mode
            .map(|mode| mode.parse())
            .transpose()
            .map_err(|_| configuration.invalid(&EXECUTION_RUNTIME_MODE, &EXECUTION_RUNTIME_MODE.kind.expected()))?;
        let set = configuration.is_set(&PARALLELISM_DEFAULT);
        Ok(Self {
            name: configuration.find(&PIPELINE_NAME)?,
            parallelism: if set { Some(configuration.get(&PARALLELISM_DEFAULT)?) } else { None },
            max_parallelism: max_parallelism(configuration)?,
            execution_mode,
            chaining: configuration.get(&PIPELINE_CHAINING)?,
            buffer_timeout,
            auto_watermark_interval: configuration.get(&PIPELINE_AUTO_WATERMARK_INTERVAL)?,
            checkpointing_interval,
            checkpointing: CheckpointingConfig::from_configuration(configuration)?,
            state: StateConfig::from_configuration(configuration)?,
            restart_strategy: RestartStrategy::from_configuration(configuration, checkpointing_interval.is_some())?,
            cancellation_timeout: configuration.get(&TASK_CANCELLATION_TIMEOUT)?,
            global_parameters: configuration.find(&PIPELINE_GLOBAL_JOB_PARAMETERS)?.unwrap_or_default(),
        })
    }

    /// The parallelism of operators for which nobody has said one: `parallelism.default`, else 1.
    pub fn default_parallelism(&self) -> Parallelism {
        self.parallelism.unwrap_or(Parallelism::MIN)
    }
}

fn max_parallelism(configuration: &Configuration) -> Result<Option<u32>, Error> {
    /// The limit of Flink, and of key groups' 16 bits.
    const MAX: i64 = 1 << 15;
    match configuration.get::<i64>(&options::PIPELINE_MAX_PARALLELISM)? {
        -1 => Ok(None),
        groups @ 1..=MAX => Ok(u32::try_from(groups).ok()),
        _ => Err(configuration.invalid(&PIPELINE_MAX_PARALLELISM, "a number from 1 to 32768, or -1")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    fn job(pairs: &[(&str, &str)]) -> Result<JobConfig, Error> {
        let mut configuration = Configuration::new();
        for (key, value) in pairs {
            configuration.set(key, value, Origin::CommandLine)?;
        }
        JobConfig::from_configuration(&configuration)
    }

    #[test]
    fn defaults_leave_to_the_program_what_is_the_programs() {
        let config = job(&[]).unwrap();
        assert_eq!((config.parallelism, config.execution_mode, &config.name), (None, None, &None));
        assert_eq!(config.default_parallelism().get(), 1);
        assert_eq!(config.buffer_timeout, Some(Duration::from_millis(5)));
        assert_eq!(config.restart_strategy, RestartStrategy::None);
    }

    #[test]
    fn restart_strategies_are_flinks() {
        let strategy = |pairs: &[_]| job(pairs).unwrap().restart_strategy;
        assert_eq!(
            strategy(&[("restart-strategy", "fixed-delay"), ("restart-strategy.fixed-delay.attempts", "3")]),
            RestartStrategy::FixedDelay { attempts: 3, delay: Duration::from_secs(1) }
        );
        assert!(matches!(
            strategy(&[("execution.checkpointing.interval", "5 s")]),
            RestartStrategy::ExponentialDelay { attempts: None, .. }
        ));
        assert_eq!(
            strategy(&[("execution.checkpointing.interval", "5 s"), ("restart-strategy.type", "off")]),
            RestartStrategy::None
        );
        assert!(matches!(
            strategy(&[("restart-strategy.type", "failurerate")]),
            RestartStrategy::FailureRate { max_failures: 1, .. }
        ));
        let key = "restart-strategy.exponential-delay.jitter-factor";
        assert!(job(&[("restart-strategy.type", "exponential-delay"), (key, "2")]).is_err());
        assert!(job(&[("restart-strategy.type", "hope")]).is_err());
    }

    #[test]
    fn special_values_are_understood() {
        assert_eq!(job(&[("execution.buffer-timeout", "-1")]).unwrap().buffer_timeout, None);
        assert_eq!(job(&[("execution.runtime-mode", "BATCH")]).unwrap().execution_mode, Some(ExecutionMode::Batch));
        assert_eq!(job(&[("pipeline.max-parallelism", "-1")]).unwrap().max_parallelism, None);
        assert!(job(&[("pipeline.max-parallelism", "0")]).is_err());
        assert!(job(&[("parallelism.default", "0")]).is_err());
    }
}
