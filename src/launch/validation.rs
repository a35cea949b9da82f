//! The validate role: what the program would make of a checkpoint, told without starting anything.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::configuration::object_stores;
use super::{Error, Job};
use crate::config::{Configuration, JobConfig};
use crate::engine::checkpoint::{RestoreReport, Storages, WrittenStates, read_manifest};
use crate::engine::operators::AsyncPort;
use crate::engine::runtime::{Blueprint, Flushing};
use crate::engine::state::StateBackend;
use crate::graph::job_graph::{self, JobGraph};
use crate::graph::task::Failure;
use crate::protocol::roles;
use crate::rpc::io_cause;

/// Writes a [`RestoreReport`] to `file`.
pub(super) fn validate(job: Job, file: &Path) -> Result<(), Error> {
    let given = std::env::var(roles::CONFIGURATION).unwrap_or_else(|_| "{}".to_owned());
    let given = serde_json::from_str(&given).map_err(|error| Error::environment(roles::CONFIGURATION, error))?;
    let configuration = Configuration::new().with_submitted(&job.plan.configuration)?.with_submitted(&given)?;
    let report = report(job, &JobConfig::from_configuration(&configuration)?)?;
    let unwritable = |cause: String| Error::PlanFile { action: "write", path: file.to_owned(), cause };
    let json = serde_json::to_vec_pretty(&report).map_err(|error| unwritable(error.to_string()))?;
    std::fs::write(file, json).map_err(|error| unwritable(io_cause(&error)))
}

fn report(job: Job, config: &JobConfig) -> Result<RestoreReport, Error> {
    let Job { mut plan, program } = job;
    plan.execution_mode = config.execution_mode.unwrap_or(plan.execution_mode);
    for node in &mut plan.nodes {
        node.max_parallelism = node.max_parallelism.or(config.max_parallelism);
    }
    plan.validate()?;
    let default_parallelism = config.default_parallelism().get();
    let graph = JobGraph::new(&plan, job_graph::Settings { default_parallelism, chaining: config.chaining })?;
    let unreadable = |failure: Failure| Error::Recovery { failure };
    let place = config.checkpointing.recovery_path.as_deref().unwrap_or_default();
    let storages = Storages::new(&object_stores(&Configuration::new())?);
    let manifest = read_manifest(&storages, place).map_err(unreadable)?;
    let written = WrittenStates::read(&storages, &manifest).map_err(unreadable)?;
    let mut report = RestoreReport::new(&manifest, &plan, config.checkpointing.ignore_unclaimed_state);
    let blueprint = Blueprint {
        plan: Arc::new(plan),
        program,
        temporary_dir: std::env::temp_dir(),
        state_backend: StateBackend::default(),
        flushing: Flushing::new(crate::graph::plan::ExecutionMode::Streaming, Some(Duration::ZERO)),
        storage: Arc::new(storages),
        auto_watermark_interval: config.auto_watermark_interval,
        async_port: AsyncPort::tokio(),
    };
    for (vertex, index) in
        graph.vertices.iter().flat_map(|vertex| vertex.operators.iter().map(move |node| (vertex, node)))
    {
        let node = &blueprint.plan.nodes[index.0 as usize];
        match blueprint.declared_states(vertex, *index) {
            Ok(Some(declared)) => report.compare(node, &written, &declared),
            Ok(None) => {}
            Err(failure) => report.note(node.operator_id, format!("its states are not known: {}", failure.message)),
        }
    }
    Ok(report)
}
