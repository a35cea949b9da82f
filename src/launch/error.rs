//! Why a job did not finish, in the program's process.

use std::fmt;
use std::path::PathBuf;

use crate::graph::plan::InvalidPlan;
use crate::graph::task::Failure;
use crate::rpc::ErrorKind;

/// Why `execute` did not return a result. Messages have the cause first.
#[derive(thiserror::Error)]
pub enum Error {
    /// The program calls `execute` again.
    #[error("this program calls execute a second time; a program is one job")]
    SecondExecution,
    /// The graph is not one that can run.
    #[error(transparent)]
    InvalidPlan(#[from] InvalidPlan),
    /// A setting cannot be understood.
    #[error(transparent)]
    Configuration(#[from] crate::config::Error),
    /// Where the job is to start from, or its checkpoints are to go.
    #[error("{failure}")]
    Recovery {
        /// Why not.
        failure: Failure,
    },
    /// The job failed.
    #[error("{failure}; job \"{name}\" has failed")]
    Failed {
        /// The job's name.
        name: String,
        /// Why.
        failure: Failure,
    },
    /// The job was cancelled.
    #[error("job \"{name}\" was cancelled")]
    Canceled {
        /// The job's name.
        name: String,
    },
    /// A variable set by flott is missing or wrong.
    #[error("{cause}: environment variable {variable}; it is set by flott and by nobody else")]
    Environment {
        /// Which.
        variable: &'static str,
        /// What is wrong with it.
        cause: String,
    },
    /// The file for the plan.
    #[error("cannot {action} the plan {}: {cause}", path.display())]
    PlanFile {
        /// `read` or `write`.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
    /// A value of `env.once`.
    #[error("{cause}: the value \"{name}\" of env.once; it must be the same in each process of the job")]
    Once {
        /// Its name.
        name: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The process cannot run a job at all.
    #[error("{cause}")]
    Internal {
        /// Why not.
        cause: String,
    },
}

impl Error {
    pub(super) fn environment(variable: &'static str, cause: impl ToString) -> Self {
        Self::Environment { variable, cause: cause.to_string() }
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::SecondExecution | Self::InvalidPlan(_) | Self::Configuration(_) | Self::Once { .. } => {
                ErrorKind::User
            }
            Self::Failed { failure, .. } | Self::Recovery { failure } => failure.kind,
            Self::Canceled { .. } | Self::Environment { .. } | Self::PlanFile { .. } | Self::Internal { .. } => {
                ErrorKind::Permanent
            }
        }
    }
}

/// As it displays: a `main` that returns `Result<(), Error>` has its error printed this way, and people read that.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
