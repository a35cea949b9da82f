//! What a checkpoint or savepoint holds, for people who have not its program: by the schemas that stand in it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

use super::manifest::{Manifest, OperatorState};
use super::manifest_file::read_manifest;
use super::state_file::{OpenFile, StateEntry};
use super::storage::CheckpointStorage;
use crate::engine::state::schema::{Schema, to_json};
use crate::graph::task::Failure;
use crate::ids::{CheckpointId, JobId, OperatorId};
use crate::time::Now;

/// A checkpoint or savepoint in words.
#[derive(Clone, Debug, Serialize)]
pub struct Contents {
    /// Where it lies.
    pub directory: String,
    /// Whether a user asked for it and owns it.
    pub savepoint: bool,
    /// Which.
    pub checkpoint: CheckpointId,
    /// Whose.
    pub job: JobId,
    /// The job's name.
    pub job_name: String,
    /// When it was begun.
    pub triggered: Now,
    /// Bytes of its state files.
    pub bytes: u64,
    /// Every operator of the job.
    pub operators: Vec<OperatorContents>,
}

/// What it holds of an operator.
#[derive(Clone, Debug, Serialize)]
pub struct OperatorContents {
    /// Which.
    pub operator: OperatorId,
    /// The user's name for it, where there is one.
    pub uid: Option<String>,
    /// For people.
    pub name: String,
    /// Number of subtasks.
    pub parallelism: u32,
    /// Number of key groups.
    pub max_parallelism: u32,
    /// Its states, by name.
    pub states: Vec<StateContents>,
    /// Of a source: parts of its input that are left to read.
    pub parts_to_read: Option<usize>,
    /// Of a sink: outputs that were prepared and belong to this checkpoint.
    pub prepared_outputs: usize,
}

/// What it holds of a state.
#[derive(Clone, Debug, Serialize)]
pub struct StateContents {
    /// The name the program obtained it by; flott's own begin with `_`.
    pub name: String,
    /// An entry's type in Rust's notation: key and value, of keyed state.
    #[serde(rename = "type")]
    pub entry: String,
    /// The structs and enums in that.
    pub types: Vec<String>,
    /// Why entries cannot be shown, if they cannot.
    pub opaque: Option<String>,
    /// Number of entries; of state on disk at most so many, since some may stand in several of its files.
    pub entries: u64,
    /// Number of key groups that have entries.
    pub key_groups: usize,
    /// Bytes of all entries.
    pub bytes: u64,
    /// Some entries.
    pub samples: Vec<Value>,
}

/// Reads what a checkpoint holds, with up to `samples` entries of each state. Counts come from the files' indexes: only as much state is
/// read as is shown. Blocking.
///
/// # Errors
/// A manifest or file that is missing or damaged, by name.
pub fn read_contents(storage: &dyn CheckpointStorage, place: &str, samples: usize) -> Result<Contents, Failure> {
    let manifest = read_manifest(storage, place)?;
    let mut files = BTreeMap::new();
    for file in manifest.operators.iter().flat_map(|operator| operator.files.iter().flatten()) {
        if !files.contains_key(file.path.as_str()) {
            files.insert(file.path.as_str(), OpenFile::open(storage, &file.path)?);
        }
    }
    let operators =
        manifest.operators.iter().map(|operator| operator_contents(&manifest, operator, &mut files, samples));
    Ok(Contents {
        directory: manifest.directory.clone(),
        savepoint: manifest.savepoint,
        checkpoint: manifest.checkpoint,
        job: manifest.job,
        job_name: manifest.job_name.clone(),
        triggered: manifest.triggered,
        bytes: manifest.state_bytes(),
        operators: operators.collect::<Result<_, Failure>>()?,
    })
}

fn operator_contents(
    manifest: &Manifest,
    operator: &OperatorState,
    files: &mut BTreeMap<&str, OpenFile>,
    samples: usize,
) -> Result<OperatorContents, Failure> {
    let mut states = BTreeMap::new();
    for file in operator.files.iter().flatten() {
        let Some(file) = files.get_mut(file.path.as_str()) else { continue };
        add_states(operator.operator, file, samples, &mut states)?;
    }
    Ok(OperatorContents {
        operator: operator.operator,
        uid: operator.uid.clone(),
        name: operator.name.clone(),
        parallelism: operator.parallelism,
        max_parallelism: operator.max_parallelism,
        states: states.into_values().map(|gathered| gathered.contents).collect(),
        parts_to_read: manifest.sources.get(&operator.operator).map(|source| source.remaining.len()),
        prepared_outputs: manifest.committables.get(&operator.operator).map_or(0, Vec::len),
    })
}

/// A state, over all files.
struct Gathered {
    contents: StateContents,
    groups: BTreeSet<u32>,
}

impl Gathered {
    fn new(state: &StateEntry) -> Self {
        let contents = StateContents {
            name: state.name.clone(),
            entry: state.schema.outline(),
            types: state.schema.definitions(),
            opaque: state.schema.opaque_because().map(str::to_owned),
            entries: 0,
            key_groups: 0,
            bytes: 0,
            samples: Vec::new(),
        };
        Self { contents, groups: BTreeSet::new() }
    }
}

fn add_states(
    operator: OperatorId,
    file: &mut OpenFile,
    samples: usize,
    states: &mut BTreeMap<String, Gathered>,
) -> Result<(), Failure> {
    for state in file.index.states.iter().filter(|state| state.operator == operator) {
        states.entry(state.name.clone()).or_insert_with(|| Gathered::new(state));
    }
    for run in &file.index.runs {
        let state = file.index.states.get(run.state as usize).filter(|state| state.operator == operator);
        let Some(Gathered { contents, .. }) = state.and_then(|state| states.get_mut(&state.name)) else { continue };
        contents.entries += run.entries;
        contents.bytes += run.bytes;
    }
    let mut bytes = Vec::new();
    for at in 0..file.index.sections.len() {
        let section = file.index.sections[at];
        let state = file.index.states.get(section.state as usize).filter(|state| state.operator == operator);
        let Some(Gathered { contents, groups }) = state.and_then(|state| states.get_mut(&state.name)) else { continue };
        contents.entries += section.entries;
        contents.bytes += section.len;
        groups.extend(section.group);
        contents.key_groups = groups.len();
        if contents.opaque.is_none() && contents.samples.len() < samples {
            file.section(at, &mut bytes)?;
            let StateEntry { schema, parts, .. } = &file.index.states[section.state as usize];
            let wanted = (samples - contents.samples.len()).min(usize::try_from(section.entries).unwrap_or(usize::MAX));
            contents.samples.extend(shown(schema, parts, &bytes, wanted)?);
        }
    }
    Ok(())
}

/// The first entries of a section.
fn shown(schema: &Schema, parts: &[String], mut bytes: &[u8], wanted: usize) -> Result<Vec<Value>, Failure> {
    let mut entries = Vec::new();
    while entries.len() < wanted {
        let (entry, rest) = to_json(schema, bytes)
            .map_err(|error| Failure::permanent(format!("an entry is not what the checkpoint says it is: {error}")))?;
        bytes = rest;
        entries.push(match entry {
            Value::Array(values) if !parts.is_empty() && values.len() == parts.len() => {
                parts.iter().cloned().zip(values).collect::<Map<_, _>>().into()
            }
            whole => whole,
        });
    }
    Ok(entries)
}
