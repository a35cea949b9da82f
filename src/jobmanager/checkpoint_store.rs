//! Where checkpoints lie, and which of them a job goes on from: the one that the last entry of its
//! [`Succession`] names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::Error;
use super::event::{Event, LeftCheckpoints};
use super::job_master::CheckpointSettings;
use super::preparation::blocking;
use super::succession::Succession;
use super::succession_list;
use crate::engine::checkpoint::{
    CheckpointStorage, JobStands, Manifest, Storages, check_files, discard_checkpoint, read_manifest, write_manifest,
};
use crate::graph::task::Failure;
use crate::ids::JobId;
use crate::protocol::job::JobStatus;
use crate::rpc::ErrorKind;
use crate::storage::places;

/// The checkpoints of each job. Blocking: called off the control runtime.
#[derive(Clone, Debug)]
pub(super) struct CheckpointStore {
    succession: Succession,
    /// Where checkpoints lie.
    storage: Storages,
    /// Checkpoints that could not be removed, or not wholly: tried again with the next.
    left: Arc<Mutex<BTreeMap<String, JobStands>>>,
}

/// So many are tried again; a store that takes no removals keeps the others.
const LEFT_MAX: usize = 64;

/// Why a checkpoint is not complete.
#[derive(Debug)]
pub(super) enum Unpublished {
    /// It could not be written.
    Failed(Failure),
    /// A later attempt of this JobManager has taken over.
    Fenced(String),
}

impl CheckpointStore {
    pub(super) fn new(succession: Succession, storage: Storages) -> Self {
        Self { succession, storage, left: Arc::default() }
    }

    /// Where checkpoints lie.
    pub(super) fn storage(&self) -> &Storages {
        &self.storage
    }

    /// Where a job's checkpoints lie, unless the configuration says.
    pub(super) fn default_directory(&self, job: JobId) -> PathBuf {
        self.succession.list(job)
    }

    /// Enters this attempt, and says what it takes over: the latest checkpoints that are whole, `retained` at most, the latest last,
    /// which the job goes on from. Below `directory` everything else that earlier attempts have left is removed: they can complete
    /// nothing any more.
    pub(super) fn begin(&self, job: JobId, retained: usize, directory: &str) -> Result<Vec<Manifest>, Error> {
        let kept = self.succession.enter(job, retained, |entries| {
            let kept = self.latest_whole(entries, retained.max(1), job)?;
            Ok((kept.last().map(|manifest| manifest.directory.clone()), kept))
        })?;
        let kept_at: Vec<String> = kept.iter().map(|manifest| manifest.directory.clone()).collect();
        self.discard_others(directory, &kept_at, JobStands::GoesOn);
        Ok(kept)
    }

    /// What a job that has ended may have left, and what of that stays.
    pub(super) fn left_by(
        &self,
        job: JobId,
        settings: &CheckpointSettings,
        ended: JobStatus,
    ) -> Result<LeftCheckpoints, Error> {
        let directory = settings.directory.clone();
        if ended == JobStatus::Finished || !settings.retain_on_cancellation {
            return Ok(LeftCheckpoints { directory, retained: Vec::new() });
        }
        let entries = succession_list::entries(&self.succession.list(job))?;
        let kept = self.latest_whole(&entries, settings.retained.max(1), job)?;
        Ok(LeftCheckpoints { directory, retained: kept.into_iter().map(|manifest| manifest.directory).collect() })
    }

    /// Makes a checkpoint one the job goes on from; `counts`: otherwise only its manifest is written.
    pub(super) fn publish(&self, manifest: &Manifest, counts: bool) -> Result<(), Unpublished> {
        write_manifest(&self.storage, manifest).map_err(Unpublished::Failed)?;
        if !counts {
            return Ok(());
        }
        let complete = |entry: &mut succession_list::Entry| entry.checkpoint = Some(manifest.directory.clone());
        self.succession.write(manifest.job, complete).map_err(|error| match error {
            Error::Fenced(why) => Unpublished::Fenced(why),
            error => Unpublished::Failed(Failure::transient(error.to_string())),
        })
    }

    /// [`CheckpointStore::publish`] off the control runtime; the event says how it went.
    ///
    /// # Errors
    /// A later attempt has taken over, which concerns the whole JobManager.
    pub(super) async fn written(self, manifest: Arc<Manifest>, counts: bool) -> Result<Event, Error> {
        blocking(move || match self.publish(&manifest, counts) {
            Ok(()) => Ok(Event::ManifestWritten { manifest, failure: None }),
            Err(Unpublished::Failed(failure)) => Ok(Event::ManifestWritten { manifest, failure: Some(failure) }),
            Err(Unpublished::Fenced(why)) => Err(Error::Fenced(why)),
        })
        .await
    }

    /// Removes a checkpoint, and those that could not be removed before. What remains is hidden from nobody and logged.
    pub(super) fn discard(&self, directory: &str, job: JobStands) {
        let mut left = std::mem::take(&mut *self.left());
        left.insert(directory.to_owned(), job);
        for (directory, job) in left {
            if let Err(failure) = discard_checkpoint(&self.storage, &directory, job) {
                tracing::warn!(%failure, "a checkpoint is left behind");
                let mut left = self.left();
                if left.len() < LEFT_MAX {
                    left.insert(directory, job);
                }
            }
        }
    }

    fn left(&self) -> MutexGuard<'_, BTreeMap<String, JobStands>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The latest checkpoints of the list that are whole, the latest last.
    fn latest_whole(&self, entries: &[u64], count: usize, job: JobId) -> Result<Vec<Manifest>, Error> {
        let (mut kept, mut seen) = (Vec::<Manifest>::new(), BTreeSet::new());
        for number in entries.iter().rev() {
            if kept.len() == count {
                break;
            }
            let entry = succession_list::read(&self.succession.list(job), *number)?;
            let Some(directory) = entry.and_then(|entry| entry.checkpoint).filter(|known| seen.insert(known.clone()))
            else {
                continue;
            };
            let manifest = read_manifest(&self.storage, &directory)
                .and_then(|manifest| check_files(&self.storage, &manifest).map(|()| manifest));
            match manifest {
                Ok(manifest) => kept.push(manifest),
                // One that cannot be looked at may be whole: going back behind it would undo what was committed with it.
                Err(failure) if kept.is_empty() && failure.kind != ErrorKind::Permanent => {
                    return Err(Error::Checkpoints(failure.message));
                }
                // Those behind the latest were removed in their time, mostly.
                Err(failure) if kept.is_empty() => {
                    tracing::warn!(%job, %failure, "going back to an earlier checkpoint")
                }
                Err(_) => {}
            }
        }
        kept.reverse();
        Ok(kept)
    }

    /// Removes the checkpoints below `directory` that are not among `kept`, complete or not.
    pub(super) fn discard_others(&self, directory: &str, kept: &[String], job: JobStands) {
        let found = self.storage.directories(directory).unwrap_or_else(|failure| {
            tracing::warn!(directory, %failure, "checkpoints that nobody needs may be left behind");
            Vec::new()
        });
        for name in found.iter().filter(|name| name.starts_with("chk-")) {
            let path = places::inside(directory, name);
            if !kept.contains(&path) {
                tracing::info!(path, "removing what was left of a checkpoint");
                self.discard(&path, job);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::engine::checkpoint::{MANIFEST_VERSION, OperatorState};
    use crate::graph::task::StateFile;
    use crate::ids::{CheckpointId, OperatorId};
    use crate::time::Now;

    const JOB: JobId = JobId(1);

    fn store_of(dir: &Path, attempt: u32) -> CheckpointStore {
        CheckpointStore::new(Succession::new(dir.to_owned(), attempt), Storages::default())
    }

    fn manifest(store: &CheckpointStore, checkpoint: u64) -> Manifest {
        let directory = store.default_directory(JOB).join(format!("chk-{checkpoint}-{}", store.succession.attempt()));
        Manifest {
            version: MANIFEST_VERSION,
            job: JOB,
            job_name: "words".to_owned(),
            checkpoint: CheckpointId(checkpoint),
            savepoint: false,
            drained: false,
            attempt: store.succession.attempt(),
            triggered: Now(5),
            directory: directory.to_string_lossy().into_owned(),
            operators: Vec::new(),
            sources: BTreeMap::new(),
            committables: BTreeMap::new(),
        }
    }

    fn begin(store: &CheckpointStore, retained: usize) -> Vec<Manifest> {
        store.begin(JOB, retained, &store.default_directory(JOB).to_string_lossy()).unwrap()
    }

    #[test]
    fn the_next_attempt_goes_on_from_the_latest_and_fences_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let first = store_of(dir.path(), 1);
        assert_eq!(begin(&first, 1), []);
        for checkpoint in [1, 2] {
            first.publish(&manifest(&first, checkpoint), true).unwrap();
        }
        let second = store_of(dir.path(), 2);
        assert_eq!(begin(&second, 1), [manifest(&first, 2)]);
        // The first one does not know yet.
        assert!(matches!(first.publish(&manifest(&first, 3), true), Err(Unpublished::Fenced(_))));
        second.publish(&manifest(&second, 3), true).unwrap();
        let third = store_of(dir.path(), 3);
        assert_eq!(begin(&third, 1), [manifest(&second, 3)]);
    }

    #[test]
    fn a_replaced_attempt_is_fenced_after_hundreds_of_checkpoints_of_both_and_the_list_stays_short() {
        let dir = tempfile::tempdir().unwrap();
        let stores = [1, 2].map(|attempt| store_of(dir.path(), attempt));
        for store in &stores {
            begin(store, 2);
            for checkpoint in 1..=150 {
                store.publish(&manifest(store, checkpoint), true).unwrap();
                if let Some(old) = checkpoint.checked_sub(2) {
                    store.discard(&manifest(store, old).directory, JobStands::GoesOn);
                }
            }
        }
        assert!(matches!(stores[0].publish(&manifest(&stores[0], 151), true), Err(Unpublished::Fenced(_))));
        let left = succession_list::entries(&stores[0].succession.list(JOB)).unwrap().len();
        assert!(left < 150, "{left} entries");
        let third = store_of(dir.path(), 3);
        assert_eq!(begin(&third, 2), [149, 150].map(|checkpoint| manifest(&stores[1], checkpoint)));
    }

    #[test]
    fn a_damaged_or_missing_checkpoint_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let first = store_of(dir.path(), 1);
        begin(&first, 1);
        for checkpoint in [1, 2, 3] {
            first.publish(&manifest(&first, checkpoint), true).unwrap();
        }
        first.discard(&manifest(&first, 3).directory, JobStands::GoesOn);
        std::fs::write(Path::new(&manifest(&first, 2).directory).join("_metadata"), "rubbish").unwrap();
        let second = store_of(dir.path(), 2);
        assert_eq!(begin(&second, 1), [manifest(&first, 1)]);
    }

    #[test]
    fn what_could_not_be_removed_is_removed_with_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let (store, first) = (store_of(dir.path(), 1), dir.path().join("chk-1"));
        std::fs::write(&first, "no directory").unwrap();
        store.discard(&first.to_string_lossy(), JobStands::GoesOn);
        std::fs::remove_file(&first).unwrap();
        std::fs::create_dir(&first).unwrap();
        store.discard(&dir.path().join("chk-2").to_string_lossy(), JobStands::GoesOn);
        assert!(!first.exists());
    }

    #[test]
    fn of_a_jobs_checkpoints_those_stay_that_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (store, below) = (store_of(dir.path(), 2), dir.path().to_string_lossy().into_owned());
        for name in ["chk-1", "chk-2", "chk-2-2", "savepoint-1"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        store.discard_others(&below, &[format!("{below}/chk-2")], JobStands::Ended);
        let mut left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["chk-2", "savepoint-1"]);
        store.discard_others(&format!("{below}/absent"), &[], JobStands::Ended);
    }

    #[test]
    fn a_forgotten_list_leaves_what_was_retained_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let store = store_of(dir.path(), 1);
        begin(&store, 1);
        store.succession.forget(JOB);
        assert!(!store.succession.list(JOB).exists());
        begin(&store, 1);
        let retained = manifest(&store, 1);
        store.publish(&retained, true).unwrap();
        store.succession.forget(JOB);
        assert_eq!(read_manifest(store.storage(), &retained.directory).unwrap(), retained);
        assert_eq!(std::fs::read_dir(store.succession.list(JOB)).unwrap().count(), 1);
    }

    #[test]
    fn a_savepoint_is_written_but_not_gone_on_from() {
        let dir = tempfile::tempdir().unwrap();
        let first = store_of(dir.path(), 1);
        begin(&first, 1);
        first.publish(&manifest(&first, 1), false).unwrap();
        let second = store_of(dir.path(), 2);
        assert_eq!(begin(&second, 1), []);
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// A checkpoint completes, with a state file.
        Publish,
        /// A JobManager dies in the midst of one: files without a manifest.
        Abandon,
        /// The latest loses its manifest, or bytes of its state.
        Damage { manifest: bool },
        /// The next JobManager begins.
        Restart,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => Just(Step::Publish),
            1 => Just(Step::Abandon),
            1 => any::<bool>().prop_map(|manifest| Step::Damage { manifest }),
            2 => Just(Step::Restart),
        ];
        proptest::collection::vec(step, 0..25)
    }

    fn with_file(store: &CheckpointStore, number: u64) -> Manifest {
        let mut manifest = manifest(store, number);
        std::fs::create_dir_all(&manifest.directory).unwrap();
        let path = Path::new(&manifest.directory).join("v-0-0").to_string_lossy().into_owned();
        std::fs::write(&path, "state").unwrap();
        let file = StateFile { path, bytes: 5, operators: Vec::new(), union: false, runs: Vec::new() };
        manifest.operators.push(OperatorState {
            operator: OperatorId(1),
            uid: None,
            name: "count".to_owned(),
            parallelism: 1,
            max_parallelism: 128,
            files: vec![Some(file)],
        });
        manifest
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn what_is_referenced_is_never_removed_and_everything_else_is(steps in steps(), retained in 1usize..4) {
            let dir = tempfile::tempdir().unwrap();
            let mut store = store_of(dir.path(), 1);
            let directory = store.default_directory(JOB);
            // Those that a job may go on from: (manifest, whole).
            let (mut model, mut number) = (Vec::<(Manifest, bool)>::new(), 0);
            begin(&store, retained);
            for step in steps.into_iter().chain([Step::Restart]) {
                match step {
                    Step::Publish => {
                        number += 1;
                        let manifest = with_file(&store, number);
                        store.publish(&manifest, true).unwrap();
                        model.push((manifest, true));
                        // As the coordinator does.
                        while model.len() > retained {
                            store.discard(&model.remove(0).0.directory, JobStands::GoesOn);
                        }
                    }
                    Step::Abandon => {
                        number += 1;
                        with_file(&store, number);
                    }
                    Step::Damage { manifest } => {
                        let Some((latest, whole)) = model.last_mut() else { continue };
                        *whole = false;
                        let file = if manifest { "_metadata" } else { "v-0-0" };
                        std::fs::write(Path::new(&latest.directory).join(file), "x").unwrap();
                    }
                    Step::Restart => {
                        store = store_of(dir.path(), store.succession.attempt() + 1);
                        let taken = begin(&store, retained);
                        model.retain(|known| known.1);
                        prop_assert_eq!(&taken, &model.iter().map(|known| known.0.clone()).collect::<Vec<_>>());
                        let left = std::fs::read_dir(&directory).unwrap().flatten().filter(|entry| entry.path().is_dir());
                        let left: BTreeSet<_> = left.map(|entry| entry.path().to_string_lossy().into_owned()).collect();
                        prop_assert_eq!(left, taken.into_iter().map(|manifest| manifest.directory).collect());
                    }
                }
            }
        }
    }
}
