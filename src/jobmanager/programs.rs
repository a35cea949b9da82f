//! Gets programs and their files onto this machine: by hash, each once.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::graph::task::Failure;
use crate::protocol::container::LocalResource;
use crate::rpc::http::Client;
use crate::rpc::{ErrorKind, Tls, io_cause};
use crate::storage::BlobId;

/// Where fetched programs lie.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    /// Kept: `<sha256>`.
    cache: PathBuf,
    /// Placed by the node beside us, verified by it; also named by hash.
    localised: Option<PathBuf>,
    tls: Tls,
}

impl Programs {
    pub(super) fn new(cache: PathBuf, localised: Option<PathBuf>, tls: Tls) -> Self {
        Self { cache, localised, tls }
    }

    /// The file behind `resource`, its content verified.
    pub(super) async fn fetch(&self, name: &str, resource: &LocalResource) -> Result<PathBuf, Failure> {
        let known = resource.sha256.as_deref().filter(|hash| hash.parse::<BlobId>().is_ok());
        if let Some(hash) = known {
            let places = self.localised.iter().chain([&self.cache]).map(|dir| dir.join(hash));
            if let Some(path) = places.into_iter().find(|path| path.is_file()) {
                return Ok(path);
            }
        }
        if let Some(path) = resource.url.strip_prefix("file://") {
            return local(name, Path::new(path), known).await;
        }
        self.download(name, resource, known).await
    }

    async fn download(&self, name: &str, resource: &LocalResource, known: Option<&str>) -> Result<PathBuf, Failure> {
        let failed = |kind, cause: String| Failure::new(kind, format!("cannot fetch {name}: {cause}"));
        let io_failed = |error: std::io::Error| failed(ErrorKind::Transient, io_cause(&error));
        let schemes = ["http://", "https://"];
        let rest = schemes.iter().find_map(|scheme| resource.url.strip_prefix(scheme));
        let Some((authority, _)) = rest.and_then(|rest| rest.split_once('/')) else {
            return Err(failed(ErrorKind::User, format!("{} is not an http(s):// or file:// address", resource.url)));
        };
        tokio::fs::create_dir_all(&self.cache).await.map_err(io_failed)?;
        let incoming = self.cache.join(format!(".incoming-{:016x}", fastrand::u64(..)));
        let client = Client::new(authority).with_tls(&self.tls);
        let download =
            client.download(&resource.url, &incoming).await.map_err(|error| failed(error.kind(), error.to_string()))?;
        if let Some(hash) = known.filter(|hash| *hash != download.sha256) {
            let _ = tokio::fs::remove_file(&incoming).await; // Wrong content; leaving it would only cost space.
            let cause = format!("its content is {}, not {hash}", download.sha256);
            return Err(failed(ErrorKind::Permanent, cause));
        }
        let mode = std::fs::Permissions::from_mode(0o755);
        tokio::fs::set_permissions(&incoming, mode).await.map_err(io_failed)?;
        let path = self.cache.join(&download.sha256);
        tokio::fs::rename(&incoming, &path).await.map_err(io_failed)?;
        Ok(path)
    }
}

async fn local(name: &str, path: &Path, known: Option<&str>) -> Result<PathBuf, Failure> {
    let found = {
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || BlobId::of_file(&path)).await
    };
    match (found, known) {
        (Ok(Ok(id)), Some(hash)) if id.as_str() != hash => {
            Err(Failure::permanent(format!("cannot use {name}: its content is {id}, not {hash}")))
        }
        (Ok(Ok(_)), _) => Ok(path.to_owned()),
        (Ok(Err(error)), _) => Err(Failure::permanent(format!("cannot use {name}: {error}"))),
        (Err(_), _) => Err(Failure::transient(format!("cannot use {name}: reading it was interrupted"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::container::{LocalResourceType, Visibility};

    fn resource(url: String, content: &[u8]) -> LocalResource {
        LocalResource {
            url,
            size: content.len() as u64,
            sha256: Some(BlobId::of(content).as_str().to_owned()),
            kind: LocalResourceType::File,
            visibility: Visibility::Public,
            executable: true,
        }
    }

    #[tokio::test]
    async fn what_the_node_has_placed_is_not_fetched_and_wrong_content_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let programs = Programs::new(dir.path().join("cache"), Some(dir.path().to_owned()), Tls::OFF);
        let nowhere = resource("http://127.0.0.1:1/x".to_owned(), b"program");
        let placed = dir.path().join(nowhere.sha256.as_deref().unwrap());
        std::fs::write(&placed, b"program").unwrap();
        assert_eq!(programs.fetch("p", &nowhere).await, Ok(placed));

        let file = dir.path().join("other");
        std::fs::write(&file, b"changed").unwrap();
        let wrong = resource(format!("file://{}", file.display()), b"original");
        assert!(programs.fetch("p", &wrong).await.unwrap_err().message.contains("its content is"));
        let right = resource(format!("file://{}", file.display()), b"changed");
        assert_eq!(programs.fetch("p", &right).await, Ok(file));
    }
}
