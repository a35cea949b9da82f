//! Programs uploaded to a standalone JobManager, and the blobs its TaskManagers fetch. Flink's `web.upload.dir`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::protocol::description::Description;
use crate::storage::{BlobId, BlobStore};
use crate::time::Now;

/// An uploaded program.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// All uploads. Known while the JobManager lives; their content stays in the blob store, for running jobs may need it.
#[derive(Debug)]
pub struct Uploads {
    blobs: BlobStore,
    incoming: PathBuf,
    uploads: Mutex<BTreeMap<String, Upload>>,
}

impl Uploads {
    /// None yet. What arrives is first written below `incoming`, an existing directory on the same file system.
    pub fn new(blobs: BlobStore, incoming: PathBuf) -> Self {
        Self { blobs, incoming, uploads: Mutex::new(BTreeMap::new()) }
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

    /// Notes an upload whose content is in the store.
    pub fn add(&self, upload: Upload) {
        self.lock().insert(upload.id.clone(), upload);
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

    /// Forgets one; `false` if there is none of that id. Jobs that run it go on.
    pub fn remove(&self, id: &str) -> bool {
        self.lock().remove(id).is_some()
    }
}

/// A random (version 4) UUID.
fn uuid() -> String {
    let hex = format!("{:032x}", fastrand::u128(..));
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}
