//! A cluster that `flott security init` has made safe: what it does, and whom it keeps out.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::cluster::Yarn;
use crate::processes::{self, example, flott, naive_counts, parts};

/// All that daemons and containers have written below `dir`, the directory of secrets itself left out.
fn everything_written(dir: &Path, into: &mut String) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("security") {
            everything_written(&path, into);
        } else if path.is_file() && path.metadata().unwrap().len() < 1 << 20 {
            into.push_str(&String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()));
        }
    }
}

#[test]
fn a_job_runs_over_tls_and_strangers_are_kept_out() {
    let yarn = Yarn::start_secured(2);
    let security = yarn.dir.path().join("security");
    let input = yarn.dir.path().join("text.txt");
    let text = "to be or not to be\n".repeat(2000);
    fs::write(&input, &text).unwrap();
    let output = yarn.dir.path().join("counts");
    let program = example("wordcount");
    let arguments =
        [program.to_str().unwrap(), "--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()];
    // Of one slot each: the data goes from machine to machine.
    let options = ["run", "-t", "yarn-per-job", "-p", "2", "-D", "taskmanager.memory.process.size=512m"];
    yarn.flott(&options, &arguments).succeeded();
    assert_eq!(parts(&output), naive_counts(&text));
    let applications = yarn.json(&["app", "list"], &["--all"]);
    assert_eq!(applications[0]["finalStatus"], "SUCCEEDED", "{applications}");
    let application = applications[0]["id"].as_str().unwrap();
    let logs = yarn.flott(&["app", "logs"], &[application]).succeeded();
    assert!(logs.stdout.contains("JobManager is ready"), "{}", logs.stdout);

    // Somebody elsewhere, with what is theirs only.
    let elsewhere = |words: &[&str], security_options: &[String]| {
        let mut command = Command::new(flott());
        command.args(words).arg("-D").arg(format!("resourcemanager.port={}", yarn.resource_manager.port()));
        command.args(security_options).env_remove("FLOTT_TOKEN").env("FLOTT_TEST_CLUSTER", yarn.dir.path());
        processes::run(&mut command)
    };
    let ca = ["-D".to_owned(), format!("security.tls.ca={}", security.join("ca.pem").display())];
    let token = |name: &str| ["--token-file".to_owned(), security.join(name).display().to_string()];
    elsewhere(&["app", "list"], &[]).failed_with("this port speaks TLS");
    elsewhere(&["app", "list"], &ca).failed_with("show a token this cluster knows");
    elsewhere(&["app", "list"], &[ca.clone(), token("read.token")].concat()).succeeded();
    elsewhere(&["session", "start", "-d"], &[ca.clone(), token("read.token")].concat())
        .failed_with("this token allows to look");
    elsewhere(&["app", "list"], &[ca, token("admin.token")].concat()).succeeded();

    let mut written = String::new();
    everything_written(yarn.dir.path(), &mut written);
    assert!(written.contains("JobManager is ready"), "the logs were looked at");
    for name in ["secret", "admin.token", "read.token"] {
        let secret = fs::read_to_string(security.join(name)).unwrap();
        assert!(!written.contains(secret.trim()), "the {name} is in a log or a container's directory");
    }
    yarn.wait_empty();
}

#[test]
fn an_open_address_without_protection_is_refused_with_what_to_do() {
    let mut command = Command::new(flott());
    command.args(["resourcemanager", "-D", "resourcemanager.bind-host=0.0.0.0", "-D", "resourcemanager.port=0"]);
    processes::run(&mut command).failed_with("run `flott security init DIR`");
    let mut command = Command::new(flott());
    command.args(["jobmanager", "-D", "rest.bind-address=0.0.0.0", "-D", "cluster.secret=sesame", "-D", "rest.port=0"]);
    processes::run(&mut command).failed_with("anybody could submit programs");
}
