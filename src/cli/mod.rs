//! The command line: `flott <verb>`. The only place that names every daemon.
//!
//! ```text
//! arguments ─► flink_words (single-dash words) ─► Cli (clap) ─► daemons │ run │ jobs │ savepoints │ session │ applications │ queues │ settings
//! ```
//!
//! Conventions: results go to stdout, everything else to stderr; `--output json` everywhere; exit code 0 only for success;
//! an error is printed once, cause first, then what to do.

mod applications;
mod arguments;
mod checkpoints;
mod command;
mod completion;
mod daemons;
mod diagnose;
mod doctor;
mod explain;
mod flink_words;
mod info;
mod jobs;
mod local;
mod logs;
mod nodes;
mod object_stores;
mod output;
mod progress;
mod queues;
mod rescale;
mod restore;
mod run;
mod savepoints;
mod security;
mod session;
mod settings;
mod simulate;
mod top;
mod values;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use arguments::{Cli, Simulate, Verb};
use simulate::SimulateVerb;

use crate::process::forgo_huge_pages;
use crate::testing::{scheduling, simulation};

/// Runs the command line and says how it went. `arguments` begin with the program's own name.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    // First of all: what a daemon touches while it reads its arguments is spread over 6 MiB, and huge pages stay.
    forgo_huge_pages();
    let cli = match Cli::try_parse_from(flink_words::rewrite(arguments)) {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe behind --help is nobody's failure.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            output::print_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.verb {
        Verb::Resourcemanager(options) => daemons::resource_manager(options),
        Verb::Nodemanager(options) => daemons::node_manager(options),
        Verb::Jobmanager(options) => daemons::job_manager(options),
        Verb::Taskmanager(options) => daemons::task_manager(options),
        Verb::Run(options) => run::run(options),
        Verb::List(options) => jobs::list(options),
        Verb::Info(options) => info::info(options),
        Verb::Logs(options) => logs::logs(&options),
        Verb::Cancel(options) => jobs::cancel(options),
        Verb::Stop(options) => checkpoints::stop(options),
        Verb::Savepoint(options) => savepoints::savepoint(options),
        Verb::Checkpoint(options) => checkpoints::checkpoint(options),
        Verb::Diagnose(options) => diagnose::diagnose(options),
        Verb::Top(options) => top::top(options),
        Verb::Rescale(options) => rescale::rescale(options),
        Verb::Session(options) => session::session(options),
        Verb::App(options) => applications::app(options),
        Verb::Node(options) => nodes::node(options),
        Verb::Queue(options) => queues::queue(options),
        Verb::Cluster(options) => nodes::cluster(options),
        Verb::Doctor(options) => doctor::doctor(&options),
        Verb::Completion(options) => completion::completion(&options),
        Verb::Ids(options) => completion::ids(&options),
        Verb::Config(options) => settings::config(options),
        Verb::Shellmaster => command::shell_master(),
        Verb::Security(options) => security::security(options),
        Verb::Simulate(Simulate { verb: Some(SimulateVerb::Scheduler(options)), .. }) => {
            scheduling::command(&options.into())
        }
        Verb::Simulate(Simulate { verb: None, seed, seeds, quiet, faults, minimise }) => {
            simulation::command(&simulation::Options { seed, seeds, quiet, selection: faults.into(), minimise })
        }
    }
}

/// A runtime for one command: the client needs no more than the calling thread.
fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(future)
}
