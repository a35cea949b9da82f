//! `flott run -t local`: the program runs its job itself, as a child of the command line.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use rustix::fs::OFlags;
use rustix::io::FdFlags;

use super::object_stores::Told;
use crate::client::{LocalProgram, shipped_files};
use crate::config::S3Config;
use crate::protocol::roles;

/// What is run.
pub(super) struct Local<'a> {
    pub(super) program: &'a Path,
    pub(super) arguments: &'a [String],
    /// What is to lie in its directory.
    pub(super) files: &'a [PathBuf],
    pub(super) environment: &'a BTreeMap<String, String>,
    pub(super) configuration: &'a BTreeMap<String, String>,
    /// How it reaches the places of checkpoints.
    pub(super) object_stores: &'a S3Config,
}

/// Runs the program: its `execute` then runs the job in its own process.
pub(super) fn run(local: &Local<'_>) -> anyhow::Result<ExitCode> {
    let program = LocalProgram::executable(local.program)?;
    let path = std::path::absolute(&program.path)?;
    for file in shipped_files(local.files)?.values().filter(|file| !lies_here(&file.path, &file.name)) {
        let (name, path) = (&file.name, file.path.display());
        eprintln!(
            "{name} is not in this directory, where the program runs; in a cluster it finds {path} under that name"
        );
    }
    let properties: String = local.configuration.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
    let told = Told::write(local.object_stores)?;
    let (mut executed, mark) = mark().context("cannot watch the program")?;
    let status = Command::new(&path)
        .args(local.arguments)
        .envs(local.environment)
        .env("FLOTT_PROPERTIES", properties)
        .env(roles::OBJECT_STORES, told.file())
        .env(roles::EXECUTED, format!("/proc/self/fd/{}", mark.as_raw_fd()))
        .status()
        .with_context(|| format!("cannot start {}", path.display()))?;
    if let Some(signal) = status.signal() {
        bail!("{} was killed by signal {signal}; what it said stands above", path.display());
    }
    if !status.success() {
        return Ok(ExitCode::FAILURE);
    }
    // Nothing written, or nobody left who could: either way no `execute`.
    if !matches!(executed.read(&mut [0]), Ok(1)) {
        bail!("the program ended without calling env.execute(…); end main with env.execute(\"name of the job\")");
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the name leads to the file from where the program runs.
fn lies_here(path: &Path, name: &str) -> bool {
    let whole = |path: &OsStr| Path::new(path).canonicalize().ok();
    whole(path.as_os_str()).is_some_and(|there| whole(OsStr::new(name)) == Some(there))
}

/// A pipe, in place of a file that would be left behind if this process is killed: the end that is read here, and the one that the
/// program inherits.
fn mark() -> io::Result<(File, OwnedFd)> {
    let (executed, mark) = rustix::pipe::pipe()?;
    rustix::io::fcntl_setfd(&executed, FdFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&executed, OFlags::NONBLOCK)?;
    Ok((executed.into(), mark))
}
