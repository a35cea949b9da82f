//! Where things lie on a node's disk. Names only; who creates and deletes them says so there.
//!
//! ```text
//! {dir}/state/                                                   durable records
//! {dir}/filecache/{copy}                                         PUBLIC copies
//! {dir}/usercache/{user}/filecache/{copy}                        PRIVATE copies
//! {dir}/usercache/{user}/appcache/{application}/filecache/{copy} APPLICATION copies
//! {dir}/usercache/{user}/appcache/{application}/{container}/     work directory
//! {dir}/private/{application}/{container}/                       pid and exit code
//! {dir}/logs/{application}/{container}/                          what it wrote
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::resources::{Content, ResourceKey, Scope};
use crate::ids::{ApplicationId, ContainerId};

/// A node's directory.
#[derive(Clone, Debug)]
pub struct Directories {
    root: PathBuf,
}

impl Directories {
    /// Below `root`.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The whole.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Durable records.
    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    fn user(&self, user: &str) -> PathBuf {
        self.root.join("usercache").join(user)
    }

    /// What an application of `user` keeps here; deleted at its end.
    pub fn application(&self, user: &str, application: ApplicationId) -> PathBuf {
        self.user(user).join("appcache").join(application.to_string())
    }

    /// Where a container's process starts; deleted at its end.
    pub fn work(&self, user: &str, container: ContainerId) -> PathBuf {
        self.application(user, container.attempt.application).join(container.to_string())
    }

    /// What only the NodeManager reads and writes of an application.
    pub fn private_of_application(&self, application: ApplicationId) -> PathBuf {
        self.root.join("private").join(application.to_string())
    }

    /// What only the NodeManager reads and writes of a container.
    pub fn private(&self, container: ContainerId) -> PathBuf {
        self.private_of_application(container.attempt.application).join(container.to_string())
    }

    /// The process, as JSON.
    pub fn pid_file(&self, container: ContainerId) -> PathBuf {
        self.private(container).join("pid")
    }

    /// The exit code, as text, once the process has ended.
    pub fn exit_code_file(&self, container: ContainerId) -> PathBuf {
        self.private(container).join("exitcode")
    }

    /// Logs of all applications.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// What a container writes; outlives it.
    pub fn logs_of(&self, container: ContainerId) -> PathBuf {
        self.logs().join(container.attempt.application.to_string()).join(container.to_string())
    }

    /// Where a copy is, once it is complete.
    pub fn copy(&self, key: &ResourceKey) -> PathBuf {
        let shared_by = match &key.scope {
            Scope::Public => self.root.clone(),
            Scope::Private(user) => self.user(user),
            Scope::Application(user, application) => self.application(user, *application),
        };
        let mut name = match &key.content {
            Content::Sha256(digest) => digest.clone(),
            Content::Source { url, bytes } => {
                let digest = Sha256::digest(format!("{bytes} {url}"));
                digest.iter().fold("source-".to_owned(), |name, byte| format!("{name}{byte:02x}"))
            }
        };
        if key.executable {
            name.push_str(".x");
        }
        if key.unpacked {
            name.push_str(".d");
        }
        shared_by.join("filecache").join(name)
    }

    /// Where copies lie that outlive applications.
    pub(super) fn shared_caches(&self) -> Vec<PathBuf> {
        let users = names(&self.root.join("usercache")).into_iter().map(|user| self.user(&user));
        users.chain([self.root.clone()]).map(|shared_by| shared_by.join("filecache")).collect()
    }

    /// The private directories of all containers.
    pub(super) fn all_private(&self) -> Vec<PathBuf> {
        let private = self.root.join("private");
        let applications = names(&private).into_iter().map(|application| private.join(application));
        let containers = |application: PathBuf| {
            let containers = names(&application).into_iter();
            containers.map(|container| application.join(container)).collect::<Vec<_>>()
        };
        applications.flat_map(containers).collect()
    }

    /// Applications that have directories here, with their users.
    pub fn applications(&self) -> Vec<(ApplicationId, String)> {
        let mut found = Vec::new();
        for user in names(&self.root.join("usercache")) {
            for application in names(&self.user(&user).join("appcache")) {
                found.extend(application.parse().map(|application| (application, user.clone())));
            }
        }
        found
    }
}

/// Names in a directory; none if there is no such directory.
pub(super) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Creates a directory, and its parents, that others may pass through but only the owner lists.
pub(super) fn create(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o711).create(directory)
}

/// Creates a directory that only its owner may enter.
pub(super) fn create_private(directory: &Path) -> io::Result<()> {
    if let Some(parent) = directory.parent() {
        create(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}

/// Removes a directory with everything in it; that it is not there is fine.
pub(super) fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}
