//! What a job makes of a checkpoint, operator by operator: told before it starts, and decided by.
//!
//! ```text
//! manifest + plan ─► RestoreReport: which operators are there ─(states that the program declares)─► which states they can read
//! ```
//! Which states a program has is known only where its functions can be opened; without that, a report says nothing of states.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::manifest::{Manifest, OperatorState};
use super::state_file::{OpenFile, StateEntry};
use super::storage::CheckpointStorage;
use crate::engine::state::FrozenState;
use crate::engine::state::schema::Compatibility;
use crate::engine::state::{has_times, name_parts};
use crate::graph::plan::{Plan, PlanNode};
use crate::graph::task::Failure;
use crate::ids::{CheckpointId, OperatorId};

/// What becomes of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// It is taken over as it is.
    Same,
    /// It is taken over, and its entries become what the program has now.
    Migrated,
    /// The checkpoint has none: it begins empty.
    New,
    /// The program has it no more.
    Dropped,
    /// It cannot be taken over: the job does not start.
    Incompatible,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Same => "same",
            Self::Migrated => "migrated",
            Self::New => "new",
            Self::Dropped => "dropped",
            Self::Incompatible => "incompatible",
        })
    }
}

/// What a job makes of a checkpoint. Its text, by `Display`, is meant for a terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreReport {
    /// Where the checkpoint lies.
    pub directory: String,
    /// Which it is.
    pub checkpoint: CheckpointId,
    /// The name of the job that wrote it.
    pub job_name: String,
    /// Whether the job starts from it.
    pub accepted: bool,
    /// Operators with state: those of the checkpoint, then others of the job.
    pub operators: Vec<OperatorFate>,
}

/// What becomes of an operator's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorFate {
    /// Which.
    pub operator: OperatorId,
    /// The user's name for it, where there is one.
    pub uid: Option<String>,
    /// For people.
    pub name: String,
    /// The worst of what becomes of its states.
    pub fate: Fate,
    /// What is to be said of it.
    pub why: Option<String>,
    /// Its states, where those of the program are known.
    pub states: Vec<StateFate>,
}

/// What becomes of a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateFate {
    /// By which the program obtains it; flott's own begin with `_`.
    pub name: String,
    /// What becomes of it.
    pub fate: Fate,
    /// What changes, or what is in the way.
    pub why: Option<String>,
}

impl RestoreReport {
    /// What `plan` makes of a checkpoint, as far as operators tell; `allow_dropped`: those that are gone take their state with them.
    #[must_use]
    pub fn new(manifest: &Manifest, plan: &Plan, allow_dropped: bool) -> Self {
        let with_state = manifest.operators.iter().filter(|state| holds_something(manifest, state));
        let fate = |state: &OperatorState| {
            let node = plan.nodes.iter().find(|node| node.operator_id == state.operator);
            let (fate, why) = operator_fate(state, node, allow_dropped);
            let OperatorState { operator, uid, name, .. } = state.clone();
            OperatorFate { operator, uid, name, fate, why, states: Vec::new() }
        };
        let operators: Vec<OperatorFate> = with_state.map(fate).collect();
        let (directory, job_name) = (manifest.directory.clone(), manifest.job_name.clone());
        let accepted = operators.iter().all(|operator| operator.fate != Fate::Incompatible);
        Self { directory, checkpoint: manifest.checkpoint, job_name, accepted, operators }
    }

    /// Adds what becomes of the states of an operator of the job, which declares these when it is opened.
    pub fn compare(&mut self, node: &PlanNode, written: &WrittenStates, declared: &[FrozenState]) {
        let none = BTreeMap::new();
        let written = written.0.get(&node.operator_id).unwrap_or(&none);
        let mut states: Vec<StateFate> =
            declared.iter().map(|state| state_fate(written.get(&state.name), state)).collect();
        let gone = written.keys().filter(|name| declared.iter().all(|state| state.name != **name));
        states.extend(gone.map(|name| StateFate {
            name: name.clone(),
            fate: Fate::Dropped,
            why: Some("the program asks for it no more".to_owned()),
        }));
        // Timers and watermarks that are not in it are nothing to speak of.
        states.retain(|state| state.fate != Fate::New || !state.name.starts_with('_'));
        let Some(worst) = states.iter().map(|state| state.fate).max() else { return };
        self.accepted &= worst != Fate::Incompatible;
        match self.operators.iter_mut().find(|known| known.operator == node.operator_id) {
            Some(known) => (known.fate, known.states) = (known.fate.max(worst), states),
            None => self.operators.push(OperatorFate {
                operator: node.operator_id,
                uid: node.uid.clone(),
                name: node.name.clone(),
                fate: worst,
                why: None,
                states,
            }),
        }
    }

    /// Says of an operator why nothing is known of its states.
    pub fn note(&mut self, operator: OperatorId, why: String) {
        if let Some(known) = self.operators.iter_mut().find(|known| known.operator == operator) {
            known.why = Some(known.why.take().map_or(why.clone(), |before| format!("{before}; {why}")));
        }
    }

    /// Why the job does not start, if it does not.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let operator = self.operators.iter().find(|operator| operator.fate == Fate::Incompatible)?;
        let OperatorFate { name, operator: id, why, states, .. } = operator;
        let what = match states.iter().find(|state| state.fate == Fate::Incompatible) {
            Some(state) => format!("state \"{}\" of operator \"{name}\" ({id})", state.name),
            None => format!("state of operator \"{name}\" ({id})"),
        };
        let of_state =
            states.iter().find(|state| state.fate == Fate::Incompatible).and_then(|state| state.why.as_ref());
        let why = of_state.or(why.as_ref()).map(String::as_str).unwrap_or_default();
        Some(format!("{} holds {what}, {why}", self.directory))
    }
}

impl fmt::Display for RestoreReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.accepted { "Restoring from" } else { "Cannot restore from" };
        writeln!(f, "{verb} {} (checkpoint {} of job {})", self.directory, self.checkpoint, self.job_name)?;
        let states =
            |operator: &OperatorFate| operator.states.iter().map(|state| state.name.len() + 2).max().unwrap_or(0);
        let width = self.operators.iter().map(|operator| operator.name.len().max(states(operator))).max().unwrap_or(0);
        let line = |f: &mut fmt::Formatter<'_>, name: &str, fate: Fate, why: Option<&String>| {
            let why = why.map(|why| format!("  {why}")).unwrap_or_default();
            writeln!(f, "{}", format!("  {name:width$}  {fate:12}{why}").trim_end())
        };
        for operator in &self.operators {
            line(f, &operator.name, operator.fate, operator.why.as_ref())?;
            for state in &operator.states {
                line(f, &format!("  {}", state.name), state.fate, state.why.as_ref())?;
            }
        }
        Ok(())
    }
}

/// Whether a checkpoint without this operator would be another.
fn holds_something(manifest: &Manifest, state: &OperatorState) -> bool {
    let source = manifest.sources.get(&state.operator);
    let source = source.is_some_and(|source| !source.remaining.is_empty() || !source.done.is_empty());
    let prepared = manifest.committables.get(&state.operator).is_some_and(|prepared| !prepared.is_empty());
    source || prepared || state.files.iter().any(Option::is_some)
}

fn operator_fate(state: &OperatorState, node: Option<&PlanNode>, allow_dropped: bool) -> (Fate, Option<String>) {
    let Some(node) = node else {
        return match allow_dropped {
            true => (Fate::Dropped, Some("the job does not have it".to_owned())),
            false => {
                let why = "which the job does not have; give the operator the uid it had, or drop its state with \
                           --allowNonRestoredState";
                (Fate::Incompatible, Some(why.to_owned()))
            }
        };
    };
    match node.max_parallelism.filter(|max| *max != state.max_parallelism) {
        Some(max) => {
            let before = state.max_parallelism;
            let why = format!("in {before} key groups, and the job has {max}; set its max parallelism to {before}");
            (Fate::Incompatible, Some(why))
        }
        None => (Fate::Same, None),
    }
}

fn state_fate(written: Option<&StateEntry>, declared: &FrozenState) -> StateFate {
    let name = declared.name.clone();
    let Some(written) = written else { return StateFate { name, fate: Fate::New, why: None } };
    let parts: Vec<String> = declared.parts.iter().map(|part| (*part).to_owned()).collect();
    // What expires has a further part, which comes and goes without harm.
    let (before, after) = (has_times(&written.parts), has_times(&parts));
    let plain = |schema: &crate::engine::state::schema::Schema, timed: bool| match timed && before != after {
        true => schema.without_last_part(),
        false => schema.clone(),
    };
    let compatibility = plain(&written.schema, before).compatibility(&plain(&declared.schema, after));
    let note = match (before, after) {
        (false, true) => Some("it gets a time to live".to_owned()),
        (true, false) => Some("it has no time to live any more".to_owned()),
        (true, true) | (false, false) => None,
    };
    let (fate, mut words) = match compatibility {
        Compatibility::Same if note.is_none() => (Fate::Same, Vec::new()),
        Compatibility::Same => (Fate::Migrated, Vec::new()),
        Compatibility::Migrates(changes) => (Fate::Migrated, changes),
        Compatibility::Incompatible(reasons) => (Fate::Incompatible, reasons),
    };
    words.iter_mut().for_each(|text| *text = name_parts(&written.parts, text));
    words.extend(note);
    StateFate { name, fate, why: (!words.is_empty()).then(|| words.join("; ")) }
}

/// What a checkpoint's files say of the states in them.
pub struct WrittenStates(BTreeMap<OperatorId, BTreeMap<String, StateEntry>>);

impl WrittenStates {
    /// Reads the indexes of all files. Blocking.
    ///
    /// # Errors
    /// A file that is missing or damaged, by name.
    pub fn read(storage: &dyn CheckpointStorage, manifest: &Manifest) -> Result<Self, Failure> {
        let mut paths: Vec<&str> =
            manifest.operators.iter().flat_map(|state| state.files.iter().flatten()).map(|file| &*file.path).collect();
        paths.sort_unstable();
        paths.dedup();
        let mut states: BTreeMap<OperatorId, BTreeMap<String, StateEntry>> = BTreeMap::new();
        for path in paths {
            let index = OpenFile::open(storage, path)?.index;
            let used: std::collections::BTreeSet<u32> = index.sections.iter().map(|section| section.state).collect();
            for (state, _) in index.states.into_iter().zip(0u32..).filter(|(_, at)| used.contains(at)) {
                states.entry(state.operator).or_default().insert(state.name.clone(), state);
            }
        }
        Ok(Self(states))
    }
}

#[cfg(test)]
mod tests {
    use super::super::manifest::MANIFEST_VERSION;
    use super::super::state_file::write_states;
    use super::super::storage::LocalStorage;
    use super::*;
    use crate::engine::state::Snapshot;
    use crate::engine::state::schema::Schema;
    use crate::graph::plan::{ExecutionMode, NodeKind, OperatorCode, PLAN_VERSION};
    use crate::ids::JobId;
    use crate::time::Now;

    fn node(id: u128, name: &str, max_parallelism: Option<u32>) -> PlanNode {
        PlanNode {
            operator_id: OperatorId(id),
            uid: None,
            name: name.to_owned(),
            kind: NodeKind::Operator,
            code: OperatorCode::default(),
            parallelism: None,
            max_parallelism,
            chaining: crate::graph::plan::Chaining::default(),
            slot_sharing_group: "default".to_owned(),
            output_type: String::new(),
            delivery: crate::graph::delivery::DeliveryGuarantee::default(),
            description: String::new(),
        }
    }

    fn plan(nodes: Vec<PlanNode>) -> Plan {
        Plan {
            version: PLAN_VERSION,
            name: "later".to_owned(),
            execution_mode: ExecutionMode::Streaming,
            parallelism: None,
            configuration: BTreeMap::new(),
            nodes,
            edges: Vec::new(),
            once: BTreeMap::new(),
            accumulators: BTreeMap::default(),
        }
    }

    fn declared<T: crate::engine::record::Record>(name: &str) -> FrozenState {
        let mut snapshot = Snapshot::default();
        snapshot.unkeyed::<T>(name, Vec::new());
        snapshot.into_states().remove(0)
    }

    /// Operator 1 with two states, operator 2 with one, operator 3 with none.
    fn written(directory: &std::path::Path) -> Manifest {
        let path = directory.to_string_lossy();
        let (mut one, mut two) = (Snapshot::default(), Snapshot::default());
        one.unkeyed("count", vec![7u32]);
        one.unkeyed("gone", vec![1u8]);
        two.unkeyed("names", vec!["a".to_owned()]);
        let file =
            write_states(&LocalStorage, &path, "f", false, vec![(OperatorId(1), one), (OperatorId(2), two)]).unwrap();
        let state = |id: u128, name: &str, file: Option<crate::graph::task::StateFile>| OperatorState {
            operator: OperatorId(id),
            uid: None,
            name: name.to_owned(),
            parallelism: 1,
            max_parallelism: 128,
            files: vec![file],
        };
        Manifest {
            version: MANIFEST_VERSION,
            job: JobId(1),
            job_name: "visits".to_owned(),
            checkpoint: CheckpointId(7),
            savepoint: true,
            drained: false,
            attempt: 1,
            triggered: Now(5),
            directory: "/sp".to_owned(),
            operators: vec![state(1, "Count", file.clone()), state(2, "Names", file), state(3, "Map", None)],
            sources: BTreeMap::new(),
            committables: BTreeMap::new(),
        }
    }

    #[test]
    fn each_operator_and_state_is_told_what_becomes_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let manifest = written(directory.path());
        let states = WrittenStates::read(&LocalStorage, &manifest).unwrap();
        let (count, fresh) = (node(1, "Count", None), node(9, "Fresh", None));
        let plan = plan(vec![count.clone(), fresh.clone()]);
        let mut report = RestoreReport::new(&manifest, &plan, true);
        report.compare(&count, &states, &[declared::<u64>("count"), declared::<Now>("_watermark")]);
        report.compare(&fresh, &states, &[declared::<u8>("first")]);
        assert_eq!(
            report.to_string(),
            "\
Restoring from /sp (checkpoint 7 of job visits)
  Count    dropped
    count  migrated      value: u32 became u64
    gone   dropped       the program asks for it no more
  Names    dropped       the job does not have it
  Fresh    new
    first  new
"
        );
        assert_eq!((report.accepted, report.refusal()), (true, None));
    }

    #[test]
    fn what_stands_in_the_way_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let manifest = written(directory.path());
        let report = RestoreReport::new(&manifest, &plan(vec![node(1, "Count", None)]), false);
        let refusal = report.refusal().unwrap();
        assert!(refusal.starts_with("/sp holds state of operator \"Names\" ("), "{refusal}");
        assert!(refusal.contains("which the job does not have; give the operator the uid it had"), "{refusal}");

        let both = |max| plan(vec![node(1, "Count", max), node(2, "Names", None)]);
        let refusal = RestoreReport::new(&manifest, &both(Some(64)), false).refusal().unwrap();
        assert!(
            refusal.ends_with("in 128 key groups, and the job has 64; set its max parallelism to 128"),
            "{refusal}"
        );

        let mut report = RestoreReport::new(&manifest, &both(None), false);
        assert!(report.accepted);
        let states = WrittenStates::read(&LocalStorage, &manifest).unwrap();
        report.compare(&node(1, "Count", None), &states, &[declared::<String>("count"), declared::<u8>("gone")]);
        assert!(!report.accepted);
        assert!(report.refusal().unwrap().contains("state \"count\" of operator \"Count\""), "{report}");
        assert!(report.to_string().starts_with("Cannot restore from /sp"), "{report}");
    }

    #[test]
    fn a_time_to_live_comes_and_goes() {
        let timed = Schema::of::<(u8, u32, Now)>();
        assert_eq!(timed.without_last_part().compatibility(&Schema::of::<(u8, u32)>()), Compatibility::Same);
    }
}
