//! Fetching files: whole and as announced, or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::directories::{self, Directories};
use super::resources::ResourceKey;
use crate::protocol::container::LocalResource;
use crate::rpc::http::Client;
use crate::rpc::{ClusterSecret, ErrorKind, io_cause};

/// Downloads at a time; more wait.
const DOWNLOADS_MAX: usize = 4;
/// Tries of a download whose failure may pass.
const TRIES_MAX: u32 = 3;

/// Fetches files into the node's cache. Cheap to clone.
#[derive(Clone)]
pub(super) struct Localiser {
    directories: Directories,
    /// Shows the cluster's secret to the ResourceManager, and to nobody else.
    client: Client,
    permits: Arc<Semaphore>,
}

/// What came.
struct Fetched {
    sha256: String,
    bytes: u64,
}

impl Localiser {
    pub(super) fn new(directories: Directories, resource_manager: &str, secret: Option<&ClusterSecret>) -> Self {
        let client = Client::new(resource_manager);
        let client = match secret {
            Some(secret) => client.with_secret(secret),
            None => client,
        };
        Self { directories, client, permits: Arc::new(Semaphore::new(DOWNLOADS_MAX)) }
    }

    /// Whether the copy is here already; a cheap look.
    pub(super) fn has(&self, key: &ResourceKey) -> bool {
        self.directories.copy(key).exists()
    }

    /// Brings the copy here unless it is. Dropped half-way, what it wrote is removed by the next one or with its directory.
    pub(super) async fn fetch(&self, key: &ResourceKey, resource: &LocalResource) -> Result<(), String> {
        let _permit = self.permits.acquire().await.map_err(|closed| closed.to_string())?;
        if self.has(key) {
            return Ok(());
        }
        let place = self.directories.copy(key);
        let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let partial = Partial(place.with_file_name(format!(".{name}.{:08x}.part", fastrand::u32(..))));
        let parent = place.parent().unwrap_or(&place);
        directories::create(parent).map_err(|error| cannot_write(parent, &error))?;
        let fetched = self.bring(&resource.url, &partial.0).await?;
        check(resource, &fetched)?;
        let (partial, key) = (partial, key.clone());
        let source = resource.url.clone();
        let placed = tokio::task::spawn_blocking(move || put_in_place(partial, &place, &key, &source)).await;
        placed.map_err(|panic| panic.to_string())?
    }

    async fn bring(&self, url: &str, to: &Path) -> Result<Fetched, String> {
        if url.starts_with("http://") {
            return self.download(url, to).await;
        }
        let Some(from) = url.strip_prefix("file://").or_else(|| url.starts_with('/').then_some(url)) else {
            return Err(format!("cannot fetch {url}: only http:// and file:// addresses are known"));
        };
        let (from, to) = (PathBuf::from(from), to.to_owned());
        let url = url.to_owned();
        let copied = tokio::task::spawn_blocking(move || copy(&from, &to)).await.map_err(|panic| panic.to_string())?;
        copied.map_err(|error| format!("cannot fetch {url}: {}", io_cause(&error)))
    }

    async fn download(&self, url: &str, to: &Path) -> Result<Fetched, String> {
        let mut pause = Duration::from_millis(50);
        let mut tries = 0;
        loop {
            tries += 1;
            match self.client.download(url, to).await {
                Ok(download) => return Ok(Fetched { sha256: download.sha256, bytes: download.bytes }),
                Err(error) if error.kind() == ErrorKind::Transient && tries < TRIES_MAX => {
                    tracing::debug!(url, %error, "a download failed and is tried again");
                    tokio::time::sleep(pause).await;
                    pause *= 4;
                }
                Err(error) => return Err(format!("cannot fetch {url}: {error}")),
            }
        }
    }
}

/// A file that disappears unless it is put in its place.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // Gone if it was renamed or never written. A leftover is hidden and harmless.
        let _ = fs::remove_file(&self.0);
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> String {
    format!("cannot write {}: {}", path.display(), io_cause(error))
}

fn copy(from: &Path, to: &Path) -> io::Result<Fetched> {
    let mut source = File::open(from)?;
    let mut target = File::create(to)?;
    let mut digest = Sha256::new();
    let mut chunk = vec![0; 256 << 10];
    let mut bytes = 0;
    loop {
        let length = source.read(&mut chunk)?;
        if length == 0 {
            break;
        }
        digest.update(&chunk[..length]);
        target.write_all(&chunk[..length])?;
        bytes += length as u64;
    }
    let sha256 = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Fetched { sha256, bytes })
}

/// Refuses what is not what was announced.
fn check(resource: &LocalResource, fetched: &Fetched) -> Result<(), String> {
    let LocalResource { url, size, sha256, .. } = resource;
    if fetched.bytes != *size {
        let came = fetched.bytes;
        return Err(format!("{url} has {came} bytes, {size} were announced: it was changed; submit it again"));
    }
    match sha256 {
        Some(announced) if !announced.eq_ignore_ascii_case(&fetched.sha256) => Err(format!(
            "{url} has the SHA-256 {}, {announced} was announced: it was changed; submit it again",
            fetched.sha256
        )),
        Some(_) | None => Ok(()),
    }
}

fn put_in_place(partial: Partial, place: &Path, key: &ResourceKey, source: &str) -> Result<(), String> {
    let failed = |error: io::Error| cannot_write(place, &error);
    if !key.unpacked {
        // Shared: nobody may write it any more.
        let mode = if key.executable { 0o555 } else { 0o444 };
        fs::set_permissions(&partial.0, Permissions::from_mode(mode)).map_err(failed)?;
        return fs::rename(&partial.0, place).map_err(failed);
    }
    let unpacked = partial.0.with_extension("unpacked");
    directories::create(&unpacked).map_err(failed)?;
    let outcome = unpack(&partial.0, &unpacked, source).and_then(|()| fs::rename(&unpacked, place).map_err(failed));
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
        let localiser = Localiser::new(Directories::new(dir.path().join("nm")), "127.0.0.1:1", None);
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

        async fn fetch(&self, resource: &LocalResource) -> Result<PathBuf, String> {
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
        assert_eq!(why, "cannot fetch file:///nowhere/at/all: entity not found");
        resource.url = "hdfs://n1/x".to_owned();
        assert!(cache.fetch(&resource).await.unwrap_err().contains("only http:// and file://"));
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
