//! Why a configuration is not taken.

use std::io;
use std::path::PathBuf;

use super::Origin;
use crate::rpc::{ErrorKind, io_cause};

/// Why a configuration is not taken. The user's to mend, all of them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such key.
    #[error("unknown key `{key}` ({origin}){}", suggestion.map_or("; `flott config show` lists those with a value".to_owned(), |known| format!("; did you mean `{known}`?")))]
    Unknown {
        /// As it was written.
        key: String,
        /// Where.
        origin: Origin,
        /// A known key that looks like it.
        suggestion: Option<&'static str>,
    },
    /// Not a value of the key's kind.
    #[error("`{value}` is no value for {key} ({origin}); it takes {expected}")]
    Invalid {
        /// The key.
        key: String,
        /// As it was written.
        value: String,
        /// Where.
        origin: Origin,
        /// What the key takes.
        expected: String,
    },
    /// A secret of a machine in what is recorded with a job.
    #[error(
        "{key} is a secret, and what a job is submitted with is recorded where others read it; set it in conf/flott.yaml of each machine, or have the daemons started with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    Private {
        /// The key.
        key: String,
    },
    /// A line without a key and a value.
    #[error("`{text}` ({origin}) is not of the form {form}")]
    Malformed {
        /// The line.
        text: String,
        /// Where.
        origin: Origin,
        /// What it should look like.
        form: &'static str,
    },
    /// Values that are valid alone but not together.
    #[error("{0}")]
    Conflict(String),
    /// The configuration file, or a file it names.
    #[error("cannot read {}: {}", path.display(), io_cause(source))]
    File {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Not YAML.
    #[error("{} is not valid YAML: {cause}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        cause: String,
    },
}

impl Error {
    /// Always [`ErrorKind::User`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::User
    }
}
