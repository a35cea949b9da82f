//! Archives of ended jobs: `<dir>/<application>/<job>.json`, written once each, bounded by count and age.
//!
//! Applications write here and others read: nothing but a regular file of bounded size is opened, and what it says the reader judges.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;

use super::Error;
use super::files::{self, Creation};
use crate::ids::{ApplicationId, JobId};
use crate::time::Now;

/// The largest archive that is read: a job of ten thousand subtasks has some twenty megabytes.
pub const ARCHIVE_BYTES_MAX: u64 = 64 << 20;

/// The archives of all applications. Blocking.
#[derive(Clone, Debug)]
pub struct History {
    dir: PathBuf,
}

/// One archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archived {
    /// In which the job ran.
    pub application: ApplicationId,
    /// Which.
    pub job: JobId,
    /// When it was written: when the job had ended.
    pub at: Now,
}

impl History {
    /// In `dir`, which need not be there.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    fn path(&self, application: ApplicationId, job: JobId) -> PathBuf {
        self.dir.join(application.to_string()).join(format!("{job}.json"))
    }

    /// Writes an archive unless there is one: who saw the job's end knows most of it.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Io`].
    pub fn put(&self, application: ApplicationId, job: JobId, archive: &[u8]) -> Result<Creation, Error> {
        if archive.len() as u64 > ARCHIVE_BYTES_MAX {
            return Err(too_large(job));
        }
        files::create_new(&self.path(application, job), archive)
    }

    /// An archive's bytes, if there is one.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; [`Error::Io`], also for anything that is no regular file.
    pub fn read(&self, application: ApplicationId, job: JobId) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path(application, job);
        match read_regular(&path) {
            Ok(Some(bytes)) => Ok(Some(bytes)),
            Ok(None) => Err(too_large(job)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// The archives of an application, in no order.
    pub fn of(&self, application: ApplicationId) -> Vec<Archived> {
        let entries = fs::read_dir(self.dir.join(application.to_string())).into_iter().flatten().flatten();
        let archived = |entry: fs::DirEntry| {
            let job = entry.file_name().to_str()?.strip_suffix(".json")?.parse().ok()?;
            Some(Archived { application, job, at: millis(entry.metadata().ok()?.modified().ok()?) })
        };
        entries.filter_map(archived).collect()
    }

    /// All archives, newest first.
    pub fn all(&self) -> Vec<Archived> {
        let names = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let applications = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut all: Vec<Archived> = applications.flat_map(|application| self.of(application)).collect();
        all.sort_by_key(|archived| std::cmp::Reverse((archived.at, archived.job)));
        all
    }

    /// Removes what is beyond the newest `jobs_max`, or older than `keep`; returns how many. What cannot be removed is tried next time.
    pub fn sweep(&self, jobs_max: Option<usize>, keep: Option<Duration>, now: Now) -> usize {
        let too_many = |index: usize| jobs_max.is_some_and(|most| index >= most);
        let too_old = |archived: &Archived| keep.is_some_and(|keep| now.since(archived.at) > keep);
        let mut removed = 0;
        for (index, archived) in self.all().into_iter().enumerate() {
            if too_many(index) || too_old(&archived) {
                removed += usize::from(fs::remove_file(self.path(archived.application, archived.job)).is_ok());
                // Only what is empty goes.
                let _ = fs::remove_dir(self.dir.join(archived.application.to_string()));
            }
        }
        removed
    }
}

fn too_large(job: JobId) -> Error {
    Error::TooLarge { what: format!("the archive of job {job}"), limit_bytes: ARCHIVE_BYTES_MAX }
}

fn millis(at: SystemTime) -> Now {
    Now(at.duration_since(UNIX_EPOCH).ok().and_then(|since| u64::try_from(since.as_millis()).ok()).unwrap_or(0))
}

/// A file's content, none if it is too large. Follows no link, and does not wait for whoever may write into a pipe.
fn read_regular(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(ARCHIVE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= ARCHIVE_BYTES_MAX).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn application(sequence: u32) -> ApplicationId {
        ApplicationId { cluster_timestamp: 1, sequence }
    }

    #[test]
    fn an_archive_is_written_once_and_found_by_application_and_job() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::new(dir.path().join("history"));
        assert_eq!((history.read(application(1), JobId(1)).unwrap(), history.all()), (None, vec![]));
        assert_eq!(history.put(application(1), JobId(1), b"first").unwrap(), Creation::Created);
        assert_eq!(history.put(application(1), JobId(1), b"second").unwrap(), Creation::AlreadyExists);
        assert_eq!(history.read(application(1), JobId(1)).unwrap().unwrap(), b"first");
        assert_eq!(history.read(application(2), JobId(1)).unwrap(), None);
        assert_eq!(history.of(application(1)).iter().map(|it| it.job).collect::<Vec<_>>(), [JobId(1)]);
    }

    #[test]
    fn the_newest_stay_and_the_old_go() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::new(dir.path().to_owned());
        for number in 1..=5_u32 {
            let (application, job) = (application(number), JobId(number.into()));
            history.put(application, job, b"{}").unwrap();
            let written = UNIX_EPOCH + Duration::from_secs(number.into());
            File::open(history.path(application, job)).unwrap().set_modified(written).unwrap();
        }
        let left = |history: &History| history.all().iter().map(|it| it.job.0).collect::<Vec<_>>();
        assert_eq!(history.sweep(None, None, Now(1_000_000)), 0);
        assert_eq!((history.sweep(Some(3), None, Now(1_000_000)), left(&history)), (2, vec![5, 4, 3]));
        assert_eq!(
            (history.sweep(Some(3), Some(Duration::from_secs(2)), Now(6_500)), left(&history)),
            (1 + 1, vec![5])
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "empty directories go, too");
    }

    #[test]
    fn what_is_no_plain_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::new(dir.path().to_owned());
        let secret = dir.path().join("secret");
        fs::write(&secret, "sesame").unwrap();
        fs::create_dir(dir.path().join(application(1).to_string())).unwrap();
        std::os::unix::fs::symlink(&secret, history.path(application(1), JobId(1))).unwrap();
        assert!(history.read(application(1), JobId(1)).is_err(), "a link");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            history.path(application(1), JobId(2)),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        assert!(history.read(application(1), JobId(2)).is_err(), "a pipe that nobody writes into");
        fs::create_dir(history.path(application(1), JobId(3))).unwrap();
        assert!(history.read(application(1), JobId(3)).is_err(), "a directory");
        File::create(history.path(application(1), JobId(4))).unwrap().set_len(ARCHIVE_BYTES_MAX + 1).unwrap();
        let error = history.read(application(1), JobId(4)).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    }
}
