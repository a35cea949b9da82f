//! Files in the node's cache: fetched once, placed whole, unpacked where they are archives.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::directories::{self, Directories};
use super::resources::ResourceKey;
use crate::process::{Announced, Fetched, Fetcher};
use crate::protocol::container::LocalResource;
use crate::rpc::{Credentials, io_cause};

/// Fetches files into the node's cache. Cheap to clone.
#[derive(Clone)]
pub(super) struct Localiser {
    directories: Directories,
    fetcher: Fetcher,
}

impl Localiser {
    /// Shows `credentials` to the ResourceManager, and to nobody else.
    pub(super) fn new(directories: Directories, resource_manager: &str, credentials: &Credentials) -> Self {
        Self { directories, fetcher: Fetcher::new(resource_manager, credentials) }
    }

    /// Whether the copy is here already; a cheap look.
    pub(super) fn has(&self, key: &ResourceKey) -> bool {
        self.directories.copy(key).exists()
    }

    /// Brings the copy here unless it is.
    pub(super) async fn fetch(&self, key: &ResourceKey, resource: &LocalResource) -> Result<(), String> {
        if self.has(key) {
            return Ok(());
        }
        let place = self.directories.copy(key);
        let parent = place.parent().unwrap_or(&place);
        directories::create(parent).map_err(|error| cannot_write(parent, &error))?;
        let announced = Announced { url: &resource.url, bytes: resource.size, sha256: resource.sha256.as_deref() };
        let fetched = self.fetcher.fetch(announced, &place).await.map_err(|error| error.to_string())?;
        let (key, source) = (key.clone(), resource.url.clone());
        let placed = tokio::task::spawn_blocking(move || put_in_place(fetched, &place, &key, &source)).await;
        placed.map_err(|panic| panic.to_string())?
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> String {
    format!("cannot write {}: {}", path.display(), io_cause(error))
}

fn put_in_place(fetched: Fetched, place: &Path, key: &ResourceKey, source: &str) -> Result<(), String> {
    let failed = |error: io::Error| cannot_write(place, &error);
    if !key.unpacked {
        // Shared: nobody may write it any more.
        let mode = if key.executable { 0o555 } else { 0o444 };
        fs::set_permissions(fetched.path(), Permissions::from_mode(mode)).map_err(failed)?;
        return fetched.place(place).map_err(failed);
    }
    let unpacked = fetched.path().with_extension("unpacked");
    directories::create(&unpacked).map_err(failed)?;
    let outcome = unpack(fetched.path(), &unpacked, source).and_then(|()| fs::rename(&unpacked, place).map_err(failed));
    if outcome.is_err() {
        let _ = directories::remove(&unpacked);
    }
    outcome
}

/// Unpacks with the system's tools, which refuse names that leave the directory.
fn unpack(archive: &Path, into: &Path, source: &str) -> Result<(), String> {
    let zip = [".zip", ".jar"].iter().any(|end| source.ends_with(end));
    let mut command = if zip { Command::new("unzip") } else { Command::new("tar") };
    if zip {
        command.arg("-qq").arg(archive).arg("-d").arg(into);
    } else {
        command.arg("--extract").arg("--no-same-owner").arg("--file").arg(archive).arg("--directory").arg(into);
    }
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot unpack {source}: {}", io_cause(&error)))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("cannot unpack {source}: {}", said.lines().next().unwrap_or("the archive is damaged")))
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::ids::ApplicationId;
    use crate::protocol::container::{LocalResourceType, Visibility};

    const APPLICATION: ApplicationId = ApplicationId { cluster_timestamp: 1, sequence: 1 };

    struct Cache {
        dir: tempfile::TempDir,
        localiser: Localiser,
    }

    fn cache() -> Cache {
        let dir = tempfile::tempdir().unwrap();
        let localiser = Localiser::new(Directories::new(dir.path().join("nm")), "127.0.0.1:1", &Credentials::default());
        Cache { dir, localiser }
    }

    impl Cache {
        fn resource(&self, name: &str, content: &[u8]) -> LocalResource {
            let path = self.dir.path().join(name);
            fs::write(&path, content).unwrap();
            let sha256 = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
            LocalResource {
                url: format!("file://{}", path.display()),
                size: content.len() as u64,
                sha256: Some(sha256),
                kind: LocalResourceType::File,
                visibility: Visibility::Public,
                executable: true,
            }
        }

        async fn fetch(&self, resource: &LocalResource) -> Result<std::path::PathBuf, String> {
            let key = ResourceKey::new(resource, "alice", APPLICATION);
            self.localiser.fetch(&key, resource).await?;
            assert!(self.localiser.has(&key));
            Ok(self.localiser.directories.copy(&key))
        }

        fn leftovers(&self) -> Vec<String> {
            directories::names(&self.dir.path().join("nm/filecache"))
        }
    }

    #[tokio::test]
    async fn a_copy_is_complete_read_only_and_kept() {
        let cache = cache();
        let resource = cache.resource("job", b"#!/bin/sh\n");
        let copy = cache.fetch(&resource).await.unwrap();
        assert_eq!(fs::read(&copy).unwrap(), b"#!/bin/sh\n");
        assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o555);
        fs::remove_file(cache.dir.path().join("job")).unwrap();
        assert_eq!(cache.fetch(&resource).await.unwrap(), copy, "the second time it need not be fetched");
    }

    #[tokio::test]
    async fn other_content_than_announced_is_refused_and_leaves_nothing() {
        let cache = cache();
        let mut resource = cache.resource("job", b"one");
        resource.size = 4;
        let why = cache.fetch(&resource).await.unwrap_err();
        assert!(why.ends_with("job has 3 bytes, 4 were announced: it was changed; submit it again"), "{why}");
        fs::write(cache.dir.path().join("job"), b"four").unwrap();
        let why = cache.fetch(&resource).await.unwrap_err();
        assert!(why.contains("has the SHA-256"), "{why}");
        resource.url = "file:///nowhere/at/all".to_owned();
        let why = cache.fetch(&resource).await.unwrap_err();
        assert_eq!(why, "cannot fetch file:///nowhere/at/all: no such file or directory");
        resource.url = "hdfs://n1/x".to_owned();
        assert!(cache.fetch(&resource).await.unwrap_err().contains("only http(s):// and file://"));
        resource.url = "http://127.0.0.1:1/x".to_owned();
        let why = cache.fetch(&resource).await.unwrap_err();
        assert!(why.contains("cannot connect to 127.0.0.1:1: connection refused"), "{why}");
        assert_eq!(cache.leftovers(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn archives_become_directories() {
        let cache = cache();
        let inside = cache.dir.path().join("inside.txt");
        fs::write(&inside, "hello").unwrap();
        let archive = cache.dir.path().join("a.tar.gz");
        let packed =
            Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(cache.dir.path()).arg("inside.txt").status();
        assert!(packed.unwrap().success());
        let mut resource = cache.resource("b.tar.gz", &fs::read(&archive).unwrap());
        resource.kind = LocalResourceType::Archive;
        let directory = cache.fetch(&resource).await.unwrap();
        assert_eq!(fs::read_to_string(directory.join("inside.txt")).unwrap(), "hello");
        let mut damaged = cache.resource("c.tar.gz", b"no archive");
        damaged.kind = LocalResourceType::Archive;
        assert!(cache.fetch(&damaged).await.unwrap_err().starts_with("cannot unpack"));
        assert_eq!(cache.leftovers().len(), 1);
    }
}
