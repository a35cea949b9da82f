//! Asks a program for its plan or its description: runs its `main` up to `execute`, watched, and says in one line what went wrong if
//! it did.
//!
//! The program gets an environment of its own (nothing of ours), no input, a time and a memory limit. The limit is on resident
//! memory, looked at every 50 ms: a limit on address space would end every program whose allocator reserves generously.

mod run;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use self::run::{Limits, Run, Scratch, went_wrong};
use crate::graph::plan::Plan;
use crate::graph::task::Failure;
use crate::process::{self, Command, Ended};
use crate::protocol::description::Description;
use crate::protocol::job::Program;
use crate::protocol::roles;
use crate::resource::MemorySize;
use crate::rpc::io_cause;

/// The plan's file may be this large.
const PLAN_BYTES_MAX: u64 = 64 << 20;
/// What a program sees of our own environment.
const INHERITED: [&str; 6] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ"];

/// How programs are planned.
#[derive(Clone, Debug)]
pub(super) struct Planner {
    /// `program.plan.timeout`.
    pub(super) timeout: Duration,
    /// `program.plan.memory`.
    pub(super) memory: MemorySize,
    /// Work directories are made in here and removed.
    pub(super) scratch_dir: PathBuf,
    /// This machine's name, for messages.
    pub(super) host: String,
    /// Programs that may run at a time; more wait.
    pub(super) permits: Arc<Semaphore>,
}

/// Programs planned or described at a time: each is a process with memory of its own.
pub(super) const PROGRAMS_MAX: usize = 8;
/// A program says what it is before it does anything.
const DESCRIPTION_TIMEOUT: Duration = Duration::from_secs(3);

impl Planner {
    /// The plan of `program`, whose executable is at `executable` and whose further files are at `files`.
    pub(super) async fn plan(
        &self,
        program: &Program,
        executable: &Path,
        files: &BTreeMap<String, PathBuf>,
        configuration: &BTreeMap<String, String>,
    ) -> Result<Plan, Failure> {
        self.check_runnable(&program.name, executable).await?;
        for name in files.keys() {
            check_name(name)?;
        }
        let scratch = self.scratch();
        let plan_file = scratch.0.join("plan.json");
        let mut command = prepare(&scratch.0, program, executable, files).await?;
        command = command.environment(environment(program, &plan_file, configuration));
        let limits = Limits { timeout: self.timeout, memory: self.memory };
        let run = self.run(command, limits).await?;
        read_plan(&plan_file, &run).await
    }

    /// What the executable tells of itself; nothing where it is no program of ours.
    pub(super) async fn describe(&self, program: &Program, executable: &Path) -> Result<Description, Failure> {
        self.check_runnable(&program.name, executable).await?;
        let scratch = self.scratch();
        let command = prepare(&scratch.0, program, executable, &BTreeMap::new()).await?;
        let mut environment = inherited();
        environment.insert(roles::ROLE.to_owned(), roles::ROLE_DESCRIBE.to_owned());
        let limits = Limits { timeout: self.timeout.min(DESCRIPTION_TIMEOUT), memory: self.memory };
        let run = self.run(command.environment(environment), limits).await?;
        // What it printed before is its own affair.
        let last = run.stdout.lines().next_back().unwrap_or_default();
        serde_json::from_str(last).map_err(|_| Failure::user("the program does not describe itself"))
    }

    async fn run(&self, command: Command, limits: Limits) -> Result<Run, Failure> {
        let _permit = self.permits.acquire().await; // Never closed.
        run::run(command, limits).await
    }

    fn scratch(&self) -> Scratch {
        Scratch(self.scratch_dir.join(format!("plan-{:016x}", fastrand::u64(..))))
    }

    async fn check_runnable(&self, name: &str, executable: &Path) -> Result<(), Failure> {
        let (path, host) = (executable.to_owned(), self.host.clone());
        let checked = tokio::task::spawn_blocking(move || {
            process::check_runnable(&path, &process::Platform::local(), &host)
                .map_err(|refused| Failure::new(refused.kind(), refused.to_string()))
        });
        let hash = executable.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match checked.await {
            Ok(Ok(())) => Ok(()),
            // The file is named by its hash; people know it by its name.
            Ok(Err(failure)) => Err(Failure { message: failure.message.replace(&hash, name), ..failure }),
            Err(_) => Err(Failure::transient("looking at the program was interrupted")),
        }
    }
}

/// Places a program, under its name, and its files below `directory`.
async fn prepare(
    directory: &Path,
    program: &Program,
    executable: &Path,
    files: &BTreeMap<String, PathBuf>,
) -> Result<Command, Failure> {
    let place = |error: std::io::Error| {
        Failure::transient(format!("cannot prepare {}: {}", directory.display(), io_cause(&error)))
    };
    let work = directory.join("work");
    tokio::fs::create_dir_all(&work).await.map_err(place)?;
    for (name, path) in files {
        let link = work.join(name);
        if let Some(parent) = link.parent() {
            tokio::fs::create_dir_all(parent).await.map_err(place)?;
        }
        tokio::fs::symlink(path, link).await.map_err(place)?;
    }
    let file_name = Path::new(&program.name).file_name().unwrap_or("program".as_ref());
    let link = directory.join("bin").join(file_name);
    tokio::fs::create_dir_all(directory.join("bin")).await.map_err(place)?;
    tokio::fs::symlink(executable, &link).await.map_err(place)?;
    let mut command = Command::new(link).arguments(program.arguments.iter().cloned());
    command.directory = Some(work);
    Ok(command)
}

/// A file may be placed in the working directory and nowhere else.
fn check_name(name: &str) -> Result<(), Failure> {
    let inside = !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    let outside = || Failure::user(format!("the file name `{name}` leads out of the working directory"));
    if inside { Ok(()) } else { Err(outside()) }
}

fn inherited() -> BTreeMap<String, String> {
    INHERITED.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect()
}

fn environment(
    program: &Program,
    plan_file: &Path,
    configuration: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let recorded = program.environment.iter().filter(|(name, _)| !name.starts_with(roles::PREFIX));
    let mut environment = inherited();
    environment.extend(recorded.map(|(name, value)| (name.clone(), value.clone())));
    let configuration = serde_json::to_string(configuration).expect("a map of strings is JSON");
    environment.insert(roles::ROLE.to_owned(), roles::ROLE_PLAN.to_owned());
    environment.insert(roles::PLAN.to_owned(), plan_file.display().to_string());
    environment.insert(roles::CONFIGURATION.to_owned(), configuration);
    environment
}

async fn read_plan(path: &Path, run: &Run) -> Result<Plan, Failure> {
    match run.ended {
        Ended::Code(0) => {}
        Ended::Code(_) | Ended::Signal(_) => return Err(went_wrong(run)),
    }
    let unreadable = |cause: String| {
        let version = env!("CARGO_PKG_VERSION");
        Failure::user(format!("the program's plan cannot be read: {cause}; build it against flott {version}"))
    };
    let size = match tokio::fs::metadata(path).await {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Failure::user(
                "the program ended without calling env.execute(…); end main with env.execute(\"name of the job\")",
            ));
        }
        Err(error) => return Err(unreadable(io_cause(&error))),
    };
    if size > PLAN_BYTES_MAX {
        return Err(unreadable(format!("it has {size} bytes, the limit is {PLAN_BYTES_MAX}")));
    }
    let json = tokio::fs::read(path).await.map_err(|error| unreadable(io_cause(&error)))?;
    let plan: Plan = serde_json::from_slice(&json).map_err(|error| unreadable(error.to_string()))?;
    plan.validate().map_err(|invalid| Failure::user(invalid.to_string()))?;
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::protocol::container::{LocalResource, LocalResourceType, Visibility};

    /// Plans a shell script.
    async fn plan(script: &str, timeout: Duration) -> Result<Plan, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let executable = dir.path().join("program");
        std::fs::write(&executable, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&executable, std::fs::Permissions::from_mode(0o755)).unwrap();
        let resource = LocalResource {
            url: String::new(),
            size: 0,
            sha256: None,
            kind: LocalResourceType::File,
            visibility: Visibility::Public,
            executable: true,
        };
        let program = Program {
            name: "script".to_owned(),
            executable: resource,
            arguments: vec!["one".to_owned()],
            environment: [("RECORDED".to_owned(), "yes".to_owned())].into(),
            files: BTreeMap::new(),
        };
        let planner = Planner {
            timeout,
            memory: MemorySize::from_mebibytes(64),
            scratch_dir: dir.path().join("scratch"),
            host: "here".to_owned(),
            permits: Arc::new(Semaphore::new(1)),
        };
        let files = [("data/in.txt".to_owned(), executable.clone())].into();
        let outcome = planner.plan(&program, &executable, &files, &BTreeMap::new()).await;
        assert_eq!(std::fs::read_dir(dir.path().join("scratch")).unwrap().count(), 0, "cleaned up");
        outcome
    }

    async fn failure(script: &str) -> String {
        plan(script, Duration::from_secs(20)).await.unwrap_err().message
    }

    #[tokio::test]
    async fn a_plan_is_read_and_the_program_sees_its_role_files_and_recorded_environment() {
        let expected = crate::jobmanager::job_master::tests::plan(2);
        let json = serde_json::to_string(&*expected).unwrap();
        let script = format!(
            "test \"$RECORDED\" = yes && test \"$1\" = one && test -e data/in.txt && test -z \"$CARGO\" || exit 9\n\
             test \"$FLOTT_INTERNAL_ROLE\" = plan || exit 8\ncat > $FLOTT_INTERNAL_PLAN <<'END'\n{json}\nEND"
        );
        assert_eq!(plan(&script, Duration::from_secs(20)).await.unwrap(), *expected);
    }

    #[tokio::test]
    async fn each_way_to_fail_is_one_clear_line() {
        assert_eq!(
            failure("true").await,
            "the program ended without calling env.execute(…); end main with env.execute(\"name of the job\")"
        );
        let panicked =
            "echo \"thread 'main' (17) panicked at examples/x.rs:3:5:\nno such luck\nnote: run with\" >&2; exit 101";
        assert_eq!(failure(panicked).await, "the program panicked in main: no such luck (at examples/x.rs:3:5)");
        assert_eq!(
            failure("echo \"error: unexpected argument '--foo'\n\nUsage: x\" >&2; exit 2").await,
            "the program exited with code 2 before it reached execute(…): unexpected argument '--foo'"
        );
        assert_eq!(
            failure("echo \"error: these are missing:\n  <INPUT>\n\nUsage: x\" >&2; exit 2").await,
            "the program exited with code 2 before it reached execute(…): these are missing: <INPUT>"
        );
        let layers = "Error: cannot read the prices\n\nCaused by:\n    0: cannot open it\n    1: no such file\n";
        assert_eq!(failure(&format!("echo '{layers}' >&2; exit 1")).await, "no such file (cannot read the prices)");
        let refused = "this program calls execute a second time; a program is one job";
        assert_eq!(failure(&format!("echo '{refused}' >&2; exit 1")).await, refused);
        assert_eq!(
            failure("kill -9 $$").await,
            "the program was killed by signal 9 before it reached execute(…): it said nothing on stderr"
        );
        assert!(failure("echo '{' > $FLOTT_INTERNAL_PLAN").await.starts_with("the program's plan cannot be read: "));
    }

    #[tokio::test]
    async fn a_program_that_hangs_or_swells_is_ended() {
        let hung = plan("sleep 100 & sleep 100", Duration::from_millis(300)).await.unwrap_err().message;
        assert_eq!(hung, "the program did not build its graph within 0.3 s; planning runs main() up to execute(…)");
        let swollen = failure("exec python3 -c 'x = bytearray(200 << 20); import time; time.sleep(100)'").await;
        assert!(swollen.contains("the limit is 64 mb"), "{swollen}");
    }

    #[test]
    fn files_stay_in_the_working_directory() {
        assert!(check_name("data/in.txt").is_ok());
        for name in ["", "/etc/passwd", "../up", "a/../../b", "."] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn a_file_that_is_no_program_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("0123abcd");
        std::fs::write(&file, "hello").unwrap();
        let planner = Planner {
            timeout: Duration::from_secs(1),
            memory: MemorySize::from_mebibytes(64),
            scratch_dir: dir.path().to_owned(),
            host: "here".to_owned(),
            permits: Arc::new(Semaphore::new(1)),
        };
        let refused = planner.check_runnable("notes.txt", &file).await.unwrap_err();
        assert!(refused.message.contains("notes.txt") && !refused.message.contains("0123abcd"), "{refused}");
    }
}
