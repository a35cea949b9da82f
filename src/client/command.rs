//! A shell command as an application: submitted, followed with all that it writes, ended.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::program::LocalProgram;
use super::resource_manager::ResourceManager;
use super::submit::{SubmitError, local_files, resource};
use crate::ids::ApplicationId;
use crate::protocol::container::LaunchContext;
use crate::protocol::roles::{FLOTT_BIN, SHELL, ShellEnvironment};
use crate::protocol::submission::Submission;
use crate::protocol::yarn_rest::{Application, Container};
use crate::resource::Resource;
use crate::rpc::http::{Client, Error};

/// Type of the applications that are a command.
const APPLICATION_TYPE: &str = "SHELL";
/// The container of the master that runs a command in several.
const MASTER: (u64, u32) = (64, 1);
/// Between looks for containers that have come, and for logs that are not there yet.
const PAUSE: Duration = Duration::from_millis(100);
/// Pieces of output that wait to be printed. When full, logs are not read.
const PIECES_LEN_MAX: usize = 64;

/// A command to be run.
#[derive(Clone, Debug, Default)]
pub struct CommandOptions {
    /// Its words. A single one is a line for bash; several are a program and its arguments.
    pub command: Vec<String>,
    /// Name of the application; absent: the command's first word.
    pub name: Option<String>,
    /// Leaf queue.
    pub queue: String,
    /// Who runs it.
    pub user: String,
    /// What each run may use.
    pub capability: Resource,
    /// In how many containers it runs; absent: once, and that is the application.
    pub containers: Option<u32>,
    /// Files it finds in its working directory.
    pub files: Vec<PathBuf>,
    /// It is killed after so long.
    pub lifetime: Option<Duration>,
    /// Environment it sees.
    pub environment: BTreeMap<String, String>,
}

/// What one file of a container has more.
#[derive(Clone, Debug)]
pub struct Written {
    /// The container.
    pub container: String,
    /// Whether it is what the command wrote to stderr; else to stdout.
    pub is_error: bool,
    /// The bytes.
    pub bytes: Bytes,
}

/// The words as a line for bash.
fn line(command: &[String]) -> String {
    match command {
        [line] => line.clone(),
        words => words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "),
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Submits a command; the answer means that it will be run.
///
/// # Errors
/// [`SubmitError`]; nothing runs then.
pub async fn submit_command(cluster: &ResourceManager, options: CommandOptions) -> Result<ApplicationId, SubmitError> {
    let files = local_files(&options.files)?;
    let application: ApplicationId = cluster.new_application().await?.application_id.parse()?;
    let mut resources = BTreeMap::new();
    for (name, file) in files {
        let url = cluster.upload(&file).await?;
        let executable = is_executable(&file);
        resources.insert(name, resource(url, &file, executable));
    }
    let first = options.command.first().and_then(|word| word.split_whitespace().next()).unwrap_or("command");
    let name = first.rsplit('/').next().unwrap_or(first).to_owned();
    // In braces, so that the redirection holds for all of a line.
    let run = format!("{{ {}\n}} 1><LOG_DIR>/stdout 2><LOG_DIR>/stderr", line(&options.command));
    let context =
        LaunchContext { resources, environment: options.environment, commands: vec![run], tokens: BTreeMap::new() };
    let (master, resource) = match options.containers {
        None => (context, options.capability),
        Some(count) => {
            let shell = ShellEnvironment { count, capability: options.capability, context };
            (shell_master(&shell), Resource::new(MASTER.0, MASTER.1))
        }
    };
    let submission = Submission {
        application,
        name: options.name.unwrap_or(name),
        queue: options.queue,
        user: options.user,
        application_type: APPLICATION_TYPE.to_owned(),
        tags: Vec::new(),
        priority: 0,
        master,
        resource,
        // A command that has failed is not tried again: it may have done half of what it does.
        max_attempts: Some(1),
        attempt_failures_validity_ms: None,
        keep_containers_across_attempts: false,
        lifetime_ms: options.lifetime.map(|lasts| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX)),
        is_command: options.containers.is_none(),
    };
    cluster.submit(&submission).await?;
    Ok(application)
}

fn is_executable(file: &LocalProgram) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
}

fn shell_master(shell: &ShellEnvironment) -> LaunchContext {
    let json = serde_json::to_string(shell).expect("a launch context is plain data with text keys");
    LaunchContext {
        environment: BTreeMap::from([(SHELL.to_owned(), json)]),
        commands: vec![format!("{{{{{FLOTT_BIN}}}}} shellmaster 1><LOG_DIR>/master.out 2><LOG_DIR>/master.err")],
        ..LaunchContext::default()
    }
}

/// Follows a command to its end. `changed` hears how the application stands, `written` what its containers write, as they do.
/// Cancel-safe, but what was handed to `written` is handed over again by the next call.
///
/// # Errors
/// When the ResourceManager does not say how it stands.
pub async fn follow_command(
    cluster: &ResourceManager,
    id: ApplicationId,
    mut changed: impl FnMut(&Application),
    mut written: impl FnMut(Written),
) -> Result<(Application, Vec<Container>), Error> {
    let (pieces, mut incoming) = mpsc::channel(PIECES_LEN_MAX);
    let mut tails = Tails { tails: JoinSet::new(), known: BTreeMap::new(), pieces };
    let mut since = 0;
    let ended = loop {
        let news = tokio::select! {
            biased;
            Some(piece) = incoming.recv() => {
                tails.note(&piece);
                written(piece);
                continue;
            }
            news = cluster.application_changed(id, since) => news?,
        };
        since = news.version;
        changed(&news);
        if news.state.is_terminal() {
            break news;
        }
        if news.running_containers > 0 {
            tails.begin(cluster, &cluster.containers(id).await?);
        }
    };
    tails.tails.shutdown().await;
    while let Ok(piece) = incoming.try_recv() {
        tails.note(&piece);
        written(piece);
    }
    // What was written since the last look, and by containers that came and went between two.
    let containers = cluster.containers(id).await?;
    for container in &containers {
        for is_error in [false, true] {
            let key = (container.container_id.clone(), is_error);
            let from = tails.known.get(&key).copied().unwrap_or(0);
            let path = log_path(&container.container_id, is_error, from, false);
            let node = cluster.daemon(&container.node_http_address);
            // A container that never started, and a node that is gone, have no logs to show.
            let Ok(mut log) = node.follow(&path).await else { continue };
            while let Ok(Some(bytes)) = log.next().await {
                written(Written { container: key.0.clone(), is_error, bytes });
            }
        }
    }
    Ok((ended, containers))
}

fn log_path(container: &str, is_error: bool, from: u64, follow: bool) -> String {
    let file = if is_error { "stderr" } else { "stdout" };
    format!("/ws/v1/node/containerlogs/{container}/{file}?start={from}&follow={follow}")
}

/// Logs that are read as they grow.
struct Tails {
    tails: JoinSet<()>,
    /// How many bytes of each log were handed over.
    known: BTreeMap<(String, bool), u64>,
    pieces: mpsc::Sender<Written>,
}

impl Tails {
    fn note(&mut self, piece: &Written) {
        *self.known.entry((piece.container.clone(), piece.is_error)).or_default() += piece.bytes.len() as u64;
    }

    fn begin(&mut self, cluster: &ResourceManager, containers: &[Container]) {
        for container in containers {
            for is_error in [false, true] {
                let key = (container.container_id.clone(), is_error);
                if let Entry::Vacant(unknown) = self.known.entry(key) {
                    unknown.insert(0);
                    let node = cluster.daemon(&container.node_http_address);
                    let (container, pieces) = (container.clone(), self.pieces.clone());
                    self.tails.spawn(tail(node, container, is_error, pieces));
                }
            }
        }
    }
}

/// Reads one log until its container has ended, or this is aborted.
async fn tail(node: Client, container: Container, is_error: bool, pieces: mpsc::Sender<Written>) {
    let mut from = 0;
    loop {
        let path = log_path(&container.container_id, is_error, from, true);
        if let Ok(mut log) = node.follow(&path).await {
            while let Ok(Some(bytes)) = log.next().await {
                from += bytes.len() as u64;
                let piece = Written { container: container.container_id.clone(), is_error, bytes };
                if pieces.send(piece).await.is_err() {
                    return;
                }
            }
        }
        // Not there yet, or read to the end: asked again until the application has ended.
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_is_a_line_and_several_are_words_that_nothing_expands() {
        let check = |words: &[&str], expected: &str| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(line(&words), expected);
        };
        check(&["echo $HOME; ls | wc"], "echo $HOME; ls | wc");
        check(&["echo", "$HOME", "a b", "it's", ""], r"echo '$HOME' 'a b' 'it'\''s' ''");
        check(&["tar", "-C/x", "--a=b"], "tar -C/x --a=b");
    }
}
