//! Files that appear whole or not at all, also on file systems that several machines share.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::Error;

/// What [`create_new`] has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// The file is there now, and we made it.
    Created,
    /// It was there before; it is unchanged.
    AlreadyExists,
}

/// Writes `path`, replacing what was there; parents are created. On return it is on the disk, name and all.
///
/// # Errors
/// [`Error::Io`]; the file is then as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = Temporary::write(path, bytes)?;
    fs::rename(&temporary.path, path).map_err(Error::io("write", path))?;
    sync_parent(path)
}

/// Writes `path` only if there is no such file: of several writers, on one machine or many, exactly one creates it. Nobody sees
/// part of it.
///
/// # Errors
/// [`Error::Io`]; whether the file exists is then not known.
pub fn create_new(path: &Path, bytes: &[u8]) -> Result<Creation, Error> {
    if path.exists() {
        return Ok(Creation::AlreadyExists);
    }
    let temporary = Temporary::write(path, bytes)?;
    let linked = fs::hard_link(&temporary.path, path).or_else(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Err(error),
        // Not every file system has hard links; those without can rename on condition.
        _ => Ok(renameat_with(CWD, &temporary.path, CWD, path, RenameFlags::NOREPLACE)?),
    });
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(Creation::AlreadyExists),
        Err(error) => return Err(Error::io("create", path)(error)),
    }
    sync_parent(path)?;
    Ok(Creation::Created)
}

/// The content of `path`; `None` if there is no such file.
///
/// # Errors
/// [`Error::Io`].
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

/// Names in the directory `path` that begin with `prefix`, sorted; hidden ones (which includes what is being written) are left
/// out. A directory that does not exist is empty.
///
/// # Errors
/// [`Error::Io`].
pub fn list(path: &Path, prefix: &str) -> Result<Vec<String>, Error> {
    let failed = || Error::io("list", path);
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed()(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed())?.file_name().to_string_lossy().into_owned();
        if name.starts_with(prefix) && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Removes `path`; that it is not there is fine.
///
/// # Errors
/// [`Error::Io`].
pub fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("remove", path)(error)),
    }
}

/// The path that a `file://` address or a plain path means.
///
/// # Errors
/// [`Error::UnsupportedUri`] for other schemes and hosts.
pub fn path_of_uri(uri: &str) -> Result<PathBuf, Error> {
    let unsupported = || Error::UnsupportedUri { uri: uri.to_owned() };
    if let Some(rest) = uri.strip_prefix("file:") {
        // file:///path, file://localhost/path, file:/path
        let path = match rest.strip_prefix("//") {
            Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
            None => rest,
        };
        return if path.starts_with('/') { percent_decoded(path).ok_or_else(unsupported) } else { Err(unsupported()) };
    }
    if uri.is_empty() || uri.contains("://") {
        return Err(unsupported());
    }
    Ok(uri.into())
}

/// The `file://` address of an absolute path.
pub fn uri_of_path(path: &Path) -> String {
    let mut uri = "file://".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' | b'=' | b'+' | b',' | b'@' => {
                uri.push(char::from(*byte));
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri
}

fn percent_decoded(text: &str) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first == b'%' {
            let [high, low, after @ ..] = rest else { return None };
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            bytes.push((digit(*high)? << 4) | digit(*low)?);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok().map(PathBuf::from)
}

/// A file beside its destination, hidden, removed unless renamed.
pub(super) struct Temporary {
    pub(super) path: PathBuf,
}

impl Temporary {
    /// Creates an empty one that will become `destination`.
    pub(super) fn create(destination: &Path) -> Result<(Self, File), Error> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let parent = destination.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        let name = destination.file_name().unwrap_or_default().to_string_lossy();
        // Other machines may write here too; process ids alone would not keep them apart.
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let unique = format!(".{name}.{}-{count}-{:08x}.tmp", std::process::id(), fastrand::u32(..));
        let path = parent.join(unique);
        let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(Error::io("create", &path))?;
        Ok((Self { path }, file))
    }

    fn write(destination: &Path, bytes: &[u8]) -> Result<Self, Error> {
        let (temporary, mut file) = Self::create(destination)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::io("write", destination))?;
        Ok(temporary)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Gone already if it was renamed; if it cannot be removed it stays, hidden, and hurts nobody.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes the name of `path` durable.
pub(super) fn sync_parent(path: &Path) -> Result<(), Error> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(Error::io("write", parent))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_written_file_is_whole_and_nothing_else_remains() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/file");
        assert_eq!(read(&path).unwrap(), None);
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert_eq!(list(path.parent().unwrap(), "fi").unwrap(), ["file"]);
        assert_eq!(list(&dir.path().join("none"), "").unwrap(), Vec::<String>::new());
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(write_atomic(Path::new("/proc/nothing/here"), b"").is_err());
    }

    #[test]
    fn of_many_creators_exactly_one_wins_and_nobody_sees_a_part() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let created = thread::scope(|scope| {
            let creators: Vec<_> = (0..8_u8)
                .map(|number| {
                    let path = &path;
                    scope.spawn(move || {
                        let creation = create_new(path, &[number; 10_000]).unwrap();
                        let seen = read(path).unwrap().unwrap();
                        assert!(seen.len() == 10_000 && seen.iter().all(|byte| *byte == seen[0]));
                        creation == Creation::Created
                    })
                })
                .collect();
            creators.into_iter().map(|creator| creator.join().unwrap()).filter(|created| *created).count()
        });
        assert_eq!(created, 1);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn file_addresses_become_paths_and_others_are_refused() {
        for uri in ["file:///a/b%20c", "file:/a/b c", "file://localhost/a/b%20c", "/a/b c"] {
            assert_eq!(path_of_uri(uri).unwrap(), Path::new("/a/b c"), "{uri}");
        }
        for uri in ["hdfs://n/a", "s3://b/c", "file://host/a", "file:a", "", "file:///%4"] {
            assert!(path_of_uri(uri).is_err(), "{uri}");
        }
        assert_eq!(uri_of_path(Path::new("/a/b c")), "file:///a/b%20c");
    }
}
