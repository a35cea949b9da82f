//! What a checkpoint holds for the operators of one subtask: of each file, the part that is this subtask's.

use std::ops::Range;

use super::state_file::{OpenFile, RunEntry, StateEntry};
use super::storage::CheckpointStorage;
use crate::engine::lsm::Run;
use crate::engine::record::order_range;
use crate::engine::state::schema::Schema;
use crate::engine::state::{Redistribution, Restore, Section, Sections, TakePart, TakeSection, write_runs};
use crate::graph::task::{Failure, RestoredFile};
use crate::ids::OperatorId;
use crate::time::Now;

/// The subtask that is restored.
#[derive(Clone, Debug)]
pub struct Taker {
    /// Which.
    pub subtask: u32,
    /// Of how many.
    pub parallelism: u32,
    /// Its key groups.
    pub groups: Range<u32>,
    /// Number of key groups over all subtasks.
    pub max_parallelism: u32,
}

/// The files that a subtask restores from, open.
pub struct RestoredStates<'s> {
    files: Vec<WrittenFile>,
    taker: Taker,
    storage: &'s dyn CheckpointStorage,
}

struct WrittenFile {
    subtask: u32,
    parallelism: u32,
    file: OpenFile,
    /// Runs of the index that were taken out.
    taken: Vec<usize>,
}

impl WrittenFile {
    /// Whether it is that of another subtask, among as many as there are now.
    fn is_anothers(&self, taker: &Taker) -> bool {
        self.parallelism == taker.parallelism && self.subtask != taker.subtask
    }

    /// The places of a state's sections in the file, in order.
    fn sections(&self, operator: OperatorId, state: &str) -> Vec<usize> {
        let index = &self.file.index;
        let of_state = |known: &&StateEntry| known.operator == operator && known.name == state;
        let matches = |at: &usize| index.states.get(index.sections[*at].state as usize).filter(of_state).is_some();
        (0..index.sections.len()).filter(matches).collect()
    }

    /// The runs of a state, in order of age.
    fn runs(&self, operator: OperatorId, state: &str) -> Vec<usize> {
        let index = &self.file.index;
        let is_of_state = |run: &RunEntry| {
            index.states.get(run.state as usize).is_some_and(|known| known.operator == operator && known.name == state)
        };
        let left = |at: &usize| !self.taken.contains(at) && is_of_state(&index.runs[*at]);
        (0..index.runs.len()).filter(left).collect()
    }

    fn open_runs(&self, storage: &dyn CheckpointStorage, runs: &[usize], taker: &Taker) -> Result<Vec<Run>, Failure> {
        let (first, last) = order_range(&taker.groups, taker.max_parallelism);
        let open = |at: &usize| Ok(self.file.run(storage, &self.file.index.runs[*at])?.within(first, last));
        let runs: Vec<Run> = runs.iter().map(open).collect::<Result<_, Failure>>()?;
        Ok(runs.into_iter().filter(|run| !run.is_empty()).collect())
    }

    /// Gives what the runs of a state hold, as sections.
    fn visit_runs(
        &self,
        storage: &dyn CheckpointStorage,
        operator: OperatorId,
        state: &str,
        taker: &Taker,
        take: TakeSection<'_>,
    ) -> Result<(), Failure> {
        let at = self.runs(operator, state);
        let Some(first) = at.first() else { return Ok(()) };
        let runs = self.open_runs(storage, &at, taker)?;
        let entry = &self.file.index.states[self.file.index.runs[*first].state as usize];
        let mut read = ReadRuns { entry, take };
        // What has expired is dropped by whoever takes it.
        write_runs(runs.iter(), taker.max_parallelism, &|_| true, &mut read)
    }

    fn read(
        &mut self,
        at: usize,
        bytes: &mut Vec<u8>,
        take: impl FnOnce(Section<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.file.section(at, bytes)?;
        let entry = self.file.index.sections[at];
        let StateEntry { name: state, schema, parts, .. } = &self.file.index.states[entry.state as usize];
        take(Section { state, group: entry.group, entries: entry.entries, bytes, schema, parts })
    }
}

/// Hands the sections of runs on.
struct ReadRuns<'a, 't> {
    entry: &'a StateEntry,
    take: TakeSection<'t>,
}

impl Sections for ReadRuns<'_, '_> {
    fn section(&mut self, group: Option<u32>, entries: u64, bytes: &[u8]) -> Result<(), Failure> {
        let StateEntry { name: state, schema, parts, .. } = self.entry;
        (self.take)(Section { state, group, entries, bytes, schema, parts })
    }
}

impl<'s> RestoredStates<'s> {
    /// Opens the files, and checks their indexes.
    ///
    /// # Errors
    /// A file that is missing or damaged, by name.
    pub fn open(storage: &'s dyn CheckpointStorage, files: &[RestoredFile], taker: Taker) -> Result<Self, Failure> {
        let open = |RestoredFile { file, subtask, parallelism }: &RestoredFile| {
            let file = OpenFile::open(storage, &file.path)?;
            Ok(WrittenFile { subtask: *subtask, parallelism: *parallelism, file, taken: Vec::new() })
        };
        Ok(Self { files: files.iter().map(open).collect::<Result<_, Failure>>()?, taker, storage })
    }

    /// What they hold for one operator, which is restored now, if the job goes on from a checkpoint at all.
    pub fn operator(&mut self, operator: OperatorId, is_restored: bool, now: Now) -> RestoredOperator<'_, 's> {
        RestoredOperator { states: self, operator, is_restored, now, asked: Vec::new() }
    }
}

/// What a checkpoint holds for one operator of a subtask.
pub struct RestoredOperator<'a, 's> {
    states: &'a mut RestoredStates<'s>,
    operator: OperatorId,
    is_restored: bool,
    now: Now,
    asked: Vec<String>,
}

impl RestoredOperator<'_, '_> {
    /// States in the checkpoint that nobody has asked for: the program has them no more.
    pub fn unclaimed(&self) -> Vec<String> {
        let states = self.states.files.iter().flat_map(|file| &file.file.index.states);
        let mut left: Vec<String> = states
            .filter(|state| state.operator == self.operator && !self.asked.contains(&state.name))
            .map(|state| state.name.clone())
            .collect();
        left.sort();
        left.dedup();
        left
    }
}

impl Restore for RestoredOperator<'_, '_> {
    fn now(&self) -> Now {
        self.now
    }

    fn is_restored(&self) -> bool {
        self.is_restored
    }

    fn visit(&mut self, state: &str, section: TakeSection<'_>) -> Result<(), Failure> {
        self.asked.push(state.to_owned());
        let RestoredStates { files, taker, storage } = &mut *self.states;
        let mut bytes = Vec::new();
        for file in files.iter_mut().filter(|file| !file.is_anothers(taker)) {
            for at in file.sections(self.operator, state) {
                let group = file.file.index.sections[at].group;
                if group.is_none_or(|group| taker.groups.contains(&group)) {
                    file.read(at, &mut bytes, &mut *section)?;
                }
            }
            file.visit_runs(*storage, self.operator, state, taker, section)?;
        }
        Ok(())
    }

    fn take_runs(&mut self, state: &str, wanted: &dyn Fn(&Schema, &[String]) -> bool) -> Result<Vec<Run>, Failure> {
        let RestoredStates { files, taker, storage } = &mut *self.states;
        let mut taken = Vec::new();
        for file in files.iter_mut().filter(|file| !file.is_anothers(taker)) {
            let mut at = file.runs(self.operator, state);
            let index = &file.file.index;
            at.retain(|at| {
                let StateEntry { schema, parts, .. } = &index.states[index.runs[*at].state as usize];
                wanted(schema, parts)
            });
            taken.extend(file.open_runs(*storage, &at, taker)?);
            file.taken.append(&mut at);
        }
        Ok(taken)
    }

    fn visit_list(&mut self, state: &str, share: Redistribution, part: TakePart<'_>) -> Result<(), Failure> {
        self.asked.push(state.to_owned());
        let RestoredStates { files, taker, .. } = &mut *self.states;
        let entries = |file: &WrittenFile| -> u64 {
            let sections = file.sections(self.operator, state).into_iter();
            sections.map(|at| file.file.index.sections[at].entries).sum()
        };
        // Of the elements that are divided anew, in the order of the subtasks that wrote them, an even part.
        let divided = |file: &&WrittenFile| file.parallelism != taker.parallelism;
        let total: u64 = files.iter().filter(divided).map(entries).sum();
        let bound = |subtask: u32| {
            let bound = u128::from(total) * u128::from(subtask) / u128::from(taker.parallelism.max(1));
            u64::try_from(bound).unwrap_or(total)
        };
        let (own, mut passed, mut bytes) = (bound(taker.subtask)..bound(taker.subtask + 1), 0, Vec::new());
        for file in files {
            let anothers = file.is_anothers(taker);
            for at in file.sections(self.operator, state) {
                let count = file.file.index.sections[at].entries;
                let wanted = match share {
                    Redistribution::Union => 0..count,
                    Redistribution::Split if file.parallelism == taker.parallelism => {
                        0..if anothers { 0 } else { count }
                    }
                    Redistribution::Split => {
                        let begin = passed;
                        passed += count;
                        own.start.clamp(begin, passed) - begin..own.end.clamp(begin, passed) - begin
                    }
                };
                if !wanted.is_empty() {
                    file.read(at, &mut bytes, |section| part(section, wanted))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::state_file::write_states;
    use super::super::storage::LocalStorage;
    use super::*;
    use crate::engine::state::{Snapshot, union_state_name};

    const OPERATOR: OperatorId = OperatorId(7);

    /// What subtask `subtask` of `parallelism` is given of a list.
    fn given(
        files: &[RestoredFile],
        share: Redistribution,
        state: &str,
        (subtask, parallelism): (u32, u32),
    ) -> Vec<u32> {
        let taker = Taker { subtask, parallelism, groups: 0..1, max_parallelism: 1 };
        let mut states = RestoredStates::open(&LocalStorage, files, taker).unwrap();
        let mut elements = Vec::new();
        let part: TakePart<'_> = &mut |section, wanted| {
            let mut all = Vec::new();
            section.each(|element: u32| all.push(element))?;
            elements.extend_from_slice(&all[wanted.start as usize..wanted.end as usize]);
            Ok(())
        };
        states.operator(OPERATOR, true, Now(0)).visit_list(state, share, part).unwrap();
        elements
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn each_element_of_a_list_goes_to_one_subtask_and_of_a_union_to_all(
            lists in proptest::collection::vec(proptest::collection::vec(any::<u32>(), 0..9), 1..5),
            after in 1u32..6,
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().to_string_lossy();
            let (before, union) = (lists.len() as u32, union_state_name("all"));
            let mut files = Vec::new();
            for (list, subtask) in lists.iter().zip(0..) {
                let mut snapshot = Snapshot::default();
                snapshot.unkeyed("list", list.clone());
                snapshot.unkeyed(&union, list.clone());
                let file = write_states(&LocalStorage, &path, &subtask.to_string(), false, vec![(OPERATOR, snapshot)]).unwrap();
                prop_assert!(file.as_ref().is_none_or(|file| file.union));
                files.extend(file.map(|file| RestoredFile { file, subtask, parallelism: before }));
            }
            let whole = lists.concat();
            let parts: Vec<_> =
                (0..after).map(|subtask| given(&files, Redistribution::Split, "list", (subtask, after))).collect();
            prop_assert_eq!(&parts.concat(), &whole);
            if before == after {
                prop_assert_eq!(&parts, &lists);
            } else {
                let sizes = parts.iter().map(Vec::len);
                prop_assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1, "{:?}", parts);
            }
            for subtask in 0..after {
                prop_assert_eq!(&given(&files, Redistribution::Union, &union, (subtask, after)), &whole);
            }
        }
    }
}
