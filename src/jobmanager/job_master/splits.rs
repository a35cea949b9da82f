//! Hands out the parts of each source's input, one at a time, to whichever subtask asks.
//!
//! Each id is handed out once per run of the job. When the job restarts, its enumerators start anew and report every part
//! again, so everything here is forgotten ([`Splits::reset`]), except what a checkpoint says is left and done
//! ([`Splits::restore`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::checkpoints::Pending;
use super::event::Illegal;
use crate::engine::checkpoint::SourceState;
use crate::graph::plan::NodeIndex;
use crate::graph::task::Split;
use crate::ids::ExecutionAttemptId;

/// What a subtask that asked is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Split(ExecutionAttemptId, Split),
    NoMore(ExecutionAttemptId),
}

/// One source's parts.
#[derive(Clone, Debug, Default)]
pub struct SourceSplits {
    /// With the order they were found in, which is that of event time where the source says so.
    known: BTreeMap<String, usize>,
    unassigned: VecDeque<Split>,
    assigned: BTreeMap<String, ExecutionAttemptId>,
    /// Who waits for an answer, and of which lane, if it matters.
    parked: VecDeque<(ExecutionAttemptId, Option<u32>)>,
    complete: bool,
    /// Every part that no complete checkpoint has behind it, as it would be handed out anew.
    uncovered: BTreeMap<String, Split>,
    /// Parts that a complete checkpoint has behind it.
    done: BTreeSet<String>,
    /// What each execution has read to its end since the last complete checkpoint, in order.
    read: BTreeMap<ExecutionAttemptId, Vec<String>>,
    /// All parts are known from a checkpoint: what an enumerator finds is not news.
    restored_complete: bool,
}

impl SourceSplits {
    /// Parts found so far.
    pub fn discovered(&self) -> usize {
        self.known.len()
    }

    /// Parts read to their end.
    pub fn finished(&self) -> usize {
        self.known.len() - self.unassigned.len() - self.assigned.len()
    }

    /// Whether no more parts will be found.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    fn answer_parked(&mut self) -> Vec<Answer> {
        let Self { unassigned, assigned, parked, complete, .. } = self;
        let mut answers = Vec::new();
        parked.retain(|(attempt, lane)| {
            let fits = |split: &Split| lane.is_none() || split.lane.map(|lane| lane.index) == *lane;
            match unassigned.iter().position(fits).and_then(|at| unassigned.remove(at)) {
                Some(split) => {
                    assigned.insert(split.id.clone(), *attempt);
                    answers.push(Answer::Split(*attempt, split));
                    false
                }
                None if *complete => {
                    answers.push(Answer::NoMore(*attempt));
                    false
                }
                None => true,
            }
        });
        answers
    }

    /// Remembers that a part was found; whether it is news.
    fn learn(&mut self, id: &str) -> bool {
        let order = self.known.len();
        let news = !self.known.contains_key(id);
        if news {
            self.known.insert(id.to_owned(), order);
        }
        news
    }
}

/// The parts of every source of a job.
#[derive(Clone, Debug)]
pub struct Splits {
    sources: BTreeMap<NodeIndex, SourceSplits>,
    /// The job drains: nothing more is handed out.
    draining: bool,
}

impl Splits {
    pub(super) fn new(sources: impl IntoIterator<Item = NodeIndex>) -> Self {
        let sources = sources.into_iter().map(|source| (source, SourceSplits::default())).collect();
        Self { sources, draining: false }
    }

    /// Each source with its parts.
    pub fn sources(&self) -> impl Iterator<Item = (NodeIndex, &SourceSplits)> {
        self.sources.iter().map(|(source, splits)| (*source, splits))
    }

    fn source(&mut self, operator: NodeIndex) -> Result<&mut SourceSplits, Illegal> {
        self.sources.get_mut(&operator).ok_or_else(|| Illegal::new(format!("operator {operator} is not a source")))
    }

    pub(super) fn discovered(
        &mut self,
        operator: NodeIndex,
        splits: Vec<Split>,
        complete: bool,
    ) -> Result<Vec<Answer>, Illegal> {
        let draining = self.draining;
        let source = self.source(operator)?;
        for split in splits {
            if !draining && !source.restored_complete && source.learn(&split.id) {
                source.uncovered.insert(split.id.clone(), split.clone());
                source.unassigned.push_back(split);
            }
        }
        source.complete |= complete || draining;
        Ok(source.answer_parked())
    }

    pub(super) fn requested(
        &mut self,
        operator: NodeIndex,
        attempt: ExecutionAttemptId,
        lane: Option<u32>,
    ) -> Result<Vec<Answer>, Illegal> {
        let source = self.source(operator)?;
        if !source.parked.iter().any(|(parked, _)| *parked == attempt) {
            source.parked.push_back((attempt, lane));
        }
        Ok(source.answer_parked())
    }

    pub(super) fn finished(
        &mut self,
        operator: NodeIndex,
        attempt: ExecutionAttemptId,
        split: &str,
    ) -> Result<(), Illegal> {
        let source = self.source(operator)?;
        match source.assigned.get(split) {
            Some(holder) if *holder == attempt => {
                source.assigned.remove(split);
                source.read.entry(attempt).or_default().push(split.to_owned());
                Ok(())
            }
            Some(_) | None => {
                Err(Illegal::new(format!("{attempt} finished split \"{split}\", which it does not hold")))
            }
        }
    }

    /// Hands out nothing more: who waits is told so.
    pub(super) fn drain(&mut self) -> Vec<Answer> {
        self.draining = true;
        let mut answers = Vec::new();
        for source in self.sources.values_mut() {
            for split in source.unassigned.drain(..) {
                source.known.remove(&split.id);
                source.uncovered.remove(&split.id);
            }
            source.complete = true;
            answers.extend(source.answer_parked());
        }
        answers
    }

    /// How many parts of each source an execution has read to their end since the last complete checkpoint.
    pub(super) fn read_by(&self, attempt: ExecutionAttemptId) -> BTreeMap<NodeIndex, usize> {
        let read = |(source, splits): (&NodeIndex, &SourceSplits)| Some((*source, splits.read.get(&attempt)?.len()));
        self.sources.iter().filter_map(read).collect()
    }

    /// What of a source is left to read behind a checkpoint's cuts.
    pub(super) fn at_cut(&self, source: NodeIndex, pending: &Pending) -> SourceState {
        let Some(splits) = self.sources.get(&source) else { return SourceState::default() };
        let (counts, mut remaining) = (pending.read(source), splits.uncovered.clone());
        let mut done: Vec<String> = splits.done.iter().cloned().collect();
        for (attempt, read) in &splits.read {
            // An execution that has ended before its cut has read all it ever will.
            let count = counts.get(attempt).copied().unwrap_or(read.len());
            for id in &read[..count.min(read.len())] {
                remaining.remove(id);
                done.push(id.clone());
            }
        }
        for held in pending.held(source) {
            remaining.insert(held.id.clone(), held.clone());
        }
        let mut remaining: Vec<Split> = remaining.into_values().collect();
        remaining.sort_by_key(|split| splits.known.get(&split.id));
        SourceState { remaining, done, complete: splits.complete }
    }

    /// A checkpoint with these sources is complete.
    pub(super) fn covered<'a>(&mut self, sources: impl Iterator<Item = (NodeIndex, &'a SourceState)>) {
        for (source, state) in sources {
            let Some(splits) = self.sources.get_mut(&source) else { continue };
            splits.done = state.done.iter().cloned().collect();
            let SourceSplits { uncovered, done, read, .. } = splits;
            uncovered.retain(|id, _| !done.contains(id));
            read.values_mut().for_each(|read| read.retain(|id| !done.contains(id)));
        }
    }

    /// These go on from a checkpoint: what it says is left is what there is. Of those that it does not know, everything.
    pub(super) fn restore(&mut self, operators: &BTreeSet<NodeIndex>, sources: &[(NodeIndex, &SourceState)]) {
        for (source, splits) in self.sources.iter_mut().filter(|(source, _)| operators.contains(source)) {
            *splits = SourceSplits::default();
            let Some((_, state)) = sources.iter().find(|(known, _)| known == source) else { continue };
            splits.done = state.done.iter().cloned().collect();
            let known = state.remaining.iter().map(|split| &split.id).chain(&state.done);
            splits.known = known.cloned().zip(0..).collect();
            splits.uncovered = state.remaining.iter().map(|split| (split.id.clone(), split.clone())).collect();
            splits.unassigned = state.remaining.iter().cloned().collect();
            (splits.complete, splits.restored_complete) = (state.complete, state.complete);
        }
    }

    /// Whether nothing more is handed out, since the job is to end.
    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    pub(super) fn reset(&mut self) {
        self.draining = false;
        for source in self.sources.values_mut() {
            *source = SourceSplits::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::task::Lane;
    use crate::ids::VertexId;

    const SOURCE: NodeIndex = NodeIndex(0);

    fn task(subtask: u32) -> ExecutionAttemptId {
        ExecutionAttemptId { vertex: VertexId(1), subtask, attempt: 0 }
    }

    fn split(id: &str) -> Split {
        Split { id: id.to_owned(), payload: serde_json::Value::Null, lane: None }
    }

    #[test]
    fn parked_requests_are_answered_in_order_as_soon_as_a_split_is_found() {
        let mut splits = Splits::new([SOURCE]);
        assert_eq!(splits.requested(SOURCE, task(1), None), Ok(vec![]));
        assert_eq!(splits.requested(SOURCE, task(0), None), Ok(vec![]));
        assert_eq!(splits.requested(SOURCE, task(1), None), Ok(vec![]), "asking twice parks once");
        assert_eq!(splits.discovered(SOURCE, vec![split("a")], false), Ok(vec![Answer::Split(task(1), split("a"))]));
        assert_eq!(
            splits.discovered(SOURCE, vec![split("a"), split("b"), split("c")], true),
            Ok(vec![Answer::Split(task(0), split("b"))]),
            "an id known already is not handed out again"
        );
        assert_eq!(splits.finished(SOURCE, task(0), "b"), Ok(()));
        assert_eq!(splits.requested(SOURCE, task(0), None), Ok(vec![Answer::Split(task(0), split("c"))]));
        assert_eq!(splits.requested(SOURCE, task(1), None), Ok(vec![Answer::NoMore(task(1))]));
        let (_, source) = splits.sources().next().unwrap();
        assert_eq!((source.discovered(), source.finished()), (3, 1));
    }

    #[test]
    fn what_a_subtask_does_not_hold_it_cannot_finish() {
        let mut splits = Splits::new([SOURCE]);
        splits.discovered(SOURCE, vec![split("a")], true).unwrap();
        splits.requested(SOURCE, task(0), None).unwrap();
        assert!(splits.finished(SOURCE, task(1), "a").is_err());
        assert!(splits.finished(SOURCE, task(0), "z").is_err());
        assert!(splits.requested(NodeIndex(7), task(0), None).is_err());
    }

    #[test]
    fn draining_answers_everybody_with_the_end() {
        let mut splits = Splits::new([SOURCE]);
        splits.requested(SOURCE, task(0), None).unwrap();
        assert_eq!(splits.drain(), vec![Answer::NoMore(task(0))]);
        assert_eq!(splits.discovered(SOURCE, vec![split("late")], false), Ok(vec![]));
        assert_eq!(splits.requested(SOURCE, task(0), None), Ok(vec![Answer::NoMore(task(0))]));
        splits.reset();
        assert_eq!(splits.requested(SOURCE, task(0), None), Ok(vec![]), "a restart begins anew");
    }

    #[test]
    fn who_asks_for_a_lane_gets_its_splits_in_their_order() {
        let of_lane = |index, id: &str| Split { lane: Some(Lane { index, of: 2 }), ..split(id) };
        let mut splits = Splits::new([SOURCE]);
        assert_eq!(splits.requested(SOURCE, task(0), Some(1)), Ok(vec![]));
        let found = vec![of_lane(0, "a9"), of_lane(0, "a10"), of_lane(1, "b9"), of_lane(1, "b10")];
        let answers = splits.discovered(SOURCE, found.clone(), true);
        assert_eq!(answers, Ok(vec![Answer::Split(task(0), found[2].clone())]));
        let answers = splits.requested(SOURCE, task(1), Some(1));
        assert_eq!(answers, Ok(vec![Answer::Split(task(1), found[3].clone())]));
        assert_eq!(splits.requested(SOURCE, task(1), Some(1)), Ok(vec![Answer::NoMore(task(1))]));
        let answers = splits.requested(SOURCE, task(2), None);
        assert_eq!(answers, Ok(vec![Answer::Split(task(2), found[0].clone())]));
    }
}
