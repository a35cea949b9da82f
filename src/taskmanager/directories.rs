//! Where a TaskManager's things lie.
//!
//! ```text
//! {work}/workers/{job}-{incarnation}/           a worker's directory: its files, by the names they were given
//! {work}/workers/{job}-{incarnation}/.flott/    plan.json, a link to the program under its own name, temporary files
//! {work}/cache/{sha256}                         programs and files that were fetched here
//! {programs}/{sha256}                           programs that the node put there
//! {logs}/{job}.out, .err, workers.out, .err     what workers wrote, by job and all together
//! ```

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::ids::{JobId, WorkerId};
use crate::protocol::container::LocalResource;

/// Names of what is merged from all workers.
pub(super) const MERGED: &str = "workers";

/// A TaskManager's directories.
#[derive(Clone, Debug)]
pub(super) struct Directories {
    pub(super) work: PathBuf,
    pub(super) logs: PathBuf,
    /// What the node localised, if there is a node.
    pub(super) programs: Option<PathBuf>,
}

impl Directories {
    pub(super) fn workers(&self) -> PathBuf {
        self.work.join("workers")
    }

    pub(super) fn worker(&self, worker: &WorkerId) -> PathBuf {
        self.workers().join(format!("{}-{}", worker.job, worker.incarnation))
    }

    pub(super) fn internal(&self, worker: &WorkerId) -> PathBuf {
        self.worker(worker).join(".flott")
    }

    pub(super) fn plan(&self, worker: &WorkerId) -> PathBuf {
        self.internal(worker).join("plan.json")
    }

    pub(super) fn temporary(&self, worker: &WorkerId) -> PathBuf {
        self.internal(worker).join("tmp")
    }

    /// How a worker reaches object stores.
    pub(super) fn object_stores(&self, worker: &WorkerId) -> PathBuf {
        self.internal(worker).join("object-stores.json")
    }

    /// The program under the name that people know it by.
    pub(super) fn program(&self, worker: &WorkerId, name: &str) -> PathBuf {
        self.internal(worker).join("bin").join(name)
    }

    pub(super) fn cache(&self) -> PathBuf {
        self.work.join("cache")
    }

    pub(super) fn cached(&self, resource: &LocalResource) -> PathBuf {
        self.cache().join(match &resource.sha256 {
            Some(digest) => digest.to_ascii_lowercase(),
            None => {
                let digest = Sha256::digest(format!("{} {}", resource.size, resource.url));
                digest.iter().fold("source-".to_owned(), |name, byte| format!("{name}{byte:02x}"))
            }
        })
    }

    /// What the node may have localised already.
    pub(super) fn localised(&self, resource: &LocalResource) -> Option<PathBuf> {
        let path = self.programs.as_ref()?.join(resource.sha256.as_ref()?.to_ascii_lowercase());
        path.is_file().then_some(path)
    }

    pub(super) fn log(&self, job: JobId, extension: &str) -> PathBuf {
        self.logs.join(format!("{job}.{extension}"))
    }

    pub(super) fn merged_log(&self, extension: &str) -> PathBuf {
        self.logs.join(format!("{MERGED}.{extension}"))
    }
}

/// One component of a path.
pub(super) fn is_component(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

/// A relative path that stays inside, and out of what is ours.
pub(super) fn is_inside(name: &str) -> bool {
    name.split('/').all(is_component)
        && Path::new(name).components().next().is_none_or(|first| first.as_os_str() != ".flott")
}
