//! Getting files that processes need: whole and as announced, or not at all.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::rpc::http::Client;
use crate::rpc::{Credentials, ErrorKind, io_cause};

/// Downloads at a time; more wait.
const DOWNLOADS_MAX: usize = 4;
/// Tries of a download whose failure may pass.
const TRIES_MAX: u32 = 3;

/// A file as announced.
#[derive(Clone, Copy, Debug)]
pub struct Announced<'a> {
    /// `http://`, `https://` or `file://`, or a path.
    pub url: &'a str,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 in hex, where it is known.
    pub sha256: Option<&'a str>,
}

/// Why a file could not be had; for people, the cause first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotFetched(String);

impl NotFetched {
    /// Always [`ErrorKind::Permanent`]: what may pass has been tried again here.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Permanent
    }
}

/// A fetched file beside its place. It disappears when this is dropped, unless [`Fetched::place`] moved it.
#[derive(Debug)]
pub struct Fetched {
    partial: PathBuf,
}

impl Fetched {
    /// Where it is for now.
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Moves it to its place, at once and whole.
    ///
    /// # Errors
    /// If the disk refuses; then it is gone.
    pub fn place(self, place: &Path) -> io::Result<()> {
        fs::rename(&self.partial, place)
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        // Gone if it was moved or never written. A leftover is hidden and harmless.
        let _ = fs::remove_file(&self.partial);
    }
}

/// Fetches files, a few at a time. Cheap to clone.
#[derive(Clone)]
pub struct Fetcher {
    client: Client,
    permits: Arc<Semaphore>,
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").field("authority", &self.client.authority()).finish_non_exhaustive()
    }
}

struct Content {
    sha256: String,
    bytes: u64,
}

impl Fetcher {
    /// Shows `credentials` to `authority` (`host:port`), and to nobody else.
    pub fn new(authority: &str, credentials: &Credentials) -> Self {
        let client = Client::new(authority).with_credentials(credentials);
        Self { client, permits: Arc::new(Semaphore::new(DOWNLOADS_MAX)) }
    }

    /// Brings a file beside `place`, whose directory must be there, and checks that it is as announced. Failures that may pass are tried again.
    ///
    /// # Errors
    /// [`NotFetched`]; nothing is left then.
    pub async fn fetch(&self, announced: Announced<'_>, place: &Path) -> Result<Fetched, NotFetched> {
        let _permit = self.permits.acquire().await.map_err(|closed| NotFetched(closed.to_string()))?;
        let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let partial = place.with_file_name(format!(".{name}.{:08x}.part", fastrand::u32(..)));
        let fetched = Fetched { partial };
        let content = self.bring(announced.url, &fetched.partial).await.map_err(NotFetched)?;
        check(announced, &content).map_err(NotFetched)?;
        Ok(fetched)
    }

    async fn bring(&self, url: &str, to: &Path) -> Result<Content, String> {
        if url.starts_with("http://") || url.starts_with("https://") {
            return self.download(url, to).await;
        }
        let Some(from) = url.strip_prefix("file://").or_else(|| url.starts_with('/').then_some(url)) else {
            return Err(format!("cannot fetch {url}: only http(s):// and file:// addresses are known"));
        };
        let (from, to) = (PathBuf::from(from), to.to_owned());
        let url = url.to_owned();
        let copied = tokio::task::spawn_blocking(move || copy(&from, &to)).await.map_err(|panic| panic.to_string())?;
        copied.map_err(|error| format!("cannot fetch {url}: {}", io_cause(&error)))
    }

    async fn download(&self, url: &str, to: &Path) -> Result<Content, String> {
        let mut pause = Duration::from_millis(50);
        let mut tries = 0;
        loop {
            tries += 1;
            match self.client.download(url, to).await {
                Ok(download) => return Ok(Content { sha256: download.sha256, bytes: download.bytes }),
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

fn copy(from: &Path, to: &Path) -> io::Result<Content> {
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
    Ok(Content { sha256, bytes })
}

/// Refuses what is not what was announced.
fn check(announced: Announced<'_>, content: &Content) -> Result<(), String> {
    let Announced { url, bytes, sha256 } = announced;
    let came = content.bytes;
    if came != bytes {
        return Err(format!("{url} has {came} bytes, {bytes} were announced: it was changed; submit it again"));
    }
    match sha256 {
        Some(digest) if !digest.eq_ignore_ascii_case(&content.sha256) => Err(format!(
            "{url} has the SHA-256 {}, {digest} was announced: it was changed; submit it again",
            content.sha256
        )),
        Some(_) | None => Ok(()),
    }
}
