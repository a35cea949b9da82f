//! `flott savepoint`: what lies in a savepoint, and its end. Both work on the files alone.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::json;

use super::arguments::{Output, Savepoint, SavepointVerb};
use super::checkpoints;
use super::object_stores::storages;
use super::output::{print, table};
use crate::engine::checkpoint::{
    Contents, JobStands, OperatorContents, StateContents, Storages, discard_checkpoint, read_contents, read_manifest,
};

/// `flott savepoint`: of a job, if nothing else is said.
pub(super) fn savepoint(options: Savepoint) -> anyhow::Result<ExitCode> {
    match (&options.verb, &options.dispose) {
        (Some(SavepointVerb::Inspect { path, samples, settings, output }), _) => {
            inspect(&storages(&settings.load()?)?, path, *samples, *output)
        }
        (None, Some(path)) => dispose(&storages(&options.cluster.settings.load()?)?, path, options.output),
        (None, None) => checkpoints::savepoint(options),
    }
}

fn inspect(storages: &Storages, path: &str, samples: usize, output: Output) -> anyhow::Result<ExitCode> {
    let contents = read_contents(storages, path, samples).map_err(|failure| anyhow::anyhow!(failure.message))?;
    print(output, &contents, || in_words(&contents))?;
    Ok(ExitCode::SUCCESS)
}

/// What is not a savepoint is left alone, whatever it is.
fn dispose(storages: &Storages, path: &str, output: Output) -> anyhow::Result<ExitCode> {
    let words = |failure: crate::graph::task::Failure| anyhow::anyhow!(failure.message);
    let directory = read_manifest(storages, path).map_err(words)?.directory;
    discard_checkpoint(storages, &directory, JobStands::Ended).map_err(words)?;
    print(output, &json!({ "disposed": directory }), || format!("Disposed of {directory}.\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn in_words(contents: &Contents) -> String {
    let kind = if contents.savepoint { "Savepoint" } else { "Checkpoint" };
    let Contents { directory, checkpoint, job, job_name, .. } = contents;
    let mut text = format!("{kind} {checkpoint} of job {job_name} ({job}): {}\n{directory}\n", size(contents.bytes));
    contents.operators.iter().for_each(|operator| add_operator(&mut text, operator));
    text
}

fn add_operator(text: &mut String, operator: &OperatorContents) {
    let OperatorContents { name, parallelism, max_parallelism, states, .. } = operator;
    let uid = operator.uid.as_ref().map(|uid| format!(" (uid {uid})")).unwrap_or_default();
    // Writing to a string cannot fail.
    let _ = write!(text, "\n{name}{uid}: parallelism {parallelism}, {max_parallelism} key groups");
    if let Some(parts) = operator.parts_to_read {
        let _ = write!(text, ", {parts} parts of its input left to read");
    }
    if operator.prepared_outputs > 0 {
        let _ = write!(text, ", {} prepared outputs", operator.prepared_outputs);
    }
    text.push_str(if states.is_empty() { ", no state\n" } else { "\n" });
    if states.is_empty() {
        return;
    }
    let row = |state: &StateContents| {
        let numbers = [state.entries.to_string(), state.key_groups.to_string(), size(state.bytes)];
        let [entries, groups, bytes] = numbers;
        [format!("  {}", state.name), entries, groups, bytes, state.entry.clone()]
    };
    text.push_str(&table(["  STATE", "ENTRIES", "KEY GROUPS", "SIZE", "TYPE"], states.iter().map(row)));
    for state in states {
        add_entries(text, state);
    }
}

fn add_entries(text: &mut String, state: &StateContents) {
    if let Some(because) = &state.opaque {
        let _ = writeln!(text, "  {}: cannot be shown: {because}", state.name);
        return;
    }
    if state.samples.is_empty() {
        return;
    }
    let _ = writeln!(text, "  {}:", state.name);
    state.types.iter().for_each(|definition| {
        let _ = writeln!(text, "    {definition}");
    });
    state.samples.iter().for_each(|sample| {
        let _ = writeln!(text, "    {sample}");
    });
    let left = state.entries - state.samples.len() as u64;
    if left > 0 {
        let _ = writeln!(text, "    … {left} more");
    }
}

/// With three digits or so.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "kb", "mb", "gb", "tb"];
    let mut amount = bytes as f64;
    let mut unit = 0;
    while amount >= 1000.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} {}", UNITS[0]) } else { format!("{amount:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{CheckpointId, JobId, OperatorId};
    use crate::time::Now;

    #[test]
    fn a_savepoint_is_told_in_words() {
        let count = StateContents {
            name: "count".to_owned(),
            entry: "(String, Visits)".to_owned(),
            types: vec!["Visits { count: u32 }".to_owned()],
            opaque: None,
            entries: 3,
            key_groups: 2,
            bytes: 2048,
            samples: vec![json!({ "key": "a", "value": { "count": 1 } })],
        };
        let because = "its Deserialize panicked over a sample value".to_owned();
        let rate = StateContents {
            name: "rate".to_owned(),
            entry: "(String, job::Rate)".to_owned(),
            opaque: Some(because),
            types: Vec::new(),
            samples: Vec::new(),
            ..count.clone()
        };
        let operator = OperatorContents {
            operator: OperatorId(1),
            uid: Some("visits".to_owned()),
            name: "Count visits".to_owned(),
            parallelism: 2,
            max_parallelism: 128,
            states: vec![count, rate],
            parts_to_read: None,
            prepared_outputs: 0,
        };
        let source = OperatorContents {
            uid: None,
            name: "Files".to_owned(),
            states: Vec::new(),
            parts_to_read: Some(4),
            ..operator.clone()
        };
        let contents = Contents {
            directory: "/savepoints/1".to_owned(),
            savepoint: true,
            checkpoint: CheckpointId(7),
            job: JobId(1),
            job_name: "visits".to_owned(),
            triggered: Now(0),
            bytes: 4096,
            operators: vec![source, operator],
        };
        assert_eq!(
            in_words(&contents),
            "\
Savepoint 7 of job visits (00000000000000000000000000000001): 4.0 kb
/savepoints/1

Files: parallelism 2, 128 key groups, 4 parts of its input left to read, no state

Count visits (uid visits): parallelism 2, 128 key groups
  STATE  ENTRIES  KEY GROUPS  SIZE    TYPE
  count  3        2           2.0 kb  (String, Visits)
  rate   3        2           2.0 kb  (String, job::Rate)
  count:
    Visits { count: u32 }
    {\"key\":\"a\",\"value\":{\"count\":1}}
    … 2 more
  rate: cannot be shown: its Deserialize panicked over a sample value
"
        );
    }

    #[test]
    fn the_verb_is_of_a_job_unless_it_inspects_or_disposes() {
        use clap::Parser as _;

        use super::super::arguments::{Cli, Verb};

        let parsed = |words: &str| match Cli::try_parse_from(words.split(' ')).map(|cli| cli.verb) {
            Ok(Verb::Savepoint(options)) => Some((options.verb.is_some(), options.dispose, options.job)),
            Ok(_) | Err(_) => None,
        };
        let job = "0000000000000000000000000000000a";
        assert_eq!(parsed(&format!("flott savepoint {job} /dir")), Some((false, None, Some(JobId(10)))));
        assert_eq!(parsed("flott savepoint inspect /sp --samples 9"), Some((true, None, None)));
        assert_eq!(parsed("flott savepoint -d /sp"), Some((false, Some("/sp".to_owned()), None)));
        assert_eq!(parsed(&format!("flott savepoint -d /sp {job}")), None);
        assert_eq!(parsed("flott savepoint"), None);
    }

    #[test]
    fn what_is_no_savepoint_is_not_disposed_of() {
        let directory = tempfile::tempdir().unwrap();
        let precious = directory.path().join("precious");
        std::fs::write(&precious, "x").unwrap();
        let error = dispose(&Storages::default(), &directory.path().to_string_lossy(), Output::default()).unwrap_err();
        assert!(error.to_string().starts_with("there is no checkpoint or savepoint at"), "{error}");
        assert!(precious.exists());
    }
}
