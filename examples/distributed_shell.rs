//! An application master in another domain than flott's own: runs a shell command on N containers, tries again those that fail,
//! and collects what each printed. (`flott app run --containers N` does less with the same library.)
//!
//! ```text
//! distributed_shell --containers 3 --output /tmp/results -- 'hostname; echo run $RUN, try $TRY'
//! ```
//!
//! Started by a person it submits *itself* to the ResourceManager and waits; started by the ResourceManager, in the application's
//! first container, it is the master.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Parser;
use flott::application_master::{ApplicationMaster, Ask, Error, Event, Identity, Registration};
use flott::client::{LocalProgram, ResourceManager};
use flott::ids::{ApplicationId, ContainerId};
use flott::protocol::application_master::FinalStatus;
use flott::protocol::container::{Allocation, LaunchContext, LocalResource, LocalResourceType, Visibility};
use flott::protocol::submission::Submission;
use flott::resource::Resource;
use flott::rpc::Credentials;
use flott::rpc::http::Client;
use serde::{Deserialize, Serialize};

/// Carries the [`Work`] from the client to the master.
const WORK: &str = "DISTRIBUTED_SHELL_WORK";
/// Of the runs; masters are asked for with 0.
const PRIORITY: u32 = 1;

/// What is to be run.
#[derive(Clone, Debug, Parser, Serialize, Deserialize)]
#[command(about = "Runs a command on several containers of a cluster, with retries")]
struct Work {
    /// In how many containers
    #[arg(long, default_value_t = 2)]
    containers: u32,
    /// Memory of each, in MB
    #[arg(long, default_value_t = 64)]
    memory: u64,
    /// How often a run that fails is tried again
    #[arg(long, default_value_t = 2)]
    retries: u32,
    /// Hosts where runs are best placed, separated by commas
    #[arg(long, value_delimiter = ',')]
    hosts: Vec<String>,
    /// A directory that every node sees: what run N printed becomes run-N.txt there
    #[arg(long)]
    output: PathBuf,
    /// host:port of the ResourceManager
    #[arg(long, default_value = "127.0.0.1:8088")]
    resource_manager: String,
    /// A line for bash
    #[arg(last = true, required = true)]
    command: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    match std::env::var(WORK) {
        Ok(json) => run_as_master(serde_json::from_str(&json)?).await,
        Err(_) => submit(&Work::parse()).await,
    }
}

// ---- the client -------------------------------------------------------------------------------------------------------------

/// Submits this very program as the master, and waits for the end.
async fn submit(work: &Work) -> anyhow::Result<()> {
    let user = std::env::var("USER").unwrap_or_else(|_| "nobody".to_owned());
    let cluster = ResourceManager::new(&work.resource_manager, &user, &Credentials::default());
    let work = Work { output: std::path::absolute(&work.output)?, ..work.clone() };
    std::fs::create_dir_all(&work.output)?;
    let application: ApplicationId = cluster.new_application().await?.application_id.parse()?;
    // The node fetches it by its hash, and only if no application has brought it there before.
    let program = LocalProgram::executable(&std::env::current_exe()?)?;
    let executable = LocalResource {
        url: cluster.upload(&program).await?,
        size: program.size,
        sha256: Some(program.sha256.clone()),
        kind: LocalResourceType::File,
        visibility: Visibility::Public,
        executable: true,
    };
    let master = LaunchContext {
        resources: BTreeMap::from([("distributed_shell".to_owned(), executable)]),
        environment: BTreeMap::from([(WORK.to_owned(), serde_json::to_string(&work)?)]),
        commands: vec!["./distributed_shell 1><LOG_DIR>/stdout 2><LOG_DIR>/stderr".to_owned()],
        tokens: BTreeMap::new(),
    };
    cluster
        .submit(&Submission {
            application,
            name: "distributed shell".to_owned(),
            queue: "default".to_owned(),
            user,
            application_type: "DISTRIBUTED_SHELL".to_owned(),
            tags: Vec::new(),
            priority: 0,
            master,
            resource: Resource::new(64, 1),
            max_attempts: Some(2),
            attempt_failures_validity_ms: None,
            keep_containers_across_attempts: false,
            lifetime_ms: None,
            is_command: false,
        })
        .await?;
    println!("submitted {application}");
    let mut since = 0;
    loop {
        let report = cluster.application_changed(application, since).await?;
        since = report.version;
        if report.state.is_terminal() {
            println!("{}", report.diagnostics);
            if report.final_status != FinalStatus::Succeeded {
                bail!("the application has failed; its logs: flott app logs {application}");
            }
            return Ok(());
        }
    }
}

// ---- the master -------------------------------------------------------------------------------------------------------------

/// One run of the command: which it is, and how often it has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    number: u32,
    failures: u32,
}

async fn run_as_master(work: Work) -> anyhow::Result<()> {
    let master = ApplicationMaster::register(&Identity::from_environment()?, Registration::default()).await?;
    let waiting = (0..work.containers).rev().map(|number| Run { number, failures: 0 }).collect();
    let shell = Shell { work, master, waiting, running: BTreeMap::new(), done: 0, retried: 0 };
    match shell.run().await {
        // Another attempt runs, or the application was killed: there is nobody to unregister for.
        Err(error) if matches!(error.downcast_ref(), Some(Error::Shutdown { .. })) => Ok(()),
        outcome => outcome,
    }
}

struct Shell {
    work: Work,
    master: ApplicationMaster,
    /// Runs without a container; the last one is next.
    waiting: Vec<Run>,
    running: BTreeMap<ContainerId, (Run, Allocation)>,
    done: u32,
    retried: u32,
}

impl Shell {
    async fn run(mut self) -> anyhow::Result<()> {
        self.ask()?;
        while self.done < self.work.containers {
            match self.master.next().await? {
                Event::Granted(container) => self.start(*container).await?,
                Event::Completed(status) => {
                    let Some((run, container)) = self.running.remove(&status.container) else { continue };
                    let Some(exit) = status.exit else { continue };
                    if exit.cause.is_success() {
                        self.collect(run, &container).await?;
                        self.done += 1;
                        self.master.set_progress(self.done as f32 / self.work.containers as f32)?;
                        continue;
                    }
                    // A node that is lost, a preemption: no fault of the run.
                    let failures = run.failures + u32::from(exit.cause.counts_as_attempt_failure());
                    if failures > self.work.retries {
                        let why = format!("run {} failed {failures} times, at last it {}", run.number, exit.cause);
                        return Ok(self.master.finish(FinalStatus::Failed, &why).await?);
                    }
                    println!("run {} {} on {}; once more", run.number, exit.cause, container.node);
                    self.retried += 1;
                    self.waiting.push(Run { failures, ..run });
                    self.ask()?;
                }
                Event::Waiting(asks) => {
                    for ask in asks {
                        println!("{} containers wait: {}", ask.count, ask.reason);
                    }
                }
                Event::StopRequested(why) => return Ok(self.master.finish(FinalStatus::Killed, &why).await?),
                Event::NodeChanged(report) => println!("{} is {}", report.node, report.state),
                Event::Preempting(notices) => println!("{} containers are to be taken", notices.len()),
            }
        }
        let summary = format!("{} runs ended well, after {} retries", self.done, self.retried);
        Ok(self.master.finish(FinalStatus::Succeeded, &summary).await?)
    }

    /// Asks are absolute: what is wanted now, beside what was granted.
    fn ask(&mut self) -> Result<(), Error> {
        let count = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        let anywhere = Ask::anywhere(PRIORITY, Resource::new(self.work.memory, 1), count);
        self.master.ask(Ask { hosts: self.work.hosts.clone(), ..anywhere })
    }

    async fn start(&mut self, container: Allocation) -> Result<(), Error> {
        // A grant may cross our taking an ask back: what is too much goes back.
        let Some(run) = self.waiting.pop() else { return self.master.release(container.container) };
        let environment = [("RUN", run.number), ("TRY", run.failures + 1)];
        let context = LaunchContext {
            environment: environment.map(|(name, value)| (name.to_owned(), value.to_string())).into(),
            commands: vec![format!("{{ {}\n}} 1><LOG_DIR>/stdout 2><LOG_DIR>/stderr", self.work.command)],
            ..LaunchContext::default()
        };
        match self.master.start(&container, context).await {
            Ok(()) => {
                self.running.insert(container.container, (run, container));
                Ok(())
            }
            Err(error) => {
                println!("{} does not take a container: {error}", container.node);
                self.waiting.push(run);
                self.master.release(container.container)?;
                self.ask()
            }
        }
    }

    /// What a run printed lies on its node, below the container's log directory.
    async fn collect(&self, run: Run, container: &Allocation) -> anyhow::Result<()> {
        let path = format!("/ws/v1/node/containerlogs/{}/stdout", container.container);
        let printed = Client::new(&container.node_http_address).get_text(&path).await?;
        let file = file_of(&self.work.output, run.number);
        std::fs::write(&file, printed).with_context(|| format!("cannot write {}", file.display()))
    }
}

fn file_of(output: &Path, run: u32) -> PathBuf {
    output.join(format!("run-{run}.txt"))
}
