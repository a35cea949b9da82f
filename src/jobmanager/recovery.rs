//! Starting a job from a checkpoint or savepoint that a user names.

use crate::config::JobConfig;
use crate::engine::checkpoint::{Manifest, read_manifest};
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
    pub fn open(self, plan: &Plan) -> Result<Manifest, Failure> {
        let manifest = read_manifest(&self.place)?;
        self.check(&manifest, plan)?;
        Ok(manifest)
    }

    fn check(&self, manifest: &Manifest, plan: &Plan) -> Result<(), Failure> {
        for state in manifest.operators.iter().filter(|state| state.files.iter().any(Option::is_some)) {
            let node = plan.nodes.iter().find(|node| node.operator_id == state.operator);
            let Some(node) = node else {
                if self.allow_unclaimed {
                    continue;
                }
                return Err(Failure::user(format!(
                    "{} holds state of operator \"{}\" ({}), which the job does not have; give the operator the uid it had, or \
                     drop its state with --allowNonRestoredState",
                    self.place, state.name, state.operator
                )));
            };
            if let Some(max) = node.max_parallelism.filter(|max| *max != state.max_parallelism) {
                return Err(Failure::user(format!(
                    "{} holds state of operator \"{}\" in {} key groups, and the job has {max}; set its max parallelism to {}",
                    self.place, state.name, state.max_parallelism, state.max_parallelism
                )));
            }
        }
        Ok(())
    }
}
