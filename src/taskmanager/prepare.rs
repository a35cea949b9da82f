//! Making a worker ready: its program, its files, its directory.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::directories::{Directories, is_component, is_inside};
use super::error::Unprepared;
use crate::process::{Announced, Fetcher, Platform, check_runnable};
use crate::protocol::container::LocalResource;
use crate::protocol::task_manager::StartWorker;

/// Makes workers ready. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Preparer {
    pub(super) directories: Directories,
    pub(super) fetcher: Fetcher,
    pub(super) platform: Platform,
    /// What this machine is called.
    pub(super) host: String,
}

impl Preparer {
    /// Fetches what is not here, refuses a program that cannot run here, and makes the directory.
    pub(super) async fn prepare(&self, start: &StartWorker) -> Result<(), Unprepared> {
        let program = &start.program;
        if !is_component(&program.name) {
            return Err(Unprepared::BadName(program.name.clone()));
        }
        if let Some(name) = program.files.keys().find(|name| !is_inside(name)) {
            return Err(Unprepared::BadName(name.clone()));
        }
        let executable = self.have(&program.name, &program.executable, true).await?;
        let mut links = vec![(self.directories.program(&start.worker, &program.name), executable.clone())];
        for (name, file) in &program.files {
            let path = self.have(name, file, file.executable).await?;
            links.push((self.directories.worker(&start.worker).join(name), path));
        }
        let preparer = self.clone();
        let name = program.name.clone();
        let worker = start.worker.clone();
        let plan = serde_json::to_vec(&start.plan).expect("a plan is expressible in JSON");
        let made = tokio::task::spawn_blocking(move || {
            // Asked of the file under its own name, which is what people know.
            check_runnable(&executable, &preparer.platform, &preparer.host).map_err(|refusal| refusal.of(&name))?;
            let directories = &preparer.directories;
            remake(&directories.worker(&worker))?;
            make(&directories.internal(&worker))?;
            make(&directories.temporary(&worker))?;
            write(&directories.plan(&worker), &plan)?;
            links.iter().try_for_each(|(link, target)| place(link, target))
        });
        made.await.unwrap_or_else(|panic| {
            let path = self.directories.worker(&start.worker);
            Err(Unprepared::Write { path, source: io::Error::other(panic) })
        })
    }

    /// Where `resource` is on this machine, fetched if need be.
    async fn have(&self, name: &str, resource: &LocalResource, executable: bool) -> Result<PathBuf, Unprepared> {
        if let Some(localised) = self.directories.localised(resource) {
            return Ok(localised);
        }
        let place = self.directories.cached(resource);
        if place.is_file() {
            return Ok(place);
        }
        make(&self.directories.cache())?;
        let announced = Announced { url: &resource.url, bytes: resource.size, sha256: resource.sha256.as_deref() };
        let fetched = self.fetcher.fetch(announced, &place).await;
        let fetched = fetched.map_err(|cause| Unprepared::Fetch { name: name.to_owned(), cause: cause.to_string() })?;
        let mode = if executable { 0o555 } else { 0o444 };
        let written =
            fs::set_permissions(fetched.path(), Permissions::from_mode(mode)).and_then(|()| fetched.place(&place));
        written.map_err(|source| Unprepared::Write { path: place.clone(), source })?;
        Ok(place)
    }
}

fn cannot_write(path: &Path) -> impl FnOnce(io::Error) -> Unprepared + '_ {
    |source| Unprepared::Write { path: path.to_owned(), source }
}

fn make(path: &Path) -> Result<(), Unprepared> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(cannot_write(path))
}

/// Empty, whatever was there.
fn remake(path: &Path) -> Result<(), Unprepared> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot_write(path)(error)),
        Ok(()) | Err(_) => make(path),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Unprepared> {
    fs::write(path, bytes).map_err(cannot_write(path))
}

fn place(link: &Path, target: &Path) -> Result<(), Unprepared> {
    if let Some(parent) = link.parent() {
        make(parent)?;
    }
    symlink(target, link).map_err(cannot_write(link))
}
