//! What it writes: the records of its job, and the manifests of checkpoints.

use std::sync::Arc;

use super::super::Bug;
use super::super::disks::{JobWrite, Verdict, WrittenBy};
use super::super::storage_faults::Volume;
use super::super::world::{Pid, World};
use super::{DIES_WRITING_A_MANIFEST_ONE_IN, JobManager};
use crate::engine::checkpoint::Manifest;
use crate::graph::task::Failure;
use crate::ids::JobId;
use crate::jobmanager::event::{Effect, Event};
use crate::jobmanager::job_master::Record;

impl JobManager {
    pub(super) fn manifest_written(&mut self, manifest: Arc<Manifest>, counts: bool, me: Pid, world: &mut World) {
        // A job's last one comes once in a run, and what follows it is the hardest to get right.
        let one_in = if manifest.drained { 1 } else { DIES_WRITING_A_MANIFEST_ONE_IN };
        let dies = world.faults.strikes(&mut world.rng, one_in);
        if dies && world.rng.bool() {
            return world.die(me, "with half of a manifest written");
        }
        if world.is_full(Volume::Jobs) && world.planted != Some(Bug::FullDiskIsIgnored) {
            let failure = Some(Failure::transient("cannot write the manifest: no space left on device"));
            return self.apply(Event::ManifestWritten { manifest, failure }, me, world);
        }
        world.stats.checkpoints += 1;
        let manifest = damaged(manifest, world.planted);
        if counts {
            let files = world.disks.job(self.attempt.application, manifest.job);
            files.is_open_to_all = world.planted == Some(Bug::SkippedFence);
            let published = files.publish_checkpoint(self.attempt.attempt, Arc::clone(&manifest));
            if let Err(WrittenBy(other)) = published {
                world.note(&self.name, format!("fenced: attempt {other} has taken the checkpoints over"));
                return world.exit(me, 1);
            }
            if let Some(leader) = files.leads().filter(|leader| *leader > self.attempt.attempt) {
                let what = format!("{} completes {}, and attempt {leader} leads", self.name, manifest.directory);
                world.ledger.violated(what);
            }
        }
        world.check_manifest(&self.submission.program.name, &manifest);
        world.note(&self.name, format!("checkpoint {} is complete", manifest.checkpoint));
        if dies {
            return world.die(me, "with a manifest written that it does not know of");
        }
        if world.planted == Some(Bug::LatestIsCollected) {
            self.pending
                .push_back(Effect::DiscardCheckpoint { job: manifest.job, directory: manifest.directory.clone() });
        }
        if world.planted == Some(Bug::RetainedIsCollected) {
            let files = world.disks.job(self.attempt.application, manifest.job);
            let retained = self.core.job(manifest.job).and_then(|job| job.master());
            let retained = retained.map_or(1, |master| master.checkpoint_settings().retained);
            let earliest = files.earliest_retained(retained).map(|manifest| manifest.directory.clone());
            let discard = |directory| Effect::DiscardCheckpoint { job: manifest.job, directory };
            self.pending.extend(earliest.map(discard));
        }
        self.apply(Event::ManifestWritten { manifest, failure: None }, me, world);
    }

    pub(super) fn persist(&mut self, job: JobId, record: Record, me: Pid, world: &mut World) {
        let (what, write) = match record {
            Record::Decision(decision) => ("decision", JobWrite::Verdict(Verdict::Publish(decision))),
            Record::Requirements(requirements) => ("parallelism", JobWrite::Requirements(requirements)),
            Record::Outcome(outcome) if self.decided => ("outcome", JobWrite::Outcome(outcome)),
            Record::Outcome(outcome) => ("end", JobWrite::Verdict(Verdict::End(outcome))),
        };
        world.note(&self.name, format!("writes its {what}"));
        if world.planted == Some(Bug::CommitBeforeDecision) && what == "decision" {
            // The write is under way; nobody waits for it.
            let mut behind = std::mem::take(&mut self.pending);
            while let Some(effect) = behind.pop_front() {
                self.effect(effect, me, world);
            }
        }
        self.writing = Some((job, write));
        world.flush(me);
    }

    pub(super) fn durable(&mut self, me: Pid, world: &mut World) {
        if world.is_full(Volume::Jobs) {
            world.note(&self.name, "cannot write: no space left on device");
            return world.exit(me, 1);
        }
        let Some((job, write)) = self.writing.take() else { return };
        let plan_stored = matches!(write, JobWrite::Plan(_));
        let decides = matches!(write, JobWrite::Verdict(Verdict::Publish(_)));
        let files = world.disks.job(self.attempt.application, job);
        if let Err(WrittenBy(other)) = files.create(self.attempt.attempt, write) {
            world.note(&self.name, format!("fenced: attempt {other} has written that already"));
            return world.exit(me, 1);
        }
        self.decided |= decides;
        if plan_stored && let Some(prepared) = self.prepared.take() {
            return self.apply(Event::Planned { job, prepared: Box::new(prepared) }, me, world);
        }
        self.perform(me, world);
    }
}

/// A manifest without what a planted mistake forgets of it.
fn damaged(mut manifest: Arc<Manifest>, planted: Option<Bug>) -> Arc<Manifest> {
    if planted == Some(Bug::ManifestWithoutAFile) {
        let files = Arc::make_mut(&mut manifest).operators.iter_mut().flat_map(|operator| &mut operator.files);
        if let Some(file) = files.into_iter().find(|file| file.is_some()) {
            *file = None;
        }
    }
    manifest
}
