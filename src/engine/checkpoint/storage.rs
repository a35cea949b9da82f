//! Where state files lie.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::engine::lsm::Run;
use crate::graph::task::Failure;
use crate::rpc::io_cause;

/// Bytes written or read at once.
const BUFFER_BYTES: usize = 1 << 20;
/// What is said of state on disk by storage that is no file system.
const NO_RUNS: &str = "checkpoints of state.backend.type disk need a directory; set execution.checkpointing.dir to one";

/// Files that appear whole or not at all, which every node reaches. Blocking.
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

    /// Puts a run into a directory, which is made; durable. What the place has of it already is not written again.
    ///
    /// # Errors
    /// A place that cannot be written.
    fn put_run(&self, directory: &str, name: &str, run: &Run) -> Result<(), Failure> {
        let _ = (directory, name, run);
        Err(Failure::permanent(NO_RUNS))
    }

    /// Opens a run beside a file that was published.
    ///
    /// # Errors
    /// One that is missing, damaged, or cannot be read.
    fn open_run(&self, beside: &str, name: &str) -> Result<Run, Failure> {
        let _ = (beside, name);
        Err(Failure::permanent(NO_RUNS))
    }
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

    fn put_run(&self, directory: &str, name: &str, run: &Run) -> Result<(), Failure> {
        let (directory, path) = (Path::new(directory), Path::new(directory).join(name));
        fs::create_dir_all(directory).map_err(|error| unwritable(&path, &error))?;
        if run.put_at(&path)? {
            let sync = || File::open(&path)?.sync_all();
            sync().map_err(|error| unwritable(&path, &error))
        } else {
            run.sync()
        }
    }

    fn open_run(&self, beside: &str, name: &str) -> Result<Run, Failure> {
        Run::open(&Path::new(beside).with_file_name(name), false)
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
