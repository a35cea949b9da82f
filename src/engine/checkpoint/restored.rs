//! What a checkpoint holds for the operators of one subtask: of each file, the part that is this subtask's.

use std::ops::Range;

use super::state_file::{OpenFile, StateEntry};
use super::storage::CheckpointStorage;
use crate::engine::state::{Redistribution, Restore, Section, TakePart, TakeSection};
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
}

/// The files that a subtask restores from, open.
pub struct RestoredStates {
    files: Vec<WrittenFile>,
    taker: Taker,
}

struct WrittenFile {
    subtask: u32,
    parallelism: u32,
    file: OpenFile,
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

impl RestoredStates {
    /// Opens the files, and checks their indexes.
    ///
    /// # Errors
    /// A file that is missing or damaged, by name.
    pub fn open(storage: &dyn CheckpointStorage, files: &[RestoredFile], taker: Taker) -> Result<Self, Failure> {
        let open = |RestoredFile { file, subtask, parallelism }: &RestoredFile| {
            let file = OpenFile::open(storage, &file.path)?;
            Ok(WrittenFile { subtask: *subtask, parallelism: *parallelism, file })
        };
        Ok(Self { files: files.iter().map(open).collect::<Result<_, Failure>>()?, taker })
    }

    /// What they hold for one operator, which is restored now, if the job goes on from a checkpoint at all.
    pub fn operator(&mut self, operator: OperatorId, is_restored: bool, now: Now) -> RestoredOperator<'_> {
        RestoredOperator { states: self, operator, is_restored, now, asked: Vec::new() }
    }
}

/// What a checkpoint holds for one operator of a subtask.
pub struct RestoredOperator<'a> {
    states: &'a mut RestoredStates,
    operator: OperatorId,
    is_restored: bool,
    now: Now,
    asked: Vec<String>,
}

impl RestoredOperator<'_> {
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

impl Restore for RestoredOperator<'_> {
    fn now(&self) -> Now {
        self.now
    }

    fn is_restored(&self) -> bool {
        self.is_restored
    }

    fn visit(&mut self, state: &str, section: TakeSection<'_>) -> Result<(), Failure> {
        self.asked.push(state.to_owned());
        let RestoredStates { files, taker } = &mut *self.states;
        let mut bytes = Vec::new();
        for file in files.iter_mut().filter(|file| !file.is_anothers(taker)) {
            for at in file.sections(self.operator, state) {
                let group = file.file.index.sections[at].group;
                if group.is_none_or(|group| taker.groups.contains(&group)) {
                    file.read(at, &mut bytes, &mut *section)?;
                }
            }
        }
        Ok(())
    }

    fn visit_list(&mut self, state: &str, share: Redistribution, part: TakePart<'_>) -> Result<(), Failure> {
        self.asked.push(state.to_owned());
        let RestoredStates { files, taker } = &mut *self.states;
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
        let taker = Taker { subtask, parallelism, groups: 0..1 };
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
                let file = write_states(&LocalStorage, &path, &subtask.to_string(), vec![(OPERATOR, snapshot)]).unwrap();
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
