//! Programs uploaded to a JobManager that takes many jobs, and the blobs its TaskManagers fetch. Flink's `web.upload.dir`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::protocol::description::Description;
use crate::storage::{BlobId, BlobStore, files};
use crate::time::Now;

/// An uploaded program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// `<uuid>_<name>`.
    pub id: String,
    /// Its file name.
    pub name: String,
    /// Where its content lies.
    pub blob: BlobId,
    /// Its size.
    pub bytes: u64,
    /// When it came.
    pub uploaded_at: Now,
    /// What it tells of itself, if anything.
    pub description: Option<Description>,
}

/// All uploads: a file each below the JobManager's directory, so that the next one knows them too. What is deleted leaves its content
/// in the blob store, for running jobs may need it.
#[derive(Debug)]
pub struct Uploads {
    blobs: BlobStore,
    incoming: PathBuf,
    records: PathBuf,
    uploads: Mutex<BTreeMap<String, Upload>>,
}

impl Uploads {
    /// Those that an earlier JobManager has noted in `directory`. What arrives is first written there; `blobs` lies on the same file
    /// system. Blocking.
    pub fn open(blobs: BlobStore, directory: PathBuf) -> Self {
        let records = directory.join("uploads");
        let entries = std::fs::read_dir(&records).into_iter().flatten().flatten();
        // A record that cannot be read costs its owner another upload.
        let uploads =
            entries.filter_map(|entry| serde_json::from_slice::<Upload>(&std::fs::read(entry.path()).ok()?).ok());
        let uploads = uploads.filter(|upload| blobs.get(&upload.blob).is_some());
        let uploads = uploads.map(|upload| (upload.id.clone(), upload)).collect();
        Self { blobs, incoming: directory, records, uploads: Mutex::new(uploads) }
    }

    fn record(&self, id: &str) -> PathBuf {
        self.records.join(format!("{id}.json"))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Upload>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where contents lie.
    pub fn blobs(&self) -> &BlobStore {
        &self.blobs
    }

    /// A new path for content that is arriving.
    pub fn incoming_path(&self) -> PathBuf {
        self.incoming.join(format!(".upload-{:016x}", fastrand::u64(..)))
    }

    /// A name for what is coming.
    pub fn new_id(name: &str) -> String {
        format!("{}_{name}", uuid())
    }

    /// Notes an upload whose content is in the store. Blocking.
    ///
    /// # Errors
    /// If the record cannot be written; there is no such upload then.
    pub fn add(&self, upload: Upload) -> Result<(), crate::storage::Error> {
        let json = serde_json::to_vec_pretty(&upload).expect("an upload is text and numbers");
        files::write_atomic(&self.record(&upload.id), &json)?;
        self.lock().insert(upload.id.clone(), upload);
        Ok(())
    }

    /// The upload of that id.
    pub fn get(&self, id: &str) -> Option<Upload> {
        self.lock().get(id).cloned()
    }

    /// All, newest first.
    pub fn list(&self) -> Vec<Upload> {
        let mut uploads: Vec<Upload> = self.lock().values().cloned().collect();
        uploads.sort_by(|a, b| b.uploaded_at.cmp(&a.uploaded_at).then_with(|| a.id.cmp(&b.id)));
        uploads
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Forgets one; `false` if there is none of that id. Jobs that run it go on.
    pub fn remove(&self, id: &str) -> bool {
        let known = self.lock().remove(id).is_some();
        if known {
            let _ = std::fs::remove_file(self.record(id)); // Left behind, it is listed by the next JobManager.
        }
        known
    }
}

/// A random (version 4) UUID.
fn uuid() -> String {
    let hex = format!("{:032x}", fastrand::u128(..));
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_are_known_to_the_next_job_manager_unless_deleted_or_without_content() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Uploads::open(BlobStore::open(&dir.path().join("blobs")).unwrap(), dir.path().to_owned());
        let uploads = open();
        let add = |name: &str, blob: BlobId| {
            let id = Uploads::new_id(name);
            let upload = Upload { id, name: name.to_owned(), blob, bytes: 1, uploaded_at: Now(5), description: None };
            uploads.add(upload.clone()).unwrap();
            upload
        };
        let content = dir.path().join("content");
        std::fs::write(&content, "x").unwrap();
        let blob = BlobId::of_file(&content).unwrap();
        uploads.blobs().put_file(&blob, &content).unwrap();
        let kept = add("kept", blob.clone());
        let deleted = add("deleted", blob);
        add("without content", BlobId::of(b"nowhere"));
        assert!(uploads.remove(&deleted.id) && !uploads.remove(&deleted.id));
        assert_eq!(open().list(), [kept]);
    }
}
