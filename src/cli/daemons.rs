//! Stub until the services land.
use super::arguments::Daemon;
use std::process::ExitCode;
pub(super) fn resource_manager(_: Daemon) -> anyhow::Result<ExitCode> {
    anyhow::bail!("x")
}
pub(super) fn node_manager(_: Daemon) -> anyhow::Result<ExitCode> {
    anyhow::bail!("x")
}
pub(super) fn job_manager(_: Daemon) -> anyhow::Result<ExitCode> {
    anyhow::bail!("x")
}
pub(super) fn task_manager(_: Daemon) -> anyhow::Result<ExitCode> {
    anyhow::bail!("x")
}
