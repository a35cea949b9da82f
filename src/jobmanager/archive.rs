//! Keeps what can be seen of a job beyond its JobManager.

use tracing::warn;

use super::core::Core;
use super::job::Job;
use crate::ids::ApplicationId;
use crate::protocol::history::{ArchivedAnswer, JobArchive};
use crate::storage::History;
use crate::time::Now;

/// Answers about a job that has ended, as the REST API gives them.
pub type Render = fn(&Core, &Job, Now) -> Vec<ArchivedAnswer>;

/// Where ended jobs of an application are kept.
#[derive(Clone, Debug)]
pub(super) struct Archive {
    pub(super) history: History,
    pub(super) application: ApplicationId,
    pub(super) render: Render,
}

impl Archive {
    /// What writes the archive of `job`, to be run off the control loop. Nothing depends on an archive: what cannot be written is said
    /// and left out.
    pub(super) fn of(&self, core: &Core, job: &Job, now: Now) -> impl FnOnce() + Send + 'static {
        let (history, application, id) = (self.history.clone(), self.application, job.id());
        let answers = (self.render)(core, job, now);
        move || {
            if let Err(error) = history.put(application, id, &JobArchive::new(id, answers).to_json()) {
                warn!(job = %id, %error, "the ended job is not archived; it can be looked at until this JobManager ends");
            }
        }
    }
}
