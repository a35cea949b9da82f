//! The state of one subtask as a file.
//!
//! ```text
//! "FLOTTST1" │ section │ section │ … │ index (postcard) │ offset u64, length u64, crc u32 of the index │ "FST1"
//! ```
//! A section holds entries of one state and key group; the index says where, how many, and their checksum. Numbers are
//! little-endian. State that lies on disk stands beside it, in files of its own: each a run, which several checkpoints may
//! hold by links, and which goes with the last of them; the index names them. The end tells an index with runs ("FST2") from one without.

use std::io::{self, SeekFrom};
use std::thread;

use serde::{Deserialize, Serialize};

use super::storage::{CheckpointStorage, NewFile, StoredFile};
use crate::engine::lsm::Run;
use crate::engine::state::schema::Schema;
use crate::engine::state::{Sections, Snapshot, is_union_state};
use crate::graph::task::{Failure, RunFile, StateFile};
use crate::ids::OperatorId;
use crate::rpc::{ErrorKind, io_cause};
use crate::storage::places::TRANSIENT;

const MAGIC: &[u8; 8] = b"FLOTTST1";
const END_MAGIC: &[u8; 4] = b"FST1";
/// With an index that names runs.
const END_MAGIC_RUNS: &[u8; 4] = b"FST2";
const FOOTER_BYTES: u64 = 8 + 8 + 4 + 4;
/// An index beyond this is a damaged one.
const INDEX_BYTES_MAX: u64 = 1 << 30;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) states: Vec<StateEntry>,
    pub(super) sections: Vec<SectionEntry>,
    #[serde(skip)]
    pub(super) runs: Vec<RunEntry>,
}

/// A file with entries of one state in order, in the same directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RunEntry {
    /// Position among the states.
    pub(super) state: u32,
    pub(super) name: String,
    /// The first and the last place among all hashes whose entries count.
    pub(super) range: (u64, u64),
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StateEntry {
    pub(super) operator: OperatorId,
    pub(super) name: String,
    /// What the parts of an entry are, where it has parts.
    pub(super) parts: Vec<String>,
    pub(super) schema: Schema,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct SectionEntry {
    /// Position among the states.
    pub(super) state: u32,
    pub(super) group: Option<u32>,
    offset: u64,
    pub(super) len: u64,
    pub(super) entries: u64,
    crc: u32,
}

/// State in runs of fewer bytes is written into the file itself.
const RUNS_BYTES_MIN: u64 = 64 << 10;
/// A section of more is followed by another of the same key group.
const SECTION_BYTES_MAX: u64 = 4 << 20;

/// Writes what the operators of a subtask held. Absent where nothing held anything: then there is no file. `whole`: nothing is
/// shared with other checkpoints, and every backend can read it alike, as a savepoint's user expects.
///
/// # Errors
/// A place that cannot be written, or a state that serde cannot write.
pub fn write_states(
    storage: &dyn CheckpointStorage,
    directory: &str,
    name: &str,
    whole: bool,
    operators: Vec<(OperatorId, Snapshot)>,
) -> Result<Option<StateFile>, Failure> {
    let (index, runs) = (Index::default(), Vec::new());
    let mut writer = Writer { storage, directory, name, file: None, position: 0, index, runs };
    for (operator, snapshot) in operators {
        for state in snapshot.into_states() {
            let parts = state.parts.iter().map(|part| (*part).to_owned()).collect();
            let schema = Schema::clone(&state.schema);
            writer.index.states.push(StateEntry { operator, name: state.name, parts, schema });
            let runs = state.entries.runs();
            if whole || runs.iter().map(Run::bytes).sum::<u64>() < RUNS_BYTES_MIN {
                state.entries.write(&mut writer)?;
            } else {
                runs.iter().try_for_each(|run| writer.run(run))?;
            }
        }
    }
    writer.finish()
}

struct Writer<'a> {
    storage: &'a dyn CheckpointStorage,
    directory: &'a str,
    name: &'a str,
    /// Made for the first entry.
    file: Option<Box<dyn NewFile>>,
    position: u64,
    index: Index,
    /// Those that are put beside the file, so that a run is put there once.
    runs: Vec<(Run, RunFile)>,
}

impl Writer<'_> {
    /// Puts a run of the last state beside the file.
    fn run(&mut self, run: &Run) -> Result<(), Failure> {
        let known = self.runs.iter().find(|(known, _)| known.is_of_file(run)).map(|(_, file)| file.clone());
        let file = match known {
            Some(file) => file,
            None => {
                let name = format!("{}-{}.run", self.name, self.runs.len());
                let name = self.storage.put_run(self.directory, &name, run)?;
                let file = RunFile { name, bytes: run.bytes() };
                self.runs.push((run.clone(), file.clone()));
                file
            }
        };
        let RunFile { name, bytes } = file;
        let state = self.index.states.len() as u32 - 1;
        self.index.runs.push(RunEntry { state, name, range: run.range(), entries: run.entries(), bytes });
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.file.is_none() {
            self.file = Some(self.storage.create(self.directory, self.name)?);
            self.position = MAGIC.len() as u64;
            self.put(MAGIC)?;
        }
        self.position += bytes.len() as u64;
        self.put(bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(bytes).map_err(|error| {
            let (directory, name) = (self.directory, self.name);
            Failure::transient(format!("cannot write the checkpoint's file {directory}/{name}: {}", io_cause(&error)))
        })
    }

    fn finish(mut self) -> Result<Option<StateFile>, Failure> {
        if self.file.is_none() && self.index.runs.is_empty() {
            return Ok(None);
        }
        let (index, end) = match self.index.runs.as_slice() {
            [] => (postcard::to_allocvec(&self.index), END_MAGIC),
            runs => (postcard::to_allocvec(&(&self.index, runs)), END_MAGIC_RUNS),
        };
        let index = index.map_err(|error| Failure::permanent(error.to_string()))?;
        // Its place is behind the head, which is there with the first byte.
        self.write(&[])?;
        let offset = self.position;
        self.write(&index)?;
        let mut footer = Vec::new();
        footer.extend_from_slice(&offset.to_le_bytes());
        footer.extend_from_slice(&(index.len() as u64).to_le_bytes());
        footer.extend_from_slice(&crc32c::crc32c(&index).to_le_bytes());
        footer.extend_from_slice(end);
        self.write(&footer)?;
        let Some(file) = self.file.take() else { return Ok(None) };
        let mut operators: Vec<OperatorId> = self.index.states.iter().map(|state| state.operator).collect();
        operators.dedup();
        let union = self.index.states.iter().any(|state| is_union_state(&state.name));
        let runs = self.runs.into_iter().map(|(_, file)| file).collect();
        Ok(Some(StateFile { path: file.publish()?, bytes: self.position, operators, union, runs }))
    }
}

impl Sections for Writer<'_> {
    fn section(&mut self, group: Option<u32>, entries: u64, bytes: &[u8]) -> Result<(), Failure> {
        if entries == 0 {
            return Ok(());
        }
        self.write(bytes)?;
        let state = self.index.states.len() as u32 - 1;
        let (len, end) = (bytes.len() as u64, self.position);
        match self.index.sections.last_mut() {
            Some(last) if last.state == state && last.group == group && last.len < SECTION_BYTES_MAX => {
                last.crc = crc32c::crc32c_append(last.crc, bytes);
                last.len += len;
                last.entries += entries;
            }
            Some(_) | None => {
                let crc = crc32c::crc32c(bytes);
                self.index.sections.push(SectionEntry { state, group, offset: end - len, len, entries, crc });
            }
        }
        // A task that has got a record meanwhile, and shares the core, need not wait until this thread's slice of it is over.
        thread::yield_now();
        Ok(())
    }
}

pub(super) struct OpenFile {
    path: String,
    file: Box<dyn StoredFile>,
    pub(super) index: Index,
}

impl OpenFile {
    /// Opens a run beside it.
    pub(super) fn run(&self, storage: &dyn CheckpointStorage, entry: &RunEntry) -> Result<Run, Failure> {
        let (first, last) = entry.range;
        Ok(storage.open_run(&self.path, &entry.name)?.within(first, last))
    }

    pub(super) fn open(storage: &dyn CheckpointStorage, path: &str) -> Result<Self, Failure> {
        let mut file = storage.open(path).map_err(|failure| match failure.kind {
            // A store that is not reached says nothing of the file.
            ErrorKind::Transient => failure,
            ErrorKind::Permanent | ErrorKind::Fenced | ErrorKind::User => failure.of_damaged_file(path),
        })?;
        let index = read_index(file.as_mut()).map_err(|error| damaged(path, &error))?;
        Ok(Self { path: path.to_owned(), file, index })
    }

    /// Reads the section at this place of the index.
    pub(super) fn section(&mut self, at: usize, bytes: &mut Vec<u8>) -> Result<(), Failure> {
        read_section(self.file.as_mut(), &self.index.sections[at], bytes).map_err(|error| damaged(&self.path, &error))
    }
}

fn read_index(file: &mut dyn StoredFile) -> io::Result<Index> {
    let end = file.seek(SeekFrom::End(0))?;
    let start = end.checked_sub(FOOTER_BYTES).ok_or_else(|| malformed("too short"))?;
    file.seek(SeekFrom::Start(start))?;
    let mut footer = [0; FOOTER_BYTES as usize];
    file.read_exact(&mut footer)?;
    let (offset, len) = (number(&footer[..8]), number(&footer[8..16]));
    let crc = number(&footer[16..20]) as u32;
    let has_runs = match &footer[20..] {
        end if end == END_MAGIC => false,
        end if end == END_MAGIC_RUNS => true,
        _ => return Err(malformed("it does not end as a state file does")),
    };
    if len > INDEX_BYTES_MAX || offset.checked_add(len) != Some(start) {
        return Err(malformed("its index does not lie where it says"));
    }
    let mut bytes = vec![0; len as usize];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut bytes)?;
    if crc32c::crc32c(&bytes) != crc {
        return Err(malformed("the checksum of its index is wrong"));
    }
    let index = if has_runs {
        postcard::from_bytes::<(Index, Vec<RunEntry>)>(&bytes).map(|(index, runs)| Index { runs, ..index })
    } else {
        postcard::from_bytes::<Index>(&bytes)
    };
    let index = index.map_err(|_| malformed("its index cannot be read"))?;
    let fits = |section: &SectionEntry| section.offset.checked_add(section.len).is_some_and(|end| end <= offset);
    if index.sections.iter().all(fits) { Ok(index) } else { Err(malformed("a section lies outside")) }
}

fn read_section(file: &mut dyn StoredFile, section: &SectionEntry, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.clear();
    bytes.resize(section.len as usize, 0);
    file.seek(SeekFrom::Start(section.offset))?;
    file.read_exact(bytes)?;
    if crc32c::crc32c(bytes) == section.crc { Ok(()) } else { Err(malformed("the checksum of a section is wrong")) }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn damaged(path: &str, error: &io::Error) -> Failure {
    if error.kind() == TRANSIENT {
        return Failure::transient(format!("cannot read the checkpoint's file {path}: {}", io_cause(error)));
    }
    Failure::permanent(format!("the checkpoint's file {path} is damaged: {}", io_cause(error))).of_damaged_file(path)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use std::ops::Range;

    use super::super::restored::{RestoredStates, Taker};
    use super::super::storage::LocalStorage;
    use super::*;
    use crate::engine::record::{KeyedTable, key_group, key_hash};
    use crate::engine::state::Restore;
    use crate::graph::task::RestoredFile;
    use crate::testing::fuzz::fuzz;
    use crate::time::Now;

    const OPERATOR: OperatorId = OperatorId(7);

    fn counts(keys: u64) -> KeyedTable<u64, u64> {
        let mut table = KeyedTable::new();
        (0..keys).for_each(|key| table.put(key_hash(&key), key, key * 2));
        table
    }

    fn write(directory: &std::path::Path, table: &mut KeyedTable<u64, u64>) -> StateFile {
        let mut snapshot = Snapshot::default();
        snapshot.keyed("count", 128, vec![table.freeze()]);
        snapshot.unkeyed("rules", vec!["a".to_owned()]);
        let written =
            write_states(&LocalStorage, &directory.to_string_lossy(), "v-0-1", false, vec![(OPERATOR, snapshot)]);
        written.unwrap().unwrap()
    }

    fn open(file: &StateFile, groups: Range<u32>) -> Result<RestoredStates<'static>, Failure> {
        let file = RestoredFile { file: file.clone(), subtask: 0, parallelism: 1 };
        RestoredStates::open(&LocalStorage, &[file], Taker { subtask: 0, parallelism: 1, groups, max_parallelism: 128 })
    }

    fn read(file: &StateFile, groups: Range<u32>) -> Result<BTreeMap<u64, u64>, Failure> {
        let mut states = open(file, groups.clone())?;
        let mut found = BTreeMap::new();
        states.operator(OPERATOR, true, Now(0)).visit("count", &mut |section| {
            assert!(groups.contains(&section.group.unwrap()));
            section.each_keyed(128, |(key, _)| key, |_, (key, value)| assert!(found.insert(key, value).is_none()))
        })?;
        Ok(found)
    }

    #[test]
    fn what_was_frozen_is_read_back_by_key_group_whatever_became_of_the_table() {
        let directory = tempfile::tempdir().unwrap();
        let mut table = counts(50_000);
        let mut snapshot = Snapshot::default();
        snapshot.keyed("count", 128, vec![table.freeze()]);
        // What changes behind the barrier is not in it.
        for key in 0..60_000u64 {
            table.put(key_hash(&key), key, 0);
        }
        let path = directory.path().to_string_lossy().into_owned();
        let file = write_states(&LocalStorage, &path, "s", false, vec![(OPERATOR, snapshot)]).unwrap().unwrap();
        assert_eq!(file.operators, [OPERATOR]);
        let whole: BTreeMap<u64, u64> = (0..50_000).map(|key| (key, key * 2)).collect();
        assert_eq!(read(&file, 0..128).unwrap(), whole);
        let half = whole.into_iter().filter(|(key, _)| key_group(key_hash(key), 128) < 64).collect();
        assert_eq!(read(&file, 0..64).unwrap(), half);
        assert!(table.iter().all(|(_, value)| *value == 0));
    }

    #[test]
    fn nothing_held_is_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chk-1").to_string_lossy().into_owned();
        let mut snapshot = Snapshot::default();
        snapshot.keyed("count", 128, vec![counts(0).freeze()]);
        assert_eq!(write_states(&LocalStorage, &path, "s", false, vec![(OPERATOR, snapshot)]), Ok(None));
        assert!(!std::path::Path::new(&path).exists());
    }

    #[test]
    fn states_that_nobody_asks_for_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = write(directory.path(), &mut counts(3));
        let mut states = open(&file, 0..128).unwrap();
        let mut operator = states.operator(OPERATOR, true, Now(0));
        operator.visit("count", &mut |_| Ok(())).unwrap();
        assert_eq!(operator.unclaimed(), ["rules"]);
    }

    #[test]
    fn every_damage_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let file = write(directory.path(), &mut counts(100));
        let whole = std::fs::read(&file.path).unwrap();
        for at in 8..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x20;
            std::fs::write(&file.path, &damaged).unwrap();
            let read = open(&file, 0..128).and_then(|mut states| {
                let mut operator = states.operator(OPERATOR, true, Now(0));
                operator.visit("count", &mut |_| Ok(()))?;
                operator.visit("rules", &mut |_| Ok(()))
            });
            let failure = read.unwrap_err();
            assert!(failure.message.contains("is damaged"), "byte {at}");
            assert_eq!(failure.damaged_file.as_ref(), Some(&file.path));
        }
        for len in 0..whole.len() {
            std::fs::write(&file.path, &whole[..len]).unwrap();
            assert!(read(&file, 0..128).is_err(), "{len} bytes");
        }
        std::fs::remove_file(&file.path).unwrap();
        assert!(read(&file, 0..128).unwrap_err().message.starts_with("cannot read the checkpoint's file"));
    }

    #[test]
    fn fuzz_state_files() {
        let directory = tempfile::tempdir().unwrap();
        let file = write(directory.path(), &mut counts(20));
        let whole = std::fs::read(&file.path).unwrap();
        let read = |bytes: &[u8]| {
            std::fs::write(&file.path, bytes).unwrap();
            let _ = open(&file, 0..128).and_then(|mut states| {
                let mut operator = states.operator(OPERATOR, true, Now(0));
                operator
                    .visit("count", &mut |section| section.each_keyed(128, |(key, _): &(u64, u64)| key, |_, _| ()))?;
                operator.visit("rules", &mut |_| Ok(()))
            });
        };
        fuzz("state-file", &[whole], |bytes| {
            read(bytes);
            let Some(start) = bytes.len().checked_sub(FOOTER_BYTES as usize) else { return };
            let (offset, len) = (number(&bytes[start..start + 8]), number(&bytes[start + 8..start + 16]));
            let Some(end) = offset.checked_add(len).filter(|end| *end <= start as u64) else { return };
            let mut mended = bytes.to_vec();
            let crc = crc32c::crc32c(&bytes[offset as usize..end as usize]);
            mended[start + 16..start + 20].copy_from_slice(&crc.to_le_bytes());
            read(&mended);
        });
    }
}
