//! A job goes on from a checkpoint or a savepoint at another parallelism, however it ended: nothing is lost, nothing counts twice.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cluster::Standalone;
use crate::processes::{PATIENCE, example, kill, processes_of, wait_for};
use crate::state_evolution::{copy, number_of};

const PARALLELISMS: [(u32, u32); 4] = [(1, 3), (3, 1), (4, 2), (2, 2)];

#[derive(Clone, Copy, Debug)]
enum Ending {
    Killed,
    Stopped,
    Cancelled,
}

const ENDINGS: [Ending; 3] = [Ending::Killed, Ending::Stopped, Ending::Cancelled];

/// Settings of a job whose state lies on disk.
const ON_DISK: [&str; 2] = ["state.backend.type=disk", "taskmanager.memory.managed.size=512kb"];

/// One case: a directory that files are moved into, and every new count of every word that is in them.
struct Case<'a> {
    cluster: &'a Standalone,
    dir: PathBuf,
    /// Words a file, and how many different ones there are.
    words: (u32, u32),
    settings: &'a [&'a str],
    files: u32,
    expected: BTreeMap<String, Vec<u64>>,
}

impl<'a> Case<'a> {
    fn new(cluster: &'a Standalone, name: &str) -> Self {
        let dir = cluster.dir.path().join(name);
        fs::create_dir_all(dir.join("incoming")).unwrap();
        Self { cluster, dir, words: (100, 17), settings: &[], files: 0, expected: BTreeMap::new() }
    }

    /// With so much state that it lies in runs of its own, and does not fit into memory.
    fn on_disk(self) -> Self {
        Self { words: (24_000, 24_007), settings: &ON_DISK, ..self }
    }

    fn place(&self, name: &str) -> String {
        self.dir.join(name).to_string_lossy().into_owned()
    }

    fn feed(&mut self) {
        self.files += 1;
        let (count, distinct) = self.words;
        let words: Vec<String> = (0..count).map(|i| format!("w{}", i * self.files % distinct)).collect();
        for word in &words {
            let counts = self.expected.entry(word.clone()).or_default();
            counts.push(counts.len() as u64 + 1);
        }
        let hidden = self.dir.join("next.txt");
        fs::write(&hidden, words.join(" ") + "\n").unwrap();
        fs::rename(hidden, self.dir.join("incoming").join(format!("{}.txt", self.files))).unwrap();
    }

    /// The job's id.
    fn submit(&self, parallelism: u32, from: Option<&str>) -> String {
        let (checkpoints, parallelism) = (self.place("checkpoints"), parallelism.to_string());
        let defines = [
            format!("execution.checkpointing.dir={checkpoints}"),
            "execution.checkpointing.externalized-checkpoint-retention=RETAIN_ON_CANCELLATION".to_owned(),
            "restart-strategy.type=none".to_owned(),
        ];
        let mut options = vec!["run", "-d", "--output", "json", "-p", &parallelism];
        options.extend(defines.iter().flat_map(|define| ["-D", define.as_str()]));
        options.extend(self.settings.iter().flat_map(|define| ["-D", define]));
        options.extend(from.iter().flat_map(|from| ["-s", from]));
        let (program, input, output) = (example("wordcount"), self.place("incoming"), self.place("counts"));
        let program =
            [program.to_str().unwrap(), "--input", &input, "--watch", "--emit", "updates", "--output", &output];
        let submitted = self.cluster.flott(&options, &program).succeeded();
        let submitted: Value = serde_json::from_str(&submitted.stdout).unwrap();
        submitted["job"].as_str().unwrap().to_owned()
    }

    fn visible(&self) -> BTreeMap<String, Vec<u64>> {
        let mut counts: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for entry in fs::read_dir(self.dir.join("counts")).into_iter().flatten().flatten() {
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

    /// Takes checkpoints until everything that was fed is visible, once.
    fn settle(&self, job: &str) {
        wait_for("each count of each word to be visible", PATIENCE, || {
            let visible = self.visible();
            let twice = visible.iter().find(|(_, counts)| counts.windows(2).any(|pair| pair[0] == pair[1]));
            assert_eq!(twice, None, "{}: counted twice", self.dir.display());
            // Refused as long as the job is not running.
            let _ = self.cluster.flott(&["checkpoint"], &[job]);
            (visible == self.expected).then_some(())
        });
    }

    fn latest_checkpoint(&self, job: &str) -> PathBuf {
        let found = fs::read_dir(Path::new(&self.place("checkpoints")).join(job)).unwrap().flatten();
        let complete = found.map(|entry| entry.path()).filter(|path| path.join("_metadata").exists());
        complete.max_by_key(|path| number_of(path)).unwrap()
    }

    fn savepoint(&self, verb: &[&str], arguments: &[&str]) -> String {
        let words: Vec<&str> = verb.iter().chain(&["--output", "json"]).copied().collect();
        let answer = self.cluster.flott(&words, arguments).succeeded();
        let answer: Value = serde_json::from_str(&answer.stdout).unwrap();
        answer["savepoint"].as_str().unwrap().to_owned()
    }

    fn end(&self, job: &str, ending: Ending) {
        let state = match ending {
            Ending::Killed => {
                let marker = self.place("incoming");
                let workers = processes_of(self.cluster.dir.path().to_str().unwrap()).into_iter();
                workers.filter(|process| process.command.contains(&marker)).for_each(|worker| kill(worker.pid));
                "FAILED"
            }
            Ending::Stopped => {
                self.savepoint(&["stop", "-p", &self.place("stopped")], &[job]);
                "FINISHED"
            }
            Ending::Cancelled => {
                self.cluster.flott(&["cancel"], &[job]).succeeded();
                "CANCELED"
            }
        };
        wait_for(state, PATIENCE, || (self.cluster.get(&format!("/jobs/{job}"))["state"] == state).then_some(()));
    }
}

fn resumes_from(kind: &str) {
    let cluster = Standalone::start(1, 4);
    for (before, after) in PARALLELISMS {
        for ending in ENDINGS {
            let mut case = Case::new(&cluster, &format!("{kind}-{before}-{after}-{ending:?}"));
            case.feed();
            let job = case.submit(before, None);
            case.settle(&job);
            let taken = match kind {
                "savepoint" => case.savepoint(&["savepoint"], &[&job, &case.place("savepoints")]),
                _ => {
                    // A copy: the job takes its own with it when it is stopped.
                    let copied = case.dir.join("taken");
                    copy(&case.latest_checkpoint(&job), &copied);
                    copied.to_string_lossy().into_owned()
                }
            };
            case.end(&job, ending);
            case.feed();
            let job = case.submit(after, Some(&taken));
            case.settle(&job);
            case.end(&job, Ending::Cancelled);
        }
    }
}

#[test]
fn a_job_with_state_on_disk_resumes_from_its_checkpoint_and_any_job_from_its_savepoint() {
    let cluster = Standalone::start(1, 4);
    for (before, after, ending) in [(1, 3, Ending::Killed), (3, 2, Ending::Cancelled)] {
        let mut case = Case::new(&cluster, &format!("disk-{before}-{after}")).on_disk();
        case.feed();
        let job = case.submit(before, None);
        case.settle(&job);
        case.feed();
        case.settle(&job);
        let taken = case.dir.join("taken");
        copy(&case.latest_checkpoint(&job), &taken);
        let runs =
            fs::read_dir(&taken).unwrap().flatten().filter(|entry| entry.path().extension() == Some("run".as_ref()));
        assert!(runs.count() >= before as usize, "{}", taken.display());
        case.end(&job, ending);
        case.feed();
        let job = case.submit(after, Some(&taken.to_string_lossy()));
        case.settle(&job);
        let savepoint = case.savepoint(&["savepoint"], &[&job, &case.place("savepoints")]);
        case.end(&job, Ending::Cancelled);
        // In memory from here on.
        case.settings = &[];
        case.feed();
        let job = case.submit(before, Some(&savepoint));
        case.settle(&job);
        case.end(&job, Ending::Cancelled);
    }
}

#[test]
fn a_job_resumes_from_a_checkpoint_at_another_parallelism_however_it_ended() {
    resumes_from("checkpoint");
}

#[test]
fn a_job_resumes_from_a_savepoint_at_another_parallelism_however_it_ended() {
    resumes_from("savepoint");
}
