//! What this process was started for, as its environment says.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Error;
use crate::config::options::is_private;
use crate::graph::plan::Plan;
use crate::protocol::roles::{self, WorkerEnvironment};
use crate::rpc::io_cause;

/// A process's part, with what belongs to it.
#[derive(Debug)]
pub(super) enum Role {
    /// Started by the user.
    Local,
    /// Started to tell its plan.
    Plan {
        /// Where to write it.
        file: PathBuf,
    },
    /// Started to tell what it would make of a checkpoint.
    Validate {
        /// Where to write it.
        file: PathBuf,
    },
    /// Started to run subtasks.
    Worker {
        /// Holds the stored plan.
        plan: PathBuf,
        /// What its TaskManager told it.
        environment: Box<WorkerEnvironment>,
    },
    /// Started to describe its arguments; gets here only when it never called `flott::parse`.
    Describe,
}

impl Role {
    /// Reads this process's environment.
    pub(super) fn from_environment() -> Result<Self, Error> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let text = |name: &'static str| {
            let value = variable(name).ok_or_else(|| Error::environment(name, "it is not set"))?;
            value.into_string().map_err(|_| Error::environment(name, "it is not UTF-8"))
        };
        if variable(roles::ROLE).is_none() {
            return Ok(Self::Local);
        }
        match text(roles::ROLE)?.as_str() {
            roles::ROLE_PLAN => Ok(Self::Plan { file: text(roles::PLAN)?.into() }),
            roles::ROLE_VALIDATE => Ok(Self::Validate { file: text(roles::PLAN)?.into() }),
            roles::ROLE_DESCRIBE => Ok(Self::Describe),
            roles::ROLE_WORKER => {
                let environment = serde_json::from_str(&text(roles::WORKER)?)
                    .map_err(|error| Error::environment(roles::WORKER, error))?;
                Ok(Self::Worker { plan: text(roles::PLAN)?.into(), environment: Box::new(environment) })
            }
            other => Err(Error::environment(roles::ROLE, format!("there is no role `{other}`"))),
        }
    }
}

/// Lets the command line that has started this process know that it runs a job.
pub(super) fn note_execution() -> Result<(), Error> {
    let Some(mark) = std::env::var_os(roles::EXECUTED) else { return Ok(()) };
    std::fs::write(mark, b"x").map_err(|error| Error::environment(roles::EXECUTED, io_cause(&error)))
}

/// Writes a checked plan for the JobManager.
pub(super) fn write_plan(plan: &Plan, file: &Path) -> Result<(), Error> {
    plan.validate()?;
    if let Some(key) = plan.configuration.keys().find(|key| is_private(key)) {
        return Err(crate::config::Error::Private { key: key.clone() }.into());
    }
    let unwritable = |cause: String| Error::PlanFile { action: "write", path: file.to_owned(), cause };
    let json = serde_json::to_vec_pretty(plan).map_err(|error| unwritable(error.to_string()))?;
    std::fs::write(file, json).map_err(|error| unwritable(io_cause(&error)))
}

/// The plan that this process's JobManager has stored.
pub(super) fn read_plan(file: &Path) -> Result<Plan, Error> {
    let unreadable = |cause: String| Error::PlanFile { action: "read", path: file.to_owned(), cause };
    let json = std::fs::read(file).map_err(|error| unreadable(io_cause(&error)))?;
    serde_json::from_slice(&json).map_err(|error| unreadable(error.to_string()))
}

/// Ends a process that has done its part: the program's own code after `execute` belongs to the local role alone.
pub(super) fn exit(outcome: Result<(), Error>) -> ! {
    match outcome {
        Ok(()) => std::process::exit(0),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(variables: &[(&str, &str)]) -> Result<Role, Error> {
        Role::from_variables(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn a_program_without_flott_s_variables_is_local() {
        assert!(matches!(role(&[]), Ok(Role::Local)));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let error = |variables: &[(&str, &str)]| role(variables).unwrap_err().to_string();
        assert!(error(&[(roles::ROLE, "plan")]).contains(roles::PLAN));
        assert!(error(&[(roles::ROLE, "boss")]).contains("no role `boss`"));
        assert!(error(&[(roles::ROLE, "worker"), (roles::PLAN, "p"), (roles::WORKER, "{")]).contains(roles::WORKER));
    }

    #[test]
    fn an_invalid_plan_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("plan.json");
        let plan = Plan {
            version: crate::graph::plan::PLAN_VERSION,
            name: "empty".to_owned(),
            execution_mode: crate::graph::plan::ExecutionMode::Automatic,
            parallelism: None,
            configuration: Default::default(),
            nodes: Vec::new(),
            edges: Vec::new(),
            once: Default::default(),
            accumulators: Default::default(),
        };
        assert!(matches!(write_plan(&plan, &file), Err(Error::InvalidPlan(_))));
        assert!(!file.exists());
    }
}
