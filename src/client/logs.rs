//! What a job's processes have written, wherever it lies: at nodes, collected by the ResourceManager, or at standalone daemons.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::job_manager::JobManager;
use super::resource_manager::ResourceManager;
use crate::ids::{ApplicationId, ContainerId, JobId};
use crate::rpc::http::{Client, Error};

/// Of one file at most so much of its end is read at first.
const FIRST_BYTES_MAX: u64 = 16 << 20;

/// Which of a job's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// What it logs, and its daemons about it.
    Log,
    /// What it prints.
    Stdout,
}

/// The files of one job.
#[derive(Debug)]
pub struct JobLogs {
    job: JobId,
    stream: Stream,
    home: Home,
}

#[derive(Debug)]
enum Home {
    Application(ResourceManager, ApplicationId),
    Standalone(JobManager),
}

/// One file.
#[derive(Clone, Debug)]
pub struct LogFile {
    /// Whose it is, in short: `jm`, `tm2`.
    pub origin: String,
    /// Its name; a rotated file's predecessor has `.1` behind it.
    pub name: String,
    /// How large it is now.
    pub bytes: u64,
    /// Whether it is a daemon's, which has lines about other jobs, too.
    pub shared: bool,
    client: Client,
    path: String,
}

/// The files there are, and why others cannot be read.
#[derive(Debug, Default)]
pub struct Found {
    /// By origin; of one origin the older ones first.
    pub files: Vec<LogFile>,
    /// For people.
    pub missing: Vec<String>,
}

impl JobLogs {
    /// Of a job in an application, which may have ended.
    pub fn of_application(cluster: ResourceManager, application: ApplicationId, job: JobId, stream: Stream) -> Self {
        Self { job, stream, home: Home::Application(cluster, application) }
    }

    /// Of a job of a standalone JobManager.
    pub fn of_job_manager(job_manager: JobManager, job: JobId, stream: Stream) -> Self {
        Self { job, stream, home: Home::Standalone(job_manager) }
    }

    /// Looks which files there are.
    ///
    /// # Errors
    /// Those of [`Client`], of the ResourceManager or the standalone JobManager; other daemons that do not answer are told as missing.
    pub async fn find(&self) -> Result<Found, Error> {
        let mut found = match &self.home {
            Home::Application(cluster, application) => self.in_application(cluster, *application).await?,
            Home::Standalone(job_manager) => self.at_standalone(job_manager).await?,
        };
        // `.1` is older than the file without.
        found.files.sort_by_key(|file| (file.origin.clone(), !file.name.ends_with(".1"), file.name.clone()));
        Ok(found)
    }

    async fn in_application(&self, cluster: &ResourceManager, application: ApplicationId) -> Result<Found, Error> {
        let collected: BTreeSet<ContainerId> = cluster.collected_logs(application).await?.into_iter().collect();
        // Of an application that the ResourceManager has forgotten only what is collected is left.
        let known = match cluster.containers(application).await {
            Ok(containers) => containers,
            Err(Error::Status { status: 404, .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut found = Found::default();
        for container in &collected {
            let base = format!("{HISTORY}/containers/{container}/logs");
            self.note(&mut found, label(*container), cluster.http(), &base).await?;
        }
        for container in known {
            let Some(id) = container.container_id.parse().ok().filter(|id| !collected.contains(id)) else { continue };
            let node = cluster.daemon(&container.node_http_address);
            let base = format!("/ws/v1/node/containers/{id}/logs");
            if let Err(error) = self.note(&mut found, label(id), &node, &base).await {
                let why =
                    format!("what {} has written is at its node {}: {error}", label(id), container.node_http_address);
                found.missing.push(why);
            }
        }
        Ok(found)
    }

    async fn note(&self, found: &mut Found, origin: String, client: &Client, base: &str) -> Result<(), Error> {
        let listing: Value = client.get(base).await?;
        for (name, bytes) in listed(&listing) {
            self.take(found, &origin, (&name, bytes), (client, format!("{base}/{name}")));
        }
        Ok(())
    }

    async fn at_standalone(&self, job_manager: &JobManager) -> Result<Found, Error> {
        let mut found = Found::default();
        let client = job_manager.http();
        let own: Value = client.get(&job_manager.path("/jobmanager/logs")).await?;
        for (name, bytes) in listed(&own) {
            let path = job_manager.path(&format!("/jobmanager/logs/{name}"));
            self.take(&mut found, "jm", (&name, bytes), (client, path));
        }
        let task_managers: Value = client.get(&job_manager.path("/taskmanagers")).await?;
        let task_managers = task_managers["taskmanagers"].as_array().cloned().unwrap_or_default();
        let ids = task_managers.iter().filter_map(|it| it["id"].as_str());
        for (number, id) in ids.enumerate() {
            let base = job_manager.path(&format!("/taskmanagers/{id}/logs"));
            let origin = format!("tm{}", number + 1);
            if let Err(error) = self.note(&mut found, origin, client, &base).await {
                found.missing.push(format!("task manager {id} does not show what it has written: {error}"));
            }
        }
        Ok(found)
    }

    fn take(&self, found: &mut Found, origin: &str, (name, bytes): (&str, u64), (client, path): (&Client, String)) {
        if let Some(shared) = self.wants(name) {
            let (origin, name, client) = (origin.to_owned(), name.to_owned(), client.clone());
            found.files.push(LogFile { origin, name, bytes, shared, client, path });
        }
    }

    /// Whether a file of this name is one, and if so whether it is a daemon's own.
    fn wants(&self, name: &str) -> Option<bool> {
        let plain = name.strip_suffix(".1").unwrap_or(name);
        let job = self.job.to_string();
        let own = |extension: &str| plain.strip_suffix(extension).is_some_and(|stem| stem == job);
        match self.stream {
            Stream::Log if own(".err") => Some(false),
            Stream::Log if matches!(plain, "jobmanager.err" | "taskmanager.err" | "taskmanager.log") => Some(true),
            Stream::Stdout if own(".out") => Some(false),
            Stream::Log | Stream::Stdout => None,
        }
    }
}

/// YARN's addresses of collected logs.
const HISTORY: &str = "/ws/v1/applicationhistory";

impl ResourceManager {
    /// The containers of an application whose logs nodes have collected.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn collected_logs(&self, application: ApplicationId) -> Result<Vec<ContainerId>, Error> {
        #[derive(Deserialize)]
        struct Collected {
            containers: Vec<ContainerId>,
        }
        let collected: Collected = self.http().get(&format!("{HISTORY}/apps/{application}/containers")).await?;
        Ok(collected.containers)
    }
}

impl LogFile {
    /// Where to begin: at its beginning, or so that not too much of it is read.
    pub fn first_byte(&self) -> u64 {
        self.bytes.saturating_sub(FIRST_BYTES_MAX)
    }

    /// What is there from byte `from` on, now.
    ///
    /// # Errors
    /// Those of [`Client`].
    pub async fn read(&self, from: u64) -> Result<Vec<u8>, Error> {
        let mut stream = self.client.follow(&format!("{}?start={from}", self.path)).await?;
        let mut all = Vec::new();
        while let Some(piece) = stream.next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }
}

/// In an application the first container is its master's.
fn label(container: ContainerId) -> String {
    let name = match container.count() {
        1 => "jm".to_owned(),
        number => format!("tm{number}"),
    };
    match container.attempt.attempt {
        1 => name,
        attempt => format!("{name}.{attempt}"),
    }
}

/// Names and sizes in a listing of YARN's or Flink's, wherever they nest.
fn listed(listing: &Value) -> Vec<(String, u64)> {
    match listing {
        Value::Object(fields) => {
            let name = fields.get("fileName").or_else(|| fields.get("name")).and_then(Value::as_str);
            let bytes = fields.get("fileSize").or_else(|| fields.get("size"));
            let bytes = bytes.and_then(|bytes| bytes.as_u64().or_else(|| bytes.as_str()?.parse().ok()));
            match (name, bytes) {
                (Some(name), Some(bytes)) => vec![(name.to_owned(), bytes)],
                _ => fields.values().flat_map(listed).collect(),
            }
        }
        Value::Array(items) => items.iter().flat_map(listed).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_are_found_in_both_listings() {
        let yarn =
            json!({"containerLogsInfo": {"containerLogInfo": [{"fileName": "a", "fileSize": "3"}], "nodeId": "n1"}});
        assert_eq!(listed(&yarn), [("a".to_owned(), 3)]);
        let flink = json!({"logs": [{"name": "a", "size": 3, "mtime": 7}, {"name": "b", "size": 0}]});
        assert_eq!(listed(&flink), [("a".to_owned(), 3), ("b".to_owned(), 0)]);
    }

    #[test]
    fn of_a_session_only_the_jobs_own_files_and_the_daemons_are_wanted() {
        let job = JobId(0xAB);
        let wants = |stream, name: &str| {
            let cluster = JobManager::at("127.0.0.1:1", &crate::rpc::Credentials::default());
            JobLogs::of_job_manager(cluster, job, stream).wants(name)
        };
        assert_eq!(wants(Stream::Log, &format!("{job}.err.1")), Some(false));
        assert_eq!(wants(Stream::Log, "jobmanager.err"), Some(true));
        for name in ["workers.err", "workers.out", "jobmanager.out"] {
            assert_eq!((wants(Stream::Log, name), wants(Stream::Stdout, name)), (None, None), "{name}");
        }
        assert_eq!(wants(Stream::Log, &format!("{}.err", JobId(1))), None);
        assert_eq!(wants(Stream::Stdout, &format!("{job}.out")), Some(false));
    }
}
