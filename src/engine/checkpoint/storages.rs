//! All storage that a process reaches, by the place that is meant.

use super::storage::{CheckpointStorage, JobStands, LocalStorage, NewFile, StoredFile};
use crate::engine::lsm::Run;
use crate::graph::task::Failure;
use crate::storage::S3Config;
use crate::storage::files::Creation;
use crate::storage::places;

/// Storage of checkpoints wherever a user wants them: paths in file systems, `s3://` in object stores. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Storages {
    #[cfg(feature = "s3")]
    objects: Option<super::object_storage::ObjectStorage>,
}

impl Storages {
    /// With object stores as `s3` says.
    #[cfg(feature = "s3")]
    pub fn new(s3: &S3Config) -> Self {
        let objects = crate::storage::objects::Objects::new(s3.clone());
        Self { objects: Some(super::object_storage::ObjectStorage::new(objects)) }
    }

    /// With object stores as `s3` says, if this were built with the feature `s3`.
    #[cfg(not(feature = "s3"))]
    pub fn new(_: &S3Config) -> Self {
        Self {}
    }

    fn of(&self, place: &str) -> Result<&dyn CheckpointStorage, Failure> {
        if !places::is_object(place) {
            return Ok(&LocalStorage);
        }
        #[cfg(feature = "s3")]
        if let Some(objects) = &self.objects {
            return Ok(objects);
        }
        Err(Failure::user(format!(
            "{place} is in an object store, and this program was built without them; build flott and the job with flott's feature s3 (cargo build --features s3)"
        )))
    }
}

impl CheckpointStorage for Storages {
    fn create(&self, directory: &str, name: &str) -> Result<Box<dyn NewFile>, Failure> {
        self.of(directory)?.create(directory, name)
    }

    fn open(&self, path: &str) -> Result<Box<dyn StoredFile>, Failure> {
        self.of(path)?.open(path)
    }

    fn put_run(&self, directory: &str, name: &str, run: &Run) -> Result<String, Failure> {
        self.of(directory)?.put_run(directory, name, run)
    }

    fn open_run(&self, beside: &str, name: &str) -> Result<Run, Failure> {
        self.of(beside)?.open_run(beside, name)
    }

    fn create_new(&self, path: &str, bytes: &[u8]) -> Result<Creation, Failure> {
        self.of(path)?.create_new(path, bytes)
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        self.of(path)?.read(path)
    }

    fn bytes_of(&self, path: &str) -> Result<Option<u64>, Failure> {
        self.of(path)?.bytes_of(path)
    }

    fn directories(&self, path: &str) -> Result<Vec<String>, Failure> {
        self.of(path)?.directories(path)
    }

    fn discard(&self, directory: &str, job: JobStands) -> Result<(), Failure> {
        self.of(directory)?.discard(directory, job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_object_stores_their_places_are_refused_with_what_to_do() {
        let refusal = Storages::default().read("s3://b/chk-1/_metadata").unwrap_err();
        assert!(refusal.message.starts_with("s3://b/chk-1/_metadata is in an object store"), "{refusal}");
        assert!(refusal.message.contains("--features s3"), "{refusal}");
        assert_eq!(Storages::default().read("/nowhere/at/all"), Ok(None));
    }
}
