//! What the command line accepts: Flink's verbs for jobs, YARN's for the cluster, one verb a daemon.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::command::RunCommand;
use super::completion::{Completion, Ids};
use super::diagnose::Diagnose;
use super::doctor::Doctor;
use super::explain::ExplainFormat;
use super::logs::Logs;
use super::nodes::{ClusterCommand, Node};
use super::queues::Queue;
use super::rescale::Rescale;
use super::security::Security;
use super::session::Session;
use super::simulate::{Faults, SimulateVerb};
use super::top::Top;
use super::values::{PARALLELISM_MAX, authority, number};
use crate::ids::{ApplicationId, JobId};

/// flott runs batch and streaming jobs on machines that its resource manager hands out.
#[derive(Debug, Parser)]
#[command(name = "flott", version, propagate_version = true, max_term_width = 110)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Submit a program as a job
    Run(Run),
    /// List jobs
    List(List),
    /// Show one job, running or ended: its times, vertices, failures and checkpoints
    Info(JobChoice),
    /// Show what a job's processes have written, merged by time; of a running job or one that has ended
    Logs(Logs),
    /// Cancel a job
    Cancel(JobChoice),
    /// Stop a job in an orderly way: sources end, what is under way is finished
    Stop(Stop),
    /// Take a savepoint of a running job, look into one, or dispose of one
    Savepoint(Savepoint),
    /// Take a checkpoint of a running job now
    Checkpoint(JobChoice),
    /// Say what is the matter with a job or the whole cluster, why, and what to do
    Diagnose(Diagnose),
    /// Watch jobs run: rates, load, lag, and what is the matter
    Top(Top),
    /// Give a running job, or some of its vertices, another parallelism
    Rescale(Rescale),
    /// Sessions: job managers that stay and take many jobs
    Session(Session),
    /// Applications of the resource manager
    App(App),
    /// Nodes of the resource manager
    Node(Node),
    /// Queues of the resource manager
    Queue(Queue),
    /// The cluster as a whole
    Cluster(ClusterCommand),
    /// Check this machine and the cluster: limits, disks, ports, clocks, versions, nodes; with what to do
    Doctor(Doctor),
    /// Print what a shell needs to complete verbs, options and ids
    Completion(Completion),
    /// What completions ask
    #[command(hide = true)]
    Ids(Ids),
    /// Show the configuration
    Config(Config),
    /// Certificates, the cluster's secret and tokens
    Security(Security),
    /// Run a resource manager
    Resourcemanager(Daemon),
    /// Run a node manager: offers this machine to the resource manager
    Nodemanager(Daemon),
    /// Run a job manager: standalone, or as an application's master
    Jobmanager(Daemon),
    /// Run a task manager: offers slots to a job manager
    Taskmanager(Daemon),
    /// The master of a command that runs in several containers; a node starts it
    #[command(hide = true)]
    Shellmaster,
    /// Run a whole cluster and a word count in one seeded simulation
    Simulate(Simulate),
}

/// Where configuration comes from.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Settings {
    /// Directory of flott.yaml
    #[arg(long, value_name = "DIR", env = "FLOTT_CONF_DIR")]
    pub(super) conf_dir: Option<PathBuf>,
    /// Set a configuration key, e.g. -D parallelism.default=4
    #[arg(short = 'D', value_name = "KEY=VALUE", value_parser = key_value)]
    pub(super) define: Vec<(String, String)>,
    /// File of the token to show; FLOTT_TOKEN holds one itself
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE, e.g. parallelism.default=4".to_owned()),
    }
}

/// Which cluster a client talks to.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Cluster {
    #[command(flatten)]
    pub(super) settings: Settings,
    /// Where the job runs: local, remote, yarn-session, yarn-per-job (also called yarn-application)
    #[arg(short = 't', long, value_name = "TARGET", visible_alias = "executor")]
    pub(super) target: Option<String>,
    /// Address of a standalone job manager, host:port
    #[arg(short = 'm', long, value_name = "HOST:PORT", alias = "job-manager", value_parser = authority)]
    pub(super) jobmanager: Option<String>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct Output {
    /// How to print results
    #[arg(long, value_enum, default_value_t)]
    pub(super) output: OutputFormat,
}

/// `flott run`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    flott run -t yarn-per-job -p 4 target/release/examples/wordcount --input books/ --output counts/\n  \
    flott run -m localhost:8081 -d ./my-job")]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) cluster: Cluster,
    /// Return as soon as the job is submitted
    #[arg(short, long)]
    pub(super) detached: bool,
    /// Parallelism of operators that set none themselves
    #[arg(short, long, value_name = "N", value_parser = number::<u32>(1..=PARALLELISM_MAX))]
    pub(super) parallelism: Option<u32>,
    /// Start from this savepoint or checkpoint: its directory, or its _metadata
    #[arg(short = 's', long = "fromSavepoint", visible_alias = "from-savepoint", value_name = "PATH")]
    pub(super) from_savepoint: Option<String>,
    /// Drop the savepoint's state of operators that the job no longer has
    #[arg(short = 'n', long = "allowNonRestoredState", visible_alias = "allow-non-restored-state")]
    pub(super) allow_non_restored_state: bool,
    /// With -s: whose the savepoint is afterwards; CLAIM: the job's, which removes it as it does its checkpoints
    #[arg(
        long = "claimMode",
        visible_alias = "claim-mode",
        alias = "restoreMode",
        value_name = "CLAIM|NO_CLAIM",
        requires = "from_savepoint"
    )]
    pub(super) claim_mode: Option<String>,
    /// With -s: say what the program makes of the savepoint's state, operator by operator, and start nothing
    #[arg(long, requires = "from_savepoint", conflicts_with = "explain")]
    pub(super) validate: bool,
    /// Print what would run and start nothing: text, json or dot
    #[arg(long, value_enum, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    pub(super) explain: Option<ExplainFormat>,
    /// Files the program finds in its working directory, separated by commas
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    pub(super) files: Vec<PathBuf>,
    /// Environment variable the program sees, e.g. --env RUST_LOG=debug; without a value: as it is here
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(super) env: Vec<String>,
    /// Name of the application
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Queue of the resource manager
    #[arg(short, long, value_name = "QUEUE")]
    pub(super) queue: Option<String>,
    /// Session that the job goes to, with -t yarn-session; by default your newest one
    #[arg(long, value_name = "APPLICATION", visible_alias = "applicationId")]
    pub(super) session: Option<ApplicationId>,
    #[command(flatten)]
    pub(super) output: Output,
    /// The job's executable
    pub(super) program: PathBuf,
    /// Arguments of the program; everything behind the program is its own
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) arguments: Vec<String>,
}

/// `flott list`.
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    pub(super) cluster: Cluster,
    /// Only running jobs
    #[arg(short, long)]
    pub(super) running: bool,
    /// Only jobs that have not started
    #[arg(short, long)]
    pub(super) scheduled: bool,
    /// Ended jobs as well
    #[arg(short, long)]
    pub(super) all: bool,
    /// Also how many records each job has read
    #[arg(short, long)]
    pub(super) verbose: bool,
    #[command(flatten)]
    pub(super) output: Output,
}

/// A verb about one job.
#[derive(Debug, Args)]
pub(super) struct JobChoice {
    #[command(flatten)]
    pub(super) cluster: Cluster,
    #[command(flatten)]
    pub(super) output: Output,
    /// The job: 32 hex digits, as `flott list` shows it
    pub(super) job: JobId,
}

/// `flott stop`.
#[derive(Debug, Args)]
pub(super) struct Stop {
    #[command(flatten)]
    pub(super) cluster: Cluster,
    #[command(flatten)]
    pub(super) output: Output,
    /// Directory of the savepoint that the job leaves; without one: execution.checkpointing.savepoint-dir
    #[arg(short = 'p', long = "savepointPath", visible_alias = "savepoint-path", value_name = "DIR", num_args = 0..=1)]
    pub(super) savepoint: Option<Option<String>>,
    /// Emit what windows and aggregates hold, as if the input had ended; where no directory is known for a savepoint, leaves none
    #[arg(short, long)]
    pub(super) drain: bool,
    /// The job: 32 hex digits, as `flott list` shows it
    pub(super) job: Option<JobId>,
}

/// `flott savepoint`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Savepoint {
    #[command(subcommand)]
    pub(super) verb: Option<SavepointVerb>,
    #[command(flatten)]
    pub(super) cluster: Cluster,
    #[command(flatten)]
    pub(super) output: Output,
    /// Remove this savepoint and all it holds, instead of taking one
    #[arg(short, long, value_name = "PATH", conflicts_with = "job")]
    pub(super) dispose: Option<String>,
    /// The job: 32 hex digits, as `flott list` shows it
    #[arg(required_unless_present = "dispose")]
    pub(super) job: Option<JobId>,
    /// Directory that the savepoint gets a directory in; without one: execution.checkpointing.savepoint-dir
    pub(super) directory: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum SavepointVerb {
    /// Show what it holds: operators, states, their types, some entries. Needs no program and no cluster
    Inspect {
        /// Its directory, or its _metadata
        path: String,
        /// How many entries of each state to show
        #[arg(long, value_name = "N", default_value_t = 3, value_parser = number::<usize>(0..=10_000))]
        samples: usize,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        output: Output,
    },
}

/// `flott app`.
#[derive(Debug, Args)]
pub(super) struct App {
    #[command(subcommand)]
    pub(super) verb: AppVerb,
}

#[derive(Debug, Subcommand)]
pub(super) enum AppVerb {
    /// Run a shell command as an application: here its output, its exit code, and Ctrl-C kills it
    Run(RunCommand),
    /// List applications
    List {
        #[command(flatten)]
        settings: Settings,
        /// Ended ones as well
        #[arg(short, long)]
        all: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Show one application: state, why it waits, how it ended
    Status {
        #[command(flatten)]
        choice: AppChoice,
    },
    /// Say why an application waits: per ask, and for what it wants most per node
    Why {
        #[command(flatten)]
        choice: AppChoice,
    },
    /// Move an application with all it has to another queue
    Move {
        #[command(flatten)]
        choice: AppChoice,
        /// The queue, by path or unique name
        queue: String,
    },
    /// Give an application another priority among those of its queue
    Priority {
        #[command(flatten)]
        choice: AppChoice,
        /// Larger numbers are served first
        #[arg(value_parser = number::<u32>(0..=u64::from(u32::MAX)))]
        priority: u32,
    },
    /// End an application and its containers
    Kill {
        #[command(flatten)]
        choice: AppChoice,
    },
    /// Print what its containers wrote
    Logs {
        #[command(flatten)]
        choice: AppChoice,
        /// Only this container
        #[arg(long, value_name = "CONTAINER")]
        container: Option<String>,
        /// Only files with this name, e.g. stdout
        #[arg(long, value_name = "FILE")]
        file: Option<String>,
    },
}

/// One application.
#[derive(Debug, Args)]
pub(super) struct AppChoice {
    #[command(flatten)]
    pub(super) settings: Settings,
    #[command(flatten)]
    pub(super) output: Output,
    /// The application, e.g. application_1760000000000_0001
    pub(super) application: ApplicationId,
}

/// `flott config`.
#[derive(Debug, Args)]
pub(super) struct Config {
    #[command(subcommand)]
    pub(super) verb: ConfigVerb,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigVerb {
    /// Print every key with its value
    Show {
        #[command(flatten)]
        settings: Settings,
        /// Also where each value comes from
        #[arg(long)]
        origin: bool,
        #[command(flatten)]
        output: Output,
    },
}

/// A daemon.
#[derive(Debug, Args)]
pub(super) struct Daemon {
    #[command(flatten)]
    pub(super) settings: Settings,
    /// Write {"pid","address"} to this file once ready
    #[arg(long, value_name = "FILE")]
    pub(super) ready_file: Option<PathBuf>,
}

/// `flott simulate`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Simulate {
    #[command(subcommand)]
    pub(super) verb: Option<SimulateVerb>,
    /// Seed of everything that happens; the same seed gives the same trace
    #[arg(long, default_value_t = 1, value_parser = number::<u64>(0..=u64::MAX))]
    pub(super) seed: u64,
    /// How many seeds to run, counting up from --seed; only failures are printed when more than one
    #[arg(long, default_value_t = 1, value_parser = number::<u64>(1..=u64::MAX))]
    pub(super) seeds: u64,
    /// Do not print the trace
    #[arg(long)]
    pub(super) quiet: bool,
    #[command(flatten)]
    pub(super) faults: Faults,
    /// Of a seed that fails, find the fewest faults with which it still does
    #[arg(long)]
    pub(super) minimise: bool,
}

/// A duration as people write it.
pub(super) fn duration(text: &str) -> Result<std::time::Duration, String> {
    crate::config::parse_duration(text).ok_or_else(|| "write a duration, e.g. 90 s, 30 min or 2 h".to_owned())
}
