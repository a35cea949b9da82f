use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use proptest::prelude::*;

use super::super::manifest::{MANIFEST_VERSION, OperatorState};
use super::super::manifest_file::{check_files, discard_checkpoint, write_manifest};
use super::*;
use crate::engine::lsm::{Entry, RunWriter};
use crate::graph::task::{RunFile, StateFile};
use crate::ids::{CheckpointId, JobId, OperatorId};
use crate::storage::objects::faults::Faulty;
use crate::time::Now;

const JOB: &str = "s3://b/job";

fn storage(store: Arc<dyn ObjectStore>) -> ObjectStorage {
    ObjectStorage::new(Objects::with_bucket("b", store))
}

fn run(directory: &Path, entries: u64) -> Run {
    let path = directory.join(format!("{:016x}", fastrand::u64(..)));
    let mut writer = RunWriter::create(&path, entries).unwrap();
    for order in 0..entries {
        writer.push(Entry { order, key: &order.to_le_bytes(), value: Some(&[7; 20]) }).unwrap();
    }
    writer.finish().unwrap()
}

/// Writes the state of a checkpoint that has these runs; its manifest is not written yet.
fn checkpoint(storage: &ObjectStorage, number: u64, runs: &[Run]) -> Result<Manifest, Failure> {
    let directory = format!("{JOB}/chk-{number}");
    let put = |(at, run): (usize, &Run)| {
        let name = storage.put_run(&directory, &format!("v-0-0-{at}.run"), run)?;
        Ok(RunFile { name, bytes: run.bytes() })
    };
    let runs = runs.iter().enumerate().map(put).collect::<Result<_, Failure>>()?;
    let mut file = storage.create(&directory, "v-0-0")?;
    file.write_all(b"state").map_err(|error| Failure::transient(error.to_string()))?;
    let file = StateFile { path: file.publish()?, bytes: 5, operators: Vec::new(), union: false, runs };
    let operator = OperatorState {
        operator: OperatorId(1),
        uid: None,
        name: "count".to_owned(),
        parallelism: 1,
        max_parallelism: 128,
        files: vec![Some(file)],
    };
    Ok(Manifest {
        version: MANIFEST_VERSION,
        job: JobId(1),
        job_name: "words".to_owned(),
        checkpoint: CheckpointId(number),
        savepoint: false,
        drained: false,
        attempt: 1,
        triggered: Now(5),
        directory,
        operators: vec![operator],
        sources: BTreeMap::new(),
        committables: BTreeMap::new(),
    })
}

fn shared(storage: &ObjectStorage) -> usize {
    storage.0.names("s3://b/job/shared").unwrap().len()
}

#[test]
fn a_run_is_uploaded_once_and_read_back_through_each_checkpoint_that_has_it() {
    let (dir, store) = (tempfile::tempdir().unwrap(), storage(Arc::new(InMemory::new())));
    let (old, new) = (run(dir.path(), 500), run(dir.path(), 50));
    let first = checkpoint(&store, 1, std::slice::from_ref(&old)).unwrap();
    let second = checkpoint(&store, 2, &[old.clone(), new]).unwrap();
    assert_eq!(shared(&store), 2);
    for manifest in [&first, &second] {
        write_manifest(&store, manifest).unwrap();
        assert!(write_manifest(&store, manifest).is_ok(), "its own, when the answer was lost");
        check_files(&store, manifest).unwrap();
        assert_eq!(read_manifest(&store, &manifest.directory), Ok(manifest.clone()));
    }
    let others = Manifest { attempt: 2, ..second.clone() };
    assert!(write_manifest(&store, &others).is_err());
    discard_checkpoint(&store, &first.directory, JobStands::GoesOn).unwrap();
    check_files(&store, &second).unwrap();
    let file = second.operators[0].files[0].as_ref().unwrap();
    let fetched = store.open_run(&file.path, &file.runs[0].name).unwrap();
    assert_eq!((fetched.entries(), fetched.bytes()), (500, old.bytes()));
    // What was restored from it is not written there again, wherever it lies by then.
    let third = checkpoint(&store, 3, &[fetched.at(&dir.path().join("mine")).unwrap()]).unwrap();
    assert_eq!(shared(&store), 2);
    // Another job's checkpoints are its own.
    let name = store.put_run("s3://b/other/chk-1", "v-0-0-0.run", &fetched).unwrap();
    assert!(store.open_run("s3://b/other/chk-1/v-0-0", &name).is_ok());
    write_manifest(&store, &third).unwrap();
    discard_checkpoint(&store, &second.directory, JobStands::GoesOn).unwrap();
    assert_eq!(shared(&store), 1);
    discard_checkpoint(&store, &third.directory, JobStands::Ended).unwrap();
    assert_eq!((shared(&store), store.directories(JOB).unwrap()), (0, Vec::<String>::new()));
}

#[test]
fn a_run_that_was_deleted_is_written_again() {
    let (dir, store) = (tempfile::tempdir().unwrap(), storage(Arc::new(InMemory::new())));
    let run = run(dir.path(), 500);
    let first = checkpoint(&store, 1, std::slice::from_ref(&run)).unwrap();
    store.0.remove_below("s3://b/job/shared").unwrap();
    let failure = check_files(&store, &first).unwrap_err();
    assert!(failure.message.starts_with("cannot read the checkpoint's file s3://b/job/shared/1-"), "{failure}");
    check_files(&store, &checkpoint(&store, 2, &[run]).unwrap()).unwrap();
}

#[test]
fn what_a_checkpoint_under_way_has_uploaded_stays() {
    let (dir, store) = (tempfile::tempdir().unwrap(), storage(Arc::new(InMemory::new())));
    let (old, new) = (run(dir.path(), 10), run(dir.path(), 20));
    let first = checkpoint(&store, 1, std::slice::from_ref(&old)).unwrap();
    write_manifest(&store, &first).unwrap();
    let third = checkpoint(&store, 3, std::slice::from_ref(&new)).unwrap();
    // The second was given up.
    discard_checkpoint(&store, "s3://b/job/chk-2", JobStands::GoesOn).unwrap();
    check_files(&store, &first).unwrap();
    check_files(&store, &third).unwrap();
}

/// A job of runs that come and go: each step takes a checkpoint and discards the one before, as far as the store lets it.
fn goes_on(store: &ObjectStorage, dir: &Path) -> Result<(), Failure> {
    let mut runs = vec![run(dir, 30)];
    for number in 1..=4 {
        runs.push(run(dir, 30 + number));
        if number == 3 {
            runs.remove(0);
        }
        let manifest = checkpoint(store, number, &runs)?;
        write_manifest(store, &manifest)?;
        if number > 1 {
            discard_checkpoint(store, &format!("{JOB}/chk-{}", number - 1), JobStands::GoesOn)?;
        }
    }
    Ok(())
}

#[test]
fn after_a_crash_at_any_request_whatever_has_a_manifest_is_whole_and_the_next_checkpoint_clears_up() {
    for has_effect in [false, true] {
        for requests in 0.. {
            let (dir, (faulty, faults)) = (tempfile::tempdir().unwrap(), Faulty::after(requests, has_effect));
            let store = storage(faulty);
            let ended = goes_on(&store, dir.path());
            faults.mend();
            let mut complete = Vec::new();
            for name in store.directories(JOB).unwrap().iter().filter(|name| name.starts_with("chk-")) {
                if let Ok(manifest) = read_manifest(&store, &format!("{JOB}/{name}")) {
                    check_files(&store, &manifest).unwrap_or_else(|why| panic!("request {requests}: {why}"));
                    complete.push(manifest);
                }
            }
            // One is discarded only once a later one is complete.
            let latest = complete.iter().map(|manifest| manifest.checkpoint.0).max().unwrap_or(0);
            let next = checkpoint(&store, latest + 5, &[run(dir.path(), 3)]).unwrap();
            write_manifest(&store, &next).unwrap();
            for name in store.directories(JOB).unwrap().iter().filter(|name| name.starts_with("chk-")) {
                let directory = format!("{JOB}/{name}");
                if directory != next.directory {
                    discard_checkpoint(&store, &directory, JobStands::GoesOn).unwrap();
                }
            }
            discard_checkpoint(&store, "s3://b/job/chk-0", JobStands::GoesOn).unwrap();
            assert_eq!(shared(&store), 1, "request {requests}");
            check_files(&store, &next).unwrap();
            if ended.is_ok() {
                assert!(requests > 30 && latest == 4);
                break;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Runs are added and merged, checkpoints complete, fail and are retained: what is complete stays whole, and nothing else stays.
    #[test]
    fn no_run_that_a_complete_checkpoint_has_is_ever_removed(
        steps in proptest::collection::vec((0u8..4, any::<bool>()), 1..25),
        retained in 1usize..4,
    ) {
        let (dir, store) = (tempfile::tempdir().unwrap(), storage(Arc::new(InMemory::new())));
        let (mut runs, mut kept) = (vec![run(dir.path(), 5)], Vec::<Manifest>::new());
        for (number, (step, completes)) in (1u64..).zip(steps) {
            match step {
                0 => runs.push(run(dir.path(), number)),
                1 => runs = vec![run(dir.path(), number)],
                2 if runs.len() > 1 => { runs.remove(0); }
                _ => {}
            }
            let manifest = checkpoint(&store, number, &runs).unwrap();
            if completes {
                write_manifest(&store, &manifest).unwrap();
                kept.push(manifest);
                while kept.len() > retained {
                    discard_checkpoint(&store, &kept.remove(0).directory, JobStands::GoesOn).unwrap();
                }
            } else {
                discard_checkpoint(&store, &manifest.directory, JobStands::GoesOn).unwrap();
            }
            for manifest in &kept {
                prop_assert_eq!(check_files(&store, manifest), Ok(()));
            }
        }
        while !kept.is_empty() {
            let oldest = kept.remove(0);
            discard_checkpoint(&store, &oldest.directory, JobStands::Ended).unwrap();
            let held: BTreeSet<String> = kept.iter().flat_map(runs_of).collect();
            prop_assert_eq!(shared(&store), held.len());
        }
    }
}
