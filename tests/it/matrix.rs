//! The same program gives the same answer wherever and however it runs: at every parallelism, batch or streaming, in one process and
//! over clusters of one and of three workers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::cluster::Standalone;
use crate::processes::{example, naive_counts, parts, run};

const PARALLELISMS: [u32; 4] = [1, 2, 3, 7];
const MODES: [&str; 2] = ["batch", "streaming"];

/// A program with its input, and the answer that a naive model gives.
struct Program {
    name: &'static str,
    arguments: Vec<String>,
    /// The option that names where its answer goes.
    output: &'static str,
    /// Whether it can be told batch or streaming.
    has_mode: bool,
    answer: Vec<String>,
}

impl Program {
    fn all(dir: &Path) -> Vec<Self> {
        vec![words(dir), frauds(dir), balances(dir)]
    }

    fn arguments(&self, output: &Path, mode: &str) -> Vec<String> {
        let mut arguments = self.arguments.clone();
        arguments.extend([self.output.to_owned(), output.to_str().unwrap().to_owned()]);
        if self.has_mode {
            arguments.extend(["--execution-mode".to_owned(), mode.to_owned()]);
        }
        arguments
    }

    fn check(&self, output: &Path, how: &str) {
        let found = if self.name == "custom_connector" { files(output) } else { parts(output) };
        assert!(found == self.answer, "{}, {how}: {} lines, not {}", self.name, found.len(), self.answer.len());
    }
}

/// Numbers without pattern, the same every time.
fn numbers(count: u64) -> impl Iterator<Item = u64> {
    (1..=count).map(|number| {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33
    })
}

fn words(dir: &Path) -> Program {
    let input = dir.join("texts");
    fs::create_dir(&input).unwrap();
    let mut all = String::new();
    for file in 0..3u64 {
        let words = numbers(4000).map(|number| format!("Word{}", (number + file) % 600));
        let text = words.collect::<Vec<_>>().chunks(7).map(|line| line.join(" ") + "\n").collect::<String>();
        fs::write(input.join(format!("{file}.txt")), &text).unwrap();
        all.push_str(&text);
    }
    let arguments = vec!["--input".to_owned(), input.to_str().unwrap().to_owned()];
    Program { name: "wordcount", arguments, output: "--output", has_mode: true, answer: naive_counts(&all) }
}

/// One file, so that each account's transactions have an order.
fn frauds(dir: &Path) -> Program {
    let input = dir.join("transactions.csv");
    let (mut lines, mut tiny, mut answer) = (String::new(), BTreeMap::new(), Vec::new());
    for number in numbers(5000) {
        let (account, amount) = (number % 97, [0.5, 20.0, 700.0][number as usize / 97 % 3]);
        lines.push_str(&format!("{account},{amount}\n"));
        if tiny.insert(account, amount < 1.0) == Some(true) && amount > 500.0 {
            answer.push(format!("{account},{amount}"));
        }
    }
    assert!(answer.len() > 100);
    answer.sort();
    fs::write(&input, lines).unwrap();
    let arguments = vec!["--input".to_owned(), input.to_str().unwrap().to_owned()];
    Program { name: "fraud_detection", arguments, output: "--output", has_mode: true, answer }
}

fn balances(dir: &Path) -> Program {
    let ledger = dir.join("ledger");
    let (mut bytes, mut sums) = (Vec::new(), BTreeMap::new());
    for number in numbers(60_000) {
        let (account, amount) = (number % 50, i64::try_from(number % 1000).unwrap() - 500);
        bytes.extend_from_slice(&account.to_le_bytes());
        bytes.extend_from_slice(&amount.to_le_bytes());
        *sums.entry(account).or_insert(0) += amount;
    }
    fs::write(&ledger, bytes).unwrap();
    let mut answer: Vec<String> = sums.into_iter().map(|(account, sum)| format!("{account} {sum}")).collect();
    answer.sort();
    let arguments = vec!["--ledger".to_owned(), ledger.to_str().unwrap().to_owned()];
    Program { name: "custom_connector", arguments, output: "--balances", has_mode: false, answer }
}

/// `name content` of each file.
fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let mut lines: Vec<String> = entries
        .map(|entry| {
            let content = fs::read_to_string(entry.path()).unwrap();
            format!("{} {}", entry.file_name().to_string_lossy(), content.trim())
        })
        .collect();
    lines.sort();
    lines
}

fn in_all_ways(dir: &Path, execute: impl Fn(&Program, u32, &[String])) {
    for program in Program::all(dir) {
        for parallelism in PARALLELISMS {
            let modes = if program.has_mode { &MODES[..] } else { &MODES[..1] };
            for mode in modes {
                let output: PathBuf = dir.join(format!("{}-{parallelism}-{mode}", program.name));
                execute(&program, parallelism, &program.arguments(&output, mode));
                program.check(&output, &format!("{mode}, parallelism {parallelism}"));
            }
        }
    }
}

#[test]
fn a_program_gives_the_same_answer_in_its_own_process_at_every_parallelism_and_in_both_modes() {
    let dir = TempDir::with_prefix("flott-it-").unwrap();
    in_all_ways(dir.path(), |program, parallelism, arguments| {
        let parallelism = parallelism.to_string();
        let mut command = Command::new(example(program.name));
        run(command.args(arguments).args(["--parallelism", &parallelism])).succeeded();
    });
}

fn over_a_cluster(task_managers: usize, slots: u32) {
    let cluster = Standalone::start(task_managers, slots);
    in_all_ways(cluster.dir.path(), |program, parallelism, arguments| {
        let (path, parallelism) = (example(program.name), parallelism.to_string());
        let mut all = vec![path.to_str().unwrap()];
        all.extend(arguments.iter().map(String::as_str));
        all.extend(["--parallelism", &parallelism]);
        cluster.flott(&["run"], &all).succeeded();
    });
}

#[test]
fn a_program_gives_the_same_answer_over_one_worker() {
    over_a_cluster(1, 7);
}

#[test]
fn a_program_gives_the_same_answer_over_three_workers() {
    over_a_cluster(3, 3);
}
