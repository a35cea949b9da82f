//! Publishing what a complete checkpoint had prepared, and what follows when that is done.

use std::collections::BTreeMap;

use super::JobMaster;
use super::cause::Cause;
use super::event::{Decision, Effect};
use super::output::{Progress, Publication};
use crate::engine::checkpoint::Manifest;
use crate::graph::plan::NodeIndex;
use crate::graph::task::Committable;
use crate::ids::{OperatorId, WorkerId};
use crate::time::Now;

impl JobMaster {
    /// Publishes what a complete checkpoint had prepared.
    pub(super) fn begin_committing(&mut self, manifest: &Manifest, now: Now, out: &mut Vec<Effect>) {
        let decision = self.output_of(manifest);
        if decision.committables.is_empty() {
            return self.committed(now, out);
        }
        self.committing = Some(self.publication(decision));
        self.place_checkpoint_commits(now, out);
    }

    /// What belongs to a checkpoint of the sinks that the job has.
    pub(super) fn output_of(&self, manifest: &Manifest) -> Decision {
        let of_sink = |(operator, payloads): (&OperatorId, &Vec<serde_json::Value>)| {
            let operator = self.node_of(*operator)?;
            let committable = |payload: &serde_json::Value| Committable { operator, payload: payload.clone() };
            Some((operator, payloads.iter().map(committable).collect()))
        };
        Decision { committables: manifest.committables.iter().filter_map(of_sink).collect() }
    }

    pub(super) fn place_checkpoint_commits(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(committing) = &mut self.committing else { return };
        let ready: Vec<WorkerId> = self.workers.ready().map(|(worker, _)| worker).collect();
        let orders = committing.place(&ready, now).into_iter();
        out.extend(orders.map(|(worker, message)| Effect::ToWorker { worker, message }));
    }

    /// How a commit of a checkpoint's output went.
    pub(super) fn checkpoint_commit_progress(&mut self, progress: Progress, now: Now, out: &mut Vec<Effect>) {
        match progress {
            Progress::Stale => self.stale += 1,
            Progress::Pending => self.place_checkpoint_commits(now, out),
            Progress::RetryAt(at) => out.push(Effect::Wake { at }),
            Progress::Done => {
                self.committing = None;
                self.committed(now, out);
            }
            Progress::Failed(failure) => self.fail(Cause::task(failure, None, None), now, out),
        }
    }

    /// A worker is gone that may have been told to publish: others do, of a job that runs on or only loses a region.
    pub(super) fn hand_checkpoint_commits_on(&mut self, worker: &WorkerId, why: &str, now: Now, out: &mut Vec<Effect>) {
        if let Some(committing) = &mut self.committing {
            let progress = committing.worker_gone(worker, why);
            self.checkpoint_commit_progress(progress, now, out);
        }
    }

    fn committed(&mut self, now: Now, out: &mut Vec<Effect>) {
        if self.drained().is_some() {
            return self.end_sources(out);
        }
        if let Some(goal) = self.stopping.take() {
            let ran_for = std::time::Duration::ZERO;
            return self.begin_unwinding(goal, ran_for, now, out);
        }
        self.checkpoint_if_due(now, out);
    }

    /// What the end of the job publishes besides what its finished subtasks prepared: what a complete checkpoint has begun to.
    pub(super) fn uncommitted(&self) -> BTreeMap<NodeIndex, Vec<Committable>> {
        self.committing.as_ref().map(Publication::committables).unwrap_or_default()
    }
}
