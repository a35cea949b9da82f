//! A manifest in its directory: a line with format and checksum, then JSON.

use std::collections::BTreeMap;
use std::path::Path;

use super::manifest::{MANIFEST_NAME, MANIFEST_VERSION, Manifest};
use super::storage::{CheckpointStorage, JobStands, beside};
use crate::graph::task::{Failure, StateFile};
use crate::storage::files::Creation;
use crate::storage::places;

const HEAD: &str = "flott-checkpoint";
/// Of what is not there, in the words that the system has for it.
const ABSENT: &str = "no such file or directory";

/// Writes a manifest into its directory, unless one is there. Its place. Blocking.
///
/// # Errors
/// A place that cannot be written, or one where another manifest lies: another run of the JobManager has used the number.
pub fn write_manifest(storage: &dyn CheckpointStorage, manifest: &Manifest) -> Result<String, Failure> {
    let path = places::inside(&manifest.directory, MANIFEST_NAME);
    let json = serde_json::to_string_pretty(manifest).map_err(|error| Failure::permanent(error.to_string()))?;
    let crc = crc32c::crc32c(json.as_bytes());
    let text = format!("{HEAD} {MANIFEST_VERSION} {crc:08x}\n{json}\n");
    match storage.create_new(&path, text.as_bytes())? {
        Creation::Created => Ok(path),
        Creation::AlreadyExists => Err(Failure::transient(format!("another manifest lies at {path}"))),
    }
}

/// Reads the manifest of a checkpoint, named by its directory or by the manifest itself. A directory may have been moved or copied
/// since: the files in it are meant where it lies now. Blocking.
///
/// # Errors
/// One that is missing, damaged, or of a version that is not known, by name.
pub fn read_manifest(storage: &dyn CheckpointStorage, place: &str) -> Result<Manifest, Failure> {
    let mut path = places::absolute_place_of(place).map_err(|error| Failure::permanent(error.to_string()))?;
    let is_directory =
        if places::is_object(&path) { !path.ends_with(MANIFEST_NAME) } else { Path::new(&path).is_dir() };
    if is_directory {
        path = places::inside(&path, MANIFEST_NAME);
    }
    let bytes = storage.read(&path)?;
    let bytes =
        bytes.ok_or_else(|| Failure::permanent(format!("there is no checkpoint or savepoint at {path}: {ABSENT}")))?;
    read(&path, &bytes)
}

/// A manifest from what lies at `path`.
fn read(path: &str, bytes: &[u8]) -> Result<Manifest, Failure> {
    let refused = |what: &str| Failure::permanent(format!("the checkpoint's manifest {path} {what}"));
    let damaged = |what: &str| refused(&format!("is damaged: {what}; go on from another checkpoint or savepoint"));
    if !bytes.starts_with(HEAD.as_bytes()) {
        return Err(refused("is none of flott's, or damaged: it does not begin as one"));
    }
    let text = str::from_utf8(bytes).map_err(|_| damaged("it is not text"))?;
    let (head, json) = text.split_once('\n').ok_or_else(|| damaged("it ends in its first line"))?;
    let mut words = head.split(' ').skip(1);
    let version = words.next().and_then(|version| version.parse::<u32>().ok());
    if version != Some(MANIFEST_VERSION) {
        let format = version.map_or("an unknown format".to_owned(), |version| format!("format {version}"));
        let what =
            format!("is of {format}, and this flott reads format {MANIFEST_VERSION}; use the flott that wrote it");
        return Err(refused(&what));
    }
    let json = json.trim_end();
    let crc = words.next().and_then(|crc| u32::from_str_radix(crc, 16).ok());
    if crc != Some(crc32c::crc32c(json.as_bytes())) {
        return Err(damaged("its checksum is wrong"));
    }
    let manifest: Manifest = serde_json::from_str(json).map_err(|error| damaged(&error.to_string()))?;
    Ok(match places::parent_of(path) {
        Some(directory) => manifest.moved_to(directory.to_owned()),
        None => manifest,
    })
}

/// Looks whether the files of a checkpoint are there, at their full length. What is in them is checked when they are read. Blocking.
///
/// # Errors
/// The first that is missing or of another length, by name.
pub fn check_files(storage: &dyn CheckpointStorage, manifest: &Manifest) -> Result<(), Failure> {
    let files = manifest.operators.iter().flat_map(|operator| operator.files.iter().flatten());
    let with_runs = |file: &'_ StateFile| {
        let runs = file.runs.iter().map(|run| (beside(&file.path, &run.name), run.bytes));
        std::iter::once((file.path.clone(), file.bytes)).chain(runs).collect::<Vec<_>>()
    };
    // Files of a chain's operators, and runs of many checkpoints, are one.
    let files: BTreeMap<String, u64> = files.flat_map(with_runs).collect();
    for (path, bytes) in files {
        let unreadable = |cause: &str| Failure::permanent(format!("cannot read the checkpoint's file {path}: {cause}"));
        match storage.bytes_of(&path)? {
            Some(found) if found == bytes => {}
            Some(found) => {
                let message = format!("the checkpoint's file {path} is damaged: it has {found} bytes, and had {bytes}");
                return Err(Failure::permanent(message));
            }
            None => return Err(unreadable(ABSENT)),
        }
    }
    Ok(())
}

/// Removes a checkpoint's directory: the manifest first, so that what is left of it is no checkpoint. Blocking.
///
/// # Errors
/// What could not be removed; that it is not there is fine.
pub fn discard_checkpoint(storage: &dyn CheckpointStorage, directory: &str, job: JobStands) -> Result<(), Failure> {
    storage.discard(directory, job)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::engine::checkpoint::{LocalStorage, OperatorState};
    use crate::ids::{CheckpointId, JobId, OperatorId};
    use crate::storage::files;
    use crate::testing::fuzz::fuzz;
    use crate::time::Now;

    fn manifest(directory: &Path) -> Manifest {
        Manifest {
            version: MANIFEST_VERSION,
            job: JobId(1),
            job_name: "words".to_owned(),
            checkpoint: CheckpointId(3),
            savepoint: false,
            drained: false,
            attempt: 1,
            triggered: Now(5),
            directory: directory.to_string_lossy().into_owned(),
            operators: Vec::new(),
            sources: BTreeMap::new(),
            committables: BTreeMap::new(),
        }
    }

    #[test]
    fn a_manifest_is_written_once_and_read_back_by_directory_file_or_address() {
        let directory = tempfile::tempdir().unwrap();
        let manifest = manifest(&directory.path().join("chk-3"));
        let path = write_manifest(&LocalStorage, &manifest).unwrap();
        assert!(write_manifest(&LocalStorage, &manifest).is_err());
        let uri = files::uri_of_path(Path::new(&path));
        for place in [manifest.directory.as_str(), &path, &uri] {
            assert_eq!(read_manifest(&LocalStorage, place), Ok(manifest.clone()));
        }
        discard_checkpoint(&LocalStorage, &manifest.directory, JobStands::GoesOn).unwrap();
        discard_checkpoint(&LocalStorage, &manifest.directory, JobStands::GoesOn).unwrap();
        assert!(
            read_manifest(&LocalStorage, &manifest.directory)
                .unwrap_err()
                .message
                .starts_with("there is no checkpoint")
        );
    }

    #[test]
    fn a_directory_that_was_copied_has_its_own_files() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
        let file =
            |path: String| Some(StateFile { path, bytes: 1, operators: Vec::new(), union: false, runs: Vec::new() });
        let operator = |files| OperatorState {
            operator: OperatorId(1),
            uid: None,
            name: "count".to_owned(),
            parallelism: 3,
            max_parallelism: 128,
            files,
        };
        let elsewhere = || file("/elsewhere/chk-1/a".to_owned());
        let mut original = manifest(&directory.path().join("chk-3"));
        original.operators = vec![operator(vec![file(place("chk-3/a")), None, elsewhere()])];
        write_manifest(&LocalStorage, &original).unwrap();
        fs::create_dir(place("copy")).unwrap();
        fs::copy(place("chk-3/_metadata"), place("copy/_metadata")).unwrap();
        let copy = read_manifest(&LocalStorage, &place("copy")).unwrap();
        assert_eq!(copy.directory, place("copy"));
        assert_eq!(copy.operators, [operator(vec![file(place("copy/a")), None, elsewhere()])]);
        assert_eq!(read_manifest(&LocalStorage, &original.directory), Ok(original));
    }

    #[test]
    fn a_damaged_manifest_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = write_manifest(&LocalStorage, &manifest(directory.path())).unwrap();
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() - 1 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert!(read_manifest(&LocalStorage, &path).unwrap_err().message.contains("manifest"), "byte {at}");
        }
    }

    #[test]
    fn fuzz_manifests() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("chk-3");
        let golden = [1, 2].map(|version| {
            let path = format!("{}/tests/golden/checkpoint-{version}/_metadata", env!("CARGO_MANIFEST_DIR"));
            fs::read(path).unwrap()
        });
        fs::create_dir(&place).unwrap();
        let read = |bytes: &[u8]| {
            fs::write(place.join(MANIFEST_NAME), bytes).unwrap();
            if let Ok(manifest) = read_manifest(&LocalStorage, &place.to_string_lossy()) {
                let _ = check_files(&LocalStorage, &manifest);
            }
        };
        fuzz("manifest", &golden, |bytes| {
            read(bytes);
            // As if the checksum had been made over what stands there.
            let Some(at) = bytes.iter().position(|byte| *byte == b'\n') else { return };
            let json = bytes[at + 1..].trim_ascii_end();
            let head = format!("{HEAD} {MANIFEST_VERSION} {:08x}\n", crc32c::crc32c(json));
            read(&[head.as_bytes(), json, b"\n"].concat());
        });
    }
}
