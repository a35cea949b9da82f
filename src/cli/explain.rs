//! `flott run --explain`: what would run. The program is asked for its plan here, and nothing is started.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};
use clap::ValueEnum;

use super::object_stores::Told;
use super::output::write;
use crate::client::LocalProgram;
use crate::config::{Configuration, JobConfig, S3Config};
use crate::graph::explain::Explanation;
use crate::graph::job_graph::{JobGraph, Settings};
use crate::graph::plan::Plan;
use crate::protocol::roles;

/// How the plan is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ExplainFormat {
    /// For people.
    Text,
    /// As the job manager's REST API shows it.
    Json,
    /// For Graphviz.
    Dot,
}

/// What the program is asked with: as it would be when submitted.
pub(super) struct Question<'a> {
    pub(super) program: &'a Path,
    pub(super) arguments: &'a [String],
    pub(super) environment: BTreeMap<String, String>,
    pub(super) configuration: BTreeMap<String, String>,
    /// How it reaches the places of checkpoints.
    pub(super) object_stores: S3Config,
    /// Where nobody says one: that of where it would run.
    pub(super) default_parallelism: u32,
}

/// Prints the plan.
pub(super) fn explain(format: ExplainFormat, question: &Question<'_>) -> anyhow::Result<ExitCode> {
    let explanation = explanation(question.plan()?, question)?;
    let text = match format {
        ExplainFormat::Text => explanation.to_string(),
        ExplainFormat::Json => format!("{:#}\n", explanation.to_json()),
        ExplainFormat::Dot => explanation.to_dot(),
    };
    write(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

impl Question<'_> {
    /// Runs the program in its plan role.
    pub(super) fn plan(&self) -> anyhow::Result<Plan> {
        let json = self.ask(roles::ROLE_PLAN)?;
        serde_json::from_slice(&json).context("cannot read the program's plan")
    }

    /// Runs the program in a role in which it writes an answer and exits.
    pub(super) fn ask(&self, role: &str) -> anyhow::Result<Vec<u8>> {
        let program = LocalProgram::executable(self.program)?;
        let path = std::path::absolute(&program.path)?;
        let file =
            std::env::temp_dir().join(format!("flott-plan-{}-{:08x}.json", std::process::id(), fastrand::u32(..)));
        let told = Told::write(&self.object_stores)?;
        let status = Command::new(&path)
            .args(self.arguments)
            .envs(&self.environment)
            .env(roles::ROLE, role)
            .env(roles::PLAN, &file)
            .env(roles::OBJECT_STORES, told.file())
            .env(roles::CONFIGURATION, serde_json::to_string(&self.configuration)?)
            .stdin(Stdio::null())
            // What it prints while it builds its graph must not stand in the midst of JSON.
            .stdout(io::stderr().as_fd().try_clone_to_owned()?)
            .status()
            .with_context(|| format!("cannot start {}", path.display()));
        let json = std::fs::read(&file);
        // It may not have been written; nobody reads it again.
        let _ = std::fs::remove_file(&file);
        match (status?.success(), json) {
            (true, Ok(json)) => Ok(json),
            (true, Err(_)) => bail!("{} ended without calling execute; a job's program must", program.name),
            (false, _) => bail!("{} did not get as far as execute; its own words stand above", program.name),
        }
    }
}

fn explanation(mut plan: Plan, question: &Question<'_>) -> anyhow::Result<Explanation> {
    let submitted = Configuration::new().with_submitted(&plan.configuration)?;
    let configuration = submitted.with_submitted(&question.configuration)?;
    let config = JobConfig::from_configuration(&configuration)?;
    plan.name = config.name.clone().unwrap_or(plan.name);
    plan.execution_mode = config.execution_mode.unwrap_or(plan.execution_mode);
    for node in &mut plan.nodes {
        node.max_parallelism = node.max_parallelism.or(config.max_parallelism);
    }
    plan.validate()?;
    let default_parallelism = config.parallelism.map_or(question.default_parallelism, |parallelism| parallelism.get());
    let settings = Settings { default_parallelism, chaining: config.chaining };
    let graph = JobGraph::new(&plan, settings)?;
    Ok(Explanation::new(plan, graph))
}
