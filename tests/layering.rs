//! The import table of the rooms, as data: imports point down, processes never import one another, cores are pure.
//!
//! A violation names the file, the line and the reason. Test modules are exempt: they may build whatever they need.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the sources has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// What every room may import.
const GROUND: &[&str] = &["ids", "resource", "time"];

/// One room: its path below `src/`, and what it may import besides [`GROUND`] and itself. `engine` stands for all its rooms.
struct Room {
    path: &'static str,
    imports: &'static [&'static str],
    why: &'static str,
}

const fn room(path: &'static str, imports: &'static [&'static str], why: &'static str) -> Room {
    Room { path, imports, why }
}

const ROOMS: &[Room] = &[
    room("cli", &["*"], "the one place that names every daemon"),
    room("testing", &["*"], "harnesses drive everything"),
    room(
        "api",
        &["launch", "engine/operators", "engine/connectors", "engine/record", "graph", "rpc", "config"],
        "what a job author writes meets the runtime in graph and operators only",
    ),
    room(
        "launch",
        &["jobmanager", "worker", "engine", "protocol", "graph", "rpc", "config", "telemetry", "storage", "process"],
        "what execute does in each role; not the daemons of other machines",
    ),
    room(
        "rest",
        &[
            "resourcemanager",
            "nodemanager",
            "jobmanager",
            "taskmanager",
            "protocol",
            "graph",
            "rpc",
            "config",
            "storage",
            "telemetry",
            "process",
            "web",
        ],
        "views over the daemons' handles, which know no data plane",
    ),
    room(
        "application_master",
        &["protocol", "rpc"],
        "for programs that are no flott jobs: knows the protocol and nothing behind it",
    ),
    room("shell", &["application_master", "protocol", "rpc"], "an application like any other"),
    room("web", &["rpc"], "static files"),
    room("guide", &[], "chapters, no code"),
    room(
        "client",
        &["protocol", "graph", "rpc", "config", "process", "storage"],
        "never part of a daemon or the data path",
    ),
    room(
        "resourcemanager",
        &["protocol", "rpc", "storage", "config", "telemetry"],
        "knows nothing of jobs, graphs or other processes",
    ),
    room(
        "nodemanager",
        &["protocol", "rpc", "storage", "config", "telemetry", "process"],
        "knows nothing of jobs, graphs or other processes",
    ),
    room(
        "jobmanager",
        &["protocol", "graph", "rpc", "storage", "config", "telemetry", "process", "engine/checkpoint"],
        "knows no data plane but checkpoints' plain data",
    ),
    room(
        "taskmanager",
        &["protocol", "graph", "rpc", "storage", "config", "telemetry", "process"],
        "supervises workers, knows no data plane",
    ),
    room("worker", &["engine", "protocol", "graph", "rpc", "config", "telemetry"], "joins the engine to the protocol"),
    room("protocol", &["graph", "rpc", "engine/checkpoint"], "plain messages"),
    room(
        "engine/runtime",
        &[
            "engine/connectors",
            "engine/operators",
            "engine/checkpoint",
            "engine/state",
            "engine/lsm",
            "engine/network",
            "engine/record",
            "graph",
            "rpc",
            "telemetry",
        ],
        "knows no process, no protocol and no user-facing API",
    ),
    room(
        "engine/connectors",
        &["engine/operators", "engine/formats", "engine/record", "graph", "rpc", "storage"],
        "sources and sinks know operators' traits and records",
    ),
    room(
        "engine/formats",
        &["engine/record", "graph", "rpc"],
        "formats know bytes and records, no files and no sockets",
    ),
    room(
        "engine/operators",
        &["engine/state", "engine/record", "graph", "rpc"],
        "operators know no network and no barriers",
    ),
    room(
        "engine/checkpoint",
        &["engine/state", "engine/lsm", "engine/record", "graph", "rpc", "storage"],
        "data and decisions of checkpoints",
    ),
    room("engine/state", &["engine/lsm", "engine/record", "graph", "rpc", "storage"], "state knows no barriers"),
    room("engine/lsm", &["engine/record", "graph", "rpc"], "entries in order on disk, of no type"),
    room("engine/network", &["engine/record", "graph", "rpc"], "channels know no operators"),
    room("engine/record", &["rpc"], "records know nothing that moves them"),
    room("graph", &["rpc"], "pure data, no closures"),
    room("rpc", &[], "links know none of our messages"),
    room("storage", &["rpc", "config"], "files, objects and records of others"),
    room("config", &["graph", "rpc"], "typed configuration"),
    room("process", &["rpc"], "operating system processes, knows no roles"),
    room("telemetry", &["rpc"], "logs and metrics"),
    room("ids.rs", &[], "ground"),
    room("resource.rs", &[], "ground"),
    room("time.rs", &[], "ground"),
];

/// Files whose path contains one of these decide and do nothing else.
const PURE: &[&str] =
    &["/core.rs", "/core/", "resourcemanager/scheduler/", "jobmanager/job_master/", "network/credit.rs", "graph/"];

/// What a pure file may not name, and why.
const IMPURE: &[(&str, &str)] = &[
    ("std::fs", "no I/O in a core"),
    ("std::net", "no I/O in a core"),
    ("std::thread", "no threads in a core"),
    ("std::process", "no processes in a core"),
    ("tokio::", "no async in a core"),
    ("Instant", "time is given to a core"),
    ("SystemTime", "time is given to a core"),
    ("SystemClock", "time is given to a core"),
    ("HashMap", "iteration order varies; use BTreeMap"),
    ("HashSet", "iteration order varies; use BTreeSet"),
    ("fastrand::", "randomness comes from a seed the core holds"),
];

/// One offence.
struct Offence {
    place: String,
    reason: String,
}

fn source_files(dir: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            source_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Lines of code outside comments and test modules, with their numbers.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let modules = ["#[cfg(test)]\nmod ", "#[cfg(test)]\npub(super) mod "];
    let end = modules.iter().filter_map(|module| text.find(module)).min().unwrap_or(text.len());
    text[..end]
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// The rooms that the code from `rest` (behind `crate::`) names: one, or several in braces.
fn named_rooms(rest: &str) -> Vec<String> {
    let path = |text: &str| -> String {
        let mut parts =
            text.split("::").map(|part| part.trim_end_matches(|c: char| !(c.is_alphanumeric() || c == '_')));
        let first = parts.next().unwrap_or_default();
        let first: String = first.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        match parts.next() {
            Some(second) if first == "engine" => {
                let second: String = second.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                format!("engine/{second}")
            }
            _ => first,
        }
    };
    match rest.strip_prefix('{') {
        Some(group) => group.split(", ").map(|part| path(part.trim())).filter(|name| !name.is_empty()).collect(),
        None => vec![path(rest)],
    }
}

fn room_of(relative: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| relative == room.path || relative.starts_with(&format!("{}/", room.path)))
}

fn allowed(room: &Room, imported: &str) -> bool {
    let is = |name: &str| imported == name || (name == "engine" && imported.starts_with("engine/"));
    room.path.trim_end_matches(".rs") == imported
        || (room.path.starts_with("engine/") && imported == "engine/")
        || room.imports.iter().any(|name| *name == "*" || is(name))
        || GROUND.iter().any(|name| is(name))
}

fn check_imports(relative: &str, text: &str, offences: &mut Vec<Offence>) {
    let Some(room) = room_of(relative) else { return };
    if relative.ends_with("/tests.rs") || relative.contains("/tests/") {
        return; // A test module in files of its own: tests are driven by what lies above.
    }
    for (number, line) in code_lines(text) {
        for (at, _) in line.match_indices("crate::") {
            for imported in named_rooms(&line[at + "crate::".len()..]) {
                let is_room = ROOMS.iter().any(|room| {
                    room.path.trim_end_matches(".rs") == imported || room.path.starts_with(&format!("{imported}/"))
                });
                if is_room && !allowed(room, &imported) {
                    let reason = format!("`{}` may not import `{imported}`: {}", room.path, room.why);
                    offences.push(Offence { place: format!("src/{relative}:{number}"), reason });
                }
            }
        }
    }
}

fn check_purity(relative: &str, text: &str, offences: &mut Vec<Offence>) {
    if !PURE.iter().any(|part| relative.contains(part) || format!("/{relative}").contains(part)) {
        return;
    }
    for (number, line) in code_lines(text) {
        let line = line.replace("fastrand::Rng", "a generator with a seed of its own");
        for (word, why) in IMPURE {
            if line.contains(word) {
                let reason = format!("a pure file names `{word}`: {why}");
                offences.push(Offence { place: format!("src/{relative}:{number}"), reason });
            }
        }
    }
}

fn report(offences: &[Offence]) -> String {
    offences.iter().map(|offence| format!("{}: {}\n", offence.place, offence.reason)).collect()
}

#[test]
fn imports_point_down_and_cores_are_pure() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut files, mut offences) = (Vec::new(), Vec::new());
    source_files(&src, &mut files);
    assert!(files.len() > 20, "the sources were not found under {}", src.display());
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        let relative = file.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
        check_imports(&relative, &text, &mut offences);
        check_purity(&relative, &text, &mut offences);
    }
    assert!(offences.is_empty(), "\n{}", report(&offences));
}

#[test]
fn every_folder_under_src_is_a_room_of_the_table() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let folders = |dir: &Path, prefix: &str| -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()).filter(|entry| entry.path().is_dir());
        entries.map(|entry| format!("{prefix}{}", entry.file_name().to_string_lossy())).collect()
    };
    let all =
        folders(&src, "").into_iter().filter(|name| name != "engine").chain(folders(&src.join("engine"), "engine/"));
    for folder in all {
        assert!(room_of(&folder).is_some(), "src/{folder} is not in the table of tests/layering.rs: which room is it?");
    }
}

#[test]
fn the_check_itself_finds_offences() {
    let mut offences = Vec::new();
    check_imports(
        "resourcemanager/core.rs",
        "use crate::graph::plan::Plan;\nuse crate::{ids, jobmanager};\n",
        &mut offences,
    );
    check_imports("engine/network/mod.rs", "use crate::engine::operators::Operator;\n", &mut offences);
    check_purity("jobmanager/core.rs", "let now = Instant::now();\n", &mut offences);
    check_imports(
        "worker/mod.rs",
        "use crate::engine::runtime::Subtask;\n// crate::cli\n#[cfg(test)]\nmod tests {\n    use crate::cli;\n}\n",
        &mut offences,
    );
    let places: Vec<_> = offences.iter().map(|offence| offence.place.as_str()).collect();
    assert_eq!(
        places,
        [
            "src/resourcemanager/core.rs:1",
            "src/resourcemanager/core.rs:2",
            "src/engine/network/mod.rs:1",
            "src/jobmanager/core.rs:1"
        ],
        "{}",
        report(&offences)
    );
}
