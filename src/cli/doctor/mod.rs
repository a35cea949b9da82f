//! `flott doctor`: whether this machine and the cluster are fit for work, a line a finding, with what to do.

mod cluster;
mod machine;

use std::fmt;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::arguments::{Output, Settings};
use super::block_on;
use super::output::print;

/// `flott doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Run it on each machine: limits, disks and control groups are looked at where it runs.\n\
    The exit code is 0 unless something fails.")]
pub(super) struct Doctor {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    output: Output,
}

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warn,
    Fail,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        })
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    status: Status,
    /// What was looked at: `disk`.
    topic: &'static str,
    finding: String,
    /// What to do; none where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Check {
    fn ok(topic: &'static str, finding: impl Into<String>) -> Self {
        Self { status: Status::Ok, topic, finding: finding.into(), remedy: None }
    }

    fn warn(topic: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: Status::Warn, topic, finding: finding.into(), remedy: Some(remedy.into()) }
    }

    fn fail(topic: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: Status::Fail, ..Self::warn(topic, finding, remedy) }
    }
}

pub(super) fn doctor(options: &Doctor) -> anyhow::Result<ExitCode> {
    let mut checks = vec![Check::ok("version", format!("this is flott {}", env!("CARGO_PKG_VERSION")))];
    match options.settings.client() {
        Ok((configuration, client)) => {
            checks.push(Check::ok("configuration", "it can be read"));
            checks.extend(machine::checks(&configuration));
            checks.extend(block_on(async { Ok(cluster::checks(&client).await) })?);
        }
        Err(error) => {
            let remedy = "flott config show --origin tells where each value comes from";
            checks.push(Check::fail("configuration", format!("{error:#}"), remedy));
        }
    }
    print(options.output, &checks, || text(&checks))?;
    let failed = checks.iter().any(|check| check.status == Status::Fail);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn text(checks: &[Check]) -> String {
    let mut text = String::new();
    for Check { status, topic, finding, remedy } in checks {
        text.push_str(&format!("{status:<5} {topic:<14} {finding}\n"));
        if let Some(remedy) = remedy {
            text.push_str(&format!("{:<20} -> {remedy}\n", ""));
        }
    }
    let count = |status: Status| checks.iter().filter(|check| check.status == status).count();
    let (warnings, failures) = (count(Status::Warn), count(Status::Fail));
    text.push_str(&format!("\n{} checks, {warnings} to look at, {failures} failed\n", checks.len()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_is_a_line_with_what_to_do_below() {
        let checks = [Check::ok("disk", "fine"), Check::fail("ports", "8088 is taken", "stop it")];
        assert_eq!(
            text(&checks),
            "ok    disk           fine\n\
             fail  ports          8088 is taken\n                     -> stop it\n\n2 checks, 0 to look at, 1 failed\n"
        );
    }
}
