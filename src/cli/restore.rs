//! `flott run -s`: what the program makes of the checkpoint it starts from, told before anything is started.

use std::process::ExitCode;

use anyhow::{Context, bail};

use super::arguments::{Output, OutputFormat};
use super::explain::Question;
use super::output::{print, write};
use crate::config::{Configuration, JobConfig};
use crate::engine::checkpoint::{RestoreReport, Storages, read_manifest};
use crate::protocol::roles::ROLE_VALIDATE;

/// Where the checkpoint lies that a job starts from.
pub(super) const RECOVERY_PATH: &str = "execution.state-recovery.path";

/// `--validate`: opens the program's operators here, compares their states with those of the checkpoint, and starts nothing. The exit
/// code says whether the job would start.
pub(super) fn validate(question: &Question<'_>, output: Output) -> anyhow::Result<ExitCode> {
    if !question.configuration.contains_key(RECOVERY_PATH) {
        bail!("--validate compares the program with a savepoint; name it with -s PATH");
    }
    let report = question.ask(ROLE_VALIDATE)?;
    let report: RestoreReport = serde_json::from_slice(&report).context("cannot read the program's answer")?;
    print(output, &report, || report.to_string())?;
    Ok(if report.accepted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tells what becomes of each operator's state, and refuses what the JobManager would refuse. A checkpoint that cannot be read from
/// here is left to the JobManager, which may reach it.
pub(super) fn tell(question: &Question<'_>, output: Output) -> anyhow::Result<()> {
    let Some(place) = question.configuration.get(RECOVERY_PATH) else { return Ok(()) };
    let storages = Storages::new(&question.object_stores);
    let Ok(manifest) = read_manifest(&storages, place) else { return Ok(()) };
    let plan = question.plan()?;
    let configuration = Configuration::new().with_submitted(&plan.configuration)?;
    let config = JobConfig::from_configuration(&configuration.with_submitted(&question.configuration)?)?;
    let report = RestoreReport::new(&manifest, &plan, config.checkpointing.ignore_unclaimed_state);
    if let Some(why) = report.refusal() {
        bail!("{why}");
    }
    match output.output {
        OutputFormat::Text => write(report.to_string().as_bytes()),
        OutputFormat::Json => Ok(()),
    }
}
