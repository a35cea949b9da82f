//! The clusters that bad inputs meet.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flott::time::Deadline;
use serde_json::Value;

use super::Server;
use super::case::{Case, content, words};
use crate::cluster::{Standalone, Yarn};
use crate::processes::{self, PATIENCE, example, flott, wait_for};

/// No bad input takes longer to be told.
const LIMIT: Duration = Duration::from_secs(20);
/// Of all that one worker prints, what is kept.
const PRINTED_BYTES_MAX: u64 = 64 << 20;

/// An application that the resource manager does not remember.
const ENDED: &str = "application_1_0009";

/// Words that are a programmer's, not a user's.
const RUST: [&str; 7] = ["stack backtrace", "Some(", "Err(", "Error {", "called `", "unwrap()", " { line:"];

/// A resource manager with an application, and a job manager with a job that was savepointed.
pub(super) struct Site {
    yarn: Yarn,
    standalone: Standalone,
    application: String,
    user: String,
    job: String,
    savepoint: String,
    count: AtomicUsize,
}

impl Site {
    pub(super) fn start() -> Self {
        let yarn = Yarn::start(1);
        let limits = ["program.plan.timeout=3 s", "program.plan.memory=128mb", "slot.request.timeout=2 s"];
        let standalone = Standalone::start_set(1, 4, &limits);
        let submitted = yarn.json(&["app", "run"], &["-d", "--", "sleep 600"]);
        let application = submitted["application"].as_str().unwrap().to_owned();
        let user = yarn.wait_application(&application, "RUNNING")["user"].as_str().unwrap().to_owned();
        let (job, savepoint) = audited(&standalone);
        lay_out_archives(&yarn.dir.path().join("storage").join("history").join(ENDED));
        Self { yarn, standalone, application, user, job, savepoint, count: AtomicUsize::new(0) }
    }

    /// Replaces `$NAME`s, the longest first.
    fn variables(&self, dir: &Path) -> Vec<(&'static str, String)> {
        let examples = example("wordcount").parent().unwrap().to_owned();
        vec![
            ("$APPLICATION", self.application.clone()),
            ("$SAVEPOINT", dir.join("savepoint").display().to_string()),
            ("$EXAMPLES", examples.display().to_string()),
            ("$RMPORT", self.yarn.resource_manager.port().to_owned()),
            ("$USER", self.user.clone()),
            ("$DIR", dir.display().to_string()),
            ("$ENDED", ENDED.to_owned()),
            ("$JOB", self.job.clone()),
            ("$JM", self.standalone.job_manager.address.clone()),
            ("$RM", self.yarn.resource_manager.address.clone()),
        ]
    }

    /// Puts a case to the test: what is wrong with how it was met.
    pub(super) fn meets(&self, case: &Case, server: Server) -> Result<(), String> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let dir = self.standalone.dir.path().join(format!("case-{number:03}"));
        fs::create_dir(&dir).unwrap();
        case.lay_out(&dir);
        if let Some(damage) = case.damage {
            copy(Path::new(&self.savepoint), &dir.join("savepoint"));
            damage.strike(&dir.join("savepoint"));
        }
        let variables = self.variables(&dir);
        let filled =
            |text: &str| variables.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
        let (refused, said) = match &case.http {
            Some(request) => {
                let address = match server {
                    Server::JobManager => &self.standalone.job_manager.address,
                    Server::ResourceManager => &self.yarn.resource_manager.address,
                };
                let body = case.body.as_deref().map(|body| content(&filled(body)));
                let (status, answer) = http(address, &filled(request), body.as_deref());
                let expected = case.status.unwrap_or(400);
                (status == expected, format!("{answer}\n[{status}, not {expected}]"))
            }
            None => {
                let (success, said) = command(case, &filled, &dir)?;
                (success == case.succeeds, said)
            }
        };
        let mut rest = said.as_str();
        for words in &case.says {
            let words = filled(words);
            let Some(at) = rest.find(&words) else { return Err(format!("does not say {words:?}, but\n{said}")) };
            rest = &rest[at + words.len()..];
        }
        match RUST.iter().find(|word| said.contains(**word)) {
            _ if !refused => Err(format!("was taken, or refused otherwise:\n{said}")),
            _ if case.says.is_empty() => Err(format!("nothing is demanded of what it says:\n{said}")),
            Some(word) => Err(format!("says {word:?}:\n{said}")),
            None => Ok(()),
        }
    }

    /// Panics unless everything runs that ran before, and nothing else.
    pub(super) fn is_as_it_was(&self) {
        let state = self.yarn.wait_application(&self.application, "RUNNING");
        assert_eq!(state["runningContainers"], 1, "{state}");
        wait_for("programs and workers of bad inputs to be gone", PATIENCE, || {
            let running = processes::processes_of(self.standalone.dir.path().to_str().unwrap());
            let strays =
                running.iter().filter(|it| !it.command.contains("--ready-file") && !it.command.contains("/live-in"));
            (strays.count() == 0).then_some(())
        });
        let job = self.standalone.get(&format!("/jobs/{}", self.job));
        assert_eq!(job["state"], "RUNNING");
        let exceptions = self.standalone.get(&format!("/jobs/{}/exceptions", self.job));
        assert_eq!(
            exceptions["exceptionHistory"]["entries"],
            Value::Array(Vec::new()),
            "the audited job was disturbed"
        );
        let scratch = self.standalone.dir.path().join("storage").join("standalone").join("scratch");
        assert_eq!(fs::read_dir(scratch).unwrap().count(), 0, "planning left files behind");
    }

    /// Lets a job print for a while.
    pub(super) fn cancels_what_prints_without_end(&self) {
        let faulty = example("faulty");
        // A function that never returns is given so long.
        let patience = ["-D", "task.cancellation.timeout=2 s"];
        let words = [&["-d", "--output", "json"], &patience[..], &[faulty.to_str().unwrap(), "print-in-map"]].concat();
        let submitted = self.standalone.flott(&["run"], &words).succeeded();
        let job: Value = serde_json::from_str(&submitted.stdout).unwrap();
        let job = job["job"].as_str().unwrap();
        let dir = self.standalone.dir.path();
        wait_for("many lines to be printed and dropped", PATIENCE, || {
            let files = files_below(dir);
            let rotated = files.iter().any(|(path, _)| path.contains(job) && path.ends_with(".1"));
            rotated.then_some(())
        });
        let printed: u64 = files_below(dir).iter().filter(|(path, _)| path.contains(job)).map(|(_, bytes)| bytes).sum();
        assert!(printed <= PRINTED_BYTES_MAX, "{printed} bytes");
        self.standalone.flott(&["cancel"], &[job]).succeeded();
        wait_for("the job to be cancelled", PATIENCE, || {
            (self.standalone.get(&format!("/jobs/{job}"))["state"] == "CANCELED").then_some(())
        });
    }
}

/// Archives that are none, each under the job whose number its case says.
fn lay_out_archives(dir: &Path) {
    let job = |number: u32| format!("{number:032x}");
    let archives: [(u32, Vec<u8>); 6] = [
        (1, br#"{"version":1,"job":""#.to_vec()),
        (2, content("@bytes")),
        (3, format!(r#"{{"version":99,"job":"{}","archive":{{"of":"later"}}}}"#, job(3)).into_bytes()),
        (4, Vec::new()),
        (5, content("@brackets")),
        (6, format!(r#"{{"version":1,"job":"{}","archive":[]}}"#, job(3)).into_bytes()),
    ];
    fs::create_dir_all(dir).unwrap();
    for (number, bytes) in archives {
        fs::write(dir.join(format!("{}.json", job(number))), bytes).unwrap();
    }
}

/// A job with state that waits for input, and a savepoint of it.
fn audited(standalone: &Standalone) -> (String, String) {
    let dir = |name: &str| {
        let dir = standalone.dir.path().join(name);
        fs::create_dir(&dir).unwrap();
        dir.display().to_string()
    };
    let (input, versions, output) = (dir("live-input"), dir("live-versions"), dir("live-output"));
    let entries: String = (0..100).map(|n| format!("{} {} {}\n", n % 5, n / 5, n / 5 * 400)).collect();
    fs::write(Path::new(&input).join("a.txt"), entries).unwrap();
    let program = example("audit");
    let program = program.to_str().unwrap();
    let in_files = "execution.checkpointing.data-inline-threshold=0 kb";
    let words = [
        "-d",
        "--output",
        "json",
        "-D",
        in_files,
        program,
        "--input",
        &input,
        "--versions",
        &versions,
        "--output",
        &output,
    ];
    let submitted = standalone.flott(&["run"], &words).succeeded();
    let submitted: Value = serde_json::from_str(&submitted.stdout).unwrap();
    let job = submitted["job"].as_str().unwrap().to_owned();
    wait_for("the entries to be read", PATIENCE, || {
        let details = standalone.get(&format!("/jobs/{job}"));
        let read = details["vertices"]
            .as_array()?
            .iter()
            .filter_map(|it| it["metrics"]["write-records"].as_u64())
            .sum::<u64>();
        (read >= 100).then_some(())
    });
    let target = dir("savepoints");
    let taken = standalone.flott(&["savepoint"], &["--output", "json", &job, &target]).succeeded();
    let taken: Value = serde_json::from_str(&taken.stdout).unwrap();
    (job, taken["savepoint"].as_str().unwrap().to_owned())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Path and size of each file below a directory.
fn files_below(dir: &Path) -> Vec<(String, u64)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => files.extend(files_below(&entry.path())),
            Ok(metadata) => files.push((entry.path().display().to_string(), metadata.len())),
            Err(_) => {} // It has just gone.
        }
    }
    files
}

/// Runs a case's command: whether it succeeded, and what it said.
fn command(case: &Case, filled: &impl Fn(&str) -> String, dir: &Path) -> Result<(bool, String), String> {
    let mut command = match &case.program {
        Some(program) => {
            let words = words(&filled(program));
            let mut command = Command::new(example(&words[0]));
            command.args(&words[1..]);
            command
        }
        None => {
            let mut command = Command::new(flott());
            command.args(words(&filled(case.run.as_deref().unwrap_or_default())));
            command
        }
    };
    let said = dir.join("said");
    let file = fs::File::create(&said).unwrap();
    command.env("FLOTT_TEST_CLUSTER", dir).env_remove("FLOTT_CONF_DIR").env_remove("RUST_BACKTRACE").current_dir(dir);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().unwrap();
    let deadline = Deadline::after(LIMIT);
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if deadline.passed() => {
                let _ = child.kill();
                let _ = child.wait();
                let said = fs::read(&said).unwrap();
                return Err(format!("does not end within {LIMIT:?}:\n{}", String::from_utf8_lossy(&said)));
            }
            None => std::thread::park_timeout(Duration::from_millis(5)),
        }
    };
    let text = String::from_utf8_lossy(&fs::read(said).unwrap()).into_owned();
    Ok((status.success(), text))
}

/// A request as it stands there: no client that would put its path in order.
fn http(address: &str, request: &str, body: Option<&[u8]>) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let head = match body {
        Some(body) => format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()),
        None => String::new(),
    };
    write!(stream, "{request} HTTP/1.0\r\nhost: {address}\r\n{head}\r\n").unwrap();
    let _ = stream.write_all(body.unwrap_or_default()); // Who refuses early does not read it all.
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer); // Nor does it always wait.
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer.split_once("\r\n\r\n").map_or(answer.clone(), |(_, body)| body.to_owned()))
}
