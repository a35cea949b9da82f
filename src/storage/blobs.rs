//! Content by its SHA-256: programs, shipped files, caches.

use std::fmt;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Error;
use super::files::{Temporary, sync_parent};
use crate::time::Now;

/// The SHA-256 of some content: 64 lower-case hex digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BlobId(String);

/// Why a text is not a [`BlobId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a SHA-256 of 64 hex digits")]
pub struct InvalidBlobId(String);

impl BlobId {
    /// Of content in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_digest(Sha256::new_with_prefix(bytes))
    }

    /// Of a file's content.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn of_file(path: &Path) -> Result<Self, Error> {
        let mut digest = Sha256::new();
        let mut file = File::open(path).map_err(Error::io("read", path))?;
        copy(&mut file, |chunk| {
            digest.update(chunk);
            Ok(())
        })
        .map_err(Error::io("read", path))?;
        Ok(Self::from_digest(digest))
    }

    fn from_digest(digest: Sha256) -> Self {
        Self(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BlobId {
    type Err = InvalidBlobId;

    fn from_str(text: &str) -> Result<Self, InvalidBlobId> {
        let text = text.to_ascii_lowercase();
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(text))
        } else {
            Err(InvalidBlobId(text))
        }
    }
}

impl TryFrom<String> for BlobId {
    type Error = InvalidBlobId;

    fn try_from(text: String) -> Result<Self, InvalidBlobId> {
        text.parse()
    }
}

impl From<BlobId> for String {
    fn from(id: BlobId) -> Self {
        id.0
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobId({})", self.0)
    }
}

/// A directory of files named by their content's hash. Cheap to clone. Several puts of one blob at a time are fine, also by several
/// processes: each writes a file of its own, and the last one to finish replaces equal content by equal content.
///
/// Files are read-only and executable, so that a hard link to a program can be run as it is.
#[derive(Clone, Debug)]
pub struct BlobStore {
    dir: PathBuf,
    /// Of all that is kept, and what comes in.
    bytes_max: u64,
}

impl BlobStore {
    /// Opens or creates the directory.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(dir: &Path) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        Ok(Self { dir: dir.to_owned(), bytes_max: u64::MAX })
    }

    /// Keeps no more than so much. Of several puts at a time each may find room for itself.
    #[must_use]
    pub fn at_most(self, bytes_max: u64) -> Self {
        Self { bytes_max, ..self }
    }

    /// What may be kept.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// What is kept, and has come in of what is on its way.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn bytes(&self) -> Result<u64, Error> {
        let entries = fs::read_dir(&self.dir).map_err(Error::io("list", &self.dir))?;
        // What goes meanwhile takes nothing.
        Ok(entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum())
    }

    /// Where the content is, if it is here.
    pub fn get(&self, id: &BlobId) -> Option<PathBuf> {
        let path = self.path(id);
        path.is_file().then_some(path)
    }

    fn path(&self, id: &BlobId) -> PathBuf {
        self.dir.join(id.as_str())
    }

    /// Begins to write the content announced as `id`. Blocking; for async code there is [`BlobStore::put_stream`].
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn writer(&self, id: &BlobId) -> Result<BlobWriter, Error> {
        let path = self.path(id);
        let (temporary, file) = Temporary::create(&path)?;
        Ok(BlobWriter { id: id.clone(), path, temporary, file, digest: Sha256::new(), bytes: 0 })
    }

    /// Copies a file in. Blocking.
    ///
    /// # Errors
    /// [`Error::WrongContent`] if it is not what it is said to be.
    pub fn put_file(&self, id: &BlobId, from: &Path) -> Result<PathBuf, Error> {
        if let Some(path) = self.get(id) {
            return Ok(path);
        }
        let mut writer = self.writer(id)?;
        let mut file = File::open(from).map_err(Error::io("read", from))?;
        copy(&mut file, |chunk| writer.write(chunk).map_err(io::Error::other)).map_err(Error::io("read", from))?;
        writer.finish()
    }

    /// Takes content as it arrives, at most `bytes_max`. Disk work is done on the runtime's blocking threads.
    ///
    /// # Errors
    /// [`Error::WrongContent`], [`Error::TooLarge`], [`Error::Full`], [`Error::Interrupted`] if the stream fails. Nothing remains then.
    pub async fn put_stream<S, E>(&self, id: &BlobId, content: S, bytes_max: u64) -> Result<PathBuf, Error>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: fmt::Display,
    {
        let store = self.clone();
        let announced = id.clone();
        let (mut writer, kept_bytes) = blocking(move || Ok((store.writer(&announced)?, store.bytes()?))).await?;
        let room = self.bytes_max.saturating_sub(kept_bytes);
        let mut content = std::pin::pin!(content);
        while let Some(chunk) = content.next().await {
            let chunk = chunk.map_err(|error| Error::Interrupted { cause: error.to_string() })?;
            if writer.bytes.saturating_add(chunk.len() as u64) > bytes_max {
                return Err(Error::TooLarge { what: format!("the content of {id}"), limit_bytes: bytes_max });
            }
            if writer.bytes.saturating_add(chunk.len() as u64) > room {
                return Err(Error::Full { what: id.to_string(), limit_bytes: self.bytes_max, kept_bytes });
            }
            writer = blocking(move || writer.write(&chunk).map(|()| writer)).await?;
        }
        blocking(move || writer.finish()).await
    }

    /// All blobs here, sorted.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn list(&self) -> Result<Vec<BlobId>, Error> {
        Ok(super::files::list(&self.dir, "")?.into_iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Notes that a blob is used now.
    pub fn touch(&self, id: &BlobId, now: Now) {
        let used = SystemTime::UNIX_EPOCH + Duration::from_millis(now.0);
        // One that cannot be noted counts as older than it is.
        let _ = File::open(self.path(id)).and_then(|file| file.set_modified(used));
    }

    /// When each blob was written or [touched](BlobStore::touch) last, its bytes, and which; the longest unused first.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn by_use(&self) -> Result<Vec<(Now, u64, BlobId)>, Error> {
        let used = |id: BlobId| {
            let metadata = fs::metadata(self.path(&id)).ok()?;
            let since = metadata.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            Some((Now(0) + since, metadata.len(), id))
        };
        let mut blobs: Vec<_> = self.list()?.into_iter().filter_map(used).collect();
        blobs.sort();
        Ok(blobs)
    }

    /// Removes a blob; links to it live on.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove(&self, id: &BlobId) -> Result<(), Error> {
        super::files::remove(&self.path(id))
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(Error::Interrupted { cause: error.to_string() }),
    }
}

/// Content on its way into a [`BlobStore`]; dropped unfinished, nothing remains.
pub struct BlobWriter {
    id: BlobId,
    path: PathBuf,
    temporary: Temporary,
    file: File,
    digest: Sha256,
    bytes: u64,
}

impl BlobWriter {
    /// Appends.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), Error> {
        self.digest.update(chunk);
        self.bytes += chunk.len() as u64;
        self.file.write_all(chunk).map_err(Error::io("write", &self.path))
    }

    /// Checks the content and publishes it. On return it is on the disk.
    ///
    /// # Errors
    /// [`Error::WrongContent`] if it is not what was announced.
    pub fn finish(self) -> Result<PathBuf, Error> {
        let Self { id, path, temporary, file, digest, bytes: _ } = self;
        let found = BlobId::from_digest(digest);
        if found != id {
            return Err(Error::WrongContent { expected: id, found });
        }
        let published = file
            .set_permissions(Permissions::from_mode(0o555))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&temporary.path, &path));
        published.map_err(Error::io("write", &path))?;
        sync_parent(&path)?;
        Ok(path)
    }
}

impl fmt::Debug for BlobWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobWriter").field("id", &self.id).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// Of the buffer, which stays with the heap of whichever thread this runs on.
const COPY_BYTES: usize = 64 << 10;

fn copy(from: &mut File, mut to: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            read => to(&buffer[..read])?,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use futures_util::stream;

    use super::*;

    fn files_in(dir: &Path) -> usize {
        fs::read_dir(dir).unwrap().count()
    }

    #[tokio::test]
    async fn content_is_kept_only_if_it_is_what_it_is_said_to_be() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path()).unwrap();
        let id = BlobId::of(b"hello world");
        let chunks = |parts: &[&'static [u8]]| {
            stream::iter(parts.iter().map(|part| Ok::<_, io::Error>(Bytes::from_static(part))).collect::<Vec<_>>())
        };
        assert!(matches!(
            store.put_stream(&id, chunks(&[b"hello"]), 100).await,
            Err(Error::WrongContent { found, .. }) if found == BlobId::of(b"hello")
        ));
        assert!(matches!(store.put_stream(&id, chunks(&[b"hello", b" world"]), 10).await, Err(Error::TooLarge { .. })));
        let broken = stream::iter([Ok(Bytes::from_static(b"hello")), Err("connection reset by peer")]);
        assert!(matches!(store.put_stream(&id, broken, 100).await, Err(Error::Interrupted { .. })));
        assert_eq!((store.get(&id), files_in(dir.path())), (None, 0), "nothing remains of failures");

        let path = store.put_stream(&id, chunks(&[b"hello", b" world"]), 11).await.unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"hello world");
        assert_eq!(store.get(&id), Some(path.clone()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o555);
        assert_eq!(store.list().unwrap(), std::slice::from_ref(&id));
        assert_eq!(BlobId::of_file(&path).unwrap(), id);
        let other = BlobId::of(b"hello");
        let full = store.clone().at_most(15);
        assert!(matches!(
            full.put_stream(&other, chunks(&[b"hello"]), 100).await,
            Err(Error::Full { kept_bytes: 11, limit_bytes: 15, .. })
        ));
        assert_eq!((full.get(&other), full.bytes().unwrap()), (None, 11));
        full.at_most(16).put_stream(&other, chunks(&[b"hello"]), 100).await.unwrap();
        store.remove(&id).unwrap();
        assert_eq!(store.get(&id), None);
    }

    #[test]
    fn concurrent_puts_of_one_blob_agree() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(&dir.path().join("blobs")).unwrap();
        let source = dir.path().join("source");
        fs::write(&source, vec![3; 1 << 20]).unwrap();
        let id = BlobId::of_file(&source).unwrap();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| store.put_file(&id, &source).unwrap());
            }
        });
        assert_eq!(files_in(&dir.path().join("blobs")), 1);
        assert!(matches!(store.put_file(&BlobId::of(b""), &source), Err(Error::WrongContent { .. })));
    }

    #[test]
    fn names_that_are_no_hash_are_refused() {
        assert!("../../etc/passwd".parse::<BlobId>().is_err());
        assert!("g".repeat(64).parse::<BlobId>().is_err());
        assert!(serde_json::from_str::<BlobId>("\"abc\"").is_err());
        let id: BlobId = "AB".repeat(32).parse().unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{}\"", "ab".repeat(32)));
    }
}
