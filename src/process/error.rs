//! Why a process could not be started.

use std::io;
use std::path::{Path, PathBuf};

use crate::rpc::{ErrorKind, io_cause};

/// Why a command could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// There is no such file, or its interpreter is missing.
    #[error("cannot start {}: no such program, or the interpreter or loader it names is missing", program.display())]
    Missing {
        /// What was to be started.
        program: PathBuf,
    },
    /// The file may not be executed.
    #[error("cannot start {}: not executable; check its permissions (chmod +x)", program.display())]
    NotPermitted {
        /// What was to be started.
        program: PathBuf,
    },
    /// The file is no program of this machine.
    #[error("cannot start {}: not an executable of this machine", program.display())]
    NotExecutable {
        /// What was to be started.
        program: PathBuf,
    },
    /// Arguments and environment are larger than the system takes.
    #[error("cannot start {}: its arguments and environment are too large for the system", program.display())]
    TooLarge {
        /// What was to be started.
        program: PathBuf,
    },
    /// The working directory is not there.
    #[error("cannot start {}: its working directory {} is not there", program.display(), directory.display())]
    NoDirectory {
        /// What was to be started.
        program: PathBuf,
        /// Where.
        directory: PathBuf,
    },
    /// Anything else: out of processes, memory, file descriptors.
    #[error("cannot start {}: {}", program.display(), io_cause(source))]
    System {
        /// What was to be started.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl SpawnError {
    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing { .. } | Self::NotPermitted { .. } | Self::NotExecutable { .. } | Self::TooLarge { .. } => {
                ErrorKind::User
            }
            Self::NoDirectory { .. } => ErrorKind::Permanent,
            Self::System { .. } => ErrorKind::Transient,
        }
    }

    pub(super) fn new(program: &Path, directory: Option<&Path>, source: io::Error) -> Self {
        const ENOEXEC: i32 = 8;
        const E2BIG: i32 = 7;
        let program = program.to_owned();
        if let Some(directory) = directory.filter(|directory| !directory.is_dir()) {
            return Self::NoDirectory { program, directory: directory.to_owned() };
        }
        match (source.kind(), source.raw_os_error()) {
            (io::ErrorKind::NotFound, _) => Self::Missing { program },
            (io::ErrorKind::PermissionDenied, _) => Self::NotPermitted { program },
            (_, Some(ENOEXEC)) => Self::NotExecutable { program },
            (_, Some(E2BIG)) => Self::TooLarge { program },
            _ => Self::System { program, source },
        }
    }
}
