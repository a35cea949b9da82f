//! Starting a container's process. Blocking.
//!
//! ```text
//! setsid ─► sh (notes the exit code) ─┬ launch_container.sh ─► exec bash -c COMMAND ─► the program
//!                                     └ launch_container.sh ─► exec PROGRAM, where that is all the command says
//! ```
//!
//! The shell at the top outlives the program just long enough to write the exit code down, for a NodeManager that was away
//! when it ended. Everything below it is one process, unless the command is more than one.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::cache::{USED, note_use};
use super::core::Launch;
use super::directories::{Directories, create, create_private};
use super::environment::{command, compose, is_simple, quote};
use super::resources::ResourceKey;
use crate::ids::NodeId;
use crate::process::{Child, Command, Leads, Output};
use crate::protocol::roles::{self, SecurityEnvironment};
use crate::rpc::io_cause;

/// Passed on from the NodeManager's own environment, unless the launch context says otherwise.
const INHERITED: [&str; 6] = ["PATH", "LANG", "LC_ALL", "TZ", "HOME", "JAVA_HOME"];
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs the script `$1` and writes its exit code to `$2`. A signal to the group is for the program; this shell waits for it.
/// The script runs in a fork of this shell: what a start costs is the number of programs that are loaded.
const TOP: &str = r#"trap : TERM INT HUP QUIT; (. "$1"); code=$?; echo $code >"$2"; exit $code"#;

/// Names of what stands in every work directory.
const SCRIPT: &str = "launch_container.sh";
const TOKENS: &str = "container_tokens";

/// What containers are told of their node.
#[derive(Clone, Debug)]
pub(super) struct Launcher {
    pub(super) node: NodeId,
    pub(super) directories: Directories,
    /// The flott binary that containers may run.
    pub(super) flott: PathBuf,
    /// What its containers' processes are to demand of those who ask them.
    pub(super) security: SecurityEnvironment,
    /// Names of further variables that containers get of the NodeManager's own.
    pub(super) env_whitelist: Vec<String>,
}

impl Launcher {
    /// Makes the directories, links the files in, writes the script and starts it. On failure nothing runs.
    pub(super) fn launch(&self, launch: &Launch) -> Result<Child, String> {
        let container = launch.lease.container;
        let work = self.directories.work(&launch.lease.user, container);
        let logs = self.directories.logs_of(container);
        let prepare = || -> io::Result<(File, File)> {
            create(&logs)?;
            create_private(&self.directories.private(container))?;
            create_private(&work)?;
            create_private(&work.join("tmp"))?;
            self.link_resources(launch, &work)?;
            self.write_tokens(launch, &work)?;
            self.write_script(launch, &work, &logs)?;
            Ok((File::create(logs.join("prelaunch.out"))?, File::create(logs.join("prelaunch.err"))?))
        };
        let (out, err) = prepare().map_err(|error| format!("its directory cannot be made: {}", io_cause(&error)))?;
        let exit_code = self.directories.exit_code_file(container);
        let mut command = Command::new("/bin/sh")
            .arguments(["-c", TOP])
            .arguments([container.to_string()])
            .arguments([work.join(SCRIPT), exit_code])
            .environment([(roles::CONTAINER_ID, container.to_string())]);
        command.directory = Some(work);
        command.stdout = Output::File(out);
        command.stderr = Output::File(err);
        command.leads = Leads::Session;
        let child = command.spawn().map_err(|error| error.to_string())?;
        let identity = serde_json::to_vec(&child.identity()).expect("numbers are expressible in JSON");
        if let Err(error) = fs::write(self.directories.pid_file(container), identity) {
            // Found again by its environment, should this NodeManager not be there when it ends.
            tracing::warn!(%container, cause = io_cause(&error), "cannot write the container's pid file");
        }
        Ok(child)
    }

    fn link_resources(&self, launch: &Launch, work: &Path) -> io::Result<()> {
        let application = launch.lease.container.attempt.application;
        let mut used = Vec::new();
        for (name, resource) in &launch.context.resources {
            let key = ResourceKey::new(resource, &launch.lease.user, application);
            let link = work.join(name);
            if let Some(parent) = link.parent() {
                fs::create_dir_all(parent)?;
            }
            let copy = self.directories.copy(&key);
            symlink(&copy, link)?;
            used.push(copy);
        }
        note_use(&self.directories.private(launch.lease.container).join(USED), &used)
    }

    fn write_tokens(&self, launch: &Launch, work: &Path) -> io::Result<()> {
        let json = serde_json::to_vec(&launch.context.tokens).map_err(io::Error::other)?;
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(work.join(TOKENS))?.write_all(&json)
    }

    fn write_script(&self, launch: &Launch, work: &Path, logs: &Path) -> io::Result<()> {
        let environment = self.environment(launch, work, logs);
        let mut script = String::from("#!/bin/sh\n");
        for (name, value) in &environment {
            script.push_str(&format!("export {name}={}\n", quote(value)));
        }
        let command = command(&launch.context.commands, &logs.to_string_lossy());
        if is_simple(&launch.context.commands) {
            script.push_str(&format!("exec {command}\n"));
        } else {
            script.push_str(&format!("exec /bin/bash -c {}\n", quote(&command)));
        }
        let path = work.join(SCRIPT);
        OpenOptions::new().write(true).create_new(true).mode(0o700).open(&path)?.write_all(script.as_bytes())?;
        fs::set_permissions(path, Permissions::from_mode(0o700))
    }

    fn environment(&self, launch: &Launch, work: &Path, logs: &Path) -> BTreeMap<String, String> {
        let lease = &launch.lease;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let tokens = text(&work.join(TOKENS));
        let port = self.node.port.to_string();
        let application = self.directories.application(&lease.user, lease.container.attempt.application);
        let mut set: BTreeMap<String, String> = [
            (roles::CONTAINER_ID, lease.container.to_string()),
            (roles::NM_HOST, self.node.host.clone()),
            (roles::NM_PORT, port.clone()),
            (roles::NM_HTTP_PORT, port),
            (roles::LOCAL_DIRS, text(&application)),
            (roles::LOG_DIRS, text(logs)),
            (roles::FLOTT_BIN, text(&self.flott)),
            ("USER", lease.user.clone()),
            ("LOGNAME", lease.user.clone()),
            ("PWD", text(work)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        set.insert(roles::SECURITY.to_owned(), self.security.to_json());
        set.extend(roles::TOKEN_FILE.map(|name| (name.to_owned(), tokens.clone())));
        let names = INHERITED.iter().copied().chain(self.env_whitelist.iter().map(String::as_str));
        let mut inherited: BTreeMap<String, String> =
            names.filter_map(|name| Some((name.to_owned(), env::var(name).ok()?))).collect();
        for (name, value) in [("PATH", PATH_DEFAULT), ("HOME", "/"), ("MALLOC_ARENA_MAX", "4")] {
            inherited.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        inherited.insert("TMPDIR".to_owned(), text(&work.join("tmp")));
        compose(&inherited, &launch.context.environment, &set, &text(logs))
    }
}
