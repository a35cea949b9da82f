//! `flott completion`: what a shell needs to complete verbs and options, and the ids that are there at this moment.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::{Shell, generate};

use super::arguments::{Cli, Cluster};
use super::block_on;
use super::jobs::Place;
use super::output::write;
use crate::client::JobManager;

/// A person who waits for a completion does not wait long.
const PATIENCE: Duration = Duration::from_secs(2);

/// `flott completion`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    bash:  source <(flott completion bash)      in ~/.bashrc\n  \
    zsh:   source <(flott completion zsh)       in ~/.zshrc, behind compinit\n  \
    fish:  flott completion fish | source       in ~/.config/fish/config.fish")]
pub(super) struct Completion {
    /// The shell
    #[arg(value_enum)]
    shell: KnownShell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum KnownShell {
    Bash,
    Zsh,
    Fish,
}

/// `flott ids`, which completions ask.
#[derive(Debug, Args)]
pub(super) struct Ids {
    #[command(flatten)]
    cluster: Cluster,
    /// Of what
    #[arg(value_enum)]
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Jobs,
    EndedJobs,
    Applications,
}

/// Verbs whose argument is a job that has not ended; those that ended ones suit, too; and those about applications.
const OF_JOBS: &str = "cancel stop savepoint checkpoint rescale";
const OF_ALL_JOBS: &str = "info logs diagnose";
const OF_APPLICATIONS: &str = "app";

/// `flott completion`.
pub(super) fn completion(options: &Completion) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    let (shell, live) = match options.shell {
        KnownShell::Bash => (Shell::Bash, BASH),
        KnownShell::Zsh => (Shell::Zsh, ZSH),
        KnownShell::Fish => (Shell::Fish, FISH),
    };
    generate(shell, &mut Cli::command(), "flott", &mut script);
    let named = [("@OF_JOBS@", OF_JOBS), ("@OF_ALL_JOBS@", OF_ALL_JOBS), ("@OF_APPLICATIONS@", OF_APPLICATIONS)];
    // Bash and zsh separate the words of a case by bars.
    let words = |words: &str| if matches!(shell, Shell::Fish) { words.to_owned() } else { words.replace(' ', "|") };
    let live = named.iter().fold(live.to_owned(), |live, (name, verbs)| live.replace(name, &words(verbs)));
    script.extend_from_slice(live.as_bytes());
    write(&script)?;
    Ok(ExitCode::SUCCESS)
}

const BASH: &str = r#"
_flott_live() {
    _flott "$@"
    local kind="" cur="${COMP_WORDS[COMP_CWORD]}"
    case "$cur" in -*) return ;; esac
    case "${COMP_WORDS[1]}" in
        @OF_JOBS@) kind=jobs ;;
        @OF_ALL_JOBS@) kind=ended-jobs ;;
        @OF_APPLICATIONS@) [ "$COMP_CWORD" -gt 2 ] && kind=applications ;;
    esac
    [ -n "$kind" ] && COMPREPLY=( $(compgen -W "$(flott ids "$kind" 2>/dev/null)" -- "$cur") )
}
complete -F _flott_live flott
"#;

const ZSH: &str = r#"
_flott_live() {
    local kind=""
    case "${words[2]}" in
        @OF_JOBS@) kind=jobs ;;
        @OF_ALL_JOBS@) kind=ended-jobs ;;
        @OF_APPLICATIONS@) (( CURRENT > 3 )) && kind=applications ;;
    esac
    if [[ -n "$kind" && "${words[CURRENT]}" != -* ]] && (( CURRENT > 2 )); then
        compadd -- ${(f)"$(flott ids $kind 2>/dev/null)"} && return
    fi
    _flott "$@"
}
compdef _flott_live flott
"#;

const FISH: &str = r#"
complete -c flott -f -n "__fish_seen_subcommand_from @OF_JOBS@" -a "(flott ids jobs 2>/dev/null)"
complete -c flott -f -n "__fish_seen_subcommand_from @OF_ALL_JOBS@" -a "(flott ids ended-jobs 2>/dev/null)"
complete -c flott -f -n "__fish_seen_subcommand_from @OF_APPLICATIONS@; and __fish_seen_subcommand_from status why move priority kill logs" -a "(flott ids applications 2>/dev/null)"
"#;

/// `flott ids`: those of the cluster that the configuration names, one a line; none where nobody answers soon.
pub(super) fn ids(options: &Ids) -> anyhow::Result<ExitCode> {
    let found = block_on(async {
        let found = tokio::time::timeout(PATIENCE, find(options)).await;
        Ok(found.ok().and_then(Result::ok).unwrap_or_default())
    })?;
    write(found.iter().map(|id| format!("{id}\n")).collect::<String>().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

async fn find(options: &Ids) -> anyhow::Result<BTreeSet<String>> {
    let (place, _) = options.cluster.place().await?;
    let ended_too = options.kind == Kind::EndedJobs;
    let wanted = |jobs: Vec<crate::client::JobOverview>| {
        let wanted = jobs.into_iter().filter(move |job| ended_too || !job.state.is_globally_terminal());
        wanted.map(|job| job.jid.to_string()).collect::<Vec<_>>()
    };
    let mut found = BTreeSet::new();
    match (place, options.kind) {
        (Place::Standalone(_), Kind::Applications) => {}
        (Place::Standalone(job_manager), Kind::Jobs | Kind::EndedJobs) => {
            found.extend(wanted(job_manager.jobs().await?))
        }
        (Place::Applications(cluster), Kind::Applications) => {
            found.extend(cluster.applications().await?.into_iter().map(|application| application.id));
        }
        (Place::Applications(cluster), Kind::Jobs | Kind::EndedJobs) => {
            for application in cluster.running_masters().await? {
                let jobs = JobManager::of_application(&cluster, &application.id).jobs().await;
                found.extend(wanted(jobs.unwrap_or_default()));
            }
            if ended_too {
                found.extend(wanted(cluster.archived(None).await?));
            }
        }
    }
    Ok(found)
}
