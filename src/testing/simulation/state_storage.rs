//! Where the simulated jobs' checkpoints lie: files in memory that outlive every process.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Write};
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::checkpoint::{CheckpointStorage, NewFile, StoredFile};
use crate::graph::task::Failure;

type Files = Arc<Mutex<BTreeMap<String, Arc<[u8]>>>>;

/// The files of one job.
#[derive(Clone, Default)]
pub(super) struct StateStorage(Files);

impl StateStorage {
    /// Removes a directory.
    pub(super) fn discard(&self, directory: &str) {
        let prefix = format!("{directory}/");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|path, _| !path.starts_with(&prefix));
    }
}

impl StateStorage {
    /// Bytes of a file.
    pub(super) fn len(&self, path: &str) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(path).map(|bytes| bytes.len() as u64)
    }

    /// Only the first half of a file has become durable.
    pub(super) fn tear(&self, path: &str) {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = files.get_mut(path) {
            *bytes = bytes[..bytes.len() / 2].into();
        }
    }
}

struct MemoryFile {
    files: Files,
    path: String,
    bytes: Vec<u8>,
}

impl Write for MemoryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewFile for MemoryFile {
    fn publish(self: Box<Self>) -> Result<String, Failure> {
        let Self { files, path, bytes } = *self;
        files.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone(), bytes.into());
        Ok(path)
    }
}

impl CheckpointStorage for StateStorage {
    fn create(&self, directory: &str, name: &str) -> Result<Box<dyn NewFile>, Failure> {
        let (files, path) = (Arc::clone(&self.0), format!("{directory}/{name}"));
        Ok(Box::new(MemoryFile { files, path, bytes: Vec::new() }))
    }

    fn open(&self, path: &str) -> Result<Box<dyn StoredFile>, Failure> {
        let file = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
        match file {
            Some(bytes) => Ok(Box::new(Cursor::new(bytes))),
            None => Err(Failure::permanent(format!("no such file: {path}"))),
        }
    }
}
