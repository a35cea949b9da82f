//! How the service ends: jobs are cancelled, the ResourceManager is told, what nobody needs any more goes.

use std::time::Duration;

use tracing::{debug, info, warn};

use super::Service;
use crate::ids::JobId;
use crate::jobmanager::error::Error;
use crate::jobmanager::event::Event;
use crate::jobmanager::job::Job;
use crate::jobmanager::preparation::blocking;
use crate::jobmanager::shutdown::{self, Left};
use crate::protocol::task_manager::ToTaskManager;

/// How long the storage may take for archives at the JobManager's end.
const ARCHIVE_MAX: Duration = Duration::from_secs(10);
/// The same for what is removed.
const FORGET_MAX: Duration = Duration::from_secs(4);

impl Service {
    /// Cancels every job and ends when they have ended.
    pub(super) async fn begin_end(&mut self, why: &str) -> Result<(), Error> {
        info!(%why, jobs = self.open.len(), "ending");
        self.cancel_all().await?;
        self.ending.drain(shutdown::stopped(why), self.clock.now());
        self.finish_if_drained();
        Ok(())
    }

    pub(super) async fn cancel_all(&mut self) -> Result<(), Error> {
        self.stopping = true;
        for job in self.open.clone() {
            if let Err(refused) = self.apply(Event::Cancel { job }).await? {
                debug!(%job, %refused, "not cancelled");
            }
        }
        Ok(())
    }

    pub(super) fn finish_if_drained(&mut self) {
        let left = Left::of(&self.open, &self.core);
        let resource_manager = self.resource_manager.as_mut().map(|(link, _)| link);
        if let Some(finish) = self.ending.finish(left, resource_manager.is_some(), self.clock.now())
            && let Some(resource_manager) = resource_manager
        {
            info!(status = ?finish.final_status, "unregistering from the ResourceManager");
            resource_manager.finish(finish);
        }
    }

    /// Removes what only another attempt would have read. Checkpoints that were retained stay, and what the archive holds.
    async fn forget_application(&self) {
        let store = self.store.clone();
        let jobs: Vec<JobId> = self.core.jobs().map(Job::id).collect();
        let forget = blocking(move || {
            for job in jobs {
                store.forget(job);
            }
            store.forget_application();
            Ok(())
        });
        if tokio::time::timeout(FORGET_MAX, forget).await.is_err() {
            warn!("the application's records are left behind: the storage does not answer");
        }
    }

    /// Tells everybody to go, and waits for what was spawned.
    pub(super) async fn wind_up(mut self) {
        // Of an attempt that has been ended they wait for the next one; if there is none, the ResourceManager ends them.
        if self.resource_manager.is_some() && !self.ending.is_fenced() {
            for task_manager in self.links.task_manager_ids() {
                let why = "the application has ended".to_owned();
                self.links.to_task_manager(&task_manager, ToTaskManager::Shutdown { why });
            }
            let leaders = self.task_managers.leaders.clone();
            if let Err(error) = blocking(move || leaders.forget().map_err(Error::Storage)).await {
                debug!(%error, "the record of who leads is left behind");
            }
        }
        self.children.shutdown().await;
        // The application has ended when this process has: whoever hears of that looks for its jobs in the archive.
        let archived = async { while self.archiving.join_next().await.is_some() {} };
        if tokio::time::timeout(ARCHIVE_MAX, archived).await.is_err() {
            warn!(left = self.archiving.len(), "ended jobs may not be archived: the storage does not answer");
        }
        if self.unregistered {
            self.forget_application().await;
        }
        self.links.close().await;
    }
}
