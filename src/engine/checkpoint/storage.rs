//! Where state files lie.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::manifest::MANIFEST_NAME;
use crate::engine::lsm::Run;
use crate::graph::task::Failure;
use crate::rpc::io_cause;
use crate::storage::files::{self, Creation};
use crate::storage::places;

/// Bytes written or read at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Files that appear whole or not at all, which every node reaches. Places are as [`crate::storage::places`] has them. Blocking.
pub trait CheckpointStorage: Send + Sync {
    /// Begins a file in a directory, which is made.
    ///
    /// # Errors
    /// A place that cannot be written.
    fn create(&self, directory: &str, name: &str) -> Result<Box<dyn NewFile>, Failure>;

    /// Opens a file that was published.
    ///
    /// # Errors
    /// One that is missing or cannot be read.
    fn open(&self, path: &str) -> Result<Box<dyn StoredFile>, Failure>;

    /// Puts a run where a file in this directory finds it; durable. What the place has of it already is not written again. Returns the
    /// name of it beside such a file; `name` is that of no other.
    ///
    /// # Errors
    /// A place that cannot be written.
    fn put_run(&self, directory: &str, name: &str, run: &Run) -> Result<String, Failure>;

    /// Opens a run beside a file that was published.
    ///
    /// # Errors
    /// One that is missing, damaged, or cannot be read.
    fn open_run(&self, beside: &str, name: &str) -> Result<Run, Failure>;

    /// Writes a file unless there is one: of several writers exactly one creates it.
    ///
    /// # Errors
    /// A place that cannot be written; whether the file is there is then not known.
    fn create_new(&self, path: &str, bytes: &[u8]) -> Result<Creation, Failure>;

    /// Content of a file; `None` if there is none.
    ///
    /// # Errors
    /// One that cannot be read.
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Failure>;

    /// Bytes of a file; `None` if there is none.
    ///
    /// # Errors
    /// One that cannot be looked at.
    fn bytes_of(&self, path: &str) -> Result<Option<u64>, Failure>;

    /// Names of the directories in a directory; it need not be there.
    ///
    /// # Errors
    /// One that cannot be read.
    fn directories(&self, path: &str) -> Result<Vec<String>, Failure>;

    /// Removes a checkpoint's directory, the manifest first, so that what is left of it is no checkpoint; and whatever no other checkpoint
    /// of the job needs then. That it is not there is fine.
    ///
    /// # Errors
    /// What could not be removed.
    fn discard(&self, directory: &str, job: JobStands) -> Result<(), Failure>;
}

/// Whether checkpoints may be under way beside one that is discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStands {
    /// The job goes on: what one under way may have put there already stays.
    GoesOn,
    /// It has ended: nothing is needed but what complete checkpoints hold.
    Ended,
}

/// The place of what has this name beside a file: in its directory, or in one that the name leads to by `../`.
pub(super) fn beside(file: &str, name: &str) -> String {
    let mut directory = places::parent_of(file).unwrap_or_default();
    let mut name = name;
    while let Some(rest) = name.strip_prefix("../") {
        (directory, name) = (places::parent_of(directory).unwrap_or_default(), rest);
    }
    places::inside(directory, name)
}

/// A file being written. Dropped, it was never there.
pub trait NewFile: Write {
    /// Makes it durable and visible. Its path.
    ///
    /// # Errors
    /// A place that cannot be written.
    fn publish(self: Box<Self>) -> Result<String, Failure>;
}

/// A file being read.
pub trait StoredFile: Read + Seek {}

impl<T: Read + Seek> StoredFile for T {}

/// A file system: of one machine, or shared by all.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalStorage;

impl CheckpointStorage for LocalStorage {
    fn create(&self, directory: &str, name: &str) -> Result<Box<dyn NewFile>, Failure> {
        let directory = Path::new(directory);
        let (path, hidden) = (directory.join(name), directory.join(format!(".{name}.inprogress")));
        let open = || {
            fs::create_dir_all(directory)?;
            File::create(&hidden)
        };
        let file = open().map_err(|error| unwritable(&path, &error))?;
        Ok(Box::new(LocalFile { file: BufWriter::with_capacity(BUFFER_BYTES, file), path, hidden, published: false }))
    }

    fn open(&self, path: &str) -> Result<Box<dyn StoredFile>, Failure> {
        let file = File::open(path).map_err(|error| {
            Failure::permanent(format!("cannot read the checkpoint's file {path}: {}", io_cause(&error)))
        })?;
        Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, file)))
    }

    fn put_run(&self, directory: &str, name: &str, run: &Run) -> Result<String, Failure> {
        let (directory, path) = (Path::new(directory), Path::new(directory).join(name));
        fs::create_dir_all(directory).map_err(|error| unwritable(&path, &error))?;
        if run.put_at(&path)? {
            let sync = || File::open(&path)?.sync_all();
            sync().map_err(|error| unwritable(&path, &error))?;
        } else {
            run.sync()?;
        }
        Ok(name.to_owned())
    }

    fn open_run(&self, file: &str, name: &str) -> Result<Run, Failure> {
        Run::open(Path::new(&beside(file, name)), false)
    }

    fn create_new(&self, path: &str, bytes: &[u8]) -> Result<Creation, Failure> {
        files::create_new(Path::new(path), bytes).map_err(|error| Failure::transient(error.to_string()))
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        files::read(Path::new(path)).map_err(|error| Failure::permanent(error.to_string()))
    }

    fn bytes_of(&self, path: &str) -> Result<Option<u64>, Failure> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::permanent(format!("cannot read {path}: {}", io_cause(&error)))),
        }
    }

    fn directories(&self, path: &str) -> Result<Vec<String>, Failure> {
        let unreadable = |error: io::Error| Failure::permanent(format!("cannot list {path}: {}", io_cause(&error)));
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(error)),
        };
        let directories = entries.flatten().filter(|entry| entry.path().is_dir());
        Ok(directories.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
    }

    fn discard(&self, directory: &str, _: JobStands) -> Result<(), Failure> {
        files::remove(&Path::new(directory).join(MANIFEST_NAME))
            .map_err(|error| Failure::transient(error.to_string()))?;
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Failure::transient(format!("cannot remove {directory}: {}", io_cause(&error))))
            }
            _ => Ok(()),
        }
    }
}

struct LocalFile {
    file: BufWriter<File>,
    path: PathBuf,
    hidden: PathBuf,
    published: bool,
}

impl Write for LocalFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl NewFile for LocalFile {
    fn publish(mut self: Box<Self>) -> Result<String, Failure> {
        let publish = |file: &mut Self| {
            file.file.flush()?;
            file.file.get_ref().sync_all()?;
            fs::rename(&file.hidden, &file.path)?;
            file.published = true;
            // The name is durable with its directory.
            file.path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
        };
        publish(&mut self).map_err(|error| unwritable(&self.path, &error))?;
        Ok(self.path.to_string_lossy().into_owned())
    }
}

impl Drop for LocalFile {
    fn drop(&mut self) {
        if !self.published {
            // What stays behind is hidden, and goes with the directory.
            let _ = fs::remove_file(&self.hidden);
        }
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::transient(format!("cannot write the checkpoint's file {}: {}", path.display(), io_cause(error)))
}
