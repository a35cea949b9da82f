//! Disks that are full, slow, or do not give back what they were given.

use std::collections::BTreeMap;
use std::time::Duration;

use super::world::{Happening, World};
use crate::time::Now;

/// What shares a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Volume {
    /// What jobs store: records, checkpoints.
    Jobs,
    /// The ResourceManager's store.
    ResourceManager,
    /// The stores of NodeManagers.
    Nodes,
}

/// What is wrong with disks.
#[derive(Debug, Default)]
pub(super) struct StorageFaults {
    full_until: BTreeMap<Volume, Now>,
    slow_until: Now,
}

impl World {
    pub(super) fn is_full(&self, volume: Volume) -> bool {
        self.storage_faults.full_until.get(&volume).is_some_and(|until| *until > self.now)
    }

    /// A pause that storage has a part in.
    pub(super) fn storage_pause(&mut self, pause_ms: std::ops::Range<u64>) -> std::ops::Range<u64> {
        match self.storage_faults.slow_until > self.now {
            true => 200..3_000,
            false => pause_ms,
        }
    }

    /// Nothing can be written to one of the disks for so long.
    pub(super) fn fill_disk(&mut self, for_ms: u64) {
        let volume = match self.rng.u32(0..4) {
            0 | 1 => Volume::Jobs,
            2 => Volume::ResourceManager,
            _ => Volume::Nodes,
        };
        self.note("fault", format!("the disk of {volume:?} is full for {for_ms} ms"));
        self.stats.storage_and_clocks += 1;
        let until = self.now + Duration::from_millis(for_ms);
        let known = self.storage_faults.full_until.entry(volume).or_insert(until);
        *known = until.max(*known);
        if volume == Volume::Jobs {
            self.scenario.jobs.iter().for_each(|job| job.storage.set_full(true));
            self.schedule(until, Happening::DiskFreed);
        }
    }

    /// Something has been removed from the disk of jobs.
    pub(super) fn disk_freed(&mut self) {
        if !self.is_full(Volume::Jobs) {
            self.scenario.jobs.iter().for_each(|job| job.storage.set_full(false));
        }
    }

    /// Everything that is written takes seconds.
    pub(super) fn slow_storage(&mut self, for_ms: u64) {
        self.note("fault", format!("storage is slow for {for_ms} ms"));
        self.stats.storage_and_clocks += 1;
        self.storage_faults.slow_until = self.now + Duration::from_millis(for_ms);
    }

    /// A bit of what a job has stored of a checkpoint is another one from now on.
    pub(super) fn flip_bit(&mut self) {
        let index = self.rng.usize(0..self.scenario.jobs.len());
        let flipped = self.scenario.jobs[index].storage.flip(&mut self.rng);
        let what =
            flipped.map_or_else(|| "there is no file to damage".to_owned(), |path| format!("a bit of {path} flips"));
        self.note("fault", format!("wordcount-{}: {what}", index + 1));
        self.stats.storage_and_clocks += 1;
    }

    /// All is well from now on, but for what is damaged.
    pub(super) fn storage_recovers(&mut self) {
        self.storage_faults = StorageFaults::default();
        self.disk_freed();
    }
}
