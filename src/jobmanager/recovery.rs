//! Starting a job from a checkpoint or savepoint that a user names.

use crate::config::JobConfig;
use crate::engine::checkpoint::{Manifest, OperatorFate, RestoreReport, Storages, check_files, read_manifest};
use crate::graph::plan::Plan;
use crate::graph::task::Failure;

/// What a user wants a job to start from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    place: String,
    allow_unclaimed: bool,
}

impl Recovery {
    /// As configured, if it is.
    pub fn configured(config: &JobConfig) -> Option<Self> {
        let place = config.checkpointing.recovery_path.clone()?;
        Some(Self { place, allow_unclaimed: config.checkpointing.ignore_unclaimed_state })
    }

    /// Reads its manifest. Blocking.
    ///
    /// # Errors
    /// One that is not there or damaged, or that holds state of operators which the job does not have.
    pub fn open(self, storage: &Storages, plan: &Plan) -> Result<Manifest, Failure> {
        let manifest = read_manifest(storage, &self.place)?;
        check_files(storage, &manifest)?;
        self.check(&manifest, plan)?;
        Ok(manifest)
    }

    fn check(&self, manifest: &Manifest, plan: &Plan) -> Result<(), Failure> {
        let report = RestoreReport::new(manifest, plan, self.allow_unclaimed);
        for OperatorFate { operator, name, fate, why, .. } in &report.operators {
            let why = why.as_deref().unwrap_or_default();
            tracing::info!(checkpoint = self.place, %operator, name, %fate, why, "state to restore");
        }
        report.refusal().map_or(Ok(()), |why| Err(Failure::user(why)))
    }
}
