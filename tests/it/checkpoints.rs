//! Exactly once, whatever dies: a word count over a growing directory, with checkpoints, into part files that appear while it runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::cluster::Yarn;
use crate::processes::{PATIENCE, Process, example, kill, signal, wait_for};

const CHECKPOINTS: [&str; 8] = [
    "-D",
    "execution.checkpointing.interval=50ms",
    "-D",
    "restart-strategy.type=fixed-delay",
    "-D",
    "restart-strategy.fixed-delay.attempts=20",
    "-D",
    "restart-strategy.fixed-delay.delay=10ms",
];

/// A directory that files are moved into, and every new count of every word that is in them.
struct Growing {
    yarn: Yarn,
    files: u32,
    expected: BTreeMap<String, u64>,
}

impl Growing {
    fn start() -> Self {
        Self::on(Yarn::start(2))
    }

    fn on(yarn: Yarn) -> Self {
        fs::create_dir(yarn.dir.path().join("incoming")).unwrap();
        let mut growing = Self { yarn, files: 0, expected: BTreeMap::new() };
        growing.feed();
        growing
    }

    fn output(&self) -> PathBuf {
        self.yarn.dir.path().join("counts")
    }

    /// Adds a file.
    fn feed(&mut self) {
        self.files += 1;
        let words: Vec<String> = (0..200).map(|i| format!("w{}", i * self.files % 37)).collect();
        for word in &words {
            *self.expected.entry(word.clone()).or_default() += 1;
        }
        let hidden = self.yarn.dir.path().join("next.txt");
        fs::write(&hidden, words.join(" ") + "\n").unwrap();
        fs::rename(hidden, self.yarn.dir.path().join("incoming").join(format!("{}.txt", self.files))).unwrap();
    }

    fn submit(&self, options: &[&str]) -> (String, String) {
        self.submit_emitting("updates", options)
    }

    fn submit_emitting(&self, emit: &str, options: &[&str]) -> (String, String) {
        let (input, output) = (self.yarn.dir.path().join("incoming"), self.output());
        let arguments =
            ["--input", input.to_str().unwrap(), "--watch", "--emit", emit, "--output", output.to_str().unwrap()];
        let options: Vec<&str> = CHECKPOINTS.iter().chain(options).copied().collect();
        self.yarn.submit(&options, &example("wordcount"), &arguments)
    }

    /// The counts that are visible, by word.
    fn visible(&self) -> BTreeMap<String, Vec<u64>> {
        let mut counts: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for entry in fs::read_dir(self.output()).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("part-") {
                for line in fs::read_to_string(entry.path()).unwrap().lines() {
                    let (word, count) = line.split_once(' ').unwrap();
                    counts.entry(word.to_owned()).or_default().push(count.parse().unwrap());
                }
            }
        }
        counts.values_mut().for_each(|counts| counts.sort_unstable());
        counts
    }

    /// Waits until everything that was fed is visible, and nothing twice.
    fn wait_exact(&self) {
        let expected: BTreeMap<String, Vec<u64>> =
            self.expected.iter().map(|(word, count)| (word.clone(), (1..=*count).collect())).collect();
        wait_for("each count of each word to be visible", PATIENCE, || {
            let visible = self.visible();
            for (word, counts) in &visible {
                assert!(counts.windows(2).all(|pair| pair[0] < pair[1]), "{word} was counted twice: {counts:?}");
            }
            (visible == expected).then_some(())
        });
    }

    fn process(&self, what: &str) -> Process {
        let find = || self.yarn.container_processes().into_iter().find(|process| process.command.contains(what));
        wait_for(what, PATIENCE, find)
    }
}

#[test]
fn each_count_is_written_once_whatever_dies_and_a_savepoint_goes_on_at_another_parallelism() {
    let mut growing = Growing::start();
    let (application, job) = growing.submit(&["-p", "1"]);
    growing.wait_exact();
    for what in ["--watch", "taskmanager", "jobmanager"] {
        kill(growing.process(what).pid);
        growing.feed();
        growing.wait_exact();
    }
    growing.yarn.resource_manager.kill();
    growing.yarn.restart_resource_manager();
    for node in 0..2 {
        growing.yarn.nodes[node].kill();
        growing.yarn.restart_node(node);
    }
    growing.feed();
    growing.wait_exact();

    let savepoints = growing.yarn.dir.path().join("savepoints");
    let savepoints = savepoints.to_str().unwrap();
    let kept = growing.yarn.json(&["savepoint"], &[&job, savepoints]);
    assert!(kept["savepoint"].as_str().unwrap().starts_with(savepoints), "{kept}");
    let stopped = growing.yarn.json(&["stop"], &["-p", savepoints, &job]);
    let path = stopped["savepoint"].as_str().unwrap().to_owned();
    let report = growing.yarn.wait_application(&application, "FINISHED");
    assert_eq!(report["finalStatus"], "SUCCEEDED");
    growing.wait_exact();

    growing.feed();
    let (application, job) = growing.submit(&["-p", "2", "-s", &path]);
    growing.wait_exact();
    growing.yarn.flott(&["stop", "--drain"], &[&job]).succeeded();
    growing.yarn.wait_application(&application, "FINISHED");
    growing.wait_exact();
    growing.yarn.wait_empty();
}

#[test]
fn a_job_that_emits_at_its_end_is_drained_into_a_savepoint_and_has_counted_everything() {
    let mut growing = Growing::start();
    let (application, job) = growing.submit_emitting("final", &["-p", "2"]);
    wait_for("the job to run", PATIENCE, || {
        let jobs = growing.yarn.json(&["list"], &[]);
        jobs.as_array().unwrap().iter().any(|listed| listed["jid"] == job.as_str()).then_some(())
    });
    let path = format!("/proxy/{application}/jobs/{job}");
    let has_read = |yarn: &Yarn, files: u64| {
        wait_for("the source to have read its input", PATIENCE, || {
            let source = yarn.get(&path)["vertices"][0].clone();
            (source["metrics"]["read-records"].as_u64()? == files).then_some(())
        });
    };
    growing.feed();
    has_read(&growing.yarn, 2);
    growing.yarn.flott(&["checkpoint"], &[&job]).succeeded();
    kill(growing.process("--watch").pid);
    growing.feed();
    has_read(&growing.yarn, 1);
    assert_eq!(growing.visible(), BTreeMap::new(), "nothing before the end");
    let savepoints = growing.yarn.dir.path().join("savepoints");
    let stopped = growing.yarn.json(&["stop", "--drain"], &["-p", savepoints.to_str().unwrap(), &job]);
    assert!(stopped["savepoint"].as_str().unwrap().starts_with(savepoints.to_str().unwrap()), "{stopped}");
    let report = growing.yarn.wait_application(&application, "FINISHED");
    assert_eq!(report["finalStatus"], "SUCCEEDED", "{report}");
    let counts: BTreeMap<_, _> = growing.expected.iter().map(|(word, count)| (word.clone(), vec![*count])).collect();
    assert_eq!(growing.visible(), counts);
    growing.yarn.wait_empty();
}

#[test]
fn a_damaged_file_of_the_latest_checkpoint_is_named_and_the_one_before_used() {
    let mut growing = Growing::start();
    let checkpoints = growing.yarn.dir.path().join("kept");
    let options = [
        "-p",
        "1",
        "-D",
        "execution.checkpointing.interval=1h",
        "-D",
        "execution.checkpointing.num-retained=2",
        "-D",
        &format!("execution.checkpointing.dir={}", checkpoints.display()),
    ];
    let (application, job) = growing.submit(&options);
    let checkpoint = |yarn: &Yarn| yarn.json(&["checkpoint"], &[&job])["checkpoint"].as_str().unwrap().to_owned();
    wait_for("the source to have read its input", PATIENCE, || {
        let jobs = growing.yarn.json(&["list"], &["--verbose"]);
        let job = jobs.as_array().unwrap().iter().find(|listed| listed["jid"] == job.as_str())?.clone();
        (job["read-records"].as_u64()? >= 200).then_some(())
    });
    checkpoint(&growing.yarn);
    growing.wait_exact();
    // Nothing was read in between, so that going back repeats nothing.
    let latest = checkpoint(&growing.yarn);
    let mut damaged = 0;
    // Behind the number stands the JobManager's attempt, if it is not the first.
    let of_latest = |path: &PathBuf| {
        let path = path.to_string_lossy();
        path.contains(&format!("/chk-{latest}/")) || path.contains(&format!("/chk-{latest}-"))
    };
    for entry in walk(&checkpoints).into_iter().filter(of_latest) {
        if !entry.ends_with("_metadata") {
            let mut bytes = fs::read(&entry).unwrap();
            bytes[20] ^= 1;
            fs::write(&entry, bytes).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0, "a word count has state");
    kill(growing.process("--watch").pid);
    growing.feed();
    // With the next checkpoint it becomes visible.
    wait_for("the job to have gone back", PATIENCE, || {
        let exceptions = growing.yarn.get(&format!("/proxy/{application}/jobs/{job}/exceptions"));
        exceptions.to_string().contains("the job goes back from checkpoint 2 to 1").then_some(())
    });
    wait_for("the job to have read on", PATIENCE, || {
        let jobs = growing.yarn.json(&["list"], &["--verbose"]);
        let job = jobs.as_array().unwrap().iter().find(|listed| listed["jid"] == job.as_str())?.clone();
        (job["read-records"].as_u64()? >= 200).then_some(())
    });
    growing.yarn.flott(&["stop", "--drain"], &[&job]).succeeded();
    growing.yarn.wait_application(&application, "FINISHED");
    growing.wait_exact();
}

/// All files below a directory.
fn walk(directory: &std::path::Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn a_running_job_gets_another_parallelism_and_keeps_it_when_its_job_manager_dies() {
    let mut growing = Growing::start();
    let (application, job) = growing.submit(&["-p", "1"]);
    growing.wait_exact();
    for parallelism in ["3", "2"] {
        let rescaled = growing.yarn.json(&["rescale"], &[&job, parallelism]);
        assert_eq!(
            (&rescaled["rescale"]["status"], &rescaled["changed"]),
            (&"COMPLETED".into(), &true.into()),
            "{rescaled}"
        );
        growing.feed();
        growing.wait_exact();
    }
    kill(growing.process("jobmanager").pid);
    growing.feed();
    growing.wait_exact();
    let again = growing.yarn.json(&["rescale"], &[&job, "2"]);
    assert_eq!(again["changed"], false, "{again}");
    growing.yarn.flott(&["stop", "--drain"], &[&job]).succeeded();
    growing.yarn.wait_application(&application, "FINISHED");
    growing.wait_exact();
}

#[test]
fn what_was_frozen_and_wakes_up_makes_nothing_visible() {
    let soon = ["resourcemanager.am-expiry=1s", "heartbeat.interval=200ms", "heartbeat.timeout=1s"];
    let mut growing = Growing::on(Yarn::start_set(2, "2g", &soon));
    let noticed = ["-D", "heartbeat.interval=200ms", "-D", "heartbeat.timeout=1s"];
    let (application, job) = growing.submit(&[&["-p", "1"], &noticed[..]].concat());
    growing.wait_exact();
    for what in ["--watch", "taskmanager", "jobmanager"] {
        let frozen = growing.process(what);
        signal(frozen.pid, Signal::STOP);
        growing.feed();
        growing.wait_exact();
        signal(frozen.pid, Signal::CONT);
        growing.feed();
        growing.wait_exact();
    }
    growing.yarn.flott(&["stop", "--drain"], &[&job]).succeeded();
    growing.yarn.wait_application(&application, "FINISHED");
    growing.wait_exact();
    growing.yarn.wait_empty();
}
