//! A cluster of real daemons on free ports, under a directory of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::processes::{self, Finished, PATIENCE, flott, wait_for};

/// A daemon and the file it says in where it answers.
pub struct Daemon {
    pub child: Child,
    pub address: String,
    /// Where its links are, if elsewhere.
    pub links: String,
    ready: PathBuf,
}

impl Daemon {
    fn spawn(dir: &Path, name: &str, verb: &str, defines: &[String]) -> (Child, PathBuf) {
        let ready = dir.join(format!("{name}.ready"));
        let _ = fs::remove_file(&ready);
        let log =
            |kind: &str| File::options().create(true).append(true).open(dir.join(format!("{name}.{kind}"))).unwrap();
        let mut command = Command::new(flott());
        command.arg(verb).arg("--ready-file").arg(&ready);
        command.args(defines.iter().flat_map(|define| ["-D", define]));
        command.env("FLOTT_TEST_CLUSTER", dir).env_remove("FLOTT_CONF_DIR");
        let child = command.stdin(Stdio::null()).stdout(log("out")).stderr(log("err")).spawn().unwrap();
        (child, ready)
    }

    /// Starts a daemon and waits until it is ready.
    pub fn start(dir: &Path, name: &str, verb: &str, defines: &[String]) -> Self {
        let (mut child, ready) = Self::spawn(dir, name, verb, defines);
        let (address, links) = wait_for(&format!("{name} to be ready"), PATIENCE, || {
            if let Some(status) = child.try_wait().unwrap() {
                let log = fs::read_to_string(dir.join(format!("{name}.err"))).unwrap_or_default();
                panic!("{name} ended with {status}:\n{log}");
            }
            let text = fs::read_to_string(&ready).ok()?;
            let value: Value = serde_json::from_str(&text).ok()?;
            Some((value["address"].as_str()?.to_owned(), value["links"].as_str()?.to_owned()))
        });
        Self { child, address, links, ready }
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// `kill -9`, and reaps it.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.ready);
    }

    pub fn port(&self) -> &str {
        self.address.rsplit(':').next().unwrap()
    }
}

/// A resource manager with node managers.
pub struct Yarn {
    pub dir: TempDir,
    pub resource_manager: Daemon,
    pub nodes: Vec<Daemon>,
    /// `security.dir` of everything in it.
    security: Option<String>,
}

impl Yarn {
    /// `nodes` nodes of 2 GB each.
    pub fn start(nodes: usize) -> Self {
        Self::start_with(nodes, "2g")
    }

    /// `nodes` nodes with `memory` each.
    pub fn start_with(nodes: usize, memory: &str) -> Self {
        Self::start_set(nodes, memory, &[])
    }

    /// With more configuration for the resource manager.
    pub fn start_set(nodes: usize, memory: &str, resource_manager: &[&str]) -> Self {
        Self::start_in(TempDir::with_prefix("flott-it-").unwrap(), nodes, memory, resource_manager, None)
    }

    /// With certificates, a secret and tokens; the commands of this cluster show the admin's.
    pub fn start_secured(nodes: usize) -> Self {
        let dir = TempDir::with_prefix("flott-it-").unwrap();
        let security = dir.path().join("security");
        let mut init = Command::new(flott());
        processes::run(init.args(["security", "init"]).arg(&security)).succeeded();
        let security = format!("security.dir={}", security.display());
        Self::start_in(dir, nodes, "2g", &[], Some(security))
    }

    fn start_in(dir: TempDir, nodes: usize, memory: &str, resource_manager: &[&str], security: Option<String>) -> Self {
        let mut defines = vec!["resourcemanager.port=0".to_owned()];
        defines.push(format!("resourcemanager.state-dir={}", dir.path().join("rm").display()));
        defines.push(storage(dir.path()));
        defines.extend(resource_manager.iter().map(|define| (*define).to_owned()));
        defines.extend(security.clone());
        let resource_manager = Daemon::start(dir.path(), "rm", "resourcemanager", &defines);
        let node = |i| Self::node(dir.path(), &resource_manager, i, 0, memory, security.as_deref());
        let nodes = (0..nodes).map(node).collect();
        Self { dir, resource_manager, nodes, security }
    }

    fn node(
        dir: &Path,
        resource_manager: &Daemon,
        index: usize,
        port: u16,
        memory: &str,
        security: Option<&str>,
    ) -> Daemon {
        let mut defines = vec![
            format!("resourcemanager.port={}", resource_manager.port()),
            format!("nodemanager.port={port}"),
            format!("nodemanager.dir={}", dir.join(format!("nm-{index}")).display()),
            format!("nodemanager.memory={memory}"),
            storage(dir),
        ];
        defines.extend(security.map(str::to_owned));
        Daemon::start(dir, &format!("nm-{index}"), "nodemanager", &defines)
    }

    /// Starts node `index` again on its directory and port.
    pub fn restart_node(&mut self, index: usize) {
        let port = self.nodes[index].port().parse().unwrap();
        self.nodes[index] =
            Self::node(self.dir.path(), &self.resource_manager, index, port, "2g", self.security.as_deref());
    }

    /// Starts the resource manager again on its directory and port.
    pub fn restart_resource_manager(&mut self) {
        self.restart_resource_manager_with(&[]);
    }

    /// The same with more configuration.
    pub fn restart_resource_manager_with(&mut self, more: &[&str]) {
        let mut defines = vec![
            format!("resourcemanager.port={}", self.resource_manager.port()),
            format!("resourcemanager.state-dir={}", self.dir.path().join("rm").display()),
            storage(self.dir.path()),
        ];
        defines.extend(more.iter().map(|define| (*define).to_owned()));
        self.resource_manager = Daemon::start(self.dir.path(), "rm", "resourcemanager", &defines);
    }

    /// A `flott` command aimed at this cluster: `words` in front of the `-D`s, `rest` behind.
    pub fn command(&self, words: &[&str], rest: &[&str]) -> Command {
        let mut command = Command::new(flott());
        command.args(words).arg("-D").arg(format!("resourcemanager.port={}", self.resource_manager.port()));
        command.arg("-D").arg(storage(self.dir.path()));
        command.args(self.security.iter().flat_map(|define| ["-D", define]));
        command.args(rest).env("FLOTT_TEST_CLUSTER", self.dir.path());
        command
    }

    /// Runs such a command to its end.
    pub fn flott(&self, words: &[&str], rest: &[&str]) -> Finished {
        processes::run(&mut self.command(words, rest))
    }

    /// What the ResourceManager answers, or through it an application's JobManager.
    pub fn get(&self, path: &str) -> Value {
        get(&self.resource_manager.address, path)
    }

    /// Runs a command with `--output json` and reads what it prints.
    pub fn json(&self, words: &[&str], rest: &[&str]) -> Value {
        let mut all = vec!["--output", "json"];
        all.extend(rest);
        let finished = self.flott(words, &all).succeeded();
        serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("not JSON ({error}): {}", finished.stdout))
    }

    /// Submits detached; gives application and job id.
    pub fn submit(&self, options: &[&str], program: &Path, arguments: &[&str]) -> (String, String) {
        let program = program.to_str().unwrap();
        let mut rest: Vec<&str> = options.to_vec();
        rest.push(program);
        rest.extend(arguments);
        let submitted = self.json(&["run", "-t", "yarn-per-job", "-d"], &rest);
        let text = |key: &str| submitted[key].as_str().unwrap_or_else(|| panic!("no {key} in {submitted}")).to_owned();
        (text("application"), text("job"))
    }

    /// Processes of this cluster other than its daemons: containers, workers and what they started.
    pub fn container_processes(&self) -> Vec<processes::Process> {
        let daemons: Vec<i32> = self.nodes.iter().map(Daemon::pid).chain([self.resource_manager.pid()]).collect();
        let marker = self.dir.path().to_str().unwrap();
        processes::processes_of(marker).into_iter().filter(|process| !daemons.contains(&process.pid)).collect()
    }

    /// Waits until the application is in `state`, and gives its report.
    pub fn wait_application(&self, application: &str, state: &str) -> Value {
        let mut last = Value::Null;
        wait_for(&format!("{application} to be {state}"), PATIENCE, || {
            last = self.json(&["app", "status"], &[application]);
            (last["state"] == state).then(|| last.clone())
        })
    }

    /// Waits until no container process is left.
    pub fn wait_empty(&self) {
        wait_for("containers and workers to be gone", std::time::Duration::from_secs(10), || {
            self.container_processes().is_empty().then_some(())
        });
    }
}

impl Drop for Yarn {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.kill();
        }
        self.resource_manager.kill();
        for process in self.container_processes() {
            processes::kill(process.pid);
        }
        if std::thread::panicking() {
            for entry in fs::read_dir(self.dir.path()).unwrap().flatten() {
                if entry.path().extension().is_some_and(|extension| extension == "err") {
                    let text = fs::read_to_string(entry.path()).unwrap_or_default();
                    eprintln!("--- {}\n{text}", entry.file_name().to_string_lossy());
                }
            }
        }
    }
}

/// Where everybody in a cluster finds what outlives processes.
fn storage(dir: &Path) -> String {
    format!("flott.storage.dir={}", dir.join("storage").display())
}

/// A job manager with task managers and no resource manager.
pub struct Standalone {
    pub dir: TempDir,
    pub job_manager: Daemon,
    pub task_managers: Vec<Daemon>,
}

impl Standalone {
    /// `task_managers` task managers of `slots` slots each.
    pub fn start(task_managers: usize, slots: u32) -> Self {
        Self::start_set(task_managers, slots, &[])
    }

    /// With more configuration for the job manager.
    pub fn start_set(task_managers: usize, slots: u32, job_manager: &[&str]) -> Self {
        let dir = TempDir::with_prefix("flott-it-").unwrap();
        let mut defines = vec![
            "rest.port=0".to_owned(),
            "jobmanager.rpc.port=0".to_owned(),
            format!("flott.storage.dir={}", dir.path().join("storage").display()),
        ];
        defines.extend(job_manager.iter().map(|define| (*define).to_owned()));
        let job_manager = Daemon::start(dir.path(), "jm", "jobmanager", &defines);
        let task_managers = (0..task_managers)
            .map(|i| {
                let defines = [
                    "jobmanager.rpc.address=127.0.0.1".to_owned(),
                    format!("jobmanager.rpc.port={}", job_manager.links.rsplit(':').next().unwrap()),
                    format!("taskmanager.numberOfTaskSlots={slots}"),
                    format!("io.tmp.dirs={}", dir.path().join(format!("tm-{i}")).display()),
                    format!("env.log.dir={}", dir.path().join(format!("tm-{i}-logs")).display()),
                ];
                Daemon::start(dir.path(), &format!("tm-{i}"), "taskmanager", &defines)
            })
            .collect();
        Self { dir, job_manager, task_managers }
    }

    /// Runs `flott VERB -m this …`.
    pub fn flott(&self, words: &[&str], rest: &[&str]) -> Finished {
        let mut command = Command::new(flott());
        command.args(words).args(["-m", &self.job_manager.address]).args(rest);
        command.env("FLOTT_TEST_CLUSTER", self.dir.path());
        processes::run(&mut command)
    }

    /// What the JobManager's REST API answers.
    pub fn get(&self, path: &str) -> Value {
        get(&self.job_manager.address, path)
    }
}

fn get(address: &str, path: &str) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(flott::rpc::http::Client::new(address).get(path)).unwrap()
}

impl Drop for Standalone {
    fn drop(&mut self) {
        for daemon in self.task_managers.iter_mut().chain([&mut self.job_manager]) {
            daemon.kill();
        }
        for process in processes::processes_of(self.dir.path().to_str().unwrap()) {
            processes::kill(process.pid);
        }
    }
}
