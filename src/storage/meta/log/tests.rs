//! What a log store keeps when files are cut, changed and gone.

use proptest::prelude::*;

use super::*;
use crate::storage::meta::MemoryStore;
use crate::testing::fuzz::{directory, fuzz};

/// Opens a store that nobody has open. A test that starts a process has, for a moment, a copy of this process with all its locks.
fn open(dir: &Path) -> Opened {
    loop {
        match LogStore::open(dir) {
            Err(Error::InUse { .. }) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

fn fill(dir: &Path, count: usize) -> LogStore {
    let mut store = open(dir).store;
    for number in 0..count {
        store.apply(&[Operation::put(format!("app/{number:04}"), vec![7; 500])]).unwrap();
        if number % 20 == 0 {
            store.flush().unwrap();
        }
    }
    store.flush().unwrap();
    store
}

fn count(dir: &Path) -> (usize, Option<Rebuilt>) {
    let Opened { store, rebuilt } = open(dir);
    (store.list("").unwrap().len(), rebuilt)
}

#[test]
fn records_and_versions_survive_reopening() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 3).close().unwrap();
    let Opened { mut store, rebuilt } = open(dir.path());
    assert_eq!((store.list("").unwrap().len(), rebuilt), (3, None));
    assert_eq!(store.apply(&[Operation::delete("app/0002")]).unwrap(), Version(4));
    assert_eq!(store.get("app/0002").unwrap(), None, "before it is flushed too");
    store.close().unwrap();
    drop(store);
    let mut store = open(dir.path()).store;
    assert_eq!(store.list("").unwrap().len(), 2);
    assert_eq!(store.apply(&[Operation::put("app/0002", "")]).unwrap(), Version(5), "deletions count too");
}

#[test]
fn a_store_is_for_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let _opened = open(dir.path());
    assert!(matches!(LogStore::open(dir.path()), Err(Error::InUse { .. })));
}

#[test]
fn a_log_of_dead_records_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).store;
    for number in 0..100_u32 {
        let value = vec![number.to_le_bytes()[0]; 60 << 10];
        store.apply(&[Operation::put("same", value), Operation::put(format!("n/{}", number % 7), "x")]).unwrap();
        store.flush().unwrap();
        store.maintain().unwrap();
        assert!(store.bytes < 2 * LOG_BYTES_MIN, "{}", store.bytes);
    }
    let before = store.list("").unwrap();
    drop(store);
    let store = open(dir.path()).store;
    assert_eq!((store.list("").unwrap(), store.last), (before, Version(100)));
}

/// A kill in the middle of a write leaves any part of the frame; what was flushed before is all there.
#[test]
fn a_torn_write_is_dropped_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = fill(dir.path(), 2);
    let flushed = usize::try_from(store.bytes).unwrap();
    store.apply(&[Operation::put("b", "torn"), Operation::delete("app/0000")]).unwrap();
    store.flush().unwrap();
    drop(store);
    let path = dir.path().join(LOG);
    let whole = fs::read(&path).unwrap();
    for cut in (flushed..whole.len()).step_by(7) {
        fs::write(&path, &whole[..cut]).unwrap();
        assert_eq!(count(dir.path()), (2, None), "cut at {cut}");
        // The system may have grown the file without having written all of it.
        let zeroed: Vec<_> = whole[..cut].iter().copied().chain(vec![0; whole.len() - cut + 100]).collect();
        fs::write(&path, zeroed).unwrap();
        assert_eq!(count(dir.path()), (2, None), "zero from {cut}");
        let mut store = open(dir.path()).store;
        store.apply(&[Operation::put("c", "")]).unwrap();
        store.flush().unwrap();
        drop(store);
        assert_eq!(count(dir.path()), (3, None), "and it can be written to again");
    }
    fs::write(&path, &whole).unwrap();
    let store = open(dir.path()).store;
    let keys: Vec<_> = store.list("").unwrap().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["app/0001", "b"], "a batch is there whole");
}

/// After an orderly close the log before has every record too, so wherever the damage lies, all are there afterwards.
#[test]
fn random_damage_loses_no_record_of_a_closed_store() {
    let dir = tempfile::tempdir().unwrap();
    for seed in 0..24 {
        let mut random = fastrand::Rng::with_seed(seed);
        let dir = dir.path().join(seed.to_string());
        fill(&dir, 100).close().unwrap();
        let path = dir.join(LOG);
        let mut bytes = fs::read(&path).unwrap();
        let from = random.usize(0..bytes.len());
        let to = (from + random.usize(1..200)).min(bytes.len());
        match seed % 3 {
            0 => bytes.truncate(from),
            1 => bytes[from..to].fill(0),
            _ => bytes[from..to].iter_mut().for_each(|byte| *byte ^= random.u8(1..)),
        }
        let changed = bytes != fs::read(&path).unwrap();
        fs::write(&path, &bytes).unwrap();
        let (found, rebuilt) = count(&dir);
        assert_eq!((found, rebuilt.is_some()), (100, changed), "seed {seed}: {rebuilt:?}");
        assert!(rebuilt.is_none_or(|rebuilt| rebuilt.set_aside.unwrap().exists()));
        assert_eq!(count(&dir), (100, None), "once is enough");
    }
}

#[test]
fn damage_between_changes_costs_only_the_changes_it_hits() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 50).close().unwrap();
    let mut store = open(dir.path()).store;
    let begin = usize::try_from(store.bytes).unwrap();
    for number in 0..10 {
        store
            .apply(&[Operation::put(format!("new/{number}"), "x"), Operation::delete(format!("app/{number:04}"))])
            .unwrap();
        store.flush().unwrap();
    }
    drop(store);
    let path = dir.path().join(LOG);
    let mut bytes = fs::read(&path).unwrap();
    bytes[begin + 20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let Opened { mut store, rebuilt } = open(dir.path());
    assert_eq!(rebuilt.unwrap().records, 50);
    assert_eq!((store.list("new/").unwrap().len(), store.list("app/").unwrap().len()), (9, 41));
    assert!(store.apply(&[]).unwrap() > Version(1000), "lost versions are not given again");
}

#[test]
fn a_vanished_log_is_rebuilt_too() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 5).close().unwrap();
    fs::remove_file(dir.path().join(LOG)).unwrap();
    let (found, rebuilt) = count(dir.path());
    assert_eq!((found, rebuilt.unwrap().records), (5, 5));
}

#[test]
fn damage_without_a_log_before_is_fatal_and_named() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 20).close().unwrap();
    for name in [LOG, PREVIOUS] {
        let path = dir.path().join(name);
        let bytes = vec![0x5a; fs::read(&path).unwrap().len()];
        fs::write(&path, bytes).unwrap();
    }
    let error = LogStore::open(dir.path()).unwrap_err().to_string();
    assert!(error.ends_with("and there is no log before it to rebuild it from"), "{error}");
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    Flush,
    Compact,
    Reopen,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..8_u8, any::<u8>()).prop_map(|(key, length)| Step::Put(key, length)),
        2 => (0..8_u8).prop_map(Step::Delete),
        3 => Just(Step::Flush),
        1 => Just(Step::Compact),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever is done, the store reads as the one in memory, and a kill takes it back to the last flush.
    #[test]
    fn it_reads_as_the_store_in_memory(steps in prop::collection::vec(step(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path()).store;
        let mut model = MemoryStore::default();
        let mut flushed = model.clone();
        for step in steps {
            match step {
                Step::Put(key, length) => {
                    let batch = [Operation::put(format!("k{key}"), vec![length; length.into()])];
                    prop_assert_eq!(store.apply(&batch).unwrap(), model.apply(&batch).unwrap());
                }
                Step::Delete(key) => {
                    let batch = [Operation::delete(format!("k{key}")), Operation::put("deleted", [key])];
                    prop_assert_eq!(store.apply(&batch).unwrap(), model.apply(&batch).unwrap());
                }
                Step::Flush => {
                    store.flush().unwrap();
                    flushed = model.clone();
                }
                Step::Compact => {
                    store.flush().unwrap();
                    store.compact().unwrap();
                    flushed = model.clone();
                }
                Step::Reopen => {
                    store.close().unwrap();
                    drop(store);
                    store = open(dir.path()).store;
                    flushed = model.clone();
                }
                Step::Kill => {
                    drop(store);
                    let opened = open(dir.path());
                    prop_assert_eq!(opened.rebuilt, None);
                    store = opened.store;
                    model = flushed.clone();
                }
            }
            prop_assert_eq!(store.list("").unwrap(), model.list("").unwrap());
        }
    }
}

#[test]
fn fuzz_logs() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = LogStore::open(dir.path()).unwrap().store;
    for number in 0..8 {
        store.apply(&[Operation::put(format!("apps/{}", number % 3), vec![number; 40])]).unwrap();
    }
    store.apply(&[Operation::delete("apps/1")]).unwrap();
    store.flush().unwrap();
    drop(store);
    let whole = std::fs::read(dir.path().join(LOG)).unwrap();
    fuzz("log", &[whole], |bytes| {
        // One that is rebuilt waits for its disk a dozen times.
        let dir = directory();
        std::fs::write(dir.path().join(LOG), bytes).unwrap();
        if let Ok(opened) = LogStore::open(dir.path()) {
            let _ = opened.store.list("apps/");
        }
    });
}
