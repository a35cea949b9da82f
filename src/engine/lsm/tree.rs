//! The runs of one state.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::entry::Entry;
use super::merge::Merge;
use super::run::{Probe, READ_BYTES, Run, unwritable};
use super::writer::RunWriter;
use crate::graph::task::Failure;

/// So many runs of about a size are merged into one: fewer would be written more often, and more would be asked more often.
const ALIKE: usize = 4;
/// Runs beyond this are merged at once, whatever it takes.
const RUNS_MAX: usize = 40;

/// The runs of one state, and the merging of them.
pub(crate) struct Tree {
    dir: PathBuf,
    made: u64,
    /// The oldest first.
    runs: Vec<Run>,
    merging: Option<Merging>,
}

/// Some runs on their way to be one.
struct Merging {
    /// Which.
    runs: Range<usize>,
    merge: Merge,
    writer: RunWriter,
}

impl Tree {
    /// Without runs. `dir` is made when there is one to put there.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, made: 0, runs: Vec::new(), merging: None }
    }

    /// The runs, the oldest first.
    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// A place for a file of its own.
    ///
    /// # Errors
    /// A directory that cannot be made.
    pub(crate) fn new_path(&mut self) -> Result<PathBuf, Failure> {
        if self.made == 0 {
            fs::create_dir_all(&self.dir).map_err(|error| unwritable(&self.dir, &error))?;
        }
        self.made += 1;
        Ok(self.dir.join(format!("{:06}.run", self.made)))
    }

    /// Begins a run for about so many entries, which is to be added.
    ///
    /// # Errors
    /// A place that cannot be written.
    pub(crate) fn writer(&mut self, expected: u64) -> Result<RunWriter, Failure> {
        RunWriter::create(&self.new_path()?, expected)
    }

    /// Takes a run that is newer than all others.
    pub(crate) fn add(&mut self, run: Run) {
        self.runs.push(run);
    }

    /// Memory that the runs take, and the merging of them.
    pub(crate) fn memory(&self) -> usize {
        let merging = self
            .merging
            .as_ref()
            .map_or(0, |Merging { runs, writer, .. }| runs.len() * READ_BYTES as usize + writer.memory());
        merging + self.runs.iter().map(Run::memory).sum::<usize>()
    }

    /// What the newest run that knows a key holds for it. `probes` is what was read by the last question.
    ///
    /// # Errors
    /// A file that cannot be read, or is damaged.
    pub(crate) fn find<'p>(
        &self,
        order: u64,
        key: &[u8],
        probes: &'p mut Vec<Probe>,
    ) -> Result<Option<&'p [u8]>, Failure> {
        probes.resize_with(self.runs.len(), Probe::default);
        for (run, probe) in self.runs.iter().zip(probes.iter_mut()).rev() {
            if !run.may_have(order) {
                continue;
            }
            if let Some(value) = run.find(order, key, probe)? {
                return Ok(value);
            }
        }
        Ok(None)
    }

    /// Merges what is to be merged, until about so many bytes are written. `keeps` says of a value whether it is worth keeping.
    /// Whether runs were replaced: what was read of them is no more.
    ///
    /// # Errors
    /// A file that cannot be read or written, or is damaged.
    pub(crate) fn work(&mut self, bytes: u64, keeps: &dyn Fn(&[u8]) -> bool) -> Result<bool, Failure> {
        let bytes = if self.runs.len() > RUNS_MAX { u64::MAX } else { bytes };
        if self.merging.is_none() && !self.begin()? {
            return Ok(false);
        }
        let Some(Merging { runs, merge, writer }) = &mut self.merging else { return Ok(false) };
        // Below the oldest there is nothing that a deletion hides.
        let bottom = runs.start == 0;
        let enough = writer.bytes().saturating_add(bytes);
        while writer.bytes() < enough {
            let more = merge.next(|entry| match entry.value {
                Some(value) if keeps(value) => writer.push(entry),
                Some(_) | None if bottom => Ok(()),
                // What is older must not come back.
                Some(_) | None => writer.push(Entry { value: None, ..entry }),
            })?;
            if !more {
                self.replace()?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Begins a merge, if one is due.
    fn begin(&mut self) -> Result<bool, Failure> {
        let sizes: Vec<u64> = self.runs.iter().map(Run::bytes).collect();
        let Some(runs) = due(&sizes) else { return Ok(false) };
        let merge = Merge::new(self.runs[runs.clone()].iter())?;
        let expected = self.runs[runs.clone()].iter().map(Run::entries).sum();
        let writer = self.writer(expected)?;
        self.merging = Some(Merging { runs, merge, writer });
        Ok(true)
    }

    fn replace(&mut self) -> Result<(), Failure> {
        let Some(Merging { runs, writer, merge }) = self.merging.take() else { return Ok(()) };
        drop(merge);
        let merged = if writer.is_empty() { None } else { Some(writer.finish()?) };
        // Runs are only ever added behind.
        self.runs.splice(runs, merged);
        Ok(())
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        (self.merging, self.runs) = (None, Vec::new());
        // Files that a checkpoint is still writing keep it, until the subtask's worker goes.
        let _ = fs::remove_dir(Path::new(&self.dir));
    }
}

/// Which runs should be merged, by their sizes: the newest ones that are about alike and enough; or all, once those behind the
/// oldest are as large as it, or there are too many.
fn due(sizes: &[u64]) -> Option<Range<usize>> {
    if sizes.len() < ALIKE {
        return None;
    }
    if sizes[1..].iter().sum::<u64>() >= sizes[0] || sizes.len() > RUNS_MAX {
        return Some(0..sizes.len());
    }
    let (mut sum, mut start) = (0, sizes.len());
    while start > 0 && (start == sizes.len() || sizes[start - 1] <= 2 * (sum / (sizes.len() - start) as u64)) {
        start -= 1;
        sum += sizes[start];
    }
    (sizes.len() - start >= ALIKE).then_some(start..sizes.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A few keys, of few orders, so that orders are shared.
    type Model = BTreeMap<(u64, Vec<u8>), Option<Vec<u8>>>;

    fn write(tree: &mut Tree, entries: &Model) {
        let mut writer = tree.writer(entries.len() as u64).unwrap();
        for ((order, key), value) in entries {
            writer.push(Entry { order: *order, key, value: value.as_deref() }).unwrap();
        }
        let run = writer.finish().unwrap();
        tree.add(run);
    }

    fn batches() -> impl Strategy<Value = Vec<(Model, u64)>> {
        let key = (0u64..40, proptest::collection::vec(0u8..3, 1..3)).prop_map(|(order, key)| (order << 58, key));
        let value = proptest::option::weighted(0.8, proptest::collection::vec(any::<u8>(), 0..2000));
        let entries = proptest::collection::btree_map(key, value, 1..60);
        proptest::collection::vec((entries, 0u64..20_000), 1..14)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn a_tree_holds_what_was_put_there_last(batches in batches()) {
            let directory = tempfile::tempdir().unwrap();
            let (mut tree, mut model) = (Tree::new(directory.path().join("state")), Model::new());
            for (entries, work) in batches {
                write(&mut tree, &entries);
                model.extend(entries);
                tree.work(work, &|_| true).unwrap();
            }
            let mut probes = Vec::new();
            for order in 0..41u64 {
                for key in [vec![0], vec![1], vec![0, 1], vec![2, 2]] {
                    let expected = model.get(&(order << 58, key.clone())).and_then(Option::as_deref);
                    prop_assert_eq!(tree.find(order << 58, &key, &mut probes).unwrap(), expected);
                }
            }
            let (mut merge, mut merged) = (Merge::new(tree.runs().iter()).unwrap(), Model::new());
            let mut take = |entry: Entry<'_>| {
                assert!(merged.last_key_value().is_none_or(|last| (last.0.0, &*last.0.1) < entry.place()));
                merged.insert((entry.order, entry.key.to_vec()), entry.value.map(<[u8]>::to_vec));
                Ok(())
            };
            while merge.next(&mut take).unwrap() {}
            model.retain(|_, value| value.is_some());
            merged.retain(|_, value| value.is_some());
            prop_assert_eq!(merged, model);
            drop(merge);
            drop(tree);
            prop_assert!(!directory.path().join("state").exists());
        }
    }

    #[test]
    fn a_range_of_a_run_has_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let mut tree = Tree::new(directory.path().join("state"));
        let entries: Model = (0..1000u64).map(|order| ((order, vec![7]), Some(vec![1; 100]))).collect();
        write(&mut tree, &entries);
        let part = tree.runs()[0].within(300, 309);
        let (mut merge, mut orders) = (Merge::new([&part].into_iter()).unwrap(), Vec::new());
        while merge.next(|entry| (orders.push(entry.order), Ok(())).1).unwrap() {}
        assert_eq!(orders, (300..310).collect::<Vec<u64>>());
        assert!(!part.may_have(299) && part.may_have(300) && !part.may_have(310));
        assert!(part.within(400, 500).is_empty());
    }

    #[test]
    fn runs_stay_few_and_each_entry_is_written_seldom() {
        let (mut sizes, mut written, mut most) = (Vec::<u64>::new(), 0, 0);
        for _ in 0..1000 {
            sizes.push(100);
            while let Some(runs) = due(&sizes) {
                let sum = sizes[runs.clone()].iter().sum();
                written += sum;
                sizes.splice(runs, [sum]);
            }
            most = most.max(sizes.len());
        }
        assert!(most <= 16, "{most} runs");
        assert!(written <= 100 * 1000 * 8, "{written} bytes");
        let adopted: Vec<u64> = (0..=RUNS_MAX as u32).rev().map(|size| 3u64.pow(size)).collect();
        assert_eq!((due(&adopted), due(&adopted[1..])), (Some(0..RUNS_MAX + 1), None));
    }

    #[test]
    fn a_file_that_somebody_has_left_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let mut tree = Tree::new(directory.path().join("state"));
        let entries: Model = [((1, vec![7]), Some(vec![8]))].into();
        write(&mut tree, &entries);
        let (place, run) = (directory.path().join("chk-1"), tree.runs()[0].clone());
        fs::write(&place, "cut o").unwrap();
        assert!(!run.put_at(&place).unwrap());
        drop((tree, run));
        assert_eq!(Run::open(&place, false).unwrap().entries(), 1);
    }

    #[test]
    fn what_is_older_than_a_damage_is_not_shown_instead() {
        let directory = tempfile::tempdir().unwrap();
        let mut tree = Tree::new(directory.path().join("state"));
        let entries: Model = (0..200u64).map(|order| ((order, vec![7]), Some(vec![1; 100]))).collect();
        write(&mut tree, &entries);
        let path = tree.runs()[0].path().to_owned();
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(97).chain(whole.len() - 60..whole.len()) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            let other = directory.path().join("damaged");
            fs::write(&other, &damaged).unwrap();
            let read = Run::open(&other, false).and_then(|run| {
                let mut merge = Merge::new([&run].into_iter())?;
                let mut count = 0;
                while merge.next(|_| (count += 1, Ok(())).1)? {}
                Ok(count)
            });
            assert!(
                at < 8 || read.clone().is_err_and(|failure| failure.message.contains("is damaged")),
                "byte {at}: {read:?}"
            );
        }
    }
}
